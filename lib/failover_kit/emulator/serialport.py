"""The console: a pseudo terminal that looks like a serial line of 9600 baud, 8 data bits, no parity.

The emulator keeps the terminal's own side open as well. So a client that closes it is no hangup here
(which would be reported again and again), what the client set on the terminal lasts, and the next client
finds the line as it was: a three-wire cable has no carrier either. Bytes nobody reads are dropped once
the terminal's buffer is full; pyserial empties that buffer when it opens a port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pty
import stat
import termios
import tty
from collections.abc import Callable

READ_BYTES = 4096


class SerialPort:
    """``start()``, then ``path`` names the device file. ``heard`` is called with what is typed on it."""

    def __init__(self, heard: Callable[[bytes], None], link: str | None) -> None:
        self.path = ""
        self._heard = heard
        self._link = link
        self._device_fd = -1
        self._client_fd = -1

    def start(self) -> None:
        """Make the pty and the link. Raises OSError; a file at the link's place that is no link is kept."""
        self._device_fd, self._client_fd = pty.openpty()
        try:
            os.set_blocking(self._device_fd, False)
            tty.setraw(self._client_fd)
            modes = termios.tcgetattr(self._client_fd)
            modes[2] |= termios.CLOCAL | termios.CREAD
            modes[4] = modes[5] = termios.B9600
            termios.tcsetattr(self._client_fd, termios.TCSANOW, modes)
            self.path = os.ttyname(self._client_fd)
            if self._link is not None:
                _make_link(self.path, self._link)
        except OSError:
            self._close()
            raise
        asyncio.get_running_loop().add_reader(self._device_fd, self._readable)

    def write(self, data: bytes) -> None:
        """Send what fits; the rest is lost, as on a line nobody reads."""
        while data:
            try:
                data = data[os.write(self._device_fd, data) :]
            except BlockingIOError:
                return

    def stop(self) -> None:
        """Close the pty and take the link away if it still leads here."""
        if self._device_fd < 0:
            return
        asyncio.get_running_loop().remove_reader(self._device_fd)
        if self._link is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link) == self.path:
                    os.unlink(self._link)
        self._close()

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._heard(os.read(self._device_fd, READ_BYTES))

    def _close(self) -> None:
        for fd in (self._device_fd, self._client_fd):
            os.close(fd)
        self._device_fd = self._client_fd = -1


def _make_link(target: str, link: str) -> None:
    """Put a symbolic link at ``link``, in place of an old one but of nothing else."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISLNK(os.lstat(link).st_mode):
            raise FileExistsError(errno.EEXIST, "exists and is no symbolic link", link)
    temporary = f"{link}.{os.getpid()}"
    try:
        os.symlink(target, temporary)
        os.replace(temporary, link)
    except OSError as error:
        # The error of symlink(2) names the target first, and nobody asked for that.
        raise OSError(error.errno, error.strerror, link) from None
