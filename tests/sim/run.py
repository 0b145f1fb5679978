"""Run seeds: ``tests/sim/run.py --seeds 1000``, or one of them again with its trace: ``--seed 17 --trace``.

A run has three parts: a random phase under faults, healing, and an exam: one plain fault against the
healed pair, which must be handled as README promises (liveness.py).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from multiprocessing import get_context
from types import FrameType

if __package__ in (None, ""):  # run as a file, by make sim
    _TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:0] = [_TESTS, os.path.join(os.path.dirname(_TESTS), "lib")]

from failover_kit.manager.core import Core
from failover_kit.manager.states import GROUP_TABLE, PEER_TABLE
from sim import liveness
from sim.chaos import Chaos
from sim.faults import EVERYTHING_SEED, Faults, draw
from sim.tally import ROWS, Progress, TallyError, Total, ranges, stamp
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


Job = tuple[int, tuple[str, ...] | None, int]  # seed, kinds, duration_ms


def _worker(job: Job) -> tuple[Outcome, Counter[tuple[Enum, Enum]]]:
    seed, kinds, duration_ms = job
    ROWS_USED.clear()  # of this process: what is answered is this seed's alone
    return run_seed(seed, kinds=kinds, duration_ms=duration_ms), Counter(ROWS_USED)


def _worker_begins() -> None:
    """A Ctrl-C is for the parent, which ends its workers by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _results(jobs: list[Job], processes: int) -> Iterator[Iterator[tuple[Outcome, Counter[tuple[Enum, Enum]]]]]:
    """The outcomes, in whatever order they come."""
    if processes <= 1:
        yield map(_worker, jobs)
        return
    with get_context("fork").Pool(processes, _worker_begins) as pool:
        yield pool.imap_unordered(_worker, jobs, chunksize=4)


def run_many(
    start: int,
    count: int,
    *,
    kinds: tuple[str, ...] | None = None,
    duration_ms: int = 600_000,
    processes: int = 2,
    stop_after: int = 5,
    failed: Callable[[Outcome], None] = lambda outcome: print(outcome.details, flush=True),
    total: Total | None = None,
    seen: Callable[[Total], bool] = lambda total: True,
) -> Total:
    """Seeds ``start`` to ``start + count - 1`` less those done in ``total``; stops after some failures (0: never).

    ``seen`` is called after each seed; False ends the run.
    """
    total, counted = total if total is not None else Total(), Counter(ROWS_USED)
    jobs = [(seed, kinds, duration_ms) for seed in range(start, start + count) if seed not in total.done]
    try:
        with _results(jobs, processes) as results:
            for outcome, rows in results:
                total.add(outcome, rows)
                if outcome.failure:
                    failed(outcome)
                if not seen(total) or (outcome.failure and total.failures == stop_after):
                    break
    finally:
        ROWS_USED.clear()
        ROWS_USED.update(counted)
        ROWS_USED.update(total.rows)
    return total


def never_taken() -> list[str]:
    """The rows of the core's tables that no run took."""
    return [name for name, row in ROWS.items() if not ROWS_USED[row]]


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


