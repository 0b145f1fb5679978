"""A script written for fence_wti finds the same answers here: both run on the same emulated switch."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from fence.parts import PASSWORD, Answer, agent, switch

STOCK = "/usr/sbin/fence_wti"

pytestmark = pytest.mark.skipif(
    not os.path.exists(STOCK) or shutil.which("telnet") is None,
    reason="fence-agents or telnet is not installed",
)

# The stock agent's own limits are 3 to 20 s, which a machine that does other things may take.
PATIENT = ("login_timeout=60", "shell_timeout=60", "power_timeout=60")


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with switch(tmp_path_factory.mktemp("unit")) as emulator:
        yield emulator


def both(*lines: str, argv: tuple[str, ...] = ()) -> tuple[Answer, Answer]:
    """Stock first. Not as Pacemaker runs them: there fence_wti may wait without end."""
    env = {"PCMK_service": ""}
    return agent(*lines, argv=argv, program=STOCK, env=env), agent(*lines, argv=argv, env=env)


def errors(answer: Answer) -> set[str]:
    """The messages, without time and level; fence-agents prints some of them twice, in two forms."""
    found = set()
    for line in answer.err.splitlines():
        text = re.sub(r"^(\S+ \S+ (ERROR|WARNING): |ERROR:root:)", "", line).strip()
        if text:
            found.add(text)
    return found


@pytest.mark.parametrize(
    ("lines", "before"),
    [
        (["action=status"], "on"),
        (["action=status"], "off"),
        (["action=STATUS"], "on"),
        (["action=on"], "on"),
        (["action=on"], "off"),
        (["action=off"], "on"),
        (["action=off"], "off"),
        (["action=reboot"], "on"),
        (["action=reboot"], "off"),
        ([], "on"),
        (["action=monitor"], "on"),
        (["action=validate-all"], "on"),
    ],
    ids=str,
)
def test_the_same_result(unit: Any, lines: list[str], before: str) -> None:
    where = (f"ipaddr={unit.address}", f"ipport={unit.port}", "port=3", "nodename=pete")
    base = (*where, f"passwd={PASSWORD}", *PATIENT)
    results = []
    for program in (STOCK, ""):
        unit.press(3, before)
        answer = agent(*base, *lines, env={"PCMK_service": ""}, **({"program": program} if program else {}))
        results.append((answer.code, answer.out, unit.outlet_state(3)))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "argv",
    [
        ("-o", "status"),
        ("--action=status", "--login-timeout=9"),
        ("-o", "status", "--power-timeout", "20", "--plug-separator=,", "-C", ";", "--delay=0", "--retry-on=2"),
        ("-v", "-v", "-o", "status", "--verbose-level=0"),
        ("-4", "-q", "--stonith-status-sleep=1", "--telnet-path=/usr/bin/telnet", "-o", "status"),
    ],
)
def test_the_same_on_the_command_line(unit: Any, argv: tuple[str, ...]) -> None:
    unit.press(3, "on")
    where = ("-a", unit.address, "-u", str(unit.port), "-p", PASSWORD, "-n", "3", "--shell-timeout=60")
    stock, ours = both(argv=(*where, *argv))
    assert (stock.code, stock.out) == (ours.code, ours.out) == (0, "Status: ON\n")


@pytest.mark.parametrize(
    "lines",
    [
        ["plug=1"],
        ["ip=192.0.2.1"],
        ["ip=192.0.2.1", "plug=1", "action=disable"],
        ["ip=192.0.2.1", "plug=1", "action="],
        ["ip=192.0.2.1", "plug=1", "delay=soon"],
        ["ip=192.0.2.1", "plug=1", "identity_file=/nonexistent"],
        ["ip=192.0.2.1", "plug=1", "identity_file=/nonexistent", "ssh=1", "username=u"],
        ["ip=192.0.2.1", "plug=1", "debug_file=/nonexistent/debug"],
        ["ip=192.0.2.1", "action=validate-all"],
    ],
    ids=str,
)
def test_the_same_complaint(lines: list[str]) -> None:
    stock, ours = both(*lines)
    assert (stock.code, stock.out) == (ours.code, ours.out) == (1, "")
    said = errors(ours)
    for text in errors(stock) - {"Please use '-h' for usage", "validate-all failed"}:
        assert any(text in line for line in said), (text, said)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["plug=3", "password=Wr0ng"], "Unable to connect/login to fencing device"),
        (["plug=99", f"password={PASSWORD}", *PATIENT], "Failed: Unable to obtain correct plug status"),
        (["plug=2", f"password={PASSWORD}", *PATIENT], "Failed: Timed out waiting to power OFF"),
    ],
)
def test_the_same_failure(unit: Any, lines: list[str], words: str) -> None:
    unit.fault("stuck", 2)
    for power_s in (1, 30):  # the stock agent's time for the prompt after /off is the same
        times = (f"power_timeout={power_s}",) if "power" in words.lower() else ()
        stock, ours = both(f"ip={unit.address}", f"ipport={unit.port}", "action=off", *lines, *times)
        if not times or "Connection timed out" not in stock.err:
            break
    unit.clear()
    assert (stock.code, stock.out) == (ours.code, ours.out) == (1, "")
    assert any(words in line for line in errors(stock))
    assert any(words in line for line in errors(ours))


@pytest.mark.parametrize("action", ["list", "list-status"])
def test_the_same_lines_in_the_list(tmp_path: Any, action: str) -> None:
    """But for plugs nobody named, about whose '(undefined)' Pacemaker complains."""
    outlets = {1: OutletConfig("Pete", on=False), 5: OutletConfig("McLaws")}
    with EmulatorProcess(str(tmp_path), outlets=outlets, password=PASSWORD) as unit:
        stock, ours = both(
            f"ip={unit.address}", f"ipport={unit.port}", f"password={PASSWORD}", f"action={action}", "separator=;",
            *PATIENT,
        )  # fmt: skip
    assert stock.out.replace("(undefined)", "") == ours.out
    assert ours.out.startswith("1;pete")
