"""The scenes, in the words of the plan. Each begins and ends with both nodes up and healthy.

A scene does something, waits for what must follow (every wait ends), and checks what must not. The proof
that is the same after each of them is ``Stage.prove``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import (
    DEADTIME_MS,
    FENCE_DELAY_MS,
    HEARTBEAT,
    INITDEAD_MS,
    KEEPALIVE_MS,
    NODES,
    PETE,
    SERIAL,
    peer_of,
)
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.status import Status
from failover_kit.rehearsal.watching import watched_service
from failover_kit.spec.deadline import boottime_ms

START_MS = 20_000
MOVE_MS = 30_000
SHOT_MS = 10_000
"""Log in, off, read back: seconds with this switch; a loaded machine gets more."""

TAKEOVER_MS = DEADTIME_MS + 2 * FENCE_DELAY_MS + SHOT_MS + 10_000
BOOT_MS = 20_000
JOIN_MS = BOOT_MS + INITDEAD_MS + 10_000
WARNING_MS = DEADTIME_MS + 6_000
NO_SECOND_SHOT_MS = 15_000
STUCK_MS = 3_000
"""How long nothing may happen after status has said that the shot failed; the shot itself took longer."""

DISTURBED_MS = DEADTIME_MS
"""A client that is not meant to notice may be delayed by a busy machine; a takeover takes far longer than this."""


@dataclass(frozen=True)
class Scene:
    """``play`` raises SceneFailed."""

    number: int
    title: str
    expectation: str
    play: Callable[[Stage], None]


def healthy(stage: Stage, timeout_ms: int) -> None:
    """Wait until both nodes are up and both say so."""
    for plan in NODES:
        well = partial(stage.says, plan.name, lambda status: status.health == "healthy")
        stage.wait(f"{plan.name} says that all is well", well, timeout_ms)


def first_start(stage: Stage) -> None:
    """Both are switched on; the group comes up at home."""
    stage.fault("both nodes are switched on")
    stage.world.start_client()
    for plan in NODES:
        stage.world.press(plan.name, "on")
    stage.wait(f"{PETE.name} serves the client", lambda: stage.served_since(PETE.name, stage.fault_ms), START_MS)
    healthy(stage, START_MS)
    stage.let_it_run()
    other = peer_of(PETE.name)
    stage.require(not stage.attempts(other, "start"), f"{other} tried to start something")
    _require_no_shot(stage)


def planned_move(stage: Stage) -> None:
    """``standby`` on the active node, then ``takeover`` on the same one."""
    home = stage.holder()
    other = peer_of(home)
    stage.let_it_run()
    for name, order, target in ((home, "standby", other), (home, "takeover", home)):
        begin_ms = boottime_ms()
        stage.fault_ms = begin_ms if order == "standby" else stage.fault_ms
        stage.world.diary.note(name, Kind.FAULT, f"failoverctl {order}")
        stage.order(name, order)
        stage.require(stage.holder() == target, f"{order} succeeded, but {stage.holder()} has the disk")
        served = partial(stage.served_since, target, begin_ms)
        stage.wait(f"{target} serves after {order}", served, MOVE_MS)
        gap = stage.gap(begin_ms)
        stage.measured.facts.append(f"{order}: the client waited {gap.ms} ms")
        stage.let_it_run()
    _require_no_shot(stage)


def power_cut(stage: Stage) -> None:
    """The active node loses its power; the other fences it, reads OFF, takes over; it returns passive."""
    victim = stage.holder()
    survivor = peer_of(victim)
    stage.let_it_run()
    stage.fault(f"the power cable of {victim} is pulled")
    stage.world.pull_power_cable(victim)
    stage.wait(f"{survivor} serves", lambda: stage.served_since(survivor, stage.fault_ms), TAKEOVER_MS)
    _require_fenced_first(stage, victim, survivor)
    parts = f"{DEADTIME_MS} of silence and {_own_delay_ms(survivor)} of {survivor}'s delay among them"
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms, {parts}")
    _require_passive_return(stage, victim, survivor)


def one_cable_at_a_time(stage: Stage) -> None:
    """Either heartbeat link alone is enough: a warning each, no takeover, no shot."""
    holder = stage.holder()
    stage.let_it_run()
    stage.fault("the serial cable is pulled")
    for link, change in ((SERIAL, stage.world.set_serial), (HEARTBEAT, stage.world.set_network)):
        begin_ms = boottime_ms()
        change(connected=False)
        for plan in NODES:
            warned = partial(_warned, stage, plan.name, link, begin_ms)
            stage.wait(f"{plan.name} warns of link {link}", warned, WARNING_MS)
        stage.require_truth()
        stage.require(all(not stage.attempts(plan.name) for plan in NODES), "an agent was called to start or stop")
        change(connected=True)
        healthy(stage, WARNING_MS)
    stage.require(stage.holder() == holder, "the group moved")
    _require_no_shot(stage)
    _require_undisturbed(stage)


def both_cables(stage: Stage) -> None:
    """No link is left: the holder of the service survives, the other is shot once and never again."""
    holder = stage.holder()
    other = peer_of(holder)
    boot = stage.node(other).boot
    stage.let_it_run()
    stage.fault("both heartbeat cables are pulled")
    stage.world.set_serial(connected=False)
    stage.world.set_network(connected=False)
    stage.wait(f"{other} is cut", lambda: stage.switched(other, "off"), DEADTIME_MS + SHOT_MS)
    cut_ms = stage.switched(other, "off")[0] - stage.fault_ms
    stage.measured.facts.append(f"{other} was off {cut_ms} ms after the cables were pulled")
    stage.wait(f"{other} boots", lambda: stage.node(other).boot == boot + 1, BOOT_MS)
    stage.stays(
        "one shot only, while the cables stay cut",
        lambda: len(stage.switched(other, "off")) == 1 and not stage.switched(holder, "off"),
        NO_SECOND_SHOT_MS,
    )
    stage.require_truth()
    stage.wait(f"{holder} still serves", lambda: stage.serving() == holder, DISTURBED_MS)
    stage.require(not stage.attempts(other, "start"), f"{other} tried to start something")
    _require_undisturbed(stage)
    _heal(stage)
    healthy(stage, JOIN_MS)
    stage.require(stage.holder() == holder, "the group moved")
    stage.require(len(stage.switched(other, "off")) == 1, f"{other} was shot again")


def hung_stop(stage: Stage) -> None:
    """``standby`` with a stop that hangs, the cables cut in the middle: the peer waits, fences, takes over."""
    hanging = stage.holder()
    peer = peer_of(hanging)
    stage.let_it_run()
    stage.let_stop_hang(hanging)
    stage.fault_ms = boottime_ms()
    with stage.order_in_background(hanging, "standby"):
        stage.wait(
            f"the service's stop hangs on {hanging}",
            lambda: any(call.resource == "recordd" for call in stage.attempts(hanging, "stop")),
            MOVE_MS,
        )
        stage.fault("both heartbeat cables are pulled while the stop hangs")
        stage.world.set_serial(connected=False)
        stage.world.set_network(connected=False)
        stage.wait(f"{peer} serves", lambda: stage.served_since(peer, stage.fault_ms), TAKEOVER_MS)
    _require_fenced_first(stage, hanging, peer)
    waited_ms = stage.switched(hanging, "off")[0] - stage.fault_ms
    least_ms = DEADTIME_MS - 2 * KEEPALIVE_MS + _own_delay_ms(peer)
    stage.measured.facts.append(f"{peer} waited {waited_ms} ms before {hanging} was off (at least {least_ms})")
    stage.require(waited_ms >= least_ms, f"{peer} shot after {waited_ms} ms, before its delay was over")
    stage.require(waited_ms <= least_ms + SHOT_MS, f"{peer} shot only after {waited_ms} ms")
    stage.require(not stage.switched(peer, "off"), f"{hanging}, whose stop hung, shot {peer}")
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms")
    _heal(stage)
    _require_passive_return(stage, hanging, peer)


def stuck_switch(stage: Stage) -> None:
    """The outlet does not switch at a power cut: nothing is taken over until it does, and status says why."""
    victim = stage.holder()
    survivor = peer_of(victim)
    outlet = stage.node(victim).plan.outlet
    stage.let_it_run()
    stage.world.switch.fault("stuck", outlet)
    stage.fault(f"outlet {outlet} of the switch is stuck and the power cable of {victim} is pulled")
    stage.world.pull_power_cable(victim)

    def unproved() -> str:
        started = stage.attempts(survivor, "start")
        return f"{survivor} started something without proof that {victim} is off" if started else ""

    stage.wait(
        f"status on {survivor} says that the shot failed",
        lambda: stage.says(survivor, _says_stuck),
        TAKEOVER_MS,
        never=unproved,
    )
    explained = stage.status(survivor)
    stage.measured.facts.append(f"status: {explained.reason}")
    stage.measured.facts.extend(f"to do: {hint}" for hint in explained.todo)
    stage.stays("no takeover without proof", lambda: not unproved(), STUCK_MS)
    stage.world.switch.clear("stuck")
    repaired_ms = stage.world.diary.note("", Kind.FAULT, "the switch is repaired").t_ms
    stage.wait(f"{survivor} serves", lambda: stage.served_since(survivor, repaired_ms), TAKEOVER_MS)
    _require_fenced_first(stage, victim, survivor)
    _require_passive_return(stage, victim, survivor)


def daemon_alone(stage: Stage) -> None:
    """failoverd is killed on the active node and started again: the group runs on and is adopted."""
    holder = stage.holder()
    node = stage.node(holder)
    before = stage.status(holder)
    stage.let_it_run()
    stage.fault(f"failoverd alone is killed on {holder}")
    old_pid = node.daemon_pid
    node.kill_daemon()
    stage.wait("failoverd is dead", lambda: node.daemon_pid != old_pid, 5_000)
    stage.require(all(stage.parts_on(holder).values()), f"something stopped: {stage.parts_on(holder)}")
    node.start_daemon()
    stage.wait(
        f"{holder} has the group as before",
        lambda: stage.says(holder, lambda now: (now.state, now.right) == ("started", before.right)),
        START_MS,
    )
    healthy(stage, START_MS)
    stage.require(all(not stage.attempts(plan.name) for plan in NODES), "an agent was called to start or stop")
    _require_no_shot(stage)
    _require_undisturbed(stage)


# --- what several scenes check ----------------------------------------------------------------------------




def _own_delay_ms(node: str) -> int:
    """How long a node without the service waits before it shoots a silent peer (PROTOCOL rule 10)."""
    return FENCE_DELAY_MS if node == PETE.name else 2 * FENCE_DELAY_MS


def _heal(stage: Stage) -> None:
    stage.world.set_serial(connected=True)
    stage.world.set_network(connected=True)


def _warned(stage: Stage, name: str, link: str, since_ms: int) -> bool:
    """A warning that names the link in the log, and status that says degraded with that link silent."""
    logged = any(
        entry.lane == name and entry.level == "warning" and link in entry.text
        for entry in stage.world.diary.since(since_ms)
    )
    return logged and stage.says(name, lambda now: now.health == "degraded" and not now.links[link])


def _says_stuck(status: Status) -> bool:
    """The group runs nowhere, because the peer is not fenced; the operator can confirm what he knows."""
    why = status.health == "no-service" and status.fence_attempts > 0 and "not fenced" in status.reason
    return why and any("confirm-dead" in hint for hint in status.todo)


def _require_no_shot(stage: Stage) -> None:
    for plan in NODES:
        stage.require(not stage.switched(plan.name, "off"), f"{plan.name} was cut")


def _require_undisturbed(stage: Stage) -> None:
    gap = stage.gap()
    stage.measured.facts.append(f"the client's longest wait was {gap.ms} ms")
    stage.require(gap.ms <= DISTURBED_MS, f"the client waited {gap.ms} ms and should not have noticed")


def _require_fenced_first(stage: Stage, victim: str, survivor: str) -> None:
    """OFF came before the survivor's first attempt, and only the victim was cut."""
    cut = stage.switched(victim, "off")
    stage.require(cut, f"{survivor} serves, and the outlet of {victim} was never switched off")
    starts = stage.attempts(survivor, "start")
    stage.require(
        starts and starts[0].t_ms >= cut[0], f"{survivor} began to start before {victim} was cut"
    )
    stage.require(not stage.switched(survivor, "off"), f"{survivor} was cut, too")


