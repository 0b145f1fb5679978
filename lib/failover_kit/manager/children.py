"""Run one agent in a cell of its own and wait for it, inside asyncio, until a deadline.

What differs from ``spec.process.run``: nothing blocks the loop, not even the fork and the exec (an
executable on a dead disk would stop our beats); what the agent leaves behind stays findable; an agent's
daemon that keeps our pipe open does not keep us waiting.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from failover_kit.manager.actionspace import ActionSpaceError, Cell, emptied, entering
from failover_kit.manager.agentserver_call import REPORT_S, Forked
from failover_kit.spec.deadline import boottime_ms
from failover_kit.spec.process import CLEAN_ENV

OUTPUT_LIMIT_BYTES = 1 << 16
"""Kept of each stream of an agent; the rest is read and dropped, so that it never blocks on us."""

INPUT_LIMIT_BYTES = 1 << 15
"""Half of what a pipe takes at once (pipe(7): 64 KiB), so that writing to it never blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended. ``code`` is None when it never ran or was killed; ``failure`` says why, then.

    ``lost``: not the agent's fault, nor did it take too long: its cell was emptied because the agent server could
    not say how it ended.
    """

    code: int | None
    stdout: str = ""
    stderr: str = ""
    began_ms: int
    ended_ms: int
    failure: str = ""
    lost: bool = False

    def last_line(self) -> str:
        """The last line that says something, stderr first; "" when there is none."""
        for text in (self.stderr, self.stdout):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return ""


class Calls:
    """The calls of agents that run now, for status: every wait shows while it lasts."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[str, int, int]] = {}
        self._number = 0

    @contextmanager
    def during(self, what: str, timeout_ms: int) -> Iterator[None]:
        """``what`` runs from here to the end of the block, for ``timeout_ms`` at most."""
        self._number += 1
        number, now_ms = self._number, boottime_ms()
        self._running[number] = (what, now_ms, now_ms + timeout_ms)
        try:
            yield
        finally:
            del self._running[number]

    def running(self) -> tuple[tuple[str, int, int], ...]:
        """(what, since when, until when), the oldest first."""
        return tuple(self._running.values())


