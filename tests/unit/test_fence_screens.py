"""Status tables of the WTI family, and finding plugs in them."""

from __future__ import annotations

import pytest

from failover_kit.fence.screens import (
    PlugMissing,
    PlugRow,
    PlugState,
    ScreenError,
    parse_status,
    plug_state,
    resolve,
)

HEADER = "Plug | Name | Password | Status | Boot/Seq. Delay | Default |"

TABLE = (
    PlugRow(1, "pete", PlugState.ON),
    PlugRow(2, "", PlugState.ON),
    PlugRow(5, "mclaws", PlugState.ON),
    PlugRow(6, "Mclaws", PlugState.OFF),
)


def row(number: str, name: str = "x", state: str = "ON") -> str:
    return f" {number} | {name} | (undefined) | {state} | 0.5 Secs | ON |"


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        ("ON", PlugState.ON),
        (" off ", PlugState.OFF),
        ("OFF*", PlugState.BUSY),
        ("*ON", PlugState.BUSY),
        ("", PlugState.UNKNOWN),
        ("OF", PlugState.UNKNOWN),
        ("ONE", PlugState.UNKNOWN),
        ("---", PlugState.UNKNOWN),
    ],
)
def test_only_plain_on_and_off_are_facts(cell: str, state: PlugState) -> None:
    assert plug_state(cell) is state


@pytest.mark.parametrize("name", ["(undefined)", "(Undefined)", "---", "(none)", ""])
def test_a_plug_nobody_named_has_no_name(name: str) -> None:
    assert parse_status([HEADER, row("3", name)]) == (PlugRow(3, "", PlugState.ON),)


def test_default_column_is_not_taken_for_the_status() -> None:
    table = parse_status(["Plug | Default | Status |", "1 | ON | OFF |"])
    assert table == (PlugRow(1, "", PlugState.OFF),)


def test_header_repeated_after_a_page_continues_the_table() -> None:
    table = parse_status([HEADER, row("1"), HEADER, row("2")])
    assert [entry.number for entry in table] == [1, 2]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no status table"),
        (["hello", "1 | x | ON |"], "no status table"),
        ([HEADER], "no rows"),
        ([HEADER, "1 | x | ON |"], "3 cells under 6 columns"),
        ([HEADER, row("1", "a|b")], "7 cells under 6 columns"),
        ([HEADER, row("A1")], "no plug number"),
        ([HEADER, row("")], "no plug number"),
        ([HEADER, row("0")], "no plug number"),
        ([HEADER, row("12345")], "no plug number"),
        ([HEADER, row("1"), row("1", state="OFF")], "plug 1 stands twice"),
        (["Plug | Status | Status |", "1 | ON | OFF |"], "2 columns named status"),
    ],
)
def test_a_table_that_can_be_misread_is_an_error(lines: list[str], words: str) -> None:
    with pytest.raises(ScreenError, match=words.replace("(", r"\(")):
        parse_status(lines)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (["1"], (1,)),
        (["01"], (1,)),
        (["PETE"], (1,)),
        (["mclaws"], (5, 6)),
        (["mclaws", "5", "1"], (1, 5, 6)),
    ],
)
def test_plugs_by_number_and_name(wanted: list[str], numbers: tuple[int, ...]) -> None:
    assert resolve(wanted, TABLE) == numbers


@pytest.mark.parametrize(
    "wanted", [["9"], ["9", "1"], ["pet"], ["pete*"], ["*"], ["1:3"], ["1+5"], ["(undefined)"], ["²"], ["-1"]]
)
def test_a_missing_plug_is_never_masked_by_one_that_is_there(wanted: list[str]) -> None:
    with pytest.raises(PlugMissing, match="no plug"):
        resolve(wanted, TABLE)
