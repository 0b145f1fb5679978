"""Maintenance (PROTOCOL rule 19): nothing is started, stopped, moved or shot by itself while people work.

It is one number that only grows: odd orders begin maintenance, even ones end it, the higher one is the later.
Each node makes it durable, then shows it in beats. A node keeps still when it knows that the other has the
number, too; the node that was told by a beat knows that at once, so it keeps still first.

When it ends nothing is known of what people did meanwhile. Both nodes look at everything again, and nothing is
started before the other one was seen stopped after *its* look, or was proved off.
"""

from __future__ import annotations

from failover_kit.manager import dialect, law
from failover_kit.manager.actions import ExitCode, Level
from failover_kit.manager.coredata import CoreBase, Order, Purpose
from failover_kit.manager.events import Command, Verb
from failover_kit.manager.records import Beat
from failover_kit.manager.states import GroupState, GroupTrigger, PeerState, PeerTrigger

ON_ITS_WAY = (GroupState.STARTING, GroupState.STOPPING)
_OWN_VERBS = (Verb.MAINTENANCE_ON.value, Verb.MAINTENANCE_OFF.value)


class MaintenanceDecisions(CoreBase):
    """Beginning maintenance on both nodes, and looking before anything is decided again."""

    # --- what beats say ----------------------------------------------------------------------------

    def _hear_of_maintenance(self, beat: Beat) -> None:
        """An end is taken in when it is heard; a beginning waits until nothing is under way here."""
        if beat.maintenance > self.wanted.maintenance and not law.maintenance_is_on(beat.maintenance):
            self._end_maintenance(beat.maintenance, agreed=True)

    def _decide_maintenance(self) -> None:
        beat = self.hearing.beat
        theirs = beat.maintenance if beat is not None else 0
        mine = self.wanted.maintenance
        if theirs and theirs >= mine and (theirs > mine or not self.wanted.agreed):
            if not law.maintenance_is_on(theirs):
                self._change(agreed=True)
            elif not self._unrest():
                self._change(maintenance=theirs, agreed=True)
                text = f"maintenance {theirs}: both nodes know of it, and nothing is done of itself until it ends"
                self._note(Level.WARNING, "begin-maintenance", text)
        if self.in_maintenance():
            return
        for name, group in self.groups.items():
            seen = law.seen_stopped(self.peer_beat(), self.peer_claim(name), self.wanted.maintenance)
            if seen or (group.state is GroupState.STARTED and not self.unlooked(name)):
                self._change_group(name, unlooked=False)

    def _unrest(self) -> str:
        """"" when nothing is under way on this node, else what is."""
        for group in self.groups.values():
            record = self.wanted_groups[group.name]
            if group.op or group.state in ON_ITS_WAY:
                return f"group {group.name} is {group.state.value} on {self.config.node}"
            moves = group.purpose is not Purpose.NONE or record.moving
            # A stop that failed rests between its tries: that may be the very thing people want to repair.
            if (moves and group.state is not GroupState.FAILED) or record.grant or group.want:
                return f"group {group.name} is being moved"
        if self.shot is not None:  # plugs to be read or switched on are not waited for: the switch may be broken
            return f"a shot at {self.config.peer} is not settled"
        if self.drill is not None:
            return f"a proof drill of {self.config.peer} is under way"
        for order in self.orders:
            if order.verb not in _OWN_VERBS:
                return f"an order ({order.verb}) has no outcome yet"
        return f"{self.config.node} is leaving" if self.shutting_down else ""

    # --- orders ------------------------------------------------------------------------------------

    def _order_maintenance(self, event: Command) -> None:
        if not law.maintenance_is_on(self.wanted.maintenance):
            why = self._maintenance_refusal()
            if why:
                self._reply(event.id, ExitCode.REFUSED, f"no maintenance: {why}")
                return
            self._change(maintenance=law.next_maintenance(self._highest_maintenance(), on=True), agreed=False)
        # The peer is at rest and needs one beat to hear of it, its disk, and one beat to say so.
        deadline_ms = self.now_ms + 2 * self.config.deadtime_ms
        self.orders.append(Order(event.id, event.verb.value, (), deadline_ms, self.now_ms, counter=self.counter))

    def _maintenance_refusal(self) -> str:
        """"" when the pair can be put into maintenance now, else why not."""
        beat = self.peer_beat()
        if beat is None:
            return f"{self.config.peer} is {self.peer_state.value}, and both nodes must know; repair that first"
        why = dialect.unknown_to(self.config.peer, beat.minor, dialect.Feature.MAINTENANCE)
        if why:
            return why
        if self.persist_error:
            return "the state directory cannot be written"
        for claim in beat.groups:
            if claim.state in ON_ITS_WAY or claim.grant or claim.want:
                return f"group {claim.name} is {claim.state.value} on {self.config.peer}; try again when it rests"
        if law.next_maintenance(self._highest_maintenance(), on=True) > law.EPOCH_CEILING:
            return (
                f"its numbers are used up ({self._highest_maintenance()} was claimed): whoever has the key may "
                "have done that; change authkeys, end failoverd on both nodes and move state/node.json away on both"
            )
        unrest = self._unrest()
        return f"{unrest}; try again when it has ended" if unrest else ""

    def _highest_maintenance(self) -> int:
        beat = self.hearing.beat
        return max(self.wanted.maintenance, beat.maintenance if beat is not None else 0)

    def _follow_maintenance(self, order: Order) -> None:
        if not law.maintenance_is_on(self.wanted.maintenance):
            self._reply(order.id, ExitCode.FAILED, "maintenance was ended before it had begun")
        elif self.in_maintenance() and self._settled() and self._peer_keeps_still(order):
            text = f"{self.config.node} and {self.config.peer} keep still; to end it: failoverctl maintenance off"
            self._reply(order.id, ExitCode.DONE, text)

    def _peer_keeps_still(self, order: Order) -> bool:
        """Whether the peer says so in answer to something sent after the order: it may have been ended there."""
        beat = self.peer_beat()
        if beat is None or law.echo_of(beat, self.nonce) <= order.counter:
            return False
        return beat.still and beat.maintenance == self.wanted.maintenance

    def _withdraw_maintenance(self) -> str:
        """The peer did not say in time that it keeps still: take a beginning back that it does not know of."""
        peer = self.config.peer
        if self.wanted.agreed:
            return f"{self.config.node} keeps still, and {peer} did not say that it does"
        self._end_maintenance(law.next_maintenance(self._highest_maintenance(), on=False), agreed=False)
        return f"{peer} did not say that it keeps still, so maintenance is taken back: no answer"

    def _order_end_of_maintenance(self, event: Command) -> None:
        if not law.maintenance_is_on(self.wanted.maintenance):
            self._reply(event.id, ExitCode.DONE, "nothing to do: the pair is not in maintenance")
            return
        if self.peer_beat() is None and event.target != self.config.peer:
            peer = self.config.peer
            text = (
                f"{peer} is {self.peer_state.value}: it would be fenced if this node may take over from it. Start "
                f"failoverd there first, or run: failoverctl maintenance off --without {peer}"
            )
            self._reply(event.id, ExitCode.REFUSED, text)
            return
        for order in [order for order in self.orders if order.verb == Verb.MAINTENANCE_ON.value]:
            self._reply(order.id, ExitCode.FAILED, "maintenance was ended before it had begun")
        self._end_maintenance(law.next_maintenance(self._highest_maintenance(), on=False), agreed=False)
        deadline_ms = self.now_ms + self.config.move_timeout_ms
        self.orders.append(Order(event.id, event.verb.value, (), deadline_ms, self.now_ms))

    def _end_maintenance(self, number: int, *, agreed: bool) -> None:
        """Go on with deciding: what was known before is not, in so far as this node kept still."""
        kept_still = self.in_maintenance()
        self._change(maintenance=number, agreed=agreed)
        if not kept_still:
            return
        text = f"maintenance {number}: it ends, and both nodes are looked at before anything starts"
        self._note(Level.WARNING, "end-maintenance", text)
        self.proof = None  # the peer may have got its power back by hand, and be in use without failoverd
        if self.peer_state in (PeerState.FENCED, PeerState.CONFIRMED_DEAD):
            self._peer_becomes(PeerTrigger.SILENCE)
        # A fence that was ordered and proved does not make it silent for longer than it is.
        self.silent_since_ms = max(self.now_ms, self._silent_from_ms())
        self.look_next_ms = max(self.look_next_ms, self.silent_since_ms)
        for name, group in self.groups.items():
            self._become(group, GroupTrigger.LOOK_ORDERED)
            self._change_group(name, unlooked=True, moving=False)
            group.purpose = Purpose.NONE
            group.inherited = self.wanted_groups[name].right  # what people left running is ours under our right
            group.watch_op = 0
            group.next_ms = self.now_ms
            group.stop_failed = False
            self._unsay(f"maintenance-{name}")

    def _silent_from_ms(self) -> int:
        """When the peer counts as silent if nothing more is heard of it (PROTOCOL, *silent*)."""
        last = self.hearing.last_two_way_ms
        if last is None:
            return max(self.silence_floor_ms, self.born_ms) + self.config.initdead_ms
        return max(self.silence_floor_ms, last) + self.config.deadtime_ms

    def _follow_end_of_maintenance(self, order: Order) -> None:
        if not self._settled() or any(group.state is GroupState.UNKNOWN for group in self.groups.values()):
            return
        beat = self.peer_beat()
        if beat is None:
            text = f"over on {self.config.node}; {self.config.peer} is {self.peer_state.value}"
            self._reply(order.id, ExitCode.DONE, text)
            return
        looking = any(claim.state is GroupState.UNKNOWN for claim in beat.groups)
        if beat.maintenance == self.wanted.maintenance and not looking:
            self._reply(order.id, ExitCode.DONE, "maintenance is over; both nodes were looked at")
