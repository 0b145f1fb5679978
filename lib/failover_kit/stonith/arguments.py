"""The command line: one option table, from which parsing, the usage text and docs/stonith.md come.

Letters, order of the checks and wording are cluster-glue 1.0.12's (stonith(8), and its behaviour as
compared in tests/stonith). Options may follow the node name, as getopt(3) permutes them.
"""

from __future__ import annotations

import getopt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from failover_kit.stonith.parameters import Parameters

ACTIONS = ("reset", "on", "off")
COUNT_MAX = 1000
TIMEOUT_MAX_S = 3600


class UsageError(Exception):
    """Not a command we understand. ``str()`` is the complaint, possibly empty; the usage text follows."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: a letter or a long name, the name of its value, a line of help."""

    name: str
    text: str
    value: str = ""

    @property
    def spelling(self) -> str:
        """As written on the command line, e.g. ``-c count`` or ``--timeout=seconds``."""
        if len(self.name) > 1:
            return f"--{self.name}" + (f"={self.value}" if self.value else "")
        return f"-{self.name}" + (f" {self.value}" if self.value else "")


# The first eight lines are cluster-glue's "where:" list; what it leaves out of its usage follows.
OPTIONS: tuple[Option, ...] = (
    Option("L", "list supported stonith device types"),
    Option("l", "list hosts controlled by this stonith device"),
    Option("S", "report stonith device status"),
    Option("s", "silent"),
    Option("v", "verbose"),
    Option("n", "output the config names of stonith-device-parameters"),
    Option("m", "display meta-data of the stonith device type"),
    Option("h", "display detailed help message with stonith device description(s)"),
    Option("t", "the device type", "type"),
    Option("T", "what to do to the node: reset (default), on, off", "action"),
    Option("p", "parameters in the order of -n; everybody can read them in ps", "parameters"),
    Option("F", "file with one line of parameters in the order of -n", "file"),
    Option("E", "parameters from environment variables of their names"),
    Option("c", "do it this many times; the last outcome counts", "count"),
    Option("d", "log to stderr, and the dialogue with the device where its agent can show it"),
    Option("V", "version"),
    Option("help", "this text"),
    Option("timeout", "end the whole invocation after this many seconds", "seconds"),
)
_CLASSIC = "LlSsvnmh"

_SYNOPSIS = """usage:
\t stonith [-svh] -L
\t stonith [-svh] -t stonith-device-type -n
\t stonith [-svh] -t stonith-device-type -m
\t stonith [-svh] -t stonith-device-type {-p stonith-device-parameters | -F stonith-device-parameters-file | \
-E | name=value...} [-c count] -lS
\t stonith [-svh] -t stonith-device-type {-p stonith-device-parameters | -F stonith-device-parameters-file | \
-E | name=value...} [-c count] -T {reset|on|off} nodename

where:
"""


def usage() -> str:
    """The usage text, cluster-glue's lines first."""
    lines = [f"\t{option.spelling}\t{option.text}\n" for option in OPTIONS]
    return _SYNOPSIS + "".join(lines)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for. ``parameters`` is the -p text, ``pairs`` the name=value arguments."""

    list_types: bool = False
    device_type: str = ""
    names: bool = False
    metadata: bool = False
    describe: bool = False
    help: bool = False
    version: bool = False
    hosts: bool = False
    status: bool = False
    action: str = "reset"
    text: str | None = field(default=None, repr=False)
    file: str | None = None
    environment: bool = False
    pairs: Parameters | None = None
    count: int = 1
    timeout_ms: int | None = None
    silent: bool = False
    debug: bool = False
    node: str | None = None

    @property
    def configured(self) -> bool:
        """Whether parameters are given in any way."""
        return self.text is not None or self.file is not None or self.environment or self.pairs is not None


def parse(argv: Sequence[str]) -> Request:
    """Read the arguments after the program's name. Raises UsageError."""
    short = "".join(option.name + (":" if option.value else "") for option in OPTIONS if len(option.name) == 1)
    long = [option.name + ("=" if option.value else "") for option in OPTIONS if len(option.name) > 1]
    try:
        options, rest = getopt.gnu_getopt(list(argv), short, long)
    except getopt.GetoptError as error:
        raise UsageError(_getopt_complaint(error)) from None
    found: dict[str, str] = {}
    for dashed, value in options:
        name = dashed.lstrip("-")
        # The first of these ends it, whatever else is on the line.
        if name in ("V", "help"):
            return Request(version=name == "V", help=name == "help")
        if name == "T" and value not in ACTIONS:
            raise UsageError(f"bad reset type [{value}]")
        if name == "c":
            _count(value)
        found[name] = value
    request = Request(
        list_types="L" in found,
        device_type=found.get("t", ""),
        names="n" in found,
        metadata="m" in found,
        describe="h" in found,
        hosts="l" in found,
        status="S" in found,
        action=found.get("T", "reset"),
        text=found.get("p"),
        file=found.get("F"),
        environment="E" in found,
        pairs=_pairs(rest),
        count=_count(found.get("c", "1")),
        timeout_ms=_timeout_ms(found["timeout"]) if "timeout" in found else None,
        silent="s" in found,
        debug="d" in found,
        node=rest[0] if rest else None,
    )
    # -h looks at nothing else on the line, as in cluster-glue.
    if not request.describe:
        _check(request, rest)
    return request


def _check(request: Request, rest: Sequence[str]) -> None:
    """What cannot be carried out. Raises UsageError."""
    if (request.text is not None) + (request.file is not None) + request.environment > 1:
        raise UsageError("Please use just one of -F, -p, and -E options")
    if request.pairs is not None and (request.text is not None or request.file is not None or request.environment):
        raise UsageError("Cannot mix name=value and -p, -F, or -E style arguments")
    asked = request.status or request.hosts or request.names or request.metadata or request.list_types
    if len(rest) > 1 or not (rest or asked):
        raise UsageError("")


def _pairs(rest: list[str]) -> Parameters | None:
    """Take the leading name=value arguments off ``rest``; of one name the first counts."""
    pairs: dict[str, str] = {}
    while rest and "=" in rest[0]:
        name, _, value = rest.pop(0).partition("=")
        pairs.setdefault(name, value)
    return Parameters(pairs) if pairs else None


def _count(text: str) -> int:
    # atoi(3) in cluster-glue: trailing rubbish is tolerated there and here.
    match = re.match(r"\s*\+?(\d{1,9})", text)
    count = int(match[1]) if match else 0
    if not 1 <= count <= COUNT_MAX:
        raise UsageError(f"bad count [{text}]")
    return count


def _timeout_ms(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= TIMEOUT_MAX_S:
        raise UsageError(f"bad timeout [{text}]; whole seconds from 1 to {TIMEOUT_MAX_S}")
    return int(text) * 1000


def _getopt_complaint(error: getopt.GetoptError) -> str:
    """glibc's wording. getopt's own quotes what it could not read, which may be a secret."""
    if len(error.opt) != 1:
        return f"stonith: unrecognized option '--{error.opt}'"
    if "requires argument" in error.msg:
        return f"stonith: option requires an argument -- '{error.opt}'"
    return f"stonith: invalid option -- '{error.opt}'"
