"""Network namespaces without names: each lives as long as a file descriptor of this process.

Nothing is pinned under ``/run/netns``. When the rehearsal dies, however it dies, the kernel takes the
namespaces and everything in them away; a crash has nothing to clean up here. See namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run

_T = TypeVar("_T")

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
COMMAND_MS = 10_000

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceError(Exception):
    """Something in a namespace could not be made; ``str()`` has the command and the kernel's reason."""


def in_thread(function: Callable[[], _T]) -> _T:
    """Run ``function`` in a thread of its own: a thread may change its network namespace and end."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:  # raised again below, in the caller
            errors.append(error)

    thread = threading.Thread(target=body, name="namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _checked(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


class NetworkNamespace:
    """A network namespace; ``close()`` lets it go when no process is in it any more."""

    def __init__(self) -> None:
        def make() -> int:
            _checked(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        self._fd = in_thread(make)
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def inside(self, function: Callable[[], _T]) -> _T:
        """Call ``function`` with this as its network namespace: a socket it opens belongs here."""

        def body() -> _T:
            _checked(_libc.setns(self._fd, CLONE_NEWNET), "setns")
            return function()

        return in_thread(body)

    def prefix(self) -> list[str]:
        """What to put before a command line so that it runs here."""
        return ["nsenter", f"--net={self.path}", "--"]

    def ip(self, *lines: str) -> None:
        """Commands of ip(8), one a line, in one process. Raises NamespaceError."""
        argv = [*self.prefix(), "ip", "-batch", "-"]
        result = run(argv, Deadline(COMMAND_MS), stdin="".join(f"{line}\n" for line in lines))
        if not result.ok():
            raise NamespaceError(f"ip: {'; '.join(lines)}: {result.last_line()}")


def dies_with_us(argv: Sequence[str]) -> list[str]:
    """``argv``, to be killed when the thread that starts it ends (PR_SET_PDEATHSIG, prctl(2))."""
    return ["setpriv", "--pdeathsig", "KILL", *argv]
