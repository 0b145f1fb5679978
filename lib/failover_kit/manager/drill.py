"""The proof drill: a passive peer is cut to show that its plugs are its plugs (PROTOCOL rule 25).

Off to all plugs and OFF read back; its beats must stop while they are off; then its power is given back, and it
must come back with a new boot_id. Only then is the date written down. The drill is a shot by the
operator's order (rule 14) with two differences: it is refused unless the peer holds nothing and every right is
here, and its OFF gives leave to take nothing.
"""

from __future__ import annotations

from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode, Level
from failover_kit.manager.coredata import CoreBase, Drill, DrillStep, Order, Purpose, Shot, ShotKind
from failover_kit.manager.events import Command
from failover_kit.manager.records import Beat, DrillRecord
from failover_kit.manager.states import PeerState

UNFINISHED = "it did not come to its end: failoverd ended, or was told to, in the middle"

BOOTED_MEANWHILE = "it started another boot by itself just when it was being cut; prove it again"

SILENT_WITHIN = 4
"""Deadtimes from OFF in which the peer must have been silent for one; then its power is given back all the same."""


class DrillDecisions(CoreBase):
    """From the order to prove the peer to the record of it."""

    def drill_refusal(self, *, decided: bool = False) -> str:
        """"" when the peer may be cut as a drill now, else why not; ``decided``: its own shot does not count."""
        beat = self._two_way_beat()
        groups = tuple(
            law.DrillGroupFacts(
                wanted=self.wanted_groups[name],
                durable=self.durable_groups[name],
                state=group.state,
                settled=group.purpose is Purpose.NONE and not self.wanted_groups[name].moving and not group.op,
                claim=beat.claim(name) if beat is not None else None,
            )
            for name, group in self.groups.items()
        )
        debts = self.device_busy() or self.wanted.shot_pending or self.wanted.on_owed
        return law.may_drill(
            law.DrillFacts(
                config=self.config,
                beat=beat,
                groups=groups,
                ready=self.ready_reason(),
                stalled=self.stalled(),
                debts=debts and not decided,
            )
        )

    def _two_way_beat(self) -> Beat | None:
        """The peer's last beat if it says that it hears this node and none such is older than deadtime. A new life
        that only just answered counts as up (silence is counted anew), and is not cut for practice."""
        beat, last = self.peer_beat(), self.hearing.last_two_way_ms
        fresh = last is not None and self.now_ms - last < self.config.deadtime_ms
        return beat if beat is not None and beat.hears and fresh else None

    def _order_drill(self, event: Command) -> None:
        peer = self.config.peer
        why = "another drill is under way" if self.drill is not None else self.drill_refusal()
        if why:
            self._reply(event.id, ExitCode.REFUSED, f"{peer} is not cut: {why}")
            return
        boot_id = self.wanted.peer_boot_id
        self.drill = Drill(event.id, boot_id, event.wall_ms, self.now_ms, self.wanted.drilled)
        self.shot = Shot(ShotKind.DRILL, boot_id, command=event.id)
        # The intent, the debt and "nothing is proved" are on the disk before anything is switched (rules 7, 13).
        self._change(shots=self.wanted.shots + 1, shot_pending=True, on_owed=True)
        self._record_drill(ok=False, reason=UNFINISHED, wall_ms=event.wall_ms)
        patience_ms = 2 * self.config.move_timeout_ms + self.config.deadtime_ms + self.config.prove_timeout_ms
        self.orders.append(Order(event.id, event.verb.value, (), self.now_ms + patience_ms, self.now_ms))

    def _record_drill(self, *, ok: bool, reason: str, wall_ms: int, disproved: bool = False) -> None:
        """``disproved``: it lived on while its plugs read OFF. Only a drill that passes takes that back."""
        config = self.config
        record = DrillRecord(
            ok=ok,
            wall_ms=wall_ms,
            config=config.digest,
            fencing=config.fencing_digest,
            reason=reason,
            disproved=not ok and (disproved or law.plugs_disproved(self.wanted.drilled, config)),
        )
        self._change(drilled=record)

    def _drill_still_wanted(self, shot: Shot) -> bool:
        """Looked at again before it is fired: the same boot, still passive."""
        same_boot = self.wanted.peer_boot_id == shot.boot_id
        return self.drill is not None and same_boot and not self.drill_refusal(decided=True)

    def _drill_is_off(self) -> None:
        """Every plug read OFF: now its beats must stop."""
        drill = self.drill
        if drill is None:
            return  # its order was answered meanwhile: the power is given back, nothing is recorded
        drill.step = DrillStep.QUIET
        drill.off_counter = self.counter
        drill.off_ms = self.now_ms
        drill.deadline_ms = self.now_ms + SILENT_WITHIN * self.config.deadtime_ms
        if self.wanted.peer_boot_id != drill.boot_id:
            self._drill_failed(BOOTED_MEANWHILE)  # its new boot on return would tell nothing of these plugs

    def drill_keeps_off(self) -> bool:
        """Whether the power is not given back yet, because its silence is being watched."""
        return self.drill is not None and self.drill.step is DrillStep.QUIET

    def _drill_hears(self, beat: Beat) -> None:
        """A current beat while its plugs are off, or after: what it means for the drill."""
        drill = self.drill
        if drill is None or drill.step is DrillStep.CUT:
            return
        if law.echo_of(beat, self.nonce) <= drill.off_counter:
            return  # sent before it heard anything from after OFF: no news
        if beat.boot_id == drill.boot_id and drill.step is not DrillStep.DONE:
            self._drill_failed(self._beats_go_on(), disproved=True)
        elif not drill.on_op:  # silent or not: a slow disk may put off what gives it back
            self._drill_failed(
                f"another boot of it ({beat.boot_id[:8]}) is heard while its plugs read OFF: something else feeds "
                "it, or somebody switched it on",
                disproved=True,
            )

    def _beats_go_on(self) -> str:
        return (
            "its beats go on although all its plugs read OFF: these are not its plugs, or it has another supply; "
            "correct plug.NODE in ha.cf or the cabling, and prove it again"
        )

    def _decide_drill(self) -> None:
        drill = self.drill
        if drill is None or drill.step is DrillStep.CUT:
            return
        if drill.step is DrillStep.QUIET:
            self._watch_silence(drill)
        if drill.step is DrillStep.POWER and not self.wanted.on_owed and not self.device_op:
            drill.step = DrillStep.RETURN
            self._version += 1
        if drill.step is DrillStep.DONE:
            self._drill_answer(drill)
        elif drill.step is DrillStep.RETURN and law.drill_is_over(
            self.peer_beat(), drill.boot_id, self.nonce, drill.off_counter
        ):
            drill.step = DrillStep.DONE
            wall_ms = drill.wall_ms + self.now_ms - drill.began_ms
            self._record_drill(ok=True, reason="", wall_ms=wall_ms)
        elif self.now_ms >= drill.deadline_ms and not self.stalled():
            # Not right after a pause of this node: what came meanwhile is looked at first (rule 21).
            self._drill_failed(self._too_late(drill), disproved=drill.step is DrillStep.QUIET)

    def _watch_silence(self, drill: Drill) -> None:
        """Power is given back as soon as it was silent for deadtime while off."""
        if self.peer_state is not PeerState.FENCED:
            # Frames of a new boot, sent before OFF was read, made it current: which boot was cut is not known.
            self._drill_failed(BOOTED_MEANWHILE)
        elif self._is_quiet(drill):
            drill.step = DrillStep.POWER
            drill.deadline_ms = self.now_ms + self.config.prove_timeout_ms
            self._version += 1
            self._note(
                Level.INFO, "drill-silent", f"proof drill: {self.config.peer} is silent while its plugs are OFF"
            )

    def _is_quiet(self, drill: Drill) -> bool:
        """Nothing authentic came for deadtime since OFF was read, current or not (a pause of this node does
        not count): a life that cannot answer us beats, too."""
        if self.stalled():
            return False
        last = self.hearing.last_authentic_ms
        since_ms = max(drill.off_ms, self.silence_floor_ms, last if last is not None else 0)
        return self.now_ms - since_ms >= self.config.deadtime_ms

    def _too_late(self, drill: Drill) -> str:
        seconds = self.config.prove_timeout_ms / 1000
        if drill.step is DrillStep.QUIET:
            quiet_s = SILENT_WITHIN * self.config.deadtime_ms / 1000
            return (
                f"frames of it still came {quiet_s:g} s after its plugs read OFF: another supply feeds it, or the "
                "network keeps frames for long; look at the cabling, then prove it again"
            )
        if drill.step is DrillStep.POWER:
            return (
                f"its power could not be given back within {seconds:g} s; that is tried again: look at its switch"
            )
        return (
            f"it was off and silent, its plugs read ON again, and it did not come back within {seconds:g} s "
            "(fence_prove_timeout): look at its console; does it boot by itself when power returns?"
        )

    def _drill_answer(self, drill: Drill) -> None:
        """Done is what the disk knows (rule 7)."""
        if self.durable.drilled != self.wanted.drilled or not self._settled():
            return
        took_s = (self.now_ms - drill.began_ms) / 1000
        peer = self.config.peer
        text = (
            f"{peer} is proved: all its plugs read OFF, its beats stopped, and it came back by a new boot; "
            f"it took {took_s:.0f} s"
        )
        self._unsay("heard-after-off")  # that its plugs are its plugs is proved now
        self._note(Level.INFO, "drill-proved", f"proof drill: {text}")
        self._reply(drill.command, ExitCode.DONE, text)

    def _drill_without_end(self, reason: str) -> None:
        """Its order's time is over. What was not fired leaves no trace, and what only waits for the disk stands."""
        drill = self.drill
        if drill is not None and drill.fired and drill.step is not DrillStep.DONE:
            self._record_drill(ok=False, reason=reason, wall_ms=drill.wall_ms + self.now_ms - drill.began_ms)

    def _drill_failed(self, reason: str, *, disproved: bool = False) -> None:
        drill = self.drill
        if drill is None:
            return
        wall_ms = drill.wall_ms + self.now_ms - drill.began_ms
        self._record_drill(ok=False, reason=reason, wall_ms=wall_ms, disproved=disproved)
        text = f"proof drill: {self.config.peer} is not proved: {reason}"
        self._note(Level.ALARM, "drill-failed", text)
        self._reply(drill.command, ExitCode.FAILED, text)
