"""When two small worlds are the same: the key under which the search remembers a state.

Two worlds get one key only if everything that can happen in one can happen in the other:

- times become *past or still to come* and *since the last wait or before it*; a time between the two is an error;
- the beat counters of each life are replaced by what comparing them can tell (``_ranks``); the numbers of
  operations by whether they are still awaited;
- sentences are left out (notes, reasons), and what only notes are made from (per-link times, what was said);
- every other attribute of a core goes in as it is, new ones included: a forgotten attribute makes the search
  larger, never blind. ``LEFT_OUT`` and ``TIMES`` are the exceptions, each with its reason; a test compares them
  with the core's attributes.

Nonces, boot_ids and epochs need no renaming: lives, boots and moves are bounded, and their names count them.
"""

from __future__ import annotations

from array import array
from typing import Any

from failover_kit.manager.core import Core
from failover_kit.manager.coredata import Group
from failover_kit.manager.events import Verb
from failover_kit.manager.records import Beat, GroupClaim, GroupRecord, NodeRecord
from failover_kit.manager.states import GroupState, PeerState
from sim.smallparts import EXPIRED_MS, FRESH_MS, PAUSE_MS, Budget, Setting
from sim.smallworld import World

# Attributes of a core that no decision of this world depends on, or that are taken in another form below.
LEFT_OUT = frozenset(
    {
        "config",  # the same in the whole search
        "boot_id",  # named by the world's count of boots
        "nonce",  # named by the world's count of lives
        "now_ms",  # every time is relative to it
        "next_beat_ms",  # due at every step of time
        "beat_due",  # false after every turn
        "even",
        "hearing",
        "counter",
        "stalled_counter",
        "groups",
        "wanted",
        "wanted_groups",
        "durable",
        "durable_groups",
        "_in_flight",
        "orders",
        "pings",  # there are none in this world
        "shot",
        "proof",
        "drill",
        "device_op",
        "peer_state",
        "said",  # notes
        "shot_last",  # a sentence
        "shot_attempts",  # shown in status
        "_out",
        "_op",
        "_token",
        "_version",
    }
)
# Times: since when, or not before.
TIMES = frozenset(
    {
        "born_ms",
        "peer_since_ms",  # for notes, and for auto_failback, which is off
        "link_silent_ms",  # for auto_failback
        "silent_since_ms",
        "silence_floor_ms",
        "stalled_at_ms",
        "shot_next_ms",
        "look_next_ms",
        "device_next_ms",
        "persist_retry_ms",
        "persist_check_ms",  # never comes here: explore.py puts it far away
        "shutdown_deadline_ms",
        "exit_at_ms",
    }
)

# Counters of a life (nonce): a MARK is what an echo will be compared with, a BEAT is that of a frame or of
# the newest one received, an ECHO stands in a frame.
MARK, BEAT, ECHO = 0, 1, 2
Counters = list[tuple[int, str, int]]


