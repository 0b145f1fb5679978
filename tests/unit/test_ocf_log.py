"""Where remarks and reasons go, as with the shell library; and that no log holds an agent up."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.ocf import codes, log, runner
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed
from failover_kit.spec import syslogline
from failover_kit.spec.parameter import Action

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
TAG = "Toy(disk)"


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: Patch) -> None:
    """Each test is a process of its own, as far as patience goes, and nobody's terminal."""
    monkeypatch.setattr(log, "_given_up", set())


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    return {"HA_RSCTMP": str(tmp_path / "state")}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: Patch) -> Iterator[socket.socket]:
    """A syslog daemon that listens; whether it reads is the test's to say."""
    path = str(tmp_path / "devlog")
    monkeypatch.setattr(syslogline, "PATH", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(60)
        yield listener


def test_without_a_log_it_is_stderr(capsys: Capture, surroundings: dict[str, str]) -> None:
    log.write(TAG, "warning", "late", surroundings)
    assert capsys.readouterr().err == f"{TAG}[{os.getpid()}]: WARNING: late\n"


@pytest.mark.parametrize("name", log.FACILITIES)
def test_a_facility_is_syslog_alone(
    capsys: Capture, surroundings: dict[str, str], daemon: socket.socket, name: str
) -> None:
    log.write(TAG, "error", "two\nlines", {**surroundings, name: "local3"})
    assert capsys.readouterr().err == ""
    # 19 * 8 + 3: local3.err
    pattern = rf"<155>\w{{3}} [ \d]\d \d\d:\d\d:\d\d Toy\(disk\)\[{os.getpid()}\]: ERROR: two\\012lines"
    assert re.fullmatch(pattern, daemon.recv(4096).decode())


def test_a_facility_of_none_is_none(capsys: Capture, surroundings: dict[str, str]) -> None:
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFACILITY": "none"})
    assert "INFO: x" in capsys.readouterr().err


def test_a_facility_nobody_knows_is_daemon(surroundings: dict[str, str], daemon: socket.socket) -> None:
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFACILITY": "locale\n9"})
    assert daemon.recv(4096).startswith(b"<30>")


def test_a_daemon_that_does_not_read_costs_its_patience_once(
    capsys: Capture, surroundings: dict[str, str], daemon: socket.socket,
    monkeypatch: Patch,
) -> None:  # fmt: skip
    """syslog(3) would wait for ever. What syslog does not take is on stderr."""
    environ = {**surroundings, "HA_LOGFACILITY": "daemon"}
    sends = []
    real = syslogline.SyslogLines.send
    monkeypatch.setattr(
        syslogline.SyslogLines, "send", lambda lines, *args: sends.append(real(lines, *args)) or sends[-1]
    )
    for number in range(1000):
        log.write(TAG, "info", str(number), environ)
    assert sends.count(False) == 1, "tried again after it was given up"
    assert len(capsys.readouterr().err.splitlines()) == 1000 - sends.count(True)
    assert 0 < sends.count(True) < 1000


def test_no_daemon_at_all(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(syslogline, "PATH", str(tmp_path / "nobody"))
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFACILITY": "daemon"})
    assert "INFO: x" in capsys.readouterr().err


def test_files_get_a_dated_line_each(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path
) -> None:
    file, debug = tmp_path / "ha-log", tmp_path / "ha-debug"
    for _ in range(2):
        log.write(TAG, "info", "mounted", {**surroundings, "HA_LOGFILE": str(file), "HA_DEBUGLOG": str(debug)})
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(file), "HA_DEBUGLOG": str(file)})
    pattern = rf"\w{{3}} \d\d \d\d:\d\d:\d\d Toy\(disk\)\[{os.getpid()}\]:    INFO: mounted"
    lines = file.read_text().splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(pattern, line) for line in [*lines[:2], *debug.read_text().splitlines()])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("debug", ["/dev/null", "ha-debug"])
def test_a_debug_log_is_never_the_only_one(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path, debug: str
) -> None:
    """Heartbeat's default is /dev/null: lines whose only log that was used to be lost."""
    log.write(TAG, "info", "x", {**surroundings, "HA_DEBUGLOG": str(tmp_path / debug)})
    assert "INFO: x" in capsys.readouterr().err


def test_the_date_is_the_one_asked_for(surroundings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "ha-log"
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(file), "HA_DATEFMT": "%Y/%m/%d_%T  "})
    assert re.match(r"\d{4}/\d\d/\d\d_\d\d:\d\d:\d\d  Toy", file.read_text())


@pytest.mark.parametrize("where", ["/dev/full", "/no/where/ha-log", "/dev"])
def test_a_file_that_takes_nothing_is_made_up_for(
    capsys: Capture, surroundings: dict[str, str], where: str
) -> None:
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": where})
    assert "INFO: x" in capsys.readouterr().err


