"""The links to the peer: UDP unicast and serial lines. They carry frames and know nothing of their meaning.

A link never queues: a frame that cannot be sent now is dropped or takes the place of the one that waits
(PROTOCOL rule 22), because only the latest beat matters and an old one would lie about the present.
A link that cannot be opened is tried again for ever, with a bounded pause, and says why in ``error``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import struct
import termios
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from failover_kit.manager import config, wire
from failover_kit.manager.records import Beat
from failover_kit.spec.deadline import boottime_ms

if TYPE_CHECKING:
    import serial

OnFrame = Callable[[str, bytes, str], None]
"""Called with the link's name, what came in, and where from ("" on a serial line)."""

REOPEN_FIRST_MS = 250
REOPEN_LAST_MS = 2_000

NOTE_INTERVAL_MS = 60_000
"""The same complaint is noted once in this time, with the number of those passed over."""

NOISE_LIMIT_BYTES = 4_096
"""So much without one frame is no disturbance: ten frames' worth."""

STALL_MS = 5_000

_READ_BYTES = 4_096
_DATAGRAMS_PER_WAKE = 64
_CLASS_SELECTOR_6 = 0xC0  # network control (RFC 4594 section 3.2): beats pass bulk traffic


class Limiter:
    """Lets a sentence of one kind through once per NOTE_INTERVAL_MS."""

    def __init__(self, note: Callable[[str], None], now_ms: Callable[[], int] = boottime_ms) -> None:
        self._note = note
        self._now_ms = now_ms
        self._last: dict[tuple[str, str], tuple[int, int]] = {}  # when noted, how many passed over since

    def note(self, link: str, kind: str, text: str) -> None:
        """Note ``link: text`` unless this link said something of this kind a short while ago."""
        now = self._now_ms()
        noted_ms, passed_over = self._last.get((link, kind), (now - NOTE_INTERVAL_MS, 0))
        if now - noted_ms < NOTE_INTERVAL_MS:
            self._last[link, kind] = (noted_ms, passed_over + 1)
            return
        more = f" ({passed_over} more like it since the last such note)" if passed_over else ""
        self._last[link, kind] = (now, 0)
        self._note(f"{link}: {text}{more}")


class FrameReceiver:
    """From frames to beats: checks the signature, counts what is refused, and says so at a bounded rate."""

    def __init__(
        self,
        node: str,
        keys: Mapping[int, config.Secret],
        on_beat: Callable[[str, Beat], None],
        note: Callable[[str], None],
        now_ms: Callable[[], int] = boottime_ms,
    ) -> None:
        """``node`` is this node; ``on_beat(link, beat)`` gets authentic beats of others, in order."""
        self._node = node
        self._keys = keys
        self._on_beat = on_beat
        self._limiter = Limiter(note, now_ms)
        self.refused: dict[str, int] = {}  # by link, since the start; for status

    def take(self, link: str, frame: bytes, source: str = "") -> None:
        """One frame, or what looked like one, that came in on ``link``. Never raises."""
        try:
            beat = wire.decode(frame, self._keys)
        except wire.FrameError as error:
            origin = f" (from {source})" if source else ""
            self._refuse(link, error.fault.value, f"{error}{origin}")
            return
        if beat.node == self._node:
            origin = f" from {source}" if source else ": the cable is looped"
            self._refuse(link, "own", f"a beat of this node itself came in{origin}, or both nodes have one name")
            return
        self._on_beat(link, beat)

    def _refuse(self, link: str, kind: str, text: str) -> None:
        self.refused[link] = self.refused.get(link, 0) + 1
        self._limiter.note(link, kind, text)


class _Down(Exception):
    """The device of a link is unusable; ``str()`` is the sentence for status."""


