"""Lines to syslog that never wait for their reader.

syslog(3) blocks for ever while the queue of /dev/log (unix(7): net.unix.max_dgram_qlen, 10 messages) is
full, which is what a logging daemon in trouble looks like: its disk is full, or gone. That is the
hour in which fencing must work. Here a line that cannot be left in time is dropped.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

PATH = "/dev/log"
# For a reader that is only slow. It is spent once in a process, not once a line.
PATIENCE_MS = 200


class SyslogLines:
    """``facility`` and ``priority`` are numbers of the module ``syslog``. The first line connects."""

    def __init__(self, tag: str, facility: int, *, path: str = PATH, patience_ms: int = PATIENCE_MS) -> None:
        self._tag = tag
        self._facility = facility
        self._path = path
        self._patience_ms = patience_ms
        self._socket: socket.socket | None = None
        self._end = b""
        self._given_up = False

    def send(self, priority: int, text: str) -> bool:
        """Leave one line, in the form that syslog(3) has on the socket (RFC 3164). Never raises.

        False when it was dropped.
        """
        if self._given_up:
            return False
        stamp = time.strftime("%b %e %H:%M:%S")
        line = f"<{self._facility | priority}>{stamp} {self._tag}[{os.getpid()}]: {text}"
        try:
            if self._socket is None:
                self._connect()
            self._leave(line.encode("utf-8", "replace") + self._end)
        except OSError:
            # No daemon, or one that has gone or does not read. Others get these words: stderr, the debug file.
            self._given_up = True
        return not self._given_up

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        import socket

        try:
            self._socket = _connected(socket.SOCK_DGRAM, self._path)
        except OSError:
            # Some daemons listen for a stream, where a NUL ends a line.
            self._socket = _connected(socket.SOCK_STREAM, self._path)
            self._end = b"\0"

    def _leave(self, data: bytes) -> None:
        import select

        assert self._socket is not None  # noqa: S101 - connected by the caller
        try:
            self._socket.send(data)
        except BlockingIOError:
            poller = select.poll()
            poller.register(self._socket, select.POLLOUT)
            patience_ms, self._patience_ms = self._patience_ms, 0
            poller.poll(patience_ms)
            self._socket.send(data)


def _connected(kind: int, path: str) -> socket.socket:
    import socket

    sock = socket.socket(socket.AF_UNIX, kind | socket.SOCK_CLOEXEC)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
