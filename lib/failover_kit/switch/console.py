"""A terminal at the switch, for hands: keys go to the unit, what it prints comes to the screen.

It says goodbye by itself: on the way out it leaves the unit's menu and logs out, because the unit has one session
and one left open keeps a cluster from fencing. It warns when nobody types for a while.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from failover_kit.fence.telnet import TelnetFilter, escape
from failover_kit.fence.transport import ConnectionLost, NoAnswer, Transport
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.switch.session import CONNECT_MS, Place, connect, undisturbed
from failover_kit.switch.talk import ESC, Kind, Screen, Talk

LEAVE_KEY = b"\x1d"  # ^], as in telnet(1)
IDLE_MS = 60_000
# How long a key may wait while the line is being listened to.
TURN_MS = 20
SEND_MS = 5_000
GOODBYE_STEPS = 8
GOODBYE_MS = 1_500
KEYS_BYTES = 1024


class Console:
    """One visit. ``run`` returns when the person or the unit has had enough."""

    def __init__(self, place: Place, transport: Transport, *, idle_ms: int, keys: int, screen: int) -> None:
        self._place = place
        self._transport = transport
        self._idle_ms = idle_ms
        self._keys = keys
        self._screen = screen
        self._telnet = None if place.serial else TelnetFilter()
        # Follows what is on the screen, to know on the way out whether a prompt is there. Its trace is thrown away.
        self._talk = Talk(telnet=False)
        self._been_in = False

    def run(self) -> bool:
        """True when the unit was left properly; False when its session may still be open."""
        if self._place.serial:
            self._send(b"\r")
        typed_ms = warned_ms = boottime_ms()
        while True:
            data = self._transport.receive(Deadline(TURN_MS))
            if data == b"":
                self._note("the switch has hung up")
                return True
            if data:
                self._show(data)
            if select.select([self._keys], [], [], 0)[0]:
                typed_ms = warned_ms = boottime_ms()
                keys = self._read_keys()
                before, leave, _ = keys.partition(LEAVE_KEY)
                if b"\r" in before or ESC in before:
                    self._new_screen()
                self._send(before)
                if leave or not keys:
                    return self.say_goodbye()
            if boottime_ms() - warned_ms >= self._idle_ms:
                warned_ms = boottime_ms()
                idle_s = (warned_ms - typed_ms) // 1000
                self._note(
                    f"nothing typed for {idle_s} s. While this session is open no cluster can fence. ^] leaves\a"
                )

    def say_goodbye(self) -> bool:
        """Out of a menu with <ESC>, out of the unit with ``/X,Y``. Sends nothing to a password prompt."""
        for _ in range(GOODBYE_STEPS):
            screen = self._settled()
            match screen.kind:
                case Kind.CLOSED:
                    return True
                case Kind.PROMPT:
                    self._type(b"/X,Y\r")
                    self._note("logging out")
                    after = self._settled()
                    if after.kind is Kind.QUESTION:
                        self._type(b"Y\r")
                        self._settled()
                    return True
                case Kind.VALUE if not self._been_in:
                    return True  # it asks for a password: nobody is in
                case Kind.QUESTION:
                    self._type(b"N\r")
                case _:
                    self._type(ESC)
        return not self._place.serial  # a TCP session ends with its connection

    def _settled(self) -> Screen:
        """The screen, when the unit has said what it has to say."""
        until = Deadline(GOODBYE_MS)
        while not until.expired():
            data = self._transport.receive(until.at_most(GOODBYE_MS // 4))
            if data == b"":
                return self._talk.ended(Kind.CLOSED)
            if data:
                self._show(data)
                continue
            screen = self._talk.look(GOODBYE_MS // 4)
            if screen is not None:
                return screen
        return self._talk.look(GOODBYE_MS) or Screen(Kind.SILENT, ())

    def _show(self, data: bytes) -> None:
        if self._telnet is not None:
            data, answers = self._telnet.receive(data)
            if answers:
                self._transport.send(answers, Deadline(SEND_MS))
        self._talk.receive(data)
        self._talk.take_trace()
        if b">" in data and (screen := self._talk.look(0)) is not None:
            self._been_in = self._been_in or screen.kind is Kind.PROMPT
        self._put(data)

    def _send(self, keys: bytes) -> None:
        if keys and self._telnet is not None:
            keys = escape(keys).replace(b"\r", b"\r\n" if self._telnet.spoken else b"\r")
        if keys:
            self._transport.send(keys, Deadline(SEND_MS))

    def _type(self, keys: bytes) -> None:
        self._new_screen()
        self._send(keys)

    def _new_screen(self) -> None:
        self._talk.send("")
        self._talk.take_output()

    def _note(self, text: str) -> None:
        self._put(f"\r\n[{text}]\r\n".encode())

    def _read_keys(self) -> bytes:
        """What was typed; nothing when the terminal is gone (EIO, tty_ioctl(4))."""
        try:
            return os.read(self._keys, KEYS_BYTES)
        except OSError:
            return b""

    def _put(self, data: bytes) -> None:
        """To the screen. Where it is gone, logging out still has to go on."""
        with suppress(OSError):
            os.write(self._screen, data)


def run_console(place: Place, *, idle_ms: int, say: Callable[[str], None]) -> bool:
    """Connect, hand the terminal over, give it back. Raises session.Unreachable. False: a session may be open."""
    transport, _ = connect(place, Deadline(CONNECT_MS))
    say(
        f"connected to {place}; ^] leaves (it logs out). One session only: while this one is open no cluster can "
        "fence"
    )
    keys, screen = sys.stdin.fileno(), sys.stdout.fileno()
    console = Console(place, transport, idle_ms=idle_ms, keys=keys, screen=screen)
    try:
        with raw_terminal(keys):
            try:
                return console.run()
            except KeyboardInterrupt:  # SIGTERM and SIGHUP; ^C itself goes to the unit
                with undisturbed():
                    return console.say_goodbye()
    except (ConnectionLost, NoAnswer) as error:
        say(f"the connection ended: {error}")
        return not place.serial
    finally:
        transport.close()


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """Every key as it is typed, ^C included; the terminal is as before afterwards, whatever happens."""
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        with undisturbed(), suppress(termios.error):  # an error says that the terminal itself is gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