class TooOld(Exception):
    """The decision to run this was made too long ago; nothing was run (PROTOCOL rule 21)."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """The decision was made at ``decided_ms``; nothing is forked for it later than ``bound_ms`` after."""

    decided_ms: int
    bound_ms: int

    def require(self) -> None:
        """Raise TooOld when the bound has passed."""
        age_ms = boottime_ms() - self.decided_ms
        if age_ms > self.bound_ms:
            raise TooOld(f"the decision is {age_ms} ms old (bound {self.bound_ms} ms); it must be made again")


Child = subprocess.Popen[bytes] | Forked

Begin = Callable[[Cell, Sequence[str], Mapping[str, str], Freshness | None], Forked | None]
"""``AgentServer.begin``: a call that has begun, or None and it is executed. Called in a thread, it may block."""


async def run_in(
    cell: Cell,
    argv: Sequence[str],
    *,
    timeout_ms: int,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    freshness: Freshness | None = None,
    begin: Begin | None = None,
) -> Ended:
    """Run ``argv`` in ``cell``. Whatever happens is in the answer; only cancellation and TooOld are raised.

    At the deadline the whole cell is killed and waited for. After a normal end, processes the child left are
    still in the cell: the caller decides. Cancelled, the cell is killed, not waited for.
    """
    began_ms = boottime_ms()
    _keep_exit_codes()
    try:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the result.
        async with asyncio.timeout(timeout_ms / 1000):
            child = await _spawned(cell, argv, environment or {}, stdin, freshness, begin=begin)
    except asyncio.CancelledError:
        cell.kill()
        raise
    except TooOld:
        cell.remove()  # nothing was forked
        raise
    except TimeoutError:
        return await _killed(cell, "", "", began_ms, f"could not be executed within {timeout_ms / 1000:g} s")
    except (OSError, subprocess.SubprocessError, ActionSpaceError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        failure = f"cannot be executed: {reason}"
        return Ended(code=None, began_ms=began_ms, ended_ms=boottime_ms(), failure=failure)
    left_s = max(0.0, timeout_ms / 1000 - (boottime_ms() - began_ms) / 1000)
    try:
        heard = _Listener(child)
    except OSError as error:  # no file descriptor left: what cannot be watched must not run
        ended = await _killed(cell, "", "", began_ms, f"cannot be watched: {error.strerror}; it was killed")
        _disown(cell, child)
        return ended
    with heard as listener:
        try:
            async with asyncio.timeout(left_s):
                await listener.ended.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            cell.kill()
            _reap_later(child)
            raise
        code = child.poll()
        out, err = listener.text()
    if code is None:
        late = f"did not end within {timeout_ms / 1000:g} s and was killed"
        lost = child.lost if isinstance(child, Forked) else ""
        ended = await _killed(cell, out, err, began_ms, lost or late)
        _reap_later(child)
        return replace(ended, lost=bool(lost) and not cell.populated())
    return Ended(code=code, stdout=out, stderr=err, began_ms=began_ms, ended_ms=boottime_ms())


def _keep_exit_codes() -> None:
    """Undo an ignored SIGCHLD, which survives exec: the kernel then throws exit codes away (wait(2), NOTES),
    and ``Popen`` reports 0, success, for every one of them."""
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


async def _killed(cell: Cell, out: str, err: str, began_ms: int, failure: str) -> Ended:
    stays = await emptied(cell)
    if stays:
        failure = f"{failure}, but {stays}"
    now_ms = boottime_ms()
    return Ended(code=None, stdout=out, stderr=err, began_ms=began_ms, ended_ms=now_ms, failure=failure)


def _reap_later(child: Child) -> None:
    """Collect a killed child's exit status when it comes, and let nobody wait for it."""
    if not isinstance(child, Forked) and child.poll() is None:
        threading.Thread(target=child.wait, daemon=True, name="reaper").start()


