"""Actions against a switch in memory: order of commands, read-back, deadlines, exit codes. No sockets, no sleep.

The switch here is a stub that renders one fixed layout; the emulator is used in tests/fence.
"""

from __future__ import annotations

import io
import random
import re
import signal
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.fence import session as net
from failover_kit.fence.config import check
from failover_kit.fence.log import Log
from failover_kit.fence.operation import Failure, Operation
from failover_kit.fence.options import read_stdin
from failover_kit.fence.secret import Secret
from failover_kit.fence.session import Session
from failover_kit.fence.transport import ConnectFailed, ConnectionLost
from failover_kit.fence.wti import Dialogue
from failover_kit.spec import deadline as clock_module
from failover_kit.spec.deadline import Deadline


class Clock:
    """Boot time that passes only when somebody sleeps or waits."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class Switch:
    """Plugs with names and states; every fault a test needs is an attribute."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.names = {1: "pete", 2: "(undefined)", 5: "mclaws", 6: "mclaws"}
        self.groups: dict[str, list[int]] | None = None
        self.states = dict.fromkeys(self.names, "ON")
        self.password = "changeme"
        self.commands: list[str] = []
        self.logins = 0
        self.turned_away = 0
        self.line: Line | None = None
        self.refuse_connects = 0
        self.stuck: set[int] = set()
        self.relay_ms = 0
        self.hang_up_on_login = False
        self.drop_on: list[str] = []
        self.lose_once = ""  # the connection breaks before this command is heard, once an OFF was sent
        self.silent_on: list[str] = []
        self.answer_ms = 1
        self.piece_bytes = 4096
        self.own_screen = False
        self.extra_prompts = 0
        self.shown_state: Callable[[int, str], str] = lambda _plug, state: state
        self._pending: list[tuple[int, int, str]] = []

    def connect(self, _until: Deadline) -> Line:
        if self.refuse_connects:
            self.refuse_connects -= 1
            raise ConnectFailed("refused", again=True)
        if self.line is not None and not self.line.closed:
            self.turned_away += 1
            raise ConnectFailed("refused: one session only", again=True)
        self.line = Line(self)
        return self.line

    def answer(self, command: str) -> str:
        self.commands.append(command)
        if match := re.fullmatch(r"/(ON|OFF) (\d),Y", command):
            self._pending.append((self.clock.ms + self.relay_ms, int(match[2]), match[1]))
            return f"{command}\r\nIPS> "
        if command == "/S":
            return f"/S\r\n{self.screen()}\r\nIPS> "
        if command == "/SG" and self.groups is not None:
            return f"/SG\r\n{self.group_screen(self.groups)}\r\nIPS> "
        return f"{command}\r\nInvalid command\r\nIPS> "

    def group_screen(self, groups: dict[str, list[int]]) -> str:
        """As firmware 1.43 prints it: the first row has only the group's name."""
        rule = "-----------+------+-----------+--------+"
        rows = ["Group Name | Plug | Plug Name | Status |", rule]
        for name, plugs in groups.items():
            rows.append(f"{name} | --- | --- | --- |")
            rows += [f" | {plug} | {self.names[plug]} | {self.states[plug]} |" for plug in plugs]
        return "\r\n".join([*rows, rule])

    def spoken(self, command: str) -> str:
        """The answer with the habits of this unit around it."""
        text = self.answer(command)
        if self.own_screen and command != "/S":
            text = text.replace("IPS> ", self.screen() + "\r\nIPS> ")
        return text + "\r\nIPS> " * self.extra_prompts

    def screen(self) -> str:
        for due_ms, plug, state in self._pending:
            if due_ms <= self.clock.ms and plug not in self.stuck:
                self.states[plug] = state
        self._pending = [entry for entry in self._pending if entry[0] > self.clock.ms]
        rows = [f" {n} | {self.names[n]} | {self.shown_state(n, s)} |" for n, s in self.states.items()]
        return "\r\n".join(["Plug | Name | Status |", *rows])

    @property
    def switched(self) -> list[str]:
        return [command for command in self.commands if command not in ("/S", "/SG", "/X,Y")]


