"""What the rehearsal needs of a machine. Looking changes nothing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing, CommandTimeout, run

PROGRAMS = {
    "ip": "iproute2",
    "mkfs.xfs": "xfsprogs",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""Programs and the Debian packages that have them."""

MODULES = {"serial": "python3-serial"}
FILESYSTEMS = ("xfs", "overlay")
CAP_NET_ADMIN, CAP_SYS_ADMIN = 12, 21  # include/uapi/linux/capability.h
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
MODPROBE_MS = 5_000


def missing() -> list[str]:
    """One line for each thing that is not there; empty when the rehearsal can run."""
    if platform.system() != "Linux":
        return [f"this is {platform.system()}; the rehearsal needs Linux (namespaces, loop devices)"]
    lines = []
    if os.geteuid() != 0:
        lines.append("not root; run it with sudo, or as root in a virtual machine")
    elif not _capable(CAP_SYS_ADMIN) or not _capable(CAP_NET_ADMIN):
        lines.append("root without CAP_SYS_ADMIN or CAP_NET_ADMIN; run it outside the container, or privileged")
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=PATH) is None:
            lines.append(f"{program} is missing; apt install {package}")
    for module, package in MODULES.items():
        if importlib.util.find_spec(module) is None:
            lines.append(f"Python's {module} is missing for /usr/bin/python3; apt install {package}")
    if not os.path.exists("/dev/loop-control"):
        lines.append("/dev/loop-control is missing; modprobe loop, or allow loop devices in the container")
    lines += [
        f"this kernel has no {name} filesystem; modprobe {name}, or use a kernel that has it"
        for name in FILESYSTEMS
        if not _filesystem(name)
    ]
    return lines


def _capable(number: int) -> bool:
    """Whether this process has the capability (CapEff in proc(5))."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _filesystem(name: str) -> bool:
    """Whether the kernel knows it, or would load it at the first mount."""
    with open("/proc/filesystems", encoding="ascii") as file:
        if name in file.read().split():
            return True
    try:
        return run(["modprobe", "--dry-run", "--quiet", name], Deadline(MODPROBE_MS)).ok()
    except (CommandMissing, CommandTimeout):
        return False
