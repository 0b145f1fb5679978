"""The table of steps as one HTML file that needs nothing else: the rows, the pauses, and each step's evidence. Pure.

Everything drawn is made of boxes with percentages, so the page fits a telephone as well as a wide screen; light or
dark follows the reader's setting. Colour never stands alone: a word says the same.
"""

from __future__ import annotations

from html import escape
from itertools import pairwise

from lab.report import Lane, Picture, Result, Step, Table, counts, ordered

GAP_SHOWN_MS = 1_000
"""A wait shorter than this is the programs' own pace on a slow machine, and is not drawn as one."""

WORDS = {Result.DONE: "done", Result.FAILED: "failed", Result.BY_HAND: "hand", Result.NOT_REACHED: "open"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #596575; --paper: #fff; --panel: #f6f7f9; --line: #d5dae1;
  --good: #17702f; --bad: #b00020; --wait: #c8394e; --mark: #9a6700; --bar: #2f6db5; --goodbar: #3d9a57; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa6b5; --paper: #14181d; --panel: #1d232a;
  --line: #343c46; --good: #6cc784; --bad: #ff8a94; --wait: #d9586a; --mark: #e0b050; --bar: #5b95d8;
  --goodbar: #3f8f57; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; color: var(--ink);
  background: var(--paper); overflow-wrap: anywhere; }
h1 { font-size: 1.5em; line-height: 1.25; margin-bottom: .2em; } h2 { font-size: 1.15em; margin: 2.2em 0 .6em; }
p.soft, .soft { color: var(--soft); } p { margin: .4em 0; }
.verdict { font-weight: 650; } .done { color: var(--good); } .failed { color: var(--bad); font-weight: 650; }
.hand, .open { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 12px; }
th, td { padding: .35em .7em .35em 0; vertical-align: top; border-bottom: 1px solid var(--line); }
td.n, th.n { width: 2.6em; text-align: right; font-variant-numeric: tabular-nums; color: var(--soft); }
td.r { white-space: nowrap; } td.t, th.t, td.p, th.p { white-space: nowrap; text-align: right;
  font-variant-numeric: tabular-nums; }
td a { color: inherit; text-decoration-color: var(--line); text-underline-offset: 3px; }
td .why { display: block; color: var(--soft); font-size: 13px; }
.chart { display: grid; grid-template-columns: minmax(7em, 15em) 1fr; gap: .3em .8em; font-size: 13px;
  align-items: center; }
.chart .label { color: var(--soft); } .chart .head { grid-column: 1 / -1; font-weight: 600; margin-top: .6em; }
.track { display: flex; align-items: center; gap: .5em; } .track .bar { height: 12px; border-radius: 2px; min-width: 2px;
  background: var(--bar); flex: none; } .track .bar.lock { background: var(--mark); }
.track .ms { white-space: nowrap; font-variant-numeric: tabular-nums; }
article { border: 1px solid var(--line); border-radius: 6px; margin: .7em 0; background: var(--panel); }
article > details > summary { padding: .5em .8em; cursor: pointer; }
article .in { padding: 0 .9em .7em; font-size: 14px; } article ul { margin: .3em 0; padding-left: 1.3em; }
article.failed { border-color: var(--bad); font-weight: inherit; color: inherit; }
dl.why { margin: .4em 0; } dl.why dt { font-weight: 600; } dl.why dd { margin: 0 0 .4em; }
pre { background: var(--paper); border: 1px solid var(--line); padding: .7em; overflow-x: auto; font-size: 12px;
  white-space: pre; overflow-wrap: normal; }
.picture { margin: .8em 0; font-size: 12px; } .lanes { position: relative; padding-top: 20px; }
.lane { position: relative; height: 14px; margin: 17px 0 6px; background: var(--line); border-radius: 2px; }
.lane b { position: absolute; left: 0; top: -16px; font-weight: 600; }
.lane i { position: absolute; top: 0; bottom: 0; background: var(--goodbar); } .lane i.w { background: var(--wait); }
.mark { position: absolute; top: 0; bottom: 0; border-left: 2px dashed var(--mark); }
.mark u { position: absolute; top: -2px; left: 4px; text-decoration: none; color: var(--mark); font-weight: 650; }
.axis { position: relative; height: 1.5em; color: var(--soft); } .axis span { position: absolute;
  transform: translateX(-50%); white-space: nowrap; } ol.marks { margin: .2em 0; padding-left: 1.6em; }
.machines td:first-child { font-weight: 600; }
@media (max-width: 640px) {
  body { margin-top: 1em; }
  table.steps, table.steps tbody, table.steps tr, table.steps td { display: block; border: 0; padding: 0; }
  table.steps thead { display: none; } table.steps tr { position: relative; padding: .5em 0 .5em 2.6em;
    border-bottom: 1px solid var(--line); }
  table.steps td.n { position: absolute; left: 0; width: 2em; } table.steps td.r, table.steps td.t, table.steps td.p {
    display: inline-block; margin-right: 1em; text-align: left; font-size: 13px; }
  .chart { grid-template-columns: 1fr; gap: .1em; } .chart .track { margin-bottom: .4em; }
}
"""


def page(table: Table) -> str:
    """The whole document."""
    lines = ordered(table)
    verdict, word = ("PASSED", "done") if table.passed else ("FAILED", "failed")
    parts = [
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(table.heading)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(table.heading)}</h1>",
        f"<p><span class='verdict {word}'>{verdict}</span> in {_seconds(table.lasted_ms)}: {escape(counts(table))}. "
        f"<span class='soft'>Begun {escape(table.began)}.</span></p>",
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
        "<h2>How long the client waited</h2><p class='soft'>For each scene the longest time between two answers, and the "
        "time from <em>address and server are up</em> until the lock was seen held again.</p><div class='chart'>"
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
        f"<div class='label'>{escape(label)}</div><div class='track'><span class='{kind}' style='width:{width}'></span>"
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
            f"<dl class='why'><dt>expected</dt><dd>{escape(step.expected)}</dd><dt>seen</dt><dd>{escape(step.seen)}</dd>"
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
    for number, (t_ms, what) in enumerate(picture.marks, 1):
        place = f"left:{scale.at(t_ms):.2f}%"
        parts.append(f"<div class='mark' style='{place}' title='{escape(what, quote=True)}'><u>{number}</u></div>")
    parts.append("</div><div class='axis'>" + "".join(_ticks(picture, scale, zero_ms)) + "</div>")
    if picture.marks:
        rows = [f"<li>{(t_ms - zero_ms) / 1000:+.1f} s: {escape(what)}</li>" for t_ms, what in picture.marks]
        parts.append(f"<ol class='marks'>{''.join(rows)}</ol>")
    return "".join(parts) + "</div>"


def _moments(lane: Lane, picture: Picture) -> list[int]:
    inside = [t for t in sorted(lane.acknowledged_ms) if picture.begin_ms <= t <= picture.end_ms]
    return [picture.begin_ms, *inside, picture.end_ms]


def _longest(lane: Lane, picture: Picture) -> int:
    return max(after - before for before, after in pairwise(_moments(lane, picture)))


def _lane(lane: Lane, picture: Picture, scale: _Scale) -> str:
    parts = [f"<div class='lane'><b>{escape(f'{lane.kind} {lane.who}')}</b>"]
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
