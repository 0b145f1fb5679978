"""The stories, played again: what two real cores say now is what the transcripts say, word for word.

After a change that was meant: ``python tests/scenarios/stage.py --rewrite``. Only commit a changed
transcript when you understand what changed it.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from failover_kit.manager.states import GroupState, PeerState
from scenarios import stage
from scenarios.stage_world import StageError

STORIES = stage.stories()
UNWANTED = re.compile(
    r"\b(?:master|slave|primary|secondary|stonith|suicide|quorum|split.?brain|failed.over|released|offline)\b",
    re.IGNORECASE,
)
GLOSSARY = stage.HERE.parents[1] / "docs" / "glossary.md"
# 22 is a question of frames and bauds, 24 one of a kernel; they have their tests where these are.
RULES_WITH_A_STORY = [*range(1, 22), 23, 25, 26]
PAGE = stage.HERE.parents[1] / "docs" / "scenarios.md"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story_goes_as_written(path: pathlib.Path) -> None:
    written = path.read_text()
    assert stage.play(written, path.name) == written, "stage.py --rewrite, if you understand what changed"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_story_begins_with_one_sentence_and_the_rules_it_shows(path: pathlib.Path) -> None:
    first, second = path.read_text().splitlines()[:2]
    assert re.fullmatch(r"# [A-Z].*\.", first)
    assert re.match(r"# Shows PROTOCOL", second)


def test_each_rule_has_a_story_that_shows_it() -> None:
    shown: set[int] = set()
    for path in STORIES:
        shown |= {int(number) for number in re.findall(r"\b(\d+)[a-d]?\b", path.read_text().splitlines()[1])}
    assert sorted(shown) == RULES_WITH_A_STORY


def rows(page: str) -> list[tuple[str, list[str]]]:
    """Each row of the tables: what fails, or is done, and the links in its last column, which is headed "story"."""
    found: list[tuple[str, list[str]]] = []
    inside = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells[-1:] == ["story"]:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            found.append((cells[0], re.findall(r"\]\(([^)]+)\)", cells[-1])))
    return found


def faults(page: str) -> list[str]:
    """What is wrong between the tables and the stories."""
    told: list[str] = []
    linked: set[pathlib.Path] = set()
    for what, links in rows(page):
        if not links:
            told.append(f"'{what}' has no story")
        for link in links:
            path = (PAGE.parent / link).resolve()
            linked.add(path)
            if not path.is_file() or (path.suffix != ".txt" and not path.name.startswith("test_")):
                told.append(f"'{what}' links to {link}, which is neither a story nor a test")
    return told + [f"{path.name} is in no row" for path in STORIES if path not in linked]


def test_each_row_has_a_story_and_each_story_a_row() -> None:
    page = PAGE.read_text()
    assert len(rows(page)) > 70, "the tables are not found any more"
    assert faults(page) == []


def test_rows_without_stories_and_stories_without_rows_are_found() -> None:
    page = PAGE.read_text()
    row = next(line for line in page.splitlines() if "pause-active.txt" in line)
    bare = page.replace(row, row.rpartition("| [")[0] + "| see pause-active.txt |")
    assert [fault.rpartition(" ")[0] for fault in faults(bare)] == [
        "'the active node hangs shorter than deadtime' has no", "pause-active.txt is in no",
    ]  # fmt: skip
    wrong = page.replace("scenarios/pause-active.txt", "scenarios/pause-activ.txt")
    assert "links to ../tests/scenarios/pause-activ.txt, which is neither" in faults(wrong)[0]


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_no_sentence_uses_a_word_that_the_glossary_does_not_want(path: pathlib.Path) -> None:
    assert UNWANTED.findall(path.read_text()) == []


@pytest.mark.parametrize("state", [*GroupState, *PeerState], ids=lambda state: state.value)
def test_each_state_has_its_row_in_the_glossary(state: GroupState | PeerState) -> None:
    assert f"| {state.value} | " in GLOSSARY.read_text()


def test_a_story_can_fail() -> None:
    written = (stage.HERE / "first-start.txt").read_text()
    assert stage.play(written.replace("run for 3 s", "run for 2 s"), "changed") != written


def test_a_story_with_two_active_nodes_is_stopped_there() -> None:
    story = "> both nodes run and every group is at home\n> cluster is started by hand on mclaws\n"
    with pytest.raises(StageError, match="story:2: at 5000 ms group cluster is active on pete and mclaws"):
        stage.play(story)


def test_an_unknown_command_is_told_with_its_place_and_the_known_ones() -> None:
    with pytest.raises(StageError, match="story:2: no such command: 'unplug everything'") as caught:
        stage.play("# A story.\n> unplug everything\n")
    assert "cut both links" in str(caught.value)


def test_a_line_that_is_nothing_is_told_with_its_place() -> None:
    with pytest.raises(StageError, match="story:1: not a command"):
        stage.play("run for 3 s\n")
