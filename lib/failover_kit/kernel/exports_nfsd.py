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
