#!/usr/bin/python3 -I
"""Write docs/state-machine.md and its pictures from the transition tables of the core; --check only compares."""

from __future__ import annotations

import math
import pathlib
import sys
from enum import Enum

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "lib"))

from failover_kit.manager.states import GROUP_TABLE, PEER_TABLE  # noqa: E402

PAGE = TOP / "docs" / "state-machine.md"
PICTURES = TOP / "docs" / "pictures"
WIDTH, HEIGHT, HALF_W, HALF_H = 1000, 640, 74, 20
# Where each state stands; a state that is not placed here raises KeyError, so none is forgotten.
PLACES = {
    "unknown": (160, 320), "stopped": (380, 90), "starting": (700, 90), "started": (860, 320),
    "stopping": (620, 540), "failed": (300, 540),
    "never-heard": (90, 290), "up": (250, 90), "silent": (430, 395), "fencing": (910, 370),
    "fenced": (710, 110), "confirmed-dead": (170, 590),
}  # fmt: skip

HEAD = """# States and transitions

Made from the tables in `lib/failover_kit/manager/states.py` by `tools/state_machine.py`; a test compares.
A pair that is not listed is a bug: the core stops deciding, leaves resources alone and says so.
"""


def _border(at: tuple[float, float], to: tuple[float, float]) -> tuple[float, float]:
    """The point on the box around ``at`` that a straight line to ``to`` goes through."""
    dx, dy = to[0] - at[0], to[1] - at[1]
    scale = min(HALF_W / abs(dx) if dx else math.inf, HALF_H / abs(dy) if dy else math.inf)
    return at[0] + dx * scale, at[1] + dy * scale


def _arrow(before: str, after: str, triggers: list[str]) -> tuple[str, list[str]]:
    """One curve with its triggers beside it; to and fro bend to different sides."""
    x1, y1 = PLACES[before]
    x2, y2 = PLACES[after]
    if before == after:
        path = f"M {x1 - 30} {y1 - HALF_H} C {x1 - 60} {y1 - 70}, {x1 + 60} {y1 - 70}, {x1 + 30} {y1 - HALF_H}"
        label_x, label_y = x1, y1 - 64 - 13 * (len(triggers) - 1)
    else:
        length = math.hypot(x2 - x1, y2 - y1)
        bend_x = (x1 + x2) / 2 - (y2 - y1) / length * 44
        bend_y = (y1 + y2) / 2 + (x2 - x1) / length * 44
        begin, end = _border((x1, y1), (bend_x, bend_y)), _border((x2, y2), (bend_x, bend_y))
        path = f"M {begin[0]:.0f} {begin[1]:.0f} Q {bend_x:.0f} {bend_y:.0f}, {end[0]:.0f} {end[1]:.0f}"
        label_x = 0.36 * x1 + 0.48 * bend_x + 0.16 * x2  # at 0.4 of the way, so that labels of crossing curves part
        label_y = 0.36 * y1 + 0.48 * bend_y + 0.16 * y2 + 4
    labels = [
        f'<text x="{label_x:.0f}" y="{label_y + 13 * number:.0f}" class="label">{trigger}</text>'
        for number, trigger in enumerate(triggers)
    ]
    return f'<path d="{path}" class="arrow" marker-end="url(#tip)"/>', labels


def picture(title: str, rows: dict[tuple[Enum, Enum], Enum]) -> str:
    """One transition table as SVG: boxes where PLACES has them, a curve for each pair of states."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, trigger), after in rows.items():
        arrows.setdefault((state.value, after.value), []).append(trigger.value)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M 0 0 L 10 5 L 0 10 z" fill="#555"/></marker></defs>',
        "<style>.arrow{fill:none;stroke:#555;stroke-width:1.3}.box{fill:#eef3fa;stroke:#345;stroke-width:1.5}"
        "text{font-family:sans-serif;text-anchor:middle}.label{font-size:12px;fill:#333;paint-order:stroke;"
        "stroke:#fff;stroke-width:4px}.state{font-size:15px;fill:#123}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    drawn = [_arrow(before, after, triggers) for (before, after), triggers in arrows.items()]
    lines += [path for path, _ in drawn]
    lines += [label for _, labels in drawn for label in labels]
    for name in dict.fromkeys(state for pair in arrows for state in pair):
        x, y = PLACES[name]
        box = f'x="{x - HALF_W}" y="{y - HALF_H}" width="{2 * HALF_W}" height="{2 * HALF_H}" rx="9"'
        lines += [f'<rect {box} class="box"/>', f'<text x="{x}" y="{y + 5}" class="state">{name}</text>']
    return "\n".join([*lines, "</svg>", ""])


def table(title: str, drawn: str, rows: dict[tuple[Enum, Enum], Enum]) -> str:
    """One Markdown table and one picture for one transition table."""
    lines = [f"\n## {title}\n", "| in state | on | becomes |", "| --- | --- | --- |"]
    lines += [f"| {state.value} | {trigger.value} | {after.value} |" for (state, trigger), after in rows.items()]
    lines += ["", f"![{title}: states and what leads from one to the other](pictures/{drawn})", ""]
    return "\n".join(lines)


def made() -> dict[pathlib.Path, str]:
    """The page and its pictures."""
    groups = {(state, trigger): after for (state, trigger), after in GROUP_TABLE.items()}
    peers = {(state, trigger): after for (state, trigger), after in PEER_TABLE.items()}
    both = (("A group on this node", "states-group.svg", groups), ("The other node", "states-peer.svg", peers))
    files = {PICTURES / drawn: picture(title, rows) for title, drawn, rows in both}
    return files | {PAGE: HEAD + "".join(table(title, drawn, rows) for title, drawn, rows in both)}


def main(argv: list[str]) -> int:
    if argv == ["--check"]:
        return 0 if all(path.is_file() and path.read_text() == text for path, text in made().items()) else 1
    for path, text in made().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
