"""A link that carries beats in one direction only is named by both sides (PROTOCOL rule 11, link by link)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, KEEPALIVE_MS, RUNS, Bench
from failover_kit.manager.actions import Note, SendBeat
from failover_kit.manager.events import BeatReceived, Tick
from failover_kit.manager.records import LinkView

TWO = replace(CONFIG, links=("ttyS0", "eth1"))
WE_ARE_DEAF = "pete hears us there, we do not hear it"
PETE_IS_DEAF = "we hear pete there, it does not hear us"


class Cables(Bench):
    """The bench with two links; what pete says of them, and by which it is heard."""

    def run(self, duration_ms: int, by: tuple[str, ...] = TWO.links, says: tuple[bool, ...] = (True, True)) -> None:
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms += KEEPALIVE_MS
            self.handle(Tick())
            beat = self.beat(RUNS, links=says)
            for link in by:
                self.handle(BeatReceived(link, beat))
            self.write()

    def eth1(self) -> LinkView:
        return next(link for link in self.core.view(self.now_ms).links if link.name == "eth1")

    def said(self) -> list[str]:
        return [note.text for note in self.done if isinstance(note, Note) and "link eth1" in note.text]

    def health(self) -> tuple[str, str, tuple[str, ...]]:
        view = self.core.view(self.now_ms)
        return view.health, view.reason, view.todo


def two_links() -> Cables:
    bench = Cables(config=TWO)
    bench.probe()
    bench.run(2 * DEADTIME_MS)
    assert bench.said() == [] and bench.eth1() == LinkView(
        name="eth1", up=True, heard_ago_ms=0, peer_hears=True, one_way=""
    )
    return bench


def test_beats_say_on_which_links_the_peer_is_heard() -> None:
    bench = Cables(config=TWO)
    assert bench.last(SendBeat).beat.links == (False, False)  # type: ignore[union-attr]
    bench.run(DEADTIME_MS)
    assert bench.last(SendBeat).beat.links == (True, True)  # type: ignore[union-attr]
    bench.run(2 * DEADTIME_MS, by=("ttyS0",))
    assert bench.last(SendBeat).beat.links == (True, False)  # type: ignore[union-attr]


def test_the_deaf_side_names_it() -> None:
    bench = two_links()
    bench.run(DEADTIME_MS + 4 * KEEPALIVE_MS, by=("ttyS0",))
    assert bench.eth1().one_way == WE_ARE_DEAF
    assert bench.said()[-1] == f"link eth1: {WE_ARE_DEAF}; repair it before another link fails, too"
    assert bench.health() == ("degraded", f"link eth1: {WE_ARE_DEAF}", ("repair link eth1",))
    bench.run(3 * KEEPALIVE_MS)
    assert bench.eth1().one_way == "" and bench.said()[-1] == "link eth1 carries beats again"


def test_the_side_that_is_not_heard_names_it() -> None:
    bench = two_links()
    bench.run(DEADTIME_MS, says=(True, False))
    assert bench.said() == []  # it may have missed a few
    bench.run(2 * KEEPALIVE_MS, says=(True, False))
    assert bench.said() == [f"link eth1: {PETE_IS_DEAF}; repair it before another link fails, too"]
    assert bench.health() == ("degraded", f"link eth1: {PETE_IS_DEAF}", ("repair link eth1",))
    bench.run(2 * KEEPALIVE_MS)
    assert bench.eth1().one_way == "" and bench.said()[-1] == "link eth1 carries beats again"


def test_a_link_cut_in_both_directions_is_only_silent() -> None:
    """The peer's word is a little older than the cut: nobody may say "one way" in between."""
    bench = two_links()
    bench.run(DEADTIME_MS + KEEPALIVE_MS, by=("ttyS0",))
    bench.run(4 * DEADTIME_MS, by=("ttyS0",), says=(True, False))
    assert bench.eth1().one_way == ""
    bench.run(KEEPALIVE_MS, says=(True, False))  # mended; the peer says so one beat later
    bench.run(2 * KEEPALIVE_MS)
    silent, back = bench.said()
    assert silent.startswith("link eth1 is silent; pete is still heard by another link")
    assert back == "link eth1 carries beats again"


def test_a_new_life_of_the_peer_has_deadtime_to_hear() -> None:
    bench = two_links()
    bench.run(DEADTIME_MS - 4 * KEEPALIVE_MS, says=(True, False))
    bench.reset_peer()
    bench.run(DEADTIME_MS - KEEPALIVE_MS, says=(True, False))
    assert bench.eth1().one_way == "" and not any(PETE_IS_DEAF in text for text in bench.said())


@pytest.mark.parametrize("says", [(), (True,), (False, False, False)])
def test_a_peer_with_another_number_of_links_says_nothing_that_fits(says: tuple[bool, ...]) -> None:
    bench = two_links()
    bench.run(3 * DEADTIME_MS, says=says)
    assert bench.eth1().peer_hears is None and bench.eth1().one_way == ""
    bench.run(2 * DEADTIME_MS, by=("ttyS0",), says=says)
    assert bench.eth1().one_way == "" and bench.said()[0].startswith("link eth1 is silent")


def test_nothing_is_said_of_the_links_of_a_silent_peer() -> None:
    bench = two_links()
    bench.run(3 * DEADTIME_MS, by=())
    assert bench.eth1().one_way == "" and bench.eth1().peer_hears is None
