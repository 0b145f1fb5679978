"""Findings about disks and mount points."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator

from failover_kit.check.findings import Finding, Severity, found
from failover_kit.check.managed import Volume, place_of
from failover_kit.check.subject import Subject
from failover_kit.manager.states import GroupState

_UNSTABLE = re.compile(r"/dev/(?:[shv]d[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+)(?:p?[0-9]+)?")
_LOCAL_ONLY = ("tmpfs", "none", "overlay")


def findings(subject: Subject) -> Iterator[Finding]:
    for volume in subject.managed.volumes:
        if volume.device in _LOCAL_ONLY or "bind" in volume.options.split(","):
            continue
        yield from _device(subject, volume)
        yield from _directory(subject, volume)


def _device(subject: Subject, volume: Volume) -> Iterator[Finding]:
    disk = subject.disks[volume.device]
    if disk.missing:
        aoe = volume.device.startswith("/dev/etherd/")
        remedy = "connect it, and load its driver at boot"
        remedy += ": echo aoe > /etc/modules-load.d/aoe.conf; modprobe aoe" if aoe else ""
        yield found("device-missing", volume.place, f"{volume.device} is not here: {disk.problem}", remedy)
    elif disk.problem:
        yield found(
            "device-unreadable", volume.place, f"{volume.device}: {disk.problem}", "look at the disk and its way"
        )
    elif not disk.uuid:
        remedy = "make the filesystem, once, on one node; nothing to do if it is of another kind"
        yield found("device-unknown", volume.place, f"no XFS or ext4 was found on {volume.device}", remedy)
    if _UNSTABLE.fullmatch(volume.device):
        name = f"UUID={disk.uuid}" if disk.uuid else "UUID=…"
        yield found(
            "device-unstable", volume.place, f"{volume.device} may be another disk tomorrow", f"write {name}"
        )


def _directory(subject: Subject, volume: Volume) -> Iterator[Finding]:
    point = volume.directory
    here = [mount for mount in subject.probes.mounts() if mount.point == point]
    if here:
        yield from _mounted(subject, volume, here[-1].source)
        return
    mode = subject.tree.mode(point)
    if mode is None:
        yield found("mount-point-missing", volume.place, f"{point} does not exist", f"mkdir -p {point}")
    elif not stat.S_ISDIR(mode):
        yield found(
            "mount-point-missing", volume.place, f"{point} is no directory", f"mkdir {point}", Severity.ERROR
        )
    elif subject.probes.entries(subject.tree.real(point)) > 0:
        fact = f"{point} has files in it and nothing is mounted there"
        yield found("mount-point-used", point, fact, f"move them away: ls -la {point}")


def _mounted(subject: Subject, volume: Volume, source: str) -> Iterator[Finding]:
    """Mounted is right where failoverd says that the group is here, or on its way."""
    group = next(g for g in subject.managed.groups if any(place_of(r) == volume.place for r in g.resources))
    if subject.status is None:
        fact = f"{source} is mounted on {volume.directory}, and failoverd was not asked whether it did that"
        remedy = f"umount {volume.directory}, unless failoverd was ended with its groups left running"
        yield found("mounted-by-hand", volume.directory, fact, remedy, Severity.WARNING)
        return
    view = next((view for view in subject.status.view.groups if view.name == group.name), None)
    if view is None or view.state in (GroupState.STOPPED, GroupState.UNKNOWN):
        fact = f"{source} is mounted on {volume.directory}, and group {group.name} does not run here"
        yield found("mounted-by-hand", volume.directory, fact, f"umount {volume.directory}")
