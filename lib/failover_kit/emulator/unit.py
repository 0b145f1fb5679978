"""The device apart from who talks to it: relays, settings, faults, rights; and the effects it wants. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from failover_kit.emulator.faults import Faults
from failover_kit.emulator.relays import Event, Finished, Outlet, RelayBank, Switch, sequence
from failover_kit.emulator.settings import Settings
from failover_kit.emulator.variants import Variant


class Line(enum.Enum):
    """Where somebody can sit."""

    NETWORK = "network"
    CONSOLE = "console"


@dataclass(frozen=True)
class Send:
    """Effect: these bytes to whoever is on ``line``."""

    data: bytes
    line: Line = Line.NETWORK


@dataclass(frozen=True)
class Hangup:
    """Effect: end the connection; the device has already forgotten the session."""

    line: Line = Line.NETWORK


@dataclass(frozen=True)
class Store:
    """Effect: what the device remembers has changed; write it down if anybody wants it."""


Effect = Send | Hangup | Switch | Finished | Event | Store


@dataclass(frozen=True)
class Rights:
    """What a password gives: System Mode, or User Mode with the plugs it owns."""

    system: bool
    plugs: frozenset[int]


class Unit:
    """One device. The relays are driven by whoever holds it (``device``)."""

    def __init__(
        self,
        variant: Variant,
        outlets: Iterable[Outlet],
        settings: Settings,
        groups: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.variant = variant
        self.settings = settings
        self.groups = dict(groups or {})
        self.faults = Faults()
        self.relays = RelayBank(outlets, self.faults)
        self._effects: list[Effect] = []

    # --- effects -----------------------------------------------------------------------------------

    def put(self, effect: Effect) -> None:
        self._effects.append(effect)

    def send(self, line: Line, data: bytes) -> None:
        if data and not self.faults.active("mute"):
            self.put(Send(data, line))

    def event(self, name: str, **fields: object) -> None:
        self.put(Event(name, fields))

    def take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # --- who may do what ---------------------------------------------------------------------------

    def automated(self) -> bool:
        """Automated mode: no passwords, no replies but the prompt (NPS-2HD guide, 6.5)."""
        return self.settings.automated or self.faults.active("automated")

    def everything(self) -> Rights:
        return Rights(True, frozenset(self.relays.outlets))

    def open_to_all(self) -> bool:
        """Whether nobody is asked for a password (user's guides: no system password defined)."""
        return self.settings.password is None or self.automated()

    def log_in(self, user: str | None, password: str) -> Rights | None:
        """The rights these words give; None when they are refused. ``user`` None: nobody asked for one.

        The system password gives everything. A plug's password gives the plugs that share it
        (IPS-4 guide, Plug Passwords), under any user name.
        """
        rights = self._rights(user, password)
        if rights is None:
            self.faults.rejected += 1
            self.event("login_refused", rejected=self.faults.rejected)
        return rights

    def owned(self, rights: Rights) -> list[Outlet]:
        return [outlet for outlet in self.relays.outlets.values() if outlet.number in rights.plugs]

    def _rights(self, user: str | None, password: str) -> Rights | None:
        if self.open_to_all():
            return self.everything()
        named = user is None or not self.settings.user or user == self.settings.user
        if named and password == self.settings.password:
            return self.everything()
        shared = frozenset(o.number for o in self.relays.outlets.values() if o.password and o.password == password)
        return Rights(False, shared) if shared else None

    # --- what it does ------------------------------------------------------------------------------

    def order(self, now_ms: int, verb: str, plugs: Iterable[int]) -> int:
        """Have the relays do on, off, boot or default; returns the job's number."""
        return self.relays.submit(now_ms, sequence(verb, [self.relays.outlets[number] for number in plugs]))

    def starred(self) -> set[int]:
        """The plugs whose state is marked as busy: those being switched, all of them by the fault ``busy``."""
        if not self.variant.busy_star:
            return set()
        return set(self.relays.outlets) if self.faults.active("busy") else self.relays.busy_plugs()

    def changed(self, what: str) -> None:
        """A parameter has been changed; ``what`` is its label."""
        self.event("changed", what=what)
        self.put(Store())
