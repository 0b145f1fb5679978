"""The phases of a switchover and of a takeover, one bar a manager, as an SVG picture. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import median

from measure import Sample
from report import POWER_LOSS, SWITCHOVER, Results

WIDTH, LEFT, RIGHT = 900, 110, 70
BAR, STEP, HEAD = 22, 34, 58
FONT = "font-family='system-ui, sans-serif'"


@dataclass(frozen=True)
class Phase:
    """From the end of the one before to the moment ``until``, which a manager without such a thing leaves out."""

    until: str
    words: str
    colour: str
    served: bool = False  # the service still answers


WAIT, OLD, SWITCH, DISK, LAST = "#c9d2dc", "#e0a458", "#b3412f", "#2f6db5", "#17702f"
PHASES: dict[str, tuple[Phase, ...]] = {
    SWITCHOVER: (
        Phase("old: address gone", "order taken, address being stopped", WAIT, served=True),
        Phase("old: disk gone", "disk being released", OLD),
        Phase("new: disk", "handed over, disk being mounted", DISK),
        Phase("new: address", "address being started", LAST),
    ),
    POWER_LOSS: (
        Phase("asked", "nothing done yet", WAIT),
        Phase("proved", "being fenced", SWITCH),
        Phase("new: disk", "disk being mounted", DISK),
        Phase("new: address", "address being started", LAST),
    ),
}
SINCE = {SWITCHOVER: "the order", POWER_LOSS: "the power cut"}


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """Each named moment, in ms."""
    names = dict.fromkeys(name for sample in samples for name in sample.parts)
    return {name: median(sample.parts[name] for sample in samples if name in sample.parts) for name in names}


def spans(event: str, moments: dict[str, float]) -> list[tuple[Phase, float, float]]:
    """Phase, its begin and its end in ms. What is missing goes into the phase that follows."""
    found: list[tuple[Phase, float, float]] = []
    began = 0.0
    for row in PHASES[event]:
        phase, ended = row, moments.get(row.until)
        if ended is None:
            continue
        if not found and row is not PHASES[event][0]:  # it has no switch: nobody can tell noticing from starting
            first = PHASES[event][0]
            phase = Phase(phase.until, f"{first.words}, or {phase.words}", first.colour)
        # Medians of several runs: two moments that are close may have changed places.
        found.append((phase, began, max(began, ended)))
        began = max(began, ended)
    return found


def svg(results: Results) -> str:
    """The picture of both events; "" when neither was measured."""
    parts: list[str] = []
    top = 0
    for event in PHASES:
        rows = [(who, medians(samples)) for (what, who), samples in results.samples.items() if what == event]
        rows = [(who, moments) for who, moments in rows if spans(event, moments)]
        if rows:
            parts += _panel(event, rows, top)
            top += HEAD + STEP * len(rows) + 14
    if not parts:
        return ""
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {top}' role='img' "
        "aria-label='Phases of a planned switchover and of a takeover after power loss'>"
    )
    ground = f"<rect width='{WIDTH}' height='{top}' fill='#fafbfc'/>"
    return "\n".join([head, ground, *parts, "</svg>"]) + "\n"


def _panel(event: str, rows: Sequence[tuple[str, dict[str, float]]], top: int) -> list[str]:
    longest = max(spans(event, moments)[-1][2] for _, moments in rows) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / longest
    title = f"{event}: milliseconds since {SINCE[event]}, medians"
    parts = [_text(12, top + 20, title, 14, weight="600"), *_legend(event, top + 40)]
    for number, (who, moments) in enumerate(rows):
        y = top + HEAD + STEP * number
        parts.append(_text(LEFT - 8, y + 15, who, 12, anchor="end"))
        for phase, began, ended in spans(event, moments):
            x, width = LEFT + began * scale, max(1.0, (ended - began) * scale)
            said = f"{who}, {phase.words}: {began:.0f} to {ended:.0f} ms"
            opacity = " fill-opacity='0.6'" if phase.served else ""
            parts.append(
                f"<rect x='{x:.1f}' y='{y}' width='{width:.1f}' height='{BAR}' fill='{phase.colour}'{opacity}>"
                f"<title>{escape(said)}</title></rect>"
            )
        end = spans(event, moments)[-1][2]
        parts.append(_text(LEFT + end * scale + 6, y + 15, f"{end:.0f}", 12))
    return parts


def _legend(event: str, y: int) -> list[str]:
    parts: list[str] = []
    x = 12.0
    for phase in PHASES[event]:
        parts.append(f"<rect x='{x:.0f}' y='{y - 9}' width='10' height='10' fill='{phase.colour}'/>")
        parts.append(_text(x + 14, y, phase.words, 11))
        x += 30 + 6.2 * len(phase.words)
    return parts


def _text(x: float, y: float, text: str, size: int, *, anchor: str = "start", weight: str = "400") -> str:
    return (
        f"<text x='{x:.1f}' y='{y}' {FONT} font-size='{size}' font-weight='{weight}' fill='#1b2430' "
        f"text-anchor='{anchor}'>{escape(text)}</text>"
    )
