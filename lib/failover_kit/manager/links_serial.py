"""Serial lines: frames in a stream of bytes, the latest one only, at the pace of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from failover_kit.manager import wire
from failover_kit.manager.links_base import Down, Link
from failover_kit.spec.deadline import boottime_ms

if TYPE_CHECKING:
    import serial

NOISE_LIMIT_BYTES = 4_096
"""So much without one frame is no disturbance: ten frames' worth."""

STALL_MS = 5_000

_READ_BYTES = 4_096


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
            raise Down(self._why_not_open(error)) from None

    def _retry(self) -> None:
        """Off the loop, for the beats of the other links: the driver of a sick USB adapter waits five seconds
        for each answer (USB_CTRL_SET_TIMEOUT). ``_reopen`` stays set: one attempt at a time."""
        loop = asyncio.get_running_loop()

        def attempt() -> None:
            port, sentence = None, ""
            try:
                port = self._opened()
            except Down as down:
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
