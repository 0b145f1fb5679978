"""Each weakness that was proved in fence_wti or cluster-glue's wti_nps, shown to be impossible here.

Where the weakness lies between agent and device, the device is the emulator, or a bare one below that
negotiates no telnet options and takes CR and LF for a line end each, as old units do.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from failover_kit.fence import tcp
from failover_kit.fence.transport import ConnectFailed
from failover_kit.spec.deadline import Deadline
from fence.parts import (
    AGENT,
    ENVIRONMENT,
    PASSWORD,
    PATIENCE_S,
    ROOT,
    Answer,
    agent,
    commands,
    later,
    settled,
    switch,
)


@pytest.fixture
def emulator(tmp_path: Any) -> Iterator[Any]:
    with switch(tmp_path) as running:
        yield running


def fence(emulator: Any, *lines: str, password: str = PASSWORD, **more: Any) -> Answer:
    return agent(
        f"ip={emulator.address}", f"ipport={emulator.port}", *([f"password={password}"] if password else []),
        *lines, **more,
    )  # fmt: skip


class BareDevice:
    """One session at a time over plain TCP. No telnet options; CR or LF ends a line, an empty one, too."""

    def __init__(
        self, *, prompt: str = "IPS>", password: str = PASSWORD, name_width: int = 16, names: str = ""
    ) -> None:
        self.prompt, self.password, self.width = prompt, password, name_width
        self.names = dict(enumerate(names.split(), 1)) or {1: "pete", 2: "mclaws"}
        self.states = dict.fromkeys(self.names, "ON")
        self.lines: list[str] = []
        self.raw = b""
        self.address = "127.0.0.1"
        self._listener = socket.create_server((self.address, 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                self._session(sock)

    def _session(self, sock: socket.socket) -> None:
        inside = not self.password
        sock.sendall(f"\r\n{self.prompt} ".encode() if inside else b"Password: ")
        data = b""
        while part := sock.recv(1000):
            self.raw += part
            data += part
            while match := re.search(rb"[\r\n]", data):
                line, data = data[: match.start()].decode(), data[match.end() :]
                if not inside:
                    inside = line == self.password
                    answer = "" if inside else "Invalid password"
                else:
                    self.lines.append(line)
                    if line.upper() == "/X,Y":
                        return
                    answer = self._answer(line)
                sock.sendall(f"{line}\r\n{answer}\r\n{self.prompt} ".encode())

    def _answer(self, line: str) -> str:
        if match := re.fullmatch(r"/(ON|OFF) (\d+),Y", line, re.I):
            self.states[int(match[2])] = match[1].upper()
            return ""
        if line.upper() != "/S":
            return "Invalid command" if line else ""
        rule = "-----+-" + "-" * self.width + "+--------+"
        rows = [f" {n:<3} | {name:<{self.width - 1}}|   {self.states[n]:<4} |" for n, name in self.names.items()]
        return "\r\n".join([f"Plug | {'Name':<{self.width - 1}}| Status |", rule, *rows, rule])

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    def __enter__(self) -> BareDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# Options.


def test_ssh_0_is_no_ssh_and_no_traceback(emulator: Any) -> None:
    assert fence(emulator, "ssh=0", "secure=0", "action=status", "plug=1") == Answer(0, "Status: ON\n", "")


def test_option_off_is_off_and_not_the_default_reboot(emulator: Any) -> None:
    assert fence(emulator, "option=off", "plug=1").out == "Success: Powered OFF\n"
    assert emulator.outlet_state(1) == "off"


def test_command_prompt_given_as_one_text_works(emulator: Any) -> None:
    """fence_wti iterates it: 'I', 'P', 'S' and '>' match anywhere."""
    for spelling in ("command_prompt=IPS>", "cmd_prompt=['IPS>']", "cmd_prompt=NPS>|IPS>"):
        assert fence(emulator, spelling, "action=status", "plug=1").code == 0, spelling
    argv = ("-a", emulator.address, "-u", str(emulator.port), "-p", PASSWORD, "-n", "1", "-o", "status")
    argv += ("-c", "IPS>")
    assert agent(argv=argv).out == "Status: ON\n"


def test_a_prompt_of_no_known_form_works_when_it_is_given() -> None:
    with BareDevice(prompt="my switch:") as device:
        assert fence(device, "cmd_prompt=my switch:", "action=off", "plug=1").code == 0
        assert device.states[1] == "OFF"


@pytest.mark.parametrize("prompt", ["RSM>", "MPC>", "IPS>", "TPS>", "NBB>", "NPS>", "VMR>"])
def test_every_prompt_of_the_family_is_known(prompt: str) -> None:
    """wti_nps knows IPS and NPS only."""
    with BareDevice(prompt=prompt) as device:
        assert fence(device, "action=off", "plug=mclaws").code == 0
        assert device.states == {1: "ON", 2: "OFF"}


def test_a_delay_is_waited_for_also_when_connecting_fails() -> None:
    """fence-agents' own check of its agents: never less than the delay, whatever happens."""
    started = time.monotonic()
    lines = ("ip=127.0.0.1", "ipport=1", "plug=1", "action=off", "delay=2", "login_timeout=0.1", "timeout=3")
    assert agent(*lines).code == 1
    assert time.monotonic() - started >= 2


