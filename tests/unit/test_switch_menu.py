"""Menus are read by label: any numbering, widths, case, columns; none or two of a label is an error without
secrets.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.switch.menu import Label, MenuError, choose, find, items_of, minutes_of, read_menu, shown_lines
from switch_player import conversation

NETWORK = [
    "NETWORK PARAMETERS",
    "",
    "1. IP Address: 10.0.0.9",
    "2. Subnet Mask: 255.255.255.0",
    "3. Gateway: (undefined)",
]


def test_the_printed_menu_of_the_nps_guide_is_read() -> None:
    screen = conversation("nps115-ip-security.txt")[1][1].decode()
    menu = read_menu(screen.splitlines()[:-1])
    assert menu.title == "IP SECURITY"
    assert [item.number for item in menu.items] == list(range(1, 11))
    assert (menu.items[2].label, menu.items[2].value) == ("Security Mask #2", "192.1.1.5")


def test_two_columns_are_two_items() -> None:
    line = "  3. Gateway Address:  (undefined)         21. Telnet Access:    On"
    assert [(item.number, item.key, item.value) for item in items_of(line)] == [
        (3, "gateway address", "(undefined)"),
        (21, "telnet access", "On"),
    ]


@pytest.mark.parametrize(
    "line", ["0.5 Secs", "Internet Power Switch v1.41h    Site ID: 1. floor", " 1   | pete | ON |", "10.0.0.1", ""]
)
def test_what_is_no_item_is_none(line: str) -> None:
    assert items_of(line) == []


@pytest.mark.parametrize(
    "line",
    ["4. Subnet Mask: 255.255.255.0", "4) SUBNET  MASK = 255.255.255.0", "  4.  subnet mask ....... 255.255.255.0",
     "4. Subnet-Mask    255.255.255.0", "4. Netmask:255.255.255.0"],
)  # fmt: skip
def test_an_item_is_found_however_it_is_printed(line: str) -> None:
    item = find(read_menu([line]), Label.MASK)
    assert (item.number, item.value) == (4, "255.255.255.0")


def test_a_label_that_is_missing_or_twice_is_an_error_that_shows_the_menu_without_passwords() -> None:
    lines = ["1. System Password: hunter2", "2. IP Address: 10.0.0.1", "3. IP Address: 10.0.0.2"]
    for label, count in ((Label.GATEWAY, "no item"), (Label.ADDRESS, "2 items")):
        with pytest.raises(MenuError) as caught:
            find(read_menu(lines), label)
        assert count in str(caught.value) and "3. IP Address: 10.0.0.2" in str(caught.value)
        assert "1. System Password: set" in str(caught.value) and "hunter2" not in str(caught.value)


def test_a_number_that_stands_twice_is_not_chosen() -> None:
    with pytest.raises(MenuError, match="stands twice"):
        find(read_menu(["1. IP Address: 10.0.0.1", "1. Site ID: x"]), Label.ADDRESS)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("2 Min", 2), ("15", 15), ("30 Minutes", 30), ("120 Secs", 2), ("1 Hour", 60), ("None", 0), ("(undefined)", 0),
     ("Off", 0), ("90 Sec", None), ("soon", None), ("", 0)],
)  # fmt: skip
def test_times_are_read_in_minutes(text: str, minutes: int | None) -> None:
    assert minutes_of(text) == minutes


def test_a_time_that_is_not_offered_is_an_error_with_the_offer() -> None:
    menu = read_menu(["1. None", "2. 2 Minutes", "3. 5 Minutes"])
    assert choose(menu, 5).number == 3
    with pytest.raises(MenuError, match="2 Minutes"):
        choose(menu, 3)


ITEMS = [
    ("IP Address", "10.0.0.9"),
    ("Subnet Mask", "255.0.0.0"),
    ("Gateway Address", "(undefined)"),
    ("IP Security", ""),
    ("Telnet Port", "23"),
]


@settings(deadline=None)
@given(st.permutations(ITEMS), st.integers(1, 90), st.booleans(), st.booleans())
def test_numbering_order_case_and_columns_do_not_matter(
    items: list[tuple[str, str]], first: int, upper: bool, columns: bool
) -> None:
    cells = [
        f"{first + at}. {label.upper() if upper else label}: {value}" for at, (label, value) in enumerate(items)
    ]
    lines = [f"{a:<40}  {b}" for a, b in zip(cells[::2], [*cells[1::2], ""], strict=True)] if columns else cells
    item = find(read_menu(["NETWORK", *lines]), Label.MASK)
    assert item.value == "255.0.0.0"
    assert items[item.number - first][0] == "Subnet Mask"


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_line_is_read_without_a_crash(line: str) -> None:
    read_menu([line])


def test_passwords_that_a_unit_prints_are_not_shown() -> None:
    """NPS up to v3.02 have a Password column and print what is in it; nobody can tell what other units do."""
    shown = shown_lines(
        [
            "Plug | Name | Status | Boot Delay | Password | Default",
            "-----+------+--------+------------+----------+--------",
            "1 | pete | ON | 0.5 sec | hunter2 | OFF",
            "2 | (undefined) | OFF | 0.5 sec | (none) | ON",
            "1. System Password: hunter2",
            "2. PASSWORD ........ hunter2",
            "3. System Password: (undefined)",
            "Enter System Password: ",
        ]
    )
    assert "hunter2" not in "".join(shown)
    assert shown[2] == "1 | pete | ON | 0.5 sec | *** | OFF" and "(none)" in shown[3]
    assert shown[4:] == ["1. System Password: ***", "2. PASSWORD ........ ***", "3. System Password: (undefined)",
                         "Enter System Password:"]  # fmt: skip
    assert "hunter2" not in repr(read_menu(["1. System Password: hunter2"]))
