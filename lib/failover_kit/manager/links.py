"""The links of a configuration, made. They carry frames and know nothing of their meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from failover_kit.manager import config
from failover_kit.manager.links_base import Link
from failover_kit.manager.links_serial import SerialLink
from failover_kit.manager.links_udp import BcastLink, McastLink, UcastLink


def make_links(links: Iterable[config.Link], note: Callable[[str], None]) -> list[Link]:
    """The links of a configuration; ucast lines on one interface become one link, ucast6 lines likewise.

    ValueError for a ucast line whose address is not known yet (``configfiles.resolve_links`` comes first),
    and for two ports of ucast on one interface.
    """
    made: dict[str, Link] = {}
    peers: dict[str, list[config.UcastLink]] = {}
    for link in links:
        match link:
            case config.SerialLink():
                made[link.name] = SerialLink(link.name, link.device, link.baud, note)
            case config.UcastLink():
                known = peers.setdefault(link.name, [])
                known.append(link)
                made[link.name] = _ucast(known, note)
            case config.BcastLink():
                made[link.name] = BcastLink(link.name, link.interface, link.port, note)
            case config.McastLink():
                made[link.name] = McastLink(
                    link.name, link.interface, link.group, link.port, note, ttl=link.ttl, ipv6=link.ipv6
                )
    return list(made.values())


def _ucast(lines: list[config.UcastLink], note: Callable[[str], None]) -> Link:
    """All ucast lines of one interface."""
    first = lines[0]
    if any(other.port != first.port for other in lines):
        raise ValueError(f"ucast on {first.interface} with two ports; set udpport once, before it")
    addresses = tuple(other.peer_address for other in lines if other.peer_address is not None)
    if len(addresses) != len(lines):
        raise ValueError(f"ucast {first.interface} has no peer address yet")
    return UcastLink(first.name, first.interface, addresses, first.port, note, ipv6=first.ipv6)
