"""What can happen to the core. Each event is a fact; none is a request to skip a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from failover_kit.manager.records import Beat, FenceEvidence, PlugState


class ProbeOutcome(Enum):
    """What the resources of a group are found in. Anything in doubt is DOUBT."""

    STOPPED = "stopped"  # every resource cleanly stopped, no process of an earlier action left
    RUNNING = "running"  # every resource runs
    DOUBT = "doubt"  # some run, or some do not answer cleanly


class Verb(Enum):
    """What an operator can order."""

    STANDBY = "standby"
    TAKEOVER = "takeover"
    FENCE = "fence"
    CONFIRM_DEAD = "confirm-dead"
    PROVE = "prove"
    MAINTENANCE_ON = "maintenance-on"
    MAINTENANCE_OFF = "maintenance-off"


@dataclass(frozen=True, slots=True)
class Tick:
    """The time asked for by ``deadline_ms()`` has come (or any time: a tick is always harmless)."""


@dataclass(frozen=True, slots=True)
class BeatReceived:
    """A frame whose signature was right arrived on ``link``."""

    link: str
    beat: Beat


@dataclass(frozen=True, slots=True)
class Persisted:
    """The record of ``Persist(token)`` is durable: written, fsynced, and its directory, too."""

    token: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """The record of ``Persist(token)`` may or may not be on the disk; count on nothing."""

    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class Probed:
    """Answer to ``Probe(group, op)``. Leftovers of earlier actions were killed and are gone when STOPPED."""

    group: str
    op: int
    outcome: ProbeOutcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One resource's part of a start or stop, its monitors included: for the journal and people, never for a
    decision. Not compared: two answers are alike when they say the same of the group."""

    resource: str
    began_ms: int
    ended_ms: int


@dataclass(frozen=True, slots=True)
class Started:
    """Answer to ``Start``: every resource of the group was started and a monitor agrees."""

    group: str
    op: int
    calls: tuple[Call, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class StartFailed:
    """Answer to ``Start``: a resource failed or timed out; some of the group may run.

    ``resource`` is "" when none is at fault: the start was not allowed any more, or the order was too old.
    """

    group: str
    op: int
    resource: str
    reason: str
    calls: tuple[Call, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Stopped:
    """Answer to ``Stop``: verified as rule 6 asks: stops succeeded, monitors agree, no process is left."""

    group: str
    op: int
    calls: tuple[Call, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class StopFailed:
    """Answer to ``Stop``: something may still be active."""

    group: str
    op: int
    resource: str
    reason: str
    calls: tuple[Call, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class MonitorFailed:
    """A recurring monitor of a started group failed. ``op`` is that of the Start or Probe it belongs to."""

    group: str
    op: int
    resource: str
    reason: str


@dataclass(frozen=True, slots=True)
class FenceDone:
    """Answer to ``Fence(op)``: the agents ended, or were killed and are gone."""

    op: int
    evidence: FenceEvidence


@dataclass(frozen=True, slots=True)
class PowerOnDone:
    """Answer to ``PowerOn(op)``, cancelled or not: no agent of it runs any more."""

    op: int
    ok: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlugsRead:
    """Answer to ``ReadPlugs(op)``: the state of all plugs of the peer together; UNKNOWN if they differ."""

    op: int
    state: PlugState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PingsSeen:
    """Which ping nodes are reached, in the order of ``CoreConfig.pings``: an echo of the last deadping was
    answered. None is not known: nobody asked for so long yet, or nobody can ask.

    ``quiet``: some answered in this life, and for about half of deadtime none has. That is sooner than ``reached``
    tells, so that it is known when the peer's silence is. Told when something of it changes.
    """

    reached: tuple[bool | None, ...]
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a watcher asks for a takeover; an order without them is the operator's own."""

    epoch: int  # that it saw active
    hold_off_ms: int
    asker: str  # for the record


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's order; answered by ``Reply(id)`` with the real outcome.

    ``groups`` empty means all groups. ``target`` is the node for FENCE, CONFIRM_DEAD and PROVE.
    ``wall_ms`` is when it was given, since 1970: a drill's date is made from it, and nothing is decided by it.
    ``by`` is who gave it, for the record: "uid 0, pid 10479, hb_standby".
    """

    id: int
    verb: Verb
    groups: tuple[str, ...] = ()
    target: str = ""
    wall_ms: int = 0
    terms: Terms | None = None
    by: str = ""


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """failoverd was asked to end: hand over or stop everything, then leave."""


Event = (
    Tick
    | BeatReceived
    | Persisted
    | PersistFailed
    | Probed
    | Started
    | StartFailed
    | Stopped
    | StopFailed
    | MonitorFailed
    | FenceDone
    | PowerOnDone
    | PlugsRead
    | PingsSeen
    | Command
    | ShutdownRequested
)
