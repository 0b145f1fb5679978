"""The serial panel: joins the serial ports of two machines, or of one and the power switch, at any time.

A null-modem cable has no memory: what is sent to a port that is not joined, or whose machine is off or does not
read, is lost. So little is handed to QEMU at a time (a UART has 16 bytes), and what waits here longer than
STALE_S is dropped; else a guest that opens its port would be told old news from a socket's buffer. The speed of
the line is not kept.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import threading
import time
from collections import deque

CHUNK_BYTES = 16
READ_BYTES = 4096
QUEUE_BYTES = 8192
STALE_S = 1.0
SWITCH_END = "switch"


class PanelError(Exception):
    """A cable that cannot be; ``str()`` says why."""


class _End:
    """One socket of the panel. ``fd`` is our end of what is plugged in there."""

    def __init__(self, owner: socket.socket | None, fd: int) -> None:
        self.owner = owner
        self.fd = fd
        self.queue: deque[tuple[float, bytes]] = deque()
        self.queued = 0
        self.watched = 0

    def close(self) -> None:
        if self.owner is not None:
            self.owner.close()
        else:
            os.close(self.fd)


class Panel:
    """``names`` are the ends there are. Attach what is behind them as it comes and goes."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._ends: dict[str, _End] = {}
        self._peer: dict[str, str] = {}
        self._moved = dict.fromkeys(names, 0)
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        threading.Thread(target=self._serve, name="panel", daemon=True).start()

    # --- what hangs on it --------------------------------------------------------------------------------

    def attach(self, name: str, connection: socket.socket) -> None:
        """A machine has started; its port is at the far end of ``connection``, which now is the panel's."""
        connection.setblocking(False)
        # The least there is: writable means that QEMU has taken all but the last chunk.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self._put(name, _End(connection, connection.fileno()))

    def attach_terminal(self, name: str, path: str) -> None:
        """A device behind a pseudo terminal. Raises OSError."""
        self._put(name, _End(None, os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)))

    def detach(self, name: str) -> None:
        """The machine is gone; its cable stays."""
        with self._lock:
            self._drop(name)

    def _put(self, name: str, end: _End) -> None:
        with self._lock:
            self._drop(name)
            self._ends[name] = end
            self._selector.register(end.fd, selectors.EVENT_READ, name)
            end.watched = selectors.EVENT_READ
        self._wake()

    def _drop(self, name: str) -> None:
        end = self._ends.pop(name, None)
        if end is not None:
            self._selector.unregister(end.fd)
            end.close()

    # --- cables ------------------------------------------------------------------------------------------

    def join(self, first: str, second: str) -> None:
        """A cable between two ends; one that was there before is pulled out. Raises PanelError."""
        for name in (first, second):
            if name not in self._names:
                raise PanelError(f"the panel has no {name!r}; it has {', '.join(self._names)}")
        if first == second:
            raise PanelError(f"{first} cannot be joined to itself")
        with self._lock:
            self._pull(first)
            self._pull(second)
            self._peer[first], self._peer[second] = second, first

    def cut(self, *names: str) -> None:
        """Pull the cables out of these ends, or all of them."""
        with self._lock:
            for name in names or tuple(self._peer):
                self._pull(name)

    def _pull(self, name: str) -> None:
        other = self._peer.pop(name, None)
        for gone in (name, other):
            end = None if gone is None else self._ends.get(gone)
            if end is not None:
                end.queue.clear()
                end.queued = 0
        if other is not None:
            self._peer.pop(other, None)

    def view(self) -> dict[str, object]:
        """What is joined, what is plugged in, how many bytes came out of each end, and how many wait before one."""
        with self._lock:
            pairs = sorted({tuple(sorted(pair)) for pair in self._peer.items()})
            return {
                "joined": [list(pair) for pair in pairs],
                "attached": sorted(self._ends),
                "bytes_from": dict(self._moved),
                "waiting": {name: end.queued for name, end in self._ends.items()},
            }

    # --- the thread --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"x")

    def _serve(self) -> None:
        while True:
            for key, events in self._selector.select(STALE_S):
                with self._lock:
                    if key.data is None:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake_read, READ_BYTES)
                    else:
                        self._turn(key.data, key.fd, events)
            with self._lock:
                now = time.monotonic()
                for name, end in self._ends.items():
                    self._expire(end, now)
                    self._watch(name, end)

    def _turn(self, name: str, fd: int, events: int) -> None:
        end = self._ends.get(name)
        if end is None or end.fd != fd:
            return  # gone between select and here
        try:
            if events & selectors.EVENT_WRITE:
                self._send(end)
            if events & selectors.EVENT_READ:
                self._receive(name, end)
        except BlockingIOError:
            pass
        except OSError:
            self._drop(name)

    def _receive(self, name: str, end: _End) -> None:
        data = os.read(end.fd, READ_BYTES)
        if not data:
            self._drop(name)
            return
        self._moved[name] += len(data)
        other = self._ends.get(self._peer.get(name, ""))
        if other is None or other.queued + len(data) > QUEUE_BYTES:
            return
        other.queue.append((time.monotonic(), data))
        other.queued += len(data)

    def _send(self, end: _End) -> None:
        if not end.queue:
            return
        came, data = end.queue[0]
        sent = os.write(end.fd, data[:CHUNK_BYTES])
        end.queued -= sent
        if sent < len(data):
            end.queue[0] = (came, data[sent:])
        else:
            end.queue.popleft()

    @staticmethod
    def _expire(end: _End, now: float) -> None:
        while end.queue and now - end.queue[0][0] > STALE_S:
            end.queued -= len(end.queue.popleft()[1])

    def _watch(self, name: str, end: _End) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if end.queue else 0)
        if wanted != end.watched:
            self._selector.modify(end.fd, wanted, name)
            end.watched = wanted
