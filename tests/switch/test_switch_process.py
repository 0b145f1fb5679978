"""failoverctl switch as a process against the emulated switch, over TCP and over its serial console.

The emulator was written by other hands from the same manuals, and shares no line with the menu reader.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from switch.network import namespace

PROGRAM = str(Path(__file__).parents[2] / "bin" / "failoverctl")
OLD, NEW, WRONG = "0ld-Secret", "n3w-Secret", "wr0ng-Secret"
# Long enough for a machine under load; a test that works never waits for it.
PATIENCE_S = 120


class Switch:
    """An emulated switch, what its command line is called with, and what it saw."""

    def __init__(self, folder: Path, emulator: EmulatorProcess) -> None:
        self.folder = folder
        self.emulator = emulator
        self.state = folder / "state.json"
        self.said = ""

    def place(self, way: str) -> list[str]:
        if way == "serial":
            return ["--serial", self.emulator.serial_path]
        return ["--ip", self.emulator.address, "--port", str(self.emulator.port)]

    def secret(self, text: str) -> str:
        path = self.folder / f"secret-{text[:5]}"
        if not path.exists():
            path.write_text(text + "\n")
            path.chmod(0o600)
        return str(path)

    def run(self, verb: str, way: str, *words: str, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*prefix, PROGRAM, "switch", verb, *self.place(way), *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        self.said += done.stdout + done.stderr
        return done

    def start(self, verb: str, way: str, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROGRAM, "switch", verb, *self.place(way), *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def names(self) -> Mapping[int, str]:
        plugs = json.loads(self.state.read_text())["plugs"] if self.state.exists() else {}
        return {int(number): plug["name"] for number, plug in plugs.items() if plug["name"]}

    def settings(self) -> Mapping[str, object]:
        found: Mapping[str, object] = json.loads(self.state.read_text())["settings"]
        return found

    def changes(self) -> list[str]:
        return [event["what"] for event in self.emulator.events("changed")]

    def all_left(self) -> bool:
        """Every session that logged in was left with /X."""
        wait_for(lambda: len(self.emulator.events("connect")) == len(self.emulator.events("disconnect")))
        return all(event["reason"] == "exit" for event in self.emulator.events("disconnect"))


def wait_for(fact: Callable[[], object]) -> None:
    for _ in range(PATIENCE_S * 50):
        if fact():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@contextmanager
def running(
    folder: Path, *, password: str | None = None, variant: str = "ips", **options: object
) -> Iterator[Switch]:
    outlets = {3: OutletConfig(name="web")}
    with EmulatorProcess(
        str(folder), outlets=outlets, password=password, variant=variant, serial=True,
        state=str(folder / "state.json"), **options,  # type: ignore[arg-type]
    ) as emulator:  # fmt: skip
        switch = Switch(folder, emulator)
        yield switch
        for secret in (OLD, NEW, WRONG):
            assert secret not in switch.said


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Switch]:
    with running(tmp_path) as switch:
        yield switch


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Switch]:
    with running(tmp_path, password=OLD) as switch:
        yield switch


# --- as in the HOWTO ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["ips", "nps"])
def test_a_new_switch_gets_its_address_over_serial_and_the_rest_over_tcp(tmp_path: Path, variant: str) -> None:
    with running(tmp_path, variant=variant) as switch:
        address = ("--set-address", "192.0.2.219", "--set-mask", "24", "--set-gateway", "192.0.2.254")
        first = switch.run("setup", "serial", *address)
        assert first.returncode == 0, first.stderr
        settings = switch.settings()
        assert (settings["address"], settings["mask"], settings["gateway"]) == (
            "192.0.2.219",
            "255.255.255.0",
            "192.0.2.254",
        )
        rest = ("--name", "1=pete", "--name", "5=mclaws", "--new-password-file", switch.secret(NEW),
                "--disconnect-timeout", "5")  # fmt: skip
        second = switch.run("setup", "tcp", *rest)
        assert second.returncode == 0, second.stderr
        assert switch.names() == {1: "pete", 3: "web", 5: "mclaws"}
        assert switch.settings()["password"] == NEW
        assert switch.settings()["idle_timeout_ms"] == 300_000
        assert "plug 1 name         (none)   pete    changed" in second.stdout
        assert "system password     not set  set     changed" in second.stdout
        assert switch.all_left()


def test_a_second_run_has_nothing_to_do_and_changes_nothing(fresh: Switch) -> None:
    words = ("--name", "1=pete", "--new-password-file", fresh.secret(NEW), "--set-address", "192.0.2.219")
    assert fresh.run("setup", "serial", *words).returncode == 0
    before, changes = fresh.state.read_bytes(), fresh.changes()
    again = fresh.run("setup", "serial", *words)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing to do" in again.stdout
    words = ("--name", "1=pete", "--password-file", fresh.secret(NEW), "--json")
    assert json.loads(fresh.run("setup", "tcp", *words).stdout)["result"] == "nothing to do"
    assert fresh.state.read_bytes() == before and fresh.changes() == changes
    assert fresh.all_left()


def test_the_password_is_changed_and_proved_by_a_new_login(locked: Switch) -> None:
    words = ("--password-file", locked.secret(OLD), "--new-password-file", locked.secret(NEW), "--verbose")
    done = locked.run("setup", "tcp", *words)
    assert done.returncode == 0, done.stderr
    assert locked.settings()["password"] == NEW
    assert len(locked.emulator.events("login")) == 2
    # The same command again meets the password it has set itself.
    again = locked.run("setup", "tcp", *words)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    assert locked.settings()["password"] == NEW


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_a_dry_run_says_what_it_would_do_and_touches_nothing(locked: Switch, way: str) -> None:
    locked.run("setup", "tcp", "--password-file", locked.secret(OLD), "--name", "8=lamp")
    before = (locked.state.read_bytes(), locked.state.stat().st_mtime_ns, locked.changes())
    words = ("--password-file", locked.secret(OLD), "--new-password-file", locked.secret(NEW), "--name", "1=pete",
             "--disconnect-timeout", "5", "--dry-run")  # fmt: skip
    done = locked.run("setup", way, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("would change") == 3 and "nothing was changed" in done.stdout
    assert (locked.state.read_bytes(), locked.state.stat().st_mtime_ns, locked.changes()) == before
    assert locked.all_left()


@pytest.mark.parametrize("variant", ["ips", "nps"])
def test_command_confirmation_is_changed_only_when_asked(tmp_path: Path, variant: str) -> None:
    with running(tmp_path, variant=variant) as switch:
        assert switch.run("setup", "tcp", "--name", "1=pete").returncode == 0
        before = switch.settings()["confirm"]
        for word in ("off", "on", "off"):
            done = switch.run("setup", "tcp", "--confirmation", word)
            assert done.returncode == 0, done.stderr
            assert switch.settings()["confirm"] == (word == "on")
        assert before is True


def test_equal_names_are_for_two_supplies_only(fresh: Switch) -> None:
    done = fresh.run("setup", "tcp", "--name", "1=web")
    assert done.returncode == 3 and "plugs 1 and 3 would both be called web" in done.stderr
    assert fresh.run("setup", "tcp", "--name", "1=web", "--same-name").returncode == 0
    assert fresh.names() == {1: "web", 3: "web"}


# --- what would lock out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "words", "reason"),
    [
        ("tcp", ("--set-address", "192.0.2.219"), "--yes-network"),
        ("tcp", ("--set-address", "192.0.2.219", "--yes-network"), "it could not be reached again"),
        ("serial", ("--set-address", "192.0.2.255"), "broadcast"),
        ("serial", ("--set-address", "192.0.2.9", "--set-gateway", "192.0.3.1"), "not in the network"),
        ("serial", ("--disconnect-timeout", "none"), "for ever"),
        ("tcp", ("--name", "9=pete"), "no plug 9"),
        ("tcp", ("--name", "1=pete", "--name", "1=mclaws"), "two names"),
    ],
)
def test_what_would_lock_somebody_out_is_refused_before_anything_is_changed(
    fresh: Switch, way: str, words: tuple[str, ...], reason: str
) -> None:
    done = fresh.run("setup", way, "--name", "2=fan", *words)
    assert done.returncode == 3, done.stdout + done.stderr
    assert reason in done.stderr
    assert fresh.changes() == []
    assert fresh.all_left()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--name", "1=two words"), "begins with a letter"),
        (("--name", "1=" + "x" * 17), "17 characters"),
        (("--name", "1=5th"), "begins with a letter"),
        (("--name", "pete"), "NUMBER=NAME"),
        (("--set-address", "300.1.1.1"), "not an IPv4 address"),
        (("--set-mask", "255.0.255.0"), "not a network mask"),
        (("--disconnect-timeout", "soon"), "whole minutes"),
        (("--new-password-env", "NOT_THERE"), "no such variable"),
        ((), "nothing to set"),
    ],
)
def test_a_value_that_is_none_is_usage_and_nobody_is_called(
    fresh: Switch, words: tuple[str, ...], reason: str
) -> None:
    done = fresh.run("setup", "tcp", *words)
    assert done.returncode == 2 and reason in done.stderr
    assert fresh.emulator.events("connect") == []


@pytest.mark.parametrize(
    ("password", "reason"),
    [("", "empty"), ("x" * 17, "longer than the 16"), ("two words", "does not take"), ("a:b+c", "does not take"),
     ("p\u00e4ss", "does not take")],
)  # fmt: skip
def test_a_new_password_that_the_unit_cannot_take_is_refused(fresh: Switch, password: str, reason: str) -> None:
    path = fresh.folder / "new"
    path.write_text(password + "\n")
    path.chmod(0o600)
    done = fresh.run("setup", "tcp", "--new-password-file", str(path))
    assert done.returncode == 2 and reason in done.stderr
    assert len(password) < 5 or password not in done.stderr
    path.chmod(0o644)
    assert fresh.run("setup", "tcp", "--new-password-file", str(path)).returncode == 4


# --- in and out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_a_wrong_password_is_presented_once(locked: Switch, way: str) -> None:
    done = locked.run("setup", way, "--password-file", locked.secret(WRONG), "--name", "1=pete", "--verbose")
    assert done.returncode == 4, done.stderr
    assert "rejected the password" in done.stderr
    assert len(locked.emulator.events("login_refused")) == 1
    assert locked.changes() == []
    # A console waits for the next password, and meanwhile the network is refused: that must be known.
    assert ("the session could not be closed" in done.stderr) == (way == "serial")


def test_no_password_off_a_terminal_says_what_to_give(locked: Switch) -> None:
    done = locked.run("show", "tcp")
    assert done.returncode == 4 and "--password-file" in done.stderr


def test_somebody_else_in_the_session_is_said_with_the_remedy(locked: Switch) -> None:
    with socket.create_connection((locked.emulator.address, locked.emulator.port)):
        wait_for(lambda: locked.emulator.events("connect"))
        over_tcp = locked.run("show", "tcp", "--password-file", locked.secret(OLD), "--timeout", "3")
        over_serial = locked.run("show", "serial", "--password-file", locked.secret(OLD))
    assert over_tcp.returncode == 5 and "one session" in over_tcp.stderr and "--serial" in over_tcp.stderr
    assert over_serial.returncode == 5 and "does not wake while somebody has" in over_serial.stderr


def test_a_mute_switch_ends_with_the_timeout(locked: Switch) -> None:
    locked.emulator.fault("mute")
    done = locked.run("show", "tcp", "--password-file", locked.secret(OLD), "--timeout", "2")
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize("fault", ["confirm", "echo", "pager"])
def test_a_unit_that_behaves_oddly_is_set_up_all_the_same(locked: Switch, fault: str) -> None:
    locked.emulator.fault(fault)
    words = ("--password-file", locked.secret(OLD), "--name", "1=pete", "--disconnect-timeout", "5")
    done = locked.run("setup", "tcp", *words, "--verbose")
    assert done.returncode == 0, done.stderr
    assert locked.names()[1] == "pete"
    assert locked.all_left()


def test_garbage_is_a_clean_error(locked: Switch) -> None:
    locked.emulator.fault("garbage")
    done = locked.run("setup", "tcp", "--password-file", locked.secret(OLD), "--name", "1=pete", "--timeout", "20")
    assert done.returncode in (1, 7), done.stderr
    assert "Traceback" not in done.stderr and locked.changes() == []


def test_automated_mode_asks_for_no_password_so_a_new_one_is_not_believed(locked: Switch) -> None:
    """NPS-2HD guide, 6.5: no password security, and the menus are there for everybody."""
    locked.emulator.fault("automated")
    assert locked.run("setup", "tcp", "--name", "1=pete").returncode == 0
    done = locked.run("setup", "tcp", "--new-password-file", locked.secret(NEW))
    assert done.returncode == 1 and "stands open" in done.stderr
    assert "not confirmed" in done.stdout


def _commands(switch: Switch) -> list[str]:
    return [event["text"] for event in switch.emulator.events("command")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("way", ["tcp", "serial"])
def test_an_interruption_in_the_middle_of_a_change_leaves_the_menu_and_logs_out(
    locked: Switch, way: str, number: int
) -> None:
    """The signal comes when the unit has got a command: it stands in a menu then, or is about to."""
    for stage in ("/P 1", "/G"):
        for turn in range(5):  # a machine under load may be done before the signal is sent
            seen = len(locked.emulator.events("command"))
            words = ("--password-file", locked.secret(OLD), "--name", f"1=n{seen}", "--disconnect-timeout", "5")
            child = locked.start("setup", way, *words)
            wait_for(lambda seen=seen, stage=stage: stage in _commands(locked)[seen:])
            child.send_signal(number)
            out, err = child.communicate(timeout=PATIENCE_S)
            assert "Traceback" not in err
            assert locked.all_left()
            if child.returncode != 0 or turn == 4:
                break
        assert child.returncode == 130, out + err
        assert "interrupted" in err
    assert locked.run("show", way, "--password-file", locked.secret(OLD)).returncode == 0


# --- looking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["serial", "tcp"])
def test_show_prints_the_plug_table_as_text_and_json(locked: Switch, way: str) -> None:
    access = ("--password-file", locked.secret(OLD))
    text = locked.run("show", way, *access)
    assert text.returncode == 0 and "\n  3     web   ON\n" in text.stdout
    answer = json.loads(locked.run("show", way, *access, "--all", "--json").stdout)
    assert answer["plugs"][2] == {"plug": 3, "name": "web", "state": "ON"}
    assert answer["general"]["System Password"] == "set"
    assert answer["general"]["Disconnect Timeout"] == "2 Min"
    assert answer["network"]["Subnet Mask"] == "255.255.255.0"
    assert locked.all_left()


def test_a_reader_of_the_dialogue_that_went_away_does_not_leave_the_session_open(locked: Switch) -> None:
    """``show --verbose 2>&1 | head -1`` ended in the middle of the talk, with the console taken."""
    words = ["switch", "show", *locked.place("serial"), "--password-file", locked.secret(OLD), "--verbose"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=writer, timeout=60, check=False)
    finally:
        os.close(writer)
    assert done.returncode == 0
    assert locked.all_left()


def test_a_newer_unit_is_shown_and_not_set_up(tmp_path: Path) -> None:
    with running(tmp_path, password=OLD, variant="vmr", user="super") as switch:
        access = ("--username", "super", "--password-file", switch.secret(OLD))
        shown = switch.run("show", "tcp", *access, "--all")
        assert shown.returncode == 0 and "not known here" in shown.stderr
        done = switch.run("setup", "tcp", *access, "--name", "1=pete")
        assert done.returncode == 1 and "has other menus" in done.stderr
        assert switch.changes() == [] and switch.all_left()


# --- the address, over the connection that it carries ---------------------------------------------------


@pytest.fixture
def network() -> Iterator[list[str]]:
    with namespace("192.0.2.1", "192.0.2.218", "192.0.2.219") as enter:
        yield enter


@pytest.mark.root
@pytest.mark.parametrize(("new", "answers"), [("192.0.2.218", True), ("192.0.2.77", False)])
def test_an_address_changed_over_tcp_is_verified_by_a_login_at_the_new_one(
    tmp_path: Path, network: list[str], new: str, answers: bool
) -> None:
    with running(tmp_path, password=OLD, prefix=network, address="0.0.0.0") as switch:
        access = ("--password-file", switch.secret(OLD))
        switch.run("setup", "serial", *access, "--set-address", "192.0.2.219", "--set-mask", "24")
        switch.emulator.address = "192.0.2.219"
        words = ("--set-address", new, "--yes-network", "--reconnect", "60" if answers else "5")
        done = switch.run("setup", "tcp", *access, *words, prefix=network)
        assert switch.settings()["address"] == new
        if answers:
            assert done.returncode == 0, done.stderr
            assert len(switch.emulator.events("login")) == 3
        else:
            assert done.returncode == 5 and "192.0.2.219" in done.stderr and "still answers" in done.stderr
            assert "not confirmed" in done.stdout


def test_nodes_that_ip_security_denies_are_named(tmp_path: Path) -> None:
    with running(tmp_path) as switch:
        assert switch.run("setup", "tcp", "--name", "1=pete").returncode == 0
    state = json.loads((tmp_path / "state.json").read_text())
    state["settings"]["mask_addresses"][:2] = ["255.255.255.255", "127.0.0.1"]
    state["settings"]["mask_permits"][:2] = [False, True]
    (tmp_path / "state.json").write_text(json.dumps(state))
    with running(tmp_path) as switch:
        clients = ("--client", "127.0.0.1", "--client", "192.0.2.217")
        done = switch.run("setup", "tcp", "--name", "1=pete", *clients)
        assert done.returncode == 0 and done.stderr.count("denies") == 1 and "192.0.2.217" in done.stderr
        shown = json.loads(switch.run("show", "tcp", "--all", "--json").stdout)
        assert shown["ip_security"][0] == {"rule": 1, "mask": "255.255.255.255", "permit": False}
        assert "add --client" in switch.run("setup", "serial", "--set-address", "192.0.2.9").stderr
        assert switch.all_left()


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [
        (("--serial", "/dev/no-such-line"), 5, "No such file"),
        (("--serial", "/dev/null"), 5, "/dev/null"),
        (("--ip", "no-such-name.invalid"), 5, "not resolved"),
        (("--serial", "/dev/null", "--baud", "-9600"), 2, "is no speed of a serial line"),
        (("--ip", "127.0.0.1", "--port", "1"), 5, "one session"),
        ((), 2, "--serial"),
        (("--serial", "/dev/ttyS0", "--ip", "192.0.2.1"), 2, "not allowed with"),
    ],
)
def test_where_no_switch_is_it_is_said(place: tuple[str, ...], code: int, words: str) -> None:
    done = subprocess.run(
        [PROGRAM, "switch", "show", *place, "--timeout", "2"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == code and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
