"""What several scenes wait for and check, and how long each may take."""

from __future__ import annotations

from functools import partial

from failover_kit.rehearsal.ledger import Attempt
from failover_kit.rehearsal.plan import (
    DEADTIME_MS,
    FENCE_DELAY_MS,
    GROUP,
    INITDEAD_MS,
    NODES,
    PETE,
    GroupPlan,
)
from failover_kit.rehearsal.proof import parts_on, require_truth
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.status import Status

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


def healthy(stage: Stage, timeout_ms: int) -> None:
    """Wait until both nodes are up and both say so."""
    for plan in NODES:
        well = partial(stage.says, plan.name, lambda status: status.health == "healthy")
        stage.wait(f"{plan.name} says that all is well", well, timeout_ms)


def own_delay_ms(node: str) -> int:
    """How long a node without the service waits before it shoots a silent peer (PROTOCOL rule 10)."""
    return FENCE_DELAY_MS if node == PETE.name else 2 * FENCE_DELAY_MS


def heal(stage: Stage) -> None:
    stage.world.set_serial(connected=True)
    stage.world.set_network(connected=True)


def bring_up(stage: Stage) -> None:
    """Switch both nodes on, with nothing running before: every group comes up at home."""
    stage.fault("both nodes are switched on")
    stage.world.start_clients()
    for plan in NODES:
        stage.world.press(plan.name, "on")
    for group in stage.world.setup.groups:
        served = partial(stage.served_since, group.home, stage.fault_ms, group)
        stage.wait(f"{group.home} serves {group.client}", served, START_MS)
    healthy(stage, START_MS)
    stage.let_it_run()


def restart_daemon(stage: Stage, name: str) -> None:
    """Kill failoverd alone and start it again: what runs must run on and be adopted under the same right."""
    node = stage.node(name)
    before = stage.status(name).groups[0]
    old_pid = node.daemon_pid
    node.kill_daemon()
    stage.wait("failoverd is dead", lambda: node.daemon_pid != old_pid, 5_000)
    there = parts_on(stage, name)
    stage.require(all(there.values()), f"something stopped: {there}")
    node.start_daemon()

    def as_before(now: Status) -> bool:
        return (now.groups[0].state, now.groups[0].right) == ("started", before.right)

    stage.wait(f"{name} has the group as before", lambda: stage.says(name, as_before), START_MS)


def says_not_fenced(status: Status) -> bool:
    """The group runs nowhere, because the peer is not fenced; the operator can confirm what he knows."""
    why = status.health == "no-service" and status.fence_attempts > 0 and "not fenced" in status.reason
    return why and any("confirm-dead" in hint for hint in status.todo)


def moved(stage: Stage) -> str:
    """What was started, stopped or cut since the fault, as a sentence; "" for nothing."""
    for plan in NODES:
        for call in stage.attempts(plan.name)[:1]:
            return f"{call.resource} {call.verb} was called on {plan.name}"
        if _cuts(stage, plan.name):
            return f"{plan.name} was cut"
    return ""


def _cuts(stage: Stage, name: str) -> list[int]:
    return [t_ms for outlet in stage.node(name).outlets for t_ms in stage.switched(name, "off", outlet)]


def require_no_shot(stage: Stage) -> None:
    for plan in NODES:
        stage.require(not _cuts(stage, plan.name), f"{plan.name} was cut")


def require_undisturbed(stage: Stage, group: GroupPlan = GROUP) -> None:
    gap = stage.gap(group=group)
    stage.measured.facts.append(f"the longest wait of {group.client} was {gap.ms} ms")
    stage.require(gap.ms <= DISTURBED_MS, f"{group.client} waited {gap.ms} ms and should not have noticed")


def require_fenced_first(stage: Stage, victim: str, survivor: str) -> None:
    """All outlets of the victim read OFF when the survivor began to start; the survivor was not cut."""
    starts = stage.attempts(survivor, "start")
    stage.require(starts, f"{survivor} serves and has started nothing")
    begin_ms = starts[0].t_ms
    for outlet in stage.node(victim).outlets:
        last = {to: stage.switched(victim, to, outlet) for to in ("off", "on")}
        off = [t_ms for t_ms in last["off"] if t_ms <= begin_ms]
        stage.require(off, f"{survivor} began to start before outlet {outlet} of {victim} was switched off")
        on_again = any(off[-1] <= t_ms <= begin_ms for t_ms in last["on"])
        stage.require(not on_again, f"{survivor} began to start when outlet {outlet} of {victim} was on again")
    stage.require(not _cuts(stage, survivor), f"{survivor} was cut, too")


def require_released_first(stage: Stage, giver: str, taker: str, since_ms: int, group: GroupPlan = GROUP) -> None:
    """Every resource's stop had succeeded on the giver before the first start of any on the taker."""
    calls = [call for call in stage.world.attempts() if call.t_ms >= since_ms and call.resource in group.resources]
    starts = [call.t_ms for call in calls if (call.node, call.verb) == (taker, "start")]
    stage.require(starts, f"{taker} has started nothing of {group.mount_point}")
    for resource in group.resources:
        stopped = any(_stopped(call, giver, resource) and call.t_ms <= starts[0] for call in calls)
        stage.require(stopped, f"{taker} began to start before {resource} was stopped on {giver}")


def _stopped(call: Attempt, node: str, resource: str) -> bool:
    seen = (call.node, call.resource, call.verb, call.what, call.code)
    return seen == (node, resource, "stop", "end", 0)


def require_one_shot_while_cut_off(stage: Stage, shot: str, survivor: str, boot: int, for_ms: int) -> None:
    """The cables stay cut: the node that was shot (in ``boot``) boots and shoots nobody; then they are repaired."""
    stage.wait(f"{shot} boots", lambda: stage.node(shot).boot == boot + 1, BOOT_MS)
    stage.stays(
        "one shot only, while the cables stay cut",
        lambda: len(stage.switched(shot, "off")) == 1 and not stage.switched(survivor, "off"),
        for_ms,
    )
    require_truth(stage)
    for group in stage.world.setup.groups:
        still = partial(_serves, stage, survivor, group)
        stage.wait(f"{survivor} still serves {group.client}", still, DISTURBED_MS)
    stage.require(not stage.attempts(shot, "start"), f"{shot} tried to start something")
    heal(stage)
    healthy(stage, JOIN_MS)
    for group in stage.world.setup.groups:
        stage.require(stage.holder(group) == survivor, f"{group.disk} moved")
    stage.require(len(stage.switched(shot, "off")) == 1, f"{shot} was shot again")


def _serves(stage: Stage, name: str, group: GroupPlan) -> bool:
    return stage.serving(group) == name


def require_passive_return(stage: Stage, victim: str, survivor: str, shots: int = 1) -> None:
    """Power comes back, the node boots, joins, and leaves the groups where they are."""
    stage.wait(f"{victim} boots", lambda: stage.switched(victim, "on") and stage.node(victim).on, BOOT_MS)
    healthy(stage, JOIN_MS)
    boot = stage.node(victim).boot
    stage.require(
        not any(call.boot == boot for call in stage.attempts(victim, "start")),
        f"{victim} started something after its return",
    )
    stage.let_it_run()
    for group in stage.world.setup.groups:
        stage.require(stage.holder(group) == survivor, f"{group.disk} went to {victim} (auto_failback is off)")
    stage.require(len(stage.switched(victim, "off")) <= shots, f"{victim} was shot more than {shots} times")
