"""A retired life of the peer never becomes current again, however many follow it, and whatever it answers."""

from __future__ import annotations

from failover_kit.manager.hearing import Hearing, Verdict
from failover_kit.manager.records import Beat

LIVES = 3_000
"""More than any cache would keep."""


class Talk:
    """This node's side: its counter grows with each beat that it sends."""

    def __init__(self) -> None:
        self.hearing = Hearing("pete", "mine", ("eth1",))
        self.counter = 0

    def beat(self, life: str, number: int) -> Verdict:
        """A beat of ``life`` that answers what was sent just now: its process lives, nothing is recorded."""
        self.counter += 1
        beat = Beat(
            node="pete",
            boot_id="boot",
            nonce=life,
            counter=number,
            echoes=(("mine", self.counter),),
            hears=True,
            ready=True,
        )
        return self.hearing.receive(beat, "eth1", self.counter, self.counter)

    def proved(self, life: str) -> Verdict:
        self.beat(life, 1)
        return self.beat(life, 2)


def test_the_first_of_thousands_of_lives_stays_retired_although_it_answers() -> None:
    talk = Talk()
    for number in range(LIVES):
        assert talk.proved(f"life {number}") is Verdict.CURRENT
    for number in (0, 1, LIVES // 2, LIVES - 2):
        for count in range(10, 20):
            assert talk.beat(f"life {number}", count) is Verdict.STALE
    assert talk.hearing.nonce == f"life {LIVES - 1}"
    assert not talk.hearing.candidates, "it is not even on its way to be heard"
    assert talk.beat(f"life {LIVES - 1}", 3) is Verdict.CURRENT


def test_a_life_that_was_forgotten_would_come_back() -> None:
    """Why nothing is dropped from it: the handshake refuses what is recorded, and not what is alive."""
    talk = Talk()
    talk.proved("old")
    talk.proved("new")
    assert talk.beat("old", 10) is Verdict.STALE
    talk.hearing.retired.discard("old")
    assert (talk.beat("old", 11), talk.beat("old", 12)) == (Verdict.HANDSHAKE, Verdict.CURRENT)
