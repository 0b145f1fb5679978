"""The deeper monitors of Filesystem: they touch the disk, so each runs in a child that can be given up."""

import os

from failover_kit.kernel import blockdev
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call


def read_device(call: "Call", mount: "Mount") -> None:
    """Depth 10: the disk gives its first sector, past the page cache."""

    def work() -> str:
        blockdev.read_directly(mount.source)
        return ""

    _attempt(call, f"reading {mount.source}", work)


def use_status_file(call: "Call", mount: "Mount") -> None:
    """Depth 20: a file can be written durably and read back; a read-only filesystem can be listed."""
    path = f"{mount.point}/{call.values.text('statusfile')}"
    if "ro" in call.values.text("options").split(","):
        _attempt(call, f"listing {mount.point}", lambda: str(len(os.listdir(mount.point))))
        return

    def work() -> str:
        text = f"{call.instance} {os.getpid()}\n".encode()
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, text)
            os.fsync(fd)
            if os.pread(fd, len(text) + 1, 0) != text:
                raise OSError(5, "what was written is not what is read")
        finally:
            os.close(fd)
        return ""

    _attempt(call, f"writing {path}", work)


def _attempt(call: "Call", what: str, work: "Callable[[], str]") -> None:
    try:
        Attempts().run(what, work, call.deadline)
    except GivenUp as error:
        raise failed(str(error)) from None
    except OSError as error:
        raise failed(f"{what}: {error.strerror}; see dmesg") from None
