"""What a watcher's key may say, and what a node answers."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from failover_kit.cli import failoverctl
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.manager.codec import CodecError
from failover_kit.manager.events import Terms, Verb
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, CommandTimeout
from failover_kit.watch.asking import AskError, Nodes, choose
from failover_kit.watch.gate import Question, Seen, WordsError, asker, parse_words, read_answer
from fake_daemon import FakeDaemon

HERE = Seen(node="pete", peer="mclaws", group="web", active="pete", epoch=4)
THERE = Seen(node="mclaws", peer="pete", group="web", active="pete", epoch=4)
BOTH = Seen(node="mclaws", peer="pete", group="web", active="mclaws", epoch=5)
LATER = Seen(node="mclaws", peer="pete", group="web", active="pete", epoch=6)
OTHERS = Seen(node="a", peer="b", group="web", active="a", epoch=4)
NOBODY = Seen(node="pete", peer="mclaws", group="web", active="", epoch=4)


# --- words ----------------------------------------------------------------------------------------------


def test_the_two_questions() -> None:
    assert parse_words("status web", ["web"]) == Question("web")
    assert parse_words("takeover web 12", ["nfs", "web"]) == Question("web", 12)


@pytest.mark.parametrize(
    "words",
    [
        "", "status", "status  web", "status web ", " status web", "status web\n", "takeover web", "takeover web 0",
        "takeover web 012", "takeover web -1", "takeover web +1", "takeover web 1.0", "takeover web ١",
        "takeover web " + "9" * 19, "standby web", "takeover web 4; reboot", "STATUS web", "status web\0",
        "status " + "w" * 300, "/bin/sh", "takeover web 4 5", "status $(id)", "status other",
    ],
)  # fmt: skip
def test_anything_else_is_refused(words: str) -> None:
    with pytest.raises(WordsError):
        parse_words(words, ["web"])


def test_random_words_never_get_through_and_never_break_it() -> None:
    rng = random.Random(37)
    pieces = ["status", "takeover", " ", "web", "4", "0", "\n", "\0", ";", "-", "é", "x" * 50, "  "]
    for _ in range(20_000):
        words = "".join(rng.choice(pieces) for _ in range(rng.randrange(9)))
        try:
            question = parse_words(words, ["web"])
        except WordsError:
            continue
        assert words == (f"takeover web {question.epoch}" if question.epoch else "status web")


def test_who_asks() -> None:
    assert asker("kokone", "192.0.2.9 50122 192.0.2.1 22") == "kokone (192.0.2.9)"
    assert asker("kokone", "2001:db8::9 1 2 3") == "kokone (2001:db8::9)"
    assert asker("kokone", "") == asker("kokone", "\x1b[31m 1") == "kokone (not over ssh)"


# --- answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{}", "[" * 5000, '{"seen": {}}', '{"reply": 3}', '{"reply": {"code": 99, "text": ""}}',
        '{"reply": {"code": 0, "text": "\\u001b[2J"}}', '{"seen": null, "reply": null}', "x" * 5000,
        json.dumps({"seen": {"node": "a", "peer": "b", "group": "web", "active": "a", "epoch": "4"}}),
        json.dumps({"seen": {"node": "a", "peer": "b", "group": "web", "active": "a", "epoch": True}}),
    ],
)  # fmt: skip
def test_answers_that_are_none(text: str) -> None:
    with pytest.raises(CodecError):
        read_answer(text)


def test_random_answers_never_break_it() -> None:
    rng = random.Random(38)
    good = json.dumps({"reply": {"code": 0, "text": "mclaws runs web"}})
    for _ in range(5_000):
        letters = list(good)
        for _ in range(rng.randrange(1, 4)):
            letters[rng.randrange(len(letters))] = chr(rng.randrange(256))
        try:
            assert isinstance(read_answer("".join(letters)), Answer)
        except CodecError:
            pass


# --- whom to ask ----------------------------------------------------------------------------------------


def test_the_node_that_does_not_have_it_is_asked() -> None:
    target = choose({"p.example": HERE, "m.example": THERE}, [])
    assert (target.destination, target.node, target.active, target.epoch) == ("m.example", "mclaws", "pete", 4)
    assert choose({"m.example": THERE}, ["pete is not reached"]).destination == "m.example"


@pytest.mark.parametrize(
    ("seen", "code", "words"),
    [
        ([], ExitCode.NO_DAEMON, "no node answers"),
        ([HERE], ExitCode.NO_DAEMON, "mclaws, which would take over, does not answer"),
        ([HERE, BOTH], ExitCode.REFUSED, "agree"),
        ([HERE, LATER], ExitCode.REFUSED, "agree"),
        ([NOBODY], ExitCode.REFUSED, "no node, or both"),
        ([HERE, OTHERS], ExitCode.CONFIGURATION, "not one pair"),
    ],
)
def test_nobody_is_asked(seen: list[Seen], code: ExitCode, words: str) -> None:
    with pytest.raises(AskError, match=words) as raised:
        choose({one.node: one for one in seen}, ["mclaws is not reached"])
    assert raised.value.code is code


class Ssh:
    """ssh, made here."""

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.argvs: list[Sequence[str]] = []

    def __call__(self, argv: Sequence[str], deadline: Deadline) -> CommandResult:
        self.argvs.append(argv)
        answer = self.answers[argv[-2]]
        if isinstance(answer, Exception):
            raise answer
        code, out, err = answer  # type: ignore[misc]
        return CommandResult(argv, code, out, err)


def seen_line(seen: Seen) -> str:
    from failover_kit.manager.codec import to_plain

    return json.dumps({"seen": to_plain(seen)})


def test_ssh_asks_no_person_and_accepts_no_stranger() -> None:
    ssh = Ssh(pete=(0, seen_line(HERE), ""), mclaws=(0, seen_line(THERE), ""))
    nodes = Nodes(["pete", "mclaws"], "web", config="/etc/watch/ssh", order_ms=1, execute=ssh)
    assert nodes.target().destination == "mclaws"
    argv = list(ssh.argvs[0])
    assert argv[0] == "ssh" and argv[-3:] == ["--", "pete", "status web"]
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes"):
        assert argv[argv.index(option) - 1] == "-o"
    assert argv[argv.index("-F") + 1] == "/etc/watch/ssh"


def test_a_node_that_is_not_reached_is_named_with_what_ssh_says() -> None:
    words = "ssh: connect to host pete port 22: No route to \x1b[2Jhost\n"
    ssh = Ssh(pete=(255, "", words), mclaws=(0, "", "a shell"))
    with pytest.raises(AskError) as raised:
        Nodes(["pete", "mclaws"], "web", config="", order_ms=1, execute=ssh).target()
    assert "pete is not reached: ssh: connect to host pete port 22: No route to ?[2Jhost" in str(raised.value)
    assert "mclaws is not reached" in str(raised.value)


def test_a_takeover_without_an_end() -> None:
    ssh = Ssh(mclaws=CommandTimeout("late"))
    nodes = Nodes(["pete", "mclaws"], "web", config="", order_ms=600_000, execute=ssh)
    with pytest.raises(AskError, match="no answer within 600 s; what was asked may go on") as raised:
        nodes.take_over(choose({"mclaws": THERE}, []))
    assert raised.value.code is ExitCode.TIMED_OUT


# --- the node's side ------------------------------------------------------------------------------------


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with tempfile.TemporaryDirectory(prefix="fkgate-") as folder:
        fake = FakeDaemon(str(Path(folder) / "s"))
        fake.start()
        yield fake
        fake.stop()


def gate(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: str) -> tuple[int, Any]:
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", words)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.9 50122 192.0.2.1 22")
    group = daemon.status.view.groups[0].name
    argv = ["--socket", daemon.path, "watch-gate", "--name", "kokone", "--hold-off", "300", group]
    code = failoverctl.main(argv)
    return code, json.loads(capsys.readouterr().out)


def test_status_tells_who_and_which_epoch_and_nothing_else(daemon: FakeDaemon, monkeypatch, capsys) -> None:
    view = daemon.status.view
    group = view.groups[0]
    code, plain = gate(daemon, monkeypatch, capsys, f"status {group.name}")
    assert code == 0 and daemon.orders == []
    active = view.node if group.right else view.peer
    epoch = max(group.right, group.peer_right)
    assert plain == {
        "seen": {"node": view.node, "peer": view.peer, "group": group.name, "active": active, "epoch": epoch}
    }


def test_a_takeover_is_an_order_on_terms(daemon: FakeDaemon, monkeypatch, capsys) -> None:
    group = daemon.status.view.groups[0].name
    daemon.answer = Answer(code=ExitCode.REFUSED, text="held off for another 20 s")
    code, plain = gate(daemon, monkeypatch, capsys, f"takeover {group} 12")
    assert code == ExitCode.REFUSED.value
    assert plain == {"reply": {"code": 3, "text": "held off for another 20 s"}}
    assert daemon.orders == [(Verb.TAKEOVER, (group,), "")]
    assert daemon.terms == [Terms(12, 300_000, "kokone (192.0.2.9)")]
    assert any("for kokone (192.0.2.9)" in line for line in daemon.said)


def test_an_order_of_an_operator_has_no_terms(daemon: FakeDaemon, capsys) -> None:
    failoverctl.main(["--socket", daemon.path, "takeover"])
    assert daemon.terms == [None]


def test_another_command_reaches_nothing(daemon: FakeDaemon, monkeypatch, capsys) -> None:
    code, plain = gate(daemon, monkeypatch, capsys, "confirm-dead pete --yes")
    assert code == ExitCode.USAGE.value and "not understood" in plain["reply"]["text"]
    assert daemon.orders == []


def test_no_failoverd(monkeypatch, capsys) -> None:
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", "status web")
    assert failoverctl.main(["--socket", "/nowhere", "watch-gate", "--name", "kokone", "web"]) == 5
    assert "failoverd does not run on this node" in json.loads(capsys.readouterr().out)["reply"]["text"]
