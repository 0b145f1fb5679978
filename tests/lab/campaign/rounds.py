"""One round: the client writes, power is lost, all comes back, and every promise is looked up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from failover_kit.spec.deadline import Deadline
from lab.campaign import judge, prepare, schedule
from lab.campaign.schedule import Round
from lab.client.locks import State
from lab.client.scene import Scene
from lab.errors import LabError
from lab.guest import Guest
from lab.howto import client
from lab.howto.pair import BOOT_S, CTL, Pair, until
from lab.report import Step, Table

SETTLE_S = 1800.0
"""For a boot, deadtime, a passive node's turn, the switch, the start, the locks; all of it on starved machines."""

CLIENT_S = 1800
JUST_BEFORE_MS = 1_000
PANIC = ["sh", "-c", "sleep 1; echo c > /proc/sysrq-trigger"]
"""A second later, so that the order itself is answered; root may, whatever kernel.sysrq says (sysrq.rst)."""


@dataclass
class Count:
    """What the campaign has seen so far."""

    rounds: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    """How often a machine lost its power or was reset, by what did it (see ``machine.PowerEvent``)."""
    moves: int = 0
    just_before: int = 0
    """Records that were acknowledged within the last second before the power of the active node went."""
    longest_wait_ms: int = 0

    @property
    def number(self) -> int:
        """Of the last round."""
        return sum(self.rounds.values())


def play(table: Table, pair: Pair, one: Round, active: str, count: Count) -> str:
    """One round; who is active afterwards. StepFailed when something does not hold."""
    with table.step(str(count.number + 1), f"{one}: {schedule.KINDS[one.kind]}") as step:
        begun_ms = pair.lab.shelf.mark()
        client_ms = round(float(pair.kokone.get("/proc/uptime").split()[0]) * 1000)
        with pair.evidence.scene(one.kind, limit_s=CLIENT_S) as scene:
            stage = _Stage(pair, scene, pair.lab.guests[active], one)
            time.sleep(one.write_ms / 1000)
            _FAULTS[one.kind](stage)
            scene.mark("the power is back")
            now_active = prepare.active(pair, SETTLE_S)
            scene.mark(f"healthy, {now_active} serves")
        scene.tell(step)
        _promises(step, pair, pair.lab.guests[now_active], client_ms)
        _witness(step, pair, judge.Moved(one.kind, active, now_active), begun_ms, count)
    if one.kind not in (schedule.CORD_PASSIVE, schedule.STANDBY, schedule.CUT_TAKER):
        cut_ms = scene.marks[0][0]
        count.just_before += sum(cut_ms - JUST_BEFORE_MS <= t <= cut_ms for t in _acknowledged(scene))
    count.rounds[one.kind] = count.rounds.get(one.kind, 0) + 1
    count.moves += now_active != active
    waits = [proof.waited[0].ms for proof in scene.proofs if proof.kind == "writer"]
    count.longest_wait_ms = max(count.longest_wait_ms, *waits)
    return now_active


def _acknowledged(scene: Scene) -> list[int]:
    return [t for proof in scene.proofs if proof.kind == "writer" for t in proof.answered_ms]


# --- the faults ------------------------------------------------------------------------------------------------


@dataclass
class _Stage:
    """Whoever is active when the round begins gives, the other one takes. Every fault ends with both booted, and
    marks the moment before the power goes."""

    pair: Pair
    scene: Scene
    giver: Guest
    one: Round
    log_lines: int = 0

    def __post_init__(self) -> None:
        self.log_lines = self.pair.log_lines(self.taker)

    @property
    def taker(self) -> Guest:
        return self.pair.other(self.giver)

    def taken_over(self) -> None:
        """Until the taker's log says that it started the group in this round."""
        self.pair.wait_started(self.taker, self.log_lines, SETTLE_S)
        self.scene.mark(f"{self.taker.name} says that it serves")

    def goes_on(self, node: Guest) -> None:
        """Until the group is started there, be it once more or still."""

        def look() -> str:
            status = self.pair.status(node)
            if isinstance(status, str):
                return status
            (group,) = status.groups
            return "" if group.state == "started" else f"the group is {group.state} ({group.doing})"

        until(f"{node.name} serves", look, SETTLE_S, 1.0)
        self.scene.mark(f"{node.name} says that it serves")

    def back(self, *nodes: Guest) -> None:
        """The cords in, when the outlets are on again; until they have booted. Who is shot while it boots boots
        once more."""
        for node in nodes:
            until(f"the outlet of {node.name} is on", lambda node=node: self._outlet(node), SETTLE_S)
            self.pair.lab.plug_in(node.name)
        for node in nodes:
            deadline = Deadline(round(SETTLE_S * 1000))
            while True:
                try:
                    node.wait_ready(BOOT_S * 2)
                    break
                except LabError:
                    if deadline.expired():
                        raise
                    time.sleep(1)

    def _outlet(self, node: Guest) -> str:
        return "" if self.pair.lab.switch.outlet_state(node.plan.plug or 0) == "on" else "it is off"

    def pull(self, node: Guest) -> None:
        self.scene.mark(f"the power cord of {node.name} is pulled")
        self.pair.lab.pull_cord(node.name)

    def order(self) -> None:
        """The move, not waited for, and then the moment of the cut."""
        self.giver.spawn([CTL, "standby"], log="/run/campaign-standby.log")
        time.sleep(self.one.in_move_ms / 1000)


