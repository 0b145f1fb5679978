"""Somebody sets the switch up by its menus: what they show, what they take, and that the device obeys."""

from __future__ import annotations

import re

import pytest

from emulator_bench import Bench, logged_in
from failover_kit.emulator.menus import Menu
from failover_kit.emulator.variants import IPS, NPS, VARIANTS, VMR, Variant

FOOTER = "Enter Selection or <ESC> to Exit: "
ESC = "\x1b"


def items(screen: str) -> dict[str, tuple[int, str]]:
    """The numbered lines of a menu: label to (number, value)."""
    found = re.findall(r"^ *([0-9]+)\. ([^:\r\n]+):? *(.*?)\r?$", screen, re.MULTILINE)
    return {label: (int(number), value) for number, label, value in found}


def test_the_howtos_session_sets_a_password_and_names_two_plugs() -> None:
    """/g item 1, /p1 and /p5 item 1, /e and /x."""
    bench = logged_in()
    for line in ("/g", "1", "changeme", "/p1", "1", "pete", "/p5", "1", "mclaws", "/e"):
        bench.type(line + "\r")
    screen = bench.type("/s\r")
    assert re.search(r"^ 1   \| pete  .*^ 5   \| mclaws  ", screen, re.MULTILINE | re.DOTALL)
    bench.type("/x,y\r")
    assert bench.connect().endswith(b"Enter Password: ")
    assert bench.type("changeme\r").endswith("IPS> ")


def test_a_menu_has_a_title_numbered_lines_with_values_and_the_footer() -> None:
    screen = logged_in().type("/G\r")
    assert "GENERAL PARAMETERS:\r\n" in screen
    assert " 1. System Password:      (undefined)\r\n" in screen
    assert " 7. Disconnect Timeout:   2 Min\r\n" in screen
    assert screen.endswith(FOOTER)


@pytest.mark.parametrize(
    ("variant", "command", "label", "number"),
    [
        (IPS, "/g", "System Password", 1),
        (IPS, "/g", "Disconnect Timeout", 7),
        (IPS, "/g", "Command Confirmation", 8),
        (NPS, "/g", "System Password", 1),
        (NPS, "/g", "Disconnect Timeout", 7),
        (NPS, "/g", "Command Confirmation", 8),
        (IPS, "/n", "IP Address", 1),
        (IPS, "/n", "IP Security", 5),
        (NPS, "/n", "IP Security", 4),
        (IPS, "/p 3", "Plug Name", 1),
        (NPS, "/p 3", "Password", 2),
        (VMR, "/pl 3", "Plug Name", 1),
    ],
)
def test_where_an_item_stands_depends_on_the_variant(
    variant: Variant, command: str, label: str, number: int
) -> None:
    screen = logged_in(variant=variant).type(command + "\r")
    assert items(screen)[label][0] == number


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_no_two_items_of_a_menu_have_the_same_label(variant: Variant) -> None:
    def labels(menu: Menu) -> list[str]:
        return [item.label for item in menu.items]

    for menu in (variant.general, variant.network, variant.plug):
        assert len(set(labels(menu))) == len(labels(menu))


def set_item(bench: Bench, command: str, number: int, value: str) -> str:
    bench.type(command + "\r")
    bench.type(f"{number}\r")
    return bench.type(value + "\r")


@pytest.mark.parametrize(
    ("command", "number", "value", "complaint"),
    [
        ("/g", 1, "two words", "up to 16 characters"),
        ("/g", 1, "x" * 17, "up to 16 characters"),
        ("/g", 2, "x" * 33, "up to 32 printable"),
        ("/g", 3, "3", "Invalid selection"),
        ("/g", 7, "0", "1 to 30 minutes"),
        ("/g", 7, "31", "1 to 30 minutes"),
        ("/g", 7, "soon", "1 to 30 minutes"),
        ("/n", 1, "10.0.0.256", "an IP address"),
        ("/n", 2, "255.0.255.0", "a subnet mask"),
        ("/n", 3, "gateway", "an IP address"),
        ("/p 1", 1, "9lives", "start with a letter"),
        ("/p 1", 1, "a" * 17, "holds 16"),
        ("/p 1", 1, "a+b", "no blank"),
        ("/p 1", 3, "8", "Invalid selection"),
    ],
)
def test_a_bad_value_is_refused_and_changes_nothing(command: str, number: int, value: str, complaint: str) -> None:
    bench = logged_in()
    before = items(bench.type(command + "\r"))
    bench.type(ESC)
    said = set_item(bench, command, number, value)
    assert complaint in said
    assert said.endswith(FOOTER)
    assert items(said.split(complaint)[1]) == before
    assert bench.stores == 0


