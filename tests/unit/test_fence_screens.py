"""Status tables of the WTI family, and finding plugs in them."""

from __future__ import annotations

import pytest

from failover_kit.fence.screens import (
    GroupRow,
    PlugAmbiguous,
    PlugMissing,
    PlugRow,
    PlugState,
    ScreenError,
    parse_groups,
    parse_status,
    plug_state,
    resolve,
)

HEADER = "Plug | Name | Password | Status | Boot/Seq. Delay | Default |"

RULE = "-----+------------------+-------------+--------+-----------------+---------+"
PORTS = "PORT | NAME | STATUS | MODE |"

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


def test_the_rules_close_the_table() -> None:
    assert len(parse_status([HEADER, RULE, row("1"), row("2"), RULE])) == 2


@pytest.mark.parametrize(
    "lines",
    [
        # The middle of a row, its end and the start of the next one are lost: plug 1 with the state of plug 2.
        [HEADER, RULE, " 1 | pe  | (undefined) | OFF | 0.5 Secs | ON |", row("3"), RULE],
        [HEADER, RULE, row("1"), RULE[20:]],
    ],
)
def test_on_a_noisy_line_rows_and_rules_must_be_alike(lines: list[str]) -> None:
    assert parse_status(lines)
    with pytest.raises(ScreenError, match="not in line"):
        parse_status(lines, noisy=True)
    assert parse_status([HEADER, RULE, row("1"), row("2"), RULE], noisy=True)


def test_numbers_may_stand_in_a_column_or_not() -> None:
    for rows in ([row("9 "), row("10")], [row("9"), row("10")]):
        assert [entry.number for entry in parse_status([HEADER, *rows])] == [9, 10]


def test_a_page_may_close_the_table_for_a_moment() -> None:
    lines = [HEADER, RULE, row("1"), RULE, "Enter:", HEADER, RULE, row("2"), RULE]
    assert [entry.number for entry in parse_status(lines)] == [1, 2]


@pytest.mark.parametrize("ports_first", [True, False])
def test_the_serial_ports_of_an_rsm_are_no_plugs(ports_first: bool) -> None:
    ports = [PORTS, RULE, " 1 | ON | OFF | Any |", " 2 | console | Free | Any |", RULE]
    plugs = [HEADER, RULE, row("1", state="OFF"), RULE]
    table = parse_status(ports + plugs if ports_first else plugs + ports)
    assert table == (PlugRow(1, "x", PlugState.OFF),)


def test_a_bar_at_the_left_belongs_to_the_lines_that_have_it_all() -> None:
    assert parse_status(["|Plug | Status", "| 1   | ON |"]) == (PlugRow(1, "", PlugState.ON),)
    with pytest.raises(ScreenError, match="no plug number"):
        parse_status(["Plug | Name | Status |", "|  1  | ON |"])


def test_line_noise_in_a_status_cell_is_no_blank() -> None:
    assert plug_state("OFF\xa0") is PlugState.UNKNOWN
    assert plug_state("\x1fOFF") is PlugState.UNKNOWN


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
        ([HEADER, row("1"), row("1")], "plug 1 stands twice"),
        ([HEADER, row("3"), row("2")], "plug 2 stands after plug 3"),
        ([HEADER, row("1"), row("2"), " " + row("3")], "are shifted"),
        ([HEADER, row("1 "), row("2"), row("11")], "are shifted"),
        ([HEADER, RULE, row("1")], "cut short"),
        ([HEADER, RULE, row("1"), RULE, row("2")], "cut short"),
        ([HEADER, RULE, row("1"), PORTS, row("2"), RULE], "cut short"),
        (["GROUP NAME | PLUG | STATUS |", "pete | 1 | ON |"], "no status table"),
        (["|Plug | Status |", "1 | ON | OFF"], "3 cells under 2 columns"),
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


# Groups.

GROUP_HEADER = "GROUP NAME       | PLUG | PLUG NAME | STATUS |"
GROUP_RULE = "-----------------+------+-----------+--------+"


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        # Firmware 1.43: the first row is the name's alone.
        (
            ["web | --- | --- | --- |", "    | 1 | x | ON |", "    | 5 | y | OFF |", "db | --- | --- | --- |"],
            (GroupRow("web", (1, 5)), GroupRow("db", ())),
        ),
        # Firmware 1.40: it carries a plug.
        (
            ["web | 5 | x | ON |", "    | 1 | y | OFF |", "db | 1 | y | OFF |"],
            (GroupRow("web", (5, 1)), GroupRow("db", (1,))),
        ),
        (["web | 5 | x | ON |", "web | 1 | y | OFF |"], (GroupRow("web", (5, 1)),)),
        ([], ()),
    ],
)
def test_groups_are_read(rows: list[str], groups: tuple[GroupRow, ...]) -> None:
    assert parse_groups(["", GROUP_HEADER, GROUP_RULE, *rows, GROUP_RULE]) == groups


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([" | 1 | x | ON |"], "a plug of no group"),
        (["web | 1 | x | ON |", "db | 2 | x | ON |", "WEB | 3 | x | ON |"], "two groups are named"),
        (["web | 1 | x | ON |", "    | 1 | x | ON |"], "stands twice in group"),
        (["web | 1+2 | x | ON |"], "no plug number"),
        (["web | A1 | x | ON |"], "no plug number"),
        (["web | 1 | x | ON |", "    | --- | --- | --- |"], "no plug number"),
        (["web | 1 | ON |"], "3 cells under 4 columns"),
        (["(undefined) | 1 | x | ON |"], "without a name"),
    ],
)
def test_groups_that_can_be_misread_are_an_error(rows: list[str], words: str) -> None:
    with pytest.raises(ScreenError, match=words):
        parse_groups([GROUP_HEADER, GROUP_RULE, *rows, GROUP_RULE])


def test_a_group_table_cut_short_is_an_error() -> None:
    with pytest.raises(ScreenError, match="cut short"):
        parse_groups([GROUP_HEADER, GROUP_RULE, "web | 1 | x | ON |"])
    with pytest.raises(ScreenError, match="no group table"):
        parse_groups([HEADER, RULE, row("1"), RULE])


GROUPS = (GroupRow("web", (2, 6)), GroupRow("pete", (1,)), GroupRow("mclaws", (1, 5)), GroupRow("none", ()))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [(["WEB"], (2, 6)), (["web", "1"], (1, 2, 6)), (["pete"], (1,)), (["6"], (6,))],
)
def test_a_group_is_found_after_numbers_and_names(wanted: list[str], numbers: tuple[int, ...]) -> None:
    assert resolve(wanted, TABLE, GROUPS) == numbers


def test_a_name_of_two_sets_of_plugs_is_never_guessed() -> None:
    with pytest.raises(PlugAmbiguous, match="rename one of them"):
        resolve(["mclaws"], TABLE, GROUPS)


@pytest.mark.parametrize("wanted", ["none", "we", "web*"])
def test_a_group_without_plugs_or_by_half_its_name_is_missing(wanted: str) -> None:
    with pytest.raises(PlugMissing, match="groups web, pete, mclaws, none"):
        resolve([wanted], TABLE, GROUPS)


def test_a_group_with_a_plug_we_may_not_see_is_not_taken_for_its_rest() -> None:
    with pytest.raises(PlugMissing, match="plug 16, which the status table does not show"):
        resolve(["big"], TABLE, [GroupRow("big", (1, 16))])
