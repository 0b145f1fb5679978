"""A session with the device over TCP: the dialogue of ``wti`` driven under one deadline.

The device has one session. While somebody else has it, a connection is refused or closed at once
(NPS manual, page 18), so connecting is tried again with growing, jittered pauses. What is never
tried again is a login: newer units lock out after rejected passwords. Whatever happens after a
login, the way out is ``/X,Y``; a session left open would block the next fencing for minutes.
"""

from __future__ import annotations

import errno
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from failover_kit.fence.screens import PlugRow
from failover_kit.fence.wti import (
    DeviceBusy,
    Dialogue,
    Event,
    LoggedIn,
    LoginDenied,
    Refused,
    StatusRead,
    Switched,
)
from failover_kit.spec.deadline import Deadline

RECEIVE_BYTES = 4096
FIRST_PAUSE_MS = 100
LONGEST_PAUSE_MS = 1000
# How long a device may take to say goodbye. It belongs to the operation's total: see agent.run().
GOODBYE_MS = 1000


class ConnectionLost(Exception):
    """The connection ended when it should not have."""


class ConnectFailed(Exception):
    """Nobody can be talked to at the address; ``again`` says whether trying again makes sense."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class LoginFailed(Exception):
    """The device did not let us in, or could not be reached in time."""


class NoAnswer(Exception):
    """The device kept silent for longer than it may."""


class CommandRefused(Exception):
    """The device did not take a command, or its answer cannot be read."""


class Transport(Protocol):
    """A byte stream to a device. ``receive`` gives b"" at the end and None when ``until`` came first."""

    def send(self, data: bytes, until: Deadline) -> None: ...

    def receive(self, until: Deadline) -> bytes | None: ...

    def close(self) -> None: ...


class TcpTransport:
    """A connected TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes, until: Deadline) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                if not self._ready(select.POLLOUT, until):
                    raise NoAnswer("the device does not take what is sent") from None
            except OSError as error:
                raise ConnectionLost(_reason(error)) from None

    def receive(self, until: Deadline) -> bytes | None:
        while True:
            try:
                # A device that sends echo and answer in two writes would wait 40 ms for our delayed
                # acknowledgement between them (tcp(7): TCP_QUICKACK is not permanent).
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                return self._sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                if not self._ready(select.POLLIN, until):
                    return None
            except OSError as error:
                raise ConnectionLost(_reason(error)) from None

    def close(self) -> None:
        self._sock.close()

    def _ready(self, mask: int, until: Deadline) -> bool:
        left_ms = until.left_ms()
        if left_ms == 0:
            return False
        poller = select.poll()
        poller.register(self._sock, mask)
        return bool(poller.poll(left_ms))


def connect_tcp(host: str, port: int, family: int, until: Deadline) -> TcpTransport:
    """Connect to ``host``; ``family`` is 4, 6 or 0 for either. Raises ConnectFailed."""
    wanted = {4: socket.AF_INET, 6: socket.AF_INET6}.get(family, socket.AF_UNSPEC)
    failure = ConnectFailed(f"{host} has no address", again=False)
    addresses = _addresses(host, port, wanted, until)
    for tried, (kind, address) in enumerate(addresses):
        sock = socket.socket(kind, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # An address that swallows packets leaves time for the next one.
            sock.settimeout(max(0.001, until.left_s() / (len(addresses) - tried)))
            sock.connect(address)
            return TcpTransport(sock)
        except OSError as error:
            sock.close()
            failure = ConnectFailed(f"{host} port {port}: {_reason(error)}", again=True)
    raise failure


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _addresses(host: str, port: int, family: int, until: Deadline) -> list[_Address]:
    """Resolve ``host``. A name is looked up in a thread: a dead name server must not outlast the deadline."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [(entry[0], entry[4]) for entry in found]
    except (socket.gaierror, UnicodeError):
        pass
    answer: list[_Address] = []
    trouble: list[OSError] = []

    def look_up() -> None:
        try:
            for entry in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM):
                answer.append((entry[0], entry[4]))
        except (OSError, UnicodeError) as error:
            trouble.append(error if isinstance(error, OSError) else OSError(errno.EINVAL, "not a host name"))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(until.left_s())
    if thread.is_alive():
        raise ConnectFailed(f"the name {host} is not resolved in time; use an address", again=False)
    if trouble:
        again = trouble[0].errno == socket.EAI_AGAIN
        raise ConnectFailed(f"the name {host} is not resolved: {_reason(trouble[0])}", again=again)
    return answer


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or type(error).__name__


Connector = Callable[[Deadline], Transport]
DialogueMaker = Callable[[], Dialogue]


class Session:
    """One device, kept connected as long as needed, under one ``deadline``.

    ``connect_ms`` bounds how long a refused or closed connection is tried again, ``login_ms`` how long
    one login may take, ``goodbye_ms`` how long leaving may take beyond the deadline. ``debug`` gets
    each line of the dialogue, free of secrets.
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
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._make_dialogue = make_dialogue
        self._deadline = deadline
        self._connect_ms = connect_ms
        self._login_ms = login_ms
        self._goodbye_ms = goodbye_ms
        self._debug = debug
        self._sleep = sleep
        self._transport: Transport | None = None
        self._dialogue = make_dialogue()
        self._events: list[Event] = []

    def open(self) -> None:
        """Log in. Raises LoginFailed; a taken session is waited for, a rejected password is final.

        What is left of an earlier connection is closed first: it could hold the device's one session.
        """
        self.close()
        until = self._deadline.at_most(self._connect_ms)
        pause_ms = FIRST_PAUSE_MS
        while True:
            try:
                self._log_in()
                return
            except (ConnectFailed, ConnectionLost) as error:
                self._drop()
                if isinstance(error, ConnectFailed) and not error.again:
                    raise LoginFailed(str(error)) from None
                if until.left_ms() <= pause_ms:
                    raise LoginFailed(f"{error}; tried for {until.total_ms / 1000:g} s") from None
                self._debug(f"{error}; trying again")
            self._sleep(random.SystemRandom().uniform(0.5, 1) * pause_ms / 1000)
            pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)

    def status(self, answer_ms: int) -> tuple[PlugRow, ...]:
        """Ask for the status screen and return its rows."""
        self._dialogue.request_status()
        event = self._await("the status screen", self._deadline.at_most(answer_ms))
        if isinstance(event, StatusRead):
            return event.table
        raise CommandRefused(event.reason if isinstance(event, Refused) else repr(event))

    def switch(self, plug: int, answer_ms: int, *, on: bool) -> None:
        """Tell the device to switch one plug and wait for its prompt. Proves nothing."""
        self._dialogue.request_switch(plug, on=on)
        event = self._await(
            "the prompt after switching (is its Boot/Seq. delay longer than power_timeout?)",
            self._deadline.at_most(answer_ms),
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
                while not until.expired() and (data := transport.receive(until)):
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
            return
        if isinstance(event, LoginDenied):
            raise LoginFailed(event.reason)
        raise ConnectionLost(event.reason if isinstance(event, DeviceBusy) else repr(event))

    def _await(self, what: str, until: Deadline) -> Event:
        """Run the dialogue until it has something to say."""
        transport = self._transport
        if transport is None:
            raise ConnectionLost("not connected")
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
