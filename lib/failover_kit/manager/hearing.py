"""Which beats count: nonces, counters, echoes, and how long each link has been quiet.

The handshake of PROTOCOL.md, "current beat": a life of the peer never heard before becomes current only
by a beat that echoes a counter sent *after* that life was first heard. A beat recorded or delayed from
an earlier life cannot do that, so it changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from failover_kit.manager import law
from failover_kit.manager.records import Beat

# Lives of the peer that were heard but answered nothing yet. More than a few at once is somebody replaying.
CANDIDATE_LIMIT = 4


class Verdict(Enum):
    """What a received beat is good for."""

    CURRENT = "current"
    DUPLICATE = "duplicate"  # the same beat by another link: the link lives, nothing else is new
    HANDSHAKE = "handshake"  # an unproved life: answered with an echo, believed in nothing
    STALE = "stale"  # an ended life, an old counter, or not from the peer


@dataclass(slots=True)
class Candidate:
    """A life of the peer that has not proved itself current."""

    my_counter: int  # our counter when it was first heard
    counter: int  # its highest counter
    boot_id: str


class Hearing:
    """What this life has heard of the peer."""

    __slots__ = (
        "beat",
        "candidates",
        "counter",
        "last_authentic_ms",
        "last_current_ms",
        "last_two_way_ms",
        "links",
        "my_nonce",
        "nonce",
        "peer",
        "retired",
        "unheard_ms",
    )

    def __init__(self, peer: str, my_nonce: str, links: tuple[str, ...]) -> None:
        self.peer = peer
        self.my_nonce = my_nonce
        self.nonce = ""  # the peer's current life
        self.counter = 0  # its highest counter
        self.beat: Beat | None = None  # the last current one
        self.candidates: dict[str, Candidate] = {}
        # Every life of the peer that ended, as long as this one lasts. Not bounded: no bound is safe. A life
        # that was forgotten could prove itself again where its process still runs (a paused machine that goes on),
        # and its grants with it. "For good" is the law; the handshake alone refuses recorded frames only. It stays
        # small: 100 to 170 bytes in memory and 20 in a snapshot for each restart of the peer's failoverd, and only
        # who has the key and echoes us can add one. A restart each hour for a year is 8760 of them, 1.5 MB; this
        # node's next life begins with none, and with a nonce that no old frame echoes.
        self.retired: set[str] = set()
        self.last_authentic_ms: int | None = None
        self.last_current_ms: int | None = None
        self.last_two_way_ms: int | None = None  # current, and it hears us
        self.links: dict[str, int | None] = dict.fromkeys(links)
        self.unheard_ms: dict[str, int] = {}  # since when it says, of which links, that it does not hear us there

    def receive(self, beat: Beat, link: str, my_counter: int, now_ms: int) -> Verdict:
        """Judge one authentic frame. ``my_counter`` is the counter of the last beat sent here."""
        if beat.node != self.peer or beat.nonce == self.my_nonce:
            return Verdict.STALE
        self.last_authentic_ms = now_ms
        if beat.nonce == self.nonce:
            verdict = self._receive_current_life(beat, my_counter)
        elif beat.nonce in self.retired:
            return Verdict.STALE
        else:
            verdict = self._receive_new_life(beat, my_counter)
        if verdict is not Verdict.STALE:
            self.links[link] = now_ms
        if verdict is Verdict.CURRENT:
            self.beat = beat
            self.last_current_ms = now_ms
            self._note_unheard(beat, now_ms)
            if beat.hears:
                self.last_two_way_ms = now_ms
        return verdict

    def _receive_current_life(self, beat: Beat, my_counter: int) -> Verdict:
        if beat.counter == self.counter:
            return Verdict.DUPLICATE
        echo = law.echo_of(beat, self.my_nonce)
        if beat.counter < self.counter or not 0 < echo <= my_counter:
            return Verdict.STALE
        self.counter = beat.counter
        return Verdict.CURRENT

    def _receive_new_life(self, beat: Beat, my_counter: int) -> Verdict:
        candidate = self.candidates.get(beat.nonce)
        if candidate is None:
            if len(self.candidates) >= CANDIDATE_LIMIT:
                del self.candidates[next(iter(self.candidates))]
            self.candidates[beat.nonce] = Candidate(my_counter, beat.counter, beat.boot_id)
            return Verdict.HANDSHAKE
        if beat.counter <= candidate.counter:
            return Verdict.STALE
        candidate.counter = beat.counter
        # The one heard last is the one echoed: a frame delayed from an older life cannot take its place.
        self.candidates[beat.nonce] = self.candidates.pop(beat.nonce)
        if not self._proves_life(beat, candidate, my_counter):
            return Verdict.HANDSHAKE
        if self.nonce:
            self.retired.add(self.nonce)
        del self.candidates[beat.nonce]
        self.nonce = beat.nonce
        self.counter = beat.counter
        # Any other life heard so far has to prove itself against this one: it must answer something sent
        # from now on. An older life's delayed answer to what was sent before cannot (design note 0004).
        for other in self.candidates.values():
            other.my_counter = my_counter
        return Verdict.CURRENT

    def _proves_life(self, beat: Beat, candidate: Candidate, my_counter: int) -> bool:
        """The beat answers something sent after its life was first heard."""
        return candidate.my_counter < law.echo_of(beat, self.my_nonce) <= my_counter

    def echoes(self) -> tuple[tuple[str, int], ...]:
        """What to echo: the current life, and the newest one that still has to prove itself."""
        found = [(self.nonce, self.counter)] if self.nonce else []
        if self.candidates:
            nonce = next(reversed(self.candidates))
            found.append((nonce, self.candidates[nonce].counter))
        return tuple(found)

    def hears(self, now_ms: int, deadtime_ms: int) -> bool:
        """Whether a current beat is younger than deadtime; sent to the peer in each beat."""
        return self.last_current_ms is not None and now_ms - self.last_current_ms < deadtime_ms

    def hears_on(self, now_ms: int, deadtime_ms: int) -> tuple[bool, ...]:
        """Of each link, whether a beat came by it within deadtime; sent to the peer in each beat."""
        return tuple(heard is not None and now_ms - heard < deadtime_ms for heard in self.links.values())

    def peer_hears_on(self, link: str) -> bool | None:
        """What the peer's last beat says of our beats on ``link``; None when it says nothing that fits."""
        if self.beat is None or len(self.beat.links) != len(self.links):
            return None
        return self.beat.links[tuple(self.links).index(link)]

    def one_way(self, link: str, now_ms: int, floor_ms: int, deadtime_ms: int, settle_ms: int) -> str:
        """The sentence for a link that carries beats in one direction only; "" when it is not known to be one.

        Told only of a peer that is current. Each side finds a cut a little earlier than the other, and
        ``settle_ms`` is that difference; before ``floor_ms`` nothing counts (start, pause, the peer's new life).
        """
        if self.last_current_ms is None or now_ms - self.last_current_ms >= deadtime_ms:
            return ""
        heard_ms = self.links[link]
        if heard_ms is not None and now_ms - heard_ms < deadtime_ms:
            since_ms = max(self.unheard_ms.get(link, now_ms), floor_ms)
            return f"we hear {self.peer} there, it does not hear us" if now_ms - since_ms >= deadtime_ms else ""
        quiet_ms = now_ms - max(heard_ms or 0, floor_ms)
        if quiet_ms >= deadtime_ms + settle_ms and self.peer_hears_on(link):
            return f"{self.peer} hears us there, we do not hear it"
        return ""

    def _note_unheard(self, beat: Beat, now_ms: int) -> None:
        said = beat.links if len(beat.links) == len(self.links) else (True,) * len(self.links)
        for name, heard in zip(self.links, said, strict=True):
            if heard:
                self.unheard_ms.pop(name, None)
            else:
                self.unheard_ms.setdefault(name, now_ms)
