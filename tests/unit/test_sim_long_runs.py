"""Runs of hours: how far they are, what they keep, how they go on, and what their shards add up to."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sim import run, tally
from sim.run import Outcome
from sim.tally import ROWS, Progress, TallyError, Total, duration, ranges, stamp
from sim.world import ROWS_USED

SHORT = ["--minutes", "0.1", "--processes", "1", "--no-planted", "--progress", "0"]
ROW, OTHER_ROW = list(ROWS.values())[:2]


@pytest.fixture(autouse=True)
def _rows() -> Iterator[None]:
    """Coverage is counted per process: what other tests counted comes back."""
    before = Counter(ROWS_USED)
    ROWS_USED.clear()
    yield
    ROWS_USED.clear()
    ROWS_USED.update(before)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds that were played, in place of the simulator; those that end with 7 are violated."""
    seeds: list[int] = []

    def play(seed: int, *, kinds: object = None, duration_ms: int = 0) -> Outcome:
        seeds.append(seed)
        ROWS_USED[ROW] += 1
        failure = "Violation: S1" if seed % 10 == 7 else ""
        return Outcome(seed, 100, duration_ms, failure, f"details of {seed}")

    monkeypatch.setattr(run, "run_seed", play)
    return seeds


def total_of(*seeds: int, failure: str = "") -> Total:
    total = Total()
    for seed in seeds:
        total.add(Outcome(seed, 10, 60_000, failure), Counter({ROW: 2}))
    return total


# --- the tally ---------------------------------------------------------------------------------------------


def test_every_row_of_both_tables_has_a_name_of_its_own() -> None:
    assert set(ROWS.values()) == {*tally.GROUP_TABLE, *tally.PEER_TABLE}


def test_what_was_kept_is_what_comes_back(tmp_path: Path) -> None:
    total = total_of(5, 6, 7, 9)
    total.add(Outcome(12, 3, 60_000, "Violation: S1: both"), Counter({OTHER_ROW: 1}))
    path = str(tmp_path / "tally")
    total.keep(path, "this")
    assert Total.kept(path, "this") == total
    assert os.listdir(tmp_path) == ["tally"]


def test_a_tally_of_other_sources_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "tally")
    total_of(5).keep(path, stamp(None, 600_000))
    assert Total.kept(path, stamp(None, 600_000)).seeds == 1
    with pytest.raises(TallyError, match="another run"):
        Total.kept(path, stamp(None, 300_000))
    with pytest.raises(TallyError, match="another run"):
        Total.kept(path, stamp(("repair",), 600_000))


def test_the_stamp_tells_one_state_of_the_sources_from_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = stamp(None, 1)
    assert here == stamp(None, 1)
    monkeypatch.setattr(tally, "_SOURCES", ("tests/sim",))
    assert stamp(None, 1) != here


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"what": "this", "seeds": 3}'])
def test_a_file_that_is_no_tally_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tally"
    path.write_text(text)
    with pytest.raises(TallyError, match="tally: no tally of this program"):
        Total.kept(str(path), "this")


def test_shards_are_added_up_and_no_seed_counts_twice() -> None:
    total = total_of(1, 2)
    total.add_all(total_of(3, failure="Violation: L1"), "b")
    assert (total.seeds, total.steps, total.rows[ROW]) == (3, 30, 6)
    assert total.violated == {3: "Violation: L1"}
    with pytest.raises(TallyError, match="c: seed 2 is in another file"):
        total.add_all(total_of(2), "c")


def test_ranges() -> None:
    assert list(ranges([])) == []
    assert list(ranges([4, 1, 2, 8, 9, 3])) == [(1, 4), (8, 9)]


# --- progress ----------------------------------------------------------------------------------------------


