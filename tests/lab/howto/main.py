"""The command ``lab howto``: plays the story of the HOWTO and leaves its table of steps.

Exit codes: 0 all of it held, 1 something did not (the table says what, and where consoles and journals are kept),
2 usage, or this machine lacks something, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from lab.errors import LabError
from lab.howto import story
from lab.howto.keep import collect
from lab.howto.pair import Pair
from lab.howto.story import ROUNDS, SCENES, Choice
from lab.lab import Lab
from lab.report import Table
from lab.report_rows import BY_HAND, HOWTO

PASSED, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
HEADING = "The failover HOWTO, played from its first step to its last"


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="lab howto",
        description="Plays every step of the failover HOWTO that a machine can do, in order, on two virtual nodes "
        "with kernels of their own, a shared AoE disk, an emulated power switch, a serial cable and a client whose "
        "programs read and write all the time. Two rounds: the document's haresources with Debian's NFS scripts, "
        "then our agents. Needs root; nothing of it stays on the machine.",
        epilog="Exit codes: 0 all of it held, 1 something did not (what, and where the consoles and journals are "
        "kept, is said), 2 usage or something is missing on this machine, 130 interrupted.",
    )
    options.add_argument(
        "--scene", action="append", choices=SCENES, help="after the preparation only this scene (repeatable); all"
    )
    options.add_argument(
        "--round", action="append", choices=ROUNDS, dest="rounds", help="only this round (repeatable); both"
    )
    options.add_argument(
        "--text", metavar="FILE", default="", help="write the table as text, too; it is printed anyway"
    )
    options.add_argument(
        "--json", metavar="FILE", default="howto.json", help="the table as JSON; '' for none (%(default)s)"
    )
    options.add_argument(
        "--html", metavar="FILE", default="howto.html", help="the table as a page; '' for none (%(default)s)"
    )
    options.add_argument(
        "--logs",
        metavar="DIR",
        default="howto-logs",
        help="consoles, journals and diaries after a failure (%(default)s)",
    )
    options.add_argument("--keep", action="store_true", help="after a failure leave the lab running until Ctrl-C")
    options.add_argument("--quiet", action="store_true", help="no lines while it runs, only the table")
    return options


def main(argv: Sequence[str], rundir: str) -> int:
    """Play it in a lab of its own in ``rundir``; the exit code. That the machine has all it needs was looked at."""
    given = parser().parse_args(list(argv))
    given.rundir = rundir
    for path in (given.text, given.json, given.html):
        if path and (refusal := no_place_for(path)):
            print(f"howto: {path}: {refusal}", file=sys.stderr)
            return USAGE
    return run(given)


def no_place_for(path: str) -> str:
    """Why a file could not be written there; "" when it could. Changes nothing."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        return f"there is no directory {folder}; make it, or name another file"
    if os.path.isdir(path):
        return "this is a directory; name a file"
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        return "cannot be written; name another file, or '' for none"
    return ""


def run(given: argparse.Namespace) -> int:
    """One story in a lab of its own."""
    begun = time.monotonic()
    say = teller(given.quiet)
    choice = Choice(
        tuple(name for name in SCENES if not given.scene or name in given.scene),
        tuple(name for name in ROUNDS if not given.rounds or name in given.rounds),
    )
    reports = tempfile.mkdtemp(prefix="howto-report-", dir="/var/tmp")
    code = FAILED
    try:
        code = _played(given, choice, given.rundir, reports, say)
    except KeyboardInterrupt:
        print("howto: interrupted", file=sys.stderr)
        code = INTERRUPTED
    except LabError as error:
        print(f"howto: the lab broke down: {error}", file=sys.stderr)
    finally:
        publish(given, reports)
        shutil.rmtree(reports, ignore_errors=True)
    verdict = "all of it held" if code == PASSED else "not all of it held"
    print(f"howto: {verdict}, {time.monotonic() - begun:.0f} s in all")
    return code


def _played(
    given: argparse.Namespace, choice: Choice, rundir: str, reports: str, say: Callable[[str], None]
) -> int:
    say("building the lab (the image is made once, and kept)")
    with Lab.open(rundir, image="sysv", say=say) as lab:
        table = Table(
            HEADING,
            reports,
            rows=HOWTO,
            by_hand=BY_HAND,
            say=say,
            now_ms=lab.now_ms,
            kept=os.path.abspath(given.logs),
        )
        try:
            with table:
                story.play(table, Pair(lab, say), choice)
        except Exception:  # whatever it was, it is told further out; an interruption leaves at once
            collect(lab, os.path.abspath(given.logs), say)
            raise
        if not table.passed:
            collect(lab, os.path.abspath(given.logs), say)
        if not table.passed and given.keep:
            keep(lab)
        return table.code


def keep(lab: Lab) -> None:
    """Leave the lab as it is until Ctrl-C."""
    print(f"howto: the lab runs until Ctrl-C; its directory is {lab.rundir}")
    print(f"howto: python3 tests/lab --rundir {lab.rundir} shell pete")
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


def publish(given: argparse.Namespace, reports: str) -> None:
    """The table's files to where they were asked for."""
    for name, target in (("report.txt", given.text), ("report.json", given.json), ("report.html", given.html)):
        source = os.path.join(reports, name)
        if target and os.path.exists(source):
            shutil.copyfile(source, target)
            print(f"howto: {os.path.abspath(target)}")


def teller(quiet: bool) -> Callable[[str], None]:
    """Prints lines with the seconds since the beginning; quiet, only the table, which is the one long text."""
    begun = time.monotonic()

    def say(text: str) -> None:
        if "\n" in text:
            print(text, flush=True)
        elif not quiet:
            print(f"{time.monotonic() - begun:6.1f} {text}", flush=True)

    return say
