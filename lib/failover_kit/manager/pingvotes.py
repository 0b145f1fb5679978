"""What ping nodes are good for: a vote in planned moves, and patience before a shot (docs/design/0038).

A ping node that answers proves that this node's own network works, and nothing about the peer. So what is reached
may only refuse a move or delay a shot. ``may_start``, grants and proofs are not asked here and do not look here.
"""

from __future__ import annotations

from failover_kit.manager import law
from failover_kit.manager.actions import Level
from failover_kit.manager.coredata import CoreBase, Group
from failover_kit.manager.events import PingsSeen
from failover_kit.manager.states import PeerState

PING_REST_MS = 300_000
"""So long after any move of a group it is not moved for ping nodes. Both nodes see each: it holds for the pair."""


class PingVotes(CoreBase):
    """What is reached here and there, and what follows from it."""

    def _pings_seen(self, event: PingsSeen) -> None:
        pings = self.pings
        if len(event.reached) != len(self.config.pings):
            return  # of another configuration
        for at, name in enumerate(self.config.pings):
            if event.reached[at] is not pings.reached[at]:
                pings.since_ms = (*pings.since_ms[:at], self.now_ms, *pings.since_ms[at + 1 :])
                self._say_ping(name, pings.reached[at], event.reached[at])
        if event.reached != pings.reached:
            self.beat_due = True
        pings.reached = event.reached
        pings.quiet = event.quiet

    def _say_ping(self, name: str, was: bool | None, now: bool | None) -> None:
        code = f"ping-{name}"
        if now is False:
            text = f"ping node {name} does not answer for {self.config.deadping_ms / 1000:g} s (deadping)"
            self._note_once(Level.WARNING, code, text)
        elif now and (code in self.said or was is None):
            self._unsay(code)
            self._note(Level.INFO, "ping-answers", f"ping node {name} answers")

    # --- who reaches how many ------------------------------------------------------------------------

    def reaches(self) -> int | None:
        """How many ping nodes this node reaches; None while one is not known, or when there are none."""
        reached = self.pings.reached
        if not reached or None in reached:
            return None
        return sum(map(bool, reached))

    def reaches_told(self) -> int | None:
        """What the next beat says of it: only to a peer with the same files, whose ping nodes are the same.

        An older version has another digest as soon as there are ping nodes: it is not sent a line it cannot read.
        """
        beat = self.hearing.beat
        return self.reaches() if beat is not None and beat.digest == self.config.digest else None

    def peer_reaches(self) -> int | None:
        """How many the peer says it reaches, while it is current; None when it is not known."""
        beat = self.peer_beat()
        return beat.reached if beat is not None and beat.digest == self.config.digest else None

    def _count(self, node: str, number: int | None) -> str:
        return f"{node} reaches {number} of {len(self.config.pings)} ping nodes"

    def fewer_there(self) -> str:
        """"" when a group may move from here to the peer as far as ping nodes go, else why not."""
        here, there = self.reaches(), self.peer_reaches()
        if not law.reaches_fewer(there, here):
            return ""
        return (
            f"{self._count(self.config.peer, there)}, {self.config.node} {here}; repair its way to them, or end "
            f"failoverd on {self.config.node}, which hands over in any case"
        )

    def fewer_here(self) -> str:
        """"" when a group that runs on the peer may be asked for as far as ping nodes go, else why not."""
        here, there = self.reaches(), self.peer_reaches()
        if not law.reaches_fewer(here, there):
            return ""
        return (
            f"{self._count(self.config.node, here)}, {self.config.peer} {there}; repair the way to them, or end "
            f"failoverd on {self.config.peer}, which hands over in any case"
        )

    # --- ping_failover -------------------------------------------------------------------------------

    def why_not_for_pings(self, group: Group) -> str:
        """"" when a group that runs here should go where more are reached (ping_failover), else why not."""
        since_ms = self.pings.fewer_since_ms
        if not self.config.ping_failover or since_ms is None:
            return "the peer does not reach more ping nodes"
        if self.now_ms - since_ms < self.config.deadping_ms:
            return f"the peer has to reach more ping nodes for {self.config.deadping_ms / 1000:g} s"
        left_ms = PING_REST_MS - (self.now_ms - group.rests_since_ms)
        return f"it rests for another {-(-left_ms // 1000)} s after its last move" if left_ms > 0 else ""

    # --- patience before a shot ----------------------------------------------------------------------

    def _weigh_pings(self) -> None:
        """Since when the peer reaches more, and whether this node seems to be the one that is cut off.

        Once said of a silence, that stands until the silence ends: taken back, it would bring the shot forward into
        the other node's turn. Said late, it can only move the shot to a turn of its own (law.shoot_delay_ms).
        In maintenance nobody shoots, and people take networks apart: turns are counted anew from its end.
        """
        if not self.config.pings:
            return
        pings = self.pings
        if not law.reaches_fewer(self.reaches(), self.peer_reaches()):
            pings.fewer_since_ms = None
        elif pings.fewer_since_ms is None:
            pings.fewer_since_ms = self.now_ms
        if self.peer_state not in (PeerState.SILENT, PeerState.FENCING) or self.in_maintenance():
            pings.cut_off = False
            self._unsay("cut-off")
        elif not pings.cut_off and self.shot is None and self._seems_cut_off():
            pings.cut_off = True
            self._version += 1
            shoots = self.config.can_fence and (self.durable.contact or self.config.boot_alone)
            if shoots and not self.has_left():
                fact = f"{self.config.node} reaches no ping node: it may be cut off itself"
                text = f"{fact}, and waits longer before it fences {self.config.peer}"
                self._note_once(Level.WARNING, "cut-off", text)

    def _seems_cut_off(self) -> bool:
        """No ping node answers any more. If the peer's last beat said that it reaches none, they are down.

        A life that heard neither the peer nor any ping node may have begun in the middle of a silence: an earlier
        one knew, and waited for a turn of its own.
        """
        beat = self.hearing.beat
        if self.peer_state is not PeerState.SILENT:
            return False
        if beat is None:
            return self.pings.quiet or self.reaches() == 0
        return self.pings.quiet and not (beat.digest == self.config.digest and beat.reached == 0)
