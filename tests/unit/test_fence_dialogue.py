"""The dialogue with a WTI switch, fed with conversations from the literature (tests/data/wti)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.fence import wti
from failover_kit.fence.prompts import names_exactly
from failover_kit.fence.screens import PlugRow, PlugState
from failover_kit.fence.secret import Secret
from failover_kit.fence.wti import (
    DeviceBusy,
    Dialogue,
    Event,
    GroupsRead,
    LoggedIn,
    LoginDenied,
    Refused,
    StatusRead,
    Switched,
)

DATA = os.path.join(os.path.dirname(__file__), "..", "data", "wti")
CONVERSATIONS = sorted(name for name in os.listdir(DATA) if name.endswith(".txt"))
ON, OFF = PlugState.ON, PlugState.OFF


@dataclass(frozen=True)
class Turn:
    """What the device says, and what we answer to it ("" at the end of a file)."""

    heard: str
    sent: str


def conversation(name: str, eol: str = "\r\n") -> list[Turn]:
    turns, heard = [], ""
    with open(os.path.join(DATA, name), encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("<- "):
                heard += re.sub("_$", " ", line[3:])
            elif line.startswith("<"):
                heard += line[2:] + eol
            elif line.startswith(">"):
                turns.append(Turn(heard, line[2:]))
                heard = ""
    return [*turns, Turn(heard, "")] if heard else turns


def dialogue(**options: Any) -> Dialogue:
    return Dialogue(username="operator", password=Secret("changeme"), **options)


def ask(talk: Dialogue, command: str) -> None:
    """Make the request that a transcript's command line stands for; what is an answer comes by itself."""
    if command == "/S":
        talk.request_status()
    elif command == "/SG":
        talk.request_groups()
    elif command == "/X,Y":
        assert talk.request_logout()
    elif match := re.fullmatch(r"/(ON|OFF) (\d+),Y", command):
        talk.request_switch(int(match[2]), on=match[1] == "ON")


def wire(sent: str) -> bytes:
    """The bytes a line of a transcript stands for; an empty one is what a pager gets."""
    return {"(wake)": b"\r", "(escape)": b"\x1b", "/S again": b"/S\r"}.get(sent, sent.encode() + b"\r")


def play(turns: list[Turn], cuts: list[int] | None = None) -> list[Event]:
    """Run the conversation; ``cuts`` gives the sizes of the pieces (used up round robin)."""
    serial = turns[0].sent == "(wake)"
    talk, events, used = dialogue(telnet=not serial, wake=serial), [], 0
    for turn in turns:
        data, position = turn.heard.encode("latin-1"), 0
        while position < len(data):
            size = cuts[used % len(cuts)] if cuts else len(data)
            used += 1
            events += talk.receive(data[position : position + size])
            position += size
        ask(talk, turn.sent)
        if turn is not turns[-1] or turn.sent:
            assert talk.take_output() == wire(turn.sent)
    return events


IPS800 = "1 pete ON, 2  ON, 3  OFF, 4  ON, 5 mclaws ON, 6  ON, 7  ON, 8  ON"
INFEEDS = ", ".join(
    f"{n} Infeed{'AB'[n > 8]}_Outlet{(n - 1) % 8 + 1} {'OFF' if 7 <= n <= 13 else 'ON'}" for n in range(1, 17)
)
GROUPS = "groups pete=1+2 Dept_B=5"
GROUPED = "1 pete_left ON, 2 pete_right OFF, 5  ON"
# What each conversation comes to, after the login.
TOLD = {
    "emulator-v1.01-bars.txt": ["1 Tuner_1 ON, 2 Tuner_2 ON, 3 Tuner_3 ON, 4  OFF, 5  OFF"],
    "ips1600-confirm-exit.txt": ["switched 6 off", "6 RG OFF, 11  ON"],
    "ips4-v1.10.txt": ["1 a-name-of-up-to-thirty-two-chars ON, 2  OFF"],
    "ips400-v1.41d.txt": ["1  ON, 2 fourteenletter OFF, 3  ON, 4  ON"],
    "ips800-v1.41h.txt": [IPS800],
    "mpc-v1.40-groups.txt": [GROUPS, GROUPED],
    "nbb-1600.txt": ["1 pete ON, 2 mclaws OFF"],
    "nps-115.txt": ["1 pete ON, 2  OFF, 3  ON, 4  ON, 5 mclaws OFF, 6  ON, 7  ON, 8  ON", "switched 1 off"],
    "nps-1600-user.txt": ["1 pete ON, 16 mclaws OFF"],
    "nps-2hd-automated.txt": ["1 pete ON, 2 mclaws ON", "switched 2 off", "1 pete ON, 2 mclaws OFF"],
    "nps-console-menu.txt": ["1 pete ON, 2  OFF"],
    "nps-v2.12-infeeds.txt": ["refused", INFEEDS],
    "nps-v2.12.txt": ["switched 6 on", "5 other OFF, 6 settop ON"],
    "nps-v3.02.txt": ["1 pete ON, 2  OFF"],
    "rpb-plus.txt": ["refused"],
    "rsm-8r4.txt": ["1 pete BUSY, 2 mclaws OFF"],
    "tps-2.txt": ["1 ROUTER ON, 2  OFF", "switched 1 off"],
    "vmr-busy-pager.txt": ["1 pete BUSY, 2 pete OFF, 3 mclaws ON"],
    "vmr-v1.43-groups.txt": [GROUPS, GROUPED],
}
BUSY_CONSOLE = "ips-serial-busy.txt"


