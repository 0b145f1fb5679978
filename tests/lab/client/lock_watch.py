"""On the node that takes over: when did the address come, the disk, the server, the end of grace, each lock?

    python3 -m lab.client.lock_watch --address 192.0.2.220 --mount /mnt/e0.0 --file v3.data --file v4.data
        --record /var/tmp/watch.log --timeout-s 120 [--until-held]

One process, a look every few ms, a line in the diary for every change (``thing``, ``there``). It keeps nothing open
on the mount and never asks nfsd's control files but one that does not wait (``v4_end_grace``), so it can neither
hold an unmount nor be held by a server that is starting. With ``--until-held`` it ends once address, disk and
server are there and every file is locked again, after each was seen without its lock.

Exit: 0 ended by SIGTERM or all held, 1 the time was over, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import time

from lab.client.diary import Diary, now_ms
from lab.client.locks import table
from lab.client.writer import Stop

NFS_PORT = 2049
GRACE = "/proc/fs/nfsd/v4_end_grace"
_LISTEN = "0A"


def address_here(address: str) -> bool:
    """Whether this machine has the address: only then a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def listening(port: int, tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")) -> bool:
    """Whether somebody listens on TCP ``port`` here."""
    for path in tables:
        try:
            with open(path, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        if any(row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port for row in rows if len(row) > 3):
            return True
    return False


def grace_over() -> bool:
    """Whether nfsd says that its grace period is over; False also when there is no server."""
    try:
        with open(GRACE, encoding="ascii") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


class Watch:
    """The last known state of everything, and a line for each change."""

    def __init__(self, address: str, mount: str, files: list[str], diary: Diary) -> None:
        self._address = address
        self._mount = mount
        self._files = files
        self._diary = diary
        self._known: dict[str, bool] = {}
        self._absent: set[str] = set()
        self._inodes: dict[str, tuple[tuple[int, int], int]] = {}

    def look(self) -> bool:
        """One look at everything; True when all is there, and every lock held again that was not before."""
        now = {"address": address_here(self._address), "mount": os.path.ismount(self._mount)}
        now["server"] = listening(NFS_PORT)
        now["grace over"] = grace_over()
        locked = self._held(now["mount"])
        self._absent |= {name for name, held in locked.items() if not held}
        now |= {f"lock {name}": held for name, held in locked.items()}
        for thing, there in now.items():
            if self._known.get(thing) != there:
                self._known[thing] = there
                self._diary.note("seen", thing=thing, there=there)
        there = all(here for thing, here in now.items() if thing != "grace over")
        return there and self._absent == set(self._files)

    def _held(self, mounted: bool) -> dict[str, bool]:
        if not mounted:
            self._inodes.clear()
            return dict.fromkeys(self._files, False)
        for name in self._files:
            if name not in self._inodes:
                try:
                    status = os.stat(os.path.join(self._mount, name))
                except OSError:
                    continue
                self._inodes[name] = ((os.major(status.st_dev), os.minor(status.st_dev)), status.st_ino)
        locked = {(one.device, one.inode) for one in table()}
        return {name: self._inodes.get(name) in locked for name in self._files}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="lock_watch", description="records when a taker has what of a service")
    parser.add_argument("--address", required=True)
    parser.add_argument("--mount", required=True)
    parser.add_argument("--file", action="append", default=[], help="below the mount; may be repeated")
    parser.add_argument("--record", required=True)
    parser.add_argument("--timeout-s", type=int, required=True)
    parser.add_argument("--every-ms", type=int, default=20)
    parser.add_argument("--until-held", action="store_true")
    options = parser.parse_args(argv)
    stop = Stop()
    diary = Diary(options.record)
    diary.promise("start", role="lock_watch", pid=os.getpid())
    watch = Watch(options.address, options.mount, options.file, diary)
    until = now_ms() + options.timeout_s * 1000
    while not stop.asked and now_ms() < until:
        if watch.look() and options.until_held:
            diary.promise("end", why="all held")
            return 0
        time.sleep(options.every_ms / 1000)
    diary.promise("end", why="asked" if stop.asked else "time over")
    return 0 if stop.asked else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
