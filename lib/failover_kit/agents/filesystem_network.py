"""Filesystem of a server: server:/path, [IPv6]:/path, //server/share.

Its identity is the source in the mount table, and not the device number: the NFS client gives one to
all exports of one filesystem of the server. Stopped means: no mount of that source in this mount
namespace. More cannot be proved here and need not be: who may write is the server's business.
"""

from failover_kit.agents.filesystem_seen import Claim, Observation, Source, write_record
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.attempts import Attempts


class Network(Source):
    __slots__ = ()

    def observe(self) -> Observation:
        same = [mount for mount in self.table.of_source(self.device) if mount.remote()]
        ours = self.top if self.top is not None and any(mount.id == self.top.id for mount in same) else None
        elsewhere = [mount for mount in same if ours is None or mount.id != ours.id]
        # cifs shows a share's subdirectory as the root; for the others only a bind mount has one.
        root = ours.root if ours is not None and ours.fstype in ("cifs", "smb3") else "/"
        device = ours.device if ours is not None else 0
        foreign = None if ours else self.top
        return Observation(
            self.table, self.directory, device, mount=ours, elsewhere=elsewhere, foreign=foreign, root=root
        )

    def mount(self, directory: str, lock: int) -> None:  # noqa: ARG002
        """By mount(8) and its helpers. They do not keep the lock: those of FUSE stay, to serve the filesystem."""
        from failover_kit.agents.filesystem_start import run_mount

        write_record(self.call, 0, "/", directory)
        run_mount(self.call, self.device, directory, ())
        self.look()
        if self.top is not None and self.observe().mount is None:
            from failover_kit.kernel import mounting

            name = shown(self.top.source)
            mounting.unmount(self.directory)
            raise failed(
                f"the kernel calls what it mounted {name} and not {shown(self.device)}, so no monitor could tell it"
                f" from others: unmounted again; set device to {name}"
            )

    def claims(self, seen: Observation, attempts: "Attempts") -> "list[Claim]":  # noqa: ARG002
        def find(table: "MountTable") -> "list[Mount]":
            return [mount for mount in table.of_source(self.device) if mount.remote()]

        return [Claim(find, path=seen.directory)] if find(seen.table) else []

    def host_problems(self) -> "list[str]":
        import os

        fstype = self.call.values.text("fstype") or ("cifs" if self.device.startswith("//") else "nfs")
        helper = f"mount.{fstype}"
        places = [f"{place}/{helper}" for place in ("/sbin", "/usr/sbin", "/usr/local/sbin")]
        if fstype == "ceph" or any(os.access(place, os.X_OK) for place in places):
            return []
        return [f"fstype: {helper} is not installed; on Debian it is in {_PACKAGES.get(fstype, helper)}"]


_PACKAGES = {"nfs": "nfs-common", "nfs4": "nfs-common", "cifs": "cifs-utils", "smb3": "cifs-utils"}

if TYPE_CHECKING:
    from failover_kit.kernel.mounts import Mount, MountTable
