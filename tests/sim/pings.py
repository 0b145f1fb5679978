"""What a simulated machine reaches beside its peer, and how its failoverd hears of it.

``PingsSeen`` as events.py documents it, and no better: an answer is told at once, silence after deadping, and
that nothing answers at all after half of deadtime. The truth is the machine's ``lost_ms``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager.events import PingsSeen

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.shell import Daemon


def lose(machine: Machine, ping: int) -> None:
    """From now on this ping node does not answer this machine."""
    if machine.lost_ms[ping] is None:
        machine.lost_ms[ping] = machine.world.now
        machine.world.say(machine.name, f"does not reach ping node {ping + 1}")
        _changed(machine)


def find(machine: Machine, ping: int) -> None:
    """It answers again."""
    if machine.lost_ms[ping] is not None:
        machine.lost_ms[ping] = None
        machine.world.say(machine.name, f"reaches ping node {ping + 1}")
        _changed(machine)


def _changed(machine: Machine) -> None:
    if machine.daemon is not None:
        machine.daemon.pinger.changed()


class Pinger:
    """Of one life of failoverd."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.world = daemon.world
        self.born_ms = self.world.now
        self.told = PingsSeen((None,) * self.world.faults.pings)
        self.answered = False  # some did, in this life

    def changed(self) -> None:
        """Look again whenever something may follow from it."""
        faults = self.world.faults
        if not faults.pings:
            return
        late_ms = 1 + int(self.world.rng.random() * faults.keepalive_ms)
        for wait_ms in (0, faults.deadtime_ms // 2, faults.deadtime_ms):
            self.world.at(late_ms + wait_ms, self._look)

    def _look(self) -> None:
        if not self.daemon.alive:
            return
        now, faults = self.world.now, self.world.faults
        lost = [None if at is None else max(at, self.born_ms) for at in self.daemon.machine.lost_ms]
        self.answered = self.answered or None in lost
        reached = tuple(
            True if at is None else False if now - at >= faults.deadtime_ms else was
            for at, was in zip(lost, self.told.reached, strict=True)
        )
        silent = all(at is not None and now - at >= faults.deadtime_ms // 2 for at in lost)
        seen = PingsSeen(reached, quiet=self.answered and silent)
        if seen != self.told:
            self.told = seen
            self.daemon.post(self.daemon.handle, seen)
