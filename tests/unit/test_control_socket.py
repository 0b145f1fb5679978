"""The control socket with a real server and the real client: outcomes, refusals, clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import status_examples
from failover_kit.manager import client, control
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import Answer, ControlError, Request
from failover_kit.manager.control import ControlServer
from failover_kit.manager.events import Verb
from failover_kit.manager.status import Status
from fake_daemon import FakeDaemon

LIB = str(Path(__file__).parents[2] / "lib")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    made = FakeDaemon(str(tmp_path / "run" / "control.sock"))
    made.start()
    yield made
    made.stop()


def raw(path: str, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(data)
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer


def test_status_comes_as_it_was_made(daemon: FakeDaemon) -> None:
    assert client.status(daemon.path) == daemon.status
    plain = raw(daemon.path, b'{"verb":"status"}\n')
    assert plain["status"]["view"]["groups"][0]["state"] == "started"


def test_an_order_is_answered_with_its_real_outcome(daemon: FakeDaemon) -> None:
    answer = client.order(daemon.path, Request(verb="standby", groups=("web",)))
    assert answer == Answer(code=ExitCode.REFUSED, text="group web stays: mclaws is silent")
    assert daemon.orders == [(Verb.STANDBY, ("web",), "")]
    name = Path("/proc/self/comm").read_text().strip()
    me = daemon.by[0]
    assert re.sub(r"login uid \d+, ", "", me) == f"uid {os.getuid()}, pid {os.getpid()}, {name}"
    assert daemon.said == [
        f"order: standby web ({me})",
        "order refused: standby web: group web stays: mclaws is silent",
    ]


def test_an_order_goes_on_when_its_client_waits_no_longer(daemon: FakeDaemon) -> None:
    daemon.answer_at_once = False
    answer = client.order(daemon.path, Request(verb="fence", target="mclaws", timeout_ms=1))
    assert answer.code is ExitCode.TIMED_OUT
    assert "goes on" in answer.text
    daemon.open_gate()
    assert daemon.finished.wait(60)


def test_an_order_goes_on_when_its_client_goes_away(daemon: FakeDaemon) -> None:
    daemon.answer_at_once = False
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(daemon.path)
        connection.sendall(b'{"verb":"takeover"}\n')
    daemon.open_gate()
    assert daemon.finished.wait(60)


def test_watch_goes_on_and_on(daemon: FakeDaemon) -> None:
    seen: list[Status] = []
    for status in client.watch(daemon.path):
        seen.append(status)
        if len(seen) == 3:
            daemon.status = status_examples.status_of(status_examples.SILENT)
        if status.view.health != "healthy":
            break
    assert len(seen) >= 4


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello\n", "no line of JSON"),
        (b"[]\n", "not an object"),
        (b'{"verb":"standby","groups":"web"}\n', "not a list"),
        (b'{"verb":"standby","force":true}\n', "force"),
        (b'{"verb":"standby","timeout_ms":-1}\n', "below 0"),
        (b"x" * 40_000 + b"\n", "cannot be read"),
        (b'{"verb":"explode"}\n', "does not know 'explode'"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(daemon: FakeDaemon, line: bytes, reason: str) -> None:
    reply = raw(daemon.path, line)["reply"]
    assert reply["code"] == ExitCode.USAGE.value
    assert reason in reply["text"]
    assert daemon.orders == []


def test_the_socket_is_for_root_only(daemon: FakeDaemon) -> None:
    assert os.stat(daemon.path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(daemon.path)).st_mode & 0o077 == 0


AS_NOBODY = """
import os, sys
from failover_kit.manager.client import ControlError, status
os.setgid(65534); os.setuid(65534)
try:
    status(sys.argv[1])
except ControlError as error:
    print(error.code.value, error)
"""


def test_a_refusal_arrives_although_the_request_was_not_read(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing over unread bytes would reset the connection and throw the reply away."""
    monkeypatch.setattr(control, "_peer_of", lambda writer: (1, 65534))
    for size in (10, 300_000):
        assert raw(daemon.path, b"x" * size + b"\n")["reply"]["code"] == ExitCode.PERMISSION.value


@pytest.mark.root
def test_another_user_is_refused_by_file_mode_and_by_credentials() -> None:
    with tempfile.TemporaryDirectory(prefix="fkctl") as name:
        os.chmod(name, 0o755)
        daemon = FakeDaemon(os.path.join(name, "control.sock"))
        daemon.start()

        def ask() -> str:
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, daemon.path],
                env={"PYTHONPATH": LIB}, capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            return done.stdout

        try:
            assert ask().startswith("4 no permission")
            os.chmod(daemon.path, 0o666)
            assert ask() == "4 only root may talk to failoverd\n"
            assert daemon.orders == []
        finally:
            daemon.stop()


def test_one_client_too_many_is_told_so(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CLIENT_LIMIT", 1)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(daemon.path)
        assert "clients already" in raw(daemon.path, b'{"verb":"status"}\n')["reply"]["text"]


def test_a_client_that_says_nothing_is_let_go(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CLIENT_TIMEOUT_MS", 1)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(daemon.path)
        assert connection.recv(1) == b""


def test_the_end_of_the_daemon_is_told(daemon: FakeDaemon) -> None:
    daemon.answer_at_once = False
    caught: list[ControlError] = []

    def ask() -> None:
        try:
            client.order(daemon.path, Request(verb="standby"))
        except ControlError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not daemon.orders:
        assert thread.is_alive()
    daemon.run(daemon.server.close())
    thread.join(60)
    assert [error.code for error in caught] == [ExitCode.NO_DAEMON]
    assert not os.path.exists(daemon.path)


def test_an_outcome_that_is_there_at_the_end_still_arrives(daemon: FakeDaemon) -> None:
    """Shutting down answers every order first; the answer must not be lost in the closing of the socket."""
    daemon.answer_at_once = False
    answers: list[Answer] = []
    thread = threading.Thread(
        target=lambda: answers.append(client.order(daemon.path, Request(verb="standby"))), daemon=True
    )
    thread.start()
    while not daemon.orders:
        assert thread.is_alive()

    async def end() -> None:
        daemon._gate.set()
        await daemon.server.close()

    daemon.run(end())
    thread.join(60)
    assert [answer.text for answer in answers] == ["group web stays: mclaws is silent"]


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with pytest.raises(ControlError) as caught:
        client.status(path)
    assert caught.value.code is ExitCode.NO_DAEMON
    made = FakeDaemon(path)
    made.start()
    assert client.status(path) == made.status
    made.stop()


def test_no_daemon_is_said_so(tmp_path: Path) -> None:
    for path in (tmp_path / "control.sock", tmp_path / "nothing" / "control.sock"):
        with pytest.raises(ControlError, match="failoverd does not run on this node") as caught:
            client.status(str(path))
        assert caught.value.code is ExitCode.NO_DAEMON


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(ControlError) as caught:
            client.status(path, timeout_ms=10)
        assert caught.value.code is ExitCode.TIMED_OUT


def test_a_path_that_is_too_long_is_a_sentence(tmp_path: Path) -> None:
    server = ControlServer(None, None, None, str(tmp_path / ("x" * 120)))  # type: ignore[arg-type]
    with pytest.raises(ControlError, match="too long for a socket"):
        asyncio.run(server.start())
