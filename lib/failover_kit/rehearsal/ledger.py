"""The ledger: who tried what when, written outside the nodes, and the proof made from it. Pure.

Everything here is about one group: of a pair with two, each has its own attempts and its own proof.

A node *holds* the group from the first attempt to start any of its resources until the stop of every resource
it tried to start has succeeded, or until its power was cut: ``witness`` notes the attempts, the rehearsal
itself notes the power. What failoverd says plays no part. Two nodes must never hold at the same time.

Mounts and addresses seen in the nodes (``watch``) are a second witness: none may appear while its node does
not hold, or stay after it. They are seen a moment after they happen, so times between nodes are compared on
attempts only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

SEEN_LATE_MS = 1_000
"""How much later than it happened the end of a mount may be noticed on a loaded machine."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One line of ``witness``: a call of an agent began, or ended with ``code``."""

    t_ms: int
    node: str
    boot: int
    resource: str
    verb: str
    what: str  # begin or end
    code: int


@dataclass(frozen=True, slots=True)
class Power:
    """A node's power came (``on``) or was gone for certain."""

    t_ms: int
    node: str
    boot: int
    on: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """A mount of the disk or the cluster address appeared in a node, or disappeared."""

    t_ms: int
    node: str
    boot: int
    thing: str
    present: bool


@dataclass(frozen=True, slots=True)
class Span:
    """``node`` held the group in ``boot``; ``end_ms`` None: it still does."""

    node: str
    boot: int
    begin_ms: int
    end_ms: int | None
    why: str  # what ended it
    group: int = 0  # its number in the plan


class LedgerError(Exception):
    """A line of the ledger cannot be read: then nothing is proved."""


def parse_attempt(line: str) -> Attempt:
    """``73212 pete 1 Filesystem:/mnt/e0.0 start begin 0``."""
    try:
        t_ms, node, boot, resource, verb, what, code = line.split()
        return Attempt(int(t_ms), node, int(boot), resource, verb, what, int(code))
    except ValueError:
        raise LedgerError(f"not a line of the ledger: {line!r}") from None


def held(attempts: Iterable[Attempt], power: Iterable[Power], group: int = 0) -> list[Span]:
    """The spans in which each boot of each node held the group, in order of their beginning."""
    power = list(power)
    spans: list[Span] = []
    calls = sorted(attempts, key=lambda call: call.t_ms)
    for node, boot in sorted({(call.node, call.boot) for call in calls}):
        off_ms = next((p.t_ms for p in power if (p.node, p.boot, p.on) == (node, boot, False)), None)
        spans += _held_in_boot(node, boot, [c for c in calls if (c.node, c.boot) == (node, boot)], off_ms)
    return [replace(span, group=group) for span in sorted(spans, key=lambda span: span.begin_ms)]


def _held_in_boot(node: str, boot: int, calls: Sequence[Attempt], off_ms: int | None) -> list[Span]:
    spans: list[Span] = []
    active: set[str] = set()
    begin_ms: int | None = None
    for call in calls:
        if call.verb == "start" and call.what == "begin":
            active.add(call.resource)
            begin_ms = call.t_ms if begin_ms is None else begin_ms
        elif call.verb == "stop" and call.what == "end" and call.code == 0:
            active.discard(call.resource)
            if not active and begin_ms is not None:
                spans.append(Span(node, boot, begin_ms, call.t_ms, "stopped"))
                begin_ms = None
    if begin_ms is not None:
        spans.append(Span(node, boot, begin_ms, off_ms, "power cut" if off_ms is not None else ""))
    return spans


def overlaps(spans: Sequence[Span]) -> list[str]:
    """One sentence for each pair of spans of different nodes that share a moment."""
    found = []
    for index, one in enumerate(spans):
        for other in spans[index + 1 :]:
            if one.node == other.node:
                continue
            begin_ms = max(one.begin_ms, other.begin_ms)
            ends = [span.end_ms for span in (one, other) if span.end_ms is not None]
            if not ends or begin_ms < min(ends):
                lasted = f"for {min(ends) - begin_ms} ms" if ends else "and still do"
                found.append(f"{one.node} and {other.node} held the group together from {begin_ms} {lasted}")
    return found


def strays(sightings: Sequence[Sighting], spans: Sequence[Span], power: Iterable[Power]) -> list[str]:
    """One sentence for each mount or address that was there while its node did not hold."""
    found = []
    cut = {(p.node, p.boot): p.t_ms for p in power if not p.on}
    for seen in sightings:
        own = [span for span in spans if (span.node, span.boot) == (seen.node, seen.boot)]
        covering = [
            span
            for span in own
            if span.begin_ms <= seen.t_ms and (span.end_ms is None or seen.t_ms <= span.end_ms + SEEN_LATE_MS)
        ]
        if not covering and cut.get((seen.node, seen.boot), seen.t_ms) >= seen.t_ms:
            verb = "appeared" if seen.present else "was still there"
            found.append(f"{seen.thing} {verb} on {seen.node} at {seen.t_ms}, which did not hold the group")
    return found


def holder_at(spans: Iterable[Span], t_ms: int) -> str:
    """Who holds at ``t_ms``; "" for nobody."""
    for span in spans:
        if span.begin_ms <= t_ms and (span.end_ms is None or t_ms < span.end_ms):
            return span.node
    return ""