# Several plugs, names.


def test_on_with_one_plug_off_is_not_already_on(emulator: Any) -> None:
    emulator.press(6, "off")
    assert fence(emulator, "action=on", "plug=5,6").out == "Success: Powered ON\n"
    assert emulator.outlet_state(6) == "on"


@pytest.mark.parametrize("action", ["status", "off", "on", "reboot", "monitor"])
@pytest.mark.parametrize("plugs", ["9,1", "1,9", "nosuch,pete", "1,12345", "1,A1", "1,web"])
def test_an_unknown_plug_is_not_masked_by_others(emulator: Any, plugs: str, action: str) -> None:
    answer = fence(emulator, f"action={action}", f"plug={plugs}")
    assert (answer.code, answer.out) == (1, "")
    assert "Unable to obtain correct plug status or plug is not available" in answer.err
    assert not any(text.startswith(("/O", "/B")) for text in commands(emulator))


@pytest.mark.parametrize("plug", ["0", "01", "1,00", "1\x07", "1+5", "1:5", "*", "1;/OFF 5"])
def test_nothing_but_plug_numbers_of_the_table_is_ever_sent(emulator: Any, plug: str) -> None:
    assert fence(emulator, "action=off", f"plug={plug}").code == 1
    assert not any(text.startswith("/O") for text in commands(emulator))


def test_what_list_prints_can_be_fenced_through_pacemakers_parse(emulator: Any) -> None:
    """The fencer takes every token of the list for a target (fenced_commands.c): numbers and aliases."""
    out = fence(emulator, "action=list").out
    assert "undefined" not in out
    tokens = [token for token in re.split(r"[\s,;]+", out) if token]
    assert "pete" in tokens
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", token) for token in tokens)
    for token in ("pete", "mclaws", "8"):
        assert token in tokens
        assert fence(emulator, "action=off", f"plug={token}", f"nodename={token}").code == 0
    assert [emulator.outlet_state(n) for n in range(1, 9)] == ["off", "on", "on", "on", "off", "off", "on", "off"]


def test_a_group_is_listed_once_keeps_its_state_and_can_be_fenced(tmp_path: Any) -> None:
    with switch(tmp_path, variant="vmr", user="super", extra=["--group", "web=1+5"]) as emulator:
        user = "username=super"
        assert fence(emulator, user, "action=off", "plug=web").code == 0
        assert [emulator.outlet_state(n) for n in (1, 5, 6)] == ["off", "off", "on"]
        lines = fence(emulator, user, "action=list-status").out.splitlines()
        assert lines.count("web,,off") == 1
        assert fence(emulator, user, "action=status", "plug=web").code == 2
        assert fence(emulator, user, "plug=web").out == "Success: Rebooted\n"
        assert [emulator.outlet_state(n) for n in (1, 5)] == ["on", "on"]


