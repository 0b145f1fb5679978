"""The durable record of this node, and the lock that keeps a second failoverd away.

``STATE_DIR/node.json`` is one line of JSON with a checksum. It is replaced whole: written to a temporary
file, fsynced, renamed, and the directory fsynced, because rename(2) alone survives a crash of the
program and not one of the machine. A file that is damaged counts as no records (PROTOCOL rule 23):
this node then has no rights and waits; the file is kept aside for whoever wants to know why.

A record that only a newer failoverd may go on from (``recordform``) is neither used nor written over. To the core
that is a disk that takes no record: no right, no start, no grant, no shot; and the newer failoverd finds it again.
The same holds for a file that is there and cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from functools import partial

from failover_kit.manager.offloop import Worker
from failover_kit.manager.recordform import RECORD_LIMIT_BYTES, Barred, format_record, parse_record
from failover_kit.manager.records import NodeRecord

DEFAULT_DIR = "/var/lib/failover-kit/state"

PERSIST_TIMEOUT_MS = 10_000
"""After this the core is told that the record is not durable. The disk may still finish it, in order."""

RECORD = "node.json"
_DAMAGED = "node.json.damaged"
_LOCK = "lock"
_TEMPORARY = ".tmp"

_HINTS = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there",
    errno.EROFS: "the filesystem is read-only: look at the kernel log, repair it, remount it",
    errno.EIO: "the disk fails: look at the kernel log",
    errno.EMFILE: "look for what holds so many files open",
    errno.ENFILE: "look for what holds so many files open",
    errno.EACCES: "failoverd must run as root",
    errno.EPERM: "failoverd must run as root",
}


class StoreError(Exception):
    """The state directory cannot be used; ``str()`` is one sentence with the remedy."""


class StoreLocked(StoreError):
    """Another failoverd of this node holds the state directory."""


class PersistError(StoreError):
    """A record may or may not be durable: count on nothing."""


class Store:
    """The state directory, locked for this process as long as it is open."""

    def __init__(self, directory: str = DEFAULT_DIR, *, timeout_ms: int = PERSIST_TIMEOUT_MS) -> None:
        """Make the directory if needed and lock it. StoreLocked or StoreError when that cannot be."""
        self.directory = directory
        self.remark = ""  # one sentence: what a newer failoverd wrote and this one does not know
        self._barred = ""  # why nothing may be written; "" = it may
        self._timeout_ms = timeout_ms
        try:
            _make_directory(directory)
            self._lock_fds = _lock(directory)
            self._remove_temporaries()
        except OSError as error:
            raise StoreError(_sentence(f"the state directory {directory} cannot be used", error)) from None
        self._worker = Worker("store")

    def load(self) -> tuple[NodeRecord | None, str]:
        """The last record, or None; and a sentence when one was there that cannot be read (be loud)."""
        path = os.path.join(self.directory, RECORD)
        try:
            with open(path, "rb") as file:
                data = file.read(RECORD_LIMIT_BYTES + 1)
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            # What cannot be read now (a bad block, no descriptor left) is not lost: writing over it would lose it.
            self._barred = f"{_sentence(f'{path} could not be read', error)}; then start failoverd again"
            return None, (
                f"{self._barred}. Until then it is neither used nor written over, and this node has no rights, "
                "starts nothing and shoots nobody"
            )
        try:
            record, unknown = parse_record(data)
        except Barred as error:
            self._barred = f"{path} {error}; {error.remedy}"
            return None, (
                f"{path} {error}: it is neither used nor written over, and this node has no rights, starts nothing "
                f"and shoots nobody; {error.remedy}"
            )
        except ValueError as error:
            return None, self._set_aside(path, str(error))
        if unknown:
            names = ", ".join(sorted({name.rpartition(".")[2] for name in unknown}))
            self.remark = f"{path} was written by a newer failoverd: this one goes on without {names}"
        return record, ""

    async def persist(self, record: NodeRecord) -> None:
        """Return when ``record`` is durable. PersistError when it may not be.

        The work is done off the loop. Records reach the disk in the order of the calls.
        """
        if self._barred:
            raise PersistError(self._barred)
        data = format_record(record)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await self._worker.run(lambda: self._write(data))
        except TimeoutError:
            raise PersistError(
                f"the disk of {self.directory} did not take the state within {self._timeout_ms / 1000:g} s; "
                "look at the kernel log"
            ) from None
        except OSError as error:
            raise PersistError(_sentence(f"{self.directory} cannot be written", error)) from None

    def close(self) -> None:
        """Give up the lock. A write that still hangs goes on in its thread and can change nothing later:
        the next Store writes only after it has the lock, and this one closes it behind its last write."""
        fds, self._lock_fds = self._lock_fds, ()
        for fd in fds:
            self._worker.submit(partial(os.close, fd))
        if fds:
            self._worker.close()

    def _write(self, data: bytes) -> None:
        path = os.path.join(self.directory, RECORD)
        temporary = path + _TEMPORARY
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
        _sync_directory(self.directory)

    def _remove_temporaries(self) -> None:
        """What a crash between write and rename left."""
        for name in os.listdir(self.directory):
            if name.endswith(_TEMPORARY):
                os.unlink(os.path.join(self.directory, name))

    def _set_aside(self, path: str, reason: str) -> str:
        kept = os.path.join(self.directory, _DAMAGED)
        try:
            os.rename(path, kept)
            where = f"kept as {kept}"
        except OSError as error:
            where = f"it could not be set aside: {error.strerror}"
        return (
            f"{path} is damaged ({reason}; {where}): this node starts without rights, as after a lost state "
            "directory; it serves again when the peer hands over or an operator says so"
        )


def peek(directory: str = DEFAULT_DIR) -> NodeRecord | None:
    """The last record as it is now, from outside: takes no lock and changes nothing. None when it says nothing."""
    try:
        with open(os.path.join(directory, RECORD), "rb") as file:
            return parse_record(file.read(RECORD_LIMIT_BYTES + 1))[0]
    except (OSError, ValueError):
        return None


def _make_directory(directory: str) -> None:
    """Make it and what leads to it, each durable in its parent."""
    if os.path.isdir(directory):
        return
    parent = os.path.dirname(os.path.abspath(directory))
    _make_directory(parent)
    os.mkdir(directory, 0o700)
    _sync_directory(parent)


def _lock(directory: str) -> tuple[int, ...]:
    """The file descriptors that hold the lock: flock(2) ends with the process, however it ends.

    The file says who has it. The directory is locked, too: a file that somebody deletes ("rm state/*")
    would keep nobody away any more.
    """
    path = os.path.join(directory, _LOCK)
    fds = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)]
    try:
        fds.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        for fd in fds:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(fds[0], 20, 0).decode("ascii", "replace").strip() or "unknown"
        for fd in fds:
            os.close(fd)
        if not isinstance(error, BlockingIOError):
            raise
        raise StoreLocked(
            f"failoverd already runs on this node, pid {holder} ({path} is locked); "
            "stop that one first: two would not know of each other's resources"
        ) from None
    with contextlib.suppress(OSError):  # a full disk: the lock is held all the same, and resources must be adopted
        os.ftruncate(fds[0], 0)
        os.pwrite(fds[0], b"%d\n" % os.getpid(), 0)
    return tuple(fds)


def _write_all(fd: int, data: bytes) -> None:
    """write(2) may take less than all; the rest then says why."""
    while data:
        data = data[os.write(fd, data) :]


def _sync_directory(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sentence(what: str, error: OSError) -> str:
    hint = _HINTS.get(error.errno or 0, "")
    return f"{what}: {error.strerror or error}" + (f"; {hint}" if hint else "")
