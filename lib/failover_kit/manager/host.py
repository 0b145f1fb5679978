"""What failoverd asks of and tells the machine it runs on: boot, systemd, memory, a Heartbeat that runs."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface, IPv6Address

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"
HEARTBEAT_PID_FILES = ("/run/heartbeat.pid", "/var/run/heartbeat.pid", "/run/heartbeat/heartbeat.pid")
SYSRQ = "/proc/sysrq-trigger"

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # mman-common.h
_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B  # netdevice(7)


class HostError(Exception):
    """The machine does not give what failoverd cannot do without; fact and remedy."""


def boot_id(path: str = BOOT_ID_FILE) -> str:
    """The identity of this boot. HostError when the file is missing or empty."""
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(100).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HostError(f"cannot read the boot's identity from {path}: {error}") from None
    if not text or any(character.isspace() for character in text):
        raise HostError(f"{path} does not hold a boot identity (one word)")
    return text


_HEARTBEAT_NAMES = ("heartbeat", "(heartbeat)")
"""In parentheses: what systemd calls it between fork and exec, and its unit counts as started already."""


def running_heartbeat(pid_files: Sequence[str] = HEARTBEAT_PID_FILES, proc: str = "/proc") -> str:
    """"" or the sentence that a Heartbeat runs here: two managers would start the same resources."""
    for path in pid_files:
        try:
            with open(path, encoding="ascii") as file:
                pid = file.read(20).strip()
        except (OSError, UnicodeDecodeError):
            continue
        if pid.isdigit() and _command(proc, pid) in _HEARTBEAT_NAMES:
            return _heartbeat_sentence(pid)
    for name in sorted(os.listdir(proc)):
        if name.isdigit() and _command(proc, name) in _HEARTBEAT_NAMES and _is_of_this_node(proc, name):
            return _heartbeat_sentence(name)
    return ""


def _is_of_this_node(proc: str, pid: str) -> bool:
    """Not a container's: that is another machine as far as its resources go. In doubt it is ours."""
    try:
        return os.readlink(f"{proc}/{pid}/ns/pid") == os.readlink(f"{proc}/self/ns/pid")
    except OSError:
        return True


def _heartbeat_sentence(pid: str) -> str:
    return (
        f"Heartbeat runs on this node (pid {pid}) and would start the same resources; stop it on both nodes "
        "and disable it: systemctl disable --now heartbeat"
    )


def _command(proc: str, pid: str) -> str:
    try:
        with open(f"{proc}/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def lock_memory() -> str:
    """Keep what was touched in memory: paging in from a dead disk must not stop beats. "" or why not."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def notify(state: str, environment: Mapping[str, str] | None = None) -> bool:
    """Tell systemd (sd_notify(3)), when it wants to be told. Never blocks and never raises."""
    path = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return False
    return True


WATCHDOG_LEAST_MS = 3_000
"""A machine under load pauses a process this long now and then; killing it would only add to the load."""


def watchdog_limit_ms(environment: Mapping[str, str], deadtime_ms: int) -> int:
    """How long systemd's watchdog shall bear failoverd standing still; 0 when it is not ours or not armed.

    The unit file arms it and cannot know deadtime. A daemon that hangs longer than that is silent for its peer,
    which shoots ``fence_delay`` later (more than another deadtime) if the groups are here: killed after deadtime,
    the next one is heard before. Not shorter: a pause that the peer bears would become a restart, under the very
    load that made it; and with a long keepalive the core rightly stands still for nearly half of deadtime.
    """
    pid = environment.get("WATCHDOG_PID", "")
    usec = environment.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or not int(usec) or (pid and pid != str(os.getpid())):
        return 0
    return max(deadtime_ms, WATCHDOG_LEAST_MS)


def reset_now(_reason: str) -> str:
    """Reset without syncing or unmounting (sysrq b, admin-guide/sysrq.rst). Returns only why it failed."""
    try:
        fd = os.open(SYSRQ, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"b")
        finally:
            os.close(fd)
    except OSError as error:
        return f"{SYSRQ}: {error.strerror}"
    return "the kernel ignored it"


def own_networks() -> dict[str, list[IPv4Interface]]:
    """The first IPv4 address of each interface with its network: what ``ucast INTERFACE`` is derived from."""
    found: dict[str, list[IPv4Interface]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                address = fcntl.ioctl(sock, _SIOCGIFADDR, request)[20:24]
                mask = fcntl.ioctl(sock, _SIOCGIFNETMASK, request)[20:24]
            except OSError:
                continue  # it has none
            text = f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}"
            found[name] = [IPv4Interface(text)]
    return found


def own_ipv6_addresses() -> set[str]:
    """This node's IPv6 addresses (/proc/net/if_inet6); link-local ones with their zone, as fe80::1%eth1."""
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except FileNotFoundError:
        return set()  # a kernel without IPv6
    found = set()
    for digits, *_, interface in rows:
        address = IPv6Address(bytes.fromhex(digits))
        found.add(f"{address}%{interface}" if address.is_link_local else str(address))
    return found


def addresses_of(name: str) -> list[str]:
    """The IPv4 addresses a node's name resolves to here; empty when it does not."""
    try:
        answers = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return []
    return sorted({str(answer[4][0]) for answer in answers})
