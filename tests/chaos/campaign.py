"""Plays a schedule: faults, heal, the way back, proof; round after round until one fails or time is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos import bound, processes, remedy
from chaos.audits import Audit
from chaos.deeds import DEEDS, Deed, Order, give_power
from chaos.schedule import Fault, Round
from chaos.views import look, unrest
from failover_kit.rehearsal import proof
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.main import STAGE_ERRORS
from failover_kit.rehearsal.plan import DEADTIME_MS, FRONT, HEARTBEAT, NODES, PETE, peer_of
from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.spec.deadline import Deadline, boottime_ms

TURN_S = 0.01
AUDIT_MS = 500
SETTLE_MS = 12_000
"""So long the pair may help itself before the operator reads status, and again after each thing he did."""

REST_MS = DEADTIME_MS
"""At rest is who stays so for this long."""

FIRST_START_MS = 60_000
EXIT_CODES = range(8)


@dataclass
class Played:
    """One round that went well. Times in ms from the heal; ``helped``: what the operator did."""

    number: int
    faults: Round
    service_ms: int
    rest_ms: int
    helped: list[str] = field(default_factory=list)
    shots: int = 0


class Failed(Exception):
    """A round did not end well; ``round_number`` says which."""

    def __init__(self, number: int, sentence: str) -> None:
        super().__init__(f"round {number}: {sentence}" if number else sentence)
        self.number = number


class Campaign:
    """One pair, one schedule. ``say`` is told what is played, a line each."""

    def __init__(self, stage: Stage, op_timeout_ms: int, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.say = say
        self.audit = Audit(stage, op_timeout_ms)
        self.played: list[Played] = []
        self.codes: dict[int, int] = {}
        self._op_timeout_ms = op_timeout_ms
        self._orders: list[Order] = []
        self._audited = Deadline(0)

    def run(self, rounds: Sequence[Round], minutes: float | None) -> None:
        """``minutes`` None: to the end, however long. Raises Failed."""
        number = 0
        try:
            self._first_start()
            self.bound = bound.of(self.stage, self._op_timeout_ms)
            for part in self.bound.parts:
                self.say(f"  {part}")
            self.say(f"bound of each way back: {self.bound.ms / 1000:g} s")
            end = Deadline(round(minutes * 60_000)) if minutes is not None else None
            for number, faults in enumerate(rounds, start=1):
                if end is not None and end.expired():
                    self.say(f"time is over after {number - 1} of {len(rounds)} rounds")
                    break
                self._round(number, faults)
        except (SceneFailed, *STAGE_ERRORS) as error:
            found = [sentence for sentence in proof.audit(self.stage.world) if sentence not in str(error)]
            raise Failed(number, "; ".join([*found, str(error)])) from None

    def _first_start(self) -> None:
        stage = self.stage
        stage.world.start_clients()
        for plan in NODES:
            stage.world.press(plan.name, "on")
        stage.wait("the pair starts", lambda: not self._unrest(), FIRST_START_MS)
        stage.wait(f"{PETE.name} serves", lambda: stage.served_since(PETE.name, stage.fault_ms), FIRST_START_MS)
        self.audit.round_is_over(set(), set())

    # --- a round -----------------------------------------------------------------------------------

    def _round(self, number: int, faults: Round) -> None:
        stage = self.stage
        active = stage.holder()
        roles = {"active": active, "passive": peer_of(active)}
        stage.begin()
        stage.world.diary.note("", Kind.FAULT, f"round {number}, {active} is active")
        self.say(f"round {number} ({active} is active): {'; '.join(map(str, faults))}")
        shots = self.audit.shots
        self._play(faults, roles)
        self._heal_all()
        healed_ms = stage.world.diary.note("", Kind.FAULT, "all is healed").t_ms
        played = Played(number, faults, 0, 0)
        self._way_back(healed_ms, played)
        proof.prove(stage)
        kinds = {fault.kind for fault in faults}
        self.audit.round_is_over(kinds, {fault.options.get("order", "") for fault in faults})
        self._close_orders()
        played.shots = self.audit.shots - shots
        self.played.append(played)
        helped = "".join(f"\n    operator: {what}" for what in played.helped)
        times = f"served after {played.service_ms / 1000:.1f} s, at rest after {played.rest_ms / 1000:.1f} s"
        self.say(f"  {times}, shots {played.shots}{helped}")

    def _play(self, faults: Round, roles: dict[str, str]) -> None:
        begin = time.monotonic()
        waiting = list(faults)
        acting: list[tuple[float, Deed]] = []
        while waiting or acting:
            self.audit.turn()
            now_ms = (time.monotonic() - begin) * 1000
            while waiting and waiting[0].at_ms <= now_ms:
                fault = waiting.pop(0)
                deed = self._begin(fault, roles)
                acting.append((fault.at_ms + fault.for_ms, deed))
            for entry in [entry for entry in acting if entry[0] <= now_ms]:
                acting.remove(entry)
                self._note(entry[1].fault, "ends")
                entry[1].heal()
                self.audit.turn(paused=True)
            for _, deed in acting:
                deed.tick()
            if self._audited.expired():
                self.audit.holders()
                self.audit.logs()
                self._audited = Deadline(AUDIT_MS)
            time.sleep(TURN_S)

    def _begin(self, fault: Fault, roles: dict[str, str]) -> Deed:
        self._note(fault, "begins")
        deed = DEEDS[fault.kind](self.stage, fault, roles, self._orders)
        deed.begin()
        self.audit.turn(paused=True)
        return deed

    def _note(self, fault: Fault, what: str) -> None:
        self.stage.world.diary.note("", Kind.FAULT, f"{what}: {fault}")

    def _heal_all(self) -> None:
        """Faults of one round may have healed each other's media too early or left them cut: now nothing is."""
        world = self.stage.world
        world.set_serial(connected=True)
        world.set_network(connected=True)
        world.switch.clear()
        for index, plan in enumerate(NODES):
            node = world.nodes[plan.name]
            world.cable.lose(index, 0)
            world.network.set_port(plan, FRONT, connected=True)
            world.network.lose(plan, HEARTBEAT, 0)
            if node.on:
                node.freeze(frozen=False)
            give_power(self.stage, node)

    # --- the way back ------------------------------------------------------------------------------

    def _way_back(self, healed_ms: int, played: Played) -> None:
        """Until the pair is at rest and the client served. SceneFailed when the bound is over before."""
        stage = self.stage
        deadline, operator = Deadline(self.bound.ms), Deadline(SETTLE_MS)
        since_ms: int | None = None
        begun_ms = healed_ms
        while True:
            self._restart_daemons()
            self.audit.holders()
            self.audit.logs()
            trouble = self._unrest() or ("" if stage.serving() else "the client is not served")
            now_ms = boottime_ms()
            since_ms = None if trouble else since_ms or now_ms
            if since_ms is not None and now_ms - since_ms >= REST_MS:
                break
            if deadline.expired():
                last = "the operator did what he was told" if played.helped else "all was healed"
                raise SceneFailed(f"{(now_ms - begun_ms) / 1000:.0f} s after {last} it is not well: {trouble}")
            if trouble and operator.expired():
                helped = remedy.act(stage, [look(stage, node) for node in stage.world.nodes.values()], self._orders)
                if helped:
                    played.helped += helped
                    deadline, begun_ms = Deadline(self.bound.ms), boottime_ms()
                operator = Deadline(SETTLE_MS)
            time.sleep(0.2)
        played.rest_ms = since_ms - healed_ms
        first = next((ack.t_ms for ack in stage.world.acknowledgements().since(healed_ms)), since_ms)
        last_gap = stage.gap(healed_ms, since_ms)
        played.service_ms = max(first, last_gap.end_ms if last_gap.ms > REST_MS else first) - healed_ms

    def _restart_daemons(self) -> None:
        """systemd's Restart=always, and the power cable of a node whose outlet came on without it."""
        for node in self.stage.world.nodes.values():
            if node.on and not node.daemon_pid:
                node.start_daemon()

    def _unrest(self) -> str:
        return unrest([look(self.stage, node) for node in self.stage.world.nodes.values()])

    def _close_orders(self) -> None:
        for order in self._orders:
            code, said = order.close()
            self.codes[code] = self.codes.get(code, 0) + 1
            if (code >= 0 and code not in EXIT_CODES) or "Traceback" in said or "is a bug" in said:
                raise SceneFailed(f"{order.text} exited {code}: {said}")
        self._orders.clear()


def trouble_of(stage: Stage) -> list[str]:
    """For a failed round: status, the logs' last lines, what was done, and what processes each node has."""
    lines = stage.picture_of_trouble()
    lines.append("--- since the round began")
    lines += [
        f"  {entry.t_ms - stage.begin_ms:+8d} {entry.lane:9} {entry.kind.value:7} {entry.text}"
        for entry in stage.world.diary.since(stage.begin_ms)
        if not (entry.kind is Kind.SWITCH and entry.text in ("/S", "/X,Y", "/X"))
    ]
    for name, node in stage.world.nodes.items():
        lines.append(f"--- processes of {name}")
        lines += [f"  {p.pid} [{p.cell}] {' '.join(p.words)[:150]}" for p in processes.of(node)]
    return lines
