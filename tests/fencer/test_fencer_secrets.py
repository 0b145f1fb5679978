"""No command line of any process that our programs start ever holds the password, as the kernel saw it.

``strace`` writes down every execve(2) with all its arguments; nothing is sampled, nothing can slip through.
"""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, CommandResult, run
from fencer.world import CHECKOUT, PASSWORD, STONITH

AGENT = str(CHECKOUT / "stonith" / "fence_wti_ips800")
PATIENCE_MS = 120_000


@pytest.fixture
def switch(folder: Path) -> Iterator[EmulatorProcess]:
    if shutil.which("strace") is None:
        pytest.skip("needs the package strace")
    probe = run(["strace", "-f", "-o", "/dev/null", "/bin/true"], Deadline(PATIENCE_MS))
    if not probe.ok():
        pytest.skip(f"tracing is not allowed here: {probe.last_line()}")
    outlets = {1: OutletConfig("pete", delay_ms=0)}
    with EmulatorProcess(str(folder), outlets=outlets, password=PASSWORD) as emulator:
        yield emulator


def traced(
    argv: list[str], trace: Path, stdin: str = "", env: dict[str, str] | None = None
) -> tuple[CommandResult, str]:
    """Run ``argv`` under strace; returns its result and every command line it led to, unabridged."""
    command = ["strace", "-f", "-s", "65535", "-e", "trace=execve", "-e", "signal=none", "-o", str(trace), *argv]
    result = run(command, Deadline(PATIENCE_MS), stdin=stdin, env=env)
    return result, trace.read_text()


def options(switch: EmulatorProcess, *more: str) -> str:
    lines = [f"ip={switch.address}", f"ipport={switch.port}", "plug=pete", "action=off", "verbose=1", *more]
    return "".join(f"{line}\n" for line in lines)


def password_file(folder: Path) -> Path:
    path = folder / "secret"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("way", ["option", "file", "script"])
def test_whichever_way_the_password_comes_no_command_line_shows_it(
    switch: EmulatorProcess, folder: Path, way: str
) -> None:
    path = password_file(folder)
    given = {
        "option": f"password={PASSWORD}",
        "file": f"password_file={path}",
        "script": f"password_script=/bin/cat {shlex.quote(str(path))}",
    }[way]
    result, calls = traced([AGENT], folder / "trace", options(switch, given))
    assert result.ok(), result.describe()
    assert switch.outlet_state(1) == "off"
    assert "execve(" in calls
    if way == "script":
        assert "/bin/cat" in calls, "the trace follows children"
    assert PASSWORD not in calls
    assert PASSWORD not in result.stdout + result.stderr


def test_a_failed_login_shows_it_neither(switch: EmulatorProcess, folder: Path) -> None:
    wrong = "n0t-the-Pa55"
    debug = folder / "debug"
    result, calls = traced(
        [AGENT], folder / "trace", options(switch, f"password={wrong}", f"debug_file={debug}", "verbose_level=9")
    )
    assert result.code == 1
    assert wrong not in calls + result.stdout + result.stderr + debug.read_text()


def test_stonith_gives_it_to_its_agent_unseen(switch: EmulatorProcess, folder: Path) -> None:
    """As fence_legacy calls it: the password comes in the environment and goes on through standard input."""
    env = {"ipaddr": switch.address, "ipport": str(switch.port), "password": PASSWORD}
    argv = [str(STONITH), "-d", "-t", "wti_nps", "-E", "-T", "off", "pete"]
    result, calls = traced(argv, folder / "trace", env=env)
    assert result.ok(), result.describe()
    assert switch.outlet_state(1) == "off"
    assert "fence_wti_ips800" in calls, "the trace follows children"
    assert PASSWORD not in calls + result.stdout + result.stderr


@pytest.mark.parametrize("program", [AGENT, str(STONITH)])
def test_no_core_file_is_left_where_the_password_would_stand_in_clear(
    switch: EmulatorProcess, folder: Path, program: str
) -> None:
    """Killed in the middle of its work by a signal that dumps core, where the limits of the caller allow one."""
    switch.fault("stuck", 1)
    # An orphaned agent of a killed stonith ends by itself, soon.
    device = {"ipaddr": switch.address, "ipport": str(switch.port), "password": PASSWORD, "timeout": "10"}
    env = {**CLEAN_ENV, **device}
    argv = [program] if program == AGENT else [program, "-t", "wti_nps", "-E", "-T", "off", "pete"]
    with (folder / "stdin").open("w+") as stdin:
        stdin.write(options(switch, f"password={PASSWORD}"))
        stdin.seek(0)
        limited = ["prlimit", "--core=unlimited:unlimited", "--", *argv]
        child = subprocess.Popen(limited, stdin=stdin, stderr=subprocess.DEVNULL, env=env, cwd=folder)
    try:
        deadline = Deadline(PATIENCE_MS)
        while not any(event["text"] == "/OFF 1,Y" for event in switch.events("command")):
            deadline.require("the command that never succeeds")
            time.sleep(0.02)
        limits = Path(f"/proc/{child.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        child.send_signal(signal.SIGQUIT)
        child.wait(PATIENCE_MS / 1000)
    finally:
        child.kill()
        child.wait()
    assert list(folder.glob("core*")) == []