class Link(ABC):
    """One way to the peer. ``start`` and everything after it belong to one running event loop."""

    def __init__(self, name: str, note: Callable[[str], None]) -> None:
        """``name`` as in the core's configuration; ``note`` gets a sentence when the link fails or recovers."""
        self.name = name
        self.error = ""  # one sentence while something is wrong on this side of the link
        self._limiter = Limiter(note)
        self._on_frame: OnFrame = lambda _link, _frame, _source: None
        self._reopen: asyncio.TimerHandle | None = None
        self._pause_ms = REOPEN_FIRST_MS
        self._closed = True

    def start(self, on_frame: OnFrame) -> None:
        """Open it; a failure shows in ``error`` and is retried."""
        self._on_frame = on_frame
        self._closed = False
        self._try_open()

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send, or drop it. Never blocks, never raises."""

    def close(self) -> None:
        """Stop for good. May be called twice."""
        self._closed = True
        if self._reopen is not None:
            self._reopen.cancel()
            self._reopen = None
        self._close_device()

    @abstractmethod
    def _open_device(self) -> None:
        """Open and watch the device. _Down when that cannot be."""

    @abstractmethod
    def _close_device(self) -> None:
        """Stop watching and close whatever is open."""

    def _retry(self) -> None:
        """The pause is over."""
        self._try_open()

    def _try_open(self) -> None:
        self._reopen = None
        try:
            self._open_device()
        except _Down as down:
            self._device_failed(str(down))

    def _device_failed(self, sentence: str) -> None:
        """Close, complain, and try again after a pause that grows until something is received."""
        self._close_device()
        self._complain(sentence)
        if self._closed or self._reopen is not None:
            return
        self._reopen = asyncio.get_running_loop().call_later(self._pause_ms / 1000, self._retry)
        self._pause_ms = min(self._pause_ms * 2, REOPEN_LAST_MS)

    def _complain(self, sentence: str) -> None:
        if sentence != self.error:
            self.error = sentence
            self._limiter.note(self.name, sentence, sentence)

    def _works(self) -> None:
        """Something went through, so what was wrong is over."""
        if self.error:
            self.error = ""
            self._limiter.note(self.name, "works", "works again")

    def _received(self) -> None:
        self._pause_ms = REOPEN_FIRST_MS


class UdpLink(Link):
    """UDP over one interface to the peer's addresses; several when ha.cf names several on it.

    The socket is bound to the interface, not to an address: it lives on when addresses come late or
    change, and a cut link is not hidden by another route to the peer.
    """

    def __init__(
        self, interface: str, peer_addresses: tuple[str, ...], port: int, note: Callable[[str], None]
    ) -> None:
        super().__init__(interface, note)
        self._peers = peer_addresses
        self._port = port
        self._socket: socket.socket | None = None
        self._index = 0

    def send(self, frame: bytes) -> None:
        """Send to every peer address that is not one of this node's own (ha.cf may be equal on both nodes)."""
        if self._socket is None:
            return
        try:
            if socket.if_nametoindex(self.name) != self._index:
                raise OSError(errno.ENODEV, "")
        except OSError:
            # A socket stays bound to the interface that is gone, even when a new one has its name.
            self._device_failed(f"interface {self.name} disappeared; waiting for it")
            return
        peers = [address for address in self._peers if not is_own_address(address)]
        if not peers:
            self._complain(f"every ucast address on {self.name} is this node's own; name the peer's in ha.cf")
        sent = [self._send_to(self._socket, frame, address) for address in peers]
        if sent and all(sent):
            self._works()

    def _send_to(self, sock: socket.socket, frame: bytes, address: str) -> bool:
        try:
            sock.sendto(frame, (address, self._port))
        except BlockingIOError:
            return False  # the interface is busy; the next beat follows soon
        except OSError as error:
            self._complain(
                f"cannot send to {address} over {self.name}: {error.strerror}; check the interface's address, "
                "its state and the firewall"
            )
            return False
        return True

    def _open_device(self) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._index = socket.if_nametoindex(self.name)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.name.encode())
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _CLASS_SELECTOR_6)
            sock.bind(("", self._port))
        except OSError as error:
            sock.close()
            raise _Down(self._why_not_open(error)) from None
        self._socket = sock
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def _why_not_open(self, error: OSError) -> str:
        # if_nametoindex raises without a number for an unknown name before Python 3.13.
        if all(self.name != name for _, name in socket.if_nameindex()):
            return f"there is no interface {self.name}; waiting for it"
        if error.errno == errno.EADDRINUSE:
            return (
                f"UDP port {self._port} on {self.name} is taken by another program, perhaps Heartbeat; "
                f"find it with: ss -ulpn sport = :{self._port}"
            )
        return f"cannot listen on UDP port {self._port} of {self.name}: {error.strerror}"

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
                self._device_failed(f"cannot receive on {self.name}: {error.strerror}")
                return
            self._received()
            self._on_frame(self.name, frame, source[0])


