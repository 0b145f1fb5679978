"""What to do with each group: probe, start, stop, pass the right on (PROTOCOL rules 1 to 4, 6, 17, 18).

Decisions look at facts, not at what happened last: they are made again after every event, and an event
that is lost or late only delays them.
"""

from __future__ import annotations

from failover_kit.manager import law
from failover_kit.manager.actions import Level, Probe, Start, Stop
from failover_kit.manager.coredata import Group, Purpose
from failover_kit.manager.events import (
    MonitorFailed,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.pingvotes import PingVotes
from failover_kit.manager.records import GroupClaim
from failover_kit.manager.states import GroupState, GroupTrigger

# Failures are counted together until this time has passed without one.
FAILURES_EXPIRE_MS = 600_000


class GroupDecisions(PingVotes):
    """Groups: what their actions answered, and what follows."""

    # --- answers of the shell ----------------------------------------------------------------------

    def _probed(self, event: Probed) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        group.reason = event.reason
        code = f"probe-{group.name}"
        if event.outcome is ProbeOutcome.STOPPED:
            self._become(group, GroupTrigger.PROBED_STOPPED)
            self._change_group(group.name, held=False)
            self._unsay(code)
            record = self.wanted_groups[group.name]
            if record.taken_from and record.right == group.inherited:
                # Taken by an earlier life that ended before it was used: whether its proof was voided is
                # not known any more. Nothing runs, so nothing is lost by taking it again.
                self._change_group(group.name, right=0, taken_from="")
            return
        record = self.wanted_groups[group.name]
        if not law.may_adopt(record, group.inherited):
            group.reason = event.reason or "found running here, without a right"
            self._become(group, GroupTrigger.PROBED_DOUBT)
            group.next_ms = self.now_ms + self.config.monitor_interval_ms
            self._note_once(
                Level.ALARM,
                code,
                f"group {group.name}: resources are not stopped here and this node has no right to them "
                f"({group.reason}); stop them by hand, they are looked at again",
            )
            return
        self._change_group(group.name, held=True)
        if event.outcome is ProbeOutcome.RUNNING:
            self._become(group, GroupTrigger.ADOPTED)
            group.watch_op = event.op
            self._note(
                Level.INFO, "adopted", f"group {group.name}: found running, adopted under epoch {record.right}"
            )
            return
        self._become(group, GroupTrigger.PROBED_DOUBT)
        self._note(
            Level.WARNING,
            "half-running",
            f"group {group.name}: found half running under epoch {record.right} ({event.reason}); "
            "it is stopped first and then started",
        )
        self._order_stop(group, Purpose.RESTART)

    def _started(self, event: Started) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        group.watch_op = event.op
        group.reason = ""
        took_ms = self.now_ms - group.since_ms
        self._become(group, GroupTrigger.START_OK)
        self._change_group(group.name, failed_here=False, moving=False, taken_from="")
        self._note(
            Level.INFO, "started", f"group {group.name}: started on {self.config.node} in {took_ms} ms"
        )

    def _start_failed(self, event: StartFailed) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        group.reason = f"start of {event.resource or group.name} failed: {event.reason}"
        if event.resource:
            self._change_group(group.name, failed_here=True)
            self._note(Level.ALARM, "start-failed", f"group {group.name}: {group.reason}")
            self._order_stop(group, Purpose.FAILED_START)
        else:
            # The shell asked again before it forked and was refused, or its facts were too old.
            self._note(Level.WARNING, "start-refused", f"group {group.name}: not started, {event.reason}")
            self._order_stop(group, Purpose.RESTART)

    def _stopped(self, event: Stopped) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        took_ms = self.now_ms - group.since_ms
        self._become(group, GroupTrigger.STOP_OK)
        group.stop_failed = False
        self._change_group(group.name, held=False)
        if group.purpose is Purpose.RESTART:
            group.purpose = Purpose.NONE
        self._note(
            Level.INFO,
            "stopped",
            f"group {group.name}: stopped on {self.config.node} in {took_ms} ms, verified",
        )

    def _stop_failed(self, event: StopFailed) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        self._become(group, GroupTrigger.STOP_FAILED)
        group.stop_failed = True
        group.next_ms = self.now_ms + self.config.stop_retry_ms
        group.reason = f"stop of {event.resource or group.name} failed: {event.reason}"
        if group.purpose is Purpose.MOVE:
            group.purpose = Purpose.RESTART  # rule 17: the right is still ours
        self._note_once(
            Level.ALARM,
            f"stop-failed-{group.name}",
            f"group {group.name}: {group.reason}; it stays ours, the peer is asked to fence this node if it "
            "can take over, else the stop is tried again",
        )

    def _monitor_failed(self, event: MonitorFailed) -> None:
        group = self.groups[event.group]
        if group.state is not GroupState.STARTED or group.watch_op != event.op:
            return
        group.reason = f"monitor of {event.resource} failed: {event.reason}"
        if self.in_maintenance():
            text = f"group {group.name}: {group.reason}; nothing is done about it in maintenance"
            self._note_once(Level.WARNING, f"maintenance-{group.name}", text)
            return
        failures, limit = self.recent_failures(group) + 1, self.config.monitor_failures
        self._change_group(group.name, failures=failures, failed_ms=self.now_ms)
        count = f", failure {failures} of {limit}" if limit > 2 else ""
        if failures < limit:
            text = f"group {group.name}: {group.reason}{count}; it is restarted in place"
            self._note(Level.WARNING, "monitor-failed", text)
            self._order_stop(group, Purpose.RESTART)
            return
        self._change_group(group.name, failed_here=True)
        again = ", again after a restart" if limit == 2 else count
        text = f"group {group.name}: {group.reason}{again}; it is given to the other node once"
        self._note(Level.ALARM, "monitor-failed", text)
        self._order_stop(group, Purpose.FAILED_START)

    def recent_failures(self, group: Group) -> int:
        """Monitors of this group that failed here and still count (rule 15). A boot ends the count, a restart of
        failoverd does not: else one that fails each time would be restarted for ever."""
        record = self.wanted_groups[group.name]
        return record.failures if 0 <= self.now_ms - record.failed_ms < FAILURES_EXPIRE_MS else 0

    # --- decisions ---------------------------------------------------------------------------------

    def _decide_groups(self) -> None:
        for group in self.groups.values():
            self._end_grant(group)
            if group.op or self.in_maintenance():
                continue
            if group.state is GroupState.UNKNOWN:
                if self.now_ms >= group.next_ms:
                    group.op = self._next_op()
                    self._act(Probe(group.name, group.op))
            elif group.state is GroupState.STOPPED:
                self._decide_stopped(group)
            elif group.state is GroupState.STARTED:
                self._decide_started(group)
            elif group.state is GroupState.FAILED and self.now_ms >= group.next_ms:
                self._order_stop(group, group.purpose)

    def _order_stop(self, group: Group, purpose: Purpose) -> None:
        group.purpose = purpose
        group.watch_op = 0
        group.op = self._next_op()
        self._become(group, GroupTrigger.STOP_ORDERED)
        self._act(Stop(group.name, group.op))

    def _decide_started(self, group: Group) -> None:
        if self.shutting_down:
            self._order_stop(group, Purpose.SHUTDOWN)
            return
        if group.purpose is Purpose.MOVE:
            self._begin_move(group)
            return
        claim = self.peer_claim(group.name)
        if claim is None:
            return
        if claim.want and (self.hearing.nonce, claim.want) != group.served:
            if self.move_refusal(group):
                return
            group.served = (self.hearing.nonce, claim.want)
            why = f"{self.config.peer} asked for it"
        elif self.belongs_home(group) and not self.why_not_home(group):
            why = "it goes back to its home node (auto_failback)"
        elif not self.why_not_for_pings(group) and not self.move_refusal(group):
            here = f"{self.reaches()} of {len(self.config.pings)}"
            why = f"{self.peer_reaches()} ping nodes are reached there, here {here} (ping_failover)"
        else:
            return
        self._note(Level.INFO, "move", f"group {group.name}: moving to {self.config.peer}, {why}")
        group.purpose = Purpose.MOVE
        self._begin_move(group)

    def belongs_home(self, group: Group) -> bool:
        """Whether auto_failback wants to bring a group back that runs here: its home node came back after it was
        started here. A group that was moved here while its home node was up stays until somebody moves it."""
        return (
            self.config.auto_failback
            and group.config.home == self.config.peer
            and group.since_ms < self.peer_since_ms
        )

    def why_not_home(self, group: Group) -> str:
        """"" when a group that belongs home can go now, else why not yet: a move for convenience waits until the
        home node has shown for a while that it is well, on every link."""
        why = self.move_refusal(group)
        if why:
            return why
        for name, heard_ms in self.hearing.links.items():
            if heard_ms is None or self.now_ms - heard_ms >= self.config.deadtime_ms:
                return f"link {name} is silent"
        delay_ms = max(self.config.deadtime_ms, self.config.failback_delay_ms)
        if self.now_ms - max(self.peer_since_ms, self.link_silent_ms) < delay_ms:
            return f"{self.config.peer} has to be up for {delay_ms / 1000:g} s, and heard on every link"
        return ""

    def _begin_move(self, group: Group) -> None:
        """Stop for a planned move only after the disk took a record: a grant that cannot be written later
        would leave the group with nobody."""
        why_not = self.move_refusal(group)
        if why_not:
            group.purpose = Purpose.NONE
            group.reason = why_not
            self._change_group(group.name, moving=False)
            self._note(Level.WARNING, "move-dropped", f"group {group.name}: not moved, {group.reason}")
        elif not self.wanted_groups[group.name].moving:
            self._change_group(group.name, moving=True)
        elif self.durable_groups[group.name].moving and self._settled():
            self._order_stop(group, Purpose.MOVE)

    def move_refusal(self, group: Group) -> str:
        """"" when a planned move to the peer can begin, else why not."""
        why = self.peer_ready(group.name)
        if why:
            return why
        claim = self.peer_claim(group.name)
        if claim is not None and claim.failed_here:
            return f"it failed on {self.config.peer}; 'failoverctl takeover' there clears that"
        spent = self.epochs_spent(group.name)
        if spent:
            return spent
        if self.device_busy() or self.wanted.shot_pending:
            return "a shot at the peer is not settled"
        if self.persist_error:
            return "the state directory cannot be written"
        return self.fewer_there()

    def _decide_stopped(self, group: Group) -> None:
        record = self.wanted_groups[group.name]
        if not record.right:
            if record.held:
                self._change_group(group.name, held=False)
            group.purpose = Purpose.NONE
            self._decide_without_right(group)
            return
        if group.tainted_epoch == record.right:
            self._change_group(group.name, right=0, held=False)  # rule 9: not used any more
            return
        if record.held and (self.shutting_down or record.parked or group.purpose is not Purpose.NONE):
            self._change_group(group.name, held=False)  # an intent that was dropped before the start
        if self._gives_away(group):
            return
        wants = (
            not self.ready_reason()
            and not self.wanted_groups[group.name].parked
            and group.purpose is Purpose.NONE
        )
        if record.held != wants:
            self._change_group(group.name, held=wants)
        if wants and not self.may_start(group.name):
            group.op = self._next_op()
            self._become(group, GroupTrigger.START_ORDERED)
            self._act(Start(group.name, group.op, record.right))

    def _gives_away(self, group: Group) -> bool:
        """Pass the right on if this node should and may; True when nothing more is to be decided now."""
        record = self.wanted_groups[group.name]
        if self.shutting_down:
            group.purpose = Purpose.SHUTDOWN
        if group.purpose is Purpose.NONE and not record.parked:
            return False
        why_not = self.why_not_given(group)
        if not why_not:
            if not self._grant_refusal(group):
                self._grant(group)
            return True
        if group.purpose is Purpose.MOVE:
            group.purpose = Purpose.NONE
            self._note(
                Level.WARNING, "move-dropped", f"group {group.name}: not moved, {why_not}; started here again"
            )
        elif group.purpose is Purpose.FAILED_START:
            group.purpose = Purpose.NONE
            self._park(group, group.reason, why_not)
        return group.purpose is Purpose.SHUTDOWN

    def why_not_given(self, group: Group) -> str:
        """"" when the peer can be given the group, now or as soon as a call to its switch ended; else why not."""
        why_not = self.peer_ready(group.name)
        claim = self.peer_claim(group.name)
        if why_not or claim is None:
            return why_not
        if claim.failed_here and group.purpose is not Purpose.MOVE:
            return f"it failed on {self.config.peer}, too"
        if group.purpose is Purpose.MOVE and self.wanted.shot_pending and not self.device_busy():
            return f"a shot at {self.config.peer} is not settled: its plugs cannot be read"
        return self.epochs_spent(group.name)

    def _park(self, group: Group, reason: str, why_stays: str) -> None:
        self._change_group(group.name, parked=reason, held=False)
        self._note(
            Level.ALARM,
            "parked",
            f"group {group.name}: parked here ({reason}; {why_stays}); repair it, then run: failoverctl takeover",
        )

    def _decide_without_right(self, group: Group) -> None:
        name = group.name
        record = self.wanted_groups[name]
        if self.proof is not None and name not in self.proof.epochs:
            if self.proof.takes and not self.ready_reason() and not record.parked:
                self._take(group)
            return
        if self.wanted.leaving == self.nonce:
            return  # what said it leaves gives nothing away any more (rule 5)
        claim = self.peer_claim(name)
        if not law.no_right_visible(record, group.state, claim):
            return
        to_home = group.config.home == self.config.peer
        # Failed here counts as not ready here: whoever has not failed gets the first try.
        i_am_not_ready = bool(record.parked or self.ready_reason() or record.failed_here)
        peer_failed = claim is not None and claim.failed_here
        gives = (to_home and not peer_failed) or i_am_not_ready
        if gives and not self.peer_ready(name) and not self._grant_refusal(group) and not self._says_spent(group):
            self._grant(group)

    def _says_spent(self, group: Group) -> bool:
        """Whether no epoch is left to take or to grant the group by; the alarm says so, once."""
        spent = self.epochs_spent(group.name)
        if spent:
            self._note_once(Level.ALARM, f"epochs-spent-{group.name}", f"group {group.name}: {spent}")
        return bool(spent)

    def _take(self, group: Group) -> None:
        """Issue a right to this node by a proved fence or the operator's word (rules 2b, 2c)."""
        if self.proof is None or self._says_spent(group):
            return
        epoch = self._issue(group.name)
        self.proof.epochs[group.name] = epoch
        self._change_group(
            group.name,
            right=epoch,
            top=epoch,
            known=epoch,
            grant=0,
            grant_nonce="",
            held=True,
            unlooked=False,
            taken_from=self.proof.boot_id or "unknown",
        )
        how = "the operator's word" if self.proof.confirmed else "the fence that was read back"
        self._note(
            Level.INFO, "takeover", f"group {group.name}: {self.config.node} takes over by {how}, epoch {epoch}"
        )

    # --- grants ------------------------------------------------------------------------------------

    def _grant_refusal(self, group: Group) -> str:
        return law.may_grant(
            law.GrantFacts(
                record=self.wanted_groups[group.name],
                state=group.state,
                peer_ready=self.peer_ready(group.name),
                device_busy=self.device_busy(),
                plugs_uncertain=self.wanted.shot_pending,
                stalled=self.stalled(),
                can_persist=not self.persist_error,
            )
        )

    def _grant(self, group: Group) -> None:
        """Give the right away: gone from this moment on, sent when it is durable (rule 4)."""
        epoch = self._issue(group.name)
        self._change_group(
            group.name,
            right=0,
            top=epoch,
            known=epoch,
            grant=epoch,
            grant_nonce=self.hearing.nonce,
            held=False,
            moving=False,
            taken_from="",
            failures=0,
            failed_ms=0,
        )
        group.purpose = Purpose.NONE
        self._note(
            Level.INFO, "granted", f"group {group.name}: granted to {self.config.peer}, epoch {epoch}"
        )

    def _end_grant(self, group: Group) -> None:
        record = self.wanted_groups[group.name]
        if not record.grant or self.hearing.beat is None:
            return
        claim = self.hearing.beat.claim(group.name)
        if law.grant_is_over(record, claim, self.hearing.nonce):
            self._change_group(group.name, grant=0, grant_nonce="")

    def _take_in_claim(self, group: Group, claim: GroupClaim) -> None:
        """What a current beat says of a group: epochs to remember, a grant to accept."""
        record = self.wanted_groups[group.name]
        known = max(record.known, claim.top, claim.grant)
        if known != record.known:
            self._change_group(group.name, known=known)
        # A life that said it leaves takes nothing any more (rule 5); its next life answers the grant's end.
        if law.grant_is_valid(claim, self.nonce, record) and self.wanted.leaving != self.nonce:
            self._change_group(
                group.name,
                right=claim.grant,
                top=claim.grant,
                known=known,
                grant=0,
                grant_nonce="",
                taken_from="",
            )
            self._note(
                Level.INFO,
                "accepted",
                f"group {group.name}: {self.config.peer} granted it to {self.config.node}, epoch {claim.grant}",
            )

    # --- rule 1 ------------------------------------------------------------------------------------

    def may_start(self, group: str) -> str:
        """"" when the group may be started now, else the sentence why not (rule 1)."""
        book = self.groups[group]
        wanted = self.wanted_groups[group]
        claim = self.peer_claim(group)
        return law.may_start(
            law.StartFacts(
                wanted=wanted,
                durable=self._on_disk(group),
                state=book.state,
                ready=self.ready_reason(),
                stalled=self.stalled(),
                tainted=book.tainted_epoch != 0 and book.tainted_epoch == wanted.right,
                peer_right=claim.right if claim is not None else 0,
                unlooked=self.unlooked(group),
            )
        )
