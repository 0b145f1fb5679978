"""What happened, when, to whom: one list for the timeline, filled from all threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

from failover_kit.spec.deadline import boottime_ms


class Kind(Enum):
    """What sort of thing happened; decides how it is drawn."""

    FAULT = "fault"  # done by the rehearsal
    POWER = "power"
    SAYS = "says"  # a sentence of failoverd
    AGENT = "agent"  # an attempt in the ledger
    SEEN = "seen"  # a mount or address in a node
    SWITCH = "switch"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Happening:
    """``lane`` is a node, the switch, the client, or "" for the rehearsal itself."""

    t_ms: int
    lane: str
    kind: Kind
    text: str
    level: str = "info"  # info, warning, alarm


class Diary:
    """Happenings in the order they were noted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Happening] = []

    def note(
        self, lane: str, kind: Kind, text: str, *, t_ms: int | None = None, level: str = "info"
    ) -> Happening:
        entry = Happening(boottime_ms() if t_ms is None else t_ms, lane, kind, text, level)
        with self._lock:
            self._entries.append(entry)
        return entry

    def since(self, t_ms: int) -> list[Happening]:
        """Everything not earlier than ``t_ms``, sorted by time."""
        with self._lock:
            chosen = [entry for entry in self._entries if entry.t_ms >= t_ms]
        return sorted(chosen, key=lambda entry: entry.t_ms)
