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
from failover_kit.manager.records import Beat, PlugState
from failover_kit.manager.states import GroupState, PeerState
from sim.audits_base import RUNNING_STATES, Violation
from sim.audits_rights import RightsAudits
from sim.witness import Book, Leave, Witness, proves_off

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.shell import Daemon

FAILURES_EXPIRE_MS = 600_000  # docs/design/0036


def _refused(event: Command, actions: list[Action]) -> bool:
    """Whether the order was refused at once."""
    refusals = (ExitCode.REFUSED, ExitCode.USAGE)
    return any(isinstance(a, Reply) and a.id == event.id and a.code in refusals for a in actions)


class Audits(RightsAudits):
    """All checks of one world."""

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

    # --- answers -----------------------------------------------------------------------------------

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