def _cord_active(stage: _Stage) -> None:
    stage.pull(stage.giver)
    stage.taken_over()
    stage.back(stage.giver)


def _outlet_active(stage: _Stage) -> None:
    stage.scene.mark(f"the outlet of {stage.giver.name} goes off")
    stage.pair.lab.switch.press(stage.giver.plan.plug or 0, "off")
    stage.taken_over()
    stage.back(stage.giver)


def _crash_active(stage: _Stage) -> None:
    """It may come back before it is shot, or be shot while it boots; somebody serves in the end."""
    boot = stage.giver.boot
    stage.scene.mark(f"the kernel of {stage.giver.name} panics")
    stage.giver.spawn(PANIC, log="/dev/null")
    until(f"{stage.giver.name} has reset itself", lambda: "" if stage.giver.boot > boot else "no", SETTLE_S)
    stage.back(stage.giver)


def _cord_passive(stage: _Stage) -> None:
    stage.pull(stage.taker)

    def look() -> str:
        status = stage.pair.status(stage.giver)
        if isinstance(status, str):
            return status
        return "" if status.exit_code != 0 else "it says that all is healthy"

    until(f"{stage.giver.name} has noticed", look, SETTLE_S, 1.0)
    stage.back(stage.taker)


def _both(stage: _Stage) -> None:
    stage.pull(stage.giver)
    stage.pair.lab.pull_cord(stage.taker.name)
    stage.back(stage.giver, stage.taker)


def _standby(stage: _Stage) -> None:
    stage.scene.mark("failoverctl standby")
    stage.pair.ctl(stage.giver, "standby", limit_s=SETTLE_S)


def _cut_giver(stage: _Stage) -> None:
    stage.order()
    stage.pull(stage.giver)
    stage.taken_over()
    stage.back(stage.giver)


def _cut_taker(stage: _Stage) -> None:
    stage.order()
    stage.pull(stage.taker)
    stage.goes_on(stage.giver)
    stage.back(stage.taker)


_FAULTS: dict[str, Callable[[_Stage], None]] = {
    schedule.CORD_ACTIVE: _cord_active,
    schedule.OUTLET_ACTIVE: _outlet_active,
    schedule.CRASH_ACTIVE: _crash_active,
    schedule.CORD_PASSIVE: _cord_passive,
    schedule.BOTH: _both,
    schedule.STANDBY: _standby,
    schedule.CUT_GIVER: _cut_giver,
    schedule.CUT_TAKER: _cut_taker,
}


# --- what must hold --------------------------------------------------------------------------------------------


def _promises(step: Step, pair: Pair, node: Guest, client_ms: int) -> None:
    """Everything acknowledged so far is on the disk of who serves, and the client has its locks."""
    client.promises_kept(step, pair, node)

    def look() -> str:
        states = pair.evidence.lock_states(node)
        return "; ".join(
            f"{name}: {one.state.value}: {one.why}" for name, one in states.items() if one.state is not State.HELD
        )

    until(f"every lock of the client is held on {node.name}", look, CLIENT_S, 2.0)
    step.check(f"every lock of the client is held on {node.name}", True)
    complaints = pair.evidence.kernel_complaints(client_ms)
    step.check("the client's kernel complains of nothing", not complaints, seen="; ".join(complaints)[:400])
    pair.check_mounts(node)


def _witness(step: Step, pair: Pair, moved: judge.Moved, begun_ms: float, count: Count) -> None:
    """Who wrote, as the shelf saw it, and that nobody did without power."""
    end_ms = pair.lab.shelf.mark()
    frames = {node.name: pair.lab.shelf.frames(mac_of=node.name, since_ms=begun_ms) for node in pair.nodes}
    turns, wrong = judge.wrong_turns(moved, frames)
    step.check("one node wrote at each moment", not wrong, seen=wrong or ", ".join(turns))
    events = [event for event in pair.lab.power_events() if event.t_ms >= begun_ms and event.guest in frames]
    for event in events:
        if event.what == "ended":
            count.lost[event.by] = count.lost.get(event.by, 0) + 1
    spans = judge.off_spans([(event.t_ms, event.guest, event.what) for event in events], end_ms)
    late = judge.wrote_without_power(spans, frames)
    step.check("of a machine without power no frame reached the shelf", not late, seen=late)
