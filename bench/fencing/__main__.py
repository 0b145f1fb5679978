"""Measure our fencing programs beside Debian's, on one emulated switch, in one run.

    /usr/bin/python3 bench/fencing [--runs N] [--row NAME]... [--tree DIR] [--json | --markdown]

Needs root: the switch listens on port 23 in a network namespace of its own, because cluster-glue's
``wti_nps`` knows no other. What is compared, what is counted, and the ratios that we want to reach stand
in ``contest.py``. Nothing is installed or left behind. Exit codes: 0 measured, whoever was faster; 1 a
program did not do what it was measured for, so that its time means nothing; 2 the bench cannot run here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "lib"), str(TOP / "bench")]

from contest import ROWS, contenders, switch_for  # noqa: E402 - the path is known only now
from report import as_json, as_markdown, as_text, host_facts  # noqa: E402
from stopwatch import WrongOutcome, measure_row  # noqa: E402

from failover_kit.spec.deadline import Deadline  # noqa: E402
from failover_kit.spec.process import CLEAN_ENV, run  # noqa: E402

# So that whoever has entered the namespace does not enter another one.
INSIDE = "FENCING_BENCH_INSIDE"
DEFAULT_RUNS = 7
UNUSABLE = 2


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/fencing", description="Fencing side by side with the originals.")
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS, metavar="N", help=f"runs a row ({DEFAULT_RUNS})")
    parser.add_argument(
        "--row", action="append", choices=[row.key for row in ROWS], help="only this row; may be given again"
    )
    parser.add_argument("--tree", type=Path, default=TOP, metavar="DIR", help="checkout to measure")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="every single run, for machines")
    form.add_argument("--markdown", action="store_true", help="the section of docs/measurements.md")
    options = parser.parse_args(argv)
    if options.runs < 1:
        parser.error("--runs: at least 1")
    return options


def enter_namespace(argv: list[str]) -> int:
    """Run this program again inside fresh network and pid namespaces; returns its exit code."""
    if os.geteuid() != 0:
        sys.stderr.write("bench/fencing: needs root, for a network namespace in which port 23 is free\n")
        return UNUSABLE
    if shutil.which("unshare") is None:
        sys.stderr.write("bench/fencing: needs unshare (package util-linux)\n")
        return UNUSABLE
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
    command += ["/usr/bin/python3", str(Path(__file__).parent), *argv]
    return subprocess.run(command, env={**CLEAN_ENV, INSIDE: "1"}, check=False).returncode


def main(argv: list[str]) -> int:
    """Measure every row asked for, print, return the exit code."""
    options = parse(argv)
    if os.environ.get(INSIDE) != "1":
        return enter_namespace(argv)
    up = run(["ip", "link", "set", "lo", "up"], Deadline(10_000))
    if not up.ok():
        sys.stderr.write(f"bench/fencing: {up.describe()}\n")
        return UNUSABLE
    rows = [row for row in ROWS if options.row is None or row.key in options.row]
    with tempfile.TemporaryDirectory(prefix="fkbf-", dir="/tmp") as folder, switch_for(folder) as switch:
        present = contenders(options.tree.resolve())
        results = []
        for row in rows:
            sys.stderr.write(f"{row.title}: {row.runs(options.runs)} runs …\n")
            try:
                results.append(measure_row(row, present, switch, row.runs(options.runs)))
            except WrongOutcome as error:
                sys.stderr.write(f"bench/fencing: {row.title}: {error}\n")
                return 1
    form = as_json if options.json else as_markdown if options.markdown else as_text
    sys.stdout.write(form(results, host_facts(present)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