def test_the_line_tells_how_far_how_fast_and_how_long() -> None:
    now, lines = [0.0], list[str]()
    progress = Progress(100, 10, clock=lambda: now[0], write=lines.append)
    total = total_of(*range(20))
    progress.begins(total)  # by an earlier run: no speed of this one
    now[0] = 9.0
    assert not progress.seen(total)
    total.add_all(total_of(*range(20, 40)), "")
    now[0] = 10.0
    assert progress.seen(total)
    assert lines == ["40 of 100 seeds (40.0 %), 0 failed; 20 events/s, 2.0 seeds/s; 30 s left"]
    now[0] = 19.0
    assert not progress.seen(total)
    now[0] = 20.0
    assert progress.seen(total)
    assert lines[1].endswith("0 events/s, 1.0 seeds/s; 1 min 0 s left")


def test_progress_of_zero_seconds_says_nothing() -> None:
    progress = Progress(1, 0, clock=lambda: 1e9, write=pytest.fail)
    assert not progress.seen(total_of(1))


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7_320, "2 h 2 min")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- the command -------------------------------------------------------------------------------------------


def test_every_violated_seed_is_listed_with_its_command(
    played: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*SHORT, "--start", "10", "--seeds", "20", "--stop-after", "0"]) == 1
    end = capsys.readouterr().out.partition("violated: 2 of 20 seeds")[2]
    for seed in (17, 27):
        assert f"    {seed}: Violation: S1\n" in end
        assert f"tests/sim/run.py --seed {seed} --trace --minutes 0.1" in end


def test_the_run_stops_after_some_violations_and_says_what_was_not_run(
    played: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*SHORT, "--start", "10", "--seeds", "20", "--stop-after", "1"]) == 1
    assert played == list(range(10, 18))
    assert "12 seeds were not run, the first is 18" in capsys.readouterr().out


def test_a_kept_run_goes_on_where_it_stopped(
    played: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = [*SHORT, "--seeds", "20", "--start", "10", "--stop-after", "1", "--keep", str(tmp_path / "a")]
    assert run.main(order) == 1
    assert "the same command goes on" in capsys.readouterr().out
    assert run.main(order) == 1  # seed 17 stays violated
    assert played == list(range(10, 28))
    said = capsys.readouterr().out
    assert "18 seeds (8 of them by earlier runs), 2 failed; 1000 audited events" in said
    assert f"{18:>9}  {next(iter(ROWS))}" in said  # rows of both runs
    played.clear()
    assert run.main(order) == 1
    assert played == [28, 29]
    assert "stopped before its end" not in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_a_whole_seed_and_keeps_it(
    played: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    play: Callable[..., Outcome] = run.run_seed

    def interrupted(seed: int, **options: object) -> Outcome:
        if seed == 3:
            os.kill(os.getpid(), number)
        return play(seed, **options)

    monkeypatch.setattr(run, "run_seed", interrupted)
    before = signal.getsignal(number)
    path = str(tmp_path / "a")
    assert run.main([*SHORT, "--start", "0", "--seeds", "6", "--keep", path]) == 1
    assert Total.kept(path, stamp(None, 6_000)).done == {0, 1, 2, 3}
    assert signal.getsignal(number) is before


def test_shards_are_merged(played: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = str(tmp_path / "a"), str(tmp_path / "b")
    assert run.main([*SHORT, "--start", "0", "--seeds", "5", "--keep", one]) == 0
    assert run.main([*SHORT, "--start", "5", "--seeds", "5", "--keep", two]) == 1
    played.clear()
    capsys.readouterr()
    assert run.main(["--minutes", "0.1", "--merge", one, two]) == 1
    said = capsys.readouterr().out
    assert "10 seeds (0 to 9), 1 failed; 1000 audited events" in said
    assert f"{10:>9}  {next(iter(ROWS))}" in said
    assert "    7: Violation: S1" in said
    assert run.main(["--minutes", "0.1", "--merge", one]) == 0
    assert run.main(["--minutes", "0.1", "--merge", one, one]) == 2
    assert run.main(["--minutes", "10", "--merge", one]) == 2
    assert played == []


def test_two_processes_count_what_one_counts() -> None:
    alone = run.run_many(0, 6, duration_ms=6_000, processes=1)
    pair = run.run_many(0, 6, duration_ms=6_000, processes=2)
    assert pair == alone
    assert alone.rows
    assert alone.rows + pair.rows == ROWS_USED
