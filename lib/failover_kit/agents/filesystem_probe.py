"""The deeper monitors of Filesystem: they touch the disk or ask the server, so each runs in a child that can be
given up."""

import os

from failover_kit.agents.filesystem_source import read_only
from failover_kit.kernel import blockdev
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call


def read(call: "Call", mount: "Mount") -> None:
    """Depth 10: the disk gives its first sector, past the page cache; a server tells how full its filesystem is."""
    try:
        disk = blockdev.number_of(mount.source) == mount.device if mount.source.startswith("/dev/") else False
    except OSError:
        disk = False
    if disk:
        _attempt(call, f"reading {shown(mount.source)}", lambda: blockdev.read_directly(mount.source))
    else:
        _attempt(call, f"asking the filesystem at {shown(mount.point)}", lambda: os.statvfs(mount.point))


def use_status_file(call: "Call", mount: "Mount") -> None:
    """Depth 20: a file can be written durably and read back; a read-only filesystem can be listed."""
    if read_only(call.values.text("options")):
        _attempt(call, f"listing {shown(mount.point)}", lambda: os.listdir(mount.point))
        return
    name = status_file(call)

    def work() -> None:
        text = f"{call.instance} {os.getpid()}\n".encode()
        fd = _open_below(mount.point, name)
        try:
            os.write(fd, text)
            os.fsync(fd)
            if os.pread(fd, len(text) + 1, 0) != text:
                raise OSError(5, "what was written is not what is read")
        finally:
            os.close(fd)

    _attempt(call, f"writing {shown(mount.point)}/{name}", work)


def status_file(call: "Call") -> str:
    """As ClusterLabs' agent names it: prefix, instance, clone number, node."""
    clone = call.meta("clone")
    parts = (call.instance.replace("/", "_"), *((clone,) if clone else ()), os.uname().nodename)
    return call.values.text("statusfile_prefix") + "_".join(parts)


def _open_below(point: str, name: str) -> int:
    """Open a file for writing, making its directories; no symbolic link there may send us elsewhere."""
    *directories, last = [part for part in name.split("/") if part]
    at = os.open(point, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in directories:
            try:
                os.mkdir(part, 0o755, dir_fd=at)
            except FileExistsError:
                pass
            below = os.open(part, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(last, flags, 0o600, dir_fd=at)
    finally:
        os.close(at)


def _attempt(call: "Call", what: str, work: "Callable[[], object]") -> None:
    def answer() -> str:
        work()
        return ""

    try:
        Attempts().run(what, answer, call.deadline)
    except GivenUp as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"{what}: {error.strerror}; see dmesg") from None