def told(event: Event) -> str:
    match event:
        case StatusRead(table):
            return ", ".join(f"{row.number} {row.name} {row.state.value}" for row in table)
        case GroupsRead(groups):
            return " ".join(["groups", *(f"{g.name}={'+'.join(map(str, g.plugs))}" for g in groups)])
        case Switched(plug, on):
            return f"switched {plug} {'on' if on else 'off'}"
        case _:
            return type(event).__name__.lower()


def test_every_conversation_is_told() -> None:
    assert sorted([*TOLD, BUSY_CONSOLE]) == CONVERSATIONS


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("eol", ["\r\n", "\n", "\r", "\r\0", "\n\r"])
def test_the_literature_is_understood(name: str, eol: str) -> None:
    first, *rest = play(conversation(name, eol))
    assert isinstance(first, LoggedIn)
    assert re.fullmatch(r"(IPS|NPS|TPS|NBB|MPC|VMR|RSM|RPB\+)>", first.prompt)
    assert [told(event) for event in rest] == TOLD[name]


def test_a_console_in_use_by_the_network_is_busy() -> None:
    (event,) = play(conversation(BUSY_CONSOLE))
    assert isinstance(event, DeviceBusy)


@settings(deadline=None)
@given(name=st.sampled_from(CONVERSATIONS), cuts=st.lists(st.integers(1, 200), min_size=1))
def test_cuts_in_the_stream_change_nothing(name: str, cuts: list[int]) -> None:
    turns = conversation(name)
    assert play(turns, cuts) == play(turns)


@settings(deadline=None)
@given(name=st.sampled_from(sorted(TOLD)), data=st.data())
def test_a_stream_that_ends_early_is_no_answer(name: str, data: st.DataObject) -> None:
    """Cut anywhere, a conversation comes to a part of what the whole one comes to, and to nothing else."""
    turns = conversation(name)
    last = data.draw(st.integers(0, len(turns) - 1))
    heard = turns[last].heard
    end = data.draw(st.integers(0, len(heard)))
    events = play([*turns[:last], Turn(heard[:end], "")]) if last else []
    assert events == play(turns)[: len(events)]


def logged_in(**options: Any) -> Dialogue:
    talk = dialogue(**options)
    assert talk.receive(b"IPS> ") == [LoggedIn("IPS>")]
    talk.take_output()
    return talk


def reason(events: list[Event]) -> str:
    (event,) = events
    assert isinstance(event, LoginDenied | Refused | DeviceBusy)
    return event.reason


# Login.


def test_a_rejected_password_is_final_and_sent_once() -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    assert talk.take_output() == b"changeme\r"
    assert "Invalid password" in reason(talk.receive(b"\r\nInvalid password\r\nPassword: "))
    assert talk.take_output() == b""
    assert talk.receive(b"Password: IPS> ") == []
    assert talk.request_logout() is False, "a password prompt would take /X,Y for a password"


@pytest.mark.parametrize("word", [b"Password: ", b"\r\nEnter Password: "])
def test_being_asked_again_means_rejected(word: bytes) -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    talk.take_output()
    assert "second time" in reason(talk.receive(word))
    assert talk.take_output() == b""


