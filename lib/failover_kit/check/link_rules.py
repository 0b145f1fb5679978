"""Findings about links and times."""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface, ip_interface

from failover_kit.check.findings import Finding, Severity, found
from failover_kit.check.subject import Subject
from failover_kit.check.tables import inittab_lines
from failover_kit.manager import wire
from failover_kit.manager.config import ConfigError, Link, SerialLink, Timing, UcastLink, serial_fits
from failover_kit.manager.configfiles import links_to_peer, resolve_links
from failover_kit.manager.configtext import as_time

BEATS_WANTED = 5
SHORT_DEADTIME_MS = 2_000
SHORT_INITDEAD_MS = 30_000
SLOW_TAKEOVER_MS = 60_000


def findings(subject: Subject) -> Iterator[Finding]:
    config = subject.loaded.config
    names = tuple(dict.fromkeys(link.name for link in config.links))
    if len({_card(name) for name in names}) == 1:
        one = "are one card, and" if len(names) > 1 else "is"
        fact = f"{' and '.join(names)} {one} the only way between {subject.node} and {subject.peer}"
        serial_first = names[0].startswith("tty")
        other = "a crossed cable of its own, and add to ha.cf: ucast eth1 ADDRESS"
        remedy = other if serial_first else "a null-modem cable, and add to ha.cf: serial /dev/ttyS0"
        yield found("one-medium", f"ha.cf:{config.links[0].line}", fact, remedy)
    serial = [link for link in config.links if isinstance(link, SerialLink)]
    for line in serial:
        yield from _serial(subject, line)
    yield from _udp(subject)
    yield from _times(subject, config.timing)


def _card(link: str) -> str:
    """eth1.5 and eth1:0 are eth1."""
    return link.partition(".")[0].partition(":")[0]


def _serial(subject: Subject, link: SerialLink) -> Iterator[Finding]:
    place, tree = f"ha.cf:{link.line}", subject.tree
    mode = tree.mode(link.device)
    if mode is None or not stat.S_ISCHR(mode):
        fact = f"{link.device} does not exist" if mode is None else f"{link.device} is no character device"
        yield found("serial-device", place, fact, "correct the name, or load the driver of the port")
    config = subject.loaded.config
    groups = [group.name for group in config.groups]
    frame_bytes = wire.max_frame_bytes(config.nodes, groups, pings=len(config.pings))
    refusal = serial_fits(frame_bytes, link.baud, config.timing.keepalive_ms)
    if refusal:
        fact, _, remedy = refusal.rpartition("; ")
        yield found("serial-too-slow", place, fact, remedy)
    login = subject.boot.getty(link.name)
    if login is not None:
        remedy = f"systemctl mask --now {login.name}"
        yield found("serial-shared", login.place, f"a login runs on {link.device}", remedy)
    for number in inittab_lines(tree.lines("/etc/inittab"), link.device):
        remedy = "put # before the line, then: telinit q"
        yield found("serial-shared", f"/etc/inittab:{number}", f"a login runs on {link.device}", remedy)
    for console in re.findall(r"\bconsole=(ttyS?[A-Z]*[0-9]+)\S*", tree.text("/proc/cmdline") or ""):
        if console == link.name:
            remedy = f"take console={console} out of the boot loader's command line"
            yield found("serial-shared", "/proc/cmdline", f"the kernel's console is on {link.device}", remedy)


def _udp(subject: Subject) -> Iterator[Finding]:
    networks = subject.probes.networks()
    media = [link for link in subject.loaded.config.links if not isinstance(link, SerialLink)]
    unicast = [link for link in media if isinstance(link, UcastLink)]
    for interface in dict.fromkeys(link.interface for link in media):
        line = next(link.line for link in media if link.interface == interface)
        if interface not in networks:
            there = ", ".join(sorted(networks)) or "none"
            fact = f"there is no interface {interface} here (there are: {there})"
            yield found("link-interface", f"ha.cf:{line}", fact, "plug the card in, or correct the name")
        elif not networks[interface] and any(_is_v4(link) for link in unicast if link.interface == interface):
            fact = f"interface {interface} has no IPv4 address here"
            yield found("link-interface", f"ha.cf:{line}", fact, f"give {interface} its address, now and at boot")
    for link in unicast:
        if link.peer_address is None:
            yield _derived(subject, link, networks)
    own = {str(ip_interface(text).ip) for texts in networks.values() for text in texts}
    if (
        unicast
        and all(link.peer_address in own for link in unicast)
        and len(unicast) == len(subject.loaded.config.links)
    ):
        fact = f"every ucast address is this node's own: no link leads to {subject.peer}"
        remedy = f"add a line: ucast {unicast[0].interface} and the address of {subject.peer} there"
        yield found("link-address", f"ha.cf:{unicast[0].line}", fact, remedy)


