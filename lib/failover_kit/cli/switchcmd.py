"""failoverctl switch: set a WTI power switch up, look at it, or type at it. Arguments, passwords, exit codes.

The switch's part is in ``failover_kit.switch``, imported where it is used: no other command of failoverctl pays
for it.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from failover_kit.manager.actions import ExitCode

if TYPE_CHECKING:
    from failover_kit.fence.secret import Secret
    from failover_kit.switch.session import Place
    from failover_kit.switch.settings import Wanted
    from failover_kit.switch.setup import Access, Outcome

HELP = "set up the power switch, look at it, or type at it"
EXPLANATION = (
    "Over the serial console of the switch (--serial) or over TCP (--ip). The switch has one session: it is closed "
    "again on every way out."
)
CODES = (
    "Exit codes: 0 done or nothing to do, 1 failed, 2 usage, 3 refused as unsafe, 4 not let in (password, or no "
    "right to a file or device), 5 the switch cannot be reached or is busy, 7 timed out, 130 interrupted."
)
INTERRUPTED = 128 + 2
TIMEOUT_S = 300.0


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """The three verbs, with their options and what runs them."""
    verbs = parser.add_subparsers(dest="switch_verb", metavar="VERB", required=True)
    _setup_parser(verbs)
    show = _verb(verbs, "show", "print the plug table", "Logs in, reads, logs out; changes nothing.", _show)
    _access(show)
    show.add_argument("--all", action="store_true", help="the general and network settings, too (menus /G and /N)")
    show.add_argument("--json", action="store_true", help="as JSON")
    _common(show)
    console = _verb(
        verbs,
        "console",
        "a terminal at the switch",
        "Keys go to the switch, ^C included; ^] leaves. On the way out it leaves a menu that is open and logs out.",
        _console,
    )
    _place_options(console)
    console.add_argument(
        "--idle",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="warn when nothing was typed for so long (%(default)g)",
    )


def _setup_parser(verbs: Any) -> None:
    setup = _verb(
        verbs,
        "setup",
        "give it address, password and plug names",
        "Reads the menus first, changes only what differs, reads every change back, and prints before and after. "
        "A second run finds nothing to do. Menu items are chosen by their text; a menu that is not understood is "
        "shown and left alone.",
        _setup,
    )
    _access(setup)
    _new_values(setup.add_argument_group("what to set (the rest stays as it is)"))
    how = setup.add_argument_group("how")
    how.add_argument("--dry-run", action="store_true", help="show what would change; only reads")
    how.add_argument(
        "--yes-network",
        action="store_true",
        help="over TCP: change address, mask or gateway although the connection may be lost; they come last, "
        "verified by a new login at the new address",
    )
    how.add_argument(
        "--reconnect",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for the new address (%(default)g)",
    )
    how.add_argument(
        "--client",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="a node that must get in: warn when the switch's IP security denies it; may be given again",
    )
    how.add_argument("--json", action="store_true", help="the summary as JSON")
    _common(setup)


def _new_values(new: argparse._ArgumentGroup) -> None:
    new.add_argument(
        "--set-address",
        metavar="ADDRESS",
        default="",
        help="the switch's own new IP address (--ip is where to connect now)",
    )
    new.add_argument("--set-mask", metavar="MASK", default="", help="its network mask, 255.255.255.0 or 24")
    new.add_argument("--set-gateway", metavar="ADDRESS", default="", help="its gateway; 0.0.0.0 for none")
    new.add_argument(
        "--name",
        metavar="PLUG=NAME",
        action="append",
        default=[],
        help="name of a plug, like 1=pete; may be given again",
    )
    new.add_argument(
        "--same-name", action="store_true", help="two plugs may have one name: a machine with two supplies"
    )
    new.add_argument(
        "--disconnect-timeout",
        metavar="MINUTES",
        help="how long a dead client can hold the session: 1 to 5 is good",
    )
    new.add_argument(
        "--confirmation",
        choices=("on", "off"),
        default="",
        help="command confirmation; fencing works with both, so without this it stays as it is",
    )
    secret = new.add_mutually_exclusive_group()
    secret.add_argument(
        "--new-password", action="store_true", help="a new system password, asked for on the terminal"
    )
    secret.add_argument("--new-password-file", metavar="FILE", help="a new system password: first line of FILE")
    secret.add_argument("--new-password-env", metavar="VARIABLE", help="a new system password from the environment")


def _verb(verbs: Any, name: str, about: str, explanation: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}. {explanation}",
        epilog=CODES,
        allow_abbrev=False,
    )
    parser.set_defaults(run_verb=run)
    return parser


def _place_options(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where the switch is")
    line = where.add_mutually_exclusive_group(required=True)
    line.add_argument("--serial", metavar="DEVICE", default="", help="its serial console, like /dev/ttyS0")
    line.add_argument("--ip", metavar="ADDRESS", default="", help="its address as it is now")
    where.add_argument("--port", type=_port, default=23, metavar="N", help="TCP port (%(default)d)")
    where.add_argument(
        "--baud", type=_baud, default=9600, metavar="N", help="of the serial console, 8N1 (%(default)d)"
    )


def _access(parser: argparse.ArgumentParser) -> None:
    _place_options(parser)
    login = parser.add_argument_group(
        "its password as it is now (asked for on a terminal when the switch wants one)"
    )
    secret = login.add_mutually_exclusive_group()
    secret.add_argument("--password-file", metavar="FILE", help="first line of FILE")
    secret.add_argument("--password-env", metavar="VARIABLE", help="from the environment")
    login.add_argument("--username", metavar="NAME", default="", help="for units that ask for one")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="for everything together (%(default)g)",
    )
    parser.add_argument("--verbose", action="store_true", help="show the dialogue on stderr, passwords hidden")


def run(options: argparse.Namespace) -> int:
    """Run the verb that was given; returns the exit code."""
    try:
        code: int = options.run_verb(options)
    except KeyboardInterrupt:  # before anybody was called, or when the session was closed already
        return _complain(INTERRUPTED, "interrupted; failoverctl switch show says how the switch stands")
    return code


# --- running --------------------------------------------------------------------------------------------


def _setup(options: argparse.Namespace) -> int:
    from failover_kit.spec.deadline import Deadline
    from failover_kit.switch import report
    from failover_kit.switch.settings import BadValue, check_address
    from failover_kit.switch.setup import Choices, Setup
    from failover_kit.switch.sources import NotReadable

    try:
        wanted = _wanted(options)
        choices = Choices(
            options.dry_run,
            options.yes_network,
            tuple(check_address("--client", text) for text in options.client),
            math.ceil(options.reconnect * 1000),
        )
        access = _access_of(options)
    except BadValue as error:
        return _complain(ExitCode.USAGE, str(error))
    except NotReadable as error:
        return _complain(ExitCode.PERMISSION, str(error))
    if not wanted.anything():
        return _complain(
            ExitCode.USAGE, "nothing to set; see failoverctl switch setup --help, or failoverctl switch show"
        )
    with _Terminated():
        deadline = Deadline(math.ceil(options.timeout * 1000))
        work = Setup(_place(options), wanted, access, choices, deadline, say=_say, debug=_debug(options))
        out = work.run()
    return _print(out, options, report.setup_text(out))


def _show(options: argparse.Namespace) -> int:
    from failover_kit.spec.deadline import Deadline
    from failover_kit.switch import report
    from failover_kit.switch.settings import BadValue
    from failover_kit.switch.show import show
    from failover_kit.switch.sources import NotReadable

    try:
        access = _access_of(options)
    except BadValue as error:
        return _complain(ExitCode.USAGE, str(error))
    except NotReadable as error:
        return _complain(ExitCode.PERMISSION, str(error))
    with _Terminated():
        deadline = Deadline(math.ceil(options.timeout * 1000))
        out = show(_place(options), access, deadline, everything=options.all, debug=_debug(options))
    return _print(out, options, report.show_text(out))


def _console(options: argparse.Namespace) -> int:
    from failover_kit.switch.console import run_console
    from failover_kit.switch.session import Unreachable

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return _complain(
            ExitCode.USAGE, "console is for people at a terminal; for scripts there are setup and show --json"
        )
    with _Terminated():
        try:
            left = run_console(_place(options), idle_ms=math.ceil(options.idle * 1000), say=_say)
        except Unreachable as error:
            return _complain(_unreachable(str(error)), str(error))
    if not left:
        return _complain(
            ExitCode.FAILED, "the session may still be open on the console; it ends with the disconnect timeout"
        )
    return ExitCode.DONE.value


def _print(out: Outcome, options: argparse.Namespace, text: str) -> int:
    from failover_kit.switch import report

    if options.json:
        print(json.dumps(report.as_json(out), indent=2))
    else:
        sys.stdout.write(text)
    sys.stdout.flush()
    for warning in out.warnings:
        _say(f"warning: {warning}")
    for error in out.errors:
        _say(error)
    return _code(out)


def _code(out: Outcome) -> int:
    from failover_kit.switch.setup import Result

    if out.result is Result.INTERRUPTED:
        return INTERRUPTED
    if out.result is Result.UNREACHABLE:
        return _unreachable(out.errors[0]).value
    return {
        Result.DONE: ExitCode.DONE,
        Result.NOTHING: ExitCode.DONE,
        Result.WOULD: ExitCode.DONE,
        Result.FAILED: ExitCode.FAILED,
        Result.REFUSED: ExitCode.REFUSED,
        Result.DENIED: ExitCode.PERMISSION,
        Result.TIMED_OUT: ExitCode.TIMED_OUT,
    }[out.result].value


def _unreachable(reason: str) -> ExitCode:
    """A device file without the right to open it is a matter of permission."""
    return ExitCode.PERMISSION if os.strerror(errno.EACCES) in reason else ExitCode.NO_DAEMON


# --- from options ---------------------------------------------------------------------------------------


def _wanted(options: argparse.Namespace) -> Wanted:
    """Raises BadValue and NotReadable."""
    from failover_kit.switch import settings

    timeout = options.disconnect_timeout
    return settings.Wanted(
        address=settings.check_address("--set-address", options.set_address) if options.set_address else "",
        mask=settings.check_mask("--set-mask", options.set_mask) if options.set_mask else "",
        gateway=settings.check_address("--set-gateway", options.set_gateway) if options.set_gateway else "",
        password=_new_password(options),
        names=tuple(settings.check_name("--name", text) for text in options.name),
        timeout_min=settings.check_timeout("--disconnect-timeout", timeout) if timeout is not None else None,
        confirmation=options.confirmation,
        same_name=options.same_name,
    )


def _new_password(options: argparse.Namespace) -> Secret | None:
    from failover_kit.switch import settings, sources

    if options.new_password_file is not None:
        source = f"--new-password-file {options.new_password_file}"
        secret = sources.from_file("--new-password-file", options.new_password_file)
    elif options.new_password_env is not None:
        source = f"--new-password-env {options.new_password_env}"
        secret = sources.from_environment("--new-password-env", options.new_password_env, os.environ)
    elif options.new_password:
        if not sys.stdin.isatty():
            raise settings.BadValue("--new-password: not on a terminal; use --new-password-file")
        source = "--new-password"
        secret = sources.new_from_terminal()
    else:
        return None
    settings.check_password(source, secret)
    return secret


def _access_of(options: argparse.Namespace) -> Access:
    """Raises BadValue and NotReadable."""
    from failover_kit.switch import sources
    from failover_kit.switch.settings import BadValue
    from failover_kit.switch.setup import Access

    secret = None
    if options.password_file is not None:
        secret = sources.from_file("--password-file", options.password_file)
    elif options.password_env is not None:
        secret = sources.from_environment("--password-env", options.password_env, os.environ)
    if secret is not None:
        if not secret:
            raise BadValue("the password given is empty; leave the option out for a switch without one")
        return Access(options.username, (secret,))
    ask = (lambda: sources.from_terminal("Password of the switch: ")) if sys.stdin.isatty() else None
    return Access(options.username, (), ask)


def _place(options: argparse.Namespace) -> Place:
    from failover_kit.switch.session import Place

    return Place(options.serial, options.ip, options.port, options.baud)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0 and at most 3600")
    return seconds


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text} is not a port, 1 to 65535")
    return int(text)


def _baud(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 50 <= int(text) <= 4_000_000):
        raise argparse.ArgumentTypeError(f"{text} is no speed of a serial line, like 9600")
    return int(text)


def _say(text: str) -> None:
    _put(f"failoverctl: {text}")


def _debug(options: argparse.Namespace) -> Any:
    return _put if options.verbose else (lambda _: None)


def _put(line: str) -> None:
    """To stderr. A reader that went away must not keep us from logging out of the switch."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _complain(code: ExitCode | int, text: str) -> int:
    _say(text)
    return code.value if isinstance(code, ExitCode) else code


class _Terminated:
    """While this lasts, SIGTERM, SIGHUP and ^\\ end the work as ^C does: the session is closed first."""

    def __enter__(self) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
        self._before = {number: signal.signal(number, stop) for number in numbers}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
