"""A line to syslog: in the form that syslog(3) has, and never in the way of what matters."""

from __future__ import annotations

import os
import re
import socket
import syslog
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.spec.syslogline import SyslogLines


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(60)
        yield listener, path


def test_a_line_has_priority_time_tag_and_process(daemon: tuple[socket.socket, str]) -> None:
    listener, path = daemon
    lines = SyslogLines("fence_wti", syslog.LOG_DAEMON, path=path)
    lines.send(syslog.LOG_ERR, "Failed: plug 1 reads ON")
    text = listener.recv(4096).decode()
    # As glibc writes it: <27> is daemon.err.
    expected = rf"<27>\w{{3}} [ \d]\d \d\d:\d\d:\d\d fence_wti\[{os.getpid()}\]: Failed: plug 1 reads ON"
    assert re.fullmatch(expected, text)
    lines.close()


def test_a_daemon_that_does_not_read_stops_nobody(daemon: tuple[socket.socket, str]) -> None:
    """syslog(3) would wait here until the end of days."""
    listener, path = daemon
    lines = SyslogLines("fence_wti", syslog.LOG_DAEMON, path=path, patience_ms=0)
    for _ in range(10_000):
        lines.send(syslog.LOG_ERR, "x")
    listener.setblocking(False)
    received = 0
    with pytest.raises(BlockingIOError):
        while listener.recv(4096):
            received += 1
    assert 0 < received < 10_000
    lines.close()


def test_no_daemon_is_no_error(tmp_path: Path) -> None:
    lines = SyslogLines("fence_wti", syslog.LOG_DAEMON, path=str(tmp_path / "nobody"))
    lines.send(syslog.LOG_ERR, "x")
    lines.close()


def test_a_daemon_that_listens_for_a_stream(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        lines = SyslogLines("fence_wti", syslog.LOG_DAEMON, path=path)
        lines.send(syslog.LOG_WARNING, "first")
        lines.send(syslog.LOG_WARNING, "second")
        lines.close()
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as file:
            texts = file.read().split(b"\0")
    assert [text.rpartition(b": ")[2] for text in texts] == [b"first", b"second", b""]
