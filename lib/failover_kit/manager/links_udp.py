"""Links over a network: UDP to the peer's address, to everybody on the segment, or to a multicast group.

A socket is bound to its interface, not to an address of it: it lives on when addresses come late or change,
and a cut link is not hidden by another route to the peer.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from abc import abstractmethod
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address

from failover_kit.manager import wire
from failover_kit.manager.links_base import Down, Link

Place = tuple[str, int] | tuple[str, int, int, int]
"""Where a datagram goes to, as Python's socket module has it."""

_DATAGRAMS_PER_WAKE = 64
_CLASS_SELECTOR_6 = 0xC0  # network control (RFC 4594 section 3.2): beats pass bulk traffic
_EVERYBODY = "255.255.255.255"
_SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # nothing is wrong with the link itself

_SIOCGIFINDEX = 0x8933  # linux/sockios.h
_IFREQ_INDEX = "@16si20x"  # struct ifreq of netdevice(7)
_NO_INDEX = 0


class UdpLink(Link):
    """What the network links have in common: one socket on one interface."""

    family = socket.AF_INET

    def __init__(self, name: str, interface: str, port: int, note: Callable[[str], None]) -> None:
        super().__init__(name, note)
        self._interface = interface
        self._port = port
        self._socket: socket.socket | None = None
        self._index = 0

    @abstractmethod
    def _targets(self) -> Sequence[Place]:
        """Where a beat goes to now; empty after a complaint."""

    def _prepare(self, sock: socket.socket) -> None:
        """Options of this medium, before the socket is bound. OSError as the kernel raises it."""

    def _local(self) -> Place:
        """What the socket is bound to: all addresses, and the port."""
        return ("::", self._port, 0, 0) if self.family == socket.AF_INET6 else ("", self._port)

    def send(self, frame: bytes) -> None:
        """Send to all places of this medium."""
        if self._socket is None:
            return
        if _index_of(self._socket, self._interface) not in (self._index, None):
            # A socket stays bound to the interface that is gone, even when a new one has its name.
            self._device_failed(f"interface {self._interface} disappeared; waiting for it")
            return
        sent = [self._send_to(self._socket, frame, place) for place in self._targets()]
        if not all(sent):
            self.unsent += 1
        elif sent:
            self._works()

    def _send_to(self, sock: socket.socket, frame: bytes, place: Place) -> bool:
        try:
            sock.sendto(frame, place)
        except BlockingIOError:
            return False  # the interface is busy; the next beat follows soon
        except OSError as error:
            remedy = "check the interface's address, its state and the firewall"
            if error.errno in _SCARCE:
                remedy = "the kernel is short of memory or files, or the interface of room: look at its log"
            self._complain(f"cannot send to {place[0]} over {self._interface}: {error.strerror}; {remedy}")
            return False
        return True

    def _open_device(self) -> None:
        try:
            sock = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:  # no file descriptor is left, or the kernel has no IPv6
            raise Down(f"there can be no socket for {self._interface}: {error.strerror}") from None
        try:
            self._index = socket.if_nametoindex(self._interface)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
            if self.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _CLASS_SELECTOR_6)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CLASS_SELECTOR_6)
            self._prepare(sock)
            sock.bind(self._local())
        except OSError as error:
            sock.close()
            raise Down(self._why_not_open(error)) from None
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def _why_not_open(self, error: OSError) -> str:
        # if_nametoindex raises without a number for an unknown name before Python 3.13.
        if not _may_be_there(self._interface):
            return f"there is no interface {self._interface}; waiting for it"
        if error.errno == errno.EADDRINUSE:
            return (
                f"UDP port {self._port} on {self._interface} is taken by another program, perhaps Heartbeat; "
                f"find it with: ss -ulpn sport = :{self._port}"
            )
        return f"cannot listen on UDP port {self._port} of {self._interface}: {error.strerror}"

    def _close_device(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        """Take what is there, a bounded number at a time, so that a flood cannot keep the loop."""
        for _ in range(_DATAGRAMS_PER_WAKE):
            if self._socket is None:
                return
            try:
                frame, source = self._socket.recvfrom(wire.FRAME_LIMIT_BYTES + 1)
            except BlockingIOError:
                return
            except OSError as error:
                self._device_failed(f"cannot receive on {self._interface}: {error.strerror}")
                return
            self._received()
            self._on_frame(self.name, frame, source[0].partition("%")[0])


class UcastLink(UdpLink):
    """To the peer's addresses; several when ha.cf names several on one interface."""

    def __init__(
        self,
        name: str,
        interface: str,
        peer_addresses: tuple[str, ...],
        port: int,
        note: Callable[[str], None],
        *,
        ipv6: bool = False,
    ) -> None:
        super().__init__(name, interface, port, note)
        self.family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._peers = peer_addresses
        self._own: dict[Place, bool] = {}  # what was known last, for when the kernel cannot be asked

    def _targets(self) -> Sequence[Place]:
        """Every peer address that is not one of this node's own (ha.cf may be equal on both nodes)."""
        places = [self._place(address) for address in self._peers]
        for place in places:
            self._own[place] = is_own_address(self.family, place, before=self._own.get(place, False))
        others = [place for place in places if not self._own[place]]
        if not others:
            word = "ucast6" if self.family == socket.AF_INET6 else "ucast"
            where = f"every {word} address on {self._interface}"
            self._complain(f"{where} is this node's own; name the peer's in ha.cf")
        return others

    def _place(self, address: str) -> Place:
        if self.family == socket.AF_INET:
            return (address, self._port)
        zone = self._index if IPv6Address(address).is_link_local else 0
        return (address, self._port, 0, zone)


def _index_of(sock: socket.socket, interface: str) -> int | None:
    """The index of the interface of that name, _NO_INDEX when there is none, None when the kernel cannot say now.

    Asked by the link's own socket: if_nametoindex(3) opens one for it, and where no file descriptor is left a good
    link would count as gone.
    """
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFINDEX, struct.pack(_IFREQ_INDEX, interface.encode(), 0))
    except OSError as error:
        return _NO_INDEX if error.errno in (errno.ENODEV, errno.ENXIO) else None
    index: int = struct.unpack(_IFREQ_INDEX, answer)[1]
    return index


