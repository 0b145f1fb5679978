"""One episode as swimlanes, in SVG that takes its colours from the page around it. Pure.

A lane for each node and one for the power switch. Nothing is drawn whose beginning or end the journal does not
have; the table below the picture lists it.
"""

from __future__ import annotations

from collections.abc import Iterator

from failover_kit.explain.facts import Episode, Phase, Step
from failover_kit.explain.text import phase_words, safe
from failover_kit.manager.actions import Level

WIDTH = 1000
LEFT = 96
RIGHT = 24
TOP = 30
LANE = 64
FOOT = 30
LETTER = 6.4
"""About the width of a letter of a label: whether it fits into its bar."""

SWITCH = "switch"

CLASS = {
    Step.SILENCE: "wait",
    Step.DELAY: "wait2",
    Step.RECORD_SHOT: "disk",
    Step.RECORD_RIGHT: "disk",
    Step.LOOK: "read",
    Step.OFF: "off",
    Step.READ_BACK: "read",
    Step.UNPROVED: "bad",
    Step.STOP: "stop",
    Step.GRANT: "disk",
    Step.START: "start",
    Step.START_THERE: "start",
    Step.POWER_ON: "on",
    Step.RETURN: "wait2",
}
"""The class of a phase's bar; failed ones are ``bad``."""

_AT_SWITCH = (Step.LOOK, Step.OFF, Step.READ_BACK, Step.UNPROVED, Step.POWER_ON)
_AT_PEER = (Step.START_THERE, Step.RETURN)


class Scale:
    """Milliseconds of the boot clock to horizontal places."""

    def __init__(self, episode: Episode) -> None:
        times = [episode.begin_ms, episode.end_ms, *(moment.at_ms for moment in episode.moments)]
        times += [t for p in episode.phases for t in (p.begin_ms, p.end_ms) if t is not None]
        times += [episode.last_beat_ms] if episode.last_beat_ms is not None else []
        inside_ms = max(1_000, max(times) - min(times))
        self.zero_ms = min(times)
        self.begin_ms = self.zero_ms - inside_ms // 20
        self.end_ms = self.zero_ms + inside_ms + inside_ms // 20

    def x(self, t_ms: int) -> float:
        inside = min(max(t_ms, self.begin_ms), self.end_ms)
        return LEFT + (inside - self.begin_ms) * (WIDTH - LEFT - RIGHT) / (self.end_ms - self.begin_ms)


def picture(episode: Episode, number: int) -> str:
    """The swimlanes of one episode."""
    scale = Scale(episode)
    lanes = [episode.life.config.node, episode.life.config.peer]
    if any(phase.step in _AT_SWITCH for phase in episode.phases):
        lanes.append(SWITCH)
    height = TOP + LANE * len(lanes) + FOOT
    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='Picture of episode {number}'>"]
    for index, lane in enumerate(lanes):
        y = _middle(index)
        role = {0: "this journal", 1: "the peer"}.get(index, "fence device")
        parts.append(f"<text x='8' y='{y}'>{safe(lane)}</text>")
        parts.append(f"<text class='axis' x='8' y='{y + 14}'>{role}</text>")
        parts.append(_bar(LEFT, WIDTH - RIGHT, y, 1, "line"))
    parts += _ticks(scale, height)
    parts += _served(episode, scale)
    parts += [_phase(phase, scale, lanes) for phase in episode.phases]
    parts += _warnings(episode, scale, lanes)
    return "".join([*parts, "</svg>"])


def _middle(index: int) -> int:
    return TOP + LANE * index + LANE // 2


def _bar(x1: float, x2: float, y: float, thick: float, kind: str, *, title: str = "") -> str:
    inner = f"<title>{safe(title)}</title>" if title else ""
    place = f"x='{x1:.1f}' y='{y - thick / 2:.1f}' width='{max(x2 - x1, 1.5):.1f}' height='{thick}'"
    return f"<rect class='{kind}' {place}>{inner}</rect>"


