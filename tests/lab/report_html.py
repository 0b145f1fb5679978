"""The table of steps as one HTML file that needs nothing else: rows, pauses, each step's evidence. Pure.

Everything drawn is made of boxes with percentages, so the page fits a telephone as well as a wide screen; light or
dark follows the reader's setting. Colour never stands alone: a word says the same.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise

from lab.report import Lane, Picture, Result, Step, Table, counts, ordered
from lab.report_style import STYLE

GAP_SHOWN_MS = 1_000
"""A wait shorter than this is the programs' own pace on a slow machine, and is not drawn as one."""

MARKS_APART = 6.0
"""Percent of the width that the number of a mark needs on a telephone."""

WORDS = {Result.DONE: "done", Result.FAILED: "failed", Result.BY_HAND: "hand", Result.NOT_REACHED: "open"}


def page(table: Table) -> str:
    """The whole document."""
    lines = ordered(table)
    verdict, word = ("PASSED", "done") if table.passed else ("FAILED", "failed")
    parts = [
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(table.heading)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(table.heading)}</h1>",
        f"<p><span class='verdict {word}'>{verdict}</span> in {_seconds(table.lasted_ms)}: "
        f"{escape(counts(table))}. <span class='soft'>Begun {escape(table.began)}.</span></p>",
    ]
    if table.trouble:
        kept = escape(table.kept)
        parts.append(f"<p class='failed'>Trouble {escape(table.trouble)}. Consoles and journals: {kept}</p>")
    parts += [_step(step, table, index) for index, step in enumerate(lines) if step.result is Result.FAILED]
    parts += ["<h2>The steps</h2>", _rows(lines), _pauses(lines)]
    told = [(index, step) for index, step in enumerate(lines) if step.started and step.result is not Result.FAILED]
    if told:
        parts.append("<h2>What was done and seen</h2>")
        parts += [_step(step, table, index) for index, step in told]
    parts += [_machines(table), "</body></html>\n"]
    return "\n".join(part for part in parts if part)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s"


def _rows(lines: list[Step]) -> str:
    head = (
        "<table class='steps'><thead><tr><th class='n'>#</th><th>step</th><th>result</th><th class='t'>time</th>"
        "<th class='p'>longest pause</th></tr></thead><tbody>"
    )
    return head + "".join(_row(step, index) for index, step in enumerate(lines)) + "</tbody></table>"


def _row(step: Step, index: int) -> str:
    title = escape(step.title)
    if step.started:
        title = f"<a href='#s{index}'>{title}</a>"
    if step.part:
        title += f" <span class='soft'>[{escape(step.part)}]</span>"
    if step.why:
        title += f"<span class='why'>{escape(step.why)}</span>"
    pause = step.longest_pause
    return (
        f"<tr><td class='n'>{escape(step.number)}</td><td>{title}</td>"
        f"<td class='r {WORDS[step.result]}'>{step.result.value}</td>"
        f"<td class='t'>{_seconds(step.ms) if step.started else ''}</td>"
        f"<td class='p'>{f'{pause.ms} ms ({escape(pause.who)})' if pause else ''}</td></tr>"
    )


def _pauses(lines: list[Step]) -> str:
    """All pauses and reclaims on one scale."""
    steps = [step for step in lines if step.pauses or step.reclaims]
    if not steps:
        return ""
    known = [p.ms for step in steps for p in step.pauses] + [r.ms or 0 for step in steps for r in step.reclaims]
    longest = max([*known, 1])
    parts = [
        "<h2>How long the client waited</h2><p class='soft'>For each scene the longest time between two answers, "
        "and the time from <em>address and server are up</em> until the lock was seen held again.</p>"
        "<div class='chart'>"
    ]
    for step in steps:
        part = f" [{step.part}]" if step.part else ""
        parts.append(f"<div class='head'>{escape(f'{step.number}: {step.title}{part}')}</div>")
        parts += [_bar(f"{p.kind} {p.who}", p.ms, longest, "bar") for p in step.pauses]
        parts += [_bar(f"lock of {r.who} back", r.ms, longest, "bar lock") for r in step.reclaims]
    return "".join(parts) + "</div>"


def _bar(label: str, ms: int | None, longest: int, kind: str) -> str:
    if ms is None:
        return f"<div class='label'>{escape(label)}</div><div class='track'><span class='failed'>never</span></div>"
    # The longest bar leaves room for its number, on a telephone, too.
    width = f"{ms / longest * 72:.1f}%"
    return (
        f"<div class='label'>{escape(label)}</div><div class='track'>"
        f"<span class='{kind}' style='width:{width}'></span>"
        f"<span class='ms'>{ms} ms</span></div>"
    )


def _step(step: Step, table: Table, index: int) -> str:
    word = WORDS[step.result]
    failed = step.result is Result.FAILED
    part = f" [{step.part}]" if step.part else ""
    parts = [
        f"<article class='{word if failed else ''}' id='s{index}'><details{' open' if failed else ''}>"
        f"<summary><b>{escape(step.number)}</b> {escape(step.title + part)}: "
        f"<span class='{word}'>{step.result.value}</span> <span class='soft'>{_seconds(step.ms)}</span></summary>"
        "<div class='in'>"
    ]
    if failed:
        parts.append(
            f"<dl class='why'><dt>expected</dt><dd>{escape(step.expected)}</dd>"
            f"<dt>seen</dt><dd>{escape(step.seen)}</dd>"
            f"<dt>consoles and journals</dt><dd>{escape(table.kept)}</dd></dl>"
        )
    items = [f"did: {deed}" for deed in step.deeds] + step.facts
    for check in step.checks:
        said = "checked" if check.passed else "NOT so"
        items.append(f"{said}: {check.name}" + (f" ({check.detail})" if check.detail else ""))
    if items:
        parts.append("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")
    parts += [_picture(picture) for picture in step.pictures]
    if step.trace:
        parts.append(f"<pre>{escape(step.trace)}</pre>")
    return "".join(parts) + "</div></details></article>"


