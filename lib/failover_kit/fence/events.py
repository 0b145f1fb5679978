"""What the dialogue with a switch comes to. Reasons are for the administrator and free of secrets."""

from __future__ import annotations

from dataclasses import dataclass

from failover_kit.fence.screens import GroupRow, PlugRow


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The first prompt came; ``prompt`` is its text, such as "IPS>"."""

    prompt: str = ""


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
    """The plug groups; none when the device shows an empty list."""

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
