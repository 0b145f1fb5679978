"""The rehearsal's world with a card of its own to the shared disk for each node: two block devices, one image.

Heartbeat that is ended on the passive node calls stop for everything. ``Filesystem`` then asks its own kernel
whether anything still has the device, with an exclusive open. On two machines that says nothing of the other
machine's mount; with one device for both nodes the other node's mount would make that stop fail.

The kernel of the two nodes is still one, and refuses to mount an XFS twice by its UUID, so a second mount would
fail here where on two machines it succeeds. Nothing counts on that: the ledger has the attempts.
"""

from __future__ import annotations

import os

from failover_kit.rehearsal.disk import attach
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.plan import GROUP, MCLAWS, GroupPlan
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline

FREE_MS = 15_000
"""The kernel puts a dead node's mounts away in the background. Until then its UUID is taken."""


class TwoCards(World):
    """``mclaws`` has the second device."""

    def __init__(self, directory: str, kit: str, diary: Diary) -> None:
        self._second: tuple[int, str] | None = None
        super().__init__(directory, kit, diary)

    def close(self) -> None:
        super().close()
        if self._second is not None:
            os.close(self._second[0])
            self._second = None

    def device_on(self, name: str, group: GroupPlan = GROUP) -> str:
        """The path of the node's device; the second one is made when it is asked for first."""
        if name != MCLAWS.name:
            return self.disk_of(group).device
        if self._second is None:
            self._second = attach(os.path.join(self.directory, f"disk{group.number}.img"))
        return self._second[1]

    def disk_number(self, name: str, group: GroupPlan = GROUP) -> str:
        number = os.stat(self.device_on(name, group)).st_rdev
        return f"{os.major(number)}:{os.minor(number)}"

    def disk_free(self, group: GroupPlan = GROUP) -> bool:
        return all(_free(self.device_on(name, group)) for name in self.nodes)

    def _wait_for_disks(self) -> None:
        """After a power cut: until the dead node's mount is gone, but for a disk that the other node has."""
        deadline = Deadline(FREE_MS)
        while not deadline.expired() and not self.disk_free():
            if any(node.on and self.mounted_on(node) for node in self.nodes.values()):
                return


def _free(device: str) -> bool:
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError:
        return False
    return True
