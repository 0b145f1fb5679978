"""What an impartial witness knows of one life of a daemon: heard, ordered, answered, allowed.

Written from PROTOCOL.md alone; it shares no code with the core's hearing or law modules, so that one
misreading cannot make both agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from failover_kit.manager.records import Beat, FenceEvidence, GroupRecord, NodeRecord, PlugState


@dataclass(slots=True)
class Book:
    """One group in one life, as its orders and their answers tell."""

    state: str = "unknown"
    op: int = 0  # in flight; 0 = none
    start_failed: bool = False  # the last start that was forked here did
    failed_ms: int | None = None  # a monitor failed, and it is to be restarted in place
    again: bool = False  # looked at although it was known: what maintenance ends with


@dataclass(slots=True)
class Leave:
    """Leave to take rights: a proved fence, or the operator's word."""

    counter: int  # our beat counter when it was given
    boot_id: str  # of the peer then, as last heard; "" = unknown
    by_operator: bool
    used: set[str] = field(default_factory=set)


@dataclass(slots=True)
class DrillBook:
    """A proof drill as an outsider sees it, step by step (rule 25)."""

    boot_id: str  # of the peer, as last heard when it was fired
    op: int
    off_counter: int = -1  # our beat counter when OFF was proved; -1 = not yet
    quiet_since_ms: int = 0  # OFF was proved, or a beat of that boot came after it
    silent: bool = False  # deadtime passed without any frame of it
    quiet: bool = False  # power was ordered only after deadtime without a beat
    power: bool = False  # and read ON
    back: bool = False  # a current beat of another boot answered something sent after OFF
    spoiled: str = ""  # what must keep it from ever counting


