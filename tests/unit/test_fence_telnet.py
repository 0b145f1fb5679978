"""The telnet option layer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.fence.telnet import DO, DONT, IAC, SB, SE, WILL, WONT, TelnetFilter, escape

ECHO, SGA, TTYPE, LINEMODE = 1, 3, 24, 34


@pytest.mark.parametrize(
    ("device", "answer"),
    [
        ((WILL, ECHO), (DO, ECHO)),
        ((WILL, SGA), (DO, SGA)),
        ((DO, SGA), (WILL, SGA)),
        ((DO, TTYPE), (WONT, TTYPE)),
        ((DO, ECHO), (WONT, ECHO)),
        ((WILL, LINEMODE), (DONT, LINEMODE)),
    ],
)
def test_options_are_accepted_or_refused(device: tuple[int, int], answer: tuple[int, int]) -> None:
    assert TelnetFilter().receive(bytes((IAC, *device))) == (b"", bytes((IAC, *answer)))


def test_a_request_that_changes_nothing_is_not_answered() -> None:
    telnet = TelnetFilter()
    telnet.receive(bytes((IAC, WILL, ECHO)))
    assert telnet.receive(bytes((IAC, WILL, ECHO))) == (b"", b"")
    assert telnet.receive(bytes((IAC, WONT, ECHO))) == (b"", bytes((IAC, DONT, ECHO)))
    assert telnet.receive(bytes((IAC, WONT, ECHO))) == (b"", b"")


def test_subnegotiations_and_other_commands_are_dropped() -> None:
    data = b"a" + bytes((IAC, SB, TTYPE, 1, IAC, IAC, 7, IAC, SE)) + b"b" + bytes((IAC, 241)) + b"c"
    assert TelnetFilter().receive(data) == (b"abc", b"")


def test_a_subnegotiation_cut_anywhere_and_a_go_ahead_leave_the_text_alone() -> None:
    telnet = TelnetFilter()
    data = b"IP" + bytes((IAC, SB, 31, 0, IAC, IAC, 0, IAC, SE, IAC, 249)) + b"S> "
    assert b"".join(telnet.receive(data[at : at + 1])[0] for at in range(len(data))) == b"IPS> "
    assert not telnet.spoken, "nothing was negotiated: our lines end with a bare CR"


def test_a_device_that_refuses_what_it_offered_is_answered_once_a_change() -> None:
    telnet = TelnetFilter()
    told = b"".join(telnet.receive(bytes((IAC, verb, SGA)))[1] for verb in (DO, DO, DONT, DONT, DO))
    assert told == bytes((IAC, WILL, SGA, IAC, WONT, SGA, IAC, WILL, SGA))


@settings(deadline=None)
@given(st.binary())
def test_escaped_data_comes_through_unchanged(data: bytes) -> None:
    assert TelnetFilter().receive(escape(data)) == (data, b"")


@settings(deadline=None)
@given(st.binary(), st.data())
def test_cuts_in_the_stream_change_nothing(data: bytes, draw: st.DataObject) -> None:
    whole = TelnetFilter().receive(data)
    telnet, text, answers, position = TelnetFilter(), b"", b"", 0
    while position < len(data):
        step = draw.draw(st.integers(1, len(data) - position))
        part = telnet.receive(data[position : position + step])
        text, answers, position = text + part[0], answers + part[1], position + step
    assert (text, answers) == whole
