"""Who is in the way of an unmount, and the rungs of making them go: nothing, the term signals, the kill signals."""

import time

from failover_kit.agents.filesystem_seen import Claim
from failover_kit.kernel import blockdev, mounting, mounts, processes, users
from failover_kit.kernel.attempts import Attempts, GivenUp
from failover_kit.spec.deadline import boottime_ms
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from failover_kit.kernel.mounts import Mount
    from failover_kit.kernel.users import Uses
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline
else:
    # Its C half, which every interpreter has loaded: signal itself makes enums of all numbers, and each stop of a
    # filesystem would wait for that although most have nobody to signal.
    import _signal as signal

# How long processes get to end by themselves: at most this, or what their signals need, and at most half
# of what is left.
TERM_GRACE_MS = 5000
# How long a look at links behind a server may take before their text alone has to do.
_SERVER_PATIENCE_MS = 2000
# After a kill the mount is tried at once, again and again: whoever starts the killed ones anew is slower.
_STRIKE_S = 0.1
_STRIKE_PAUSE_S = 0.0005
# The answer of a child has an end (kernel.attempts): so many pids fit in.
_ANSWER_PIDS = 8000
# Names in a reason; the rest is a number.
_NAMED_LIMIT = 5


def targets_of(claim: Claim) -> "tuple[list[Mount], mounts.MountTable]":
    """The mounts of the claim and all that stands on them, in the order of unmounting."""
    table = mounts.table(claim.path, claim.device)
    return mounts.unmount_order(table.standing_on(claim.find(table))), table


def places_of(targets: "list[Mount]", device: int, by_text: bool = False) -> "Uses":
    """What to look for in processes.

    Only our own filesystem (``device``) counts as a whole. What else is mounted below it counts by what goes
    through these very mounts: it may be a bind mount of the root filesystem, which every process on the
    machine uses, and under the same path in another mount namespace, too. Without a device, and behind a
    server, nothing counts as a whole.
    """
    whole = [mount for mount in targets if mount.device == device and not mount.remote()]
    remote = [mount for mount in targets if mount.remote()]
    below = [mount for mount in targets if mount not in whole and mount not in remote]
    kinds: list[Uses] = []
    if whole:
        unasked = [mount.point for mount in remote]
        kinds.append(processes.Places([mount.point for mount in whole], [device], device, unasked))
    if below:
        kinds.append(users.Reached(below))
    if remote or not kinds:
        kinds.append(users.Reached(remote, by_text))
    return kinds[0] if len(kinds) == 1 else users.Either(kinds)


class Ladder:
    """Which rung a stop stands on: first users get the term signals, one after the other, then the kill signals."""

    __slots__ = ("_begun_ms", "_by_text", "_delay_ms", "_force", "_grace", "_kill", "_term", "_told")

    def __init__(self, call: "Call", whole: "Deadline") -> None:
        self._force = call.values.flag("force_unmount")
        self._term = _numbers(call.values.text("term_signals"))
        self._kill = _numbers(call.values.text("kill_signals"))
        self._delay_ms = 1000 * call.values.number("signal_delay")
        wanted_ms = max(TERM_GRACE_MS, self._delay_ms * len(self._term))
        fast = call.values.flag("fast_stop")
        self._grace = whole.at_most(0 if fast else min(wanted_ms, whole.left_ms() // 2))
        self._told: dict[tuple[int, bool], tuple[int, int]] = {}
        self._by_text = False

    def killing(self) -> bool:
        return self._force and self._grace.expired()

    def _due(self, pid: int, killing: bool, now_ms: int) -> int:
        """The signal that ``pid`` is to get now; 0 for none. The last kill signal is sent again and again."""
        signals = self._kill if killing else self._term
        count, last_ms = self._told.get((pid, killing), (0, now_ms - self._delay_ms))
        if count >= len(signals):
            return signals[-1] if killing else 0
        return signals[count] if now_ms - last_ms >= self._delay_ms else 0

    def act(self, claim: Claim, targets: "list[Mount]", attempts: Attempts, deadline: "Deadline") -> "list[int]":
        """Signal the users of ``targets`` as the rung demands; the users seen.

        A child does it: a scan may follow links into filesystems that hang (GivenUp at the deadline). When
        one hangs behind a server, the text of links is believed from then on.
        """
        killing, now_ms = self.killing(), boottime_ms()
        server = any(mount.remote() for mount in targets) and not self._by_text

        def work() -> str:
            places = places_of(targets, claim.device, self._by_text)
            found = users.users(places)
            aims = targets_of(claim)[0] if killing else []
            if self._force:
                for pid in found:
                    number = self._due(pid, killing, now_ms)
                    if number:
                        users.send(pid, number, places)
                _strike(aims)
            return " ".join(map(str, found[:_ANSWER_PIDS]))

        try:
            patience = deadline.at_most(_SERVER_PATIENCE_MS) if server else deadline
            found = [int(pid) for pid in attempts.run("looking for users", work, patience).split()]
        except GivenUp:
            if not server:
                raise
            self._by_text = True
            return []
        for pid in found:
            if self._due(pid, killing, now_ms):
                count, _ = self._told.get((pid, killing), (0, 0))
                self._told[pid, killing] = (count + 1, now_ms)
        return found


def _numbers(names: str) -> "list[int]":
    return [int(getattr(signal, f"SIG{name}")) for name in names.split()]


def _strike(targets: "list[Mount]") -> None:
    end = time.monotonic() + _STRIKE_S
    for mount in targets:
        while True:
            try:
                mounting.unmount(mount.point, mount.remote())
                break
            except OSError:
                if time.monotonic() > end:
                    return
                time.sleep(_STRIKE_PAUSE_S)


def why_busy(obstacle: "Mount", places: "Uses", busy: "list[int]", force: bool) -> str:
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
    return f"{shown(obstacle.point)} is still in use at the end of the time for stop, by {found}{remedy}"


def nobody_shown() -> str:
    """What may keep a filesystem busy without a trace in /proc, and the processes most worth a look.

    A process that hangs while it opens a file (open(2) with O_CREAT on a frozen filesystem) has no link
    that leads there yet.
    """
    hanging = [f"{state.name} (pid {state.pid})" for state in processes.uninterruptible()]
    more = f", {len(hanging) - _NAMED_LIMIT} more" if len(hanging) > _NAMED_LIMIT else ""
    looked = f"; in state D now: {', '.join(hanging[:_NAMED_LIMIT])}{more}" if hanging else ""
    return f"nothing that shows in /proc: the kernel NFS server, swap, or a process elsewhere{looked}"
