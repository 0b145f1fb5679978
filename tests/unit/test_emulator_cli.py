"""``bin/wti-emulator`` as a user meets it: arguments, readiness, signals, ``ctl``, the harness."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from failover_kit.emulator import faults
from failover_kit.emulator.arguments import parser as arguments_parser
from failover_kit.emulator.harness import EmulatorFailed, EmulatorProcess
from failover_kit.emulator.main import main
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run

PROGRAM = str(Path(__file__).parents[2] / "bin" / "wti-emulator")
TIMEOUT_MS = 60_000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--listen", "127.0.0.1:x"], "write ADDRESS or ADDRESS:PORT"),
        (["--listen", "127.0.0.1:70000"], "write ADDRESS or ADDRESS:PORT"),
        (["--listen", "::1"], "--listen ::1: an IPv6 address stands in brackets, like [::1] or [::1]:23"),
        (["--listen", "[]:23"], "write ADDRESS or ADDRESS:PORT"),
        (["--outlet", "9=pete"], "N from 1 to 8"),
        (["--outlet", "pete"], "N from 1 to 8"),
        (["--outlet", "1=two words"], "must start with a letter"),
        (["--outlet", "1=abcdefghijklmnopq"], "the name column holds 16"),
        (["--outlet", "1=pete", "--outlet", "1=mclaws"], "given twice"),
        (["--outlet-state", "1=up"], "write on or off"),
        (["--outlet-delay", "1=soon"], "a number of seconds"),
        (["--outlet-off", "1='unbalanced"], "No closing quotation"),
        (["--outlet-on", "1="], "the command is empty"),
        (["--outlet-timeout", "0"], "--outlet-timeout"),
        (["--idle-timeout", "nan"], "--idle-timeout"),
        (["--site-id", "caf\u00e9"], "printable ASCII"),
        (["--password-file", "/nonexistent"], "--password-file /nonexistent: No such file"),
        (["--password-env", "NOT_SET_ANYWHERE"], "--password-env NOT_SET_ANYWHERE: empty"),
        (["--variant", "nps", "--outlet", "17=pete"], "N from 1 to 16"),
        (["--user", "operator"], "the variant ips does not ask for a login name"),
        (["--variant", "vmr", "--user", "x" * 33], "--user: printable ASCII only, at most 32"),
        (["--group", "cluster=1+2"], "the variant ips has no plug groups"),
        (["--variant", "vmr", "--group", "cluster=1+17"], "N from 1 to 16"),
        (["--variant", "vmr", "--group", "cluster"], "write NAME=N+N"),
        (["--variant", "vmr", "--group", "9=1"], "start with a letter"),
        (["--variant", "vmr", "--group", "a=1", "--group", "a=2"], "the group is given twice"),
        (["--boot-delay", "soon"], "--boot-delay soon: write a number of seconds from 0 to 3600"),
        (["--boot-delay", "-1"], "--boot-delay -1"),
        (["--on", ""], "--on: the command is empty"),
        (["--off", "'unbalanced"], "--off 'unbalanced: No closing quotation"),
        (["--rest", "127.0.0.1:x"], "--rest 127.0.0.1:x: write ADDRESS or ADDRESS:PORT"),
        (["--rest-plain"], "belong to --rest"),
        (["--rest-cert", "file"], "belong to --rest"),
        (["--rest", "127.0.0.1", "--rest-plain", "--rest-cert", "x"], "no certificate without TLS"),
        (["ctl", "/nonexistent"], "ctl SOCKET"),
        (["ctl", "/nonexistent", "fault", "lockout"], "a number of rejected passwords"),
        (["ctl", "/nonexistent", "power-cycle", "1"], "ctl SOCKET"),
        (["ctl", "/nonexistent", "explode"], "ctl SOCKET"),
        (["ctl", "/nonexistent", "fault", "slow"], "a number of seconds"),
        (["ctl", "/nonexistent", "fault", "stuck", "pete"], "outlets are numbers"),
    ],
)
def test_usage_errors_exit_2_and_say_what_to_write(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    complained = capsys.readouterr().err
    assert complaint in complained
    assert complained.count("\n") == 1


def test_a_control_socket_that_cannot_be_made_is_named_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    """The message named the telnet address."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    assert main(["--listen", f"127.0.0.1:{port}", "--control", "/nonexistent/ctl"]) == 1
    complained = capsys.readouterr().err
    assert complained == "wti-emulator: /nonexistent/ctl: No such file or directory; make the directory first\n"


