"""The audits: PROTOCOL.md and S1 to S11 of heartbeat.md, looked at after every step of every core.

They see what an outsider could see (events, actions, disks, what really runs) and nothing of the
core's own thoughts. A violation raises at once, so that the trace ends where the fault is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager.actions import (
    Action,
    Exit,
    ExitCode,
    Fence,
    Level,
    Note,
    Persist,
    PowerOn,
    Probe,
    ReadPlugs,
    Reply,
    SelfReset,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    MonitorFailed,
    Persisted,
    PersistFailed,
    PingsSeen,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
    Terms,
    Verb,
)
from failover_kit.manager.records import Beat, GroupClaim, GroupRecord, NodeRecord, PlugState
from failover_kit.manager.states import GroupState, PeerState
from sim.witness import Book, DrillBook, Leave, Witness, proves_off

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.shell import Daemon
    from sim.world import World

FAILURES_EXPIRE_MS = 600_000  # docs/design/0036
PING_REST_MS = 300_000  # docs/design/0038
RUNNING_STATES = (GroupState.STARTING, GroupState.STARTED)


class Violation(Exception):
    """A promise was broken: by the core, or by the simulator itself."""


def _refused(event: Command, actions: list[Action]) -> bool:
    """Whether the order was refused at once."""
    refusals = (ExitCode.REFUSED, ExitCode.USAGE)
    return any(isinstance(a, Reply) and a.id == event.id and a.code in refusals for a in actions)


class Audits:
    """All checks of one world."""

    def __init__(self, world: World, *, outcome_only: bool = False) -> None:
        self.world = world
        self.outcome_only = outcome_only  # look only at S1 and the rights, not at how it came about
        self.s1_only = False  # not even at the rights: what really runs
        self.two_active = ""  # a group that an exam made active on both nodes, to see what follows (rule 16)
        self.resets: list[str] = []  # nodes that then reset themselves
        self.groups = tuple(name for name, _ in world.faults.groups)
        self.witness: list[Witness | None] = [None, None]
        self.contact = ["", ""]  # boot in which a current beat was received
        self.shelved: list[tuple[NodeRecord | None, str] | None] = [None, None]  # and its contact
        self.alone_shots = [0, 0]  # shots since the last contact, fired without one
        self.sent_grants: dict[tuple[str, int], str] = {}  # (group, epoch) -> life it is addressed to
        self.state_lost = False
        self.starts = 0
        self.starts_of: dict[str, int] = {}
        self.believed_ms: dict[tuple[str, str], int] = {}  # (life, life of its peer): believed since
        self.rights_since: dict[tuple[int, str], int] = {}  # the epoch from which on a disk has said right, always
        self.restarts: dict[tuple[int, str], list[int]] = {}  # monitors that failed in this boot
        self.drills = 0  # that ended well
        self.ping_moves: dict[str, int] = {}  # when a group was last moved by ping_failover

    def check(self, condition: bool, text: str) -> None:
        """Raise a Violation unless ``condition``."""
        if not condition:
            raise Violation(text)

    def fail(self, machine: Machine, text: str) -> None:
        """A rule was broken on ``machine``."""
        if self.outcome_only:
            return
        raise Violation(f"{machine.name} at {self.world.now / 1000:.3f} s: {text}")

    # --- the world's own news ----------------------------------------------------------------------

    def life_began(self, machine: Machine, daemon: Daemon) -> None:
        """Called before the core's first step."""
        self.witness[machine.index] = Witness(
            daemon.nonce, machine.boot_id, daemon.stored, self.groups, machine.clock()
        )
        self._remembered_contact(machine, daemon)
        self.rights()

    def _remembered_contact(self, machine: Machine, daemon: Daemon) -> None:
        """Rule 23: what was forgotten is not there. It is again when the record is: an older version that could not
        read it, and could not write its own, was between (0039)."""
        index, record = machine.index, machine.disk.record
        shelved = self.shelved[index]
        if daemon.stored is None:
            self._forget_failures(machine)
            if shelved is None or shelved[0] is not record:
                self.shelved[index] = (record, self.contact[index])
            self.contact[index] = ""
        elif shelved is not None and shelved[0] is record:
            self.contact[index] = self.contact[index] or shelved[1]

    def booted(self, machine: Machine) -> None:
        """A new boot has had no contact."""
        self.contact[machine.index] = ""
        self._forget_failures(machine)

    def power_lost(self, machine: Machine) -> None:
        """Nothing of it remains but the disk."""
        self.witness[machine.index] = None

    def disk_written(self, machine: Machine, old: NodeRecord | None, new: NodeRecord) -> None:
        """Every record that reaches a disk: epochs never go down there."""
        if old is not None:
            before = {record.name: record for record in old.groups}
            for record in new.groups:
                was = before.get(record.name)
                if was is not None and (record.top < was.top or record.known < was.known):
                    self.fail(machine, f"rule 4: epoch of {record.name} went down on the disk: {was} -> {record}")
        for record in new.groups:
            key = (machine.index, record.name)
            if not record.right or old is None or old.boot_id != new.boot_id:
                self.rights_since.pop(key, None)
            if record.right:
                self.rights_since.setdefault(key, record.right)
        self.rights()

    def usable_right(self, machine: Machine, name: str) -> int:
        """The epoch by which this node could start ``name`` now; 0 = none. Doubt counts as usable."""
        stored = machine.disk.record
        if not machine.boot_id or stored is None or stored.boot_id != machine.boot_id:
            return 0
        right = next((record.right for record in stored.groups if record.name == name), 0)
        witness = self.witness[machine.index]
        if right and machine.daemon is not None and witness is not None and name in witness.handed:
            # Given up counts from the moment it was handed to Persist.
            return right if witness.handed[name].right == right else 0
        return right

    def rights(self) -> None:
        """At most one node has a usable right, and at most one is possibly active (S1), per group."""
        one, other = self.world.machines
        for name in self.groups:
            if name == self.two_active:
                continue
            if one.resources[name].active and other.resources[name].active:
                raise Violation(f"S1: {name} is possibly active on both nodes at {self.world.now / 1000:.3f} s")
            mine = self.usable_right(one, name)
            if mine and not self.s1_only:
                theirs = self.usable_right(other, name)
                if theirs:
                    raise Violation(
                        f"both nodes have a usable right to {name} at {self.world.now / 1000:.3f} s: "
                        f"epoch {mine} on {one.name}, {theirs} on {other.name}"
                    )

    def start_forked(self, machine: Machine, daemon: Daemon, action: Start) -> None:
        """Rules 1, 3, 7: the last look before an agent is forked."""
        self.starts += 1
        self.starts_of[action.group] = self.starts_of.get(action.group, 0) + 1
        name = action.group
        stored = machine.disk.record
        record = next((r for r in stored.groups if r.name == name), None) if stored is not None else None
        if stored is None or record is None or stored.boot_id != machine.boot_id:
            self.fail(machine, f"rules 1, 3: starts {name} without a record of this boot on its disk")
            return
        # A grant may be accepted while the start by an older right is under way: the right never ended.
        since = self.rights_since.get((machine.index, name), record.right)
        if not record.right or not since <= action.epoch <= record.right:
            here = f"its disk says right {record.right}"
            self.fail(machine, f"rules 1, 7: starts {name} by epoch {action.epoch}; {here}")
        witness = self.witness[machine.index]
        if witness is not None and (name, record.right) in witness.voided:
            self.fail(machine, f"rule 2c: starts {name} by a word that was void before it was durable")
        if not record.held:
            self.fail(machine, f"rule 7: starts {name}; its disk does not say held")
        if name == self.two_active:
            return
        if machine.peer.resources[name].active:
            raise Violation(f"S1: {machine.name} starts {name} while it is possibly active on {machine.peer.name}")
        if self.usable_right(machine.peer, name):
            self.fail(machine, f"S2: starts {name} while {machine.peer.name} has a usable right to it")

    def self_reset(self, machine: Machine, action: SelfReset) -> None:
        """Rule 16 is for what never happens while fence devices read back the truth."""
        if self.two_active:
            self.resets.append(machine.name)
            return
        self.fail(machine, f"rule 16: found two rights: {action.reason}")

    # --- one step ----------------------------------------------------------------------------------

    def handled(self, machine: Machine, daemon: Daemon, event: Event, actions: list[Action]) -> None:
        """The core took ``event`` in and answered ``actions``."""
        witness = self.witness[machine.index]
        if witness is None:
            raise Violation("a core of no life ran")
        witness.time_passes(machine.clock(), daemon.config.deadtime_ms)
        witness.drill_silence(daemon.config.deadtime_ms)
        if isinstance(event, BeatReceived):
            self._newest_life(machine, daemon)
            if witness.confirmed_boot in ("", event.beat.boot_id):  # by name when no boot was known
                self._word_doubted(machine, witness)
            witness.authentic_ms = witness.last_ms
            if witness.hears(event.beat):
                self.contact[machine.index] = machine.boot_id
                self.alone_shots[machine.index] = 0
        else:
            self._event(machine, witness, event)
        if isinstance(event, Command) and not _refused(event, actions):
            if event.terms is not None:
                self._request(machine, witness, event, event.terms)
            if event.verb is Verb.CONFIRM_DEAD and event.target == machine.peer.name:
                self._word(machine, witness)
            if event.verb is Verb.TAKEOVER:
                self._forget_failures(machine)
                for name in event.groups or self.groups:
                    witness.books[name].failed_ms = None  # its next start is the operator's, no restart in place
        for action in actions:
            if isinstance(action, SendBeat):
                self._beat(machine, daemon, witness, action.beat)
            elif isinstance(action, Persist):
                self._persist(machine, daemon, witness, action)
            elif isinstance(action, (Probe, Start, Stop)):
                if self.world.keeps_still:
                    self.fail(machine, f"rule 19: {action} in maintenance")
                self._group_action(machine, witness, action)
            elif isinstance(action, Fence):
                if self.world.keeps_still and not witness.fence_orders:
                    self.fail(machine, "rule 19: a shot in maintenance that nobody ordered")
                self._fence(machine, daemon, witness, action)
            elif isinstance(action, (PowerOn, ReadPlugs)):
                self._device(machine, witness, action)
            elif isinstance(action, Reply):
                self._reply(machine, witness, action)
            elif isinstance(action, Exit):
                self._ends(machine, daemon, witness, actions)
            elif isinstance(action, Note) and action.code == "monitor-failed":
                self._monitor_failed(machine, witness, event, action)
            elif isinstance(action, Note) and action.code == "fenced":
                if not isinstance(event, FenceDone) or not proves_off(event.evidence, witness.fence_began_ms):
                    self.fail(machine, f"rule 8, S4: says fenced, by {event}")
            elif isinstance(action, Note) and action.code == "move":
                self._move(machine, daemon, witness, action)

    def _request(self, machine: Machine, witness: Witness, event: Command, terms: Terms) -> None:
        """A watcher's request that was not refused at once: about what is so, and once in a hold-off."""
        name, now_ms = event.groups[0], witness.last_ms
        claim = witness.beat.claim(name) if witness.beat is not None else None
        if self.world.keeps_still:
            self.fail(machine, f"rule 19: admits {event} in maintenance")
        if claim is None or claim.right != terms.epoch or claim.state is not GroupState.STARTED:
            self.fail(machine, f"admits {event}, and the peer's last beat says {claim}")
        if name in witness.handed and witness.handed[name].right:
            self.fail(machine, f"admits {event} and has the right itself")
        if now_ms - max(witness.born_ms, witness.asked_ms.get(name, witness.born_ms)) < terms.hold_off_ms:
            self.fail(machine, f"admits {event} within the hold-off")
        witness.asked_ms[name] = now_ms

    def _word_doubted(self, machine: Machine, witness: Witness) -> None:
        """Rule 2c: a sign of the boot called dead voids the word, and what it gave that is not durable yet."""
        witness.word_doubted = True
        if witness.leave is not None and witness.leave.by_operator:
            witness.leave = None
        stored = machine.disk.record
        durable = {(r.name, r.right) for r in stored.groups} if stored is not None else set()
        witness.voided |= witness.by_word - durable

    def _newest_life(self, machine: Machine, daemon: Daemon) -> None:
        """S7: a life of the peer once believed is never given up for an older one."""
        nonce = daemon.core.hearing.nonce
        if nonce == daemon.believed:
            return
        old, new = (int(name.rpartition("life")[2] or 0) for name in (daemon.believed, nonce))
        if new < old:
            self.fail(machine, f"S7: believes {nonce}, an older life than {daemon.believed}")
        daemon.believed = nonce

    def _event(self, machine: Machine, witness: Witness, event: Event) -> None:
        match event:
            case Persisted() | PersistFailed():
                witness.persist_token = 0
            case Probed():
                self._answered(witness, event.group, event.op)
                book = witness.books[event.group]
                book.state = "stopped" if event.outcome is ProbeOutcome.STOPPED else "doubt"
                running = event.outcome is ProbeOutcome.RUNNING
                if book.again and running and witness.before(event.group).right:
                    book.state = "started"  # the look after maintenance (rule 19): adopted under the right it had
            case Started():
                self._answered(witness, event.group, event.op)
                witness.books[event.group].state = "started"
                witness.books[event.group].start_failed = False
            case StartFailed():
                self._answered(witness, event.group, event.op)
                witness.books[event.group].state = "start-failed"
                witness.books[event.group].start_failed = bool(event.resource)  # else it was not forked
            case Stopped():
                self._answered(witness, event.group, event.op)
                witness.books[event.group].state = "stopped"
            case StopFailed():
                self._answered(witness, event.group, event.op)
                witness.books[event.group].state = "failed"
            case FenceDone():
                witness.fence_op = 0
                if witness.drill is not None and witness.drill.op == event.op:
                    self._drill_shot_done(witness, witness.drill, event)
                elif proves_off(event.evidence, witness.fence_began_ms):
                    witness.unsettled = False
                    boot_id = witness.beat.boot_id if witness.beat is not None else ""
                    witness.leave = Leave(witness.counter, boot_id, by_operator=False)
            case PowerOnDone() | PlugsRead():
                if isinstance(event, PlugsRead) or event.ok:
                    witness.unsettled = False  # a PowerOn that succeeded has read them, too
                is_on = event.ok if isinstance(event, PowerOnDone) else event.state is PlugState.ON
                if witness.drill is not None and witness.drill.quiet and is_on:
                    witness.drill.power = True
                witness.device_op = 0
                witness.power_on_op = 0
            case PingsSeen():
                witness.reached = event.reached
                witness.quiet_ms = (witness.quiet_ms or witness.last_ms) if event.quiet else None
            case Command():
                self._command(machine, witness, event)
            case _:
                pass

    def _answered(self, witness: Witness, group: str, op: int) -> None:
        book = witness.books[group]
        if book.op != op:
            raise Violation(f"the simulated shell answered op {op} of {group}, in flight is {book.op}")
        book.op = 0

    def _command(self, machine: Machine, witness: Witness, event: Command) -> None:
        witness.commands[event.id] = (event.verb.value, event.groups)
        witness.given_ms[event.id] = witness.last_ms
        if event.target != machine.peer.name:
            return
        if event.verb is Verb.FENCE:
            witness.fence_orders.add(event.id)
        elif event.verb is Verb.PROVE:
            witness.prove_orders.add(event.id)

    def _word(self, machine: Machine, witness: Witness) -> None:
        """The operator calls the peer dead, and was not refused at once."""
        if witness.last_ms - max(witness.authentic_ms, witness.born_ms) < self.world.faults.deadtime_ms:
            return  # it must be refused: nothing may follow from it
        witness.leave = Leave(witness.counter, "", by_operator=True)
        stored = machine.disk.record
        witness.confirmed_boot = stored.peer_boot_id if stored is not None else ""

    # --- groups ------------------------------------------------------------------------------------

    def _group_action(self, machine: Machine, witness: Witness, action: Probe | Start | Stop) -> None:
        book = witness.books[action.group]
        if book.op:
            self.fail(machine, f"S6: {action} while op {book.op} of the group is in flight")
        book.again = isinstance(action, Probe) and (book.again or book.state not in ("unknown", "doubt"))
        book.op = action.op
        if isinstance(action, Start):
            if book.state != "stopped":
                rules = "S10, S5" if book.state in ("unknown", "doubt") else "S5"
                self.fail(machine, f"{rules}: {action} in state {book.state}: nothing verified it stopped")
            if witness.left:
                self.fail(machine, f"rule 5: {action} after it said leaving")
            if witness.stalled_counter >= 0:
                self.fail(machine, f"S11, rule 21: {action} after a pause, on old facts")
            book.state = "starting"
            self._started_after_failure(machine, book, action)
        elif isinstance(action, Stop):
            if action.group == self.two_active and machine.peer.resources[action.group].active:
                self.fail(machine, f"rule 16: unmounts {action.group}, which is active on {machine.peer.name}, too")
            book.state = "stopping"

    def _forget_failures(self, machine: Machine) -> None:
        """A boot, a lost record and the operator's takeover end the count."""
        for name in self.groups:
            self.restarts.pop((machine.index, name), None)

    def _monitor_failed(self, machine: Machine, witness: Witness, event: Event, action: Note) -> None:
        if not isinstance(event, MonitorFailed):
            self.fail(machine, f"rule 15: {action.text}: no monitor failed")
            return
        in_place = action.level is Level.WARNING
        witness.books[event.group].failed_ms = witness.last_ms if in_place else None
        if not in_place:
            self.restarts.pop((machine.index, event.group), None)

    def _started_after_failure(self, machine: Machine, book: Book, action: Start) -> None:
        """Rule 15: restarts in place are counted over the lives of a boot; a start has its count on the disk."""
        if book.failed_ms is None:
            return
        times = self.restarts.setdefault((machine.index, action.group), [])
        if times and book.failed_ms - times[-1] >= FAILURES_EXPIRE_MS:
            times.clear()
        times.append(book.failed_ms)
        book.failed_ms = None
        if len(times) >= self.world.faults.monitor_failures:
            self.fail(machine, f"rule 15: {action} is restart {len(times)} in place, after failures at {times}")

    def _adopted(self, witness: Witness, group: str) -> bool:
        return witness.books[group].state == "doubt" and bool(witness.begun_with[group])

    def _active_states(self, witness: Witness) -> set[str]:
        return {book.state for book in witness.books.values()}

    # --- the disk ----------------------------------------------------------------------------------

    def _persist(self, machine: Machine, daemon: Daemon, witness: Witness, action: Persist) -> None:
        if witness.persist_token:
            self.fail(machine, "S6: a second Persist is in flight")
        witness.persist_token = action.token
        if action.record.boot_id != machine.boot_id:
            self.fail(machine, f"persists a record of boot {action.record.boot_id}")
        for record in action.record.groups:
            before = witness.before(record.name)
            if record is before or record == before:
                continue
            self._record(machine, daemon, witness, before, record)
        for record in action.record.groups:
            witness.handed[record.name] = record
        self._drill_record(machine, witness, action.record)
        if action.record.shots and (
            witness.handed_node is None or witness.handed_node.shots != action.record.shots
        ):
            witness.turns = self._turns(daemon, witness)  # a shot was decided
            witness.quiet_turns = 0 if self._pings_down(daemon, witness) else self._quiet_turns(daemon, witness)
        witness.handed_node = action.record

    def _record(
        self,
        machine: Machine,
        daemon: Daemon,
        witness: Witness,
        before: GroupRecord,
        after: GroupRecord,
    ) -> None:
        if after.top < before.top or after.known < before.known:
            self.fail(machine, f"rule 4: epochs went down: {before} -> {after}")
        if after.right and after.right != before.right:
            self._new_right(machine, witness, before, after)
        if after.grant and (after.grant, after.grant_nonce) != (before.grant, before.grant_nonce):
            self._new_grant(machine, daemon, witness, before, after)
        if after.grant and after.right:
            self.fail(machine, f"rule 4: has and grants {after.name} in one record: {after}")
        if before.held and not after.held and machine.resources[after.name].active:
            self.fail(machine, f"S3: persists {after.name} as not held while it may be active here")

    def _own_parity(self, machine: Machine, epoch: int) -> bool:
        return (epoch % 2 == 0) == (machine.name < machine.peer.name)

    def _new_right(self, machine: Machine, witness: Witness, before: GroupRecord, after: GroupRecord) -> None:
        """Rule 2: a grant heard by this life, or a leave to take that nothing has voided."""
        if after.right <= before.top:
            self.fail(machine, f"rule 2: right to {after.name} with epoch {after.right}, not above {before.top}")
        if witness.decided_rights.get(after.name) != after.right:
            self._right_decided(machine, witness, after.name, after.right)

    def _right_decided(self, machine: Machine, witness: Witness, name: str, epoch: int) -> None:
        """Where a right comes from, when it is first seen: claimed in a beat, or handed to Persist."""
        witness.decided_rights[name] = epoch
        if witness.left:
            self.fail(machine, f"rule 5: takes {name} after it said leaving")
        stored = witness.stored.get(name)
        if stored is not None and stored.right == epoch and not witness.begun_with[name]:
            self.fail(machine, f"rule 3: goes on with the right to {name} (epoch {epoch}) of an earlier boot")
            return
        if not self._own_parity(machine, epoch):
            if (name, epoch) not in witness.grants:
                self.fail(
                    machine, f"rule 2a: right to {name} (epoch {epoch}) that no current beat granted to this life"
                )
            return
        leave = witness.leave
        if leave is None:
            say = f"issues itself a right to {name} (epoch {epoch})"
            self.fail(machine, f"rule 2b, S2: {say} without a valid proof")
        elif name in leave.used:
            self.fail(machine, f"rule 2b: the proof was already used for {name}")
        else:
            leave.used.add(name)
            if leave.by_operator:
                witness.by_word.add((name, epoch))
        if epoch <= witness.before(name).known:
            self.fail(machine, f"epoch {epoch} of {name} is not above the known {witness.before(name).known}")

    def _new_grant(
        self,
        machine: Machine,
        daemon: Daemon,
        witness: Witness,
        before: GroupRecord,
        after: GroupRecord,
    ) -> None:
        """Rule 4, and 2d where there was no right to give."""
        name = after.name
        say = f"grants {name} (epoch {after.grant})"
        if not self._own_parity(machine, after.grant) or after.grant <= max(before.top, before.known):
            self.fail(machine, f"rule 4: {say} with a wrong epoch; before: {before}")
        if machine.resources[name].active or witness.books[name].state != "stopped" or witness.books[name].op:
            rules = {"failed": "rule 17, S9: after a stop that failed", "unknown": "S10, rule 4: without a look"}
            self.fail(
                machine, f"{rules.get(witness.books[name].state, 'rule 4:')} {say} while its stop is not verified"
            )
        claim = witness.beat.claim(name) if witness.beat is not None else None
        if witness.books[name].start_failed and before.right and claim is not None and claim.failed_here:
            self.fail(machine, f"rule 18, L6: {say} after its start failed here, to a node where it failed, too")
        witness.books[name].failed_ms = None
        self.restarts.pop((machine.index, name), None)
        if witness.decided.get(name) != (after.grant, after.grant_nonce):
            witness.decided[name] = (after.grant, after.grant_nonce)
            self._grant_decided(machine, daemon, witness, name, after.grant)

    def _grant_decided(self, machine: Machine, daemon: Daemon, witness: Witness, name: str, epoch: int) -> None:
        """Rules 2d and 4 about the peer, when the decision is first seen: in a beat, or handed to Persist."""
        say = f"grants {name} (epoch {epoch})"
        before = witness.before(name)
        had = bool(before.right)
        if witness.unsettled:
            self.fail(machine, f"rule 12: {say} while a shot is not settled")
        if witness.stalled_counter >= 0:
            self.fail(machine, f"rule 21: {say} after a pause, on old facts")
        beat = witness.beat
        config = daemon.config
        if beat is None or witness.current_ms is None or witness.last_ms - witness.current_ms > config.deadtime_ms:
            self.fail(machine, f"rule 4: {say} to a peer that is not current")
            return
        claim = beat.claim(name)
        if beat.digest != config.digest:
            self.fail(machine, f"rule 20: {say} to a peer whose configuration differs")
        if claim is None or not beat.ready or claim.parked:
            self.fail(machine, f"rule 4: {say} to a peer that is not ready")
        # Accepted and given back in one step: rule 2a.
        had = had or any(group == name and before.top < heard < epoch for group, heard in witness.grants)
        if (
            claim is not None
            and not had
            and (self._open(witness, before, claim) or claim.right or claim.grant or claim.held)
        ):
            self.fail(machine, f"rule 2d: {say} while a right is visible: {before}, peer {claim}")

    def _open(self, witness: Witness, before: GroupRecord, claim: GroupClaim) -> bool:
        """Whether an earlier grant may still be accepted: its life has not ended and has not answered it."""
        return bool(before.grant) and before.grant_nonce == witness.current and claim.top < before.grant

    # --- beats -------------------------------------------------------------------------------------

    def _beat(self, machine: Machine, daemon: Daemon, witness: Witness, beat: Beat) -> None:
        if beat.counter != witness.counter + 1 or beat.nonce != witness.nonce or beat.boot_id != machine.boot_id:
            self.fail(machine, f"a beat out of order or of another life: {beat}")
        witness.counter = beat.counter
        if beat.hears and (
            witness.current_ms is None or witness.last_ms - witness.current_ms >= daemon.config.deadtime_ms
        ):
            self.fail(machine, "S7: says it hears the peer without a current beat of it")
        self._status(machine, daemon, witness)
        for claim in beat.groups:
            if not claim.held and machine.resources[claim.name].active:
                self.fail(machine, f"S3: says {claim.name} is not held while it may be active")
            if claim.state in RUNNING_STATES and not claim.right:
                self.fail(machine, f"rules 1, 3: {claim.name} is {claim.state.value} without a right")
            if claim.right and claim.right not in (
                witness.decided_rights.get(claim.name),
                witness.before(claim.name).right,
            ):
                self._right_decided(machine, witness, claim.name, claim.right)
            if claim.grant_nonce:
                self._sent_grant(machine, claim)
            elif claim.grant and witness.decided.get(claim.name, (0, ""))[0] != claim.grant:
                witness.decided[claim.name] = (claim.grant, witness.current)
                self._grant_decided(machine, daemon, witness, claim.name, claim.grant)
        if beat.leaving and not witness.left:
            self._leaving(machine, witness, beat)

    def _status(self, machine: Machine, daemon: Daemon, witness: Witness) -> None:
        """What follows from time alone, looked at with each beat: silence, the watchdog, orders without an end."""
        config, core, now_ms = daemon.config, daemon.core, witness.last_ms
        # Recorded frames can crowd a life out of the core's few candidates; it is believed later then, once.
        believed_ms = self.believed_ms.setdefault((witness.nonce, core.hearing.nonce), now_ms)
        told_ms = now_ms - max(witness.floor_ms, believed_ms, witness.two_way_ms or 0)
        # Of a peer that never said in this life that it hears us it is not known yet whether it can.
        patience_ms = config.initdead_ms if witness.two_way_ms is None else config.deadtime_ms
        if core.peer_state is PeerState.UP and told_ms > patience_ms + config.keepalive_ms:
            self.fail(machine, f"rule 11: calls up a peer that said for {told_ms} ms that it hears nothing")
        if not core.holds() and any(resource.active for resource in machine.resources.values()):
            self.fail(machine, "rule 24: lets the watchdog go while something is possibly active")
        for number, (verb, _) in witness.commands.items():
            drill_ms = config.move_timeout_ms + config.deadtime_ms + config.prove_timeout_ms
            limit_ms = config.move_timeout_ms + (drill_ms if verb == Verb.PROVE.value else 0)
            waited_ms = now_ms - witness.given_ms[number]
            if waited_ms > limit_ms + config.deadtime_ms:
                self.fail(machine, f"L4: order {number} ({verb}) has no outcome after {waited_ms} ms")

    def _sent_grant(self, machine: Machine, claim: GroupClaim) -> None:
        stored = machine.disk.record
        record = next((r for r in stored.groups if r.name == claim.name), None) if stored is not None else None
        if record is None or (record.grant, record.grant_nonce) != (claim.grant, claim.grant_nonce):
            self.fail(
                machine, f"rule 7: sends grant {claim.grant} of {claim.name} that is not on its disk: {record}"
            )
        elif record.right or claim.right:
            self.fail(machine, f"rule 4: sends a grant of {claim.name} and has a right: {record}")
        key = (claim.name, claim.grant)
        to = self.sent_grants.setdefault(key, claim.grant_nonce)
        if to != claim.grant_nonce and not self.state_lost:
            self.fail(
                machine,
                f"rule 4: epoch {claim.grant} of {claim.name} was granted to {to} and to {claim.grant_nonce}",
            )

    def _leaving(self, machine: Machine, witness: Witness, beat: Beat) -> None:
        witness.left = True
        stored = machine.disk.record
        if stored is None or stored.leaving != beat.nonce:
            self.fail(machine, "rule 5: says leaving before that is durable")
        for claim in beat.groups:
            if claim.right or claim.held or claim.grant or claim.state is not GroupState.STOPPED:
                self.fail(machine, f"rule 5: says leaving with {claim}")

    def _ends(self, machine: Machine, daemon: Daemon, witness: Witness, actions: list[Action]) -> None:
        """Rules 3, 26: who ends in good order keeps no right for its next life, whatever runs in between."""
        notes = [action for action in actions if isinstance(action, Note)]
        if any(note.code == "leaving-undone" or "in maintenance" in note.text for note in notes):
            return
        stored = machine.disk.record
        if stored is None or stored.boot_id != machine.boot_id or daemon.core.persist_error:
            return
        for record in stored.groups:
            if record.right and witness.books[record.name].state == "stopped":
                self.fail(machine, f"rules 3, 26: ends in good order and keeps its right: {record}")

    # --- power -------------------------------------------------------------------------------------

    def _device(self, machine: Machine, witness: Witness, action: PowerOn | ReadPlugs) -> None:
        if witness.fence_op or witness.device_op:
            self.fail(machine, f"{action} while another call to the switch is in flight")
        witness.device_op = action.op
        if isinstance(action, PowerOn):
            witness.power_on_op = action.op
            self._drill_power(machine, witness)

    def _fence(self, machine: Machine, daemon: Daemon, witness: Witness, action: Fence) -> None:
        if witness.fence_op or witness.device_op:
            self.fail(machine, f"rule 13: {action} while another call to the switch is in flight")
        if witness.left:
            self.fail(machine, f"rule 5: {action} after it said leaving")
        witness.fence_op = action.op
        witness.fence_began_ms = witness.last_ms
        witness.fence_if_off = action.only_if_off
        config = daemon.config
        silent_ms = witness.silent_ms(config.initdead_ms, config.deadtime_ms)
        if action.only_if_off:
            if silent_ms < 0 and not witness.word_doubted:
                self.fail(machine, "rule 15: looks at the plugs of a peer that is not silent")
            return
        self.world.shots += 1
        witness.unsettled = True
        stored = machine.disk.record
        if stored is None or stored.boot_id != machine.boot_id or not stored.shot_pending or not stored.shots:
            self.fail(machine, f"rule 7: a shot that is not on the disk: {stored}")
        elif config.fence_power_on and not stored.on_owed:
            self.fail(machine, "rule 13: a shot without the power owed on the disk")
        elif stored.drilled is not None and stored.drilled.disproved and not witness.prove_orders:
            self.fail(machine, f"rules 8, 25: a shot at plugs that a drill disproved: {stored.drilled}")
        if witness.prove_orders and silent_ms < 0 and not witness.fence_orders and not self._asked(witness):
            self._drill_shot(machine, daemon, witness, action)
            return
        # Rule 2c: any sign of a boot the operator called dead puts his word, and what was taken by it, in doubt.
        if witness.fence_orders or witness.word_doubted or self._asked(witness):
            return
        if self.two_active and witness.before(self.two_active).right and silent_ms < 0:
            return  # rule 16: the higher epoch fences
        if silent_ms < 0:
            self.fail(machine, "rules 12, 14: shoots a peer that is not silent and did not ask for it")
        if witness.stalled_counter >= 0:
            self.fail(machine, "rule 21: shoots after a pause, on old facts")
        self._silent_shot(machine, daemon, witness, silent_ms)

    # --- the proof drill, rule 25 ------------------------------------------------------------------

    def _drill_shot(self, machine: Machine, daemon: Daemon, witness: Witness, action: Fence) -> None:
        """A beating peer is cut as a drill: it must really hold nothing, and this node every right."""
        peer, beat = machine.peer, witness.beat
        say = "rule 25: a drill"
        if beat is None:
            self.fail(machine, f"{say} of a peer that was never heard")
            return
        for name in self.groups:
            if peer.resources[name].active:
                self.fail(machine, f"{say} cuts {peer.name} while {name} is possibly active there")
            if self.usable_right(peer, name):
                self.fail(machine, f"{say} cuts {peer.name}, which has a usable right to {name}")
            claim = beat.claim(name)
            if claim is None or claim.right or claim.held or claim.grant or claim.state is not GroupState.STOPPED:
                self.fail(machine, f"{say} cuts {peer.name}, whose last beat says {claim}")
            if not witness.before(name).right:
                self.fail(machine, f"{say} while {machine.name} has no right to {name}")
        if not beat.ready or beat.leaving or beat.digest != daemon.config.digest:
            self.fail(machine, f"{say} cuts a peer that is not ready")
        if witness.stalled_counter >= 0:
            self.fail(machine, f"rule 21: {say} after a pause, on old facts")
        if self._active_states(witness) & {"stopping", "failed", "start-failed"}:
            self.fail(machine, f"rule 10: {say} while a group is being stopped")
        stored = machine.disk.record
        if stored is None or not stored.on_owed or stored.drilled is None or stored.drilled.ok:
            self.fail(machine, f"{say} whose intent and debt are not on the disk: {stored}")
        witness.drill = DrillBook(beat.boot_id, action.op)
        witness.restored = None

    def _drill_shot_done(self, witness: Witness, drill: DrillBook, event: FenceDone) -> None:
        """OFF was proved, or not. Either way a drill gives leave to take nothing: no Leave is made."""
        if proves_off(event.evidence, witness.fence_began_ms):
            witness.unsettled = False
            drill.off_counter = witness.counter
            drill.quiet_since_ms = witness.last_ms
        else:
            drill.spoiled = "its plugs were not proved OFF"

    def _drill_power(self, machine: Machine, witness: Witness) -> None:
        drill = witness.drill
        if drill is None or drill.off_counter < 0 or drill.quiet or drill.spoiled:
            return
        drill.quiet = drill.silent
        if not drill.quiet:
            # Its order was answered and the drill given up, or the core forgot to look: then nothing may count.
            drill.spoiled = "power was given back before it was silent"

    def _drill_record(self, machine: Machine, witness: Witness, record: NodeRecord) -> None:
        """A proof on record means: OFF read, silent while off, on again, a new boot; and it really lost power."""
        node = witness.handed_node
        before = node.drilled if node is not None else witness.drilled
        if record.drilled == before or record.drilled is None or not record.drilled.ok:
            return
        drill = witness.drill
        if before is not None and before.ok:
            self.fail(machine, f"rule 25: a proof replaces one without a drill between them: {record.drilled}")
        if witness.restored == record.drilled:
            return  # nothing was switched: what was proved before still is
        say = f"rule 25: records a proof ({record.drilled})"
        if drill is None or drill.off_counter < 0:
            self.fail(machine, f"{say} without an off that was read back")
            return
        if drill.spoiled:
            self.fail(machine, f"{say} although {drill.spoiled}")
        if not drill.quiet or not drill.power or not drill.back:
            self.fail(machine, f"{say} although silent={drill.quiet}, on={drill.power}, new boot={drill.back}")
        if machine.peer.boot_id == drill.boot_id:  # it may have lost it just before the shot, by another cause
            self.fail(machine, f"{say} although {machine.peer.name} never lost its power")
        witness.restored = record.drilled

    # --- shots at a silent peer --------------------------------------------------------------------

    def _asked(self, witness: Witness) -> bool:
        return witness.beat is not None and any(
            claim.fence_me and claim.fence_me == claim.right for claim in witness.beat.groups
        )

    def _silent_shot(self, machine: Machine, daemon: Daemon, witness: Witness, silent_ms: int) -> None:
        """Rules 5, 10 and 15 for a shot at a silent peer."""
        config = daemon.config
        # What was before maintenance does not last: people were at it, and the look at its end tells what is.
        states = {book.state for book in witness.books.values() if not book.again}
        if states & {"stopping", "failed", "start-failed"}:
            self.fail(machine, f"rule 10: shoots while a group is being stopped: {states}")
        if self.contact[machine.index] != machine.boot_id:
            self.alone_shots[machine.index] += 1
            if not config.boot_alone or (self.alone_shots[machine.index] > 1 and not self.state_lost):
                lost = ", 23" if witness.lost else ""
                self.fail(machine, f"rule 15{lost}: shoots without contact since its boot, or its records, began")
        records = [witness.before(name) for name in self.groups]
        beat = witness.beat
        if beat is not None and beat.leaving and all(record.right for record in records):
            self.fail(machine, "rule 5: shoots a peer that left, and has every right itself")
        if silent_ms < min(self._turns(daemon, witness), witness.turns) * config.fence_delay_ms:
            self.fail(machine, f"rule 10: shoots after {silent_ms} ms of silence, before its turn")
        # What was told before the silence counts in it.
        quiet = witness.quiet_ms is not None and witness.quiet_ms <= witness.last_ms - silent_ms
        down = self._pings_down(daemon, witness)
        least = min(self._quiet_turns(daemon, witness), witness.quiet_turns)
        if quiet and not down and silent_ms < least * config.fence_delay_ms:
            self.fail(machine, f"ping: reaches nobody and shoots after {silent_ms} ms, before turn {least}")

    def _pings_down(self, daemon: Daemon, witness: Witness) -> bool:
        """Whether the ping nodes are down by the peer's own word, too."""
        beat = witness.beat
        return beat is not None and beat.reached == 0 and beat.digest == daemon.config.digest

    def _quiet_turns(self, daemon: Daemon, witness: Witness) -> int:
        """The turns of a node that reaches no ping node: none of them is a turn the other can have."""
        if daemon.config.groups[0].home == daemon.config.node:
            return 3
        return 2 if self._turns(daemon, witness) == 0 else 4

    def _move(self, machine: Machine, daemon: Daemon, witness: Witness, action: Note) -> None:
        """No planned move goes where fewer ping nodes are reached; none for their sake more often than in 5 min."""
        beat, here = witness.beat, witness.reached
        there = beat.reached if beat is not None else None
        known = bool(here) and None not in here and there is not None
        if known and there is not None and there < sum(map(bool, here)):
            self.fail(machine, f"ping: {there} are reached there, {sum(map(bool, here))} here: {action.text}")
        if not action.text.endswith("(ping_failover)"):
            return
        if not known or there is None or there <= sum(map(bool, here)) or not daemon.config.ping_failover:
            self.fail(machine, f"ping: {there} are reached there, {here} here: {action.text}")
        now, name = self.world.now, action.text.split()[1]
        if now - self.ping_moves.get(name, -PING_REST_MS) < PING_REST_MS:
            self.fail(machine, f"ping: again within {PING_REST_MS} ms: {action.text}")
        self.ping_moves[name] = now

    def _turns(self, daemon: Daemon, witness: Witness) -> int:
        """How many fence delays this node has to wait by rule 10, on what is known now."""
        config, beat = daemon.config, witness.beat
        mine = any(witness.before(name).right and self._runs(witness, name) for name in self.groups)
        theirs = beat is not None and any(claim.right and claim.state in RUNNING_STATES for claim in beat.groups)
        first = config.groups[0].home == config.node
        if mine:
            return 0 if first or not theirs else 1
        return 1 if first else 2

    def _runs(self, witness: Witness, name: str) -> bool:
        # Adopted resources are found by a probe and never started: state "doubt" with a right from before.
        return witness.books[name].state in ("starting", "started") or self._adopted(witness, name)

    # --- answers -----------------------------------------------------------------------------------

    def _drill_answered(self, machine: Machine, witness: Witness, action: Reply) -> None:
        """Done is only what is on the disk."""
        stored = machine.disk.record
        proved = stored is not None and stored.drilled is not None and stored.drilled.ok
        if action.code is ExitCode.DONE:
            self.drills += 1
            if not proved:
                self.fail(machine, f"rule 25: says proved, and its disk does not: {stored}")

    def _reply(self, machine: Machine, witness: Witness, action: Reply) -> None:
        if action.id not in witness.commands:
            self.fail(machine, f"answers a command it was not given in this life: {action}")
            return
        verb, groups = witness.commands.pop(action.id)
        witness.fence_orders.discard(action.id)
        if action.id in witness.prove_orders:
            witness.prove_orders.discard(action.id)
            self._drill_answered(machine, witness, action)
        if action.code is not ExitCode.DONE or action.text.startswith("nothing to do"):
            return
        if verb == Verb.STANDBY.value and any(machine.resources[name].active for name in groups):
            self.fail(machine, f"says standby is done while something is active here: {action.text}")
        if verb == Verb.TAKEOVER.value and not all(machine.resources[name].active for name in groups):
            self.fail(machine, f"says takeover is done while not all is active here: {action.text}")
