"""A scene as rows: who, what, when in ms from the fault. Pure.

Beginnings and ends of an agent's call become one row with its duration, status screens read from the switch
in one go become one row, log-outs are left out, and a client appears where it waited long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from failover_kit.rehearsal.events import Happening, Kind
from failover_kit.rehearsal.plan import SWITCH
from failover_kit.rehearsal.records import Gap

GAP_SHOWN_MS = 200
"""Shorter waits of the client are its ordinary pace on a busy machine."""


STATUS_COMMAND = "/S"
LOGOUTS = ("/X,Y", "/X")


@dataclass(frozen=True, slots=True)
class Row:
    """``at_ms`` is from the fault; ``lane`` "" is the rehearsal itself."""

    at_ms: int
    lane: str
    kind: Kind
    text: str
    level: str


def rows(
    happenings: Sequence[Happening], fault_ms: int, gaps: Iterable[Gap] = (), end_ms: int | None = None
) -> list[Row]:
    """The rows of one scene, in order of time. A gap that lasts until ``end_ms`` was not ended by a record."""
    found = [*_plain(happenings, fault_ms), *_calls(happenings, fault_ms)]
    for gap in gaps:
        if gap.ms >= GAP_SHOWN_MS:
            begin = gap.begin_ms - fault_ms
            found.append(Row(begin, gap.client, Kind.CLIENT, "last acknowledgement for a while", "info"))
            ended = end_ms is None or gap.end_ms < end_ms
            text = f"{'acknowledged again, after' if ended else 'still waits, since'} {gap.ms} ms"
            found.append(Row(gap.end_ms - fault_ms, gap.client, Kind.CLIENT, text, "info"))
    return sorted(found, key=lambda row: row.at_ms)


def _plain(happenings: Sequence[Happening], fault_ms: int) -> list[Row]:
    """Everything that is not an agent's call. Of status screens read in one go the first says how many."""
    found: list[Row] = []
    screens: list[int] = []  # when the switch's status was read since it was last told something

    def flush() -> None:
        if screens:
            count = f", {len(screens)} times until {screens[-1]:+d}" if len(screens) > 1 else ""
            found.append(Row(screens[0], SWITCH, Kind.SWITCH, f"status screen read{count}", "info"))
            screens.clear()

    for entry in happenings:
        at_ms = entry.t_ms - fault_ms
        if entry.kind is Kind.SWITCH and entry.text == STATUS_COMMAND:
            screens.append(at_ms)
            continue
        if entry.kind is Kind.SWITCH:
            flush()
        if entry.kind is not Kind.AGENT and not (entry.kind is Kind.SWITCH and entry.text in LOGOUTS):
            found.append(Row(at_ms, entry.lane, entry.kind, entry.text, entry.level))
    flush()
    return found


def _calls(happenings: Sequence[Happening], fault_ms: int) -> list[Row]:
    """One row for each call of an agent, at its end; at its beginning when it has none."""
    begun: dict[tuple[str, str], Happening] = {}
    found = []
    for entry in happenings:
        if entry.kind is not Kind.AGENT:
            continue
        call, _, outcome = entry.text.partition(" ... ")
        if not outcome:
            begun[entry.lane, call] = entry
            continue
        start = begun.pop((entry.lane, call), entry)
        level = "info" if outcome == "done" else "alarm"
        text = f"{call} {outcome} in {entry.t_ms - start.t_ms} ms"
        found.append(Row(entry.t_ms - fault_ms, entry.lane, Kind.AGENT, text, level))
    for entry in begun.values():
        text = f"{entry.text} begun, no end seen"
        found.append(Row(entry.t_ms - fault_ms, entry.lane, Kind.AGENT, text, "warning"))
    return found


def switch_text(event: dict[str, Any]) -> str:
    """What the timeline may show of an event of the switch; "" for nothing."""
    name = event["event"]
    if name == "command":
        return str(event["text"])
    if name == "login_refused":
        return "login refused: wrong password"
    if name in ("switched", "stuck", "switch_failed"):
        what = {"switched": "outlet is", "stuck": "relay is stuck, not", "switch_failed": "failed to go"}[name]
        return f"{event['outlet']} {event['name']}: {what} {str(event['to']).upper()}"
    return ""
