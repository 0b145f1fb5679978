"""The pure device: keystrokes and time in, screens and relay movements out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator_bench import Bench, logged_in
from failover_kit.emulator import screens, telnet
from failover_kit.emulator.faults import WHOLE_DEVICE
from failover_kit.emulator.relays import Outlet, Switch
from failover_kit.emulator.unit import Store
from failover_kit.emulator.variants import IPS, VARIANTS, Variant

# --- screens ---------------------------------------------------------------------------------------------


def test_factory_status_screen_is_the_printed_one() -> None:
    screen = Bench().connect().removeprefix(telnet.GREETING).decode()
    rule = "-----+------------------+-------------+--------+-----------------+---------+"
    row = " {}   | (undefined)      | (undefined) |   ON   |     0.5 Secs    |   ON    |"
    assert screen.split("\r\n") == [
        "",
        "Internet Power Switch v1.41h    Site ID: (undefined)",
        "",
        "Plug | Name             | Password    | Status | Boot/Seq. Delay | Default |",
        rule,
        *(row.format(number) for number in range(1, 9)),
        rule,
        "",
        '"/H" for help.',
        "",
        "",
        "IPS> ",
    ]


@pytest.mark.parametrize("name", ["", "pete", "abcdefghijklmnop"])
@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("delay_ms", [0, 500, 1000, 30_000, 60_000, 900_000])
def test_every_row_lines_up_with_the_rule(name: str, on: bool, delay_ms: int) -> None:
    row = screens.plug_row(IPS, Outlet(8, name, on, delay_ms, not on), False)
    rule = screens.rule(IPS.columns)
    assert len(row) == len(rule) == len(screens.header(IPS.columns))
    bars = [index for index, character in enumerate(rule) if character == "+"]
    assert [index for index, character in enumerate(row) if character == "|"] == bars


def test_a_name_begins_where_wti_nps_reads_sixteen_characters() -> None:
    row = screens.plug_row(IPS, Outlet(3, "abcdefghijklmnop"), False)
    assert row[row.index("| ") + 2 :][:16] == "abcdefghijklmnop"


def test_help_ends_with_the_prompt() -> None:
    said = logged_in().type("/h\r")
    assert "/OFF <n>" in said
    assert said.endswith("IPS> ")


# --- login -----------------------------------------------------------------------------------------------


def test_the_first_bytes_offer_echo_and_suppress_go_ahead() -> None:
    assert Bench("changeme").connect().startswith(b"\xff\xfb\x01\xff\xfb\x03")


def test_without_a_system_password_nobody_is_asked() -> None:
    assert b"Password:" not in Bench().connect().split(b"Site ID")[0]


def test_right_password_is_not_echoed_and_shows_the_status_screen() -> None:
    bench = Bench("changeme")
    assert bench.connect().endswith(b"Password: ")
    said = bench.type("changeme\r\n")
    assert "changeme" not in said
    assert "Internet Power Switch v1.41h" in said
    assert said.endswith("IPS> ")
    assert bench.event_names() == ["connect", "login"]


def test_a_password_that_is_not_ascii_is_typed_as_utf_8() -> None:
    bench = Bench("pässwört")
    bench.connect()
    assert bench.type("pässwört\r").endswith("IPS> ")
    bench = Bench("pässwört")
    bench.connect()
    assert "Invalid password" in bench.type("pässwört\r".encode("latin-1"))


def test_password_is_case_sensitive_and_three_attempts_end_the_session() -> None:
    bench = Bench("changeme")
    bench.connect()
    assert "Invalid password" in bench.type("CHANGEME\r")
    assert bench.type("secret2\r").endswith("Password: ")
    assert "Invalid password" in bench.type("\r")
    assert bench.hung_up
    assert bench.device.accepting()


def test_no_password_is_ever_in_an_event() -> None:
    bench = Bench("changeme")
    bench.connect()
    bench.type("wrongsecret\r")
    bench.type("changeme\r")
    bench.type("changeme\r")  # once more, at the prompt
    logged = repr(bench.events)
    assert "changeme" not in logged
    assert "wrongsecret" not in logged
    assert bench.event_names()[-1] == "invalid_command"


# --- commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "off"),
    [
        ("/OFF 2,Y", [2]),
        ("/off 2,y", [2]),
        ("/Off 2 ,y", [2]),
        ("/Off 2 5 ,y", [2, 5]),
        ("/off 1+3,y", [1, 3]),
        ("/off 1,3,y", [1, 3]),
        ("/off 2:4,y", [2, 3, 4]),
        ("/off *,y", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("/off pete,y", [1]),
        ("/off MCLAWS,y", [2, 5]),
        ("/off pete+8,y", [1, 8]),
        ("  /off 3 , Y  ", [3]),
    ],
)
def test_plug_lists(line: str, off: list[int]) -> None:
    bench = logged_in(p1="pete", p2="mclaws", p5="mclaws")
    said = bench.type(line + "\r") + bench.run()
    assert [number for number in range(1, 9) if bench.state(number) == "off"] == off
    assert "Processing - please wait or <CR> to continue..." in said
    assert "(Y/N)" not in said
    assert said.endswith("IPS> ")


@pytest.mark.parametrize(
    "line", ["/off 9,y", "/off 0,y", "/off nobody,y", "/off ,y", "/off", "/off 1+9,y", "/off 4:2,y"]
)
def test_a_bad_plug_list_switches_nothing(line: str) -> None:
    bench = logged_in(p1="pete")
    assert "Invalid plug" in bench.type(line + "\r")
    assert bench.moves == []


@pytest.mark.parametrize("line", ["off 1", "/SG", "/reboot 1", "hello", "/S 1", "/S,Y", "/", "/1"])
def test_what_is_not_a_command(line: str) -> None:
    bench = logged_in()
    said = bench.type(line + "\r")
    assert "Invalid command" in said
    assert said.endswith("IPS> ")


@pytest.mark.parametrize("end", ["\r", "\r\n", "\r\0"])
def test_each_line_end_gives_exactly_one_prompt(end: str) -> None:
    assert logged_in().type("/S" + end).count("IPS>") == 1


def test_line_feed_alone_does_not_end_a_line() -> None:
    assert "IPS>" not in logged_in().type("/S\n")


def test_typing_is_echoed_and_backspace_takes_it_back() -> None:
    bench = logged_in()
    assert bench.type("/X\x08S") == "/X\b \bS"
    assert "Plug | Name" in bench.type("\r")


def test_without_y_the_device_asks_and_names_the_plugs() -> None:
    bench = logged_in(p1="pete")
    said = bench.type("/off pete\r")
    assert "Plugs to be turned Off:" in said
    assert "Plug 1: pete" in said
    assert said.endswith("Are you sure? (Y/N): ")
    assert bench.moves == []
    assert bench.type("n\r").endswith("IPS> ")
    assert bench.state(1) == "on"
    bench.type("/off pete\r")
    bench.type("Y\r")
    assert bench.state(1) == "off"


def test_exit_asks_unless_told_y() -> None:
    bench = logged_in()
    assert bench.type("/x\r").endswith("(Y/N): ")
    assert not bench.hung_up
    bench.type("y\r")
    assert bench.hung_up
    bench.connect()
    bench.type("/x,y\r")
    assert bench.hung_up


# --- relays and time -------------------------------------------------------------------------------------


def test_the_screen_shows_off_only_after_the_relay_has_moved() -> None:
    bench = logged_in(p1="pete")
    bench.hold = True
    said = bench.type("/off 1,y\r")
    assert "IPS>" not in said
    assert bench.state(1) == "on"
    assert "   ON   " in bench.type("\r").split("\r\n")[6]  # <CR> to continue: the truth so far
    bench.device.switched(bench.now_ms, True)
    assert "  OFF   " in bench.type("/S\r").split("\r\n")[6]


def test_while_power_may_be_coming_the_screen_says_on_and_so_does_what_is_stored() -> None:
    """A client that lost its connection, or a crash, must not make an outlet read OFF whose machine is starting."""
    bench = Bench(p1="pete")
    bench.device.outlet(1).on = False
    bench.hold = True
    bench.device.order(bench.now_ms, "on", [1])
    effects = bench.device.take()
    assert bench.device.outlet(1).on
    assert effects.index(Store()) < effects.index(Switch(1, True))
    bench.device.switched(bench.now_ms, False)
    assert not bench.device.outlet(1).on
    assert Store() in bench.device.take()


def test_a_relay_command_that_fails_leaves_the_old_state() -> None:
    bench = logged_in()
    bench.relay_ok = False
    assert bench.type("/off 1,y\r").endswith("IPS> ")
    assert bench.state(1) == "on"
    assert "switch_failed" in bench.event_names()


def test_boot_holds_the_plug_off_for_its_delay() -> None:
    bench = logged_in()
    assert "IPS>" not in bench.type("/boot 3,y\r")
    assert bench.state(3) == "off"
    assert bench.run().endswith("IPS> ")
    assert bench.moves == [(1000, 3, "off"), (1500, 3, "on")]


def test_delays_between_plugs_follow_the_guides_example() -> None:
    """IPS user's guide 5.3.3.2: delays 1 s, 2 s, 5 s, 1 min on plugs 1 to 4; /BO is /BOOT."""
    bench = logged_in()
    for number, delay_ms in enumerate((1_000, 2_000, 5_000, 60_000), start=1):
        bench.device.outlet(number).delay_ms = delay_ms
    bench.now_ms = 0
    bench.type("/off 1:4,y\r")
    bench.run()
    assert [(at, n) for at, n, _ in bench.moves] == [(0, 1), (1_000, 2), (3_000, 3), (8_000, 4)]
    bench.moves.clear()
    bench.type("/on 1:4,y\r")
    bench.run()
    bench.moves.clear()
    bench.now_ms = 0
    bench.type("/bo 1:4,y\r")
    bench.run()
    assert bench.moves[:4] == [(0, number, "off") for number in (1, 2, 3, 4)]
    assert bench.moves[4:] == [(1_000, 1, "on"), (4_000, 2, "on"), (11_000, 3, "on"), (76_000, 4, "on")]


