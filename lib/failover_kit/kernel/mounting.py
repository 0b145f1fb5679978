"""mount(2) and umount2(2), called in the C library: no umount(8), whose own lookups may hang before the call."""

import os

# linux/fs.h: do not follow a symbolic link at the end of the path. Never MNT_DETACH: a filesystem
# detached lazily is still alive, and still writes.
_UMOUNT_NOFOLLOW = 0x8
_MNT_FORCE = 0x1


def unmount(point: str, abort_requests: bool = False) -> None:
    """Unmount the topmost mount at ``point``; OSError EBUSY while it is in use.

    ``abort_requests`` (MNT_FORCE) is for network filesystems alone: it fails what waits for a dead
    server. May hang with the filesystem, and may rightly take long: it writes what is not yet written.
    """
    import ctypes

    flags = _UMOUNT_NOFOLLOW | (_MNT_FORCE if abort_requests else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# linux/mount.h: make a directory visible at a second place.
_MS_BIND = 0x1000


def mount(source: str, point: str, fstype: str) -> None:
    """Mount a filesystem that needs neither options nor a disk; OSError with the kernel's reason."""
    _mount(source, point, fstype, 0)


def bind(source: str, point: str) -> None:
    """Make the directory ``source`` visible at ``point``, too."""
    _mount(source, point, "", _MS_BIND)


def _mount(source: str, point: str, fstype: str, flags: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(source), os.fsencode(point), os.fsencode(fstype), ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), point)
