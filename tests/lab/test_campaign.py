"""The campaign's schedule and its judgement of the shelf's frames, without machines."""

from __future__ import annotations

from itertools import islice

import pytest

from lab.campaign import judge, prepare, schedule
from lab.campaign.judge import Moved
from lab.campaign.main import parser
from lab.campaign.rounds import _FAULTS
from lab.frames import Frame
from lab.howto import files


def frames(times: dict[str, list[int]], kind: str = "write") -> dict[str, list[Frame]]:
    return {name: [Frame(t_ms, name, kind, 0, 8) for t_ms in times.get(name, [])] for name in ("pete", "mclaws")}


# --- the schedule -------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_campaign_and_another_one_is_not():
    first = list(islice(schedule.draw(3), 40))
    assert first == list(islice(schedule.draw(3), 40))
    assert first != list(islice(schedule.draw(4), 40))


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_is_played_before_one_comes_again(seed: int):
    drawn = [one.kind for one in islice(schedule.draw(seed), 3 * len(schedule.KINDS))]
    for begin in range(0, len(drawn), len(schedule.KINDS)):
        assert sorted(drawn[begin : begin + len(schedule.KINDS)]) == sorted(schedule.KINDS)


def test_every_kind_can_be_played_and_is_judged():
    assert set(_FAULTS) == set(schedule.KINDS) == set(judge.MOVES)


def test_only_a_cut_within_a_move_has_a_moment_in_it():
    for one in islice(schedule.draw(1), 80):
        assert bool(one.in_move_ms) == (one.kind in (schedule.CUT_GIVER, schedule.CUT_TAKER))


# --- what the witness saw -----------------------------------------------------------------------------------


def test_a_handover_is_explained_by_a_cut_of_the_active_node():
    seen = frames({"pete": [1, 2], "mclaws": [5, 6]})
    assert judge.wrong_turns(Moved(schedule.CORD_ACTIVE, "pete", "mclaws"), seen) == (["pete", "mclaws"], "")


def test_two_nodes_that_write_side_by_side_are_found():
    seen = frames({"pete": [1, 5], "mclaws": [4, 6]})
    _, wrong = judge.wrong_turns(Moved(schedule.CORD_ACTIVE, "pete", "mclaws"), seen)
    assert "the writer changed 3 times, 1 are explained" in wrong


def test_a_passive_node_that_wrote_is_found():
    seen = frames({"pete": [1, 9], "mclaws": [5]})
    assert judge.wrong_turns(Moved(schedule.CORD_PASSIVE, "pete", "pete"), seen)[1]


@pytest.mark.parametrize(
    ("active", "now_active", "words"), [("mclaws", "mclaws", "was active"), ("pete", "pete", "is active now")]
)
def test_who_is_active_is_who_writes(active: str, now_active: str, words: str):
    seen = frames({"pete": [1], "mclaws": [5]})
    assert words in judge.wrong_turns(Moved(schedule.STANDBY, active, now_active), seen)[1]


def test_reads_prove_nothing():
    seen = frames({"pete": [1], "mclaws": [5]}, kind="read")
    assert "nothing is proved" in judge.wrong_turns(Moved(schedule.STANDBY, "pete", "mclaws"), seen)[1]


def test_a_frame_of_a_machine_without_power_is_found_also_a_read():
    spans = judge.off_spans([(10, "pete", "ended"), (20, "pete", "started"), (30, "pete", "ended")], 40)
    assert spans == {"pete": [(10, 20), (30, 40)]}
    assert judge.wrote_without_power(spans, frames({"pete": [9, 20, 29]}, kind="read")) == ""
    assert "came while it was off" in judge.wrote_without_power(spans, frames({"pete": [35]}, kind="read"))


# --- files and options --------------------------------------------------------------------------------------


def test_the_planted_bug_is_one_word_of_the_recommended_resources():
    planted = prepare.resources("async")
    assert planted == files.RECOMMENDED.replace("options=rw,sync,", "options=rw,async,")
    assert planted != files.RECOMMENDED == prepare.resources("")


def test_slow_machines_get_their_times_multiplied_and_the_law_s_own_keepalive():
    lines = prepare.ha_cf(3).splitlines()
    assert {"keepalive 1000ms", "warntime 15000ms", "deadtime 30000ms", "initdead 60000ms"} <= set(lines)


def test_the_options():
    given = parser().parse_args(["--minutes", "2", "--kind", "both", "--kind", "standby", "--seed", "7"])
    assert (given.minutes, given.kind, given.seed, given.plant) == (2, ["both", "standby"], 7, "")
    with pytest.raises(SystemExit):
        parser().parse_args(["--kind", "nosuch"])
