"""The null-modem cable: two pseudo terminals and a thread that carries bytes between them.

Bytes take the time they take on a line of that speed, and what arrives while nobody reads is lost at the end
of a small buffer, as in a UART. Pulled out, the cable loses what is under way.
"""

from __future__ import annotations

import os
import random
import select
import termios
import threading
import time
import tty

CHUNK_BYTES = 256
BITS_PER_BYTE = 10  # 8N1


class SerialCable:
    """``devices`` has the two ends as paths that a node can open."""

    def __init__(self, baud: int) -> None:
        self._baud = baud
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.devices: list[str] = []
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            # Held open, or reading the master fails with EIO whenever no node has the device open.
            self._slaves.append(slave)
            self.devices.append(os.ttyname(slave))
        self._connected = True
        self._loss_percent = [0, 0]
        self._ended = threading.Event()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._carry, name="serial-cable", daemon=True)
        self._thread.start()

    @property
    def connected(self) -> bool:
        return self._connected

    def pull(self) -> None:
        self._connected = False
        self._forget()

    def push(self) -> None:
        self._forget()
        self._connected = True

    def lose(self, index: int, percent: int) -> None:
        """Of what end ``index`` sends so many of a hundred pieces are lost; 100: that direction is cut."""
        self._loss_percent[index] = percent

    def end_of(self, index: int) -> str:
        """The device path at end 0 or 1."""
        return self.devices[index]

    def power_cycle(self, index: int) -> None:
        """The machine at this end lost power: its UART's buffers are empty."""
        termios.tcflush(self._slaves[index], termios.TCIOFLUSH)

    def close(self) -> None:
        self._ended.set()
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=2)
        for fd in (*self._masters, *self._slaves, self._wake_read, self._wake_write):
            os.close(fd)

    def _forget(self) -> None:
        for slave in self._slaves:
            termios.tcflush(slave, termios.TCIOFLUSH)

    def _carry(self) -> None:
        first, second = self._masters
        while not self._ended.is_set():
            ready, _, _ = select.select([first, second, self._wake_read], [], [])
            for index, (source, sink) in enumerate(((first, second), (second, first))):
                if source in ready:
                    self._move(source, sink, self._loss_percent[index])

    def _move(self, source: int, sink: int, loss_percent: int) -> None:
        try:
            data = os.read(source, CHUNK_BYTES)
        except OSError:
            return
        if not self._connected or random.random() * 100 < loss_percent:  # noqa: S311 - a bad contact
            return
        # Both directions share this thread: at the speeds used here a frame takes a few milliseconds.
        time.sleep(len(data) * BITS_PER_BYTE / self._baud)
        try:
            if self._connected:
                os.write(sink, data)
        except BlockingIOError:
            pass  # nobody reads there; a UART loses bytes, too
