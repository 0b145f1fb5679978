"""``ha.cf``: nodes, links, times and fence devices. Pure; every problem of the file is reported at once.

The directives are Heartbeat's, read as Heartbeat 3.0.6 read them (``#`` begins a comment anywhere, commas
separate values as blanks do, baud and udpport come before the links), with our own extensions for
fencing. What Heartbeat knew and has no meaning here is accepted with one note; what it did not know is an
error.
Links are read in ``hacf_links``, ping nodes in ``hacf_pings``, fence devices in ``hacf_fencing``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from failover_kit.manager.config import (
    BAUD_RATES,
    FAILBACK_DELAY_MS,
    MONITOR_FAILURES,
    ClusterConfig,
    FenceAction,
    FenceDevice,
    FenceLevel,
    Parsed,
    Timing,
)
from failover_kit.manager.configtext import (
    Report,
    Word,
    as_time,
    nearest,
    shown,
    split_words,
    text_lines,
    time_ms,
)
from failover_kit.manager.hacf_fencing import FenceLines
from failover_kit.manager.hacf_links import LinkLines, whole_number
from failover_kit.manager.hacf_pings import PingLines

DEFAULT_KEEPALIVE_MS = 1_000
DEFAULT_DEADTIME_MS = 30_000
DEFAULT_OP_TIMEOUT_MS = 60_000
DEFAULT_MONITOR_INTERVAL_MS = 10_000
DEFAULT_PROVE_TIMEOUT_MS = 600_000
MOST_FAILURES = 100
LONGEST_PROVE_TIMEOUT_MS = 1_800_000  # failoverctl waits for an outcome for an hour at most

# PROTOCOL rule 10: D is larger than the slowest issue-to-OFF time + deadtime + one beat interval.
# The fastest switch needs a login and a read back; the default allows for one more session before ours.
FENCE_LEAST_MS = 2_000
FENCE_USUAL_MS = 5_000
FENCE_PLUG_MS = 2_000  # each further plug of a node is another off and another status (two supplies)

NODE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62})")
_TRUE = ("true", "on", "yes", "y", "1")
_FALSE = ("false", "off", "no", "n", "0")

_LOGS = "messages go to the journal and to syslog"
_SCHEDULING = "failoverd locks its memory and is scheduled by its systemd unit"
_WIRE = "beats are frames of failover-kit's own"
_HEARTBEAT_2 = "it belongs to Heartbeat's own internals"
WITHOUT_MEANING = {
    "apiauth": "the control socket belongs to root",
    "compression": _WIRE,
    "compression_threshold": _WIRE,
    "conn_logd_time": _LOGS,
    "coredumps": "core dumps are set in the systemd unit",
    "coreroot": "core dumps are set in the systemd unit",
    "crm_daemon_dir": _HEARTBEAT_2,
    "crmd_spawns_pengine": _HEARTBEAT_2,
    "cluster": _HEARTBEAT_2,
    "debug": _LOGS,
    "debugfile": _LOGS,
    "enable_config_writes": _HEARTBEAT_2,
    "env": _HEARTBEAT_2,
    "failfast": "programs beside the cluster are started by systemd",
    "hbaping": "ping nodes are asked over IP; write ping and an address",
    "hbgenmethod": "each life of failoverd has a random nonce instead of a generation",
    "hopfudge": "beats are not forwarded",
    "log_badpack": _LOGS,
    "logfacility": _LOGS,
    "logfile": _LOGS,
    "max_rexmit_delay": _WIRE,
    "memreserve": _SCHEDULING,
    "msgfmt": _WIRE,
    "normalpoll": _HEARTBEAT_2,
    "quorum_server": _HEARTBEAT_2,
    "realtime": _SCHEDULING,
    "record_config_changes": _HEARTBEAT_2,
    "record_pengine_inputs": _HEARTBEAT_2,
    "respawn": "programs beside the cluster are started by systemd",
    "rtprio": _SCHEDULING,
    "syslogmsgfmt": _LOGS,
    "traditional_compression": _WIRE,
    "use_apphbd": _HEARTBEAT_2,
    "use_logd": _LOGS,
    "uuidfrom": _HEARTBEAT_2,
}
"""Directives of Heartbeat that change nothing here, and what is so instead."""

_TIMES = (
    "keepalive",
    "warntime",
    "deadtime",
    "initdead",
    "fence_delay",
    "op_timeout",
    "monitor_interval",
    "fence_prove_timeout",
    "auto_failback_delay",
    "deadping",
)


@dataclass(slots=True)
class _Lines:
    """What the lines said, before the values are held against each other."""

    report: Report
    nodes: list[Word] = field(default_factory=list)
    link: LinkLines = field(default_factory=LinkLines)
    times: dict[str, tuple[int, Word]] = field(default_factory=dict)
    once: dict[str, Word] = field(default_factory=dict)  # directives that may stand once, and where they did
    noted: set[str] = field(default_factory=set)
    auto_failback: bool = False
    monitor_failures: int = MONITOR_FAILURES
    boot_alone: bool = False
    agent_server: bool = True
    fence_action: FenceAction = FenceAction.REBOOT
    watchdog: str | None = None
    fence: FenceLines = field(default_factory=FenceLines)
    ping: PingLines = field(default_factory=PingLines)
    ping_failover: bool = False


def parse(text: str, file: str = "ha.cf") -> Parsed[ClusterConfig]:
    """The configuration of an ha.cf, without groups and digest, or everything that is wrong with it."""
    report = Report(file)
    lines = _Lines(report)
    for number, line in enumerate(text_lines(text, report), 1):
        found = re.match(r"[ \t]*([^ \t,#]+)", line)
        if found is None:
            if line.strip(" \t") and not line.lstrip(" \t").startswith("#"):
                place = Word("", number, 1)
                report.error(place, "no directive; begin the line with one, or with # for a comment")
            continue
        _directive(Word(found[1], number, found.start(1) + 1), line, found.end(), lines)
    config = _config(lines)
    if report.problems or config is None:
        return Parsed(None, report.sorted_problems(), report.sorted_notes())
    return Parsed(config, (), report.sorted_notes())


def nodes_of(text: str, file: str = "ha.cf") -> tuple[str, ...] | None:
    """The two nodes, when at least that much of a broken ha.cf is sound; to check haresources by."""
    report = Report(file)
    lines = _Lines(report)
    for number, line in enumerate(text_lines(text, Report(file)), 1):
        words = split_words(line.partition("#")[0], number, commas=True)
        if words and words[0].text == "node":
            _node(words[0], words[1:], lines)
    names = tuple(dict.fromkeys(word.text.lower() for word in lines.nodes))
    return names if len(names) == 2 and not report.problems else None


def _directive(name: Word, line: str, end: int, lines: _Lines) -> None:
    """One line: find the handler of its directive."""
    if name.text in _WHOLE_LINE:
        _WHOLE_LINE[name.text](name, line, end, lines)
        return
    values = split_words(line.partition("#")[0], name.line, commas=True, start=end)
    if name.text == "respawn" and any(value.text.rpartition("/")[2] == "ipfail" for value in values):
        remedy = "write ping_failover on, and moves follow ping nodes"
        lines.report.note(name, f"respawn of ipfail has no meaning here: {remedy}")
        return
    if name.text in WITHOUT_MEANING:
        if name.text not in lines.noted:
            lines.noted.add(name.text)
            lines.report.note(name, f"{name.text} has no meaning here: {WITHOUT_MEANING[name.text]}")
        return
    if name.text in _SINGLE:
        _single(name, values, lines)
        return
    handler = _SEVERAL.get(name.text)
    if handler is not None:
        handler(name, values, lines)
        return
    known = {*WITHOUT_MEANING, *_SINGLE, *_SEVERAL, *_WHOLE_LINE}
    close = nearest(name.text, sorted(known))
    remedy = f"did you mean {close}?" if close else "remove the line or put # before it"
    lines.report.error(name, f"unknown directive {shown(name.text)}; {remedy}")


def _single(name: Word, values: list[Word], lines: _Lines) -> None:
    """A directive that stands once and has one value."""
    report = lines.report
    first = lines.once.setdefault(name.text, name)
    if first is not name:
        report.error(name, f"{name.text} is given twice, first in line {first.line}; keep one")
        return
    if not values:
        report.error(name, f"{name.text} has no value; write {name.text} {_SINGLE[name.text][1]}")
        return
    if len(values) > 1:
        report.error(values[1], f"{name.text} has one value; remove what follows it")
        return
    try:
        _SINGLE[name.text][0](name, values[0], lines)
    except ValueError as error:
        report.error(values[0], f"{name.text}: {error}")


def boolean(text: str) -> bool:
    """Heartbeat's spellings of yes and no, in any case. ValueError with fact and remedy otherwise."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{shown(text)} is neither yes nor no; write yes or no")


