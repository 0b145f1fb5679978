"""A session with a switch over TCP or its serial console: the steps of ``steps`` driven under deadlines.

The unit has one session (NPS-115 guide, page 18), and one left open keeps a cluster from fencing. So there is one
way out for every end, ^C included: out of the menu, ``/X,Y``. Where no prompt can be reached the line is dropped
and ``leave`` says so. A password is presented once.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from failover_kit.fence.secret import Secret
from failover_kit.fence.serialline import connect_serial
from failover_kit.fence.tcp import TcpTransport, open_socket
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer, Transport
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.switch import steps
from failover_kit.switch.steps import AskPassword, Entered, Escape, Hidden, Line, Listen, Request, Step
from failover_kit.switch.talk import LONG_SILENCE_MS, Kind, Screen, Talk

# For how long a unit must be silent before its screen is looked at: 9600 baud bring a character a millisecond, and
# a USB adapter holds them back for 16 ms. A screen that is not complete then is waited for further.
QUIET_MS = 120
CONNECT_MS = 10_000
ANSWER_MS = 15_000
GOODBYE_MS = 8_000
# A console does not hang up: after this time without a question it has logged us out.
SERIAL_GOODBYE_MS = 1_000
FIRST_PAUSE_MS, LONGEST_PAUSE_MS = 200, 1000
TELNET_PORT = 23
BAUD = 9600
_T = TypeVar("_T")


class Unreachable(Exception):
    """Nobody can be talked to; ``str()`` says why and what to look at, ``reason`` only why."""

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason or text


class OutOfTime(Exception):
    """The time for the whole operation is used up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the switch is: a serial device, or an address and port."""

    serial: str = ""
    ip: str = ""
    port: int = TELNET_PORT
    baud: int = BAUD

    def __str__(self) -> str:
        if self.serial:
            return self.serial
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return host if self.port == TELNET_PORT else f"{host}:{self.port}"


def connect(place: Place, until: Deadline) -> tuple[Transport, str]:
    """A line to the unit, and our own address on it ("" on a serial line). A refusal is tried again.

    Raises Unreachable.
    """
    if place.serial and os.path.exists(place.serial) and not os.access(place.serial, os.R_OK | os.W_OK):
        raise Unreachable(f"serial line {place.serial}: {os.strerror(errno.EACCES)}; be root or in its group")
    pause_ms = FIRST_PAUSE_MS
    while True:
        try:
            if place.serial:
                return connect_serial(place.serial, place.baud), ""
            sock = open_socket(place.ip, place.port, 0, until)
            return TcpTransport(sock), str(sock.getsockname()[0])
        except ConnectFailed as error:
            if not error.again:
                raise Unreachable(str(error)) from None
            if until.left_ms() <= pause_ms:
                raise Unreachable(f"{error}. {hint(place, str(error))}", str(error)) from None
        time.sleep(random.SystemRandom().uniform(0.5, 1) * pause_ms / 1000)
        pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)


def hint(place: Place, reason: str) -> str:
    """What to look at when nobody could be reached for ``reason``."""
    if place.serial:
        return _SERIAL_TAKEN
    if "not resolved" in reason:
        return "Give its address in numbers"
    # A switch without power or with another address refuses nothing.
    refused = any(os.strerror(number) in reason for number in (errno.ECONNREFUSED, errno.ECONNRESET))
    return _TCP_TAKEN if refused else "Look at its power, its cable and its address, also on the console (--serial)"


_SERIAL_TAKEN = "Does the heartbeat (failoverd) or a login (serial-getty) use this line?"
_TCP_TAKEN = (
    "The switch has one session, and refuses a second: a fence agent, a telnet left open on some machine, the "
    "serial console or the modem may have it (it ends with that session, or after the disconnect timeout). Its IP "
    "security may also deny this host. The serial console (--serial) shows which"
)


class Session:
    """One login at one switch. ``enter`` first, ``run`` steps, ``leave`` always."""

    def __init__(
        self,
        place: Place,
        *,
        username: str = "",
        passwords: Sequence[Secret] = (),
        ask_password: Callable[[], Secret] | None = None,
        deadline: Deadline,
        debug: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.place = place
        self.entered_with: Secret | None = None
        self.own_address = ""
        self._username = username
        self._passwords = [secret for secret in passwords if secret]
        self._ask_password = ask_password
        self._deadline = deadline
        self._debug = debug
        self._talk = Talk(telnet=not place.serial, hide=self._passwords)
        self._transport: Transport | None = None
        self._inside = False
        self._screen: Screen | None = None
        self._goodbye: Deadline | None = None

    @property
    def deadline(self) -> Deadline:
        return self._deadline

    def enter(self, connect_ms: int = CONNECT_MS) -> Entered:
        """Connect and log in. Raises Unreachable, steps.StepFailed (Denied, NotServed …), OutOfTime."""
        self._transport, self.own_address = connect(self.place, self._deadline.at_most(connect_ms))
        entered = self.run(
            steps.log_in(
                wake=bool(self.place.serial),
                username=self._username,
                passwords=self._passwords,
                may_ask=self._ask_password is not None,
            )
        )
        if entered.password is not None:
            self.entered_with = self._passwords[entered.password]
        self._inside = True
        return entered

    def run(self, step: Step[_T]) -> _T:
        """Drive one step to its end. Raises what it raises."""
        return steps.drive(step, self._do, self._talk.redact)

    @property
    def inside(self) -> bool:
        return self._inside

    def logged_out(self) -> None:
        """The unit has ended the session by itself: there is nothing to leave."""
        self._inside = False

    def leave(self) -> bool:
        """Out of any menu and out of the unit. Never raises; False when the session may still be open."""
        if self._transport is None:
            return True
        with undisturbed():
            until = Deadline(GOODBYE_MS)
            try:
                return self._say_goodbye(until)
            except (ConnectionLost, NoAnswer, steps.StepFailed, OutOfTime):
                # A TCP connection that ends ends the session; a console's goes on until its timeout.
                return not self.place.serial or not self._inside
            finally:
                self._inside = False
                self._trace()
                self._transport.close()
                self._transport = None

    def _say_goodbye(self, until: Deadline) -> bool:
        self._goodbye = until
        # After an interruption the answer to what was sent last is still under way.
        screen = self._screen or self._await(until.at_most(2 * LONG_SILENCE_MS))
        if screen.kind is Kind.CLOSED:
            return True
        if not (self._inside or screen.kind in (Kind.PROMPT, Kind.MENU)):
            # Nobody is in, and what we typed would be taken for a password. A console goes on waiting for one.
            return not (self.place.serial and screen.kind is Kind.VALUE)
        self.run(steps.to_prompt(screen, save=False))
        screen = self._do(Line("/X,Y", SERIAL_GOODBYE_MS if self.place.serial else until.left_ms()))
        if screen.kind is Kind.QUESTION:
            self._do(Line("Y", SERIAL_GOODBYE_MS if self.place.serial else until.left_ms()))
        return True

    # Inside.

    def _do(self, request: Request) -> Screen:
        """Send what is asked for and wait for the screen it leads to."""
        self._screen = None
        within_ms = ANSWER_MS
        match request:
            case Line(text, limit):
                self._talk.send(text)
                within_ms = limit or within_ms
            case Hidden(secret):
                self._talk.send_secret(secret)
            case Escape(limit):
                self._talk.send_escape()
                within_ms = limit or within_ms
            case Listen(limit):
                within_ms = limit or within_ms
            case AskPassword():
                self._talk.send_secret(self._typed_password())
        whole = self._goodbye or self._deadline
        self._screen = self._await(whole.at_most(within_ms), more=isinstance(request, Listen))
        if self._screen.kind is Kind.SILENT and whole.expired():
            raise OutOfTime(f"not done within {whole.total_ms / 1000:g} s")
        return self._screen

    def _typed_password(self) -> Secret:
        """Ask the person; the time they take does not count."""
        left_ms = self._deadline.left_ms()
        secret = self._ask_password() if self._ask_password is not None else Secret("")
        if not secret:
            raise steps.Denied("no password was given")
        self._deadline = Deadline(left_ms)
        self._passwords.append(secret)
        return secret

    def _await(self, until: Deadline, *, more: bool = False) -> Screen:
        """The next complete screen. ``more``: what stands there already is none until something comes after it."""
        transport = self._transport
        if transport is None:
            return self._talk.ended(Kind.CLOSED)
        heard_ms = boottime_ms()
        try:
            while True:
                self._flush(transport, until)
                data = None if until.expired() else transport.receive(until.at_most(QUIET_MS))
                if data:
                    self._talk.receive(data)
                    heard_ms = boottime_ms()
                    more = False
                    continue
                if data == b"":
                    return self._talk.ended(Kind.CLOSED)
                screen = self._talk.look(boottime_ms() - heard_ms)
                if screen is not None and (not more or until.expired()):
                    return screen
                if until.expired():
                    return self._talk.ended(Kind.SILENT)
        except ConnectionLost as error:
            if self.place.serial:  # no unit hangs up a serial line
                raise steps.LostConnection(f"{self.place}: {error}") from None
            return self._talk.ended(Kind.CLOSED)
        except NoAnswer:
            return self._talk.ended(Kind.SILENT)
        finally:
            self._trace()

    def _flush(self, transport: Transport, until: Deadline) -> None:
        data = self._talk.take_output()
        self._trace()
        if data:
            transport.send(data, until)

    def _trace(self) -> None:
        for line in self._talk.take_trace():
            self._debug(line)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def undisturbed() -> Iterator[None]:
    """A second ^C must not stop the logging out: what follows has a deadline of a few seconds."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
