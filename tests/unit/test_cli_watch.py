"""failoverctl watch as a program: options, the lock, --once; and the alert script as Mon calls it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from failover_kit.cli import asjson, failoverctl, watchcmd
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer
from failover_kit.watch.asking import AskError, Nodes, Target
from tls_authority import Authority, openssl_server

ALERT = Path(__file__).resolve().parents[2] / "etc" / "mon" / "failover.alert"
NODES = ("--node", "pete", "--node", "mclaws")


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., int]:
    def run(*words: str) -> int:
        return failoverctl.main(["watch", "web", "--lock", str(tmp_path / "lock"), "--interval", "0.001", *words])

    return run


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--node", "pete", "--probe", "file:/"), 2),
        (("--node", "pete", "--node", "pete", "--probe", "file:/"), 2),
        (NODES, 2),
        ((*NODES, "--probe", "smtp:pete"), 6),
        ((*NODES, "--probe", "file:/", "--witness", "gateway"), 6),
        ((*NODES, "--probe", "file:/", "--lock", "/nowhere/lock"), 1),
        ((*NODES, "--probe", "file:/", "--tls-insecure"), 2),
        ((*NODES, "--probe", "https://127.0.0.1/", "--tls-insecure", "--tls-name", "www"), 2),
        ((*NODES, "--probe", "https://127.0.0.1/", "--tls-ca", "/nowhere/ca.pem"), 6),
    ],
)
def test_what_cannot_be_watched(watch: Callable[..., int], words: tuple[str, ...], code: int, capsys) -> None:
    assert watch("--once", *words) == code
    assert capsys.readouterr().err.startswith("failoverctl: ")


@pytest.mark.parametrize(
    "words",
    [
        ("--node=-oProxyCommand=id", "--node", "pete"), (*NODES, "--failures", "0"), (*NODES, "--interval", "-1"),
        (*NODES, "--once", "--ask"), (*NODES, "--timeout", "nan"),
    ],
)  # fmt: skip
def test_options_that_are_refused(watch: Callable[..., int], words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        watch("--probe", "file:/", *words)
    assert ended.value.code == 2


def test_once_and_it_answers(watch: Callable[..., int], tmp_path: Path, capsys) -> None:
    (tmp_path / "served").write_text("x")
    assert watch("--once", *NODES, "--probe", f"file:{tmp_path}/served") == 0
    assert capsys.readouterr().out == ""


def test_once_and_it_does_not(watch: Callable[..., int], tmp_path: Path, capsys, monkeypatch) -> None:
    def nobody(_nodes: Nodes) -> Target:
        raise AskError(ExitCode.NO_DAEMON, "no node answers: pete is not reached")

    monkeypatch.setattr(Nodes, "target", nobody)
    assert watch("--once", *NODES, "--probe", f"file:{tmp_path}/served") == ExitCode.NO_DAEMON.value
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("group web: does not answer: file:")
    assert said[-1] == "group web: no takeover: no node answers: pete is not reached"


def test_each_sentence_is_a_line_of_json_for_scripts(
    watch: Callable[..., int], tmp_path: Path, capsys, monkeypatch
) -> None:
    def nobody(_nodes: Nodes) -> Target:
        raise AskError(ExitCode.NO_DAEMON, "no node answers: pete is not reached")

    monkeypatch.setattr(Nodes, "target", nobody)
    words = ("--once", "--json", "--failures", "2", *NODES)
    assert watch(*words, "--probe", f"file:{tmp_path}/served") == ExitCode.NO_DAEMON.value
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(list(line) == [name for name, _ in asjson.WATCH.keys] for line in lines)
    told = [(line["event"], line["code"], line["outcome"]) for line in lines]
    assert told == [
        ("failing", None, None),
        ("unknown", None, None),
        ("failing", None, None),
        ("not-asked", 5, "no-daemon"),
    ]
    assert all(line["group"] == "web" and line["wall_ms"] > 0 and line["text"] for line in lines)
    target, answer = Target("mclaws", "mclaws", "pete", 4), Answer(code=ExitCode.REFUSED, text="held off")
    monkeypatch.setattr(Nodes, "target", lambda _nodes: target)
    monkeypatch.setattr(Nodes, "take_over", lambda _nodes, _target: answer)
    assert watch("--ask", "--json", *NODES) == ExitCode.REFUSED.value
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["event"], line["outcome"]) for line in lines] == [("asks", None), ("outcome", "refused")]
    declared = dict(asjson.WATCH.keys)["event"]
    assert all(line["event"] in declared for line in lines)


def test_https_by_a_ca_of_its_own_and_without_checks(watch: Callable[..., int], tmp_path: Path, capsys) -> None:
    authority = Authority(tmp_path / "ca")
    with openssl_server(authority.signed("DNS:www.pair.test")) as port:
        looks = ("--once", *NODES, "--probe", f"https://127.0.0.1:{port}/")
        assert watch(*looks, "--tls-ca", authority.ca, "--tls-name", "www.pair.test") == 0
        assert capsys.readouterr().out == ""
        assert watch(*looks, "--tls-insecure") == 0
        assert "WARNING: --tls-insecure: no certificate is checked" in capsys.readouterr().out
        assert watch(*looks, "--tls-ca", authority.ca, "--dry-run", "--failures", "1") != 0
        assert "its certificate does not count: IP address mismatch" in capsys.readouterr().out


def test_one_watcher_a_group(watch: Callable[..., int], tmp_path: Path, capsys) -> None:
    held, why = watchcmd._lock(str(tmp_path / "lock"))
    assert why == ""
    try:
        assert watch("--once", *NODES, "--probe", "file:/") == ExitCode.FAILED.value
        assert "one watches this group already" in capsys.readouterr().err
    finally:
        os.close(held)


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    assert "cannot open" in watchcmd._lock(str(tmp_path / "lock"))[1]
    assert not (tmp_path / "elsewhere").exists()


# --- the alert ------------------------------------------------------------------------------------------


@pytest.fixture
def mon(tmp_path: Path) -> Callable[..., list[str]]:
    """Call the alert as Mon's call_alert() does; what it then calls, one word a line."""
    seen = tmp_path / "seen"
    program = tmp_path / "failoverctl"
    program.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done > {seen}\n')
    program.chmod(0o755)

    def call(*flags: str, kind: str = "failure") -> list[str]:
        added = ["-s", "nfs", "-g", "clusterb", "-h", "192.0.2.100 192.0.2.101", "-t", "1700000000", *flags]
        environment = {"PATH": "/usr/bin:/bin", "FAILOVERCTL": str(program), "MON_ALERTTYPE": kind}
        subprocess.run(
            [str(ALERT), *added, *NODES, "--witness", "ping:192.0.2.1", "Filesystem:e0.0"],
            env=environment, input=b"192.0.2.100\n", check=True,
        )  # fmt: skip
        return seen.read_text().splitlines() if seen.exists() else []

    return call


def test_a_failure_asks_with_what_stands_in_mon_cf(mon: Callable[..., list[str]]) -> None:
    assert mon() == ["watch", "--ask", "--syslog", *NODES, "--witness", "ping:192.0.2.1", "Filesystem:e0.0"]


@pytest.mark.parametrize(
    ("flags", "kind"),
    [(("-u",), "up"), ((), "startup"), (("-a",), "ack"), (("-D",), "disable"), (("-T",), "failure"), ((), "test")],
)
def test_anything_else_asks_nothing(mon: Callable[..., list[str]], flags: tuple[str, ...], kind: str) -> None:
    assert mon(*flags, kind=kind) == []
