"""A WTI power switch as a state machine: keystrokes and time in, screens and relay movements out. Pure.

Doors: ``connect``, ``receive``, ``disconnected`` (the network side), ``console`` (the serial port),
``switched`` (a relay has moved), ``handle`` with ``deadline_ms`` (time), ``press`` (the button on the
front), ``order`` (the REST interface), ``take`` (what to do now). No clock, no socket, no process in here;
``server`` is the shell around it.

One session: either the console or one network connection is in command mode (NPS guide, page 18;
IPS guides, 6.3). What is said in it stands in ``session``, what the device is in ``unit``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from failover_kit.emulator import variants
from failover_kit.emulator.relays import Finished, Operate, Outlet, Pause, Switch
from failover_kit.emulator.screens import lines
from failover_kit.emulator.session import Session
from failover_kit.emulator.settings import Settings
from failover_kit.emulator.unit import Effect, Hangup, Line, Store, Unit
from failover_kit.emulator.variants import Variant

_WAKE = b"\r"


def factory_outlets(variant: Variant = variants.IPS) -> list[Outlet]:
    """Unnamed plugs, all ON, delay 0.5 s: the unit as it leaves the factory."""
    return [Outlet(number, priority=number) for number in range(1, variant.plug_count + 1)]


class Device:
    """One switch."""

    def __init__(
        self,
        outlets: Iterable[Outlet],
        settings: Settings | None = None,
        *,
        variant: Variant = variants.IPS,
        groups: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.unit = Unit(variant, outlets, settings if settings is not None else Settings(), groups)
        self.faults = self.unit.faults
        self._session: Session | None = None

    # --- the network -------------------------------------------------------------------------------

    def accepting(self) -> bool:
        """Whether a connection would be taken: one session at a time (user's guide, section 6.3)."""
        return self._session is None and not self.refusing()

    def refusing(self) -> bool:
        """Whether a fault keeps the network out."""
        occupied = self.faults.active("busy") and not self.unit.variant.busy_star
        return self.faults.active("refuse") or occupied or self.faults.locked_out()

    def connect(self, now_ms: int, peer: str) -> None:
        """A client has connected from ``peer``."""
        self._open(now_ms, Line.NETWORK, peer)

    def receive(self, now_ms: int, data: bytes) -> None:
        """Bytes from the client."""
        if self._session is not None and self._session.line is Line.NETWORK:
            self._session.receive(now_ms, data)
            self._collect(now_ms)

    def disconnected(self, now_ms: int) -> None:
        """The client is gone. Relays that were told to move go on."""
        if self._session is not None and self._session.line is Line.NETWORK:
            self._close("lost")
        self._collect(now_ms)

    # --- the console -------------------------------------------------------------------------------

    def console(self, now_ms: int, data: bytes) -> None:
        """Bytes on the serial port. Enter wakes it, unless the network is in command mode.

        There is no carrier: a terminal that is unplugged leaves its session behind until the timeout.
        """
        if self._session is None or self._session.line is not Line.CONSOLE:
            start = data.find(_WAKE)
            if start < 0 or self.faults.active("mute"):
                return
            if self._session is not None or (self.faults.active("busy") and not self.unit.variant.busy_star):
                words = self.unit.variant.console_busy
                self.unit.send(Line.CONSOLE, lines("", words).encode() if words else b"")
                return
            self._open(now_ms, Line.CONSOLE, "console")
            data = data[start + 1 :]
        if data and self._session is not None:
            self._session.receive(now_ms, data)
        self._collect(now_ms)

    # --- everything else ---------------------------------------------------------------------------

    def press(self, now_ms: int, number: int, on: bool) -> int:
        """Somebody presses the button of outlet ``number``; the job's number comes back in Finished."""
        self.unit.event("button", outlet=number, to="on" if on else "off")
        job = self.unit.relays.submit(now_ms, [Operate(number, on)])
        self._collect(now_ms)
        return job

    def order(self, now_ms: int, verb: str, plugs: Iterable[int]) -> int:
        """Switch ``plugs`` without taking the session: on, off, boot or default."""
        job = self.unit.order(now_ms, verb, plugs)
        self._collect(now_ms)
        return job

    def power_cycle(self, now_ms: int) -> int:
        """The device itself loses power and gets it back: every plug off, then to its power-up default."""
        self.unit.event("power_cycle")
        if self._session is not None:
            self._hang_up("power")
        outlets = list(self.unit.relays.outlets.values())
        steps: list[Operate | Pause] = [Operate(outlet.number, False) for outlet in outlets]
        for outlet in outlets:
            if outlet.default_on:
                steps += [Pause(outlet.delay_ms), Operate(outlet.number, True)]
        job = self.unit.relays.submit(now_ms, steps)
        self._collect(now_ms)
        return job

    def switched(self, now_ms: int, ok: bool) -> None:
        """The relay of the last Switch has moved, or (``ok`` False) stays where it was."""
        self.unit.relays.switched(now_ms, ok)
        self.unit.put(Store())
        self._collect(now_ms)

    def handle(self, now_ms: int) -> None:
        """Time has passed."""
        self.unit.relays.handle(now_ms)
        self._collect(now_ms)
        if self._session is not None:
            self._session.handle(now_ms)
            self._collect(now_ms)

    def deadline_ms(self) -> int | None:
        """When ``handle`` wants to be called, on the clock that is passed in; None: not needed."""
        session_ms = None if self._session is None else self._session.deadline_ms()
        known = [at for at in (self.unit.relays.deadline_ms(), session_ms) if at is not None]
        return min(known, default=None)

    def take(self) -> list[Effect]:
        """What to do, in order. Call it after every door."""
        return self.unit.take()

    def outlet(self, number: int) -> Outlet:
        """Outlet ``number``; KeyError when there is none."""
        return self.unit.relays.outlets[number]

    def view(self) -> dict[str, object]:
        """The truth about the device, ready for JSON. No passwords."""
        outlets = [
            {"outlet": o.number, "name": o.name, "state": "on" if o.on else "off"}
            for o in self.unit.relays.outlets.values()
        ]
        session = None
        if self._session is not None:
            session = {
                "line": self._session.line.value,
                "peer": self._session.peer,
                "state": self._session.state.value,
            }
        return {
            "variant": self.unit.variant.name,
            "outlets": outlets,
            "session": session,
            "busy": self.unit.relays.busy(),
            "faults": self.faults.view(),
        }

    # --- inside ------------------------------------------------------------------------------------

    def _open(self, now_ms: int, line: Line, peer: str) -> None:
        if self._session is not None:
            raise RuntimeError("a second session; the server must not let it in")
        self._session = Session(self.unit, line, peer)
        self.unit.event("connect", peer=peer)
        self._session.begin(now_ms)
        self._collect(now_ms)

    def _collect(self, now_ms: int) -> None:
        """Take over what the relays want done; a finished job gives its session the prompt back."""
        while effects := self.unit.relays.take():
            for effect in effects:
                if isinstance(effect, Switch) and effect.on:
                    self.unit.put(Store())  # first: a crash in the middle of it must not come back with OFF
                self.unit.put(effect)
                if isinstance(effect, Finished) and self._session is not None:
                    self._session.job_finished(now_ms, effect.job)
        if self._session is not None and self._session.ended is not None:
            self._hang_up(self._session.ended)

    def _hang_up(self, reason: str) -> None:
        assert self._session is not None  # noqa: S101 - asked for by a session
        line = self._session.line
        self._close(reason)
        self.unit.put(Hangup(line))

    def _close(self, reason: str) -> None:
        assert self._session is not None  # noqa: S101 - looked at by the caller
        self.unit.event("disconnect", peer=self._session.peer, reason=reason)
        self._session = None