def test_a_pipe_nobody_reads(capsys: Capture, surroundings: dict[str, str], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(tmp_path / "fifo")})
    assert "INFO: x" in capsys.readouterr().err


def test_a_writer_that_hangs_is_left_and_not_asked_again(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path, monkeypatch: Patch
) -> None:
    tries = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: tries.append(1) or fork())
    monkeypatch.setattr(log, "_append", lambda path, line: signal.pause())
    for _ in range(3):
        log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(tmp_path / "ha-log")})
    assert len(tries) == 1
    assert capsys.readouterr().err.count("INFO: x") == 3
    os.wait()


def test_while_one_hangs_no_second_one_is_made(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Another process of the same node, a monitor later: the lock is still held by what hangs."""
    reader, writer = os.pipe()
    os.makedirs(surroundings["HA_RSCTMP"])
    holder = os.fork()
    if holder == 0:
        import fcntl

        lock = os.open(f"{surroundings['HA_RSCTMP']}/failover-kit-log.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(writer, b"x")
        signal.pause()
    try:
        os.read(reader, 1)
        monkeypatch.setattr(os, "fork", lambda: pytest.fail("a second child"))
        log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(tmp_path / "ha-log")})
        assert "INFO: x" in capsys.readouterr().err
        assert not (tmp_path / "ha-log").exists()
    finally:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        os.close(reader)
        os.close(writer)


def test_the_child_holds_nothing_of_the_agent(
    surroundings: dict[str, str], tmp_path: Path, monkeypatch: Patch
) -> None:
    """Not the disk that is open exclusively, not the caller's pipes, not the directory."""
    seen = tmp_path / "descriptors"

    def look(path: str, line: bytes) -> None:
        paths = [f"/proc/self/fd/{number}" for number in range(64)]
        held = [os.readlink(path) for path in paths if os.path.lexists(path)]
        seen.write_text("\n".join([os.getcwd(), *held]))

    monkeypatch.setattr(log, "_append", look)
    with (tmp_path / "disk").open("w"):
        log.write(TAG, "info", "x", {**surroundings, "HA_LOGFILE": str(tmp_path / "ha-log")})
    lock = f"{surroundings['HA_RSCTMP']}/failover-kit-log.lock"
    assert seen.read_text().splitlines() == ["/", "/dev/null", "/dev/null", "/dev/null", lock]


@pytest.mark.parametrize("setting", [{"HA_LOGD": "yes"}, {"HA_use_logd": "on"}])
def test_logd_is_spoken_to_by_ha_logger(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path, monkeypatch: Patch,
    setting: dict[str, str],
) -> None:  # fmt: skip
    logger = tmp_path / "ha_logger"
    logger.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{tmp_path}/said\n')
    logger.chmod(0o755)
    monkeypatch.setattr(log, "HA_LOGGER", str(logger))
    file = tmp_path / "ha-log"
    log.write(TAG, "info", "x", {**surroundings, **setting, "HA_LOGFILE": str(file)})
    assert (tmp_path / "said").read_text() == f"-t|{TAG}[{os.getpid()}]|INFO: x|"
    assert not file.exists()
    monkeypatch.setattr(log, "HA_LOGGER", "/no/where")
    log.write(TAG, "info", "y", {**surroundings, **setting, "HA_LOGFILE": str(file)})
    assert file.read_text().endswith("INFO: y\n")
    assert capsys.readouterr().err == ""


def test_the_runner_looks_for_every_setting_that_the_log_reads() -> None:
    read = set(re.findall(r'environ\.get\("(HA_\w+)"', Path(log.__file__).read_text())) | set(log.FACILITIES)
    assert read - {"HA_RSCTMP", "HA_DATEFMT"} == set(runner.LOG_SETTINGS)


def test_a_reason_is_in_the_log_too(
    capsys: Capture, surroundings: dict[str, str], tmp_path: Path
) -> None:
    def start(call: object) -> int:
        raise failed("the disk is on fire; put it out")

    agent = Agent(
        "Toy", version="0", shortdesc="A toy", text_module="none", parameters=(), actions=(Action("start", 20),),
        handlers={"start": start}, positional=(),
    )  # fmt: skip
    environ = {**surroundings, "HA_LOGFILE": str(tmp_path / "ha-log"), "OCF_RESOURCE_INSTANCE": "disk"}
    assert runner.main(agent, ["Toy", "start"], environ) == codes.ERR_GENERIC
    assert capsys.readouterr().err == "ocf-exit-reason:the disk is on fire; put it out\n"
    assert (tmp_path / "ha-log").read_text().endswith("ERROR: the disk is on fire; put it out\n")
