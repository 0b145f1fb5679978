"""What an episode is made of: its phases, its shots and its moments, as the journal has them.

All times are milliseconds of the boot clock of the journal's node (CLOCK_BOOTTIME), and comparable only
within one boot. ``wall_ms`` is the same moment since 1970, or 0 when the journal cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from failover_kit.manager.actions import ExitCode, Level, Reply
from failover_kit.manager.events import Command, Verb
from failover_kit.manager.journal import Life
from failover_kit.manager.records import PlugReading


class Step(Enum):
    """A phase of an episode, in the order in which a takeover has them."""

    SILENCE = "silence"  # last beat that heard us, to the statement that the peer is silent
    DELAY = "delay"  # silent, to the decision to shoot (rule 10)
    RECORD_SHOT = "shot on disk"  # decided, to the shot: durable first (rule 7)
    LOOK = "look at plugs"  # whether they read OFF already (rule 15)
    OFF = "off"  # all plugs, up to the end of the last off
    READ_BACK = "read-back"  # up to the last reading
    UNPROVED = "unproved shot"  # a shot that proved nothing
    RECORD_RIGHT = "right on disk"  # a right was taken or accepted, to the order to start
    STOP = "stop"
    GRANT = "grant"  # verified stopped, to the peer's beat that it starts or runs
    START = "start"
    START_THERE = "start on peer"  # as its beats tell
    POWER_ON = "power on"
    RETURN = "return"  # power is on, to the first beat of the new boot


class Topic(Enum):
    """What an episode is about, the weightiest first."""

    CONFLICT = "conflict"
    TAKEOVER = "takeover"
    DRILL = "drill"
    FENCE = "fence"
    FENCE_FAILED = "fence-failed"
    STOP_FAILED = "failed-stop"
    START_FAILED = "failed-start"
    MONITOR_FAILED = "failed-monitor"
    MAINTENANCE = "maintenance"
    GIVEN = "move-here"
    MOVED = "move-away"
    LEFT = "leaving"
    RESET = "reset"
    SILENCE = "silence"
    REFUSED = "refusal"
    STARTED = "start"
    TROUBLE = "trouble"


def verb_words(verb: Verb) -> str:
    """A verb as it is typed behind ``failoverctl``."""
    typed = {
        Verb.PROVE: "fence --prove",
        Verb.MAINTENANCE_ON: "maintenance on",
        Verb.MAINTENANCE_OFF: "maintenance off",
    }
    return typed.get(verb, verb.value)


def order_words(order: Command) -> str:
    """An order as it was typed, but for its options."""
    without = "--without" if order.verb is Verb.MAINTENANCE_OFF and order.target else ""
    return " ".join(filter(None, (verb_words(order.verb), *order.groups, without, order.target)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """``end_ms`` None: no end is in the journal. ``begin_ms`` None: it began before what is known."""

    step: Step
    subject: str  # a group, a node, or a resource within ``inside``
    begin_ms: int | None
    end_ms: int | None
    good: bool = True
    inside: str = ""  # the group of a resource's part

    @property
    def took_ms(self) -> int | None:
        if self.begin_ms is None or self.end_ms is None:
            return None
        return self.end_ms - self.begin_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotSeen:
    """One answer of the fence devices, with what each plug said and when."""

    fired_ms: int | None
    answered_ms: int
    proved: bool
    looked_only: bool  # nothing was switched
    plugs: tuple[PlugReading, ...]
    reason: str
    earlier: tuple[str, ...]


@dataclass(slots=True)
class Moment:
    """One line of the timeline. ``count`` above 1: the same again, the last time at ``last_ms``."""

    at_ms: int
    wall_ms: int
    lane: str  # a node, "operator" or "switch"
    text: str
    level: Level = Level.INFO
    count: int = 1
    last_ms: int = 0


@dataclass(slots=True)
class Noted:
    """A note of the core within an episode."""

    at_ms: int
    code: str
    text: str


@dataclass(slots=True)
class Episode:
    """Facts that belong together: from the first sign of trouble, or an order, until all of it came to rest."""

    life: Life
    begin_ms: int
    begin_wall_ms: int
    end_ms: int = 0
    moments: list[Moment] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    shots: list[ShotSeen] = field(default_factory=list)
    notes: list[Noted] = field(default_factory=list)
    orders: list[Command] = field(default_factory=list)
    replies: list[tuple[str, Reply]] = field(default_factory=list)  # with the verb of the order
    last_beat_ms: int | None = None  # the last that heard us, when the silence began
    links_before: tuple[str, ...] = ()  # links that were silent before it began
    ran_here: tuple[str, ...] = ()  # groups that ran here when it began, or when the peer fell silent
    ran_there: tuple[str, ...] = ()  # groups that ran on the peer then, by its last beat
    runs_here: tuple[str, ...] = ()  # groups that ran here at its end
    runs_there: tuple[str, ...] = ()  # the same on the peer, as its beats told
    doubt_here: tuple[str, ...] = ()  # groups whose stop had failed here, and none was verified since
    back_ms: int | None = None  # the peer was heard again, maybe after the end
    back_wall_ms: int = 0
    back_boot: str = ""
    gone_boot: str = ""  # the boot that was heard last before
    ended: str = ""  # "" or why it has no end in the journal
    unknown: list[str] = field(default_factory=list)  # what cannot be told, and why

    def ordered(self, verb: Verb) -> bool:
        """Whether an operator gave such an order in it."""
        return any(order.verb is verb for order in self.orders)

    def refused(self) -> bool:
        """Whether an order was refused in it."""
        return any(reply.code is ExitCode.REFUSED for _, reply in self.replies)

    def has(self, *codes: str) -> bool:
        """Whether a note of one of these codes is in it; a code that ends in ``-`` counts as a beginning."""
        return self.first(*codes) is not None

    def first(self, *codes: str) -> Noted | None:
        """The first note of one of these codes."""
        for note in self.notes:
            if any(note.code == code or (code.endswith("-") and note.code.startswith(code)) for code in codes):
                return note
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that a journal tells. ``remarks`` say what is missing; ``damaged``: lines could not be read."""

    episodes: tuple[Episode, ...]
    node: str = ""
    peer: str = ""
    from_wall_ms: int = 0
    to_wall_ms: int = 0
    lives: int = 0
    longest_gap_ms: int = 0  # between two beats of a peer that was not silent; 0 = none was seen
    remarks: tuple[str, ...] = ()
    damaged: bool = False
