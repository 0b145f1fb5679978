"""Block devices: finding them by path, UUID or label, reading them, and whether anybody has them open.

udev's /dev/disk/by-* links are used where they exist and believed only after the superblock was
read; where there is no udev (containers, early boot), all block devices of /sys/block are asked.
Everything that reads a device may hang with the device: call it through ``kernel.attempts``.
"""

import os
import stat

# Superblock places: XFS, fs/xfs/libxfs/xfs_format.h (struct xfs_dsb: magic 0, uuid 32, fname 108);
# ext2/3/4, fs/ext4/ext4.h (struct ext4_super_block at 1024: magic 56, uuid 104, volume name 120).
_SUPERBLOCKS_BYTES = 2048
_EXT_AT = 1024
_SECTOR_BYTES = 4096


class Tag:
    """What a device parameter asks for: ``kind`` is path, uuid or label."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: str) -> None:
        self.kind = kind
        self.value = value


def parse_tag(text: str) -> Tag:
    """Read ``/dev/…``, ``UUID=…``, ``LABEL=…``, ``-U …``, ``--uuid …``, ``-L …``, ``--label …``.

    ValueError for everything else. The option spellings are those of mount(8), as ClusterLabs'
    Filesystem accepts them.
    """
    word, blank, rest = text.partition(" ")
    for kind, spellings in (("uuid", ("-U", "--uuid")), ("label", ("-L", "--label"))):
        if blank and word in spellings and rest.strip():
            return _tag(kind, rest.strip())
        for start in (f"{kind.upper()}=", f"{spellings[0]}=", f"{spellings[1]}="):
            if text.startswith(start) and len(text) > len(start):
                return _tag(kind, text[len(start) :].strip('"'))
        if not blank and text.startswith(spellings[0]) and len(text) > 2 and not text.startswith("--"):
            return _tag(kind, text[2:])
    if text.startswith("/") and len(text) > 1:
        return Tag("path", text)
    raise ValueError("is neither a path nor UUID=… nor LABEL=…")


def _tag(kind: str, value: str) -> Tag:
    value = value.strip('"')
    if kind == "uuid":
        value = value.lower()
        plain = value.replace("-", "")
        if len(plain) != 32 or any(sign not in "0123456789abcdef" for sign in plain):
            raise ValueError("is not a filesystem's UUID; blkid(8) shows them")
    return Tag(kind, value)


def superblock(data: bytes) -> "tuple[str, str, str] | None":
    """(filesystem type, UUID, label) from a device's first 2 KiB; None for what we do not know."""
    if data[:4] == b"XFSB":
        return "xfs", _uuid(data[32:48]), _text(data[108:120])
    ext = data[_EXT_AT:]
    if len(ext) >= 136 and ext[56:58] == b"\x53\xef":
        return "ext", _uuid(ext[104:120]), _text(ext[120:136])
    return None


def _uuid(data: bytes) -> str:
    digits = data.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _text(data: bytes) -> str:
    return os.fsdecode(data.split(b"\0", 1)[0])


def number_of(path: str) -> int:
    """The device number of a block device node; OSError when it is none, or not there."""
    found = os.stat(path)
    if not stat.S_ISBLK(found.st_mode):
        raise OSError(15, f"{path} is not a block device")  # ENOTBLK
    return found.st_rdev


def read_superblock(path: str) -> "tuple[str, str, str] | None":
    """May hang with the device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return superblock(os.pread(fd, _SUPERBLOCKS_BYTES, 0))
    finally:
        os.close(fd)


def lacks_journal(path: str) -> bool:
    """Whether ``path`` has an ext2/3/4 without a journal: only fsck mends that after a crash. May hang.

    s_feature_compat at 92 of the superblock, EXT4_FEATURE_COMPAT_HAS_JOURNAL is 4 (fs/ext4/ext4.h).
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        data = os.pread(fd, _SUPERBLOCKS_BYTES, 0)
    finally:
        os.close(fd)
    found = superblock(data)
    return found is not None and found[0] == "ext" and not data[_EXT_AT + 92] & 4


def matches(path: str, tag: Tag) -> bool:
    """Whether the filesystem on ``path`` is the one asked for; unreadable devices are not."""
    try:
        found = read_superblock(path)
    except OSError:
        return False
    return found is not None and tag.value == found[1 if tag.kind == "uuid" else 2]


def udev_link(tag: Tag) -> str:
    """Where udev would put the link for ``tag`` (labels escaped as udev does)."""
    safe = "#+-.:=@_"
    value = tag.value
    if tag.kind == "label":
        value = "".join(
            sign if (sign.isalnum() or sign in safe) else "".join(f"\\x{byte:02x}" for byte in os.fsencode(sign))
            for sign in value
        )
    return f"/dev/disk/by-{tag.kind}/{value}"


