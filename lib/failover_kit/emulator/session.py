"""One conversation with the device, on the network or on the console: keys in, screens out. Pure.

Approximations, never checked against the hardware: a line ends with CR, while LF and NUL are ignored;
three rejected passwords end the session; keys typed during "Processing" are dropped, except CR, which
gives the prompt back while the relays go on; answers to (Y/N) are whole lines; ESC at the prompt forgets
the line (an old wti_nps sends four of them "to be in the right menu" and then wants the prompt).
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from failover_kit.emulator import commands, screens, telnet
from failover_kit.emulator.commands import Command
from failover_kit.emulator.menuwalk import MenuWalk
from failover_kit.emulator.unit import Line, Rights, Unit

LINE_LIMIT = 288  # longer than sixteen names of 16 with separators is nobody's command
PASSWORD_ATTEMPTS = 3
FAULT_PAGE_LINES = 10  # of the fault ``pager``

_CR, _ESC, _BACKSPACES = 0x0D, 0x1B, (0x08, 0x7F)
_CONFIGURING = ("general", "plug", "network", "reset", "unlock")


class State(enum.Enum):
    """Where the conversation is."""

    USER = "user"
    PASSWORD = "password"  # noqa: S105 - a state's name
    READY = "ready"
    CONFIRM = "confirm"
    PROCESSING = "processing"
    MENU = "menu"
    PAGER = "pager"


class Session:
    """``ended`` is the reason once the device wants to be rid of the client."""

    def __init__(self, unit: Unit, line: Line, peer: str) -> None:
        self.line = line
        self.peer = peer
        self.state = State.READY
        self.ended: str | None = None
        self._unit = unit
        self._telnet = telnet.TelnetServer() if line is Line.NETWORK else None
        self._rights: Rights = unit.everything()
        self._typed = bytearray()
        self._user: str | None = None
        self._attempts = 0
        self._pending: Command | None = None
        self._job: int | None = None
        self._menu: MenuWalk | None = None
        self._pages: list[str] = []
        self._idle_at_ms = 0
        self._prompt_at_ms: int | None = None
        self._noise = 1

    # --- the doors ---------------------------------------------------------------------------------

    def begin(self, now_ms: int) -> None:
        self._touch(now_ms)
        if self._telnet is not None:
            self._send(telnet.GREETING)
        self._ask_login()

    def receive(self, now_ms: int, data: bytes) -> None:
        """Bytes from the client."""
        if self._unit.faults.active("mute"):
            return
        self._touch(now_ms)
        typed, reply = (data, b"") if self._telnet is None else self._telnet.receive(data)
        self._send(reply)
        for key in typed:
            if self.ended is None:
                self._key(now_ms, key)

    def job_finished(self, now_ms: int, job: int) -> None:
        """The relays have done a job; if it is the one waited for, the prompt comes back."""
        if job == self._job and self.ended is None:
            self._touch(now_ms)
            self._give_prompt_back()

    def handle(self, now_ms: int) -> None:
        """Time has passed."""
        if self._prompt_at_ms is not None and now_ms >= self._prompt_at_ms:
            self._touch(now_ms)
            self._give_prompt_back()
        elif self.state is not State.PROCESSING and now_ms >= self._idle_at_ms:
            self.ended = "timeout"

    def deadline_ms(self) -> int | None:
        """When the inactivity timeout strikes. A session that waits for relays is not idle."""
        return self._prompt_at_ms if self.state is State.PROCESSING else self._idle_at_ms

    def _touch(self, now_ms: int) -> None:
        self._idle_at_ms = now_ms + self._unit.settings.idle_timeout_ms

    # --- keys and lines ----------------------------------------------------------------------------

    def _key(self, now_ms: int, key: int) -> None:
        if self.state is State.PROCESSING:
            if key == _CR:
                self._give_prompt_back()
        elif key == _CR:
            if not self._hidden():
                self._write("\r\n")
            line, self._typed = bytes(self._typed).decode("latin-1"), bytearray()
            self._line_done(now_ms, line)
        elif key == _ESC:
            self._escape()
        elif key in _BACKSPACES:
            if self._typed:
                del self._typed[-1]
                if not self._hidden():
                    self._write("\b \b")
        elif key >= 0x20 and len(self._typed) < LINE_LIMIT:
            self._typed.append(key)
            if not self._hidden():
                self._echo(key)

    def _hidden(self) -> bool:
        """Whether what is typed is not echoed."""
        in_secret = self._menu is not None and self._menu.secret
        return self.state is State.PASSWORD or in_secret or not self._unit.settings.echo

    def _echo(self, key: int) -> None:
        if self._unit.faults.active("echo"):
            key = 0x21 + (key - 0x20) % 0x5E
        self._send(bytes((key, key)) if key == telnet.IAC and self._telnet is not None else bytes((key,)))

    def _escape(self) -> None:
        self._typed.clear()
        if self.state is State.MENU and self._menu is not None:
            self._write(self._menu.escape())
            if self._menu.done:
                self._leave_menu()
                self._prompt()
        elif self.state is State.READY:
            self._prompt()

    def _line_done(self, now_ms: int, line: str) -> None:
        if self.state is State.USER:
            self._user = _words(line)
            self._ask_password()
        elif self.state is State.PASSWORD:
            self._try_password(_words(line))
        elif self.state is State.CONFIRM:
            self._confirmed(now_ms, line.strip().upper().startswith("Y"))
        elif self.state is State.PAGER:
            self._next_page(line)
        elif self.state is State.MENU and self._menu is not None:
            self._menu_line(now_ms, line)
        elif line.strip():
            self._command(now_ms, line)
        else:
            self._prompt()

    # --- login -------------------------------------------------------------------------------------

    def _ask_login(self) -> None:
        if self._unit.open_to_all():
            self._enter(self._unit.everything())
        elif self._unit.variant.asks_user:
            self.state = State.USER
            self._write("\r\n" + self._unit.variant.user_prompt)
        else:
            self._ask_password()

    def _ask_password(self) -> None:
        self.state = State.PASSWORD
        self._write("\r\n" + self._unit.variant.password_prompt)

    def _try_password(self, line: str) -> None:
        rights = self._unit.log_in(self._user, line)
        if rights is not None:
            self._enter(rights)
            return
        self._attempts += 1
        self._write("\r\n" + screens.lines(self._unit.variant.invalid_password))
        if self._attempts >= PASSWORD_ATTEMPTS or self._unit.faults.locked_out():
            self.ended = "passwords"
        else:
            self._ask_login()

    def _enter(self, rights: Rights) -> None:
        self._rights = rights
        self._unit.event("login", **({} if rights.system else {"plugs": sorted(rights.plugs)}))
        first = "prompt" if self._unit.automated() else self._unit.variant.first_screen
        {"prompt": self._prompt, "help": self._show_help, "status": self._show_status}[first]()

    # --- commands ----------------------------------------------------------------------------------

    def _command(self, now_ms: int, line: str) -> None:
        names = {outlet.number: outlet.name for outlet in self._unit.owned(self._rights)}
        verbs = self._unit.variant.verbs
        try:
            command = commands.parse(line, verbs, names, self._unit.groups)
            if command.verb in _CONFIGURING and not self._rights.system:
                raise commands.InvalidCommand
        except (commands.InvalidCommand, commands.InvalidPlug) as error:
            # What was typed is not logged: it may be a password typed at the wrong prompt.
            plug = isinstance(error, commands.InvalidPlug)
            self._unit.event("invalid_plug" if plug else "invalid_command")
            self._show(screens.lines("", screens.INVALID_PLUG if plug else screens.INVALID_COMMAND, ""))
            return
        self._unit.event("command", text=command.text(verbs))
        simple = self._simple_commands().get(command.verb)
        if simple is not None:
            simple()
        elif command.verb in ("general", "network", "plug"):
            self._open_menu(command)
        else:
            self._ask_or_do(now_ms, command)

    def _simple_commands(self) -> dict[str, Callable[[], None]]:
        """The commands that answer at once and never ask."""
        return {
            "status": self._show_status,
            "groups": self._show_groups,
            "help": self._show_help,
            "leave": self._prompt,
            "reset": self._reset_network,
            "relogin": self._login_again,
            "unlock": self._unlock,
        }

    def _reset_network(self) -> None:
        """``/T``. Whoever comes over the network is cut off (approximation)."""
        if self.line is Line.NETWORK:
            self.ended = "reset"
        else:
            self._show(screens.lines("", screens.RESET, ""))

    def _login_again(self) -> None:
        self._rights = Rights(False, frozenset())
        self._ask_login()

    def _unlock(self) -> None:
        self._unit.faults.rejected = 0
        self._prompt()

    def _ask_or_do(self, now_ms: int, command: Command) -> None:
        if command.verb == "default":
            command = Command("default", tuple(sorted(self._rights.plugs)), command.sure)
        outlets = [self._unit.relays.outlets[number] for number in command.plugs]
        if outlets and not self._unit.automated():
            self._reply(screens.announce(self._unit.variant, command.verb, outlets))
        self._pending = command
        if self._asks(command):
            self.state = State.CONFIRM
            self._write(screens.CONFIRM)
        else:
            self._confirmed(now_ms, True)

    def _asks(self, command: Command) -> bool:
        if self._unit.automated():
            return False
        if self._unit.faults.active("confirm"):
            return True
        return self._unit.settings.confirm and not command.sure

    def _confirmed(self, now_ms: int, yes: bool) -> None:
        command, self._pending = self._pending, None
        self.state = State.READY
        if command is None or not yes:
            self._unit.event("not_confirmed")
            self._prompt()
        elif command.verb == "exit":
            self.ended = "exit"
        else:
            self._switch(now_ms, command)

    def _switch(self, now_ms: int, command: Command) -> None:
        if self._unit.relays.full():
            self._unit.event("queue_full")
            self._show(screens.lines("", screens.QUEUE_FULL, ""))
            return
        if not self._unit.automated():
            self._write(screens.lines("", screens.PROCESSING))
        self.state = State.PROCESSING
        patience_ms = self._unit.variant.prompt_after_ms
        self._prompt_at_ms = None if patience_ms is None else now_ms + patience_ms
        self._job = self._unit.order(now_ms, command.verb, command.plugs)
        if self._unit.faults.active("drop"):
            self.ended = "drop"

    def _give_prompt_back(self) -> None:
        self._job = None
        self._prompt_at_ms = None
        if self._unit.automated():
            self._prompt()
        else:
            self._show(self._status(), asked_for=False)

    # --- menus -------------------------------------------------------------------------------------

    def _open_menu(self, command: Command) -> None:
        variant, number = self._unit.variant, command.plugs[0] if command.plugs else 0
        menu = {"general": variant.general, "network": variant.network, "plug": variant.plug}[command.verb]
        subject = self._unit.relays.outlets[number] if number else self._unit.settings
        self._menu = MenuWalk(menu, subject, number, self._unit.changed)
        self.state = State.MENU
        self._write(self._menu.screen())

    def _menu_line(self, now_ms: int, line: str) -> None:
        assert self._menu is not None  # noqa: S101 - state MENU
        if self._menu.choosing and line.lstrip().startswith("/"):
            self._leave_menu()
            self._command(now_ms, line)
        else:
            self._write(self._menu.line(line))

    def _leave_menu(self) -> None:
        self._menu = None
        self.state = State.READY

    # --- saying things -----------------------------------------------------------------------------

    def _status(self) -> str:
        unit = self._unit
        return screens.status(unit.variant, unit.settings.site_id, unit.owned(self._rights), unit.starred())

    def _show_status(self) -> None:
        self._show(self._status())

    def _show_groups(self) -> None:
        unit = self._unit
        mine = {name: [unit.relays.outlets[n] for n in plugs if n in self._rights.plugs]
                for name, plugs in unit.groups.items()}  # fmt: skip
        members = {name: outlets for name, outlets in mine.items() if outlets}
        self._show(screens.groups(unit.variant, unit.settings.site_id, members, unit.starred()))

    def _show_help(self) -> None:
        unit = self._unit
        self._show(screens.help_text(unit.variant, unit.settings.site_id, self._rights.system))

    def _show(self, text: str, asked_for: bool = True) -> None:
        """A whole reply and then the prompt, in pages if it is long.

        A status screen that comes by itself is not paged (approximation: fence_wti could not work otherwise).
        """
        self._pages = self._paged(text, asked_for)
        self._next_page("")

    def _paged(self, text: str, asked_for: bool) -> list[str]:
        per_page = self._unit.variant.page_lines if asked_for else 0
        if self._unit.faults.active("pager"):
            per_page = FAULT_PAGE_LINES
        if not per_page:
            return [text]
        lines = text.splitlines(keepends=True)
        return ["".join(lines[start : start + per_page]) for start in range(0, len(lines), per_page)]

    def _next_page(self, answer: str) -> None:
        if answer.strip().upper().startswith("Q"):
            self._pages = []
        if self._pages:
            self._reply(self._pages.pop(0))
        if self._pages:
            self.state = State.PAGER
            self._write(screens.PAGER)
        else:
            self._prompt()

    def _prompt(self) -> None:
        self.state = State.READY
        self._write("\r\n" + self._unit.variant.prompt)

    def _reply(self, text: str) -> None:
        """A reply of some length, which the fault ``garbage`` turns into noise."""
        if self._unit.faults.active("garbage"):
            self._send(bytes(self._next_noise() for _ in text))
        else:
            self._write(text)

    def _next_noise(self) -> int:
        """Line noise that is the same in every run: a linear congruential sequence (Knuth, MMIX)."""
        self._noise = (self._noise * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self._noise >> 56

    def _write(self, text: str) -> None:
        self._send(text.encode("ascii", "replace"))

    def _send(self, data: bytes) -> None:
        self._unit.send(self.line, data)


def _words(line: str) -> str:
    """What was typed, as the text it is if it is UTF-8: so are names and passwords that come from a file."""
    return line.encode("latin-1").decode("utf-8", "surrogateescape")
