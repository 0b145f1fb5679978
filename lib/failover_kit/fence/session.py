"""A session with a device: the dialogue of ``wti`` driven over a transport under one deadline.

The device has one session. While somebody else has it, a connection is refused or closed at once
(NPS manual, page 18), so connecting is tried again with growing, jittered pauses. What is never
tried again is a login: newer units lock out after rejected passwords. Whatever happens after a
login, the way out is ``/X,Y``; a session left open would block the next fencing for minutes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

from failover_kit.fence.screens import GroupRow, PlugRow
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer, Transport
from failover_kit.fence.wti import (
    DeviceBusy,
    Dialogue,
    Event,
    GroupsRead,
    LoggedIn,
    LoginDenied,
    Refused,
    StatusRead,
    Switched,
)
from failover_kit.spec.deadline import Deadline

FIRST_PAUSE_MS = 100
LONGEST_PAUSE_MS = 1000
# How long a device may take to say goodbye. It belongs to the operation's total: see devices.py.
GOODBYE_MS = 1000
# A line that cannot hang up has said goodbye when it is quiet for this long.
QUIET_MS = 300


class LoginFailed(Exception):
    """The device did not let us in, or could not be reached in time."""


class CommandRefused(Exception):
    """The device did not take a command, or its answer cannot be read."""


class DeviceSession(Protocol):
    """What an operation needs of a device, whatever the way to it.

    Each may raise LoginFailed (final), ConnectionLost (``open`` may help), NoAnswer, CommandRefused.
    ``close`` never raises.
    """

    def open(self) -> None: ...

    def status(self, answer_ms: int) -> tuple[PlugRow, ...]: ...

    def groups(self, answer_ms: int) -> tuple[GroupRow, ...]: ...

    def switch(self, plug: int, answer_ms: int, *, on: bool) -> None: ...

    def close(self) -> None: ...


Connector = Callable[[Deadline], Transport]
DialogueMaker = Callable[[], Dialogue]


class Session:
    """One device, kept connected as long as needed, under one ``deadline``.

    ``connect_ms`` bounds how long a refused or closed connection is tried again before the first login,
    ``login_ms`` how long one login may take, ``goodbye_ms`` how long leaving may take beyond the deadline,
    ``line_ms`` how long a screen may be under way on a slow line. ``hangs_up`` is False for a line that the
    device cannot close. ``debug`` gets each line of the dialogue, free of secrets.
    """

    def __init__(
        self,
        connect: Connector,
        make_dialogue: DialogueMaker,
        deadline: Deadline,
        *,
        connect_ms: int,
        login_ms: int,
        goodbye_ms: int,
        debug: Callable[[str], None],
        line_ms: int = 0,
        hangs_up: bool = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._make_dialogue = make_dialogue
        self._deadline = deadline
        self._connect_ms = connect_ms
        self._login_ms = login_ms
        self._goodbye_ms = goodbye_ms
        self._line_ms = line_ms
        self._hangs_up = hangs_up
        self._debug = debug
        self._sleep = sleep
        self._final = ""
        self._answered = True
        self._was_in = False
        self._transport: Transport | None = None
        self._dialogue = make_dialogue()
        self._events: list[Event] = []

    def open(self) -> None:
        """Log in. Raises LoginFailed; a taken session is waited for, a rejected password is final.

        What is left of an earlier connection is closed first: it could hold the device's one session.
        After a failed login every further call fails with the same words, without a connection.
        """
        self.close()
        if self._final:
            raise LoginFailed(self._final)
        # Who was in before has a device that is there, and may be at work on what it was told.
        until = self._deadline if self._was_in else self._deadline.at_most(self._connect_ms)
        pause_ms = FIRST_PAUSE_MS
        while True:
            try:
                self._log_in()
                return
            except LoginFailed as error:
                self._final = str(error)
                raise
            except (ConnectFailed, ConnectionLost) as error:
                self._drop()
                if isinstance(error, ConnectFailed) and not error.again:
                    self._final = str(error)
                    raise LoginFailed(self._final) from None
                if until.left_ms() <= pause_ms:
                    raise LoginFailed(f"{error}; tried for {until.total_ms / 1000:g} s") from None
                self._debug(f"{error}; trying again")
            self._sleep(random.SystemRandom().uniform(0.5, 1) * pause_ms / 1000)
            pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)

    def status(self, answer_ms: int) -> tuple[PlugRow, ...]:
        """Ask for the status screen and return its rows."""
        self._dialogue.request_status()
        event = self._await("the status screen", self._deadline.at_most(answer_ms + self._line_ms))
        if isinstance(event, StatusRead):
            return event.table
        raise CommandRefused(event.reason if isinstance(event, Refused) else repr(event))

    def groups(self, answer_ms: int) -> tuple[GroupRow, ...]:
        """Ask for the plug groups. CommandRefused on a unit that knows no groups."""
        self._dialogue.request_groups()
        event = self._await("the list of plug groups", self._deadline.at_most(answer_ms + self._line_ms))
        if isinstance(event, GroupsRead):
            return event.groups
        raise CommandRefused(event.reason if isinstance(event, Refused) else repr(event))

    def switch(self, plug: int, answer_ms: int, *, on: bool) -> None:
        """Tell the device to switch one plug and wait for its prompt. Proves nothing."""
        self._dialogue.request_switch(plug, on=on)
        event = self._await(
            "the prompt after switching (is its Boot/Seq. delay longer than power_timeout?)",
            self._deadline.at_most(answer_ms + self._line_ms),
        )
        if not isinstance(event, Switched):
            raise CommandRefused(event.reason if isinstance(event, Refused) else repr(event))

    def close(self) -> None:
        """Leave with ``/X,Y`` and read until the device hangs up. Never raises, never takes long."""
        transport = self._transport
        if transport is None:
            return
        until = Deadline(self._goodbye_ms)
        try:
            if self._dialogue.request_logout():
                self._flush(transport, until)
                # In the middle of a command the device may be silent for longer before it hears us.
                quiet_ms = QUIET_MS if self._answered and not self._hangs_up else self._goodbye_ms
                while not until.expired() and (data := transport.receive(until.at_most(quiet_ms))):
                    self._dialogue.receive(data)
                    self._flush(transport, until)
        except (ConnectionLost, NoAnswer):
            pass
        finally:
            self._trace()
            self._drop()

    def _log_in(self) -> None:
        until = self._deadline.at_most(self._login_ms)
        self._dialogue = self._make_dialogue()
        self._events = []
        self._transport = self._connect(until)
        try:
            event = self._await("the login", until)
        except NoAnswer as error:
            raise LoginFailed(f"Connection timed out: {error}") from None
        except ConnectionLost as error:
            if self._dialogue.password_sent:
                raise LoginFailed(f"{error}, after it got the password") from None
            raise
        if isinstance(event, LoggedIn):
            self._was_in = True
            return
        if isinstance(event, LoginDenied):
            raise LoginFailed(event.reason)
        raise ConnectionLost(event.reason if isinstance(event, DeviceBusy) else repr(event))

    def _await(self, what: str, until: Deadline) -> Event:
        """Run the dialogue until it has something to say."""
        transport = self._transport
        if transport is None:
            raise ConnectionLost("not connected")
        self._answered = False
        self._events += self._dialogue.receive(b"")
        while not self._events:
            self._flush(transport, until)
            # A device that never stops talking must not outlast the deadline either.
            data = None if until.expired() else transport.receive(until)
            if data is None:
                raise NoAnswer(f"{what} did not come within {until.total_ms / 1000:g} s")
            self._events += self._dialogue.receive(data) if data else self._dialogue.closed()
            self._trace()
            if not data and not self._events:
                raise ConnectionLost(f"the device closed the connection before {what}")
        self._flush(transport, until)
        self._answered = True
        return self._events.pop(0)

    def _flush(self, transport: Transport, until: Deadline) -> None:
        data = self._dialogue.take_output()
        self._trace()
        if data:
            transport.send(data, until)

    def _trace(self) -> None:
        for line in self._dialogue.take_trace():
            self._debug(line)

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None
