"""The server's half of telnet option negotiation (RFC 854, RFC 857, RFC 858), pure.

The device offers WILL ECHO and WILL SUPPRESS-GO-AHEAD when a session opens, and refuses whatever the
client proposes. Both matter to ``fence_wti``, which types ``set binary`` into the telnet client before
it connects. Seen on the wire with inetutils-telnet 2.4 for one Enter of its CR LF: offer and refusal,
or refusal alone, CR NUL LF; offer alone, CR LF; neither, LF LF, and a device that ends lines with CR
never sees one. What a real IPS-800 answers to options is not known from a capture; refusing each once
is the smallest behaviour RFC 854 allows.
"""

from __future__ import annotations

import enum

IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240
ECHO, SUPPRESS_GO_AHEAD = 1, 3

_OFFERED = (ECHO, SUPPRESS_GO_AHEAD)

GREETING = bytes(byte for option in _OFFERED for byte in (IAC, WILL, option))


class _At(enum.Enum):
    DATA = "data"
    IAC = "iac"
    OPTION = "option"
    SUB = "sub"
    SUB_IAC = "sub-iac"


class TelnetServer:
    """Takes the client's options out of the byte stream and says what to answer.

    One object per session. Bytes may arrive cut anywhere; half a sequence is kept for the next call.
    """

    def __init__(self) -> None:
        self._at = _At.DATA
        self._verb = 0
        self._answered: set[tuple[int, int]] = set()

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Return (what the client typed, what to send back for its options)."""
        typed, reply = bytearray(), bytearray()
        for byte in data:
            self._byte(byte, typed, reply)
        return bytes(typed), bytes(reply)

    def _byte(self, byte: int, typed: bytearray, reply: bytearray) -> None:
        if self._at is _At.DATA:
            if byte == IAC:
                self._at = _At.IAC
            else:
                typed.append(byte)
        elif self._at is _At.IAC:
            self._command(byte, typed)
        elif self._at is _At.OPTION:
            self._at = _At.DATA
            reply += self._answer(self._verb, byte)
        elif self._at is _At.SUB:
            if byte == IAC:
                self._at = _At.SUB_IAC
        else:
            self._at = _At.DATA if byte == SE else _At.SUB

    def _command(self, byte: int, typed: bytearray) -> None:
        """The byte after IAC. Two-byte commands (BREAK, AYT, NOP …) have no effect on the device."""
        self._at = _At.DATA
        if byte in (DO, DONT, WILL, WONT):
            self._verb = byte
            self._at = _At.OPTION
        elif byte == SB:
            self._at = _At.SUB
        elif byte == IAC:
            typed.append(IAC)

    def _answer(self, verb: int, option: int) -> bytes:
        """Refuse what is not ours, each (verb, option) once so that two stubborn ends cannot loop."""
        if (verb, option) in self._answered:
            return b""
        self._answered.add((verb, option))
        if verb == DO and option not in _OFFERED:
            return bytes((IAC, WONT, option))
        if verb == DONT and option in _OFFERED:
            return bytes((IAC, WONT, option))
        if verb == WILL:
            return bytes((IAC, DONT, option))
        return b""
