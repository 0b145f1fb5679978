"""Each rule's counter-example: found, told as kept in docs/counterexamples, and prevented by the core as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.countercases import CASES
from sim.counterpages import NOT_HERE, Example, chosen, example, index, page
from sim.countertell import play
from sim.explore import explore, main

KEPT = Path(__file__).resolve().parents[2] / "docs" / "counterexamples"
AGAIN = "run: python3 tests/sim/explore.py --counterexamples --write docs/counterexamples"
# Searched in a moment each; the others are for the release check.
CHEAP = ("01", "02c", "03", "04-stopped", "06", "08", "09", "10", "11", "15", "17", "18", "20", "21", "23", "26")
LONG = pytest.mark.release
EVERY = [pytest.param(case, marks=() if case.slug in CHEAP else LONG, id=case.slug) for case in CASES]


def _kept(name: str) -> str:
    return (KEPT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("case", EVERY)
def test_kept_page_is_what_the_command_prints(case) -> None:  # type: ignore[no-untyped-def]
    """``example`` also refuses a schedule that the core as it is would break on."""
    shown = example(case)
    assert page(shown) == _kept(f"rule-{case.slug}.md"), AGAIN
    assert shown.parts >= 0, "the two cores do the same, so the rule was not taken away"


def test_every_page_has_its_case_and_every_case_its_page() -> None:
    kept = {path.name for path in KEPT.glob("rule-*.md")}
    assert kept == {f"rule-{case.slug}.md" for case in CASES}
    listed = _kept("README.md")
    assert all(f"(rule-{case.slug}.md)" in listed for case in CASES)


def test_every_rule_stands_in_the_index() -> None:
    """As a page, or with the test that stands for it, and that test exists."""
    told = {case.rule.split()[0].rstrip("abcd") for case in CASES} | {other.rule for other in NOT_HERE}
    assert told >= {"current", *(str(number) for number in range(1, 27))}
    listed = _kept("README.md")
    for other in NOT_HERE:
        assert f"| {other.rule} | {other.part} |" in listed, AGAIN
        for path in other.tests:
            assert (KEPT.parents[1] / path).is_file(), f"{path} is gone"


def test_given_steps_say_why_where_they_are_many() -> None:
    assert "The lettered steps are given because" in _kept("rule-current-beat.md")


@pytest.mark.release
def test_kept_index_is_what_the_command_writes() -> None:
    assert index([example(case) for case in CASES]) == _kept("README.md"), AGAIN


def test_shorter_schedules_than_the_one_told_break_nothing() -> None:
    """Breadth first means that: with one step less, the search that found it ends without a find."""
    case = chosen("17")[0]
    with case.plant.planted():
        found = explore(case.plant.lane)
        for length in range(len(found.schedule)):
            _, steps = play(case.plant.lane, found.schedule[:length])
            assert not any(step.violation for step in steps)
        assert found.states < 100


def test_rule_put_back_is_told_step_by_step() -> None:
    """The page of a failed stop: the core as it is asks to be fenced where the weakened one gives away."""
    shown: Example = example(chosen("17")[0])
    real = shown.real[shown.parts]
    assert "stop fails" in real.sentence
    assert any("is asked to fence this node" in text for text in real.did)


def test_case_that_breaks_nothing_is_no_page() -> None:
    """A plant that weakens nothing must not pass for a counter-example."""
    from dataclasses import replace

    case = chosen("23")[0]
    harmless = replace(case, plant=replace(case.plant, weaken=lambda _stack: None))
    with pytest.raises(LookupError, match="nothing is violated"):
        example(harmless)


def test_command_prints_one_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--counterexamples", "--rule", "23"]) == 0
    assert capsys.readouterr().out.rstrip() == _kept("rule-23.md").rstrip()


def test_command_writes_pages(tmp_path: Path) -> None:
    assert main(["--counterexamples", "--rule", "03", "--write", str(tmp_path)]) == 0
    assert (tmp_path / "rule-03.md").read_text(encoding="utf-8") == _kept("rule-03.md")


def test_command_knows_no_such_rule() -> None:
    with pytest.raises(LookupError, match="there are: current-beat, 01,"):
        main(["--counterexamples", "--rule", "99"])
