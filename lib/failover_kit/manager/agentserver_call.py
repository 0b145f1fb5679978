"""One call that the agent server forked: to ``children`` what a Popen is, with one more way to end, *lost*."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from io import FileIO

REPORT_S = 10.0
"""From the end of an action to its exit code it takes a moment. After this the server is taken for hung."""

_WORD_BYTES = 500


class Forked:
    """One call that the server forked and that was told to go. To ``children`` it is what a Popen is."""

    def __init__(
        self, line: socket.socket, pidfd: int, streams: tuple[FileIO, FileIO], over: Callable[[], None]
    ) -> None:
        """``over`` is called once, when nobody waits for it any more."""
        self.stdout, self.stderr = streams
        self._over = over
        self.line = line
        self.pidfd = pidfd
        self.lost = ""
        """Why nobody will ever know how it ended; "" while somebody may."""
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None: it runs, or is lost."""
        if self._code is None and not self.lost and self.pidfd >= 0:
            try:
                word = self.line.recv(_WORD_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError:
                word = b""
            if word:
                self._code = int(word)
            else:
                self.lost = "was lost: the agent server ended before it said how the agent ended; it was killed"
        return self._code

    def give_up(self) -> None:
        """It has ended and the server does not say how."""
        if self.poll() is None and not self.lost:
            self.lost = f"was lost: it ended, and the agent server did not say how within {REPORT_S:g} s"

    def close(self) -> None:
        """Descriptors only; ``poll`` goes on to answer what it knew."""
        self.stdout.close()
        self.stderr.close()
        self.line.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
            self._over()
