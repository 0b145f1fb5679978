"""Telnet options taken out of the stream and refused once each (RFC 854)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.emulator.telnet import DO, DONT, IAC, SB, SE, WILL, WONT, TelnetServer

BINARY, ECHO, TERMINAL_TYPE = 0, 1, 24


def test_options_are_removed_and_refused() -> None:
    typed, reply = TelnetServer().receive(bytes((65, IAC, DO, BINARY, IAC, WILL, TERMINAL_TYPE, 66)))
    assert typed == b"AB"
    assert reply == bytes((IAC, WONT, BINARY, IAC, DONT, TERMINAL_TYPE))


def test_our_own_offer_is_not_answered_when_accepted() -> None:
    assert TelnetServer().receive(bytes((IAC, DO, ECHO))) == (b"", b"")


def test_a_refused_offer_is_acknowledged_once() -> None:
    server = TelnetServer()
    assert server.receive(bytes((IAC, DONT, ECHO)))[1] == bytes((IAC, WONT, ECHO))
    assert server.receive(bytes((IAC, DONT, ECHO)))[1] == b""


def test_a_repeated_request_is_answered_once() -> None:
    server = TelnetServer()
    assert server.receive(bytes((IAC, DO, BINARY)) * 3)[1] == bytes((IAC, WONT, BINARY))


def test_subnegotiation_vanishes_and_doubled_iac_is_data() -> None:
    stream = b"a" + bytes((IAC, SB, TERMINAL_TYPE, 0)) + b"xterm" + bytes((IAC, IAC, IAC, SE)) + b"b\xff\xffc"
    assert TelnetServer().receive(stream) == (b"ab\xffc", b"")


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(min_value=0, max_value=60))
def test_the_cut_between_two_reads_does_not_matter(stream: bytes, cut: int) -> None:
    whole, parts = TelnetServer(), TelnetServer()
    first, second = parts.receive(stream[:cut]), parts.receive(stream[cut:])
    assert whole.receive(stream) == (first[0] + second[0], first[1] + second[1])
