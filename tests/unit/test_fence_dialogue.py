"""The dialogue with a WTI switch, fed with conversations from the literature (tests/data/wti)."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass

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
    LoggedIn,
    LoginDenied,
    Refused,
    StatusRead,
    Switched,
)

DATA = os.path.join(os.path.dirname(__file__), "..", "data", "wti")
CONVERSATIONS = sorted(name for name in os.listdir(DATA) if name.endswith(".txt"))
ON, OFF, BUSY = PlugState.ON, PlugState.OFF, PlugState.BUSY


@dataclass(frozen=True)
class Turn:
    """What the device says, and what we answer to it."""

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
    return turns


def dialogue() -> Dialogue:
    return Dialogue(username="operator", password=Secret("changeme"))


def ask(talk: Dialogue, command: str) -> None:
    """Make the request that a transcript's command line stands for; logins answer by themselves."""
    if command == "/S":
        talk.request_status()
    elif command == "/X,Y":
        assert talk.request_logout()
    elif match := re.fullmatch(r"/(ON|OFF) (\d+),Y", command):
        talk.request_switch(int(match[2]), on=match[1] == "ON")


def play(turns: list[Turn], cuts: list[int] | None = None) -> list[Event]:
    """Run the conversation; ``cuts`` gives the sizes of the pieces (used up round robin)."""
    talk, events, used = dialogue(), [], 0
    for turn in turns:
        data, position = turn.heard.encode("latin-1"), 0
        while position < len(data):
            size = cuts[used % len(cuts)] if cuts else len(data)
            used += 1
            events += talk.receive(data[position : position + size])
            position += size
        ask(talk, turn.sent)
        assert talk.take_output() == turn.sent.encode() + b"\r"
    return events


TABLES = {
    "ips800-v1.41h.txt": "1 pete ON, 2  ON, 3  OFF, 4  ON, 5 mclaws ON, 6  ON, 7  ON, 8  ON",
    "ips400-v1.41d.txt": "1  ON, 2 fourteenletter OFF, 3  ON, 4  ON",
    "nps-v2.12.txt": "5 other OFF, 6 settop ON",
    "ips4-v1.10.txt": "1 a-name-of-up-to-thirty-two-chars ON, 2  OFF",
    "nps-v3.02.txt": "1 pete ON, 2  OFF",
    "emulator-v1.01-bars.txt": "1 Tuner_1 ON, 2 Tuner_2 ON, 3 Tuner_3 ON, 4  OFF, 5  OFF",
    "vmr-busy-pager.txt": "1 pete BUSY, 2 pete OFF, 3 mclaws ON",
}


def shown(table: tuple[PlugRow, ...]) -> str:
    return ", ".join(f"{row.number} {row.name} {row.state.value}" for row in table)


def test_every_conversation_has_its_table() -> None:
    assert sorted(TABLES) == CONVERSATIONS


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("eol", ["\r\n", "\n", "\r", "\r\0", "\n\r"])
def test_the_literature_is_understood(name: str, eol: str) -> None:
    events = play(conversation(name, eol))
    assert isinstance(events[0], LoggedIn)
    last = events[-1]
    assert isinstance(last, StatusRead)
    assert shown(last.table) == TABLES[name]


@given(name=st.sampled_from(CONVERSATIONS), cuts=st.lists(st.integers(1, 200), min_size=1))
def test_cuts_in_the_stream_change_nothing(name: str, cuts: list[int]) -> None:
    turns = conversation(name)
    assert play(turns, cuts) == play(turns)


NO_BAR = st.text(st.characters(blacklist_characters="|", max_codepoint=255), max_size=60)


@settings(max_examples=300)
@given(
    name=st.sampled_from(CONVERSATIONS),
    garbage=st.dictionaries(
        st.integers(0, 40), NO_BAR | st.sampled_from(["IPS>", "Enter: ", "Invalid command", "?"])
    ),
    cuts=st.lists(st.integers(1, 100), min_size=1),
)
def test_garbage_between_lines_gives_no_wrong_answer(name: str, garbage: dict[int, str], cuts: list[int]) -> None:
    """Whatever stands between the lines of a status screen, a plug is never shown in a state it is not in."""
    screen = next(turn.heard for before, turn in pairs(conversation(name)) if before.sent == "/S")
    lines = screen.split("\r\n")
    noisy = "\r\n".join(
        part for at, line in enumerate(lines) for part in (*([garbage[at]] if at in garbage else []), line)
    )
    talk = logged_in()
    talk.request_status()
    data = noisy.encode("latin-1")
    events: list[Event] = []
    position = 0
    for size in cuts * (len(data) // len(cuts) + 1):
        events += talk.receive(data[position : position + size])
        position += size
    truth = TABLES[name].split(", ")
    for event in events:
        assert isinstance(event, StatusRead | Refused)
        if isinstance(event, StatusRead):
            assert set(shown(event.table).split(", ")) <= set(truth)


def pairs(turns: list[Turn]) -> list[tuple[Turn, Turn]]:
    return list(itertools.pairwise(turns))


@given(name=st.sampled_from(CONVERSATIONS), data=st.data())
def test_a_stream_that_ends_early_is_no_answer(name: str, data: st.DataObject) -> None:
    screen = next(turn.heard for before, turn in pairs(conversation(name)) if before.sent == "/S")
    end = data.draw(st.integers(0, screen.rindex(">") if ">" in screen else len(screen)))
    talk = logged_in()
    talk.request_status()
    assert talk.receive(screen[:end].encode()) == []
    assert talk.closed() == []


def logged_in() -> Dialogue:
    talk = dialogue()
    assert talk.receive(b"IPS> ") == [LoggedIn("IPS>")]
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


# The question.


def question(*lines: str, command: str = "/OFF 3,Y", plug: int = 3, on: bool = False) -> bool:
    return names_exactly(lines, command, plug, on=on)


SURE = "Are you sure? (Y/N)"


def test_a_question_about_our_plug_is_understood() -> None:
    assert question("/OFF 3,Y", "Plugs to be turned off:", "Plug 3: pete", SURE)
    assert question("IPS> /off 3,y", " Plug 3", SURE)


@pytest.mark.parametrize(
    "lines",
    [
        [SURE],
        ["Plugs to be turned off:", SURE],
        ["Plugs to be turned off:", "Plug 5: mclaws", SURE],
        ["Plugs to be turned off:", "Plug 3: pete", "Plug 5: mclaws", SURE],
        ["Plugs to be turned off:", "Plug 3: pete", "     5: mclaws", SURE],
        ["Plugs to be turned on:", "Plug 3: pete", SURE],
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
