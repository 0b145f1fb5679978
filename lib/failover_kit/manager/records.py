"""What crosses a boundary of the core: its configuration, its durable state, a beat, fence evidence.

All frozen: the core hands them out and keeps no way to change them afterwards. Times are integer
milliseconds of CLOCK_BOOTTIME on the node that took them; they are never compared between nodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from failover_kit.manager.states import GroupState


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreGroup:
    """A group as far as the core cares: what it contains is the shell's business."""

    name: str
    home: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """The configuration the core decides by; made by the shell from the three files."""

    node: str
    peer: str
    groups: tuple[CoreGroup, ...]  # in the order of haresources
    links: tuple[str, ...]  # names, for per-link liveness and status
    keepalive_ms: int
    warntime_ms: int
    deadtime_ms: int
    initdead_ms: int
    auto_failback: bool
    can_fence: bool  # at least one fence device for the peer
    fence_delay_ms: int  # D of rule 10
    fence_power_on: bool  # fence_action reboot: power is owed back after OFF was read
    fence_retry_ms: int = 5_000
    boot_alone: bool = False
    failback_delay_ms: int = 0  # the home node must be up for so long, and for deadtime, before a group goes home
    monitor_failures: int = 2  # that many failures of a started group and it is handed over; the others restart it
    monitor_interval_ms: int = 10_000  # also how often an unknown group is probed again
    stop_retry_ms: int = 5_000
    move_timeout_ms: int = 180_000  # bound of a planned move, from order to outcome
    digest: str = ""
    fencing_digest: str = ""  # of the fencing lines alone: devices, plugs, levels, trust
    prove_timeout_ms: int = 600_000  # how long a node cut by a proof drill may take to come back (rule 25)
    pings: tuple[str, ...] = ()  # names of the ping nodes, in the order of PingsSeen
    deadping_ms: int = 30_000  # one that did not answer for so long is silent
    ping_failover: bool = False  # a node that reaches fewer gives its groups to one that reaches more
    release: str = ""  # of failoverd, told to the peer for people
    minor: int = 0  # of the dialect it speaks (design/0039); in a replay that of then


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """The durable part of one group (PROTOCOL rules 1 to 7)."""

    name: str
    right: int = 0  # epoch; 0 = none. Belongs to NodeRecord.boot_id
    top: int = 0  # highest epoch ever issued or accepted here
    known: int = 0  # highest epoch heard of from either side
    grant: int = 0  # epoch granted to the peer and not yet seen accepted
    grant_nonce: str = ""  # the life of the peer the grant is for
    held: bool = False  # from the intent to start until every stop was verified
    taken_from: str = ""  # boot the right was taken from by a proof, until the first start succeeded (rule 9)
    moving: bool = False  # a planned move was ordered: shows that the disk takes records before the stop
    failed_here: bool = False  # failed to start here since its last success
    failures: int = 0  # monitors that failed in this boot, until they expire or the group is handed over (rule 15)
    failed_ms: int = 0  # when the last of them did
    unlooked: bool = False  # since maintenance ended, the peer was neither seen stopped nor proved off (rule 19)
    parked: str = ""  # why the group is not started here until an operator says so; "" = not parked


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillRecord:
    """The last proof drill of the peer's plugs (rule 25). Written as failed before its first *off*.

    ``wall_ms`` counts from 1970 and is for people: no decision looks at it.
    """

    ok: bool  # OFF was read, its beats stopped, and it came back with a new boot_id
    wall_ms: int  # of its end; of its beginning while it runs, or when it never ended
    config: str  # digest of the three files then
    fencing: str  # digest of the fencing lines then
    reason: str = ""  # why it failed
    disproved: bool = False  # its plugs read OFF and it lived on; stays until a drill passes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """Everything that must survive a crash of failoverd. Written whole, atomically, fsynced."""

    boot_id: str
    contact: bool = False  # a current beat was received since this boot (rule 15)
    peer_boot_id: str = ""
    shots: int = 0  # shots ordered since the last contact
    shot_pending: bool = False  # a shot was ordered and its plugs were not read again (rule 12)
    on_owed: bool = False  # power is owed to the peer (rule 13)
    fenced_boot_id: str = ""  # the peer's boot_id at the last proof; cleared by its next current beat
    leaving: str = ""  # nonce of the life that left cleanly (rule 5)
    drilled: DrillRecord | None = None  # None: a drill never began
    maintenance: int = 0  # number of the last maintenance order known: odd = on, even = off (rule 19)
    agreed: bool = False  # the peer has shown that number, too
    groups: tuple[GroupRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupClaim:
    """One group in a beat: the sender's whole truth about it. Pending counts as had."""

    name: str
    state: GroupState
    held: bool
    right: int
    top: int  # highest epoch the sender ever issued or accepted
    grant: int = 0  # 0 = none
    grant_nonce: str = ""  # "" while the grant is not durable: visible, not valid
    failed_here: bool = False
    parked: bool = False
    fence_me: int = 0  # epoch of the right whose stop failed here; 0 = not asked (rule 17)
    want: int = 0  # number of a takeover request of this life; 0 = none


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A heartbeat: everything the sender knows of itself. A lost one costs nothing."""

    node: str
    boot_id: str
    nonce: str
    counter: int  # grows by 1 with each beat of this nonce
    echoes: tuple[tuple[str, int], ...]  # (nonce, highest counter received under it), at most two
    hears: bool  # the sender has a current beat of ours that is younger than deadtime
    ready: bool  # able to persist, not leaving, configuration read
    leaving: bool = False
    links: tuple[bool, ...] = ()  # by link, in the configuration's order: the sender heard the peer within deadtime
    digest: str = ""
    maintenance: int = 0  # the durable number; what this beat says of groups is from after it was made durable
    still: bool = False  # in maintenance by that number, and it is durable that the sender keeps still
    reached: int | None = None  # ping nodes the sender reaches; None: not known, or none of the receiver's business
    groups: tuple[GroupClaim, ...] = ()
    minor: int = 0  # what the sender speaks (``dialect``); what a minor added is at its default in an older one
    release: str = ""  # of failoverd there, for people; "" = it does not say

    def claim(self, name: str) -> GroupClaim | None:
        """The claim about group ``name``; None when the sender does not know that group."""
        for claim in self.groups:
            if claim.name == name:
                return claim
        return None


MOVING = ("counter", "echoes")
"""What differs between two beats of a node at rest."""

STANDING = tuple(field.name for field in fields(Beat) if field.name not in MOVING)


def standing(beat: Beat) -> list[Any]:
    """All the rest of a beat, to compare."""
    return [getattr(beat, name) for name in STANDING]


class PlugState(Enum):
    """What a power switch says of a plug. Unknown is a value, never taken for OFF."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugReading:
    """One plug (or one agent call that drives all plugs of a node on one device) in a shot.

    ``off_exit`` is the agent's exit code for *off*; None when the agent was killed or not run.
    ``state`` comes from a separate status call that began at ``read_began_ms``.
    """

    device: str
    plug: str
    off_exit: int | None
    off_began_ms: int
    off_ended_ms: int
    read_began_ms: int
    state: PlugState
    trusted: bool = False  # ha.cf names the device in fence_trust: no status to read (rule 8)
    read_ended_ms: int = 0  # 0: not noted. For people: no decision looks at it


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceEvidence:
    """What the shell saw while it tried to cut the peer's power. The core judges it (rule 8)."""

    readings: tuple[PlugReading, ...]
    in_time: bool  # all of it happened within the deadline
    reason: str = ""  # one sentence for the operator when something went wrong
    earlier: tuple[str, ...] = ()  # why the levels tried before this one proved nothing, for people


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """One group as status shows it."""

    name: str
    home: str
    state: GroupState
    right: int
    held: bool
    peer_state: GroupState | None  # None: not known now
    peer_right: int
    grant: int
    parked: str
    failed_here: bool
    failures: int = 0  # monitors that failed here lately; at CoreConfig.monitor_failures it is handed over
    doing: str  # one sentence: what is going on or why nothing is
    since_ms: int  # when the state was entered


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkView:
    """One link: up is None while nothing was ever heard on it."""

    name: str
    up: bool | None
    heard_ago_ms: int | None
    peer_hears: bool | None = None  # what the peer says of it; None: it says nothing
    one_way: str = ""  # a sentence when it carries beats in one direction only


class ProofState(Enum):
    """What the last proof drill is worth today."""

    NONE = "none"  # no fence device: nothing to prove
    NEVER = "never"
    RUNNING = "running"
    PROVED = "proved"
    CHANGED = "changed"  # proved, and other files have changed since; the fencing lines have not
    OUTDATED = "outdated"  # proved under other fencing lines
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofView:
    """Whether this node has proved that it can cut its peer."""

    state: ProofState = ProofState.NONE
    wall_ms: int = 0  # when the last drill ended, since 1970; 0 = there was none
    text: str = ""  # one sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class PingView:
    """One ping node: ``reached`` is None while that is not known."""

    name: str
    reached: bool | None
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """Everything status, the control socket and the tests may know of the core."""

    now_ms: int
    node: str
    peer: str
    boot_id: str
    nonce: str
    peer_state: str
    peer_since_ms: int
    peer_heard_ago_ms: int | None
    peer_hears_us: bool
    peer_ready: bool
    peer_leaving: bool
    peer_boot_id: str
    ready: str  # "" = ready; else why not
    contact: bool
    leaving: bool
    links: tuple[LinkView, ...]
    groups: tuple[GroupView, ...]
    can_fence: bool
    fence_running_since_ms: int | None
    fence_attempts: int  # failed in a row
    fence_last: str  # sentence about the last attempt
    fence_next_ms: int | None
    on_owed: bool
    config_differs: bool
    health: str  # healthy, degraded, no-service
    reason: str  # one sentence
    todo: tuple[str, ...] = field(default=())  # what the operator can do
    speaks: str = ""  # version of beats, record and journal: "1.1"
    peer_release: str = ""  # of failoverd on the peer; "" = not heard yet, or it does not say
    peer_speaks: str = ""  # "" = not heard yet
    versions_differ: str = ""  # one sentence with the remedy; "" = alike, or not known
    proof: ProofView = field(default=ProofView())
    pings: tuple[PingView, ...] = ()
    peer_reaches: int | None = None  # how many of them the peer says it reaches; None: not known now
    cut_off: bool = False  # none is reached since the peer is silent: the shot waits longer
