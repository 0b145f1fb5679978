"""Who holds a lock on a file, asked of this machine's kernel without taking one. Standard library only.

A lock that an NFS client holds, by version 3 (lockd) or 4 (nfsd), is a POSIX lock in the server's own lock table
(fs/lockd/svclock.c, fs/nfsd/nfs4state.c of Linux). Two looks, which must agree:

- F_GETLK on the file itself: would a write lock of ours be refused? Nothing is taken, and closing the file again
  releases nothing, since this process has no lock on it.
- ``/proc/locks``: a line ``N: POSIX ADVISORY WRITE PID MAJOR:MINOR:INODE START END``, MAJOR and MINOR in
  hexadecimal; waiters have ``->`` before POSIX. PID is of the kernel thread that acted for the client.
"""

from __future__ import annotations

import enum
import fcntl
import os
import struct
from dataclasses import dataclass

PROC_LOCKS = "/proc/locks"
SERVERS = ("nfsd", "lockd")
_FLOCK = "hhqqi4x"
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""


class State(enum.Enum):
    HELD = "held"
    FREE = "not held"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class LockState:
    """``holder`` is the kernel thread (``nfsd``, ``lockd``) that took the lock for its client."""

    path: str
    state: State
    why: str
    holder: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A line of /proc/locks that is a held POSIX write lock."""

    pid: int
    device: tuple[int, int]
    inode: int


def holders(text: str) -> list[Holder]:
    """The held POSIX write locks of ``/proc/locks``."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 8 or words[1:4] != ["POSIX", "ADVISORY", "WRITE"]:
            continue
        if words[5].count(":") != 2:
            continue  # "<none>:0": a lock without a file
        major, minor, inode = words[5].split(":")
        found.append(Holder(int(words[4]), (int(major, 16), int(minor, 16)), int(inode)))
    return found


def table() -> list[Holder]:
    with open(PROC_LOCKS, encoding="ascii", errors="replace") as file:
        return holders(file.read())


def thread_name(pid: int) -> str:
    """The name of process or kernel thread ``pid``; "" when it is no more."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def refused_by(fd: int) -> int | None:
    """The pid (as the kernel keeps it) whose lock stands in the way of a write lock of ours; None: nobody's."""
    answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    kind, _whence, _start, _length, pid = struct.unpack(_FLOCK, answer)
    return None if kind == fcntl.F_UNLCK else int(pid)


def state_of(path: str, servers: tuple[str, ...] = SERVERS) -> LockState:
    """Whether a client's lock on ``path``, a file of a mounted local filesystem of this machine, is held.

    UNKNOWN, with the reason, whenever the two looks disagree or somebody else than an NFS server holds it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return LockState(path, State.UNKNOWN, f"the file cannot be opened here: {error.strerror}")
    try:
        pid = refused_by(fd)
        status = os.fstat(fd)
        device = (os.major(status.st_dev), os.minor(status.st_dev))
        listed = [one for one in table() if (one.device, one.inode) == (device, status.st_ino)]
    except OSError as error:
        return LockState(path, State.UNKNOWN, f"the kernel does not say: {error.strerror}")
    finally:
        os.close(fd)
    return verdict(path, pid, listed, servers)


def verdict(path: str, refused: int | None, listed: list[Holder], servers: tuple[str, ...]) -> LockState:
    """Put the two looks together."""
    if refused is None and not listed:
        return LockState(path, State.FREE, "a lock would be granted, and /proc/locks has none on this file")
    if refused is None or not listed:
        one, other = ("/proc/locks", "F_GETLK") if refused is None else ("F_GETLK", "/proc/locks")
        return LockState(path, State.UNKNOWN, f"{one} has a lock on this file, {other} has none; look again")
    pid = listed[0].pid
    name = thread_name(pid)
    # A lock of a process ends with it; only a lock that a server's thread took for its client outlives the thread.
    if name and name not in servers:
        return LockState(
            path, State.UNKNOWN, f"held by {name} (pid {pid}) of this machine, not for a client", name, pid
        )
    said = f"{name} (pid {pid})" if name else f"a server's thread that has ended (pid {pid})"
    return LockState(path, State.HELD, f"a lock would be refused; held by {said}", name, pid)
