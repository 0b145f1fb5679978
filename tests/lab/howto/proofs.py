"""What the frames on the storage network prove: at each moment only one node writes. Pure.

The witness stands at the shelf and sees what arrives there, whatever the nodes say of themselves. A passive node may
look (it finds the disk at its boot, and asks for its size); it may not write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Seen(Protocol):
    """A frame as the witness notes it; times in ms of its clock."""

    @property
    def t_ms(self) -> float: ...
    @property
    def kind(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Handover:
    """Who wrote when around one handover. ``trouble`` is "" when only one node wrote at each moment."""

    giver_writes: int
    taker_writes: int
    gap_ms: float
    trouble: str = ""


def handover(giver: Sequence[Seen], taker: Sequence[Seen], names: tuple[str, str]) -> Handover:
    """Judge the frames of a span of time in which the service moved once. A span without writes proves nothing."""
    given = sorted(frame.t_ms for frame in giver if frame.kind == "write")
    taken = sorted(frame.t_ms for frame in taker if frame.kind == "write")
    for times, name in ((given, names[0]), (taken, names[1])):
        if not times:
            return Handover(len(given), len(taken), 0, f"the witness saw no write of {name}, so nothing is proved")
    late = [t for t in given if t >= taken[0]]
    trouble = ""
    if late:
        trouble = f"{len(late)} frames of {names[0]} wrote after the first of {names[1]}, up to {late[-1] - taken[0]} ms"
    return Handover(len(given), len(taken), taken[0] - given[-1], trouble)


def silent(frames: Sequence[Seen], begin_ms: int, end_ms: int, name: str) -> str:
    """"" when no frame at all came in that time, else the sentence."""
    found = [frame for frame in frames if begin_ms <= frame.t_ms < end_ms]
    if not found:
        return ""
    kinds = ", ".join(sorted({frame.kind for frame in found}))
    return f"{len(found)} frames of {name} ({kinds}) reached the shelf while it was off, the last {found[-1].t_ms - begin_ms} ms after"


def writes(frames: Sequence[Seen]) -> int:
    return sum(frame.kind == "write" for frame in frames)


def turns(frames: Mapping[str, Sequence[Seen]]) -> list[str]:
    """The nodes in the order in which they wrote, each run of writes of one node once."""
    merged = sorted((frame.t_ms, name) for name, found in frames.items() for frame in found if frame.kind == "write")
    order: list[str] = []
    for _, name in merged:
        if not order or order[-1] != name:
            order.append(name)
    return order
