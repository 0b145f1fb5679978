"""What the client was promised: acknowledged records, the gaps between them, and whether the disk has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from failover_kit.rehearsal.plan import CLIENT


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Record ``number`` was on the disk, said ``node``, at ``t_ms``."""

    t_ms: int
    number: int
    node: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The longest time without an acknowledgement."""

    begin_ms: int
    end_ms: int
    client: str = CLIENT

    @property
    def ms(self) -> int:
        return self.end_ms - self.begin_ms


class Acknowledgements:
    """Reads the client's file as it grows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._all: list[Acknowledged] = []
        self._at = 0

    def read(self) -> list[Acknowledged]:
        """Everything acknowledged so far."""
        try:
            with open(self.path, encoding="utf-8") as file:
                file.seek(self._at)
                while (line := file.readline()).endswith("\n"):
                    self._at += len(line)
                    words = line.split()
                    if words[1] == "ack":
                        self._all.append(Acknowledged(int(words[0]), int(words[2]), words[3]))
        except FileNotFoundError:
            pass
        return self._all

    def since(self, t_ms: int) -> list[Acknowledged]:
        """Those at or after ``t_ms``."""
        return [ack for ack in self.read() if ack.t_ms >= t_ms]


def longest_gap(times_ms: Iterable[int], begin_ms: int, end_ms: int, client: str = CLIENT) -> Gap:
    """The longest stretch between ``begin_ms`` and ``end_ms`` without one of ``times_ms``."""
    inside = sorted(t for t in times_ms if begin_ms <= t <= end_ms)
    marks = [begin_ms, *inside, end_ms]
    gaps = [Gap(one, other, client) for one, other in pairwise(marks)]
    return max(gaps, key=lambda gap: gap.ms)


def missing(acknowledged: Iterable[Acknowledged], records: str) -> list[int]:
    """Numbers that were acknowledged and are not in the file's text."""
    present = {int(line.split(" ", 1)[0]) for line in records.splitlines() if line[:1].isdigit()}
    return sorted({ack.number for ack in acknowledged} - present)
