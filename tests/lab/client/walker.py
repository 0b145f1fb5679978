"""A client's ``find`` and ``wc`` in rounds: walks a tree on an NFS mount, reads every file, counts, and compares.

    python3 -m lab.client.walker --dir /mnt/v4/copied --name find --record /var/tmp/find.log

The tree must not change while it is walked: each round must find what the first one found (names and contents).
The page cache is told to forget each file, so that the next round asks the server again. Every file is a line in
the diary with the time it took, so a pause shows where it was.

Exit: 0 ended by SIGTERM or after ``--rounds``; 2 usage; 3 DIR is no NFS mount; 5 gave up after so many errors.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from dataclasses import dataclass, field

from lab.client.diary import Diary, now_ms, wall_ms
from lab.client.writer import ERRORS_AT_MOST, Stop, on_nfs

CHUNK = 65536


@dataclass
class Count:
    """What a round found so far."""

    files: int = 0
    lines: int = 0
    bytes: int = 0
    errors: int = 0
    seen: dict[str, str] = field(default_factory=dict)  # path below the tree: digest


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="walker", description="finds and counts on an NFS mount, round after round"
    )
    parser.add_argument("--dir", required=True, help="the tree to walk; it must not change meanwhile")
    parser.add_argument("--name", required=True)
    parser.add_argument("--record", required=True, help="the diary, on the client's own disk")
    parser.add_argument("--pace-ms", type=int, default=50, help="pause after each file and each round")
    parser.add_argument("--rounds", type=int, default=0, help="end after so many; 0: only by SIGTERM")
    parser.add_argument("--any-filesystem", action="store_true", help="for tests: DIR need not be NFS")
    return parser.parse_args(argv)


def count_file(path: str, count: Count) -> str:
    """Read ``path`` whole; its digest. OSError as it comes."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := os.read(fd, CHUNK):
            digest.update(chunk)
            count.lines += chunk.count(b"\n")
            count.bytes += len(chunk)
    finally:
        os.close(fd)
    count.files += 1
    return digest.hexdigest()


def walk(top: str, diary: Diary, stop: Stop, pace_ms: int) -> Count:
    """One round. Errors are in the diary and in the count."""
    count = Count()

    def refused(error: OSError) -> None:
        diary.error("list", error, path=error.filename)
        count.errors += 1

    for folder, folders, files in os.walk(top, onerror=refused):
        folders.sort()
        for name in sorted(files):
            if stop.asked or count.errors >= ERRORS_AT_MOST:
                return count
            path = os.path.join(folder, name)
            below = os.path.relpath(path, top)
            begin = now_ms()
            diary.note("try", path=below, begin=begin)
            try:
                count.seen[below] = count_file(path, count)
                diary.note("file", path=below, begin=begin, end=now_ms())
            except OSError as error:
                diary.error("read", error, path=below, begin=begin, end=now_ms())
                count.errors += 1
            if pace_ms:
                time.sleep(pace_ms / 1000)
    return count


def differences(first: dict[str, str], now: dict[str, str]) -> list[str]:
    """What this round found otherwise than the first one."""
    return [
        f"{path}: {'gone' if path not in now else 'new' if path not in first else 'other content'}"
        for path in sorted(first.keys() | now.keys())
        if first.get(path) != now.get(path)
    ]


def main(argv: list[str]) -> int:
    options = arguments(argv)
    stop = Stop()
    diary = Diary(options.record)
    diary.promise("start", role="walker", name=options.name, pid=os.getpid(), wall=wall_ms())
    if not options.any_filesystem and not on_nfs(options.dir, diary):
        return 3
    first: dict[str, str] | None = None
    rounds = errors = 0
    while not stop.asked and errors < ERRORS_AT_MOST and (not options.rounds or rounds < options.rounds):
        begin = now_ms()
        count = walk(options.dir, diary, stop, options.pace_ms)
        errors += count.errors
        if stop.asked:
            break  # a round that was cut short proves nothing
        rounds += 1
        first = count.seen if first is None else first
        for what in differences(first, count.seen):
            diary.promise("differs", why=what, begin=begin, end=now_ms())
            errors += 1
        facts = {"files": count.files, "lines": count.lines, "bytes": count.bytes}
        diary.promise("round", number=rounds, begin=begin, end=now_ms(), **facts)
        if options.pace_ms:
            time.sleep(options.pace_ms / 1000)
    diary.promise("end", rounds=rounds, errors=errors, gave_up=errors >= ERRORS_AT_MOST, wall=wall_ms())
    return 5 if errors >= ERRORS_AT_MOST else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
