"""The results as text, Markdown and JSON, and the ratios that we want to reach."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

from drivers import DRIVERS, HEARTBEAT, OURS, PACEMAKER
from measure import Idle, Sample

# A ratio of fewer runs is noise with a decimal point.
MINIMUM_RUNS = 3
SWITCHOVER, POWER_LOSS = "planned switchover", "power loss"
Facts = Mapping[str, str]


@dataclass
class Results:
    """Everything that was measured: samples by event and manager, idle by manager, quiet hours by manager."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    idle: dict[str, Idle] = field(default_factory=dict)
    steady: dict[str, dict[str, float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """``value``: what was reached, None: cannot be said; ``most``: what it may be, None: no target is set."""

    what: str
    value: float | None
    most: float | None

    def text(self) -> str:
        reached = "no value" if self.value is None else f"{self.value:.2f}"
        if self.most is None:
            return f"{reached} (no target is set)"
        goal = "0" if self.most == 0 else f"≤ {self.most:.2f}"
        met = "" if self.value is None else ": met" if self.value <= self.most else ": NOT MET"
        return f"{reached} (to reach: {goal}{met})"


def _median(samples: Sequence[Sample], of: Callable[[Sample], float | None]) -> float | None:
    values = [value for value in map(of, samples) if value is not None]
    return median(values) if len(values) >= MINIMUM_RUNS else None


def _gap(sample: Sample) -> float:
    return sample.gap_ms


def _takeover(sample: Sample) -> float | None:
    return sample.parts.get("takeover")


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def targets(results: Results) -> list[Target]:
    """The rows of the design's table of numbers that this bench can answer."""
    gaps = {key: _median(results.samples.get((SWITCHOVER, key), ()), _gap) for key in DRIVERS}
    peers = [gap for key in (HEARTBEAT, PACEMAKER) if (gap := gaps[key]) is not None]
    best = min(peers) if len(peers) == 2 else None
    after = {key: _median(results.samples.get((POWER_LOSS, key), ()), _takeover) for key in (OURS, HEARTBEAT)}
    ours, heartbeat, pacemaker = (results.idle.get(key) for key in (OURS, HEARTBEAT, PACEMAKER))
    cpu = _ratio(ours.cpu_percent, heartbeat.cpu_percent) if ours and heartbeat else None
    own = _ratio(ours.own_percent, heartbeat.own_percent) if ours and heartbeat else None
    memory = _ratio(ours.pss_mib, pacemaker.pss_mib) if ours and pacemaker else None
    planned, power = _ratio(gaps[OURS], best), _ratio(after[OURS], after[HEARTBEAT])
    found = [
        Target("planned switchover, client's gap / the better of Heartbeat and Pacemaker", planned, 0.6),
        Target("power loss, from the fence to the last resource / Heartbeat", power, 0.5),
        Target("idle CPU / Heartbeat", cpu, 1.0),
        Target("idle CPU without the monitors, which Heartbeat has not / Heartbeat", own, None),
        Target("idle memory / Pacemaker", memory, 1 / 3),
    ]
    if OURS in results.steady:
        steady = results.steady[OURS]
        what = f"shots and moves in {steady['minutes']:g} min, cores busy"
        found.append(Target(what, steady["shots"] + steady["moves"], 0))
    return found


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.0f} [{min(values):.0f} – {max(values):.0f}]" if values else "-"


def _rows(results: Results) -> list[tuple[str, ...]]:
    """Event, manager, n, gap, parts; one row a manager and event."""
    found = []
    for (event, key), samples in results.samples.items():
        names = list(dict.fromkeys(name for sample in samples for name in sample.parts))
        values = {name: [sample.parts[name] for sample in samples if name in sample.parts] for name in names}
        medians = sorted((median(found_ms), name) for name, found_ms in values.items())
        parts = ", ".join(f"{name} {ms:.0f}" for ms, name in medians)
        found.append((event, key, str(len(samples)), _spread([sample.gap_ms for sample in samples]), parts))
    return found


def as_text(results: Results, facts: Facts) -> str:
    """For a terminal."""
    lines = [f"{name:18} {value}" for name, value in facts.items()] + [""]
    for event, key, count, gap, parts in _rows(results):
        lines += [f"{event:20} {key:10} n={count:3} client's gap {gap:>22} ms", f"{'':31} {parts}"]
    for key, one in results.idle.items():
        cpu = f"cpu {one.cpu_percent:.2f} % (manager {one.own_percent:.2f} %)"
        costs = f"{cpu}  memory {one.pss_mib:.1f} MiB  processes {one.processes:g}"
        lines.append(f"{'idle':20} {key:10} {costs}")
    for key, counts in results.steady.items():
        lines.append(f"{'cores busy':20} {key:10} {_counts(counts)}")
    lines += ["", *(f"{target.what}: {target.text()}" for target in targets(results))]
    return "\n".join([*lines, *results.failures]) + "\n"


def _counts(counts: Mapping[str, float]) -> str:
    return (
        f"{counts['minutes']:g} min: {counts['shots']:g} shots, {counts['moves']:g} moves, "
        f"{counts['late']:g} times counted as lost"
    )


def as_markdown(results: Results, facts: Facts) -> str:
    """The section of docs/measurements.md."""
    lines = [*(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += ["| what | who | n | client's gap in ms, median [least – most] | moments in ms, medians |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(results)]
    if results.idle:
        own = "of that the manager's own"
        lines += ["", f"| idle, a node | CPU, % of a core | {own} | memory (PSS), MiB | processes |"]
        lines += ["| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {key} | {one.cpu_percent:.2f} | {one.own_percent:.2f} | {one.pss_mib:.1f} | {one.processes:g} |"
            for key, one in results.idle.items()
        ]
    if results.steady:
        lines += ["", "| all cores busy | what happened |", "| --- | --- |"]
        lines += [f"| {key} | {_counts(counts)} |" for key, counts in results.steady.items()]
    lines += ["", "| what | reached |", "| --- | --- |"]
    lines += [f"| {target.what} | {target.text()} |" for target in targets(results)]
    lines += ["", *(f"Not measured: {failure}" for failure in results.failures)] if results.failures else []
    return "\n".join(lines) + "\n"


def as_json(results: Results, facts: Facts) -> str:
    """Every single run."""
    samples = [
        {"event": event, "who": key, "samples": [asdict(sample) for sample in found]}
        for (event, key), found in results.samples.items()
    ]
    idle = {key: asdict(one) for key, one in results.idle.items()}
    reached = [asdict(target) for target in targets(results)]
    everything = {"facts": dict(facts), "events": samples, "idle": idle, "steady": results.steady}
    return json.dumps({**everything, "targets": reached, "failures": results.failures}, indent=2) + "\n"