class Line:
    """The Transport to a Switch."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.out = b"Password: " if switch.password else b"IPS> "
        self.inside = not switch.password
        self.ended = False
        self.closed = False

    def send(self, data: bytes, until: Deadline) -> None:
        for line in data.decode().split("\r")[:-1]:
            self._line(line)

    def _line(self, line: str) -> None:
        switch = self.switch
        if not self.inside:
            switch.logins += 1
            if switch.hang_up_on_login:
                raise ConnectionLost("reset")
            self.inside = line == switch.password
            self.out += b"\r\nIPS> " if self.inside else b"\r\nInvalid password\r\n"
            self.ended = not self.inside
        elif line == switch.lose_once and (line != "/S" or switch.switched):
            switch.lose_once = ""
            switch.commands.append(f"lost: {line}")
            raise ConnectionLost("reset")
        elif line in switch.drop_on:
            switch.drop_on.remove(line)
            switch.answer(line)
            raise ConnectionLost("reset")
        elif line == "/X,Y":
            switch.commands.append(line)
            self.ended = True
        elif line in switch.silent_on:
            switch.commands.append(line)
        else:
            self.out += switch.spoken(line).encode()

    def receive(self, until: Deadline) -> bytes | None:
        if self.out:
            self.switch.clock.ms += self.switch.answer_ms
            size = self.switch.piece_bytes
            data, self.out = self.out[:size], self.out[size:]
            return data
        if self.ended:
            return b""
        self.switch.clock.ms += until.left_ms()
        return None

    def close(self) -> None:
        self.closed = True


class Bench:
    """Everything one test needs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(clock_module, "boottime_ms", lambda: self.clock.ms)
        self.switch = Switch(self.clock)
        self.stderr = io.StringIO()
        self.out = io.StringIO()
        self.password = Secret("changeme")

    def run(self, *lines: str) -> int:
        config = check(read_stdin(["ip=h", *lines]))
        log = Log("test", stderr=self.stderr, to_syslog=False)
        deadline = Deadline(config.timeout_ms - net.GOODBYE_MS)
        session = Session(
            self.switch.connect,
            lambda: Dialogue(password=self.password),
            deadline,
            connect_ms=config.timeout_ms,
            login_ms=config.login_timeout_ms,
            goodbye_ms=net.GOODBYE_MS,
            debug=log.debug,
            sleep=self.clock.sleep,
        )
        operation = Operation(
            config, session, deadline, log, sleep=self.clock.sleep, uniform=lambda low, high: (low + high) / 2
        )
        return operation.run(self.out)

    def failure(self, *lines: str) -> str:
        with pytest.raises(Failure) as caught:
            self.run(*lines)
        return str(caught.value)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


# Success.


def test_off_by_name_switches_every_plug_of_that_name_and_reads_back(bench: Bench) -> None:
    assert bench.run("action=off", "plug=MCLAWS") == 0
    assert bench.switch.commands == ["/S", "/OFF 5,Y", "/OFF 6,Y", "/S", "/X,Y"]
    assert bench.out.getvalue() == "Success: Powered OFF\n"


def test_off_is_commanded_even_when_the_plug_reads_off(bench: Bench) -> None:
    """A plug in the pause of somebody's /BOOT reads OFF and would come on by itself."""
    bench.switch.states[1] = "OFF"
    assert bench.run("action=off", "plug=1") == 0
    assert bench.switch.switched == ["/OFF 1,Y"]
    assert bench.out.getvalue() == "Success: Already OFF\n"


def test_on_finishes_the_second_supply(bench: Bench) -> None:
    bench.switch.states[6] = "OFF"
    assert bench.run("action=on", "plug=5,6") == 0
    assert bench.switch.states[6] == "ON"
    assert bench.out.getvalue() == "Success: Powered ON\n"


def test_on_of_what_is_on_sends_nothing(bench: Bench) -> None:
    assert bench.run("action=on", "plug=5,6") == 0
    assert bench.switch.switched == []
    assert bench.out.getvalue() == "Success: Already ON\n"


