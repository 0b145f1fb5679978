"""Stopping exports: out of etab, out of the kernel's caches, locks dropped, so that umount works.

Works without the directory, without its filesystem and without a record of the start: what counts is
what etab and the kernel have now.
"""

import os
import time

from failover_kit.agents import exportfs
from failover_kit.agents.exportfs import Pair, Record
from failover_kit.agents.exportfs_start import canonical_name, tell
from failover_kit.kernel import exports, exports_cache, exports_nfsd, mounts
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.kernel.exports_cache import Left
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 1.0


def stop(call: "Call") -> int:
    """Take every pair back and wait until nothing of it is left in the kernel."""
    targets = [target(call, pair) for pair in exportfs.pairs(call.values)]
    unexported = [left for left in targets if unexport(left, call.deadline)]
    if unexported or exports_cache.leftovers(exports_cache.pinned(), targets, still_exported()):
        drain(targets, call.deadline)
    if call.values.flag("unlock_on_stop"):
        unlock(call, targets)
    for left in unexported:
        call.log("info", f"{exports.shown(left.path)} is no longer exported to {left.client}")
    if unexported and call.values.flag("wait_for_leasetime_on_stop"):
        wait_for_lease(call)
    for pair in exportfs.pairs(call.values):
        try:
            os.unlink(call.state_path(pair.record_name()))
        except FileNotFoundError:
            pass
    return codes.SUCCESS


def target(call: "Call", pair: Pair) -> Left:
    """What to take back for ``pair``: as recorded, else as far as names lead without touching a disk."""
    record = exportfs.read_record(call, pair)
    if record is not None and record.boot == exports.boot_id():
        return of_record(record)
    table = mounts.table(pair.directory)
    real = mounts.real_path(pair.directory, table)
    return Left(real, pair.bare_client(), top(real, exportfs.place_of(real, table).point))


def of_record(record: Record) -> Left:
    return Left(record.entry.path, record.entry.client, top(record.entry.path, record.place.point))


def top(path: str, point: str) -> str:
    """Where to look for leftovers: the whole filesystem, unless that is the root filesystem of the node."""
    return point if point != "/" and exports_cache.within(path, point) else path


def unexport(left: Left, deadline: "Deadline") -> bool:
    """Take one pair out of etab; whether it was there. AgentError when it stays."""
    entry = entry_of(left)
    if entry is None:
        return False
    pair = Pair(entry.path, entry.client, "")
    tell(["-u", f"{pair.argument()}:{entry.path}"], deadline)
    if entry_of(left) is not None:
        raise failed(f"exportfs -u {pair.shown()} said nothing, but etab still has it")
    return True


def entry_of(left: Left) -> "exports.Entry | None":
    """The line of etab that is ours; a host may stand there under its canonical name."""
    here = [entry for entry in exports.table() if entry.path == left.path]
    for entry in here:
        if entry.is_for(left.path, left.client):
            return entry
    if here and is_host_name(left.client):
        canonical = canonical_name(left.client)
        return next((entry for entry in here if entry.is_for(left.path, canonical)), None)
    return None


def is_host_name(client: str) -> bool:
    """Not a network, a wildcard, a netgroup or an address (nfs-utils, client_gettype())."""
    return not any(sign in client for sign in "/*?[@:") and not client.replace(".", "").isdigit()


def still_exported() -> "list[str]":
    """The paths that etab exports now: what of the kernel's caches is rightly there."""
    return [entry.path for entry in exports.table()]


def still_cached(records: "list[Record]") -> "list[str]":
    """What the kernel's caches have of these exports, which etab has no more."""
    gone = [of_record(record) for record in records]
    return exports_cache.leftovers(exports_cache.pinned(), gone, still_exported())


def drain(targets: "list[Left]", deadline: "Deadline") -> None:
    """Flush the kernel's caches until nothing of ``targets`` is in them; AgentError at the deadline.

    Once is not always enough: a request that is being answered puts its entry back.
    """
    trying = loop_deadline(deadline)
    pause_s = _FIRST_PAUSE_S
    while True:
        tell(["-f"], deadline)
        left = exports_cache.leftovers(exports_cache.pinned(), targets, still_exported())
        if not left:
            return
        if trying.expired():
            where = f"{exports_cache.EXPORT_CONTENT} or {exports_cache.HANDLE_CONTENT}"
            paths = ", ".join(map(exports.shown, left))
            raise failed(f"the kernel's export cache still holds {paths} (see {where}) though flushed")
        time.sleep(min(pause_s, trying.left_s()))
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def unlock(call: "Call", targets: "list[Left]") -> None:
    """Have nfsd drop the locks on each filesystem that has no export left; AgentError when it cannot.

    unlock_filesystem takes the locks of the whole filesystem: while another export of it goes on, its
    clients would lose theirs. The last export to be stopped unlocks.
    """
    others = still_exported()
    attempts = Attempts()
    done = set()
    for left in targets:
        if exports_nfsd.threads() == 0:
            return
        point = mount_point(left.path)
        if point in done or point is None:
            continue
        done.add(point)
        kept = [path for path in others if mount_point(path) == point]
        if kept:
            why = f"{exports.shown(kept[0])} on it is still exported"
            call.log("info", f"locks on {exports.shown(point)} are kept: {why}")
            continue
        what = f"unlocking {exports.shown(left.path)} (/proc/fs/nfsd/unlock_filesystem)"

        def write(path: str = left.path) -> str:
            return exports_nfsd.unlock(path)

        try:
            attempts.run(what, write, call.deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except FileNotFoundError:
            # The directory has gone, or the kernel is older than this file: nothing to unlock, or no way to.
            call.log("info", f"{what}: not possible, the directory or the file is not there")
        except OSError as error:
            raise failed(f"{what}: {error.strerror}") from None


def mount_point(path: str) -> "str | None":
    table = mounts.table(path)
    return exportfs.place_of(path, table).point


def wait_for_lease(call: "Call") -> None:
    """Wait until every NFSv4 client that has gone silent has lost its lease; AgentError if there is no time."""
    if exports_nfsd.threads() == 0:
        return
    lease_s = exports_nfsd.lease_s()
    if not lease_s:
        call.log("warning", "the lease time cannot be read from /proc/fs/nfsd/nfsv4leasetime; not waited for it")
        return
    if (lease_s + 2) * 1000 > call.deadline.left_ms():
        fact = f"a lease of {lease_s} s does not fit into the {call.deadline.left_s():.0f} s left for stop"
        raise failed(f"wait_for_leasetime_on_stop: {fact}; lengthen stop's timeout or shorten the lease")
    call.log("info", f"waiting {lease_s + 2} s for NFSv4 leases to end")
    time.sleep(lease_s + 2)
