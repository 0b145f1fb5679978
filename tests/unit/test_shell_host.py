"""What failoverd asks of and tells the machine, and what it says."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import syslog
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from failover_kit.cli import failoverd
from failover_kit.manager import client, daemon, host, hostcheck, leftbehind
from failover_kit.manager.actions import Level
from failover_kit.manager.actionspace import Cell, Entry, emptied
from failover_kit.manager.logs import PENDING_LIMIT, Log


def test_a_boot_id_is_one_word(tmp_path: Path) -> None:
    path = tmp_path / "boot_id"
    path.write_text("2cb5b36b-3b05\n")
    assert host.boot_id(str(path)) == "2cb5b36b-3b05"
    assert host.boot_id()
    for text in ("", "\n", "two words\n"):
        path.write_text(text)
        with pytest.raises(host.HostError, match="does not hold a boot identity"):
            host.boot_id(str(path))
    with pytest.raises(host.HostError, match="cannot read the boot's identity"):
        host.boot_id(str(tmp_path / "absent"))


def process(proc: Path, pid: str, comm: str) -> None:
    (proc / pid).mkdir(parents=True)
    (proc / pid / "comm").write_text(f"{comm}\n")


def test_a_heartbeat_is_noticed_by_its_pid_file_or_by_name(tmp_path: Path) -> None:
    proc, pid_file = tmp_path / "proc", tmp_path / "heartbeat.pid"
    process(proc, "17", "bash")
    assert host.running_heartbeat((str(pid_file),), str(proc)) == ""
    pid_file.write_text("17\n")  # stale: the number belongs to another program now
    assert host.running_heartbeat((str(pid_file),), str(proc)) == ""
    process(proc, "18", "heartbeat")
    assert "pid 18" in host.running_heartbeat((), str(proc))
    pid_file.write_text("18\n")
    assert "systemctl disable --now heartbeat" in host.running_heartbeat((str(pid_file),), str(proc))


def test_a_heartbeat_that_systemd_is_just_starting_is_noticed(tmp_path: Path) -> None:
    process(tmp_path, "18", "(heartbeat)")
    assert "pid 18" in host.running_heartbeat((), str(tmp_path))


def settings(name: str) -> list[str]:
    lines = (Path(__file__).parents[2] / "etc" / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_a_start_of_failoverd_stops_no_heartbeat_and_comes_after_it() -> None:
    """systemd.unit(5), Conflicts=: "starting the former will stop the latter". failoverd itself refuses, exit 6,
    and systemd does not try that again."""
    unit = settings("failoverd.service")
    words = {key: value.split() for key, _, value in (line.partition("=") for line in unit)}
    assert "Conflicts" not in words
    after = [word for line in unit if line.startswith("After=") for word in line.partition("=")[2].split()]
    assert "heartbeat.service" in after and "network.target" in after
    assert "6" in words["RestartPreventExitStatus"]


def test_a_start_of_heartbeat_is_refused_while_failoverd_serves_or_has_left_what_it_ran() -> None:
    mark = os.path.join(os.path.dirname(client.DEFAULT_SOCKET), leftbehind.MARK)
    asserted = [f"AssertPathExists=!{path}" for path in (client.DEFAULT_SOCKET, mark)]
    assert settings("heartbeat-failoverd.conf") == ["[Unit]", *asserted]


def test_threads_of_resources_bar_no_shot() -> None:
    """systemd.resource-control(5): TasksMax= counts the resources' control groups below the unit's own, too."""
    assert "TasksMax=infinity" in settings("failoverd.service")


def test_a_passing_lack_is_tried_for_as_long_as_it_takes_and_a_crash_loop_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd.unit(5), StartLimitBurst=. A failoverd that beats for a moment in each life would never be fenced."""
    unit = dict(line.split("=", 1) for line in settings("failoverd.service") if "=" in line)
    limit_s, burst = int(unit["StartLimitIntervalSec"]), int(unit["StartLimitBurst"])
    assert limit_s / failoverd.RETRY_PAUSE_S < burst - 1
    slept: list[float] = []
    codes = iter((hostcheck.EXIT_FAILED, hostcheck.EXIT_CONFIGURATION, hostcheck.EXIT_FAILED))
    monkeypatch.setattr(daemon, "run", lambda *_: next(codes))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert failoverd.main((), sleep=slept.append) == hostcheck.EXIT_FAILED
    assert failoverd.main((), sleep=slept.append) == hostcheck.EXIT_CONFIGURATION
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert failoverd.main((), sleep=slept.append) == hostcheck.EXIT_FAILED, "somebody waits at a terminal"
    assert slept == [failoverd.RETRY_PAUSE_S]


