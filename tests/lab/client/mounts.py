"""What the client's kernel says of its NFS mounts. Pure; standard library only.

``/proc/self/mountstats`` (net/sunrpc/stats.c, fs/nfs/super.c of Linux): a line ``device D mounted on M with fstype
T``, for NFS followed by indented lines: ``opts:`` with ``vers=``, and ``per-op statistics`` with one line per
operation, its first number the count of requests. The server's address (``addr=``) stands in ``/proc/self/mounts``
only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MOUNTSTATS = "/proc/self/mountstats"
MOUNTS = "/proc/self/mounts"


@dataclass(frozen=True, slots=True)
class NfsMount:
    """A mount of type nfs or nfs4; ``version`` as in the options: ``3``, ``4.1``; ``operations``: requests sent."""

    device: str
    point: str
    fstype: str
    version: str
    server: str
    options: tuple[str, ...] = ()
    operations: dict[str, int] = field(default_factory=dict)


def unescaped(text: str) -> str:
    r"""Blank, tab, newline and backslash stand as ``\040`` and so on in the kernel's tables."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def nfs_mounts(mountstats: str, table: str = "") -> dict[str, NfsMount]:
    """The NFS mounts by mount point; of mounts upon each other the last, which is the one that is seen.

    ``table`` is ``/proc/self/mounts``, for the servers' addresses.
    """
    servers = _servers(table)
    found: dict[str, NfsMount] = {}
    for block in re.split(r"^(?=device )", mountstats, flags=re.MULTILINE):
        head = re.match(r"device (.*) mounted on (.*) with fstype (\S+)", block)
        if head is None:
            continue
        device, point, fstype = unescaped(head.group(1)), unescaped(head.group(2)), head.group(3)
        found.pop(point, None)
        if fstype not in ("nfs", "nfs4"):
            continue
        opts = re.search(r"^\s+opts:\s*(\S+)", block, flags=re.MULTILINE)
        options = tuple(opts.group(1).split(",")) if opts else ()
        values = dict(option.partition("=")[::2] for option in options)
        found[point] = NfsMount(
            device, point, fstype, values.get("vers", ""), servers.get(point, ""), options, _operations(block)
        )
    return found


def _servers(table: str) -> dict[str, str]:
    found = {}
    for line in table.splitlines():
        words = line.split()
        if len(words) > 3:
            values = dict(option.partition("=")[::2] for option in words[3].split(","))
            found[unescaped(words[1])] = values.get("addr", "")
    return found


def _operations(block: str) -> dict[str, int]:
    _, _, table = block.partition("per-op statistics")
    return {name: int(count) for name, count in re.findall(r"^\s*([A-Z0-9_]+): (\d+) ", table, flags=re.MULTILINE)}


def complaints(mount: NfsMount | None, point: str, version: str, server: str) -> list[str]:
    """Why ``point`` is not the NFS mount it should be; empty when it is."""
    if mount is None:
        return [f"{point} is not an NFS mount on the client; what is written there stays on the client's own disk"]
    found = []
    if mount.version != version:
        found.append(f"{point} is mounted by NFS version {mount.version or '?'}, wanted is {version}")
    if mount.server != server:
        found.append(f"{point} is served by {mount.server or '?'}, wanted is the cluster address {server}")
    return found


def not_grown(before: NfsMount, after: NfsMount, names: tuple[str, ...]) -> list[str]:
    """Those operations of ``names`` of which no request was sent between the two looks."""
    return [name for name in names if after.operations.get(name, 0) <= before.operations.get(name, 0)]