def _may_be_there(interface: str) -> bool:
    """False when the kernel has no interface of that name; asking takes a file descriptor."""
    try:
        return any(interface == name for _, name in socket.if_nameindex())
    except OSError:
        return True


def is_own_address(family: socket.AddressFamily, place: Place, *, before: bool = False) -> bool:
    """Whether packets to ``place`` would stay on this machine: the kernel then uses it as the source, too.

    ``before`` is the answer where the kernel is short of what it takes to ask it.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return bool(probe.getsockname()[0].partition("%")[0] == place[0])
    except OSError as error:
        return before if error.errno in _SCARCE else False


class BcastLink(UdpLink):
    """To everybody on the segment.

    By the limited broadcast address (RFC 919 section 7) and not by the one of a subnet, as Heartbeat did it:
    out of a socket bound to its interface it is right with any address there, with any netmask, and with none.
    """

    def _prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def _targets(self) -> Sequence[Place]:
        return ((_EVERYBODY, self._port),)


class McastLink(UdpLink):
    """To a multicast group, joined on the interface; ``ttl`` is how many routers may pass it on, plus one."""

    def __init__(
        self,
        name: str,
        interface: str,
        group: str,
        port: int,
        note: Callable[[str], None],
        *,
        ttl: int = 1,
        ipv6: bool = False,
    ) -> None:
        super().__init__(name, interface, port, note)
        self.family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._group = group
        self._ttl = ttl

    def _prepare(self, sock: socket.socket) -> None:
        if self.family == socket.AF_INET6:
            level = socket.IPPROTO_IPV6
            member = struct.pack("@16sI", socket.inet_pton(self.family, self._group), self._index)  # ipv6_mreq
            sock.setsockopt(level, socket.IPV6_JOIN_GROUP, member)
            sock.setsockopt(level, socket.IPV6_MULTICAST_IF, self._index)
            sock.setsockopt(level, socket.IPV6_MULTICAST_HOPS, self._ttl)
            sock.setsockopt(level, socket.IPV6_MULTICAST_LOOP, 0)
            return
        level = socket.IPPROTO_IP
        member = struct.pack("@4s4si", socket.inet_aton(self._group), b"\0\0\0\0", self._index)  # ip_mreqn, ip(7)
        sock.setsockopt(level, socket.IP_ADD_MEMBERSHIP, member)
        sock.setsockopt(level, socket.IP_MULTICAST_IF, member)
        sock.setsockopt(level, socket.IP_MULTICAST_TTL, self._ttl)
        sock.setsockopt(level, socket.IP_MULTICAST_LOOP, 0)

    def _local(self) -> Place:
        """The group itself: only what is sent to it comes in."""
        return self._place()

    def _targets(self) -> Sequence[Place]:
        return (self._place(),)

    def _place(self) -> Place:
        if self.family == socket.AF_INET6:
            return (self._group, self._port, 0, self._index)
        return (self._group, self._port)
