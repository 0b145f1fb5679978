"""The directory of a run, and what a crashed run may have left in it.

Almost everything of a run goes away with its process by itself (see ``namespaces``, ``disk``). What can stay
after SIGKILL is its directory and its empty control group; ``clean`` removes both for runs that are over.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import time

from failover_kit.rehearsal.nodefiles import remove_cgroups
from failover_kit.spec.deadline import Deadline

BASES = ("/run/failover-kit-rehearsal", "/var/tmp/failover-kit-rehearsal")  # noqa: S108 - mode 0700, root's
NEEDED_BYTES = 300 << 20
"""What two disks' images may come to fill: the log of a small XFS is 64 MiB, written in full at mkfs."""

CGROUP_PREFIX = "failover-kit-rehearsal-"


class RunDir:
    """A fresh directory, locked while its rehearsal lives."""

    def __init__(self) -> None:
        base = next((base for base in BASES if _room(base) >= NEEDED_BYTES), BASES[-1])
        os.makedirs(base, mode=0o700, exist_ok=True)
        self.path = os.path.join(base, str(os.getpid()))
        if os.path.exists(self.path):
            shutil.rmtree(self.path)  # of a crashed run: its process id is ours now
        os.mkdir(self.path, mode=0o700)
        self._lock = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        shutil.rmtree(self.path)
        os.close(self._lock)
        _remove_base(os.path.dirname(self.path))


def _room(base: str) -> int:
    facts = os.statvfs(os.path.dirname(base))
    return facts.f_bavail * facts.f_frsize


def _remove_base(base: str) -> None:
    try:
        os.rmdir(base)
    except OSError:
        pass  # another run is there


def _alive(path: str) -> bool:
    """Whether the rehearsal of this directory still runs: it holds the lock."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def left_behind(path: str, patience_ms: int = 5_000) -> list[str]:
    """What this process's run at ``path`` has not taken away with it; the kernel tidies in the background."""
    deadline = Deadline(patience_ms)
    while True:
        found = traces(path)
        if not found or deadline.expired():
            return found
        time.sleep(0.05)


def traces(path: str) -> list[str]:
    """Directory, control group, loop device, mounts of the run at ``path``, and children of this process."""
    found = [f"directory {path}"] if os.path.exists(path) else []
    own = f"{CGROUP_PREFIX}{os.path.basename(path)}"
    found += [f"control group {group}" for group in leftover_cgroups() if os.path.basename(group) == own]
    for backing in glob.glob("/sys/block/loop*/loop/backing_file"):
        with contextlib.suppress(OSError), open(backing, encoding="utf-8", errors="replace") as file:
            if file.read().startswith(path + "/"):
                found.append(f"loop device /dev/{backing.split('/')[3]}")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        found += [f"mount {line.split(' ')[4]}" for line in file if path in line]
    for task in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(OSError), open(task, encoding="ascii") as file:
            found += [f"process {pid}" for pid in file.read().split()]
    return found


def runs() -> list[tuple[str, bool]]:
    """Every run's directory, and whether it is alive."""
    found = []
    for base in BASES:
        if os.path.isdir(base):
            found += [os.path.join(base, name) for name in sorted(os.listdir(base)) if name.isdigit()]
    return [(path, _alive(path)) for path in found]


def clean() -> list[str]:
    """Remove what runs that are over left; a sentence for each."""
    said = []
    for path, alive in runs():
        if alive:
            said.append(f"{path}: this rehearsal still runs; left alone")
            continue
        shutil.rmtree(path)
        said.append(f"{path}: removed")
    living = {os.path.basename(path) for path, alive in runs() if alive}
    for path in leftover_cgroups():
        if path.rpartition("-")[2] not in living:
            remove_cgroups(path)
            said.append(f"{path}: {'not empty, left' if os.path.exists(path) else 'removed'}")
    for base in BASES:
        _remove_base(base)
    return said


def leftover_cgroups() -> list[str]:
    """Control groups of rehearsals on any cgroup2 mount."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [line.split(" ")[4] for line in file if " - cgroup2 " in line]
    for mount in dict.fromkeys(mounts):
        try:
            names = os.listdir(mount)
        except OSError:
            continue
        found += [os.path.join(mount, name) for name in sorted(names) if name.startswith(CGROUP_PREFIX)]
    return found
