"""Which plug table was printed after the last switching command, and which may be older. Pure.

A device may print a prompt too many (it took CR LF as two lines) or a status screen nobody asked for
(at login, after a command). Each makes its answers lag behind our commands, and a table read now
may have been printed before the last command: a plug in the pause of somebody's ``/BOOT`` reads OFF in it.
Two things tell a table of now:

- its header comes after the echo of the last ``/S`` we sent, where the device echoes; or
- every table that could be on its way when the last switching command was sent has come: one for the
  login, one for each command before it, and the one that the command itself may show.

As long as neither holds, the table is dropped and ``/S`` is sent again. So a lagging device costs one more
question and never gives an old answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from failover_kit.fence.screens import is_plug_header

STATUS = "/S"


def _typed(line: str) -> str:
    return line.strip().upper()


class Tally:
    """What was sent and what came back, over one session."""

    def __init__(self) -> None:
        # True once a command of ours came back as a line of its own.
        self.echoes = False
        self._command = ""
        self._switching = False
        self._echo_due = 0  # how often /S was sent and not echoed yet
        self._owed = 0  # at most so many plug tables may still come
        self._old = 0  # at most so many of them belong to the last switching command or to what was before it
        self._late = False  # the table just read was one of these

    def sent(self, command: str, *, switching: bool) -> None:
        """A command may bring one table: ``/S`` does, ``/SG`` may be taken for it, a switching one may show it."""
        self._command, self._switching = command, switching
        self._owed += 1
        if switching:
            self._old = self._owed
        if command == STATUS:
            self._echo_due += 1

    def may_come(self) -> None:
        """A table may come that no command asked for."""
        self._owed += 1

    def no_table(self) -> None:
        """The last command was answered with something else than a table."""
        self._owed = max(0, self._owed - 1)

    def line(self, line: str) -> None:
        """The device has sent a line."""
        typed = _typed(line)
        if self._command and typed == self._command:
            self.echoes = True
            if self._switching:
                # All that was before it has come; what may come is its own screen.
                self._owed = self._old = 1
        if typed == STATUS:
            self._echo_due = max(0, self._echo_due - 1)

    def table(self) -> None:
        """A chunk with a plug table is complete."""
        self._late = self._old > 0
        self._old = max(0, self._old - 1)
        self._owed = max(0, self._owed - 1)

    def is_old(self, lines: Sequence[str]) -> bool:
        """True when the table in this chunk, just counted, may have been printed before the last command's end."""
        header = next(at for at, line in enumerate(lines) if is_plug_header(line))
        echoed = self._echo_due == 0 and any(_typed(line) == STATUS for line in lines[:header])
        return self._late and not echoed