def _time(name: Word, value: Word, lines: _Lines) -> None:
    spelled_ms = time_ms(value.text)
    if spelled_ms == 0:
        raise ValueError(f"{shown(value.text)} is no time to wait; write more than 0")
    lines.times[name.text] = (spelled_ms, value)


def _baud(name: Word, value: Word, lines: _Lines) -> None:
    rate = whole_number(value.text, BAUD_RATES[-1])
    if rate not in BAUD_RATES:
        raise ValueError(f"{shown(value.text)} is no baud rate; use one of {', '.join(map(str, BAUD_RATES))}")
    lines.link.set_baud(name, rate, lines.report)


def _udpport(name: Word, value: Word, lines: _Lines) -> None:
    port = whole_number(value.text, 65535)
    if port is None:
        raise ValueError(f"{shown(value.text)} is no UDP port; write 1 to 65535, or nothing for 694")
    lines.link.set_udpport(name, port, lines.report)


def _auto_failback(_name: Word, value: Word, lines: _Lines) -> None:
    if value.text.lower() == "legacy":
        raise ValueError(
            "legacy is refused, a returning node would take its resources without asking; write off or on"
        )
    lines.auto_failback = boolean(value.text)


def _monitor_failures(_name: Word, value: Word, lines: _Lines) -> None:
    number = whole_number(value.text, MOST_FAILURES)
    if number is None:
        raise ValueError(f"{shown(value.text)} is no number of failures; write 2: one restart, then a hand-over")
    lines.monitor_failures = number


