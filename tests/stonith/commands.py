"""Running cluster-glue's ``stonith`` and ours in the same way: standard input a terminal, or not."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = str(ROOT / "stonith" / "stonith")
THEIRS = "/usr/sbin/stonith"
PLUGINS = Path("/usr/lib/stonith/plugins/external")
# For a machine under load; a test that works never waits for it.
PATIENCE_S = 120
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Answer:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """stderr without the usage text, which only has to be there, and without the program's path."""
        before, usage, _ = self.err.partition("usage:\n")
        return before.replace(THEIRS + ":", "stonith:") + ("(usage)" if usage else "")


def run(
    program: str,
    arguments: Sequence[str],
    *,
    terminal: bool = False,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> Answer:
    """Run it with nothing but PATH and ``env`` in its environment."""
    terminal_side, stdin = pty.openpty() if terminal else (-1, subprocess.DEVNULL)
    try:
        done = subprocess.run(
            [*prefix, program, *arguments],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={"PATH": PATH, **(env or {})},
            check=False,
        )
    finally:
        if terminal:
            os.close(terminal_side)
            os.close(stdin)
    return Answer(done.returncode, done.stdout, done.stderr)