def test_relays_go_on_when_the_session_is_lost() -> None:
    bench = logged_in()
    bench.type("/boot 3,y\r")
    bench.device.disconnected(bench.now_ms)
    bench.run()
    assert bench.state(3) == "on"
    assert len(bench.moves) == 2
    assert bench.device.accepting()


def test_a_lost_sessions_job_does_not_print_into_the_next_session() -> None:
    bench = logged_in()
    bench.type("/boot 3,y\r")
    bench.device.disconnected(bench.now_ms)
    bench.connect()
    assert bench.run() == ""


def test_idle_session_is_disconnected_but_not_one_that_waits_for_relays() -> None:
    bench = logged_in()
    bench.device.outlet(1).delay_ms = 300_000
    bench.type("/boot 1,y\r")
    assert bench.device.deadline_ms() == bench.now_ms + 300_000
    bench.run()
    assert not bench.hung_up
    bench.now_ms = bench.device.deadline_ms() or 0
    bench.device.handle(bench.now_ms)
    bench.drain()
    assert bench.hung_up
    assert bench.events[-1].fields["reason"] == "timeout"


def test_one_session_at_a_time() -> None:
    bench = Bench()
    assert bench.device.accepting()
    bench.connect()
    assert not bench.device.accepting()
    with pytest.raises(RuntimeError):
        bench.device.connect(0, "192.0.2.2:1")


