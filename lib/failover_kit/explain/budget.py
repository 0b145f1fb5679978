"""How long a failover may take and how long it took: the sums that follow from the files, phase by phase.

``worst_ms`` is a bound: an agent is killed at the end of its time, so a phase ends then, and the failover goes on
or does not happen. The disk has no bound of its own; it is told apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover_kit.explain.facts import Step
from failover_kit.explain.history import History, Measured
from failover_kit.explain.times import span
from failover_kit.manager.config import ClusterConfig, Group, Resource, ResourceKind
from failover_kit.manager.resources import SETTLE_MS

WAITS = ("silence", "delay")
"""Phases that last as long as they are configured to, whatever the machine."""

RECORD = "record"
"""A record on its way to the disk: milliseconds, or the disk is ill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One phase. ``worst_ms`` None: nothing in the files bounds it. A ``part`` is within the line above it."""

    phase: str
    worst_ms: int | None
    why: str
    measured: Measured | None = None
    part: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of failover or move, and the phases it consists of."""

    name: str
    title: str
    lines: tuple[Line, ...]

    @property
    def worst_ms(self) -> int | None:
        """The sum of all bounds, the disk's records left out; None when a phase has none."""
        bounds = [line.worst_ms for line in self.lines if not line.part and line.phase != RECORD]
        return None if None in bounds else sum(bound or 0 for bound in bounds)

    @property
    def usual_ms(self) -> int | None:
        """Waits as configured and medians of all else; None when one of these was never measured."""
        total = 0
        for line in self.lines:
            if line.phase in WAITS:
                total += line.worst_ms or 0
            elif line.measured is not None and not line.part:
                total += line.measured.median_ms
            elif not line.part and line.phase != RECORD:
                return None
        return total


def budget(config: ClusterConfig, node: str, history: History) -> list[Case]:
    """What can happen to the groups of this pair, seen from ``node``, whose journal ``history`` is."""
    peer = config.peer_of(node)
    if not config.groups:
        return []
    nothing = History(None)
    return [
        _power_cut(config, node, history),
        _power_cut(config, peer, nothing),
        _move(config, node, history),
        _failed_stop(config, node, history),
        _failed_monitor(config, node, history),
    ]


# --- cases ----------------------------------------------------------------------------------------------


def _power_cut(config: ClusterConfig, survivor: str, history: History) -> Case:
    victim = config.peer_of(survivor)
    title = f"{victim} loses its power while it runs everything, and {survivor} takes over"
    deadtime_ms = config.timing.deadtime_ms
    silence = Line(
        phase="silence", worst_ms=deadtime_ms, why="deadtime, from the last beat", measured=history.of(Step.SILENCE)
    )
    if not config.can_fence(victim):
        why = f"nothing can fence {victim}: no takeover before failoverctl confirm-dead {victim}, at any time"
        lines = (silence, Line(phase="fencing", worst_ms=None, why=why))
        return Case(name=f"power-cut-{victim}", title=title, lines=lines)
    home = config.groups[0].home == survivor
    turns = 1 if home else 2
    which = "is" if home else "is not"
    return Case(name=f"power-cut-{victim}", title=title, lines=(
        silence,
        Line(
            phase="delay",
            worst_ms=turns * config.fence_delay_ms,
            why=f"{'' if home else '2 x '}fence_delay: {survivor} {which} home of the first group (rule 10)",
            measured=history.of(Step.DELAY),
        ),
        *_cut_off(config, survivor),
        *_fencing(config, victim, history),
        *_starts(config, history),
    ))  # fmt: skip


def _cut_off(config: ClusterConfig, survivor: str) -> list[Line]:
    """What ping nodes cost when they fall with the victim."""
    if not config.pings:
        return []
    why = f"2 x fence_delay, only when no ping node answers {survivor} any more at that moment, either"
    return [Line(phase="ping nodes", worst_ms=2 * config.fence_delay_ms, why=why)]


def _move(config: ClusterConfig, node: str, history: History) -> Case:
    beat_ms = config.timing.keepalive_ms
    lines = (
        *_stops(config, history),
        _record("the grant is on the disk before it is sent", None),
        Line(phase="grant", worst_ms=beat_ms, why="one keepalive for a lost beat", measured=history.of(Step.GRANT)),
        *_starts(config, history, Step.START_THERE),
    )
    title = f"failoverctl standby on {node}: everything goes to {config.peer_of(node)}"
    return Case(name="move", title=title, lines=lines)


def _failed_stop(config: ClusterConfig, node: str, history: History) -> Case:
    peer = config.peer_of(node)
    lines = [*_stops(config, history)]
    beat_ms = config.timing.keepalive_ms
    lines.append(Line(phase="request", worst_ms=beat_ms, why="fence-me in the next beat (rule 17); no waiting"))
    title = f"a stop fails on {node}, and {peer} fences it on request"
    if config.can_fence(node):
        lines += [*_fencing(config, node, History(None)), *_starts(config, History(None))]
    else:
        why = f"nothing can fence {node}: it holds what it cannot stop"
        lines.append(Line(phase="fencing", worst_ms=None, why=why))
    return Case(name="failed-stop", title=title, lines=tuple(lines))


