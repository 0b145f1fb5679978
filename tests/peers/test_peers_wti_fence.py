"""Debian's own fence_wti (package fence-agents) operates the emulator through the telnet client.

What counts is the outlet, asked at the control socket, not only what the client says.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

FENCE_WTI = "/usr/sbin/fence_wti"
TIMEOUT_MS = 300_000
# Its own limits are 3 to 20 s, which a machine that does other things may take.
PATIENT = "login_timeout=60\nshell_timeout=60\npower_timeout=60\n"

pytestmark = pytest.mark.skipif(
    not Path(FENCE_WTI).exists() or shutil.which("telnet") is None,
    reason="needs the packages fence-agents and telnet",
)


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[EmulatorProcess]:
    outlets = {1: OutletConfig("pete"), 5: OutletConfig("mclaws", delay_ms=50)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, password="changeme") as emulator:
        yield emulator


def fence_wti(
    switch: EmulatorProcess, action: str, plug: str = "5", password: str = "changeme", times: str = PATIENT
) -> CommandResult:
    """fence_wti fed by stdin, as Pacemaker feeds it."""
    stdin = f"action={action}\nip={switch.address}\nipport={switch.port}\nplug={plug}\npassword={password}\n"
    return run([FENCE_WTI], Deadline(TIMEOUT_MS), stdin=stdin + times)


def test_status_says_what_the_outlet_is(switch: EmulatorProcess) -> None:
    result = fence_wti(switch, "status")
    assert (result.code, result.stdout.strip()) == (0, "Status: ON")
    switch.press(5, "off")
    result = fence_wti(switch, "status")
    assert (result.code, result.stdout.strip()) == (2, "Status: OFF")


def test_list_shows_all_eight_plugs_and_the_names(switch: EmulatorProcess) -> None:
    result = fence_wti(switch, "list")
    assert result.code == 0
    names = {1: "pete", 5: "mclaws"}
    expected = [f"{number},{names.get(number, '(undefined)')}" for number in range(1, 9)]
    assert result.stdout.split() == expected


def test_monitor_succeeds(switch: EmulatorProcess) -> None:
    assert fence_wti(switch, "monitor").code == 0


def test_off_then_on_moves_that_outlet_only(switch: EmulatorProcess) -> None:
    result = fence_wti(switch, "off")
    assert (result.code, result.stdout.strip()) == (0, "Success: Powered OFF")
    assert switch.outlet_state(5) == "off"
    assert switch.outlet_state(1) == "on"
    result = fence_wti(switch, "on")
    assert (result.code, result.stdout.strip()) == (0, "Success: Powered ON")
    assert switch.outlet_state(5) == "on"


def test_reboot_passes_through_off(switch: EmulatorProcess) -> None:
    result = fence_wti(switch, "reboot")
    assert (result.code, result.stdout.strip()) == (0, "Success: Rebooted")
    moves = [(event["outlet"], event["to"]) for event in switch.events("switched")]
    assert moves == [(5, "off"), (5, "on")]
    assert switch.outlet_state(5) == "on"


def test_wrong_password_switches_nothing_and_is_not_logged(switch: EmulatorProcess) -> None:
    # It waits for a prompt until its time is up; it gets more only if that was over before the password.
    for shell_s in (3, 60):
        result = fence_wti(switch, "off", password="wrongsecret", times=f"shell_timeout={shell_s}\n")
        if switch.events("login_refused"):
            break
    assert result.code == 1
    assert "Unable to connect/login" in result.stderr
    assert switch.outlet_state(5) == "on"
    assert len(switch.events("login_refused")) == 1
    assert "wrongsecret" not in Path(switch.log_path).read_text()


def test_without_a_system_password_it_gets_in_unasked(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={5: OutletConfig("mclaws")}) as switch:
        assert fence_wti(switch, "off").code == 0
        assert switch.outlet_state(5) == "off"


def test_the_outlets_command_has_finished_when_fence_wti_reads_off(tmp_path: Path) -> None:
    """The relay clicks when its command has exited: a node is dead before anybody may read OFF."""
    mark = tmp_path / "node-is-dead"
    outlets = {5: OutletConfig("mclaws", off_command=["/bin/sh", "-c", 'sleep 1; touch "$0"', str(mark)])}
    with EmulatorProcess(str(tmp_path), outlets=outlets, password="changeme") as switch:
        assert fence_wti(switch, "off").code == 0
        assert mark.exists()
        done = switch.events("switching", "switched", "command")
        order = [event.get("text", event["event"]) for event in done]
        assert order[:5] == ["/S", "/OFF 5,Y", "switching", "switched", "/S"]


def test_while_a_session_is_open_fence_wti_is_refused(switch: EmulatorProcess) -> None:
    with socket.create_connection((switch.address, switch.port), timeout=60) as first:
        assert first.recv(1)
        result = fence_wti(switch, "off", times="shell_timeout=3\n")  # it waits for a prompt until that is over
        assert result.code == 1
        assert switch.outlet_state(5) == "on"
        assert len(switch.events("connect")) == 1


def test_a_stuck_relay_makes_fence_wti_fail(switch: EmulatorProcess) -> None:
    switch.fault("stuck", 5)
    for power_s in (3, 60):  # the time for the prompt after /off is the same, and a busy machine may need more
        result = fence_wti(switch, "off", times=f"shell_timeout=60\npower_timeout={power_s}\n")
        if "Connection timed out" not in result.stderr:
            break
    assert result.code == 1
    assert "Timed out waiting to power OFF" in result.stderr
    assert switch.outlet_state(5) == "on"
    assert switch.events("stuck")
