"""The talk with a switch about its menus as a pure part: bytes in, screens out, keys out. No I/O, no clock.

Nobody has written down how the menus end: with a line feed or not, in one line or two. So a screen is looked at
when the unit has been silent for a while (``look(silent_ms)``), and counts as complete when its last line is one
the unit waits at: a command prompt, a question, a footer with <ESC> in it, a text that ends like a prompt. Where
the stream was cut makes no difference; a pause within a screen only costs time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from failover_kit.fence.secret import MASK, Secret
from failover_kit.fence.telnet import TelnetFilter, escape
from failover_kit.switch.menu import Masking, Menu, items_of, read_menu

# The longest screen, a VMR's two-column menu, has about 3 KB. What is twenty times as long is no menu.
SCREEN_LIMIT = 64 * 1024
LINE_LIMIT = 1024
# After this silence a screen counts as complete although its last line is none we know.
LONG_SILENCE_MS = 1500

ESC = b"\x1b"

# The prompts of the family are one upper-case word: IPS> NPS> TPS> VMR> MPC> RSM> (fence_wti), PS> BB> (wti_nps).
_PROMPT = re.compile(r"\s*([A-Z][A-Z0-9-]{1,15})>\s*")
_YES_NO = re.compile(r".*[([]\s*y(?:es)?\s*/\s*n(?:o)?\s*[)\]]\s*[:?]?\s*", re.I)
# "Enter Selection or <ESC> to Exit" (NPS-115 guide, figure 8); "Enter: #<CR> to change, <ESC> ..." (VMR).
_CHOICE = re.compile(r"\b(?:selection|select|choice|choose|option)\b|<esc(?:ape)?>|\besc(?:ape)?\b|#\s*<cr>", re.I)
_ESCAPE = re.compile(r"<esc(?:ape)?>|\besc(?:ape)?\b", re.I)
# A footer that is complete although no line feed came: what <ESC> is good for stands behind it.
_FOOTER = re.compile(r"\besc(?:ape)?\b.*\b(?:exit|quit|leave|cancel|abort|return|back|menu|end)\b\W*$", re.I)
_ASKS_VALUE = re.compile(
    r"\b(?:enter|new|type|key in|input)\b"
    r".*\b(?:name|password|address|mask|gateway|time\s?out|minutes|value)\b",
    re.I,
)
# How a question for a text ends. A question mark or a bracket might still be followed by "(Y/N):".
_ENDINGS = ":>="
# "Invalid command" (IPS); "?" (RPB+); the others are what such machines say.
REFUSAL = re.compile(
    r"\s*(?:\?|.*\b(?:invalid|illegal|unknown|unrecogni[sz]ed|not\s+allowed|denied|no\s+access|too\s+long|error)\b.*)\s*",
    re.I,
)


class Kind(Enum):
    """What the unit waits for."""

    PROMPT = auto()  # a command
    MENU = auto()  # the number of an item, or <ESC>
    VALUE = auto()  # a text
    QUESTION = auto()  # Y or N
    CLOSED = auto()  # nothing: it hung up
    SILENT = auto()  # unknown: it said nothing we understand in time


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything the unit printed since we last sent something. ``ask`` is the line it waits at."""

    kind: Kind
    lines: tuple[str, ...]
    ask: str = ""
    menu: Menu = field(default_factory=lambda: Menu("", ()))

    @property
    def refusal(self) -> str:
        """The first line in which the unit turns something down, or nothing."""
        for line in self.lines:
            if "|" not in line and not items_of(line) and REFUSAL.fullmatch(line):
                return line.strip()
        return ""

    @property
    def prompt(self) -> str:
        """``IPS`` for a screen that ends in ``IPS>``."""
        match = _PROMPT.fullmatch(self.ask)
        return match[1] if match else ""


