"""The fence agent as the cluster runs it, a process with options on stdin, against the emulated IPS-800.

The emulator was written by other hands and shares no parser with the agent.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
AGENT = os.path.join(ROOT, "stonith", "fence_wti_ips800")
PASSWORD = "s3cret-Pa55"
# Long enough for a machine under load; a test that works never waits for it.
PATIENCE_S = 60


@dataclass
class Answer:
    """What the agent left."""

    code: int
    out: str
    err: str


def agent(*lines: str, argv: tuple[str, ...] = (), program: str = AGENT) -> Answer:
    done = subprocess.run(
        [program, *argv],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={"PATH": "/usr/bin:/bin", "PCMK_service": "pacemaker-fenced"},
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Emulator:
    """A running emulator: where it listens, its faults, what it saw."""

    def __init__(self, folder: str, *options: str) -> None:
        self.control = os.path.join(folder, "control")
        self.log = os.path.join(folder, "log")
        password_file = os.path.join(folder, "password")
        with open(password_file, "w", encoding="ascii") as file:
            file.write(PASSWORD + "\n")
        self._command = ["/usr/bin/python3", "-m", "failover_kit.emulator"]
        self._env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": os.path.join(ROOT, "lib")}
        self._child = subprocess.Popen(
            [*self._command, "--listen", "127.0.0.1:0", "--password-file", password_file, "--control", self.control,
             "--log", self.log, "--outlet", "1=pete", "--outlet", "5=mclaws", "--outlet", "6=mclaws", *options],
            stdout=subprocess.PIPE, text=True, env=self._env,
        )  # fmt: skip
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert "listening on" in line, line
        self.port = int(line.rsplit(":", 1)[1])

    def ctl(self, *words: str) -> str:
        done = subprocess.run(
            [*self._command, "ctl", self.control, *words], capture_output=True, text=True, timeout=PATIENCE_S,
            env=self._env, check=True,
        )  # fmt: skip
        return done.stdout

    def agent(self, *lines: str) -> Answer:
        return agent("ip=127.0.0.1", f"ipport={self.port}", f"password={PASSWORD}", *lines)

    def events(self, kind: str) -> list[dict[str, Any]]:
        with open(self.log, encoding="utf-8") as file:
            events = [json.loads(line) for line in file if line.endswith("\n")]
        return [event for event in events if event["event"] == kind]

    def settled(self) -> list[str]:
        """All commands, once the device has noticed that the last session is over."""
        end = time.monotonic() + PATIENCE_S
        while len(self.events("connect")) != len(self.events("disconnect")):
            assert time.monotonic() < end, "a session is still open"
            time.sleep(0.02)
        return self.commands()

    def commands(self) -> list[str]:
        return [str(event["text"]) for event in self.events("command")]

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


@pytest.fixture
def emulator(tmp_path: Any) -> Iterator[Emulator]:
    running = Emulator(str(tmp_path))
    try:
        yield running
    finally:
        running.stop()


# The story.


def test_off_status_on_and_reboot_by_name(emulator: Emulator) -> None:
    assert emulator.agent("action=status", "plug=pete") == Answer(0, "Status: ON\n", "")
    assert emulator.agent("action=off", "plug=pete") == Answer(0, "Success: Powered OFF\n", "")
    assert emulator.agent("action=status", "plug=1") == Answer(2, "Status: OFF\n", "")
    assert emulator.agent("action=status", "plug=1,5") == Answer(0, "Status: ON\n", "")
    assert emulator.agent("action=off", "plug=PETE") == Answer(0, "Success: Already OFF\n", "")
    assert emulator.agent("action=on", "port=pete") == Answer(0, "Success: Powered ON\n", "")
    assert emulator.agent("action=on", "plug=pete") == Answer(0, "Success: Already ON\n", "")
    assert emulator.agent("plug=pete", "nodename=pete") == Answer(0, "Success: Rebooted\n", "")
    switched = [text for text in emulator.commands() if text not in ("/S", "/X,Y")]
    assert switched == ["/OFF 1,Y", "/OFF 1,Y", "/ON 1,Y", "/OFF 1,Y", "/ON 1,Y"]


def test_a_name_on_two_plugs_is_a_machine_with_two_supplies(emulator: Emulator) -> None:
    assert emulator.agent("action=off", "plug=mclaws").code == 0
    states = emulator.agent("action=list-status").out.splitlines()
    assert states[4:6] == ["5,mclaws,off", "6,mclaws,off"]
    assert states[0] == "1,pete,on"


def test_what_list_prints_can_be_fenced(emulator: Emulator) -> None:
    listed = emulator.agent("action=list").out
    for word in listed.replace("\n", ",").strip(",").split(","):
        if word:
            assert emulator.agent("action=status", f"plug={word}").code == 0, word


def test_every_session_is_left_with_a_logout(emulator: Emulator) -> None:
    for lines in (["action=monitor"], ["action=off", "plug=9"], ["action=status", "plug=1"], ["plug=1"]):
        emulator.agent(*lines)
    assert emulator.settled().count("/X,Y") == 4
    assert len(emulator.events("connect")) == 4


# The device misbehaves.


def test_a_stuck_relay_is_a_failure(emulator: Emulator) -> None:
    emulator.ctl("fault", "stuck", "1")
    answer = emulator.agent("action=off", "plug=1", "power_timeout=0.5")
    assert answer.code == 1
    assert answer.out == ""
    assert "Failed: Timed out waiting to power OFF: plug 1 reads ON" in answer.err
    assert emulator.agent("action=status", "plug=1").code == 0
    assert emulator.settled()[-1] == "/X,Y"


def test_one_stuck_relay_of_two_is_a_failure(emulator: Emulator) -> None:
    emulator.ctl("fault", "stuck", "6")
    answer = emulator.agent("action=off", "plug=mclaws", "power_timeout=0.5")
    assert answer.code == 1
    assert "plug 6 reads ON" in answer.err
    assert emulator.agent("action=status", "plug=mclaws").code == 0


def test_reboot_that_cannot_switch_off_switches_nothing_on(emulator: Emulator) -> None:
    emulator.ctl("fault", "stuck", "1")
    assert emulator.agent("plug=1", "power_timeout=0.5").code == 1
    assert not any(text.startswith("/ON") for text in emulator.commands())


def test_a_slow_relay_is_waited_for(emulator: Emulator) -> None:
    emulator.ctl("fault", "slow", "1", "1")
    assert emulator.agent("action=off", "plug=1").out == "Success: Powered OFF\n"
    emulator.ctl("clear")
    assert emulator.agent("action=status", "plug=1").code == 2


@pytest.mark.parametrize("action", ["off", "reboot", "status", "list"])
@pytest.mark.parametrize("fault", ["mute", "garbage", "refuse"])
def test_a_broken_device_is_a_clean_failure_in_time(emulator: Emulator, fault: str, action: str) -> None:
    emulator.ctl("fault", fault)
    answer = emulator.agent(
        f"action={action}", "plug=1", "timeout=3", "login_timeout=1", "shell_timeout=0.5", "power_timeout=1"
    )
    assert answer.code == 1
    assert answer.out == ""
    assert "ERROR: " in answer.err
    assert "bug" not in answer.err
    assert PASSWORD not in answer.err


def test_a_device_that_hangs_up_over_a_command_is_asked_what_it_did(emulator: Emulator) -> None:
    emulator.ctl("fault", "drop")
    assert emulator.agent("action=off", "plug=mclaws").out == "Success: Powered OFF\n"
    assert emulator.commands().count("/OFF 5,Y") == 1
    assert emulator.agent("action=status", "plug=mclaws").code == 2


def test_a_device_that_hangs_up_and_does_not_switch_is_a_failure(emulator: Emulator) -> None:
    emulator.ctl("fault", "drop")
    emulator.ctl("fault", "stuck", "1")
    answer = emulator.agent("action=off", "plug=1", "power_timeout=1")
    assert answer.code == 1
    assert answer.out == ""
    assert "Connection lost" in answer.err


def test_a_device_that_comes_back_is_used(emulator: Emulator) -> None:
    emulator.ctl("fault", "refuse")
    timer = threading.Timer(0.5, emulator.ctl, ["clear"])
    timer.start()
    try:
        assert emulator.agent("action=off", "plug=1").code == 0
    finally:
        timer.join()


def test_the_one_session_is_waited_for(emulator: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", emulator.port), 10) as other:
        other.settimeout(60)
        assert other.recv(1), "the other session is open"
        timer = threading.Timer(0.5, other.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            assert emulator.agent("action=off", "plug=1").code == 0
        finally:
            timer.join()


def test_the_one_session_taken_for_good_is_a_failure(emulator: Emulator) -> None:
    with socket.create_connection(("127.0.0.1", emulator.port), 10) as other:
        other.settimeout(60)
        assert other.recv(1)
        answer = emulator.agent("action=off", "plug=1", "timeout=2", "login_timeout=1")
    assert answer.code == 1
    assert "Unable to connect/login to fencing device" in answer.err


def test_a_wrong_password_is_tried_once(emulator: Emulator) -> None:
    answer = agent(
        "ip=127.0.0.1", f"ipport={emulator.port}", "password=Wr0ng-Pa55", "action=off", "plug=1", "verbose=1"
    )
    assert answer.code == 1
    assert "Unable to connect/login to fencing device" in answer.err
    assert "Wr0ng-Pa55" not in answer.err
    assert len(emulator.events("login_refused")) == 1


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        answer = agent("ip=127.0.0.1", f"ipport={port}", "action=status", "plug=1", "login_timeout=0.5")
    assert answer.code == 1
    assert "Connection refused" in answer.err


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 80 + ".invalid", "\xfc\xdf.invalid"])
def test_a_name_that_does_not_exist_is_a_clean_failure(host: str) -> None:
    answer = agent(f"ip={host}", "action=status", "plug=1", "timeout=5")
    assert answer.code == 1
    assert "is not resolved" in answer.err


def test_a_closed_standard_input_is_a_clean_failure() -> None:
    done = subprocess.run(["sh", "-c", 'exec "$1" <&-', "sh", AGENT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Parse error" in done.stderr or "You have to enter" in done.stderr


def test_a_result_nobody_reads_is_no_success(emulator: Emulator) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as nobody:
        done = subprocess.run(
            [AGENT], input=f"ip=127.0.0.1\nipport={emulator.port}\npassword={PASSWORD}\naction=list\n",
            stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_sigterm_logs_out_and_fails(emulator: Emulator) -> None:
    emulator.ctl("fault", "stuck", "1")
    child = subprocess.Popen([AGENT], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stderr is not None
    with child:
        child.stdin.write(f"ip=127.0.0.1\nipport={emulator.port}\npassword={PASSWORD}\naction=off\nplug=1\n")
        child.stdin.close()
        end = time.monotonic() + PATIENCE_S
        while "/OFF 1,Y" not in emulator.commands() and time.monotonic() < end:
            time.sleep(0.05)
        child.send_signal(signal.SIGTERM)
        assert "stopped by a signal" in child.stderr.read()
        assert child.wait(PATIENCE_S) == 1
    assert emulator.settled()[-1] == "/X,Y"


# Secrets, files, names.


def test_debug_shows_the_dialogue_and_never_the_password(emulator: Emulator, tmp_path: Any) -> None:
    debug_file = str(tmp_path / "debug")
    answer = emulator.agent("action=status", "plug=1", "verbose=1", f"debug_file={debug_file}")
    with open(debug_file, encoding="utf-8") as file:
        written = file.read()
    assert stat.S_IMODE(os.stat(debug_file).st_mode) == 0o600
    for text in (answer.err, written):
        assert "sent: ***" in text
        assert "sent: /S" in text
        assert PASSWORD not in text


def test_a_debug_file_that_is_a_link_is_refused(emulator: Emulator, tmp_path: Any) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    answer = emulator.agent("action=status", "plug=1", f"debug_file={tmp_path / 'link'}")
    assert answer.code == 1
    assert "Unable to create file" in answer.err
    assert not (tmp_path / "target").exists()


def test_the_password_from_a_file_or_a_script(emulator: Emulator, tmp_path: Any) -> None:
    secret = tmp_path / "password with blank"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    base = ("ip=127.0.0.1", f"ipport={emulator.port}", "action=status", "plug=1")
    assert agent(*base, f"password_file={secret}").code == 0
    assert agent(*base, f"passwd_script=/bin/cat '{secret}'").code == 0
    assert "exited 1" in agent(*base, "password_script=/bin/false").err
    assert "did not run" in agent(*base, "password_script=/nonexistent").err
    assert "No such file" in agent(*base, "password_file=/nonexistent").err
    secret.chmod(0o604)
    assert "open to everybody" in agent(*base, f"password_file={secret}").err
    assert "open to everybody" in agent("ip=h", "plug=1", "action=validate-all", f"password_file={secret}").err


def test_only_a_newline_ends_an_option() -> None:
    """What Unicode calls a line end must not turn the rest of a value into an option of its own."""
    answer = agent("ip=192.0.2.1", "plug=1", "username=x\u2028action=nonsense", "action=validate-all")
    assert answer == Answer(0, "", "")


def test_quiet_mutes_stderr_only(emulator: Emulator) -> None:
    assert emulator.agent("action=status", "plug=9", "quiet=1") == Answer(1, "", "")


def test_argv_is_taken_and_stdin_is_then_not_read(emulator: Emulator) -> None:
    argv = ("-a", "127.0.0.1", "-u", str(emulator.port), "-p", PASSWORD, "-n", "1", "-o", "status")
    assert agent("action=off", argv=argv) == Answer(0, "Status: ON\n", "")


def test_validate_all_asks_no_device() -> None:
    assert agent("ip=192.0.2.1", "plug=node1", "action=validate-all") == Answer(0, "", "")
    assert agent("ip=192.0.2.1", "action=validate-all").code == 1


def test_usage_errors_say_how_to_get_help() -> None:
    answer = agent("action=nonsense", "ip=h", "plug=1")
    assert answer.code == 1
    assert "Unrecognised action 'nonsense'" in answer.err
    assert "Please use '-h' for usage" in answer.err


def test_through_a_link_it_goes_by_that_name(tmp_path: Any) -> None:
    link = tmp_path / "fence_wti"
    link.symlink_to(AGENT)
    answer = agent(argv=("-o", "metadata"), program=str(link))
    assert answer.code == 0
    assert '<resource-agent name="fence_wti" ' in answer.out
    assert "fence_wti [options]" in agent(argv=("-h",), program=str(link)).out


def test_it_runs_on_the_distributions_python() -> None:
    with open(AGENT, encoding="utf-8") as file:
        assert file.readline() == "#!/usr/bin/python3 -I\n"
    assert sys.version_info >= (3, 11)
