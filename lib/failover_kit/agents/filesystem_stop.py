"""Stopping a Filesystem: unmount, ask, kill, unmount; then prove what can be proved.

Unmounting is tried first, so that an idle filesystem costs no look at processes. A lazy unmount is
never tried: it hides a filesystem that still writes.
"""

import time

from failover_kit.agents import filesystem_lock
from failover_kit.agents.filesystem_seen import record_name, source_of
from failover_kit.agents.filesystem_users import Ladder, places_of, targets_of, why_busy
from failover_kit.kernel import mounting
from failover_kit.kernel.attempts import Attempts, GivenUp, loop_deadline
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.agents.filesystem_seen import Claim
    from failover_kit.kernel.mounts import Mount, MountTable
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

_FIRST_PAUSE_S = 0.01
_LAST_PAUSE_S = 0.2
_EBUSY = 16


def stop(call: "Call") -> int:
    """Unmount everywhere in this namespace and prove the device free, or fail saying who keeps it."""
    lock = filesystem_lock.take(call, make=False)
    attempts = Attempts()
    source = source_of(call)
    seen = source.observe()
    claims = source.claims(seen, attempts)
    for claim in claims:
        release(call, claim, attempts)
    source.prove(claims, attempts)
    if not claims:
        call.log("info", f"{shown(source.device)} is not mounted on this node: nothing to stop")
    source.look()
    if source.observe().mount is not None:
        raise failed(f"{shown(seen.directory)} was unmounted and is mounted again; something else mounts it")
    await_children(attempts, call.deadline)
    call.remove_state(record_name(call))
    filesystem_lock.remove(call, lock)
    return codes.SUCCESS


def await_children(attempts: Attempts, deadline: "Deadline") -> None:
    """A child that was given up and still lives may yet do what it was sent for."""
    trying = loop_deadline(deadline)
    while late := attempts.leftovers():
        if trying.expired():
            raise failed(f"still running and not to be stopped: {'; '.join(late)}")
        time.sleep(_FIRST_PAUSE_S)


def release(call: "Call", claim: "Claim", attempts: Attempts) -> None:
    """Unmount what ``claim`` finds and all that stands on it; AgentError at the deadline."""
    mounting.prepare()
    ladder = Ladder(call, call.deadline)
    trying = loop_deadline(call.deadline)
    pause_s = _FIRST_PAUSE_S
    busy: list[int] = []
    hung: set[int] = set()
    while True:
        targets, table = targets_of(claim)
        if not targets:
            return
        refuse_hidden(targets, table)
        obstacle = unmount_all(targets, attempts, call.deadline, hung, ladder.killing())
        if obstacle is None:
            trying.require(f"unmounting {shown(targets[-1].point)}, which is mounted again and again")
            continue
        if trying.expired():
            places = places_of(targets, claim.device, by_text=True)
            raise failed(why_busy(obstacle, places, busy, call.values.flag("force_unmount")))
        try:
            busy = ladder.act(claim, targets, attempts, call.deadline)
        except GivenUp as error:
            raise failed(f"{shown(obstacle.point)} is still in use, and {error}") from None
        time.sleep(min(pause_s, trying.left_s()))
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)


def refuse_hidden(targets: "list[Mount]", table: "MountTable") -> None:
    """A mount that another one hides has no path: umount(2) would reach into the other one."""
    for mount in targets:
        cover = table.covered_by(mount)
        if cover is not None and cover.id not in {target.id for target in targets}:
            place = f"{shown(cover.source)}, mounted at {shown(cover.point)}"
            raise failed(f"{shown(mount.point)} is hidden by {place}; unmount that first")


def unmount_all(
    targets: "list[Mount]", attempts: Attempts, deadline: "Deadline", hung: "set[int]", killing: bool
) -> "Mount | None":
    """Unmount in order; None when all went, else the first one that is busy.

    What a server has is unmounted plainly first, which writes what is not yet written, with half of the
    time. If that hangs (it goes into ``hung``), or users are being killed already, requests are aborted.
    """
    for mount in targets:
        point = shown(mount.point)
        try:
            if mount.remote() and not killing and mount.id not in hung:
                try:
                    _unmount(mount, False, attempts, deadline.at_most(deadline.left_ms() // 2))
                    continue
                except GivenUp:
                    hung.add(mount.id)
            _unmount(mount, mount.remote(), attempts, deadline)
        except GivenUp as error:
            raise failed(str(error)) from None
        except OSError as error:
            if error.errno == _EBUSY:
                return mount
            if error.errno in (2, 22):
                # ENOENT, EINVAL: unmounted by somebody else meanwhile; the table is read again.
                continue
            raise failed(f"cannot unmount {point}: {error.strerror}") from None
    return None


def _unmount(mount: "Mount", abort: bool, attempts: Attempts, deadline: "Deadline") -> None:
    def work() -> str:
        mounting.unmount(mount.point, abort)
        return ""

    attempts.run(f"unmounting {shown(mount.point)}", work, deadline)
