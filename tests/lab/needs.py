"""What the lab needs of a machine, with the remedy for each thing that is not there. Looking changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import stat

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "vblade": "vblade",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "make": "make",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
}
"""Programs and the Debian packages that have them; `sh tools/setup.sh lab` installs them all."""

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TUN = "/dev/net/tun"
TUN_NUMBER = os.makedev(10, 200)  # Documentation/admin-guide/devices.txt
CAPABILITIES = {12: "CAP_NET_ADMIN", 13: "CAP_NET_RAW", 21: "CAP_SYS_ADMIN"}  # include/uapi/linux/capability.h
GIB = 1 << 30
MEMORY_BYTES = 2 * GIB
"""Three guests of 384 or 512 MB, QEMU's own, and room for the host's page cache."""
DISK_BYTES = 2 * GIB
"""In the run directory: what three guests write, and the shelf."""
CACHE_BYTES = 3 * GIB
"""For the images: an unpacked tree and a file system made of it, while one is being built."""


def missing(rundir: str, cache: str) -> list[str]:
    """One line for each thing that is not there; empty when the lab can run."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return [f"this is {platform.system()} on {platform.machine()}; the lab needs Linux on x86_64"]
    lines = [*_rights(), *_programs(), *_tun()]
    free = _available_bytes()
    if free < MEMORY_BYTES:
        lines.append(
            f"{free / GIB:.1f} GiB of memory are available, the lab needs {MEMORY_BYTES / GIB:.0f}; "
            "end something, or use a bigger machine"
        )
    lines += _room(rundir, DISK_BYTES, "name another run directory with --rundir")
    if not os.path.isdir(cache):
        lines += _room(cache, CACHE_BYTES, "set FAILOVER_KIT_LAB_CACHE to a directory with room")
    return lines


def _rights() -> list[str]:
    if os.geteuid() != 0:
        return ["not root; run it with sudo, or as root in a virtual machine"]
    lacking = [name for number, name in CAPABILITIES.items() if not _capable(number)]
    if lacking:
        return [f"root without {' and '.join(lacking)}; run it outside the container, or privileged"]
    return []


def _programs() -> list[str]:
    return [
        f"{program} is missing; run `sh tools/setup.sh lab` as root, or apt install {package}"
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=PATH) is None
    ]


def _tun() -> list[str]:
    try:
        facts = os.stat(TUN)
        if stat.S_ISCHR(facts.st_mode) and facts.st_rdev == TUN_NUMBER:
            os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
            return []
    except FileNotFoundError:
        return [f"{TUN} is missing; modprobe tun, or allow the device in the container"]
    except OSError as error:
        return [f"{TUN}: {error.strerror}; modprobe tun, or allow the device in the container"]
    return [f"{TUN} is not the tun device; remove it and modprobe tun"]


def _room(path: str, wanted: int, remedy: str) -> list[str]:
    folder = os.path.abspath(path)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    facts = os.statvfs(folder)
    free = facts.f_bavail * facts.f_frsize
    if free >= wanted:
        return []
    lack = f"{folder} has {free / GIB:.1f} GiB free, the lab needs {wanted / GIB:.0f} there"
    return [f"{lack}; make room, or {remedy}"]


def _available_bytes() -> int:
    """MemAvailable of proc(5)."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


def _capable(number: int) -> bool:
    """Whether this process has the capability (CapEff in proc(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False
