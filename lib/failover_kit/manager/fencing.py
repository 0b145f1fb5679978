"""Cuts and restores the peer's power through fence agents and reports what was seen. The core judges it.

How a device is asked stands in ``fencedevices``. Nothing secret is ever put into argv, where ps(1) would show it,
and passwords are struck out of what agents say.

Several devices of one level are driven one after the other: they may well be one switch with one
session. Levels are tried in order until one reads OFF everywhere (PROTOCOL rule 8). What the core decided
goes before everything else that talks to a switch (``SwitchLine``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from failover_kit.manager.actionspace import FENCING, ActionSpace, ActionSpaceError, emptied
from failover_kit.manager.children import Calls, Ended, Freshness, TooOld, run_in
from failover_kit.manager.config import ClusterConfig
from failover_kit.manager.events import FenceDone, PlugsRead, PowerOnDone
from failover_kit.manager.fencedevices import STATUS_OFF, STATUS_ON, Outlet, outlets_of, plug_state
from failover_kit.manager.records import FenceEvidence, PlugReading, PlugState
from failover_kit.spec.deadline import Deadline, boottime_ms

MAKE_WAY_MS = 250
"""How long a decision of the core waits for a test's agent that was killed; below shell.FRESH_LEAST_MS, so that
no shot grows too old by it. One that is not gone by then cannot switch anything, and may only hold the session."""


class SwitchLine:
    """Who may talk to the switches: decisions of the core at once, a test only when nobody else does."""

    def __init__(self) -> None:
        self.busy = 0  # calls for the core
        self._test: asyncio.Task[Ended] | None = None
        self._stopped = False  # that call is being killed

    @contextmanager
    def testing(self, call: asyncio.Task[Ended]) -> Iterator[None]:
        """``call`` is a test's; it is cancelled when the core needs the switch."""
        self._test, self._stopped = call, False
        try:
            yield
        finally:
            self._test = None

    def stop_test(self) -> None:
        """Kill a test's call: once, for a second time would disturb the wait for its end."""
        if self._test is not None and not self._stopped:
            self._stopped = True
            self._test.cancel()

    async def make_way(self) -> None:
        """Kill a test's call, and wait for its end, for a moment."""
        if self._test is not None:
            self.stop_test()
            await asyncio.wait((self._test,), timeout=MAKE_WAY_MS / 1000)

    @contextmanager
    def taken(self) -> Iterator[None]:
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1


async def ask(
    space: ActionSpace,
    op: int,
    outlet: Outlet,
    action: str,
    *,
    timeout_ms: int,
    freshness: Freshness | None = None,
) -> Ended:
    """One call of one program; it and whatever it started are gone when this returns, or cancelled: killed."""
    began_ms = boottime_ms()
    request = outlet.request(action)
    try:
        cell = space.create(FENCING, f"{op}.{action}.{outlet.device.name}")
    except ActionSpaceError as error:
        return Ended(code=None, began_ms=began_ms, ended_ms=began_ms, failure=str(error))
    try:
        ended = await run_in(
            cell,
            request.argv,
            timeout_ms=timeout_ms,
            environment=request.environment,
            stdin=request.stdin,
            freshness=freshness,
        )
    except asyncio.CancelledError:
        await emptied(cell)
        raise
    stays = await emptied(cell)
    if stays:
        return Ended(code=None, began_ms=ended.began_ms, ended_ms=boottime_ms(), failure=stays)
    return ended


def read_state(outlet: Outlet, ended: Ended) -> tuple[PlugState, str]:
    """What a call of ``status`` told, and why it is not known."""
    state = plug_state(ended)
    if state is not PlugState.UNKNOWN:
        return state, ""
    said = outlet.said(ended)
    if ended.code in (STATUS_ON, STATUS_OFF):
        said = f"exit {ended.code} does not go with what it printed (OFF is exit 2 and 'Status: OFF'): {said}"
    return PlugState.UNKNOWN, f"{outlet.label}: status failed: {said}"


