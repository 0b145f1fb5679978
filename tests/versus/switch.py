"""The power switch that both sides ask: the same relays, the same faults, a wire of its own to each node.

It is asked over a unix socket in the node's ``/etc/ha.d``, by ``programs/ask-switch``. It takes several sessions at
once and does what it was told also when the one who asked is gone by then, as a relay does.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from failover_kit.spec.deadline import boottime_ms

RELAY_S = 0.3
OFF_TIME_S = 1.0
MACHINE_BOOTS_S = 3.0


@dataclass(frozen=True)
class Pace:
    """How long a relay takes, and the time between off and on of a reset."""

    relay_s: float = RELAY_S
    off_time_s: float = OFF_TIME_S


class Mode(Enum):
    """What becomes of a request."""

    WORKS = "works"
    FAILS = "fails"  # an error, at once
    HANGS = "hangs"  # the session stays open and no answer ever comes


@dataclass(frozen=True)
class Asked:
    """One request, as it came in."""

    t_ms: int
    by: str
    order: str
    node: str


class Switch:
    """``power(node, on)`` moves a node's power; it is always called from the same thread."""

    def __init__(
        self, sockets: dict[str, str], power: Callable[[str, bool], None], *, boots: bool, pace: Pace | None = None
    ) -> None:
        """``sockets``: a path for each node. ``boots``: whether a machine starts when its power comes back."""
        self.mode = Mode.WORKS
        self.asked: list[Asked] = []
        self.answered: list[Asked] = []
        """The same requests, at the time of the answer."""
        self.failures: list[str] = []
        self._power = power
        self._boots = boots
        self._pace = pace or Pace()
        self._outlets = dict.fromkeys(sockets, True)
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._ended = threading.Event()
        self._open: list[socket.socket] = []
        self._listeners = [self._listen(name, path) for name, path in sockets.items()]
        self._worker = threading.Thread(target=self._relays, name="relays", daemon=True)
        self._worker.start()

    def close(self) -> None:
        """Hang up on everybody and move nothing any more."""
        self._ended.set()
        for one in [*self._listeners, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._work.put(None)
        self._worker.join()

    def shots(self, orders: Iterable[str] = ("off", "reset")) -> list[Asked]:
        """The requests that would take power away."""
        return [one for one in self.asked if one.order in orders]

    def _listen(self, name: str, path: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(8)
        threading.Thread(target=self._accept, args=(listener, name), name=f"switch-{name}", daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket, by: str) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._session, args=(connection, by), name="session", daemon=True).start()

    def _session(self, connection: socket.socket, by: str) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            order, _, node = stream.readline(256).decode("ascii", "replace").strip().partition(" ")
            self.asked.append(Asked(boottime_ms(), by, order, node))
            if self.mode is Mode.HANGS:
                self._ended.wait()
                return
            known = node in self._outlets and order in ("on", "off", "reset", "status")
            answer = self._do(order, node) if known and self.mode is Mode.WORKS else "error"
            self.answered.append(Asked(boottime_ms(), by, order, node))
            connection.sendall(answer.encode() + b"\n")

    def _do(self, order: str, node: str) -> str:
        if order == "status":
            return "on" if self._outlets[node] else "off"
        time.sleep(self._pace.relay_s)
        if order in ("off", "reset"):
            self._move(node, False)
        if order == "reset":
            time.sleep(self._pace.off_time_s)
        if order in ("on", "reset"):
            self._outlets[node] = True
            if self._boots:
                threading.Timer(MACHINE_BOOTS_S, self._move, (node, True)).start()
        return "done"

    def _move(self, node: str, on: bool) -> None:
        """In the one thread for it: a node dies with the thread that booted it (PR_SET_PDEATHSIG)."""
        done = threading.Event()

        def act() -> None:
            try:
                if self._outlets[node] or not on:
                    self._outlets[node] = on
                    self._power(node, on)
            except Exception as error:  # told to whoever runs the case; the relay lives on
                self.failures.append(f"{node} {'on' if on else 'off'}: {error}")
            finally:
                done.set()

        if not self._ended.is_set():
            self._work.put(act)
            done.wait(30)

    def _relays(self) -> None:
        while (act := self._work.get()) is not None:
            act()
