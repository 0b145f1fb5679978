"""Search every schedule of a small world, breadth first, through the manager's real core.

``python3 tests/sim/explore.py`` runs the small profile; ``--profile medium`` and ``large`` have larger bounds;
``--plant NAME`` runs one planted relaxation of the rules and shows the shortest schedule that breaks.
What the world contains, and what it does not: docs/design/0018-exploration.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

if __package__ in (None, ""):
    _HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(_HERE), os.path.join(os.path.dirname(_HERE), "..", "lib")]

from failover_kit.manager import coredata, shooting
from sim.smallkey import Keys
from sim.smallworld import DEADTIME_MS, NODES, Budget, Setting, Violation, World

PROGRESS_S = 10
SETTLE = "everything settles"
SETTLE_ROUNDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One search: where it begins and what may happen in it."""

    name: str
    story: str
    budget: Budget
    setting: Setting = field(default_factory=Setting)
    # Steps that lead from the first boot to the beginning of the search, by their sentences.
    prelude: tuple[str, ...] = ()


@dataclass(slots=True)
class Result:
    """What one search found."""

    lane: Lane
    states: int = 0
    transitions: int = 0
    depth: int = 0
    seconds: float = 0.0
    epoch: int = 0  # the highest one issued
    exhausted: bool = False
    violation: str = ""
    schedule: tuple[str, ...] = ()

    def summary(self) -> str:
        found = f"VIOLATION after {len(self.schedule)} steps" if self.violation else "exhausted without violation"
        if not self.violation and not self.exhausted:
            found = "NOT exhausted: the bound on states was reached"
        return (
            f"{self.lane.name:<22} {self.states:>9} states {self.transitions:>10} transitions "
            f"depth {self.depth:>3} epoch {self.epoch:>2} {self.seconds:7.1f} s  {found}"
        )


class Path:
    """How each state was first reached: the one before it, and the step."""

    def __init__(self) -> None:
        self.before = array("l")
        self.step = array("l")
        self.sentences: dict[str, int] = {}

    def add(self, before: int, sentence: str) -> int:
        self.before.append(before)
        self.step.append(self.sentences.setdefault(sentence, len(self.sentences)))
        return len(self.before) - 1

    def to(self, place: int) -> tuple[str, ...]:
        names = list(self.sentences)
        steps: list[str] = []
        while place > 0:
            steps.append(names[self.step[place]])
            place = self.before[place]
        return tuple(reversed(steps))


@contextmanager
def short_intervals() -> Iterator[None]:
    """The core's own constants, fitted to the small world's time: no delay is longer than one wait.

    The regular rewriting of an unchanged record is put off for ever: it changes nothing that is decided.
    """
    with ExitStack() as stack:
        for module, name, value in (
            (coredata, "PERSIST_RETRY_MS", DEADTIME_MS),
            (coredata, "PERSIST_CHECK_MS", 10**9),
            (shooting, "IF_OFF_INTERVAL_MS", DEADTIME_MS),
            (shooting, "DEVICE_RETRY_MS", DEADTIME_MS),
        ):
            stack.enter_context(patch.object(module, name, value))
        yield


def begin(lane: Lane) -> World:
    """The world in which the search begins."""
    world = World(lane.setting, Budget(waits=0, kept=9, crashes=9, lost_state=9, resets=9, moves=9, agent_failures=9))
    for sentence in lane.prelude:
        world = settle(world) if sentence == SETTLE else take(world, sentence)
    world.budget = lane.budget
    return world


def take(world: World, sentence: str) -> World:
    """One step by its sentence."""
    for known, step in world.steps():
        if known == sentence:
            return step()
    raise LookupError(f"{sentence!r} cannot happen here; what can: {[known for known, _ in world.steps()]}")


def settle(world: World) -> World:
    """Both nodes send, hear and finish what they do, until nothing but beats is left."""
    for _ in range(SETTLE_ROUNDS):
        for node, peer in (NODES, NODES[::-1]):
            for sentence in (
                f"{node}: its next beat is due",
                f"{peer}: the last beat of {node} arrives",
                *(f"{name}: the record is on its disk" for name in NODES),
                *(f"{name}: its {kind} succeeds" for name in NODES for kind in ("probe", "start", "stop")),
            ):
                for known, step in world.steps():
                    if known == sentence:
                        world = step()
                        break
    return world


def explore(
    lane: Lane, *, state_limit: int = 0, progress: Callable[[str], None] | None = None
) -> Result:
    """Breadth first, to the end or to the first violation, which then is a shortest one."""
    with short_intervals():
        return _explore(lane, state_limit, progress)


def _explore(lane: Lane, state_limit: int, progress: Callable[[str], None] | None) -> Result:
    result = Result(lane)
    began = told = time.monotonic()
    keys, path = Keys(lane.setting), Path()
    start = begin(lane)
    path.add(-1, "")
    seen = {keys.key(start)}
    frontier: list[tuple[int, World]] = [(0, start)]
    while frontier:
        following: list[tuple[int, World]] = []
        for place, world in frontier:
            for sentence, step in world.steps():
                result.transitions += 1
                try:
                    after = step()
                except Violation as violation:
                    result.violation = str(violation)
                    result.schedule = (*path.to(place), sentence)
                    result.states, result.seconds = len(seen), time.monotonic() - began
                    return result
                key = keys.key(after)
                if key in seen:
                    continue
                seen.add(key)
                result.epoch = max(result.epoch, after.epoch())
                following.append((path.add(place, sentence), after))
            if progress is not None and time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                progress(f"  {lane.name}: {len(seen)} states, depth {result.depth}, {len(following)} in the next level")
            if state_limit and len(seen) >= state_limit:
                result.states, result.seconds = len(seen), time.monotonic() - began
                return result
        if following:
            result.depth += 1
        frontier = following
        keys.forget_objects()
    result.states, result.seconds, result.exhausted = len(seen), time.monotonic() - began, True
    return result