class Keys:
    """Makes keys. Parts that come again and again are numbered; equal numbers mean equal parts."""

    def __init__(self, setting: Setting, budget: Budget) -> None:
        # Only these have a shot decided while the peer is heard: then "heard in this very millisecond" counts.
        self.shot_while_heard = bool(budget.fence_orders or budget.agent_failures or budget.proves)
        self.exact = setting.one_clock  # then ages are compared with other ages than deadtime, too
        self.shots_told_apart = 2 if setting.boot_alone else 1  # only boot_alone counts them
        self.numbers: dict[object, int] = {}
        self.plain: tuple[str, ...] = ()
        self.beats: dict[int, tuple[Beat, int]] = {}  # by id(); the beat is kept, so that the id stays its own
        self.records: dict[int, tuple[NodeRecord | None, int]] = {}
        self.cores: dict[tuple[int, bool], tuple[Core, tuple[int, Counters]]] = {}

    def number(self, part: object) -> int:
        """The same number for an equal part."""
        return self.numbers.setdefault(part, len(self.numbers))

    def key(self, world: World) -> bytes:
        """Equal for equal worlds."""
        counters: Counters = []
        numbers: list[int] = [self.number((world.budget, _truth(world)))]
        for index in (0, 1):
            core = world.cores[index]
            numbers.append(self._core(core, counters, world.budget.confirms > 0) if core is not None else 0)
            numbers.append(self._record(world.disks[index]))
            persist = world.persists[index]
            numbers.append(self._record(persist.record) if persist is not None else 0)
            beat = world.channel[index]
            numbers.append(self._beat(beat, counters) if beat is not None else 0)
        numbers.extend(self._beat(beat, counters) for beat in world.kept)
        numbers.append(self.number(_ranks(counters)))
        return array("I", numbers).tobytes()

    def forget_objects(self) -> None:
        """Drop what is remembered by identity; called between levels, or the memory never shrinks."""
        self.beats.clear()
        self.records.clear()
        self.cores.clear()

    # --- parts ---------------------------------------------------------------------------------------

    def _beat(self, beat: Beat, counters: Counters) -> int:
        counters.append((BEAT, beat.nonce, beat.counter))
        counters.extend((ECHO, nonce, counter) for nonce, counter in beat.echoes)
        found = self.beats.get(id(beat))
        if found is None:
            echoed = tuple(nonce for nonce, _ in beat.echoes)
            found = (beat, self.number(("beat", beat.nonce, echoed, *_said(beat))))
            self.beats[id(beat)] = found
        return found[1]

    def _record(self, record: NodeRecord | None) -> int:
        found = self.records.get(id(record))
        if found is None:
            groups = () if record is None else tuple(_group_record(group) for group in record.groups)
            head = None if record is None else self._head(record)
            found = (record, self.number(("record", head, groups)))
            self.records[id(record)] = found
        return found[1]

    def _core(self, core: Core, counters: Counters, with_confirm: bool) -> int:
        found = self.cores.get((id(core), with_confirm))
        if found is None:
            own: Counters = []
            if not self.plain:
                self.plain = plain_attributes(core)
            found = (core, (self.number(self._parts(core, own, with_confirm)), own))
            self.cores[id(core), with_confirm] = found
        counters.extend(found[1][1])
        return found[1][0]

    def _parts(self, core: Core, counters: Counters, with_confirm: bool) -> tuple[object, ...]:
        state = core.__dict__
        flight = core._in_flight
        # Of the others no answer is awaited that has to be news.
        counters.extend((MARK, core.nonce, o.counter) for o in core.orders if o.verb == Verb.MAINTENANCE_ON.value)
        return (
            "core",
            tuple(state[name] for name in self.plain),
            core.peer_state.value,
            _times(core, with_confirm),
            self.shot_while_heard and core.hearing.last_two_way_ms == core.now_ms,
            _hearing(core, counters),
            tuple(_group(core, group) for group in core.groups.values()),
            _power(core, counters),
            (self._head(core.wanted), _group_records(core.wanted_groups)),
            (self._head(core.durable), _group_records(core.durable_groups)),
            flight and (self._head(flight[1]), _group_records(flight[2])),
            tuple((o.verb, o.groups, _waits_until(core, o.deadline_ms)) for o in core.orders),
            self.exact and _exactly(core),
        )

    def _head(self, record: NodeRecord) -> tuple[object, ...]:
        """A node's record without its groups."""
        shots = min(record.shots, self.shots_told_apart)
        # Of a drill its date and reason are for people.
        proved = record.drilled and record.drilled.ok
        return (shots, proved, *(getattr(record, name) for name in _HEAD_FIELDS))


