"""fence_wti and wti_nps against every variant they claim to support, and what happens where they cannot.

fence_wti knows the prompts IPS>, NPS> and VMR>; wti_nps knows NPS and IPS ("PS>"). The outlet is asked, not
only the client.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run
from peers.plugin import ADDRESS, PASSWORD, namespace_for_a_switch, needs_stonith, stonith, works

FENCE_WTI = "/usr/sbin/fence_wti"
TIMEOUT_MS = 300_000
# Its own limits are 3 to 20 s, which a machine that does other things may take.
PATIENT = {"login_timeout": "60", "shell_timeout": "60", "power_timeout": "60"}
USER = "operator"
VARIANTS = ("ips", "nps", "vmr")
PLUGS = {"ips": 8, "nps": 16, "vmr": 16}

needs_fence_wti = pytest.mark.skipif(
    not Path(FENCE_WTI).exists() or shutil.which("telnet") is None,
    reason="needs the packages fence-agents and telnet",
)


def emulator(directory: Path, variant: str, **settings: Any) -> EmulatorProcess:
    outlets = {
        1: OutletConfig("pete", delay_ms=50),
        2: OutletConfig("mclaws", delay_ms=50),
        5: OutletConfig("mclaws", delay_ms=50),
    }
    user = USER if variant == "vmr" else ""
    return EmulatorProcess(
        str(directory), outlets=outlets, password=PASSWORD, variant=variant, user=user, **settings
    )


# --- fence_wti -------------------------------------------------------------------------------------------


def fence_wti(switch: EmulatorProcess, action: str, plug: str = "5", **more: str) -> CommandResult:
    options = {"action": action, "ip": switch.address, "ipport": str(switch.port), "plug": plug}
    options |= {"username": USER, "password": PASSWORD, **PATIENT, **more}
    stdin = "".join(f"{name}={value}\n" for name, value in options.items())
    return run([FENCE_WTI], Deadline(TIMEOUT_MS), stdin=stdin)


@needs_fence_wti
@pytest.mark.parametrize("variant", VARIANTS)
def test_fence_wti_lists_and_switches_every_variant(tmp_path: Path, variant: str) -> None:
    """With a VMR that includes its login name, its pager (once per listing) and a star after the state."""
    with emulator(tmp_path, variant) as switch:
        result = fence_wti(switch, "list")
        assert result.code == 0, result.describe()
        names = {1: "pete", 2: "mclaws", 5: "mclaws"}
        expected = [f"{number},{names.get(number, '(undefined)')}" for number in range(1, PLUGS[variant] + 1)]
        assert result.stdout.split() == expected
        assert fence_wti(switch, "status").stdout.strip() == "Status: ON"
        result = fence_wti(switch, "off")
        assert (result.code, result.stdout.strip()) == (0, "Success: Powered OFF"), result.describe()
        assert [switch.outlet_state(number) for number in (1, 2, 5)] == ["on", "on", "off"]
        result = fence_wti(switch, "on")
        assert (result.code, result.stdout.strip()) == (0, "Success: Powered ON"), result.describe()
        assert switch.outlet_state(5) == "on"
        assert fence_wti(switch, "reboot").stdout.strip() == "Success: Rebooted"
        assert [event["to"] for event in switch.events("switched")] == ["off", "on", "off", "on"]


@needs_fence_wti
def test_fence_wti_waits_while_a_vmr_shows_a_star(tmp_path: Path) -> None:
    """The relay is slow, the prompt comes back before it, and "on*" is not "off"."""
    with emulator(tmp_path, "vmr") as switch:
        switch.fault("slow", 5, seconds=3)
        result = fence_wti(switch, "off")
        assert (result.code, result.stdout.strip()) == (0, "Success: Powered OFF"), result.describe()
        assert switch.outlet_state(5) == "off"


@needs_fence_wti
def test_fence_wti_reads_and_switches_a_group_of_a_vmr(tmp_path: Path) -> None:
    """Under a group's name it looks into /SG."""
    with emulator(tmp_path, "vmr", extra=["--group", "cluster=1+5"]) as switch:
        assert fence_wti(switch, "status", "cluster").stdout.strip() == "Status: ON"
        result = fence_wti(switch, "off", "cluster")
        assert (result.code, result.stdout.strip()) == (0, "Success: Powered OFF"), result.describe()
        assert [switch.outlet_state(number) for number in (1, 2, 5)] == ["off", "on", "off"]


