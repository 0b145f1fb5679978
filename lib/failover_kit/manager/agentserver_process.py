"""The process of an agent server, as failoverd holds it: who is told what, and when it ends (design 0052)."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress


class ServerProcess:
    """A server, with our end of its pair. The lock: no number of a descriptor is used after it was closed."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self.control = control
        self.retired = ""
        """Why it is asked no more; "" while it may be."""
        self._process = process
        self._lock = threading.Lock()
        self._calls = 0  # asked and not over: without the server nobody would know how they end
        self._pidfd = os.pidfd_open(process.pid)  # a pid might be somebody else's by the time a signal goes out

    def ask(self, request: bytes, descriptors: Sequence[int]) -> bool:
        """Send one request, a call from now on; False when it cannot be sent at once. ``over`` must follow."""
        with self._lock:
            if self.retired:
                return False
            try:
                socket.send_fds(self.control, [request], list(descriptors), socket.MSG_DONTWAIT)
            except OSError:
                return False
            self._calls += 1
        return True

    def over(self) -> None:
        """Of one call nothing is waited for any more."""
        with self._lock:
            self._calls -= 1
            if self.retired and not self._calls:
                self._kill()

    def retire(self, why: str) -> None:
        """Ask it no more. It ends when the calls that it has begun are over: each would be lost with it."""
        with self._lock:
            self.retired = self.retired or why
            if not self._calls:
                self._kill()

    def end(self) -> None:
        """At once; whatever it was asked and was not told to do ends with its line."""
        with self._lock:
            self._kill()

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):  # ended, and collected by the kernel or somebody else
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self) -> int:
        """Until it has ended; its code. Nobody can be asked any more, then."""
        pidfd = select.poll()
        pidfd.register(self._pidfd, select.POLLIN)
        pidfd.poll()
        with self._lock:  # before it is collected: until then the pidfd stands for it
            os.close(self._pidfd)
            self._pidfd = -1
            self.control.close()
        return self._process.wait()
