"""The ping nodes of ``ha.cf``: ``ping``, ``ping6`` and ``ping_group``. Pure.

Written as for Heartbeat 3.0.6 (its ha.cf(5)); ``ping`` takes IPv6 addresses, too. What they are for stands in
docs/ping.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from failover_kit.manager.config import PING_LIMIT, PingNode
from failover_kit.manager.configtext import Report, Word, shown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_ZONE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")  # an interface's name: IFNAMSIZ of linux/if.h, less NUL


@dataclass(slots=True)
class PingLines:
    """The ping nodes so far."""

    nodes: list[PingNode] = field(default_factory=list)
    named: Word | None = None  # the first line with one, right or wrong

    def ping(self, name: Word, values: list[Word], report: Report) -> None:
        """``ping ADDRESS...``: each is a ping node of its own."""
        self.named = self.named or name
        if not values:
            report.error(name, f"{name.text} has no address; write {name.text} {_EXAMPLE[name.text]}, a gateway's")
        for value in values:
            address = _address(name, value, report)
            if address and self._is_new(value, address, report):
                self._add(PingNode(name=address, members=(address,), line=name.line), value, report)

    def group(self, name: Word, values: list[Word], report: Report) -> None:
        """``ping_group NAME ADDRESS...``: one ping node, reached while any of the addresses answers."""
        self.named = self.named or name
        form = "write ping_group gateways 192.0.2.1 192.0.2.2"
        if len(values) < 2:
            missing = "no name" if not values else "no address"
            report.error(name, f"ping_group has {missing}; {form}")
            return
        title, *members = values
        if not _NAME.fullmatch(title.text) or _is_address(title.text):
            fact = f"ping_group: {shown(title.text)} is no name of a group"
            report.error(title, f"{fact}; {form}: the name first, letters, digits, dots and dashes")
            return
        if len(members) > PING_LIMIT:
            fact = f"ping_group {title.text}: more than {PING_LIMIT} addresses"
            report.error(members[PING_LIMIT], f"{fact}; drop some")
            return
        addresses: list[str] = []
        for member in members:
            address = _address(name, member, report)
            if address and address in addresses:
                report.error(member, f"ping_group {title.text}: {address} is given twice; keep one")
            elif address and self._is_new(member, address, report):
                addresses.append(address)
        if addresses:
            self._add(PingNode(name=title.text, members=tuple(addresses), line=name.line), title, report)

    def _is_new(self, place: Word, address: str, report: Report) -> bool:
        """An address counts once: two ping nodes that are one answer together."""
        for node in self.nodes:
            if address in node.members:
                fact = f"ping node {address} is given twice, first in line {node.line}"
                report.error(place, f"{fact}; keep one")
                return False
        return True

    def _add(self, node: PingNode, place: Word, report: Report) -> None:
        if any(other.name == node.name for other in self.nodes):
            report.error(place, f"a second ping node named {node.name}; give each ping_group its own name")
        elif len(self.nodes) >= PING_LIMIT:
            report.error(place, f"more than {PING_LIMIT} ping nodes; join some into a ping_group, or drop them")
        else:
            self.nodes.append(node)


_EXAMPLE = {"ping": "192.0.2.1", "ping6": "2001:db8::1", "ping_group": "192.0.2.1"}


def _is_address(text: str) -> bool:
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _address(name: Word, value: Word, report: Report) -> str | None:
    """The address as it is used. Names are not looked up: a vote must not depend on a name server."""
    text, zone = value.text.partition("%")[0], value.text.partition("%")[2]
    found: IPv4Address | IPv6Address | None = None
    if _is_address(value.text):
        found = ip_address(text)
    remedy = f"write {name.text} {_EXAMPLE[name.text]}"
    fact = ""
    if found is None:
        fact, remedy = "is no address", "names are not looked up; write the IPv4 or IPv6 address"
    elif name.text == "ping6" and found.version == 4:
        fact, remedy = "is no IPv6 address", f"write ping {text}"
    elif found.is_multicast or found.is_unspecified or str(found) == "255.255.255.255":
        fact = "is not the address of one machine"
    elif found.is_loopback:
        fact, remedy = "is this machine itself and always answers", "write the address of a gateway"
    elif isinstance(found, IPv6Address) and found.is_link_local and not _ZONE.fullmatch(zone):
        fact, remedy = "is a link-local address without its interface", f"write {text}%eth0"
    elif zone and not (isinstance(found, IPv6Address) and found.is_link_local):
        fact, remedy = "has an interface, which only a link-local IPv6 address needs", f"write {text}"
    if fact:
        report.error(value, f"{name.text}: {shown(value.text)} {fact}; {remedy}")
        return None
    return f"{found}%{zone}" if zone else str(found)