def test_closing_after_the_password_means_rejected() -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    assert "closed the connection" in reason(talk.closed())


def test_last_words_without_a_line_end_are_heard() -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    talk.receive(b"\r\nInvalid password")
    assert "Invalid password" in reason(talk.closed())


def test_a_device_without_a_password_lets_us_in() -> None:
    assert Dialogue().receive(b"\r\nInternet Power Switch v1.41h\r\n\r\nIPS> ") == [LoggedIn("IPS>")]


def test_a_password_that_is_asked_for_and_missing_is_named() -> None:
    assert "password_file=" in reason(Dialogue().receive(b"Password: "))


def test_a_user_name_that_is_asked_for_and_missing_is_named() -> None:
    assert "username=" in reason(Dialogue(password=Secret("x")).receive(b"Login: "))


def test_last_login_is_no_question() -> None:
    talk = dialogue()
    assert talk.receive(b"Last login: Mon\r\nVMR>") == [LoggedIn("VMR>")]
    assert talk.take_output() == b""


def test_a_taken_session_is_no_rejection() -> None:
    (event,) = dialogue().receive(b"NPS is Busy, Session in Progress\r\n")
    assert isinstance(event, DeviceBusy)


def test_telnet_options_are_answered_and_a_byte_255_is_doubled() -> None:
    talk = Dialogue(password=Secret(b"p\xffw".decode("utf-8", "surrogateescape")))
    talk.receive(b"\xff\xfb\x01\xff\xfb\x03Password: ")
    assert talk.take_output() == b"\xff\xfd\x01\xff\xfd\x03p\xff\xffw\r\n"


def test_a_device_that_talks_without_end_is_given_up() -> None:
    assert "does not end" in reason(dialogue().receive(b"x" * 2000))
    assert "does not end" in reason(dialogue().receive(b"x\r\n" * 40000))


@pytest.mark.parametrize(
    "asks", ["login: ", "vmr8 login: ", "Login Name:  ", "username: ", "User Name :", "Enter Login: "]
)
def test_the_user_name_is_given_once(asks: str) -> None:
    talk = dialogue()
    assert talk.receive(asks.encode()) == []
    assert talk.take_output() == b"operator\r"
    assert "second time" in reason(talk.receive(b"\r\n" + asks.encode()))
    assert talk.take_output() == b""


@pytest.mark.parametrize(
    "words",
    [
        *("Invalid password", "Invalid Password!", "Login incorrect", "Access denied.", "bad password"),
        *("** Wrong password **", "Password incorrect", "Permission denied", "Authentication failed"),
        *("Error: invalid login", "Invalid Access Lockout active", "Port locked for 30 minutes"),
    ],
)
def test_a_rejection_is_known_by_many_words(words: str) -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    assert words in reason(talk.receive(b"\r\n" + words.encode() + b"\r\n"))


def test_a_site_id_that_speaks_of_denial_denies_nothing() -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    banner = b"\r\nInternet Power Switch v1.41h    Site ID: Access denied\r\n\r\nIPS>"
    assert talk.receive(banner) == [LoggedIn("IPS>")]


def test_a_literal_prompt_takes_the_place_of_the_known_ones() -> None:
    talk = dialogue(prompts=["rack 7:", ""])
    assert talk.receive(b"\r\nIPS>\r\n") == []
    assert talk.receive(b"Rack 7: ") == [LoggedIn("Rack 7:")]
    talk.request_status()
    assert talk.receive(b"Plug | Status |\r\n 1 | ON |\r\nIPS> \r\n") == []
    assert talk.receive(b"Rack 7: ") == [StatusRead((PlugRow(1, "", ON),))]


def test_after_the_login_only_its_prompt_counts() -> None:
    talk = logged_in()
    talk.request_status()
    assert talk.receive(b"Plug | Status |\r\n 1 | ON |\r\nNPS> \r\n 2 | OFF |\r\n") == []
    assert talk.receive(b"IPS> ") == [StatusRead((PlugRow(1, "", ON), PlugRow(2, "", OFF)))]


def test_without_telnet_a_byte_255_is_data() -> None:
    talk = Dialogue(password=Secret(b"p\xffw".decode("utf-8", "surrogateescape")), telnet=False)
    assert talk.receive(b"\xff\xfb\x01Password: ") == [], "the bytes before it are noise, not negotiation"
    assert talk.take_output() == b""
    talk.receive(b"\r\nPassword: ")
    assert talk.take_output() == b"p\xffw\r"