@needs_fence_wti
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_stuck_relay_is_no_success_of_fence_wti(tmp_path: Path, variant: str) -> None:
    with emulator(tmp_path, variant) as switch:
        switch.fault("stuck", 5)
        for power_s in ("2", "60"):  # the time for the prompt after /off is the same
            result = fence_wti(switch, "off", power_timeout=power_s)
            if "Connection timed out" not in result.stderr:
                break
        assert result.code == 1
        assert "Timed out waiting to power OFF" in result.stderr
        assert switch.outlet_state(5) == "on"


@needs_fence_wti
def test_fence_wti_cannot_work_when_the_switch_asks_although_y_was_given(tmp_path: Path) -> None:
    """It waits for the prompt, the device for an answer; it says so and nothing is switched."""
    with emulator(tmp_path, "ips") as switch:
        switch.fault("confirm")
        result = fence_wti(switch, "off", power_timeout="2")
        assert result.code == 1
        assert "Connection timed out" in result.stderr
        assert switch.outlet_state(5) == "on"


@needs_fence_wti
@pytest.mark.parametrize("variant", ["ips", "nps"])
def test_fence_wti_gets_in_when_automated_mode_asks_no_password(tmp_path: Path, variant: str) -> None:
    with emulator(tmp_path, variant) as switch:
        switch.fault("automated")
        result = fence_wti(switch, "off")
        assert (result.code, result.stdout.strip()) == (0, "Success: Powered OFF"), result.describe()
        assert switch.outlet_state(5) == "off"


@needs_fence_wti
def test_fence_wti_does_not_get_past_a_pager_at_login(tmp_path: Path) -> None:
    """It turns one page of a listing it asked for; the fault pages the first screen after the password, too."""
    with emulator(tmp_path, "ips") as switch:
        switch.fault("pager")
        for shell_s in ("3", "60"):  # it waits until that is over; longer only when there was no login before
            result = fence_wti(switch, "off", shell_timeout=shell_s)
            if switch.events("login"):
                break
        assert switch.events("login"), "the password was accepted, and the first screen is what stopped it"
        assert result.code == 1
        assert "Unable to connect/login" in result.stderr
        assert switch.outlet_state(5) == "on"


# --- wti_nps ---------------------------------------------------------------------------------------------


@pytest.fixture
def namespace() -> Iterator[str]:
    with namespace_for_a_switch() as name:
        yield name


def in_namespace(directory: Path, variant: str, namespace: str) -> EmulatorProcess:
    prefix = ["ip", "netns", "exec", namespace]
    return emulator(directory, variant, address=ADDRESS, port=23, prefix=prefix)


class TestWtiNps:
    """cluster-glue's plugin; it knows no port but 23."""

    pytestmark = needs_stonith

    @pytest.mark.parametrize("variant", ["ips", "nps"])
    def test_it_lists_and_switches(self, namespace: str, tmp_path: Path, variant: str) -> None:
        with in_namespace(tmp_path, variant, namespace) as switch:
            works(namespace, switch, "-S")
            result = works(namespace, switch, "-l")
            assert (result.code, result.stdout.split()) == (0, ["pete", "mclaws", "mclaws"])
            works(namespace, switch, "-T", "off", "mclaws")
            assert [switch.outlet_state(number) for number in (1, 2, 5)] == ["on", "off", "off"]
            works(namespace, switch, "-T", "on", "mclaws")
            works(namespace, switch, "-T", "reset", "pete")
            assert [switch.outlet_state(number) for number in (1, 2, 5)] == ["on", "on", "on"]
            moves = [(event["outlet"], event["to"]) for event in switch.events("switched")]
            assert moves == [(2, "off"), (5, "off"), (2, "on"), (5, "on"), (1, "off"), (1, "on")]

    def test_it_answers_the_question_if_it_is_asked_in_spite_of_y(self, namespace: str, tmp_path: Path) -> None:
        """It says Y to any (Y/N) after its command, and to the one after /x nothing: the session stays."""
        with in_namespace(tmp_path, "nps", namespace) as switch:
            switch.fault("confirm")
            works(namespace, switch, "-T", "off", "pete")
            assert switch.outlet_state(1) == "off"

    def test_a_vmr_is_not_for_it(self, namespace: str, tmp_path: Path) -> None:
        """It never gives a login name: no login, no switching, S_TIMEOUT after its twenty attempts."""
        with in_namespace(tmp_path, "vmr", namespace) as switch:
            assert stonith(namespace, "-T", "off", "pete").code == 6
            assert switch.events("login", "switched") == []
            assert switch.outlet_state(1) == "on"