def plain_attributes(core: Core) -> tuple[str, ...]:
    """What goes into the key as it is. A time that nobody classified is an error: it would never repeat."""
    plain = tuple(sorted(set(core.__dict__) - LEFT_OUT - TIMES))
    unknown = [name for name in plain if name.endswith("_ms")]
    if unknown:
        raise LookupError(f"new times in the core: {unknown}; add them to smallkey.TIMES and _times()")
    return plain


def _truth(world: World) -> tuple[Any, ...]:
    return (
        world.still,
        world.setting.maintenance and world.orders,
        tuple(world.up),
        tuple(world.plugs),
        tuple(world.resources),
        tuple(world.lives),
        tuple(world.boots),
        tuple(world.drills),
        tuple(tuple(agent and type(agent).__name__ for agent in agents) for agents in world.agents),
        tuple(p is not None for p in world.persists),
        tuple(d and (type(d).__name__, getattr(d, "only_if_off", False)) for d in world.devices),
    )


def _old(core: Core, since_ms: int | None) -> bool:
    """Whether a moment lies before the last wait (or never was)."""
    if since_ms is None:
        return True
    age_ms = core.now_ms - since_ms
    if FRESH_MS < age_ms < EXPIRED_MS:
        raise AssertionError(f"an age of {age_ms} ms is neither fresh nor expired")
    return age_ms >= EXPIRED_MS


