"""One session over two lines, automated mode, and the faults: nothing shown that is not so."""

from __future__ import annotations

import re

import pytest

from emulator_bench import Bench, logged_in
from failover_kit.emulator import telnet
from failover_kit.emulator.faults import FaultError, Faults
from failover_kit.emulator.variants import NPS, VARIANTS, VMR, Variant

BUSY_WORDS = "NPS is Busy, Session in Progress"


# --- the console -----------------------------------------------------------------------------------------


def test_enter_wakes_the_console_and_nothing_else_does() -> None:
    bench = Bench()
    assert bench.console("/S") == ""
    assert bench.console("\n") == ""
    assert bench.console("\r").endswith("IPS> ")
    assert "connect" in bench.event_names()


def test_the_console_asks_for_the_password_too_and_speaks_no_telnet() -> None:
    bench = Bench("changeme")
    said = bench.console("\r")
    assert said.endswith("Enter Password: ")
    assert telnet.GREETING.decode("latin-1") not in said
    assert bench.console("changeme\r").endswith("IPS> ")
    assert bench.console("/off 3,y\r").endswith("IPS> ")
    assert bench.state(3) == "off"


def test_while_the_console_is_in_command_mode_tcp_is_refused_until_x() -> None:
    bench = Bench()
    bench.console("\r")
    assert not bench.device.accepting()
    bench.console("/x,y\r")
    assert bench.device.accepting()


def test_while_the_network_has_the_session_the_console_of_an_ips_does_not_wake() -> None:
    bench = logged_in()
    assert bench.console("\r\r/S\r") == ""
    assert "Plug | Name" in bench.type("/S\r")


def test_while_the_network_has_the_session_the_console_of_an_nps_says_so() -> None:
    bench = logged_in(variant=NPS)
    assert BUSY_WORDS in bench.console("\r")
    assert BUSY_WORDS not in bench.console("x")
    bench.type("/x,y\r")
    assert bench.console("\r").endswith("NPS> ")


def test_a_terminal_that_was_pulled_off_leaves_its_session_until_the_timeout() -> None:
    bench = Bench("changeme")
    bench.console("\r")
    bench.console("changeme\r")
    bench.wait(60_000)
    assert bench.console("\r") == "\r\n\r\nIPS> "  # plugged in again: still logged in
    bench.wait(120_000)
    assert bench.device.accepting()
    assert bench.console("\r").endswith("Enter Password: ")


def test_three_wrong_passwords_put_the_console_to_sleep() -> None:
    bench = Bench("changeme")
    bench.console("\r")
    for _ in range(3):
        said = bench.console("wrong\r")
    assert "Invalid password" in said
    assert bench.console("x") == ""
    assert bench.device.accepting()


def test_byte_255_is_an_ordinary_key_on_the_console() -> None:
    bench = Bench()
    bench.console("\r")
    bench.device.console(0, b"\xff\xfb\x01")
    bench.console_said = ""
    bench.drain()
    assert bench.console_said == "\xff\xfb"


# --- automated mode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["setting", "fault"])
def test_automated_mode_asks_no_password_and_answers_with_the_prompt_only(how: str) -> None:
    bench = Bench("changeme")
    if how == "setting":
        bench.device.unit.settings.automated = True
    else:
        bench.device.faults.set("automated")
    assert bench.connect() == telnet.GREETING + b"\r\nIPS> "
    assert bench.type("/off 1\r") == "/off 1\r\n\r\nIPS> "
    assert bench.state(1) == "off"
    assert "  OFF   " in bench.type("/s\r")
    bench.type("/x\r")
    assert bench.hung_up


def test_in_automated_mode_the_prompt_waits_for_the_relays() -> None:
    bench = Bench()
    bench.device.faults.set("automated")
    bench.connect()
    assert bench.type("/boot 3\r") == "/boot 3\r\n"
    assert bench.run() == "\r\nIPS> "


# --- faults ----------------------------------------------------------------------------------------------


def test_busy_on_an_ips_means_that_somebody_else_has_the_session() -> None:
    bench = Bench()
    bench.device.faults.set("busy")
    assert not bench.device.accepting()
    assert bench.console("\r") == ""
    bench.device.faults.clear("busy")
    assert bench.device.accepting()


def test_busy_on_an_nps_is_said_on_the_console() -> None:
    bench = Bench(variant=NPS)
    bench.device.faults.set("busy")
    assert BUSY_WORDS in bench.console("\r")


def test_busy_on_a_vmr_marks_every_plug_beside_its_true_state() -> None:
    bench = logged_in(variant=VMR)
    bench.type("/off 2,y\r")
    bench.run()
    bench.device.faults.set("busy")
    said = bench.type("/s\r") + bench.type("\r")
    states = re.findall(r"^ [0-9]+ +\|[^|]+\| (\S+) ", said, re.MULTILINE)
    assert states == ["ON*", "OFF*", *["ON*"] * 14]