def _nice_failback(name: Word, value: Word, lines: _Lines) -> None:
    """The older name: on meant what ``auto_failback off`` means, off was legacy."""
    if not boolean(value.text):
        raise ValueError("off is auto_failback legacy, which is refused; write auto_failback off or on")
    lines.report.note(name, "nice_failback on is the old name of auto_failback off, and read as that")


def _fence_action(_name: Word, value: Word, lines: _Lines) -> None:
    try:
        lines.fence_action = FenceAction(value.text.lower())
    except ValueError:
        raise ValueError(f"{shown(value.text)} is neither; write reboot or off") from None


def _boot_alone(_name: Word, value: Word, lines: _Lines) -> None:
    lines.boot_alone = boolean(value.text)


def _agent_server(_name: Word, value: Word, lines: _Lines) -> None:
    lines.agent_server = boolean(value.text)


def _ping_failover(_name: Word, value: Word, lines: _Lines) -> None:
    lines.ping_failover = boolean(value.text)


def _watchdog(_name: Word, value: Word, lines: _Lines) -> None:
    if not value.text.startswith("/"):
        raise ValueError(f"{shown(value.text)} is no absolute path; write /dev/watchdog")
    lines.watchdog = value.text


def _autojoin(name: Word, value: Word, lines: _Lines) -> None:
    if value.text.lower() != "none":
        raise ValueError(f"{shown(value.text)} is refused, the two nodes of ha.cf are all; write none")
    lines.report.note(name, "autojoin none has no meaning here: it is always so")


def _crm(name: Word, value: Word, lines: _Lines) -> None:
    if value.text.lower() not in _FALSE:
        raise ValueError("another resource manager is asked for; remove the line, haresources is read here")
    lines.report.note(name, f"{name.text} off has no meaning here: it is always so")


_SINGLE: dict[str, tuple[Callable[[Word, Word, _Lines], None], str]] = {
    **dict.fromkeys(_TIMES, (_time, "10s")),
    "baud": (_baud, "9600"),
    "udpport": (_udpport, "694"),
    "auto_failback": (_auto_failback, "off"),
    "nice_failback": (_nice_failback, "on"),
    "fence_action": (_fence_action, "reboot"),
    "boot_alone": (_boot_alone, "no"),
    "agent_server": (_agent_server, "yes"),
    "monitor_failures": (_monitor_failures, "2"),
    "ping_failover": (_ping_failover, "on"),
    "watchdog": (_watchdog, "/dev/watchdog"),
    "autojoin": (_autojoin, "none"),
    "crm": (_crm, "off"),
    "pacemaker": (_crm, "off"),
}
"""Handler and an example value of each directive that has exactly one."""


def _node(name: Word, values: list[Word], lines: _Lines) -> None:
    if not values:
        lines.report.error(name, "node has no name; write node and what uname -n prints")
    for value in values:
        if not NODE_NAME.fullmatch(value.text):
            remedy = "write what uname -n prints: letters, digits, dots and dashes"
            lines.report.error(value, f"{shown(value.text)} is no node name; {remedy}")
        elif value.text.lower() in (node.text.lower() for node in lines.nodes):
            lines.report.error(value, f"node {value.text.lower()} is given twice; name each node once")
        else:
            lines.nodes.append(value)


