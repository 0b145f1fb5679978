"""The telnet option layer as a filter: wire bytes in, text bytes and answers out. No I/O.

We never open a negotiation. The device may switch on ECHO (RFC 857), SUPPRESS-GO-AHEAD (RFC 858)
and BINARY (RFC 856) on its side, and may ask us for the last two; everything else is refused. A
request is answered only when it changes something, which is what keeps two ends from answering
each other for ever (RFC 854, RFC 1143).
"""

from __future__ import annotations

from enum import Enum, auto

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
BINARY, ECHO, SUPPRESS_GO_AHEAD = 0, 1, 3

_DEVICE_MAY = frozenset((BINARY, ECHO, SUPPRESS_GO_AHEAD))
_WE_WILL = frozenset((BINARY, SUPPRESS_GO_AHEAD))


class _Mode(Enum):
    DATA = auto()
    COMMAND = auto()  # after IAC
    OPTION = auto()  # after IAC DO/DONT/WILL/WONT
    SUB = auto()  # inside IAC SB … IAC SE
    SUB_COMMAND = auto()  # after an IAC inside SB


def escape(data: bytes) -> bytes:
    """``data`` as it must go on the wire: the byte 255 is doubled (RFC 854)."""
    return data.replace(b"\xff", b"\xff\xff")


class TelnetFilter:
    """Takes telnet commands out of a byte stream that may be cut anywhere."""

    def __init__(self) -> None:
        self._mode = _Mode.DATA
        self._verb = 0
        self._device_on: set[int] = set()
        self._ours_on: set[int] = set()
        # True once the device has negotiated: it is a telnet server, not a bare TCP stream.
        self.spoken = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (text bytes, bytes to send back)."""
        text = bytearray()
        answers = bytearray()
        for byte in data:
            self._one(byte, text, answers)
        return bytes(text), bytes(answers)

    def _one(self, byte: int, text: bytearray, answers: bytearray) -> None:
        match self._mode:
            case _Mode.DATA:
                if byte == IAC:
                    self._mode = _Mode.COMMAND
                else:
                    text.append(byte)
            case _Mode.COMMAND:
                self._mode = _Mode.DATA
                if byte == IAC:
                    text.append(IAC)
                elif byte in (DO, DONT, WILL, WONT):
                    self._verb = byte
                    self._mode = _Mode.OPTION
                elif byte == SB:
                    self._mode = _Mode.SUB
            case _Mode.OPTION:
                self._mode = _Mode.DATA
                answers += self._negotiate(self._verb, byte)
            case _Mode.SUB:
                if byte == IAC:
                    self._mode = _Mode.SUB_COMMAND
            case _Mode.SUB_COMMAND:
                self._mode = _Mode.DATA if byte == SE else _Mode.SUB

    def _negotiate(self, verb: int, option: int) -> bytes:
        self.spoken = True
        if verb in (WILL, WONT):
            return _answer(verb == WILL, option, self._device_on, _DEVICE_MAY, yes=DO, no=DONT)
        return _answer(verb == DO, option, self._ours_on, _WE_WILL, yes=WILL, no=WONT)


def _answer(wanted: bool, option: int, on: set[int], allowed: frozenset[int], *, yes: int, no: int) -> bytes:
    if wanted and option in allowed:
        if option in on:
            return b""
        on.add(option)
        return bytes((IAC, yes, option))
    if wanted:
        return bytes((IAC, no, option))
    if option not in on:
        return b""
    on.discard(option)
    return bytes((IAC, no, option))
