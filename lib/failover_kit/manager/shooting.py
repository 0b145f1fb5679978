"""When the peer's power is cut, what counts as proof, and the power that is owed back (rules 5, 8 to 16).

One call to the peer's switch at a time: a shot, a power-on or a read. A shot is decided, made durable,
and only then fired, after all facts were looked at once more.
"""

from __future__ import annotations

from collections.abc import Mapping

from failover_kit.manager import law
from failover_kit.manager.actions import (
    CancelPowerOn,
    ExitCode,
    Fence,
    Level,
    PowerOn,
    ReadPlugs,
    SelfReset,
)
from failover_kit.manager.coredata import Group, Proof, Shot, ShotKind
from failover_kit.manager.drill import BOOTED_MEANWHILE, DrillDecisions
from failover_kit.manager.events import FenceDone, PlugsRead, PowerOnDone, Verb
from failover_kit.manager.records import Beat, GroupClaim, PlugState
from failover_kit.manager.states import GroupState, PeerState, PeerTrigger

IF_OFF_INTERVAL_MS = 30_000
DEVICE_RETRY_MS = 10_000


class FenceDecisions(DrillDecisions):
    """The peer's power: shots, proofs, debts, and what to do when a proof turns out false."""

    def _can_cut(self) -> bool:
        """Whether there are plugs for the peer, and no drill showed that they are not its own."""
        return self.config.can_fence and not law.plugs_disproved(self.wanted.drilled, self.config)

    # --- is a shot wanted? -------------------------------------------------------------------------

    def _shot_needed(self) -> bool:
        """Whether there is a group to take over, or to protect from the peer's own shot."""
        protect = any(self.is_active(group) for group in self.groups.values())
        if self._all_rights_here():
            if self.has_left():
                return False  # it neither claims nor shoots, and is not shot, not even for a look (rule 5)
            if any(map(self.waits_for_a_look, self.groups.values())):
                return True
            # One that was proved off since the last contact needs no second shot (rule 15).
            return protect and not self.wanted.fenced_boot_id
        if self.ready_reason():
            return False
        take = any(
            not self.wanted_groups[name].right
            and not self.wanted_groups[name].parked
            and group.state is GroupState.STOPPED
            for name, group in self.groups.items()
        )
        return protect or take

    def waits_for_a_look(self, group: Group) -> bool:
        """Ours, stopped, and not started because what the peer does with it is not known (rule 19)."""
        record = self.wanted_groups[group.name]
        stopped = group.state is GroupState.STOPPED
        return bool(record.right) and self.unlooked(group.name) and not record.parked and stopped

    def _all_rights_here(self) -> bool:
        return all(record.right for record in self.wanted_groups.values())

    def shot_refusal(self) -> str:
        """"" when a silent peer may be shot (its delay aside), else why not."""
        return law.may_shoot(
            law.ShotFacts(
                config=self.config,
                boot_id=self.boot_id,
                record=self.durable,
                peer_state=self.peer_state,
                group_states=tuple(group.state for group in self.groups.values()),
                needed=self._shot_needed(),
                shutting_down=self.shutting_down,
                maintenance=self.in_maintenance(),
                stalled=self.stalled(),
                can_persist=not self.persist_error,
            )
        )

    def silent_shot_at_ms(self) -> int:
        """When the delay of rule 10 is over for the present silence."""
        mine = any(self.is_active(group) for group in self.groups.values())
        theirs = False
        if self.hearing.beat is not None:
            # Unknown under a right is a daemon that just restarted: it will have adopted by now.
            theirs = any(
                claim.right and claim.state in (GroupState.STARTING, GroupState.STARTED, GroupState.UNKNOWN)
                for claim in self.hearing.beat.groups
            )
        delay_ms = law.shoot_delay_ms(
            self.config, mine_active=mine, peer_active=theirs, cut_off=self.pings.cut_off
        )
        return max(self.silent_since_ms + delay_ms, self.shot_next_ms)

    def _request_to_honour(self) -> str:
        """The group for which a beating peer asks to be fenced and which could run here, or ""."""
        beat = self.peer_beat()
        if beat is None or self.ready_reason() or not self._can_cut():
            return ""
        if self.stalled() or self.now_ms < self.shot_next_ms or beat.digest != self.config.digest:
            return ""
        if any(g.state in (GroupState.STOPPING, GroupState.FAILED) for g in self.groups.values()):
            return ""
        for group in self.groups.values():
            claim = beat.claim(group.name)
            if claim is None or not law.fence_me_is_asked(beat, claim):
                continue
            record = self.wanted_groups[group.name]
            if record.failed_here or record.parked:
                if group.fence_me_refused != claim.fence_me:
                    group.fence_me_refused = claim.fence_me
                    self._note(
                        Level.ALARM,
                        "fence-me-refused",
                        f"group {group.name}: {self.config.peer} cannot stop it and asks to be fenced, but it "
                        "failed here, too; nothing is done until an operator decides",
                    )
                continue
            if group.state is GroupState.STOPPED:
                return group.name
        return ""

    def _still_wanted(self, shot: Shot) -> bool:
        """Rule 12 and 14: whether a shot that was decided but not fired is still right."""
        if shot.kind is ShotKind.SILENT:
            return not self.shot_refusal_ignoring_count()
        if shot.kind is ShotKind.ASKED:
            beat = self.peer_beat()
            return bool(self._request_to_honour()) and beat is not None and beat.boot_id == shot.boot_id
        if shot.kind is ShotKind.IF_OFF:
            return self.shot_refusal() == law.NO_CONTACT
        if shot.kind is ShotKind.CONFLICT:
            return self._conflict_lasts(shot)
        if shot.kind is ShotKind.DRILL:
            return self._drill_still_wanted(shot)
        return not self.persist_error  # the operator's order: not durable, no shot (rule 7), and he waits

    def _conflict_lasts(self, shot: Shot) -> bool:
        """Whether the boot with the lower right is still there: silent, or claiming it."""
        if self.wanted.peer_boot_id != shot.boot_id:
            return False
        beat = self.peer_beat()
        if beat is None:
            return True
        return any(
            0 < claim.right < self.wanted_groups[claim.name].right
            for claim in beat.groups
            if claim.name in self.groups
        )

    def shot_refusal_ignoring_count(self) -> str:
        """As ``shot_refusal``, once the shot itself was counted (boot_alone allows one)."""
        why = self.shot_refusal()
        if why == law.NO_CONTACT and self.config.boot_alone and self.durable.shots == 1:
            return ""
        return why

    # --- the shot ----------------------------------------------------------------------------------

    def _decide_fencing(self) -> None:
        if self.shot is None:
            self._choose_shot()
        shot = self.shot
        if shot is None or shot.op:
            return
        if not self._still_wanted(shot):
            self._abort_shot(self._why_not(shot) or "the reason for it is gone")
            return
        if self.device_op:
            if self.device_is_on and not self.device_cancelled:
                self.device_cancelled = True  # a pending on is finished or killed before any off, rule 13
                self._act(CancelPowerOn(self.device_op))
            return
        if shot.kind is not ShotKind.IF_OFF and not (self._settled() and self.durable.shot_pending):
            return
        self._fire(shot)

    def _why_not(self, shot: Shot) -> str:
        """Why a shot that was decided is not wanted any more."""
        if shot.kind is ShotKind.DRILL:
            return self.drill_refusal(decided=True)
        if shot.kind is ShotKind.ORDERED:
            return self.not_durable()
        return "the peer answers again" if self.peer_beat() else self.shot_refusal()

    def not_durable(self) -> str:
        """Why an order to shoot cannot be carried out (rule 7); "" while the disk takes a record."""
        reason = self.persist_error
        return reason and f"that cannot be made durable ({reason}); free space in, or repair, the state directory"

    def _choose_shot(self) -> None:
        if any(order.verb == Verb.CONFIRM_DEAD.value and order.proof is None for order in self.orders):
            return  # the operator's word is looked at first
        boot_id = self.wanted.peer_boot_id
        asked = self._request_to_honour()
        if asked:
            self._note(
                Level.ALARM,
                "fence-me",
                f"group {asked}: {self.config.peer} cannot stop it and asks to be fenced",
            )
            self._prepare_shot(Shot(ShotKind.ASKED, boot_id))
            return
        if self.peer_state is not PeerState.SILENT:
            return
        why = self.shot_refusal()
        if not why:
            if self.now_ms >= self.silent_shot_at_ms():
                self._prepare_shot(Shot(ShotKind.SILENT, boot_id))
            return
        level = Level.INFO if self.has_left() or self.shutting_down else Level.WARNING
        self._note_once(level, "no-shot", f"{self.config.peer} is silent and is not shot: {why}")
        if why == law.NO_CONTACT and self.now_ms >= self.look_next_ms:
            self.shot = Shot(ShotKind.IF_OFF, boot_id)

    def _prepare_shot(self, shot: Shot) -> None:
        """Count it and owe the power back, durably, before anything is switched (rules 7, 13, 15)."""
        self.shot = shot
        self._change(
            shots=self.wanted.shots + 1,
            shot_pending=True,
            on_owed=self.wanted.on_owed or self.config.fence_power_on,
        )

    def _abort_shot(self, why: str) -> None:
        shot = self.shot
        self.shot = None
        if shot is None or shot.kind is ShotKind.IF_OFF:
            return
        # shot_pending and the debt stay: the plugs are read, found on, and both are settled then.
        self._note(Level.INFO, "shot-aborted", f"{self.config.peer} is not shot: {why}")
        if shot.command:
            # Of a drill nothing was begun: what changed meanwhile would have refused it.
            code = ExitCode.REFUSED if shot.kind is ShotKind.DRILL else ExitCode.FAILED
            self._reply(shot.command, code, f"{self.config.peer} was not shot: {why}")

    def _fire(self, shot: Shot) -> None:
        shot.op = self._next_op()
        shot.fired_ms = self.now_ms
        if shot.kind is ShotKind.IF_OFF:
            self.if_off_tried = True
        else:
            why = {
                ShotKind.SILENT: f"silent for {self._silence_ms() / 1000:.1f} s",
                ShotKind.ASKED: "it asked for it",
                ShotKind.ORDERED: "the operator ordered it",
                ShotKind.CONFLICT: "both nodes have a right and this one has the higher epoch",
                ShotKind.DRILL: "the operator ordered a proof drill, and it holds nothing",
            }[shot.kind]
            if self.drill is not None:
                self.drill.fired = True
            self.proof = None  # an older proof serves nothing beside a new shot
            self._peer_becomes(PeerTrigger.SHOT)
            again = f" (attempt {self.shot_attempts + 1})" if self.shot_attempts else ""
            level = Level.INFO if self.shot_attempts else Level.WARNING
            self._note(level, "fencing", f"fencing {self.config.peer}{again}: {why}")
        self._act(Fence(shot.op, self.config.peer, shot.kind is ShotKind.IF_OFF))

    def _silence_ms(self) -> int:
        last = self.hearing.last_two_way_ms
        return self.now_ms - (self.born_ms if last is None else last)

    def _fence_done(self, event: FenceDone) -> None:
        shot = self.shot
        if shot is None or shot.op != event.op:
            return
        self.shot = None
        proved = law.is_proof(event.evidence, shot.fired_ms)
        if shot.kind is ShotKind.IF_OFF:
            self.look_next_ms = self.now_ms + IF_OFF_INTERVAL_MS
            if proved and self.peer_state is PeerState.SILENT:
                self._change(shot_pending=False)
                self._proved(shot, "all its plugs read OFF already, and again after an off")
            return
        if proved:
            self.shot_attempts = 0
            self._change(shot_pending=False)
            self._proved(shot, "all its plugs read OFF")
            return
        if shot.kind is not ShotKind.SILENT:
            self.silent_since_ms = self.now_ms
        last = self.hearing.last_two_way_ms
        waited_ms = self.now_ms - max(self.born_ms, self.silence_floor_ms)
        if last is None and waited_ms < self.config.initdead_ms:
            self._peer_becomes(PeerTrigger.SHOT_FAILED_UNHEARD)
        else:
            self._peer_becomes(PeerTrigger.SHOT_FAILED)
        if last is not None and self.now_ms - last < self.config.deadtime_ms:
            self._peer_becomes(PeerTrigger.BEAT)
        elif last is not None:
            # Heard while the shot ran, and silent again: its turn is counted from there.
            self.silent_since_ms = max(self.silent_since_ms, last + self.config.deadtime_ms)
        self.shot_next_ms = self.now_ms + self.config.fence_retry_ms
        if shot.kind is ShotKind.DRILL:
            self._drill_failed(
                f"not every plug was proved OFF: {event.evidence.reason or 'no reason was given'}; "
                f"see failoverctl fence --test {self.config.peer}"
            )
            return
        self.shot_attempts += 1
        self.shot_last = event.evidence.reason or "the plugs were not proved OFF"
        self._note_once(
            Level.ALARM,
            "fence-failed",
            f"{self.config.peer} is not fenced: {self.shot_last}; no takeover. The shot is repeated; if "
            f"{self.config.peer} is off for certain, run: failoverctl confirm-dead {self.config.peer}",
        )
        if shot.command:
            self._reply(
                shot.command, ExitCode.FAILED, f"{self.config.peer} was not fenced: {self.shot_last}"
            )

    def _proved(self, shot: Shot, how: str) -> None:
        boot_id = self.wanted.peer_boot_id or shot.boot_id
        self._peer_becomes(PeerTrigger.PROOF)
        heard = tuple(candidate.boot_id for candidate in self.hearing.candidates.values())
        takes = shot.kind is not ShotKind.DRILL
        self.proof = Proof(boot_id, self.counter, self.now_ms, heard, takes=takes)
        self._change(fenced_boot_id=boot_id or "unknown")
        self.shot_last = f"proved off: {how}"
        self._unsay("fence-failed")
        self._unsay("no-shot")
        self._note(Level.WARNING, "fenced", f"{self.config.peer} is fenced: {how}")
        if shot.kind is ShotKind.DRILL:
            self._drill_is_off()
        elif shot.command:
            self._reply(shot.command, ExitCode.DONE, f"{self.config.peer} is fenced: {how}")

    # --- power owed, plugs to be read --------------------------------------------------------------

    def _decide_power(self) -> None:
        """Pay the debt of rule 13 and settle the plugs of an unproved shot (rule 12)."""
        if self.device_busy() or self.now_ms < self.device_next_ms or self.drill_keeps_off():
            return
        answers = self.peer_state is PeerState.UP
        if self.wanted.shot_pending and answers:
            self._call_device(is_on=self.plugs_need_on)
        elif self.wanted.on_owed and self._may_pay(answers):
            self._call_device(is_on=True)

    def _may_pay(self, answers: bool) -> bool:
        if not self.config.can_fence or self.durable.boot_id != self.boot_id:
            return False
        if answers:
            return True
        if self.peer_state in (PeerState.FENCED, PeerState.CONFIRMED_DEAD):
            # Takeover first: its rights are on the disk, then the power comes back.
            return self._settled() or bool(self.persist_error)
        if self.peer_state is not PeerState.SILENT or self.stalled() or self.persist_error:
            return False
        # No "on" between the tries of a shot. Booted with a debt: first a look whether its plugs read OFF
        # and a takeover follows from that, then pay.
        why_no_shot = self.shot_refusal()
        return self.if_off_tried if why_no_shot == law.NO_CONTACT else bool(why_no_shot)

    def _call_device(self, *, is_on: bool) -> None:
        self.device_op = self._next_op()
        self.device_is_on = is_on
        self.device_cancelled = False
        if is_on:
            if self.drill is not None:
                self.drill.on_op = self.drill.on_op or self.device_op
            self._note(Level.INFO, "power-on", f"switching {self.config.peer} on again")
            self._act(PowerOn(self.device_op, self.config.peer))
        else:
            self._act(ReadPlugs(self.device_op, self.config.peer))

    def _power_on_done(self, event: PowerOnDone) -> None:
        if self.device_op != event.op:
            return
        self.device_op = 0
        self.plugs_need_on = False
        if event.ok:
            self._settle_plugs()
            self._unsay("power-on-failed")
            self._note(Level.INFO, "power-is-on", f"the power of {self.config.peer} is on: all its plugs read ON")
            return
        self.device_next_ms = self.now_ms + DEVICE_RETRY_MS
        if not self.device_cancelled:
            self._note_once(
                Level.WARNING,
                "power-on-failed",
                f"{self.config.peer} could not be switched on again ({event.reason}); it is tried again",
            )

    def _plugs_read(self, event: PlugsRead) -> None:
        if self.device_op != event.op:
            return
        self.device_op = 0
        if event.state is PlugState.ON:
            self._settle_plugs()
            self._unsay("plugs")
            return
        # A beating peer with a plug off runs on its other supply: give it both again.
        self.plugs_need_on = True
        self._note_once(
            Level.WARNING,
            "plugs",
            f"plugs of {self.config.peer} read {event.state.value} after an unproved shot"
            + (f" ({event.reason})" if event.reason else ""),
        )

    def _settle_plugs(self) -> None:
        """All plugs read ON: no debt, no doubt; but those of a shot decided meanwhile are its own."""
        if self.shot is None or self.shot.kind is ShotKind.IF_OFF:
            self._change(shot_pending=False, on_owed=False)

    # --- a fenced node that is heard, two rights ---------------------------------------------------

    def _check_fenced_boot(self, beat: Beat) -> bool:
        """Look at a beat after a proof. True when it carries no news and is ignored.

        Proved off is the peer's last known boot, and any that was heard before OFF in a life that had not proved
        itself yet: it has no power either. What it sent before may still arrive, and prove that life.
        """
        proof = self.proof
        boots = () if proof is None else (proof.boot_id, *proof.heard)
        if proof is None or self.peer_state is not PeerState.FENCED or beat.boot_id not in boots:
            return False
        late = self.now_ms - proof.at_ms > self.config.deadtime_ms
        if law.heard_after_off(beat, boots, self.nonce, proof.off_counter):
            self._alarm_false_proof()
            self._void_unused(proof.epochs)
            return False
        if late:
            self._alarm_false_proof()
        if beat.boot_id != self.wanted.peer_boot_id:  # it was up when it was cut, which nobody knew for certain
            self._change(peer_boot_id=beat.boot_id, fenced_boot_id=beat.boot_id)
            self._drill_failed(BOOTED_MEANWHILE)
        return True

    def _alarm_false_proof(self) -> None:
        self._note_once(
            Level.ALARM,
            "heard-after-off",
            f"{self.config.peer} is heard although all its plugs read OFF: wrong outlet, or a second power "
            "supply; check the cabling of both nodes now",
        )
        self._drill_failed(self._beats_go_on(), disproved=True)

    def _void_unused(self, epochs: Mapping[str, int]) -> None:
        """Rules 2c and 9: a right of a voided proof that is not in use is not used any more."""
        for name, epoch in epochs.items():
            group = self.groups[name]
            if self.wanted_groups[name].right != epoch:
                continue
            group.tainted_epoch = epoch
            if group.state is GroupState.STOPPED:
                self._change_group(name, right=0, held=False)
                self._note(
                    Level.ALARM, "right-dropped", f"group {name}: the right of epoch {epoch} is not used"
                )

    def _void_confirmation(self, boot_id: str) -> None:
        """Rule 2c: a sign of the boot the operator called dead voids what is not durable, and all to come."""
        proof = self.proof
        if proof is None or not proof.confirmed or (proof.boot_id and boot_id != proof.boot_id):
            return
        pending = {n: epoch for n, epoch in proof.epochs.items() if self.durable_groups[n].right != epoch}
        self.proof = None
        if self.peer_state is PeerState.CONFIRMED_DEAD:
            self._peer_becomes(PeerTrigger.SILENCE)
            self.silent_since_ms = self.now_ms
        self._void_unused(pending)
        if pending or not proof.epochs:
            self._note(Level.ALARM, "confirm-void", f"{self.config.peer} is heard: the confirmation is void")
            if any(order.id == proof.command for order in self.orders):
                text = f"{self.config.peer} was heard while its confirmation was being written: it is not dead"
                self._reply(proof.command, ExitCode.FAILED, text)

    def _void_waiting_words(self) -> None:
        """Rule 2c: a confirmation that waits for the end of a shot is void by any sign of the peer, of whichever
        boot: what the operator saw was before it."""
        for order in [o for o in self.orders if o.verb == Verb.CONFIRM_DEAD.value and o.proof is None]:
            peer = self.config.peer
            self._note(Level.ALARM, "confirm-void", f"{peer} is heard: the confirmation is void")
            text = f"{peer} was heard while its confirmation waited for a shot to end: it is not dead"
            self._reply(order.id, ExitCode.FAILED, text)

    def _check_conflict(self, beat: Beat) -> None:
        """Rule 16: both nodes have a right to the same group."""
        for group in self.groups.values():
            claim = beat.claim(group.name)
            record = self.wanted_groups[group.name]
            if claim is None or not claim.right or not record.right:
                continue
            self._note_once(
                Level.ALARM,
                f"conflict-{group.name}",
                f"group {group.name}: both nodes have a right (epoch {record.right} here, {claim.right} on "
                f"{self.config.peer}); do not stop it by hand on either node",
            )
            if not self.in_maintenance():  # what people made of it is not known, and nobody is cut while they work
                self._resolve_conflict(group, claim, beat.boot_id)

    def _resolve_conflict(self, group: Group, claim: GroupClaim, boot_id: str) -> None:
        """Whoever is stopped drops its right, whichever is higher: nothing is lost, nobody is shot. Of two
        that may both be active the lower resets itself without unmounting and the higher fences it."""
        record = self.wanted_groups[group.name]
        lower = law.loses_conflict(record.right, claim.right)
        if group.state is GroupState.STOPPED:
            if lower or claim.state is not GroupState.STOPPED:
                self._change_group(group.name, right=0, held=False)
        elif claim.state is GroupState.STOPPED or claim.right == record.right:
            return  # the other side drops its right; or nobody can tell who is right: the alarm stands
        elif lower:
            self._act(SelfReset(f"group {group.name}: the peer has it under a higher epoch"))
        elif self.shot is None and self._can_cut() and self.now_ms >= self.shot_next_ms:
            self._prepare_shot(Shot(ShotKind.CONFLICT, boot_id))
