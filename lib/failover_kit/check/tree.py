"""Files of a host, read through a root: ``/`` in life, a directory made by a test else.

Nothing raises for a file that is not there, cannot be read or is something else: a check reports what it sees. No
FIFO is waited for and nothing large is read to its end.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator

LIMIT_BYTES = 1 << 20
LIMIT_BLOCKS = 256
_LINKS_FOLLOWED = 16


class Tree:
    """Paths given and returned are absolute as seen from inside the root."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")

    def real(self, path: str) -> str:
        """Where ``path`` is on this machine."""
        return self._root + path

    def text(self, path: str) -> str | None:
        """The text of a regular file, its first MiB; None when there is none that can be read."""
        try:
            descriptor = os.open(self.real(self.resolve(path)), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError):
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            # Not by one read(2): of files in /proc and /sys it returns less than there is.
            blocks = iter(lambda: os.read(descriptor, LIMIT_BYTES), b"")
            return b"".join(itertools.islice(blocks, LIMIT_BLOCKS))[:LIMIT_BYTES].decode("utf-8", "replace")
        except OSError:
            return None
        finally:
            os.close(descriptor)

    def lines(self, path: str) -> Iterator[tuple[int, str]]:
        """Numbered lines, without comments and outer blanks, the empty ones left out."""
        for number, line in enumerate((self.text(path) or "").split("\n"), 1):
            bare = line.partition("#")[0].strip()
            if bare:
                yield number, bare

    def names(self, path: str) -> list[str]:
        """What is in a directory, sorted; nothing when it is none."""
        try:
            return sorted(os.listdir(self.real(self.resolve(path))))
        except (OSError, ValueError):
            return []

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.real(path))

    def link(self, path: str) -> str:
        """Where a symbolic link points, as it is written; "" when it is none."""
        try:
            return os.readlink(self.real(path))
        except (OSError, ValueError):
            return ""

    def resolve(self, path: str) -> str:
        """``path`` with its last part followed to what it stands for, inside the root."""
        for _ in range(_LINKS_FOLLOWED):
            target = self.link(path)
            if not target:
                break
            path = os.path.normpath(os.path.join(os.path.dirname(path), target))
        return path

    def mode(self, path: str) -> int | None:
        """st_mode of what is at ``path``; None when nothing is."""
        try:
            return os.stat(self.real(self.resolve(path))).st_mode
        except (OSError, ValueError):
            return None

    def owner(self, path: str) -> int | None:
        try:
            return os.stat(self.real(self.resolve(path))).st_uid
        except (OSError, ValueError):
            return None
