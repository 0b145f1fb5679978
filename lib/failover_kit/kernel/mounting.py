"""umount2(2), called in the C library: no umount(8), whose own lookups may hang before the call."""

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
