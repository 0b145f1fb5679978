"""What systemd tells of a unit, and the processes that are still in the unit's control group.

systemd's word "inactive" is about the main process. What was seen with systemd 252:

- a unit with ``KillMode=process`` or ``none`` is ``inactive`` after a stop although its other processes run on;
  with ``TasksAccounting=no`` TasksCurrent does not show them, ``ControlGroup`` and the group itself do;
- ``systemctl stop`` exits 0 also when ExecStop failed or timed out. The unit is ``failed`` then, and for one
  like nfs-server.service (oneshot: its work is done by threads of the kernel) no process tells that what it
  started is still there. A start that failed leaves the same state; only the timestamps tell them apart;
- when the machine goes down systemd wants to stop all units itself, those that are ordered before ours after
  failoverd has ended. A ``systemctl stop`` of failoverd's joins such a job and waits with it, for ever, unless it
  says that the order does not matter.

Sources: systemctl(1), systemd.kill(5), systemd.service(5), org.freedesktop.systemd1(5), cgroups(7).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from failover_kit.manager.actionspace import CgroupCell, described

CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
"""Where systemd keeps its tree: unified, hybrid, and before control groups version 2."""

PROPERTIES = (
    "ActiveState",
    "TasksCurrent",
    "ControlGroup",
    "Type",
    "Result",
    "Job",
    "InactiveExitTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
)
"""What ``systemctl show`` is asked for. A property that a kind of unit does not have is left out by it."""

_NO_TASKS = ("", "0", "[not set]", str(2**64 - 1))  # the last one is how older releases print "[not set]"
_PID_1 = "init.scope"  # at the root of systemd's tree, always


class UnitCell(CgroupCell):
    """A unit's control group with all below it. systemd made it and removes it; we look, and kill."""

    def populated(self) -> bool:
        if os.path.exists(f"{self.path}/cgroup.events"):
            return super().populated()
        return bool(self.pids())  # before version 2 there is no such file

    def pids(self) -> tuple[int, ...]:
        return tuple(sorted(set(self._all_pids())))

    def _all_pids(self) -> Iterator[int]:
        for folder, _, _ in os.walk(self.path):
            try:
                yield from CgroupCell(folder).pids()
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:  # threaded: the group above it shows the process
                    raise

    def remove(self) -> bool:
        return not self.populated()


@dataclass(frozen=True, slots=True)
class Unit:
    """One look at a unit."""

    state: str  # ActiveState, "" when systemctl said nothing
    doubt: str = ""  # why a unit that says it is at rest may not be
    left: UnitCell | None = None  # where processes of a unit at rest are left
    queued: bool = False  # whether a job for it waits or runs

    @property
    def runs(self) -> bool:
        """Whether it does its work as far as systemd knows."""
        return self.state in ("active", "reloading")

    @property
    def rests(self) -> bool:
        """Whether systemd holds it for stopped."""
        return self.state in ("inactive", "failed")


def read(stdout: str) -> Unit:
    """What ``systemctl show`` printed, and what stands in the control group it names."""
    facts = dict(line.split("=", 1) for line in stdout.splitlines() if "=" in line)
    unit = Unit(facts.get("ActiveState", ""), queued=facts.get("Job", "") not in ("", "0"))
    if not unit.rests:
        return unit
    said = f"systemd says {unit.state}"
    path = facts.get("ControlGroup", "")
    if path:
        root = next((mount for mount in CGROUP_MOUNTS if os.path.isdir(os.path.join(mount, _PID_1))), "")
        if not root:
            return Unit(unit.state, f"{said}, and no tree of systemd to look for {path} is in {CGROUP_MOUNTS[0]}")
        cell = UnitCell(os.path.join(root, path.lstrip("/")))
        if cell.populated():
            return Unit(unit.state, f"{said}, but {described(cell.pids())} is left in its control group", cell)
    if facts.get("TasksCurrent", "") not in _NO_TASKS:
        return Unit(unit.state, f"{said}, but {facts['TasksCurrent']} tasks of it are left")
    if unit.state == "failed" and facts.get("Type") == "oneshot" and _was_active(facts):
        result = facts.get("Result", "")
        return Unit(
            unit.state,
            f"its stop failed (Result={result}) and what it set up may still be there; look, then run: "
            "systemctl reset-failed",
        )
    return unit


def _was_active(facts: dict[str, str]) -> bool:
    """Whether the last start succeeded, so that it was the stop that failed. In doubt it was."""
    began, done = (facts.get(name, "") for name in PROPERTIES[-2:])
    return not (began.isdigit() and done.isdigit() and int(done) < int(began))