def candidates() -> "list[str]":
    """Device nodes that may carry a filesystem: disks, partitions, loop devices; not parts of others.

    A path of a multipath device and a member of an array have holders: the filesystem is above.
    """
    found = []
    for disk in sorted(os.listdir("/sys/block")):
        base = f"/sys/block/{disk}"
        parts = [name for name in sorted(os.listdir(base)) if os.path.exists(f"{base}/{name}/partition")]
        for name, place in [(disk, base), *((part, f"{base}/{part}") for part in parts)]:
            if _read(f"{place}/size") in ("", "0") or _entries(f"{place}/holders"):
                continue
            node = "/dev/" + name.replace("!", "/")
            if not os.path.exists(node) and name.startswith("dm-"):
                node = "/dev/mapper/" + _read(f"{place}/dm/name")
            if os.path.exists(node):
                found.append(node)
    return found


def search(tag: Tag) -> "list[str]":
    """All device nodes whose filesystem has the UUID or label. May hang with any device it reads."""
    link = udev_link(tag)
    if os.path.exists(link):
        path = os.path.realpath(link)
        if matches(path, tag):
            return [path]
    return [path for path in candidates() if matches(path, tag)]


def is_free(path: str, device: int) -> bool:
    """Whether nobody has the device: no mount in any namespace, no lazy unmount, no mkfs, no array.

    open(2): O_EXCL on a block device fails with EBUSY while it is in use by the system. May hang with
    the device. A device that does not open at all may only be away: an AoE target that is down answers
    ENODEV (aoeblk_open), a SCSI or iSCSI disk whose path is offline ENXIO (sd_open), and when they come
    back a filesystem that still lives writes on. So then the kernel is asked for that filesystem.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == 16:  # EBUSY
            return False
        if error.errno in (2, 6, 19, 123):  # ENOENT, ENXIO, ENODEV, ENOMEDIUM
            return not filesystem_lives(device)
        raise
    os.close(fd)
    return True


def filesystem_lives(device: int) -> bool:
    """Whether the kernel still has an XFS or ext2/3/4 of the device, mounted somewhere or lazily unmounted.

    /sys/fs/xfs/NAME and /sys/fs/ext4/NAME go when the superblock does (xfs_mount_sysfs_del,
    ext4_unregister_sysfs). Debian's kernels serve ext2 and ext3 by the ext4 driver.
    """
    name = kernel_name(device)
    return bool(name) and any(os.path.lexists(f"/sys/fs/{kind}/{name}") for kind in ("xfs", "ext4"))


def living_filesystem(device: int) -> str:
    """The kernel's name of the device with a living filesystem: this one, or one that is made of it; "" for none.

    Made of it: a multipath device or an array has it as a part (/sys/…/holders). Asks sysfs alone, so no
    disk can make it wait.
    """
    pending, seen = [device], {device}
    while pending:
        number = pending.pop()
        if filesystem_lives(number):
            return kernel_name(number)
        for holder in _entries(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/holders"):
            major, _, minor = _read(f"/sys/class/block/{holder}/dev").partition(":")
            above = os.makedev(int(major), int(minor)) if minor else 0
            if above and above not in seen:
                seen.add(above)
                pending.append(above)
    return ""


def holders(device: int) -> "list[str]":
    """Arrays and mapped devices made of the device, and "swap" if it is swapped to: they keep it open."""
    found = sorted(_entries(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/holders"))
    for line in _read("/proc/swaps").split("\n")[1:]:
        name = line.split()[0] if line.startswith("/dev/") else ""
        try:
            if name and number_of(name) == device:
                found.append("swap")
        except OSError:
            continue
    return found


def kernel_name(device: int) -> str:
    """What the kernel calls a block device ("/" as "!"); "" when it has none of this number (any more)."""
    try:
        return os.path.basename(os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    except FileNotFoundError:
        if not os.path.isdir("/sys/dev/block"):
            raise OSError(2, "/sys is not mounted, so nobody can tell what the kernel has; mount it") from None
        return ""


def read_directly(path: str) -> None:
    """Read the first sector past all caches (O_DIRECT); OSError when the device does not give it."""
    import mmap

    fd = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, _SECTOR_BYTES) as buffer:
            if os.preadv(fd, [buffer], 0) != _SECTOR_BYTES:
                raise OSError(5, f"{path}: short read")
    finally:
        os.close(fd)


def node_of(device: int) -> str:
    """A node in /dev for a device number; "" when the kernel has no such device (any more).

    OSError when the device exists and its node does not.
    """
    name = kernel_name(device)
    if not name:
        return ""
    for node in ("/dev/" + name.replace("!", "/"), "/dev/mapper/" + _read(f"/sys/block/{name}/dm/name")):
        try:
            if number_of(node) == device:
                return node
        except OSError:
            continue
    raise OSError(2, f"the kernel has block device {name}, but there is no node for it in /dev; make it (mknod)")


def loops_backed_under(mountpoints: "list[str]") -> "list[str]":
    """Loop devices whose backing file lies under one of the mount points: they keep it busy."""
    found = []
    for disk in os.listdir("/sys/block"):
        backing = _read(f"/sys/block/{disk}/loop/backing_file")
        if backing.startswith(tuple(point + "/" for point in mountpoints)):
            found.append(disk)
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()
    except OSError:
        return ""


def _entries(path: str) -> "list[str]":
    try:
        return os.listdir(path)
    except OSError:
        return []
