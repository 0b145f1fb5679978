"""Findings that show only when both nodes are looked at side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from failover_kit.check.daemon_rules import one_way
from failover_kit.check.findings import Finding, found
from failover_kit.check.link_rules import own_links
from failover_kit.check.nodefacts import Facts, HeardFact, LineFact
from failover_kit.check.subject import Subject

CLOCK_APART_MS = 2_000
PIPE_MS = 30_000
"""So old may facts be that come through a pipe: the time of a login and of a check on the other node."""

_NAMED_LINES = 5


def findings(subject: Subject, own: Facts, peer: Facts, *, piped: bool) -> Iterator[Finding]:
    """``piped``: the facts were made just now, so that their age tells about the clocks."""
    yield from _files(own, peer)
    yield from _disks(subject, own, peer)
    yield from _exports(own, peer)
    yield from _clocks(own, peer, piped=piped)
    yield from _addresses(subject, peer)
    yield from _one_way(own, peer)
    if own.version != peer.version:
        fact = f"{own.node} has {own.version}, {peer.node} has {peer.version}"
        yield found("version-differs", "", fact, "bring both to the newer one, the passive node first")


def not_compared(subject: Subject) -> Finding:
    return found("not-compared", "", f"{subject.peer} was not looked at", "run: failoverctl check --ssh")


def _files(own: Facts, peer: Facts) -> Iterator[Finding]:
    if own.keys != peer.keys:
        remedy = "copy it from one node to the other, mode 600, and compare again: more may differ"
        yield found("authkeys-differ", "authkeys", f"authkeys is another one on {peer.node}", remedy)
        return
    if own.meaning == peer.meaning:
        return
    lines = [
        (node, other, name, line)
        for node, other, name, here, there in (
            (own.node, peer.node, "ha.cf", own.ha_cf, peer.ha_cf),
            (peer.node, own.node, "ha.cf", peer.ha_cf, own.ha_cf),
            (own.node, peer.node, "haresources", own.haresources, peer.haresources),
            (peer.node, own.node, "haresources", peer.haresources, own.haresources),
        )
        for line in _only(here, there)[:_NAMED_LINES]
    ]
    for node, other, name, line in lines:
        fact = f"{other} has no such line in its {name}"
        yield _on(node, found("files-differ", f"{name}:{line}", fact, "make the files alike on both nodes"))
    if not lines:
        fact = f"the files mean something else on {peer.node}, by the order of their lines or by their links"
        yield found("files-differ", "ha.cf", fact, "make the three files alike on both nodes")


def _on(node: str, finding: Finding) -> Finding:
    """The finding with the node whose file ``place`` is in."""
    return replace(finding, node=node)


def _only(here: tuple[LineFact, ...], there: tuple[LineFact, ...]) -> list[int]:
    known = {line.digest for line in there}
    return [line.number for line in here if line.digest not in known]


def _disks(subject: Subject, own: Facts, peer: Facts) -> Iterator[Finding]:
    places = {volume.device: volume.place for volume in subject.managed.volumes}
    others = {disk.device: disk for disk in peer.disks}
    for disk in own.disks:
        other = others.get(disk.device)
        if other is None or not disk.uuid or not other.uuid:
            continue  # not read on one of them: that node has a finding of its own
        place = places.get(disk.device, "haresources")
        if disk.uuid != other.uuid:
            fact = f"{disk.device} is UUID {disk.uuid} on {own.node} and {other.uuid} on {peer.node}"
            yield found(
                "disk-differs", place, fact, f"connect the same disk, or write UUID={disk.uuid} as the device"
            )
        elif disk.bytes != other.bytes:
            fact = f"{disk.device} has {disk.bytes} bytes on {own.node} and {other.bytes} on {peer.node}"
            yield found(
                "disk-differs", place, fact, "let the node that is wrong read its size again, or look for a copy"
            )


def _exports(own: Facts, peer: Facts) -> Iterator[Finding]:
    here = {(export.path, export.client): export for export in own.exports}
    there = {(export.path, export.client): export for export in peer.exports}
    for key in sorted(here.keys() | there.keys()):
        mine, other = here.get(key), there.get(key)
        if mine is None or other is None:
            has, lacks, there_it_is = (own.node, peer.node, mine) if mine else (peer.node, own.node, other)
            fact = f"{key[0]} to {key[1]} is exported on {has} and not on {lacks}"
            remedy = "make /etc/exports alike, or export it by the cluster (exportfs)"
            place = there_it_is.place if there_it_is is not None else ""
            yield _on(has, found("exports-differ", place, fact, remedy))
            continue
        if mine.options != other.options:
            only = sorted(set(mine.options) ^ set(other.options))
            fact = f"{key[0]} to {key[1]} differs in {', '.join(only)} from {peer.node}"
            yield _on(own.node, found("exports-differ", mine.place, fact, "make /etc/exports alike on both nodes"))
        if mine.fsid != other.fsid:
            ids = f"fsid {mine.fsid or '(none)'} on {own.node} and {other.fsid or '(none)'} on {peer.node}"
            yield _on(own.node, found("fsid-differs", mine.place, f"{key[0]} has {ids}", "write the same fsid="))


def _clocks(own: Facts, peer: Facts, *, piped: bool) -> Iterator[Finding]:
    """Facts from the future show a clock that is ahead; old ones through a pipe one that is behind."""
    ahead_ms = peer.wall_ms - own.wall_ms
    apart = ahead_ms > CLOCK_APART_MS or (piped and ahead_ms < -PIPE_MS)
    if apart:
        word = "ahead of" if ahead_ms > 0 else "behind"
        fact = f"the clock of {peer.node} is about {abs(ahead_ms) // 1000} s {word} that of {own.node}"
        yield found("clock-differs", "", fact, "let both follow the same time server (chrony)")


def _addresses(subject: Subject, peer: Facts) -> Iterator[Finding]:
    """Each ucast line must lead to an address that the other node has."""
    for link in own_links(subject):
        if link.peer_address not in peer.addresses:
            fact = f"ucast {link.interface} {link.peer_address} leads to no address of {peer.node}"
            there = ", ".join(a for a in peer.addresses if not a.startswith("127.")) or "none"
            yield found(
                "link-address",
                f"ha.cf:{link.line}",
                fact,
                f"{peer.node} has {there}: correct the line, or the node",
            )


def _one_way(own: Facts, peer: Facts) -> Iterator[Finding]:
    for mine, other in _same_links(own.links, peer.links):
        if mine.heard is not None and other.heard is not None and mine.heard != other.heard:
            deaf, speaker = (peer.node, own.node) if mine.heard else (own.node, peer.node)
            yield one_way("ha.cf", deaf, speaker, mine.name)


def heard_there(subject: Subject, peer: Facts) -> dict[str, bool | None]:
    """For each link of this node by name: whether the other node hears this one on it."""
    own = tuple(
        HeardFact(name=name, serial=serial, heard=None)
        for name, serial in {link.name: hasattr(link, "device") for link in subject.loaded.config.links}.items()
    )
    return {mine.name: other.heard for mine, other in _same_links(own, peer.links)}


def _same_links(own: tuple[HeardFact, ...], peer: tuple[HeardFact, ...]) -> Iterator[tuple[HeardFact, HeardFact]]:
    """By name; and the only serial lines of both are each other's, whatever they are called."""
    others = {link.name: link for link in peer}
    serial = [[link for link in links if link.serial] for links in (own, peer)]
    for link in own:
        if link.serial and all(len(lines) == 1 for lines in serial):
            yield link, serial[1][0]
        elif link.name in others and others[link.name].serial == link.serial:
            yield link, others[link.name]
