"""Measure failovers of failoverd, Heartbeat 3, Pacemaker with corosync, and keepalived, on one stage, in one run.

    /usr/bin/python3 bench/failover [--runs N] [--only EVENT]... [--who NAME]... [--minutes M]
                                    [--markdown | --json | --write FILE]

Needs root. Each manager gets two nodes in namespaces of their own, a filesystem and an address (keepalived: the
address alone), the same switch and the same client, which asks the address every 10 ms from a third namespace.
Events: ``switchover`` (an order), ``power`` (everything of the active node ends at once), ``idle`` (CPU, memory),
``steady`` (with ``--minutes``: all cores busy, nothing wrong; nobody may be shot and nothing may move). Nothing is
left behind. ``--write docs/measurements.md`` puts the section into that page and the picture beside it, unless
something failed. Exit codes: 0 measured, whoever was faster; 1 a manager did not do what it was measured for;
2 the bench cannot run here; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "lib"), str(TOP / "bench"), str(TOP / "tests")]

import page  # noqa: E402 - the path is known only now
import picture  # noqa: E402
import report  # noqa: E402 - the path is known only now
from common.facts import machine_facts  # noqa: E402
from drivers import DRIVERS, KEEPALIVED, NEEDED, OURS, Driver  # noqa: E402
from measure import NotDone, Sample, false_takeovers, idle, power_loss, switchover  # noqa: E402

from failover_kit.rehearsal.namespaces import NamespaceError  # noqa: E402
from failover_kit.rehearsal.node import NodeError  # noqa: E402
from versus.stage import StageFailed  # noqa: E402

DEFAULT_RUNS = 7
UNUSABLE, INTERRUPTED = 2, 130
EVENTS = ("switchover", "power", "idle", "steady")
TIMED: dict[str, tuple[str, Callable[[type[Driver]], Sample]]] = {
    "switchover": (report.SWITCHOVER, switchover),
    "power": (report.POWER_LOSS, power_loss),
}
WRONG = (NotDone, StageFailed, NodeError, NamespaceError)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/failover", description="Failovers side by side.")
    parser.add_argument(
        "--runs", type=int, default=DEFAULT_RUNS, metavar="N", help=f"runs of each ({DEFAULT_RUNS})"
    )
    parser.add_argument("--only", action="append", choices=EVENTS, help="only this; may be given again")
    parser.add_argument("--who", action="append", choices=tuple(DRIVERS), help="only this one; may be given again")
    parser.add_argument(
        "--minutes", type=float, default=0.0, metavar="M", help="length of steady for failoverd (0: left out)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every single run, for machines")
    form.add_argument("--markdown", action="store_true", help="the section of docs/measurements.md")
    form.add_argument("--write", type=Path, metavar="FILE", help="put it into this page, a picture beside it")
    options = parser.parse_args(argv)
    if options.write and (options.only or options.who or options.runs < report.MINIMUM_RUNS):
        parser.error(f"--write: only with all events, everybody, and at least {report.MINIMUM_RUNS} runs")
    if options.write and not options.write.is_file():
        parser.error(f"--write: there is no {options.write}")
    if options.runs < 1:
        parser.error("--runs: at least 1")
    return options


def present(wanted: Sequence[str] | None) -> list[str]:
    """Those that are asked for and on this machine."""
    names = [name for name in DRIVERS if wanted is None or name in wanted]
    return [name for name in names if name not in NEEDED or Path(NEEDED[name]).exists()]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def measure(options: argparse.Namespace, names: Sequence[str]) -> report.Results:
    """Everything that was asked for; what went wrong is a sentence in the results."""
    results = report.Results()
    wanted = options.only or EVENTS
    for event in (event for event in TIMED if event in wanted):
        title, once = TIMED[event]
        able = list(names)
        # In turns: a machine that is slow for a minute is slow for all of them.
        for number, name in ((number, name) for number in range(options.runs) for name in names):
            if name not in able:
                continue
            try:
                sample = once(DRIVERS[name])
            except WRONG as error:
                able.remove(name)
                results.failures.append(f"{title}, {name}: {error}")
                continue
            results.samples.setdefault((title, name), []).append(sample)
            say(f"{title}, run {number + 1} of {options.runs}, {name}: {sample.gap_ms:.0f} ms")
    for name in names:
        try:
            if "idle" in wanted and name != KEEPALIVED:
                say(f"idle, {name} …")
                results.idle[name] = idle(DRIVERS[name])
            if "steady" in wanted and options.minutes and name == OURS:
                say(f"all cores busy for {options.minutes:g} min, {name} …")
                counts = false_takeovers(DRIVERS[name], options.minutes)
                results.steady[name] = {"minutes": options.minutes, **counts}
        except WRONG as error:
            results.failures.append(f"{name}: {error}")
    return results


def publish(path: Path, results: report.Results, facts: dict[str, str]) -> int:
    """Write page and picture, or say why not and what was measured. Returns the exit code."""
    sys.stdout.write(report.as_text(results, facts))
    reason = page.unfit(results)
    if reason:
        say(f"bench/failover: {path} was not written: {reason}")
        return 1
    drawing = path.parent / page.PICTURE
    drawing.parent.mkdir(exist_ok=True)
    drawing.write_text(picture.svg(results), encoding="utf-8")
    path.write_text(page.put(path.read_text(encoding="utf-8"), page.section(results, facts)), encoding="utf-8")
    say(f"written: {path}, {drawing}")
    return 0


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = parse(argv)
    if os.geteuid() != 0:
        say("bench/failover: needs root, for namespaces, mounts and a loop device")
        return UNUSABLE
    names = present(options.who)
    if not names:
        say("bench/failover: none of them is installed here; tools/setup.sh test installs them")
        return UNUSABLE
    # As Ctrl-C: the nodes end before we do.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = measure(options, names)
    except KeyboardInterrupt:
        return INTERRUPTED
    versions = {name: DRIVERS[name]("").version() for name in names}
    facts = {**machine_facts(), **versions}
    if options.write:
        return publish(options.write, results, facts)
    form = report.as_json if options.json else report.as_markdown if options.markdown else report.as_text
    sys.stdout.write(form(results, facts))
    return 1 if results.failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