def test_a_name_column_of_14_characters_is_read_right() -> None:
    """wti_nps cuts 16 characters out of an IPS-400's row and has the bar in the name."""
    with BareDevice(name_width=15, names="node1 fourteenletter") as device:
        assert fence(device, "action=list").out == "1,node1\n2,fourteenletter\n"
        assert fence(device, "action=off", "plug=fourteenletter").code == 0
        assert device.states == {1: "ON", 2: "OFF"}


def test_reboot_with_retry_on_0_switches_on_again(emulator: Any) -> None:
    assert fence(emulator, "plug=1", "retry_on=0").out == "Success: Rebooted\n"
    assert emulator.outlet_state(1) == "on"


# Success that is none.


@pytest.mark.parametrize("action", ["off", "reboot"])
def test_a_stuck_plug_is_no_success(emulator: Any, action: str) -> None:
    emulator.fault("stuck", 1)
    answer = fence(emulator, f"action={action}", "plug=1", "power_timeout=0.5")
    assert (answer.code, answer.out) == (1, "")
    assert "Failed: Timed out waiting to power OFF" in answer.err
    assert emulator.outlet_state(1) == "on"


def test_a_stuck_plug_under_pacemaker_is_not_waited_for_without_end(emulator: Any) -> None:
    emulator.fault("stuck", 1)
    lines = ("action=off", "plug=1", "power_timeout=1", "disable_timeout=true")
    answer = fence(emulator, *lines, env={"PCMK_service": "pacemaker-fenced"})
    assert "Timed out waiting to power OFF" in answer.err


@pytest.mark.parametrize("action", ["off", "status", "monitor"])
def test_a_mute_device_under_pacemaker_does_not_hang(emulator: Any, action: str) -> None:
    emulator.fault("mute")
    answer = fence(emulator, f"action={action}", "plug=1", "login_timeout=1", "disable_timeout=1")
    assert answer.code == 1
    assert "Connection timed out" in answer.err


# Habits of units.


def test_no_telnet_program_is_needed(emulator: Any) -> None:
    answer = fence(emulator, "action=off", "plug=1", "telnet_path=/nonexistent", env={"PATH": "/nonexistent"})
    assert answer == Answer(0, "Success: Powered OFF\n", "")


def test_a_device_that_negotiates_nothing_sees_no_empty_lines() -> None:
    """The telnet program sends LF LF there: a login denied, or a prompt too many after every command."""
    with BareDevice() as device:
        assert fence(device, "action=off", "plug=1") == Answer(0, "Success: Powered OFF\n", "")
        assert "" not in device.lines
        assert b"\n" not in device.raw
        assert b"\xff" not in device.raw


@pytest.mark.parametrize("given", ["", PASSWORD])
def test_a_unit_without_a_password_works(tmp_path: Any, given: str) -> None:
    """wti_nps waits for a password prompt that never comes."""
    with switch(tmp_path, password=None) as emulator:
        assert fence(emulator, "action=off", "plug=1", password=given).code == 0
        assert emulator.outlet_state(1) == "off"


@pytest.mark.parametrize("fault", ["confirm", "pager", "echo"])
def test_questions_pages_and_echo_do_not_disturb(emulator: Any, fault: str) -> None:
    emulator.fault(fault)
    assert fence(emulator, "action=off", "plug=mclaws") == Answer(0, "Success: Powered OFF\n", "")
    assert [emulator.outlet_state(n) for n in (1, 5, 6)] == ["on", "off", "off"]
    settled(emulator)  # the switch may notice a moment after the agent has ended
    reasons = [event["reason"] for event in emulator.events("disconnect")]
    assert reasons == ["exit"], "also the question after /X is answered"


