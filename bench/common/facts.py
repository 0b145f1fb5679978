"""What somebody needs to judge numbers from a machine he does not know, and nothing that names the machine."""

from __future__ import annotations

import os
import platform
import time

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run


def machine_facts() -> dict[str, str]:
    """Date, processors and memory, system and interpreter."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {memory_gib:.0f} GiB",
        "system": f"{platform.freedesktop_os_release().get('PRETTY_NAME', 'unknown')}, "
        f"kernel {'.'.join(platform.release().split('.')[:2])}, Python {platform.python_version()}",
    }


def package_version(name: str) -> str:
    """``name`` and the version that dpkg has of it; the bare name without dpkg."""
    result = run(["dpkg-query", "-W", "-f=${Version}", name], Deadline(10_000))
    return f"{name} {result.stdout}" if result.ok() else name