def _failed_monitor(config: ClusterConfig, node: str, history: History) -> Case:
    slowest = max((_notices_ms(config, r), r.name) for group in config.groups for r in group.resources)
    lines = (
        Line(phase="notice", worst_ms=slowest[0], why=f"monitor interval and timeout of {slowest[1]}"),
        *_stops(config, history),
        *_starts(config, history),
    )
    return Case(name="failed-monitor", title=f"a resource fails on {node}: restart in place", lines=lines)


# --- their phases ---------------------------------------------------------------------------------------


def _fencing(config: ClusterConfig, victim: str, history: History) -> tuple[Line, ...]:
    levels = config.devices_for(victim)
    limit = span(config.op_timeout_ms)
    many = f"{len(levels)} levels, each " if len(levels) > 1 else ""
    plugs = [f"{d.name} plug {plug}" for level in levels for d in level for plug in d.plugs_for(victim)]
    return (
        _record("the shot is on the disk before it is fired", history.of(Step.RECORD_SHOT)),
        Line(
            phase="fencing",
            worst_ms=len(levels) * config.op_timeout_ms,
            why=f"{many}op_timeout {limit}, off and read-back together: {', '.join(plugs)}",
            measured=history.together((Step.OFF, Step.READ_BACK)),
        ),
        *(
            Line(phase=step.value, worst_ms=None, why="of all plugs", measured=history.of(step), part=True)
            for step in (Step.OFF, Step.READ_BACK)
            if history.of(step) is not None
        ),
        _record("the right is on the disk before a start", history.of(Step.RECORD_RIGHT)),
    )


def _record(why: str, measured: Measured | None) -> Line:
    return Line(phase=RECORD, worst_ms=None, why=why, measured=measured)


def _starts(config: ClusterConfig, history: History, step: Step = Step.START) -> tuple[Line, ...]:
    """Groups start side by side: the longest counts, and its resources follow each other."""
    group = max(config.groups, key=lambda g: _start_ms(config, g))
    beside = f"; of {len(config.groups)} groups side by side the longest" if len(config.groups) > 1 else ""
    why = f"its resources, one after the other{beside}"
    measured = history.of(step, group.name)
    return (Line(phase=f"start {group.name}", worst_ms=_start_ms(config, group), why=why, measured=measured),)


def _stops(config: ClusterConfig, history: History) -> tuple[Line, ...]:
    group = max(config.groups, key=lambda g: _stop_ms(config, g))
    why = "its resources, one after the other, then all monitors at once"
    measured = history.of(Step.STOP, group.name)
    return (Line(phase=f"stop {group.name}", worst_ms=_stop_ms(config, group), why=why, measured=measured),)


def resources(config: ClusterConfig, history: History) -> list[Line]:
    """What starting and stopping each resource may take; the lines above are sums of these."""
    found = []
    for group in config.groups:
        for resource in group.resources:
            settle = f", {span(SETTLE_MS)} to settle" if resource.kind is ResourceKind.SCRIPT else ""
            monitor, start = _limit(config, resource, "monitor"), _limit(config, resource, "start")
            found.append(
                Line(
                    phase=f"start {resource.name}",
                    worst_ms=_start_one_ms(config, resource),
                    why=f"monitor {monitor}, start {start}, monitor again{settle}",
                    measured=history.of(Step.START, resource.name),
                )
            )
            found.append(
                Line(
                    phase=f"stop {resource.name}",
                    worst_ms=resource.timeout_ms("stop", config.op_timeout_ms),
                    why="its stop",
                    measured=history.of(Step.STOP, resource.name),
                )
            )
    return found


def _start_ms(config: ClusterConfig, group: Group) -> int:
    return sum(_start_one_ms(config, resource) for resource in group.resources)


def _start_one_ms(config: ClusterConfig, resource: Resource) -> int:
    """A monitor before, the start, and a monitor that must agree; scripts and units get a moment for that."""
    monitor_ms = resource.timeout_ms("monitor", config.op_timeout_ms)
    settle_ms = SETTLE_MS if resource.kind is ResourceKind.SCRIPT else 0
    return 2 * monitor_ms + resource.timeout_ms("start", config.op_timeout_ms) + settle_ms


def _stop_ms(config: ClusterConfig, group: Group) -> int:
    stops = sum(resource.timeout_ms("stop", config.op_timeout_ms) for resource in group.resources)
    return stops + max((r.timeout_ms("monitor", config.op_timeout_ms) for r in group.resources), default=0)


def _notices_ms(config: ClusterConfig, resource: Resource) -> int:
    interval_ms = resource.monitor_interval_ms
    if interval_ms is None:
        interval_ms = config.monitor_interval_ms
    return interval_ms + resource.timeout_ms("monitor", config.op_timeout_ms) if interval_ms else 0


def _limit(config: ClusterConfig, resource: Resource, action: str) -> str:
    return span(resource.timeout_ms(action, config.op_timeout_ms))
