"""What is checked besides the ledger: shots have a reason, nothing says "bug", nothing ended unasked."""

from __future__ import annotations

import re
import time

from failover_kit.rehearsal import proof
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import NODES, peer_of
from failover_kit.rehearsal.stage import SceneFailed, Stage

_OFF = re.compile(r"/(?:OFF|BOOT) (\d+)")
_BUG = re.compile(r"is a bug|Traceback|InvariantViolation|Task exception|never awaited|heard although")

QUIETING = frozenset((
    "kill-daemon", "pause-daemon", "end-daemon", "hang-stop", "power", "reset", "freeze", "cut", "cut-all",
    "one-way", "loss", "kill-agents", "pause-agents",
))  # fmt: skip
"""Faults after which a node may be silent, or ask to be fenced."""

ORDERED = ("fence", "prove")
LATE_MS = 400
"""A turn of our own loop that came this late: the machine is busy, and silence needs no other reason."""


class Audit:
    """``op_timeout_ms``: how long one call of a fence agent may go on after it was announced."""

    def __init__(self, stage: Stage, op_timeout_ms: int) -> None:
        self._stage = stage
        self._op_timeout_ms = op_timeout_ms
        self._from_ms = stage.begin_ms
        self._switch_events = 0
        self._lines = dict.fromkeys(stage.world.nodes, 0)
        self._outlets = {plan.outlet: False for plan in NODES}
        self._late_ms: list[int] = []
        self._turn_ms = time.monotonic() * 1000
        self.shots = 0
        self.by_load = 0

    def turn(self, paused: bool = False) -> None:
        """Called at each turn of the loop; ``paused``: something slow was done on purpose."""
        now_ms = time.monotonic() * 1000
        if not paused:
            self._late_ms.append(round(now_ms - self._turn_ms))
        self._turn_ms = now_ms

    def holders(self) -> None:
        """The ledger. Raises SceneFailed."""
        found = proof.audit(self._stage.world)
        if found:
            raise SceneFailed("; ".join(found))

    def logs(self) -> None:
        """What the daemons said since the last look. Raises SceneFailed."""
        for name, node in self._stage.world.nodes.items():
            lines = node.log[self._lines[name] :]
            self._lines[name] += len(lines)
            for line in lines:
                if _BUG.search(line):
                    raise SceneFailed(f"failoverd on {name} says: {line}")

    def round_is_over(self, kinds: set[str], orders: set[str]) -> None:
        """Every *off* on the switch since the last round was announced, for a reason there was. SceneFailed."""
        events = self._stage.world.switch_events()
        said = [entry for entry in self._stage.world.diary.since(self._from_ms) if entry.kind is Kind.SAYS]
        names = {plan.outlet: plan.name for plan in NODES}
        for event in events[self._switch_events :]:
            if event["event"] == "switched" and event["outlet"] in names:
                self._outlets[event["outlet"]] = event["to"] == "on"
            found = _OFF.search(str(event.get("text", ""))) if event["event"] == "command" else None
            if found is None or int(found[1]) not in names:
                continue
            victim, t_ms = names[int(found[1])], int(event["t_ms"])
            reasons = [
                entry.text
                for entry in said
                if entry.lane == peer_of(victim)
                and entry.text.startswith(f"fencing {victim}")
                and t_ms - self._op_timeout_ms - 5_000 <= entry.t_ms <= t_ms + 1_000
            ]
            if not reasons and self._outlets[int(found[1])]:
                raise SceneFailed(f"the switch was told {event['text']} at {t_ms}, and nobody said why")
            if reasons:
                self.shots += 1
                self._explained(victim, reasons[-1], kinds, orders)
        self._switch_events = len(events)
        self._from_ms = max([self._from_ms, *(entry.t_ms - self._op_timeout_ms for entry in said[-1:])])
        self._late_ms = []

    def _explained(self, victim: str, reason: str, kinds: set[str], orders: set[str]) -> None:
        if kinds & QUIETING or ("ordered" in reason and orders & set(ORDERED)):
            return
        if max(self._late_ms, default=0) >= LATE_MS and "silent" in reason:
            self.by_load += 1
            return
        raise SceneFailed(f"{victim} was shot ({reason}), and no fault of this round explains it")
