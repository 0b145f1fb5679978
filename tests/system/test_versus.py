"""Two cases of ``make peers-heartbeat`` in every run of the suite.

All of them take a quarter of an hour; their results stand in docs/versus-heartbeat.md.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from versus.cases import CASES, Case, Outcome
from versus.managers import HEARTBEAT, MANAGERS
from versus.play import attempt
from versus.table import Row, as_markdown

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / "docs" / "versus-heartbeat.md"
BY_KEY = {case.key: case for case in CASES}
BY_NAME = {manager.name: manager for manager in MANAGERS}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")


def played(key: str, name: str) -> Outcome:
    outcome = attempt(BY_KEY[key], BY_NAME[name])
    assert isinstance(outcome, Outcome), outcome
    print(outcome.seen)
    return outcome


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("key", ["hung-stop-standby", "start-failure"])
def test_it_holds_with_ours(key: str) -> None:
    outcome = played(key, "failoverd")
    assert outcome.holds, outcome.seen


@pytest.mark.root
@needs_root
@pytest.mark.skipif(not Path(HEARTBEAT).exists(), reason="needs the package heartbeat")
def test_a_case_can_fail_as_it_does_with_heartbeat() -> None:
    """A judgement that lets this pass is none: the peer takes over while the stop is under way, without a fence.

    Not "hung-stop-standby": there Heartbeat's node in standby may shoot the other one just before that takes over.
    """
    outcome = played("hung-stop-leave", "Heartbeat")
    assert not outcome.holds
    assert "BOTH ACTIVE" in outcome.seen


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_page_has_every_case_and_says_that_ours_holds() -> None:
    """docs/versus-heartbeat.md is a run's result: this looks only whether a newer case calls for a new run."""
    made = as_markdown([Row(case, Outcome(True, ""), Outcome(True, "")) for case in CASES], {})
    rows = {_cells(line)[0]: _cells(line) for line in PAGE.read_text().splitlines() if line.startswith("| ")}
    for line in made.splitlines():
        if line.startswith("| ") and not line.startswith(("| case", "| ---")):
            title, story, must = _cells(line)[:3]
            assert rows.get(title, [])[:3] == [title, story, must], "run: make peers-heartbeat ARGS='--write ...'"
            assert rows[title][4].startswith("holds: ")


def test_every_case_has_words_of_its_own() -> None:
    texts = [text for case in CASES for text in (case.key, case.title, case.story)]
    assert len(set(texts)) == len(texts)
    assert all(isinstance(case, Case) and case.must and case.expected for case in CASES)
