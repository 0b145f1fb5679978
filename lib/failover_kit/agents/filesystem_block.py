"""Filesystem on a shared disk, as a monitor sees it; how it is mounted and proved free is in filesystem_disk.

Running means: the topmost mount at ``directory`` is the whole filesystem of ``device``, and it answers.
Stopped means: the kernel has that filesystem nowhere. In between is a failure.
"""

import os

from failover_kit.agents.filesystem_seen import Claim, Observation, Source, read_record
from failover_kit.agents.filesystem_source import DISK_TYPES
from failover_kit.kernel import blockdev
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.attempts import Attempts
    from failover_kit.kernel.blockdev import Tag
    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call

_SUPERBLOCK_PATIENCE_MS = 5000


class Block(Source):
    __slots__ = ("tag",)

    def __init__(self, call: "Call") -> None:
        super().__init__(call)
        self.tag = blockdev.parse_tag(self.device)

    def observe(self) -> Observation:
        device = known_number(self.tag)
        ours = self.top if self.top is not None and is_ours(self.call, self.tag, device, self.top) else None
        if ours is not None:
            device = ours.device
        same = self.table.of_device(device) if device else []
        elsewhere = [mount for mount in same if ours is None or mount.id != ours.id]
        foreign = None if ours else self.top
        return Observation(self.table, self.directory, device, mount=ours, elsewhere=elsewhere, foreign=foreign)

    def ailment(self, seen: Observation) -> str:
        if seen.device and os.path.exists(f"/sys/dev/block/{os.major(seen.device)}:{os.minor(seen.device)}"):
            return ""
        return f"{shown(self.device)} has vanished under the filesystem at {shown(seen.directory)}"

    def remains(self, seen: Observation) -> str:
        """Ask sysfs for a filesystem that lives without a mount here: no disk is opened, so none is waited for.

        An array, a multipath device, swap or a program that has the disk open exclusively is no filesystem:
        start refuses it by name, and a node that has nothing of ours says 7.
        """
        for device in dict.fromkeys((seen.device, recorded_number(self.call))):
            name = blockdev.living_filesystem(device) if device else ""
            if name:
                return (
                    f"{shown(self.device)} is not mounted here, but the kernel still has a filesystem on {name}:"
                    " it was unmounted lazily (umount -l) or while frozen, or it is in another mount namespace;"
                    " end what uses it, or reboot this node, before another node gets the disk"
                )
        return ""

    def mount(self, directory: str, lock: int) -> None:
        from failover_kit.agents.filesystem_disk import mount_disk

        mount_disk(self.call, self.tag, directory, lock)

    def claims(self, seen: Observation, attempts: "Attempts") -> "list[Claim]":
        """Unmounting kills: a UUID or label that is not mounted at our directory must be read from the disk."""
        if seen.mount is not None:
            devices = [seen.mount.device]
        elif self.tag.kind == "path":
            devices = [seen.device] if seen.device else []
        else:
            devices = self._carriers(seen, attempts)
        return [_claim(device) for device in devices]

    def _carriers(self, seen: Observation, attempts: "Attempts") -> "list[int]":
        """The disk that carries the UUID or label; of several (a clone, a snapshot) the one that start mounted.

        AgentError when nobody knows which that is and one of them is mounted: it may be another one's.
        """
        from failover_kit.agents.filesystem_disk import search

        paths = search(self.tag, attempts, self.call.deadline)
        devices = [blockdev.number_of(path) for path in paths]
        recorded = recorded_number(self.call)
        if len(devices) < 2 or recorded in devices:
            return [recorded] if recorded in devices else devices
        for path, device in zip(paths, devices, strict=True):
            for mount in seen.table.of_device(device):
                copies = f"{shown(self.device)} is on {' and '.join(paths)}"
                fact = f"{copies}, and {path} is mounted at {shown(mount.point)}"
                raise failed(f"{fact}: nobody can tell whether that is ours; unmount it, or give the disk's path")
        return devices

    def prove(self, claims: "list[Claim]", attempts: "Attempts") -> None:
        from failover_kit.agents.filesystem_disk import prove_free

        # What start mounted must be free even if the setting leads elsewhere, or nowhere, by now.
        recorded = recorded_number(self.call)
        devices = [claim.device for claim in claims]
        for device in dict.fromkeys([*devices, recorded] if recorded else devices):
            node = self._node_of(device)
            if node:
                prove_free(node, device, attempts, self.call.deadline)

    def _node_of(self, device: int) -> str:
        """A node to open: the configured one if it is this device, else what the kernel calls it.

        "" when the kernel has no such device any more: nobody can have that open.
        """
        if known_number(blockdev.Tag("path", self.device)) == device:
            return self.device
        return blockdev.node_of(device)

    def host_problems(self) -> "list[str]":
        from failover_kit.agents.filesystem_disk import host_problems

        return host_problems(self.call, self.tag)


def _claim(device: int) -> Claim:
    return Claim(lambda table: table.of_device(device), device=device)


def known_number(tag: "Tag") -> int:
    """The device number as far as /dev tells without reading a disk; 0 when it does not."""
    try:
        return blockdev.number_of(tag.value if tag.kind == "path" else blockdev.udev_link(tag))
    except OSError:
        return 0


def recorded_number(call: "Call") -> int:
    """Which device ``device`` was when our start mounted it; 0 when that is not on record.

    It tells whether what is mounted at our directory is what start mounted, and what a stop must see
    free. Never what may be unmounted: the number may have been given to another disk since.
    """
    record = read_record(call)
    return record.device if record else 0


def is_ours(call: "Call", tag: "Tag", device: int, mount: "Mount") -> bool:
    """Whether ``mount`` is the filesystem asked for."""
    if mount.device == device or mount.device == recorded_number(call):
        # The record counts even if the setting leads to another device now: links of udev's move.
        return True
    if device:
        return False
    if tag.kind == "path":
        # The node is gone (a link of udev's goes with its disk) and so is the record, and something
        # is mounted: the name it was mounted by must do. mount(8) wrote down where a link led to, though.
        if mount.source != tag.value and mount.fstype in DISK_TYPES and not blockdev.kernel_name(mount.device):
            fact = f"{shown(tag.value)} is not there, nor is the disk of what is mounted at {shown(mount.point)}"
            raise failed(f"{fact}: nobody can tell whether that is the same; unmount it by hand")
        return mount.source == tag.value
    if mount.fstype not in DISK_TYPES:
        return False
    from failover_kit.kernel.attempts import Attempts, GivenUp
    from failover_kit.spec.deadline import Deadline

    try:
        matching = Attempts().run(
            f"reading the superblock of {shown(mount.source)}",
            lambda: "yes" if blockdev.matches(mount.source, tag) else "",
            Deadline(_SUPERBLOCK_PATIENCE_MS),
        )
    except GivenUp as error:
        raise failed(f"cannot tell what is mounted at {shown(mount.point)}: {error}") from None
    return bool(matching)
