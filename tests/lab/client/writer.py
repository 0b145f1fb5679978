"""A client's writer: numbered records into an open, locked file on an NFS mount, every acknowledgement in a diary.

    python3 -m lab.client.writer --dir /mnt/v3 --name v3 --record /var/tmp/v3.log --lock

Makes ``DIR/NAME.data`` (refused when it is there), locks it as a whole (``fcntl``, POSIX) and holds it open and
locked until SIGTERM. Each record is written and synced; only when the sync has succeeded is it acknowledged in
the diary, which is on the client's own disk. An error is recorded with its number and never tried again: the next
record has the next number. A server that does not answer is simply a long record.

Exit: 0 ended by SIGTERM or after ``--records``; 2 usage; 3 DIR is no NFS mount; 4 the file could not be made or
locked; 5 gave up after so many errors.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import secrets
import signal
import sys
import time

from lab.client import records
from lab.client.diary import Diary, now_ms, wall_ms
from lab.client.mounts import MOUNTSTATS, nfs_mounts

ERRORS_AT_MOST = 50
"""A server that refuses everything must not fill the client's disk with its refusals."""


class Stop:
    """Set by SIGTERM; a record under way is finished first."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="writer", description="writes numbered records on an NFS mount")
    parser.add_argument("--dir", required=True, help="the mount point, or a folder below it")
    parser.add_argument("--name", required=True, help="names the file, NAME.data, and the records in it")
    parser.add_argument("--record", required=True, help="the diary, on the client's own disk")
    parser.add_argument("--lock", action="store_true", help="lock the file and hold the lock")
    parser.add_argument("--pace-ms", type=int, default=100, help="pause between records")
    parser.add_argument("--records", type=int, default=0, help="end after so many; 0: only by SIGTERM")
    parser.add_argument("--any-filesystem", action="store_true", help="for tests: DIR need not be NFS")
    return parser.parse_args(argv)


def on_nfs(path: str, diary: Diary) -> bool:
    """Whether the mount that ``path`` lies on is of type nfs or nfs4; if not, an error in the diary says so."""
    with open(MOUNTSTATS, encoding="utf-8", errors="surrogateescape") as file:
        points = nfs_mounts(file.read())
    point = os.path.realpath(path)
    while not os.path.ismount(point):
        point = os.path.dirname(point)
    if point in points:
        return True
    diary.error("start", OSError(errno.EMEDIUMTYPE, "not on NFS"), path=path, why=f"{point} is not an NFS mount")
    return False


def opened(options: argparse.Namespace, diary: Diary) -> int | None:
    """The new file, locked if asked for. None after an error, which stands in the diary."""
    path = os.path.join(options.dir, f"{options.name}.data")
    begin = now_ms()
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        fd = os.open(path, flags, 0o644)
    except OSError as error:
        diary.error("open", error, path=path, begin=begin, end=now_ms())
        return None
    diary.promise("opened", path=path, inode=os.fstat(fd).st_ino, begin=begin, end=now_ms())
    if options.lock:
        begin = now_ms()
        diary.note("locking", begin=begin)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            diary.error("lock", error, path=path, begin=begin, end=now_ms())
            os.close(fd)
            return None
        diary.promise("locked", begin=begin, end=now_ms())
    return fd


def write_record(fd: int, sequence: int, body: bytes, diary: Diary) -> bool:
    """One record; True when it was acknowledged."""
    begin = now_ms()
    diary.note("try", seq=sequence, begin=begin)
    during = "write"
    try:
        count = os.write(fd, body)
        if count != len(body):
            raise OSError(errno.EIO, f"only {count} of {len(body)} bytes were taken")
        at = os.lseek(fd, 0, os.SEEK_CUR) - len(body)
        during = "fsync"
        os.fsync(fd)
    except OSError as error:
        diary.error(during, error, seq=sequence, begin=begin, end=now_ms())
        return False
    diary.promise("ack", seq=sequence, begin=begin, end=now_ms(), wall=wall_ms(), at=at, len=len(body))
    return True


def close(fd: int, diary: Diary) -> int:
    """Closing is the last chance of a server to say that something was lost. The count of errors."""
    begin = now_ms()
    try:
        os.close(fd)
    except OSError as error:
        diary.error("close", error, begin=begin, end=now_ms())
        return 1
    return 0


def main(argv: list[str]) -> int:
    options = arguments(argv)
    stop = Stop()
    run = secrets.token_hex(4)
    diary = Diary(options.record)
    begun = {"role": "writer", "name": options.name, "run": run, "pid": os.getpid(), "lock": options.lock}
    diary.promise("start", **begun, wall=wall_ms())
    if not options.any_filesystem and not on_nfs(options.dir, diary):
        return 3
    fd = opened(options, diary)
    if fd is None:
        return 4
    sequence = acknowledged = errors = 0
    while not stop.asked and errors < ERRORS_AT_MOST and (not options.records or sequence < options.records):
        sequence += 1
        if write_record(fd, sequence, records.encode(options.name, run, sequence), diary):
            acknowledged += 1
        else:
            errors += 1
        if options.pace_ms and not stop.asked:
            time.sleep(options.pace_ms / 1000)
    diary.promise("ending", asked=stop.asked)
    gave_up = errors >= ERRORS_AT_MOST
    errors += close(fd, diary)
    diary.promise("end", acknowledged=acknowledged, errors=errors, gave_up=gave_up, wall=wall_ms())
    return 5 if gave_up else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