def test_automated_mode_is_success_or_a_clean_failure(emulator: Any) -> None:
    """No replies but the prompt: what cannot be read back is no success."""
    emulator.fault("automated")
    answer = fence(emulator, "action=off", "plug=1", "timeout=5", "power_timeout=1", "shell_timeout=1")
    assert answer.code == 1 or emulator.outlet_state(1) == "off"
    assert "bug" not in answer.err


def test_busy_plugs_are_waited_for(tmp_path: Any) -> None:
    with switch(tmp_path, variant="vmr", user="super") as emulator:
        emulator.fault("busy")
        with later(1, emulator.clear):
            assert fence(emulator, "username=super", "action=off", "plug=1").code == 0
        assert emulator.outlet_state(1) == "off"


# Sessions.


@pytest.mark.parametrize(
    "lines",
    [
        ("action=off", "plug=9"),
        ("action=status", "plug=1,nosuch"),
        ("action=monitor", "plug=nosuch"),
        ("action=off", "plug=2", "power_timeout=0.3"),
        ("action=list",),
    ],
)
def test_no_session_is_left_open_on_an_error(emulator: Any, lines: tuple[str, ...]) -> None:
    emulator.fault("stuck", 2)
    fence(emulator, *lines)
    assert settled(emulator)[-1] == "/X,Y"
    assert [event["reason"] for event in emulator.events("disconnect")] == ["exit"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_does_not_leave_the_session_open(emulator: Any, number: int) -> None:
    emulator.fault("stuck", 1)
    with subprocess.Popen(
        [AGENT], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as child:
        assert child.stdin is not None and child.stderr is not None
        child.stdin.write(f"ip=127.0.0.1\nipport={emulator.port}\npassword={PASSWORD}\naction=off\nplug=1\n")
        child.stdin.close()
        end = time.monotonic() + PATIENCE_S
        while "/OFF 1,Y" not in commands(emulator) and time.monotonic() < end:
            time.sleep(0.02)
        child.send_signal(number)
        assert "stopped by a signal" in child.stderr.read()
        assert child.wait(PATIENCE_S) == 1
    assert settled(emulator)[-1] == "/X,Y"


def test_no_moment_for_a_signal_leaves_the_session_open(emulator: Any) -> None:
    """Also not the one in which the agent is just leaving."""
    for after_ms in range(30, 110, 8):
        with subprocess.Popen(
            [AGENT], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True,
            env=ENVIRONMENT,
        ) as child:  # fmt: skip
            assert child.stdin is not None
            child.stdin.write(f"ip=127.0.0.1\nipport={emulator.port}\npassword={PASSWORD}\naction=status\nplug=1\n")
            child.stdin.close()
            time.sleep(after_ms / 1000)
            child.send_signal(signal.SIGTERM)
            child.wait(PATIENCE_S)
    asked = False
    for event in emulator.events("connect", "command", "disconnect"):
        if event["event"] == "disconnect" and asked:
            assert event["reason"] == "exit"
        asked = event["event"] == "command"


def test_closed_descriptors_do_not_lead_words_to_the_device(emulator: Any) -> None:
    """With 1 and 2 closed the socket would get their number, and error messages would go to the switch."""
    script = 'exec "$0" >&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, AGENT], text=True, timeout=PATIENCE_S, env=ENVIRONMENT, check=False,
        input=f"ip=127.0.0.1\nipport={emulator.port}\npassword={PASSWORD}\naction=off\nplug=1\nverbose=1\n",
    )  # fmt: skip
    assert done.returncode == 0
    assert emulator.outlet_state(1) == "off"
    assert settled(emulator)[-1] == "/X,Y"
    assert emulator.events("invalid_command") == []


def test_a_wrong_password_is_reported_at_once_and_once(emulator: Any) -> None:
    """wti_nps tries 20 times for 19 s, and only the first one reaches the device."""
    emulator.request("fault", fault="lockout", count=2)
    answer = fence(emulator, "action=off", "plug=1", password="Wr0ng-Pa55")
    assert "Unable to connect/login to fencing device" in answer.err
    assert len(emulator.events("login_refused")) == 1
    assert fence(emulator, "action=status", "plug=1").code == 0, "not locked out"


def test_an_earlier_connection_is_closed_before_the_next(emulator: Any) -> None:
    """wti_nps leaves the first socket open, which holds the device's only session against the other 19."""
    emulator.fault("drop")
    assert fence(emulator, "action=off", "plug=mclaws").code == 0
    settled(emulator)
    order = [event["event"] for event in emulator.events("connect", "disconnect")]
    assert order == ["connect", "disconnect"] * (len(order) // 2)


def test_both_nodes_fencing_at_once_take_turns(emulator: Any) -> None:
    """The device has one session; each agent waits for it, with pauses by chance."""
    answers: dict[str, Answer] = {}

    def one(plug: str) -> None:
        answers[plug] = fence(emulator, "plug=" + plug)

    threads = [threading.Thread(target=one, args=(plug,)) for plug in ("pete", "mclaws", "8")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer == Answer(0, "Success: Rebooted\n", "") for answer in answers.values()), answers
    assert settled(emulator).count("/X,Y") == 3


def test_a_unit_busy_for_a_while_is_waited_for(emulator: Any) -> None:
    emulator.fault("refuse")
    with later(1.5, emulator.clear):
        assert fence(emulator, "action=off", "plug=1").code == 0


def test_nothing_else_gets_the_number_of_a_standard_stream() -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from failover_kit.fence import agent\n"
        "agent._have_standard_streams()\n"
        "for fd in range(3): os.fstat(fd)\n"
        "os._exit(0 if os.open('/dev/null', 0) > 2 else 9)"
    )
    shell = 'exec /usr/bin/python3 -I -c "$0" "$1" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", shell, script, os.path.join(ROOT, "lib")], timeout=PATIENCE_S, check=False)
    assert done.returncode == 0


# Secrets.


def test_no_password_in_the_verbose_log(emulator: Any, tmp_path: Any) -> None:
    debug = tmp_path / "debug"
    answer = fence(emulator, "action=off", "plug=1", "verbose=1", "verbose_level=9", f"debug_file={debug}")
    assert "sent: /OFF 1,Y" in answer.err
    for text in (answer.err, answer.out, debug.read_text()):
        assert PASSWORD not in text
    argv = ("-v", "-v", "-a", emulator.address, "-u", str(emulator.port), "-p", "Wr0ng", "-n", "1", "-o", "status")
    assert "Wr0ng" not in agent(argv=argv).err


# Names and addresses.


def test_an_ipv6_literal_with_brackets_and_without(tmp_path: Any) -> None:
    with switch(tmp_path, address="::1") as emulator:
        for ip in ("::1", "[::1]"):
            lines = (f"ip={ip}", f"ipport={emulator.port}", f"password={PASSWORD}", "action=status", "plug=1")
            assert agent(*lines, "inet6_only=1").code == 0, ip
        assert agent(*lines, "inet4_only=1", "login_timeout=1").code == 1
        # Nobody lives there, but the scope is understood.
        scoped = agent("ip=[fe80::1%lo]", "action=status", "plug=1", "login_timeout=1")
        assert "not resolved" not in scoped.err


def test_a_name_server_that_never_answers_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    real = socket.getaddrinfo

    def stuck(host: str, *args: Any, **more: Any) -> Any:
        if not more.get("flags"):
            never.wait(60)
        return real(host, *args, **more)

    monkeypatch.setattr(tcp.socket, "getaddrinfo", stuck)
    try:
        with pytest.raises(ConnectFailed, match="not resolved in time") as caught:
            tcp.open_socket("benjamin.example", 23, 0, Deadline(200))
        assert not caught.value.again
    finally:
        never.set()