def test_reboot_proves_off_of_all_before_it_switches_one_on(bench: Bench) -> None:
    bench.switch.relay_ms = 700
    assert bench.run("plug=mclaws") == 0
    commands = bench.switch.switched
    assert commands == ["/OFF 5,Y", "/OFF 6,Y", "/ON 5,Y", "/ON 6,Y"]
    assert bench.switch.states == dict.fromkeys((1, 2, 5, 6), "ON")
    assert bench.out.getvalue() == "Success: Rebooted\n"


@pytest.mark.parametrize(
    ("five", "six", "code", "text"),
    [
        ("ON", "ON", 0, "Status: ON\n"),
        ("OFF", "ON", 0, "Status: ON\n"),
        ("ON", "OFF", 0, "Status: ON\n"),
        ("OFF", "OFF", 2, "Status: OFF\n"),
        ("ON", "??", 0, "Status: ON\n"),
    ],
)
def test_status_of_two_supplies(bench: Bench, five: str, six: str, code: int, text: str) -> None:
    bench.switch.states.update({5: five, 6: six})
    assert bench.run("action=status", "plug=mclaws") == code
    assert bench.out.getvalue() == text


def test_list_gives_unnamed_plugs_an_empty_alias(bench: Bench) -> None:
    assert bench.run("action=list") == 0
    assert bench.out.getvalue() == "1,pete\n2,\n5,mclaws\n6,mclaws\n"


def test_list_status_and_separator(bench: Bench) -> None:
    bench.switch.states.update({1: "OFF", 5: "ON*"})
    assert bench.run("action=list-status", "separator=;") == 0
    assert bench.out.getvalue() == "1;pete;off\n2;;on\n5;mclaws;UNKNOWN\n6;mclaws;on\n"


def test_monitor_is_silent_and_knows_a_missing_plug(bench: Bench) -> None:
    assert bench.run("action=monitor") == 0
    assert bench.out.getvalue() == ""
    assert "no plug nosuch" in bench.failure("action=monitor", "plug=nosuch")


def test_delay_comes_before_the_login(bench: Bench) -> None:
    start_ms = bench.clock.ms
    assert bench.run("action=off", "plug=1", "delay=7") == 0
    assert bench.clock.ms - start_ms >= 7000
    assert bench.run("action=status", "plug=1", "delay=7") == 2
    assert bench.clock.ms - start_ms < 14_000


def test_the_random_part_of_the_delay_is_stated_with_its_sum(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Log, "info", lambda _self, text: said.append(text))
    start_ms = bench.clock.ms
    assert bench.run("action=off", "plug=1", "delay=3", "delay_random=5") == 0
    assert said == ["delay before off: 3 s + 2.5 s by chance (at most 5 s) = 5.5 s"]
    assert 5500 <= bench.clock.ms - start_ms < 8000


def test_the_delay_is_waited_for_even_when_nobody_can_be_reached(bench: Bench) -> None:
    """What fence-agents' own check of its agents asks for."""
    bench.switch.refuse_connects = 10**6
    start_ms = bench.clock.ms
    assert "refused" in bench.failure("action=off", "plug=1", "delay=10", "login_timeout=1")
    assert bench.clock.ms - start_ms >= 10_000


# Groups.


def test_a_group_means_its_plugs(bench: Bench) -> None:
    bench.switch.groups = {"web": [1, 5]}
    assert bench.run("action=off", "plug=WEB") == 0
    assert bench.switch.switched == ["/OFF 1,Y", "/OFF 5,Y"]
    assert bench.switch.commands == ["/S", "/SG", "/OFF 1,Y", "/OFF 5,Y", "/S", "/S", "/SG", "/X,Y"]


def test_groups_are_not_asked_for_when_every_name_is_a_plug(bench: Bench) -> None:
    bench.switch.groups = {"web": [1, 5]}
    assert bench.run("action=off", "plug=pete,6") == 0
    assert "/SG" not in bench.switch.commands


def test_reboot_of_a_group_is_all_off_and_then_all_on(bench: Bench) -> None:
    bench.switch.groups = {"web": [1, 5]}
    assert bench.run("plug=web,6") == 0
    assert bench.switch.switched == [f"/{what} {plug},Y" for what in ("OFF", "ON") for plug in (1, 5, 6)]


