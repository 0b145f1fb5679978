"""Each planted bug breaks one rule of the real core, and each must be caught."""

from __future__ import annotations

import pytest

from sim.planted import PLANTED, Planted, hunt, tell
from sim.run import run_world
from sim.world import TracedCore

NAMES = [planted.name for planted in PLANTED]


@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_planted_bug_is_caught(planted: Planted) -> None:
    caught = hunt(planted)
    assert caught.seed >= 0, f"{planted.name} (rule {planted.rule}) was not caught in {planted.seeds} seeds"


@pytest.mark.parametrize("planted", [p for p in PLANTED if p.outcome], ids=lambda p: p.name)
def test_planted_bug_ends_in_two_owners(planted: Planted) -> None:
    caught = hunt(planted, outcome_only=True)
    assert caught.seed >= 0, f"{planted.name}: no seed ended with two nodes active or with two usable rights"


@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_the_real_core_passes_the_same_seeds(planted: Planted) -> None:
    for seed in range(min(planted.seeds, 12)):
        run_world(planted.faults(seed))


@pytest.mark.parametrize("planted", [p for p in PLANTED if p.story], ids=lambda p: p.name)
def test_double_activation_of_heartbeat_happens_only_with_the_bug(planted: Planted) -> None:
    assert tell(planted).startswith("S1")
    assert tell(planted, TracedCore) == ""
