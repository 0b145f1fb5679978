"""One scene's outcome, and how it is printed on a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from dataclasses import dataclass, field
from typing import TextIO

from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.ledger import Span
from failover_kit.rehearsal.plan import SWITCH
from failover_kit.rehearsal.timeline import Row

WIDTH = 110
_COLOURS = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2"}


@dataclass
class Outcome:
    """Everything that is told of a scene. Times in ms of the boot clock unless they are in rows."""

    number: int
    title: str
    expectation: str
    begin_ms: int = 0
    fault_ms: int = 0
    end_ms: int = 0
    passed: bool = False
    failure: str = ""
    facts: list[str] = field(default_factory=list)
    proofs: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    gap_ms: int = 0
    acknowledged_ms: dict[str, list[int]] = field(default_factory=dict)  # by client
    held: list[Span] = field(default_factory=list)
    powered: list[tuple[str, int, int]] = field(default_factory=list)  # node, from, to
    outlets: list[tuple[int, str, str]] = field(default_factory=list)  # t, plug, on or off

    def as_json(self) -> dict[str, object]:
        """For ``--json``: the story and the verdict, without what only the picture needs."""
        return {
            "scene": self.number,
            "title": self.title,
            "expectation": self.expectation,
            "passed": self.passed,
            "failure": self.failure,
            "lasted_ms": self.end_ms - self.begin_ms,
            "client_gap_ms": self.gap_ms,
            "facts": self.facts,
            "proofs": self.proofs,
            "trouble": self.trouble,
            "timeline": [
                {"ms": row.at_ms, "who": row.lane, "kind": row.kind.value, "what": row.text, "level": row.level}
                for row in self.rows
            ],
        }


class Printer:
    """Prints outcomes; colour only where a person looks, and never without a word that says the same."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._colour = self._stream.isatty()
        self._unfinished = False

    def progress(self, text: str) -> None:
        """One line that the next one overwrites, where somebody looks."""
        if self._colour:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\033[K{text[:width]}")
            self._stream.flush()
            self._unfinished = True

    def line(self, text: str = "", *styles: str) -> None:
        if self._unfinished:
            self._stream.write("\r\033[K")
            self._unfinished = False
        if self._colour and styles:
            text = f"\033[{';'.join(_COLOURS[style] for style in styles)}m{text}\033[0m"
        print(text, file=self._stream, flush=True)

    def begin(self, outcome: Outcome) -> None:
        self.line()
        self.line(f"Scene {outcome.number}: {outcome.title}", "bold")
        self.line(f"  {outcome.expectation}")

    def end(self, outcome: Outcome) -> None:
        self.line(f"  {'ms':>7}  who")
        for row in outcome.rows:
            self._row(row)
        for fact in outcome.facts:
            self.line(f"  - {fact}")
        for proof in outcome.proofs:
            self.line(f"  proved: {proof}")
        seconds = (outcome.end_ms - outcome.begin_ms) / 1000
        if outcome.passed:
            self.line(f"  PASSED in {seconds:.1f} s, client's longest wait {outcome.gap_ms} ms", "green")
        else:
            self.line(f"  FAILED after {seconds:.1f} s: {outcome.failure}", "red", "bold")
            for text in outcome.trouble:
                self.line(f"    {text}")

    def _row(self, row: Row) -> None:
        mark = {"warning": "warning: ", "alarm": "ALARM: "}.get(row.level, "")
        who = row.lane or "(we)"
        head = f"  {row.at_ms:>+7}  {who:<9} "
        says = f'"{row.text}"' if row.kind is Kind.SAYS else row.text
        lines = textwrap.wrap(mark + says, WIDTH - len(head)) or [""]
        style = {"alarm": "red", "warning": "yellow"}.get(row.level)
        if style is None:
            style = {Kind.FAULT: "bold", Kind.SEEN: "dim", Kind.POWER: "bold"}.get(row.kind)
        if style is None and (row.lane == SWITCH or row.kind is Kind.CLIENT):
            style = "blue"
        for index, text in enumerate(lines):
            self.line((head if index == 0 else " " * len(head)) + text, *([style] if style else []))
