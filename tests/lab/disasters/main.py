"""The command ``disaster``: plays what only kernels of their own can show, in a lab of its own.

Exit codes: 0 all of it was shown, 1 not so (the table says what), 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from lab.disasters import hung_stop, without_fencing
from lab.disasters.hung_stop import THAWS
from lab.disasters.pair import BOOT_S, Nodes
from lab.disasters.scene import BLOCKS
from lab.disasters.without_fencing import SCHEDULES
from lab.howto.keep import collect
from lab.lab import Lab
from lab.report import Table

USAGE = 2
HUNG_STOP, WITHOUT_FENCING = "hung-stop", "without-fencing"
HEADINGS = {
    HUNG_STOP: "A stop that hangs, and both heartbeat links go: the fence first, then the mount",
    WITHOUT_FENCING: "The same without fencing and with a false word: what fencing prevents",
}


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="disaster",
        description="Plays a disaster on two virtual nodes with kernels of their own and a shared AoE disk, and "
        "shows from outside what reached the disk. Needs root; nothing of it stays on the machine.",
        epilog="Exit codes: 0 all of it was shown, 1 not so, 2 usage.",
    )
    found.add_argument("name", choices=tuple(HEADINGS))
    found.add_argument(
        "--block", choices=BLOCKS, default=BLOCKS[0], help="how the stop is made to hang (%(default)s)"
    )
    found.add_argument(
        "--thaw", choices=THAWS, default=THAWS[0], help="when it lets go, hung-stop only (%(default)s)"
    )
    found.add_argument(
        "--schedule", choices=SCHEDULES, action="append", help="without-fencing only, repeatable (all)"
    )
    found.add_argument("--report", metavar="DIR", default="", help="the table as text, JSON, HTML (NAME-report)")
    found.add_argument("--logs", metavar="DIR", default="", help="consoles and logs after a failure (NAME-logs)")
    return found


def main(argv: Sequence[str], rundir: str, say: Callable[[str], None] | None = None) -> int:
    """Play it in a lab at ``rundir``; the exit code. Raises LabError."""
    given = parser().parse_args(list(argv))
    say = teller() if say is None else say
    reports = os.path.abspath(given.report or f"{given.name}-report")
    logs = os.path.abspath(given.logs or f"{given.name}-logs")
    for place in (reports, logs):
        if os.path.isdir(place) and os.listdir(place):
            print(f"disaster: {place}: not empty; name another directory, or remove it", file=sys.stderr)
            return USAGE
    with Lab.open(rundir, image="sysv", guests=("pete", "mclaws"), say=say) as lab:
        say("booting pete and mclaws")
        lab.boot(timeout_s=BOOT_S)
        nodes = Nodes(lab, say)
        table = Table(HEADINGS[given.name], reports, say=say, now_ms=lab.now_ms, kept=logs)
        try:
            with table:
                _play(given)(table, nodes)
        finally:
            if not table.passed:
                collect(lab, logs, say)
        say(f"the table is in {reports}")
        return table.code


def teller() -> Callable[[str], None]:
    """Prints lines with the seconds since the beginning; longer texts as they are."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(text if "\n" in text else f"{time.monotonic() - begun:6.1f} {text}", flush=True)

    return say


def _play(given: argparse.Namespace) -> Callable[[Table, Nodes], None]:
    if given.name == HUNG_STOP:
        return partial(hung_stop.play, block=given.block, thaw=given.thaw)
    return partial(without_fencing.play, schedules=tuple(given.schedule or SCHEDULES))