def test_a_password_nobody_can_type_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    file.write_text("tab\there\n")
    assert main(["--password-file", str(file)]) == 2
    assert "tab\there" not in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_when_it_listens_and_ends_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    password = tmp_path / "password"
    password.write_text("changeme\n")
    path = tmp_path / "ctl"
    read_fd, write_fd = os.pipe()
    arguments = ["--listen", "127.0.0.1:0", "--password-file", str(password), "--control", str(path)]
    child = subprocess.Popen(
        [PROGRAM, *arguments, "--ready-fd", str(write_fd)],
        stdout=subprocess.PIPE,
        pass_fds=[write_fd],
        text=True,
    )
    os.close(write_fd)
    try:
        with os.fdopen(read_fd) as ready:
            line = ready.read()
        assert line.startswith("listening on 127.0.0.1:")
        with socket.create_connection(("127.0.0.1", int(line.rpartition(":")[2])), timeout=30) as client:
            assert client.recv(1) == b"\xff"
            child.send_signal(number)
            out, _ = child.communicate(timeout=60)
        assert (child.returncode, out) == (0, line)
        assert not path.exists()
    finally:
        child.kill()
        child.wait()


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        place = f"127.0.0.1:{holder.getsockname()[1]}"
        result = run([PROGRAM, "--listen", place], Deadline(TIMEOUT_MS))
    assert result.code == 1
    assert result.stderr.startswith(f"wti-emulator: {place}: Address already in use; ")


def test_ctl_from_the_command_line(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={1: OutletConfig("pete")}) as switch:

        def ctl(*arguments: str) -> dict[str, Any]:
            result = run([PROGRAM, "ctl", switch.control_path, *arguments], Deadline(TIMEOUT_MS))
            assert result.ok(), result.describe()
            answer = json.loads(result.stdout)
            assert isinstance(answer, dict)
            return answer

        assert ctl("fault", "slow", "0.1", "1", "2")["faults"] == {"slow": {"1": 0.1, "2": 0.1}}
        assert ctl("fault", "mute")["faults"] == {"mute": True, "slow": {"1": 0.1, "2": 0.1}}
        assert ctl("clear", "slow", "2")["faults"] == {"mute": True, "slow": {"1": 0.1}}
        assert ctl("fault", "lockout", "3")["faults"]["lockout"] == {"after": 3, "rejected": 0}
        assert ctl("clear")["faults"] == {}
        assert ctl("switch", "1", "off") == {"ok": True, "outlet": 1, "state": "off"}
        assert switch.outlet_state(1) == "off"
        ctl("fault", "stuck", "1")
        refused = run([PROGRAM, "ctl", switch.control_path, "switch", "1", "on"], Deadline(TIMEOUT_MS))
        assert refused.code == 1
        assert "outlet 1 did not switch on" in refused.stderr


def test_every_event_has_a_time_on_the_boot_clock(tmp_path: Path) -> None:
    before_ms = Deadline(0).end_ms
    with EmulatorProcess(str(tmp_path), outlets={}) as switch:
        switch.fault("stuck", 1)
        switch.clear()
    events = switch.events()
    assert [event["event"] for event in events] == ["start", "fault", "clear", "stop"]
    times = [event["t_ms"] for event in events]
    assert times == sorted(times)
    assert before_ms <= times[0] <= times[-1] <= Deadline(0).end_ms


def test_the_password_is_in_no_argument_and_no_log(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, password="hunter2hunter2") as switch:
        arguments = Path(f"/proc/{switch.pid}/cmdline").read_bytes()
        with socket.create_connection((switch.address, switch.port), timeout=30) as client:
            client.sendall(b"hunter2hunter2\rhunter2hunter2\r/X,Y\r")
            while client.recv(4096):
                pass
    assert b"hunter2" not in arguments
    assert "hunter2" not in Path(switch.log_path).read_text() + Path(switch.stderr_path).read_text()
    assert [event["event"] for event in switch.events()][1:4] == ["connect", "login", "invalid_command"]


