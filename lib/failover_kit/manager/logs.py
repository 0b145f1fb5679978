"""What failoverd says, one sentence a line, on stderr and optionally to syslog, never on the beat's path.

Writing happens on a thread of its own: whoever reads our stderr may stop reading, and a full pipe or
disk must not stop beats. What cannot be written in time is dropped and counted.
"""

from __future__ import annotations

import contextlib
import os
import syslog
import threading
import time

from failover_kit.manager.actions import Level
from failover_kit.manager.offloop import Worker

PENDING_LIMIT = 1_000
"""Lines waiting to be written; a daemon that says more than this at once has a loop."""

_PRIORITY = {Level.INFO: syslog.LOG_INFO, Level.WARNING: syslog.LOG_WARNING, Level.ALARM: syslog.LOG_CRIT}
_FLUSH_S = 2.0


class Log:
    """``prefixed``: systemd reads our stderr and takes ``<N>`` for the priority (sd-daemon(3))."""

    def __init__(self, *, prefixed: bool, use_syslog: bool = False, fd: int = 2) -> None:
        self._prefixed = prefixed
        self._syslog = use_syslog
        self._fd = fd
        self._worker = Worker("log")
        self._lock = threading.Lock()
        self._pending = 0
        self._dropped = 0

    def say(self, level: Level, text: str) -> None:
        """Never blocks and never raises."""
        with self._lock:
            if self._pending >= PENDING_LIMIT:
                self._dropped += 1
                return
            self._pending += 1
            dropped, self._dropped = self._dropped, 0
        if dropped:
            text = f"{text} ({dropped} lines before it were lost)"
        # A sentence is one line, whatever an agent said in it, and never an order to somebody's terminal.
        line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
        self._worker.submit(lambda: self._write(level, line))

    def _write(self, level: Level, line: str) -> None:
        if self._prefixed:
            head = f"<{_PRIORITY[level]}>"
        else:
            head = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} failoverd {level.value}: "
        try:
            with contextlib.suppress(OSError):  # nowhere left to complain
                os.write(self._fd, f"{head}{line}\n".encode("utf-8", "replace"))
            if self._syslog:
                # syslog(3) takes no lone surrogates: they stand for bytes that were no UTF-8 in an agent.
                plain = line.encode("utf-8", "replace").decode()
                syslog.syslog(_PRIORITY[level] | syslog.LOG_DAEMON, plain)
        finally:
            with self._lock:
                self._pending -= 1

    def flush(self) -> None:
        """Wait a bounded time until everything said is written."""
        done = threading.Event()
        self._worker.submit(done.set)
        done.wait(_FLUSH_S)


def systemd_reads_stderr() -> bool:
    """Whether stderr is the journal's stream: JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        facts = os.fstat(2)
    except OSError:
        return False
    return stream == f"{facts.st_dev}:{facts.st_ino}"
