"""What the agents find: addresses, mounts, exports, a filesystem that many processes use.

All of it lives in the namespaces of the bench and is gone with them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from failover_kit.kernel import mounting
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, run

# The environment variable with the disk that Filesystem gets.
DISK = "AGENTS_BENCH_DISK"
NIC = "eth0"
ADDRESS, PREFIX = "10.66.255.9", 16
CLIENTS = "192.0.2.0/24"
ETAB = Path("/var/lib/nfs/etab")
_SETTLE_MS = 60_000
# Each process has its working directory and an open file there, which is what a user is.
_USERS = """
import os, sys
from _signal import SIGCHLD, SIG_DFL, SIG_IGN, pause, signal
where, count = sys.argv[1], int(sys.argv[2])
signal(SIGCHLD, SIG_IGN)
for number in range(count):
    if os.fork() == 0:
        signal(SIGCHLD, SIG_DFL)
        os.chdir(where)
        os.open("file", os.O_CREAT | os.O_RDONLY)
        os.write(1, b".")
        os.closerange(0, 3)
        while True:
            pause()
os.closerange(0, 3)
while True:
    pause()
"""


class World:
    """A context manager; ``place`` is an empty directory for it alone."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> World:
        self.build()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def build(self) -> None:
        """Make the world. OSError or CommandFailed."""

    def clear(self) -> None:
        """Take it away, for the next one."""

    def parameters(self) -> Mapping[str, str]:
        """What the agents are told, by either name."""
        return {}

    def present(self) -> bool | None:
        """Whether the resource is there, by a look of our own at the kernel; None: there is none."""
        return None


class Nothing(World):
    """For actions that need no world."""


class CommandFailed(Exception):
    """A command that builds a world did not succeed."""


def need(*argv: str, stdin: str | None = None) -> str:
    """Run ``argv`` and return its output; CommandFailed."""
    result = run(argv, Deadline(_SETTLE_MS), stdin=stdin)
    if not result.ok():
        raise CommandFailed(result.describe())
    return result.stdout


class Addresses(World):
    """An interface with ``count`` addresses, the agent's included."""

    def __init__(self, place: str, count: int) -> None:
        super().__init__(place)
        self.count = count

    def build(self) -> None:
        if NIC not in os.listdir("/sys/class/net"):
            need("ip", "link", "add", NIC, "type", "veth", "peer", "name", "eth1")
            need("ip", "link", "set", "eth1", "up")
            need("ip", "link", "set", NIC, "up")
        wanted = (f"10.66.{number >> 8}.{number & 255}" for number in range(1, self.count))
        batch = "".join(f"address add {address}/{PREFIX} dev {NIC}\n" for address in wanted)
        need("ip", "-batch", "-", stdin=batch)

    def clear(self) -> None:
        need("ip", "-4", "address", "flush", "dev", NIC)

    def parameters(self) -> Mapping[str, str]:
        return {"ip": ADDRESS, "cidr_netmask": str(PREFIX), "nic": NIC}

    def present(self) -> bool:
        lines = Path("/proc/net/fib_trie").read_text().splitlines()
        return any(line.split()[-1] == ADDRESS for line in lines if line.strip().startswith("|--"))


class Mounts(World):
    """``count`` mounts of no interest, and a disk that is not mounted yet."""

    def __init__(self, place: str, count: int) -> None:
        super().__init__(place)
        self.count = count
        self.directory = f"{place}/disk"
        self.device = os.environ[DISK]

    def build(self) -> None:
        base = f"{self.place}/mounts"
        os.makedirs(base)
        os.makedirs(self.directory)
        mounting.mount("tmpfs", base, "tmpfs")
        os.mkdir(f"{base}/source")
        for number in range(1, self.count):
            point = f"{base}/{number:04}"
            os.mkdir(point)
            mounting.bind(f"{base}/source", point)

    def clear(self) -> None:
        settle = Deadline(_SETTLE_MS)
        while self.present():
            try:
                mounting.unmount(self.directory)
            except OSError as error:
                # Users that were killed a moment ago need theirs to die.
                settle.require(f"unmounting {self.directory} ({error.strerror})")
                time.sleep(0.05)
        # One call for the whole tree.
        need("umount", "-l", f"{self.place}/mounts")

    def parameters(self) -> Mapping[str, str]:
        return {"device": self.device, "directory": self.directory, "fstype": "xfs"}

    def present(self) -> bool:
        point = f" {self.directory} "
        return any(point in line for line in Path("/proc/self/mountinfo").read_text().splitlines())


class Exports(World):
    """``count`` exports, the agent's included; a directory that is not exported yet."""

    def __init__(self, place: str, count: int) -> None:
        super().__init__(place)
        self.count = count
        self.directory = f"{place}/exported"

    def build(self) -> None:
        os.makedirs(self.directory)
        lines = (
            f"/srv/export{number:04}\t{CLIENTS}(rw,sync,wdelay,hide,nocrossmnt,secure,root_squash,no_all_squash,"
            f"no_subtree_check,secure_locks,acl,no_pnfs,fsid={number},anonuid=65534,anongid=65534,sec=sys,rw,secure,"
            "root_squash,no_all_squash)\n"
            for number in range(1, self.count)
        )
        ETAB.write_text("".join(lines))

    def clear(self) -> None:
        ETAB.write_text("")

    def parameters(self) -> Mapping[str, str]:
        return {
            "directory": self.directory, "clientspec": CLIENTS, "options": "rw,no_subtree_check", "fsid": "9999",
            "rmtab_backup": "none",
        }  # fmt: skip

    def present(self) -> bool:
        return any(line.startswith(f"{self.directory}\t") for line in ETAB.read_text().splitlines())


@contextmanager
def users(where: str, count: int) -> Iterator[None]:
    """``count`` processes that use the directory ``where``; whoever is left ends with the context."""
    argv = ["/usr/bin/python3", "-IS", "-c", _USERS, where, str(count)]
    reading, writing = os.pipe()
    crowd = subprocess.Popen(argv, env=CLEAN_ENV, cwd="/", stdout=writing, start_new_session=True)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            arrived = len(pipe.read())
        if arrived != count:
            raise CommandFailed(f"only {arrived} of {count} processes could be started")
        yield
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.wait()