def test_the_button_switches_without_a_session() -> None:
    bench = Bench()
    bench.device.press(0, 4, False)
    bench.drain()
    assert bench.state(4) == "off"
    assert bench.event_names() == ["button", "switched"]


# --- faults ----------------------------------------------------------------------------------------------


def test_stuck_accepts_the_command_and_tells_the_truth() -> None:
    bench = logged_in()
    bench.device.faults.set("stuck", [1])
    said = bench.type("/off 1+2,y\r") + bench.run()
    assert "Processing" in said
    assert (bench.state(1), bench.state(2)) == ("on", "off")
    rows = [line for line in said.split("\r\n") if line.startswith((" 1 ", " 2 "))]
    assert ["   ON   " in rows[0], "  OFF   " in rows[1]] == [True, True]
    bench.device.faults.clear("stuck")
    bench.type("/off 1,y\r")
    assert bench.state(1) == "off"


def test_slow_delays_the_relay_and_the_prompt() -> None:
    bench = logged_in()
    bench.device.faults.set("slow", [1], 7_000)
    assert "IPS>" not in bench.type("/off 1,y\r")
    assert bench.state(1) == "on"
    assert bench.run().endswith("IPS> ")
    assert bench.moves == [(8_000, 1, "off")]


def test_mute_says_and_hears_nothing() -> None:
    bench = Bench()
    bench.device.faults.set("mute")
    assert bench.connect() == b""
    assert bench.type("/off 1,y\r") == ""
    assert bench.state(1) == "on"


