"""Audits of rights, grants and the records that reach a disk (rules 1 to 4, 7, 20 and S1, S2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager.actions import (
    Persist,
    Start,
)
from failover_kit.manager.records import GroupClaim, GroupRecord, NodeRecord
from sim.audits_base import Violation
from sim.audits_power import PowerAudits
from sim.witness import Witness

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.shell import Daemon


class RightsAudits(PowerAudits):
    """All checks of who may run what."""

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
