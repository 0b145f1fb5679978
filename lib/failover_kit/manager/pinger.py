"""Asks the ping nodes: ICMP echoes from sockets of this process that never block. What answers means: ``pinging``.

A ping socket (icmp(7), SOCK_DGRAM) where the kernel lets this process have one, else a raw one, as root may.
One for IPv4, one for IPv6. No child process, no name service, a bounded number of packets at a time.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from failover_kit.manager.config import PingNode
from failover_kit.manager.events import PingsSeen
from failover_kit.manager.pinging import PAYLOAD_BYTES, Pace, PingBook, echo_reply, echo_request
from failover_kit.spec.deadline import boottime_ms

_PACKETS_PER_WAKE = 64

_PACKET_BYTES = 60 + 8 + PAYLOAD_BYTES + 1
"""The longest IPv4 header, ours, our payload, and one byte more: a longer packet is cut, and answers no echo.
So the sum that a raw socket's packets need is taken of little, whatever a flood consists of."""

_REOPEN_MS = 10_000

# linux/icmp.h and linux/icmpv6.h: sets of types a raw socket does not pass on.
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_ALL_BUT_REPLY_4 = struct.pack("=I", ~(1 << 0) & 0xFFFFFFFF)
_ALL_BUT_REPLY_6 = struct.pack("=8I", *(0xFFFFFFFD if word == 4 else 0xFFFFFFFF for word in range(8)))  # type 129

Place = tuple[str, int] | tuple[str, int, int, int]