def is_own_address(address: str) -> bool:
    """Whether packets to ``address`` would stay on this machine: the kernel then uses it as the source, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, 9))
            return bool(probe.getsockname()[0] == address)
        except OSError:
            return False


class SerialLink(Link):
    """A null-modem line: raw, 8N1, no flow control unless asked for, one program at a time."""

    def __init__(
        self, name: str, device: str, baud: int, note: Callable[[str], None], *, rtscts: bool = False
    ) -> None:
        super().__init__(name, note)
        self._device = device
        self._baud = baud
        self._rtscts = rtscts
        self._port: serial.Serial | None = None
        self._fd = -1
        self._stream = wire.StreamDecoder()
        self._writing = b""  # the rest of the frame that was begun
        self._next: bytes | None = None  # the latest frame, while the line is busy
        self._progress_ms = 0
        self._pump_timer: asyncio.TimerHandle | None = None

    def send(self, frame: bytes) -> None:
        """Write it when the line is idle; else it takes the place of the one that waits."""
        if self._fd < 0:
            return
        if self._next is None and not self._writing:
            self._progress_ms = boottime_ms()
        self._next = frame
        if self._pump_timer is None:
            self._pump()

    def _pump(self) -> None:
        """Write what the line takes now and come back when the rest should have left."""
        self._pump_timer = None
        if self._fd < 0:
            return
        try:
            waiting = self._write_some()
        except OSError as error:
            self._device_failed(f"cannot write to {self._device}: {error.strerror}")
            return
        if not self._writing and self._next is None:
            return
        if boottime_ms() - self._progress_ms > STALL_MS:
            self._give_up_stalled()
            return
        # Ten bits for a byte (8N1), and a little more than that: the kernel's count is of whole buffers.
        pause_s = waiting * 10 / self._baud + 0.002
        self._pump_timer = asyncio.get_running_loop().call_later(pause_s, self._pump)

    def _write_some(self) -> int:
        """Return how many bytes still have to leave before the next frame may begin."""
        if not self._writing:
            in_kernel = self._in_kernel()
            if in_kernel or self._next is None:
                return in_kernel
            self._writing, self._next = self._next, None
        try:
            written = os.write(self._fd, self._writing)
        except BlockingIOError:
            written = 0
        self._writing = self._writing[written:]
        if written:
            self._progress_ms = boottime_ms()
            if self._stream.noise_bytes <= NOISE_LIMIT_BYTES:
                self._works()
        return len(self._writing) + self._in_kernel()

    def _in_kernel(self) -> int:
        """Bytes the driver has taken and not sent (TIOCOUTQ, tty_ioctl(4)); 0 where it cannot say."""
        try:
            return int(struct.unpack("i", fcntl.ioctl(self._fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
        except OSError:
            return 0

    def _give_up_stalled(self) -> None:
        """Nothing leaves: throw away what the driver holds, or it would arrive as old news one day."""
        self._writing, self._next = b"", None
        with contextlib.suppress(termios.error):
            termios.tcflush(self._fd, termios.TCOFLUSH)
        self._complain(
            f"{self._device} takes no data for {STALL_MS // 1000} s; check the cable and that flow control "
            "(rtscts) is used on both sides or on none"
        )

    def _open_device(self) -> None:
        self._attach(self._opened())

    def _opened(self) -> serial.Serial:
        """Touches nothing of the link: it may run on a thread."""
        import serial

        try:
            return serial.Serial(
                self._device, self._baud, timeout=0, write_timeout=0, rtscts=self._rtscts, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            raise _Down(self._why_not_open(error)) from None

    def _retry(self) -> None:
        """Off the loop, for the beats of the other links: the driver of a sick USB adapter waits five seconds
        for each answer (USB_CTRL_SET_TIMEOUT). ``_reopen`` stays set: one attempt at a time."""
        loop = asyncio.get_running_loop()

        def attempt() -> None:
            port, sentence = None, ""
            try:
                port = self._opened()
            except _Down as down:
                sentence = str(down)
            try:
                loop.call_soon_threadsafe(self._take, port, sentence)
            except RuntimeError:  # the loop is closed: failoverd has ended
                if port is not None:
                    _close_port(port)

        threading.Thread(target=attempt, daemon=True, name=f"open {self.name}").start()

    def _take(self, port: serial.Serial | None, sentence: str) -> None:
        """The outcome of ``_retry``, back on the loop."""
        self._reopen = None
        if port is None:
            self._device_failed(sentence)
        elif self._closed:
            _close_port(port)
        else:
            self._attach(port)

    def _attach(self, port: serial.Serial) -> None:
        self._port = port
        self._fd = port.fileno()
        self._stream = wire.StreamDecoder()
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _why_not_open(self, error: Exception) -> str:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.ENOENT:
            return f"there is no serial device {self._device}; check its name in ha.cf"
        if number in (errno.EAGAIN, errno.EBUSY):
            return f"{self._device} is used by another program; a getty or a console on it must go"
        reason = os.strerror(number) if number else str(error)
        return f"cannot open {self._device} as a serial line: {reason}"

    def _close_device(self) -> None:
        if self._pump_timer is not None:
            self._pump_timer.cancel()
            self._pump_timer = None
        self._writing, self._next = b"", None
        if self._port is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._fd = -1
            port, self._port = self._port, None
            if self._closed:
                _close_port(port)  # the last beat, "leaving", may still be on its way
            else:
                # close(2) waits up to 30 s for a line that takes nothing (closing_wait, setserial(8)).
                threading.Thread(target=_close_port, args=(port,), daemon=True, name=f"close {self.name}").start()

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            # EIO: the other side of a pty or a USB adapter is gone. The descriptor would stay readable.
            self._device_failed(f"cannot read from {self._device}: {error.strerror}")
            return
        if not data:
            self._device_failed(f"{self._device} was hung up")
            return
        chunks = self._stream.feed(data)
        if self._stream.noise_bytes > NOISE_LIMIT_BYTES:
            self._complain(
                f"bytes come in on {self._device} and no frame among them; use one baud rate on both nodes, "
                "and no getty or console on the line"
            )
        for chunk in chunks:
            self._received()
            self._on_frame(self.name, chunk, "")


def _close_port(port: serial.Serial) -> None:
    with contextlib.suppress(OSError, termios.error):
        port.close()


def make_links(links: Iterable[config.Link], note: Callable[[str], None]) -> list[Link]:
    """The links of a configuration; ucast lines on one interface become one link.

    ValueError for a ucast line whose address is not known yet (``configfiles.resolve_links`` comes first),
    and for two ports on one interface.
    """
    made: dict[str, Link] = {}
    peers: dict[str, list[config.UdpLink]] = {}
    for link in links:
        if isinstance(link, config.SerialLink):
            made[link.name] = SerialLink(link.name, link.device, link.baud, note)
            continue
        known = peers.setdefault(link.name, [])
        known.append(link)
        if {other.port for other in known} != {link.port}:
            raise ValueError(f"ucast on {link.interface} with two ports; set udpport once, before it")
        addresses = tuple(other.peer_address for other in known if other.peer_address is not None)
        if len(addresses) != len(known):
            raise ValueError(f"ucast {link.interface} has no peer address yet")
        made[link.name] = UdpLink(link.interface, addresses, link.port, note)
    return list(made.values())
