"""Stopping exports: out of etab, out of the kernel's caches, so that umount works.

Works without the directory, without its filesystem and without a record of the start: what counts is
what etab and the kernel have now.
"""

import os
import time

from failover_kit.agents import exportfs
from failover_kit.agents.exportfs import Pair, Record
from failover_kit.agents.exportfs_start import canonical_name, tell
from failover_kit.kernel import exports, exports_cache, exports_nfsd, mounts
from failover_kit.kernel.attempts import loop_deadline
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
    declared = exportfs.pairs(call.values)
    touched = any(os.path.exists(call.state_path(pair.record_name())) for pair in declared)
    targets = [left for pair in declared for left in targets_of(call, pair)]
    unexported = [left for left in targets if unexport(left, call.deadline)]
    if unexported or exports_cache.leftovers(exports_cache.pinned(), targets, still_exported()):
        touched = True
        drain(targets, call.deadline)
    for left in unexported:
        call.log("info", f"{exports.shown(left.path)} is no longer exported to {left.client}")
    if touched and exports_nfsd.threads():
        # Where nothing was ever started nothing is released: what lies at the directory is somebody else's.
        from failover_kit.agents.exportfs_release import release

        release(call, targets)
    for pair in declared:
        call.remove_state(pair.record_name())
    return codes.SUCCESS


def targets_of(call: "Call", pair: Pair) -> "list[Left]":
    """What to take back for ``pair``: as recorded, else as far as names lead without touching a disk.

    A record of an earlier boot tells what of a surviving etab was ours, but not where a link leads now: both.
    """
    record = exportfs.read_record(call, pair)
    if record is not None and record.boot == exports.boot_id():
        return [of_record(record)]
    table = mounts.table(pair.directory)
    real = mounts.real_path(pair.directory, table)
    now = Left(real, pair.bare_client(), exportfs.place_of(real, table).point)
    return [now] if record is None else [now, of_record(record)]


def of_record(record: Record) -> Left:
    return Left(record.entry.path, record.entry.client, record.place.point)


def unexport(left: Left, deadline: "Deadline") -> bool:
    """Take one pair out of etab; whether it was there. AgentError when it stays."""
    entry = entry_of(left, deadline)
    if entry is None:
        return False
    pair = Pair(entry.path, entry.client, "")
    tell(["-u", f"{pair.argument()}:{entry.path}"], deadline)
    if entry_of(left, deadline) is not None:
        raise failed(f"exportfs -u {pair.shown()} said nothing, but etab still has it")
    return True


def entry_of(left: Left, deadline: "Deadline") -> "exports.Entry | None":
    """The line of etab that is ours; a host may stand there under its canonical name."""
    here = [entry for entry in exports.table() if entry.path == left.path]
    for entry in here:
        if entry.is_for(left.path, left.client):
            return entry
    if here and is_host_name(left.client):
        canonical = canonical_name(left.client, deadline)
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
