"""Audits of shots, owed power, proof drills, and whose turn it is (rules 5, 7, 8, 10 to 15, 25)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager.actions import (
    ExitCode,
    Fence,
    Note,
    PowerOn,
    ReadPlugs,
    Reply,
)
from failover_kit.manager.events import (
    FenceDone,
)
from failover_kit.manager.records import NodeRecord
from failover_kit.manager.states import GroupState
from sim.audits_base import RUNNING_STATES, AuditsBase
from sim.witness import DrillBook, Witness, proves_off

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.shell import Daemon

PING_REST_MS = 300_000  # docs/design/0038


class PowerAudits(AuditsBase):
    """All checks that have to do with the switch."""

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

    def _drill_answered(self, machine: Machine, witness: Witness, action: Reply) -> None:
        """Done is only what is on the disk."""
        stored = machine.disk.record
        proved = stored is not None and stored.drilled is not None and stored.drilled.ok
        if action.code is ExitCode.DONE:
            self.drills += 1
            if not proved:
                self.fail(machine, f"rule 25: says proved, and its disk does not: {stored}")
