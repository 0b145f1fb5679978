"""Run one command: list argv, explicit environment, no stdin by default, a deadline, bounded output.

The child leads a process group of its own, so that at the deadline it is killed together with
whatever it started. ``subprocess`` is imported only when a command is really run: a monitor that
runs none does not pay for it.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from failover_kit.spec.deadline import Deadline

# Enough for any tool we call; a child that floods us must not take our memory.
OUTPUT_LIMIT_BYTES = 1 << 20

CLEAN_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "LANG": "C"}


class CommandResult:
    """What a finished command left: ``code`` (negative: killed by that signal), text on both streams."""

    __slots__ = ("argv", "code", "stderr", "stdout")

    def __init__(self, argv: Sequence[str], code: int, stdout: str, stderr: str) -> None:
        self.argv = argv
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def ok(self) -> bool:
        return self.code == 0

    def last_line(self) -> str:
        """The last non-empty line of stderr, else of stdout: the part an error should quote."""
        for text in (self.stderr, self.stdout):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return "(no output)"

    def describe(self) -> str:
        """The command as one could paste it, its exit code and its last line."""
        return f"'{quote(self.argv)}' exited {self.code}: {self.last_line()}"


class CommandTimeout(Exception):
    """A command did not end by its deadline; its process group was killed."""


class CommandMissing(Exception):
    """The program does not exist or cannot be executed on this machine."""


def quote(argv: Sequence[str]) -> str:
    """``argv`` as a line for a shell, without importing shlex on the fast path."""
    import shlex

    return shlex.join(argv)


def run(
    argv: Sequence[str],
    deadline: Deadline,
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    cwd: str = "/",
    keep: Sequence[int] = (),
) -> CommandResult:
    """Run ``argv`` and wait for it until ``deadline``.

    The environment is CLEAN_ENV plus ``env``; descriptors in ``keep`` stay open in the command. A
    non-zero exit is a result, not an error. Raises CommandMissing when the program is not there,
    CommandTimeout at the deadline.
    """
    import subprocess

    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**CLEAN_ENV, **(env or {})},
            cwd=cwd,
            pass_fds=keep,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        message = f"cannot run {argv[0]}: {error.strerror}; install it or check its path"
        raise CommandMissing(message) from None
    try:
        out, err = child.communicate(
            None if stdin is None else stdin.encode(), timeout=deadline.left_s()
        )
    except subprocess.TimeoutExpired:
        _kill(child)
        try:
            # A child in uninterruptible sleep cannot die yet; it is given up, not waited for.
            child.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            pass
        raise CommandTimeout(
            f"'{quote(argv)}' did not end within {deadline.total_ms / 1000:g} s and was killed"
        ) from None
    except BaseException:
        # Our own end, by a signal: nothing of it may go on without us.
        _kill(child)
        raise
    return CommandResult(
        argv,
        child.returncode,
        out[:OUTPUT_LIMIT_BYTES].decode("utf-8", "replace"),
        err[:OUTPUT_LIMIT_BYTES].decode("utf-8", "replace"),
    )


def _kill(child: subprocess.Popen[bytes]) -> None:
    import signal

    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