def test_an_item_that_is_not_there_is_refused() -> None:
    bench = logged_in()
    bench.type("/g\r")
    for line in ("9", "0", "x", "1x"):
        assert "Invalid selection" in bench.type(line + "\r")


def test_esc_leaves_a_question_then_the_menu_and_forgets_what_was_typed() -> None:
    bench = logged_in(p1="pete")
    bench.type("/p1\r")
    assert bench.type("1\r").endswith("Enter Plug Name: ")
    assert bench.type("half a na" + ESC).endswith(FOOTER)
    assert bench.type(ESC).endswith("\r\nIPS> ")
    assert bench.device.outlet(1).name == "pete"


def test_enter_alone_leaves_a_value_as_it_is_and_a_hyphen_clears_it() -> None:
    bench = logged_in(p1="pete")
    assert items(set_item(bench, "/p1", 1, ""))["Plug Name"][1] == "pete"
    bench.type(ESC)
    assert items(set_item(bench, "/p1", 1, "-"))["Plug Name"][1] == "(undefined)"


def test_a_password_is_neither_echoed_nor_shown_nor_logged() -> None:
    bench = logged_in()
    said = set_item(bench, "/g", 1, "Open-Sesame")
    assert "Open-Sesame" not in said + repr(bench.events) + repr(bench.device.unit.settings)
    assert items(said)["System Password"][1] == "(defined)"
    assert "Open-Sesame" not in set_item(bench, "/p1", 2, "Open-Sesame")
    assert "Open-Sesame" not in repr(bench.device.outlet(1))


def test_command_confirmation_off_means_that_nothing_is_asked() -> None:
    bench = logged_in()
    assert bench.type("/off 1\r").endswith("(Y/N): ")
    bench.type("n\r")
    set_item(bench, "/g", 8, "2")
    bench.type(ESC)
    assert "(Y/N)" not in bench.type("/off 1\r") + bench.run()
    assert bench.state(1) == "off"


def test_command_echo_off_means_that_nothing_typed_comes_back() -> None:
    bench = logged_in()
    set_item(bench, "/g", 3, "2")
    bench.type(ESC)
    assert bench.type("/S") == ""


def test_the_disconnect_timeout_that_is_set_is_the_one_that_counts() -> None:
    bench = logged_in()
    set_item(bench, "/g", 7, "30")
    bench.type(ESC)
    bench.wait(29 * 60_000)
    assert not bench.hung_up
    bench.wait(60_000)
    assert bench.hung_up


def test_the_site_id_stands_in_the_banner() -> None:
    bench = logged_in()
    set_item(bench, "/g", 2, "machine room 2")
    bench.type(ESC)
    assert "Site ID: machine room 2\r\n" in bench.type("/S\r")


def test_the_boot_delay_is_chosen_from_a_list_and_obeyed() -> None:
    bench = logged_in()
    bench.type("/p 3\r")
    assert " 5. 15 Secs\r\n" in bench.type("3\r")
    assert items(bench.type("5\r"))["Boot/Seq. Delay"][1] == "15 Secs"
    bench.type(ESC)
    bench.moves.clear()
    bench.now_ms = 0
    bench.type("/boot 3,y\r")
    bench.run()
    assert bench.moves == [(0, 3, "off"), (15_000, 3, "on")]