def _require_passive_return(stage: Stage, victim: str, survivor: str) -> None:
    """Power comes back, the node boots, joins, and leaves the group where it is."""
    stage.wait(f"{victim} boots", lambda: stage.switched(victim, "on") and stage.node(victim).on, BOOT_MS)
    healthy(stage, JOIN_MS)
    boot = stage.node(victim).boot
    stage.require(
        not any(call.boot == boot for call in stage.attempts(victim, "start")),
        f"{victim} started something after its return",
    )
    stage.let_it_run()
    stage.require(stage.holder() == survivor, f"the group went back to {victim} (auto_failback is off)")
    stage.require(len(stage.switched(victim, "off")) == 1, f"{victim} was shot more than once")


SCENES = (
    Scene(1, "first start", "both nodes start; the group comes up at home; the client writes", first_start),
    Scene(2, "planned move", "standby, then takeover back; no shot", planned_move),
    Scene(3, "power cut", "silence, fence, read-back, takeover; the old node returns passive", power_cut),
    Scene(4, "one cable at a time", "a warning each, no takeover", one_cable_at_a_time),
    Scene(5, "both cables", "the holder survives, one shot, no second one", both_cables),
    Scene(6, "hung stop and both cables", "the peer waits its delay, fences, takes over", hung_stop),
    Scene(7, "stuck switch", "no takeover until OFF can be read; status says why and what to do", stuck_switch),
    Scene(8, "the daemon alone", "the group runs on and is adopted under the same right", daemon_alone),
    Scene(9, "watched service", "heartbeats go on, the client is not served; a watcher asks", watched_service),
)
