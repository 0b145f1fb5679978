"""The other node as the beats of a journal show it: when it was last heard, what it ran, which right it took."""

from __future__ import annotations

from failover_kit.explain.facts import Phase, Step
from failover_kit.manager.actions import Level
from failover_kit.manager.core import Core
from failover_kit.manager.journal import Life
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState, PeerState

News = list[tuple[str, Level]]
"""Sentences about the peer that no note of the core says."""


class Peer:
    """The peer within one life of this node's failoverd."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.boot = ""  # the newest that was heard
        self.last_beat_ms: int | None = None  # the last that heard us
        self.there: dict[str, int] = {}  # groups that run there, since when, by its beats
        self.granted: dict[str, int] = {}  # groups granted to it and not accepted yet, since when
        self.starting: dict[str, int] = {}  # accepted, and not known to run yet
        self.longest_gap_ms = 0  # between two beats while it counted as up
        self.digest = False  # beats were left out of this part of the journal: their distance means nothing
        self.done: list[Phase] = []
        self._up = False
        self._up_ms: int | None = None  # its last beat while it was up
        self._heard: dict[str, int] = {}  # by link
        self._newest = ("", 0)  # nonce and counter
        self._retired: set[str] = set()  # earlier nonces
        self._claims: dict[str, GroupClaim] = {}

    def resume(self, core: Core) -> None:
        """From a snapshot of the core in the middle of its life."""
        self.last_beat_ms = core.hearing.last_two_way_ms
        self.boot = core.wanted.peer_boot_id
        self._up = core.peer_state is PeerState.UP
        beat = core.hearing.beat
        if beat is not None:
            self._newest = (beat.nonce, beat.counter)
            self._claims = {claim.name: claim for claim in beat.groups}
            self.there = {claim.name: core.now_ms for claim in beat.groups if _runs(claim)}

    def goes_on(self, *, digest: bool) -> None:
        """In another part of the journal."""
        self.digest, self._up_ms = digest, None

    def hears(self, link: str, beat: Beat, now_ms: int) -> News:
        """A beat to this life. What comes again by a slower link, or late from an earlier life, is no news."""
        self._heard[link] = now_ms
        nonce, counter = self._newest
        if beat.nonce in self._retired or (beat.nonce == nonce and beat.counter <= counter):
            return []
        if beat.nonce != nonce:
            self._retired.add(nonce)
        self._newest = (beat.nonce, beat.counter)
        self.boot = beat.boot_id
        if beat.hears:
            if self._up_ms is not None and not self.digest:
                self.longest_gap_ms = max(self.longest_gap_ms, now_ms - self._up_ms)
            self.last_beat_ms = now_ms
            self._up_ms = now_ms if self._up else None
        return [news for claim in beat.groups for news in self._claim(claim, now_ms)]

    def _claim(self, claim: GroupClaim, now_ms: int) -> News:
        name, before = claim.name, self._claims.get(claim.name)
        self._claims[name] = claim
        if before == claim:
            return []
        peer, news = self._life.config.peer, []
        if claim.right and name in self.granted:
            self._ended(Step.GRANT, name, self.granted.pop(name), now_ms)
            self.starting[name] = now_ms
        if claim.parked and (before is None or not before.parked):
            news.append((f"group {name}: parked on {peer}", Level.WARNING))
        if claim.failed_here and (before is None or not before.failed_here):
            news.append((f"group {name}: it failed on {peer}", Level.WARNING))
        if claim.parked or claim.failed_here or not claim.right:
            self.starting.pop(name, None)
        if not _runs(claim):
            self.there.pop(name, None)
        elif name not in self.there:
            self.there[name] = now_ms
            if name in self.starting:
                self._ended(Step.START_THERE, name, self.starting.pop(name), now_ms)
            if before is not None:
                news.append((f"group {name}: {peer} runs it, its beat says", Level.INFO))
        return news

    def _ended(self, step: Step, group: str, begin_ms: int, end_ms: int) -> None:
        self.done.append(Phase(step=step, subject=group, begin_ms=begin_ms, end_ms=end_ms))

    def noted(self, code: str) -> None:
        """A note of the core about it."""
        if code == "peer-up":
            self._up = True
        elif code in ("peer-silent", "never-heard", "peer-left", "fencing"):
            self._up, self._up_ms = False, None
        if code in ("peer-silent", "fenced"):
            for what_it_had in (self.granted, self.starting, self.there):
                what_it_had.clear()

    def links_silent_before(self) -> tuple[str, ...]:
        """Links that had carried nothing for another deadtime when its last beat came by some other link."""
        if self.last_beat_ms is None:
            return ()
        config = self._life.config
        limit_ms = self.last_beat_ms - config.deadtime_ms
        return tuple(link for link in config.links if self._heard.get(link, self._life.start_ms) < limit_ms)


def _runs(claim: GroupClaim) -> bool:
    return bool(claim.right) and claim.state is GroupState.STARTED
