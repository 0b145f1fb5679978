"""A shared disk: a sparse file behind a loop device, formatted with XFS once.

The loop device detaches itself when its last user is gone (LO_FLAGS_AUTOCLEAR, loop(4)); this process keeps
one descriptor open, so it lasts as long as the rehearsal and no longer, whatever ends it.
"""

from __future__ import annotations

import fcntl
import os
import struct

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run

# include/uapi/linux/loop.h
LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LO_FLAGS_AUTOCLEAR = 4
_INFO64_BYTES = 232
_INFO64_FLAGS_AT = 52  # lo_device, lo_inode, lo_rdevice, lo_offset, lo_sizelimit (5 x 8), 3 x u32

IMAGE_BYTES = 320 << 20
"""mkfs.xfs refuses less than 300 MB (xfsprogs 5.19 and later)."""

ATTEMPTS = 20
FORMAT_MS = 60_000
MODPROBE_MS = 10_000


class DiskError(Exception):
    """The shared disk cannot be made; ``str()`` says why."""


class SharedDisk:
    """One block device for both nodes; ``device`` is its path, ``number`` its major:minor."""

    def __init__(self, image: str, label: str) -> None:
        with open(image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        self._fd, self.device = attach(image)
        status = os.fstat(self._fd)
        self.number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        result = run(["mkfs.xfs", "-q", "-f", "-L", label, self.device], Deadline(FORMAT_MS))
        if not result.ok():
            self.close()
            raise DiskError(result.describe())
        if not os.path.isdir("/sys/fs/xfs"):  # nodes cover it when they boot, and the first mount is later
            run(["modprobe", "--quiet", "xfs"], Deadline(MODPROBE_MS))

    def free(self) -> bool:
        """Whether no filesystem holds the device: an exclusive open succeeds (bd_prepare_to_claim)."""
        try:
            os.close(os.open(self.device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
        except OSError:
            return False
        return True

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def attach(image: str) -> tuple[int, str]:
    """A free loop device with ``image`` behind it: a descriptor that keeps it, its path. DiskError without one.

    Others take loop devices, too: it is tried again.
    """
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(ATTEMPTS):
            control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
            try:
                number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            finally:
                os.close(control)
            path = f"/dev/loop{number}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            info = bytearray(_INFO64_BYTES)
            struct.pack_into("=I", info, _INFO64_FLAGS_AT, LO_FLAGS_AUTOCLEAR)
            # struct loop_config: fd, block_size, loop_info64, eight reserved u64
            config = struct.pack("=II", backing, 0) + bytes(info) + bytes(64)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
            except OSError:
                os.close(device)
                continue
            return device, path
    finally:
        os.close(backing)
    raise DiskError(f"no loop device could be had in {ATTEMPTS} attempts; is another program using all of them?")
