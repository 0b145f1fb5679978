"""Which ping nodes are reached: the books about echoes sent and answers got, and how an echo is spelled. Pure.

An answer counts when it is the answer to one echo that was sent: its source is the address asked, and identifier,
sequence number and payload are those sent. The payload is random, so nobody who did not see the echo can answer it.
What is proved by an answer is proved for the time when its echo was *sent*: a late answer is no news.

Formats: ICMP echo, RFC 792; ICMPv6 echo, RFC 4443 section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from failover_kit.manager.config import PingNode
from failover_kit.manager.events import PingsSeen

PAYLOAD_BYTES = 16

INTERVAL_LEAST_MS = 200
INTERVAL_MOST_MS = 1_000

OPEN_ECHOES = 64
"""Echoes of one address that an answer is waited for. One that is older proves nothing that matters now."""

_HEAD = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, and what silence means."""

    interval_ms: int
    deadping_ms: int
    quiet_ms: int  # nobody answered for so long: perhaps this node is cut off


def pace_of(deadping_ms: int, deadtime_ms: int) -> Pace:
    """One echo a second to each address, or faster where times are short: several must fit before anything is said.

    Quiet has to be known when the peer is found silent: that is a beat, less than half of deadtime, short of
    deadtime after the moment when everything stopped.
    """
    sixth_ms = min(deadping_ms, deadtime_ms) // 6
    interval_ms = min(max(sixth_ms, INTERVAL_LEAST_MS), INTERVAL_MOST_MS)
    return Pace(interval_ms, deadping_ms, max(deadtime_ms // 2, 2 * interval_ms))


@dataclass(slots=True)
class _Address:
    """One address that is asked."""

    asked_since_ms: int | None = None  # without a gap; None: nobody asks
    answered_ms: int | None = None  # when the newest echo that was answered was sent
    sequence: int = 0
    open: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # sequence -> payload, when sent


class PingBook:
    """What was asked and answered in this life of failoverd."""

    def __init__(self, nodes: Sequence[PingNode], pace: Pace) -> None:
        self._nodes = tuple(nodes)
        self._pace = pace
        self._book = {address: _Address() for node in nodes for address in node.members}
        self._ever = False

    def asked(self, address: str, payload: bytes, now_ms: int) -> int:
        """An echo with this payload is sent now, or could not be; its sequence number."""
        row = self._book[address]
        if row.asked_since_ms is None:
            row.asked_since_ms = now_ms
        row.sequence = row.sequence + 1 & 0xFFFF
        row.open[row.sequence] = (payload, now_ms)
        while len(row.open) > OPEN_ECHOES:
            del row.open[next(iter(row.open))]
        return row.sequence

    def not_asked(self, address: str) -> None:
        """There is no way to ask on this node: then nothing is known of it."""
        row = self._book[address]
        row.asked_since_ms = None
        row.answered_ms = None
        row.open.clear()

    def paused(self, now_ms: int) -> None:
        """This node did not run for a while: who did not answer meanwhile may have been not asked."""
        for row in self._book.values():
            if row.asked_since_ms is not None:
                row.asked_since_ms = now_ms

    def answered(self, address: str, sequence: int, payload: bytes) -> bool:
        """Take in an answer; False when it is none to an open echo."""
        row = self._book.get(address)
        if row is None:
            return False
        sent = row.open.get(sequence)
        if sent is None or sent[0] != payload:
            return False
        del row.open[sequence]
        if row.answered_ms is None or sent[1] > row.answered_ms:
            row.answered_ms = sent[1]
        self._ever = True
        return True

    def seen(self, now_ms: int) -> PingsSeen:
        """What is known now."""
        rows = self._book.values()
        quiet = self._ever and all(self._unanswered(row, now_ms, self._pace.quiet_ms) for row in rows)
        return PingsSeen(tuple(self._reached(node, now_ms) for node in self._nodes), quiet=quiet)

    def _reached(self, node: PingNode, now_ms: int) -> bool | None:
        rows = [self._book[address] for address in node.members]
        for row in rows:
            if row.answered_ms is not None and now_ms - row.answered_ms < self._pace.deadping_ms:
                return True
        return False if all(self._unanswered(row, now_ms, self._pace.deadping_ms) for row in rows) else None

    def _unanswered(self, row: _Address, now_ms: int, for_ms: int) -> bool:
        """Whether it was asked for that long without a gap, and none of these echoes was answered."""
        if row.asked_since_ms is None or now_ms - row.asked_since_ms < for_ms:
            return False
        return row.answered_ms is None or now_ms - row.answered_ms >= for_ms


# --- packets --------------------------------------------------------------------------------------------


def echo_request(version: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo. For IPv6 the kernel fills in the checksum (RFC 3542 section 3.1)."""
    head = _HEAD.pack(_REQUEST[version], 0, 0, identifier, sequence)
    if version == 6:
        return head + payload
    return _HEAD.pack(_REQUEST[version], 0, checksum(head + payload), identifier, sequence) + payload


def echo_reply(version: int, packet: bytes, *, has_ip_header: bool) -> tuple[int, int, bytes] | None:
    """Identifier, sequence number and payload of an answer; None for anything else.

    The kernel has checked the sum, except of what a raw IPv4 socket gets.
    """
    if has_ip_header:
        if len(packet) < 20 or packet[0] >> 4 != 4:
            return None
        packet = packet[(packet[0] & 0x0F) * 4 :]
        if checksum(packet):
            return None
    if len(packet) < _HEAD.size:
        return None
    kind, code, _, identifier, sequence = _HEAD.unpack_from(packet)
    if kind != _REPLY[version] or code != 0:
        return None
    return identifier, sequence, packet[_HEAD.size :]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); 0 over data that carries a right one."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
