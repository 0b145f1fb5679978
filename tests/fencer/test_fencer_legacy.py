"""Our ``stonith`` in the place of cluster-glue's, under Pacemaker's fence_legacy.

fence_legacy takes the command's path from the device parameter ``stonith``; plugin and the rest stay as an
administrator of wti_nps wrote them. The faults are in test_fencer_faults.py.
"""

from __future__ import annotations

import pytest

from fencer.world import PASSWORD, PATIENT, STONITH, World

pytestmark = pytest.mark.root


@pytest.fixture
def legacy(world: World) -> World:
    """The device as in the documents of cluster-glue: address and password, nothing else; port 23."""
    device = {"plugin": "wti_nps", "stonith": STONITH, "ipaddr": world.switch.address}
    world.fencer.register("benjamin", "fence_legacy", password=PASSWORD, **device)
    return world


def test_the_hosts_are_those_that_the_switch_names(legacy: World) -> None:
    lines = legacy.fencer.admin("--list-targets", "benjamin").stdout.splitlines()
    hosts = [line.strip() for line in lines if line and "found" not in line]
    assert hosts == ["pete", "kokone", "mclaws", "mclaws"]


@pytest.mark.parametrize("node", ["pete", "mclaws"])
def test_off_on_and_reboot_by_name(legacy: World, node: str) -> None:
    for action in ("off", "on", "reboot", "off"):
        result = legacy.fence(action, node)
        assert result.ok(), result.describe()


def test_the_monitor_sees_a_switch_that_is_gone(world: World) -> None:
    world.register_through("fence_legacy", "pete", **PATIENT)
    assert world.fencer.admin("--query", "benjamin").ok()
    world.register_through("fence_legacy", "pete", login_timeout=1)
    world.switch.fault("mute")
    assert not world.fencer.admin("--query", "benjamin").ok()
    world.assert_session_free()


def test_a_node_that_is_not_on_the_switch_is_not_fenced(world: World) -> None:
    world.register_through("fence_legacy", "stranger", **PATIENT)
    assert not world.fence("off", "stranger", [1]).ok()
    assert world.switch.events("switched") == []


def test_a_stuck_relay_is_a_failure_where_the_original_says_done(legacy: World) -> None:
    """test_fencer_originals.py has the other half."""
    legacy.switch.fault("stuck", 1)
    legacy.register_through("fence_legacy", "pete", power_timeout=1)
    assert not legacy.fence("off", "pete").ok()
    assert legacy.states(1) == ["on"]


def test_a_rejected_password_is_offered_once_a_call(world: World) -> None:
    """The original offers it twenty times, a second apart."""
    world.fencer.register(
        "benjamin", "fence_legacy", password="wr0ng-Pa55", plugin="wti_nps", ipaddr=world.switch.address,
        stonith=STONITH, pcmk_host_list="pete", pcmk_off_retries=1,
    )  # fmt: skip
    assert not world.fence("off", "pete").ok()
    assert len(world.switch.events("login_refused")) == 1
    assert "wr0ng-Pa55" not in world.fencer.log() + world.fencer.syslog()
