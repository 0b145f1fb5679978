"""The links of ``ha.cf``: ``serial``, ``ucast``, ``bcast``, ``mcast``, and ``ucast6`` and ``mcast6``. Pure.

Written as for Heartbeat 3.0.6 (its ha.cf(5)); what may be left out here and not there is the end of an mcast line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from failover_kit.manager.config import (
    LINK_LIMIT,
    BcastLink,
    Link,
    McastLink,
    NetworkLink,
    SerialLink,
    UcastLink,
)
from failover_kit.manager.configtext import Report, Word, shown

DEFAULT_BAUD = 19_200
DEFAULT_UDPPORT = 694

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")  # 15 bytes: IFNAMSIZ of linux/if.h, less NUL
_MCAST_FORM = {"mcast": "mcast eth1 239.0.0.43 694 1 0", "mcast6": "mcast6 eth1 ff12::43 694 1 0"}
_GROUP = {"mcast": "239.0.0.43", "mcast6": "ff12::43"}  # private use (RFC 2365); transient, this link (RFC 4291)


def whole_number(text: str, largest: int, least: int = 1) -> int | None:
    """The number written in ``text`` when it lies between ``least`` and ``largest``, else None."""
    if text.isascii() and text.isdigit() and len(text) <= 9 and least <= int(text) <= largest:
        return int(text)
    return None


@dataclass(slots=True)
class LinkLines:
    """The links so far, and what the lines after them may not change any more."""

    links: list[Link] = field(default_factory=list)
    named: bool = False  # a line with a link was there, right or wrong
    baud: int = DEFAULT_BAUD
    udpport: int = DEFAULT_UDPPORT
    took_port: NetworkLink | None = None  # the first that got ``udpport``

    def set_baud(self, name: Word, rate: int, report: Report) -> None:
        """``baud`` counts for the serial lines after it."""
        serial = next((link for link in self.links if isinstance(link, SerialLink)), None)
        if serial is not None:
            where = f"line {serial.line}"
            report.error(name, f"baud after serial ({where}) has no effect on it; put it before serial")
        self.baud = rate

    def set_udpport(self, name: Word, port: int, report: Report) -> None:
        """``udpport`` counts for the network links after it that have no port of their own."""
        if self.took_port is not None:
            word, where = self.took_port.directive, f"line {self.took_port.line}"
            report.error(name, f"udpport after {word} ({where}) has no effect on it; put it before {word}")
        self.udpport = port

    def serial(self, name: Word, values: list[Word], report: Report) -> None:
        """``serial DEVICE...``"""
        self.named = True
        if not values:
            report.error(name, "serial has no device; write serial /dev/ttyS0")
        for value in values:
            if not value.text.startswith("/"):
                report.error(value, f"{shown(value.text)} is no absolute path; write serial /dev/ttyS0")
            elif any(isinstance(link, SerialLink) and link.device == value.text for link in self.links):
                report.error(value, f"serial {shown(value.text)} is given twice; name each line once")
            else:
                self._add(SerialLink(device=value.text, baud=self.baud, line=name.line), value, report)

    def ucast(self, name: Word, values: list[Word], report: Report) -> None:
        """``ucast INTERFACE [ADDRESS]``, ``ucast6 INTERFACE ADDRESS``"""
        self.named = True
        form = f"write {name.text} eth1 ADDRESS"
        if not values:
            report.error(name, f"{name.text} has no interface; {form}, the peer's address on it")
            return
        interface = values[0]
        if not _is_interface(interface, form, report):
            return
        if len(values) > 2:
            report.error(values[2], f"{name.text} has one interface and one address; write a line for each address")
            return
        address = None
        if len(values) == 2:
            address = _address(name, interface.text, values[1], report)
            if address is None:
                return
        elif name.text == "ucast6":
            remedy = f"write ucast6 {interface.text} ADDRESS, the peer's on it, such as its fe80:: address"
            report.error(name, f"ucast6 {interface.text} has no address; {remedy}")
            return
        link = UcastLink(
            interface=interface.text,
            peer_address=address,
            port=self.udpport,
            ipv6=name.text == "ucast6",
            line=name.line,
        )
        self.took_port = self.took_port or link
        if link in self.links:
            report.error(name, f"{name.text} {link.interface} {address or ''} is given twice; keep one")
            return
        self._add(link, interface, report)

    def bcast(self, name: Word, values: list[Word], report: Report) -> None:
        """``bcast INTERFACE...``; ``udp`` is its old name."""
        self.named = True
        if not values:
            report.error(name, f"{name.text} has no interface; write bcast eth1")
        for interface in values:
            if _is_interface(interface, "write bcast eth1", report):
                link = BcastLink(interface=interface.text, port=self.udpport, line=name.line)
                self.took_port = self.took_port or link
                self._add(link, interface, report)

    def mcast(self, name: Word, values: list[Word], report: Report) -> None:
        """``mcast INTERFACE GROUP [PORT [TTL [LOOP]]]``, ``mcast6`` likewise."""
        self.named = True
        form = f"write {_MCAST_FORM[name.text]}"
        if len(values) < 2:
            missing = "interface" if not values else "group"
            report.error(name, f"{name.text} has no {missing}; {form}")
            return
        if len(values) > 5:
            report.error(values[5], f"{name.text} is interface, group, port, ttl and loop; {form}")
            return
        interface, group, *rest = values
        if not _is_interface(interface, form, report):
            return
        address = _group(name, interface.text, group, report)
        if address is None:
            return
        numbers = _mcast_numbers(name, interface.text, rest, report)
        if numbers is None:
            return
        port, ttl = numbers
        link = McastLink(
            interface=interface.text,
            group=address,
            port=port or self.udpport,
            ttl=ttl,
            ipv6=name.text == "mcast6",
            line=name.line,
        )
        if port is None:
            self.took_port = self.took_port or link
        self._add(link, interface, report)

    def _add(self, link: Link, place: Word, report: Report) -> None:
        """Status and warnings name a link by its name, and a port of an interface belongs to one of them."""
        problem = next((text for other in self.links if (text := _clash(link, other))), "")
        names = {other.name for other in self.links}
        if not problem and link.name not in names and len(names) >= LINK_LIMIT:
            problem = f"more than {LINK_LIMIT} links, of which a beat cannot tell; take out those on a shared cable"
        if problem:
            report.error(place, problem)
        else:
            self.links.append(link)


def _clash(link: Link, other: Link) -> str:
    """Why both cannot stand in one file, with the remedy; "" when they can."""
    if isinstance(link, SerialLink) or isinstance(other, SerialLink):
        if link.name != other.name:
            return ""
        fact = f"a second link named {shown(link.name)}, first in line {other.line}"
        return f"{fact}; use another path to the device, such as a symbolic link"
    if isinstance(link, UcastLink) and isinstance(other, UcastLink):
        return ""  # two addresses of one link, or an address of either node
    head = f"{link.directive} {link.interface}"
    if link.name == other.name:
        return f"{head} is given twice, first in line {other.line}; keep one, the cable is the same"
    if (link.interface, link.port, link.ipv6) == (other.interface, other.port, other.ipv6):
        fact = f"{other.directive} in line {other.line} has port {link.port} of {link.interface} already"
        return f"{head}: {fact}; keep one of the two, they fail together"
    return ""


def _is_interface(value: Word, form: str, report: Report) -> bool:
    if _INTERFACE.fullmatch(value.text):
        return True
    report.error(value, f"{shown(value.text)} is no network interface; {form}")
    return False


def _address(name: Word, interface: str, value: Word, report: Report) -> str | None:
    """The peer's address. Names are not looked up: a heartbeat must not depend on a name server."""
    text, kind = value.text, "IPv6" if name.text == "ucast6" else "IPv4"
    try:
        if kind == "IPv4":
            return str(IPv4Address(text))
        address, zone, of = text.partition("%")
        if not zone or of == interface:  # fe80::1%eth1: the interface is the zone in any case
            found = IPv6Address(address)
            if not found.is_multicast and not found.is_unspecified:
                return str(found)
    except ValueError:
        pass
    other = "ucast" if kind == "IPv6" else "ucast6"
    hint = f" ({other} takes those)" if _is_of_other_family(text, kind) else ""
    report.error(value, f"{shown(text)} is no {kind} address{hint}; write {name.text} {interface} ADDRESS")
    return None


