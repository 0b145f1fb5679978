"""NPS and VMR beside the IPS: their screens, their login, what they do while work is in progress."""

from __future__ import annotations

import re

import pytest

from emulator_bench import Bench, logged_in
from failover_kit.emulator import screens
from failover_kit.emulator.variants import NPS, VARIANTS, VMR, Variant

PAGER = "Press Enter to continue, or type Q and Enter: "


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
def test_every_row_lines_up_with_the_rule_whatever_the_variant(variant: Variant) -> None:
    bench = Bench(variant=variant, p1="abcdefghijklmnop")
    rule = screens.rule(variant.columns)
    bars = [index for index, character in enumerate(rule) if character == "+"]
    for outlet in bench.device.unit.relays.outlets.values():
        for busy in (False, variant.busy_star):
            row = screens.plug_row(variant, outlet, busy)
            assert [index for index, character in enumerate(row) if character == "|"] == bars
            assert len(row) == len(rule)


def test_the_nps_screen_is_the_published_one() -> None:
    bench = logged_in(variant=NPS, p1="InfeedA_Outlet1")
    screen = bench.type("/S\r").split("\r\n")
    assert screen[2] == "Network Power Switch v2.12     Site: (undefined)"
    assert screen[4] == "Plug | Name             | Password    | Status | Boot/Seq. Delay | Default |"
    assert screen[5] == "-----+------------------+-------------+--------+-----------------+---------+"
    assert screen[6] == " 1   | InfeedA_Outlet1  | (undefined) |   ON   |     0.5 Secs    |   ON    |"
    assert screen[21].startswith(" 16  | (undefined)")
    assert screen[-1] == "NPS> "


def test_an_nps_greets_with_its_help_screen() -> None:
    said = Bench(variant=NPS).connect().decode("latin-1")
    assert "Network Power Switch" in said
    assert "/BOOT <n>" in said
    assert "Plug | Name" not in said


def test_an_nps_writes_on_and_off_small() -> None:
    said = logged_in(variant=NPS).type("/on 6\r")
    assert "Plugs to be turned on:" in said
    assert "Are you sure? (Y/N): " in said


# --- VMR -------------------------------------------------------------------------------------------------


def vmr(**names: str) -> Bench:
    bench = Bench("changeme", variant=VMR, user="admin", **names)
    bench.connect()
    bench.type("admin\r")
    bench.type("changeme\r")
    return bench


def whole(bench: Bench, line: str) -> str:
    """A listing without its pager."""
    said = bench.type(line + "\r")
    while said.endswith(PAGER):
        said = said.removesuffix(PAGER) + bench.type("\r")
    return said


def test_a_vmr_asks_for_name_and_password() -> None:
    bench = Bench("changeme", variant=VMR, user="admin")
    assert bench.connect().endswith(b"Login: ")
    assert bench.type("admin\r").endswith("admin\r\n\r\nPassword: ")
    assert bench.type("changeme\r") == "\r\nVMR> "
    assert "Managed Power Controller" in bench.type("/h\r")


@pytest.mark.parametrize(("user", "password"), [("root", "changeme"), ("admin", "wrong"), ("", "changeme")])
def test_a_vmr_wants_both_to_be_right(user: str, password: str) -> None:
    bench = Bench("changeme", variant=VMR, user="admin")
    bench.connect()
    bench.type(user + "\r")
    said = bench.type(password + "\r")
    assert "Invalid login" in said
    assert said.endswith("Login: ")


def test_a_long_listing_stops_until_enter_is_pressed() -> None:
    bench = vmr()
    first = bench.type("/s\r")
    assert first.endswith(PAGER)
    assert first.count("\r\n") == 1 + VMR.page_lines  # the echoed command, and a page
    assert bench.type("\r").endswith("VMR> ")
    plugs = re.findall(r"^ ([0-9]+) +\|", whole(bench, "/s"), re.MULTILINE)
    assert plugs == [str(number) for number in range(1, 17)]


def test_q_ends_a_listing() -> None:
    bench = vmr()
    bench.type("/s\r")
    assert " 16  |" not in bench.type("q\r")


def test_a_plug_that_is_being_switched_carries_a_star_beside_its_true_state() -> None:
    bench = vmr(p3="pete")
    bench.hold = True
    said = bench.type("/off 3,y\r")
    assert "VMR>" not in said
    said = bench.wait(1_000)  # the prompt comes back while the relay has not moved
    assert said.endswith("VMR> ")
    assert "ON*" in said
    assert "OFF" not in said
    assert bench.state(3) == "on"
    bench.device.switched(bench.now_ms, True)
    after = whole(bench, "/s")
    assert "*" not in after
    assert re.search(r"^ 3   \| pete .* OFF  ", after, re.MULTILINE)


def test_a_command_for_a_plug_that_is_being_switched_waits_its_turn() -> None:
    """VMR/NPS guide, 9.2.1: it "will be placed in a queue"."""
    bench = vmr()
    bench.hold = True
    bench.type("/off 3,y\r")
    bench.wait(1_000)
    bench.type("/on 3,y\r")
    bench.hold = False
    bench.device.switched(bench.now_ms, True)
    bench.drain()
    bench.run()
    assert [(number, to) for _, number, to in bench.moves] == [(3, "off"), (3, "on")]


def test_groups_are_shown_and_switched() -> None:
    bench = logged_in(variant=VMR, groups={"cluster": (1, 5)}, p1="pete", p5="mclaws")
    screen = bench.type("/SG\r").split("\r\n")
    assert screen[4] == "GROUP NAME        | PLUG | STATUS |"
    assert screen[6:9] == [
        " cluster          | ---  | ---    |",
        "                  | 1    | ON     |",
        "                  | 5    | ON     |",
    ]
    bench.type("/off CLUSTER,y\r")
    bench.run()
    assert [bench.state(number) for number in (1, 2, 5)] == ["off", "on", "off"]


def test_the_classic_menus_are_no_commands_of_a_vmr_and_the_other_way_round() -> None:
    assert "Invalid command" in logged_in(variant=VMR).type("/g\r")
    assert "SYSTEM PARAMETERS" in logged_in(variant=VMR).type("/f\r")
    assert "Invalid command" in logged_in().type("/sg\r")
    assert "Invalid command" in logged_in().type("/f\r")
