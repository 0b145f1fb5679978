"""What a node has on the machine: its directory before the first boot, its control groups after the last."""

from __future__ import annotations

import os
import shutil


def prepare(directory: str, files: dict[str, str]) -> None:
    """A node's disk, its ``/etc/ha.d`` with ``files`` (0600: some are secret) and the witness's programs."""
    os.makedirs(os.path.join(directory, "disk"), mode=0o755)
    config = os.path.join(directory, "ha.d")
    resource_d = os.path.join(config, "resource.d")
    os.makedirs(resource_d, mode=0o755)
    for name, text in files.items():
        fd = os.open(os.path.join(config, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
    witness = os.path.join(os.path.dirname(os.path.realpath(__file__)), "witness.py")
    for target in (os.path.join(directory, "witness"), os.path.join(resource_d, "recordd")):
        shutil.copyfile(witness, target)
        os.chmod(target, 0o755)  # noqa: S103 - a program


def remove_cgroups(path: str) -> None:
    """Remove an empty control group and everything below it; what is not empty stays."""
    for found, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(found)
        except OSError:
            pass


def make_cgroup(name: str) -> str:
    """A control group for the run on the machine's cgroup2; "" when there is none to write to."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.split(" ", 1)[0] == "cgroup2":
                path = os.path.join(before.split(" ")[4], name)
                remove_cgroups(path)  # of a crashed run whose process id is ours now
                try:
                    os.mkdir(path)
                except OSError:
                    continue
                return path
    return ""
