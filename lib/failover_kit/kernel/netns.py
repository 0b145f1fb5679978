"""Named network namespaces, as ip-netns(8) keeps them under /run/netns."""

import os

DIRECTORY = "/run/netns"
_CLONE_NEWNET = 0x40000000  # linux/sched.h


def exists(name: str) -> bool:
    return os.path.exists(f"{DIRECTORY}/{name}")


def identity(name: str) -> str:
    """The namespace as /proc/PID/ns/net names it (namespaces(7)); "" when there is none of that name."""
    try:
        return f"net:[{os.stat(f'{DIRECTORY}/{name}').st_ino}]"
    except OSError:
        return ""


def enter(name: str) -> None:
    """Put this process into the network namespace ``name``; OSError when that fails."""
    enter_at(f"{DIRECTORY}/{name}")


def enter_at(path: str) -> None:
    """Enter the network namespace that the file ``path`` stands for (setns(2)).

    /sys still shows the interfaces of the old one: whoever calls this asks rtnetlink.
    """
    import ctypes

    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(handle)
