"""The emulator's diary: one JSON object per line, appended, times in ms of CLOCK_BOOTTIME.

    {"t_ms": 73212, "event": "command", "text": "/OFF 1,Y"}

Events: start, stop, connect, login, login_refused, denied (IP security), command, invalid_command,
invalid_plug, not_confirmed, queue_full, changed (a parameter, by its label), disconnect (with a reason), rest (a
request and its HTTP status), button, power_cycle, switching (a command was started), command_failed (why),
switched, switch_failed, stuck (the fault), fault, clear, not_saved (why). Passwords never appear, nor does
anything typed that is not one of the device's commands.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping

from failover_kit.spec.deadline import boottime_ms


class EventLog:
    """Appends to ``path``; without a path it writes nothing. Raises OSError when it cannot be opened."""

    def __init__(self, path: str | None) -> None:
        self._complained = False
        self._fd: int | None = None
        if path is not None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o640)

    def write(self, event: str, fields: Mapping[str, object]) -> None:
        """One line in one write(2). A full disk is reported once on stderr; the switch goes on."""
        if self._fd is None:
            return
        line = json.dumps({"t_ms": boottime_ms(), "event": event, **fields}) + "\n"
        try:
            os.write(self._fd, line.encode())
        except OSError as error:
            if not self._complained:
                self._complained = True
                print(f"wti-emulator: event log: {error.strerror}; events are lost", file=sys.stderr)

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
