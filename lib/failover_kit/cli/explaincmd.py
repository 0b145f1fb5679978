"""``failoverctl explain``: what happened and why, from the journal, also one that was copied from another node.

It reads, and asks no daemon. What it prints with is imported where it is used: no other command of
failoverctl pays for it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

from failover_kit.manager.actions import ExitCode, Level

if TYPE_CHECKING:
    from failover_kit.explain.facts import Told

JOURNAL = "/var/lib/failover-kit/journal"
HELP = "tell what happened and why, from the journal"
EXPLANATION = (
    "Each takeover, move, fence, failed start or stop and refusal: why, who decided, how the fence was proved, "
    "what each phase took, and what could be done. Needs no running failoverd. Exit code: 0 told, 1 there is no "
    "journal or a part of it cannot be read, 4 no permission."
)

_COLOUR = {Level.INFO: "", Level.WARNING: "33", Level.ALARM: "31;1"}


class Unreadable(Exception):
    """No journal can be read: ``code``, and a sentence with place, fact and remedy."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``explain``."""
    parser.add_argument("--last", type=_count, default=0, metavar="N", help="the last N episodes (default: all)")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures there")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument("--brief", action="store_true", help="without the timelines")
    add_journal(parser)


def add_journal(parser: argparse.ArgumentParser) -> None:
    """Where the journal is; ``budget`` has the same option."""
    parser.add_argument(
        "--journal", metavar="DIR", default=JOURNAL,
        help="directory of the journal, or one file; may be a copy from another node (%(default)s)",
    )  # fmt: skip


def _count(word: str) -> int:
    try:
        number = int(word)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{word} is not 1 or more")
    return number


def run(options: argparse.Namespace) -> int:
    """Tell; the exit code says whether all of the journal could be read."""
    from failover_kit.explain import judge, page, plain, text

    try:
        told = read(options.journal)
    except Unreadable as error:
        print(f"failoverctl: {error}", file=sys.stderr)
        return error.code.value
    stories = [judge.judge(episode) for episode in told.episodes[-options.last :]]
    if options.html:
        try:
            with open(options.html, "w", encoding="utf-8", opener=_nobody_else_writes) as file:
                file.write(page.page(told, stories))
        except OSError as error:
            remedy = "name a file in a directory that is there and yours to write"
            print(f"failoverctl: {options.html} cannot be written: {error.strerror}; {remedy}", file=sys.stderr)
            return ExitCode.FAILED.value
    if options.json:
        print(json.dumps(plain.to_json(told, stories), indent=2))
    elif options.html:
        print(f"{options.html}: {len(stories)} of {len(told.episodes)} episodes written")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        sys.stdout.write(text.render(told, stories, width=width, paint=_paint, timeline=not options.brief))
    return ExitCode.FAILED.value if told.damaged else ExitCode.DONE.value


def _nobody_else_writes(path: str, flags: int) -> int:
    return os.open(path, flags, 0o644)


def _paint(word: str, level: Level) -> str:
    colour = _COLOUR[level]
    if not colour or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    return f"\033[{colour}m{word}\033[0m"


def read(directory: str, *, thin: bool = True) -> Told:
    """Everything the journal tells. Unreadable when there is none, or not a line of it can be used. ``thin``: but
    for the time between beats."""
    from failover_kit.explain.tracker import tell
    from failover_kit.manager import journal

    files = _files(directory)
    try:
        told = tell(journal.read_all(files, thin=thin))
    except journal.JournalError as error:
        raise Unreadable(ExitCode.FAILED, str(error)) from None
    if told.lives:
        return told
    if told.remarks or any(os.path.getsize(path) for path in files):
        why = f"; {told.remarks[0]}" if told.remarks else ""
        raise Unreadable(ExitCode.FAILED, f"{directory}: no journal that this version can read{why}")
    raise Unreadable(ExitCode.FAILED, f"{directory}: the journal is empty: no life of failoverd was recorded in it")


def _files(directory: str) -> list[str]:
    """The journal's files, oldest first. Unreadable with the reason and the remedy when there are none."""
    from failover_kit.manager import journal

    files = journal.files_with_past(directory)
    try:
        for path in files:
            with open(path, "rb"):
                pass
    except PermissionError:
        raise Unreadable(ExitCode.PERMISSION, f"{directory}: only root may read the journal; use sudo") from None
    except OSError as error:
        remedy = "name the directory of a journal with --journal DIR"
        if directory == JOURNAL:
            remedy = "failoverd has not run here, or with another --state-dir: then name it with --journal DIR"
        raise Unreadable(ExitCode.FAILED, f"{path}: there is no journal ({error.strerror}); {remedy}") from None
    return files
