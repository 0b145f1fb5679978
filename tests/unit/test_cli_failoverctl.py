"""bin/failoverctl as a process against a control socket: sentences and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from failover_kit.cli.failoverctl import COMMANDS, build_parser, parsed, style_of
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.events import Verb
from fake_daemon import FakeDaemon
from status_examples import SILENT, status_of

PROGRAM = str(Path(__file__).parents[2] / "bin" / "failoverctl")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    made = FakeDaemon(str(tmp_path / "control.sock"))
    made.answer = Answer(code=ExitCode.DONE, text="mclaws runs web; it took 1204 ms")
    made.start()
    yield made
    made.stop()


def ctl(daemon: FakeDaemon | None, *words: str) -> subprocess.CompletedProcess[str]:
    where = ["--socket", daemon.path] if daemon is not None else ["--socket", "/nonexistent/control.sock"]
    return subprocess.run(
        [PROGRAM, *where, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def test_status_prints_the_state_and_exits_by_it(daemon: FakeDaemon) -> None:
    done = ctl(daemon, "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("  cluster  pete + mclaws  HEALTHY\n")
    assert "\033" not in done.stdout
    daemon.status = status_of(problems=("the journal cannot be written",))
    assert ctl(daemon, "status").returncode == 1
    daemon.status = status_of(SILENT)
    assert ctl(daemon, "status").returncode == 2


def test_status_json_is_for_scripts(daemon: FakeDaemon) -> None:
    done = ctl(daemon, "status", "--json")
    status = json.loads(done.stdout)
    group = status["view"]["groups"][0]
    assert (group["name"], group["state"], group["right"]) == ("web", "started", 4)
    assert status["view"]["health"] == "healthy"


def test_watch_goes_on_until_the_reader_has_enough(daemon: FakeDaemon) -> None:
    with subprocess.Popen(
        [PROGRAM, "--socket", daemon.path, "status", "--watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as watching:
        assert watching.stdout is not None and watching.stderr is not None
        for _ in range(3):
            assert json.loads(watching.stdout.readline())["view"]["node"] == "pete"
        watching.stdout.close()
        assert watching.stderr.read() == b""
        assert watching.wait(60) == 1


@pytest.mark.parametrize("code", [ExitCode.DONE, ExitCode.FAILED, ExitCode.REFUSED, ExitCode.TIMED_OUT])
def test_an_order_prints_its_outcome_and_exits_by_it(daemon: FakeDaemon, code: ExitCode) -> None:
    daemon.answer = Answer(code=code, text="a sentence")
    done = ctl(daemon, "standby", "web")
    assert done.returncode == code.value
    expected = ("a sentence\n", "") if code is ExitCode.DONE else ("", "failoverctl: a sentence\n")
    assert (done.stdout, done.stderr) == expected


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("standby",), (Verb.STANDBY, (), "")),
        (("maintenance", "on"), (Verb.MAINTENANCE_ON, (), "")),
        (("maintenance", "off"), (Verb.MAINTENANCE_OFF, (), "")),
        (("maintenance", "off", "--without", "Mclaws"), (Verb.MAINTENANCE_OFF, (), "mclaws")),
        (("takeover", "web", "mail"), (Verb.TAKEOVER, ("web", "mail"), "")),
        (("fence", "Mclaws", "--yes"), (Verb.FENCE, (), "mclaws")),
        (("confirm-dead", "mclaws", "--yes"), (Verb.CONFIRM_DEAD, (), "mclaws")),
    ],
)
def test_each_verb_gives_its_order(daemon: FakeDaemon, words: tuple[str, ...], order: object) -> None:
    assert ctl(daemon, *words).returncode == 0
    assert daemon.orders == [order]


def test_a_limit_ends_the_wait_and_not_the_order(daemon: FakeDaemon) -> None:
    daemon.answer_at_once = False
    done = ctl(daemon, "standby", "--timeout", "0.01")
    assert done.returncode == 7
    assert "goes on" in done.stderr
    daemon.open_gate()
    assert daemon.finished.wait(60)


@pytest.mark.parametrize("verb", ["fence", "confirm-dead"])
def test_grave_orders_need_yes_off_a_terminal(daemon: FakeDaemon, verb: str) -> None:
    done = ctl(daemon, verb, "mclaws")
    assert done.returncode == 2
    assert "add --yes" in done.stderr and "nothing was done" in done.stderr
    assert daemon.orders == []


@pytest.mark.parametrize(
    ("verb", "typed", "orders"),
    [("fence", "mclaws", 1), ("confirm-dead", "mclaws", 1), ("fence", "yes", 0), ("confirm-dead", "", 0)],
)
def test_grave_orders_ask_on_a_terminal(daemon: FakeDaemon, verb: str, typed: str, orders: int) -> None:
    daemon.status = status_of(SILENT)
    child = pexpect.spawn(
        PROGRAM, ["--socket", daemon.path, verb, "mclaws"], encoding="utf-8", timeout=60, dimensions=(40, 100)
    )
    try:
        child.expect("NO-SERVICE")
        child.expect("plug 2 of benjamin")
        child.expect("the\\s+data\\s+is\\s+lost|cuts the power of mclaws")
        child.expect_exact("Type the node's name (mclaws) to go on: ")
        child.sendline(typed)
        child.expect_exact("it took 1204 ms" if orders else "nothing was done")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == (0 if orders else 2)
    assert len(daemon.orders) == orders


def test_a_wrong_node_is_not_asked_about(daemon: FakeDaemon) -> None:
    daemon.answer = Answer(code=ExitCode.USAGE, text="no node 'mcclaws'; the peer is mclaws")
    child = pexpect.spawn(PROGRAM, ["--socket", daemon.path, "fence", "mcclaws"], encoding="utf-8", timeout=60)
    child.expect_exact("the peer is mclaws")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


def test_colour_is_for_terminals_and_no_color_is_obeyed(daemon: FakeDaemon) -> None:
    for environment, painted in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        child = pexpect.spawn(
            PROGRAM, ["--socket", daemon.path, "status"], encoding="utf-8", timeout=60,
            env={**os.environ, **environment, "TERM": "xterm"},
        )  # fmt: skip
        text = child.read()
        child.close()
        assert "HEALTHY" in text
        assert ("\033[32m" in text) is painted


def test_no_daemon_is_exit_5_for_every_verb() -> None:
    for words in (("status",), ("status", "--watch"), ("standby",), ("fence", "mclaws", "--yes")):
        done = ctl(None, *words)
        assert done.returncode == 5
        assert "failoverd does not run on this node" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("explode",),
        ("fence",),
        ("status", "x"),
        *(("standby", "--timeout", limit) for limit in ("-1", "0", "nan", "inf", "x")),
        ("maintenance",),
        ("maintenance", "on", "--without", "mclaws"),
    ],
)
def test_usage_is_exit_2(words: tuple[str, ...]) -> None:
    done = ctl(None, *words)
    assert done.returncode == 2
    assert "usage: failoverctl" in done.stderr


def test_every_verb_explains_itself() -> None:
    helped = build_parser().format_help()
    for command in COMMANDS:
        assert command.name in helped and command.explanation
        done = ctl(None, command.name, "--help")
        assert done.returncode == 0
        assert " ".join(command.explanation.split()) in " ".join(done.stdout.split())


@pytest.mark.parametrize("verb", ["budget", "check", "export-cib", "init"])
def test_the_nearer_directory_of_the_files_counts(verb: str) -> None:
    assert parsed([verb]).config_dir == "/etc/ha.d"
    assert parsed([verb, "--config-dir", "/b"]).config_dir == "/b"
    # Who says both means the nearer one, also when that is the default.
    assert parsed(["--config-dir", "/a", verb, "--config-dir", "/etc/ha.d"]).config_dir == "/etc/ha.d"


def test_every_verb_that_has_the_option_takes_the_one_before_it() -> None:
    having = [command.name for command in COMMANDS if "--config-dir" in ctl(None, command.name, "--help").stdout]
    assert having == ["budget", "check", "init", "export-cib"]
    for verb in having:
        assert parsed(["--config-dir", "/a", verb]).config_dir == "/a"
    done = ctl(None, "--config-dir", "/nonexistent/a", "export-cib")
    assert done.returncode == 6
    assert "not found in /nonexistent/a" in done.stderr


def test_a_directory_is_not_silently_forgotten() -> None:
    """standby would stop the groups of /etc/ha.d while somebody thinks of another pair."""
    done = ctl(None, "--config-dir", "/a", "standby")
    assert done.returncode == 2
    assert "standby reads none of the three files: leave --config-dir out" in done.stderr


def test_pipes_are_plain() -> None:
    with open(os.devnull) as stream:
        assert style_of(stream, "") == style_of(stream, "1")
        assert not style_of(stream, "").colour


# --- fence --test and fence --prove --------------------------------------------------------------------


def test_a_test_of_the_plugs_needs_no_word_and_prints_its_table(daemon: FakeDaemon) -> None:
    daemon.answer = Answer(code=ExitCode.FAILED, text="2 plugs were asked, 1 wrong\n  pete  level 1 ...")
    done = ctl(daemon, "fence", "--test")
    assert (done.returncode, done.stdout) == (1, "2 plugs were asked, 1 wrong\n  pete  level 1 ...\n")
    ctl(daemon, "fence", "--test", "Pete")
    assert (daemon.tests, daemon.orders) == (["", "pete"], [])
    assert "order failed: fence-test pete: 2 plugs were asked, 1 wrong; pete  level 1 ..." in daemon.said


def test_a_drill_needs_a_word_as_a_shot_does(daemon: FakeDaemon) -> None:
    done = ctl(daemon, "fence", "--prove", "mclaws")
    assert done.returncode == 2
    assert "nobody can be asked; add --yes" in done.stderr
    assert daemon.orders == []
    daemon.answer = Answer(code=ExitCode.REFUSED, text="mclaws is not cut: group web: the peer has it (started)")
    done = ctl(daemon, "fence", "--prove", "--yes", "mclaws")
    assert (done.returncode, done.stderr) == (3, f"failoverctl: {daemon.answer.text}\n")
    assert daemon.orders == [(Verb.PROVE, (), "mclaws")]


def test_fence_test_and_prove_are_not_ordered_together() -> None:
    assert ctl(None, "fence", "--test", "--prove", "mclaws").returncode == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("fence", "mclaws", "--timeout", "soon"), "argument --timeout: soon is no number of seconds"),
        (("explain", "--last", "all"), "argument --last: all is not 1 or more"),
        (("watch", "web", "--node", "a", "--interval", "x"), "argument --interval: x is no number of seconds"),
        (("watch", "web", "--node", "a", "--failures", "few"), "argument --failures: few is not from 1 to 1000"),
    ],
)
def test_a_word_in_place_of_a_number(words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Told in words, without a function's name in them."""
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err
