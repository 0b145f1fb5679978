"""``process.run`` for an agent that clients wait for, without ``subprocess``: to import that costs as much as half
an interpreter's start (regular expressions, enums, threads, selectors; docs/design/0049).

Only for a process without threads: between fork and exec the child runs Python.
"""

from __future__ import annotations

import os
import select

from failover_kit.spec.process import (
    CLEAN_ENV,
    OUTPUT_LIMIT_BYTES,
    CommandMissing,
    CommandResult,
    CommandTimeout,
    quote,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from failover_kit.spec.deadline import Deadline
else:
    import _signal as signal  # its C half: signal itself makes enums of all numbers

_LAST_WORDS_MS = 1000
# A child that could not execute its program says why by its errno. 127 and 126 may be a program's own codes.
_NO_EXEC = 127


def run(argv: Sequence[str], deadline: Deadline, *, keep: Sequence[int] = ()) -> CommandResult:
    """Run ``argv`` with CLEAN_ENV in ``/`` and wait for it until ``deadline``.

    Descriptors in ``keep`` stay open in the command. A non-zero exit is a result, not an error. Raises
    CommandMissing when the program is not there, CommandTimeout at the deadline.
    """
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:  # inherited: the kernel would throw exit codes away
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ends = [os.pipe() for _ in range(3)]
    (out, child_out), (err, child_err), (news, child_news) = ends
    pid = os.fork()
    if pid == 0:
        _become(argv, (child_out, child_err), child_news, keep)
    for fd in (child_out, child_err, child_news):
        os.close(fd)
    heard = {out: b"", err: b"", news: b""}
    try:
        in_time = _listen(heard, pid, deadline)
    except BaseException:
        # Our own end, by whatever: nothing of it may go on without us.
        _kill(pid)
        raise
    finally:
        for fd in (out, err, news):
            os.close(fd)
    if not in_time:
        _kill(pid)
        # A child in uninterruptible sleep cannot die yet; it is given up, not waited for.
        _ended(pid, _LAST_WORDS_MS)
        raise CommandTimeout(f"'{quote(argv)}' did not end within {deadline.total_ms / 1000:g} s and was killed")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if heard[news]:
        reason = os.strerror(int(heard[news]))
        raise CommandMissing(f"cannot run {argv[0]}: {reason}; install it or check its path")
    texts = [heard[fd].decode("utf-8", "replace") for fd in (out, err)]
    return CommandResult(argv, code, *texts)


def _become(argv: Sequence[str], streams: tuple[int, int], news: int, keep: Sequence[int]) -> None:
    """In the child. Does not return."""
    try:
        os.setsid()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and that survives an exec
            signal.signal(number, signal.SIG_DFL)
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDONLY)
        for stream, fd in enumerate((null, *streams)):
            os.dup2(fd, stream)
        first = 3
        for fd in sorted({news, *(fd for fd in keep if fd > 2)}):
            os.closerange(first, fd)
            first = fd + 1
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))
        for fd in keep:
            os.set_inheritable(fd, True)
        os.execvpe(argv[0], list(argv), CLEAN_ENV)  # noqa: S606 - that is what is wanted
    except OSError as error:
        os.write(news, str(error.errno or 0).encode())
    finally:
        os._exit(_NO_EXEC)


def _listen(kept: dict[int, bytes], pid: int, deadline: Deadline) -> bool:
    """Read the pipes to their ends and wait for the end of the child; False when that takes too long."""
    poll = select.poll()
    open_ends = set(kept)
    for fd in open_ends:
        poll.register(fd, select.POLLIN)
    while open_ends:
        left_ms = deadline.left_ms()
        ready = poll.poll(left_ms)
        if not ready and left_ms == 0:
            return False
        for fd, _ in ready:
            data = os.read(fd, 1 << 16)
            if data:
                kept[fd] = (kept[fd] + data)[:OUTPUT_LIMIT_BYTES]
            else:
                poll.unregister(fd)
                open_ends.discard(fd)
    return _ended(pid, deadline.left_ms())


def _ended(pid: int, wait_ms: int) -> bool:
    """Whether the child has ended; it is not collected."""
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(wait_ms))
    finally:
        os.close(pidfd)


def _kill(pid: int) -> None:
    """Its whole group. It may not lead one yet, if it was forked just now."""
    for kill, number in ((os.killpg, pid), (os.kill, pid)):
        try:
            kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
