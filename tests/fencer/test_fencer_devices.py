"""The fencer reaches every kind of switch and every line to it through the same agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fencer.world import PASSWORD, PATIENT, World

pytestmark = pytest.mark.root

USER = "super"


def there_and_back(world: World) -> None:
    """Both supplies of mclaws off, on, rebooted; the outlets are asked after each."""
    for action in ("off", "on", "reboot"):
        result = world.fence(action, "mclaws")
        assert result.ok(), result.describe()
    assert {move["outlet"] for move in world.switch.events("switched")} == {5, 6}


@pytest.mark.parametrize("way", ["fence_wti_ips800", "fence_legacy"])
@pytest.mark.parametrize("variant", ["ips", "nps", "vmr"])
def test_every_variant_of_the_switch(make_world: Callable[..., World], variant: str, way: str) -> None:
    asks_a_name = {"user": USER} if variant == "vmr" else {}
    world = make_world(variant=variant, **asks_a_name)
    world.register_through(way, "mclaws", **PATIENT, **({"username": USER} if asks_a_name else {}))
    there_and_back(world)


def test_a_busy_vmr_is_asked_again_and_never_guessed(make_world: Callable[..., World]) -> None:
    """It marks every plug with ``*``: ON or OFF stands there, and is not yet so."""
    world = make_world(variant="vmr", user=USER)
    world.register(username=USER, pcmk_host_map="pete:1", timeout=6, power_timeout=2, pcmk_off_retries=1)
    world.switch.fault("busy")
    world.fence("off", "pete")
    world.switch.fault("stuck", 2)
    world.register(username=USER, pcmk_host_map="kokone:2", timeout=6, power_timeout=2, pcmk_off_retries=1)
    assert not world.fence("off", "kokone").ok()


def test_the_serial_line_when_the_network_is_dead(make_world: Callable[..., World]) -> None:
    world = make_world(serial=True)
    world.switch.fault("refuse")
    serial = {"serial": world.switch.serial_path, "pcmk_host_list": "mclaws"}
    world.fencer.register("benjamin", "fence_wti_ips800", password=PASSWORD, **serial, **PATIENT)
    there_and_back(world)


@pytest.mark.parametrize("trust", ["certificate", "anybody"])
def test_the_rest_interface_of_current_units(make_world: Callable[..., World], trust: str) -> None:
    world = make_world(variant="vmr", user=USER, rest=True)
    how: dict[str, Any] = {"rest": "1", "ipport": world.switch.rest_port, "username": USER}
    how |= {"ca_file": world.switch.rest_cert} if trust == "certificate" else {"ssl_insecure": "1"}
    world.register(**how, **PATIENT, pcmk_host_list="mclaws")
    there_and_back(world)


def test_a_stuck_relay_is_found_out_over_rest(make_world: Callable[..., World]) -> None:
    world = make_world(variant="vmr", user=USER, rest=True)
    how: dict[str, Any] = {"rest": "1", "ipport": world.switch.rest_port, "username": USER, "ssl_insecure": "1"}
    world.register(**how, power_timeout=2, timeout=20, pcmk_host_list="mclaws", pcmk_off_retries=1)
    world.switch.fault("stuck", 6)
    assert not world.fence("off", "mclaws").ok()
    assert world.states(6) == ["on"]
