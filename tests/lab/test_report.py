"""The table of steps: what counts as passed, what a failure tells, and that all three forms say the same."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lab import report_html, report_json, report_text
from lab.report import Lane, Picture, Result, StepFailed, Table, counts, ordered
from lab.report_rows import BY_HAND, HOWTO

ROWS = {"1": "first", "2": "second", "3": "third"}


class Clock:
    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms


def make(tmp_path: Path, said: list[str] | None = None, **more: object) -> tuple[Table, Clock]:
    clock = Clock()
    said = [] if said is None else said
    options: dict[str, object] = {"rows": ROWS, "kept": "/kept/here", **more}
    return Table("A story", str(tmp_path / "run"), say=said.append, now_ms=clock, **options), clock  # type: ignore[arg-type]


def documents(table: Table) -> tuple[str, dict[str, object], str]:
    def content(name: str) -> str:
        return Path(os.path.join(table.rundir, name)).read_text(encoding="utf-8")

    return content("report.txt"), json.loads(content("report.json")), content("report.html")


def test_all_rows_done_is_passed(tmp_path: Path) -> None:
    said: list[str] = []
    table, clock = make(tmp_path, said)
    with table:
        for number, title in ROWS.items():
            with table.step(number, title) as step:
                step.did("a command")
                step.fact("eth2 has the address")
                step.check("it answers", True, seen="in 3 ms")
                clock.ms += 2_500
    assert table.code == 0
    text, tree, page = documents(table)
    assert "PASSED in 7.5 s: 3 done" in text
    assert tree["passed"] is True
    assert "PASSED" in page
    assert "  DONE in 2.5 s" in said
    assert "  checked: it answers (in 3 ms)" in said


def test_table_without_a_step_is_not_passed(tmp_path: Path) -> None:
    table, _ = make(tmp_path, rows={}, by_hand={})
    with table:
        pass
    assert table.code == 1


def test_row_that_nobody_took_up_fails_the_table(tmp_path: Path) -> None:
    table, _ = make(tmp_path)
    with table:
        for number in ("1", "3"):
            with table.step(number, "it"):
                pass
    assert table.code == 1
    assert table.missing() == ["2"]
    text, tree, _page = documents(table)
    assert "no step of this run took it up" in text
    assert [(s["number"], s["result"]) for s in tree["steps"]] == [  # type: ignore[attr-defined]
        ("1", "done"),
        ("2", "not reached"),
        ("3", "done"),
    ]


def test_row_by_hand_stands_with_its_reason_and_does_not_fail(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand={"2": "hands are needed"})
    table.by_hand("3", "another time")
    with table, table.step("1", "it"):
        pass
    assert table.code == 0
    text, tree, page = documents(table)
    for form in (text, json.dumps(tree), page):
        assert "hands are needed" in form
        assert "another time" in form
    assert "1 done, 2 not by a machine" in text


def test_step_beats_by_hand(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand=dict.fromkeys(ROWS, "no"))
    with pytest.raises(StepFailed), table.step("2", "it") as step:
        step.check("so", False)
    assert [line.result for line in ordered(table)] == [Result.BY_HAND, Result.FAILED, Result.BY_HAND]
    assert not table.passed


def test_failed_check_tells_expected_and_seen_and_where_the_consoles_are(tmp_path: Path) -> None:
    said: list[str] = []
    table, _ = make(tmp_path, said)
    table.plan("3", "the third thing")
    with table:
        with table.step("1", "first"):
            pass
        with table.step("2", "the lock") as step:
            step.did("pulled the cord")
            step.check("held", False, expected="the lock held on mclaws", seen="not held: nobody has it")
        raise AssertionError("a failed step ends the story")
    assert table.code == 1
    text, tree, page = documents(table)
    for form in (text, page):
        assert "the lock held on mclaws" in form
        assert "not held: nobody has it" in form
        assert "/kept/here" in form
        assert "did: pulled the cord" in form
        assert "not reached" in form
    failed = tree["steps"][1]  # type: ignore[index]
    assert failed["expected"] == "the lock held on mclaws"
    assert failed["checks"] == [{"name": "held", "passed": False, "detail": "not held: nobody has it"}]
    assert tree["steps"][2]["result"] == "not reached"  # type: ignore[index]
    assert any("consoles and journals: /kept/here" in line for line in said)


def test_unforeseen_exception_fails_the_step_with_its_trace(tmp_path: Path) -> None:
    table, _ = make(tmp_path)
    with table, table.step("1", "first"):
        raise OSError(5, "Input/output error")
    assert table.code == 1
    text, tree, page = documents(table)
    step = tree["steps"][0]  # type: ignore[index]
    assert step["seen"] == "OSError: [Errno 5] Input/output error"
    assert "test_report.py" in step["trace"]
    assert "Traceback" in text
    assert "Traceback" in page


def test_interruption_is_recorded_and_goes_on_upwards(tmp_path: Path) -> None:
    table, _ = make(tmp_path)
    with pytest.raises(KeyboardInterrupt), table, table.step("1", "first"):
        raise KeyboardInterrupt
    _text, tree, _page = documents(table)
    assert tree["steps"][0]["seen"] == "KeyboardInterrupt"  # type: ignore[index]
    assert table.code == 1


def test_exception_between_the_steps_is_trouble_and_goes_on_upwards(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand=dict.fromkeys(ROWS, "no"))
    with pytest.raises(ValueError, match="the boot"), table:
        with table.step("1", "first"):
            pass
        raise ValueError("the boot failed")
    assert table.code == 1
    text, _tree, page = documents(table)
    assert "between the steps: ValueError: the boot failed" in text
    assert "between the steps: ValueError: the boot failed" in page


def test_planned_step_is_filled_once_and_in_its_part(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand=dict.fromkeys(ROWS, "no"))
    for part in ("as written", "as recommended"):
        table.plan("2", "standby", part=part)
    table.part("as written")
    with table.step("2", "standby"):
        pass
    assert [(line.part, line.result) for line in table.steps] == [
        ("as written", Result.DONE),
        ("as recommended", Result.NOT_REACHED),
    ]
    with table.step("2", "standby"):
        pass  # played again: a line of its own
    assert len(table.steps) == 3
    assert not table.passed
    with table.step("2", "standby", part="as recommended"):
        pass
    assert table.passed


def test_step_of_a_row_that_is_not_there_is_refused(tmp_path: Path) -> None:
    table, _ = make(tmp_path)
    with pytest.raises(ValueError, match="no row"), table.step("27", "what"):
        pass


def test_pauses_and_reclaims_are_in_all_forms(tmp_path: Path) -> None:
    table, clock = make(tmp_path, by_hand=dict.fromkeys(ROWS, "no"))
    with table, table.step("2", "power") as step:
        step.pause("v3", 4_321)
        step.pause("find", 9_876, "walker")
        step.reclaim("v3", 1_234)
        step.reclaim("v4", None)
        step.picture(Picture(0, 10_000, (Lane("v3", (100, 4_421, 9_900)),), ((100, "the cord"),)))
        clock.ms += 10_000
    text, tree, page = documents(table)
    assert "4321 ms (v3)" in text  # the writer's, though the walker waited longer
    assert "lock of v3 back after 1234 ms; lock of v4 not back" in text
    assert tree["steps"][1]["pauses"][1] == {"who": "find", "kind": "walker", "ms": 9_876}  # type: ignore[index]
    assert tree["steps"][1]["reclaims"][1] == {"who": "v4", "ms": None}  # type: ignore[index]
    assert "1234 ms" in page
    assert "never" in page
    assert "writer v3: waited 5479 ms at the longest" in page
    assert "+0.0 s: the cord" in page


def test_lane_without_an_answer_says_so(tmp_path: Path) -> None:
    table, _ = make(tmp_path)
    with table.step("1", "it") as step:
        step.picture(Picture(0, 5_000, (Lane("v4", ()),)))
    assert "writer v4: no answer at all" in report_html.page(table)


class Tags(HTMLParser):
    """Every tag that was opened is closed again, in order."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand=BY_HAND, rows=HOWTO)
    table.machine("pete", kernel="6.1 <script>alert(1)</script>")
    with table, table.step("22", "<script>&\"'") as step:
        step.did("<b>")
        step.fact("</article>")
        step.picture(Picture(0, 9, (Lane("'x", (3,)),), ((4, "<i title='\"'>"), (4, "again"))))
        step.check("<u>", False, expected="<p>", seen="</html>")
    page = report_html.page(table)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "<script" not in page
    assert not re.search(r"https?:|\bsrc=|@import|url\(|<link", page)


def test_documents_are_made_once(tmp_path: Path) -> None:
    said: list[str] = []
    table, _ = make(tmp_path, said)
    assert table.finish() == 1
    assert table.finish() == 1
    assert len(said) == 1


def test_rows_of_the_howto_are_complete() -> None:
    assert list(HOWTO) == [str(number) for number in range(1, 27)]
    assert set(BY_HAND) < set(HOWTO)


def test_counts_and_text_name_each_result(tmp_path: Path) -> None:
    table, _ = make(tmp_path, by_hand={"3": "no"})
    with pytest.raises(StepFailed), table.step("1", "it") as step:
        step.check("so", False)
    assert counts(table) == "1 failed, 1 not by a machine, 1 not reached"
    assert "FAILED" in report_text.table(table)
    assert report_json.tree(table)["schema"] == 1


def test_table_without_rows_keeps_the_order_of_play(tmp_path: Path) -> None:
    table, _ = make(tmp_path, rows={})
    for number in ("D2", "D1"):
        with table.step(number, "a disaster", part="with fencing"):
            pass
    assert [line.number for line in ordered(table)] == ["D2", "D1"]
    assert "with fencing" in report_text.table(table)
    assert table.passed