class Talk:
    """One connection's bytes, as screens. ``hide`` names what must never be seen in a trace or a screen's text."""

    def __init__(self, *, telnet: bool, hide: Iterable[Secret] = ()) -> None:
        self._telnet = TelnetFilter() if telnet else None
        self._hidden = [secret for secret in hide if secret]
        self._out = bytearray()
        self._trace: list[str] = []
        self._lines: list[str] = []
        self._line = ""
        self._masking = Masking()
        self._echo = ""
        self._seen = 0
        self._over = False

    # Doors.

    def receive(self, data: bytes) -> None:
        """Take what the unit sent."""
        if self._telnet is not None:
            data, answers = self._telnet.receive(data)
            self._out += answers
        for char in data.decode("latin-1"):
            self._seen += 1
            if char in "\r\n":
                self._end_line()
            elif char == "\b":
                self._line = self._line[:-1]
            elif char == "\t" or char >= " ":
                self._line += char
            if self._seen > SCREEN_LIMIT or len(self._line) > LINE_LIMIT:
                self._over = True
                return

    def look(self, silent_ms: int) -> Screen | None:
        """The screen, if it is complete. ``silent_ms``: for how long nothing has come."""
        if self._over:
            return Screen(Kind.SILENT, tuple(self._lines), "more than any menu has; is this a WTI power switch?")
        menu = read_menu(self._lines)
        ask = self._line
        if ask.strip():
            return self._asked(ask, menu, patient=silent_ms >= LONG_SILENCE_MS)
        last = self._lines[-1] if self._lines else ""
        if _ESCAPE.search(last) and not items_of(last):
            return self._asked(last, menu, patient=False, ended=True)
        if menu.items and silent_ms >= LONG_SILENCE_MS:
            return Screen(Kind.MENU, tuple(self._lines), "", menu)
        return None

    def ended(self, kind: Kind) -> Screen:
        """The screen so far, when no more of it will come."""
        self._end_line()
        return Screen(kind, tuple(self._lines), menu=read_menu(self._lines))

    def send(self, text: str) -> None:
        """Type a line. What came before is done with."""
        self._type(text, self.redact(text))

    def send_secret(self, secret: Secret) -> None:
        self.hide(secret)
        self._type(secret.reveal(), MASK)

    def send_escape(self) -> None:
        self._fresh()
        self._trace.append("sent: <ESC>")
        self._out += ESC

    def hide(self, secret: Secret) -> None:
        if secret and secret not in self._hidden:
            self._hidden.append(secret)

    def redact(self, text: str) -> str:
        """``text`` without the secrets, also as they look when their bytes are read as Latin-1."""
        for secret in self._hidden:
            text = secret.redact(text)
            text = Secret(_wire(secret.reveal()).decode("latin-1")).redact(text)
        return text

    def take_output(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data

    def take_trace(self) -> list[str]:
        trace, self._trace = self._trace, []
        return trace

    # Small things.

    def _asked(self, ask: str, menu: Menu, *, patient: bool, ended: bool = False) -> Screen | None:
        """What the last line says, and so what the unit waits for."""
        lines = tuple(self._lines)
        if _PROMPT.fullmatch(ask):
            return Screen(Kind.PROMPT, lines, ask)
        if items_of(ask) or re.fullmatch(r"\s*\d{0,2}[.)]?\s*", ask):  # an item still being printed
            return None
        if _YES_NO.fullmatch(ask):
            return Screen(Kind.QUESTION, lines, ask)
        waiting = patient or ended or _FOOTER.search(ask) is not None or _ends(ask)
        choice = _CHOICE.search(ask) is not None or len(menu.items) > 1
        if menu.items and waiting and choice and not _ASKS_VALUE.search(ask):
            return Screen(Kind.MENU, lines, ask, menu)
        if waiting:
            return Screen(Kind.VALUE, lines, ask)
        return None

    def _type(self, text: str, shown: str) -> None:
        self._fresh()
        self._trace.append(f"sent: {shown}")
        self._echo = _wire(text).decode("latin-1").strip()
        crlf = self._telnet is not None and self._telnet.spoken
        wire = _wire(text)
        self._out += (escape(wire) if self._telnet is not None else wire) + (b"\r\n" if crlf else b"\r")

    def _fresh(self) -> None:
        self._end_line()
        self._lines, self._echo, self._seen = [], "", 0

    def _end_line(self) -> None:
        line, self._line = self._line, ""
        if line.strip():
            self._trace.append(f"received: {self.redact(self._masking.line(line))}")
            # The echo of what we typed is no word of the unit's: a plug may be called "error".
            if self._echo and line.strip() == self._echo:
                self._echo = ""
                return
            self._lines.append(line)


def _ends(ask: str) -> bool:
    """True for what looks like a whole question: words, then a colon or the like, but not the > of an <ESC>."""
    text = ask.rstrip()
    words = any(map(str.isalnum, text))
    return words and text[-1:] in _ENDINGS and not text.casefold().endswith("esc>")


def _wire(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
