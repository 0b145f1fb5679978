"""What the witness at the shelf must have seen in a round. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.campaign import schedule
from lab.howto import proofs
from lab.howto.proofs import Seen

MOVES = {
    schedule.CORD_ACTIVE: 1,
    schedule.OUTLET_ACTIVE: 1,
    schedule.CRASH_ACTIVE: 1,
    schedule.CORD_PASSIVE: 0,
    schedule.BOTH: 1,
    schedule.STANDBY: 1,
    schedule.CUT_GIVER: 1,
    schedule.CUT_TAKER: 2,
}
"""How often, at the most, the service may move in a round. Each move is one change of who writes; two kernels that
write side by side change more often. A taker that loses its power may have had the service already."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A round's kind, and who was active before it and after it."""

    kind: str
    active: str
    now_active: str


def wrong_turns(moved: Moved, frames: Mapping[str, Sequence[Seen]]) -> tuple[list[str], str]:
    """Who wrote in turn, and what is wrong with it; "" nothing."""
    turns = proofs.turns(frames)
    told = ", ".join(turns) or "nobody"
    if not turns:
        return turns, "the witness saw no write at all, so nothing is proved"
    if turns[0] != moved.active:
        return turns, f"{moved.active} was active, and the first to write was another: {told}"
    if turns[-1] != moved.now_active:
        return turns, f"{moved.now_active} is active now, and the last to write was another: {told}"
    if len(turns) - 1 > MOVES[moved.kind]:
        return turns, f"the writer changed {len(turns) - 1} times, {MOVES[moved.kind]} are explained: {told}"
    return turns, ""


def wrote_without_power(
    offs: Mapping[str, Sequence[tuple[float, float]]], frames: Mapping[str, Sequence[Seen]]
) -> str:
    """The sentence when a frame of a node came in a span in which its machine was off; "" when none did."""
    for name, spans in offs.items():
        for begin_ms, end_ms in spans:
            if late := proofs.silent(frames[name], begin_ms, end_ms, name):
                return late
    return ""


def off_spans(events: Sequence[tuple[float, str, str]], end_ms: float) -> dict[str, list[tuple[float, float]]]:
    """From power events (when, who, "started" or "ended") the spans in which each machine was off."""
    spans: dict[str, list[tuple[float, float]]] = {}
    off: dict[str, float] = {}
    for t_ms, name, what in sorted(events):
        if what == "ended":
            off.setdefault(name, t_ms)
        elif name in off:
            spans.setdefault(name, []).append((off.pop(name), t_ms))
    for name, t_ms in off.items():
        spans.setdefault(name, []).append((t_ms, end_ms))
    return spans
