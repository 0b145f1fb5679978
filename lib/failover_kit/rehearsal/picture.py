"""The rehearsal as one HTML file that needs nothing else: a picture per scene, and its rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import CLIENT, NODES, SWITCH
from failover_kit.rehearsal.report import Outcome
from failover_kit.rehearsal.timeline import GAP_SHOWN_MS, Row

WIDTH = 1000
LEFT = 90
LANE = 46
TOP = 62
RIGHT = 40
LANES = (NODES[0].name, NODES[1].name, SWITCH)
"""The clients' lanes come below."""

ROLES = {NODES[0].name: "node", NODES[1].name: "node", SWITCH: "power switch"}
GROUP_COLOURS = ("#2f6db5", "#7a4fa3")
HELD_THICK = 18
LABEL_ROWS = 3
LETTER = 6.5  # about the width of a letter of a label, to keep labels apart

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1060px; margin: 2em auto;
  padding: 0 1em; color: #1b2430; }
h1 { font-size: 1.5em; }
h2 { font-size: 1.15em; margin-top: 2.2em; border-top: 1px solid #d5dae1; padding-top: 1em; }
.wide { overflow-x: auto; }
svg { box-sizing: border-box; width: 100%; min-width: 760px; height: auto; background: #fafbfc;
  border: 1px solid #d5dae1; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
td { padding: 1px 8px 1px 0; vertical-align: top; }
td.ms { text-align: right; white-space: nowrap; color: #5a6675; }
td.who { white-space: nowrap; font-weight: 600; } tr.fault td { background: #fdf0d8; }
tr.warning td.what { color: #8a5a00; } tr.alarm td.what { color: #b00020; font-weight: 600; }
tr.says td.what { font-style: italic; } tr.seen td.what { color: #5a6675; }
.passed { color: #17702f; font-weight: 600; } .failed { color: #b00020; font-weight: 600; }
pre { background: #f4f5f7; padding: .8em; overflow-x: auto; font-size: 12px; } ul { margin: .4em 0; }
text { font: 12px system-ui, sans-serif; fill: #1b2430; } .axis { fill: #5a6675; font-size: 11px; }
"""


def page(outcomes: Sequence[Outcome], heading: str) -> str:
    """The whole document."""
    good = sum(outcome.passed for outcome in outcomes)
    parts = [
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>",
        f"<title>{escape(heading)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(heading)}</h1>",
        f"<p>{good} of {len(outcomes)} scenes passed. Times are milliseconds from the fault of the scene.</p>",
        _legend(),
        *(_scene(outcome) for outcome in outcomes),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _legend() -> str:
    return (
        "<p>In a node's lane: the thin grey bar is power, the thick blue bar is <em>holds the group</em> "
        "(from the first start attempt to the last verified stop or the power cut); of two groups the second is "
        "below, in violet. In the switch's lane: outlets "
        "turning OFF (red) and ON (green). In the client's lane: green where records are acknowledged, red where "
        "the client waits. Dashed lines: what the rehearsal did. Triangles: warnings "
        "and alarms; point at one to read it.</p>"
    )


def _scene(outcome: Outcome) -> str:
    verdict = "passed" if outcome.passed else "failed"
    said = f"client's longest wait {outcome.gap_ms} ms" if outcome.passed else outcome.failure
    items = [*outcome.facts, *(f"proved: {proof}" for proof in outcome.proofs)]
    parts = [
        f"<h2>Scene {outcome.number}: {escape(outcome.title)}</h2>",
        f"<p>{escape(outcome.expectation)}. <span class='{verdict}'>{verdict.upper()}</span>: {escape(said)}</p>",
        f"<div class='wide'>{picture(outcome)}</div>",
        "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>" if items else "",
        "<details><summary>timeline</summary><table>" + "".join(map(_row, outcome.rows)) + "</table></details>",
    ]
    if outcome.trouble:
        parts.append("<pre>" + escape("\n".join(outcome.trouble)) + "</pre>")
    return "\n".join(parts)


def _row(row: Row) -> str:
    what = f"“{row.text}”" if row.kind is Kind.SAYS else row.text
    level = {"warning": "warning: ", "alarm": "ALARM: "}.get(row.level, "")
    return (
        f"<tr class='{row.kind.value} {row.level}'><td class='ms'>{row.at_ms:+d}</td>"
        f"<td class='who'>{escape(row.lane or 'rehearsal')}</td><td class='what'>{escape(level + what)}</td></tr>"
    )


class _Scale:
    """Milliseconds of the boot clock to horizontal places."""

    def __init__(self, begin_ms: int, end_ms: int) -> None:
        self.begin_ms = begin_ms
        self.end_ms = max(end_ms, begin_ms + 1)

    def x(self, t_ms: int) -> float:
        inside = min(max(t_ms, self.begin_ms), self.end_ms)
        return LEFT + (inside - self.begin_ms) * (WIDTH - LEFT - RIGHT) / (self.end_ms - self.begin_ms)


def picture(outcome: Outcome) -> str:
    """The swimlanes of one scene."""
    scale = _Scale(outcome.begin_ms, outcome.end_ms)
    lanes = (*LANES, *(outcome.acknowledged_ms or [CLIENT]))
    height = TOP + LANE * len(lanes) + 26
    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='Scene {outcome.number}'>"]
    for index, lane in enumerate(lanes):
        y = _middle(index)
        parts.append(f"<text x='8' y='{y + 1}'>{escape(lane)}</text>")
        role = escape(ROLES.get(lane, "client"))
        parts.append(f"<text class='axis' x='8' y='{y + 14}'>{role}</text>")
        parts.append(_bar(LEFT, WIDTH - RIGHT, y, 1, "#e3e7ec"))
    parts += _ticks(outcome, scale, height)
    parts += _nodes(outcome, scale)
    parts += _switch(outcome, scale)
    for index, lane in enumerate(lanes[len(LANES) :], len(LANES)):
        parts += _client(outcome.acknowledged_ms.get(lane, []), _middle(index), scale)
    parts += _warnings(outcome, scale)
    parts += _faults(outcome, scale, height)
    return "".join([*parts, "</svg>"])


def _middle(index: int) -> int:
    return TOP + LANE * index + LANE // 2


def _bar(x1: float, x2: float, y: float, thick: float, colour: str, *, title: str = "") -> str:
    inner = f"<title>{escape(title)}</title>" if title else ""
    wide = max(x2 - x1, 1.0)
    place = f"x='{x1:.1f}' y='{y - thick / 2:.1f}' width='{wide:.1f}' height='{thick}'"
    return f"<rect {place} fill='{colour}'>{inner}</rect>"


def _ticks(outcome: Outcome, scale: _Scale, height: int) -> list[str]:
    """Seconds from the fault along the bottom, at most about ten of them."""
    span_s = (scale.end_ms - scale.begin_ms) / 1000
    step_s = next((step for step in (1, 2, 5, 10, 20, 60) if span_s / step <= 10), 120)
    first = -((outcome.fault_ms - scale.begin_ms) // 1000 // step_s) * step_s
    parts = []
    second = first
    while outcome.fault_ms + second * 1000 <= scale.end_ms:
        x = scale.x(outcome.fault_ms + second * 1000)
        parts.append(f"<text class='axis' x='{x:.1f}' y='{height - 8}' text-anchor='middle'>{second:+d} s</text>")
        second += step_s
    return parts


def _nodes(outcome: Outcome, scale: _Scale) -> list[str]:
    parts = []
    for node, begin_ms, end_ms in outcome.powered:
        y = _middle(LANES.index(node))
        parts.append(_bar(scale.x(begin_ms), scale.x(end_ms), y, 6, "#b9c2cd", title=f"{node} has power"))
    several = len(outcome.acknowledged_ms) > 1
    for span in outcome.held:
        end_ms = scale.end_ms if span.end_ms is None else span.end_ms
        if end_ms >= scale.begin_ms and span.begin_ms <= scale.end_ms:
            middle: float = _middle(LANES.index(span.node))
            title, thick = f"{span.node} holds the group", HELD_THICK
            if several:  # side by side in the lane
                middle += (span.group - 0.5) * HELD_THICK / 2
                title, thick = f"{span.node} holds group {span.group + 1}", HELD_THICK // 2 - 1
            colour = GROUP_COLOURS[span.group]
            parts.append(_bar(scale.x(span.begin_ms), scale.x(end_ms), middle, thick, colour, title=title))
    return parts


def _switch(outcome: Outcome, scale: _Scale) -> list[str]:
    """A dot for each outlet that turned; a label above or below the lane where there is room, else only a title."""
    y = _middle(LANES.index(SWITCH))
    parts = []
    ends = {-7: -1.0, 16: -1.0}  # by the place over or under the lane: where its last label ends
    for t_ms, plug, state in outcome.outlets:
        colour = "#b00020" if state == "off" else "#17702f"
        x = scale.x(t_ms)
        text = f"{plug} {state.upper()}"
        parts.append(f"<circle cx='{x:.1f}' cy='{y}' r='5' fill='{colour}'><title>{escape(text)}</title></circle>")
        left = x > WIDTH - 110
        long = 8 + len(text) * LETTER
        begin = x - long if left else x
        places = sorted(ends) if state == "off" else sorted(ends, reverse=True)
        place = next((place for place in places if ends[place] <= begin), None)
        if place is None:
            continue
        ends[place] = begin + long + 8
        where = f"x='{x - 8 if left else x + 8:.1f}' y='{y + place}' text-anchor='{'end' if left else 'start'}'"
        parts.append(f"<text class='axis' {where}>{text}</text>")
    return parts


def _warnings(outcome: Outcome, scale: _Scale) -> list[str]:
    """A small triangle above the lane of whoever warned; red for an alarm, the sentence as its title."""
    parts = []
    for row in outcome.rows:
        if row.level == "info" or row.lane not in LANES:
            continue
        x, y = scale.x(outcome.fault_ms + row.at_ms), _middle(LANES.index(row.lane)) - 12
        colour = "#b00020" if row.level == "alarm" else "#d08a00"
        points = f"{x - 4:.1f},{y} {x + 4:.1f},{y} {x:.1f},{y - 8}"
        parts.append(f"<polygon points='{points}' fill='{colour}'><title>{escape(row.text)}</title></polygon>")
    return parts


def _client(times: Sequence[int], y: int, scale: _Scale) -> list[str]:
    if not times:
        return [_bar(scale.x(scale.begin_ms), scale.x(scale.end_ms), y, 8, "#b00020", title="nothing acknowledged")]
    parts = []
    good_from = times[0]
    marks = [*times, scale.end_ms]
    for before, after in pairwise(marks):
        if after - before >= GAP_SHOWN_MS:
            parts.append(_bar(scale.x(good_from), scale.x(before), y, 8, "#17702f", title="acknowledged"))
            parts.append(_bar(scale.x(before), scale.x(after), y, 8, "#b00020", title=f"waits {after - before} ms"))
            good_from = after
    parts.append(_bar(scale.x(good_from), scale.x(marks[-1]), y, 8, "#17702f", title="acknowledged"))
    return parts


def _faults(outcome: Outcome, scale: _Scale, height: int) -> list[str]:
    """A dashed line for each thing the rehearsal did; neighbours share a label, crowded labels stand in rows."""
    parts = []
    labels: list[tuple[float, list[str]]] = []
    named: list[bool] = []
    for row in (row for row in outcome.rows if row.kind is Kind.FAULT):
        x = scale.x(outcome.fault_ms + row.at_ms)
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP - 8}' y2='{height - 24}' stroke='#d08a00' "
            f"stroke-dasharray='4 3'><title>{escape(row.text)}</title></line>"
        )
        if labels and x - labels[-1][0] < 8:
            labels[-1][1].append(row.text)
        else:
            labels.append((x, [row.text]))
            named.append(row.at_ms == 0)  # the fault itself says all that follows at once
    taken: list[float] = [0.0] * LABEL_ROWS  # how far to the right each row is full
    for (x, texts), is_fault in zip(labels, named, strict=True):
        text = texts[0] if is_fault or len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)"
        long = len(text) * LETTER
        anchor = "end" if x + long > WIDTH else "start"
        left = x - long if anchor == "end" else x
        line = next((number for number in range(LABEL_ROWS) if taken[number] <= left), LABEL_ROWS - 1)
        taken[line] = left + long + LETTER
        title = f"<title>{escape('; '.join(texts))}</title>"
        place = f"x='{x:.1f}' y='{TOP - 14 - 16 * line}' text-anchor='{anchor}'"
        parts.append(f"<text {place}>{escape(text)}{title}</text>")
    return parts
