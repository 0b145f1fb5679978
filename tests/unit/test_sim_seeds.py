"""The real core under random faults: a few hundred seeds here, ten thousand by ``make sim SEEDS=10000``."""

from __future__ import annotations

import pytest

from sim.faults import FAULT_KINDS, LATER_KINDS, draw
from sim.run import run_seed

# Seeds that once failed, with what they showed. A change of the core shifts what an old seed does: see
# docs/design/0014-simulator.md, "Consequences".
REGRESSIONS = {
    43: "said leaving while a grant was being written",
    58: "accepted a grant and gave it back in one step, while leaving",
    111: "answered a fence command twice, at shutdown and at its end",
    192: "looked at the plugs of a node that had just come back",
    645: "waited for the next look at the plugs before a real shot",
    749: "fired an ordered shot after the order was answered by leaving",
    756: "the same, at a peer that was up",
    951: "a beating peer with one plug off",
    1081: "who shoots first while the peer's new life still looks at its resources",
    1192: "as 645, with both groups away from home",
    1497: "fired a shot whose record was not written: an older one had the same number",
    201: "answered a confirmation twice",
    801: "looked at the plugs of a peer that had come back while another call to the switch ran",
    1071: "a late frame of a boot the operator had called dead",
    1148: "beats while a shot ran did not end the silence it was fired for",
    7016: "both nodes shot each other: the operator has to power one on",
    7286: "power owed to a node that was confirmed dead",
    8434: "fence_action off and a shot that switched after it was given up",
    3762: "took a right after it had said leaving",
    60424: "an exam about a vote, taken with a peer of 1.0 that has no line for it",
    70359: "an exam looked in the middle of the second takeover that boot_alone allows",
    70625: "an exam of a false proof did not allow the failback after it",
    151454: "a record was written under the next life, which had the directory's lock",
    152202: "an answer from before OFF, of a boot that had not proved itself, passed for a boot after the reset",
    152904: "keeps still: told of a node that got an older failoverd meanwhile",
    202185: "a stop that had failed before maintenance kept its node from shooting after it",
    205177: "a refused confirmation took the place of a proof",
    300551: "a group that died went home before anybody noticed, and no start failed in the exam of a failed start",
    303007: "one of two plugs was off before a drill that was refused: the debt was lost with the records",
    306267: "a replayed frame of a boot that was called dead came after another boot had answered",
    308868: "a restart in place while its count waited for an older record to be written",
    310542: "an older failoverd was installed for the exam while a record that bars it was being written",
    553182: "a life that recorded frames had crowded out was believed later than the check thought",
    526657: "a shot was decided while the ping nodes were down by both nodes' word, and its record took 7 s",
    540594: "a group was on its way home by a grant when the exam of a false proof began",
    566469: "a frame that came 16 s late disproved the plugs, and nobody proved them again before the exam",
    570189: "a grant was accepted while the start by an older right was under way",
    599912: "the same, once more",
    207240: "a failure from before the operator's takeover counted as a restart in place",
}


SEEDS = tuple(
    start
    for first, last in ((10_000, 10_300), (30_000, 30_100), (40_000, 40_100), (60_000, 60_060))
    for start in range(first, last, 20)
)


@pytest.mark.parametrize("seed", REGRESSIONS, ids=str)
def test_seed_that_once_failed(seed: int) -> None:
    outcome = run_seed(seed)
    assert not outcome.failure, outcome.details


@pytest.mark.parametrize("start", SEEDS)
def test_random_faults_break_no_rule_and_the_pair_heals(start: int) -> None:
    for seed in range(start, start + 20):
        outcome = run_seed(seed, duration_ms=300_000)
        assert not outcome.failure, outcome.details


@pytest.mark.parametrize("kind", [*FAULT_KINDS, *LATER_KINDS])
def test_one_kind_of_fault_alone(kind: str) -> None:
    for seed in range(30_000, 30_003):
        outcome = run_seed(seed, kinds=(kind,), duration_ms=300_000)
        assert not outcome.failure, outcome.details


def test_the_same_seed_is_the_same_run() -> None:
    assert run_seed(7, duration_ms=120_000) == run_seed(7, duration_ms=120_000)


def test_options_are_drawn_from_the_seed_alone() -> None:
    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
