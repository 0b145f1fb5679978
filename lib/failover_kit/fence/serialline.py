"""A serial line to the console port of a device, through pyserial: 9600 8N1 unless told otherwise.

The line has no connection: nothing says that somebody is there until a byte comes, and leaving is only
the ``/X,Y``. What a network would do, the lock does: two agents on one machine wait for each other.
"""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from typing import TYPE_CHECKING

from failover_kit.fence.tcp import RECEIVE_BYTES, wait_for
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer
from failover_kit.spec.deadline import Deadline

if TYPE_CHECKING:
    import serial

DRAIN_MS = 500
DRAIN_STEP_S = 0.01
# The lock is somebody else's, or the port is being set up: worth another try.
_TAKEN = frozenset((errno.EAGAIN, errno.EACCES, errno.EBUSY, errno.EWOULDBLOCK))


def connect_serial(path: str, baud: int) -> SerialTransport:
    """Open and lock the line. Raises ConnectFailed; a line somebody else has locked is tried again."""
    try:
        import serial
    except ImportError:
        raise ConnectFailed(
            "the serial line needs the Python module 'serial'; install the package python3-serial", again=False
        ) from None
    try:
        # Reads and writes go through the descriptor, each under the operation's own deadline.
        port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
    except ValueError as error:
        raise ConnectFailed(f"serial line {path}: {error}", again=False) from None
    except OSError as error:  # serial.SerialException is one
        again = error.errno in _TAKEN
        words = "somebody else uses it" if again else _words(error)
        raise ConnectFailed(f"serial line {path}: {words}", again=again) from None
    try:
        _keep_dtr(port.fileno())
    except termios.error as error:
        port.close()
        raise ConnectFailed(f"serial line {path}: {error.args[-1]}", again=False) from None
    return SerialTransport(port)


def _keep_dtr(fd: int) -> None:
    """Do not drop DTR when the line is closed (HUPCL): a unit may take that for a hang-up in mid-sentence."""
    settings = termios.tcgetattr(fd)
    settings[2] &= ~termios.HUPCL
    termios.tcsetattr(fd, termios.TCSANOW, settings)


class SerialTransport:
    """An open serial line. An adapter that is pulled out makes every call raise ConnectionLost."""

    def __init__(self, port: serial.Serial) -> None:
        self._port = port

    def send(self, data: bytes, until: Deadline) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._port.fileno(), view) :]
            except BlockingIOError:
                if not wait_for(self._port.fileno(), select.POLLOUT, until):
                    raise NoAnswer("the serial line does not take what is sent (flow control?)") from None
            except OSError as error:
                raise ConnectionLost(f"serial line: {_words(error)}") from None

    def receive(self, until: Deadline) -> bytes | None:
        while wait_for(self._port.fileno(), select.POLLIN, until):
            try:
                data = os.read(self._port.fileno(), RECEIVE_BYTES)
            except BlockingIOError:
                time.sleep(DRAIN_STEP_S)
                continue
            except OSError as error:
                raise ConnectionLost(f"serial line: {_words(error)}") from None
            if not data:
                # Readable and empty: the adapter is gone (or the other end of a pseudo-terminal).
                raise ConnectionLost("serial line: the line is gone; is the adapter plugged in?")
            return data
        return None

    def close(self) -> None:
        """Let the last bytes out, but do not wait for a line that takes none: close(2) could, for long."""
        end = Deadline(DRAIN_MS)
        try:
            while self._port.out_waiting and not end.expired():
                time.sleep(DRAIN_STEP_S)
            if self._port.out_waiting:
                termios.tcflush(self._port.fileno(), termios.TCOFLUSH)
        except (OSError, termios.error):
            pass
        try:
            self._port.close()
        except OSError:
            pass


def _words(error: OSError) -> str:
    """pyserial puts a whole sentence with the path into strerror; the number, if any, says it better."""
    return os.strerror(error.errno) if error.errno else str(error)
