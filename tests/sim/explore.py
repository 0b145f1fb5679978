"""Search every schedule of a small world, breadth first, through the manager's real core.

``python3 tests/sim/explore.py`` runs the small profile and the one with two groups on two homes; ``--profile
medium`` and ``large`` have larger bounds; ``--counterexamples`` takes each rule away and tells what happens;
``--plant NAME`` runs one planted relaxation of the rules and shows the shortest schedule that breaks.
What the world contains, and what it does not: docs/design/0018-exploration.md. Lanes are in smalllanes.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

if __package__ in (None, ""):
    _HERE = os.path.dirname(os.path.abspath(__file__))
    sys.path[:0] = [os.path.dirname(_HERE), os.path.join(os.path.dirname(_HERE), "..", "lib")]

from failover_kit.manager import coredata, shooting
from sim.smallkey import Keys
from sim.smalllanes import PLANTS, PROFILES, SETTLE, Lane, Plant
from sim.smallparts import DEADTIME_MS, NODES, Budget, Violation
from sim.smallworld import World, in_short

PROGRESS_S = 10
SETTLE_ROUNDS = 12
# What leads to the beginning of a search is chosen by hand, so it may be anything.
PRELUDE_BUDGET = Budget(**{name: 99 if name == "waits" else 9 for name in Budget.__dataclass_fields__})


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
    world = World(lane.setting, PRELUDE_BUDGET)
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
    """Both nodes send, hear and finish what they do, the switch obeys, until nothing but beats is left."""
    expected = [
        sentence
        for node, peer in (NODES, NODES[::-1])
        for sentence in (
            f"{node}: its next beat is due",
            f"{peer}: the last beat of {node} arrives",
            *(f"{name}: the record is on its disk" for name in NODES),
            *(f"{name}: its {kind} succeeds" for name in NODES for kind in ("probe", "start", "stop")),
            f"the switch cuts the power of {peer}",
            f"{node}: its shot is read back OFF",
            f"the switch gives {peer} its power",
            f"{node}: reads the plugs of {peer}",
            f"{node}: boots",
            f"{node}: failoverd starts",
        )
    ]
    for _ in range(SETTLE_ROUNDS):
        for sentence in expected:
            step = dict(world.steps()).get(sentence)
            world = step() if step is not None else world
    return world


def explore(lane: Lane, *, state_limit: int = 0, progress: Callable[[str], None] | None = None) -> Result:
    """Breadth first, to the end or to the first violation, which then is a shortest one."""
    with short_intervals():
        return _explore(lane, state_limit, progress)


def _explore(lane: Lane, state_limit: int, progress: Callable[[str], None] | None) -> Result:
    result = Result(lane)
    began = told = time.monotonic()
    keys, path = Keys(lane.setting, lane.budget), Path()
    start = begin(lane)
    path.add(-1, "")
    seen = {keys.key(start)}
    frontier: list[tuple[int, World]] = [(0, start)]
    while frontier:
        following: list[tuple[int, World]] = []
        for place, world in frontier:
            for sentence, step in world.steps():
                if sentence.startswith(lane.without):
                    continue
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
                progress(
                    f"  {lane.name}: {len(seen)} states, depth {result.depth}, {len(following)} in the next level"
                )
            if state_limit and len(seen) >= state_limit:
                result.states, result.seconds = len(seen), time.monotonic() - began
                return result
        if following:
            result.depth += 1
        frontier = following
        keys.forget_objects()
    result.states, result.seconds, result.exhausted = len(seen), time.monotonic() - began, True
    return result


# --- the command -------------------------------------------------------------------------------------


def narrate(result: Result) -> Iterator[str]:
    """The schedule of a violation, step by step, with what the nodes did."""
    with short_intervals():
        world = begin(result.lane)
        world.told = []
        if result.lane.prelude:
            yield "    before: " + "; ".join(result.lane.prelude)
        for number, sentence in enumerate(result.schedule, 1):
            yield f"    {number:>2}. {sentence}"
            del world.told[:]
            try:
                world = take(world, sentence)
            except Violation:
                pass
            assert world.told is not None
            for index, action in world.told:
                yield f"            {NODES[index]}: {in_short(action)}"
        yield f"    => {result.violation}"


def bounds(lane: Lane) -> str:
    """The bounds of a lane in one line."""
    limits = ", ".join(
        f"{name.replace('_', ' ')} {'any' if value == 99 else value}"
        for name in Budget.__dataclass_fields__
        if (value := getattr(lane.budget, name))
    )
    limits = limits or "no trouble"
    kind = lane.setting
    homes = f"home {kind.home}"
    if kind.second_home:
        homes = f"two groups, homes {kind.home} and {kind.second_home}"
    rest = [homes, "disks slow" if kind.slow_disks else "disks at once"]
    rest += ["probes slow"] * kind.slow_probes + ["no fence device"] * (not kind.can_fence)
    rest += ["boot_alone yes"] * kind.boot_alone
    rest += ["one clock for both nodes, a wait is 0.4 of deadtime"] * kind.one_clock
    return f"losses any, {limits}; {', '.join(rest)}"


def run_lanes(lanes: tuple[Lane, ...], state_limit: int) -> list[Result]:
    results = []
    for lane in lanes:
        print(f"{lane.name}: {lane.story}\n  bounds: {bounds(lane)}", flush=True)
        result = explore(lane, state_limit=state_limit, progress=lambda text: print(text, flush=True))
        print(f"  {result.summary()}", flush=True)
        if result.violation:
            print("\n".join(narrate(result)))
        results.append(result)
    return results


def run_plant(plant: Plant, state_limit: int) -> bool:
    """Whether the relaxation is found, and the core as it is passes the same search."""
    print(f"planted: {plant.name} (PROTOCOL rule {plant.rule})")
    with plant.planted():
        found = run_lanes((plant.lane,), state_limit)[0]
    print("the core as it is, same search:")
    kept = run_lanes((plant.lane,), state_limit)[0]
    return bool(found.violation) and kept.exhausted and not kept.violation


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Breadth-first search of a small world through the real core.")
    parser.add_argument(
        "--profile", choices=tuple(PROFILES), help="without it, small and two-groups are run one after the other"
    )
    parser.add_argument("--lane", help="only the lane of this name")
    parser.add_argument(
        "--plant", choices=(*(plant.name for plant in PLANTS), "all"), help="search with a rule weakened"
    )
    parser.add_argument("--states", type=int, default=0, metavar="N", help="give up after N states (0: never)")
    parser.add_argument(
        "--counterexamples", action="store_true", help="take each rule away and tell the shortest schedule"
    )
    parser.add_argument("--rule", default="", help="with --counterexamples: only of this rule, e.g. 05 or 04-kept")
    parser.add_argument("--write", default="", metavar="DIR", help="with --counterexamples: write the pages there")
    options = parser.parse_args(arguments)
    if options.counterexamples:
        from sim import counterpages  # it drives searches of this module

        return counterpages.run(options.rule, options.write)
    if options.plant:
        chosen = [plant for plant in PLANTS if options.plant in (plant.name, "all")]
        found = [run_plant(plant, options.states) for plant in chosen]  # every one is run
        return 0 if all(found) else 1
    profiles = (options.profile,) if options.profile else ("small", "two-groups")
    lanes = tuple(lane for name in profiles for lane in PROFILES[name] if options.lane in (None, lane.name))
    if not lanes:
        parser.error(f"no lane {options.lane!r} in {' or '.join(profiles)}")
    results = run_lanes(lanes, options.states)
    bad = sum(bool(result.violation) for result in results)
    open_ends = sum(not result.exhausted and not result.violation for result in results)
    verdict = (
        f"{bad} with a violation, {open_ends} not exhausted" if bad or open_ends else "exhausted without violation"
    )
    print(
        f"{' and '.join(profiles)}: {len(results)} searches, {sum(r.states for r in results)} states, "
        f"{sum(r.transitions for r in results)} transitions, depth {max(r.depth for r in results)}, "
        f"{sum(r.seconds for r in results):.0f} s: {verdict}"
    )
    return 1 if bad or open_ends else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
