"""What carries the dialogue to a device: a byte stream, and the three ways in which it fails.

Implementations: ``tcp`` (telnet without a telnet program), ``serialline``, ``sshchild``.
"""

from __future__ import annotations

from typing import Protocol

from failover_kit.spec.deadline import Deadline


class ConnectionLost(Exception):
    """The connection ended when it should not have."""


class ConnectFailed(Exception):
    """Nobody can be talked to; ``again`` says whether trying again makes sense."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class NoAnswer(Exception):
    """The device kept silent for longer than it may."""


class Transport(Protocol):
    """A byte stream to a device. ``receive`` gives b"" at the end and None when ``until`` came first.

    Both raise ConnectionLost when the stream breaks; ``send`` raises NoAnswer when the device does
    not take the bytes until ``until``. ``close`` never raises and takes no longer than a second.
    """

    def send(self, data: bytes, until: Deadline) -> None: ...

    def receive(self, until: Deadline) -> bytes | None: ...

    def close(self) -> None: ...


def reason(error: OSError) -> str:
    """The error as a few words, without the numbers and paths Python adds."""
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or type(error).__name__
