"""A shared disk for Filesystem: find it, see that nobody has it, check it, mount it; after a stop, prove it free.

The other node mounts the disk on our word, so the word must be a fact: free means that the block device
could be opened exclusively (O_EXCL), which no mount in any namespace, no lazy unmount and no late child
of ours allows; or, for a device that does not open at all now, that the kernel has no filesystem of it
any more.
"""

import os
import time

from failover_kit.agents.filesystem_block import known_number
from failover_kit.agents.filesystem_seen import write_record
from failover_kit.kernel import blockdev, processes
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.ocf.codes import failed, not_here
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.blockdev import Tag
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

_DEVICE_POLL_S = 0.1
# A mount namespace that is just being torn down (a killed container) lets go within milliseconds; a
# filesystem that is really in use elsewhere does not within seconds.
IN_USE_WAIT_MS = 3000
_IN_USE_POLL_S = 0.02
_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 0.2
# Names in a reason.
_NAMED_LIMIT = 5


def mount_disk(call: "Call", tag: "Tag", directory: str, lock: int) -> None:
    from failover_kit.agents.filesystem_fsck import check
    from failover_kit.agents.filesystem_start import run_mount

    attempts = Attempts()
    path = await_device(tag, attempts, call.deadline)
    await_unused(path, attempts, call.deadline)
    check(call, path, attempts, lock)
    write_record(call, blockdev.number_of(path), "/", directory)
    run_mount(call, path, directory, (lock,))


def await_device(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> str:
    """The device node, waited for until the deadline: disks of a network come late at boot."""
    waiting = loop_deadline(deadline)
    while True:
        path = find_device(tag, attempts, deadline)
        if path:
            return path
        if waiting.expired():
            waited_s = f"{waiting.total_ms / 1000:g}"
            raise not_here(f"device: {_named(tag)} did not appear on this node within {waited_s} s")
        time.sleep(min(_DEVICE_POLL_S, waiting.left_s()))


def find_device(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> str:
    """The device node now; "" when it is not there (yet). Two with the same UUID or label are an error."""
    if tag.kind == "path":
        try:
            blockdev.number_of(tag.value)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise not_here(f"device: {shown(str(error.strerror))}") from None
        return tag.value
    found = search(tag, attempts, deadline)
    if len(found) > 1:
        raise not_here(f"device: {_named(tag)} is on {' and '.join(found)}; give the path of the right one")
    return found[0] if found else ""


def search(tag: "Tag", attempts: Attempts, deadline: "Deadline") -> "list[str]":
    """Every node that carries the UUID or label, read in a child for disks that do not answer."""
    try:
        text = attempts.run(f"looking for {_named(tag)}", lambda: "\n".join(blockdev.search(tag)), deadline)
    except GivenUp as error:
        raise failed(f"device: {error}") from None
    return text.split("\n") if text else []


def _named(tag: "Tag") -> str:
    return shown(tag.value if tag.kind == "path" else f"{tag.kind.upper()}={tag.value}")


def await_unused(path: str, attempts: Attempts, deadline: "Deadline") -> None:
    """Refuse a device that somebody else has open: our stop could never be a proof for it."""
    patience = loop_deadline(deadline).at_most(IN_USE_WAIT_MS)
    device = known_number(blockdev.Tag("path", path))
    named = shown(path)
    while True:
        try:
            if attempts.run(f"opening {named}", lambda: str(int(blockdev.is_free(path, device))), deadline) == "1":
                return
        except GivenUp as error:
            raise failed(str(error)) from None
        if patience.expired():
            above = blockdev.holders(device)
            what = f"used by {', '.join(above)}" if above else "mounted in another namespace of this machine"
            raise failed(f"{named} is in use: {what}, or being checked; not mounted")
        time.sleep(_IN_USE_POLL_S)


def prove_free(node: str, device: int, attempts: Attempts, deadline: "Deadline") -> None:
    """Wait until ``node`` can be opened exclusively; AgentError at the deadline, naming the keeper."""
    trying = loop_deadline(deadline)
    pause_s = _FIRST_PAUSE_S
    named = shown(node)
    while True:
        try:
            if attempts.run(f"opening {named}", lambda: str(int(blockdev.is_free(node, device))), deadline) == "1":
                return
        except GivenUp as error:
            raise failed(f"cannot prove {named} free: {error}") from None
        except OSError as error:
            raise failed(f"cannot prove {named} free: {error.strerror}") from None
        if trying.expired():
            raise failed(who_keeps(named, device))
        time.sleep(min(pause_s, trying.left_s()))
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def who_keeps(node: str, device: int) -> str:
    """The sentence for a device that is not mounted here and still not free."""
    namespaces = processes.mounted_in_other_namespaces(device) if device else []
    if namespaces:
        who = ", ".join(f"{holder.name} (pid {holder.pid})" for holder in namespaces[:_NAMED_LIMIT])
        return f"{node} is not mounted here any more, but it is in the mount namespace of {who}; end that first"
    if device and blockdev.filesystem_lives(device):
        # umount(2) of a frozen filesystem succeeds: the mount goes, the superblock stays until it is thawed.
        return (
            f"{node} is not mounted here any more, but the kernel still has its filesystem: it is in a mount"
            " namespace /proc does not show, or there was a lazy unmount (umount -l), or it was frozen when it was"
            f" unmounted (mount {node} by hand, fsfreeze -u, unmount it)"
        )
    above = blockdev.holders(device) if device else []
    if above:
        return f"{node} is not mounted here, but {', '.join(above)} keeps it open; take that down first"
    return (
        f"{node} is not mounted here any more, but it cannot be opened exclusively: a mount namespace /proc does"
        " not show, a lazy unmount (umount -l), an array or another program keeps it"
    )


def host_problems(call: "Call", tag: "Tag") -> "list[str]":
    problems = []
    if not find_device(tag, Attempts(), call.deadline):
        problems.append(f"device: {_named(tag)} is not on this node")
    fstype = call.values.text("fstype")
    if fstype and not type_available(fstype):
        problems.append(f"fstype: the kernel has no {fstype}, and there is no module for it")
    return problems


def type_available(fstype: str) -> bool:
    """Whether the kernel knows the type, or modprobe(8) could teach it."""
    with open("/proc/filesystems", encoding="ascii") as file:
        if fstype in file.read().split():
            return True
    release = os.uname().release
    for listing in ("modules.dep", "modules.builtin"):
        try:
            with open(f"/lib/modules/{release}/{listing}", encoding="ascii") as file:
                if any(f"/{fstype}.ko" in line.partition(":")[0] for line in file):
                    return True
        except OSError:
            pass
    return False