class Witness:
    """One life."""

    def __init__(
        self, nonce: str, boot_id: str, stored: NodeRecord | None, groups: tuple[str, ...], now_ms: int
    ) -> None:
        self.nonce = nonce
        self.boot_id = boot_id
        self.born_ms = self.last_ms = now_ms
        self.books = {name: Book() for name in groups}
        self.handed: dict[str, GroupRecord] = {}  # as last handed to Persist
        self.handed_node: NodeRecord | None = None
        self.asked_ms: dict[str, int] = {}  # when a watcher's request was last admitted, by group
        same_boot = stored is not None and stored.boot_id == boot_id
        records = {record.name: record for record in stored.groups} if stored is not None else {}
        self.stored, self.lost = records, stored is None
        self.begun_with = {name: records[name].right if same_boot and name in records else 0 for name in groups}
        self.decided: dict[str, tuple[int, str]] = {  # grants already judged: (epoch, life)
            name: (record.grant, record.grant_nonce) for name, record in records.items()
        }
        self.decided_rights: dict[str, int] = {}  # epochs of rights already judged
        self.persist_token = 0  # in flight
        self.counter = 0
        self.first_heard: dict[str, int] = {}
        self.high: dict[str, int] = {}
        self.current = ""
        self.retired: set[str] = set()
        self.beat: Beat | None = None
        self.current_ms: int | None = None
        self.two_way_ms: int | None = None
        self.grants: set[tuple[str, int]] = set()  # heard in current beats, addressed to this life
        self.leave: Leave | None = None
        self.fence_op = 0
        self.fence_began_ms = 0
        self.fence_if_off = False
        self.turns = 2  # rule 10, when the shot was decided
        self.reached: tuple[bool | None, ...] = ()
        self.quiet_ms: int | None = None  # since when no ping node answers, after some did
        self.quiet_turns = 0  # what follows from that for its turn, when the shot was decided
        self.unsettled = stored is not None and stored.shot_pending  # rule 12: a shot without a look at the plugs
        self.device_op = 0
        self.power_on_op = 0
        self.fence_orders: set[int] = set()
        self.prove_orders: set[int] = set()
        self.drill: DrillBook | None = None
        self.drilled = stored.drilled if stored is not None else None
        self.restored = self.drilled  # what was proved before the last drill was ordered
        self.commands: dict[int, tuple[str, tuple[str, ...]]] = {}
        self.confirmed_boot = "?"  # of the peer, called dead by the operator
        self.word_doubted = False
        self.authentic_ms = now_ms  # when any frame of the peer came last
        self.given_ms: dict[int, int] = {}  # when each command came
        self.floor_ms = now_ms  # from when silence can be counted: another life of the peer, or a pause of this one
        self.by_word: set[tuple[str, int]] = set()  # (group, epoch) taken by the operator's word
        self.voided: set[tuple[str, int]] = set()  # of these, not durable when a sign of that boot came
        self.left = False
        self.stalled_counter = -1
        self.stalled_until_ms = 0

    def time_passes(self, now_ms: int, deadtime_ms: int) -> None:
        """Rule 21: a life that did not run for deadtime has no fresh facts for deadtime or a fresh echo."""
        if now_ms - self.last_ms >= deadtime_ms // 2:
            self.floor_ms = now_ms
        if now_ms - self.last_ms >= deadtime_ms:
            self.stalled_counter = self.counter
            self.stalled_until_ms = now_ms + deadtime_ms
        elif self.stalled_counter >= 0 and now_ms >= self.stalled_until_ms:
            self.stalled_counter = -1
        self.last_ms = now_ms

    def hears(self, beat: Beat) -> bool:
        """Take in a frame; True when it is current by PROTOCOL.md's words."""
        nonce = beat.nonce
        if nonce in self.retired:
            return False
        echo = 0
        for echoed, counter in beat.echoes:
            if echoed == self.nonce:
                echo = counter
        if nonce == self.current:
            if beat.counter <= self.high[nonce] or echo == 0:
                return False
            self.high[nonce] = beat.counter
        elif nonce not in self.first_heard:
            self.first_heard[nonce] = self.counter
            self.high[nonce] = beat.counter
            return False
        else:
            if beat.counter <= self.high[nonce]:
                return False
            self.high[nonce] = beat.counter
            if echo <= self.first_heard[nonce]:
                return False
            if self.current:
                self.retired.add(self.current)
            self.current = nonce
            self.floor_ms = self.last_ms
            # Whatever else was heard so far is older, or must answer something said from now on.
            for other in self.first_heard:
                self.first_heard[other] = max(self.first_heard[other], self.counter)
        self._current(beat, echo)
        return True

    def _current(self, beat: Beat, echo: int) -> None:
        self.beat = beat
        self._heard_in_drill(beat, echo)
        self.current_ms = self.last_ms
        if beat.hears:
            self.two_way_ms = self.last_ms
        if echo > self.stalled_counter:
            self.stalled_counter = -1
        if self.confirmed_boot not in ("", "?", beat.boot_id):
            self.confirmed_boot = "?"  # another boot answers: that one is over, and a frame of it is an old one
        leave = self.leave
        # A frame the fenced boot sent before it lost power is no sign of life after that.
        if leave is not None and (beat.boot_id != leave.boot_id or echo > leave.counter):
            self.leave = None
        for claim in beat.groups:
            if claim.grant and claim.grant_nonce == self.nonce:
                self.grants.add((claim.name, claim.grant))

    def drill_silence(self, deadtime_ms: int) -> None:
        """Whether it was silent for deadtime by now, before what comes now. A life that cannot answer beats too."""
        drill = self.drill
        if drill is not None and drill.off_counter >= 0:
            since_ms = max(drill.quiet_since_ms, self.authentic_ms)
            drill.silent = drill.silent or self.last_ms - since_ms >= deadtime_ms

    def _heard_in_drill(self, beat: Beat, echo: int) -> None:
        drill = self.drill
        if drill is None:
            return
        if not drill.quiet and beat.boot_id != drill.boot_id:
            drill.spoiled = drill.spoiled or f"{beat.boot_id} began while {drill.boot_id} was being cut"
        elif drill.off_counter < 0 or echo <= drill.off_counter:
            drill.quiet_since_ms = self.last_ms  # on its way when it was cut
        elif not drill.quiet or beat.boot_id == drill.boot_id:
            drill.spoiled = drill.spoiled or f"{beat.boot_id} was heard while its plugs read OFF"
        elif beat.hears:
            drill.back = True

    def silent_ms(self, initdead_ms: int, deadtime_ms: int) -> int:
        """For how long the peer has been silent by definition; negative = it is not."""
        if self.two_way_ms is None:
            return self.last_ms - self.born_ms - initdead_ms
        return self.last_ms - self.two_way_ms - deadtime_ms

    def before(self, name: str) -> GroupRecord:
        """The group's record this life last handed out, or began with."""
        found = self.handed.get(name)
        if found is not None:
            return found
        stored = self.stored.get(name, GroupRecord(name=name))
        if stored.right and not self.begun_with[name]:
            stored = GroupRecord(
                name=name,
                top=stored.top,
                known=stored.known,
                grant=stored.grant,
                grant_nonce=stored.grant_nonce,
                held=stored.held,
                failed_here=stored.failed_here,
                parked=stored.parked,
            )
        return stored


def proves_off(evidence: FenceEvidence, ordered_ms: int) -> bool:
    """Rule 8, judged a second time: all offs exit 0, all reads after the last off, all OFF, in time."""
    if not evidence.in_time or not evidence.readings:
        return False
    offs_ended = [reading.off_ended_ms for reading in evidence.readings]
    return all(
        reading.off_exit == 0
        and reading.off_began_ms >= ordered_ms
        and reading.state is PlugState.OFF
        and reading.read_began_ms >= max(offs_ended)
        for reading in evidence.readings
    )