# A console that somebody left.


def woken() -> Dialogue:
    talk = dialogue(telnet=False, wake=True)
    assert talk.take_output() == b"\r"
    return talk


def test_an_open_session_on_the_console_is_used() -> None:
    assert woken().receive(b"\r\nNPS> ") == [LoggedIn("NPS>")]


def test_a_half_typed_command_is_an_invalid_one() -> None:
    assert woken().receive(b"\r\nInvalid command\r\n\r\nNPS> ") == [LoggedIn("NPS>")]


def test_a_question_somebody_left_is_answered_no() -> None:
    talk = woken()
    assert talk.receive(b"\r\nPlugs to be turned off:\r\nPlug 5: mclaws\r\nAre you sure? (Y/N): ") == []
    assert talk.take_output() == b"N\r"
    assert talk.receive(b"\r\nNPS> ") == [LoggedIn("NPS>")]


def test_a_menu_is_left_and_gets_no_password() -> None:
    talk = woken()
    for text in ("Enter System Password: ", "Enter New Password: ", "Enter Selection or <ESC> to Exit: "):
        assert talk.receive(b"\r\n" + text.encode()) == []
        assert talk.take_output() == b"\x1b"
    assert talk.receive(b"\r\nPassword: ") == []
    assert talk.take_output() == b"changeme\r"


def test_a_menu_that_will_not_be_left_gets_no_more_keys() -> None:
    talk = woken()
    talk.receive(b"Enter Selection or <ESC> to Exit: \r\n" * 50)
    assert len(talk.take_output()) == 6


def test_a_console_that_fell_asleep_gets_no_command_for_a_password() -> None:
    talk = woken()
    assert talk.receive(b"\r\nNPS> ") == [LoggedIn("NPS>")]
    assert talk.receive(b"\r\nPassword: ") == []
    talk.request_status()
    assert talk.take_output() == b""
    assert "ended the session" in reason(talk.receive(b"\r\n"))
    assert talk.request_logout() is False


def test_on_a_serial_line_a_table_must_come_twice_the_same() -> None:
    talk = woken()
    talk.receive(b"NPS> ")
    talk.request_status()
    shows = [b"OFF", b"O!F", b"ON", b"ON"]
    for at, state in enumerate(shows):
        assert talk.take_output() == b"/S\r"
        events = talk.receive(b"/S\r\nPlug | Status |\r\n 1 | " + state + b" |\r\nNPS> ")
        assert bool(events) is (at == len(shows) - 1)
    assert events == [StatusRead((PlugRow(1, "", ON),))]


def test_a_serial_line_that_never_says_the_same_twice_is_noisy() -> None:
    talk = woken()
    talk.receive(b"NPS> ")
    talk.request_status()
    events = talk.receive(b"Plug | Status |\r\n 1 | ON |\r\nNPS> Plug | Status |\r\n 1 | OFF |\r\nNPS> " * 3)
    assert "noisy" in reason(events)


# Secrets.


def test_the_password_is_in_no_trace_even_when_echoed() -> None:
    talk = dialogue()
    talk.receive(b"Password: ")
    talk.receive(b"changeme\r\nInvalid password changeme\r\n")
    trace = "\n".join(talk.take_trace())
    assert "changeme" not in trace
    assert "sent: ***" in trace


def test_the_password_is_in_no_reason() -> None:
    talk = logged_in()
    talk.request_switch(1, on=False)
    events = talk.receive(b"Invalid command changeme\r\nIPS> ")
    assert "changeme" not in reason(events)
    assert "Invalid command ***" in reason(events)


# Commands.


def test_invalid_command_is_refused() -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    assert talk.take_output() == b"/OFF 3,Y\r"
    assert "Invalid command" in reason(talk.receive(b"/OFF 3,Y\r\nInvalid command\r\nIPS> "))


def test_a_prompt_too_many_is_not_taken_for_an_answer() -> None:
    talk = logged_in()
    talk.request_status()
    assert talk.receive(b"\r\nIPS> \r\nIPS> ") == []
    (event,) = talk.receive(b"Plug | Status |\r\n1 | ON |\r\nIPS> ")
    assert event == StatusRead((PlugRow(1, "", ON),))