def test_a_heartbeat_in_a_container_is_not_this_node_s(tmp_path: Path) -> None:
    process(tmp_path, "18", "heartbeat")
    for pid, namespace in (("18", "pid:[4026532000]"), ("self", "pid:[4026531836]")):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns" / "pid").symlink_to(namespace)
    assert host.running_heartbeat((), str(tmp_path)) == ""


def test_systemd_is_told_when_it_listens(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        assert host.notify("READY=1", {"NOTIFY_SOCKET": path})
        assert listener.recv(100) == b"READY=1"
    assert not host.notify("READY=1", {"NOTIFY_SOCKET": path})
    assert not host.notify("READY=1", {})


@pytest.mark.parametrize(
    ("deadtime_ms", "limit_ms"),
    [(10_000, 10_000), (2_000, 3_000), (120_000, 120_000)],  # as deadtime, never hasty
)
def test_systemd_s_watchdog_bears_a_pause_of_deadtime(deadtime_ms: int, limit_ms: int) -> None:
    assert host.watchdog_limit_ms({"WATCHDOG_USEC": "30000000"}, deadtime_ms) == limit_ms


def test_systemd_s_watchdog_is_fed_only_when_it_is_ours() -> None:
    armed = {"WATCHDOG_USEC": "30000000"}
    assert host.watchdog_limit_ms({**armed, "WATCHDOG_PID": str(os.getpid())}, 10_000) == 10_000
    assert host.watchdog_limit_ms({**armed, "WATCHDOG_PID": "1"}, 10_000) == 0
    assert host.watchdog_limit_ms({}, 10_000) == 0
    assert host.watchdog_limit_ms({"WATCHDOG_USEC": "0"}, 10_000) == 0


def said(log_lines: list[tuple[Level, str]], *, prefixed: bool) -> str:
    reader, writer = os.pipe()
    log = Log(prefixed=prefixed, fd=writer)
    for level, text in log_lines:
        log.say(level, text)
    log.flush()
    os.close(writer)
    with os.fdopen(reader) as stream:
        return stream.read()


def test_a_sentence_is_one_line_with_its_priority() -> None:
    lines = [(Level.ALARM, "mclaws is silent\nreally"), (Level.INFO, "fine")]
    assert said(lines, prefixed=True) == "<2>mclaws is silent really\n<6>fine\n"
    plain = said(lines, prefixed=False).splitlines()
    assert plain[0].endswith("failoverd alarm: mclaws is silent really")


def test_a_reader_that_does_not_read_stops_nothing_and_costs_only_lines() -> None:
    reader, writer = os.pipe()
    log = Log(prefixed=True, fd=writer)
    for number in range(PENDING_LIMIT * 3):
        log.say(Level.INFO, f"{number} " + "x" * 200)
    # The thread is stuck in its write; reading frees it, and it says what was lost.
    with ThreadPoolExecutor(1) as readers, os.fdopen(reader) as stream:
        read = readers.submit(stream.read)
        log.flush()
        log.say(Level.INFO, "again")
        log.flush()
        os.close(writer)
        written = read.result()
    assert "\n<6>again" in written, written[-300:]
    # On a busy machine the thread may begin late, and some are told of earlier.
    lost = [int(number) for number in re.findall(r" \((\d+) lines before it were lost\)\n", written)]
    assert lost and written.count("\n") + sum(lost) == PENDING_LIMIT * 3 + 1


class Undying(Cell):
    """A process in uninterruptible sleep: SIGKILL is noted and nothing happens."""

    name = "op-1"

    def __init__(self) -> None:
        self.kills = 0

    def entry(self) -> Iterator[Entry]:
        yield Entry()

    def populated(self) -> bool:
        return True

    def pids(self) -> tuple[int, ...]:
        return (os.getpid(),)

    def kill(self) -> None:
        self.kills += 1

    def remove(self) -> None:
        raise AssertionError("it is not empty")



def test_a_text_that_is_no_utf_8_does_not_end_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that writes lines is one: what it raises would silence failoverd for good."""
    lines: list[bytes] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, line: lines.append(line.encode()))
    reader, writer = os.pipe()
    log = Log(prefixed=True, use_syslog=True, fd=writer)
    log.say(Level.WARNING, "an agent said \udcff")
    log.say(Level.WARNING, "and again")
    log.flush()
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        assert said.read() == b"<4>an agent said ?\n<4>and again\n"
    assert lines == [b"an agent said ?", b"and again"]


def test_what_cannot_be_killed_is_named_after_a_bounded_time() -> None:
    cell = Undying()
    sentence = asyncio.run(emptied(cell, wait_ms=30))
    assert sentence.startswith(f"process {os.getpid()} (")
    assert sentence.endswith("did not end within 0.03 s of SIGKILL")
    assert cell.kills > 1
