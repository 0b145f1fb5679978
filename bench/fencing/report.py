"""The results as text, Markdown and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from common.facts import machine_facts
from contest import Contender, Target
from stopwatch import Result, Sample

# A ratio of fewer runs is noise with a decimal point.
MINIMUM_RUNS = 3
Facts = Mapping[str, str]


def host_facts(present: Mapping[str, Contender]) -> dict[str, str]:
    """The machine, and which version of whom."""
    return {**machine_facts(), **{contender.key: contender.version for contender in present.values()}}


def as_text(results: Sequence[Result], facts: Facts) -> str:
    """For a terminal."""
    lines = [f"{name:18} {value}" for name, value in facts.items()]
    for result in results:
        lines += ["", f"{result.row.title} (n={result.runs})"]
        for key, samples in result.samples.items():
            codes = " ".join(sorted({"+".join(map(str, sample.codes)) for sample in samples}))
            lines.append(
                f"  {key:18} wall {_spread(samples, _wall):>26} ms   cpu {_median(samples, _cpu):6.0f} ms   "
                f"exit {codes}"
            )
        lines += [f"  {_verdict(result, target)}" for target in _shown(result)]
    return "\n".join(lines) + "\n"


def as_markdown(results: Sequence[Result], facts: Facts) -> str:
    """The section of docs/measurements.md."""
    lines = ["| what | who | n | wall ms, median [least – most] | CPU ms | exit |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for result in results:
        for key, samples in result.samples.items():
            codes = ", ".join(sorted({"+".join(map(str, sample.codes)) for sample in samples}))
            lines.append(
                f"| {result.row.title} | {key} | {len(samples)} | {_spread(samples, _wall)} | "
                f"{_median(samples, _cpu):.0f} | {codes} |"
            )
    lines += ["", "| what | ratio of the wall medians | measured | to reach |", "| --- | --- | --- | --- |"]
    for result in results:
        for target in _shown(result):
            goal = f"≤ {target.ratio:.2f}" if target.ratio is not None else "none set"
            who = f"{target.ours} / {target.peer}"
            lines.append(f"| {result.row.title} | {who} | {_ratio_text(result, target)} | {goal} |")
    head = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join([*head, "", *lines]) + "\n"


def as_json(results: Sequence[Result], facts: Facts) -> str:
    """Every single run."""
    rows = [
        {
            "row": result.row.key,
            "runs": result.runs,
            "samples": {
                key: [{"wall_ms": s.wall_ms, "cpu_ms": s.cpu_ms, "exit": s.codes} for s in samples]
                for key, samples in result.samples.items()
            },
            "ratios": [
                {"ours": t.ours, "peer": t.peer, "wall": ratio(result, t), "to_reach": t.ratio}
                for t in _shown(result)
            ],
        }
        for result in results
    ]
    return json.dumps({"facts": dict(facts), "rows": rows}, indent=2) + "\n"


def ratio(result: Result, target: Target) -> float | None:
    """Of the medians of wall time; None when there are too few runs for one."""
    ours, peer = result.samples[target.ours], result.samples[target.peer]
    if min(len(ours), len(peer)) < MINIMUM_RUNS:
        return None
    return _median(ours, _wall) / _median(peer, _wall)


def _shown(result: Result) -> list[Target]:
    """The comparisons for which both sides are on this machine."""
    return [target for target in result.row.targets if {target.ours, target.peer} <= set(result.samples)]


def _ratio_text(result: Result, target: Target) -> str:
    value = ratio(result, target)
    return f"no ratio from fewer than {MINIMUM_RUNS} runs" if value is None else f"{value:.3f}"


def _verdict(result: Result, target: Target) -> str:
    value = ratio(result, target)
    goal = "" if target.ratio is None else f" (to reach: {target.ratio:.2f})"
    reached = "" if target.ratio is None or value is None else " reached" if value <= target.ratio else " MISSED"
    return f"{target.ours} / {target.peer}: {_ratio_text(result, target)}{goal}{reached}"


def _wall(sample: Sample) -> float:
    return sample.wall_ms


def _cpu(sample: Sample) -> float:
    return sample.cpu_ms


def _median(samples: Sequence[Sample], of: Callable[[Sample], float]) -> float:
    return median(of(sample) for sample in samples)


def _spread(samples: Sequence[Sample], of: Callable[[Sample], float]) -> str:
    values = [of(sample) for sample in samples]
    return f"{median(values):.0f} [{min(values):.0f} – {max(values):.0f}]"