def test_the_harness_reports_why_it_did_not_start(tmp_path: Path) -> None:
    with pytest.raises(EmulatorFailed, match="must start with a letter"):
        EmulatorProcess(str(tmp_path), outlets={1: OutletConfig("1pete")}).start()


def test_one_command_for_all_named_outlets_and_one_of_its_own(tmp_path: Path) -> None:
    """The common command runs for whatever has a name, with the name it has now."""
    note = f'/bin/sh -c \'echo "$WTI_OUTLET $WTI_NAME $WTI_STATE" >> {tmp_path}/done\''
    own = f"/bin/sh -c 'echo own >> {tmp_path}/done'"
    extra = ["--off", note, "--on", note, "--outlet-on", f"5={own}", "--boot-delay", "0"]
    outlets = {1: OutletConfig("pete", delay_ms=0), 5: OutletConfig("mclaws", delay_ms=0)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, extra=extra) as switch:
        for number, state in ((1, "off"), (2, "off"), (5, "off"), (5, "on")):
            switch.press(number, state)
    assert (tmp_path / "done").read_text().splitlines() == ["1 pete off", "5 mclaws off", "own"]


def test_every_way_in_is_announced(tmp_path: Path) -> None:
    link = tmp_path / "console"
    arguments = ["--listen", "127.0.0.1:0", "--serial-link", str(link), "--rest", "127.0.0.1:0"]
    child = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(3)]
        assert lines[0].startswith("listening on 127.0.0.1:")
        assert lines[1] == f"serial console on {os.readlink(link)}\n"
        assert lines[2].startswith("rest on https://127.0.0.1:")
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
    assert child.returncode == 0


@pytest.mark.parametrize("option", ["--rest", "--log", "--rest-cert", "--serial-link"])
def test_what_cannot_be_had_is_one_clear_line(tmp_path: Path, option: str) -> None:
    place = str(tmp_path / "no" / "where")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        arguments = {
            "--rest": ["--rest", taken, "--rest-plain"],
            "--log": ["--log", place],
            "--serial-link": ["--serial-link", place],
            "--rest-cert": ["--rest", "127.0.0.1:0", "--rest-cert", place],
        }[option]
        result = run([PROGRAM, "--listen", "127.0.0.1:0", *arguments], Deadline(TIMEOUT_MS))
    assert result.code == 1
    assert result.stderr.count("\n") == 1
    assert (taken if option == "--rest" else place) in result.stderr


def test_help_names_every_option_fault_and_exit_code() -> None:
    text = run([PROGRAM, "--help"], Deadline(TIMEOUT_MS)).stdout
    for action in arguments_parser()._actions:
        assert all(option in text for option in action.option_strings)
        assert action.help, action.option_strings
    assert all(name in text for name in faults.NAMES)
    assert "Exit codes: 0 done, 1 failed" in text
    assert max(map(len, text.splitlines())) <= 108


def test_power_cycle_from_the_command_line(tmp_path: Path) -> None:
    outlets = {n: OutletConfig(delay_ms=0) for n in range(1, 9)}
    with EmulatorProcess(str(tmp_path), outlets=outlets) as switch:
        switch.press(1, "off")
        result = run([PROGRAM, "ctl", switch.control_path, "power-cycle"], Deadline(TIMEOUT_MS))
        assert result.ok(), result.describe()
        assert switch.outlet_state(1) == "on"
        assert len([event for event in switch.events("switched") if event["outlet"] == 2]) == 2


def test_it_runs_with_nothing_of_the_project_but_itself_and_the_lowest_layer(tmp_path: Path) -> None:
    """bin/wti-emulator, failover_kit/spec and failover_kit/emulator are all there is to install."""
    root = Path(PROGRAM).parents[1]
    package = tmp_path / "lib" / "failover_kit"
    for room in ("spec", "emulator"):
        shutil.copytree(root / "lib" / "failover_kit" / room, package / room)
    shutil.copy(root / "lib" / "failover_kit" / "__init__.py", package)
    (tmp_path / "bin").mkdir()
    program = shutil.copy(PROGRAM, tmp_path / "bin")
    child = subprocess.Popen(
        [program, "--listen", "127.0.0.1:0", "--serial", "--rest", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("listening on ")
    finally:
        child.terminate()
        child.communicate(timeout=60)
    assert child.returncode == 0
