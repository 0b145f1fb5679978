"""Run seeds: ``tests/sim/run.py --seeds 1000``, or one of them again with its trace: ``--seed 17 --trace``.

A run has three parts: a random phase under faults, healing, and an exam: one plain fault against the
healed pair, which must be handled as README promises (liveness.py).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum
from multiprocessing import get_context

if __package__ in (None, ""):  # run as a file, by make sim
    _TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:0] = [_TESTS, os.path.join(os.path.dirname(_TESTS), "lib")]

from failover_kit.manager.core import Core
from failover_kit.manager.states import GROUP_TABLE, PEER_TABLE
from sim import liveness
from sim.chaos import Chaos
from sim.faults import EVERYTHING_SEED, Faults, draw
from sim.world import ROWS_USED, TRACE_KEPT, TracedCore, World

# In so many seeds every row of the core's tables is taken, or the row is wrong or a fault is missing.
EVERY_ROW_WITHIN = 1_000

REPEAT = "/usr/bin/python3 tests/sim/run.py"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one seed."""

    seed: int
    steps: int
    simulated_ms: int
    failure: str = ""  # the sentence
    details: str = ""  # options, trace, command


def run_world(
    faults: Faults,
    *,
    trace: int | None = None,
    core_class: type[Core] = TracedCore,
    outcome_only: bool = False,
    s1_only: bool = False,
) -> World:
    """One run to its end; raises what it finds. The world is left on the exception as ``world``."""
    world = World(faults, trace=trace, core_class=core_class, outcome_only=outcome_only or s1_only)
    world.audits.s1_only = s1_only
    try:
        for machine in world.machines:
            machine.power_changed()
        chaos = Chaos(world)
        chaos.begin()
        world.run_until(faults.duration_ms)
        chaos.stop()
        liveness.heal(world)
        liveness.converge(world)
        liveness.settle(world)
        liveness.exam(world)
    except Exception as error:
        error.world = world  # type: ignore[attr-defined]
        raise
    return world


def run_seed(
    seed: int, *, trace: bool = False, kinds: tuple[str, ...] | None = None, duration_ms: int = 600_000
) -> Outcome:
    """One seed; a failure is an outcome, not an exception."""
    faults = draw(seed, kinds=kinds, duration_ms=duration_ms)
    try:
        world = run_world(faults, trace=0 if trace else None)
    except Exception as error:
        world = error.world  # type: ignore[attr-defined]
        sentence = f"{type(error).__name__}: {error}"
        if world.trace is None:
            # Again with the trace on: the dice are the same, so is the run.
            again = run_seed_traced(faults)
            lines = again if again else ["(the failure did not repeat with the trace on: a bug of the simulator)"]
        else:
            lines = list(world.trace)
        tail = lines if trace else lines[-TRACE_KEPT:]
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
        details = "\n".join(
            [
                f"seed {seed}: {sentence}",
                "  options:",
                faults.describe(),
                f"  last {len(tail)} lines of the trace:",
                *(f"    {line}" for line in tail),
                where,
                f"  repeat: {repeat_command(seed, kinds, duration_ms)}",
            ]
        )
        return Outcome(seed, world.steps, world.now, sentence, details)
    if trace and world.trace is not None:
        print("\n".join(world.trace))
    return Outcome(seed, world.steps, world.now)


def run_seed_traced(faults: Faults) -> list[str]:
    """The trace of a failing run."""
    try:
        run_world(faults, trace=400)
    except Exception as error:
        world: World = error.world  # type: ignore[attr-defined]
        return list(world.trace or ())
    return []


def repeat_command(seed: int, kinds: tuple[str, ...] | None, duration_ms: int) -> str:
    """The one command that repeats a run."""
    command = f"{REPEAT} --seed {seed} --trace"
    if kinds is not None:
        command += f" --kinds {','.join(kinds)}"
    if duration_ms != 600_000:
        command += f" --minutes {duration_ms / 60_000:g}"
    return command


@dataclass(slots=True)
class Total:
    """Sums over many seeds."""

    seeds: int = 0
    steps: int = 0
    simulated_ms: int = 0
    failures: int = 0


def _worker(job: tuple[int, tuple[str, ...] | None, int]) -> tuple[Outcome, Counter[tuple[Enum, Enum]]]:
    seed, kinds, duration_ms = job
    ROWS_USED.clear()  # of this process: what is answered is this seed's alone
    return run_seed(seed, kinds=kinds, duration_ms=duration_ms), Counter(ROWS_USED)


