"""Watches one boot of a node from outside: is the disk mounted there, is the cluster address there?

Mounts are read from ``/proc/PID/mountinfo``, whose poll(2) reports a change of that mount namespace
(fs/proc_namespace.c, mounts_poll); addresses come from rtnetlink(7) on a socket opened in the node's network
namespace. Neither asks anything inside the node.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Callable

from failover_kit.rehearsal.namespaces import NetworkNamespace

RTMGRP_IPV4_IFADDR = 0x10  # include/uapi/linux/rtnetlink.h
RTM_NEWADDR, RTM_DELADDR = 20, 21
IFA_LOCAL = 2  # include/uapi/linux/if_addr.h

DISK, ADDRESS = "the disk", "the cluster address"

_Seen = Callable[[str, bool], None]
"""Called with what, and whether it is there now."""


def mounted(mountinfo: str, number: str) -> bool:
    """Whether a mountinfo text (proc(5)) has a mount of device ``number``, as ``7:0``."""
    return any(line.split(" ", 3)[2:3] == [number] for line in mountinfo.splitlines())


def address_changes(data: bytes) -> list[tuple[str, bool]]:
    """(address, added) for each RTM_NEWADDR and RTM_DELADDR in a datagram of rtnetlink."""
    changes = []
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if length < 16:
            break
        if kind in (RTM_NEWADDR, RTM_DELADDR):
            changes += [(a, kind == RTM_NEWADDR) for a in _locals(data[at + 24 : at + length])]
        at += (length + 3) & ~3
    return changes


def _locals(attributes: bytes) -> list[str]:
    """The IFA_LOCAL addresses in what follows a struct ifaddrmsg."""
    found = []
    at = 0
    while at + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, at)
        if length < 4:
            break
        if kind == IFA_LOCAL and length == 8:
            found.append(socket.inet_ntoa(attributes[at + 4 : at + 8]))
        at += (length + 3) & ~3
    return found


class Watch:
    """Reports changes from a thread until ``close()``; what is there at the beginning is reported, too."""

    def __init__(self, pid: int, namespace: NetworkNamespace, disk: str, address: str, seen: _Seen) -> None:
        self._disk = disk
        self._address = address
        self._seen = seen
        self._disk_there = False
        self._mountinfo = os.open(f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._netlink = namespace.inside(_address_socket)
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._watch, name=f"watch-{pid}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.write(self._wake_write, b"x")
        self._thread.join(timeout=5)
        for fd in (self._mountinfo, self._wake_read, self._wake_write):
            os.close(fd)
        self._netlink.close()

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        poll.register(self._netlink.fileno(), select.POLLIN)
        poll.register(self._mountinfo, select.POLLPRI | select.POLLERR)
        self._look_at_mounts()
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_read in ready:
                return
            if self._netlink.fileno() in ready:
                for address, added in address_changes(self._netlink.recv(65536)):
                    if address == self._address:
                        self._seen(ADDRESS, added)
            if self._mountinfo in ready and not self._look_at_mounts():
                poll.unregister(self._mountinfo)

    def _look_at_mounts(self) -> bool:
        """False when the node is gone."""
        parts = []
        try:
            os.lseek(self._mountinfo, 0, os.SEEK_SET)
            while part := os.read(self._mountinfo, 1 << 16):
                parts.append(part)
        except OSError:
            return False
        there = mounted(b"".join(parts).decode("utf-8", "surrogateescape"), self._disk)
        if there != self._disk_there:
            self._disk_there = there
            self._seen(DISK, there)
        return True


def _address_socket() -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    found.bind((0, RTMGRP_IPV4_IFADDR))
    return found
