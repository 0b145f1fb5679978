"""Scene 12: people work on the pair, and everything happens to it that would be a disaster on another day."""

from __future__ import annotations

from functools import partial

from failover_kit.rehearsal.checks import (
    MOVE_MS,
    START_MS,
    WARNING_MS,
    heal,
    healthy,
    moved,
)
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import FENCE_DELAY_MS, GROUP, MONITOR_MS, NODE_DIR, NODES, peer_of
from failover_kit.rehearsal.proof import parts_on
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.status import Status
from failover_kit.spec.deadline import boottime_ms

STILL_MS = 2 * FENCE_DELAY_MS + 1_000
"""From the silence on: long enough for either node to shoot a silent peer, delay and all."""

REFUSED = 3
"""What failoverctl exits with when an order is refused."""


def maintenance(stage: Stage) -> None:
    """The service is stopped by hand, failoverd is killed, both cables are pulled: nothing is done about it."""
    holder = stage.holder()
    other = peer_of(holder)
    right = stage.status(holder).groups[0].right
    stage.let_it_run()
    stage.order(holder, "maintenance", "on")
    for plan in NODES:
        stage.require(stage.says(plan.name, _maintained), f"{plan.name} does not say that there is maintenance")
    stage.fault(f"in maintenance the service is stopped by hand on {holder}")
    _by_hand(stage, holder, "stop")
    noticed = partial(stage.said, holder, "nothing is done about it in maintenance")
    stage.wait(
        f"{holder} notices and does nothing", noticed, MONITOR_MS + WARNING_MS, never=partial(moved, stage)
    )
    _alone(stage, holder, other)
    stage.measured.facts.append(
        f"a dead service, a dead failoverd and {STILL_MS} ms of silence: no agent was called, nobody was shot"
    )
    _refused(stage, other)
    heal(stage)
    for plan in NODES:
        heard = partial(stage.says, plan.name, lambda status: status.peer_state == "up")
        stage.wait(f"{plan.name} hears its peer", heard, WARNING_MS)

    begin_ms = boottime_ms()
    stage.world.diary.note(holder, Kind.FAULT, "the service is started by hand")
    _by_hand(stage, holder, "start")
    stage.wait(f"{holder} serves", lambda: stage.served_since(holder, begin_ms), START_MS)
    stage.world.diary.note(other, Kind.FAULT, "failoverctl maintenance off")
    stage.order(other, "maintenance", "off")
    stage.wait(
        f"{holder} has the group under the right it had",
        lambda: stage.says(holder, lambda now: (now.groups[0].state, now.groups[0].right) == ("started", right)),
        MOVE_MS,
        never=partial(moved, stage),
    )
    healthy(stage, START_MS)
    stage.let_it_run()
    stage.require(not moved(stage), moved(stage))


def _alone(stage: Stage, holder: str, other: str) -> None:
    """failoverd of the holder dies and comes back, without a cable between the nodes: nothing may move."""
    node = stage.node(holder)
    stage.world.diary.note(holder, Kind.FAULT, "failoverd is killed, and both cables are pulled")
    old_pid = node.daemon_pid
    node.kill_daemon()
    stage.world.set_serial(connected=False)
    stage.world.set_network(connected=False)
    stage.wait("failoverd is dead", lambda: node.daemon_pid != old_pid, 5_000)
    spared = partial(stage.said, other, holder, "is not shot: the pair is in maintenance")
    stage.wait(
        f"{other} hears nothing of {holder} and does not shoot", spared, WARNING_MS, never=partial(moved, stage)
    )
    node.start_daemon()
    stage.stays("no agent is called and nobody is shot", lambda: not moved(stage), STILL_MS)
    for plan in NODES:
        stage.require(stage.says(plan.name, _maintained), f"{plan.name} does not say that there is maintenance")
    there = parts_on(stage, holder)
    stage.require(there == {"disk": True, "address": True, "service": False}, f"there is {there} on {holder}")


def _refused(stage: Stage, name: str) -> None:
    """Maintenance cannot end while the other node is not heard, unless it is named."""
    result = stage.node(name).run([stage.ctl, "maintenance", "off"])
    stage.require(
        result.code == REFUSED and "--without" in result.stdout + result.stderr,
        f"maintenance ended, or not as expected, while the peer was silent: {result.describe()}",
    )


def _maintained(status: Status) -> bool:
    return status.health == "degraded" and status.reason.startswith("maintenance")


def _by_hand(stage: Stage, name: str, verb: str) -> None:
    """Past failoverd and past the witness."""
    program = f"{NODE_DIR}/kit/lib/failover_kit/rehearsal/recordd.py"
    argv = ["/usr/bin/python3", "-IS", program, GROUP.mount_point, str(GROUP.port), verb]
    result = stage.node(name).run(argv)
    stage.require(result.ok(), result.describe())
