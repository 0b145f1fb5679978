"""failoverctl: asks failoverd of this node for status, gives it orders, replays its journal.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused as unsafe, 4 no permission, 5 no daemon, 6 configuration,
7 timed out. ``status``: 0 healthy, 1 degraded, 2 no service (and 4, 5, 7 when there is no answer).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from failover_kit import VERSION
from failover_kit.cli import (
    agentscmd,
    asjson,
    budgetcmd,
    checkcmd,
    cibcmd,
    explaincmd,
    initcmd,
    ordercmd,
    switchcmd,
    watchcmd,
)
from failover_kit.cli.ordercmd import complain, style_of
from failover_kit.cli.screen import render
from failover_kit.manager import client
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.client import ControlError
from failover_kit.manager.codec import to_plain
from failover_kit.manager.configfiles import CONFIG_DIR
from failover_kit.manager.status import EXIT_CODES, Status, assess

_CLEAR = "\033[H\033[J"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as argparse takes it."""

    names: tuple[str, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subcommand:
    """One verb: its help, its arguments, and what runs it. Parser, usage and manual come from here."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    arguments: tuple[Argument, ...] = ()
    explanation: str = ""
    verbs: Callable[[argparse.ArgumentParser], None] | None = None  # adds verbs of its own
    document: asjson.Document | None = None  # what --json prints


def main(argv: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    options = parsed(argv)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except ControlError as error:
        complain(str(error))
        return error.code.value
    except BrokenPipeError:
        # The reader (less, head) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED.value
    except KeyboardInterrupt:
        complain("interrupted; an order that was given goes on, see failoverctl status")
        return 128 + 2
    return code


# --- status ---------------------------------------------------------------------------------------------


def _status(options: argparse.Namespace) -> int:
    if not options.watch:
        status = client.status(options.socket)
        _print_status(status, options)
        return EXIT_CODES[assess(status)[0]]
    code = ExitCode.NO_DAEMON.value
    try:
        for status in client.watch(options.socket):
            if sys.stdout.isatty() and not options.json:
                sys.stdout.write(_CLEAR)
            _print_status(status, options)
            if not sys.stdout.isatty() and not options.json:
                print()
            sys.stdout.flush()
            code = EXIT_CODES[assess(status)[0]]
    except KeyboardInterrupt:
        print()
    return code


def _print_status(status: Status, options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps(to_plain(status), indent=None if options.watch else 2))
        return
    if status.version != VERSION:
        installed = f"failoverd {status.version} runs here, and failoverctl is of {VERSION}"
        text = f"{installed}: restart failoverd when it suits (docs/howto/upgrade.md)"
        status = replace(status, remarks=(*status.remarks, text))
    sys.stdout.write(render(status, style_of(sys.stdout, os.environ.get("NO_COLOR", ""))))


# --- replay ---------------------------------------------------------------------------------------------


def _replay(options: argparse.Namespace) -> int:
    from failover_kit.cli.replay import replay_file

    return replay_file(options.file, everything=options.verbose, as_json=options.json)


# --- the declaration ------------------------------------------------------------------------------------


def _seconds(text: str) -> float:
    """A positive time for argparse, within what failoverd itself would wait."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds") from None
    if not 0 < seconds <= client.COMMAND_LIMIT_MS / 1000:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {client.COMMAND_LIMIT_MS // 1000}")
    return seconds


_TIMEOUT = Argument(
    ("--timeout",),
    {
        "type": _seconds,
        "default": 0.0,
        "metavar": "SECONDS",
        "help": "wait no longer for the outcome; the order itself goes on (default: until there is one)",
    },
)
_GROUPS = Argument(
    ("group",), {"nargs": "*", "metavar": "GROUP", "help": "name of a group; none: all that it applies to"}
)
_NODE = Argument(("node",), {"metavar": "NODE", "help": "the other node, as in ha.cf"})
_YES = Argument(("--yes",), {"action": "store_true", "help": "do not ask"})

COMMANDS: tuple[Subcommand, ...] = (
    Subcommand(
        "status",
        "show the state of the cluster, why, and what to do",
        _status,
        (
            Argument(("--json",), {"action": "store_true", "help": "everything, as JSON"}),
            Argument(("--watch",), {"action": "store_true", "help": "again every second, until interrupted"}),
        ),
        "Exit code: 0 healthy, 1 degraded, 2 no service; 5 when failoverd does not run here.",
    ),
    Subcommand(
        "standby",
        "hand groups over to the other node",
        ordercmd.standby,
        (_GROUPS, _TIMEOUT),
        "Stops the groups here and returns when the other node runs them, or with the reason why not.",
        document=asjson.ORDER,
    ),
    Subcommand(
        "takeover",
        "take groups over from the other node",
        ordercmd.takeover,
        (_GROUPS, _TIMEOUT),
        "Asks the other node to hand the groups over and returns when this node runs them. Also ends the "
        "parking of a group that failed to start here.",
        document=asjson.ORDER,
    ),
    Subcommand(
        "maintenance",
        "keep still on both nodes while people work, and go on",
        ordercmd.maintenance,
        (
            Argument(("state",), {"choices": ("on", "off"), "help": "begin, or end it"}),
            Argument(("--without",), {"metavar": "NODE", "help": "end it although the other node is not heard"}),
            _TIMEOUT,
        ),
        "While it lasts nothing is started, stopped, moved or fenced by itself, not even when a node falls silent; "
        "what runs goes on, and resources may be handled by hand. 'on' is done when both nodes have said that they "
        "keep still. It outlives failoverd and the machine. 'off' looks at both nodes before anything is started.",
        document=asjson.ORDER,
    ),
    Subcommand(
        "fence",
        "cut the other node's power, or test and prove that it can be cut",
        ordercmd.fence,
        (
            Argument(("node",), {"metavar": "NODE", "nargs": "?", "help": "the other node; with --test: either"}),
            Argument(("--test",), {"action": "store_true", "help": "read the plugs of NODE, or of both nodes"}),
            Argument(("--prove",), {"action": "store_true", "help": "cut a passive node, and see it come back"}),
            _YES,
            _TIMEOUT,
        ),
        "Done means: every plug of the node was read back OFF. With --test: all plugs were read and nothing is "
        "wrong; nothing is switched. With --prove: OFF was read, the node fell silent, and came back by a new "
        "boot; status shows when that was.",
        document=asjson.FENCE,
    ),
    Subcommand(
        "confirm-dead",
        "declare the other node dead where no power switch can prove it",
        ordercmd.confirm_dead,
        (_NODE, _YES, _TIMEOUT),
        "Refused while any sign of life came within deadtime. Only for a node you have looked at.",
        document=asjson.ORDER,
    ),
    Subcommand(
        "replay",
        "run the recorded decisions again and compare",
        _replay,
        (
            Argument(("file",), {"metavar": "FILE", "help": "a journal file, or the directory of both"}),
            Argument(("--verbose",), {"action": "store_true", "help": "print events without consequence, too"}),
        ),
        "Exit code: 0 all decisions came out alike, 1 some did not, or could not be replayed, or there is no "
        "journal that can be read, 4 no permission.",
        document=asjson.REPLAY,
    ),
    Subcommand("explain", explaincmd.HELP, explaincmd.run, (), explaincmd.EXPLANATION, explaincmd.add_arguments),
    Subcommand("budget", budgetcmd.HELP, budgetcmd.run, (), budgetcmd.EXPLANATION, budgetcmd.add_arguments),
    Subcommand("check", checkcmd.HELP, checkcmd.run, (), checkcmd.EXPLANATION, checkcmd.add_arguments),
    Subcommand("init", initcmd.HELP, initcmd.run, (), initcmd.EXPLANATION, initcmd.add_arguments),
    Subcommand("export-cib", cibcmd.HELP, cibcmd.run, (), cibcmd.EXPLANATION, cibcmd.add_arguments),
    Subcommand(
        "import-cib",
        cibcmd.IMPORT_HELP,
        cibcmd.run_import,
        (),
        cibcmd.IMPORT_EXPLANATION,
        cibcmd.add_import_arguments,
    ),
    Subcommand("install-agents", agentscmd.HELP, agentscmd.run, (), agentscmd.EXPLANATION, agentscmd.add_arguments),
    Subcommand("switch", switchcmd.HELP, switchcmd.run, (), switchcmd.EXPLANATION, switchcmd.add_verbs),
    Subcommand(
        "watch",
        watchcmd.HELP,
        watchcmd.run,
        (),
        watchcmd.EXPLANATION,
        watchcmd.add_arguments,
        document=asjson.WATCH,
    ),
    Subcommand(
        "watch-gate",
        watchcmd.GATE_HELP,
        watchcmd.run_gate,
        (),
        watchcmd.GATE_EXPLANATION,
        watchcmd.add_gate_arguments,
    ),
)

# What --help says of each, and what failoverctl(8) adds.
EXIT_STATUS: tuple[tuple[ExitCode, str, str], ...] = (
    (ExitCode.DONE, "done", "The order was carried out, and its outcome was seen."),
    (ExitCode.FAILED, "failed", "The order failed, and stderr says why; or what was looked at is not in order."),
    (ExitCode.USAGE, "usage", "The arguments cannot be meant, or a question was not answered. Nothing was done."),
    (ExitCode.REFUSED, "refused as unsafe", "The order could harm the data or the service now. Nothing was done."),
    (ExitCode.PERMISSION, "no permission", "failoverctl must run as root, or may not read or write a file."),
    (ExitCode.NO_DAEMON, "no daemon", "failoverd does not run on this node, or does not answer."),
    (ExitCode.CONFIGURATION, "configuration", "The configuration cannot be used."),
    (ExitCode.TIMED_OUT, "timed out", "No outcome within --timeout. The order goes on; see failoverctl status."),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of COMMANDS."""
    parser = argparse.ArgumentParser(
        prog="failoverctl",
        description="Ask failoverd of this node, and give it orders.",
        epilog=f"Exit codes: {', '.join(f'{code.value} {brief}' for code, brief, _ in EXIT_STATUS)}. "
        "status has its own: 0 healthy, 1 degraded, 2 no service.",
    )
    parser.add_argument("--version", action="version", version=f"failoverctl {VERSION}")
    parser.add_argument(
        "--socket", metavar="PATH", default=client.DEFAULT_SOCKET, help="failoverd's socket (%(default)s)"
    )
    reading: list[argparse.ArgumentParser] = []
    of_all = "the three files, for the commands that have this option (%(default)s)"
    parser.add_argument(
        "--config-dir",
        action=_DefaultOf,
        verbs=reading,
        dest="config_dir_of_all",
        metavar="DIR",
        default=CONFIG_DIR,
        help=of_all,
    )
    verbs = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for command in COMMANDS:
        about = f"{command.help[0].upper()}{command.help[1:]}. {command.explanation}"
        verb = verbs.add_parser(command.name, help=command.help, description=about)
        for argument in command.arguments:
            verb.add_argument(*argument.names, **argument.options)
        if command.document is not None:
            verb.epilog = command.document.told()
            verb.add_argument("--json", action="store_true", help=f"for scripts: {command.document.comes}")
        verb.set_defaults(run=command.run)
        if command.verbs is not None:
            command.verbs(verb)
        if verb.get_default("config_dir") is not None:
            reading.append(verb)
    return parser


class _DefaultOf(argparse.Action):
    """--config-dir before the verb: what ``verbs`` take that are not given it themselves.

    argparse lets a verb's default win over what was said before the verb, so the default itself is set.
    """

    def __init__(self, *, verbs: Sequence[argparse.ArgumentParser], **declared: Any) -> None:
        super().__init__(**declared)
        self._verbs = verbs

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: Any, _option: object = None) -> None:
        setattr(namespace, self.dest, values)
        for verb in self._verbs:
            verb.set_defaults(config_dir=values)


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The options of one call; ends with usage and exit code 2 where they cannot be meant."""
    parser = build_parser()
    options = parser.parse_args(list(argv))
    if options.config_dir_of_all != CONFIG_DIR and not hasattr(options, "config_dir"):
        # An order goes to failoverd, which has read its files: not to another pair's.
        parser.error(f"{options.verb} reads none of the three files: leave --config-dir out")
    return options