def _serial(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.link.serial(name, values, lines.report)


def _ucast(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.link.ucast(name, values, lines.report)


def _bcast(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.link.bcast(name, values, lines.report)


def _mcast(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.link.mcast(name, values, lines.report)


def _ping(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.ping.ping(name, values, lines.report)


def _ping_group(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.ping.group(name, values, lines.report)


def _stonith(name: Word, _values: list[Word], lines: _Lines) -> None:
    instead = "fence_device NAME AGENT name=value with the values of that file"
    lines.report.error(name, f"stonith TYPE FILE is not supported; write {instead}")


def _fence_level(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.fence.level(name, values, lines.report)


def _fence_trust(name: Word, values: list[Word], lines: _Lines) -> None:
    lines.fence.trust(name, values, lines.report)


def _fence_device(name: Word, line: str, end: int, lines: _Lines) -> None:
    lines.fence.device(name, line, end, lines.report)


def _stonith_host(name: Word, line: str, end: int, lines: _Lines) -> None:
    lines.fence.stonith_host(name, line, end, lines.report)


_SEVERAL: dict[str, Callable[[Word, list[Word], _Lines], None]] = {
    "node": _node,
    "serial": _serial,
    "ucast": _ucast,
    "ucast6": _ucast,
    "bcast": _bcast,
    "udp": _bcast,
    "mcast": _mcast,
    "mcast6": _mcast,
    "ping": _ping,
    "ping6": _ping,
    "ping_group": _ping_group,
    "stonith": _stonith,
    "fence_level": _fence_level,
    "fence_trust": _fence_trust,
}

_WHOLE_LINE: dict[str, Callable[[Word, str, int, _Lines], None]] = {
    "fence_device": _fence_device,
    "stonith_host": _stonith_host,
}


def _config(lines: _Lines) -> ClusterConfig | None:
    """Hold the values against each other; None when a part is missing (reported)."""
    report = lines.report
    nodes = _two_nodes(lines)
    if not lines.link.named:
        report.error(None, "no link to the peer; write serial /dev/ttyS0, or ucast eth1 ADDRESS")
    timing = _timing(lines)
    devices, levels = lines.fence.finish(nodes, report)
    fence_delay_ms = _fence_delay_ms(lines, timing, _most_plugs(devices, levels))
    if nodes is None:
        return None
    return ClusterConfig(
        nodes=nodes,
        links=tuple(lines.link.links),
        timing=timing,
        auto_failback=lines.auto_failback,
        failback_delay_ms=_given(lines, "auto_failback_delay", FAILBACK_DELAY_MS),
        monitor_failures=lines.monitor_failures,
        fence_devices=devices,
        fence_levels=levels,
        fence_delay_ms=fence_delay_ms,
        fence_action=lines.fence_action,
        boot_alone=lines.boot_alone,
        agent_server=lines.agent_server,
        op_timeout_ms=_given(lines, "op_timeout", DEFAULT_OP_TIMEOUT_MS),
        monitor_interval_ms=_given(lines, "monitor_interval", DEFAULT_MONITOR_INTERVAL_MS),
        prove_timeout_ms=_prove_timeout_ms(lines),
        udpport=lines.link.udpport,
        watchdog_device=lines.watchdog,
        pings=tuple(lines.ping.nodes),
        deadping_ms=_deadping_ms(lines, timing),
        ping_failover=lines.ping_failover,
    )


def _given(lines: _Lines, name: str, default_ms: int) -> int:
    return lines.times[name][0] if name in lines.times else default_ms


def _prove_timeout_ms(lines: _Lines) -> int:
    timeout_ms = _given(lines, "fence_prove_timeout", DEFAULT_PROVE_TIMEOUT_MS)
    if timeout_ms > LONGEST_PROVE_TIMEOUT_MS:
        fact = f"fence_prove_timeout {as_time(timeout_ms)} is longer than anybody waits"
        place = lines.times["fence_prove_timeout"][1]
        lines.report.error(place, f"{fact}; use {as_time(LONGEST_PROVE_TIMEOUT_MS)} or less")
    return timeout_ms


def _deadping_ms(lines: _Lines, timing: Timing) -> int:
    """Heartbeat's default is deadtime, and it refused what is not more than two keepalives (ha.cf(5))."""
    deadping_ms, report = _given(lines, "deadping", timing.deadtime_ms), lines.report
    if lines.ping_failover and lines.ping.named is None:
        remedy = "write ping 192.0.2.1 with the address of a gateway"
        report.error(lines.once["ping_failover"], f"ping_failover on without a ping node; {remedy}")
    if "deadping" not in lines.times:
        return deadping_ms
    place = lines.times["deadping"][1]
    if deadping_ms <= 2 * timing.keepalive_ms:
        twice, usual = as_time(2 * timing.keepalive_ms), as_time(max(timing.deadtime_ms, 5 * timing.keepalive_ms))
        fact = f"deadping {as_time(deadping_ms)} must be more than twice keepalive ({twice})"
        report.error(place, f"{fact}; use {usual} or remove the line")
    elif lines.ping.named is None:
        report.note(place, "deadping has no meaning without a ping node")
    return deadping_ms


def _two_nodes(lines: _Lines) -> tuple[str, str] | None:
    names = [word.text.lower() for word in lines.nodes]
    if len(names) == 2:
        return names[0], names[1]
    if len(names) > 2:
        count = f"{len(names)} nodes ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
        lines.report.error(lines.nodes[2], f"{count}; a pair has exactly two, remove the others")
    else:
        place = lines.nodes[0] if lines.nodes else None
        named = f"only one node ({names[0]})" if names else "no nodes"
        lines.report.error(place, f"{named}; write node and the name of each of the two machines")
    return None


def _timing(lines: _Lines) -> Timing:
    """The four times, with Heartbeat's defaults, each checked against deadtime."""
    report = lines.report
    keepalive_ms = _given(lines, "keepalive", DEFAULT_KEEPALIVE_MS)
    deadtime_ms = _given(lines, "deadtime", DEFAULT_DEADTIME_MS)
    warntime_ms = _given(lines, "warntime", deadtime_ms // 2)
    initdead_ms = _given(lines, "initdead", _usual_initdead_ms(deadtime_ms))
    if deadtime_ms <= 2 * keepalive_ms:
        place = lines.times.get("deadtime") or lines.times.get("keepalive")
        twice = as_time(2 * keepalive_ms)
        remedy = f"use at least {as_time(5 * keepalive_ms)}"
        fact = f"deadtime {as_time(deadtime_ms)} must be more than twice keepalive ({twice})"
        report.error(place[1] if place else None, f"{fact}; {remedy}")
    if warntime_ms >= deadtime_ms and "warntime" in lines.times:
        fact = f"warntime {as_time(warntime_ms)} must be less than deadtime ({as_time(deadtime_ms)})"
        report.error(lines.times["warntime"][1], f"{fact}; use {as_time(max(1, deadtime_ms // 2))}")
    if initdead_ms < deadtime_ms:
        fact = f"initdead {as_time(initdead_ms)} must not be less than deadtime ({as_time(deadtime_ms)})"
        report.error(lines.times["initdead"][1], f"{fact}; use {as_time(_usual_initdead_ms(deadtime_ms))}")
    return Timing(
        keepalive_ms=keepalive_ms,
        warntime_ms=warntime_ms,
        deadtime_ms=deadtime_ms,
        initdead_ms=initdead_ms,
    )


def _usual_initdead_ms(deadtime_ms: int) -> int:
    """Heartbeat's default: a boot's network needs longer to come up than a running one to answer."""
    if deadtime_ms > 10_000:
        return deadtime_ms
    return 12_000 if deadtime_ms < 6_000 else 2 * deadtime_ms


def _most_plugs(devices: tuple[FenceDevice, ...], levels: tuple[FenceLevel, ...]) -> int:
    """How many plugs the longest shot has to switch and read, one after the other."""
    by_name = {device.name: device for device in devices}
    counts = (sum(len(by_name[name].plugs_for(level.node)) for name in level.devices) for level in levels)
    return max(counts, default=1)


def _fence_delay_ms(lines: _Lines, timing: Timing, plugs: int) -> int:
    """D of PROTOCOL rule 10: how long the side without the service waits before it shoots."""
    more_ms = FENCE_PLUG_MS * (plugs - 1)
    silence_ms = timing.deadtime_ms + timing.keepalive_ms
    if "fence_delay" not in lines.times:
        return silence_ms + FENCE_USUAL_MS + more_ms
    delay_ms, place = lines.times["fence_delay"]
    least_ms = silence_ms + FENCE_LEAST_MS + more_ms
    if delay_ms <= least_ms:
        parts = (timing.deadtime_ms, timing.keepalive_ms, FENCE_LEAST_MS + more_ms)
        total = " + ".join(as_time(part) for part in parts)
        fact = f"fence_delay {as_time(delay_ms)} must be more than deadtime + keepalive + the time of a shot"
        usual = as_time(silence_ms + FENCE_USUAL_MS + more_ms)
        lines.report.error(place, f"{fact} ({total} = {as_time(least_ms)}); use {usual} or remove the line")
    return delay_ms
