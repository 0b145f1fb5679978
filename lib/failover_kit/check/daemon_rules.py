"""Findings that failoverd's status has: links as they are in both directions, the last proof drill."""

from __future__ import annotations

from collections.abc import Iterator

from failover_kit.check.findings import Finding, found
from failover_kit.check.subject import Subject
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.records import ProofState
from failover_kit.manager.status import Status

PROOF_OLD_MS = 183 * 24 * 60 * 60 * 1000
"""Half a year."""


def findings(subject: Subject) -> Iterator[Finding]:
    if subject.status is None:
        yield found(
            "no-daemon", "", subject.silence or "failoverd was not asked", "systemctl start failoverd, then again"
        )
        return
    if subject.status.view.config_differs:
        fact = f"{subject.peer} says in its beats that its files mean something else"
        yield found("files-differ", "ha.cf", fact, "see which lines: failoverctl check --ssh")
    yield from links(subject, subject.status)
    yield from _proof(subject, subject.status)


def links(subject: Subject, status: Status) -> Iterator[Finding]:
    """Links on which one node or both hear nothing, and what is wrong on this side of one."""
    lines = {link.name: link.line for link in subject.loaded.config.links}
    errors = {link.name: link.error for link in status.links}
    for link in status.view.links:
        place = f"ha.cf:{lines.get(link.name, 0)}"
        if errors.get(link.name):
            yield found("link-silent", place, f"{link.name}: {errors[link.name]}", "repair it; it is tried again")
        elif link.one_way:
            deaf, speaker = (subject.peer, subject.node) if link.up else (subject.node, subject.peer)
            yield one_way(place, deaf, speaker, link.name)
        elif not link.up:
            since = (
                f"for {link.heard_ago_ms // 1000} s" if link.heard_ago_ms is not None else "since failoverd started"
            )
            fact = f"nothing of {subject.peer} was heard on {link.name} {since}"
            yield found("link-silent", place, fact, "look at the cable, then: failoverctl check --links")


def one_way(place: str, deaf: str, speaker: str, name: str) -> Finding:
    """A link on which ``deaf`` does not hear ``speaker``, which hears it."""
    fact = f"{deaf} does not hear {speaker} on {name}, and {speaker} hears {deaf}"
    remedy = f"look at the wire from {speaker} to {deaf}, the firewall on {deaf}, and the address"
    return found("link-one-way", place, fact, remedy)


def _proof(subject: Subject, status: Status) -> Iterator[Finding]:
    proof, run = status.view.proof, f"on a quiet day: failoverctl fence --prove {subject.peer}"
    if proof.state is ProofState.FAILED:
        yield found("fence-proof-failed", "", proof.text, f"repair that, then {run}")
    elif proof.state is ProofState.NEVER:
        yield found("fence-unproved", "", f"{subject.node} never proved that it can cut {subject.peer}", run)
    elif proof.state is ProofState.OUTDATED:
        yield found("fence-unproved", "", proof.text.partition(";")[0], run)
    elif status.proof_age_ms is not None and status.proof_age_ms > PROOF_OLD_MS:
        days = status.proof_age_ms // (24 * 60 * 60 * 1000)
        fact = f"{subject.node} proved {days} days ago that it can cut {subject.peer}"
        yield found("fence-proof-old", "", fact, run)


def switch(answer: Answer) -> Iterator[Finding]:
    """What ``failoverctl fence --test`` answered."""
    if answer.code is not ExitCode.DONE:
        first, *more = answer.text.splitlines() or ["no answer"]
        fact = "; ".join([first, *(line.strip() for line in more)])
        yield found(
            "switch-read", "ha.cf", fact, "log out of the switch everywhere, then: failoverctl fence --test"
        )
