"""The switch misbehaves, one fault at a time, under Pacemaker's fencer.

Both ways lead to it: our fence agent, and Pacemaker's fence_legacy with our ``stonith -t wti_nps`` below.

For every fault that the emulator knows, now or later: success means that the outlet is so, the agent ends by
itself before the fencer's timeout, and leaves the switch's one session free (``World.fence`` holds each call to
that). What else is expected of a fault stands in the tables.
"""

from __future__ import annotations

import pytest

from failover_kit.emulator.faults import NAMES
from fencer.world import BRIEF, OUTLETS, PATIENT, WAYS, World

pytestmark = pytest.mark.root

# The switch does what it is told, in an odd way: our agent has to cope.
COPES = {"slow", "drop", "confirm", "pager", "echo", "automated"}
# Nothing can be proved, or nothing is done: success would be a lie, and an early end is a service.
FAILS = {"stuck", "mute", "refuse", "garbage", "busy", "lockout"}
# The rest may go either way; the truth is asked for all the same.

ONE_TRY = {f"pcmk_{action}_retries": 1 for action in ("off", "on", "reboot", "list", "status", "monitor")}


def set_fault(world: World, fault: str) -> None:
    if fault != "lockout":
        world.switch.fault(fault, seconds=1 if fault == "slow" else None)
        return
    # Somebody else's wrong password has closed the network interface for everybody.
    world.switch.fault(fault, count=1)
    where = f"ip={world.switch.address}\nipport={world.switch.port}\n"
    world.fencer.run(["fence_wti_ips800"], stdin=f"{where}password=wr0ng-Pa55\naction=monitor\n")
    assert len(world.switch.events("login_refused")) == 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", ["off", "on", "reboot"])
@pytest.mark.parametrize("fault", NAMES)
def test_success_is_true_and_every_call_ends(world: World, fault: str, action: str, way: str) -> None:
    if action == "on":
        for number in OUTLETS["mclaws"]:
            world.switch.press(number, "off")
    times = PATIENT if fault in COPES else BRIEF
    world.register_through(way, "mclaws", **times, **ONE_TRY)
    set_fault(world, fault)
    result = world.fence(action, "mclaws")
    if fault in COPES:
        assert result.ok(), result.describe()
    if fault in FAILS:
        assert not result.ok()
        assert "success" not in result.stdout.lower()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("fault", [name for name in NAMES if name != "stuck"])
def test_a_stuck_relay_is_found_out_under_every_other_fault(world: World, fault: str, way: str) -> None:
    """Two faults at once: whatever else goes wrong, nobody hears that a machine is off that runs."""
    world.register_through(way, "mclaws", **BRIEF, **ONE_TRY)
    world.switch.fault("stuck", 6)
    set_fault(world, fault)
    assert not world.fence("off", "mclaws").ok()
    assert world.states(6) == ["on"]


@pytest.mark.parametrize("way", WAYS)
def test_a_relay_slower_than_the_patience_is_no_success_though_it_moves_at_last(world: World, way: str) -> None:
    world.register_through(way, "pete", **BRIEF, **ONE_TRY)
    world.switch.fault("slow", 1, seconds=10)
    assert not world.fence("off", "pete").ok()


@pytest.mark.parametrize("fault", NAMES)
def test_a_switch_that_recovers_can_be_used_at_once(world: World, fault: str) -> None:
    """Nothing of a failure stays on the switch, least of all a session; the next call works."""
    world.register(**BRIEF, **ONE_TRY, pcmk_host_map="pete:1")
    set_fault(world, fault)
    world.fence("reboot", "pete")
    world.switch.clear()
    # Only because a machine under load may need longer than is brief.
    world.register(**PATIENT, **ONE_TRY, pcmk_host_map="pete:1")
    result = world.fence("off", "pete")
    assert result.ok(), result.describe()
