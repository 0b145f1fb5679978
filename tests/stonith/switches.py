"""An emulated switch on port 23 of a network namespace, for commands that know no other port."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run as run_command

ADDRESS = "127.0.8.1"
PASSWORD = "s3cret-Pa55"
PARAMETERS = {"ipaddr": ADDRESS, "password": PASSWORD}
TIMEOUT_MS = 60_000

_numbers = count()


def must(argv: Sequence[str]) -> None:
    result = run_command(argv, Deadline(TIMEOUT_MS))
    assert result.ok(), result.describe()


@contextmanager
def namespace() -> Iterator[list[str]]:
    """The words to put before a command so that it runs inside."""
    name = f"fk-stonith-{os.getpid()}-{next(_numbers)}"
    must(["ip", "netns", "add", name])
    try:
        must(["ip", "-n", name, "link", "set", "lo", "up"])
        yield ["ip", "netns", "exec", name]
    finally:
        must(["ip", "netns", "delete", name])


def emulator(
    folder: str,
    *,
    prefix: Sequence[str] = (),
    password: str | None = PASSWORD,
    variant: str = "ips",
    user: str = "",
    serial: bool = False,
) -> EmulatorProcess:
    """pete on plug 1, both supplies of mclaws on 2 and 5. On port 23 inside ``prefix``, else on a free one."""
    outlets = {
        1: OutletConfig("pete", delay_ms=50),
        2: OutletConfig("mclaws", delay_ms=50),
        5: OutletConfig("mclaws", delay_ms=50),
    }
    return EmulatorProcess(
        folder,
        outlets=outlets,
        password=password,
        address=ADDRESS,
        port=23 if prefix else 0,
        prefix=prefix,
        variant=variant,
        user=user,
        serial=serial,
    )


class ScriptedSwitch:
    """A switch that answers each line it gets from a table, for screens the emulator does not have.

    ``answers`` maps an upper-case command to the text sent after its echo. One client at a time.
    """

    def __init__(self, greeting: str, answers: dict[str, str]) -> None:
        self._greeting = greeting
        self._answers = answers
        self._listener = socket.create_server((ADDRESS, 0))
        self.port = self._listener.getsockname()[1]
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedSwitch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(60)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(30)
                client.sendall(self._greeting.encode())
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        data = b""
        while True:
            try:
                chunk = client.recv(4096)
            except OSError:
                return
            if not chunk:
                return
            data += chunk.replace(b"\n", b"")
            while b"\r" in data:
                raw, _, data = data.partition(b"\r")
                line = raw.decode("ascii", "replace").strip()
                self.lines.append(line)
                if line.upper().startswith("/X"):
                    return
                client.sendall((line + "\r\n" + self._answers.get(line.upper(), self._greeting)).encode())