def _ticks(scale: Scale, height: int) -> Iterator[str]:
    """Seconds from the first thing in the picture, at most about ten of them."""
    span_ms = scale.end_ms - scale.zero_ms
    steps = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000, 3_600_000)
    step_ms = next((step for step in steps if span_ms / step <= 10), 24 * 3_600_000)
    for at_ms in range(0, span_ms, step_ms):
        x = scale.x(scale.zero_ms + at_ms)
        yield f"<line class='tick' x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{height - FOOT + 4}'/>"
        text = f"{at_ms / 1000:g} s"
        yield f"<text class='axis' x='{x:.1f}' y='{height - 10}' text-anchor='middle'>{text}</text>"


def _served(episode: Episode, scale: Scale) -> Iterator[str]:
    """Where a group is known to have run, as far as this journal knows: before and after, on each node."""
    config = episode.life.config
    starts = [p for p in episode.phases if p.good and not p.inside and p.end_ms is not None]
    for index, step, ran, runs in (
        (0, Step.START, episode.ran_here, episode.runs_here),
        (1, Step.START_THERE, episode.ran_there, episode.runs_there),
    ):
        node = (config.node, config.peer)[index]
        y = _middle(index) + 22
        began = [p.end_ms for p in starts if p.step is step and p.end_ms is not None]
        stops = [p.begin_ms for p in episode.phases if p.step is Step.STOP and p.begin_ms is not None]
        if ran:
            end_ms = min(stops, default=scale.end_ms) if index == 0 else _last_known(episode, scale, bool(runs))
            title = f"{' and '.join(ran)} on {node}"
            yield _bar(scale.x(scale.begin_ms), scale.x(end_ms), y, 6, "runs", title=title)
        if runs and began:
            title = f"{' and '.join(runs)} on {node}"
            yield _bar(scale.x(max(began)), scale.x(scale.end_ms), y, 6, "runs", title=title)


def _last_known(episode: Episode, scale: Scale, to_the_end: bool) -> int:
    """How long the peer is known to have run what it ran: to its last beat."""
    if to_the_end:
        return scale.end_ms
    if episode.last_beat_ms is not None:
        return episode.last_beat_ms
    return episode.begin_ms


def _phase(phase: Phase, scale: Scale, lanes: list[str]) -> str:
    if phase.begin_ms is None or phase.end_ms is None:
        return ""
    index = 1 if phase.step in _AT_PEER else 0
    if phase.step in _AT_SWITCH:
        index = lanes.index(SWITCH)
    x1, x2 = scale.x(phase.begin_ms), scale.x(phase.end_ms)
    kind = CLASS[phase.step] if phase.good else "bad"
    what, took = phase_words(phase)
    if phase.inside:
        # A little shorter than it is, so that neighbours can be told apart.
        return _bar(x1, max(x1, x2 - 1.5), _middle(index) + 13, 5, kind, title=f"{what}: {took}")
    y = _middle(index)
    bar = _bar(x1, x2, y, 18, kind, title=f"{what}: {took}")
    text = f"{phase.step.value} {took}"
    if len(text) * LETTER > x2 - x1:
        text = phase.step.value
    if len(text) * LETTER > x2 - x1:
        return bar
    return f"{bar}<text class='in' x='{(x1 + x2) / 2:.1f}' y='{y + 4}' text-anchor='middle'>{safe(text)}</text>"


def _warnings(episode: Episode, scale: Scale, lanes: list[str]) -> Iterator[str]:
    """A small triangle above the lane of whoever warned; the sentence is its title."""
    for moment in episode.moments:
        if moment.lane not in (*lanes, "operator"):
            continue
        if moment.level is Level.INFO and moment.lane != "operator":
            continue
        index = lanes.index(moment.lane) if moment.lane in lanes else 0
        x, y = scale.x(moment.at_ms), _middle(index) - 12
        kind = "order" if moment.lane == "operator" else moment.level.value
        points = f"{x - 5:.1f},{y - 10} {x + 5:.1f},{y - 10} {x:.1f},{y}"
        yield f"<polygon class='{kind}' points='{points}'><title>{safe(moment.text)}</title></polygon>"