class Fencer:
    """All calls to the devices that cut ``victim``. The core has one of them in flight at most."""

    def __init__(
        self,
        config: ClusterConfig,
        victim: str,
        programs: dict[str, str],
        space: ActionSpace,
        calls: Calls,
        *,
        line: SwitchLine | None = None,
    ) -> None:
        self._victim = victim
        self._calls = calls
        self._timeout_ms = config.op_timeout_ms
        self._space = space
        self._line = line or SwitchLine()
        self._levels = outlets_of(config, victim, programs)
        self._power_on: asyncio.Task[PowerOnDone] | None = None
        self._called_off = False  # before it began

    async def clear(self) -> str:
        """Agents of an earlier life are killed and waited for. "" or what stays."""
        return await self._space.clear(FENCING)

    # --- cutting the power ---------------------------------------------------------------------------

    async def fence(self, op: int, freshness: Freshness, *, only_if_off: bool = False) -> FenceDone:
        """Try level after level; the evidence is that of the level that reads OFF, else of the last."""
        with self._line.taken():
            await self._line.make_way()
            return FenceDone(op, await self._fence(op, freshness, only_if_off))

    async def _fence(self, op: int, freshness: Freshness, only_if_off: bool) -> FenceEvidence:
        evidence = FenceEvidence(readings=(), in_time=False, reason=f"no fence device for {self._victim}")
        earlier: list[str] = []
        for number, level in enumerate(self._levels, 1):
            # The next level follows from the one that failed, not from an old decision.
            fresh = freshness if number == 1 else None
            if number > 1:
                earlier.append(evidence.reason)
            try:
                evidence = await self._fence_level(op, level, fresh, only_if_off)
            except TooOld as error:
                # No level may act on it: that would be the shot that was just refused.
                return FenceEvidence(readings=(), in_time=False, reason=f"nothing was switched: {error}")
            if _all_off(evidence) or (only_if_off and _reads_on(evidence)):
                break
        return replace(evidence, earlier=tuple(earlier))

    async def _fence_level(
        self, op: int, level: Sequence[Outlet], freshness: Freshness | None, only_if_off: bool
    ) -> FenceEvidence:
        deadline = Deadline(self._timeout_ms)
        if only_if_off:
            first = [await self._read(op, device, deadline) for device in level]
            if any(state is not PlugState.OFF for state, _, _ in first):
                return _not_touched(level, first)
            freshness = None  # what follows is decided by what was read just now
        offs: list[Ended] = []
        for device in level:
            # Only the first call may find the decision too old; after it the shot is under way.
            offs.append(await self._call(op, device, "off", deadline, None if offs else freshness))
            if offs[-1].code != 0:
                break
        if len(offs) < len(level) or offs[-1].code != 0:
            return self._off_failed(level, offs)
        readings: list[PlugReading] = []
        reasons: list[str] = []
        for device, off in zip(level, offs, strict=True):
            state, began_ms, reason = PlugState.UNKNOWN, boottime_ms(), ""
            if not device.device.trusted:
                state, began_ms, reason = await self._read(op, device, deadline)
                if state is not PlugState.OFF:
                    reasons.append(reason or f"{device.label} reads {state.value.upper()} after the off")
            readings.append(replace(self._reading(device, off, began_ms, state), read_ended_ms=boottime_ms()))
        in_time = not deadline.expired()
        if not in_time:
            reasons.append(f"it took more than {self._timeout_ms / 1000:g} s")
        return FenceEvidence(readings=tuple(readings), in_time=in_time, reason="; ".join(reasons))

    def _off_failed(self, level: Sequence[Outlet], offs: list[Ended]) -> FenceEvidence:
        """One off failed, so nothing can be proved; the rest is not switched and nothing is read."""
        failed = level[len(offs) - 1]
        readings = [
            self._reading(device, off, off.ended_ms, PlugState.UNKNOWN)
            for device, off in zip(level, offs, strict=False)
        ]
        reason = f"{failed.label}: off failed: {failed.said(offs[-1])}"
        return FenceEvidence(readings=tuple(readings), in_time=True, reason=reason)

    def _reading(self, device: Outlet, off: Ended, read_began_ms: int, state: PlugState) -> PlugReading:
        return PlugReading(
            device=device.device.name,
            plug=device.plug,
            off_exit=off.code,
            off_began_ms=off.began_ms,
            off_ended_ms=off.ended_ms,
            read_began_ms=read_began_ms,
            state=state,
            trusted=device.device.trusted,
        )

    # --- giving it back, and reading -----------------------------------------------------------------

    async def power_on(self, op: int) -> PowerOnDone:
        """All plugs on, the outer levels first: a management board answers only when it has power."""
        with self._line.taken():
            await self._line.make_way()
            return await self._switch_on(op)

    async def _switch_on(self, op: int) -> PowerOnDone:
        if self._called_off:
            self._called_off = False
            return PowerOnDone(op, ok=False, reason="it was called off")
        self._power_on = asyncio.create_task(self._power_on_all(op))
        try:
            return await asyncio.shield(self._power_on)
        except asyncio.CancelledError:
            if not self._power_on.cancelled():
                raise
            stays = await self._space.clear(FENCING)
            return PowerOnDone(op, ok=False, reason="it was called off" + (f"; {stays}" if stays else ""))
        finally:
            self._power_on = None

    def cancel_power_on(self) -> None:
        """Kill the agent of the power-on in flight; ``power_on`` answers when it is gone. It may have been
        ordered in this very turn of the loop, and not have begun."""
        if self._power_on is None:
            self._called_off = True
        else:
            self._power_on.cancel()

    async def _power_on_all(self, op: int) -> PowerOnDone:
        reasons: list[str] = []
        for level in reversed(self._levels):
            deadline = Deadline(self._timeout_ms)
            for device in level:
                ended = await self._call(op, device, "on", deadline)
                if ended.code != 0:
                    reasons.append(f"{device.label}: on failed: {device.said(ended)}")
                elif not device.device.trusted:
                    state, _, reason = await self._read(op, device, deadline)
                    if state is not PlugState.ON:
                        reasons.append(reason or f"{device.label} reads {state.value.upper()} after the on")
        return PowerOnDone(op, ok=not reasons, reason="; ".join(reasons))

    async def read_plugs(self, op: int) -> PlugsRead:
        """The first level whose plugs all read the same; a level that differs or cannot tell is UNKNOWN."""
        with self._line.taken():
            await self._line.make_way()
            return await self._read_levels(op)

    async def _read_levels(self, op: int) -> PlugsRead:
        reasons: list[str] = []
        for level in self._levels:
            deadline = Deadline(self._timeout_ms)
            readings = [await self._read(op, device, deadline) for device in level]
            states = {state for state, _, _ in readings}
            if len(states) == 1 and PlugState.UNKNOWN not in states:
                return PlugsRead(op, states.pop())
            reasons += [reason for _, _, reason in readings if reason] or ["its plugs differ"]
        return PlugsRead(op, PlugState.UNKNOWN, "; ".join(reasons))

    # --- one agent -----------------------------------------------------------------------------------

    async def _read(self, op: int, device: Outlet, deadline: Deadline) -> tuple[PlugState, int, str]:
        """State, when the reading began, and the reason when it is unknown."""
        if not device.has_status:
            return PlugState.UNKNOWN, boottime_ms(), f"{device.label}: {device.device.agent} cannot tell its state"
        ended = await self._call(op, device, "status", deadline)
        state, reason = read_state(device, ended)
        return state, ended.began_ms, reason

    async def _call(
        self, op: int, device: Outlet, action: str, deadline: Deadline, freshness: Freshness | None = None
    ) -> Ended:
        """One call; the agent and whatever it started are gone when this returns."""
        began_ms = boottime_ms()
        if deadline.expired():
            late = f"no time left of {deadline.total_ms / 1000:g} s"
            return Ended(code=None, began_ms=began_ms, ended_ms=began_ms, failure=late)
        timeout_ms = deadline.left_ms()
        with self._calls.during(f"{action} of {self._victim} by {device.label}", timeout_ms):
            return await ask(self._space, op, device, action, timeout_ms=timeout_ms, freshness=freshness)


def _all_off(evidence: FenceEvidence) -> bool:
    """Whether another level is needless. What counts as proof is the core's decision (``law.is_proof``)."""
    return (
        evidence.in_time
        and bool(evidence.readings)
        and all(r.off_exit == 0 and (r.trusted or r.state is PlugState.OFF) for r in evidence.readings)
    )


def _reads_on(evidence: FenceEvidence) -> bool:
    """A plug that has power: ``only_if_off`` ends here, whatever the plugs of other levels read."""
    return any(reading.state is PlugState.ON for reading in evidence.readings)


def _not_touched(level: Sequence[Outlet], first: list[tuple[PlugState, int, str]]) -> FenceEvidence:
    readings = tuple(
        PlugReading(
            device=device.device.name,
            plug="",
            off_exit=None,
            off_began_ms=began_ms,
            off_ended_ms=began_ms,
            read_began_ms=began_ms,
            state=state,
        )
        for device, (state, began_ms, _) in zip(level, first, strict=True)
    )
    said = [reason for _, _, reason in first if reason] or ["not all plugs read OFF"]
    return FenceEvidence(readings=readings, in_time=True, reason=f"nothing was switched: {'; '.join(said)}")