@pytest.mark.parametrize(("groups", "words"), [({}, "no plug web"), ({"web": [1], "db": [5]}, "no plug nosuch")])
def test_what_is_neither_plug_nor_group_switches_nothing(
    bench: Bench, groups: dict[str, list[int]], words: str
) -> None:
    bench.switch.groups = groups
    assert words in bench.failure("action=off", "plug=web,nosuch,1")
    assert bench.switch.switched == []


def test_groups_that_cannot_be_read_are_named_in_the_error(bench: Bench) -> None:
    bench.switch.groups = {"web": [1]}
    bench.switch.group_screen = lambda _groups: "Group Name | Plug | Status |\r\nweb | 1 |"  # type: ignore[method-assign]
    assert "/SG: a row of the table has 2 cells" in bench.failure("action=off", "plug=web")


def test_a_group_that_is_changed_while_switching_is_no_proof(bench: Bench) -> None:
    bench.switch.groups = groups = {"web": [1]}
    original = bench.switch.answer

    def answer(command: str) -> str:
        if command == "/OFF 1,Y":
            groups["web"] = [1, 5]
        return original(command)

    bench.switch.answer = answer  # type: ignore[method-assign]
    assert "names changed" in bench.failure("action=off", "plug=web")


def test_list_prints_a_group_once_and_its_state(bench: Bench) -> None:
    bench.switch.groups = {"web": [1, 5], "db": [6], "mclaws": [5, 6]}
    bench.switch.states.update({1: "OFF", 5: "OFF", 6: "ON*"})
    assert bench.run("action=list-status") == 0
    assert bench.out.getvalue().splitlines()[4:] == ["web,,off", "db,,UNKNOWN"]
    assert [line.split(",")[0] for line in bench.out.getvalue().splitlines()].count("web") == 1


@pytest.mark.parametrize(("name", "separator"), [("two words", ","), ("a,b", ";"), ("a;b", ","), ("a-b", "-")])
def test_a_name_that_would_fall_apart_is_not_listed(bench: Bench, name: str, separator: str) -> None:
    bench.switch.names[1] = name
    assert bench.run("action=list", f"separator={separator}") == 0
    assert bench.out.getvalue().startswith(f"1{separator}\n")
    assert "cannot be listed" in bench.stderr.getvalue()


# What must not be taken for success.


def test_a_stuck_relay_fails_off_and_names_the_plug(bench: Bench) -> None:
    bench.switch.stuck = {6}
    text = bench.failure("action=off", "plug=mclaws")
    assert text == "Failed: Timed out waiting to power OFF: plug 5 reads OFF, plug 6 reads ON"
    assert bench.switch.commands[-1] == "/X,Y"
    assert bench.out.getvalue() == ""


def test_a_stuck_relay_fails_reboot_and_nothing_is_switched_on(bench: Bench) -> None:
    bench.switch.stuck = {6}
    assert "waiting to power OFF" in bench.failure("plug=mclaws")
    assert not any("ON" in command for command in bench.switch.commands)


def test_power_that_does_not_come_back_is_said_and_the_machine_counts_as_fenced(bench: Bench) -> None:
    bench.switch.shown_state = lambda _plug, state: "OFF" if "/OFF 1,Y" in bench.switch.commands else state
    assert bench.run("plug=1") == 0
    assert "power did not come back ON" in bench.stderr.getvalue()
    assert bench.switch.commands[-1] == "/X,Y"


@pytest.mark.parametrize("second", ["OFF*", "", "ON?"])
def test_one_supply_off_and_one_unknown_is_not_off(bench: Bench, second: str) -> None:
    bench.switch.states.update({5: "OFF", 6: second})
    assert "correct plug status" in bench.failure("action=status", "plug=mclaws")


@pytest.mark.parametrize("state", ["OFF*", "*", "", "OF", "Off?"])
def test_unknown_and_busy_are_never_off(bench: Bench, state: str) -> None:
    bench.switch.states[1] = state
    bench.switch.stuck = {1}
    assert "correct plug status" in bench.failure("action=status", "plug=1")
    assert "waiting to power OFF" in bench.failure("action=off", "plug=1")


