"""Scene 14: two groups with homes on different nodes, each with a client of its own."""

from __future__ import annotations

from functools import partial

from failover_kit.rehearsal.checks import (
    MOVE_MS,
    SHOT_MS,
    TAKEOVER_MS,
    require_fenced_first,
    require_one_shot_while_cut_off,
    require_passive_return,
    require_released_first,
    require_undisturbed,
)
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import DEADTIME_MS, GROUP, SECOND_GROUP
from failover_kit.rehearsal.stage import Stage
from failover_kit.spec.deadline import boottime_ms

CUT_OFF_MS = 8_000
"""A second shot would come within deadtime and the longest delay of the last boot; scene 5 waits that long."""


def two_groups(stage: Stage) -> None:
    """A power cut, a way home, and both cables with both nodes active: one node always has both in the end."""
    pete, mclaws = GROUP.home, SECOND_GROUP.home
    for group in (GROUP, SECOND_GROUP):
        stage.require(stage.holder(group) == group.home, f"{group.disk} is not at its home {group.home}")
    stage.let_it_run()

    stage.fault(f"the power cable of {mclaws} is pulled")
    stage.world.pull_power_cable(mclaws)
    _require_takeover(stage, mclaws, pete)
    require_passive_return(stage, mclaws, pete)

    begin_ms = boottime_ms()
    name = stage.status(mclaws).groups[SECOND_GROUP.number].name
    stage.world.diary.note(mclaws, Kind.FAULT, f"failoverctl takeover {name}")
    stage.order(mclaws, "takeover", name)
    home = partial(stage.served_since, mclaws, begin_ms, SECOND_GROUP)
    stage.wait(f"{mclaws} serves {SECOND_GROUP.client}", home, MOVE_MS)
    require_released_first(stage, pete, mclaws, begin_ms, SECOND_GROUP)
    stage.require(stage.holder() == pete, f"{GROUP.disk} moved, and only the other was asked for")
    stage.let_it_run()

    boot = stage.node(mclaws).boot
    stage.fault("both heartbeat cables are pulled, with both nodes active")
    stage.world.set_serial(connected=False)
    stage.world.set_network(connected=False)
    _require_takeover(stage, mclaws, pete)
    require_one_shot_while_cut_off(stage, mclaws, pete, boot, CUT_OFF_MS)
    stage.let_it_run()


def _require_takeover(stage: Stage, victim: str, survivor: str) -> None:
    """The survivor shoots without a delay, being active itself, and has both; its own client notices nothing."""
    served = partial(stage.served_since, survivor, stage.fault_ms, SECOND_GROUP)
    stage.wait(f"{survivor} serves {SECOND_GROUP.client}", served, TAKEOVER_MS)
    require_fenced_first(stage, victim, survivor)
    cut_ms = stage.switched(victim, "off")[0] - stage.fault_ms
    stage.require(cut_ms <= DEADTIME_MS + SHOT_MS, f"{survivor} is active, and shot only after {cut_ms} ms")
    stage.measured.facts.append(
        f"{victim} was off after {cut_ms} ms; {SECOND_GROUP.client} waited {stage.gap(group=SECOND_GROUP).ms} ms"
    )
    require_undisturbed(stage)
