"""A client's reader: reads acknowledged records of a writer back from the server, and compares every byte.

    python3 -m lab.client.reader --dir /mnt/v3 --of v3 --writer-record /var/tmp/v3.log --record /var/tmp/r3.log

Reads with O_DIRECT, so that the server is asked and not the client's page cache: through a descriptor that is held
open all the time (it must survive every takeover), and every so often through one that is opened and closed for it.
Which record is read is drawn from all acknowledged ones. Errors and differences go into the diary; nothing is tried
again silently.

Exit: 0 ended by SIGTERM or after ``--reads``; 2 usage; 3 DIR is no NFS mount; 4 the file could not be opened;
5 gave up after so many errors.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import sys
import time

from lab.client import records
from lab.client.diary import Diary, Entry, entries, now_ms, wall_ms
from lab.client.writer import ERRORS_AT_MOST, Stop, on_nfs

BLOCK = 4096
"""O_DIRECT wants whole blocks on local disks; NFS does not mind."""
FRESH_EVERY = 5


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="reader", description="reads a writer's records back and compares them")
    parser.add_argument("--dir", required=True, help="where the writer's file is, maybe by another mount")
    parser.add_argument("--of", required=True, help="the writer's name")
    parser.add_argument("--writer-record", required=True, help="the writer's diary")
    parser.add_argument("--record", required=True, help="this program's diary, on the client's own disk")
    parser.add_argument("--pace-ms", type=int, default=200, help="pause between reads")
    parser.add_argument("--reads", type=int, default=0, help="end after so many; 0: only by SIGTERM")
    parser.add_argument("--any-filesystem", action="store_true", help="for tests: DIR need not be NFS")
    return parser.parse_args(argv)


class Promises:
    """The writer's acknowledgements, read as its diary grows."""

    def __init__(self, path: str) -> None:
        self._file = open(path, encoding="ascii")  # noqa: SIM115 - read until the program ends
        self._rest = ""
        self.run = ""
        self.acknowledged: list[Entry] = []

    def read(self) -> list[Entry]:
        text = self._rest + self._file.read()
        whole, newline, self._rest = text.rpartition("\n")
        for entry in entries(whole + newline, "the writer's diary"):
            if entry["what"] == "start":
                self.run = entry["run"]
            elif entry["what"] == "ack":
                self.acknowledged.append(entry)
        return self.acknowledged


def read_direct(fd: int, at: int, length: int) -> bytes:
    """``length`` bytes from ``at`` past the page cache; fewer when the file ends before."""
    first = at - at % BLOCK
    size = -(-(at + length - first) // BLOCK) * BLOCK
    with mmap.mmap(-1, size) as buffer:
        count = os.preadv(fd, [buffer], first)
        return buffer[: max(count, 0)][at - first : at - first + length]


class Reader:
    """Draws records and compares them. ``held`` stays open for the reader's whole life."""

    def __init__(self, path: str, held: int, promises: Promises, diary: Diary) -> None:
        self._path = path
        self._held = held
        self._promises = promises
        self._diary = diary
        self._chance = random.Random(os.getpid())
        self._count = 0

    def read_one(self) -> bool:
        """One drawn record, by the held descriptor or by a fresh one; True when it is as it was acknowledged."""
        self._count += 1
        promise = self._chance.choice(self._promises.acknowledged)
        kind = "held" if self._count % FRESH_EVERY else "fresh"
        facts = {"kind": kind, "seq": promise["seq"], "begin": now_ms()}
        self._diary.note("try", **facts)
        during, fd = "open", self._held
        try:
            if kind == "fresh":
                fd = os.open(self._path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
            during = "read"
            found = read_direct(fd, promise["at"], promise["len"])
        except OSError as error:
            self._diary.error(during, error, **facts, end=now_ms())
            return False
        finally:
            if fd != self._held:
                os.close(fd)
        return self._compare(found, promise, facts)

    def _compare(self, found: bytes, promise: Entry, facts: dict[str, object]) -> bool:
        name = os.path.basename(self._path).removesuffix(".data")
        body = records.encode(name, self._promises.run, promise["seq"])
        if found == body:
            self._diary.note("read", **facts, end=now_ms())
            return True
        same = next((i for i, (a, b) in enumerate(zip(found, body, strict=False)) if a != b), len(found))
        why = f"{len(found)} of {len(body)} bytes came, the first {same} of them as written"
        self._diary.promise("differs", **facts, at=promise["at"], why=why, end=now_ms())
        return False


def main(argv: list[str]) -> int:
    options = arguments(argv)
    stop = Stop()
    diary = Diary(options.record)
    diary.promise("start", role="reader", of=options.of, pid=os.getpid(), wall=wall_ms())
    if not options.any_filesystem and not on_nfs(options.dir, diary):
        return 3
    promises = Promises(options.writer_record)
    path = os.path.join(options.dir, f"{options.of}.data")
    begin = now_ms()
    try:
        held = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError as error:
        diary.error("open", error, kind="held", path=path, begin=begin, end=now_ms())
        return 4
    diary.promise("opened", path=path, inode=os.fstat(held).st_ino, begin=begin, end=now_ms())
    reader = Reader(path, held, promises, diary)
    reads = errors = 0
    while not stop.asked and errors < ERRORS_AT_MOST and (not options.reads or reads < options.reads):
        if promises.read():
            reads += 1
            errors += not reader.read_one()
        if options.pace_ms and not stop.asked:
            time.sleep(options.pace_ms / 1000)
    os.close(held)
    diary.promise("end", reads=reads, errors=errors, gave_up=errors >= ERRORS_AT_MOST, wall=wall_ms())
    return 5 if errors >= ERRORS_AT_MOST else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
