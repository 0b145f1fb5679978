"""Named network namespaces, as ip-netns(8) keeps them under /run/netns."""

import os

DIRECTORY = "/run/netns"
_CLONE_NEWNET = 0x40000000  # linux/sched.h


def exists(name: str) -> bool:
    return os.path.exists(f"{DIRECTORY}/{name}")


def enter(name: str) -> None:
    """Put this process into the network namespace ``name`` (setns(2)); OSError when that fails.

    /sys still shows the interfaces of the old one: whoever calls this asks rtnetlink.
    """
    import ctypes

    handle = os.open(f"{DIRECTORY}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), f"{DIRECTORY}/{name}")
    finally:
        os.close(handle)