class _Scale:
    """Moments of a scene to percentages of the picture's width."""

    def __init__(self, picture: Picture) -> None:
        self.begin_ms = picture.begin_ms
        self.end_ms = max(picture.end_ms, picture.begin_ms + 1)

    def at(self, t_ms: int) -> float:
        inside = min(max(t_ms, self.begin_ms), self.end_ms)
        return (inside - self.begin_ms) * 100 / (self.end_ms - self.begin_ms)


def _picture(picture: Picture) -> str:
    """The lanes of one scene: green where answers come, red where the program waits."""
    scale = _Scale(picture)
    zero_ms = picture.marks[0][0] if picture.marks else picture.begin_ms
    waits = ", ".join(f"{lane.who} at the longest {_longest(lane, picture)} ms" for lane in picture.lanes)
    parts = [
        f"<div class='picture' role='img' aria-label='{escape(f'waits: {waits}', quote=True)}'><div class='lanes'>"
    ]
    parts += [_lane(lane, picture, scale) for lane in picture.lanes]
    parts += _marks(picture, scale)
    parts.append("</div><div class='axis'>" + "".join(_ticks(picture, scale, zero_ms)) + "</div>")
    if picture.marks:
        rows = [f"<li>{(t_ms - zero_ms) / 1000:+.1f} s: {escape(what)}</li>" for t_ms, what in picture.marks]
        parts.append(f"<ol class='marks'>{''.join(rows)}</ol>")
    return "".join(parts) + "</div>"


def _marks(picture: Picture, scale: _Scale) -> list[str]:
    """A dashed line for each mark, with its number; the numbers of near neighbours stand on two heights."""
    parts = []
    last, high = -100.0, False
    for number, (t_ms, what) in enumerate(picture.marks, 1):
        place = scale.at(t_ms)
        high = not high if place - last < MARKS_APART else False
        last = place
        kind = "mark high" if high else "mark"
        title = escape(what, quote=True)
        parts.append(f"<div class='{kind}' style='left:{place:.2f}%' title='{title}'><u>{number}</u></div>")
    return parts


def _moments(lane: Lane, picture: Picture) -> list[int]:
    inside = [t for t in sorted(lane.acknowledged_ms) if picture.begin_ms <= t <= picture.end_ms]
    return [picture.begin_ms, *inside, picture.end_ms]


def _longest(lane: Lane, picture: Picture) -> int:
    return max(after - before for before, after in pairwise(_moments(lane, picture)))


def _said(lane: Lane, picture: Picture) -> str:
    """What the lane shows, in words."""
    if len(_moments(lane, picture)) == 2:
        return "no answer at all"
    return f"waited {_longest(lane, picture)} ms at the longest"


def _lane(lane: Lane, picture: Picture, scale: _Scale) -> str:
    parts = [f"<div class='lane'><b>{escape(f'{lane.kind} {lane.who}: {_said(lane, picture)}')}</b>"]
    good_from = picture.begin_ms
    for before, after in pairwise(_moments(lane, picture)):
        if after - before >= GAP_SHOWN_MS:
            parts.append(_piece(good_from, before, "", "answers", scale))
            parts.append(_piece(before, after, "w", f"waits {after - before} ms", scale))
            good_from = after
    parts.append(_piece(good_from, picture.end_ms, "", "answers", scale))
    return "".join(parts) + "</div>"


def _piece(begin_ms: int, end_ms: int, kind: str, title: str, scale: _Scale) -> str:
    if end_ms <= begin_ms:
        return ""
    left, right = scale.at(begin_ms), scale.at(end_ms)
    return f"<i class='{kind}' style='left:{left:.2f}%;width:{right - left:.2f}%' title='{title}'></i>"


def _ticks(picture: Picture, scale: _Scale, zero_ms: int) -> list[str]:
    """Seconds from the first mark, at most six of them: more would not fit a telephone."""
    span_s = (scale.end_ms - scale.begin_ms) / 1000
    step_s = next((step for step in (1, 2, 5, 10, 20, 30, 60, 120, 300) if span_s / step <= 6), 600)
    second = -((zero_ms - picture.begin_ms) // 1000 // step_s) * step_s
    ticks = []
    while zero_ms + second * 1000 <= scale.end_ms:
        place = scale.at(zero_ms + second * 1000)
        if 3 <= place <= 97:
            ticks.append(f"<span style='left:{place:.2f}%'>{second:+d} s</span>")
        second += step_s
    return ticks


def _machines(table: Table) -> str:
    if not table.machines:
        return ""
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(', '.join(f'{k} {v}' for k, v in facts.items()))}</td></tr>"
        for name, facts in table.machines.items()
    )
    return f"<h2>The machines</h2><table class='machines'><tbody>{rows}</tbody></table>"
