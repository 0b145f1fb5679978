"""Things that may hang in the kernel, done by a child process that can be given up.

A process in uninterruptible sleep (a dead disk, a dead server) cannot be killed; the only way not to
hang with it is not to be it. The child does one thing, answers through a pipe and ends. One that is
late is killed and given up: the caller goes on, but as long as it exists it may still *do* what it
was sent for, so whoever reports success must first see ``leftovers()`` empty.
"""

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.spec.deadline import Deadline

_ANSWER_LIMIT_BYTES = 1 << 16
_SIGKILL = 9


# Kept back from a loop of attempts for its last one: a fork and an open on a busy machine.
LAST_TRY_MS = 250


def loop_deadline(whole: "Deadline") -> "Deadline":
    """When to stop trying again, so that the last try still has time to give its answer."""
    left_ms = whole.left_ms()
    return whole.at_most(max(left_ms - max(left_ms // 10, LAST_TRY_MS), left_ms // 2))


class GivenUp(Exception):
    """A child did not answer in time; ``str()`` says what it was doing."""


class Attempts:
    """The children of one action."""

    __slots__ = ("_late",)

    def __init__(self) -> None:
        self._late: dict[int, str] = {}

    def run(self, what: str, work: "Callable[[], str]", deadline: "Deadline") -> str:
        """``work()`` in a child: its text, its OSError raised here again, or GivenUp at the deadline.

        ``what`` completes "… did not answer within 5 s". The child shares no file descriptor with
        the caller's standard streams, so a hung one holds nobody's pipe.
        """
        receiver, sender = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            _answer(work, sender)
        os.close(sender)
        try:
            data = _receive(receiver, deadline)
        finally:
            os.close(receiver)
        if data is None:
            self._give_up(pid, what)
            raise GivenUp(f"{what} did not answer within {deadline.total_ms / 1000:g} s; it hangs in the kernel")
        os.waitpid(pid, 0)
        kind, _, rest = data.decode("utf-8", "surrogateescape").partition(":")
        if kind == "ok":
            return rest
        number, _, text = rest.partition(":")
        raise OSError(int(number or 5), text or f"{what}: the helper process died")

    def leftovers(self) -> "list[str]":
        """What children given up before are still doing; those that ended meanwhile are forgotten."""
        for pid in list(self._late):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                del self._late[pid]
        return list(self._late.values())

    def _give_up(self, pid: int, what: str) -> None:
        os.kill(pid, _SIGKILL)
        self._late[pid] = what


def _receive(receiver: int, deadline: "Deadline") -> "bytes | None":
    """All the child says until it closes the pipe; None when it is late."""
    poller = select.poll()
    poller.register(receiver, select.POLLIN)
    blocks: list[bytes] = []
    while True:
        if not poller.poll(deadline.left_ms()):
            return None
        block = os.read(receiver, _ANSWER_LIMIT_BYTES)
        if not block:
            return b"".join(blocks)
        blocks.append(block)


def _answer(work: "Callable[[], str]", sender: int) -> None:
    """The child's whole life."""
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        try:
            text = "ok:" + work()
        except OSError as error:
            text = f"error:{error.errno or 5}:{error.strerror or error}"
        os.write(sender, os.fsencode(text)[:_ANSWER_LIMIT_BYTES])
    finally:
        os._exit(0)
