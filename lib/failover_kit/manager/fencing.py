"""Cuts and restores the peer's power through fence agents and reports what was seen. The core judges it.

Agents are spoken to as fence-agents(8) describe it: ``key=value`` lines on stdin, exit code as the answer.
Nothing is ever put into argv, where ps(1) would show it, and passwords are struck out of what agents say.
``status`` exits 0 for ON; for OFF it exits 2 *and* prints ``Status: OFF``, as fence-agents' fencing.py
(fence_action) does. The 2 alone proves nothing: Python's argparse exits 2 on a usage error, python3
when it cannot open its script, dash and bash on a syntax error. Anything else is UNKNOWN.

Several devices of one level are driven one after the other: they may well be one switch with one
session. Levels are tried in order until one reads OFF everywhere (PROTOCOL rule 8).
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from failover_kit.manager.actionspace import FENCING, ActionSpace, ActionSpaceError, emptied
from failover_kit.manager.callers import Search
from failover_kit.manager.children import Calls, Ended, Freshness, TooOld, run_in
from failover_kit.manager.config import ClusterConfig, FenceDevice, is_secret_name
from failover_kit.manager.events import FenceDone, PlugsRead, PowerOnDone
from failover_kit.manager.records import FenceEvidence, PlugReading, PlugState
from failover_kit.spec.deadline import Deadline, boottime_ms

STATUS_ON, STATUS_OFF = 0, 2
_STATUS_LINE = re.compile(r"^[ \t]*status:[ \t]*(\w+)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_SAID_LIMIT = 200


@dataclass(frozen=True, slots=True)
class _Device:
    """A device and the program found for it on this host."""

    device: FenceDevice
    program: str


def find_agents(config: ClusterConfig, victim: str, search: Search) -> tuple[dict[str, str], tuple[str, ...]]:
    """Programs by the name ha.cf uses, and one sentence for each that is missing on this host."""
    programs: dict[str, str] = {}
    problems: list[str] = []
    for level in config.devices_for(victim):
        for device in level:
            places = [device.agent] if device.agent.startswith("/") else [
                os.path.join(folder, device.agent) for folder in search.fence
            ]
            found = next((path for path in places if os.path.isfile(path) and os.access(path, os.X_OK)), "")
            if found:
                programs[device.agent] = found
            else:
                problems.append(
                    f"ha.cf:{device.line}:1: no fence agent {device.agent!r} for device {device.name}: looked at "
                    f"{', '.join(places)}; install it (Debian: fence-agents) or correct the name"
                )
    return programs, tuple(dict.fromkeys(problems))


class Fencer:
    """All calls to the devices that cut ``victim``. The core has one of them in flight at most."""

    def __init__(
        self, config: ClusterConfig, victim: str, programs: dict[str, str], space: ActionSpace, calls: Calls
    ) -> None:
        self._victim = victim
        self._calls = calls
        self._timeout_ms = config.op_timeout_ms
        self._space = space
        self._levels = tuple(
            tuple(_Device(device, programs[device.agent]) for device in level)
            for level in config.devices_for(victim)
        )
        self._power_on: asyncio.Task[PowerOnDone] | None = None
        self._called_off = False  # before it began

    async def clear(self) -> str:
        """Agents of an earlier life are killed and waited for. "" or what stays."""
        return await self._space.clear(FENCING)

    # --- cutting the power ---------------------------------------------------------------------------

    async def fence(self, op: int, freshness: Freshness, *, only_if_off: bool = False) -> FenceDone:
        """Try level after level; the evidence is that of the level that reads OFF, else of the last."""
        evidence = FenceEvidence(readings=(), in_time=False, reason=f"no fence device for {self._victim}")
        for number, level in enumerate(self._levels, 1):
            # The next level follows from the one that failed, not from an old decision.
            fresh = freshness if number == 1 else None
            try:
                evidence = await self._fence_level(op, level, fresh, only_if_off)
            except TooOld as error:
                # No level may act on it: that would be the shot that was just refused.
                evidence = FenceEvidence(readings=(), in_time=False, reason=f"nothing was switched: {error}")
                break
            if _all_off(evidence) or (only_if_off and _reads_on(evidence)):
                break
        return FenceDone(op, evidence)

    async def _fence_level(
        self, op: int, level: Sequence[_Device], freshness: Freshness | None, only_if_off: bool
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
                    reasons.append(reason or f"{self._plug(device)} reads {state.value} after the off")
            readings.append(self._reading(device, off, began_ms, state))
        in_time = not deadline.expired()
        if not in_time:
            reasons.append(f"it took more than {self._timeout_ms / 1000:g} s")
        return FenceEvidence(readings=tuple(readings), in_time=in_time, reason="; ".join(reasons))

    def _off_failed(self, level: Sequence[_Device], offs: list[Ended]) -> FenceEvidence:
        """One off failed, so nothing can be proved; the rest is not switched and nothing is read."""
        failed = level[len(offs) - 1]
        readings = [
            self._reading(device, off, off.ended_ms, PlugState.UNKNOWN)
            for device, off in zip(level, offs, strict=False)
        ]
        reason = f"{self._plug(failed)}: off failed: {self._said(failed, offs[-1])}"
        return FenceEvidence(readings=tuple(readings), in_time=True, reason=reason)

    def _reading(self, device: _Device, off: Ended, read_began_ms: int, state: PlugState) -> PlugReading:
        return PlugReading(
            device=device.device.name,
            plug=device.device.plug_for(self._victim),
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
                    reasons.append(f"{self._plug(device)}: on failed: {self._said(device, ended)}")
                elif not device.device.trusted:
                    state, _, reason = await self._read(op, device, deadline)
                    if state is not PlugState.ON:
                        reasons.append(reason or f"{self._plug(device)} reads {state.value} after the on")
        return PowerOnDone(op, ok=not reasons, reason="; ".join(reasons))

    async def read_plugs(self, op: int) -> PlugsRead:
        """The first level whose plugs all read the same; a level that differs or cannot tell is UNKNOWN."""
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

    async def _read(self, op: int, device: _Device, deadline: Deadline) -> tuple[PlugState, int, str]:
        """State, when the reading began, and the reason when it is unknown."""
        ended = await self._call(op, device, "status", deadline)
        state = plug_state(ended)
        if state is not PlugState.UNKNOWN:
            return state, ended.began_ms, ""
        said = self._said(device, ended)
        if ended.code in (STATUS_ON, STATUS_OFF):
            said = f"exit {ended.code} does not go with what it printed (OFF is exit 2 and 'Status: OFF'): {said}"
        return PlugState.UNKNOWN, ended.began_ms, f"{self._plug(device)}: status failed: {said}"

    async def _call(
        self, op: int, device: _Device, action: str, deadline: Deadline, freshness: Freshness | None = None
    ) -> Ended:
        """One call; the agent and whatever it started are gone when this returns."""
        began_ms = boottime_ms()
        if deadline.expired():
            late = f"no time left of {deadline.total_ms / 1000:g} s"
            return Ended(code=None, began_ms=began_ms, ended_ms=began_ms, failure=late)
        try:
            cell = self._space.create(FENCING, f"{op}.{action}.{device.device.name}")
        except ActionSpaceError as error:
            return Ended(code=None, began_ms=began_ms, ended_ms=began_ms, failure=str(error))
        timeout_ms = deadline.left_ms()
        with self._calls.during(f"{action} of {self._victim} by {self._plug(device)}", timeout_ms):
            ended = await run_in(
                cell,
                (device.program,),
                timeout_ms=timeout_ms,
                stdin=agent_input(device.device, self._victim, action),
                freshness=freshness,
            )
        stays = await emptied(cell)
        if stays:
            return Ended(code=None, began_ms=ended.began_ms, ended_ms=boottime_ms(), failure=stays)
        return ended

    def _plug(self, device: _Device) -> str:
        return f"{device.device.name} plug {device.device.plug_for(self._victim)}"

    def _said(self, device: _Device, ended: Ended) -> str:
        """Why a call failed, in the agent's words, without its secrets."""
        text = ended.failure or _without_log_head(ended.last_line()) or f"{device.device.agent} exited {ended.code}"
        for name, value in device.device.parameters:
            if value and is_secret_name(name):
                text = text.replace(value, "***")
        return text[:_SAID_LIMIT]


def plug_state(ended: Ended) -> PlugState:
    """What a call of ``status`` tells. OFF needs exit code and text; ON only that the text does not deny it."""
    words = {word.upper() for word in _STATUS_LINE.findall(ended.stdout)}
    if ended.code == STATUS_OFF and words == {"OFF"}:
        return PlugState.OFF
    if ended.code == STATUS_ON and words <= {"ON"}:
        return PlugState.ON
    return PlugState.UNKNOWN


def agent_input(device: FenceDevice, victim: str, action: str) -> bytes:
    """What the agent reads: one ``key=value`` a line, the action first."""
    lines = [("action", action), *(pair for pair in device.arguments(victim) if pair[0] != "action")]
    return "".join(f"{name}={value}\n" for name, value in lines).encode("utf-8", "surrogateescape")


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


def _not_touched(level: Sequence[_Device], first: list[tuple[PlugState, int, str]]) -> FenceEvidence:
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


def _without_log_head(line: str) -> str:
    """A fence agent's line without what logging puts before it (fence-agents: ``DATE TIME,MS LEVEL: ``)."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+: (Failed: )?", "", line)
