"""Watches one boot of a node from outside: which disks are mounted there, which cluster addresses are there?

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
from collections.abc import Callable, Mapping

from failover_kit.rehearsal.namespaces import NetworkNamespace

RTMGRP_IPV4_IFADDR = 0x10  # include/uapi/linux/rtnetlink.h
RTM_NEWADDR, RTM_DELADDR = 20, 21
IFA_LOCAL = 2  # include/uapi/linux/if_addr.h

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

    def __init__(
        self,
        pid: int,
        namespace: NetworkNamespace,
        disks: Mapping[str, str],
        addresses: Mapping[str, str],
        seen: _Seen,
    ) -> None:
        """``disks`` (by major:minor) and ``addresses``: what to look for, and what ``seen`` shall call it."""
        self._disks = dict(disks)
        self._addresses = dict(addresses)
        self._seen = seen
        self._disks_there: set[str] = set()
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
                    if address in self._addresses:
                        self._seen(self._addresses[address], added)
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
        table = b"".join(parts).decode("utf-8", "surrogateescape")
        there = {number for number in self._disks if mounted(table, number)}
        for number in sorted(there ^ self._disks_there):
            self._seen(self._disks[number], number in there)
        self._disks_there = there
        return True


def _address_socket() -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    found.bind((0, RTMGRP_IPV4_IFADDR))
    return found