class Prober:
    """The socket of one IP version. OSError from the constructor when there can be none here."""

    def __init__(self, version: int) -> None:
        self.version = version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.raw = False
        try:
            self.socket = socket.socket(family, socket.SOCK_DGRAM | flags, protocol)
        except OSError:  # net.ipv4.ping_group_range does not have our group
            self.socket = socket.socket(family, socket.SOCK_RAW | flags, protocol)
            self.raw = True
        try:
            self._prepare()
        except OSError:
            self.socket.close()
            raise

    def _prepare(self) -> None:
        if not self.raw:
            # The kernel's identifier is the port; an answer that was not ours never comes up here.
            self.socket.bind(("", 0) if self.version == 4 else ("::", 0))
            self.identifier: int = self.socket.getsockname()[1]
            return
        self.identifier = int.from_bytes(os.urandom(2), "big")
        if self.version == 4:
            self.socket.setsockopt(_SOL_RAW, _ICMP_FILTER, _ALL_BUT_REPLY_4)
        else:
            self.socket.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _ALL_BUT_REPLY_6)

    def send(self, address: str, sequence: int, payload: bytes) -> str:
        """Send an echo; "" or why it did not leave. Never blocks."""
        try:
            self.socket.sendto(echo_request(self.version, self.identifier, sequence, payload), place_of(address))
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def receive(self) -> tuple[str, tuple[int, bytes] | None] | None:
        """The next packet: its source, with sequence number and payload when it answers an echo of this socket.

        None when there is none. OSError when a router or this host sent an error back for an earlier echo.
        """
        try:
            packet, source = self.socket.recvfrom(_PACKET_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        found = echo_reply(self.version, packet, has_ip_header=self.raw and self.version == 4)
        address = _plain(source)
        if found is None or found[0] != self.identifier:
            return address, None
        return address, (found[1], found[2])


def place_of(address: str) -> Place:
    """Where a packet goes; the zone of a link-local address becomes its number, OSError when it is not there."""
    plain, _, zone = address.partition("%")
    if ":" not in plain:
        return (plain, 0)
    return (plain, 0, 0, socket.if_nametoindex(zone) if zone else 0)


def _plain(source: tuple[object, ...]) -> str:
    """The source as ha.cf spells it: with the name of its zone when it is link-local."""
    text = str(source[0]).partition("%")[0]
    if len(source) == 4 and source[3]:
        try:
            return f"{ip_address(text)}%{socket.if_indextoname(int(str(source[3])))}"
        except OSError:
            return text
    return str(ip_address(text))


class Pinger:
    """Keeps asking, and tells the core when what it knows changes. Belongs to the running loop."""

    def __init__(
        self,
        nodes: Sequence[PingNode],
        pace: Pace,
        feed: Callable[[PingsSeen], None],
        note: Callable[[str], None],
        clock: Callable[[], int] = boottime_ms,
    ) -> None:
        """``note`` gets a sentence when asking is not possible on this node."""
        self._addresses = tuple(dict.fromkeys(address for node in nodes for address in node.members))
        self._pace = pace
        self._book = PingBook(nodes, pace)
        self._feed = feed
        self._note = note
        self._clock = clock
        self._probers: dict[int, Prober] = {}
        self._reopen_ms = dict.fromkeys({_version(address) for address in self._addresses}, 0)
        self._errors: dict[int, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._told = PingsSeen((None,) * len(nodes))
        self._last_ms = 0
        self._closed = False

    @property
    def problem(self) -> str:
        """One sentence while some ping node cannot be asked at all; "" = none."""
        return "; ".join(self._errors.values())

    def start(self) -> None:
        """Begin to ask; nothing when there is nobody to ask."""
        if self._addresses:
            self._last_ms = self._clock()
            self._turn()

    def close(self) -> None:
        """Stop for good. May be called twice."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for version in tuple(self._probers):
            self._drop(version)

    def _turn(self) -> None:
        now_ms = self._clock()
        if now_ms - self._last_ms > max(2 * self._pace.interval_ms, self._pace.quiet_ms // 2):
            self._book.paused(now_ms)
        self._last_ms = now_ms
        for address in self._addresses:
            self._ask(address, now_ms)
        self._tell()
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(self._pace.interval_ms / 1000, self._turn)

    def _ask(self, address: str, now_ms: int) -> None:
        prober = self._prober(_version(address), now_ms)
        if prober is None:
            self._book.not_asked(address)
            return
        payload = os.urandom(PAYLOAD_BYTES)
        # An echo that could not leave (no route, the interface is down) is one that was not answered.
        prober.send(address, self._book.asked(address, payload, now_ms), payload)

    def _prober(self, version: int, now_ms: int) -> Prober | None:
        """The socket, opened if it can be."""
        if version in self._probers:
            return self._probers[version]
        if now_ms < self._reopen_ms[version]:
            return None
        try:
            prober = self._opened(version)
        except OSError as error:
            self._reopen_ms[version] = now_ms + _REOPEN_MS
            sentence = (
                f"IPv{version} ping nodes cannot be asked: no socket for echoes ({error.strerror}); give failoverd "
                "CAP_NET_RAW, or its group in net.ipv4.ping_group_range"
            )
            if self._errors.get(version) != sentence:
                self._errors[version] = sentence
                self._note(sentence)
            return None
        self._errors.pop(version, None)
        self._probers[version] = prober
        return prober

    def _opened(self, version: int) -> Prober:
        """A socket that is read, too: by one that only asks no ping node would ever be reached."""
        prober = Prober(version)
        try:
            asyncio.get_running_loop().add_reader(prober.socket, self._readable, version)
        except OSError:
            prober.socket.close()
            raise
        return prober

    def _drop(self, version: int) -> None:
        prober = self._probers.pop(version)
        asyncio.get_running_loop().remove_reader(prober.socket)
        prober.socket.close()

    def _readable(self, version: int) -> None:
        """Take what is there, a bounded number at a time, so that a flood cannot keep the loop."""
        for _ in range(_PACKETS_PER_WAKE):
            prober = self._probers.get(version)
            if prober is None:
                return
            try:
                got = prober.receive()
            except OSError:
                continue  # the socket is as good as before (ip(7)); the error is taken off it
            if got is None:
                break
            source, answer = got
            if answer is not None:
                self._book.answered(source, *answer)
        self._tell()

    def _tell(self) -> None:
        seen = self._book.seen(self._clock())
        if seen != self._told and not self._closed:
            self._told = seen
            self._feed(seen)


def _version(address: str) -> int:
    return 6 if ":" in address else 4
