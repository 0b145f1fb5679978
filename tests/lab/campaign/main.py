"""The command ``campaign``: power cuts at random moments in a lab of its own, while a client writes.

Exit codes: 0 every promise was kept, 1 not so (the table says what), 2 usage.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict

from lab import plan
from lab.campaign import prepare, rounds, schedule
from lab.client.scene import tell
from lab.disasters.main import teller
from lab.howto.keep import collect
from lab.howto.pair import JOURNAL, SERVE_S, Pair
from lab.lab import Lab
from lab.report import Table

USAGE = 2
HEADING = "Power cuts while a client writes: what it was told is on the disk is there"


def parser() -> argparse.ArgumentParser:
    """The options."""
    found = argparse.ArgumentParser(
        prog="campaign",
        description="Plays rounds against two virtual nodes with kernels of their own, a shared AoE disk with XFS, "
        "NFS by our agents, and a client that writes and syncs by NFSv3 and v4.1: power is lost at random moments, "
        "all comes back, and every acknowledged record must be on the disk. Needs root; nothing of it stays.",
        epilog="Exit codes: 0 every promise was kept, 1 not so, 2 usage.",
    )
    found.add_argument("--minutes", type=float, default=30, help="no round begins later than that (%(default)s)")
    found.add_argument("--rounds", type=int, default=0, help="and not more than so many; 0: as many as fit")
    found.add_argument("--seed", type=int, default=None, help="of the schedule (a new one each time, printed)")
    found.add_argument(
        "--kind", choices=tuple(schedule.KINDS), action="append", help="only this kind, repeatable (all)"
    )
    found.add_argument(
        "--slow", type=int, default=2, help="deadtime is so many times 10 s, for a busy machine (%(default)s)"
    )
    found.add_argument("--pace-ms", type=int, default=100, help="a writer's pause between records (%(default)s)")
    found.add_argument(
        "--plant", choices=tuple(prepare.PLANTS), default="", help="with this bug, which must be found"
    )
    found.add_argument("--report", metavar="DIR", default="campaign-report", help="the table (%(default)s)")
    found.add_argument("--logs", metavar="DIR", default="campaign-logs", help="after a failure (%(default)s)")
    return found


def main(argv: Sequence[str], rundir: str) -> int:
    """Play it in a lab at ``rundir``; the exit code. Raises LabError."""
    given = parser().parse_args(list(argv))
    given.report, given.logs = os.path.abspath(given.report), os.path.abspath(given.logs)
    for place in (given.report, given.logs):
        if os.path.isdir(place) and os.listdir(place):
            print(f"campaign: {place}: not empty; name another directory, or remove it", file=sys.stderr)
            return USAGE
    seed = secrets.randbelow(10_000) if given.seed is None else given.seed
    os.makedirs(given.report, exist_ok=True)
    say = teller()
    say(f"seed {seed}")
    with Lab.open(rundir, image="sysv", say=say) as lab:
        table = Table(HEADING, given.report, say=say, now_ms=lab.now_ms, kept=given.logs)
        try:
            with table:
                _play(table, Pair(lab, say), given, seed)
        finally:
            if not table.passed:
                collect(lab, given.logs, say)
        return table.code


def _play(table: Table, pair: Pair, given: argparse.Namespace, seed: int) -> None:
    prepare.serve(table, pair, slow=given.slow, plant=given.plant)
    prepare.write(table, pair, given.pace_ms)
    begun_ms = pair.lab.shelf.mark()
    begun = time.monotonic()
    count = rounds.Count()
    active = "pete"
    for one in schedule.draw(seed):
        over = time.monotonic() - begun >= given.minutes * 60
        if over or (given.rounds and count.number >= given.rounds):
            break
        if given.kind and one.kind not in given.kind:
            continue
        active = rounds.play(table, pair, one, active, count)
    minutes = (time.monotonic() - begun) / 60
    _finish(table, pair, active, begun_ms)
    with table.step("end", "the campaign in numbers") as step:
        seen = f"{count.number} in {minutes:.1f} minutes of play, seed {seed}"
        step.check("it had rounds", count.number > 0, seen=seen)
        for name, value in asdict(count).items():
            step.fact(f"{name}: {value}")


def _finish(table: Table, pair: Pair, active: str, begun_ms: float) -> None:
    """The client ends, the service ends, and the disk is looked at with nobody's kernel on it."""
    node = pair.lab.guests[active]
    with table.step("end", "the client and the service end; every promise is looked up on the disk itself") as step:
        for fact in pair.evidence.require_nfs():
            step.fact(fact)
        pair.evidence.stop()
        pair.kokone.sh("umount /mnt/v3\numount /mnt/v4\n", timeout_s=SERVE_S)
        pair.stop_managers(node)
        for one in pair.nodes:
            step.check(f"{one.name}: the disk is unmounted", not pair.mounted(one))
        tell(pair.evidence.audit_device(node, plan.SHELF_DEVICE), step)
        told = node.run(["xfs_repair", "-n", plan.SHELF_DEVICE], timeout_s=SERVE_S, check=False)
        step.check("xfs_repair -n is clean", told.code == 0, seen=f"exit {told.code}: {told.last_line()}")
        step.fact(f"the witness saw {pair.lab.shelf.testify().count} frames since {begun_ms:.0f} and lost none")
    with table.step("end", "every decision of both managers comes out alike when it is replayed") as step:
        for one in pair.nodes:
            told = pair.ctl(one, "replay", JOURNAL, check=False)
            step.check(f"{one.name}: failoverctl replay", told.code == 0, seen=told.last_line())
