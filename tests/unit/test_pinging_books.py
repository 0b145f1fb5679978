"""The books about echoes: what is reached, what is not known, and which packets are answers."""

from __future__ import annotations

import pytest

from failover_kit.manager.config import PingNode
from failover_kit.manager.events import PingsSeen
from failover_kit.manager.pinging import (
    OPEN_ECHOES,
    Pace,
    PingBook,
    checksum,
    echo_reply,
    echo_request,
    pace_of,
)

GATE, ONE, TWO = "192.0.2.1", "198.51.100.1", "198.51.100.2"
NODES = (PingNode(name=GATE, members=(GATE,)), PingNode(name="switches", members=(ONE, TWO)))
PACE = Pace(interval_ms=500, deadping_ms=6_000, quiet_ms=2_000)


class Story:
    """A book, and the time that passes by intervals; ``answering`` are those that answer at once."""

    def __init__(self) -> None:
        self.book = PingBook(NODES, PACE)
        self.now_ms = 0

    def run(self, duration_ms: int, *answering: str) -> PingsSeen:
        for _ in range(duration_ms // PACE.interval_ms):
            for address in (GATE, ONE, TWO):
                sequence = self.book.asked(address, b"payload", self.now_ms)
                if address in answering:
                    assert self.book.answered(address, sequence, b"payload")
            self.now_ms += PACE.interval_ms
        return self.book.seen(self.now_ms)


def test_nothing_is_known_before_the_first_answer_or_deadping() -> None:
    story = Story()
    assert story.run(0) == PingsSeen((None, None))
    assert story.run(5_500, ONE) == PingsSeen((None, True))
    assert story.run(500, ONE) == PingsSeen((False, True))


def test_a_group_is_reached_while_any_of_it_answers() -> None:
    story = Story()
    assert story.run(6_000, GATE, TWO).reached == (True, True)
    assert story.run(6_000, GATE, ONE).reached == (True, True)
    assert story.run(5_000, GATE).reached == (True, True)
    assert story.run(1_000, GATE).reached == (True, False)
    assert story.run(500, GATE, TWO).reached == (True, True)


def test_quiet_is_told_sooner_and_only_of_what_answered_before() -> None:
    never, story = Story(), Story()
    assert never.run(20_000) == PingsSeen((False, False), quiet=False)
    story.run(3_000, GATE)
    assert not story.run(1_000).quiet
    assert story.run(500) == PingsSeen((True, None), quiet=True)
    assert not story.run(500, TWO).quiet


def test_a_late_answer_proves_what_was_when_its_echo_was_sent() -> None:
    book = PingBook(NODES[:1], PACE)
    sequence = book.asked(GATE, b"early", 0)
    assert book.answered(GATE, sequence, b"early")  # it comes at 5.9 s
    assert book.seen(5_900).reached == (True,)
    assert book.seen(6_000).reached == (False,)
    newer = book.asked(GATE, b"newer", 7_000)
    older = book.asked(GATE, b"older", 6_500)
    assert book.answered(GATE, newer, b"newer") and book.answered(GATE, older, b"older")
    assert book.seen(12_900).reached == (True,)  # the older answer does not replace the newer one


@pytest.mark.parametrize(
    ("address", "sequence", "payload"),
    [(GATE, 1, b"forged"), (GATE, 2, b"payload"), (ONE, 1, b"payload"), ("203.0.113.9", 1, b"payload")],
    ids=["another payload", "another number", "from an address not asked", "from a stranger"],
)
def test_what_answers_no_open_echo_is_no_answer(address: str, sequence: int, payload: bytes) -> None:
    book = PingBook(NODES, PACE)
    assert book.asked(GATE, b"payload", 0) == 1
    assert not book.answered(address, sequence, payload)
    assert book.seen(10) == PingsSeen((None, None))


def test_an_echo_is_answered_once_and_old_ones_are_forgotten() -> None:
    book = PingBook(NODES, PACE)
    first = book.asked(GATE, b"first", 0)
    assert book.answered(GATE, first, b"first") and not book.answered(GATE, first, b"first")
    second = book.asked(GATE, b"second", 0)
    for number in range(OPEN_ECHOES):
        book.asked(GATE, b"%d" % number, number)
    assert not book.answered(GATE, second, b"second")


def test_after_a_pause_or_without_a_socket_nothing_is_known() -> None:
    story = Story()
    assert story.run(6_000, ONE).reached == (False, True)
    story.now_ms += 60_000
    story.book.paused(story.now_ms)
    assert story.book.seen(story.now_ms).reached == (None, None)
    assert story.run(6_000).reached == (False, False)
    story.book.not_asked(GATE)
    assert story.book.seen(story.now_ms).reached == (None, False)


def test_sequence_numbers_begin_anew_after_16_bits() -> None:
    book = PingBook(NODES, PACE)
    numbers = {book.asked(GATE, b"", number) for number in range(0x10000 + 3)}
    assert numbers == set(range(0x10000))


@pytest.mark.parametrize(
    ("deadping_ms", "deadtime_ms", "expected"),
    [
        (30_000, 30_000, Pace(1_000, 30_000, 15_000)),
        (10_000, 3_000, Pace(500, 10_000, 1_500)),
        (1_000, 1_000, Pace(200, 1_000, 500)),
        (500, 500, Pace(200, 500, 400)),
    ],
)
def test_the_pace_fits_deadping_and_deadtime(deadping_ms: int, deadtime_ms: int, expected: Pace) -> None:
    assert pace_of(deadping_ms, deadtime_ms) == expected


# --- packets -----------------------------------------------------------------------------------------------

# What ping(8) of iputils 20221126 sent over lo (-c1 -e 4660 -p 6661696c -s 8), and what the kernel answered.
PAYLOAD = b"fail\0\0\0\0"
REQUEST = bytes.fromhex("080015fd123400016661696c00000000")
REPLY = bytes.fromhex("00001dfd123400016661696c00000000")
IP_HEAD = bytes.fromhex("450000242d0a000040014fcd7f0000017f000001")
REQUEST6 = bytes.fromhex("80009db0123400016661696c00000000")
REPLY6 = bytes.fromhex("81009cb0123400016661696c00000000")


def test_an_echo_is_spelled_as_ping_spells_it() -> None:
    assert echo_request(4, 0x1234, 1, PAYLOAD) == REQUEST
    made = echo_request(6, 0x1234, 1, PAYLOAD)
    assert made[:2] + REQUEST6[2:4] + made[4:] == REQUEST6  # the kernel fills in the sum
    assert checksum(echo_request(4, 7, 8, b"odd")) == 0


def test_a_reply_is_read_from_either_kind_of_socket() -> None:
    assert echo_reply(4, REPLY, has_ip_header=False) == (0x1234, 1, PAYLOAD)
    assert echo_reply(4, IP_HEAD + REPLY, has_ip_header=True) == (0x1234, 1, PAYLOAD)
    assert echo_reply(6, REPLY6, has_ip_header=False) == (0x1234, 1, PAYLOAD)


def summed(packet: bytes) -> bytes:
    """With a right checksum."""
    bare = packet[:2] + b"\0\0" + packet[4:]
    return bare[:2] + checksum(bare).to_bytes(2, "big") + bare[4:]


@pytest.mark.parametrize(
    "packet",
    [b"", REPLY[:7], REQUEST, summed(b"\3\1" + REPLY[2:]), summed(b"\0\1" + REPLY[2:])],
    ids=["empty", "short", "a request", "unreachable", "another code"],
)
def test_anything_else_is_no_reply(packet: bytes) -> None:
    assert echo_reply(4, packet, has_ip_header=False) is None
    assert echo_reply(4, IP_HEAD + packet, has_ip_header=True) is None


def test_a_damaged_reply_of_a_raw_socket_is_dropped() -> None:
    for at in range(len(REPLY)):
        damaged = REPLY[:at] + bytes([REPLY[at] ^ 1]) + REPLY[at + 1 :]
        assert echo_reply(4, IP_HEAD + damaged, has_ip_header=True) is None
    assert echo_reply(4, b"\x45" + b"\0" * 10, has_ip_header=True) is None
    assert echo_reply(4, b"\x65" + b"\0" * 40, has_ip_header=True) is None
