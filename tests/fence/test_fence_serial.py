"""Fencing over the serial line: the emulator's console on a pseudo-terminal, and lines that misbehave."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from typing import Any

import pytest

from failover_kit.fence.serialline import connect_serial
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer
from failover_kit.spec.deadline import Deadline
from fence.parts import PASSWORD, Answer, agent, later, settled, switch


@pytest.fixture
def console(tmp_path: Any) -> Iterator[Any]:
    with switch(tmp_path, serial=True) as emulator:
        yield emulator


def test_the_story_over_the_serial_line(console: Any) -> None:
    options = (f"serial={console.serial_path}", f"password={PASSWORD}")
    assert agent(*options, "action=status", "plug=pete") == Answer(0, "Status: ON\n", "")
    assert agent(*options, "action=off", "plug=mclaws") == Answer(0, "Success: Powered OFF\n", "")
    assert [console.outlet_state(n) for n in (1, 5, 6)] == ["on", "off", "off"]
    assert agent(*options, "plug=mclaws") == Answer(0, "Success: Rebooted\n", "")
    assert agent(*options, "action=list").out.startswith("1,pete\n2,\n")
    assert agent(*options, "action=monitor") == Answer(0, "", "")
    assert settled(console).count("/X,Y") == 5, "every session is left with a logout"


@pytest.mark.parametrize("variant", ["ips", "nps", "vmr"])
def test_the_serial_dialects(tmp_path: Any, variant: str) -> None:
    user = "super" if variant == "vmr" else ""
    with switch(tmp_path, serial=True, variant=variant, user=user) as emulator:
        lines = [f"serial={emulator.serial_path}", f"password={PASSWORD}", "action=off", "plug=pete"]
        assert agent(*lines, *([f"username={user}"] if user else [])).code == 0
        assert emulator.outlet_state(1) == "off"


def test_a_console_somebody_left_logged_in_is_used(console: Any) -> None:
    fd = os.open(console.serial_path, os.O_RDWR | os.O_NOCTTY)
    try:
        tty.setraw(fd)
        os.write(fd, b"\r")
        read_until(fd, b"assword:")
        os.write(fd, PASSWORD.encode() + b"\r")
        read_until(fd, b"IPS>")
    finally:
        os.close(fd)
    assert agent(f"serial={console.serial_path}", f"password={PASSWORD}", "action=off", "plug=1").code == 0
    assert console.outlet_state(1) == "off"


def read_until(fd: int, what: bytes) -> bytes:
    data = b""
    while what not in data:
        assert select.select([fd], [], [], 30)[0], data
        data += os.read(fd, 4096)
    return data


def test_a_stuck_relay_is_a_failure_over_serial(console: Any) -> None:
    console.fault("stuck", 1)
    answer = agent(
        f"serial={console.serial_path}", f"password={PASSWORD}", "action=off", "plug=1", "power_timeout=0.5"
    )
    assert answer.code == 1
    assert "waiting to power OFF" in answer.err
    assert settled(console)[-1] == "/X,Y"


def test_a_wrong_password_over_serial_is_typed_once(console: Any) -> None:
    answer = agent(f"serial={console.serial_path}", "password=Wr0ng-Pa55", "action=off", "plug=1", "verbose=1")
    assert answer.code == 1
    assert "Wr0ng-Pa55" not in answer.err
    assert len(console.events("login_refused")) == 1


def test_the_lock_of_another_agent_is_waited_for(console: Any) -> None:
    options = (f"serial={console.serial_path}", f"password={PASSWORD}", "action=off", "plug=1")
    with open(console.serial_path, "rb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        answer = agent(*options, "timeout=2")
        assert answer.code == 1
        assert "somebody else uses it" in answer.err
        assert "tried for" in answer.err
        with later(0.5, fcntl.flock, other, fcntl.LOCK_UN):
            assert agent(*options).code == 0
    assert console.outlet_state(1) == "off"


def test_two_agents_on_one_line_take_turns(console: Any) -> None:
    """Both nodes' machines, one console server: nobody talks into the other's dialogue."""
    answers: list[Answer] = []

    def fence(plug: str) -> None:
        answers.append(agent(f"serial={console.serial_path}", f"password={PASSWORD}", "action=off", f"plug={plug}"))

    threads = [threading.Thread(target=fence, args=(plug,)) for plug in ("pete", "mclaws")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.code for answer in answers] == [0, 0], answers
    assert [console.outlet_state(n) for n in (1, 5, 6)] == ["off"] * 3


def test_no_such_line_and_no_serial_line(tmp_path: Any) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    for path, words in ((tmp_path / "none", "No such file"), (plain, "Could not configure port")):
        answer = agent(f"serial={path}", "action=status", "plug=1")
        assert answer.code == 1
        assert words in answer.err
        assert "bug" not in answer.err


# A line of our own.


class Line:
    """The device's end of a pseudo-terminal, and a device on it that answers what the test says."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def serve(self, answers: dict[bytes, bytes | None]) -> threading.Thread:
        """Answer lines; None pulls the adapter out."""

        def run() -> None:
            data = b""
            while True:
                try:
                    data += os.read(self.master, 100)
                except OSError:
                    return
                while b"\r" in data:
                    line, _, data = data.partition(b"\r")
                    answer = answers.get(line, b"")
                    if answer is None:
                        self.pull_out()
                        return
                    os.write(self.master, answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def pull_out(self) -> None:
        os.close(self.slave)
        os.close(self.master)
        self.master = self.slave = -1

    def close(self) -> None:
        if self.master >= 0:
            self.pull_out()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    try:
        yield made
    finally:
        made.close()


def test_an_adapter_pulled_out_in_the_middle_is_a_lost_connection(line: Line) -> None:
    thread = line.serve({b"": b"IPS> ", b"/S": None})
    answer = agent(f"serial={line.path}", "action=status", "plug=1")
    thread.join(30)
    assert answer.code == 1
    assert answer.out == ""
    assert "Connection lost" in answer.err or "connect/login" in answer.err
    assert "bug" not in answer.err


def test_a_silent_line_ends_in_time(line: Line) -> None:
    times = ("timeout=2", "login_timeout=0.5", "power_timeout=1")
    answer = agent(f"serial={line.path}", "action=off", "plug=1", *times)
    assert answer.code == 1
    assert "Connection timed out: the login did not come" in answer.err


def test_closing_the_line_does_not_hang_up(line: Line) -> None:
    before = termios.tcgetattr(line.slave)
    before[2] |= termios.HUPCL
    termios.tcsetattr(line.slave, termios.TCSANOW, before)
    transport = connect_serial(line.path, 9600)
    settings = termios.tcgetattr(line.slave)
    transport.close()
    assert not settings[2] & termios.HUPCL
    assert settings[4] == settings[5] == termios.B9600
    assert settings[2] & termios.CSIZE == termios.CS8
    assert not settings[2] & (termios.PARENB | termios.CSTOPB)


def test_a_write_has_a_deadline(line: Line) -> None:
    """Nobody reads the other end: the terminal's buffer fills up."""
    transport = connect_serial(line.path, 9600)
    try:
        with pytest.raises(NoAnswer, match="flow control"):
            transport.send(b"x" * 1_000_000, Deadline(300))
    finally:
        transport.close()


def test_a_read_after_the_line_is_gone(line: Line) -> None:
    transport = connect_serial(line.path, 9600)
    line.pull_out()
    with pytest.raises(ConnectionLost):
        transport.receive(Deadline(5000))
    with pytest.raises(ConnectionLost):
        transport.send(b"x", Deadline(5000))
    transport.close()


def test_what_stood_in_the_line_before_us_is_thrown_away(line: Line) -> None:
    os.write(line.master, b"old words")
    transport = connect_serial(line.path, 9600)
    try:
        assert transport.receive(Deadline(100)) is None
    finally:
        transport.close()


def test_a_missing_pyserial_is_a_clean_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(ConnectFailed, match="python3-serial"):
        connect_serial("/dev/ttyS0", 9600)