def test_wrong_echo_is_shown_but_the_command_is_understood() -> None:
    bench = logged_in()
    bench.device.faults.set("echo")
    said = bench.type("/off 1,y\r") + bench.run()
    assert "/off" not in said
    assert "  OFF   " in said
    assert bench.state(1) == "off"


def test_confirm_asks_although_y_was_given() -> None:
    bench = logged_in()
    bench.device.faults.set("confirm")
    assert bench.type("/off 1,y\r").endswith("Are you sure? (Y/N): ")
    assert bench.state(1) == "on"
    bench.type("y\r")
    assert bench.state(1) == "off"
    assert bench.type("/x,y\r").endswith("(Y/N): ")


def test_pager_stops_every_long_reply_on_every_variant() -> None:
    bench = logged_in()
    bench.device.faults.set("pager")
    said = bench.type("/s\r")
    assert said.endswith("or type Q and Enter: ")
    while not said.endswith("IPS> "):
        said = bench.type("\r")
    assert bench.type("\r").endswith("IPS> ")


def test_lockout_counts_rejected_passwords_and_then_refuses_the_network_until_cleared() -> None:
    bench = Bench("changeme")
    bench.device.faults.set("lockout", count=2)
    bench.connect()
    bench.type("wrong\r")
    assert not bench.hung_up
    bench.type("wrong\r")
    assert bench.hung_up
    assert not bench.device.accepting()
    assert bench.device.faults.view() == {"lockout": {"after": 2, "rejected": 2}}
    assert bench.console("\r").endswith("Enter Password: ")  # the console is how one gets back in
    bench.console("changeme\r")
    bench.console("/x,y\r")
    assert not bench.device.accepting()
    bench.device.faults.clear("lockout")
    assert bench.device.accepting()


def test_ul_on_the_console_of_a_vmr_ends_a_lockout() -> None:
    bench = Bench(variant=VMR)
    bench.device.faults.set("lockout", count=1)
    bench.device.faults.rejected = 1
    bench.console("\r")
    bench.console("/UL\r")
    bench.console("/x,y\r")
    assert bench.device.accepting()


def test_the_right_password_after_wrong_ones_does_not_lock_out() -> None:
    bench = Bench("changeme")
    bench.device.faults.set("lockout", count=3)
    bench.connect()
    for word in ("wrong\r", "changeme\r", "/x,y\r"):
        bench.type(word)
    assert bench.device.accepting()


def test_drop_says_nothing_after_the_command_even_if_the_relay_is_there_already() -> None:
    bench = logged_in()
    bench.device.faults.set("drop")
    said = bench.type("/on 1,y\r")
    assert bench.hung_up
    assert "Status" not in said


@pytest.mark.parametrize(
    ("name", "delay_ms", "count"),
    [("slow", None, None), ("lockout", None, None), ("mute", 5, None), ("mute", None, 5), ("fire", None, None)],
)
def test_a_fault_that_lacks_its_value_or_does_not_exist(name: str, delay_ms: int | None, count: int | None) -> None:
    with pytest.raises(FaultError):
        Faults().set(name, [1], delay_ms, count)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: variant.name)
@pytest.mark.parametrize("fault", ["stuck", "busy", "echo", "confirm", "automated", "pager", "drop", "slow"])
def test_no_fault_shows_a_state_that_an_outlet_does_not_have(variant: Variant, fault: str) -> None:
    """Off is asked for with the fault in force; at every screen on the way, what is shown is what is."""
    bench = Bench(variant=variant)
    bench.hold = True
    delay_ms = 5_000 if fault == "slow" else None
    session = variant.busy_star or fault != "busy"
    bench.connect()
    bench.device.faults.set(fault, [2], delay_ms)
    if not session:
        assert not bench.device.accepting()
        return
    said = bench.type("/off 2,y\r") + bench.type("y\r")
    assert_shows(said, {"ON"})
    said = bench.type("\r") + bench.wait(1_500) + bench.type("\r") + bench.type("/s\r") + bench.type("\r")
    assert_shows(said, {"ON"})


def assert_shows(said: str, states: set[str]) -> None:
    shown = re.findall(r"^ 2   \|[^|]*\|(?: \(undefined\) \|)? +(ON|OFF)\*? ", said, re.MULTILINE)
    assert set(shown) <= states
    assert "OFF" not in said.upper().replace("/OFF", "").replace("TURNED OFF", "")


# --- the device's own power ------------------------------------------------------------------------------


def test_a_power_cycle_of_the_device_brings_every_plug_to_its_default_and_ends_the_session() -> None:
    bench = logged_in()
    bench.device.outlet(2).default_on = False
    bench.type("/off 3,y\r")
    bench.moves.clear()
    bench.device.power_cycle(bench.now_ms)
    bench.drain()
    bench.run()
    assert bench.hung_up
    assert [bench.state(number) for number in (1, 2, 3)] == ["on", "off", "on"]
    assert [to for _, number, to in bench.moves if number == 1] == ["off", "on"]
