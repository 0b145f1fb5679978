"""The results as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from common.facts import machine_facts
from contest import BARE, OURS, PEER, Contender, Target
from meter import KILLED, Sample
from turns import Result

# A ratio of fewer runs is noise with a decimal point; only a peer that needs minutes is run once.
MINIMUM_RUNS = 3
Facts = Mapping[str, str]


def host_facts(present: Mapping[str, Contender]) -> dict[str, str]:
    """The machine, and which version of whom."""
    return {**machine_facts(), **{contender.key: contender.version for contender in present.values()}}


def as_text(results: Sequence[Result], facts: Facts) -> str:
    """For a terminal."""
    lines = [f"{name:18} {value}" for name, value in facts.items()]
    for result in results:
        lines += ["", result.row.title]
        for key, samples in result.samples.items():
            cpu, wall = _spread(samples, _cpu), _spread(samples, _wall)
            lines.append(
                f"  {key:16} n={len(samples):<3} cpu {cpu:>25} ms   wall {wall:>25} ms   "
                f"processes {_processes(samples):>5}  programs {_programs(result, key):>3}   exit {_codes(samples)}"
            )
        for target in _shown(result):
            who = f"{OURS} / {target.other}"
            lines.append(f"  {who:32} {target.measure:4} {_ratio_text(result, target):>5} {_goal(result, target)}")
        if floor(result) is not None:
            lines.append(f"  {BARE} / {PEER}  cpu  {floor(result):.3f} nothing in Python can be below")
    return "\n".join(lines) + "\n"


def as_markdown(results: Sequence[Result], facts: Facts) -> str:
    """The section of docs/measurements.md."""
    lines = [
        "| what | who | n | CPU ms, median [least – most] | wall ms | processes | programs | exit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        for key, samples in result.samples.items():
            cells = (
                result.row.title, key, str(len(samples)), _spread(samples, _cpu), _spread(samples, _wall),
                _processes(samples), _programs(result, key), _codes(samples),
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| what | against | medians of | ratio | to reach |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        for target in _shown(result):
            cells = (
                result.row.title, target.other, target.measure, _ratio_text(result, target), _goal(result, target),
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        if floor(result) is not None:
            cells = (result.row.title, f"{BARE} against {PEER}", "cpu", f"{floor(result):.3f}", "the floor")
            lines.append(f"| {' | '.join(cells)} |")
    head = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join([*head, "", *lines]) + "\n"


def as_json(results: Sequence[Result], facts: Facts) -> str:
    """Every single run."""
    rows = [
        {
            "row": result.row.key,
            "samples": {
                key: [
                    {"wall_ms": s.wall_ms, "cpu_ms": s.cpu_ms, "processes": s.processes, "exit": s.codes}
                    for s in samples
                ]
                for key, samples in result.samples.items()
            },
            "programs": result.programs,
            "floor": floor(result),
            "ratios": [
                {
                    "other": target.other,
                    "measure": target.measure,
                    "ratio": ratio(result, target),
                    "to_reach": target.ratio,
                    "met": met(result, target),
                }
                for target in _shown(result)
            ],
        }
        for result in results
    ]
    return json.dumps({"facts": dict(facts), "rows": rows}, indent=2) + "\n"


def ratio(result: Result, target: Target) -> float | None:
    """Ours to the other's, of medians; None when there are too few runs for one."""
    ours, other = result.samples[OURS], result.samples[target.other]
    enough = len(other) >= (1 if _struggled(result, target) else MINIMUM_RUNS)
    if len(ours) < MINIMUM_RUNS or not enough:
        return None
    of = _cpu if target.measure == "cpu" else _wall
    return _median(ours, of) / _median(other, of)


def met(result: Result, target: Target) -> bool | None:
    """Whether the target is reached; None when there is none, or no ratio."""
    value = ratio(result, target)
    return None if value is None or target.ratio is None else value <= target.ratio


def floor(result: Result) -> float | None:
    """What starting the interpreter alone takes, of the CPU time of the peer; None with too few runs."""
    bare, peer = result.samples.get(BARE, []), result.samples.get(PEER, [])
    if min(len(bare), len(peer)) < MINIMUM_RUNS or not any(target.other == PEER for target in result.row.targets):
        return None
    return _median(bare, _cpu) / _median(peer, _cpu)


def _struggled(result: Result, target: Target) -> bool:
    return result.row.peer_struggles and target.other == PEER


def _shown(result: Result) -> list[Target]:
    """The comparisons for which both sides are on this machine."""
    return [target for target in result.row.targets if result.samples.get(target.other) is not None]


def _ratio_text(result: Result, target: Target) -> str:
    value = ratio(result, target)
    return f"no ratio from fewer than {MINIMUM_RUNS} runs" if value is None else f"{value:.3f}"


def _goal(result: Result, target: Target) -> str:
    if target.ratio is None:
        return "none set"
    verdict = {None: "", True: ": met", False: ": NOT MET"}[met(result, target)]
    return f"≤ {target.ratio:.2f}{verdict}"


def _codes(samples: Sequence[Sample]) -> str:
    def word(code: int) -> str:
        return "killed" if code == KILLED else str(code)

    return ", ".join(sorted({"+".join(map(word, sample.codes)) for sample in samples}))


def _processes(samples: Sequence[Sample]) -> str:
    counts = [sample.processes for sample in samples if sample.processes is not None]
    return f"{median(counts):.0f}" if counts else "?"


def _programs(result: Result, key: str) -> str:
    return str(result.programs.get(key, "?"))


def _wall(sample: Sample) -> float:
    return sample.wall_ms


def _cpu(sample: Sample) -> float:
    return sample.cpu_ms


def _median(samples: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    return median(of(sample) for sample in samples)


def _spread(samples: Sequence[Sample], of: Callable[[Sample], float]) -> str:
    if not samples:
        return "–"
    values = [of(sample) for sample in samples]
    digits = 1 if median(values) < 100 else 0
    return " ".join(
        (f"{median(values):.{digits}f}", f"[{min(values):.{digits}f} – {max(values):.{digits}f}]"),
    )
