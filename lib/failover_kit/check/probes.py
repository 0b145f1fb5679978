"""What a check asks of the running machine. Every question has an end; a test gives its own answers."""

from __future__ import annotations

import ctypes
import json
import os
import time
from dataclasses import dataclass

from failover_kit.kernel import blockdev, mounts
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.manager import host
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

DISK_LIMIT_MS = 5_000
"""For one device to give its first two KiB; a disk that needs longer does not carry a takeover."""

NAME_LIMIT_MS = 5_000

_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_BYTES = 512  # more than struct timex of any architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """What stands on a device. ``problem`` is why nothing is known; the rest is then empty."""

    problem: str = ""
    missing: bool = False
    fstype: str = ""
    uuid: str = ""
    label: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Mounted:
    """One mount: where, of what, and the UUID-independent name of its source."""

    point: str
    source: str
    fstype: str


class Probes:
    """The machine this runs on."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[str, ...]] = {}

    def node(self) -> str:
        return os.uname().nodename.lower()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def clock_synchronised(self) -> bool | None:
        """What the kernel was told by whoever disciplines its clock (adjtimex(2)); None when it cannot say."""
        try:
            answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
        except (OSError, AttributeError):
            return None
        return None if answer < 0 else answer != _TIME_ERROR

    def addresses_of(self, name: str) -> tuple[str, ...]:
        """What a name resolves to here, by getent(1): nsswitch decides, and it can be given up. Asked once each."""
        if name not in self._names:
            self._names[name] = self._resolved(name)
        return self._names[name]

    def _resolved(self, name: str) -> tuple[str, ...]:
        try:
            result = run(["getent", "--", "ahosts", name], Deadline(NAME_LIMIT_MS))
        except (CommandMissing, CommandTimeout, ValueError):
            return ()
        return tuple(dict.fromkeys(line.split()[0] for line in result.stdout.splitlines() if line.split()))

    def heartbeat(self) -> str:
        """The sentence that a Heartbeat runs here, or ""."""
        return host.running_heartbeat()

    def networks(self) -> dict[str, tuple[str, ...]]:
        """Each interface with its first IPv4 address and network, ``eth1`` → ``192.168.1.1/30``."""
        own = host.own_networks()
        names = (name for _, name in _interfaces())
        return {name: tuple(str(address) for address in own.get(name, ())) for name in names}

    def mounts(self) -> tuple[Mounted, ...]:
        return tuple(Mounted(mount.point, mount.source, mount.fstype) for mount in mounts.table().all())

    def disk(self, spec: str) -> Disk:
        """Find a device (path, UUID=, LABEL=) and read its superblock, in a child that can be given up."""
        try:
            tag = blockdev.parse_tag(spec)
        except ValueError as error:
            return Disk(problem=str(error))
        try:
            said = Attempts().run(f"device {spec}", lambda: json.dumps(_look(tag)), Deadline(DISK_LIMIT_MS))
        except GivenUp as late:
            return Disk(problem=str(late))
        except OSError as error:
            return Disk(problem=error.strerror or str(error), missing=error.errno in (2, 6, 19))
        fstype, uuid, label, size = json.loads(said)
        return Disk(fstype=fstype, uuid=uuid, label=label, bytes=size)

    def entries(self, directory: str) -> int:
        """How many names are in a directory; -1 when it is not there or does not answer."""
        try:
            said = Attempts().run(
                f"directory {directory}", lambda: str(len(os.listdir(directory))), Deadline(DISK_LIMIT_MS)
            )
        except (GivenUp, OSError):
            return -1
        return int(said)

    def free_bytes(self, directory: str) -> int | None:
        """Room for root on the filesystem of a directory; None when that cannot be told."""
        try:
            facts = os.statvfs(directory)
        except OSError:
            return None
        return facts.f_bfree * facts.f_frsize if facts.f_ffree or not facts.f_files else 0


def _interfaces() -> list[tuple[int, str]]:
    import socket

    return socket.if_nameindex()


def _look(tag: blockdev.Tag) -> tuple[str, str, str, int]:
    """In the child: everything here may hang with the device."""
    path = tag.value
    if tag.kind != "path":
        nodes = blockdev.search(tag)
        if not nodes:
            raise FileNotFoundError(2, "no device here has it")
        path = nodes[0]
    blockdev.number_of(path)
    fstype, uuid, label = blockdev.read_superblock(path) or ("", "", "")
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return fstype, uuid, label, os.lseek(descriptor, 0, os.SEEK_END)
    finally:
        os.close(descriptor)
