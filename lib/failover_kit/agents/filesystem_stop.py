"""Stopping a Filesystem: unmount, ask, kill, unmount; then prove that nobody has the disk.

The other node mounts the disk on our word, so the word must be a fact: success means that the block
device could be opened exclusively (O_EXCL), which no mount in any namespace, no lazy unmount and no
late child of ours allows; or, for a device that does not open at all now, that the kernel has no
filesystem of it any more. A lazy unmount is never tried.
"""

import os
import signal
import time

from failover_kit.agents import filesystem
from failover_kit.agents.filesystem_start import search
from failover_kit.kernel import blockdev, mounting, mounts, processes
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

# How long processes get to end by themselves after SIGTERM: at most this, at most half of what is left.
TERM_GRACE_MS = 5000
_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 0.2
# How long to try in the same breath after a SIGKILL: what was killed ends in a few milliseconds.
_OUTRUN_S = 0.05
_EBUSY = 16
_NETWORK_TYPES = ("nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "gfs", "glusterfs")
# Names in a reason; the rest is a number.
_NAMED_LIMIT = 5


def stop(call: "Call") -> int:
    """Unmount everywhere in this namespace and prove the device free, or fail saying who keeps it."""
    attempts = Attempts()
    seen = filesystem.observe(call)
    devices = devices_of(call, seen, attempts)
    for device in devices:
        release(call, device, attempts)
    # What start mounted must be free even if the setting leads elsewhere, or nowhere, by now.
    recorded = filesystem.recorded_number(call)
    for device in dict.fromkeys([*devices, recorded] if recorded else devices):
        node = node_of(call, device)
        if node:
            prove_free(node, device, attempts, call.deadline)
    if not devices:
        call.log("info", f"{call.values.text('device')} is not on this node: nothing to stop")
    seen = filesystem.observe(call)
    if seen.mount is not None:
        raise failed(f"{seen.directory} was unmounted and is mounted again; something else mounts it")
    late = attempts.leftovers()
    if late:
        raise failed(f"still running and not to be stopped: {'; '.join(late)}")
    try:
        os.unlink(call.state_path(filesystem.record_name(call)))
    except FileNotFoundError:
        pass
    return codes.SUCCESS


def devices_of(call: "Call", seen: "filesystem.Observation", attempts: Attempts) -> "list[int]":
    """The device numbers of the filesystem: to be unmounted everywhere and proved free.

    None when the disk is not on this node. Unmounting kills, so a UUID or label that is not mounted
    at our directory counts only if it was read from the disk itself.
    """
    if seen.mount is not None:
        return [seen.mount.device]
    tag = blockdev.parse_tag(call.values.text("device"))
    if tag.kind == "path":
        return [seen.device] if seen.device else []
    return [blockdev.number_of(path) for path in search(tag, attempts, call.deadline)]


def node_of(call: "Call", device: int) -> str:
    """A node to open: the configured one if it is this device, else what the kernel calls it.

    "" when the kernel has no such device any more: nobody can have that open.
    """
    configured = call.values.text("device")
    if filesystem.known_number(blockdev.Tag("path", configured)) == device:
        return configured
    return blockdev.node_of(device)


class Ladder:
    """Which rung the stop stands on: first nobody is harmed, then users are asked, then killed."""

    __slots__ = ("_force", "_grace", "_told")

    def __init__(self, force: bool, fast: bool, whole: "Deadline") -> None:
        self._force = force
        self._told: set[int] = set()
        self._grace = whole.at_most(0 if fast else min(TERM_GRACE_MS, whole.left_ms() // 2))

    def act(
        self, targets: "list[Mount]", places: processes.Places, attempts: Attempts, deadline: "Deadline"
    ) -> "list[int]":
        """Signal the users of ``places`` as the rung demands; the users seen.

        A child does it: the scan follows links into filesystems that may hang.
        """
        number = signal.SIGKILL if self._grace.expired() else signal.SIGTERM
        spared = self._told if number == signal.SIGTERM else set()

        def work() -> str:
            # For outrun(): there, loading it would take longer than starting a new user.
            import ctypes  # noqa: F401

            found = processes.users(places)
            if self._force:
                for pid in found:
                    if pid not in spared:
                        processes.send(pid, number, places)
                if found and number == signal.SIGKILL:
                    outrun(targets)
            return " ".join(map(str, found))

        doing = "looking for users" if number == signal.SIGTERM else "killing users and unmounting"
        try:
            found = [int(pid) for pid in attempts.run(doing, work, deadline).split()]
        except GivenUp as error:
            raise failed(str(error)) from None
        self._told.update(found)
        return found


def release(call: "Call", device: int, attempts: Attempts) -> None:
    """Unmount every mount of ``device`` here and all that stands on them; AgentError at the deadline."""
    ladder = Ladder(call.values.flag("force_unmount"), call.values.flag("fast_stop"), call.deadline)
    trying = loop_deadline(call.deadline)
    pause_s = _FIRST_PAUSE_S
    busy: list[int] = []
    while True:
        table = mounts.table(device=device)
        targets = mounts.unmount_order(table.standing_on(table.of_device(device)))
        if not targets:
            return
        refuse_hidden(targets, table)
        obstacle = unmount_all(targets, attempts, call.deadline)
        if obstacle is None:
            trying.require(f"unmounting {targets[-1].point}, which is mounted again and again")
            continue
        places = places_of(targets, device)
        if trying.expired():
            raise failed(why_busy(obstacle, places, busy, call.values.flag("force_unmount")))
        busy = ladder.act(targets, places, attempts, call.deadline)
        time.sleep(min(pause_s, trying.left_s()))
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def outrun(targets: "list[Mount]") -> None:
    """Unmount between the end of the users that were just killed and the start of new ones.

    Something elsewhere may start a user again as soon as the last one ends. That takes it a fork; we
    are here already.
    """
    end = time.monotonic() + _OUTRUN_S
    left = list(targets)
    while left and time.monotonic() < end:
        try:
            mounting.unmount(left[0].point, left[0].fstype.startswith(_NETWORK_TYPES))
        except OSError as error:
            if error.errno != _EBUSY:
                return  # whatever it is, the caller meets it again and says so
            continue
        left.pop(0)


def places_of(targets: "list[Mount]", device: int) -> processes.Places:
    """What to look for in processes.

    Only our own filesystem counts as a whole. What else is mounted below it counts by path: it may be
    a bind mount of the root filesystem, which every process on the machine uses.
    """
    return processes.Places([mount.point for mount in targets], [mount.device for mount in targets], device)


def refuse_hidden(targets: "list[Mount]", table: "mounts.MountTable") -> None:
    """A mount that another one hides has no path: umount(2) would reach into the other one."""
    for mount in targets:
        cover = table.covered_by(mount)
        if cover is not None and cover.id not in {target.id for target in targets}:
            raise failed(f"{mount.point} is hidden by {cover.source}, mounted at {cover.point}; unmount that first")


def unmount_all(targets: "list[Mount]", attempts: Attempts, deadline: "Deadline") -> "Mount | None":
    """Unmount in order; None when all went, else the first one that is busy."""
    for mount in targets:
        abort = mount.fstype.startswith(_NETWORK_TYPES)

        def work(point: str = mount.point, abort: bool = abort) -> str:
            mounting.unmount(point, abort)
            return ""

        try:
            attempts.run(f"unmounting {mount.point}", work, deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except OSError as error:
            if error.errno == _EBUSY:
                return mount
            if error.errno in (2, 22):
                # ENOENT, EINVAL: unmounted by somebody else meanwhile; the table is read again.
                continue
            raise failed(f"cannot unmount {mount.point}: {error.strerror}") from None
    return None


def why_busy(obstacle: "Mount", places: processes.Places, busy: "list[int]", force: bool) -> str:
    """The sentence for a filesystem that stays busy: who is in the way and what helps."""
    who = []
    for pid in busy[:_NAMED_LIMIT]:
        state = processes.status(pid)
        if state is not None:
            who.append(f"{state.name} (pid {pid}{', in state D' if state.state == 'D' else ''})")
    if len(busy) > _NAMED_LIMIT:
        who.append(f"{len(busy) - _NAMED_LIMIT} more")
    for pid in processes.untouchable():
        state = processes.status(pid)
        if state is not None and places.used_by(pid):
            who.append(f"{state.name} (pid {pid}, which this stop descends from and never kills)")
    who += [f"loop device {name}" for name in blockdev.loops_backed_under(sorted(places.points))]
    found = ", ".join(who) or nobody_shown()
    remedy = "" if force else "; force_unmount is off"
    return f"{obstacle.point} is still in use at the end of the time for stop, by {found}{remedy}"


def nobody_shown() -> str:
    """What may keep a filesystem busy without a trace in /proc, and the processes most worth a look.

    A process that hangs while it opens a file (open(2) with O_CREAT on a frozen filesystem) has no link
    that leads there yet.
    """
    hanging = [f"{state.name} (pid {state.pid})" for state in processes.uninterruptible()]
    more = f", {len(hanging) - _NAMED_LIMIT} more" if len(hanging) > _NAMED_LIMIT else ""
    looked = f"; in state D now: {', '.join(hanging[:_NAMED_LIMIT])}{more}" if hanging else ""
    return f"nothing that shows in /proc: the kernel NFS server, swap, or a process elsewhere{looked}"


def prove_free(node: str, device: int, attempts: Attempts, deadline: "Deadline") -> None:
    """Wait until ``node`` can be opened exclusively; AgentError at the deadline, naming the keeper."""
    trying = loop_deadline(deadline)
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            if attempts.run(f"opening {node}", lambda: str(int(blockdev.is_free(node, device))), deadline) == "1":
                return
        except GivenUp as error:
            raise failed(f"cannot prove {node} free: {error}") from None
        except OSError as error:
            raise failed(f"cannot prove {node} free: {error.strerror}") from None
        if trying.expired():
            raise failed(who_keeps(node, device))
        time.sleep(min(pause_s, trying.left_s()))
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def who_keeps(node: str, device: int) -> str:
    """The sentence for a device that is not mounted here and still not free."""
    holders = processes.mounted_in_other_namespaces(device) if device else []
    if holders:
        who = ", ".join(f"{holder.name} (pid {holder.pid})" for holder in holders[:_NAMED_LIMIT])
        return f"{node} is not mounted here any more, but it is in the mount namespace of {who}; end that first"
    if device and blockdev.filesystem_lives(device):
        # umount(2) of a frozen filesystem succeeds: the mount goes, the superblock stays until it is thawed.
        return (
            f"{node} is not mounted here any more, but the kernel still has its filesystem: it is in a mount"
            " namespace /proc does not show, or there was a lazy unmount (umount -l), or it was frozen when it was"
            f" unmounted (mount {node} by hand, fsfreeze -u, unmount it)"
        )
    return (
        f"{node} is not mounted here any more, but it cannot be opened exclusively: a mount namespace /proc does"
        " not show, a lazy unmount (umount -l), an array or another program keeps it"
    )