def test_busy_is_waited_for(bench: Bench) -> None:
    until_ms = bench.clock.ms + 5000
    bench.switch.states[1] = "OFF"
    bench.switch.shown_state = lambda _plug, state: state + "*" if bench.clock.ms < until_ms else state
    assert bench.run("action=status", "plug=1") == 2


@pytest.mark.parametrize("action", ["off", "on", "reboot", "status"])
def test_a_missing_plug_fails_before_anything_is_switched(bench: Bench, action: str) -> None:
    assert "no plug 9 on this device" in bench.failure(f"action={action}", "plug=1,9")
    assert bench.switch.commands == ["/S", "/SG", "/X,Y"]


def test_a_name_that_moves_while_switching_is_no_proof(bench: Bench) -> None:
    bench.switch.relay_ms = 500
    original = bench.switch.screen

    def renamed() -> str:
        if bench.switch.switched:
            bench.switch.names[2] = "pete"
        return original()

    bench.switch.screen = renamed  # type: ignore[method-assign]
    assert "names changed" in bench.failure("action=off", "plug=pete")


def test_on_is_tried_again_as_often_as_asked(bench: Bench) -> None:
    bench.switch.states[1] = "OFF"
    bench.switch.stuck = {1}
    assert "waiting to power ON" in bench.failure("action=on", "plug=1", "retry_on=2", "power_timeout=5")
    assert bench.switch.switched == ["/ON 1,Y"] * 3


# Sessions.


def test_a_rejected_password_is_sent_once(bench: Bench) -> None:
    bench.password = Secret("wrong")
    text = bench.failure("action=off", "plug=1")
    assert text.startswith("Unable to connect/login to fencing device: ")
    assert bench.switch.logins == 1
    assert bench.switch.commands == []


def test_a_reset_after_the_password_is_final_too(bench: Bench) -> None:
    bench.switch.hang_up_on_login = True
    assert "after it got the password" in bench.failure("action=off", "plug=1")
    assert bench.switch.logins == 1


@pytest.mark.parametrize("when", ["/S", "/OFF 1,Y", "/ON 1,Y"])
def test_a_password_rejected_after_a_lost_connection_is_final(bench: Bench, when: str) -> None:
    """The connection breaks, and at the next login the same password is wrong: somebody changed it."""
    bench.switch.drop_on = [when]
    original = bench.switch.connect

    def connect(until: Deadline) -> Line:
        if bench.switch.logins:
            bench.switch.password = "changed"
        return original(until)

    bench.switch.connect = connect  # type: ignore[method-assign]
    if when == "/ON 1,Y":
        assert bench.run("plug=1") == 0, "it was fenced"
        assert "power did not come back ON" in bench.stderr.getvalue()
    else:
        assert "connect/login" in bench.failure("plug=1")
    assert bench.switch.logins == 2, "accepted once, rejected once, and no more"


def test_a_session_does_not_log_in_after_a_rejection(bench: Bench) -> None:
    session = Session(
        bench.switch.connect,
        lambda: Dialogue(password=Secret("wrong")),
        Deadline(60_000),
        connect_ms=1000,
        login_ms=1000,
        goodbye_ms=100,
        debug=lambda _text: None,
        sleep=bench.clock.sleep,
    )
    words = []
    for _ in range(3):
        with pytest.raises(net.LoginFailed) as caught:
            session.open()
        words.append(str(caught.value))
    assert len(set(words)) == 1
    assert bench.switch.logins == 1


def test_a_signal_while_leaving_is_heard_only_afterwards(bench: Bench) -> None:
    class Stopped(BaseException):
        pass

    def stop(_number: int, _frame: object) -> None:
        raise Stopped

    left: list[bool] = []
    original = Session.close

    def close(session: Session) -> None:
        signal.raise_signal(signal.SIGHUP)  # to this thread: a runner of tests may have others
        original(session)
        left.append(bench.switch.commands[-1:] == ["/X,Y"])

    before = signal.signal(signal.SIGHUP, stop)
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(net.Session, "open", lambda session: session._log_in())
            monkeypatch.setattr(net.Session, "close", close)
            with pytest.raises(Stopped):
                bench.run("action=status", "plug=1")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert left == [True]


