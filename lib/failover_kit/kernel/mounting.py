"""mount(2), umount2(2) and mount_setattr(2), called in the C library: no mount(8) or umount(8), whose own
lookups may hang before the call."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes

# linux/fs.h: do not follow a symbolic link at the end of the path. Never MNT_DETACH: a filesystem
# detached lazily is still alive, and still writes.
_UMOUNT_NOFOLLOW = 0x8
_MNT_FORCE = 0x1
# linux/mount.h.
_MS_REMOUNT, _MS_BIND = 0x20, 0x1000
_MS_SAME_AS_ATTRIBUTES = 0xF  # RDONLY, NOSUID, NODEV, NOEXEC
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4
# fcntl.h
_AT_FDCWD, _AT_EMPTY_PATH, _AT_SYMLINK_NOFOLLOW = -100, 0x1000, 0x100
# include/uapi/asm-generic/unistd.h; the same on all machines but alpha. Linux 5.2 and 5.12.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442


def unmount(point: str, abort_requests: bool = False) -> None:
    """Unmount the topmost mount at ``point``; OSError EBUSY while it is in use.

    ``abort_requests`` (MNT_FORCE) is for network filesystems alone: it fails what waits for a dead
    server, and what a live one has not answered yet. May hang with the filesystem, and may rightly take
    long: it writes what is not yet written.
    """
    flags = _UMOUNT_NOFOLLOW | (_MNT_FORCE if abort_requests else 0)
    _checked(_libc().umount2(os.fsencode(point), flags))


def mount(source: str, point: str, fstype: str) -> None:
    """Mount a filesystem that needs neither options nor a disk; OSError with the kernel's reason."""
    _mount(source, point, fstype, 0)


def bind(source: str, point: str) -> None:
    """Make the directory ``source`` visible at ``point``, too."""
    _mount(source, point, "", _MS_BIND)


def bind_with(source: str, point: str, attributes: int, cleared: int) -> None:
    """Make ``source`` visible at ``point`` with its attributes (MOUNT_ATTR_*), in one step for everybody else."""
    import ctypes

    libc = _libc()
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    tree = _checked(libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(source), ctypes.c_uint(flags)))
    try:
        _set(libc, tree, "", attributes, cleared)
        where = (tree, b"", _AT_FDCWD, os.fsencode(point), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH))
        _checked(libc.syscall(_SYS_MOVE_MOUNT, *where))
    finally:
        os.close(tree)


def set_attributes(point: str, attributes: int, cleared: int) -> None:
    """Change attributes of the one mount at ``point`` in place; OSError EBUSY for ro while files are written."""
    _set(_libc(), _AT_FDCWD, point, attributes, cleared)


def remount(point: str, attributes: int) -> None:
    """Make the whole filesystem at ``point`` read-only or writable, not only this mount of it.

    The first four of the attributes are MS_* flags of the same value and set at once; how access times
    are kept stays as it is. OSError EBUSY for ro while files are written.
    """
    _mount("none", point, "", _MS_REMOUNT | attributes & _MS_SAME_AS_ATTRIBUTES)


def _set(libc: "ctypes.CDLL", at: int, path: str, attributes: int, cleared: int) -> None:
    import ctypes

    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    structure = (ctypes.c_uint64 * 4)(attributes, cleared, 0, 0)
    flags = ctypes.c_uint(_AT_SYMLINK_NOFOLLOW if path else _AT_EMPTY_PATH)
    size = ctypes.c_size_t(ctypes.sizeof(structure))
    _checked(libc.syscall(_SYS_MOUNT_SETATTR, at, os.fsencode(path), flags, ctypes.byref(structure), size))


def _mount(source: str, point: str, fstype: str, flags: int) -> None:
    import ctypes

    arguments = (os.fsencode(source), os.fsencode(point), os.fsencode(fstype), ctypes.c_ulong(flags), None)
    _checked(_libc().mount(*arguments), point)


def prepare() -> None:
    """Load what the calls need, so that children forked later have it: it takes longer than most unmounts."""
    _libc()


def _libc() -> "ctypes.CDLL":
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, point: "str | None" = None) -> int:
    if result >= 0:
        return result
    import ctypes

    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), point)