@contextmanager
def _asked_to_end() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM end the run after the seed that comes next: what is counted is whole, workers are ended
    (those of a parent that was killed wait for ever). The second one ends it at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = [(number, signal.signal(number, ask)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield asked
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _options(argv: list[str] | None) -> argparse.Namespace:
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
    parser.add_argument(
        "--stop-after", type=int, default=5, help="violated seeds to print before stopping; 0: never stop"
    )
    parser.add_argument("--progress", type=float, default=30.0, help="seconds between two lines on stderr; 0: none")
    parser.add_argument("--keep", metavar="FILE", help="keep what was done there; the same command goes on from it")
    parser.add_argument("--merge", metavar="FILE", nargs="+", help="run nothing: add up what shards kept")
    return parser.parse_args(argv)


def _tell(total: Total, kinds: tuple[str, ...] | None, duration_ms: int) -> bool:
    """The rows, and every violated seed with the command that repeats it; True when all is well."""
    print("\n".join(coverage()), flush=True)
    never = never_taken() if total.seeds >= EVERY_ROW_WITHIN and kinds is None else []
    if never:
        print(f"never taken in {total.seeds} seeds: {', '.join(never)}; remove a row that cannot be taken")
    if total.violated:
        print(f"violated: {total.failures} of {total.seeds} seeds")
    for seed, sentence in sorted(total.violated.items()):
        print(f"    {seed}: {sentence}\n        {repeat_command(seed, kinds, duration_ms)}")
    return not total.violated and not never


def _merge(paths: list[str], kinds: tuple[str, ...] | None, duration_ms: int) -> int:
    total = Total()
    for path in paths:
        total.add_all(Total.kept(path, stamp(kinds, duration_ms)), path)
    ROWS_USED.clear()
    ROWS_USED.update(total.rows)
    told = ", ".join(f"{first} to {last}" for first, last in ranges(total.done))
    print(
        f"{total.seeds} seeds ({told}), {total.failures} failed; {total.steps} audited events, "
        f"{total.simulated_ms / 3_600_000:.1f} simulated hours"
    )
    return 0 if _tell(total, kinds, duration_ms) else 1


def _run_many(options: argparse.Namespace, kinds: tuple[str, ...] | None, duration_ms: int) -> int:
    what = stamp(kinds, duration_ms)
    total = Total.kept(options.keep, what) if options.keep and os.path.exists(options.keep) else Total()
    before, began = (total.seeds, total.steps), time.monotonic()
    ROWS_USED.clear()  # what is told is of this tally alone
    wanted = set(range(options.start, options.start + options.seeds))
    progress = Progress(len(wanted | total.done), options.progress)
    progress.begins(total)

    def seen(total: Total) -> bool:
        if progress.seen(total) and options.keep:
            total.keep(options.keep, what)
        return not asked

    with _asked_to_end() as asked:
        run_many(
            options.start,
            options.seeds,
            kinds=kinds,
            duration_ms=duration_ms,
            processes=options.processes,
            stop_after=options.stop_after and options.stop_after + total.failures,
            total=total,
            seen=seen,
        )
    took_s, steps = time.monotonic() - began, total.steps - before[1]
    if options.keep:
        total.keep(options.keep, what)
    earlier = f" ({before[0]} of them by earlier runs)" if before[0] else ""
    print(
        f"{total.seeds} seeds{earlier}, {total.failures} failed; {steps} audited events in {took_s:.1f} s "
        f"({steps / took_s:.0f} events/s with {options.processes} processes), "
        f"{total.simulated_ms / 3_600_000:.1f} simulated hours"
    )
    well = _tell(total, kinds, duration_ms)
    left = wanted - total.done
    if left:
        remedy = "the same command goes on" if options.keep else "--keep FILE would let it go on later"
        print(f"stopped before its end: {len(left)} seeds were not run, the first is {min(left)}; {remedy}")
        return 1
    missed = 0
    if not options.no_planted:
        from sim import planted  # it drives runs of this module

        missed = planted.report()
    return 0 if well and not missed else 1


def main(argv: list[str] | None = None) -> int:
    """Command line; exit 1 when a seed failed or was not run, a planted bug was missed or a row never taken."""
    options = _options(argv)
    kinds = tuple(options.kinds.split(",")) if options.kinds else None
    duration_ms = int(options.minutes * 60_000)
    if options.table:
        from sim.planted import table

        return table.write()
    if options.seed is not None:
        outcome = run_seed(options.seed, trace=options.trace, kinds=kinds, duration_ms=duration_ms)
        print(outcome.details or f"seed {options.seed}: passed, {outcome.steps} events")
        return 1 if outcome.failure else 0
    try:
        if options.merge:
            return _merge(options.merge, kinds, duration_ms)
        return _run_many(options, kinds, duration_ms)
    except TallyError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