def test_d_brings_every_plug_to_its_power_up_default() -> None:
    bench = logged_in()
    set_item(bench, "/p 2", 4, "2")
    bench.type(ESC)
    bench.type("/off 1,y\r")
    said = bench.type("/d\r")
    assert "Plugs to be set to Default:" in said
    assert said.endswith("(Y/N): ")
    bench.type("y\r")
    bench.run()
    assert [bench.state(number) for number in (1, 2, 3)] == ["on", "off", "on"]


def test_ip_security_lets_the_highest_mask_that_matches_decide() -> None:
    """The example of the IPS-15 guide: mask 1 denies everybody, mask 2 permits one."""
    bench = logged_in()
    bench.type("/n\r")
    assert "IP SECURITY:" in bench.type("5\r")
    for number, value in ((1, "255.255.255.255"), (2, "2"), (3, "192.1.1.5"), (4, "1")):
        bench.type(f"{number}\r")
        bench.type(f"{value}\r")
    admits = bench.device.unit.settings.admits
    assert [admits("192.1.1.5"), admits("192.1.1.6"), admits("10.0.0.1")] == [True, False, False]
    assert bench.type(ESC).endswith(FOOTER)  # back in the menu above
    assert bench.type(ESC).endswith("IPS> ")


def test_every_change_is_stored_and_logged_by_its_label_only() -> None:
    bench = logged_in()
    set_item(bench, "/g", 1, "secret1")
    bench.type(ESC)
    set_item(bench, "/n", 1, "10.0.0.5")
    assert bench.stores == 2
    changed = [event.fields["what"] for event in bench.events if event.name == "changed"]
    assert changed == ["System Password", "IP Address"]


def test_a_command_may_be_typed_at_the_selection() -> None:
    bench = logged_in()
    bench.type("/g\r")
    assert "PLUG PARAMETERS, PLUG 5:" in bench.type("/p5\r")
    bench.type("/x,y\r")
    assert bench.hung_up


@pytest.mark.parametrize("line", ["/p 9", "/p nobody", "/p 1+2", "/p 1,y"])
def test_the_menu_of_a_plug_that_is_not_there(line: str) -> None:
    said = logged_in(p1="pete").type(line + "\r")
    assert "Invalid" in said
    assert said.endswith("IPS> ")


def test_the_menu_of_a_plug_can_be_asked_for_by_name() -> None:
    assert "PLUG 5:" in logged_in(p5="mclaws").type("/P MCLAWS\r")


# --- who may ---------------------------------------------------------------------------------------------


def test_a_plugs_password_opens_user_mode_with_its_plugs_only() -> None:
    bench = Bench("changeme", p2="pete", p3="pete")
    for number in (2, 3):
        bench.device.outlet(number).password = "own-plugs"
    bench.connect()
    screen = bench.type("own-plugs\r")
    assert re.findall(r"^ ([0-9]+) +\|", screen, re.MULTILINE) == ["2", "3"]
    assert "Invalid plug" in bench.type("/off 1,y\r")
    assert "Invalid plug" in bench.type("/off 1:3,y\r")
    for command in ("/g", "/p 2", "/n", "/t"):
        assert "Invalid command" in bench.type(command + "\r")
    assert "/G" not in bench.type("/h\r")
    bench.type("/off *,y\r")
    bench.run()
    assert [bench.state(number) for number in (1, 2, 3)] == ["on", "off", "off"]
    bench.type("/d,y\r")
    bench.run()
    assert [bench.state(number) for number in (1, 2, 3)] == ["on", "on", "on"]


def test_r_logs_in_anew() -> None:
    bench = Bench("changeme")
    bench.device.outlet(2).password = "own-plug"
    bench.connect()
    bench.type("changeme\r")
    assert bench.type("/r\r").endswith("Enter Password: ")
    assert "Invalid plug" in bench.type("own-plug\r") + bench.type("/off 1,y\r")


def test_t_cuts_off_whoever_comes_over_the_network() -> None:
    bench = logged_in()
    bench.type("/t\r")
    assert bench.hung_up
    bench.console("\r")
    assert "Network Interface Reset" in bench.console("/t\r")
