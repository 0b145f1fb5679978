"""Run commands one after another and measure the whole tree of processes that they leave behind.

A meter is a process forked for one sample. It is a subreaper (prctl(2)), so whoever a command abandons
becomes its child, and CPU time is the sum over everything it reaps: wait4(2) gives each process with the
children that it waited for itself. Wall time is that of the commands alone, from their start to their end.

Processes are counted by the numbers the kernel gives them: in a pid namespace of our own, in which
nothing else starts a process, those between two processes of the meter are the sample's. No tracer
slows anybody down. The count is left out when the numbers may have wrapped.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# Pids wrap at 32768 (pid_max); a process takes at least half a millisecond to make.
_COUNTABLE_MS = 10_000
# For what the commands leave behind: an announcer of addresses sends for some seconds.
_REAP_S = 30
KILLED = -signal.SIGKILL


class MeterFailure(Exception):
    """A sample could not be taken; ``str()`` says why."""


@dataclass(frozen=True)
class Command:
    """One process and, after it, a look at what it has done: ``check`` returns what is wrong, or ""."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Sample:
    """Wall and CPU time, processes (None: not countable), exit codes, and the first thing that was wrong."""

    wall_ms: float
    cpu_ms: float
    processes: int | None
    codes: tuple[int, ...]
    wrong: str


def sample(commands: Sequence[Command], limit_s: int, stderr: str) -> Sample:
    """Run ``commands`` and measure them. One that takes longer than ``limit_s`` is killed (KILLED).

    ``stderr`` is a file that gets what the last command said. Raises MeterFailure.
    """
    reading, writing = os.pipe()
    meter = os.fork()
    if meter == 0:
        _be_the_meter(commands, limit_s, stderr, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        patience_s = limit_s * len(commands) + 2 * _REAP_S
        answered = bool(select.select([pipe], [], [], patience_s)[0])
        text = pipe.read() if answered else ""
    if not answered:
        os.kill(meter, signal.SIGKILL)
    os.waitpid(meter, 0)
    if not text:
        raise MeterFailure(f"{commands[0].argv[0]}: not measured within {patience_s} s")
    found = json.loads(text)
    if "failure" in found:
        raise MeterFailure(found["failure"])
    return Sample(found["wall_ms"], found["cpu_ms"], found["processes"], tuple(found["codes"]), found["wrong"])


def _be_the_meter(commands: Sequence[Command], limit_s: int, stderr: str, writing: int) -> None:
    """The forked process: never returns."""
    try:
        try:
            answer = _measure(commands, limit_s, stderr)
        except Exception as error:
            answer = {"failure": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(answer).encode())
    finally:
        os._exit(0)


def _measure(commands: Sequence[Command], limit_s: int, stderr: str) -> dict[str, object]:
    os.chdir("/")
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    clock = _Clock()
    first = _pid_now()
    codes, wrong = [], ""
    for command in commands:
        code = clock.run(command, limit_s, stderr)
        wrong = wrong or command.check()
        codes.append(code)
    clock.reap_the_rest()
    last = _pid_now()
    countable = last > first and clock.wall_ms < _COUNTABLE_MS
    return {
        "wall_ms": clock.wall_ms,
        "cpu_ms": clock.cpu_ms,
        "processes": last - first - 1 if countable else None,
        "codes": codes,
        "wrong": wrong,
    }


def _pid_now() -> int:
    """The number the kernel gives out next, by using it."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


class _Clock:
    """Adds up wall and CPU time."""

    def __init__(self) -> None:
        self.wall_ms = 0.0
        self.cpu_ms = 0.0
        self._running = 0
        signal.signal(signal.SIGALRM, self._too_long)

    def run(self, command: Command, limit_s: int, stderr: str) -> int:
        """One command from its start to its end; its exit code."""
        actions = (
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        )
        begin_ns = time.monotonic_ns()
        self._running = os.posix_spawn(
            command.argv[0], command.argv, command.env, file_actions=actions, setsid=True
        )
        signal.alarm(limit_s)
        _, status, usage = os.wait4(self._running, 0)
        self.wall_ms += (time.monotonic_ns() - begin_ns) / 1e6
        signal.alarm(0)
        self._running = 0
        self.cpu_ms += 1000 * (usage.ru_utime + usage.ru_stime)
        return os.waitstatus_to_exitcode(status)

    def reap_the_rest(self) -> None:
        """Wait for everything the commands have abandoned."""
        signal.alarm(_REAP_S)
        while True:
            try:
                _, _, usage = os.wait4(-1, 0)
            except ChildProcessError:
                break
            self.cpu_ms += 1000 * (usage.ru_utime + usage.ru_stime)
        signal.alarm(0)

    def _too_long(self, *_: object) -> None:
        if not self._running:
            raise MeterFailure(f"a process that was left behind is still there after {_REAP_S} s")
        os.killpg(self._running, signal.SIGKILL)