async def _spawned(
    cell: Cell,
    argv: Sequence[str],
    environment: Mapping[str, str],
    stdin: bytes | None,
    freshness: Freshness | None,
    *,
    begin: Begin | None,
) -> Child:
    """Fork and exec in a thread of its own: Popen returns only after the exec, and that reads a disk."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Child] = loop.create_future()

    def spawn() -> None:
        try:
            child: Child | None = None
            if begin is not None and stdin is None:
                child = begin(cell, argv, environment, freshness)
            if child is None:  # nothing has begun, though it may have taken a moment to know that
                if freshness is not None:
                    freshness.require()
                child = _popen(cell, argv, environment, stdin)
                expose_to_oom_killer(child.pid)
        except BaseException as error:  # handed to the waiting side, whatever it is
            _tell(loop, _fail, result, error)
        else:
            _tell(loop, _deliver, result, cell, child)

    threading.Thread(target=spawn, daemon=True, name="spawn").start()
    try:
        return await result
    except asyncio.CancelledError:
        if result.done() and not result.cancelled() and result.exception() is None:
            _disown(cell, result.result())
        raise


def _disown(cell: Cell, child: Child) -> None:
    """Nobody waits for it any more: it must not run unseen."""
    cell.kill()
    _close(child)
    _reap_later(child)


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed: failoverd is ending, the next life finds the cell


def _fail(result: asyncio.Future[Child], error: BaseException) -> None:
    if not result.done():
        result.set_exception(error)


def _deliver(result: asyncio.Future[Child], cell: Cell, child: Child) -> None:
    if result.done():
        _disown(cell, child)
    else:
        result.set_result(child)


def _fork() -> None:
    """Nothing, in the child: with a function to call there subprocess uses fork(2), else vfork(2), which stops
    every thread of ours until the exec is done. A program on a disk that hangs would stop the beats.
    """


def _popen(
    cell: Cell, argv: Sequence[str], environment: Mapping[str, str], stdin: bytes | None
) -> subprocess.Popen[bytes]:
    source = _input(stdin)
    try:
        with entering(cell) as entry:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if source is None else source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**CLEAN_ENV, **environment, **entry.environment},
                cwd="/",
                start_new_session=True,
                preexec_fn=entry.before_exec or _fork,  # noqa: PLW1509 - why this is sound: CgroupCell.entry
            )
    finally:
        if source is not None:
            os.close(source)


def expose_to_oom_killer(pid: int, proc: str = "/proc") -> None:
    """failoverd's unit has OOMScoreAdjust=-1000, which children inherit: a service that eats all memory would
    then be the one process that is never chosen. At once, before the child begins to fork."""
    try:
        with open(f"{proc}/self/oom_score_adj", encoding="ascii") as file:
            ours = int(file.read())
        if ours < 0:
            with open(f"{proc}/{pid}/oom_score_adj", "w", encoding="ascii") as file:
                file.write("0")
    except OSError:
        return  # it has ended already, or this kernel does not let us


def _input(data: bytes | None) -> int | None:
    """A pipe that already holds ``data`` and ends there."""
    if data is None:
        return None
    if len(data) > INPUT_LIMIT_BYTES:
        raise OSError(f"input of {len(data)} bytes, more than {INPUT_LIMIT_BYTES}")
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, data)
    os.close(writer)
    return reader


def _close(child: Child) -> None:
    if isinstance(child, Forked):
        child.close()
        return
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


class _Listener:
    """Reads both streams and waits for the exit of one child, without a thread."""

    def __init__(self, child: Child) -> None:
        self.ended = asyncio.Event()
        self._child = child
        self._loop = asyncio.get_running_loop()
        self._streams = [stream.fileno() for stream in (child.stdout, child.stderr) if stream is not None]
        self._texts = {fd: bytearray() for fd in self._streams}
        self._open: set[int] = set()
        self._late: asyncio.TimerHandle | None = None
        # Of a forked one the server says that it has ended, and how.
        self._end = os.dup(child.line.fileno()) if isinstance(child, Forked) else os.pidfd_open(child.pid)

    def __enter__(self) -> _Listener:
        self._loop.add_reader(self._end, self._exited)
        if isinstance(self._child, Forked):
            self._loop.add_reader(self._child.pidfd, self._unreported, self._child)
        for fd in self._streams:
            os.set_blocking(fd, False)
            self._loop.add_reader(fd, self._read, fd)
            self._open.add(fd)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._end)
        os.close(self._end)
        if isinstance(self._child, Forked):
            self._loop.remove_reader(self._child.pidfd)
        if self._late is not None:
            self._late.cancel()
        for fd in self._open:
            self._loop.remove_reader(fd)
        _close(self._child)

    def _exited(self) -> None:
        self._loop.remove_reader(self._end)
        self._child.poll()
        for fd in tuple(self._open):
            self._read(fd)
        self.ended.set()

    def _unreported(self, child: Forked) -> None:
        """It has ended. The server has a moment to say how."""
        self._loop.remove_reader(child.pidfd)
        self._late = self._loop.call_later(REPORT_S, self._give_up, child)

    def _give_up(self, child: Forked) -> None:
        child.give_up()
        self._exited()

    def _read(self, fd: int) -> None:
        """Take what is there; at the end of the stream stop listening to it."""
        while True:
            try:
                data = os.read(fd, 1 << 14)
            except BlockingIOError:
                return
            if not data:
                self._loop.remove_reader(fd)
                self._open.discard(fd)
                return
            room = OUTPUT_LIMIT_BYTES - len(self._texts[fd])
            self._texts[fd] += data[:room]

    def text(self) -> tuple[str, str]:
        out, err = (bytes(self._texts[fd]).decode("utf-8", "replace") for fd in self._streams)
        return out, err
