"""The talk with a WTI power switch as a pure dialogue: bytes in, events and bytes out. No I/O, no clock.

The device asks for a user name, a password, both or nothing, shows a status screen and a prompt
(``IPS>``), and then takes commands: ``/S`` status, ``/ON n,Y``, ``/OFF n,Y``, ``/X,Y`` leave (NPS and
IPS manuals; ``,Y`` leaves out the question). Bytes are worked on one at a time, so where the network
cuts the stream cannot change the answer.

Nothing the device says about a *command* is believed: ``Switched`` only means that the prompt came
back. Proof is a ``StatusRead`` asked for afterwards. If a device prints one prompt too many (it took
CR LF as two lines), a status screen may be one behind, but never older than the last command's.

Our lines end with CR LF on a device that negotiates telnet options (fence_wti's way, through a telnet
client) and with a bare CR on one that does not (cluster-glue's wti_nps, which ignores telnet).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from failover_kit.fence.screens import GroupRow, PlugRow, ScreenError, has_table, parse_status
from failover_kit.fence.secret import MASK, Secret
from failover_kit.fence.telnet import TelnetFilter, escape

# The longest screen we know, the 16 plugs of an NPS, has about 2 KB. What is 30 times as long is no status screen.
SCREEN_LIMIT = 64 * 1024
LINE_LIMIT = 1024
# A page shows at least one plug, and no listing has this many; an endless pager is a fault.
PAGE_LIMIT = 100

# fence_wti names RSM MPC IPS TPS NBB NPS VMR; wti_nps takes PS> IPS> BB>. All are one upper-case word.
_PROMPT = re.compile(r"\s*[A-Z][A-Z0-9-]{1,15}>")
_ASKS_USER = re.compile(r"\s*(?:enter\s+)?(?:login(?:\s+name)?|user\s*name|user)\s*:", re.I)
_ASKS_PASSWORD = re.compile(r"\s*(?:enter\s+)?(?:\w+\s+)?password\s*:", re.I)
_ASKS_YES_NO = re.compile(r".*[([]y/n[)\]]", re.I)
_PAGER = re.compile(r"(?!.*\|).*\benter\s*:", re.I)
_DENIED = re.compile(
    r"(?:invalid|incorrect|wrong|bad)\s+(?:password|login|user)|(?:login|password)\s+incorrect|access\s+denied",
    re.I,
)
# The NPS manual's words for the modem port; over TCP it refuses. A Site ID may say anything, so no more.
_BUSY = re.compile(r"\bis\s+busy\b|session\s+in\s+progress", re.I)
# "Invalid command" (IPS); "?" (RPB+).
_REFUSED = re.compile(
    r"\s*(?:\?|(?:error\b|invalid\b|illegal\b|unknown\b|unrecogni[sz]ed\b|no\s+access).*)\s*$", re.I
)


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The first prompt came."""


@dataclass(frozen=True, slots=True)
class LoginDenied:
    """The device does not let us in. There must be no second attempt: newer units lock out."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeviceBusy:
    """Somebody else has the one session."""

    reason: str


@dataclass(frozen=True, slots=True)
class StatusRead:
    """A whole status screen, read after it was asked for."""

    table: tuple[PlugRow, ...]


@dataclass(frozen=True, slots=True)
class GroupsRead:
    """The plug groups."""

    groups: tuple[GroupRow, ...]


@dataclass(frozen=True, slots=True)
class Switched:
    """The prompt came back after an on or off command. Not a proof of anything."""

    plug: int
    on: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The device did not take a command, or answered with what we cannot read."""

    reason: str


Event = LoggedIn | LoginDenied | DeviceBusy | StatusRead | GroupsRead | Switched | Refused


def _wire(text: str) -> bytes:
    """The bytes that were typed, whatever their encoding was (argv and stdin decode the same way)."""
    return text.encode("utf-8", "surrogateescape")


class _State(Enum):
    LOGIN = auto()
    IDLE = auto()
    STATUS = auto()
    SWITCH = auto()
    LOGOUT = auto()
    ENDED = auto()  # gone, denied, or talking nonsense: whatever comes is ignored


