"""Scene 13: each node has two supplies, each on an outlet of its own. A node is off when both are."""

from __future__ import annotations

from failover_kit.rehearsal.checks import (
    DISTURBED_MS,
    STUCK_MS,
    TAKEOVER_MS,
    moved,
    require_fenced_first,
    require_passive_return,
    require_undisturbed,
    says_not_fenced,
)
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.plan import DEADTIME_MS, peer_of
from failover_kit.rehearsal.proof import parts_on
from failover_kit.rehearsal.stage import Stage

LIVES_ON_MS = DEADTIME_MS + 1_000
FENCED_MS = TAKEOVER_MS + 10_000
"""The delay is longer here, and there are two outlets to switch and to read."""

SHOTS = 5
"""A shot with a stuck relay is repeated until it works; this many times in the time of the scene at most."""


def two_supplies(stage: Stage) -> None:
    """One cable is not missed; without both the node is fenced by both outlets; half a shot is none."""
    victim = stage.holder()
    survivor = peer_of(victim)
    first, second = stage.node(victim).outlets
    stage.let_it_run()
    stage.fault(f"the power cable from outlet {first} to {victim} is pulled")
    stage.world.pull_power_cable(victim, first)
    stage.stays(
        f"{victim} lives on by outlet {second} and nothing is done",
        lambda: stage.node(victim).on and not moved(stage),
        LIVES_ON_MS,
    )
    require_undisturbed(stage)

    stage.fault(f"the power cable from outlet {second} to {victim} is pulled, too")
    stage.world.pull_power_cable(victim, second)
    stage.wait(f"{survivor} serves", lambda: stage.served_since(survivor, stage.fault_ms), FENCED_MS)
    require_fenced_first(stage, victim, survivor)
    _require_read_back(stage, victim, survivor)
    stage.measured.facts.append(f"both supplies gone: the client waited {stage.gap().ms} ms")
    require_passive_return(stage, victim, survivor)
    _half_a_shot(stage)


def _half_a_shot(stage: Stage) -> None:
    """One relay is stuck ON and failoverd is dead: the node lives on and serves, and nobody may take over."""
    victim = stage.holder()
    survivor = peer_of(victim)
    stuck = stage.node(victim).outlets[1]
    stage.world.switch.fault("stuck", stuck)
    stage.fault(f"outlet {stuck} is stuck, and failoverd is killed on {victim}, which serves on")
    stage.node(victim).kill_daemon()

    def unproved() -> str:
        started = stage.attempts(survivor, "start")
        return f"{survivor} started something while outlet {stuck} still feeds {victim}" if started else ""

    says = lambda: stage.says(survivor, says_not_fenced)  # noqa: E731 - named for the line
    stage.wait(f"status on {survivor} says that the shot failed", says, FENCED_MS, never=unproved)
    stage.measured.facts.append(f"status: {stage.status(survivor).reason}")
    stage.stays("no takeover by half a shot", lambda: not unproved(), STUCK_MS)
    there = parts_on(stage, victim)
    stage.require(stage.node(victim).on and all(there.values()), f"{victim} should live on, and there is {there}")
    waited_ms = stage.gap().ms
    stage.require(waited_ms <= DISTURBED_MS, f"the client waited {waited_ms} ms, and {victim} was never off")
    stage.world.switch.clear("stuck")
    freed_ms = stage.world.diary.note("", Kind.FAULT, f"outlet {stuck} is freed").t_ms
    stage.wait(f"{survivor} serves", lambda: stage.served_since(survivor, freed_ms), FENCED_MS)
    require_fenced_first(stage, victim, survivor)
    _require_read_back(stage, victim, survivor)
    require_passive_return(stage, victim, survivor, SHOTS)


def _require_read_back(stage: Stage, victim: str, survivor: str) -> None:
    """Each outlet was read in a session of its own, after the last of them was off and before the first start."""
    begin_ms = stage.attempts(survivor, "start")[0].t_ms
    outlets = stage.node(victim).outlets
    off = [t_ms for outlet in outlets for t_ms in stage.switched(victim, "off", outlet) if t_ms <= begin_ms]
    logins = [
        event
        for event in stage.world.switch_events()
        if event["event"] == "login" and max(off) <= int(event["t_ms"]) <= begin_ms
    ]
    stage.require(
        len(logins) >= len(outlets),
        f"{survivor} began to start after {len(logins)} sessions with the switch since both outlets were off; "
        f"{len(outlets)} outlets are to be read",
    )
