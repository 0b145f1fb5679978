"""Heartbeat's commands over failoverd: words, exit codes, and beside the real programs where those run alone."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import status_examples
from failover_kit.cli import clstatus, hbmove, heartbeat
from failover_kit.manager import store
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.events import Verb
from failover_kit.manager.records import ClusterView, GroupRecord, NodeRecord
from failover_kit.manager.states import GroupState, PeerState
from failover_kit.manager.status import LinkHealth
from fake_daemon import FakeDaemon

TOP = Path(__file__).resolve().parents[2]
REAL = Path("/usr/share/heartbeat")
WEB = status_examples.WEB
DB = dataclasses.replace(WEB, name="db", home="mclaws", state=GroupState.STOPPED, right=0, held=False)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has room for 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="fkhb-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def daemon(folder: Path) -> Iterator[FakeDaemon]:
    fake = FakeDaemon(str(folder / "control.sock"))
    fake.status = status_examples.status_of(dataclasses.replace(status_examples.HEALTHY, groups=(WEB, DB)))
    fake.answer = Answer(code=ExitCode.DONE, text="mclaws runs web")
    fake.start()
    yield fake
    fake.stop()


# --- hb_standby, hb_takeover ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said", "groups"),
    [
        ("", "all", ()), ("all", "all", ()), ("local", "local", ("web",)), ("foreign", "foreign", ("db",)),
        ("failback", "foreign", ("db",)),
    ],
)  # fmt: skip
def test_standby_names_the_groups_by_their_home(
    daemon: FakeDaemon, capsys: Captured, word: str, said: str, groups: tuple[str, ...]
) -> None:
    assert hbmove.main(["hb_standby", *([word] if word else [])], daemon.path) == 0
    assert daemon.orders == [(Verb.STANDBY, groups, "")]
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"[A-Z][a-z]{{2}} \d\d \d\d:\d\d:\d\d Going standby \[{said}\]\.\n", err)


def test_takeover_is_silent_when_it_succeeds(daemon: FakeDaemon, capsys: Captured) -> None:
    assert hbmove.main(["/x/hb_takeover", "local"], daemon.path) == 0
    assert daemon.orders == [(Verb.TAKEOVER, ("web",), "")]
    assert capsys.readouterr() == ("", "")


def test_a_word_without_groups_moves_nothing_at_all(daemon: FakeDaemon) -> None:
    daemon.status = status_examples.status_of()  # web alone, at home here
    assert hbmove.main(["hb_standby", "foreign"], daemon.path) == 0
    assert daemon.orders == []


@pytest.mark.parametrize("code", [ExitCode.FAILED, ExitCode.REFUSED, ExitCode.TIMED_OUT])
def test_a_failure_is_not_hidden(daemon: FakeDaemon, capsys: Captured, code: ExitCode) -> None:
    daemon.answer = Answer(code=code, text="group web stays: mclaws is silent")
    for name in ("hb_standby", "hb_takeover"):
        assert hbmove.main([name], daemon.path) == code.value
        assert f"{name}: group web stays: mclaws is silent\n" in capsys.readouterr().err


def test_without_a_daemon_nothing_was_done_and_the_code_says_so(folder: Path) -> None:
    for word in ("all", "local"):
        assert hbmove.main(["hb_takeover", word], str(folder / "none.sock")) == ExitCode.NO_DAEMON.value


@pytest.mark.parametrize("arguments", [["bogus"], ["all", "x"], ["--help"], ["-h"]])
@pytest.mark.parametrize("name", ["hb_standby", "hb_takeover"])
@pytest.mark.skipif(not REAL.exists(), reason="needs Debian's heartbeat")
def test_wrong_arguments_are_answered_as_by_the_real_program(name: str, arguments: list[str]) -> None:
    answers = [
        subprocess.run([str(path), *arguments], capture_output=True, text=True, timeout=60, check=False)
        for path in (REAL / name, TOP / "compat" / name)
    ]
    real, ours = ((a.returncode, *(t.replace(a.args[0], "X") for t in (a.stdout, a.stderr))) for a in answers)
    assert ours == real


# --- cl_status --------------------------------------------------------------------------------------------


def asked(daemon: FakeDaemon, capsys: Captured, *words: str) -> tuple[int, str]:
    code = clstatus.main(words, daemon.path, "/nonexistent")
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        ("hbstatus", 0, "Heartbeat is running on this machine.\n"),
        ("listnodes", 0, "mclaws\npete\n"),
        ("listnodes -n", 0, "mclaws\npete\n"),
        ("listnodes -p", 0, ""),
        ("nodestatus mclaws", 0, "active\n"),
        ("nodestatus pete -m", 0, "The cluster node pete is active\n"),
        ("nodestatus", 11, ""),
        ("nodestatus nobody", 11, ""),
        ("nodetype mclaws", 0, "normal\n"),
        ("nodeweight pete", 0, "100\n"),
        ("nodesite pete", 13, ""),
        ("listhblinks mclaws", 0, "\tttyS0\n\teth1\n"),
        ("listhblinks -v mclaws", 0, "\tttyS0\tup\n\teth1\tup\n"),
        ("hblinkstatus mclaws eth1", 0, "up\n"),
        ("hblinkstatus mclaws /dev/ttyS0", 0, "up\n"),
        ("hblinkstatus -m mclaws eth1", 0, "The node mclaws's heartbeat link eth1 is up\n"),
        ("hblinkstatus mclaws eth9", 13, ""),
        ("hblinkstatus mclaws", 11, ""),
        ("clientstatus pete ipfail", 1, "offline\n"),
        ("rscstatus", 0, "local\n"),
        ("rscstatus -m", 0, "This node is holding local resources.\n"),
        ("hbparameter -p hbversion", 0, "1\n"),
        ("hbparameter", 11, ""),
        ("rscstatus -x", 11, ""),
        ("bogus", 11, ""),
    ],
)
def test_questions_and_their_answers(
    daemon: FakeDaemon, capsys: Captured, words: str, code: int, out: str
) -> None:
    assert asked(daemon, capsys, *words.split()) == (code, out)


def test_the_long_hbstatus(daemon: FakeDaemon, capsys: Captured) -> None:
    code, out = asked(daemon, capsys, "hbstatus", "-v")
    assert code == 0
    assert out.splitlines() == [
        "version:\t1 (failover-kit)", 'managed by:\t"haresources"',
        "", "mclaws\tactive\t(nodetype: normal)", "\tttyS0\tup", "\teth1\tup",
        "", "pete\tactive\t(nodetype: normal)", "\tttyS0\tup", "\teth1\tup",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        ("listnodes", 0, "mclaws\npete\n192.0.2.1\n2001:db8::1\nprinters\n"),
        ("listnodes -p", 0, "192.0.2.1\n2001:db8::1\nprinters\n"),
        ("listnodes -n", 0, "mclaws\npete\n"),
        ("nodestatus 192.0.2.1", 0, "ping\n"),
        ("nodestatus printers", 1, "dead\n"),
        ("nodestatus 2001:db8::1", 1, "init\n"),
        ("nodestatus pete", 0, "active\n"),
        ("nodetype printers", 0, "ping\n"),
        ("nodetype -m printers", 0, "The node printers's type: ping\n"),
        ("nodetype pete", 0, "normal\n"),
        ("listhblinks printers", 11, ""),
    ],
)
def test_ping_nodes_are_nodes_of_their_own_type(
    daemon: FakeDaemon, capsys: Captured, words: str, code: int, out: str
) -> None:
    daemon.status = status_examples.status_of(status_examples.PINGS)
    assert asked(daemon, capsys, *words.split()) == (code, out)


@pytest.mark.parametrize("state", list(PeerState))
def test_silent_is_not_dead_and_only_proof_is(daemon: FakeDaemon, capsys: Captured, state: PeerState) -> None:
    daemon.status = status_examples.status_of(
        dataclasses.replace(status_examples.SILENT, peer_state=state.value)
    )
    code, out = asked(daemon, capsys, "nodestatus", "mclaws")
    words = {
        PeerState.UP: "active", PeerState.NEVER_HEARD: "init", PeerState.SILENT: "silent",
        PeerState.FENCING: "silent", PeerState.FENCED: "dead", PeerState.CONFIRMED_DEAD: "dead",
    }  # fmt: skip
    assert (code, out.strip()) == (0 if state is PeerState.UP else 1, words[state])


def test_a_link_that_carries_nothing_is_dead_and_exits_1(daemon: FakeDaemon, capsys: Captured) -> None:
    links = (LinkHealth(name="ttyS0", error="no carrier", refused=0), LinkHealth(name="eth1", error="", refused=0))
    daemon.status = status_examples.status_of(status_examples.SILENT, links=links)
    assert asked(daemon, capsys, "hblinkstatus", "mclaws", "eth1") == (1, "dead\n")
    assert asked(daemon, capsys, "hblinkstatus", "pete", "ttyS0") == (1, "dead\n")
    assert asked(daemon, capsys, "hblinkstatus", "pete", "eth1") == (0, "up\n")


def view(*groups: tuple[str, GroupState, bool]) -> ClusterView:
    made = tuple(
        dataclasses.replace(WEB, name=str(n), home=home, state=state, held=held)
        for n, (home, state, held) in enumerate(groups)
    )
    return dataclasses.replace(status_examples.HEALTHY, groups=made)


@pytest.mark.parametrize(
    ("groups", "word"),
    [
        ((), "none"),
        ((("pete", GroupState.STOPPED, False), ("mclaws", GroupState.STOPPED, False)), "none"),
        ((("pete", GroupState.STARTED, True), ("mclaws", GroupState.STOPPED, False)), "local"),
        ((("pete", GroupState.STOPPED, False), ("mclaws", GroupState.STARTED, True)), "foreign"),
        ((("pete", GroupState.STARTED, True), ("mclaws", GroupState.STARTED, True)), "all"),
        ((("pete", GroupState.STARTED, True), ("mclaws", GroupState.STARTING, True)), "transition"),
        ((("pete", GroupState.UNKNOWN, True),), "transition"),
        ((("pete", GroupState.FAILED, True),), "local"),
    ],
)
def test_what_this_node_holds(groups: tuple[tuple[str, GroupState, bool], ...], word: str) -> None:
    assert clstatus.held_word(view(*groups)) == word


def test_parameters_are_the_text_of_ha_cf_and_no_secrets(
    daemon: FakeDaemon, capsys: Captured, folder: Path
) -> None:
    (folder / "ha.cf").write_text(
        "keepalive 500ms\ndeadtime 4 # seconds\nnode pete\nnode mclaws\nfence_device s x passwd=hunter2\n"
    )

    def parameter(name: str, *more: str) -> tuple[int, str]:
        code = clstatus.main(["hbparameter", *more, "-p", name], daemon.path, str(folder))
        out, err = capsys.readouterr()
        assert "hunter2" not in out + err
        return code, out.strip()

    assert parameter("keepalive") == (0, "500ms")
    assert parameter("deadtime") == (0, "4")
    assert parameter("node") == (0, "mclaws")
    assert parameter("deadtime", "-m") == (0, "Heartbeat parameter deadtime's value: 4")
    assert parameter("warntime") == (1, "")
    assert parameter("fence_device") == (1, "")


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["--help", "hbstatus"]])
def test_help_is_no_error(capsys: Captured, words: list[str]) -> None:
    assert clstatus.main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: cl_status <sub-command> [<options>] [<parameters>]\n")
    for name in clstatus.COMMANDS:
        assert re.search(rf"^{name}\b", out, re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    ["hbstatus", "nodestatus", "nodestatus pete", "rscstatus", "listnodes", "hbparameter -p x", "bogus", "-help"],
)
@pytest.mark.skipif(shutil.which("cl_status") is None, reason="needs Debian's heartbeat")
def test_without_a_daemon_as_the_real_program(folder: Path, capsys: Captured, words: str) -> None:
    real = subprocess.run(["cl_status", *words.split()], capture_output=True, text=True, timeout=60, check=False)
    code = clstatus.main(words.split(), str(folder / "none.sock"))
    out, err = capsys.readouterr()
    assert (code, out) == (real.returncode, real.stdout)
    pattern = r"^\w+ \d+ [\d:]+ \S+ cl_status: \[\d+\]: "
    ours, theirs = ([re.sub(pattern, "", line) for line in text.splitlines()] for text in (err, real.stderr))
    assert [line.partition("REASON: ")[0] for line in ours] == [line.partition("REASON: ")[0] for line in theirs]


def test_a_daemon_that_does_not_answer_is_code_12(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(clstatus, "TIMEOUT_MS", 50)
    path = str(folder / "control.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        assert clstatus.main(["rscstatus"], path) == clstatus.TIMEOUT
        assert clstatus.main(["hbstatus"], path) == clstatus.TIMEOUT


# --- heartbeat --------------------------------------------------------------------------------------------


def test_report_of_a_running_daemon(daemon: FakeDaemon, capsys: Captured) -> None:
    assert heartbeat.main(["-s"], daemon.path) == 0
    host = os.uname().nodename
    assert capsys.readouterr().out == f"heartbeat OK [pid {os.getpid()} et al] is running on {host} [pete]...\n"


def test_report_of_a_stopped_one(folder: Path, capsys: Captured) -> None:
    assert heartbeat.main(["-s"], str(folder / "none.sock")) == 3
    assert capsys.readouterr().out == "heartbeat is stopped. No process\n"


def test_stopping_what_does_not_run_is_done(folder: Path) -> None:
    assert heartbeat.main(["-k"], str(folder / "none.sock")) == 0


LISTENER = """
import signal, socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("ready", flush=True)
while True: signal.pause()
"""


@pytest.mark.parametrize(
    ("record", "code", "said"),
    [
        (None, 0, ""),
        (NodeRecord(boot_id="b", groups=(GroupRecord(name="web"),)), 0, ""),
        (NodeRecord(boot_id="b", groups=(GroupRecord(name="web", held=True),)), 1, "was stopped: web"),
        (
            NodeRecord(boot_id="b", maintenance=1, agreed=True, groups=(GroupRecord(name="web", held=True),)),
            0, "left as they are: web",
        ),
    ],
)  # fmt: skip
def test_what_is_left_after_the_stop(
    capsys: Captured, record: NodeRecord | None, code: int, said: str
) -> None:
    assert heartbeat._judge_end(record) == code
    err = capsys.readouterr().err
    assert said in err and bool(err) == bool(said)


def test_stop_waits_until_the_daemon_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "peek", lambda: None)
    path = str(folder / "control.sock")
    command = ["/usr/bin/python3", "-ISc", LISTENER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        reaper = threading.Thread(target=child.wait)
        reaper.start()
        assert heartbeat.main(["-k"], path) == 0
        reaper.join(60)
        assert child.returncode == 0


def test_reload_never_pretends(daemon: FakeDaemon, folder: Path, capsys: Captured) -> None:
    assert heartbeat.main(["-r"], daemon.path) == 1
    assert "systemctl restart failoverd" in capsys.readouterr().err
    assert heartbeat.main(["-r"], str(folder / "none.sock")) == 1
    assert "systemctl start failoverd" in capsys.readouterr().err


def test_it_starts_nothing_and_knows_no_other_option(capsys: Captured) -> None:
    assert heartbeat.main([]) == 1
    assert "systemctl start failoverd" in capsys.readouterr().err
    for words in (["-x"], ["-s", "-k"], ["status"]):
        assert heartbeat.main(words) == 2
    assert heartbeat.main(["-V"]) == 0


@pytest.mark.parametrize("name", ["hb_standby", "hb_takeover", "cl_status", "heartbeat"])
def test_launchers_run_from_the_checkout_and_are_short(name: str) -> None:
    path = TOP / "compat" / name
    done = subprocess.run([str(path), "bogus"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2, 11)
    assert "Traceback" not in done.stderr
    assert len(path.read_text().splitlines()) < 40
