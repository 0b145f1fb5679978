"""What the ledger and the power say about a case, in numbers and in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from failover_kit.rehearsal.ledger import Attempt, Power, Span


class Together(NamedTuple):
    """Two nodes held the service at once; ``lasted_ms`` until one let go, or until the end of the watch."""

    begin_ms: int
    lasted_ms: int
    ended: bool


def together(spans: Sequence[Span], now_ms: int) -> Together | None:
    """The first moment at which both nodes held, None when there was none."""
    found = []
    for one in spans:
        for other in spans:
            if one.node == other.node:
                continue
            begin_ms = max(one.begin_ms, other.begin_ms)
            end_ms = min(now_ms if span.end_ms is None else span.end_ms for span in (one, other))
            if begin_ms < end_ms:
                ended = one.end_ms is not None or other.end_ms is not None
                found.append(Together(begin_ms, end_ms - begin_ms, ended))
    return min(found, default=None)


def seconds(ms: int) -> str:
    """For people: 2.4 s."""
    return f"{ms / 1000:.1f} s"


def told(attempts: Sequence[Attempt], power: Sequence[Power], since_ms: int) -> list[str]:
    """What happened after ``since_ms``, in order: starts, ends of stops, cuts of power."""
    events = [(a.t_ms, _attempt(a)) for a in attempts if a.t_ms >= since_ms]
    events += [(p.t_ms, f"{p.node} {'boots' if p.on else 'is off'}") for p in power if p.t_ms >= since_ms]
    return [f"{text} after {seconds(t_ms - since_ms)}" for t_ms, text in sorted(events) if text]


def _attempt(call: Attempt) -> str:
    if call.verb == "start" and call.what == "begin":
        return f"{call.node} begins to start"
    if call.what == "end" and call.code != 0:
        return f"{call.verb} fails on {call.node}"
    if call.verb == "stop" and call.what == "end":
        return f"{call.node} has stopped"
    return ""


def shortened(texts: Sequence[str], most: int) -> str:
    """The first and the last of many, as one text."""
    if len(texts) <= most:
        return ", ".join(texts)
    return ", ".join([*texts[: most - 1], f"… ({len(texts) - most} more)", texts[-1]])
