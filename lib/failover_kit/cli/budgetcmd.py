"""``failoverctl budget``: how long a failover may take by the three files, and how long it took by the journal.

Reads files only; asks no daemon and changes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

from failover_kit.cli import explaincmd
from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.explain.facts import Told
    from failover_kit.manager.config import ClusterConfig

CONFIG_DIR = "/etc/ha.d"
HELP = "tell how long a failover may take, and how long it took"
EXPLANATION = (
    "Phase by phase: the bounds that follow from ha.cf and haresources, and what the journal measured. With "
    "--what-if as if ha.cf said so; what failoverd would refuse is refused with the same sentence. Exit code: 0 "
    "told, 2 usage, 6 the configuration, or the what-if, cannot be used."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``budget``."""
    parser.add_argument(
        "--what-if", action="append", default=[], metavar="NAME=VALUE", dest="what_if",
        help="a time as it would stand in ha.cf, such as deadtime=3; may be given several times",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--node", default="", metavar="NAME", help="seen from this node (default: uname -n)")
    parser.add_argument(
        "--config-dir", default=CONFIG_DIR, metavar="DIR", help="ha.cf, haresources, authkeys (%(default)s)"
    )
    explaincmd.add_journal(parser)


def run(options: argparse.Namespace) -> int:
    """Print the tables, or why there are none."""
    from failover_kit.explain import budget, budgettext, whatif
    from failover_kit.explain.history import History
    from failover_kit.manager.config import ConfigError

    try:
        changes = dict(whatif.parse_change(word) for word in options.what_if)
    except ValueError as error:
        return _refuse(ExitCode.USAGE, [f"--what-if: {error}"])
    try:
        config = whatif.load(options.config_dir, changes)
    except ConfigError as error:
        head = f"with {', '.join(options.what_if)}: " if changes else ""
        return _refuse(ExitCode.CONFIGURATION, [f"{head}{problem}" for problem in error.problems])
    node = (options.node or os.uname().nodename).lower()
    if node not in config.nodes:
        text = f"{node} is no node of this cluster ({' and '.join(config.nodes)}); name one with --node"
        return _refuse(ExitCode.CONFIGURATION, [text])
    told, remarks = _history(options.journal)
    history = History(told, (config.timing.deadtime_ms, config.fence_delay_ms))
    cases = budget.budget(config, node, history)
    before = None
    if changes:
        try:
            before = budget.budget(whatif.load(options.config_dir, {}), node, History(None))
        except ConfigError:
            remarks.append("the files cannot be used as they are now, so there is nothing to compare with")
    shown = budgettext.Shown(
        cases=cases,
        before=before,
        resources=budget.resources(config, history),
        remarks=[*_notes(config, told), *remarks],
    )
    if options.json:
        print(json.dumps(budgettext.to_json(shown), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        sys.stdout.write(budgettext.render(shown, width))
    return ExitCode.DONE.value


def _refuse(code: ExitCode, sentences: list[str]) -> int:
    for sentence in sentences:
        print(f"failoverctl: {sentence}", file=sys.stderr)
    return code.value


def _history(directory: str) -> tuple[Told | None, list[str]]:
    """What the journal tells; without one the bounds stand alone."""
    try:
        told = explaincmd.read(directory, thin=False)
    except explaincmd.Unreadable as error:
        return None, [f"nothing is measured: {error}"]
    return told, list(told.remarks)


def _notes(config: ClusterConfig, told: Told | None) -> list[str]:
    """What the sums do not show."""
    from failover_kit.explain.times import span

    found = []
    if not config.groups:
        found.append("haresources has no group: nothing can be moved")
    found.append(
        "at most: where agents are killed; the median together: waits as configured, and medians of the rest"
    )
    if told is not None and told.longest_gap_ms:
        gap_ms, deadtime_ms = told.longest_gap_ms, config.timing.deadtime_ms
        found.append(f"the longest time between two beats of a living peer in this journal was {span(gap_ms)}")
        if deadtime_ms < 3 * gap_ms:
            found.append(
                f"WARNING: deadtime {span(deadtime_ms)} is less than three times that: a node that is only slow "
                "would be fenced"
            )
    return found
