"""The mount table of this namespace, from /proc/self/mountinfo (proc(5)).

The kernel hands the table out a page at a time and lets mounts come and go between two reads, so a
plain reader sometimes misses an entry that was there all along (1 in 100 with 80 filesystems being
started at once). poll(2) on the file says whether the table changed since it was opened: then it
is read again.
"""

import posix
import select

from failover_kit.kernel import paths

_MOUNTINFO = "/proc/self/mountinfo"
_BLOCK_BYTES = 1 << 16
# Entries we look for are believed when seen once; a miss is believed from a quiet reading, or after
# this many restless ones in a row.
_READ_ATTEMPTS = 20

# Filesystems whose inodes of mounted directories are in memory: stat(2) on them cannot wait for a server.
_LOCAL_TYPES = (
    "ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "rootfs", "overlay", "squashfs", "devtmpfs", "zfs",
    "f2fs", "vfat",
)  # fmt: skip
# Prefixes of the types behind which a server answers, or does not.
_REMOTE_TYPES = ("nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "gfs", "glusterfs")


class Mount:
    """One line of mountinfo. ``options`` are the mount's own, ``super_options`` the filesystem's."""

    __slots__ = ("device", "fstype", "id", "options", "parent", "point", "root", "source", "super_options")

    def __init__(self, line: bytes) -> None:
        head, _, tail = line.partition(b" - ")
        ids = head.split(b" ")
        self.id = int(ids[0])
        self.parent = int(ids[1])
        major, _, minor = ids[2].partition(b":")
        self.device = posix.makedev(int(major), int(minor))
        self.root = unescape(ids[3])
        self.point = unescape(ids[4])
        self.options = ids[5].decode("ascii", "replace").split(",")
        kind, source, super_options = tail.split(b" ", 2)
        self.fstype = unescape(kind)
        self.source = unescape(source)
        self.super_options = super_options.decode("utf-8", "surrogateescape").split(",")

    def shows(self) -> str:
        """Which directory of its filesystem it shows.

        NFS says / of each mount, and has the directory in the source (nfs_show_path(), nfs_show_devname() in
        fs/nfs/super.c): server:/export/sub is a bind mount of sub.
        """
        return self.source.rstrip("/") if self.fstype in ("nfs", "nfs4") else self.root

    def remote(self) -> bool:
        """Whether a server is behind it: MNT_FORCE does something, and every access may hang."""
        return self.fstype.startswith(_REMOTE_TYPES)

    def local(self) -> bool:
        """Whether stat(2) of the mounted directory asks memory alone. Some types are neither this nor remote."""
        return self.fstype in _LOCAL_TYPES


def unescape(field: bytes) -> str:
    r"""A field as a path: the kernel writes blank, tab, newline, backslash and # as octal (\040)."""
    if b"\\" in field:
        first, *rest = field.split(b"\\")
        field = first + b"".join(bytes((int(part[:3], 8),)) + part[3:] for part in rest)
    return paths.decode(field)


def escape(path: str) -> bytes:
    """A mount point as the kernel writes it (show_mountinfo() leaves # alone there), to search for."""
    data = paths.encode(path).replace(b"\\", b"\\134")
    for sign, code in ((b" ", b"\\040"), (b"\t", b"\\011"), (b"\n", b"\\012")):
        data = data.replace(sign, code)
    return data


class MountTable:
    """One reading of the table. Searches look at bytes first: 5000 mounts must not cost 5000 objects."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = b"\n" + data

    def all(self) -> "list[Mount]":
        return [Mount(line) for line in self._data.split(b"\n") if line]

    def at(self, path: str) -> "Mount | None":
        """What one sees at ``path``: the topmost mount there."""
        stack = self.stack(path)
        below = {mount.parent for mount in stack}
        for mount in reversed(stack):
            if mount.id not in below:
                return mount
        return None

    def stack(self, path: str) -> "list[Mount]":
        """All mounts at ``path``, one on top of the other."""
        return [mount for mount in self._with(b" " + escape(path) + b" ") if mount.point == path]

    def below(self, path: str) -> "list[Mount]":
        """The mounts at directories below ``path``."""
        return [mount for mount in self._with(b" " + escape(path) + b"/") if mount.point.startswith(path + "/")]

    def under(self, path: str) -> "Mount | None":
        """The mount on which ``path``, free of symbolic links, lies."""
        while path:
            found = self.at(path)
            if found is not None:
                return found
            path = path.rpartition("/")[0]
        return self.at("/")

    def of_source(self, source: str) -> "list[Mount]":
        """Every mount whose source is written ``source``, slashes at its end aside.

        Looked for up to its first #: that is octal for most filesystems (mangle() in fs/proc_namespace.c) and
        itself for those that write their source themselves (nfs_show_devname(), cifs_show_devname()).
        """
        source = source.rstrip("/")
        needle = b" " + escape(source.partition("#")[0])
        return [mount for mount in self._with(needle) if mount.source.rstrip("/") == source]

    def of_device(self, device: int) -> "list[Mount]":
        """Every mount of the filesystem with this device number, bind mounts included."""
        needle = b" %d:%d " % (posix.major(device), posix.minor(device))
        return [mount for mount in self._with(needle) if mount.device == device]

    def standing_on(self, mounts: "list[Mount]") -> "list[Mount]":
        """``mounts`` and everything that stands on them, below or on top of their mount points."""
        found = {mount.id: mount for mount in mounts}
        children: dict[int, list[Mount]] = {}
        for mount in self.all():
            children.setdefault(mount.parent, []).append(mount)
        pending = list(found)
        while pending:
            for child in children.get(pending.pop(), []):
                if child.id not in found:
                    found[child.id] = child
                    pending.append(child.id)
        return list(found.values())

    def covered_by(self, mount: Mount) -> "Mount | None":
        """A mount at a directory above ``mount`` that was made later and hides it; None if it is seen."""
        chain = {above.id for above in self._ancestors(mount)}
        path = mount.point
        while "/" in path[1:]:
            path = path.rpartition("/")[0]
            top = self.at(path)
            if top is not None and top.id not in chain:
                return top
        return None

    def reached_locally(self, mount: Mount) -> bool:
        """Whether ``mount`` and every filesystem on the way to it are local, so that a lookup cannot hang."""
        return all(each.local() for each in (mount, *self._ancestors(mount)))

    def _ancestors(self, mount: Mount) -> "list[Mount]":
        """The mounts ``mount`` stands on, up to the root of this namespace."""
        found: list[Mount] = []
        while mount.parent != mount.id:
            above = [known for known in self._with(b"\n%d " % mount.parent) if known.id == mount.parent]
            if not above or above[0] in found:
                break
            mount = above[0]
            found.append(mount)
        return found

    def _with(self, needle: bytes) -> "list[Mount]":
        """The mounts on whose line ``needle`` occurs, in the table's order."""
        data = self._data
        found = []
        at = data.find(needle)
        while at >= 0:
            start = data.rfind(b"\n", 0, at + 1) + 1
            end = data.find(b"\n", max(start, at))
            line = data[start : end if end >= 0 else len(data)]
            if line:
                found.append(Mount(line))
            at = data.find(needle, start + len(line))
        return found


def read() -> "tuple[MountTable, bool]":
    """One reading, and whether the table stood still while it was read."""
    with open(_MOUNTINFO, "rb", buffering=0) as file:
        blocks = []
        while block := file.read(_BLOCK_BYTES):
            blocks.append(block)
        poller = select.poll()
        poller.register(file.fileno(), select.POLLPRI)
        changed = any(events & (select.POLLPRI | select.POLLERR) for _, events in poller.poll(0))
    return MountTable(b"".join(blocks)), not changed


def table(path: str = "", device: int = 0) -> MountTable:
    """A reading in which a mount at ``path`` or of ``device`` is not missing by accident."""
    for _ in range(_READ_ATTEMPTS):
        found, quiet = read()
        if quiet or (path and found.at(path) is not None) or (device and found.of_device(device)):
            break
    return found


def unmount_order(mounts: "list[Mount]") -> "list[Mount]":
    """``mounts`` with every mount before the one it stands on."""
    parents = {mount.id: mount.parent for mount in mounts}

    def depth(mount: Mount) -> int:
        steps, at = 0, mount.id
        seen: set[int] = set()
        while at in parents and at not in seen:
            seen.add(at)
            at = parents[at]
            steps += 1
        return steps

    return sorted(mounts, key=depth, reverse=True)


def real_path(path: str, known: MountTable) -> str:
    """``path`` without symbolic links, asking no filesystem that could hang and failing never.

    Components that are mount points are directories, so they need no look; below a mount that is not
    local the rest is taken as it stands, and so is what cannot be read (a missing parent, EIO).
    """
    pending = [part for part in path.split("/") if part]
    resolved = ""
    for _ in range(40 * (len(pending) + 1)):
        if not pending:
            break
        part = pending.pop(0)
        if part == "..":
            resolved = resolved.rpartition("/")[0]
            continue
        candidate = f"{resolved}/{part}"
        mount = known.at(candidate)
        if mount is not None:
            resolved = candidate
            if not mount.local():
                break
            continue
        try:
            target = posix.readlink(candidate)
        except OSError:
            resolved = candidate
            continue
        if target.startswith("/"):
            resolved = ""
        pending = [piece for piece in target.split("/") if piece and piece != "."] + pending
    return "/".join([resolved, *pending]) or "/"
