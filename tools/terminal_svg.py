"""What a command printed on a terminal of 80 columns, as an SVG that needs nothing else. Pure.

Each word group stands at its own column and has the width of its letters, so that tables are straight in whatever
monospaced font the reader has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

COLUMNS = 80
LETTER = 8.4
LINE = 18
MARGIN = 14
BAR = 30

# The foreground colours that failoverctl uses (ECMA-48, SGR).
CLASSES = {"32": "good", "33": "warn", "31;1": "bad"}

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --faint: #5a6675; --paper: #ffffff; --panel: #eceff3;
  --rule: #d5dae1; --good: #1a7431; --warn: #8f5c00; --bad: #b00020; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --faint: #9aa7b6; --paper: #14181d; --panel: #252c35;
  --rule: #38424e; --good: #5bb873; --warn: #f0b44c; --bad: #ff6b7a; } }
text { font: 14px 'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace; fill: var(--ink);
  white-space: pre; }
.faint { fill: var(--faint); } .paper { fill: var(--paper); stroke: var(--rule); } .panel { fill: var(--panel); }
.good { fill: var(--good); } .warn { fill: var(--warn); } .bad { fill: var(--bad); font-weight: bold; }
"""


def picture(command: str, output: str, code: int, *, limit: int = 0) -> str:
    """``output``, with its colours, below a bar with ``command`` (and whose prompt) and its exit code. ``limit``:
    the first so many lines, and how many more there are. ValueError for a colour that nobody knows, or in a line
    that is wider than the terminal.
    """
    lines = [part for line in output.rstrip("\n").split("\n") for part in _folded(line)]
    left = len(lines) - limit if limit else 0
    shown = lines[:limit] if left > 0 else lines
    width = round(2 * MARGIN + COLUMNS * LETTER)
    height = BAR + 2 * MARGIN + LINE * (len(shown) + (left > 0))
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img' aria-label='{escape(command)}'><style>{STYLE}</style>",
        f"<rect class='paper' x='.5' y='.5' width='{width - 1}' height='{height - 1}' rx='6'/>",
        f"<path class='panel' d='M1 {BAR}V7a6 6 0 0 1 6-6H{width - 7}a6 6 0 0 1 6 6V{BAR}z'/>",
        _text(0, 20, command),
        _text(COLUMNS - len(f"exit code {code}"), 20, f"exit code {code}", "faint"),
    ]
    y = BAR + MARGIN + 10
    for line in shown:
        parts += [_text(at, y, words, kind) for at, words, kind in _groups(line)]
        y += LINE
    if left > 0:
        parts.append(_text(0, y, f"… {left} more lines", "faint"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _folded(line: str) -> list[str]:
    """As the terminal does it: a line that is too long (a command to be copied) goes on in the next one."""
    if len(re.sub(r"\033\[[0-9;]*m", "", line)) <= COLUMNS:
        return [line]
    if "\033" in line:
        raise ValueError(f"{line!r} is wider than {COLUMNS} columns")
    return [line[at : at + COLUMNS] for at in range(0, len(line), COLUMNS)]


def _groups(line: str) -> Iterator[tuple[int, str, str]]:
    """(column, words, class) of what is parted by two spaces or by a colour."""
    column, kind = 0, ""
    for number, part in enumerate(re.split(r"\033\[([0-9;]*)m", line)):
        if number % 2:
            if part not in ("0", *CLASSES):
                raise ValueError(f"colour {part!r} has no class in terminal_svg.CLASSES")
            kind = CLASSES.get(part, "")
            continue
        for found in re.finditer(r"\S+(?: \S+)*", part):
            yield column + found.start(), found[0], kind
        column += len(part)


def _text(column: int, y: int, words: str, kind: str = "") -> str:
    of_class = f" class='{kind}'" if kind else ""
    long = len(words) * LETTER
    at = MARGIN + column * LETTER
    return f"<text{of_class} x='{at:.1f}' y='{y}' textLength='{long:.1f}'>{escape(words, quote=False)}</text>"
