"""failoverctl switch console on a pseudo terminal: keys go through, and the way out logs out and gives it back."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pytest

from failover_kit.emulator.harness import EmulatorProcess

PROGRAM = str(Path(__file__).parents[2] / "bin" / "failoverctl")
PASSWORD = "0ld-Secret"
LEAVE = "\x1d"


@pytest.fixture
def switch(tmp_path: Path) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(str(tmp_path), outlets={}, password=PASSWORD, serial=True) as emulator:
        yield emulator


def console(switch: EmulatorProcess, way: str, *words: str) -> pexpect.spawn:
    place = (
        ["--serial", switch.serial_path]
        if way == "serial"
        else ["--ip", switch.address, "--port", str(switch.port)]
    )
    child = pexpect.spawn(PROGRAM, ["switch", "console", *place, *words], timeout=60, encoding="latin-1")
    child.expect_exact("^] leaves")
    child.expect("Password:")
    return child


def log_in(child: pexpect.spawn) -> None:
    child.send(PASSWORD + "\r")
    child.expect("IPS> ")


def ended(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus


def reasons(switch: EmulatorProcess) -> list[str]:
    """How the sessions ended, once the switch has noticed that all of them did."""
    end = time.monotonic() + 60
    while len(switch.events("connect")) != len(switch.events("disconnect")) and time.monotonic() < end:
        time.sleep(0.05)
    return [event["reason"] for event in switch.events("disconnect")]


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_keys_go_through_and_the_way_out_logs_out(switch: EmulatorProcess, way: str) -> None:
    child = console(switch, way)
    before = termios.tcgetattr(child.child_fd)
    log_in(child)
    child.send("/P 1\r")
    child.expect("Plug Name")
    child.send(LEAVE)
    child.expect_exact("logging out")
    assert ended(child) == 0
    assert reasons(switch) == ["exit"]
    assert before[3] & termios.ICANON == 0  # raw while it ran


def test_an_interrupt_key_is_the_switchs(switch: EmulatorProcess) -> None:
    child = console(switch, "tcp")
    log_in(child)
    child.send("\x03")
    child.send("/S\r")
    child.expect("Plug")
    child.send(LEAVE)
    assert ended(child) == 0


def test_a_terminate_signal_logs_out_and_gives_the_terminal_back(switch: EmulatorProcess) -> None:
    parent, terminal = os.openpty()
    try:
        before = termios.tcgetattr(terminal)
        child = subprocess.Popen(
            [PROGRAM, "switch", "console", "--ip", switch.address, "--port", str(switch.port)],
            stdin=terminal, stdout=terminal, stderr=terminal,
        )  # fmt: skip
        seen = _read_until(parent, b"Password:")
        os.write(parent, PASSWORD.encode() + b"\r")
        seen = _read_until(parent, b"IPS> ")
        assert termios.tcgetattr(terminal)[3] != before[3]
        child.send_signal(signal.SIGTERM)
        seen = _read_until(parent, b"logging out")
        assert child.wait(60) == 0, seen
        assert termios.tcgetattr(terminal) == before
        assert reasons(switch) == ["exit"]
    finally:
        os.close(parent)
        os.close(terminal)


@pytest.mark.parametrize("typed", ["", "/G\r"], ids=["prompt", "menu"])
def test_a_terminal_that_is_gone_does_not_leave_the_session_open(switch: EmulatorProcess, typed: str) -> None:
    """The serial line does not end with us: only /X ends the session there, and nothing can be shown any more."""
    child = console(switch, "serial")
    log_in(child)
    child.send(typed)
    if typed:
        child.expect("ESC")
    with suppress(pexpect.ExceptionPexpect):  # it has no patience with a child that is still logging out
        child.close(force=False)
    assert reasons(switch) == ["exit"]


def test_nothing_is_typed_at_a_password_prompt_on_the_way_out(switch: EmulatorProcess) -> None:
    child = console(switch, "tcp")
    child.send(LEAVE)
    assert ended(child) == 0
    assert switch.events("login_refused") == [] and switch.events("command") == []


def test_an_idle_session_is_warned_of(switch: EmulatorProcess) -> None:
    child = console(switch, "tcp", "--idle", "0.2")
    child.expect("nothing typed for .* no cluster can fence")
    child.send(LEAVE)
    assert ended(child) == 0


def test_a_switch_that_hangs_up_ends_it(switch: EmulatorProcess) -> None:
    child = console(switch, "tcp")
    log_in(child)
    child.send("/X,Y\r")
    child.expect_exact("the switch has hung up")
    assert ended(child) == 0


def test_it_is_for_people_only(switch: EmulatorProcess) -> None:
    done = subprocess.run(
        [PROGRAM, "switch", "console", "--ip", switch.address, "--port", str(switch.port)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "show --json" in done.stderr
    assert switch.events("connect") == []


def test_passwords_are_asked_for_on_a_terminal_and_not_shown(switch: EmulatorProcess) -> None:
    place = ["--ip", switch.address, "--port", str(switch.port)]
    child = pexpect.spawn(PROGRAM, ["switch", "setup", *place, "--new-password"], timeout=60, encoding="utf-8")
    child.expect("New system password: ")
    child.sendline("n3w-Secret")
    child.expect("Once more: ")
    child.sendline("n3w-Secret")
    child.expect("Password of the switch: ")
    child.sendline(PASSWORD)
    child.expect("system password  set     changed  changed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert reasons(switch) == ["exit", "exit"]


def _read_until(fd: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        seen += os.read(fd, 1024)
    return seen
