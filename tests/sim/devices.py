"""Power switches: what really happens to an outlet, and what the fence agent that ordered it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from failover_kit.manager.records import FenceEvidence, PlugReading, PlugState

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.world import World


class SwitchJob:
    """One run of fence agents on all plugs of a victim: off and read, on and read, or read.

    It runs on ``actor`` and dies with it (power) or by ``kill`` (daemon restart, cancel, deadline). What
    it had ordered by then may still take effect, even much later.
    """

    def __init__(self, actor: Machine, victim: Machine, kind: str, *, only_if_off: bool = False) -> None:
        self.world: World = actor.world
        self.actor = actor
        self.victim = victim
        self.kind = kind  # fence, on, read
        self.only_if_off = only_if_off
        self.alive = True
        self.generation = actor.generation
        self.began = actor.clock()
        count = len(victim.outlets)
        self.off_exit: list[int | None] = [None] * count
        self.off_began = [0] * count
        self.off_ended = [0] * count
        self.read_began = [0] * count
        self.states = [PlugState.UNKNOWN] * count
        self.plug = 0
        self.done: Callable[[SwitchJob, bool], None] = lambda job, in_time: None

    def start(self, done: Callable[[SwitchJob, bool], None]) -> None:
        """Run; ``done(job, in_time)`` is called once, when no agent of it runs any more."""
        self.done = done
        self.world.at(self.world.faults.fence_timeout_ms, self._deadline)
        if self.kind != "read" and not self.only_if_off:
            self._switch()
        else:
            self._read()

    def kill(self) -> None:
        """SIGKILL to its cgroup."""
        if self.alive:
            self.alive = False
            self.world.at(self.world.rng.randint(0, 50), self._end, False)

    def abandon(self) -> None:
        """Its daemon died: nobody will be told."""
        self.done = lambda job, in_time: None

    def _end(self, in_time: bool) -> None:
        if self.generation == self.actor.generation:
            self.done(self, in_time)

    def _deadline(self) -> None:
        if self.alive:
            self.kill()

    def _lives(self) -> bool:
        if self.generation != self.actor.generation:
            self.alive = False
        return self.alive

    def _duration(self) -> int:
        duration_ms = self.world.rng.randint(1, self.world.faults.switch_ms)
        if self.victim.device_mode == "slow":
            duration_ms += self.world.rng.randint(0, self.world.faults.fence_timeout_ms)
        return duration_ms

    # --- switching ---------------------------------------------------------------------------------

    def _switch(self) -> None:
        """Order the present plug off (on), and see what the device makes of it."""
        if not self._lives():
            return
        world, plug, mode = self.world, self.plug, self.victim.device_mode
        on = self.kind == "on"
        self.off_began[plug] = self.actor.clock()
        duration_ms = self._duration()
        if mode == "fail":
            world.at(duration_ms, self._switched, 1)
        elif mode == "hang":
            pass
        elif mode == "late":
            # Given up at its deadline, or killed with its daemon; the device does it all the same.
            world.at(
                world.rng.randint(1, world.faults.fence_timeout_ms + world.faults.late_ms),
                self._take_effect,
                plug,
                on,
            )
        elif mode == "lie":
            world.at(duration_ms, self._switched, 0)
        else:
            world.at(world.rng.randint(1, duration_ms), self._effect_unless_killed, plug, on)
            world.at(duration_ms, self._switched, 0)

    def _effect_unless_killed(self, plug: int, on: bool) -> None:
        if self._lives() or self.world.rng.random() < 0.5:
            self._take_effect(plug, on)

    def _take_effect(self, plug: int, on: bool) -> None:
        self.world.set_outlet(self.victim, plug, on)

    def _switched(self, code: int) -> None:
        if not self._lives():
            return
        self.off_exit[self.plug] = code
        self.off_ended[self.plug] = self.actor.clock()
        self.plug += 1
        if self.plug < len(self.victim.outlets):
            self._switch()
        else:
            self.plug = 0
            self._read()

    # --- reading -----------------------------------------------------------------------------------

    def _read(self) -> None:
        if not self._lives():
            return
        self.read_began[self.plug] = self.actor.clock()
        mode = self.victim.device_mode
        duration_ms = self._duration()
        if mode == "hang":
            return
        # A false read-back is outside what any manager can promise (rule 8): it is true or unknown.
        state = PlugState.UNKNOWN
        if mode not in ("blind", "fail"):
            state = PlugState.ON if self.victim.outlets[self.plug] else PlugState.OFF
        self.world.at(duration_ms, self._was_read, state)

    def _was_read(self, state: PlugState) -> None:
        if not self._lives():
            return
        self.states[self.plug] = state
        self.plug += 1
        if self.plug < len(self.states):
            self._read()
            return
        self.plug = 0
        if self.only_if_off and self.off_exit[0] is None and self.combined() is PlugState.OFF:
            self._switch()
            return
        self.alive = False
        self._end(True)

    # --- what was seen -----------------------------------------------------------------------------

    def combined(self) -> PlugState:
        """All plugs together; UNKNOWN if they differ."""
        return self.states[0] if len(set(self.states)) == 1 else PlugState.UNKNOWN

    def evidence(self, in_time: bool) -> FenceEvidence:
        """As the shell reports it: only what the agents really said."""
        readings = tuple(
            PlugReading(
                device="benjamin",
                plug=str(plug + 1),
                off_exit=self.off_exit[plug],
                off_began_ms=self.off_began[plug],
                off_ended_ms=self.off_ended[plug],
                read_began_ms=self.read_began[plug],
                state=self.states[plug],
            )
            for plug in range(len(self.states))
        )
        reason = "" if in_time else "the agent was killed at its deadline"
        if in_time and self.combined() is not PlugState.OFF:
            reason = f"plugs read {self.combined().value}"
        return FenceEvidence(readings=readings, in_time=in_time, reason=reason)
