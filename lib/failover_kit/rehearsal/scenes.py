"""The scenes, in the words of the plan. Each begins and ends with both nodes up and healthy.

A scene does something, waits for what must follow (every wait ends), and checks what must not. The proof
that is the same after each of them is ``proof.prove``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from failover_kit.rehearsal.bothactive import two_groups
from failover_kit.rehearsal.checks import (
    MOVE_MS,
    NO_SECOND_SHOT_MS,
    SHOT_MS,
    START_MS,
    STUCK_MS,
    TAKEOVER_MS,
    WARNING_MS,
    bring_up,
    heal,
    healthy,
    own_delay_ms,
    require_fenced_first,
    require_no_shot,
    require_one_shot_while_cut_off,
    require_passive_return,
    require_undisturbed,
    restart_daemon,
    says_not_fenced,
)
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.failing import failed_stop, failing_service
from failover_kit.rehearsal.maintained import maintenance
from failover_kit.rehearsal.plan import (
    DEADTIME_MS,
    GROUP,
    HEARTBEAT,
    KEEPALIVE_MS,
    NODES,
    PETE,
    SERIAL,
    STANDING,
    TWO_GROUPS,
    TWO_SUPPLIES,
    Setup,
    peer_of,
)
from failover_kit.rehearsal.proof import require_truth
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.supplies import two_supplies
from failover_kit.rehearsal.watching import watched_service
from failover_kit.spec.deadline import boottime_ms


@dataclass(frozen=True)
class Scene:
    """``play`` raises SceneFailed. A scene finds the pair of its ``setup`` running, but for scene 1."""

    number: int
    title: str
    expectation: str
    play: Callable[[Stage], None]
    setup: Setup = STANDING


def first_start(stage: Stage) -> None:
    """Both are switched on; the group comes up at home."""
    bring_up(stage)
    other = peer_of(PETE.name)
    stage.require(not stage.attempts(other, "start"), f"{other} tried to start something")
    require_no_shot(stage)


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
    require_no_shot(stage)


def power_cut(stage: Stage) -> None:
    """The active node loses its power; the other fences it, reads OFF, takes over; it returns passive."""
    victim = stage.holder()
    survivor = peer_of(victim)
    stage.let_it_run()
    stage.fault(f"the power cable of {victim} is pulled")
    stage.world.pull_power_cable(victim)
    stage.wait(f"{survivor} serves", lambda: stage.served_since(survivor, stage.fault_ms), TAKEOVER_MS)
    require_fenced_first(stage, victim, survivor)
    parts = f"{DEADTIME_MS} of silence and {own_delay_ms(survivor)} of {survivor}'s delay among them"
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms, {parts}")
    require_passive_return(stage, victim, survivor)


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
        require_truth(stage)
        stage.require(all(not stage.attempts(plan.name) for plan in NODES), "an agent was called to start or stop")
        change(connected=True)
        healthy(stage, WARNING_MS)
    stage.require(stage.holder() == holder, "the group moved")
    require_no_shot(stage)
    require_undisturbed(stage)


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
    require_one_shot_while_cut_off(stage, other, holder, boot, NO_SECOND_SHOT_MS)
    require_undisturbed(stage)


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
            lambda: any(call.resource == GROUP.service for call in stage.attempts(hanging, "stop")),
            MOVE_MS,
        )
        stage.fault("both heartbeat cables are pulled while the stop hangs")
        stage.world.set_serial(connected=False)
        stage.world.set_network(connected=False)
        stage.wait(f"{peer} serves", lambda: stage.served_since(peer, stage.fault_ms), TAKEOVER_MS)
    require_fenced_first(stage, hanging, peer)
    waited_ms = stage.switched(hanging, "off")[0] - stage.fault_ms
    least_ms = DEADTIME_MS - 2 * KEEPALIVE_MS + own_delay_ms(peer)
    stage.measured.facts.append(f"{peer} waited {waited_ms} ms before {hanging} was off (at least {least_ms})")
    stage.require(waited_ms >= least_ms, f"{peer} shot after {waited_ms} ms, before its delay was over")
    stage.require(waited_ms <= least_ms + SHOT_MS, f"{peer} shot only after {waited_ms} ms")
    stage.require(not stage.switched(peer, "off"), f"{hanging}, whose stop hung, shot {peer}")
    stage.measured.facts.append(f"the client waited {stage.gap().ms} ms")
    heal(stage)
    require_passive_return(stage, hanging, peer)


def stuck_switch(stage: Stage) -> None:
    """The outlet does not switch at a power cut: nothing is taken over until it does, and status says why."""
    victim = stage.holder()
    survivor = peer_of(victim)
    outlet = stage.node(victim).outlets[0]
    stage.let_it_run()
    stage.world.switch.fault("stuck", outlet)
    stage.fault(f"outlet {outlet} of the switch is stuck and the power cable of {victim} is pulled")
    stage.world.pull_power_cable(victim)

    def unproved() -> str:
        started = stage.attempts(survivor, "start")
        return f"{survivor} started something without proof that {victim} is off" if started else ""

    stage.wait(
        f"status on {survivor} says that the shot failed",
        lambda: stage.says(survivor, says_not_fenced),
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
    require_fenced_first(stage, victim, survivor)
    require_passive_return(stage, victim, survivor)


def daemon_alone(stage: Stage) -> None:
    """failoverd is killed on the active node and started again: the group runs on and is adopted."""
    holder = stage.holder()
    stage.let_it_run()
    stage.fault(f"failoverd alone is killed on {holder}")
    restart_daemon(stage, holder)
    healthy(stage, START_MS)
    stage.require(all(not stage.attempts(plan.name) for plan in NODES), "an agent was called to start or stop")
    require_no_shot(stage)
    require_undisturbed(stage)


def _warned(stage: Stage, name: str, link: str, since_ms: int) -> bool:
    """A warning that names the link in the log, and status that says degraded with that link silent."""
    logged = any(
        entry.lane == name and entry.level == "warning" and link in entry.text
        for entry in stage.world.diary.since(since_ms)
    )
    return logged and stage.says(name, lambda now: now.health == "degraded" and not now.links[link])


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
    Scene(10, "failing service", "restarted in place once, then handed over; no shot", failing_service),
    Scene(11, "failed stop", "the right is kept, the peer is asked to fence, and takes over", failed_stop),
    Scene(12, "maintenance", "hands and cables, and nothing is done; then what runs is adopted", maintenance),
    Scene(
        13,
        "two supplies",
        "one is not missed; a shot is both OFF, and half a shot is none",
        two_supplies,
        TWO_SUPPLIES,
    ),
    Scene(
        14,
        "two groups",
        "each at its home; one node survives with both, after a power cut and after both cables",
        two_groups,
        TWO_GROUPS,
    ),
)


def by_setup(scenes: Sequence[Scene]) -> list[tuple[Setup, list[Scene]]]:
    """The scenes in their order, those together that one pair plays."""
    return [(setup, list(some)) for setup, some in groupby(scenes, key=lambda scene: scene.setup)]
