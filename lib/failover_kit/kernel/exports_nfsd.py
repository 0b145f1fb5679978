"""The switches of nfsd that a stop of an export needs: /proc/fs/nfsd (nfsd(7), fs/nfsd/nfsctl.c)."""

import os

NFSD = "/proc/fs/nfsd"


def threads() -> int:
    """How many threads serve; 0 when nfsd is down, not loaded, or its filesystem is not mounted."""
    try:
        with open(f"{NFSD}/threads", encoding="ascii") as file:
            return int(file.read().strip() or 0)
    except (OSError, ValueError):
        return 0


def lease_s() -> int:
    """The NFSv4 lease time in seconds; 0 when it cannot be read."""
    try:
        with open(f"{NFSD}/nfsv4leasetime", encoding="ascii") as file:
            return int(file.read().strip() or 0)
    except (OSError, ValueError):
        return 0


def unlock(path: str) -> str:
    """Drop the NFSv3 locks held on the filesystem of ``path``; from Linux 6.9 on NFSv4 state, too.

    For a child of kernel.attempts: a client with a pNFS layout can make it loop (fixed by 4f8ef58c10bf).
    Looks for threads itself, at the last moment: the write crashes a kernel without d0424066fcd2 ("nfsd:
    check that server is running in unlock_filesystem") whose nfsd is down. Returns "no nfsd" then,
    else "". The newline is part of the interface (write_unlock_fs()).
    """
    if threads() == 0:
        return "no nfsd"
    fd = os.open(f"{NFSD}/unlock_filesystem", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, os.fsencode(path) + b"\n")
    finally:
        os.close(fd)
    return ""


class Holder:
    """An NFSv4 client with files open on a filesystem. ``status`` is the kernel's word; a client that has
    outlived its lease is ``courtesy`` from Linux 5.19 on: it keeps its files until somebody else wants them.
    """

    __slots__ = ("address", "directory", "name", "status")

    def __init__(self, directory: str, info: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in info.split(b"\n") if b": " in line)
        self.directory = directory
        self.name = fields.get(b"name", b"?").decode("utf-8", "replace").strip('"')
        self.address = fields.get(b"address", b"?").decode("ascii", "replace").strip('"')
        self.status = fields.get(b"status", b"").decode("ascii", "replace")

    def overdue(self) -> bool:
        """Whether the client's lease has ended."""
        return self.status in ("courtesy", "expirable")


def holders(device: int) -> "list[Holder] | None":
    """The NFSv4 clients that hold something on the filesystem ``device``; None before Linux 5.3, which lists none.

    ``clients/*/states`` has a line for everything held, with ``superblock: "MAJOR:MINOR:INODE"``, device
    numbers in hexadecimal (fs/nfsd/nfs4state.c, nfs4_show_superblock()); what unlock_filesystem has
    revoked (Linux 6.9) is marked and holds nothing any more.
    """
    if not os.path.isdir(f"{NFSD}/clients"):
        return None
    needle = f'superblock: "{os.major(device):02x}:{os.minor(device):02x}:'.encode()
    found = []
    for number in os.listdir(f"{NFSD}/clients"):
        directory = f"{NFSD}/clients/{number}"
        try:
            lines = _read(f"{directory}/states").split(b"\n")
            if any(_names(line, needle) for line in lines):
                found.append(Holder(directory, _read(f"{directory}/info")))
        except OSError:
            continue  # this client has just gone
    return found


def _names(line: bytes, needle: bytes) -> bool:
    """Whether a line of ``states`` is for the device of ``needle``: in its first superblock, before file names."""
    at = line.find(b'superblock: "')
    return at >= 0 and line.startswith(needle, at) and not line.rstrip().endswith(b"admin-revoked }")


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        blocks = []
        while block := file.read(1 << 16):
            blocks.append(block)
    return b"".join(blocks)


def expire(holder: Holder) -> str:
    """Take everything from a client, as at the end of its lease; for a child: waits for its calls to end.

    Its reclaim record goes, too (fs/nfsd/nfs4state.c, force_expire_client()): it can take no lock along to
    another node. Returns ""; a client that has gone is not an error.
    """
    try:
        fd = os.open(f"{holder.directory}/ctl", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        os.write(fd, b"expire\n")
    finally:
        os.close(fd)
    return ""
