"""What the core knows, and the only ways to change it: records, states, notes, and the way to the disk.

``wanted`` is what this node has decided; ``durable`` is what is known to be on its disk. Giving up counts
from the decision on, having counts from the disk on: every question "may I" looks at both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from failover_kit.manager import dialect, law
from failover_kit.manager.actions import Action, ExitCode, Level, Note, Persist, Reply
from failover_kit.manager.hearing import Hearing
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    CoreGroup,
    DrillRecord,
    GroupClaim,
    GroupRecord,
    NodeRecord,
)
from failover_kit.manager.states import (
    GROUP_TABLE,
    PEER_TABLE,
    GroupState,
    GroupTrigger,
    InvariantViolation,
    PeerState,
    PeerTrigger,
    check,
)

PERSIST_RETRY_MS = 1_000
PERSIST_CHECK_MS = 60_000


class Purpose(Enum):
    """Why a group is being stopped, or should be."""

    NONE = "none"
    MOVE = "move"  # a planned move to the peer
    RESTART = "restart"  # a monitor failed: stop and start in place
    FAILED_START = "failed-start"  # clean up, then hand over once or park
    SHUTDOWN = "shutdown"


@dataclass(slots=True)
class Group:
    """One group in this life. The durable part is its GroupRecord."""

    config: CoreGroup
    state: GroupState = GroupState.UNKNOWN
    since_ms: int = 0
    op: int = 0  # the Probe, Start or Stop in flight; 0 = none
    watch_op: int = 0  # the op whose monitors are believed
    purpose: Purpose = Purpose.NONE
    next_ms: int = 0  # not before: the next probe, or the next try of a failed stop
    reason: str = ""  # why the last action failed, or what was found
    stop_failed: bool = False  # a stop failed and none was verified since (rule 17)
    inherited: int = 0  # the right this life began with; 0 = none
    tainted_epoch: int = 0  # a right of this epoch came from a false proof
    want: int = 0  # takeover request in our beats
    served: tuple[str, int] = ("", 0)  # the peer's last takeover request that was acted upon
    fence_me_refused: int = 0  # the fence-me epoch already refused aloud
    epoch_seen: int = 0  # the highest epoch known of it when it was last looked at
    rests_since_ms: int = 0  # the hold-off of requests counts from here

    @property
    def name(self) -> str:
        return self.config.name


class ShotKind(Enum):
    """Why power is cut (PROTOCOL rules 5, 14, 15)."""

    SILENT = "silent"
    IF_OFF = "if-off"  # only when all plugs already read OFF
    ASKED = "fence-me"
    ORDERED = "ordered"
    CONFLICT = "conflict"
    DRILL = "drill"  # rule 25: a passive peer, to prove that it can be cut


@dataclass(slots=True)
class Shot:
    """A shot from its decision to its end."""

    kind: ShotKind
    boot_id: str  # the peer's, when it was decided
    command: int = 0
    op: int = 0  # 0 until it is fired
    fired_ms: int = 0


@dataclass(slots=True)
class Proof:
    """Leave to take rights from the peer: once, until its next current beat (rules 2b, 2c)."""

    boot_id: str  # of the peer; "" = not known, any boot voids it
    off_counter: int  # our beat counter when OFF was known
    at_ms: int
    heard: tuple[str, ...] = ()  # boots heard before OFF in lives that had not proved themselves
    confirmed: bool = False  # the operator's word
    takes: bool = True  # False: of a drill, which takes nothing (rule 25)
    command: int = 0
    epochs: dict[str, int] = field(default_factory=dict)  # what was taken by it


class DrillStep(Enum):
    """Where a proof drill stands (rule 25)."""

    CUT = "cut"  # decided, made durable, fired, until every plug reads OFF
    QUIET = "quiet"  # OFF was read: its beats must stop, and the power stays off until they have
    POWER = "power"  # the power is being given back
    RETURN = "return"  # all plugs read ON: it must come back with a new boot_id
    DONE = "done"  # it has; the result goes to the disk


@dataclass(slots=True)
class Drill:
    """A proof drill from the order to its result."""

    command: int
    boot_id: str  # the peer's, which has to end
    wall_ms: int  # of the order
    began_ms: int
    before: DrillRecord | None  # what was recorded; back again if nothing is switched
    step: DrillStep = DrillStep.CUT
    fired: bool = False
    off_counter: int = 0  # our beat counter when OFF was known
    off_ms: int = 0
    on_op: int = 0  # the first call that gives its power back; 0 = it cannot have any yet
    deadline_ms: int = 0  # of this step: for its silence, then for its return; 0 until OFF is read


@dataclass(slots=True)
class Pings:
    """What this node knows of its ping nodes, and what it made of it."""

    reached: tuple[bool | None, ...]
    since_ms: tuple[int, ...]  # when each became so
    quiet: bool = False  # from PingsSeen
    cut_off: bool = False  # in the present silence this node seems to be the one without a network
    fewer_since_ms: int | None = None  # since when the peer reaches more


@dataclass(slots=True)
class Order:
    """An operator's command that waits for its outcome."""

    id: int
    verb: str
    groups: tuple[str, ...]
    deadline_ms: int
    began_ms: int
    proof: Proof | None = None  # of a confirmation; None while it waits for a shot to end
    counter: int = 0  # of our beats when it was given: what answers a later one is news


