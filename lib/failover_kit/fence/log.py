"""Where a fence agent's words go: stderr, syslog and, when asked, a debug file.

Pacemaker reads stderr and looks for words in it (``timed out``, ``unrecognised action``), so the wording
of failures is fence-agents'. Whatever comes from a device is made printable first.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import syslog
import time
from typing import TextIO

from failover_kit.spec.syslogline import SyslogLines

# For a reader of stderr that is only slow. It is spent once, not once a line.
PATIENCE_MS = 200


class Log:
    """Lines as ``YYYY-mm-dd HH:MM:SS,mmm LEVEL: text``. ``debug`` needs ``verbose`` or a debug file."""

    def __init__(self, program: str, *, stderr: TextIO | None = None, to_syslog: bool = True) -> None:
        self._stderr = sys.stderr if stderr is None else stderr
        self._patience_ms = PATIENCE_MS
        self._quiet = False
        self._verbose = False
        self._file: TextIO | None = None
        self._syslog = SyslogLines(program, syslog.LOG_DAEMON) if to_syslog else None

    def configure(self, *, quiet: bool, verbose: bool, debug_file: str) -> None:
        """Apply the options. Raises OSError when the debug file cannot be opened.

        A symbolic link is not followed and others cannot read it (CVE-2008-4579 was a fence
        agent's predictable file in /tmp).
        """
        self._quiet = quiet
        self._verbose = verbose
        if debug_file:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self._file = os.fdopen(os.open(debug_file, flags, 0o600), "a", encoding="utf-8")

    def error(self, text: str) -> None:
        self._write("ERROR", text, shown=not self._quiet, priority=syslog.LOG_ERR)

    def warning(self, text: str) -> None:
        self._write("WARNING", text, shown=not self._quiet, priority=syslog.LOG_WARNING)

    def info(self, text: str) -> None:
        """For the record: syslog and the debug file; stderr, which the fencer shows as warnings, when verbose."""
        self._write("INFO", text, shown=self._verbose and not self._quiet, priority=syslog.LOG_INFO)

    def debug(self, text: str) -> None:
        self._write("DEBUG", text, shown=self._verbose and not self._quiet, priority=None)

    def close(self) -> None:
        if self._file is not None:
            # A full disk is met again here, by what could not be written before.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self._syslog is not None:
            self._syslog.close()

    def _write(self, level: str, text: str, *, shown: bool, priority: int | None) -> None:
        if not shown and self._file is None and priority is None:
            return
        now_ns = time.time_ns()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now_ns // 1_000_000_000))
        for line in text.splitlines() or [""]:
            entry = f"{stamp},{now_ns // 1_000_000 % 1000:03d} {level}: {printable(line)}\n"
            if shown and self._stderr_takes():
                _put(self._stderr, entry)
            if self._file is not None:
                _put(self._file, entry)
            if self._syslog is not None and priority is not None:
                self._syslog.send(priority, printable(line))

    def _stderr_takes(self) -> bool:
        """Whether a line to stderr would not block: whoever started us may wait for our end, and read only then."""
        try:
            poller = select.poll()
            poller.register(self._stderr.fileno(), select.POLLOUT)
        except (OSError, ValueError):
            return True  # no descriptor: text in memory
        if poller.poll(self._patience_ms):
            return True
        self._patience_ms = 0
        return False


def _put(stream: TextIO, entry: str) -> None:
    """Write and flush; a reader that went away or a full disk must not stop a fence operation."""
    with contextlib.suppress(OSError, ValueError):
        stream.write(entry)
        stream.flush()


def printable(text: str) -> str:
    """``text`` without control characters: a device must not be able to draw on a terminal."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
