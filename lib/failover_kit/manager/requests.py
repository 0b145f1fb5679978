"""A takeover that a watcher asks for: an operator's takeover on terms (docs/design/0037).

A watcher sees the service as a client does and nothing of the cluster, so it orders nothing: it asks, and names
the epoch it saw. Everything here can only refuse. What is admitted goes the way of every takeover: the active
node stops and releases, or rule 17 fences it; nothing is shortened.

The hold-off counts from the last change of the group's epoch known here, from the last request admitted, or from
the begin of this life, whichever is latest. So nothing has to be durable: a failoverd that was restarted has
forgotten what it admitted, and refuses for one hold-off. Both nodes see every change of epoch, so one hold-off
holds for the pair, and two broken nodes are not played against each other.
"""

from __future__ import annotations

from failover_kit.manager.actions import ExitCode, Level
from failover_kit.manager.coredata import Group
from failover_kit.manager.events import Command, Terms, Verb
from failover_kit.manager.maintenance import MaintenanceDecisions
from failover_kit.manager.pingvotes import PingVotes
from failover_kit.manager.states import GroupState


class RequestDecisions(MaintenanceDecisions, PingVotes):
    """Whether a request is admitted now."""

    def _notice_moves(self) -> None:
        """Since when each group's epoch is what it is, for the hold-off."""
        for name, group in self.groups.items():
            epoch = self.known_epoch(name)
            if epoch != group.epoch_seen:
                group.epoch_seen = epoch
                group.rests_since_ms = self.now_ms

    def _admits(self, event: Command, terms: Terms) -> bool:
        """Whether to go on with it. A refusal is answered here; either is on record with who asked."""
        names = " ".join(event.groups)
        code, why = self._request_refusal(event, terms)
        if why:
            text = f"takeover of {names} asked for by {terms.asker} is refused: {why}"
            self._note(Level.WARNING, "request-refused", text)
            self._reply(event.id, code, why)
            return False
        self.groups[names].rests_since_ms = self.now_ms
        text = f"takeover of {names} (epoch {terms.epoch}) asked for by {terms.asker}: admitted"
        self._note(Level.WARNING, "request-admitted", text)
        return True

    def _request_refusal(self, event: Command, terms: Terms) -> tuple[ExitCode, str]:
        """The code and the sentence of a refusal; the sentence is "" when there is none."""
        if event.verb is not Verb.TAKEOVER or len(event.groups) != 1:
            return ExitCode.USAGE, "a request is for a takeover of one group"
        if terms.epoch <= 0 or terms.hold_off_ms < 0 or not terms.asker:
            return ExitCode.USAGE, "a request names the epoch that was seen, a hold-off, and who asks"
        group = self.groups.get(event.groups[0])
        if group is None:
            return ExitCode.USAGE, f"no group {event.groups[0]!r}; the groups are: {', '.join(self.groups)}"
        why = self._unfit_here(group) or self._not_as_seen(group, terms.epoch)
        return ExitCode.REFUSED, why or self._held_off(group, terms.hold_off_ms)

    def _unfit_here(self, group: Group) -> str:
        """"" when this node could run the group now and is at rest."""
        node, record = self.config.node, self.wanted_groups[group.name]
        if self.ready_reason():
            return f"{node} is not ready: {self.ready_reason()}"
        if self.stalled():
            return f"{node} was paused and waits for fresh facts"
        if record.right:
            return f"{node} has group {group.name} itself (epoch {record.right}); ask {self.config.peer}"
        if record.parked or record.failed_here:
            return f"group {group.name} cannot run on {node}: {record.parked or 'it failed there'}"
        unrest = self._unrest()
        if unrest:
            return f"{unrest}; ask again when it has ended"
        if group.state is not GroupState.STOPPED or record.held:
            why = group.reason or "its stop is not verified"
            return f"group {group.name} is {group.state.value} on {node}: {why}"
        return ""

    def _not_as_seen(self, group: Group, epoch: int) -> str:
        """"" when the peer is heard, serves under ``epoch`` and can give it."""
        peer, beat, claim = self.config.peer, self.peer_beat(), self.peer_claim(group.name)
        if beat is None:
            return f"{peer} is {self.peer_state.value}: then failoverd decides by itself, not on request"
        if claim is None or claim.right != epoch:
            active = f"epoch {claim.right}" if claim is not None and claim.right else "no right"
            return f"asked about epoch {epoch}, and {peer} claims {active}; look again"
        if claim.state is not GroupState.STARTED or claim.grant or claim.want:
            return f"group {group.name} is {claim.state.value} on {peer} and on its way; ask again when it rests"
        if not beat.ready or beat.leaving:
            return f"{peer} cannot hand over now: it says that it is not ready; see failoverctl status there"
        if beat.digest != self.config.digest:
            return "the configuration files differ between the nodes; make them alike"
        return self.fewer_here()

    def _held_off(self, group: Group, hold_off_ms: int) -> str:
        left_ms = hold_off_ms - (self.now_ms - group.rests_since_ms)
        if left_ms <= 0:
            return ""
        return (
            f"held off for another {-(-left_ms // 1000)} s: group {group.name} moved, was asked for, or failoverd "
            f"was started on {self.config.node} less than {hold_off_ms / 1000:g} s ago"
        )
