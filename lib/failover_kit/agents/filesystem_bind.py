"""Filesystem as a bind mount: a directory shown at a second place (options=bind, or bind,ro).

Its identity is the device number of the source's filesystem and the path of the directory inside it,
both from the mount table. Stopped means: that mount is away from our directory. The directory itself,
its filesystem, other mounts of it and who uses those are not ours.
"""

import os

from failover_kit.agents.filesystem_seen import Claim, Observation, Source, read_record, write_record
from failover_kit.agents.filesystem_source import ATIME_FLAGS, MOUNT_FLAGS, words_of
from failover_kit.kernel import mounts
from failover_kit.ocf.codes import failed, not_here
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.attempts import Attempts
    from failover_kit.kernel.mounts import Mount, MountTable
    from failover_kit.ocf.agent import Call

_ATIME_MASK = 0x70
# How the kernel marks a root that was deleted after it was bound.
_DELETED = "//deleted"


class Bind(Source):
    __slots__ = ("device_number", "path", "record", "root")

    def __init__(self, call: "Call") -> None:
        super().__init__(call)
        self.path = mounts.real_path(self.device, self.table)
        self.device_number, self.root = self._identity()
        self.record = read_record(call)

    def _identity(self) -> "tuple[int, str]":
        below = self.table.under(self.path)
        if below is None:
            return 0, ""
        rest = self.path if below.point == "/" else self.path[len(below.point) :]
        return below.device, (below.shows().rstrip("/") + rest).rstrip("/") or "/"

    def is_ours(self, mount: "Mount") -> bool:
        """By what the source is now, or was at start: its filesystem may have been unmounted there meanwhile."""
        root = mount.shows().removesuffix(_DELETED)
        if (mount.device, root) == (self.device_number, self.root):
            return True
        record = self.record
        return record is not None and (mount.device, ascii(root)) == (record.device, record.root)

    def stacked(self, table: "MountTable") -> "list[Mount]":
        """Ours at the directory, and where start found it: links on the way there may lead elsewhere by now."""
        found = [mount for mount in table.stack(self.directory) if self.is_ours(mount)]
        if self.record is not None and self.record.directory != ascii(self.directory):
            recorded = self.record.directory
            found += [mount for mount in table.all() if ascii(mount.point) == recorded and self.is_ours(mount)]
        return found

    def observe(self) -> Observation:
        ours = self.top if self.top is not None and self.is_ours(self.top) else None
        stacked = self.stacked(self.table)
        return Observation(
            self.table,
            self.directory,
            ours.device if ours is not None else 0,
            mount=ours,
            elsewhere=[mount for mount in stacked if ours is None or mount.id != ours.id],
            foreign=None if ours else self.top,
            root=ours.root if ours is not None else self.root,
        )

    def ailment(self, seen: Observation) -> str:
        if seen.mount is not None and seen.mount.root.endswith(_DELETED):
            return f"{shown(self.device)}, bound to {shown(seen.directory)}, was deleted; stop and start this"
        return ""

    def mount(self, directory: str, lock: int) -> None:  # noqa: ARG002 - the child holds the lock anyway
        """Never visible without its options: they are set before it is mounted."""
        from failover_kit.kernel import mounting
        from failover_kit.kernel.attempts import Attempts, GivenUp

        attributes, cleared = attributes_of(self.call.values.text("options"))
        write_record(self.call, self.device_number, self.root, directory)

        def work() -> str:
            if not os.path.isdir(self.path):
                raise NotADirectoryError(20, "is not there, or not a directory")
            mounting.bind_with(self.path, directory, attributes, cleared)
            return ""

        try:
            Attempts().run(f"binding {shown(self.device)}", work, self.call.deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except NotADirectoryError as error:
            raise not_here(f"device: {shown(self.device)} {error.strerror}") from None
        except OSError as error:
            raise failed(f"cannot bind {shown(self.device)} to {shown(directory)}: {error.strerror}") from None

    def claims(self, seen: Observation, attempts: "Attempts") -> "list[Claim]":  # noqa: ARG002
        return [Claim(self.stacked, path=seen.directory)] if self.stacked(seen.table) else []

    def host_problems(self) -> "list[str]":
        return [] if os.path.isdir(self.path) else [f"device: {shown(self.device)} is not a directory of this node"]


def attributes_of(options: str) -> "tuple[int, int]":
    """What to set and what to clear (MOUNT_ATTR_*, mount_setattr(2)); of contrary words the last counts."""
    attributes = cleared = 0
    for word in words_of(options):
        if word in ATIME_FLAGS:
            attributes = attributes & ~_ATIME_MASK | ATIME_FLAGS[word]
            cleared |= _ATIME_MASK
            continue
        flag, wanted = MOUNT_FLAGS[word]
        attributes, cleared = (attributes | flag, cleared) if wanted else (attributes & ~flag, cleared | flag)
    return attributes, cleared
