"""Small disks for the nodes' own state: filesystems that survive a power cut and can be full.

They are tmpfs mounts in a mount namespace of its own, kept by a process that dies with the rehearsal; nodes begin
in that namespace and copy it (mount_namespaces(7)), so nothing is ever mounted on the machine itself.
"""

from __future__ import annotations

import os
import subprocess

from failover_kit.rehearsal.namespaces import COMMAND_MS, NamespaceError, dies_with_us
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, run

BALLAST = "ballast"
_CHUNK_BYTES = 1 << 16


class Room:
    """Keeps the disks until ``close()``."""

    def __init__(self) -> None:
        argv = ["unshare", "--mount", "--propagation", "private", "--", "/usr/bin/python3", "-IS", "-c", _WAIT]
        self._keeper = subprocess.Popen(
            dies_with_us(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=CLEAN_ENV, cwd="/"
        )
        assert self._keeper.stdout is not None  # noqa: S101 - made with a pipe
        if self._keeper.stdout.readline() != b"ready\n":
            self.close()
            raise NamespaceError("unshare --mount: no mount namespace could be made")

    def prefix(self) -> list[str]:
        """What to put before a command line so that it runs here."""
        return ["nsenter", f"--mount=/proc/{self._keeper.pid}/ns/mnt", "--"]

    def add_disk(self, directory: str, size_bytes: int) -> None:
        """An empty disk at ``directory``. Raises NamespaceError."""
        options = f"size={size_bytes},mode=755"
        argv = [*self.prefix(), "mount", "-t", "tmpfs", "-o", options, "tmpfs", directory]
        result = run(argv, Deadline(COMMAND_MS))
        if not result.ok():
            raise NamespaceError(result.describe())

    def fill(self, directory: str) -> None:
        """Leave no free block on the disk at ``directory``."""
        chunk = bytes(_CHUNK_BYTES)
        with open(self._ballast(directory), "ab", buffering=0) as file:
            while True:
                try:
                    if file.write(chunk) < len(chunk):
                        return
                except OSError:  # ENOSPC: that is what we came for
                    return

    def free(self, directory: str) -> None:
        """Take away what ``fill`` put there."""
        try:
            os.unlink(self._ballast(directory))
        except FileNotFoundError:
            pass

    def _ballast(self, directory: str) -> str:
        return f"/proc/{self._keeper.pid}/root{directory}/{BALLAST}"

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()
        for stream in (self._keeper.stdin, self._keeper.stdout):
            if stream is not None:
                stream.close()


_WAIT = "import sys; print('ready', flush=True); sys.stdin.read()"