def test_refuse_takes_no_new_session() -> None:
    bench = Bench()
    bench.device.faults.set("refuse")
    assert not bench.device.accepting()
    bench.device.faults.clear()
    assert bench.device.accepting()


def test_garbage_spares_prompts_only_and_carries_commands_out() -> None:
    bench = Bench("changeme")
    bench.device.faults.set("garbage")
    assert bench.connect().endswith(b"Password: ")
    said = bench.type("changeme\r")
    assert "Plug" not in said
    assert said.endswith("IPS> ")
    bench.type("/off 1,y\r")
    assert bench.state(1) == "off"


def test_drop_cuts_the_line_and_switches() -> None:
    bench = logged_in()
    bench.device.faults.set("drop")
    bench.type("/S\r")
    assert not bench.hung_up
    said = bench.type("/off 1,y\r")
    assert bench.hung_up
    assert "OFF   |" not in said
    assert bench.state(1) == "off"


# --- anything at all -------------------------------------------------------------------------------------

COMMANDS = "/off 1,y|/on *|/boot 2+3,y|/S|/x|/d,y|/r|/t|y|n|q||/g|/f|/p1|/pl 1|/n|1|5|word|-|wrong"
KEYS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([*(line.encode() + b"\r" for line in COMMANDS.split("|")), b"\x1b", b"\xff\xfd\x00"]),
)


@settings(deadline=None)  # the machine that runs the tests may be busy
@given(
    st.sampled_from(list(VARIANTS.values())),
    st.lists(st.tuples(KEYS, st.booleans()), max_size=15),
    st.sampled_from([None, *WHOLE_DEVICE]),
    st.booleans(),
)
def test_whatever_is_typed_on_both_lines_the_device_lives_and_its_relays_come_to_rest(
    variant: Variant, keys: list[tuple[bytes, bool]], fault: str | None, relay_ok: bool
) -> None:
    bench = Bench(variant=variant)
    bench.relay_ok = relay_ok
    if fault is not None:
        bench.device.faults.set(fault, count=3 if fault == "lockout" else None)
    for key, on_console in keys:
        if on_console:
            bench.device.console(bench.now_ms, key)
        else:
            if bench.device.accepting():
                bench.connect()
            bench.device.receive(bench.now_ms, key)
        bench.drain()
    bench.run()
    assert bench.device.view()["busy"] is False
    moved = {number: to for _, number, to in bench.moves if relay_ok}
    for number in range(1, variant.plug_count + 1):
        assert bench.state(number) == moved.get(number, "on")
