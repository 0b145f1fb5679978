"""The talk with a WTI power switch as a pure dialogue: bytes in, events and bytes out. No I/O, no clock.

The device asks for a user name, a password, both or nothing, may show a screen, prints a prompt
(``IPS>``), and then takes commands: ``/S`` status, ``/SG`` groups, ``/ON n,Y``, ``/OFF n,Y``, ``/X,Y`` leave
(NPS, IPS and MPC manuals; ``,Y`` leaves out the question). Bytes are worked on one at a time, so where
the network cuts the stream cannot change the answer. What stands between two prompts is one *chunk*; from the
login on only the very prompt of the login counts as one.

Nothing the device says about a *command* is believed: ``Switched`` only means that a prompt came back.
Proof is a ``StatusRead`` asked for afterwards; ``tally`` tells the table that answers our ``/S`` from one that
was on its way before. On a serial line (``wake``) nothing guards the bytes: there a table counts when its
bars are in line and it came twice the same. The plugs shown must stay the same ones within a session.

What this cannot tell from the truth: a first table that has lost whole rows, or changed bytes, and is well
formed all the same (TCP does not do that; on a serial line it would have to happen twice alike), and, on
a unit that prints no rule under the header, a table cut at a line that reads like its prompt. No unit known
leaves out the rules, or prints such lines.

Our lines end with CR LF on a device that negotiates telnet options (fence_wti's way, through a telnet
client) and with a bare CR on one that does not (cluster-glue's wti_nps, which ignores telnet) and on a
serial line. Unproven on hardware: all but what the captures named in ``tests/data/wti`` show.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from failover_kit.fence import prompts as say
from failover_kit.fence.events import (
    DeviceBusy,
    Event,
    GroupsRead,
    LoggedIn,
    LoginDenied,
    Refused,
    StatusRead,
    Switched,
)
from failover_kit.fence.login import Kind, Login, Reply
from failover_kit.fence.screens import (
    GroupRow,
    PlugRow,
    ScreenError,
    is_group_header,
    is_plug_header,
    parse_groups,
    parse_status,
)
from failover_kit.fence.secret import MASK, Secret
from failover_kit.fence.tally import Tally
from failover_kit.fence.telnet import TelnetFilter, escape

__all__ = [
    "DeviceBusy",
    "Dialogue",
    "Event",
    "GroupsRead",
    "LoggedIn",
    "LoginDenied",
    "Refused",
    "StatusRead",
    "Switched",
]

# The longest screen we know, the 16 plugs of an NPS, has about 2 KB. What is 30 times as long is no status screen.
SCREEN_LIMIT = 64 * 1024
LINE_LIMIT = 1024
# What waits for us stands in a line of a terminal's width; a Site ID before it may make it longer.
WAITING_LIMIT = 160
# A page shows at least one plug, and no listing has this many; an endless pager is a fault.
PAGE_LIMIT = 100
# How often a table is asked for on a serial line until two in a row are the same.
READ_LIMIT = 6
ESCAPE = b"\x1b"
# /X,Y is said at most so often: again when the device was busy with something else.
LEAVE_LIMIT = 2

_Answer = tuple[PlugRow, ...] | tuple[GroupRow, ...]


def _wire(text: str) -> bytes:
    """The bytes that were typed, whatever their encoding was (argv and stdin decode the same way)."""
    return text.encode("utf-8", "surrogateescape")


class _State(Enum):
    LOGIN = auto()
    IDLE = auto()
    STATUS = auto()
    GROUPS = auto()
    SWITCH = auto()
    LOGOUT = auto()
    ENDED = auto()  # gone, denied, or talking nonsense: whatever comes is ignored


_ASKED = (_State.STATUS, _State.GROUPS, _State.SWITCH)


class Dialogue:
    """One session with one device, from connect to close.

    ``prompts``: the texts that are this device's prompt, when its form is not a known one. ``telnet``
    False: a serial line or a child's pipe, where byte 255 is data. ``wake``: a serial console, which
    sleeps until Enter is pressed and may show what somebody left there.

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
        self._login = Login(username, password, wake=wake)
        self._password = password
        # The device may echo the password; its bytes are then seen as Latin-1 in our lines.
        self._on_screen = Secret(_wire(password.reveal() if password else "").decode("latin-1"))
        self._literals = tuple(text for text in prompts if text.strip())
        self._ends = say.ends(self._literals)
        self._telnet = TelnetFilter() if telnet else None
        self._wake = wake
        self._state = _State.LOGIN
        self._out = bytearray()
        self._trace: list[str] = []
        self._events: list[Event] = []
        self._inside = False
        self._prompt = ""
        # The chunk so far.
        self._lines: list[str] = []
        self._line = ""
        self._seen = 0
        self._pages = 0
        self._paged = False  # the pager's line is not over
        # The request.
        self._command = ""
        self._plug = 0
        self._on = False
        self._asked = False  # its question was answered
        self._reads = 0
        self._once: tuple[_Answer, list[str]] | None = None  # read once, to be confirmed
        self._leave_again = False
        self._leaves = 0
        # Over the whole session.
        self._tally = Tally()
        self._known: frozenset[int] | None = None  # the plugs of the last table
        if wake:
            self._send("")

    # Doors.

    def receive(self, data: bytes) -> list[Event]:
        """Take what the device sent; return what it meant."""
        if self._telnet is not None:
            data, answers = self._telnet.receive(data)
            self._out += answers
        for char in data.decode("latin-1"):
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
        """Ask for the plug groups. Small and old units know no ``/SG`` and refuse it."""
        self._begin(_State.GROUPS, "/SG")

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
        # A device that is in the middle of something may take this for an answer, or not see it.
        self._leave_again = self._state is not _State.IDLE or bool(self._lines)
        self._state, self._command, self._seen = _State.LOGOUT, "/X,Y", 0
        self._leave()
        return True

    @property
    def password_sent(self) -> bool:
        """True once the password was sent: from then on a failed login is final."""
        return self._login.password_sent

    def take_output(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def take_trace(self) -> list[str]:
        trace, self._trace = self._trace, []
        return trace

    # Sending.

    def _begin(self, state: _State, command: str) -> None:
        if self._state is _State.ENDED and self._prompt:
            # Nothing is sent: it could be taken for a password.
            self._events.append(Refused(f"{command}: the device has ended the session"))
            return
        if self._state is not _State.IDLE:
            raise RuntimeError(f"{command} asked for in state {self._state.name}; this is a bug")
        self._seen = self._pages = 0
        self._state, self._command = state, command
        self._asked, self._reads, self._once = False, 0, None
        self._ask()

    def _ask(self) -> None:
        """Send the request's command, again if need be."""
        self._seen = 0
        self._reads += 1
        self._tally.sent(self._command, switching=self._state is _State.SWITCH)
        self._send(self._command)

    def _leave(self) -> None:
        self._leaves += 1
        self._tally.sent(self._command, switching=False)
        self._send(self._command)

    def _send(self, text: str) -> None:
        self._trace.append(f"sent: {text}")
        self._put(text)

    def _put(self, text: str) -> None:
        data = _wire(text)
        if self._telnet is None:
            self._out += data + b"\r"
        else:
            self._out += escape(data) + (b"\r\n" if self._telnet.spoken else b"\r")

    # Receiving.

    def _take(self, char: str) -> None:
        if self._state is _State.ENDED:
            return
        self._seen += 1
        if char in "\r\n":
            self._end_line()
            self._paged = False
        elif char not in "\0\a":
            self._line += char
            # Everything that waits for us ends in one of these (the blank after it may come later).
            if char in self._ends and len(self._line) <= WAITING_LIMIT:
                self._end_of_text(self._line)
        if self._seen > SCREEN_LIMIT or len(self._line) > LINE_LIMIT:
            self._too_much()

    def _too_much(self) -> None:
        if self._state in _ASKED or self._state is _State.LOGIN:
            self._refuse(f"{self._what()} does not end; is this a WTI power switch?")
        self._state = _State.ENDED

    def _end_line(self) -> None:
        line, self._line = self._line, ""
        if not line.strip():
            return
        self._trace.append(f"received: {self._on_screen.redact(line)}")
        self._lines.append(line)
        self._tally.line(line)
        if self._state is not _State.LOGIN:
            return
        if self.password_sent and say.denies(line):
            self._deny(f"the device says {self._quote(line)}")
        elif not self.password_sent and say.is_busy(line):
            self._state = _State.ENDED
            self._events.append(DeviceBusy(f"the device says {self._quote(line)}"))

    def _end_of_text(self, line: str) -> None:
        """Is ``line``, as far as it has come, something that waits for us?"""
        if self._prompt and line.strip(" \t") == self._prompt:
            self._at_prompt()
        elif self._state is _State.LOGIN:
            self._at_login(line)
        elif say.is_question(line):
            self._end_line()
            self._at_question()
        elif self._is_page_end(line):
            self._next_page()
        elif say.asks_password(line, plain=True) and self._state is not _State.LOGOUT:
            self._end_line()
            self._thrown_out()

    def _at_prompt(self) -> None:
        self._trace.append(f"received: {self._line}")
        lines, self._lines, self._line = self._lines, [], ""
        table = _table(lines, noisy=self._wake)
        if table is not None:
            self._tally.table()
        match self._state:
            case _State.IDLE:
                self._seen = 0
            case _State.STATUS:
                self._status_chunk(lines, table)
            case _State.GROUPS:
                self._groups_chunk(lines, table)
            case _State.SWITCH:
                self._switch_chunk(lines)
            case _State.LOGOUT:
                if self._leave_again and self._leaves < LEAVE_LIMIT:
                    self._leave()
            case _:
                pass

    # Login.

    def _at_login(self, line: str) -> None:
        if prompt := say.prompt_in(line, self._literals):
            self._log_in(prompt)
        elif self._is_page_end(line):
            self._next_page()
        elif reply := self._login.reply(line):
            self._end_line()
            self._do(reply)

    def _do(self, reply: Reply) -> None:
        match reply.kind:
            case Kind.SAY:
                self._send(reply.text)
            case Kind.PASSWORD if self._password:
                self._trace.append(f"sent: {MASK}")
                self._put(self._password.reveal())
            case Kind.ESCAPE:
                self._trace.append("sent: <ESC>")
                self._out += ESCAPE
            case _:
                self._deny(reply.text)

    def _log_in(self, prompt: str) -> None:
        self._trace.append(f"received: {self._line}")
        table = _table(self._lines, noisy=self._wake)
        self._lines, self._line = [], ""
        self._prompt = prompt
        if table is None:
            # The screen of the login may still come, behind a prompt too many.
            self._tally.may_come()
        if isinstance(table, tuple) and not self._wake:
            self._known = _numbers(table)
        self._state = _State.IDLE
        self._inside = True
        self._events.append(LoggedIn(prompt))

    def _thrown_out(self) -> None:
        """The device asks for the password in the middle of a session: it has ended it."""
        asked = self._state in _ASKED
        self._state = _State.ENDED
        self._inside = False
        if asked:
            reason = "the device has ended the session; it asks for the password"
            self._events.append(Refused(f"{self._command}: {reason}"))

    # Answers.

    def _status_chunk(self, lines: Sequence[str], table: tuple[PlugRow, ...] | ScreenError | None) -> None:
        if table is None:
            # A prompt too many, or the end of an earlier answer: ours is still to come.
            if refusal := say.refusal(lines):
                self._refuse(f"{self._command}: the device says {self._quote(refusal)}")
            return
        if self._tally.is_old(lines):
            self._ask()
            return
        if isinstance(table, ScreenError):
            self._unreadable(table)
            return
        if not self._confirmed(table, lines):
            return
        known, self._known = self._known, _numbers(table)
        if known in (None, self._known):
            self._state = _State.IDLE
            self._events.append(StatusRead(table))
        else:
            self._refuse(f"{self._command}: the device showed other plugs a moment ago; was a row lost?")

    def _groups_chunk(self, lines: Sequence[str], table: tuple[PlugRow, ...] | ScreenError | None) -> None:
        if any(is_group_header(line) for line in lines):
            self._tally.no_table()
            try:
                groups = parse_groups(lines, noisy=self._wake)
            except ScreenError as error:
                self._unreadable(error)
                return
            if self._confirmed(groups, lines):
                self._state = _State.IDLE
                self._events.append(GroupsRead(groups))
            return
        ours = any(line.strip().upper() == self._command for line in lines)
        if not ours and (not lines or (table is not None and self._tally.is_old(lines))):
            # A prompt too many, or the end of an earlier answer.
            return
        if refusal := say.refusal(lines):
            self._tally.no_table()
            self._refuse(f"{self._command}: the device says {self._quote(refusal)}")
        else:
            self._refuse(f"{self._command}: the device shows no plug groups")

    def _switch_chunk(self, lines: Sequence[str]) -> None:
        if self._tally.echoes and not lines:
            # This device would have echoed the command: a prompt too many.
            return
        if refusal := say.refusal(lines):
            self._refuse(f"{self._command}: the device says {self._quote(refusal)}")
        else:
            self._state = _State.IDLE
            self._events.append(Switched(self._plug, self._on))

    def _confirmed(self, answer: _Answer, lines: Sequence[str]) -> bool:
        """On a serial line, ask again until the same answer, under the same titles, came twice running."""
        titles = [line.strip() for line in lines if is_plug_header(line) or is_group_header(line)]
        if not self._wake or (answer, titles) == self._once:
            return True
        self._once = (answer, titles)
        self._read_again(f"{self._what()} is another one each time; is the line noisy?")
        return False

    def _unreadable(self, error: ScreenError) -> None:
        reason = f"{self._command}: {self._on_screen.redact(str(error))}"
        if self._wake:
            self._once = None
            self._read_again(reason)
        else:
            self._refuse(reason)

    def _read_again(self, reason: str) -> None:
        if self._reads >= READ_LIMIT:
            self._refuse(reason)
        else:
            self._ask()

    def _at_question(self) -> None:
        match self._state:
            case _State.SWITCH:
                known = say.names_exactly(self._lines, self._command, self._plug, on=self._on)
                if known and not self._asked:
                    self._asked = True
                    self._lines = []
                    self._send("Y")
                    return
                asked = " / ".join(line.strip() for line in self._lines[-4:])
                self._lines = []
                self._send("N")
                self._refuse(f"{self._command}: the device asks about something else: {self._quote(asked)}")
            case _State.LOGOUT:
                leaving = say.only_leaving(self._lines, self._command)
                self._leave_again = self._leave_again or not leaving
                self._lines = []
                self._send("Y" if leaving else "N")
            case _State.STATUS | _State.GROUPS:
                # It belongs to an earlier command, and what we sent was its answer.
                self._refuse(f"{self._command}: the device asks {self._quote(self._lines[-1])}")
            case _:
                pass

    def _is_page_end(self, line: str) -> bool:
        """A pager stands in a table; before its header there are only banners, which may say anything."""
        if self._paged or self._state is _State.IDLE or not say.is_pager(line):
            return False
        return any(is_plug_header(text) or is_group_header(text) for text in self._lines)

    def _next_page(self) -> None:
        self._end_line()
        self._paged = True
        self._pages += 1
        # The pager may have taken our /X,Y for its answer.
        self._leave_again = self._leave_again or self._state is _State.LOGOUT
        if self._pages > PAGE_LIMIT:
            self._refuse(f"{self._what()} has more than {PAGE_LIMIT} pages")
            return
        self._send("")

    # Small things.

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


def _table(lines: Sequence[str], *, noisy: bool) -> tuple[PlugRow, ...] | ScreenError | None:
    """The plug table of a chunk, why it cannot be read, or None when there is none."""
    if not any(is_plug_header(line) for line in lines):
        return None
    try:
        return parse_status(lines, noisy=noisy)
    except ScreenError as error:
        return error


def _numbers(table: Sequence[PlugRow]) -> frozenset[int]:
    return frozenset(row.number for row in table)
