"""What the three parsers share: words with a place, times, and a report that collects everything wrong.

Pure. Only blank and tab separate words; other characters that look like blanks stay visible in a word
and are refused where they matter, since Heartbeat would have seen them as part of a name.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from failover_kit.manager.config import Note, Problem

MAX_TIME_MS = 24 * 60 * 60 * 1000
"""No time in a failover configuration is longer than a day: a longer one is a slip of the unit."""

_TIME = re.compile(r"(?P<whole>[0-9]{0,9})(?:\.(?P<part>[0-9]{1,6}))?(?P<unit>s|sec|ms|msec|us|usec)?")
_MICROSECONDS = {"s": 1_000_000, "sec": 1_000_000, "ms": 1000, "msec": 1000, "us": 1, "usec": 1}


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a line and where it stands; line and column count from 1."""

    text: str
    line: int
    column: int


@dataclass(slots=True)
class Report:
    """Problems and notes of one file, in the order they were found."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def error(self, place: Word | None, text: str) -> None:
        """One more reason why the file cannot be used; ``place`` None means the file as a whole."""
        line, column = (place.line, place.column) if place else (0, 0)
        self.problems.append(Problem(self.file, line, column, text))

    def note(self, place: Word, text: str) -> None:
        self.notes.append(Note(self.file, place.line, place.column, text))

    def sorted_problems(self) -> tuple[Problem, ...]:
        """By place, each once."""
        return tuple(sorted(dict.fromkeys(self.problems), key=lambda p: (p.line, p.column)))

    def sorted_notes(self) -> tuple[Note, ...]:
        return tuple(sorted(dict.fromkeys(self.notes), key=lambda n: (n.line, n.column)))


def text_lines(text: str, report: Report) -> list[str]:
    """The lines of ``text`` without their ends; carriage returns are reported once and taken off.

    Only a newline ends a line, as for Heartbeat: ``str.splitlines`` would cut at a form feed, too.
    """
    lines = text.split("\n")
    first_cr = next((n for n, line in enumerate(lines, 1) if line.endswith("\r")), None)
    if first_cr is not None:
        place = Word("", first_cr, len(lines[first_cr - 1]))
        report.error(place, "carriage return at the end of the line; save the file with Unix line ends")
    return [line.removesuffix("\r") for line in lines]


def split_words(line: str, number: int, *, commas: bool = False, start: int = 0) -> list[Word]:
    """The words of ``line`` from index ``start`` on; ``commas`` separate words, too."""
    pattern = r"[^ \t,]+" if commas else r"[^ \t]+"
    return [
        Word(found.group(), number, found.start() + 1) for found in re.compile(pattern).finditer(line, start)
    ]


def shown(text: str) -> str:
    """A word of a file as an error quotes it: printable, and cut when it is long. Never for secrets."""
    safe = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
    return safe if len(safe) <= 60 else safe[:57] + "..."


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that ``name`` was probably meant to be, or ""."""
    close = difflib.get_close_matches(name.lower()[:60], list(known), n=1, cutoff=0.6)
    return close[0] if close else ""


def time_ms(text: str) -> int:
    """Milliseconds of ``10``, ``10s``, ``1.5``, ``500ms``, ``200000us``; a bare number is seconds.

    Less than a millisecond is rounded up. ValueError with fact and remedy otherwise.
    """
    found = _TIME.fullmatch(text)
    if found is None or not (found["whole"] or found["part"]):
        raise ValueError(f"{shown(text)} is no time; write seconds as 10 or 10s, or use 500ms, 200000us")
    unit = _MICROSECONDS[found["unit"] or "s"]
    millionths = int((found["part"] or "").ljust(6, "0"))
    microseconds = int(found["whole"] or "0") * unit + -(-millionths * unit // 1_000_000)
    value_ms = -(-microseconds // 1000)
    if value_ms > MAX_TIME_MS:
        raise ValueError(f"{shown(text)} is more than a day; a bare number means seconds, for others add ms")
    return value_ms


def as_time(value_ms: int) -> str:
    """A time as one would write it in ha.cf: ``2s``, ``500ms``."""
    return f"{value_ms // 1000}s" if value_ms % 1000 == 0 else f"{value_ms}ms"