def _differs(record: NodeRecord | GroupRecord, fields: Mapping[str, Any]) -> bool:
    """Whether ``replace(record, **fields)`` would be another record; making one costs as much as a whole turn."""
    return any(getattr(record, name) != value for name, value in fields.items())


class CoreBase:
    """State of the core and its writers. Decisions are in the classes built on it."""

    def __init__(
        self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
    ) -> None:
        self.config = config
        self.boot_id = boot_id
        self.nonce = nonce
        self.now_ms = now_ms
        self.born_ms = now_ms
        self.hearing = Hearing(config.peer, nonce, config.links)
        self.peer_state = PeerState.NEVER_HEARD
        self.peer_since_ms = now_ms
        self.silent_since_ms = now_ms  # when silence was stated; delays count from here
        self.link_silent_ms = now_ms  # when a link was last found silent
        self.silence_floor_ms = now_ms  # silence is never counted from before this point
        self.stalled_at_ms = now_ms
        self.stalled_counter = -1  # >= 0: paused; facts older than this counter of ours are not fresh
        self.counter = 0  # of our beats
        self.next_beat_ms = now_ms
        self.beat_due = True  # something in our claims changed
        self.shot: Shot | None = None
        self.shot_next_ms = now_ms
        self.look_next_ms = now_ms  # not before: a look whether its plugs read OFF already
        self.shot_attempts = 0  # failed in a row
        self.shot_last = ""
        self.proof: Proof | None = None
        self.drill: Drill | None = None
        self.device_op = 0  # PowerOn or ReadPlugs in flight
        self.device_is_on = False  # it is a PowerOn
        self.device_cancelled = False
        self.device_next_ms = now_ms
        self.plugs_need_on = False  # read after an unproved shot, and not all ON
        self.if_off_tried = False
        self.pings = Pings((None,) * len(config.pings), (now_ms,) * len(config.pings))
        self.orders: list[Order] = []
        self.shutting_down = False
        self.shutdown_deadline_ms = 0
        self.exit_at_ms: int | None = None
        self.exited = False
        self.persist_error = ""
        self.persist_retry_ms = now_ms
        self.persist_check_ms = now_ms + PERSIST_CHECK_MS
        self.said: dict[str, str] = {}  # notes that are repeated only when they change
        self.want_number = 0
        self._out: list[Action] = []
        self._op = 0
        self._token = 0
        self._in_flight: tuple[int, NodeRecord, dict[str, GroupRecord]] | None = None
        self._dirty = False
        self._version = 0  # grows with every change: evaluation goes on until it stands still
        self.groups = {
            g.name: Group(config=g, since_ms=now_ms, next_ms=now_ms, rests_since_ms=now_ms) for g in config.groups
        }
        self.even = config.node < config.peer
        self._load(stored)

    def _load(self, stored: NodeRecord | None) -> None:
        """Begin from the durable record; what does not survive a boot is dropped here (rules 3, 15, 23)."""
        if stored is None:
            stored = NodeRecord(boot_id="")
        records = {record.name: record for record in stored.groups}
        same_boot = law.right_survives(stored, self.boot_id)
        self.durable = stored
        self.durable_groups = {name: records.get(name, GroupRecord(name=name)) for name in self.groups}
        self.wanted = stored
        self.wanted_groups = dict(self.durable_groups)
        if not same_boot:
            for name in self.groups:
                self._change_group(name, right=0, failures=0, failed_ms=0)
            self._change(boot_id=self.boot_id, contact=False)
        for name, group in self.groups.items():
            self._change_group(name, moving=False)  # an order does not outlive the life it was given to
            group.inherited = self.wanted_groups[name].right
        if law.maintenance_is_on(self.wanted.maintenance) and not self.wanted.agreed:
            # Nor does that one: else the pair would keep still on its own, whenever the peer hears of it.
            self._change(maintenance=law.next_maintenance(self.wanted.maintenance, on=False))
        if not self.config.can_fence:
            # The device was taken out of ha.cf: its plugs can neither be read nor switched any more.
            self._change(shot_pending=False, on_owed=False)
        # A life that begins has not left.
        self._change(leaving="")

    # --- writers -----------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        self._out.append(action)

    def _next_op(self) -> int:
        self._op += 1
        return self._op

    def one_way(self, link: str, now_ms: int) -> str:
        """The sentence for a link that carries beats in one direction only, else ""."""
        floor_ms = max(self.peer_since_ms, self.silence_floor_ms)
        # Their last beats before a cut are a keepalive apart at most, and what the peer found is told by its next.
        settle_ms = 3 * self.config.keepalive_ms
        return self.hearing.one_way(link, now_ms, floor_ms, self.config.deadtime_ms, settle_ms)

    def _note(self, level: Level, code: str, text: str) -> None:
        self._out.append(Note(level, code, text))

    def _note_once(self, level: Level, code: str, text: str) -> None:
        """Say it now, and again only after it changed or was cleared by ``_unsay``."""
        if self.said.get(code) != text:
            self.said[code] = text
            self._note(level, code, text)

    def _unsay(self, code: str) -> None:
        self.said.pop(code, None)

    def _reply(self, command: int, code: ExitCode, text: str) -> None:
        if command:
            self._out.append(Reply(command, code, text))
            if self.shot is not None and self.shot.command == command:
                # Answered: a shot that was not fired goes with its order, of one that was its end is news.
                self.shot.command = 0
                if not self.shot.op:
                    self.shot = None
            if self.drill is not None and self.drill.command == command:
                self._drill_over(self.drill)
            self.orders = [order for order in self.orders if order.id != command]

    def _drill_over(self, drill: Drill) -> None:
        """Its order was answered. If nothing was switched, what was proved before still is."""
        self.drill = None
        self._version += 1
        if not drill.fired:
            self._change(drilled=drill.before)

    def _change(self, **fields: Any) -> None:
        if not _differs(self.wanted, fields):
            return  # with each beat, several times
        self.wanted = replace(self.wanted, **fields)
        self._dirty = True
        self._version += 1

    def _change_group(self, name: str, **fields: Any) -> None:
        if not _differs(self.wanted_groups[name], fields):
            return
        self.wanted_groups[name] = replace(self.wanted_groups[name], **fields)
        self._dirty = True
        self._version += 1
        self.beat_due = True

    def _become(self, group: Group, trigger: GroupTrigger) -> None:
        """The only writer of a group's state."""
        key = (group.state, trigger)
        if key not in GROUP_TABLE:
            raise InvariantViolation(f"group {group.name}: no transition from {key[0].value} on {key[1].value}")
        after = GROUP_TABLE[key]
        self._version += 1
        self._row_used(key)
        if after is not group.state:
            group.state = after
            group.since_ms = self.now_ms
            self.beat_due = True

    def _peer_becomes(self, trigger: PeerTrigger) -> None:
        """The only writer of the peer's state."""
        key = (self.peer_state, trigger)
        if key not in PEER_TABLE:
            raise InvariantViolation(f"peer: no transition from {key[0].value} on {key[1].value}")
        after = PEER_TABLE[key]
        self._version += 1
        self._row_used(key)
        if after is not self.peer_state:
            self.peer_state = after
            self.peer_since_ms = self.now_ms

    def _row_used(self, key: tuple[Enum, Enum]) -> None:
        """For the simulator's coverage of the tables; nothing to do in production."""

    # --- the way to the disk -----------------------------------------------------------------------

    def _persist_if_needed(self) -> None:
        if self._settled() and self.now_ms >= self.persist_check_ms:
            self._dirty = True  # "ready" promises that the disk takes a record: find out before a move does
        if not self._dirty or self._in_flight is not None or self.now_ms < self.persist_retry_ms:
            return
        self.persist_check_ms = self.now_ms + PERSIST_CHECK_MS
        self._token += 1
        groups = dict(self.wanted_groups)
        record = replace(self.wanted, groups=tuple(groups.values()))
        self._in_flight = (self._token, record, groups)
        self._dirty = False
        self._act(Persist(self._token, record))

    def _persisted(self, token: int) -> None:
        if self._in_flight is None or self._in_flight[0] != token:
            return
        _, self.durable, self.durable_groups = self._in_flight
        self._in_flight = None
        self.beat_due = True
        if self.persist_error:
            self.persist_error = ""
            self._note(Level.INFO, "persist-ok", "the state directory can be written again")

    def _persist_failed(self, token: int, reason: str) -> None:
        if self._in_flight is None or self._in_flight[0] != token:
            return
        # The disk may hold either record. Nothing decided is taken back (rule 4), nothing is used (rule 7).
        self._in_flight = None
        self._dirty = True
        self.persist_retry_ms = self.now_ms + PERSIST_RETRY_MS
        if self.persist_error != reason:
            self.persist_error = reason
            self._note(
                Level.ALARM,
                "persist-failed",
                f"state cannot be made durable ({reason}): no start, no grant and no shot until it can; "
                "free space or repair the state directory",
            )

    def _on_disk(self, name: str) -> GroupRecord:
        """The group's record if the disk cannot hold another right or intent just now, else an empty one."""
        durable = self.durable_groups[name]
        if self._in_flight is not None:
            coming = self._in_flight[2][name]
            if (coming.right, coming.held) != (durable.right, durable.held):
                return GroupRecord(name=name)
        return durable

    def _settled(self) -> bool:
        """Whether everything decided is on the disk."""
        return not self._dirty and self._in_flight is None

    # --- questions ---------------------------------------------------------------------------------

    def ready_reason(self) -> str:
        """"" when this node as a whole is ready, else why not."""
        if self.persist_error:
            return "the state directory cannot be written"
        if self.shutting_down:
            return "this node is leaving"
        if self.in_maintenance():
            return law.MAINTENANCE
        return ""

    def in_maintenance(self) -> bool:
        """Rule 19: both nodes know of it. This one does nothing of itself until it ends."""
        return law.keeps_still(self.wanted)

    def unlooked(self, name: str) -> bool:
        """Rule 19: whether the peer may have the group since maintenance ended. A proof stands in for the look
        only as long as nothing voids it (rules 2c, 9), and for good once the group runs."""
        proved = self.proof is not None and self.proof.takes
        return self.wanted_groups[name].unlooked and not proved

    def stalled(self) -> bool:
        """Rule 21: this core did not run for a while and its facts are from before."""
        return self.stalled_counter >= 0

    def peer_beat(self) -> Beat | None:
        """The peer's last beat while it is current and hears us, else None."""
        # A life that only answered, and never said that it hears us, is waited for longer (initdead) before it
        # counts as silent; its beats are as old as any other's meanwhile (rule 4).
        fresh = self.peer_state is PeerState.UP and self.hearing.hears(self.now_ms, self.config.deadtime_ms)
        return self.hearing.beat if fresh else None

    def versions_differ(self, beat: Beat) -> str:
        """"" when the peer runs the same failoverd, else a sentence with the remedy. Decides nothing."""
        config = self.config
        ours = dialect.Speaker(config.node, config.release, config.minor)
        return dialect.difference(ours, dialect.Speaker(config.peer, beat.release, beat.minor))

    def has_left(self) -> bool:
        """Whether the last thing the peer said was that it leaves (rule 5)."""
        return self.hearing.beat is not None and self.hearing.beat.leaving

    def peer_claim(self, name: str) -> GroupClaim | None:
        """The up peer's claim about a group, else None."""
        beat = self.peer_beat()
        return beat.claim(name) if beat is not None else None

    def last_claim(self, name: str) -> GroupClaim | None:
        """The last claim ever heard in this life, however old: for delays and status, never for rights."""
        return self.hearing.beat.claim(name) if self.hearing.beat is not None else None

    def peer_ready(self, name: str) -> str:
        """"" when the peer could run the group now, else why not."""
        return law.peer_is_ready(self.peer_beat(), self.peer_claim(name), self.config.digest)

    def is_held(self, group: Group) -> bool:
        """Doubt is held. What people do in maintenance is not looked at."""
        return (
            self.wanted_groups[group.name].held or group.state is not GroupState.STOPPED or self.in_maintenance()
        )

    def holds(self) -> bool:
        """Whether anything is held here, or in doubt."""
        return any(self.is_held(group) for group in self.groups.values())

    def intends(self) -> bool:
        """Whether an intent to start was handed out and not yet followed by a verified stop."""
        return any(record.held for record in self.wanted_groups.values())

    def is_active(self, group: Group) -> bool:
        """Has the right, and runs or is being started (rule 10)."""
        return bool(self.wanted_groups[group.name].right) and group.state in (
            GroupState.STARTING,
            GroupState.STARTED,
        )

    def device_busy(self) -> bool:
        """Whether a shot is decided or running, or another call to the peer's switch runs."""
        return self.shot is not None or self.device_op != 0

    def known_epoch(self, name: str) -> int:
        """The highest epoch heard of from either side."""
        record = self.wanted_groups[name]
        return max(record.known, record.top)

    def epochs_spent(self, name: str) -> str:
        """"" while this node can issue one more epoch of the group, else why not."""
        return law.epochs_spent(self.known_epoch(name), even=self.even)

    def _issue(self, name: str) -> int:
        epoch = law.next_epoch(self.known_epoch(name), even=self.even)
        check(epoch > self.wanted_groups[name].top, f"group {name}: epoch {epoch} was used before")
        check(epoch <= law.EPOCH_CEILING, f"group {name}: epoch {epoch} is over the ceiling")
        return epoch
