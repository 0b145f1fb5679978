"""The daemon, our own fence agent and the emulated IPS-800 together."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pair import Pair, wait_until

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

pytestmark = pytest.mark.root

PASSWORD = "open-sesame"
PORT = 2323


@contextmanager
def switch_of(pair: Pair, *, believed: str = PASSWORD) -> Iterator[EmulatorProcess]:
    """The switch stands on the first node's side; outlet 2 feeds the second. ``believed`` is what ha.cf says."""
    first, second = pair.nodes
    subprocess.run(["ip", "-n", first.namespace, "link", "set", "lo", "up"], check=True)
    for node in pair.nodes:
        path = node.home / "ha.d" / "ha.cf"
        device = f"fence_device benjamin fence_wti_ips800 ip=10.77.0.1 ipport={PORT} password={believed}"
        text = re.sub(r"fence_device .*", device, path.read_text())
        path.write_text(text.replace("op_timeout 5", "op_timeout 20"))
    outlets = {
        1: OutletConfig(name=first.name),
        2: OutletConfig(name=second.name, off_command=["/bin/sh", str(pair.folder / "cut-2")]),
    }
    prefix = ["nsenter", f"--net=/run/netns/{first.namespace}"]
    with EmulatorProcess(
        str(pair.folder), outlets=outlets, password=PASSWORD, address="10.77.0.1", port=PORT, prefix=prefix
    ) as switch:
        yield switch


def test_a_power_cut_is_proved_by_the_real_agent_on_the_switch(pair: Pair) -> None:
    with switch_of(pair) as switch:
        first, second = pair.start()
        assert first.moved("standby").returncode == 0
        second.power_cut()
        wait_until("the group was taken over", lambda: first.group() == "started")
        wait_until("power is given back", lambda: switch.outlet_state(2) == "on")
        assert "is fenced: all its plugs read OFF" in first.log()
        assert switch.outlet_state(1) == "on"
        assert PASSWORD not in pair.logs()
        pair.prove_one_holder()


def test_a_wrong_password_means_no_takeover_and_status_says_why(pair: Pair) -> None:
    with switch_of(pair, believed="wrong-sesame") as switch:
        first, second = pair.start()
        assert first.moved("standby").returncode == 0
        second.power_cut()
        wait_until("the shot failed", lambda: "is not fenced" in first.log())
        assert first.group() == "stopped"
        status = first.ctl("status")
        assert status.returncode == 2
        assert "password" in status.stdout
        assert "wrong-sesame" not in status.stdout + pair.logs()
        assert switch.outlet_state(2) == "on"


def test_a_garbage_reply_means_no_takeover_until_the_switch_speaks_again(pair: Pair) -> None:
    with switch_of(pair) as switch:
        first, second = pair.start()
        assert first.moved("standby").returncode == 0
        switch.fault("garbage")
        second.power_cut()
        wait_until("the shot failed", lambda: "is not fenced" in first.log())
        assert first.group() == "stopped"
        switch.clear()
        wait_until("the takeover completes by itself", lambda: first.group() == "started")
        pair.prove_one_holder()
