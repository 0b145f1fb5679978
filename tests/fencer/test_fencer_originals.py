"""What the originals do under the same fencer, on the same switch: the reasons why ours differs.

Each test states a fact about Debian's programs. When one of them fails after an upgrade, the original was
mended: good news, and a sentence in our documents to change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fencer.world import PASSWORD, World

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not Path("/usr/sbin/fence_wti").exists(), reason="needs the package fence-agents"),
]
needs_stonith = pytest.mark.skipif(not Path("/usr/sbin/stonith").exists(), reason="needs the package cluster-glue")


@pytest.fixture(autouse=True)
def telnet() -> None:
    if not Path("/usr/bin/telnet").exists():
        pytest.skip("needs the package telnet: fence_wti talks through it")


def test_fence_wti_lists_a_node_that_it_then_cannot_fence(world: World) -> None:
    world.register("fence_wti_debian")
    assert "pete" in world.fencer.admin("--list-targets", "benjamin").stdout.split()
    assert not world.fencer.admin("--fence", "pete").ok()
    assert world.states(1) == ["on"]
    world.register("fence_wti_debian", pcmk_host_map="pete:1")
    assert world.fencer.admin("--fence", "pete").ok()


@pytest.mark.parametrize("fault", ["mute", "stuck"])
def test_fence_wti_waits_for_ever_under_pacemaker(world: World, fault: str) -> None:
    """Only the fencer's own timeout ends it; our agent, in the same place, has long said why it failed."""
    world.switch.fault(fault)
    mark = world.fencer.mark()
    times = {"login_timeout": 1, "shell_timeout": 1, "power_timeout": 1}
    world.register("fence_wti_debian", pcmk_host_map="pete:1", **times)
    assert not world.fencer.admin("--fence", "pete", "--timeout", "5").ok()
    assert "timed out after 5s" in world.fencer.log(mark)
    world.register("fence_wti_ips800", pcmk_host_map="pete:1", **times)
    mark = world.fencer.mark()
    assert not world.fence("off", "pete", timeout_s=100).ok()
    assert "timed out after" not in world.fencer.log(mark)


def test_fence_wti_leaves_one_of_two_supplies_off_and_calls_it_on(world: World) -> None:
    world.switch.press(6, "off")
    world.register("fence_wti_debian", pcmk_host_map="mclaws:5,6")
    assert world.fencer.admin("--unfence", "mclaws").ok()
    assert world.states(5, 6) == ["on", "off"]


@needs_stonith
@pytest.mark.parametrize("action", ["--fence", "--reboot"])
def test_wti_nps_tells_pacemaker_that_a_running_machine_is_off(world: World, action: str) -> None:
    world.switch.fault("stuck")
    world.fencer.register(
        "benjamin",
        "fence_legacy",
        password=PASSWORD,
        plugin="wti_nps",
        ipaddr=world.switch.address,
        pcmk_host_list="pete",
    )
    # Its limit of five seconds has no option; a busy machine may take them, and then it is asked again.
    assert any(world.fencer.admin(action, "pete").ok() for _ in range(4))
    assert world.states(1) == ["on"]
    assert world.switch.events("switched") == []