def test_a_bare_prompt_after_switching_is_no_more_than_that() -> None:
    talk = logged_in()
    talk.request_switch(3, on=True)
    assert talk.receive(b"IPS>") == [Switched(3, on=True)]


def test_a_device_that_throws_us_out_gets_nothing_more() -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.take_output()
    assert "ended the session" in reason(talk.receive(b"\r\nDisconnected\r\nEnter Password: "))
    assert talk.take_output() == b""
    assert talk.request_logout() is False


def test_groups_are_refused_where_there_are_none() -> None:
    for answer in (b"Invalid command\r\n", b"", b"Plug | Status |\r\n1 | ON |\r\n", b"No groups defined\r\n"):
        talk = logged_in()
        talk.request_groups()
        assert talk.take_output() == b"/SG\r"
        assert "/SG" in reason(talk.receive(b"/SG\r\n" + answer + b"IPS> "))


def test_a_plug_that_vanishes_within_a_session_is_an_error() -> None:
    talk = dialogue()
    talk.receive(b"Plug | Status |\r\n 1 | ON |\r\n 2 | ON |\r\nIPS> ")
    talk.request_status()
    assert "other plugs" in reason(talk.receive(b"/S\r\nPlug | Status |\r\n 1 | ON |\r\nIPS> "))


def test_the_screen_of_the_login_is_no_answer_to_a_status_after_a_command() -> None:
    """Without an echo, and with a prompt before the first screen, only counting tells the two apart."""
    old, new = b"Plug | Status |\r\n 1 | OFF |\r\nIPS> ", b"Plug | Status |\r\n 1 | ON |\r\nIPS> "
    talk = logged_in()
    talk.request_switch(1, on=False)
    assert talk.receive(b"\r\nIPS> ") == [Switched(1, on=False)]
    talk.request_status()
    talk.take_output()
    assert talk.receive(old) == []
    assert talk.take_output() == b"/S\r"
    assert talk.receive(old) == []
    assert talk.receive(new) == [StatusRead((PlugRow(1, "", ON),))]


def test_an_unreadable_table_is_refused() -> None:
    talk = logged_in()
    talk.request_status()
    assert "cells under" in reason(talk.receive(b"Plug | Status |\r\n1 | ON | OFF |\r\nIPS> "))


@pytest.mark.parametrize("plug", [0, -1])
def test_only_plug_numbers_are_sent(plug: int) -> None:
    with pytest.raises(ValueError, match="no plug number"):
        logged_in().request_switch(plug, on=False)


def test_an_endless_pager_ends() -> None:
    talk = logged_in()
    talk.request_status()
    events = talk.receive(b"Plug | Status |\r\n" + b"Enter: \r\n" * 1000)
    assert "pages" in reason(events)
    assert talk.take_output().count(b"\r") == wti.PAGE_LIMIT + 1


def test_leaving_answers_the_question_some_units_ask() -> None:
    talk = logged_in()
    assert talk.request_logout()
    talk.take_output()
    talk.receive(b"/X,Y\r\nAre you sure? (Y/N): ")
    assert talk.take_output() == b"Y\r"
    assert talk.request_logout() is False


def test_a_prompt_too_many_is_no_answer_of_a_device_that_echoes() -> None:
    talk = logged_in()
    talk.request_status()
    talk.receive(b"/S\r\nPlug | Status |\r\n 1 | ON |\r\nIPS> ")
    talk.request_switch(1, on=False)
    assert talk.receive(b"\r\nIPS> ") == []
    assert talk.receive(b"/OFF 1,Y\r\n\r\nIPS> ") == [Switched(1, on=False)]


@pytest.mark.parametrize("site", ["Enter:", "Are you sure? (Y/N)", "Password:", "Press any key to continue"])
def test_a_site_id_is_never_answered(site: str) -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.take_output()
    talk.receive(f"\r\nInternet Power Switch v1.41h    Site ID: {site}\r\n".encode())
    assert talk.take_output() == b""


@pytest.mark.parametrize("name", ["sure?(Y/N)", "(Y/N)", "IPS>", "Password:", "Enter:", "(undefined)"])
def test_the_name_of_a_plug_is_no_question(name: str) -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.take_output()
    assert talk.receive(f"Plugs to be turned off:\r\nPlug 3: {name}\r\n\r\n".encode()) == []
    assert talk.take_output() == b""
    assert talk.receive(b"Are you sure? (Y/N): ") == []
    assert talk.take_output() == b"Y\r"


