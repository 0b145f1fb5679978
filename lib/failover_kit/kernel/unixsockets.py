"""Unix sockets that are bound to files: they keep a filesystem busy, and no link in /proc says so.

sock_diag(7), include/uapi/linux/unix_diag.h. The kernel tells the device of the file, so it does not matter by
what path the socket was bound, nor whether the file was deleted since.
"""

import os
from _struct import Struct

from failover_kit.kernel import netlink

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_AF_UNIX = 1
_SHOW_VFS = 2  # UDIAG_SHOW_VFS
_VFS = 1  # UNIX_DIAG_VFS
# struct unix_diag_req: family, protocol, states, inode, what to show, cookie.
_REQUEST = Struct("=BBxxIIIII")
# struct unix_diag_msg: family, type, state, inode, cookie.
_MESSAGE = Struct("=BBBxIII")
# struct unix_diag_vfs: inode, device as the kernel has it: major number, 20 bits of minor.
_VFS_NUMBERS = Struct("=II")
_ALL = 0xFFFFFFFF


def bound_on(device: int) -> "frozenset[int]":
    """The sockets (N of ``socket:[N]``) of this network namespace bound to files of ``device``.

    None where the kernel does not tell (without CONFIG_UNIX_DIAG).
    """
    found = set()
    body = _REQUEST.pack(_AF_UNIX, 0, _ALL, 0, _SHOW_VFS, _ALL, _ALL)
    try:
        with netlink.Netlink(_NETLINK_SOCK_DIAG) as link:
            answers = link.dump(_SOCK_DIAG_BY_FAMILY, body)
    except OSError:
        return frozenset()
    for message in answers:
        inode = netlink.head(_MESSAGE, message)[3]
        numbers = netlink.attributes(message, _MESSAGE.size).get(_VFS)
        if numbers is not None:
            _, kernel_device = netlink.head(_VFS_NUMBERS, numbers)
            if os.makedev(kernel_device >> 20, kernel_device & 0xFFFFF) == device:
                found.add(inode)
    return frozenset(found)