def test_a_taken_session_is_waited_for(bench: Bench) -> None:
    bench.switch.refuse_connects = 6
    assert bench.run("action=off", "plug=1") == 0


def test_a_session_that_stays_taken_ends_in_time(bench: Bench) -> None:
    bench.switch.refuse_connects = 10**6
    start_ms = bench.clock.ms
    assert "refused; tried for" in bench.failure("action=off", "plug=1")
    assert bench.clock.ms - start_ms <= 36_000


@pytest.mark.parametrize("command", ["/OFF 1,Y", "/S"])
def test_a_broken_connection_is_opened_again(bench: Bench, command: str) -> None:
    bench.switch.drop_on = [command]
    assert bench.run("action=off", "plug=1") == 0
    assert bench.switch.states[1] == "OFF"
    assert bench.switch.logins == 2
    assert bench.switch.turned_away == 0, "the broken connection still held the one session"


def test_a_connection_that_always_breaks_is_given_up(bench: Bench) -> None:
    bench.switch.drop_on = ["/S"] * 100
    assert bench.failure("action=off", "plug=1") == "Connection lost: reset"
    assert bench.switch.logins == 4


@pytest.mark.parametrize("command", ["/S", "/OFF 1,Y"])
@pytest.mark.parametrize("action", ["off", "reboot"])
def test_a_device_that_falls_silent_ends_in_time_with_a_logout(bench: Bench, command: str, action: str) -> None:
    bench.switch.silent_on = [command]
    start_ms = bench.clock.ms
    assert bench.failure(f"action={action}", "plug=1").startswith("Connection timed out: ")
    assert bench.switch.commands[-1] == "/X,Y"
    assert bench.clock.ms - start_ms <= 56_000


def test_power_timeout_counts_seconds_and_not_looks(bench: Bench) -> None:
    """fence_wti looks 20 times with a second between, however long a look takes."""
    bench.switch.stuck = {1}
    bench.switch.answer_ms = 800
    start_ms = bench.clock.ms
    assert "waiting to power OFF" in bench.failure("action=off", "plug=1", "power_timeout=6", "timeout=300")
    assert bench.clock.ms - start_ms <= 6000 + 8 * 800


def test_one_deadline_bounds_everything(bench: Bench) -> None:
    bench.switch.answer_ms = 900
    bench.switch.stuck = {1}
    bench.switch.refuse_connects = 3
    start_ms = bench.clock.ms
    bench.failure("action=off", "plug=1", "timeout=12", "power_timeout=600", "login_timeout=600")
    assert bench.clock.ms - start_ms <= 12_000


@pytest.mark.parametrize("noise", [b"\xff\xf1" * 500, b"x\r\n" * 300, b"\0" * 1000])
def test_a_device_that_never_stops_talking_ends_in_time(bench: Bench, noise: bytes) -> None:
    def talk(_line: Line, _until: Deadline) -> bytes:
        bench.clock.ms += 200
        return noise

    start_ms = bench.clock.ms
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Line, "receive", talk)
        assert "connect/login" in bench.failure("action=off", "plug=1")
    assert bench.clock.ms - start_ms <= 36_000


