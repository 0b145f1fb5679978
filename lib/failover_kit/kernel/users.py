"""Who uses a mount that somebody wants free, and ending those processes.

The users of a whole filesystem are told by its device number (``processes.Places``). For a mount
(``Reached``) that says nothing: every process that uses the source of a bind mount has the same. There
/proc/PID/fdinfo/N names the mount an open file was reached through (``mnt_id:``, proc(5)); for other
links the file is opened with O_PATH, which asks no local filesystem anything.
"""

import os

from failover_kit.kernel.processes import links_of, namespace_of, pids, require_own_numbers, status, untouchable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from failover_kit.kernel.mounts import Mount

    class Uses(Protocol):
        """What can say whether a process uses something that is wanted free."""

        points: frozenset[str]

        def used_by(self, pid: int) -> bool: ...


class Reached:
    """Mounts of this namespace that somebody wants free.

    ``by_text`` takes the text of a link for the whole truth and opens nothing: for a server that does
    not answer, because the NFS client may ask it even for O_PATH.
    """

    __slots__ = ("_by_text", "_here", "_ids", "points", "prefixes")

    def __init__(self, mounts: "Sequence[Mount]", by_text: bool = False) -> None:
        self.points = frozenset(mount.point for mount in mounts)
        self.prefixes = tuple(point + "/" for point in self.points)
        self._ids = frozenset(mount.id for mount in mounts)
        self._here = namespace_of("self")
        self._by_text = by_text

    def used_by(self, pid: int) -> bool:
        """Whether the process holds a working directory, root, program, open or mapped file through the mounts.

        A process of another mount namespace never does: what it has there is a mount of its own.
        """
        here = False
        for link in links_of(pid):
            try:
                text = os.readlink(link)
                if text not in self.points and not text.startswith(self.prefixes):
                    continue
                if not here and namespace_of(str(pid)) != self._here:
                    return False
                here = True
                if self._leads_here(link):
                    return True
            except OSError:
                # The process has closed it, or has ended.
                continue
        return self._mapped(pid)

    def _leads_here(self, link: str) -> bool:
        if "/fd/" in link:
            return _mount_id(link.replace("/fd/", "/fdinfo/")) in self._ids
        if self._by_text:
            return True
        fd = os.open(link, os.O_PATH | os.O_CLOEXEC)
        try:
            return _mount_id(f"/proc/self/fdinfo/{fd}") in self._ids
        finally:
            os.close(fd)

    def _mapped(self, pid: int) -> bool:
        """Mapped files by path: the kernel shows that of the mount they were opened through, newline as \\012."""
        needles = [os.fsencode(prefix).replace(b"\n", b"\\012") for prefix in self.prefixes]
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                data = file.read()
        except OSError:
            return False
        if not any(needle in data for needle in needles) or namespace_of(str(pid)) != self._here:
            return False
        paths = [fields[5] for line in data.split(b"\n") if len(fields := line.split(None, 5)) == 6]
        return any(path.startswith(tuple(needles)) for path in paths)


class Either:
    """A use of one of several kinds of places."""

    __slots__ = ("_kinds", "points")

    def __init__(self, kinds: "Sequence[Uses]") -> None:
        self._kinds = kinds
        self.points = frozenset(point for kind in kinds for point in kind.points)

    def used_by(self, pid: int) -> bool:
        return any(kind.used_by(pid) for kind in self._kinds)


def _mount_id(path: str) -> int:
    with open(path, "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line[7:])
    return -1


def users(places: "Uses") -> "list[int]":
    """The processes that keep ``places`` busy and may be signalled.

    Never init, this process or one it descends from, never a kernel thread. Processes that end
    meanwhile are no users. OSError when /proc is no ground to signal on (require_own_numbers()).
    """
    require_own_numbers()
    spared = untouchable()
    found = []
    for pid in pids():
        if pid not in spared and places.used_by(pid):
            state = status(pid)
            if state is not None and not state.kernel_thread():
                found.append(pid)
    return found


def send(pid: int, number: int, places: "Uses") -> bool:
    """Send signal ``number`` to ``pid`` if it still uses ``places``; whether a signal was sent.

    The pidfd is opened first and the process looked at again after that, so that a pid that was
    given to somebody else meanwhile is never hit.
    """
    import signal

    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not places.used_by(pid):
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
