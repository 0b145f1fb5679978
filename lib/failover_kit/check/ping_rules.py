"""Findings about ping nodes: what answers for a reason that tells nothing, and what does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

from failover_kit.check.findings import Finding, found
from failover_kit.check.managed import ADDRESS_TYPES, parameters_of, place_of
from failover_kit.check.subject import Subject
from failover_kit.manager.config import UcastLink


def findings(subject: Subject) -> Iterator[Finding]:
    pings = subject.loaded.config.pings
    own = {str(ip_interface(text).ip) for texts in subject.probes.networks().values() for text in texts}
    managed, peer = _managed(subject), _peers(subject) - own
    elsewhere = "write the address of what stands between this node and its clients: a gateway, a switch"
    for ping in pings:
        place = f"ha.cf:{ping.line}"
        for member in ping.members:
            address = member.partition("%")[0]
            if address in managed:
                fact = f"ping node {address} is an address of the cluster ({managed[address]})"
                yield found("ping-own", place, fact, elsewhere)
            elif address in own:
                yield found("ping-own", place, f"ping node {address} is this node itself", elsewhere)
            elif address in peer:
                yield found("ping-peer", place, f"ping node {address} is {subject.peer}", elsewhere)
    if sum(len(ping.members) for ping in pings) == 1:
        remedy = "write ping_group gateways with two addresses that do not fail together"
        yield found("ping-one", f"ha.cf:{pings[0].line}", f"{pings[0].name} is the only ping node", remedy)
    for seen in subject.status.view.pings if subject.status is not None else ():
        if seen.reached is False:
            line = next((ping.line for ping in pings if ping.name == seen.name), 0)
            place = f"ha.cf:{line}" if line else "ha.cf"
            remedy = f"try: ping {seen.name.partition('%')[0]}; does it answer echoes, is the cable in?"
            yield found("ping-silent", place, f"ping node {seen.name} does not answer {subject.node}", remedy)


def _managed(subject: Subject) -> dict[str, str]:
    """Addresses that move with a group, and where that is said."""
    addresses: dict[str, str] = {}
    for group in subject.managed.groups:
        for resource in group.resources:
            if resource.type in ADDRESS_TYPES:
                first = resource.args[0] if resource.args else ""
                text = (parameters_of(resource).get("ip") or first).partition("/")[0]
                addresses[_plain(text)] = place_of(resource)
    return addresses


def _peers(subject: Subject) -> set[str]:
    links = {link.peer_address for link in subject.loaded.config.links if isinstance(link, UcastLink)}
    return {_plain(text) for text in (*links, *subject.probes.addresses_of(subject.peer)) if text}


def _plain(text: str) -> str:
    """One spelling of an address; anything else as it is."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return text
