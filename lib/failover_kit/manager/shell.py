"""Around the core: takes in facts, performs what the core asks in the order it asks, feeds results back.

Here are the clock, the one timer and the tasks; no decision is taken here. The shell asks the core once
more right before it forks a start (PROTOCOL rule 1), and gives a decision back that grew old on the
way to its fork (rule 21). When the core fails, nothing more is persisted, sent or stopped: resources are
left as they are, and the next life of failoverd adopts them.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from failover_kit.manager import wire
from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    ExitCode,
    Fence,
    Level,
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
from failover_kit.manager.children import Freshness
from failover_kit.manager.config import AuthKeys
from failover_kit.manager.core import Core
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    Persisted,
    PersistFailed,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    ShutdownRequested,
    StartFailed,
    StopFailed,
    Terms,
    Tick,
    Verb,
)
from failover_kit.manager.fencing import Fencer
from failover_kit.manager.records import Beat, ClusterView, FenceEvidence, NodeRecord, PlugState
from failover_kit.manager.resources import GroupRunner
from failover_kit.manager.store import PersistError
from failover_kit.spec.deadline import boottime_ms

EXIT_CLEAN = 0
EXIT_BUG = 70  # EX_SOFTWARE of sysexits(3): our bug, resources were left alone

CLOSE_TIMEOUT_S = 5.0

FRESH_LEAST_MS = 500
"""A decision may take this long to its fork on any machine; otherwise half of deadtime."""


_TICK = Tick()


class Sender(Protocol):
    """A link, as far as the shell cares."""

    def send(self, frame: bytes) -> None:
        """Send or drop; never blocks."""


class Persister(Protocol):
    """The durable record."""

    async def persist(self, record: NodeRecord) -> None:
        """Return when it is durable; PersistError when it may not be."""


class Recorder(Protocol):
    """The journal."""

    def record(self, now_ms: int, event: Event, actions: Sequence[Action]) -> None:
        """Take note of one turn of the core; never blocks."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to an operator's command."""

    code: ExitCode
    text: str


@dataclass(slots=True, kw_only=True)
class Parts:
    """What the shell works with."""

    keys: AuthKeys
    links: Sequence[Sender]
    store: Persister
    runners: Mapping[str, GroupRunner]
    fencer: Fencer | None
    say: Callable[[Level, str], None]
    journal: Recorder | None = None
    self_reset: Callable[[str], str] | None = None  # returns why it did not happen
    turned: Callable[[], None] | None = None  # called after each turn of the core: watchdogs
    observers: Sequence[Recorder] = ()  # told of each turn after it was performed; they must not raise


