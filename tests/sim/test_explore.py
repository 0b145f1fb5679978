"""The breadth-first search: the core passes, weakened rules are found, and the search itself can be trusted."""

from __future__ import annotations

import pytest

from sim.countercases import CASES
from sim.explore import begin, explore, main, narrate, short_intervals
from sim.smallkey import Keys, plain_attributes
from sim.smalllanes import MEDIUM, PLANTS, SMALL, TWO_GROUPS, Lane, Plant
from sim.smallparts import Budget, Setting, Violation
from sim.smallworld import World

LANES = pytest.mark.parametrize("lane", SMALL, ids=lambda lane: lane.name)
STATE_LIMIT = 100_000  # thrice the largest: with a rule taken away epochs, and so states, may have no end
EVERY_PLANT = pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)


@LANES
def test_small_profile_is_exhausted_without_violation(lane: Lane) -> None:
    result = explore(lane)
    assert not result.violation, "\n".join(narrate(result))
    assert result.exhausted
    assert result.states > 1_000


QUICK = ("two-first-start",)
WITH_TWO = [
    pytest.param(lane, marks=() if lane.name in QUICK else pytest.mark.release, id=lane.name) for lane in TWO_GROUPS
]


@pytest.mark.parametrize("lane", WITH_TWO)
def test_two_groups_on_two_homes_are_exhausted_without_violation(lane: Lane) -> None:
    result = explore(lane)
    assert not result.violation, "\n".join(narrate(result))
    assert result.exhausted
    assert len(lane.setting.groups) == 2
    assert result.states > 100


@pytest.mark.release
def test_who_serves_has_the_first_turn_in_every_schedule() -> None:
    """Rules 10 and 11 on one clock: every beat of the node that serves is lost, and any of the other's."""
    lane = next(case.plant.lane for case in CASES if case.slug == "11")
    result = explore(lane)
    assert not result.violation, "\n".join(narrate(result))
    assert result.exhausted
    assert result.states > 5_000


def test_violation_names_the_group() -> None:
    world = World(TWO_GROUPS[0].setting, Budget())
    world.resources = [(0, 1), (0, 1)]
    with pytest.raises(Violation, match="the group of files is active on both nodes"):
        world.audit()


def test_rule_taken_away_is_found_with_two_groups() -> None:
    """The first group rests at home while the second one is moved: the search looks at each by itself."""
    plant = next(plant for plant in PLANTS if plant.name == "released")
    with plant.planted():
        result = explore(TWO_GROUPS[0])
    assert result.violation.startswith("the group of ")


@EVERY_PLANT
def test_weakened_rule_is_found(plant: Plant) -> None:
    with plant.planted():
        result = explore(plant.lane, state_limit=STATE_LIMIT)
        told = "\n".join(narrate(result))
    assert result.violation.startswith(plant.ends_in), told
    assert told.endswith(f"=> {result.violation}")
    # The last step of the narrated schedule did something: it was really played again.
    assert told.splitlines()[-2].startswith("            "), told


@EVERY_PLANT
def test_core_as_it_is_passes_the_search_that_finds_the_weakened_rule(plant: Plant) -> None:
    result = explore(plant.lane, state_limit=STATE_LIMIT)
    assert not result.violation, "\n".join(narrate(result))
    assert result.exhausted


def test_right_used_while_its_grant_is_written_takes_a_crash_to_show() -> None:
    """The schedule is the story PROTOCOL tells, and breadth first finds the shortest."""
    plant = next(plant for plant in PLANTS if plant.name == "right-kept")
    with plant.planted():
        schedule = explore(plant.lane).schedule
    assert "mclaws: failoverd dies (its disk has the new record)" in schedule
    assert len(schedule) <= 12


def test_released_as_permission_breaks_within_eight_steps() -> None:
    plant = next(plant for plant in PLANTS if plant.name == "released")
    with plant.planted():
        assert len(explore(plant.lane).schedule) <= 8


# --- the search itself -------------------------------------------------------------------------------


def _futures(keys: Keys, world: World) -> dict[str, object]:
    found: dict[str, object] = {}
    for sentence, step in world.steps():
        try:
            found[sentence] = keys.key(step())
        except Violation as violation:
            found[sentence] = str(violation)
    return found


WITH_BOTH = tuple(lane for lane in TWO_GROUPS if lane.name in ("two-first-start", "two-cut"))


# Worlds made for counter-examples: one clock for both nodes, and a look at status.
OF_PAGES = tuple(case.plant.lane for case in CASES if case.slug in ("10", "11", "26"))


@pytest.mark.parametrize(
    "lane", (*SMALL, *MEDIUM, *WITH_BOTH, *OF_PAGES), ids=lambda lane: f"{lane.name}-{lane.budget.waits}"
)
def test_worlds_with_one_key_have_the_same_futures(lane: Lane) -> None:
    """What the key leaves out must not matter: else states would be skipped that were never looked at."""
    compared = 0
    with short_intervals():
        keys, start = Keys(lane.setting, lane.budget), begin(lane)
        first = {keys.key(start): start}
        frontier = [start]
        while frontier and len(first) < 600:
            following = []
            for world in frontier:
                for sentence, step in world.steps():
                    after = step()
                    other = first.setdefault(keys.key(after), after)
                    if other is after:
                        following.append(after)
                    elif (compared := compared + 1) % 5 == 0:
                        assert _futures(keys, after) == _futures(keys, other), sentence
            frontier = following
    assert compared > 300


def test_a_step_leaves_the_world_before_it_unchanged() -> None:
    lane = next(lane for lane in SMALL if lane.name == "silence")
    with short_intervals():
        world = begin(lane)
        for _ in range(30):
            before = Keys(lane.setting, lane.budget).key(world)
            afters = [step() for _, step in world.steps()]
            assert Keys(lane.setting, lane.budget).key(world) == before
            world = afters[-1]


def test_new_time_in_the_core_is_noticed() -> None:
    world = World(Setting(), Budget())
    core = world.cores[0]
    assert core is not None
    assert "want_number" in plain_attributes(core)
    core.__dict__["invented_ms"] = 0
    with pytest.raises(LookupError, match="invented_ms"):
        plain_attributes(core)


def test_the_audit_sees_two_active_nodes() -> None:
    world = World(Setting(), Budget())
    world.resources = [(1,), (1,)]
    with pytest.raises(Violation, match="active on both"):
        world.audit()


# --- the command -------------------------------------------------------------------------------------


def test_command_prints_bounds_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lane", "moves"]) == 0
    printed = capsys.readouterr().out
    assert "losses any, moves 2" in printed
    assert printed.rstrip().endswith("exhausted without violation")


def test_command_says_when_it_gave_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lane", "moves", "--states", "50"]) == 1
    assert "NOT exhausted" in capsys.readouterr().out


def test_command_shows_the_schedule_of_a_weakened_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plant", "released"]) == 0
    printed = capsys.readouterr().out
    assert "VIOLATION after" in printed
    assert "=> the group is active on both nodes" in printed
    assert "exhausted without violation" in printed
