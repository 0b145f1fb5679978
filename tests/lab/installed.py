"""Packages in a guest, and what systemd and its journal know there of the installed failoverd."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from lab import plan
from lab.guest import Guest
from lab.systemd_pair import PATIENCE_S, unit_property

INSTALL_S = 3600.0
"""dpkg -i: an emulated processor compiles every module of the library."""


def dpkg_install(node: Guest, archives: Iterable[pathlib.Path]) -> str:
    """``dpkg -i`` of these, all of them in one call; what it and the packages' scripts say. Raises GuestError."""
    node.sh("rm -rf /var/tmp/debs\nmkdir /var/tmp/debs\n")
    for archive in archives:
        node.put(f"/var/tmp/debs/{archive.name}", archive.read_bytes())
    done = node.sh("export DEBIAN_FRONTEND=noninteractive\ndpkg -i /var/tmp/debs/*.deb 2>&1\n", timeout_s=INSTALL_S)
    return done.stdout


def dpkg_away(node: Guest, verb: str, packages: Iterable[str]) -> str:
    """``dpkg --remove`` or ``--purge``; what it says."""
    return node.sh(f"dpkg {verb} {' '.join(packages)} 2>&1\n", timeout_s=INSTALL_S).stdout


def main_pid(node: Guest) -> int:
    """Of failoverd as systemd knows it; 0: none."""
    return int(unit_property(node, "failoverd", "MainPID"))


def journal(node: Guest, boot: int = 0, unit: str = "") -> list[str]:
    """Lines of one boot (0: this one, -1: the one before), without their times."""
    chosen = ["--unit", unit] if unit else []
    argv = ["journalctl", "--boot", str(boot), "--no-pager", "--output", "short-monotonic", *chosen]
    return [line.partition("] ")[2] for line in node.run(argv, timeout_s=PATIENCE_S).stdout.splitlines()]


def last_line(lines: list[str], words: str) -> int:
    """The number of the last line with ``words``; -1: in none."""
    return max((number for number, line in enumerate(lines) if words in line), default=-1)


def started_at(node: Guest) -> tuple[str, ...]:
    """When each unit resource of the pair was started on ``node`` in this boot: a restart in between changes it."""
    units = ("nfs-server.service", "leaver.service", "holder.service")
    return tuple(unit_property(node, unit, "ActiveEnterTimestampMonotonic") for unit in units)


def sleeper(node: Guest) -> str:
    """Process id of what the script of the group left in failoverd's control group."""
    return node.run(["pgrep", "-xf", "/bin/sleep 6666"], check=False).stdout.strip()


def mounted(node: Guest) -> bool:
    """Whether the shared disk is."""
    return node.run(["mountpoint", "-q", plan.MOUNT_POINT], check=False).code == 0


def digests(node: Guest, folder: str) -> str:
    """A line for each file below ``folder`` with mode and content; "" when there is no such folder."""
    script = f"[ ! -d {folder} ] || find {folder} -type f -printf '%m %p\\n' -exec sha256sum {{}} ';' | sort\n"
    return node.sh(script, timeout_s=60).stdout