def _waits_until(core: Core, deadline_ms: int) -> int:
    """How many waits a deadline is away; 0 when it has passed."""
    return max(0, -((core.now_ms - deadline_ms) // PAUSE_MS))


def _times(core: Core, with_confirm: bool) -> tuple[object, ...]:
    """Times that a decision looks at in the present state of the peer.

    While it is up, or was never heard, the age of what was heard is below deadtime after each turn (or it
    would be silent now), and becomes silence within the next wait: nothing to tell apart.
    """
    now_ms = core.now_ms
    heard, shot, exit_at_ms = core.hearing, core.shot, core.exit_at_ms
    last_ms = heard.last_two_way_ms
    return (
        core.peer_state not in (PeerState.UP, PeerState.NEVER_HEARD) and _old(core, core.silent_since_ms),
        _old(core, heard.last_current_ms),
        shot is not None and shot.op != 0 and last_ms is not None and last_ms >= shot.fired_ms,
        core.peer_state is PeerState.FENCING and _old(core, last_ms),
        shot is not None and shot.op != 0 and _old(core, shot.fired_ms),
        with_confirm
        and (_old(core, core.born_ms), _old(core, core.silence_floor_ms), _old(core, heard.last_authentic_ms)),
        core.stalled() and _old(core, core.stalled_at_ms),
        core.shot_next_ms > now_ms,
        core.look_next_ms > now_ms,
        core.device_next_ms > now_ms,
        core.persist_retry_ms > now_ms,
        core.shutting_down and core.shutdown_deadline_ms > now_ms,
        None if exit_at_ms is None else max(exit_at_ms - now_ms, 0),
    )


def _exactly(core: Core) -> tuple[object, ...]:
    """Every age and deadline as it is."""
    heard, shot, proof = core.hearing, core.shot, core.proof
    moments = [core.__dict__[name] for name in sorted(TIMES)]
    moments += [heard.last_two_way_ms, heard.last_current_ms, heard.last_authentic_ms]
    moments += [shot and shot.fired_ms, proof and proof.at_ms, *(group.next_ms for group in core.groups.values())]
    moments += heard.unheard_ms.values()
    return tuple(moment if moment is None else moment - core.now_ms for moment in moments)


def _hearing(core: Core, counters: Counters) -> tuple[object, ...]:
    heard = core.hearing
    counters.append((BEAT, heard.nonce, heard.counter))
    for nonce, candidate in heard.candidates.items():
        counters.append((BEAT, nonce, candidate.counter))
        counters.append((MARK, core.nonce, candidate.my_counter))
    stalled = core.stalled()
    if stalled:
        counters.append((MARK, core.nonce, core.stalled_counter))
    return (
        heard.nonce,
        tuple(heard.candidates),  # of each the boot is that of its life
        tuple(sorted(heard.retired)),
        heard.beat and _said(heard.beat),
        stalled,
    )


def _group(core: Core, group: Group) -> tuple[object, ...]:
    return (
        group.state.value,
        group.op != 0,
        group.state is GroupState.STARTED and group.watch_op != 0,
        group.purpose.value,
        group.next_ms > core.now_ms,
        group.stop_failed,
        core.recent_failures(group),
        group.inherited,
        group.tainted_epoch,
        group.want,
        group.served,
    )


def _power(core: Core, counters: Counters) -> tuple[object, ...]:
    shot, proof, drill = core.shot, core.proof, core.drill
    if proof is not None:
        counters.append((MARK, core.nonce, proof.off_counter))
    if drill is not None:
        counters.append((MARK, core.nonce, drill.off_counter))
    return (
        drill
        and (
            drill.step.value,
            drill.boot_id,
            drill.fired,
            drill.on_op != 0,
            drill.before and drill.before.ok,
            _old(core, drill.off_ms),
            _old(core, core.silence_floor_ms),
            _old(core, core.hearing.last_authentic_ms),
            _waits_until(core, drill.deadline_ms),
        ),
        core.device_op != 0,
        shot and (shot.kind.value, shot.boot_id, shot.command != 0, shot.op != 0),
        proof
        and (
            proof.boot_id,
            _old(core, proof.at_ms),
            proof.confirmed,
            proof.takes,
            proof.command != 0,
            proof.heard,
            tuple(proof.epochs.items()),
        ),
    )


_HEAD_FIELDS = tuple(name for name in NodeRecord.__dataclass_fields__ if name not in ("groups", "shots", "drilled"))
# No search is as long as failures are counted together: when the last one was is the same to all of them.
_RECORD_FIELDS = tuple(n for n in GroupRecord.__dataclass_fields__ if n not in ("name", "parked", "failed_ms"))


def _group_record(record: GroupRecord) -> tuple[object, ...]:
    return (bool(record.parked), *(getattr(record, name) for name in _RECORD_FIELDS))


def _group_records(records: dict[str, GroupRecord]) -> tuple[object, ...]:
    return tuple(_group_record(record) for record in records.values())


def _said(beat: Beat) -> tuple[object, ...]:
    """What a beat says, its counters and echoes aside."""
    return (
        beat.boot_id,
        beat.hears,
        beat.ready,
        beat.leaving,
        beat.maintenance,
        beat.still,
        tuple(_claimed(claim) for claim in beat.groups),
    )


def _claimed(claim: GroupClaim) -> tuple[object, ...]:
    return (
        claim.state.value,
        claim.held,
        claim.right,
        claim.top,
        claim.grant,
        claim.grant_nonce,
        claim.failed_here,
        claim.parked,
        claim.fence_me,
        claim.want,
    )


def _ranks(counters: Counters) -> tuple[object, ...]:
    """What comparing counters can tell, now and later.

    A core compares the counter of a frame with the newest one received (BEAT with BEAT of one life), and an
    echo with a mark of the life that is echoed; a counter received becomes an echo later. Nothing else is
    told apart: a mark made later is the sender's present counter, which no frame or echo exceeds, and a
    beat sent later is above every mark.
    """
    by_life: dict[str, tuple[list[int], list[int]]] = {}
    for kind, nonce, counter in counters:
        if kind != MARK:
            by_life.setdefault(nonce, ([], []))[kind == ECHO].append(counter)
    places: list[object] = []
    for kind, nonce, counter in counters:
        beats, echoes = by_life.get(nonce, ((), ()))
        if kind == BEAT:
            places.append(len({other for other in beats if other < counter}))
        elif kind == MARK:
            places.append((tuple(c > counter for c in beats), tuple(c > counter for c in echoes)))
    return tuple(places)
