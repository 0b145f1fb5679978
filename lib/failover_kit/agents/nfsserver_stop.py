"""Stopping nfsserver: threads first, helpers second, memory last; and from any state a killed start left.

The threads go before mountd: a server without it keeps its clients waiting, and answers "stale" in the end.
"""

import time

from failover_kit.agents import nfs_units, nfsserver
from failover_kit.agents import nfsserver_helpers as helpers
from failover_kit.agents.nfsserver import STATE
from failover_kit.kernel import mounting, mounts, nfsd, processes
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.mounts import Mount
    from failover_kit.ocf.agent import Call

_EBUSY = 16
_POLL_S = 0.05
_NAMED_LIMIT = 5
# A few small files; a disk that takes longer is lost anyway, and the rest of the time is for what must be ended.
_NOTE_MS = 10_000
# These are ended although systemd may have started them: they belong to the server alone.
_UNITS = ("nfs-server.service", "nfs-mountd.service", "nfsdcld.service", "fsidd.service")


def stop(call: "Call") -> int:
    """End all of it and see that nothing is left; AgentError naming what stays."""
    seen = nfsserver.observe(call)
    recorded = {helper.name for helper in seen.alive}
    if seen.anything():
        nfs_units.stop(call, _UNITS)
    # Without a record and without our directory in place, statd may well be a client's.
    end_all(call, statd=seen.bound or helpers.STATD in recorded, idmapd=helpers.IDMAPD in recorded)
    left = nfsserver.observe(call)
    if left.anything():
        raise failed(f"something starts the NFS server again: {_describe(left)}; see which unit or script does")
    return codes.SUCCESS


def _describe(left: "nfsserver.Observation") -> str:
    parts = [f"{left.threads} threads"] if left.threads else []
    parts += [f"{STATE} is covered"] if left.bound else []
    return ", ".join([*parts, *(helper.name for helper in left.alive)])


def end_all(call: "Call", *, statd: bool, idmapd: bool = False) -> None:
    """Server, helpers, mounts, record: whatever of them there is, in the order that harms no client."""
    from failover_kit.agents.nfsserver_notify import end as end_notifier

    attempts = Attempts()
    end_notifier(call)
    if statd:
        keep_records(call, attempts)
    before = nfsd.threads()
    try:
        if nfsd.end(attempts, call.deadline):
            call.log("info", f"ended the NFS server, {before} threads")
    except GivenUp as error:
        raise failed(f"{error}; see the processes named nfsd in state D, and the disk they wait for") from None
    names = [helpers.NOTIFY, helpers.MOUNTD, helpers.CLD, "fsidd"]
    names += [helpers.STATD] if statd else []
    names += [helpers.IDMAPD] if idmapd else []
    helpers.end(names, call.deadline)
    nfsd.flush_exports()
    release_state(call, attempts)
    late = attempts.leftovers()
    if late:
        raise failed(f"still running and not to be stopped: {'; '.join(late)}")
    nfsserver.remove_record(call)


def keep_records(call: "Call", attempts: Attempts) -> None:
    """Put who is to be told after the move where the next start looks for it, before lockd ends.

    lockd ends with the last thread and then has statd forget (SM_UNMON) each client whose locks are gone, and
    exportfs, which stopped before us, has unlocked them all; with statd gone the same call hangs for a minute.
    """
    infodir = call.values.text("nfs_shared_infodir")
    if not infodir or not nfsserver.is_bound(infodir, mounts.table(STATE)):
        return

    def work() -> str:
        from failover_kit.agents import nfsserver_state
        from failover_kit.agents.nfsserver_start import labels

        nfsserver_state.keep_records(STATE, labels(call))
        return ""

    try:
        attempts.run("noting the NFSv3 clients", work, call.deadline.at_most(_NOTE_MS))
    except (GivenUp, OSError) as error:
        call.log("warning", f"NFSv3 clients may not be told to reclaim their locks: {error}")


def release_state(call: "Call", attempts: Attempts) -> None:
    """Take the shared directory, with rpc_pipefs if that lies on it, off STATE."""
    infodir = call.values.text("nfs_shared_infodir")
    if not infodir:
        return
    trying = loop_deadline(call.deadline)
    while True:
        table = mounts.table(STATE)
        top = table.at(STATE)
        if top is None or not nfsserver.is_bound(infodir, table):
            return
        order = mounts.unmount_order(table.standing_on([top]))
        obstacle = _unmount(order, attempts, call)
        if obstacle is None:
            trying.require(f"unmounting {STATE}, which is mounted again and again")
            continue
        if trying.expired():
            raise failed(f"{obstacle.point} is still in use at the end of the time for stop, by {_users(order)}")
        time.sleep(_POLL_S)


def _unmount(order: "list[Mount]", attempts: Attempts, call: "Call") -> "Mount | None":
    """Unmount in order; None when all went, else the first one that is busy."""
    for mount in order:

        def work(point: str = mount.point) -> str:
            mounting.unmount(point)
            return ""

        try:
            attempts.run(f"unmounting {mount.point}", work, call.deadline)
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


def _users(order: "list[Mount]") -> str:
    """Who uses the state directory by that path, for the reason; nobody is signalled."""
    places = processes.Places([mount.point for mount in order], [mount.device for mount in order], 0)
    found = []
    for pid in processes.pids():
        state = processes.status(pid)
        if state is not None and not state.kernel_thread() and places.used_by(pid):
            found.append(f"{state.name} (pid {pid})")
    more = f" and {len(found) - _NAMED_LIMIT} more" if len(found) > _NAMED_LIMIT else ""
    return ", ".join(found[:_NAMED_LIMIT]) + more or "nothing that shows in /proc"
