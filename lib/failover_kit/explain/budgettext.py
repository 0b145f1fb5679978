"""A budget as tables and as plain values. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from failover_kit.explain.budget import RECORD, Case, Line
from failover_kit.explain.times import span
from failover_kit.manager.codec import to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """All that is shown. ``before``: the cases as configured now, when ``cases`` are a what-if."""

    cases: Sequence[Case]
    before: Sequence[Case] | None
    resources: Sequence[Line]
    remarks: Sequence[str]


def render(shown: Shown, width: int) -> str:
    """Tables of all cases, of the resources, and what the sums do not show. ``width`` 0: nothing is wrapped."""
    earlier = {case.name: case for case in shown.before or ()}
    parts = [_case(case, earlier.get(case.name), width) for case in shown.cases]
    if shown.resources:
        parts.append("each resource\n" + _table(shown.resources, None, (), width))
    parts.append("".join(_wrapped(f"note  {remark}", " " * 6, width) for remark in shown.remarks))
    return "\n".join(parts)


def _case(case: Case, before: Case | None, width: int) -> str:
    old = None
    if before is not None:
        old = [line.worst_ms for line in before.lines] if len(before.lines) == len(case.lines) else []
    disk = "and the disk" if any(line.phase == RECORD for line in case.lines) else ""
    now = () if before is None else (_ms(before.worst_ms),)
    end = ("together", *now, _ms(case.worst_ms), _ms(case.usual_ms), "", disk if case.worst_ms else "without end")
    return _wrapped(case.title, "  ", width) + _table(case.lines, old, end, width)


def _table(lines: Sequence[Line], old: Sequence[int | None] | None, end: Sequence[str], width: int) -> str:
    """Phase, bounds, what was measured, and why. Columns without anything to say are left out."""
    names = ["phase", *(["now"] if old is not None else []), "then" if old is not None else "at most"]
    rows = [[*names, "median", "longest", ""]]
    for at, line in enumerate(lines):
        was = [] if old is None else [_ms(old[at]) if old else "?"]
        phase = f"  {line.phase}" if line.part else line.phase
        rows.append([phase, *was, _ms(line.worst_ms), *_measured(line), line.why])
    if end:
        rows.append(list(end))
    if not any(line.measured for line in lines):
        rows = [[*row[: len(names)], row[-1]] for row in rows]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]) - 1)]
    heads = []
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}", *(f"{cell:>{widths[at]}}" for at, cell in enumerate(row[1:-1], 1))]
        heads.append("  " + "  ".join(cells) + "  ")
    # One way for the whole table: reasons beside the columns, or all of them below.
    left = len(heads[0])
    beside = not width or width >= left + 24 or all(left + len(row[-1]) <= width for row in rows)
    text = ""
    for head, row in zip(heads, rows, strict=True):
        text += _wrapped(head + row[-1], " " * left, width) if beside else _below(head, row[-1], width)
    return text


def _below(head: str, why: str, width: int) -> str:
    lines = textwrap.wrap(why, width, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)
    return "\n".join([head.rstrip(), *lines]) + "\n"


def _measured(line: Line) -> list[str]:
    """The median with the number of times, and the longest."""
    if line.measured is None:
        return ["-", "-"]
    return [f"{span(line.measured.median_ms)} /{line.measured.count}", span(line.measured.worst_ms)]


def _ms(ms: int | None) -> str:
    return "-" if ms is None else span(ms)


def _wrapped(text: str, indent: str, width: int) -> str:
    if not width or len(text.rstrip()) <= width:
        return text.rstrip() + "\n"
    lines = textwrap.wrap(text[len(indent) :], width - len(indent), break_on_hyphens=False)
    return f"\n{indent}".join([text[: len(indent)] + lines[0], *lines[1:]]) + "\n"


def to_json(shown: Shown) -> dict[str, Any]:
    """What ``json.dumps`` takes. Times in milliseconds; ``worst_ms`` null: nothing bounds it."""
    return {
        "cases": [_plain(case) for case in shown.cases],
        "now": None if shown.before is None else [_plain(case) for case in shown.before],
        "resources": [to_plain(line) for line in shown.resources],
        "remarks": list(shown.remarks),
    }


def _plain(case: Case) -> dict[str, Any]:
    return {
        "name": case.name,
        "title": case.title,
        "worst_ms": case.worst_ms,
        "usual_ms": case.usual_ms,
        "phases": [to_plain(line) for line in case.lines],
    }
