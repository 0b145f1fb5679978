"""What a running NFS server still holds of a filesystem after its exports have gone: locks and open files.

NFSv3 locks go with unlock_filesystem, on every kernel. NFSv4 clients keep their open files: before Linux 6.9
unlock_filesystem does not touch them, and since Linux 5.19 not even the end of their lease does
(such a client becomes a "courtesy client"). They go when nfsd stops, or are taken here, if the
parameters say so.
"""

import time

from failover_kit.agents import exportfs
from failover_kit.kernel import exports, exports_nfsd, mounts
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.agents.exportfs import Place
    from failover_kit.kernel.exports_cache import Left
    from failover_kit.ocf.agent import Call

_POLL_S = 0.5
# What ClusterLabs' agent adds, for the same reason: the server looks for ended leases only now and then.
LEASE_MARGIN_S = 2


def release(call: "Call", targets: "list[Left]") -> None:
    """Free each filesystem of ``targets`` that nothing exports any more; AgentError when that fails.

    Whole filesystems are released: while another export of one goes on, its clients would lose their
    locks, too. The last export to be stopped does it.
    """
    others = exports.table()
    attempts = Attempts()
    done: list[Place] = []
    for left in targets:
        place = place_of(left.path)
        if place.point != left.point or any(place.is_same(known) for known in done):
            # Its filesystem has gone, and locks with it; what is seen there now is somebody else's.
            continue
        done.append(place)
        kept = next((entry for entry in others if place_of(entry.path).is_same(place)), None)
        if kept is not None:
            why = f"{exports.shown(kept.path)} on it is still exported to {kept.client}"
            call.log("info", f"locks on {exports.shown(place.point)} are kept: {why}")
            continue
        if call.values.flag("unlock_on_stop"):
            unlock(call, left.path, attempts)
        release_v4(call, place, attempts)


def place_of(path: str) -> "Place":
    return exportfs.place_of(path, mounts.table(path))


def unlock(call: "Call", path: str, attempts: Attempts) -> None:
    """Have nfsd drop the locks; nothing is written when no thread serves (see exports_nfsd.unlock)."""
    what = f"unlocking {exports.shown(path)} (/proc/fs/nfsd/unlock_filesystem)"
    try:
        attempts.run(what, lambda: exports_nfsd.unlock(path), call.deadline)
    except GivenUp as error:
        raise failed(str(error)) from None
    except FileNotFoundError:
        # The directory has gone, and locks on its filesystem with it.
        call.log("info", f"{what}: not possible, the directory is not there")
    except OSError as error:
        raise failed(f"{what}: {error.strerror}") from None


def release_v4(call: "Call", place: "Place", attempts: Attempts) -> None:
    """Deal with NFSv4 clients that hold files: take them now, after the lease, or only say so."""
    wait = call.values.flag("wait_for_leasetime_on_stop")
    holders = exports_nfsd.holders(place.device)
    if holders is None:
        if wait:
            wait_whole_lease(call)
        return
    if holders and wait:
        holders = wait_for_lease(call, place.device, attempts)
    if holders and call.values.flag("expire_clients_on_stop"):
        expire(call, holders, attempts)
        holders = exports_nfsd.holders(place.device) or []
    if holders:
        remedy = "umount will fail until the NFS server stops, or set expire_clients_on_stop"
        call.log("warning", f"{named(holders)} still holds files on {exports.shown(place.point)}: {remedy}")


def named(holders: "list[exports_nfsd.Holder]") -> str:
    return ", ".join(f"NFSv4 client {holder.name} at {holder.address}" for holder in holders)


def wait_for_lease(call: "Call", device: int, attempts: Attempts) -> "list[exports_nfsd.Holder]":
    """Wait until no client holds anything on ``device``, at most for the lease; who still does then.

    Clients that have been silent for a whole lease lose what they hold: that is what the end of a
    lease means, and what kernels before 5.19 did by themselves.
    """
    lease_s = fitting_lease_s(call)
    end = call.deadline.at_most((lease_s + LEASE_MARGIN_S) * 1000)
    call.log("info", f"waiting for NFSv4 clients to let go, at most {lease_s + LEASE_MARGIN_S} s")
    while True:
        holders = exports_nfsd.holders(device) or []
        expire(call, [holder for holder in holders if holder.overdue()], attempts)
        holders = exports_nfsd.holders(device) or []
        if not holders or end.expired():
            return holders
        time.sleep(min(_POLL_S, end.left_s()))


def wait_whole_lease(call: "Call") -> None:
    """For kernels that do not tell who holds what."""
    lease_s = fitting_lease_s(call)
    if lease_s:
        call.log("info", f"waiting {lease_s + LEASE_MARGIN_S} s for NFSv4 leases to end")
        time.sleep(lease_s + LEASE_MARGIN_S)


def fitting_lease_s(call: "Call") -> int:
    """The lease time, if there is time for it; AgentError if not. 0 and a warning when it is not to be read."""
    lease_s = exports_nfsd.lease_s()
    if not lease_s:
        call.log("warning", "the lease time cannot be read from /proc/fs/nfsd/nfsv4leasetime; not waited for it")
    elif (lease_s + LEASE_MARGIN_S) * 1000 > call.deadline.left_ms():
        fact = f"a lease of {lease_s} s does not fit into the {call.deadline.left_s():.0f} s left for stop"
        raise failed(f"wait_for_leasetime_on_stop: {fact}; lengthen stop's timeout or shorten the lease")
    return lease_s


def expire(call: "Call", holders: "list[exports_nfsd.Holder]", attempts: Attempts) -> None:
    """End the lease of each of ``holders``; AgentError when the kernel does not answer."""
    for holder in holders:
        what = f"ending the lease of {named([holder])}"

        def write(holder: exports_nfsd.Holder = holder) -> str:
            return exports_nfsd.expire(holder)

        try:
            attempts.run(what, write, call.deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except OSError as error:
            raise failed(f"{what}: {error.strerror}") from None
        call.log("info", f"{what}: done")
