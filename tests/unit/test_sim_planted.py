"""Each planted bug breaks one rule of the real core, and each must be caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sim import run
from sim.faults import EVERYTHING_SEED
from sim.planted import PLANTED, Planted, hunt, table, tell
from sim.run import run_seed, run_world
from sim.world import ROWS_USED, TracedCore

NAMES = [planted.name for planted in PLANTED]


@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_planted_bug_is_caught(planted: Planted) -> None:
    caught = hunt(planted)
    assert caught.seed >= 0, f"{planted.name} (rule {planted.rule}), {planted.seeds} seeds: {caught.sentence}"


@pytest.mark.parametrize("planted", [p for p in PLANTED if p.outcome], ids=lambda p: p.name)
def test_planted_bug_ends_in_two_owners(planted: Planted) -> None:
    caught = hunt(planted, outcome_only=True)
    assert caught.seed >= 0, f"{planted.name}: no seed ended with two nodes active or with two usable rights"


@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_the_real_core_passes_the_same_seeds(planted: Planted) -> None:
    for seed in range(min(planted.seeds, planted.clean)):
        run_world(planted.faults(seed))


@pytest.mark.parametrize("planted", [p for p in PLANTED if p.story], ids=lambda p: p.name)
def test_double_activation_of_heartbeat_happens_only_with_the_bug(planted: Planted) -> None:
    assert tell(planted).startswith("S1")
    assert tell(planted, TracedCore) == ""


# --- docs/simulation.md ------------------------------------------------------------------------------


def test_every_rule_and_property_has_a_planted_bug_or_a_named_test() -> None:
    for rule in table.RULES + table.PROPERTIES:
        assert table.planted_for(rule) or rule in table.ELSEWHERE, f"nothing shows that {rule} is checked"
    for _, tests in table.ELSEWHERE.values():
        for test in tests:
            assert (table.PAGE.parents[1] / test).is_file(), f"{test} is gone"


def test_every_planted_bug_names_its_check_and_stands_in_the_table() -> None:
    known = {*table.RULES, *table.PROPERTIES, *table.MORE}
    for planted in PLANTED:
        assert planted.by, f"{planted.name}: any check that objects would do"
        assert known & set(planted.rule.split(", ")), f"{planted.name}: rule {planted.rule} is not in the table"


def test_table_in_the_docs_is_current() -> None:
    page = table.PAGE.read_text()
    seeds = table.seeds_of(page)
    assert page == table.with_table(page, seeds), "run: tests/sim/run.py --table"
    for planted in PLANTED:
        assert 0 <= seeds[planted.name] < planted.seeds, "run: tests/sim/run.py --table"


@pytest.mark.release
@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_seed_in_the_docs_is_where_it_is_caught(planted: Planted) -> None:
    told = table.seeds_of(table.PAGE.read_text())
    assert hunt(planted).seed == told[planted.name], "run: tests/sim/run.py --table"


@pytest.mark.release
@pytest.mark.parametrize("planted", PLANTED, ids=NAMES)
def test_the_real_core_passes_every_seed_of_the_profile(planted: Planted) -> None:
    for seed in range(planted.seeds):
        run_world(planted.faults(seed))


# --- every row of the transition tables --------------------------------------------------------------


@pytest.mark.parametrize("start", range(EVERYTHING_SEED, EVERYTHING_SEED + 40, 10))
def test_seeds_that_draw_everything(start: int) -> None:
    for seed in range(start, start + 10):
        outcome = run_seed(seed, duration_ms=300_000)
        assert not outcome.failure, outcome.details


@pytest.fixture
def rows() -> Iterator[None]:
    """No row was taken yet; what other tests counted comes back."""
    before = Counter(ROWS_USED)
    ROWS_USED.clear()
    yield
    ROWS_USED.clear()
    ROWS_USED.update(before)


@pytest.mark.usefixtures("rows")
def test_row_that_was_never_taken_fails_a_long_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["--seeds", "1", "--minutes", "0.1", "--processes", "1", "--no-planted"]
    assert run.main(order) == 0  # too short to tell
    assert "    never  " in capsys.readouterr().out
    monkeypatch.setattr(run, "EVERY_ROW_WITHIN", 1)
    assert run.main(order) == 1
    said = capsys.readouterr().out
    assert "never taken in 1 seeds: " in said
    assert "failed on look-ordered" in said


@pytest.mark.release
@pytest.mark.usefixtures("rows")
def test_every_row_is_taken_in_300_seeds() -> None:
    total = run.run_many(EVERYTHING_SEED, 300, duration_ms=300_000)
    assert not total.failures
    assert not run.never_taken()
