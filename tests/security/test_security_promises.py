"""SECURITY.md names a test for each promise, and each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "SECURITY.md").read_text()
PROMISED = PAGE.partition("## What is promised")[2].partition("## What is not promised")[0]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_the_named_test_is_there_and_not_left_out(file: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / file).read_text())
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1, f"{file} has no {name}"
    marks = "".join(ast.unparse(mark) for mark in found[0].decorator_list)
    assert "release" not in marks and "mark.skip(" not in marks, "make test leaves it out"


def test_every_promise_has_a_test() -> None:
    rows = [line for line in PROMISED.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [row for row in rows if not row.startswith(("| promise", "| what"))]
    assert len(promises) > 20
    for row in promises:
        assert "::test_" in row, row
    assert len(NAMED) > 30


def test_every_test_of_this_directory_that_stands_for_a_promise_is_named() -> None:
    """One that nobody names is either no promise, or one that is missing in the page: say which here."""
    no_promise = {
        "test_no_page_shows_a_password_among_arguments",
        "test_fence_legacy_takes_the_password_from_a_file",
        "test_the_marks_are_found_in_every_form",
        "test_an_authkeys_that_cannot_be_read_is_refused_without_quoting_the_key",
        "test_init_replacing_an_open_authkeys_closes_it_and_keeps_the_old_mode_of_the_backup",
        "test_everything_a_failoverd_itself_may_write_is_heard",
        "test_a_confirmed_takeover_without_an_epoch_is_not_taken_and_says_so",
        "test_a_frame_of_a_newer_minor_full_of_unknown_things_is_bounded",
    }
    here = set()
    for path in Path(__file__).parent.glob("test_security_*.py"):
        if path.name != Path(__file__).name:
            here |= {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    tests = {name for name in here if name.startswith("test_")}
    assert no_promise <= tests, f"gone: {no_promise - tests}"
    assert tests - no_promise == {name for file, name in NAMED if "/security/" in file}
