"""Starts, stops, probes and watches the resources of groups. What follows from it is the core's business.

Each method answers with the event the core waits for, always, and each call of an agent has a deadline
and a cell of its own (``actionspace``). Doubt is never taken for stopped (PROTOCOL rule 6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from failover_kit.manager.actionspace import ActionSpace, ActionSpaceError, Cell, emptied
from failover_kit.manager.callers import Caller, CallKind, Finding, GroupPlan
from failover_kit.manager.children import Begin, Calls, Ended, Freshness, TooOld, run_in
from failover_kit.manager.events import (
    Call,
    MonitorFailed,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.spec.deadline import Deadline, boottime_ms

SETTLE_MS = 5_000
"""How long an init script's or unit's status may lag behind a start that returned. OCF allows no lag."""

_SETTLE_PAUSE_S = 0.2
_CANCEL_AGAIN_S = 1.0

Permission = Callable[[], tuple[str, Freshness]]
"""Asked in the loop right before each fork of a start: "" or why not, and how long the answer is good."""


Look = tuple[Finding, str]
"""What a monitor found, and the reason when that is not plainly running or stopped."""


class _Refused(Exception):
    """The core does not allow the start any more, or how it ended was lost: no fault of the resource."""


class GroupRunner:
    """One group's resources on this node.

    The core has at most one of probe, start and stop in flight, so everything in the group's cells that is
    neither the call in progress nor a service is a leftover.
    """

    def __init__(
        self,
        plan: GroupPlan,
        space: ActionSpace,
        report: Callable[[MonitorFailed], None],
        calls: Calls,
        warn: Callable[[str], None] = lambda _: None,
        *,
        begin: Begin | None = None,
    ) -> None:
        self.plan = plan
        self._space = space
        self._report = report
        self._calls = calls
        self._warn = warn
        self._begin = begin
        self._degraded: dict[str, str] = {}  # what runs and is not well, by instance
        self._watch: list[asyncio.Task[None]] = []
        self._stuck: dict[str, Cell] = {}  # monitors in uninterruptible sleep, by instance

    def degraded(self) -> tuple[str, ...]:
        """A sentence for each resource that runs degraded (OCF exit code 190). Nothing is decided by it."""
        return tuple(self._degraded.values())

    # --- the three actions ---------------------------------------------------------------------------

    async def probe(self, op: int) -> Probed:
        """Kill leftovers, look at every resource, and watch the group when all of it runs."""
        name = self.plan.name
        await self.end_watch()
        stays = await self._space.clear(name)
        if stays:
            return Probed(name, op, ProbeOutcome.DOUBT, f"left of an earlier action: {stays}")
        findings = await self._monitor_all(op)
        if all(found is Finding.STOPPED for found, _ in findings):
            stays = await self._space.clear_services(name)
            if stays:
                return Probed(name, op, ProbeOutcome.DOUBT, f"left of a stopped service: {stays}")
            return Probed(name, op, ProbeOutcome.STOPPED)
        if all(found is Finding.RUNNING for found, _ in findings):
            self._begin_watch(op)
            return Probed(name, op, ProbeOutcome.RUNNING)
        return Probed(name, op, ProbeOutcome.DOUBT, self._mixture(findings))

    def _mixture(self, findings: list[tuple[Finding, str]]) -> str:
        parts = []
        for caller, (found, reason) in zip(self.plan.callers, findings, strict=True):
            said = f" ({reason})" if found is Finding.DOUBT and reason else ""
            parts.append(f"{caller.name} is {'in doubt' if found is Finding.DOUBT else found.value}{said}")
        return ", ".join(parts)

    async def start(self, op: int, permission: Permission) -> Started | StartFailed:
        """Start left to right; the first failure ends it, and the core orders a stop."""
        name = self.plan.name
        await self.end_watch()
        stays = await self._space.clear(name)
        if stays:
            return StartFailed(name, op, "", f"left of an earlier action: {stays}")
        calls: list[Call] = []
        look: Look | None = None
        for caller, following in zip(self.plan.callers, (*self.plan.callers[1:], None), strict=True):
            began_ms = boottime_ms()
            try:
                seen = look or await self._monitor(op, caller)
                reason, look = await self._start_one(op, caller, permission, seen, following)
            except (TooOld, _Refused) as error:
                # No fault of the resource: what was started is stopped, and all is started when it may be.
                calls.append(Call(caller.name, began_ms, boottime_ms()))
                return StartFailed(name, op, "", str(error), tuple(calls))
            calls.append(Call(caller.name, began_ms, boottime_ms()))
            if reason:
                return StartFailed(name, op, caller.name, reason, tuple(calls))
        self._begin_watch(op)
        return Started(name, op, tuple(calls))

    async def _start_one(
        self, op: int, caller: Caller, permission: Permission, seen: Look, following: Caller | None
    ) -> tuple[str, Look | None]:
        """"" or why it was not started; and what a monitor said of ``following`` meanwhile, if it was asked.

        A monitor only looks, so the one before the next start runs beside the one after this start: clients wait
        for both. Not beside one that may be repeated for seconds (``_agrees``): it would be old then.
        """
        found, reason = seen
        if found is Finding.RUNNING:
            return "", None
        if found is Finding.DOUBT:
            return f"not started, its state is in doubt: {reason}", None
        refusal, freshness = permission()
        if refusal:
            raise _Refused(f"{caller.name} was not started: {refusal}")
        deadline = Deadline(caller.timeout_ms("start"))
        cell = self._cell(op, caller, "start")
        if isinstance(cell, str):
            return cell, None
        cell, ended = await self._run(cell, caller, "start", freshness)
        if ended.lost:
            raise _Refused(f"start of {caller.name} {ended.failure}")
        failure = caller.failure(ended)
        if failure:
            stays = await emptied(cell)
            return f"start: {failure}" + (f"; {stays}" if stays else ""), None
        try:
            self._space.keep(cell, self.plan.name, caller.instance)
        except ActionSpaceError as error:
            return str(error), None
        if following is None or caller.kind is not CallKind.OCF:
            return await self._agrees(op, caller, deadline), None
        return await asyncio.gather(self._agrees(op, caller, deadline), self._monitor(op, following))

    async def _agrees(self, op: int, caller: Caller, deadline: Deadline) -> str:
        """A monitor must agree with the start; those that are no OCF agents get a moment to."""
        settle = deadline.at_most(0 if caller.kind is CallKind.OCF else SETTLE_MS)
        while True:
            found, reason = await self._monitor(op, caller)
            if found is Finding.RUNNING:
                return ""
            if settle.expired():
                said = f": {reason}" if reason else ""
                state = "not running" if found is Finding.STOPPED else "in doubt"
                return f"start succeeded, but the monitor says {state}{said}"
            await asyncio.sleep(_SETTLE_PAUSE_S)

    async def stop(self, op: int) -> Stopped | StopFailed:
        """Stop right to left, all of them; then monitors must agree and no process may be left."""
        name = self.plan.name
        await self.end_watch()
        failures: list[tuple[str, str]] = []
        stays = await self._space.clear(name)
        if stays:
            failures.append(("", f"left of an earlier action: {stays}"))
        calls: list[Call] = []
        for caller in reversed(self.plan.callers):
            began_ms = boottime_ms()
            reason = await self._stop_one(op, caller)
            calls.append(Call(caller.name, began_ms, boottime_ms()))
            if reason:
                failures.append((caller.name, reason))
        for caller, (found, reason) in zip(self.plan.callers, await self._monitor_all(op), strict=True):
            if found is not Finding.STOPPED:
                state = "still running" if found is Finding.RUNNING else f"in doubt: {reason}"
                failures.append((caller.name, f"after the stop the monitor says {state}"))
        for stays in (await self._space.clear(name), await self._space.clear_services(name)):
            if stays:
                failures.append(("", f"after the stop {stays}"))
        if failures:
            resource, reason = failures[0]
            return StopFailed(name, op, resource, reason, tuple(calls))
        return Stopped(name, op, tuple(calls))

    async def _stop_one(self, op: int, caller: Caller) -> str:
        """One stop. What the resource left running is killed before the one to its left is stopped."""
        now = await self._is_queued(op, caller)
        cell = self._cell(op, caller, "stop")
        if isinstance(cell, str):
            return cell
        cell, ended = await self._run(cell, caller, "stop", now=now)
        failure = caller.failure(ended)
        if failure:
            await emptied(cell)
            return f"stop: {failure}"
        stays = (
            await emptied(cell)
            or await self._space.clear_services(self.plan.name, caller.instance)
            or await self._clear_unit(op, caller)
        )
        return f"after the stop {stays}" if stays else ""

    async def _is_queued(self, op: int, caller: Caller) -> bool:
        """Whether systemd wants to do something to the unit already: when the machine goes down it wants to stop
        it, perhaps only after failoverd, which waits for that stop."""
        if caller.kind is not CallKind.UNIT:
            return False
        ended = await self._look(op, caller)
        return not isinstance(ended, str) and caller.is_queued(ended)

    async def _clear_unit(self, op: int, caller: Caller) -> str:
        """The same for a unit: what runs on in its control group (KillMode=process) would keep the disk busy."""
        if caller.kind is not CallKind.UNIT:
            return ""
        ended = await self._look(op, caller)
        left = None if isinstance(ended, str) else caller.left_behind(ended)
        return await emptied(left) if left is not None else ""

    # --- calling an agent ----------------------------------------------------------------------------

    def _cell(self, op: int, caller: Caller, action: str) -> Cell | str:
        """A cell, or the sentence why there is none."""
        try:
            return self._space.create(self.plan.name, f"{op}.{action}.{caller.instance}")
        except ActionSpaceError as error:
            return str(error)

    async def _run(
        self,
        cell: Cell,
        caller: Caller,
        action: str,
        freshness: Freshness | None = None,
        *,
        interval_ms: int = 0,
        now: bool = False,
    ) -> tuple[Cell, Ended]:
        """One call, and the cell it was made in at last.

        A stop or monitor that was lost with the agent server is made once more, executed, in what is left of its
        time: its cell is empty, and both may be repeated (OCF 1.1: a monitor changes nothing, a stop of what
        is stopped succeeds). A start is the core's to order again, after a stop.
        """
        deadline = Deadline(caller.timeout_ms(action))
        argv, environment = caller.argv(action, now=now), caller.environment(action, interval_ms)
        what = f"{action} of {caller.name}, group {self.plan.name}"
        with self._calls.during(what, deadline.left_ms()):
            ended = await run_in(
                cell,
                argv,
                timeout_ms=deadline.left_ms(),
                environment=environment,
                freshness=freshness,
                begin=self._begin,
            )
            if not ended.lost or action == "start" or deadline.expired():
                return cell, ended
            try:
                cell = self._space.create(self.plan.name, f"again.{action}.{caller.instance}")
            except ActionSpaceError:
                return cell, ended
            return cell, await run_in(cell, argv, timeout_ms=deadline.left_ms(), environment=environment)

    async def _monitor(self, op: int, caller: Caller, interval_ms: int = 0) -> tuple[Finding, str]:
        """One monitor and what it found."""
        ended = await self._look(op, caller, interval_ms)
        if isinstance(ended, str):
            return Finding.DOUBT, ended
        self._note_degraded(caller, caller.degraded(ended))
        return caller.finding(ended)

    def _note_degraded(self, caller: Caller, words: str) -> None:
        """Said when it begins or changes, and kept for status until a monitor says otherwise."""
        if not words:
            self._degraded.pop(caller.instance, None)
            return
        sentence = f"group {self.plan.name}: {caller.name} runs degraded: {words}"
        if self._degraded.get(caller.instance) != sentence:
            self._degraded[caller.instance] = sentence
            self._warn(f"{sentence}; nothing is done about it, repair it")

    async def _look(self, op: int, caller: Caller, interval_ms: int = 0) -> Ended | str:
        """One call of a monitor, or why there was none; whatever it left behind is killed.

        None is begun while an earlier one cannot be killed.
        """
        stuck = self._stuck.get(caller.instance)
        if stuck is not None and stuck.populated():
            return "an earlier monitor cannot be killed yet"
        cell = self._cell(op, caller, "monitor")
        if isinstance(cell, str):
            return cell
        cell, ended = await self._run(cell, caller, "monitor", interval_ms=interval_ms)
        stays = await emptied(cell)
        if stays:
            self._stuck[caller.instance] = cell
            return f"its monitor: {stays}"
        return ended

    async def _monitor_all(self, op: int) -> list[tuple[Finding, str]]:
        """All at once: monitors only look, and a switchover waits for them."""
        return list(await asyncio.gather(*(self._monitor(op, caller) for caller in self.plan.callers)))

    # --- recurring monitors --------------------------------------------------------------------------

    def _begin_watch(self, op: int) -> None:
        self._watch = [
            asyncio.create_task(self._watch_one(op, caller), name=f"watch {caller.name}")
            for caller in self.plan.callers
            if caller.monitor_interval_ms
        ]

    async def _watch_one(self, op: int, caller: Caller) -> None:
        interval_ms = caller.monitor_interval_ms
        while True:
            await asyncio.sleep(interval_ms / 1000)
            found, reason = await self._monitor(op, caller, interval_ms)
            if found is not Finding.RUNNING:
                said = reason or ("not running" if found is Finding.STOPPED else "in doubt")
                self._report(MonitorFailed(self.plan.name, op, caller.name, f"monitor: {said}"))

    async def end_watch(self) -> None:
        """No monitor is begun any more; one in progress is killed with its cell by the next ``clear``."""
        tasks, self._watch = set(self._watch), []
        while tasks:
            for task in tasks:
                task.cancel()
            # Again if need be: code below may lose a cancellation, and no stop may ever hang on that.
            _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)

    async def close(self) -> None:
        """failoverd ends and leaves the resources as they are; only our own calls are ended."""
        await self.end_watch()
        await self._space.clear(self.plan.name)


async def clear_strangers(space: ActionSpace, configured: tuple[str, ...]) -> list[str]:
    """Groups that are no longer configured: kill their leftovers, and say what runs on without us."""
    sentences = []
    for group in space.groups():
        if group in configured:
            continue
        stays = await space.clear(group)
        if stays:
            sentences.append(f"group {group} is not configured, and of an earlier action {stays}")
        running = [pid for cell in space.services(group) for pid in cell.pids()]
        if running:
            numbers = ", ".join(str(pid) for pid in running[:5])
            sentences.append(
                f"group {group} is not configured any more, but processes of it run ({numbers}); "
                "stop them, or put the group back into haresources"
            )
    return sentences