# Whatever the device does.


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**32), action=st.sampled_from(["off", "on", "reboot", "status"]))
def test_no_device_makes_the_agent_say_what_is_not_so(seed: int, action: str) -> None:
    """A switch with any mix of faults, honest only in its status screen: exit codes are facts."""
    dice = random.Random(seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        bench = Bench(monkeypatch)
        switch = bench.switch
        plugs = dice.choice(["1", "pete", "mclaws", "5,6", "1,mclaws", "9", "1,nosuch", "web", "web,6"])
        switch.groups = dice.choice([{"web": [1, 5]}, {"web": [1, 5], "db": [2]}, None])
        selected = {
            "1": {1}, "pete": {1}, "1,mclaws": {1, 5, 6}, "web": {1, 5}, "web,6": {1, 5, 6},
        }.get(plugs, {5, 6})  # fmt: skip
        switch.states = {n: dice.choice(["ON", "OFF"]) for n in switch.names}
        switch.stuck = {n for n in switch.names if dice.random() < 0.2}
        switch.relay_ms = dice.choice([0, 0, 300, 4000, 30_000])
        switch.refuse_connects = dice.choice([0, 0, 3])
        switch.extra_prompts = dice.choice([0, 0, 1, 2])
        switch.own_screen = dice.random() < 0.5
        switch.piece_bytes = dice.choice([1, 7, 4096])
        switch.drop_on = dice.choices(
            ["/S", "/OFF 1,Y", "/OFF 5,Y", "/ON 6,Y", "/X,Y"], k=dice.choice([0, 0, 1, 3])
        )
        switch.silent_on = dice.choice([[], [], [], [], [], ["/S"], ["/OFF 6,Y"]])
        switch.answer_ms = dice.choice([1, 50])
        if dice.random() < 0.3:
            switch.shown_state = lambda _plug, state: dice.choice([state, state + "*", "", "?"])
        start_ms = bench.clock.ms
        try:
            code = bench.run(f"action={action}", f"plug={plugs}")
        except Failure:
            code = 1
        assert bench.clock.ms - start_ms <= 60_000
        said = bench.out.getvalue()
        states = {switch.states[n] for n in selected}
        if code == 1:
            assert said == ""
        elif plugs in ("9", "1,nosuch") or ("web" in plugs and switch.groups is None):
            raise AssertionError(f"{action} of a missing plug exited {code}")
        elif action == "off":
            assert states == {"OFF"}
        elif action == "on":
            assert states == {"ON"}
        elif action == "status":
            assert (states == {"OFF"}) is (code == 2)
        else:
            assert states == {"ON"} or "power did not come back" in bench.stderr.getvalue()


@pytest.mark.parametrize("lost", ["/OFF 1,Y", "/S"])
def test_off_that_may_not_have_arrived_is_said_again_to_a_plug_in_the_pause_of_a_boot(
    bench: Bench, lost: str
) -> None:
    """It reads OFF before our OFF and after a break in the connection: that says nothing about our OFF."""
    bench.switch.states[1] = "OFF"
    bench.switch.lose_once = lost
    assert bench.run("action=off", "plug=1") == 0
    said = bench.switch.commands
    assert "/OFF 1,Y" in said[said.index(f"lost: {lost}") :]


def test_a_unit_that_hangs_up_over_each_command_can_still_be_told_off(bench: Bench) -> None:
    bench.switch.states[1] = "OFF"
    bench.switch.drop_on = ["/OFF 1,Y"] * 100
    assert bench.run("action=off", "plug=1") == 0
    assert bench.switch.switched == ["/OFF 1,Y"] * 2


class Interrupted(BaseException):
    """A signal."""


@pytest.mark.parametrize(
    "answer", [b"\r\nIPS> ", b"\r\nInvalid password\r\nPassword: ", b"\r\nIPS> \r\nPassword: ", b""]
)
def test_a_signal_in_the_login_leaves_no_session_on_a_line_that_does_not_hang_up(
    bench: Bench, answer: bytes
) -> None:
    sent = bytearray()

    class Console:
        def __init__(self) -> None:
            self.waiting = [b"Password: "]

        def send(self, data: bytes, _until: Deadline) -> None:
            sent.extend(data)
            if data == b"changeme\r":
                self.waiting = [answer] if answer else []
                raise Interrupted

        def receive(self, until: Deadline) -> bytes | None:
            if not self.waiting:
                bench.clock.ms += until.left_ms()
                return None
            return self.waiting.pop(0)

        def close(self) -> None:
            pass

    session = Session(
        lambda _until: Console(),
        lambda: Dialogue(password=bench.password, telnet=False, wake=True),
        Deadline(10_000),
        connect_ms=1000, login_ms=5000, goodbye_ms=1000, hangs_up=False, debug=lambda _line: None,
        sleep=bench.clock.sleep,
    )  # fmt: skip
    with pytest.raises(Interrupted):
        session.open()
    session.close()
    left = b"/X,Y\r" if answer == b"\r\nIPS> " else b""
    assert bytes(sent) == b"\rchangeme\r" + left
