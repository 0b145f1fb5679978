"""The events that are measured, and their parts. Every time is in milliseconds from the order or the power cut."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from drivers import Driver
from pair import Pair, longest_gap

from failover_kit.rehearsal.plan import GROUP
from failover_kit.spec.deadline import boottime_ms
from failover_kit.spec.process import CLEAN_ENV

LIMIT_S = 60
CALM_S = 1.5
STABLE_ANSWERS = 30
IDLE_S = 30
_CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h: nanoseconds that the scheduler counted
DISK, ADDRESS = GROUP.disk, GROUP.cluster_address


class NotDone(Exception):
    """It did not happen, so there is nothing to time; ``str()`` says what."""


@dataclass(frozen=True)
class Sample:
    """One event. ``parts``: named moments; ``gap_ms``: the client's longest time without an answer."""

    gap_ms: float
    parts: dict[str, float] = field(default_factory=dict)


def _until_served(pair: Pair, taker: str, since_ms: int) -> None:
    done = pair.until(lambda: pair.serving() == taker, LIMIT_S)
    if done:
        now_ms = boottime_ms()
        done = pair.until(lambda: pair.answered_since(now_ms) >= STABLE_ANSWERS, LIMIT_S)
    if not done:
        raise NotDone(f"{taker} does not serve {boottime_ms() - since_ms} ms later:\n{pair.said()[-4000:]}")
    pair.until(lambda: False, CALM_S)


def _seen(pair: Pair, since_ms: int, marks: dict[str, tuple[str, str, bool]]) -> dict[str, float]:
    found = {name: pair.seen_ms(*mark, since_ms) for name, mark in marks.items()}
    return {name: float(ms) for name, ms in found.items() if ms is not None}


def switchover(kind: type[Driver]) -> Sample:
    """A planned move from pete to mclaws, in a new pair. Raises NotDone."""
    with Pair(kind) as pair:
        pair.start()
        pair.until(lambda: False, CALM_S)
        since_ms = boottime_ms()
        pair.driver.standby(pair, "pete")
        _until_served(pair, "mclaws", since_ms)
        parts = _seen(pair, since_ms, {
            "old: address gone": ("pete", ADDRESS, False), "old: disk gone": ("pete", DISK, False),
            "new: disk": ("mclaws", DISK, True), "new: address": ("mclaws", ADDRESS, True),
        })  # fmt: skip
        return Sample(longest_gap(pair.answers(), since_ms), parts)


def power_loss(kind: type[Driver]) -> Sample:
    """The active node dies, in a new pair. Raises NotDone."""
    with Pair(kind) as pair:
        pair.start()
        pair.until(lambda: False, CALM_S)
        since_ms = boottime_ms()
        pair.cut_power("pete")
        _until_served(pair, "mclaws", since_ms)
        parts = _seen(pair, since_ms, {
            "new: disk": ("mclaws", DISK, True), "new: address": ("mclaws", ADDRESS, True),
        })  # fmt: skip
        parts.update(_fenced(pair, since_ms, parts))
        return Sample(longest_gap(pair.answers(), since_ms), parts)


def _fenced(pair: Pair, since_ms: int, parts: dict[str, float]) -> dict[str, float]:
    """When the switch was asked to cut, when it gave the last answer before the start, and what came after that."""
    if not pair.driver.has_fence:
        return {}
    first_ms = parts.get("new: disk", float("inf"))
    asked = [a.t_ms - since_ms for a in pair.switch.shots() if a.t_ms >= since_ms]
    answered = [a.t_ms - since_ms for a in pair.switch.answered if since_ms <= a.t_ms and a.order != "on"]
    answered = [ms for ms in answered if ms <= first_ms]
    if not asked or not answered:
        raise NotDone(f"mclaws serves, and nobody was fenced before:\n{pair.said()[-4000:]}")
    proved = max(answered)
    return {"asked": asked[0], "proved": proved, "takeover": parts["new: address"] - proved}


@dataclass(frozen=True)
class Idle:
    """What both nodes' managers use while nothing happens, together, halved."""

    cpu_percent: float
    own_percent: float
    """Of that, the manager's own processes: without the resource agents that it runs to look."""
    pss_mib: float
    processes: float


def idle(kind: type[Driver]) -> Idle:
    """CPU of everything that ran in a node (its control group), memory of what the manager runs there."""
    with Pair(kind, keepalive_ms=kind.idle_keepalive_ms, deadtime_ms=kind.idle_deadtime_ms) as pair:
        pair.start()
        pair.until(lambda: False, 5)
        stay = {pid: _process_us(pid) for pid in _managers(pair)}
        before, began = _cpu_us(pair), time.monotonic()
        pair.until(lambda: False, IDLE_S)
        used_us, lasted_s = _cpu_us(pair) - before, time.monotonic() - began
        pids = _managers(pair)
        own_us = sum(_process_us(pid) - stay[pid] for pid in pids if pid in stay)
        pss_kib = sum(_pss_kib(pid) for pid in pids)
    percent = 100 / (lasted_s * 1e6) / 2
    return Idle(used_us * percent, own_us * percent, pss_kib / 1024 / 2, len(pids) / 2)


def _managers(pair: Pair) -> list[int]:
    """What runs in the nodes and is not the stage's; a resource agent may be among it just now."""
    stage = set().union(*(node.own_pids() for node in pair.nodes.values()))
    return [pid for node in pair.nodes.values() for pid in _pids(Path(node.cgroup)) if pid not in stage]


def _process_us(pid: int) -> float:
    """CPU time of all its threads, without children: its clock (clock_getcpuclockid(3)). 0 when it is gone."""
    try:
        return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1000
    except OSError:
        return 0.0


def _cpu_us(pair: Pair) -> int:
    """usage_usec of cpu.stat: there without the cpu controller, too (Documentation/admin-guide/cgroup-v2.rst)."""
    total = 0
    for node in pair.nodes.values():
        lines = Path(node.cgroup, "cpu.stat").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("usage_usec"))
    return total


def _pids(group: Path) -> list[int]:
    found = []
    for folder, _, files in os.walk(group):
        if "cgroup.procs" in files:
            found += [int(word) for word in Path(folder, "cgroup.procs").read_text().split()]
    return found


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # a monitor that has ended
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def busy_cores() -> Iterator[None]:
    """As many endless loops as there are processors."""
    loop = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "/usr/bin/python3", "-IS", "-c", "while True: pass"]
    loops = [subprocess.Popen(loop, env=CLEAN_ENV) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for one in loops:
            one.kill()
            one.wait()


def false_takeovers(kind: type[Driver], minutes: float) -> dict[str, int]:
    """How often, both cores busy and nothing wrong, somebody was shot or the service moved."""
    with Pair(kind) as pair:
        pair.start()
        with busy_cores():
            pair.until(lambda: False, minutes * 60)
        moved = sum(s.thing == ADDRESS and s.present for n in pair.nodes.values() for s in n.sightings) - 1
        return {"shots": len(pair.switch.shots()), "moves": moved, "late": pair.said().count(pair.driver.late)}
