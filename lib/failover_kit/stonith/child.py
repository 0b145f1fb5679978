"""Run an agent or a plugin: list argv, explicit environment, one deadline, asked to leave before it is killed.

Unlike ``spec.process.run`` a child gets SIGTERM first, because a fence agent that is killed leaves the
switch's only session open, and it is ended also when this process is told to stop.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, OUTPUT_LIMIT_BYTES, CommandMissing, CommandResult, CommandTimeout

# How long a child may take to log out after SIGTERM. It comes on top of the deadline.
LEAVE_MS = 3000
# A grandchild that keeps the pipes open after the child's end is not waited for longer.
LAST_WORDS_MS = 500
# What stops this process from outside: a supervisor, ^C, a terminal that is closed, ^\\.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
# What a pipe takes at once (pipe(7): 65536), so that writing can never block.
STDIN_LIMIT_BYTES = 60_000


def run_child(
    argv: Sequence[str], deadline: Deadline, *, env: Mapping[str, str], stdin: str | None = ""
) -> CommandResult:
    """Run ``argv`` with CLEAN_ENV plus ``env`` and ``stdin`` on its standard input; None: ours.

    Raises CommandMissing when it cannot be executed, CommandTimeout at the deadline. Neither carries
    an environment value or what stood on standard input.
    """
    if deadline.expired():
        raise CommandTimeout(f"{argv[0]} was not begun: the {deadline.total_ms / 1000:g} s are used up")
    data = (stdin or "").encode("utf-8", "surrogateescape")
    if len(data) > STDIN_LIMIT_BYTES:
        raise CommandMissing(f"{argv[0]}: the parameters are longer than {STDIN_LIMIT_BYTES} bytes; shorten them")
    signals = _Deferred()
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if data else None if stdin is None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**CLEAN_ENV, **env},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        signals.deliver()
        raise CommandMissing(f"cannot run {argv[0]}: {error.strerror}; install it or check its path") from None
    try:
        signals.deliver()
        if child.stdin is not None:
            try:
                child.stdin.write(data)
                child.stdin.close()
            except BrokenPipeError:
                pass
        out, err = _collect(child, argv[0], deadline)
    except BaseException:
        _end(child)
        raise
    finally:
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    return CommandResult(argv, child.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


class _Deferred:
    """Holds the signals that stop us back from its making until ``deliver()``.

    An exception from a signal handler inside Popen() would leave a running child that nobody knows. Blocking the
    signals would not do: the child would inherit that and could not be told to leave.
    """

    def __init__(self) -> None:
        self._came: list[int] = []
        self._handlers: dict[int, Any] = {}
        # Elsewhere handlers neither run nor may be set (signal.signal).
        if threading.current_thread() is threading.main_thread():
            for number in STOPS:
                self._handlers[number] = signal.signal(number, self._note)

    def deliver(self) -> None:
        """Put the handlers back and let what came meanwhile happen now; may raise what a handler raises."""
        for number, handler in self._handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number in self._came:
            signal.raise_signal(number)

    def _note(self, number: int, _frame: object) -> None:
        self._came.append(number)


def _collect(child: subprocess.Popen[bytes], program: str, deadline: Deadline) -> tuple[bytes, bytes]:
    """Everything on both streams until the child has ended. Raises CommandTimeout."""
    assert child.stdout is not None and child.stderr is not None  # noqa: S101 - asked for in run_child
    texts = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    out, err = texts.values()
    last_words: Deadline | None = None
    while texts:
        if last_words is None and child.poll() is not None:
            last_words = deadline.at_most(LAST_WORDS_MS)
        until = last_words or deadline
        if until.expired():
            if last_words is not None:
                break
            raise CommandTimeout(f"{program} did not end within {deadline.total_ms / 1000:g} s")
        # In slices, since the end of a child whose grandchild holds the pipes wakes nobody.
        ready, _, _ = select.select(list(texts), [], [], min(0.2, until.left_s()))
        for fd in ready:
            chunk = os.read(fd, 65536)
            if not chunk:
                del texts[fd]
            elif len(texts[fd]) < OUTPUT_LIMIT_BYTES:
                texts[fd] += chunk
    while child.poll() is None:
        if deadline.expired():
            raise CommandTimeout(f"{program} did not end within {deadline.total_ms / 1000:g} s")
        try:
            child.wait(deadline.left_s())
        except subprocess.TimeoutExpired:
            continue
    return bytes(out), bytes(err)


def _end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the child's group, SIGKILL when it is not gone after LEAVE_MS.

    A signal that comes meanwhile, a second ^C say, waits: it must not leave the child behind.
    """
    signals = _Deferred()
    try:
        _end_group(child)
    finally:
        signals.deliver()


def _end_group(child: subprocess.Popen[bytes]) -> None:
    for stop, patience_ms in ((signal.SIGTERM, LEAVE_MS), (signal.SIGKILL, 1000)):
        try:
            os.killpg(child.pid, stop)
        except ProcessLookupError:
            pass
        patience = Deadline(patience_ms)
        while not patience.expired():
            if child.poll() is not None and not _group_lives(child.pid):
                return
            time.sleep(0.02)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