def run_many(
    start: int,
    count: int,
    *,
    kinds: tuple[str, ...] | None = None,
    duration_ms: int = 600_000,
    processes: int = 2,
    stop_after: int = 5,
    failed: Callable[[Outcome], None] = lambda outcome: print(outcome.details, flush=True),
) -> Total:
    """Seeds ``start`` to ``start + count - 1``; stops after some failures."""
    total, counted = Total(), Counter(ROWS_USED)
    jobs = [(seed, kinds, duration_ms) for seed in range(start, start + count)]
    pool: AbstractContextManager[object]
    if processes > 1:
        made = get_context("fork").Pool(processes)
        pool, results = made, made.imap_unordered(_worker, jobs, chunksize=4)
    else:
        pool, results = nullcontext(), map(_worker, jobs)  # type: ignore[assignment]
    with pool:
        for outcome, rows in results:
            counted.update(rows)
            total.seeds += 1
            total.steps += outcome.steps
            total.simulated_ms += outcome.simulated_ms
            if outcome.failure:
                total.failures += 1
                failed(outcome)
                if total.failures >= stop_after:
                    break
    ROWS_USED.clear()
    ROWS_USED.update(counted)
    return total


def never_taken() -> list[str]:
    """The rows of the core's tables that no run took."""
    keys: list[tuple[Enum, Enum]] = [*GROUP_TABLE, *PEER_TABLE]
    return [f"{state.value} on {trigger.value}" for state, trigger in keys if not ROWS_USED[state, trigger]]


def coverage() -> list[str]:
    """How often each row of the core's tables was taken, rarest last."""
    lines = []
    for title, table in (("group table", GROUP_TABLE), ("peer table", PEER_TABLE)):
        keys: list[tuple[Enum, Enum]] = list(table)
        taken = sum(1 for key in keys if ROWS_USED[key])
        lines.append(f"{title}: {taken} of {len(keys)} rows taken")
        for key in sorted(keys, key=lambda key: -ROWS_USED[key]):
            lines.append(f"    {ROWS_USED[key] or 'never':>9}  {key[0].value} on {key[1].value}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Command line; exit 1 when a seed failed, a planted bug was missed, or a row was never taken."""
    parser = argparse.ArgumentParser(prog="sim.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds to run")
    parser.add_argument(
        "--start",
        type=int,
        default=EVERYTHING_SEED,
        help=f"the first of them; from {EVERYTHING_SEED} on, the default, every kind of fault may be drawn",
    )
    parser.add_argument("--seed", type=int, help="run this seed alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: print the whole trace")
    parser.add_argument("--kinds", help="only these kinds of faults, comma-separated")
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated minutes of the random phase")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-planted", action="store_true", help="do not run the planted bugs afterwards")
    parser.add_argument("--table", action="store_true", help="write the table of docs/simulation.md")
    parser.add_argument("--stop-after", type=int, default=5, help="failures to print before stopping")
    options = parser.parse_args(argv)
    kinds = tuple(options.kinds.split(",")) if options.kinds else None
    duration_ms = int(options.minutes * 60_000)
    began = time.monotonic()
    if options.table:
        from sim.planted import table

        return table.write()
    if options.seed is not None:
        outcome = run_seed(options.seed, trace=options.trace, kinds=kinds, duration_ms=duration_ms)
        print(outcome.details or f"seed {options.seed}: passed, {outcome.steps} events")
        return 1 if outcome.failure else 0
    total = run_many(
        options.start,
        options.seeds,
        kinds=kinds,
        duration_ms=duration_ms,
        processes=options.processes,
        stop_after=options.stop_after,
    )
    took_s = time.monotonic() - began
    print(
        f"{total.seeds} seeds, {total.failures} failed; {total.steps} audited events in {took_s:.1f} s "
        f"({total.steps / took_s:.0f} events/s with {options.processes} processes), "
        f"{total.simulated_ms / 3_600_000:.1f} simulated hours"
    )
    print("\n".join(coverage()), flush=True)
    never = never_taken() if total.seeds >= EVERY_ROW_WITHIN and kinds is None else []
    if never:
        print(f"never taken in {total.seeds} seeds: {', '.join(never)}; remove a row that cannot be taken")
    missed = 0
    if not options.no_planted:
        from sim import planted  # it drives runs of this module

        missed = planted.report()
    return 1 if total.failures or missed or never else 0


if __name__ == "__main__":
    sys.exit(main())