def _is_v4(link: UcastLink) -> bool:
    return link.peer_address is None or ":" not in link.peer_address


def _derived(subject: Subject, link: UcastLink, networks: dict[str, tuple[str, ...]]) -> Finding:
    """``ucast eth1``: what it is taken for, or that it can be taken for nothing."""
    place, peer = f"ha.cf:{link.line}", subject.peer
    interfaces, names = _as_interfaces(networks), {peer: _v4_of(subject)}
    alone = replace(subject.loaded.config, links=(link,))  # a line that says the same would hide it
    try:
        (resolved,) = resolve_links(alone, subject.node, interfaces, names).links
    except ConfigError as error:
        fact, _, remedy = error.problems[0].text.rpartition("; ")
        return found("ucast-no-address", place, fact, remedy, Severity.ERROR)
    taken = resolved.peer_address if isinstance(resolved, UcastLink) else ""
    fact = f"ucast {link.interface} has no address; here it is taken for {taken}"
    return found("ucast-no-address", place, fact, f"write: ucast {link.interface} {taken}")


def links_to_test(subject: Subject) -> tuple[Link, ...]:
    """The links as failoverd would open them; a ucast line without a known address is left out."""
    config, networks = subject.loaded.config, subject.probes.networks()
    interfaces = _as_interfaces(networks)
    with contextlib.suppress(ConfigError):
        config = resolve_links(config, subject.node, interfaces, {subject.peer: _v4_of(subject)})
    own = {str(interface.ip) for ranges in interfaces.values() for interface in ranges}
    links = links_to_peer(config, own)
    return tuple(link for link in links if not (isinstance(link, UcastLink) and link.peer_address is None))


def _as_interfaces(networks: dict[str, tuple[str, ...]]) -> dict[str, list[IPv4Interface]]:
    return {name: [IPv4Interface(text) for text in texts if ":" not in text] for name, texts in networks.items()}


def _v4_of(subject: Subject) -> list[str]:
    return [address for address in subject.probes.addresses_of(subject.peer) if ":" not in address]


def own_links(subject: Subject) -> tuple[UcastLink, ...]:
    """The IPv4 ucast lines that lead away from this node, with an address."""
    networks = subject.probes.networks()
    own = {str(ip_interface(text).ip) for texts in networks.values() for text in texts}
    links = links_to_peer(subject.loaded.config, own)
    return tuple(
        link for link in links if isinstance(link, UcastLink) and link.peer_address is not None and _is_v4(link)
    )


def _times(subject: Subject, timing: Timing) -> Iterator[Finding]:
    deadtime_ms, keepalive_ms = timing.deadtime_ms, timing.keepalive_ms
    place = directive_place(subject, "deadtime")
    if deadtime_ms < BEATS_WANTED * keepalive_ms:
        times = f"{deadtime_ms / keepalive_ms:g} times keepalive {as_time(keepalive_ms)}"
        fact = f"deadtime {as_time(deadtime_ms)} is {times}"
        remedy = f"write: deadtime {as_time(BEATS_WANTED * keepalive_ms)}, or a shorter keepalive"
        yield found("deadtime-few-beats", place, fact, remedy)
    if deadtime_ms < SHORT_DEADTIME_MS:
        remedy = "go down from 10 s with the warnings of warntime; write: deadtime 10s"
        yield found("deadtime-short", place, f"deadtime is {as_time(deadtime_ms)}", remedy)
    if timing.warntime_ms > deadtime_ms * 3 // 4:
        fact = f"warntime {as_time(timing.warntime_ms)} is close to deadtime {as_time(deadtime_ms)}"
        remedy = f"write: warntime {as_time(deadtime_ms // 2)}"
        yield found("warntime-late", directive_place(subject, "warntime"), fact, remedy)
    if timing.initdead_ms < SHORT_INITDEAD_MS:
        fact = f"initdead is {as_time(timing.initdead_ms)}"
        yield found("initdead-short", directive_place(subject, "initdead"), fact, "write: initdead 60s")
    begins_ms = deadtime_ms + 2 * subject.loaded.config.fence_delay_ms
    if begins_ms > SLOW_TAKEOVER_MS:
        parts = f"deadtime {as_time(deadtime_ms)} + 2 x fence_delay {as_time(subject.loaded.config.fence_delay_ms)}"
        fact = f"a takeover may begin only {as_time(begins_ms)} after the last sign of life ({parts})"
        yield found(
            "takeover-slow", place, fact, "shorten deadtime, once you know the longest pause of your machines"
        )


def directive_place(subject: Subject, directive: str) -> str:
    """Where a directive stands in ha.cf; the file as a whole when it is left to its default."""
    for number, line in subject.tree.lines(subject.file("ha.cf")):
        if re.match(re.escape(directive) + r"[\s,]", line):
            return f"ha.cf:{number}"
    return "ha.cf"
