"""A WTI IPS-800 as a state machine: keystrokes and time in, screens and relay movements out. Pure.

Doors: ``connect``, ``receive``, ``disconnected`` (the network side), ``switched`` (a relay has moved),
``handle`` with ``deadline_ms`` (time), ``press`` (the button on the front), ``take`` (what to do now).
No clock, no socket, no process in here; ``server`` is the shell around it.

What the device does on the wire is known from the IPS-400/IPS-800 user's guides, from the dialogues of
cluster-glue's wti_nps and of fence_wti, and from the printed v1.41h session (see ``screens``).
Approximations, never checked against the hardware: a line ends with CR, while LF and NUL are ignored;
three rejected passwords end the session; keys typed during "Processing" are dropped, except CR, which
gives the prompt back while the relays go on; answers to (Y/N) are whole lines; a switching command
given while relays still move waits its turn. Not built: plug passwords, menus, automated mode, pager.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from failover_kit.emulator import commands, screens, telnet
from failover_kit.emulator.commands import Command
from failover_kit.emulator.faults import Faults
from failover_kit.emulator.relays import Event, Finished, Operate, Outlet, RelayBank, Switch, sequence

PLUG_COUNT = 8
LINE_LIMIT = 128  # longer than eight names of 16 with separators is nobody's command
PASSWORD_ATTEMPTS = 3
IDLE_TIMEOUT_MS = 120_000  # the 2 minutes older units name on their status screen

_CR, _BACKSPACES = 0x0D, (0x08, 0x7F)


@dataclass(frozen=True)
class Send:
    """Effect: these bytes to the client."""

    data: bytes


@dataclass(frozen=True)
class Hangup:
    """Effect: end the connection; the device has already forgotten the session."""


Effect = Send | Hangup | Switch | Finished | Event


class State(enum.Enum):
    """Where the one session is."""

    CLOSED = "closed"
    PASSWORD = "password"  # noqa: S105 - a state's name
    READY = "ready"
    CONFIRM = "confirm"
    PROCESSING = "processing"


def factory_outlets() -> list[Outlet]:
    """Eight unnamed plugs, all ON, delay 0.5 s: the unit as it leaves the factory."""
    return [Outlet(number) for number in range(1, PLUG_COUNT + 1)]


class Device:
    """One switch. ``password`` None: no system password defined, hence no password prompt."""

    def __init__(
        self,
        outlets: Iterable[Outlet],
        *,
        password: str | None = None,
        site_id: str = "",
        idle_timeout_ms: int = IDLE_TIMEOUT_MS,
    ) -> None:
        self.faults = Faults()
        self._relays = RelayBank(outlets, self.faults)
        self._password = None if password is None else password.encode()
        self._site_id = site_id
        self._idle_timeout_ms = idle_timeout_ms
        self._state = State.CLOSED
        self._peer = ""
        self._telnet = telnet.TelnetServer()
        self._line = bytearray()
        self._attempts = 0
        self._pending: Command | None = None
        self._job: int | None = None
        self._idle_at_ms = 0
        self._noise = 1
        self._effects: list[Effect] = []

    # --- the doors ---------------------------------------------------------------------------------

    def accepting(self) -> bool:
        """Whether a connection would be taken: one session at a time (user's guide, section 6.3)."""
        return self._state is State.CLOSED and not self.faults.active("refuse")

    def connect(self, now_ms: int, peer: str) -> None:
        """A client has connected from ``peer``."""
        if self._state is not State.CLOSED:
            raise RuntimeError("a second session; the server must not let it in")
        self._peer = peer
        self._telnet = telnet.TelnetServer()
        self._line.clear()
        self._attempts = 0
        self._event("connect", peer=peer)
        self._idle_at_ms = now_ms + self._idle_timeout_ms
        self._send(telnet.GREETING)
        if self._password is None:
            self._log_in()
        else:
            self._state = State.PASSWORD
            self._write("\r\n" + screens.PASSWORD_PROMPT)

    def receive(self, now_ms: int, data: bytes) -> None:
        """Bytes from the client."""
        if self._state is State.CLOSED or self.faults.active("mute"):
            return
        self._idle_at_ms = now_ms + self._idle_timeout_ms
        typed, reply = self._telnet.receive(data)
        if reply:
            self._send(reply)
        for key in typed:
            self._key(now_ms, key)

    def disconnected(self, now_ms: int) -> None:
        """The client is gone. Relays that were told to move go on."""
        if self._state is not State.CLOSED:
            self._close("lost")
        self._collect(now_ms)

    def press(self, now_ms: int, number: int, on: bool) -> int:
        """Somebody presses the button of outlet ``number``; the job's number comes back in Finished."""
        self._event("button", outlet=number, to="on" if on else "off")
        job = self._relays.submit(now_ms, [Operate(number, on)])
        self._collect(now_ms)
        return job

    def switched(self, now_ms: int, ok: bool) -> None:
        """The relay of the last Switch has moved, or (``ok`` False) stays where it was."""
        self._relays.switched(now_ms, ok)
        self._collect(now_ms)

    def handle(self, now_ms: int) -> None:
        """Time has passed."""
        self._relays.handle(now_ms)
        self._collect(now_ms)
        if self._idle_ends_ms() is not None and now_ms >= self._idle_at_ms:
            self._hang_up("timeout")

    def deadline_ms(self) -> int | None:
        """When ``handle`` wants to be called, on the clock that is passed in; None: not needed."""
        known = [at for at in (self._relays.deadline_ms(), self._idle_ends_ms()) if at is not None]
        return min(known, default=None)

    def take(self) -> list[Effect]:
        """What to do, in order. Call it after every door."""
        effects, self._effects = self._effects, []
        return effects

    def outlet(self, number: int) -> Outlet:
        """Outlet ``number``; KeyError when there is none."""
        return self._relays.outlets[number]

    def view(self) -> dict[str, object]:
        """The truth about the device, ready for JSON."""
        outlets = [
            {"outlet": o.number, "name": o.name, "state": "on" if o.on else "off"}
            for o in self._relays.outlets.values()
        ]
        session = None if self._state is State.CLOSED else {"peer": self._peer, "state": self._state.value}
        return {
            "outlets": outlets,
            "session": session,
            "busy": self._relays.busy(),
            "faults": self.faults.view(),
        }

    # --- keys and lines ----------------------------------------------------------------------------

    def _key(self, now_ms: int, key: int) -> None:
        if self._state is State.CLOSED:
            return
        if self._state is State.PROCESSING:
            if key == _CR:
                self._job = None
                self._show_status()
            return
        echo = self._state is not State.PASSWORD
        if key == _CR:
            if echo:
                self._write("\r\n")
            line, self._line = bytes(self._line), bytearray()
            self._line_done(now_ms, line)
        elif key in _BACKSPACES:
            if self._line:
                del self._line[-1]
                if echo:
                    self._write("\b \b")
        elif key >= 0x20 and len(self._line) < LINE_LIMIT:
            self._line.append(key)
            if echo:
                self._send(bytes((key, key)) if key == telnet.IAC else bytes((key,)))

    def _line_done(self, now_ms: int, line: bytes) -> None:
        if self._state is State.PASSWORD:
            self._try_password(line)
        elif self._state is State.CONFIRM:
            self._confirmed(now_ms, line.strip().upper().startswith(b"Y"))
        elif line.strip():
            self._command(now_ms, line.decode("latin-1"))
        else:
            self._prompt()

    def _try_password(self, line: bytes) -> None:
        if line == self._password:
            self._log_in()
            return
        self._attempts += 1
        self._event("login_refused", attempt=self._attempts)
        self._write("\r\n" + screens.lines(screens.INVALID_PASSWORD))
        if self._attempts >= PASSWORD_ATTEMPTS:
            self._hang_up("passwords")
        else:
            self._write("\r\n" + screens.PASSWORD_PROMPT)

    def _log_in(self) -> None:
        self._event("login")
        self._show_status()

    # --- commands ----------------------------------------------------------------------------------

    def _command(self, now_ms: int, line: str) -> None:
        try:
            command = commands.parse(line, self._names())
        except (commands.InvalidCommand, commands.InvalidPlug) as error:
            # What was typed is not logged: it may be a password typed at the wrong prompt.
            plug = isinstance(error, commands.InvalidPlug)
            self._event("invalid_plug" if plug else "invalid_command")
            self._reply(screens.lines("", screens.INVALID_PLUG if plug else screens.INVALID_COMMAND, ""))
            self._prompt()
            return
        self._event("command", text=command.text())
        if command.verb == "status":
            self._show_status()
        elif command.verb == "help":
            self._reply(screens.help_text(self._site_id))
            self._prompt()
        else:
            self._ask_or_do(now_ms, command)

    def _ask_or_do(self, now_ms: int, command: Command) -> None:
        if command.verb != "exit":
            verb = "booted" if command.verb == "boot" else f"turned {command.verb.capitalize()}"
            plugs = [(number, self.outlet(number).name) for number in command.plugs]
            self._reply(screens.announce(verb, plugs))
        self._pending = command
        if command.sure:
            self._confirmed(now_ms, True)
        else:
            self._state = State.CONFIRM
            self._write(screens.CONFIRM)

    def _confirmed(self, now_ms: int, yes: bool) -> None:
        command, self._pending = self._pending, None
        self._state = State.READY
        if command is None or not yes:
            self._event("not_confirmed")
            self._prompt()
        elif command.verb == "exit":
            self._hang_up("exit")
        else:
            self._switch(now_ms, command)

    def _switch(self, now_ms: int, command: Command) -> None:
        self._write(screens.lines("", screens.PROCESSING))
        self._state = State.PROCESSING
        outlets = [self.outlet(number) for number in command.plugs]
        self._job = self._relays.submit(now_ms, sequence(command.verb, outlets))
        if self.faults.active("drop"):
            self._hang_up("drop")
        self._collect(now_ms)

    def _collect(self, now_ms: int) -> None:
        """Take over what the relays want done; the job of the session gives the prompt back."""
        for effect in self._relays.take():
            self._effects.append(effect)
            if isinstance(effect, Finished) and effect.job == self._job:
                self._job = None
                self._idle_at_ms = now_ms + self._idle_timeout_ms
                self._show_status()

    # --- saying things -----------------------------------------------------------------------------

    def _names(self) -> Sequence[str]:
        return [outlet.name for outlet in self._relays.outlets.values()]

    def _show_status(self) -> None:
        self._state = State.READY
        rows = [
            screens.row(o.number, o.name, o.on, o.delay_ms, o.default_on)
            for o in self._relays.outlets.values()
        ]
        self._reply(screens.status(self._site_id, rows))
        self._prompt()

    def _prompt(self) -> None:
        self._write("\r\n" + screens.PROMPT)

    def _reply(self, text: str) -> None:
        """A reply of some length, which the fault ``garbage`` turns into noise."""
        if self.faults.active("garbage"):
            self._send(bytes(self._next_noise() for _ in text))
        else:
            self._write(text)

    def _next_noise(self) -> int:
        """Line noise that is the same in every run: a linear congruential sequence (Knuth, MMIX)."""
        self._noise = (self._noise * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self._noise >> 56

    def _write(self, text: str) -> None:
        self._send(text.encode("ascii"))

    def _send(self, data: bytes) -> None:
        if not self.faults.active("mute"):
            self._effects.append(Send(data))

    def _event(self, name: str, **fields: object) -> None:
        self._effects.append(Event(name, fields))

    # --- the end of a session ----------------------------------------------------------------------

    def _idle_ends_ms(self) -> int | None:
        """When the inactivity timeout strikes. A session that waits for relays is not idle."""
        idle = self._state not in (State.CLOSED, State.PROCESSING)
        return self._idle_at_ms if idle else None

    def _hang_up(self, reason: str) -> None:
        self._close(reason)
        self._effects.append(Hangup())

    def _close(self, reason: str) -> None:
        self._state = State.CLOSED
        self._job = None
        self._pending = None
        self._line.clear()
        self._event("disconnect", peer=self._peer, reason=reason)
