"""The kernel's NFS server, through /proc/fs/nfsd (Documentation/admin-guide/nfs/nfsd-admin-interfaces.rst).

There is one server per network namespace. It exists only while the nfsd filesystem is mounted somewhere:
its last unmount ends all threads (nfsd_umount() in fs/nfsd/nfsctl.c), so "not mounted" is "no thread".
Signals end no thread any more: since Linux 6.6, and in the stable series 6.1 of Debian 12, nfsd ignores
every signal (seen on 6.1.192: SigIgn is all ones). Writing 0 to ``threads`` is what ends them.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.attempts import Attempts
    from failover_kit.spec.deadline import Deadline

ROOT = "/proc/fs/nfsd"
_STATISTICS = "/proc/net/rpc/nfsd"
# What exportfs -f flushes. Each entry of nfsd.export and nfsd.fh holds its filesystem busy.
_CACHES = ("auth.unix.ip", "auth.unix.gid", "nfsd.fh", "nfsd.export")
_POLL_S = 0.05


def threads() -> int:
    """How many threads the server has; 0 when there is none, or no nfsd in this kernel."""
    text = _read(f"{ROOT}/threads")
    if text:
        return int(text)
    # Mounted elsewhere, or not at all: the statistics count the threads that run ("th 8 0 …").
    for line in _read(_STATISTICS).splitlines():
        words = line.split()
        if words and words[0] == "th":
            return int(words[1])
    return 0


def running() -> bool:
    return threads() > 0


def versions() -> "dict[str, bool]":
    """``{"3": True, "4.1": False, …}``: which protocol versions the server speaks. Needs the filesystem."""
    return {word[1:]: word[0] == "+" for word in _read(f"{ROOT}/versions").split() if word[0] in "+-"}


def seconds(name: str) -> int:
    """``nfsv4leasetime`` or ``nfsv4gracetime`` as the kernel has it; 0 when it cannot be read."""
    text = _read(f"{ROOT}/{name}").strip()
    return int(text) if text.isdigit() else 0


def available() -> bool:
    """Whether the kernel can serve NFS now: nfsd is built in or loaded."""
    return any(line.split()[-1:] == ["nfsd"] for line in _read("/proc/filesystems").splitlines())


def mounted() -> bool:
    return os.path.exists(f"{ROOT}/threads")


def mount() -> None:
    """Mount the nfsd filesystem where everybody looks for it; OSError ENODEV without nfsd in the kernel."""
    from failover_kit.kernel.mounting import mount

    mount("nfsd", ROOT, "nfsd")


def set_threads(count: int) -> None:
    """Ask for ``count`` threads. 0 ends the server, with all locks; waits for threads that hang in I/O."""
    _write(f"{ROOT}/threads", f"{count}\n")


def end(attempts: "Attempts", deadline: "Deadline") -> bool:
    """End the server and see it gone; False when there was none.

    DeadlineExpired, GivenUp (a thread hangs in the kernel, most likely waiting for a disk) or OSError.
    """
    if not running():
        return False
    import time

    if not mounted():
        mount()
    while running():
        attempts.run("ending the NFS server's threads", _end, deadline)
        if running():
            # Somebody starts it again, or the statistics lag behind.
            deadline.require(f"ending the NFS server: it still has {threads()} threads")
            time.sleep(min(_POLL_S, deadline.left_s()))
    return True


def _end() -> str:
    set_threads(0)
    return ""


def flush_exports() -> None:
    """Empty the kernel's export caches: an entry in them keeps a filesystem from being unmounted.

    rpc.mountd fills them even while there is no server, when a client asks to mount. What is flushed is
    asked again when it is needed, so this harms nobody.
    """
    import time

    for cache in _CACHES:
        try:
            # Linux before 4.20 keeps entries younger than the time given; later ones flush all, always.
            _write(f"/proc/net/rpc/{cache}/flush", f"{int(time.time())}\n")
        except FileNotFoundError:
            continue


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _write(path: str, text: str) -> None:
    """One write(2) to a kernel file that must exist."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