class Dialogue:
    """One session with one device, from connect to close.

    Feed ``receive`` and ``closed``; send what ``take_output`` gives; write ``take_trace`` to the
    debug log (it is free of secrets). ``request_*`` is allowed only after LoggedIn and when the
    last request is answered; only ``request_logout`` may come at any time after LoggedIn.
    """

    def __init__(
        self,
        *,
        username: str = "",
        password: Secret | None = None,
        prompts: Sequence[str] = (),
        telnet: bool = True,
        wake: bool = False,
    ) -> None:
        self._username = username
        self._password = password
        # The device may echo the password; its bytes are then seen as Latin-1 in our lines.
        self._on_screen = Secret(_wire(password.reveal() if password else "").decode("latin-1"))
        self._telnet = TelnetFilter()
        self._state = _State.LOGIN
        self._out = bytearray()
        self._trace: list[str] = []
        self._events: list[Event] = []
        self._lines: list[str] = []
        self._line = ""
        self._seen = 0
        self._pages = 0
        self._command = ""
        self._plug = 0
        self._on = False
        self._user_sent = False
        self._inside = False
        self.password_sent = False
        if wake:
            self._out += b"\r"

    # Doors.

    def receive(self, data: bytes) -> list[Event]:
        """Take what the device sent; return what it meant."""
        text, answers = self._telnet.receive(data)
        self._out += answers
        for char in text.decode("latin-1"):
            self._take(char)
        return self._drain()

    def closed(self) -> list[Event]:
        """The device closed the connection: the last words may be a line without an end."""
        self._end_line()
        if self._state is _State.LOGIN and self.password_sent:
            self._deny("the device closed the connection after it got the password")
        self._state = _State.ENDED
        self._inside = False
        return self._drain()

    def request_status(self) -> None:
        self._begin(_State.STATUS, "/S")

    def request_groups(self) -> None:
        self._begin(_State.SWITCH, "/SG")

    def request_switch(self, plug: int, *, on: bool) -> None:
        """Ask to switch one plug. Only its digits ever reach the device."""
        if plug < 1:
            raise ValueError(f"{plug} is no plug number")
        self._plug, self._on = plug, on
        self._begin(_State.SWITCH, f"/{'ON' if on else 'OFF'} {plug:d},Y")

    def request_logout(self) -> bool:
        """Ask to leave. False when there is no session: a password prompt would take it for a password."""
        if not self._inside:
            return False
        self._inside = False
        self._lines, self._line, self._seen = [], "", 0
        self._state = _State.LOGOUT
        self._send("/X,Y")
        return True

    def take_output(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def take_trace(self) -> list[str]:
        trace, self._trace = self._trace, []
        return trace

    # Sending.

    def _begin(self, state: _State, command: str) -> None:
        if self._state is not _State.IDLE:
            raise RuntimeError(f"{command} asked for in state {self._state.name}; this is a bug")
        self._lines, self._line, self._seen, self._pages = [], "", 0, 0
        self._state, self._command = state, command
        self._send(command)

    def _send(self, text: str) -> None:
        self._trace.append(f"sent: {text}")
        self._put(text)

    def _send_secret(self, secret: Secret) -> None:
        self._trace.append(f"sent: {MASK}")
        self._put(secret.reveal())

    def _put(self, text: str) -> None:
        self._out += escape(_wire(text)) + (b"\r\n" if self._telnet.spoken else b"\r")

    # Receiving.

    def _take(self, char: str) -> None:
        if self._state in (_State.IDLE, _State.ENDED):
            return
        self._seen += 1
        if char in "\r\n":
            self._end_line()
        elif char not in "\0\a":
            self._line += char
            # Everything that waits for us ends in one of these (the blank after it may come later).
            if char in ">:)]":
                self._end_of_text()
        if self._seen > SCREEN_LIMIT or len(self._line) > LINE_LIMIT:
            if self._state is not _State.LOGOUT:
                self._refuse(f"{self._what()} does not end; is this a WTI power switch?")
            self._state = _State.ENDED

    def _end_line(self) -> None:
        line, self._line = self._line, ""
        if not line.strip():
            return
        self._trace.append(f"received: {self._on_screen.redact(line)}")
        self._lines.append(line)
        # A table's row is never an answer, whatever a plug is named.
        if self._state is not _State.LOGIN or "|" in line:
            return
        if self.password_sent and _DENIED.search(line):
            self._deny(f"the device says {self._quote(line)}")
        elif not self.password_sent and _BUSY.search(line):
            self._state = _State.ENDED
            self._events.append(DeviceBusy(f"the device says {self._quote(line)}"))

    def _end_of_text(self) -> None:
        line = self._line
        match self._state:
            case _State.LOGIN:
                self._at_login(line)
            case _State.STATUS:
                if _PROMPT.fullmatch(line):
                    self._end_line()
                    self._at_status_prompt()
                elif _PAGER.fullmatch(line):
                    self._next_page()
            case _State.SWITCH:
                if _PROMPT.fullmatch(line):
                    self._end_line()
                    self._at_switch_prompt()
                elif _ASKS_YES_NO.fullmatch(line):
                    self._end_line()
                    self._at_question()
                elif _PAGER.fullmatch(line):
                    self._next_page()
            case _State.LOGOUT:
                if _ASKS_YES_NO.fullmatch(line):
                    self._end_line()
                    # Some units ask in spite of ",Y"; a question about a plug is not about leaving.
                    self._send("N" if any("plug" in text.lower() for text in self._lines) else "Y")
                    self._lines = []
            case _:
                pass

    def _at_login(self, line: str) -> None:
        if _PROMPT.fullmatch(line):
            self._end_line()
            self._state = _State.IDLE
            self._inside = True
            self._events.append(LoggedIn())
        elif _DENIED.search(line) and self.password_sent:
            self._end_line()
        elif _ASKS_PASSWORD.fullmatch(line):
            self._end_line()
            self._at_password()
        elif _ASKS_USER.fullmatch(line):
            self._end_line()
            if self._user_sent:
                self._deny("the device asks for the user name a second time")
            elif not self._username:
                self._deny("the device asks for a user name; give username=")
            else:
                self._user_sent = True
                self._send(self._username)

    def _at_password(self) -> None:
        if self.password_sent:
            self._deny("the device asks for the password a second time")
        elif not self._password:
            self._deny("the device asks for a password; give password=, password_file= or password_script=")
        else:
            self.password_sent = True
            self._send_secret(self._password)

    def _at_status_prompt(self) -> None:
        if not has_table_or_error(self._lines):
            # A prompt too many, or the echo of our own typing: the answer is still to come.
            refusal = self._refusal()
            if refusal:
                self._refuse(f"{self._command}: the device says {refusal}")
            return
        self._state = _State.IDLE
        try:
            self._events.append(StatusRead(parse_status(self._lines)))
        except ScreenError as error:
            self._events.append(Refused(self._on_screen.redact(str(error))))

    def _at_switch_prompt(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._refuse(f"{self._command}: the device says {refusal}")
        else:
            self._state = _State.IDLE
            self._events.append(Switched(self._plug, self._on))

    def _at_question(self) -> None:
        if names_exactly(self._lines, self._command, self._plug, on=self._on):
            self._send("Y")
            return
        self._send("N")
        asked = " / ".join(line.strip() for line in self._lines[-4:])
        self._refuse(f"{self._command}: the device asks about something else: {self._quote(asked)}")

    def _next_page(self) -> None:
        self._end_line()
        self._pages += 1
        if self._pages > PAGE_LIMIT:
            self._refuse(f"{self._what()} has more than {PAGE_LIMIT} pages")
            return
        self._send("")

    # Small things.

    def _refusal(self) -> str:
        for line in self._lines:
            if "|" not in line and _REFUSED.match(line):
                return self._quote(line)
        return ""

    def _refuse(self, reason: str) -> None:
        if self._state is _State.LOGIN:
            self._deny(reason)
            return
        self._state = _State.IDLE
        self._events.append(Refused(reason))

    def _deny(self, reason: str) -> None:
        self._state = _State.ENDED
        self._events.append(LoginDenied(reason))

    def _what(self) -> str:
        return "the login" if self._state is _State.LOGIN else f"the answer to {self._command}"

    def _quote(self, text: str) -> str:
        return repr(self._on_screen.redact(text.strip())[:200])

    def _drain(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def has_table_or_error(lines: Sequence[str]) -> bool:
    """True when the lines hold a table, readable or not."""
    try:
        return has_table(lines)
    except ScreenError:
        return True


_HEADING = re.compile(r"plugs?\s+to\s+be\s+(?:turned|switched)\s+(on|off)\s*:?", re.I)
_NAMED_PLUG = re.compile(r"plug\s+(\d{1,4})\s*(?::\s*\S{0,40})?", re.I)
_BARE_QUESTION = re.compile(r"are\s+you\s+sure\s*\??\s*[([]y/n[)\]]", re.I)


def names_exactly(lines: Sequence[str], command: str, plug: int, *, on: bool) -> bool:
    """True when a (Y/N) question, with all that stands before it, is about ``plug`` and nothing else.

    NPS v2.12 prints a heading, one ``Plug N: NAME`` line for each plug and ``Are you sure? (Y/N)``.
    Any line that is neither of these nor the echo of our command makes it False: a question we only
    half understand might be about another machine.
    """
    named: set[int] = set()
    for line in lines[:-1]:
        prompt = _PROMPT.match(line)
        text = line[prompt.end() if prompt else 0 :].strip()
        heading = _HEADING.fullmatch(text)
        row = _NAMED_PLUG.fullmatch(text)
        if row:
            named.add(int(row[1]))
        elif heading:
            if (heading[1].upper() == "ON") != on:
                return False
        elif text and text.upper() != command:
            return False
    return named == {plug} and bool(lines) and _BARE_QUESTION.fullmatch(lines[-1].strip()) is not None
