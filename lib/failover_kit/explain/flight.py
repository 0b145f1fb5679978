"""What is known within one life of failoverd while its journal is read: groups, the peer, and what is in flight.

Every question about time is answered here: a phase is taken in when it ends, with the moment at which it began,
or None where the journal does not have that moment.
"""

from __future__ import annotations

from failover_kit.explain.facts import Phase, ShotSeen, Step
from failover_kit.explain.peer import Peer
from failover_kit.manager import law
from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    Fence,
    Note,
    Persist,
    PowerOn,
    Start,
    Stop,
)
from failover_kit.manager.codec import CodecError
from failover_kit.manager.events import (
    Call,
    Command,
    Event,
    FenceDone,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.journal import Head, Life
from failover_kit.manager.snapshot import import_core
from failover_kit.manager.states import GroupState

SETTLES_SILENCE = ("peer-up", "peer-left", "fenced", "confirmed-dead", "no-shot")
"""Notes after which a silent peer is not waited for: back, proved off, or not to be shot for a stated reason."""


class Flight:
    """One life of failoverd, as far as its journal was read."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.peer = Peer(life)
        self.blind = ""  # why the beginning of something may be unknown
        self.runs: dict[str, int] = {}  # groups that run here, since when
        self.orders: dict[int, Command] = {}
        self.exited = False
        self._shots = life.stored.shots if life.stored is not None else 0
        self._silent_ms: int | None = None  # the peer is silent, and something follows from it
        self._failing = False  # a shot proved nothing and is repeated
        self._decided_ms: int | None = None  # a shot was decided
        self._fence: tuple[int, int] | None = None  # op, since
        self._looks_first = False  # that Fence switches only what already reads OFF
        self._power: tuple[int, int] | None = None
        self._powered_ms: int | None = None  # power was given back; the peer has to boot
        self._ops: dict[int, tuple[Step, str, int]] = {}  # starts and stops: what, group, since
        self.failed: set[str] = set()  # groups whose stop failed, and none was verified since
        self._rights: dict[str, int] = {}  # taken or accepted and not used yet, since when
        self._done: list[Phase] = []

    @classmethod
    def resumed(cls, head: Head) -> Flight:
        """In the middle of a life: what its snapshot tells, else nothing and the reason why."""
        flight = cls(head.life)
        flight.blind = "the journal begins in the middle of this life of failoverd"
        if head.core is None:
            return flight
        try:
            core = import_core(head.core)
        except CodecError as error:
            flight.blind += f", with {error}"
            return flight
        flight.blind = ""
        flight.runs = {n: g.since_ms for n, g in core.groups.items() if g.state is GroupState.STARTED}
        flight._shots = core.wanted.shots
        flight.peer.resume(core)
        return flight

    # --- what is waited for ------------------------------------------------------------------------

    def pending(self) -> str:
        """"" when everything has come to rest, else what is unfinished."""
        peer = self.life.config.peer
        for step, group, _ in self._ops.values():
            return f"the {step.value} of {group} had no end yet"
        if self._fence is not None:
            return f"the shot at {peer} had no answer yet"
        if self._silent_ms is not None:
            what = "its fencing was being repeated" if self._failing else "it was not shot yet"
            return f"{peer} was silent and {what}"
        if self._power is not None:
            return f"{peer} was being switched on"
        if self.orders:
            return "an order had no answer yet"
        if self.failed:
            return f"{' and '.join(sorted(self.failed))} could not be stopped"
        waiting = [*self.peer.granted, *self.peer.starting]
        return f"{peer} did not run {waiting[0]} yet" if waiting else ""

    def lose(self, why: str) -> None:
        """Events are missing: nothing that was in flight can be followed."""
        self.blind = why
        self._done += self.unfinished()
        self._fence = self._power = None
        self._silent_ms = self._decided_ms = self._powered_ms = None
        self._failing = False
        self._ops.clear()
        self.orders.clear()
        self.failed.clear()
        for waiting in (self._rights, self.peer.granted, self.peer.starting):
            waiting.clear()

    def take(self) -> list[Phase]:
        """The phases that ended since the last call."""
        done = [*self.peer.done, *self._done]
        self.peer.done, self._done = [], []
        return done

    def unfinished(self) -> list[Phase]:
        """Phases that have begun and have no end."""
        peer = self.life.config.peer
        found = [
            Phase(step=step, subject=group, begin_ms=since, end_ms=None)
            for step, group, since in self._ops.values()
        ]
        if self._fence is not None:
            found.append(Phase(step=Step.OFF, subject=peer, begin_ms=self._fence[1], end_ms=None))
        if self._power is not None:
            found.append(Phase(step=Step.POWER_ON, subject=peer, begin_ms=self._power[1], end_ms=None))
        if self._silent_ms is not None and not self._failing:
            found.append(Phase(step=Step.DELAY, subject=peer, begin_ms=self._silent_ms, end_ms=None))
        return found

    def _ended(self, step: Step, subject: str, begin_ms: int | None, end_ms: int, *, good: bool = True) -> None:
        self._done.append(Phase(step=step, subject=subject, begin_ms=begin_ms, end_ms=end_ms, good=good))

    # --- what the core said and ordered ------------------------------------------------------------

    def noted(self, note: Note, now_ms: int) -> None:
        """A note of the core: the peer's state, and rights that wait for their use."""
        peer = self.life.config.peer
        if note.code in ("peer-silent", "never-heard"):
            begin_ms = self.peer.last_beat_ms if note.code == "peer-silent" else self.life.start_ms
            self._ended(Step.SILENCE, peer, begin_ms, now_ms)
            self._silent_ms, self._failing = now_ms, False
        elif note.code in SETTLES_SILENCE:
            self._silent_ms, self._failing, self._decided_ms = None, False, None
        elif note.code == "shot-aborted":
            self._decided_ms = None
        self.peer.noted(note.code)
        if note.code == "peer-up" and self._powered_ms is not None:
            self._ended(Step.RETURN, peer, self._powered_ms, now_ms)
            self._powered_ms = None
        for name in (group.name for group in self.life.config.groups):
            if not note.text.startswith(f"group {name}: "):
                continue
            if note.code in ("takeover", "accepted"):
                self._rights[name] = now_ms
            elif note.code == "granted":
                self.peer.granted[name] = now_ms
                self._rights.pop(name, None)
            elif note.code == "adopted":
                self.runs[name] = now_ms

    def persists(self, action: Persist) -> bool:
        """A record on its way to the disk; true when a shot was decided with it."""
        more, self._shots = action.record.shots > self._shots, action.record.shots
        return more

    def ordered(self, action: Action, now_ms: int) -> None:
        """An order to the shell."""
        peer = self.life.config.peer
        match action:
            case Persist():
                if self.persists(action):
                    self._decided_ms = now_ms
                    if self._silent_ms is not None and not self._failing:
                        self._ended(Step.DELAY, peer, self._silent_ms, now_ms)
            case Fence():
                if not action.only_if_off and self._decided_ms is not None:
                    self._ended(Step.RECORD_SHOT, peer, self._decided_ms, now_ms)
                self._decided_ms = None
                self._fence, self._looks_first = (action.op, now_ms), action.only_if_off
            case PowerOn():
                self._power = (action.op, now_ms)
            case Start() | Stop():
                start = isinstance(action, Start)
                self._ops[action.op] = (Step.START if start else Step.STOP, action.group, now_ms)
                since_ms = self._rights.pop(action.group, None)
                if start and since_ms is not None:
                    self._ended(Step.RECORD_RIGHT, action.group, since_ms, now_ms)
                self.runs.pop(action.group, None)
            case CancelPowerOn():
                pass  # its answer still comes
            case Exit():
                self.exited = True

    # --- what the shell answered -------------------------------------------------------------------

    def shot_ended(self, event: FenceDone, now_ms: int) -> ShotSeen:
        """The fence devices answered: the shot as it was seen, judged by the law."""
        fired_ms = None
        if self._fence is not None and self._fence[0] == event.op:
            fired_ms = self._fence[1]
        self._fence = None
        readings = event.evidence.readings
        offs = [r for r in readings if r.off_exit is not None]
        since_ms = min((r.off_began_ms for r in offs), default=0) if fired_ms is None else fired_ms
        proved = law.is_proof(event.evidence, since_ms)
        peer = self.life.config.peer
        if proved:
            off_ms = max(r.off_ended_ms for r in readings)
            read_ms = max((r.read_ended_ms for r in readings if not r.trusted), default=0) or now_ms
            if self._looks_first and fired_ms is not None:
                fired_ms, look_ms = min(r.off_began_ms for r in readings), fired_ms
                self._ended(Step.LOOK, peer, look_ms, fired_ms)
            self._ended(Step.OFF, peer, fired_ms, off_ms)
            self._ended(Step.READ_BACK, peer, off_ms, max(read_ms, off_ms))
        elif offs:
            self._ended(Step.UNPROVED, peer, fired_ms, now_ms, good=False)
            self._failing = self._silent_ms is not None
        return ShotSeen(
            fired_ms=fired_ms,
            answered_ms=now_ms,
            proved=proved,
            looked_only=not offs,
            plugs=readings,
            reason=event.evidence.reason,
            earlier=event.evidence.earlier,
        )

    def answered(self, event: Event, now_ms: int) -> None:
        """Any other answer of the shell."""
        match event:
            case Started() | StartFailed() | Stopped() | StopFailed():
                self._group_answered(event, now_ms)
            case PowerOnDone():
                since_ms = self._power[1] if self._power is not None and self._power[0] == event.op else None
                self._power = None
                self._ended(Step.POWER_ON, self.life.config.peer, since_ms, now_ms, good=event.ok)
                if event.ok:
                    self._powered_ms = now_ms
            case Probed():
                if event.outcome is ProbeOutcome.STOPPED:
                    self.failed.discard(event.group)

    def _group_answered(self, event: Started | StartFailed | Stopped | StopFailed, now_ms: int) -> None:
        starts = isinstance(event, (Started, StartFailed))
        step = Step.START if starts else Step.STOP
        known = self._ops.pop(event.op, None)
        begin_ms = known[2] if known is not None else None
        good = isinstance(event, (Started, Stopped))
        self._ended(step, event.group, begin_ms, now_ms, good=good)
        self._done += _parts(step, event.group, event.calls, good)
        if isinstance(event, Started):
            self.runs[event.group] = now_ms
        elif isinstance(event, StopFailed):
            self.failed.add(event.group)
        elif isinstance(event, Stopped):
            self.failed.discard(event.group)


def _parts(step: Step, group: str, calls: tuple[Call, ...], good: bool) -> list[Phase]:
    """What each resource took; of a failed start the last one is the one that failed."""
    return [
        Phase(
            step=step,
            subject=call.resource,
            begin_ms=call.began_ms,
            end_ms=call.ended_ms,
            good=good or step is Step.STOP or at < len(calls),
            inside=group,
        )
        for at, call in enumerate(calls, 1)
    ]