class Shell:
    """One life of failoverd, between its start and its end."""

    def __init__(
        self,
        core: Core,
        parts: Parts,
        clock: Callable[[], int] = boottime_ms,
        wall_clock: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._core = core
        self._parts = parts
        self._clock = clock
        self._wall_clock = wall_clock
        self._fresh_ms = max(FRESH_LEAST_MS, core.config.deadtime_ms // 2)
        self._events: deque[Event] = deque()
        self._turning = False
        self._writer = wire.Writer(parts.keys.keys, parts.keys.sign_index)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0  # when it is due, by our clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._replies: dict[int, asyncio.Future[Outcome]] = {}
        self._command_id = 0
        self.ended: asyncio.Future[int] = self._loop.create_future()

    # --- doors -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The core's first turn; from then on its timer runs."""
        self.feed(_TICK)

    def feed(self, event: Event) -> None:
        """Take in one fact and perform what follows from it, before anything else is taken in."""
        self._events.append(event)
        if self._turning:
            return  # performed something that reports at once: after the list it belongs to
        self._turning = True
        try:
            while self._events and not self.ended.done():
                self._turn(self._events.popleft())
        finally:
            self._turning = False
        self._arm()

    def beat(self, link: str, beat: Beat) -> None:
        """An authentic beat came in."""
        self.feed(BeatReceived(link, beat))

    async def command(
        self,
        verb: Verb,
        groups: tuple[str, ...] = (),
        target: str = "",
        terms: Terms | None = None,
        by: str = "",
    ) -> Outcome:
        """An operator's order, or a watcher's request on its terms; returns with its real outcome, which may take
        minutes. ``by`` is who gave it, for the journal."""
        self._command_id += 1
        number = self._command_id
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._replies[number] = future
        self.feed(Command(number, verb, groups, target, self._wall_clock(), terms, by))
        if self.ended.done() and not future.done():
            self._replies.pop(number, None)
            return Outcome(ExitCode.FAILED, "failoverd is ending")
        return await future

    def view(self) -> ClusterView:
        """The core's picture of now."""
        return self._core.view(self._clock())

    def shut_down(self) -> None:
        """Hand over or stop everything, then end."""
        self.feed(ShutdownRequested())

    # --- turning ---------------------------------------------------------------------------------------

    def _turn(self, event: Event) -> None:
        now_ms = self._clock()
        actions: list[Action] = []
        try:
            try:
                actions = self._core.handle(now_ms, event)
            finally:  # the event that breaks the core is the one a replay must have
                if self._parts.journal is not None:
                    self._parts.journal.record(now_ms, event, actions)
            for action in actions:
                self._perform(now_ms, action)
        except Exception:
            self._broken(event)
            return
        if self._parts.turned is not None:
            self._parts.turned()
        for observer in self._parts.observers:
            observer.record(now_ms, event, actions)

    def _broken(self, event: Event) -> None:
        """A bug of ours. A node that does not understand its own state must not go on deciding."""
        lines = " | ".join(line.strip() for line in traceback.format_exc().splitlines()[-6:])
        self._parts.say(
            Level.ALARM,
            f"this is a bug in failover-kit: the core failed on {event!r}: {lines}; failoverd ends and leaves "
            "all resources as they are; the next start adopts them",
        )
        self._end(EXIT_BUG)

    def _end(self, code: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.ended.done():
            self.ended.set_result(code)
        for future in self._replies.values():
            if not future.done():
                future.set_result(Outcome(ExitCode.FAILED, "failoverd ended before there was an outcome"))
        self._replies.clear()

    def _arm(self) -> None:
        deadline_ms = self._core.deadline_ms()
        if self._timer is not None:
            if deadline_ms == self._timer_ms and not self.ended.done():
                return
            self._timer.cancel()
            self._timer = None
        if self.ended.done():
            return
        # The loop's clock does not count suspend, ours does: after one the core sees a pause (rule 21).
        wait_s = max(0, deadline_ms - self._clock()) / 1000
        self._timer = self._loop.call_later(wait_s, self._due)
        self._timer_ms = deadline_ms

    def _due(self) -> None:
        self._timer = None
        self.feed(_TICK)

    # --- performing ------------------------------------------------------------------------------------

    def _perform(self, now_ms: int, action: Action) -> None:
        match action:
            case SendBeat():
                frame = self._writer.encode(action.beat)
                for link in self._parts.links:
                    link.send(frame)
            case Persist():
                self._spawn(self._persist(action))
            case Note():
                self._parts.say(action.level, action.text)
            case Reply():
                self._reply(action)
            case Probe():
                self._spawn(self._probe(action))
            case Start():
                self._spawn(self._start(now_ms, action))
            case Stop():
                self._spawn(self._stop(action))
            case Fence():
                self._spawn(self._fence(now_ms, action))
            case PowerOn():
                self._spawn(self._power_on(action))
            case CancelPowerOn():
                if self._parts.fencer is not None:
                    self._parts.fencer.cancel_power_on()
            case ReadPlugs():
                self._spawn(self._read_plugs(action))
            case SelfReset():
                self._reset(action)
            case Exit():
                self._end(EXIT_CLEAN)

    def _reply(self, reply: Reply) -> None:
        future = self._replies.pop(reply.id, None)
        if future is not None and not future.done():
            future.set_result(Outcome(reply.code, reply.text))

    def _reset(self, action: SelfReset) -> None:
        self._parts.say(Level.ALARM, f"this node must be reset: {action.reason}")
        reset = self._parts.self_reset
        why_not = reset(action.reason) if reset is not None else "failoverd was not allowed to (--self-reset)"
        self._parts.say(
            Level.ALARM, f"this node did not reset itself: {why_not}; run: reboot -f -n, and unmount nothing"
        )

    def _spawn(self, work: Coroutine[object, object, Event]) -> None:
        """Run it and feed its event. Work answers for its failures itself; what escapes is a bug."""

        async def run() -> None:
            try:
                event = await work
            except asyncio.CancelledError:
                return  # failoverd is ending
            except Exception:
                self._parts.say(Level.ALARM, f"this is a bug in failover-kit: {traceback.format_exc(limit=-3)}")
                self._end(EXIT_BUG)
                return
            self.feed(event)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what is in flight. Agents of unfinished actions are killed by the next life."""
        self._end(EXIT_CLEAN)
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=CLOSE_TIMEOUT_S)
        for runner in self._parts.runners.values():
            await runner.end_watch()

    # --- work ------------------------------------------------------------------------------------------

    async def _persist(self, action: Persist) -> Event:
        try:
            await self._parts.store.persist(action.record)
        except PersistError as error:
            return PersistFailed(action.token, str(error))
        return Persisted(action.token)

    async def _probe(self, action: Probe) -> Event:
        try:
            return await self._parts.runners[action.group].probe(action.op)
        except OSError as error:
            return Probed(action.group, action.op, ProbeOutcome.DOUBT, f"cannot be looked at: {error}")

    async def _start(self, now_ms: int, action: Start) -> Event:
        late_ms = self._clock() - now_ms
        if late_ms > self._fresh_ms:
            reason = f"not started: the order is {late_ms} ms old and must be given again"
            return StartFailed(action.group, action.op, "", reason)

        def permission() -> tuple[str, Freshness]:
            # A turn first, so that silence and pauses up to this moment count.
            self.feed(_TICK)
            refusal = "failoverd is ending" if self.ended.done() else self._core.may_start(action.group)
            return refusal, Freshness(self._clock(), self._fresh_ms)

        try:
            return await self._parts.runners[action.group].start(action.op, permission)
        except OSError as error:
            return StartFailed(action.group, action.op, "", f"cannot be started: {error}")

    async def _stop(self, action: Stop) -> Event:
        try:
            return await self._parts.runners[action.group].stop(action.op)
        except OSError as error:
            return StopFailed(action.group, action.op, "", f"cannot be stopped: {error}")

    async def _fence(self, now_ms: int, action: Fence) -> Event:
        fencer = self._parts.fencer
        if fencer is None:
            evidence = FenceEvidence(readings=(), in_time=False, reason="no fence device is configured")
            return FenceDone(action.op, evidence)
        freshness = Freshness(now_ms, self._fresh_ms)
        try:
            return await fencer.fence(action.op, freshness, only_if_off=action.only_if_off)
        except OSError as error:
            return FenceDone(action.op, FenceEvidence(readings=(), in_time=False, reason=str(error)))

    async def _power_on(self, action: PowerOn) -> Event:
        fencer = self._parts.fencer
        if fencer is None:
            return PowerOnDone(action.op, ok=False, reason="no fence device is configured")
        try:
            return await fencer.power_on(action.op)
        except OSError as error:
            return PowerOnDone(action.op, ok=False, reason=str(error))

    async def _read_plugs(self, action: ReadPlugs) -> Event:
        fencer = self._parts.fencer
        if fencer is None:
            return PlugsRead(action.op, PlugState.UNKNOWN, "no fence device is configured")
        try:
            return await fencer.read_plugs(action.op)
        except OSError as error:
            return PlugsRead(action.op, PlugState.UNKNOWN, str(error))
