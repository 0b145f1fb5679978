"""The diary of a program in a guest: one JSON object per line on the guest's own disk. Standard library only.

Times are ms of CLOCK_BOOTTIME of the guest, the clock that ``/proc/uptime`` shows; ``wall`` is ms of the wall
clock and for people only. Lines that promise something (an acknowledgement, an error, the beginning, the end) are
on the disk before the program goes on.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], int]
Entry = dict[str, Any]


def now_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Diary:
    """Appends lines to ``path``. A diary that is there already is refused: two runs in one file prove nothing."""

    def __init__(self, path: str, clock: Clock = now_ms) -> None:
        self._clock = clock
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def note(self, what: str, **facts: object) -> None:
        """A line that may be lost with the machine."""
        line = json.dumps({"what": what, "t": self._clock(), **facts}, separators=(",", ":")) + "\n"
        written = os.write(self._fd, line.encode("ascii"))
        if written != len(line):
            raise OSError(errno.ENOSPC, "the diary's disk took only a part of a line")

    def promise(self, what: str, **facts: object) -> None:
        """A line that is on the disk when this returns."""
        self.note(what, **facts)
        os.fdatasync(self._fd)

    def error(self, during: str, error: OSError, **facts: object) -> None:
        """An error that the program met, with its number and its name. It is never tried again silently."""
        number = error.errno or 0
        self.promise(
            "error",
            during=during,
            errno=number,
            name=errno.errorcode.get(number, "?"),
            message=os.strerror(number) if number else str(error),
            **facts,
        )


@dataclass(frozen=True, slots=True)
class DiaryError(Exception):
    """A line that cannot be read, or a diary that is empty: then nothing is proved."""

    place: str
    fact: str

    def __str__(self) -> str:
        return f"{self.place}: {self.fact}"


def entries(text: str, name: str) -> Iterator[Entry]:
    """The lines of a diary. A last line without its end was being written, and promises nothing.

    DiaryError for any other line that is not one of a diary.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines[:-1], 1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise DiaryError(f"{name}:{number}", f"not a line of a diary: {line[:80]!r}") from None
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("what"), str)
            or not isinstance(entry.get("t"), int)
        ):
            raise DiaryError(f"{name}:{number}", f"a line without 'what' and 't': {line[:80]!r}")
        yield entry
