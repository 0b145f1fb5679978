"""Running what hangs on an outlet: the command that makes power come or go.

Not ``spec.process.run``: that waits until the command's output ends, and an ON command typically
leaves something running (a booting node) that inherits the output. Here the relay has clicked when
the command itself has exited; what it left behind lives on in its own process group.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Sequence
from typing import IO

from failover_kit.spec.process import CLEAN_ENV, quote

LAST_LINES_BYTES = 4096  # how much of the end of a failed command's output is looked at


async def run_outlet_command(argv: Sequence[str], env: dict[str, str], timeout_ms: int) -> str | None:
    """Run ``argv``; None when it exited 0, else one sentence that says what happened.

    The command gets CLEAN_ENV plus ``env``, no stdin, ``/`` as its directory, and a session of its own.
    At the timeout, and when this task is cancelled, its process group is killed.
    """
    with _output_file() as output:
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**CLEAN_ENV, **env},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot run {argv[0]}: {error.strerror}; check its path and its mode"
        try:
            code = await asyncio.wait_for(child.wait(), timeout_ms / 1000)
        except TimeoutError:
            _kill_group(child.pid)
            return f"'{quote(argv)}' did not end within {timeout_ms / 1000:g} s and was killed"
        except asyncio.CancelledError:
            _kill_group(child.pid)
            raise
        if code == 0:
            return None
        return f"'{quote(argv)}' exited {code}: {_last_line(output.fileno())}"


def _output_file() -> IO[bytes]:
    """Where the command's output goes; without a directory for such files nowhere: the outlet must switch."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "r+b")


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _last_line(fd: int) -> str:
    size = os.fstat(fd).st_size
    text = os.pread(fd, LAST_LINES_BYTES, max(0, size - LAST_LINES_BYTES)).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(no output)"
