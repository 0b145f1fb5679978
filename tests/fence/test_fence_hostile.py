"""The agent among full disks, readers that do not read, scripts that do not end and mangled input."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fence.parts import AGENT, ENVIRONMENT, PASSWORD, PATIENCE_S, agent, commands, settled, switch


@pytest.fixture
def unit(tmp_path: Any) -> Iterator[Any]:
    with switch(tmp_path) as emulator:
        yield emulator


def options(unit: Any, *more: str) -> tuple[str, ...]:
    return ("ip=127.0.0.1", f"ipport={unit.port}", f"password={PASSWORD}", "plug=1", *more)


def run(lines: tuple[str, ...], **streams: Any) -> tuple[int, str, str]:
    """The agent with streams of our choice: exit code, standard output, standard error."""
    done = subprocess.run(
        [AGENT], input="".join(f"{line}\n" for line in lines).encode(), timeout=PATIENCE_S, check=False,
        env=ENVIRONMENT, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )  # fmt: skip
    return done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode()


def full_pipe() -> tuple[int, int]:
    """A pipe nobody reads, with no room left."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    return reader, writer


def test_a_full_disk_under_the_debug_file_stops_nothing(unit: Any) -> None:
    assert run(options(unit, "action=off", "debug_file=/dev/full")) == (0, "Success: Powered OFF\n", "")


def test_a_full_disk_under_stderr_leaves_the_exit_code_alone(unit: Any) -> None:
    unit.press(1, "off")
    with open("/dev/full", "w", encoding="ascii") as full:
        assert run(options(unit, "action=status", "verbose=1"), stderr=full) == (2, "Status: OFF\n", "")


@pytest.mark.parametrize("lines", [("action=metadata",), ("action=status",)])
def test_a_result_that_cannot_be_written_is_a_clean_failure(unit: Any, lines: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        code, _, err = run(options(unit, *lines), stdout=full)
    assert code == 1
    assert "the result cannot be written to standard output: No space left" in err
    assert "bug" not in err


def test_a_stderr_nobody_reads_holds_nothing_up(unit: Any) -> None:
    """Whoever waits for our end before he reads would otherwise wait for ever."""
    reader, writer = full_pipe()
    try:
        code, out, _ = run(options(unit, "action=off", "verbose=1", "timeout=50"), stderr=writer)
    finally:
        os.close(reader)
        os.close(writer)
    assert (code, out) == (0, "Success: Powered OFF\n")


def test_a_stdout_nobody_reads_does_not_outlast_the_deadline(unit: Any) -> None:
    reader, writer = full_pipe()
    try:
        for timeout_s in (2, 8, 32):  # it takes them all; a busy machine may need more to come to the answer
            assert run(options(unit, "action=status", f"timeout={timeout_s}"), stdout=writer)[0] == 1
            if "/S" in settled(unit):
                break
    finally:
        os.close(reader)
        os.close(writer)
    assert settled(unit)[-1] == "/X,Y"


@pytest.mark.parametrize(
    "line", ["\0action=status", "ACTION=status", "--action=status", "action status", "action: status", "Option=off"]
)
def test_an_action_that_cannot_be_read_is_no_reboot(unit: Any, line: str) -> None:
    answer = agent(*options(unit), line)
    assert answer.code == 1
    assert "the action on standard input cannot be read" in answer.err
    assert commands(unit) == []


def test_a_byte_order_mark_and_dos_line_ends(unit: Any) -> None:
    text = "\ufeffaction=status\r\n" + "\r\n".join(options(unit)) + "\r\n"
    assert run((text,))[:2] == (0, "Status: ON\n")


def test_a_password_from_a_pipe_that_is_filled_later(unit: Any, tmp_path: Any) -> None:
    """``password_file=/dev/fd/63`` is what a shell makes of ``<(command)``."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)

    def fill() -> None:
        fd = os.open(path, os.O_RDWR)
        time.sleep(1)
        os.write(fd, f"{PASSWORD}\n".encode())
        end = time.monotonic() + PATIENCE_S
        while select.select([fd], [], [], 0)[0] and time.monotonic() < end:  # until the agent has taken it
            time.sleep(0.02)
        os.close(fd)

    writer = threading.Thread(target=fill)
    writer.start()
    try:
        lines = ("ip=127.0.0.1", f"ipport={unit.port}", "plug=1", "action=status", f"password_file={path}")
        # Before the writer is there the pipe is simply empty.
        answers = [agent(*lines)]
        while not answers[-1].out and len(answers) < 3:
            answers.append(agent(*lines))
    finally:
        writer.join()
    assert "Status: ON\n" in [answer.out for answer in answers]
    assert not any("bug" in answer.err for answer in answers)


def runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_signal_takes_the_password_script_along(tmp_path: Any) -> None:
    mark = tmp_path / "pid"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\necho $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 600\n")
    script.chmod(0o755)
    child = subprocess.Popen([AGENT], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert child.stdin is not None
    child.stdin.write(f"ip=192.0.2.1\nplug=1\naction=off\npassword_script={script}\n".encode())
    child.stdin.close()
    end = time.monotonic() + PATIENCE_S
    while not mark.exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    assert child.wait(PATIENCE_S) == 1
    pid = int(mark.read_text())
    while runs(pid):
        assert time.monotonic() < end, "the script goes on without the agent"
        time.sleep(0.05)