def test_yes_is_said_once_a_command() -> None:
    question = b"Plugs to be turned off:\r\nPlug 3: a\r\nAre you sure? (Y/N)\r\n"
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.take_output()
    assert "something else" in reason(talk.receive(question * 2))
    assert talk.take_output() == b"Y\rN\r"


def test_leaving_in_the_middle_of_something_is_said_again() -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    assert talk.request_logout()
    talk.take_output()
    talk.receive(b"Processing - Please wait or <CR> to continue...\r\n\r\nIPS> ")
    assert talk.take_output() == b"/X,Y\r"
    talk.receive(b"\r\nIPS> \r\nIPS> ")
    assert talk.take_output() == b"", "and no more often"


def test_leaving_says_no_to_a_question_about_plugs_and_leaves_then() -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.receive(b"/OFF 3,Y\r\nPlugs to be turned off:\r\nPlug 3: pete\r\n")
    assert talk.request_logout()
    talk.take_output()
    talk.receive(b"Are you sure? (Y/N): ")
    assert talk.take_output() == b"N\r", "the operation was given up; it must not be done now"
    talk.receive(b"\r\nIPS> ")
    assert talk.take_output() == b"/X,Y\r"
    talk.receive(b"/X,Y\r\nAre you sure? (Y/N): ")
    assert talk.take_output() == b"Y\r"


# The question.


def question(*lines: str, command: str = "/OFF 3,Y", plug: int = 3, on: bool = False) -> bool:
    return names_exactly(lines, command, plug, on=on)


SURE = "Are you sure? (Y/N)"


def test_a_question_about_our_plug_is_understood() -> None:
    assert question("/OFF 3,Y", "Plugs to be turned off:", "Plug 3: pete", SURE)
    assert question("IPS> /off 3,y", " Plug 3", SURE)
    assert question("Plugs to be turned Off", "Plug 3: (Y/N)", "Sure? (Y/N)")


@pytest.mark.parametrize(
    "lines",
    [
        [SURE],
        ["Plugs to be turned off:", SURE],
        ["Plugs to be turned off:", "Plug 5: mclaws", SURE],
        ["Plugs to be turned off:", "Plug 3: pete", "Plug 5: mclaws", SURE],
        ["Plugs to be turned off:", "Plug 3: pete", "     5: mclaws", SURE],
        ["Plugs to be turned on:", "Plug 3: pete", SURE],
        ["/OFF 3,Y", "Plugs to be turned on:", "Plug 3: pete", SURE],
        ["Plug 3: pete", SURE],
        ["/OFF 3,Y", SURE],
        ["Plugs to be turned off:", "Plug A3: pete", SURE],
        ["Plugs to be turned off:", "Plug 33: pete", SURE],
        ["Plugs to be turned off:", "Plug 3: pete", "Plug 3: pete", SURE],
        ["Plug 3: pete", "All other plugs will reboot.", SURE],
        ["Plug 3: pete", "Set all plugs to defaults? (Y/N)"],
        ["/OFF 5,Y", "Plug 3: pete", SURE],
    ],
)
def test_any_other_question_is_not_ours(lines: list[str]) -> None:
    assert not question(*lines)


def test_a_question_about_another_plug_is_answered_no() -> None:
    talk = logged_in()
    talk.request_switch(3, on=False)
    talk.take_output()
    events = talk.receive(b"Plugs to be turned off:\r\nPlug 3: a\r\nPlug 4: b\r\nAre you sure? (Y/N): ")
    assert "asks about something else" in reason(events)
    assert talk.take_output() == b"N\r"


def test_no_piece_of_an_echoed_password_is_quoted() -> None:
    dialogue = Dialogue(password=Secret("s3'cret"))
    dialogue.receive(b"Password: ")
    dialogue.receive(b"\r\nIPS> ")
    dialogue.request_status()
    line = b"x" * 118 + b"s3'cret | y"
    (event,) = dialogue.receive(b"Plug | Name | Status |\r\n" + line + b"\r\nIPS> ")
    assert isinstance(event, Refused)
    assert "s3" not in event.reason
    assert "***" in event.reason
