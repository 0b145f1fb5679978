"""The shell's part, as ``actions.py`` documents it and no better: one life of a simulated failoverd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    Fence,
    Note,
    Persist,
    PowerOn,
    Probe,
    ReadPlugs,
    Reply,
    SelfReset,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.dialect import MINOR
from failover_kit.manager.events import (
    Event,
    FenceDone,
    MonitorFailed,
    Persisted,
    PersistFailed,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
    Tick,
)
from failover_kit.manager.records import Beat, NodeRecord, PlugState
from failover_kit.manager.wireitems import ADDITIONS, narrowed
from sim.devices import SwitchJob
from sim.pings import Pinger

if TYPE_CHECKING:
    from sim.machine import Machine, Resource

# Frames a paused daemon's socket keeps; what comes later is dropped.
SOCKET_LIMIT = 50


# By minor, what a Beat has that it does not know, with its default: another Beat that is equal to the one there is
# already costs as much as a turn of the core.
_DEFAULTS = {field.name: field.default for field in fields(Beat)}
_YOUNGER = {
    minor: tuple((name, _DEFAULTS[name]) for item in ADDITIONS if item.since > minor for name in item.fields)
    for minor in range(MINOR)
}


def spoken(minor: int, beat: Beat) -> Beat:
    """What a failoverd of that minor sends in its place."""
    return beat if minor == MINOR else narrowed(beat, minor)


def understood(minor: int, beat: Beat) -> Beat:
    """What a failoverd of that minor takes in of it."""
    return beat if minor == MINOR or not _has_more_than(minor, beat) else narrowed(beat, minor)


def _has_more_than(minor: int, beat: Beat) -> bool:
    """Whether the beat says anything that a failoverd of that minor does not know."""
    return any(getattr(beat, name) != default for name, default in _YOUNGER[minor])


def read_by(minor: int, record: NodeRecord | None) -> tuple[NodeRecord | None, bool]:
    """The record as a failoverd of that minor reads it, and whether it is barred from it (design 0039).

    Written from that page, not with ``record_needs``: what 1.0 does not know is maintenance and the look after it.
    """
    if record is None or minor == MINOR:
        return record, False
    if record.maintenance % 2 or any(group.unlooked for group in record.groups):
        return None, True
    return replace(record, maintenance=0, agreed=False), False


class Daemon:
    """One life: a real core, and the least of a shell around it."""

    def __init__(self, machine: Machine, nonce: str) -> None:
        self.machine = machine
        self.world = machine.world
        self.nonce = nonce
        self.alive = True
        self.paused = False
        self.waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.frames_waiting = 0
        self.believed = ""  # the peer's life the core takes for current
        self.watch: dict[str, int] = {}  # group -> op its monitors belong to
        self.job: SwitchJob | None = None
        self.pinger = Pinger(self)
        self.timer_at = -1  # world time of the armed timer; -1 = none
        self.speaks = machine.speaks
        self.config = replace(self.world.faults.config(machine.index, machine.digest), minor=self.speaks)
        # What a failoverd of this minor makes of the disk; barred: it neither uses nor overwrites what is there.
        self.stored, self.barred = read_by(self.speaks, machine.disk.record)
        self.core = self.world.core_class(
            self.config,
            boot_id=machine.boot_id,
            nonce=nonce,
            stored=self.stored,
            now_ms=machine.clock(),
        )

    def begin(self) -> None:
        """Leftover fence agents of the life before are killed; then the core runs."""
        self.world.audits.life_began(self.machine, self)
        if self.machine.switch_job is not None:
            self.machine.switch_job.kill()
            self.machine.switch_job = None
        self.handle(Tick())
        self.pinger.changed()

    def die(self) -> None:
        """SIGKILL to failoverd alone. Its children go on, or not."""
        self.alive = False
        faults, rng = self.world.faults, self.world.rng
        for resource in self.machine.resources.values():
            for process in list(resource.processes):
                process.on_exit = None
                if rng.random() >= faults.outlive:
                    resource.kill(process)
        if self.job is not None:
            self.job.abandon()
            self.machine.switch_job = self.job

    # --- running the core --------------------------------------------------------------------------

    def post(self, call: Callable[..., None], *args: Any) -> None:
        """Something happens to this daemon: now, or when it runs again."""
        if not self.alive:
            return
        if self.paused:
            self.waiting.append((call, args))
        else:
            call(*args)

    def pause(self, duration_ms: int) -> None:
        """It does not run: SIGSTOP, swapping, a slow hypervisor."""
        if not self.paused:
            self.paused = True
            self.world.say(self.machine.name, f"failoverd is paused for {duration_ms} ms")
            self.world.at(duration_ms, self._resume)

    def _resume(self) -> None:
        if not self.alive:
            return
        self.paused = False
        self.frames_waiting = 0
        self.world.say(self.machine.name, "failoverd runs again")
        waiting, self.waiting = self.waiting, []
        if self.world.rng.random() < 0.5:
            self.handle(Tick())
        for call, args in waiting:
            self.post(call, *args)
        if self.alive and not self.paused:
            self.handle(Tick())

    def handle(self, event: Event) -> None:
        """One step: the core decides, the audits look, the actions are done in order."""
        if not self.alive:
            return
        world, machine = self.world, self.machine
        world.steps += 1
        if world.trace is not None:
            world.trace_event(machine.name, event)
        actions = self.core.handle(machine.clock(), event)
        world.audits.handled(machine, self, event, actions)
        for action in actions:
            self._perform(action)
        self._arm()

    def _arm(self) -> None:
        if not self.alive:
            return
        at = self.core.deadline_ms() - self.machine.clock_base
        if self.timer_at < 0 or at < self.timer_at:
            self.timer_at = at
            self.world.at(max(0, at - self.world.now), self._timer, at)

    def _timer(self, at: int) -> None:
        if not self.alive or at != self.timer_at:
            return
        self.timer_at = -1
        if self.paused:
            return
        if self.core.deadline_ms() <= self.machine.clock():
            self.handle(Tick())
        else:
            self._arm()

    def _perform(self, action: Action) -> None:
        if not self.alive:  # an action before this one ended it
            return
        if self.world.trace is not None:
            self.world.trace_action(self.machine.name, action)
        match action:
            case SendBeat():
                self.world.send(self.machine, spoken(self.speaks, action.beat))
            case Note():
                self.world.noted(self.machine, action)
            case Persist() if self.barred:
                self.world.at(1, self.post, self._persist_answer, action.token, False)
            case Persist():
                self.machine.disk.write(action.record, lambda ok: self.post(self._persist_answer, action.token, ok))
            case Probe():
                self._probe(action)
            case Start():
                delay_ms = 0 if self.world.rng.random() < 0.8 else self.world.rng.randint(0, 500)
                self.world.at(delay_ms, self.post, self._start, action)
            case Stop():
                self._stop(action)
            case Fence():
                self._run_job("fence", action.only_if_off, lambda job, ok: FenceDone(action.op, job.evidence(ok)))
            case PowerOn():
                self._run_job("on", False, lambda job, ok: self._power_answer(action.op, job, ok))
            case ReadPlugs():
                self._run_job(
                    "read", False, lambda job, ok: PlugsRead(action.op, job.combined() if ok else PlugState.UNKNOWN)
                )
            case CancelPowerOn():
                if self.job is not None and self.job.kind == "on":
                    self.job.kill()
            case Reply():
                self.world.replied(self.machine, action)
            case Exit():
                self._exit()
            case SelfReset():
                self.world.audits.self_reset(self.machine, action)
                self.machine.reset()

    def _exit(self) -> None:
        self.world.say(self.machine.name, "failoverd ends")
        self.machine.disk.crash()  # the next life has the directory's lock when the last write of this one is over
        self.machine.daemon = None
        self.alive = False

    def _persist_answer(self, token: int, ok: bool) -> None:
        self.handle(Persisted(token) if ok else PersistFailed(token, "No space left on device"))

    # --- fence agents ------------------------------------------------------------------------------

    def _run_job(self, kind: str, only_if_off: bool, answer: Callable[[SwitchJob, bool], Event]) -> None:
        job = SwitchJob(self.machine, self.machine.peer, kind, only_if_off=only_if_off)
        self.job = job

        def done(job: SwitchJob, in_time: bool) -> None:
            self.job = None
            self.post(self.handle, answer(job, in_time))

        job.start(done)

    def _power_answer(self, op: int, job: SwitchJob, in_time: bool) -> PowerOnDone:
        ok = in_time and all(code == 0 for code in job.off_exit) and job.combined() is PlugState.ON
        return PowerOnDone(op, ok, "" if ok else f"plugs read {job.combined().value}")

    # --- resource agents ---------------------------------------------------------------------------

    def _fate(self, verb: str) -> str:
        mode = self.machine.agent_mode.get(verb, "")
        if mode:
            return mode
        return "fail" if self.world.rng.random() < self.world.faults.agent_fail else "ok"

    def _run(self, resource: Resource, verb: str, ended: Callable[[bool, str], None]) -> None:
        """One agent call under a deadline; ``ended(ok, reason)`` once, perhaps with the process still there."""
        faults, rng = self.world.faults, self.world.rng
        fate = self._fate(verb)
        longest = faults.start_ms if verb == "start" else faults.stop_ms
        process = resource.spawn(verb, rng.randint(1, longest), succeeds=fate == "ok", hangs=fate == "hang")
        answered = False

        def answer(ok: bool, reason: str) -> None:
            nonlocal answered
            if not answered:
                answered = True
                process.on_exit = None
                self.post(ended, ok, reason)

        process.on_exit = lambda: answer(process.succeeds, "killed" if process.killed else "exit 1")

        def expire() -> None:
            if process.alive and self.alive and not answered:
                resource.kill(process)
                if process.alive:  # stuck in the kernel: the answer does not wait for ever
                    self.world.at(2_000, answer, False, "it does not die")

        self.world.at(faults.op_timeout_ms, expire)

    def _clear(self, resource: Resource, then: Callable[[bool], None]) -> None:
        """Kill earlier processes of the group; ``then(gone)`` when they are gone or the deadline passed."""
        left = list(resource.processes)
        for process in left:
            resource.kill(process)
        if not resource.processes:
            then(True)
            return
        latest = max(process.unkillable_until for process in left)
        wait_ms = min(max(latest - self.world.now, 0) + 1, self.world.faults.op_timeout_ms)
        self.world.at(wait_ms, self.post, lambda: then(not resource.processes))

    def _start(self, action: Start) -> None:
        resource = self.machine.resources[action.group]
        why = self.core.may_start(action.group)
        if why:
            self.handle(StartFailed(action.group, action.op, "", why))
            return
        self.world.audits.start_forked(self.machine, self, action)

        def ended(ok: bool, reason: str) -> None:
            if ok:
                self.watch[action.group] = action.op
                self.handle(Started(action.group, action.op))
                self.check_watch(resource)
            else:
                self.handle(StartFailed(action.group, action.op, "r1", reason))

        self._run(resource, "start", ended)

    def _stop(self, action: Stop) -> None:
        resource = self.machine.resources[action.group]
        self.watch.pop(action.group, None)

        def ended(ok: bool, reason: str) -> None:
            if ok and not resource.level and not resource.processes:
                resource.verified_stopped()
                self.handle(Stopped(action.group, action.op))
            else:
                self.handle(StopFailed(action.group, action.op, "r1", reason))

        def cleared(gone: bool) -> None:
            if gone:
                self._run(resource, "stop", ended)
            else:
                self.handle(
                    StopFailed(action.group, action.op, "r1", "a process of an earlier action does not die")
                )

        delay_ms = 0 if self.world.rng.random() < 0.8 else self.world.rng.randint(0, 500)
        self.world.at(delay_ms, self.post, self._clear, resource, cleared)

    def _probe(self, action: Probe) -> None:
        resource = self.machine.resources[action.group]

        def looked(gone: bool) -> None:
            if not gone:
                outcome, reason = ProbeOutcome.DOUBT, "a process of an earlier action does not die"
            elif self._fate("probe") != "ok":
                outcome, reason = ProbeOutcome.DOUBT, "the monitor gave no clean answer"
            elif resource.level == 0:
                outcome, reason = ProbeOutcome.STOPPED, ""
                resource.verified_stopped()
            elif resource.level == 2:
                outcome, reason = ProbeOutcome.RUNNING, ""
                self.watch[action.group] = action.op
            else:
                outcome, reason = ProbeOutcome.DOUBT, "some of it runs"
            self.handle(Probed(action.group, action.op, outcome, reason))

        self.world.at(self.world.rng.randint(0, 200), self.post, self._clear, resource, looked)

    def check_watch(self, resource: Resource) -> None:
        """A resource that died is noticed by the next monitor, and again by each one after that."""
        op = self.watch.get(resource.name)
        if op is not None and resource.level < 2:
            delay_ms = self.world.rng.randint(1, self.config.monitor_interval_ms)
            self.world.at(delay_ms, self.post, self._monitor, resource, op)

    def _monitor(self, resource: Resource, op: int) -> None:
        if self.watch.get(resource.name) == op and resource.level < 2:
            self.handle(MonitorFailed(resource.name, op, "r1", "not running"))
            self.check_watch(resource)
