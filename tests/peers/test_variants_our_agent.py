"""Our own agent against every variant of the emulator, over each way in that both have.

Emulator and agent share no code: what one calls a status screen, the other has to read.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

AGENT = str(Path(__file__).parents[2] / "stonith" / "fence_wti_ips800")
USER, PASSWORD = "operator", "s3cret-Pa55"
PATIENCE_S = 120


class Setting:
    """A running switch and how the agent gets there."""

    def __init__(self, switch: EmulatorProcess, way: str, variant: str) -> None:
        self.switch = switch
        self.options = {"password": PASSWORD, "power_timeout": "10"}
        if variant == "vmr":
            self.options["username"] = USER
        if way == "serial":
            self.options["serial"] = switch.serial_path
        elif way == "rest":
            place = {"ipport": str(switch.rest_port), "rest": "1", "ca_file": switch.rest_cert}
            self.options |= {"ip": switch.address, "username": USER, **place}
        else:
            self.options |= {"ip": switch.address, "ipport": str(switch.port)}

    def agent(self, **more: str) -> tuple[int, str]:
        options = {**self.options, **more}
        done = subprocess.run(
            [AGENT], input="".join(f"{name}={value}\n" for name, value in options.items()), text=True,
            capture_output=True, timeout=PATIENCE_S, env={"PATH": "/usr/bin:/bin"}, check=False,
        )  # fmt: skip
        assert PASSWORD not in done.stdout + done.stderr
        return done.returncode, done.stdout.strip()

    def on(self, *numbers: int) -> list[bool]:
        """The truth."""
        return [self.switch.outlet_state(number) == "on" for number in numbers]


@cache
def agent_knows(parameter: str) -> bool:
    done = subprocess.run([AGENT, "-o", "metadata"], capture_output=True, timeout=PATIENCE_S, check=False)
    return f'name="{parameter}"'.encode() in done.stdout


@pytest.fixture(params=["ips", "nps", "vmr"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["telnet", "serial", "rest"])
def setting(request: pytest.FixtureRequest, tmp_path: Path, variant: str) -> Iterator[Setting]:
    way = str(request.param)
    if way != "telnet" and not agent_knows(way):
        pytest.skip(f"this agent has no parameter {way}")
    outlets = {
        1: OutletConfig("pete", delay_ms=50),
        2: OutletConfig("mclaws", delay_ms=50),
        5: OutletConfig("mclaws", delay_ms=50),
    }
    user = USER if variant == "vmr" else ""
    with EmulatorProcess(
        str(tmp_path), outlets=outlets, password=PASSWORD, variant=variant, user=user,
        serial=way == "serial", rest=way == "rest",
    ) as switch:  # fmt: skip
        yield Setting(switch, way, variant)


def test_off_on_and_reboot_by_name(setting: Setting) -> None:
    assert setting.agent(action="status", plug="pete") == (0, "Status: ON")
    assert setting.agent(action="off", plug="pete") == (0, "Success: Powered OFF")
    assert setting.on(1, 2) == [False, True]
    assert setting.agent(action="status", plug="1") == (2, "Status: OFF")
    assert setting.agent(action="on", plug="pete") == (0, "Success: Powered ON")
    assert setting.agent(action="reboot", plug="mclaws") == (0, "Success: Rebooted")
    assert setting.on(1, 2, 5) == [True, True, True]
    moves = [(event["outlet"], event["to"]) for event in setting.switch.events("switched")]
    assert moves == [(1, "off"), (1, "on"), (2, "off"), (5, "off"), (2, "on"), (5, "on")]


def test_list_and_monitor(setting: Setting, variant: str) -> None:
    code, said = setting.agent(action="list")
    assert code == 0
    assert len(said.splitlines()) == (8 if variant == "ips" else 16)
    assert {line for line in said.splitlines() if "pete" in line or "mclaws" in line} == {
        "1,pete",
        "2,mclaws",
        "5,mclaws",
    }
    assert setting.agent(action="monitor")[0] == 0


def test_a_stuck_relay_is_a_failure_and_the_session_is_closed(setting: Setting) -> None:
    setting.switch.fault("stuck", 5)
    code, said = setting.agent(action="off", plug="mclaws", power_timeout="1")
    assert code == 1
    assert "Success" not in said
    assert setting.on(5) == [True]
    until = time.monotonic() + PATIENCE_S
    while setting.switch.view()["session"] is not None:  # the switch notices a moment later
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_wrong_password_is_tried_once(setting: Setting) -> None:
    assert setting.agent(action="off", plug="pete", password="wrong-Pa55")[0] == 1
    assert len(setting.switch.events("login_refused")) == 1
    assert setting.on(1) == [True]


@pytest.mark.parametrize("fault", ["confirm", "pager", "echo", "automated", "slow"])
def test_what_the_device_may_do_differently_is_no_obstacle(setting: Setting, fault: str) -> None:
    setting.switch.fault(fault, seconds=1 if fault == "slow" else None)
    # Where a failure will do it may come soon; what must succeed has room on a busy machine.
    answer = setting.agent(action="off", plug="pete", login_timeout="2" if fault == "pager" else "40")
    if fault == "pager" and answer[0] != 0:
        # Turning the pages of what comes before the first prompt is not promised: a clean failure will do.
        assert answer == (1, "")
        assert setting.on(1, 2) == [True, True]
        return
    assert answer == (0, "Success: Powered OFF")
    assert setting.on(1, 2) == [False, True]


@pytest.mark.parametrize("fault", ["mute", "refuse", "garbage", "busy", "lockout"])
def test_a_device_that_cannot_be_asked_is_a_failure_in_time(setting: Setting, fault: str) -> None:
    """Success would be a lie: nobody has read OFF."""
    if fault == "lockout":
        setting.switch.fault(fault, count=1)
        setting.agent(action="status", plug="pete", password="wrong-Pa55")
    else:
        setting.switch.fault(fault)
    works = "serial" in setting.options and fault in ("refuse", "lockout")
    power_s, login_s, shell_s = ("30", "30", "30") if works else ("1", "2", "1")
    code, said = setting.agent(
        action="off", plug="pete", power_timeout=power_s, login_timeout=login_s, shell_timeout=shell_s
    )
    if works:
        # Neither concerns the console: it is how one gets at a switch whose network refuses.
        assert (code, said) == (0, "Success: Powered OFF")
        assert setting.on(1) == [False]
    else:
        assert code == 1
        assert "Success" not in said
