"""What an operator orders, and the real outcome of it; and leaving in good order."""

from __future__ import annotations

from failover_kit.manager import law
from failover_kit.manager.actions import Exit, ExitCode, Level
from failover_kit.manager.coredata import Group, Order, Proof, Purpose, Shot, ShotKind
from failover_kit.manager.events import Command, Verb
from failover_kit.manager.groups import GroupDecisions
from failover_kit.manager.requests import RequestDecisions
from failover_kit.manager.shooting import FenceDecisions
from failover_kit.manager.states import GroupState, PeerState, PeerTrigger

# Beats that say "leaving" before the daemon ends; one is enough, two may be lost.
LEAVING_BEATS = 3


class OrderDecisions(GroupDecisions, FenceDecisions, RequestDecisions):
    """Commands and shutdown."""

    # --- taking an order ---------------------------------------------------------------------------

    def _command(self, event: Command) -> None:
        if event.terms is not None and not self._admits(event, event.terms):
            return
        unknown = [name for name in event.groups if name not in self.groups]
        if unknown:
            self._reply(
                event.id,
                ExitCode.USAGE,
                f"no group {unknown[0]!r}; the groups are: {', '.join(self.groups)}",
            )
        elif self.shutting_down:
            self._reply(event.id, ExitCode.REFUSED, f"{self.config.node} is leaving")
        elif event.verb is Verb.MAINTENANCE_ON:
            self._order_maintenance(event)
        elif event.verb is Verb.MAINTENANCE_OFF:
            self._order_end_of_maintenance(event)
        elif self.in_maintenance() and event.verb is not Verb.FENCE:
            text = f"{law.MAINTENANCE}; run first: failoverctl maintenance off"
            self._reply(event.id, ExitCode.REFUSED, text)
        elif event.verb is Verb.STANDBY:
            self._order_standby(event)
        elif event.verb is Verb.TAKEOVER:
            self._order_takeover(event)
        elif event.target != self.config.peer:
            self._refuse_target(event)
        elif event.verb is Verb.FENCE:
            self._order_fence(event)
        elif event.verb is Verb.PROVE:
            self._order_drill(event)
        else:
            self._order_confirm(event)

    def _refuse_target(self, event: Command) -> None:
        if event.target == self.config.node:
            text = f"{event.verb.value} is for the other node, {self.config.peer}; a node never does it to itself"
        else:
            text = f"no node {event.target!r}; the peer is {self.config.peer}"
        self._reply(event.id, ExitCode.USAGE, text)

    def _wait_for(self, event: Command, groups: tuple[str, ...]) -> None:
        self.orders.append(
            Order(event.id, event.verb.value, groups, self.now_ms + self.config.move_timeout_ms, self.now_ms)
        )

    def _order_standby(self, event: Command) -> None:
        names = event.groups or tuple(n for n, record in self.wanted_groups.items() if record.right)
        here = [self.groups[name] for name in names if self.wanted_groups[name].right]
        if not here:
            self._reply(event.id, ExitCode.DONE, f"nothing to do: {self.config.node} has no right to a group")
            return
        for group in here:
            why = self.move_refusal(group)
            if group.state is not GroupState.STARTED:
                why = why or f"it is {group.state.value} here"
            if why:
                self._reply(event.id, ExitCode.REFUSED, f"group {group.name} stays: {why}")
                return
        for group in here:
            group.purpose = Purpose.MOVE
            self._note(
                Level.INFO, "move", f"group {group.name}: moving to {self.config.peer}, ordered by the operator"
            )
        self._wait_for(event, tuple(group.name for group in here))

    def _order_takeover(self, event: Command) -> None:
        names = event.groups or tuple(self.groups)
        wanted = [
            self.groups[name]
            for name in names
            if self.groups[name].state is not GroupState.STARTED or not self.wanted_groups[name].right
        ]
        if not wanted:
            self._reply(event.id, ExitCode.DONE, f"nothing to do: {self.config.node} runs it already")
            return
        for group in wanted:
            if group.state in (GroupState.UNKNOWN, GroupState.FAILED, GroupState.STOPPING):
                self._reply(
                    event.id,
                    ExitCode.REFUSED,
                    f"group {group.name} is {group.state.value} here: {group.reason or 'wait for its stop'}",
                )
                return
        rightless = [group for group in wanted if not self.wanted_groups[group.name].right]
        cleared = any(self.wanted_groups[group.name].parked for group in wanted)
        may_take = self.proof is not None and self.proof.takes
        if rightless and self.peer_beat() is None and not may_take and not cleared:
            self._reply(
                event.id,
                ExitCode.REFUSED,
                f"{self.config.peer} is {self.peer_state.value}: its groups are taken over only when it is "
                f"fenced or you run: failoverctl confirm-dead {self.config.peer}",
            )
            return
        why = self.fewer_here()
        for group in rightless:
            claim = self.peer_claim(group.name)
            if why and claim is not None and claim.right and claim.state is GroupState.STARTED:
                self._reply(event.id, ExitCode.REFUSED, f"group {group.name} stays on {self.config.peer}: {why}")
                return
        for group in wanted:
            self._change_group(group.name, parked="", failed_here=False, failures=0, failed_ms=0)
        for group in rightless:
            self.want_number += 1
            group.want = self.want_number
        self.beat_due = True
        self._wait_for(event, tuple(group.name for group in wanted))

    def _order_fence(self, event: Command) -> None:
        if not self.config.can_fence:
            self._reply(
                event.id, ExitCode.REFUSED, "no fence device is configured; add fence_device to ha.cf"
            )
        elif not self._can_cut():
            self._reply(event.id, ExitCode.REFUSED, f"{self.config.peer} is not cut: {law.PLUGS_DISPROVED}")
        elif self.persist_error:
            self._reply(event.id, ExitCode.REFUSED, f"{self.config.peer} is not cut: {self.not_durable()}")
        elif self.shot is not None:
            self._reply(event.id, ExitCode.REFUSED, f"a shot at {self.config.peer} is under way already")
        elif self.drill is not None:
            self._reply(event.id, ExitCode.REFUSED, f"a proof drill of {self.config.peer} is under way")
        else:
            self._prepare_shot(Shot(ShotKind.ORDERED, self.wanted.peer_boot_id, command=event.id))
            self._wait_for(event, ())

    def _confirm_refusal(self) -> str:
        """"" when the operator's word may be taken now, a running shot aside; else why not (rule 2c)."""
        last = self.hearing.last_authentic_ms
        quiet_ms = self.now_ms - max(self.silence_floor_ms, self.born_ms if last is None else last)
        if quiet_ms < self.config.deadtime_ms:
            seconds = self.config.deadtime_ms / 1000
            return f"{self.config.peer} may be alive: less than {seconds:g} s (deadtime) without a sign of it"
        if self.persist_error:
            return "the state directory cannot be written"
        if self.peer_state not in (PeerState.SILENT, PeerState.NEVER_HEARD, PeerState.FENCING):
            return f"{self.config.peer} is {self.peer_state.value}"
        return ""

    def _order_confirm(self, event: Command) -> None:
        shot = self.shot
        if shot is not None and not shot.op and shot.kind in (ShotKind.SILENT, ShotKind.IF_OFF):
            self.shot = shot = None  # not fired yet, and not needed: the operator knows
        why = self._confirm_refusal()
        if why:
            self._reply(event.id, ExitCode.REFUSED, why)
            return
        self._wait_for(event, ())
        if shot is None:
            self._confirm(self.orders[-1])
        else:
            self._note(
                Level.INFO, "confirm-waits", f"the confirmation of {self.config.peer} waits for the shot that runs"
            )

    def _confirm(self, order: Order) -> None:
        self._peer_becomes(PeerTrigger.CONFIRM)
        self.proof = Proof(
            self.wanted.peer_boot_id, self.counter, self.now_ms, confirmed=True, command=order.id
        )
        order.proof = self.proof
        boot = self.wanted.peer_boot_id or "unknown"
        self._note(
            Level.WARNING, "confirmed-dead", f"the operator confirms that {self.config.peer} is dead (boot {boot})"
        )

    # --- outcomes ----------------------------------------------------------------------------------

    def _decide_orders(self) -> None:
        for order in list(self.orders):
            if order.verb == Verb.STANDBY.value:
                self._follow_standby(order)
            elif order.verb == Verb.TAKEOVER.value:
                self._follow_takeover(order)
            elif order.verb == Verb.CONFIRM_DEAD.value:
                self._follow_confirm(order)
            elif order.verb == Verb.MAINTENANCE_ON.value:
                self._follow_maintenance(order)
            elif order.verb == Verb.MAINTENANCE_OFF.value:
                self._follow_end_of_maintenance(order)
            if order in self.orders and self.now_ms >= order.deadline_ms:
                self._give_up(order)

    def _follow_standby(self, order: Order) -> None:
        done = True
        for name in order.groups:
            group = self.groups[name]
            claim = self.peer_claim(name)
            record = self.wanted_groups[name]
            if record.right and group.state is GroupState.STARTED and group.purpose is not Purpose.MOVE:
                why = f"{self.config.peer} failed to start it" if claim and claim.failed_here else group.reason
                why = why or f"{self.config.peer} is {self.peer_state.value}"
                text = f"group {name} runs on {self.config.node} again: {why}"
                self._reply(order.id, ExitCode.FAILED, text)
                return
            if group.state is GroupState.FAILED:
                self._reply(order.id, ExitCode.FAILED, f"group {name}: {group.reason}")
                return
            if claim is not None and claim.parked and not record.right:
                text = f"group {name}: {self.config.peer} could not start it and holds it parked"
                self._reply(order.id, ExitCode.FAILED, text)
                return
            runs = claim is not None and claim.state is GroupState.STARTED and claim.right
            done = done and bool(runs) and not record.right
        if done:
            took_ms = self.now_ms - order.began_ms
            text = f"{self.config.peer} runs {', '.join(order.groups)}; it took {took_ms} ms"
            self._reply(order.id, ExitCode.DONE, text)

    def _follow_takeover(self, order: Order) -> None:
        books = [self.groups[name] for name in order.groups]
        for group in books:
            record = self.wanted_groups[group.name]
            claim = self.peer_claim(group.name)
            if record.right:
                group.want = 0
            if record.failed_here or record.parked or group.state is GroupState.FAILED:
                self._end_takeover(order, ExitCode.FAILED, f"group {group.name}: {group.reason}")
                return
            fencing = self.shot is not None or self._request_to_honour()
            if claim is not None and claim.state is GroupState.FAILED and not fencing:
                text = f"group {group.name}: {self.config.peer} could not stop it"
                self._end_takeover(order, ExitCode.FAILED, text)
                return
        if all(g.state is GroupState.STARTED and self.wanted_groups[g.name].right for g in books):
            took_ms = self.now_ms - order.began_ms
            text = f"{self.config.node} runs {', '.join(order.groups)}; it took {took_ms} ms"
            self._end_takeover(order, ExitCode.DONE, text)

    def _end_takeover(self, order: Order, code: ExitCode, text: str) -> None:
        for name in order.groups:
            self.groups[name].want = 0
        self.beat_due = True
        self._reply(order.id, code, text)

    def _confirm_after_shot(self, order: Order) -> None:
        """A confirmation given while a shot ran: not needed if it proved the peer off, else asked again."""
        if self.shot is not None:
            return
        if self.peer_state is PeerState.FENCED:
            text = f"{self.config.peer} was fenced meanwhile; no confirmation was needed"
            self._reply(order.id, ExitCode.DONE, text)
            return
        why = self._confirm_refusal()
        if why:
            self._reply(order.id, ExitCode.REFUSED, why)
        else:
            self._confirm(order)

    def _follow_confirm(self, order: Order) -> None:
        if order.proof is None:
            self._confirm_after_shot(order)
            return
        proof = order.proof
        kept = all(self.wanted_groups[n].right == e for n, e in proof.epochs.items())
        if not kept or (self.proof != proof and not proof.epochs):
            self._reply(order.id, ExitCode.FAILED, f"{self.config.peer} was heard: it is not dead")
            return
        pending = [n for n, epoch in proof.epochs.items() if self.durable_groups[n].right != epoch]
        unprobed = [
            n for n, group in self.groups.items() if group.state is GroupState.UNKNOWN and self.proof == proof
        ]
        if not pending and not unprobed and self._settled():
            taken = ", ".join(proof.epochs) or "nothing: this node has the rights already, or cannot start"
            text = f"{self.config.peer} is confirmed dead; {self.config.node} takes over {taken}"
            self._reply(order.id, ExitCode.DONE, text)

    def _give_up(self, order: Order) -> None:
        seconds = (self.now_ms - order.began_ms) / 1000
        if order.verb == Verb.FENCE.value:
            text = "the shot did not end"
        elif order.verb == Verb.PROVE.value:
            text = "the drill did not end"
            self._drill_without_end(f"it had no end within {seconds:g} s")
        elif order.verb == Verb.TAKEOVER.value:
            self._end_takeover(
                order, ExitCode.TIMED_OUT, f"no takeover within {seconds:g} s; see failoverctl status"
            )
            return
        elif order.verb == Verb.MAINTENANCE_ON.value:
            text = self._withdraw_maintenance()
        else:
            text = f"no outcome for {', '.join(order.groups)}" if order.groups else "no outcome"
        self._reply(order.id, ExitCode.TIMED_OUT, f"{text} within {seconds:g} s; see failoverctl status")

    # --- leaving -----------------------------------------------------------------------------------

    def _request_shutdown(self) -> None:
        if self.shutting_down:
            return
        self.shutting_down = True
        self.beat_due = True
        self.shutdown_deadline_ms = self.now_ms + self.config.move_timeout_ms
        if law.maintenance_is_on(self.wanted.maintenance) and not self.wanted.agreed:
            self._withdraw_maintenance()  # the peer could not take over, for it would keep still
        for order in list(self.orders):
            text = f"{self.config.node} is leaving"
            if order.verb == Verb.PROVE.value:
                text += ": the drill is given up and nothing is proved; power that was cut is given back"
            self._reply(order.id, ExitCode.FAILED, text)
        if self.in_maintenance():
            text = "ends in maintenance: what runs is left running, and the peer does not shoot"
            self._note(Level.WARNING, "leaving", f"{self.config.node} {text}")
            self._exit()
            return
        self._note(Level.INFO, "leaving", f"{self.config.node} hands over or stops its groups and leaves")

    def _decide_exit(self) -> None:
        """Rule 5: leave only when every stop is verified; say "leaving" only without right or claim."""
        if not self.shutting_down or self.exited:
            return
        if self.now_ms >= self.shutdown_deadline_ms:
            self._note(
                Level.ALARM,
                "leaving-undone",
                f"{self.config.node} ends although not everything is stopped; what is held stays held",
            )
            self._exit()
            return
        if any(self._keeps_from_leaving(group) for group in self.groups.values()):
            return
        if self.shot is not None or self.device_op:
            return
        self._give_up_rights()
        clean = self.is_clean()
        if clean and self.wanted.leaving != self.nonce:
            self._change(leaving=self.nonce)
            return
        if not self._settled() and not self.persist_error:
            return
        if self.exit_at_ms is None:
            beats = LEAVING_BEATS if clean else 0
            self.exit_at_ms = self.now_ms + beats * self.config.keepalive_ms
        if self.now_ms >= self.exit_at_ms:
            self._exit()

    def _give_up_rights(self) -> None:
        """Rules 3, 26: what nobody takes is not kept for the next life. Who runs it between the two, by hand or by
        another manager, on either node, this node does not hear."""
        for name, record in self.wanted_groups.items():
            if record.right and self.groups[name].state is GroupState.STOPPED:
                self._change_group(name, right=0, held=False)
                self._note(Level.INFO, "right-given-up", f"group {name}: stopped, and its right is given up")

    def is_clean(self) -> bool:
        """Rule 5: leaving, all stops verified, no right, no claim, no grant that is not accepted."""
        return self.shutting_down and all(
            group.state is GroupState.STOPPED and not record.right and not record.grant and not record.held
            for group, record in ((g, self.wanted_groups[g.name]) for g in self.groups.values())
        )

    def _keeps_from_leaving(self, group: Group) -> bool:
        """An action runs, something is not stopped, or the peer can still be given the right."""
        record = self.wanted_groups[group.name]
        if group.op or group.state not in (GroupState.STOPPED, GroupState.UNKNOWN):
            return True
        if record.grant and self.peer_beat() is not None:
            return True
        return bool(record.right) and group.state is GroupState.STOPPED and not self.why_not_given(group)

    def _exit(self) -> None:
        self.exited = True
        self._act(Exit())
