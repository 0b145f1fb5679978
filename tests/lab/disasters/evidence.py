"""What was seen from outside the nodes, by the power switch, the machines' keeper and the shelf, as facts. Pure.

All times are milliseconds of one clock, the lab's (CLOCK_MONOTONIC of the host).
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lab import plan
from lab.frames import Frame


class Power(Protocol):
    """The part of ``machine.PowerEvent`` that counts here."""

    t_ms: int
    guest: str
    what: str
    by: str
    boot: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A node lost its power by its outlet. ``back_ms``: its next start, None when there was none yet."""

    node: str
    gone_ms: int
    back_ms: int | None


def cut_by_outlet(events: Iterable[Power], node: str, since_ms: float) -> Cut | None:
    """The first time since then that the outlet ended the machine of ``node``."""
    gone: int | None = None
    for event in sorted(events, key=lambda event: event.t_ms):
        if event.guest != node or event.t_ms < since_ms:
            continue
        if gone is None and (event.what, event.by) == ("ended", "outlet"):
            gone = event.t_ms
        elif gone is not None and event.what == "started":
            return Cut(node, gone, event.t_ms)
    return None if gone is None else Cut(node, gone, None)


def by_node(frames: Iterable[Frame], node: str) -> list[Frame]:
    mac = plan.guest(node).nic("eth3").mac
    return [frame for frame in frames if frame.mac == mac]


def uses(frames: Iterable[Frame]) -> list[Frame]:
    """Reads and writes; what is left out are the queries by which a node looks whether the shelf is there."""
    return [frame for frame in frames if frame.kind in ("read", "write")]


def writes(frames: Iterable[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.kind == "write"]


def between(frames: Iterable[Frame], begin_ms: float, end_ms: float | None) -> list[Frame]:
    """``end_ms`` None: to the last one."""
    return [frame for frame in frames if begin_ms <= frame.t_ms and (end_ms is None or frame.t_ms < end_ms)]


def summary(frames: Sequence[Frame]) -> str:
    """``12 writes, 3 reads, 1 query``."""
    names = {"write": ("write", "writes"), "read": ("read", "reads"), "other": ("query", "queries")}
    parts = []
    for kind, (one, many) in names.items():
        count = sum(frame.kind == kind for frame in frames)
        if count:
            parts.append(f"{count} {one if count == 1 else many}")
    return ", ".join(parts) or "nothing"


def turns(frames: Iterable[Frame]) -> int:
    """How often the writer changed from one node to the other: 0 or 1 is a handover, more is two at once."""
    last, count = "", 0
    for frame in writes(frames):
        if last and frame.mac != last:
            count += 1
        last = frame.mac
    return count


def sectors_of_both(first: Iterable[Frame], second: Iterable[Frame]) -> int:
    """How many sectors both wrote to."""
    return len(_sectors(first) & _sectors(second))


def _sectors(frames: Iterable[Frame]) -> set[int]:
    return {sector for frame in writes(frames) for sector in range(frame.lba, frame.lba + frame.sectors)}


# --- the order of events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """Something that happened, for the timeline."""

    t_ms: float
    who: str
    text: str


class Timeline:
    """Moments in their order, told relative to one of them."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    def add(self, t_ms: float, who: str, text: str) -> None:
        if not any(
            moment.who == who and moment.text == text and abs(moment.t_ms - t_ms) < 1 for moment in self.moments
        ):
            insort(self.moments, Moment(t_ms, who, text))

    def since(self, t_ms: float) -> list[Moment]:
        return self.moments[bisect_left(self.moments, Moment(t_ms, "", "")) :]

    def lines(self, zero_ms: float, since_ms: float) -> list[str]:
        """``+12043 ms  switch  plug 1 (pete) OFF``."""
        wide = max((len(moment.who) for moment in self.moments), default=0)
        return [
            f"{moment.t_ms - zero_ms:+9.0f}  {moment.who:{wide}}  {moment.text}" for moment in self.since(since_ms)
        ]

    def document(self, zero_ms: float) -> str:
        """As JSON: a list of objects with ``t_ms`` relative to ``zero_ms``."""
        found = [{"t_ms": round(m.t_ms - zero_ms), "who": m.who, "what": m.text} for m in self.moments]
        return json.dumps(found, indent=1) + "\n"


def add_switch(timeline: Timeline, events: Iterable[Mapping[str, Any]], offset_ms: float) -> None:
    """What the switch was told and did; ``offset_ms`` is added to its clock. Logins and looks are left out."""
    for event in events:
        if event["event"] == "switched":
            found = plan.by_plug(int(event["outlet"]))
            whose = f" ({found.name})" if found is not None else ""
            text = f"plug {event['outlet']}{whose} is {str(event['to']).upper()}"
            timeline.add(event["t_ms"] + offset_ms, plan.SWITCH, text)


def add_power(timeline: Timeline, events: Iterable[Power]) -> None:
    for event in events:
        timeline.add(event.t_ms, event.guest, f"power {event.what}, by {event.by} (boot {event.boot})")


def add_said(timeline: Timeline, node: str, recent: Iterable[Mapping[str, Any]], offset_ms: float) -> None:
    """Sentences of failoverd (``recent`` of its status); ``offset_ms`` is added to that node's wall clock."""
    for said in recent:
        level = str(said["level"]).lower()
        text = str(said["text"]) if level == "info" else f"{level}: {said['text']}"
        timeline.add(said["wall_ms"] + offset_ms, node, text)


def add_shelf(timeline: Timeline, frames: Sequence[Frame], node: str, pause_ms: float = 2_000) -> None:
    """When a node began and ceased to write to the shelf; a pause of ``pause_ms`` ends a spell."""
    spell: list[Frame] = []
    for frame in [*writes(by_node(frames, node)), None]:
        if spell and (frame is None or frame.t_ms - spell[-1].t_ms > pause_ms):
            _add_spell(timeline, node, spell)
            spell = []
        if frame is not None:
            spell.append(frame)


def _add_spell(timeline: Timeline, node: str, spell: Sequence[Frame]) -> None:
    if len(spell) == 1:
        timeline.add(spell[0].t_ms, "shelf", f"one write of {node}")
        return
    timeline.add(spell[0].t_ms, "shelf", f"{node} begins to write")
    timeline.add(spell[-1].t_ms, "shelf", f"last write of {node} for now, {len(spell)} since it began")
