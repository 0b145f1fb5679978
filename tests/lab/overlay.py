"""A guest's own root disk: a qcow2 file over the image's, made without qemu-img (which not every machine has).

Only the empty file is made here, QEMU does the rest. Format: QEMU, docs/interop/qcow2.txt, version 3. An overlay is
there at once and holds what the guest writes; and QEMU keeps its tables in memory until the guest flushes, so what
was not flushed at a power cut is as lost as in a real disk's cache.
"""

from __future__ import annotations

import os
import struct

from lab.errors import LabError

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
L2_ENTRIES = CLUSTER // 8
HEADER_BYTES = 104
BACKING_FORMAT_EXTENSION = 0xE2792ACA
BACKING_LIMIT_BYTES = 1023

# The first clusters: header, refcount table, refcount block, L1 table.
_REFCOUNT_TABLE, _REFCOUNT_BLOCK, _L1, _CLUSTERS = CLUSTER, 2 * CLUSTER, 3 * CLUSTER, 4


def content(backing: str, size: int) -> bytes:
    """An empty overlay over the raw file ``backing`` of ``size`` bytes."""
    name = os.fsencode(backing)
    if len(name) > BACKING_LIMIT_BYTES:
        raise LabError(f"{backing}: a path of at most {BACKING_LIMIT_BYTES} bytes fits into a qcow2 file")
    l1_entries = -(-size // (CLUSTER * L2_ENTRIES))
    extensions = struct.pack(">II", BACKING_FORMAT_EXTENSION, 3) + b"raw\0\0\0\0\0" + struct.pack(">II", 0, 0)
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb", 3, HEADER_BYTES + len(extensions), len(name), CLUSTER_BITS, size,
        0, l1_entries, _L1, _REFCOUNT_TABLE, 1, 0, 0,  # no encryption; L1; refcounts; no snapshots
        0, 0, 0, 4, HEADER_BYTES,  # no features; refcounts of 16 bits
    )  # fmt: skip
    data = bytearray(_CLUSTERS * CLUSTER)
    start = header + extensions + name
    data[: len(start)] = start
    struct.pack_into(">Q", data, _REFCOUNT_TABLE, _REFCOUNT_BLOCK)
    struct.pack_into(f">{_CLUSTERS}H", data, _REFCOUNT_BLOCK, *[1] * _CLUSTERS)
    return bytes(data)


def make(path: str, backing: str) -> None:
    """A new overlay at ``path``. Raises LabError."""
    try:
        data = content(os.path.abspath(backing), os.stat(backing).st_size)
        with open(path, "xb") as file:
            file.write(data)
    except OSError as error:
        raise LabError(f"{error.filename}: {error.strerror}") from None
