"""bin/failoverctl as a process against a control socket: sentences and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from failover_kit.cli import asjson
from failover_kit.cli.failoverctl import COMMANDS, build_parser, parsed
from failover_kit.cli.ordercmd import style_of
from failover_kit.manager import fencetest
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer, PlugReading
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


# --- documents for scripts -----------------------------------------------------------------------------


def document(daemon: FakeDaemon | None, *words: str) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """The one document on stdout; it tells the exit code of its command."""
    done = ctl(daemon, *words, "--json")
    told = json.loads(done.stdout)
    assert told["code"] == done.returncode
    assert told["outcome"] == asjson.outcome_word(ExitCode(done.returncode))
    return told, done


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (("standby", "web"), "standby"),
        (("takeover", "web"), "takeover"),
        (("maintenance", "on"), "maintenance-on"),
        (("maintenance", "off"), "maintenance-off"),
        (("confirm-dead", "Mclaws", "--yes"), "confirm-dead"),
        (("fence", "Mclaws", "--yes"), "fence"),
        (("fence", "--prove", "Mclaws", "--yes"), "prove"),
        (("fence", "--test"), "fence-test"),
    ],
)
def test_an_order_is_one_document_of_the_declared_keys(
    daemon: FakeDaemon, words: tuple[str, ...], verb: str
) -> None:
    told, done = document(daemon, *words)
    declared = asjson.FENCE if words[0] == "fence" else asjson.ORDER
    assert list(told) == [name for name, _ in declared.keys]
    assert (told["verb"], told["text"]) == (verb, "mclaws runs web; it took 1204 ms")
    assert told["groups"] == (["web"] if "web" in words else [])
    assert told["node"] == ("mclaws" if "Mclaws" in words else "")
    assert done.stderr == ""


def test_a_document_comes_whatever_the_outcome(daemon: FakeDaemon) -> None:
    daemon.answer = Answer(code=ExitCode.REFUSED, text="group web stays")
    told, done = document(daemon, "standby")
    assert (told["outcome"], done.stderr) == ("refused", "failoverctl: group web stays\n")
    told, _ = document(None, "standby")
    assert told["outcome"] == "no-daemon"
    told, _ = document(daemon, "fence", "mclaws")
    assert told["outcome"] == "usage" and "add --yes" in str(told["text"])
    told, _ = document(daemon, "fence")
    assert told["outcome"] == "usage" and told["plugs"] is None
    daemon.answer_at_once = False
    told, _ = document(daemon, "standby", "--timeout", "0.01")
    assert told["outcome"] == "timed-out"
    daemon.open_gate()
    assert daemon.finished.wait(60)


def test_a_test_of_the_plugs_tells_each_of_them(daemon: FakeDaemon) -> None:
    plug = PlugReading(
        node="pete", level=1, device="benjamin", plug="1", state="off", took_ms=120, problem="pete runs; look"
    )
    daemon.answer = fencetest.TestOutcome(ExitCode.FAILED, "1 plug was asked, 1 wrong\n  pete ...", (plug,))
    told, done = document(daemon, "fence", "--test")
    assert done.stderr == ""
    _, keys = asjson.FENCE.also[0]
    assert told["plugs"] == [
        {"node": "pete", "level": 1, "device": "benjamin", "plug": "1", "state": "off", "took_ms": 120,
         "problem": "pete runs; look"}
    ]  # fmt: skip
    assert [name for name, _ in keys] == list(told["plugs"][0])


def test_every_document_is_told_by_help_and_has_no_key_twice() -> None:
    for command in COMMANDS:
        if command.document is None:
            continue
        names = [name for name, _ in command.document.keys]
        assert len(names) == len(set(names))
        # argparse breaks lines behind a hyphen, too.
        said = "".join(ctl(None, command.name, "--help").stdout.split())
        for name, meaning in command.document.keys:
            assert "".join(f"{name} ({meaning})".split()) in said, (command.name, name)


@pytest.mark.parametrize("declared", asjson.DOCUMENTS, ids=lambda document: document.name)
def test_the_page_has_a_row_for_every_key_and_no_other(declared: asjson.Document) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scripting.md").read_text()
    section = page.partition(f"\n## {declared.name}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    written = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    names = [name for name, _ in declared.keys]
    if declared is asjson.FENCE:
        names = names[len(asjson.ORDER.keys) :]
    names += [name for _, keys in declared.also for name, _ in keys]
    if declared is asjson.WATCH:
        names += re.findall(r"[\w-]+", dict(declared.keys)["event"].replace(" or ", " "))
    assert written == names


def test_a_document_of_other_keys_than_the_declared_is_a_bug() -> None:
    with pytest.raises(ValueError, match="this is a bug"):
        asjson.ORDER.text({"verb": "standby"})