def _is_of_other_family(text: str, kind: str) -> bool:
    try:
        (IPv4Address if kind == "IPv6" else IPv6Address)(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _group(name: Word, interface: str, value: Word, report: Report) -> str | None:
    head, remedy = f"{name.text} {interface}: {shown(value.text)}", f"use {_GROUP[name.text]}"
    try:
        found = IPv6Address(value.text) if name.text == "mcast6" else IPv4Address(value.text)
    except ValueError:
        found = None
    if found is None or not found.is_multicast or "%" in value.text:
        report.error(value, f"{head} is no {'IPv6 ' if name.text == 'mcast6' else ''}multicast group; {remedy}")
        return None
    if isinstance(found, IPv6Address) and found.packed[1] & 0x0F in (0, 1):
        report.error(value, f"{head} stays on the node that sends it (RFC 4291 section 2.7); {remedy}")
        return None
    return str(found)


def _mcast_numbers(name: Word, interface: str, rest: list[Word], report: Report) -> tuple[int | None, int] | None:
    """Port (None: udpport's) and ttl; loop is only looked at."""
    head = f"{name.text} {interface}:"
    port, ttl = None, 1
    if rest:
        port = whole_number(rest[0].text, 65535)
        if port is None:
            report.error(rest[0], f"{head} {shown(rest[0].text)} is no UDP port; write 1 to 65535, such as 694")
            return None
    if len(rest) > 1:
        given = whole_number(rest[1].text, 255)
        if given is None:
            report.error(rest[1], f"{head} ttl {shown(rest[1].text)} reaches nobody; write 1, or at most 255")
            return None
        ttl = given
    if len(rest) > 2:
        if rest[2].text not in ("0", "1"):
            report.error(rest[2], f"{head} loop {shown(rest[2].text)} is neither 0 nor 1; write 0")
            return None
        if rest[2].text == "1":
            report.note(rest[2], f"{head} loop 1 has no meaning here: a node does not listen to its own beats")
    return port, ttl
