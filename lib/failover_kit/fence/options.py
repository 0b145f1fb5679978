"""What a fence agent can be told: one table, read from argv or stdin, shown in metadata and help.

Names and defaults are fence-agents' (its fence_wti of 2026), so that a CIB or a script written for
it works here. Differences, each on purpose:

- a flag given as false is false (fence-agents tests presence: ``ssh=0`` switches ssh on);
- ``option=`` is ``action=``, as FenceAgentAPI documents and fence-agents' library does not do;
- an old and a new name with different values is an error: nobody can say which machine was meant;
- seconds may be decimal; ``timeout`` bounds the whole operation, under Pacemaker as anywhere;
- an argument that belongs to no option is an error (there a warning: ``-n 1 off`` reboots plug 1).

On standard input one pair of double quotes around a value is taken off, as there: quotes are how a value
keeps blanks at its ends.
"""

from __future__ import annotations

import getopt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from failover_kit.fence.secret import Secret

ACTIONS = (
    "on", "off", "reboot", "status", "list", "list-status", "monitor", "metadata", "manpage", "validate-all",
)  # fmt: skip
# fence_wti's default: the prompts it knows. Ours is to recognise any of this form.
DEFAULT_PROMPTS = "['RSM>', 'MPC>', 'IPS>', 'TPS>', 'NBB>', 'NPS>', 'VMR>']"
# What Pacemaker and the old cluster suite send for us to know, not to act on.
_SILENTLY_IGNORED = frozenset(("nodename", "agent", "name"))
_TRUE = frozenset(("1", "yes", "on", "true"))
_FALSE = frozenset(("0", "no", "off", "false", ""))


class UsageError(Exception):
    """What we were told cannot be used; ``str()`` is fence-agents' wording where it has one."""


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that can be set. ``kind`` is the metadata's content type."""

    name: str
    kind: str
    shortdesc: str
    short: str = ""
    old: tuple[str, ...] = ()
    default: str = ""
    value: str = ""  # what stands between [ ] in the help text; empty for a flag
    order: int = 1
    required: bool = False
    secret: bool = False
    on_stdin: bool = True

    @property
    def long(self) -> str:
        return self.name.replace("_", "-")

    @property
    def getopt(self) -> str:
        """The spelling for metadata and help, e.g. ``-a, --ip=[ip]``."""
        return (
            (f"-{self.short}, " if self.short else "")
            + f"--{self.long}"
            + (f"=[{self.value}]" if self.value else "")
        )


OPTIONS: tuple[Option, ...] = (
    Option(
        "action",
        "string",
        "Fencing action: " + ", ".join(ACTIONS),
        "o",
        default="reboot",
        value="action",
        required=True,
        old=("option",),
    ),
    Option(
        "ip",
        "string",
        "IP address or hostname of fencing device",
        "a",
        ("ipaddr",),
        value="ip",
    ),
    Option(
        "ipport",
        "integer",
        "TCP port to use for connection with device (23; 22 with --ssh, 443 with --rest)",
        "u",
        default="23",
        value="port",
    ),
    Option("username", "string", "Login name, for units that ask for one", "l", ("login",), value="name"),
    Option(
        "password",
        "string",
        "Login password; on the command line everybody can read it in ps",
        "p",
        ("passwd",),
        value="password",
        secret=True,
    ),
    Option(
        "password_script",
        "string",
        "Command that prints the password (run without a shell)",
        "S",
        ("passwd_script",),
        value="script",
    ),
    Option(
        "password_file",
        "string",
        "File whose first line is the password; must not be open to others",
        value="file",
    ),
    Option("password_env", "string", "Environment variable that holds the password", value="variable"),
    Option(
        "command_prompt",
        "string",
        "Command prompt as the device shows it, or a list like the default; "
        "any prompt of that form is recognised without this option",
        "c",
        ("cmd_prompt",),
        default=DEFAULT_PROMPTS,
        value="prompt",
    ),
    Option("identity_file", "string", "Identity file (private key) for SSH", "k", value="filename"),
    Option("ssh", "boolean", "Use SSH connection", "x", ("secure",)),
    Option(
        "ssh_options",
        "string",
        "Options for the ssh program, split like a shell does; they stand before the agent's own",
        value="options",
    ),
    Option("serial", "string", "Serial line to the console port instead of a network connection", value="device"),
    Option("baud", "integer", "Speed of the serial line (8 data bits, no parity)", default="9600", value="baud"),
    Option("rest", "boolean", "Use the REST interface of current units over TLS"),
    Option("ca_file", "string", "Certificates to trust for --rest instead of the system's", value="file"),
    Option(
        "ssl_insecure",
        "boolean",
        "Do not verify the certificate for --rest: whoever answers gets the password",
    ),
    Option(
        "plug",
        "string",
        "Number or name of the plug, or name of a plug group; several with the separator between; "
        "a name that several plugs have means all of them",
        "n",
        ("port",),
        value="id",
        required=True,
    ),
    Option("inet4_only", "boolean", "Forces agent to use IPv4 addresses only", "4"),
    Option("inet6_only", "boolean", "Forces agent to use IPv6 addresses only", "6"),
    Option(
        "quiet",
        "boolean",
        "Disable logging to stderr. Does not affect the debug file or syslog.",
        "q",
        order=50,
    ),
    Option("verbose", "boolean", "Show the dialogue with the device on stderr, passwords as ***", "v", order=51),
    Option(
        "verbose_level",
        "integer",
        "Level of debugging detail; anything above 0 is --verbose",
        value="level",
        order=52,
    ),
    Option(
        "debug_file",
        "string",
        "Write the dialogue with the device to this file, passwords as ***",
        "D",
        ("debug",),
        value="debugfile",
        order=53,
    ),
    Option("version", "boolean", "Display version information and exit", "V", order=54, on_stdin=False),
    Option("help", "boolean", "Display help and exit", "h", order=55, on_stdin=False),
    Option(
        "plug_separator",
        "string",
        "Separator for plug parameter when specifying more than 1 plug",
        default=",",
        value="char",
        order=100,
    ),
    Option(
        "separator",
        "string",
        "Separator for the output of the list actions",
        "C",
        default=",",
        value="char",
        order=100,
    ),
    Option(
        "delay",
        "second",
        "Wait X seconds before off or reboot is started",
        default="0",
        value="seconds",
        order=200,
    ),
    Option(
        "delay_random",
        "second",
        "Wait up to X seconds more, by chance, so that two nodes do not fence each other at once",
        default="0",
        value="seconds",
        order=200,
    ),
    Option(
        "disable_timeout",
        "string",
        "Accepted for compatibility, without effect: every operation ends",
        value="true/false",
        order=200,
    ),
    Option(
        "login_timeout",
        "second",
        "Wait X seconds for the prompt after connecting",
        default="10",
        value="seconds",
        order=200,
    ),
    Option(
        "power_timeout",
        "second",
        "Wait X seconds for the plugs to read the new state after ON/OFF",
        default="20",
        value="seconds",
        order=200,
    ),
    Option(
        "power_wait",
        "second",
        "Wait X seconds after issuing ON/OFF, before the first look",
        default="0",
        value="seconds",
        order=200,
    ),
    Option(
        "shell_timeout",
        "second",
        "Wait X seconds for the answer to a status command",
        default="3",
        value="seconds",
        order=200,
    ),
    Option(
        "stonith_status_sleep",
        "second",
        "Sleep at most X seconds between status calls",
        default="1",
        value="seconds",
        order=200,
    ),
    Option(
        "timeout",
        "second",
        "End the whole operation within X seconds, whatever happens; default: the sum of "
        "the times above that the action can use",
        value="seconds",
        order=200,
    ),
    Option("retry_on", "integer", "Count of attempts to retry power on", default="1", value="attempts", order=201),
    Option("ssh_path", "string", "Path to ssh binary", default="/usr/bin/ssh", value="path", order=300),
    Option(
        "telnet_path",
        "string",
        "Accepted for compatibility, without effect: no telnet program is used",
        default="/usr/bin/telnet",
        value="path",
        order=300,
    ),
)

BY_NAME: Mapping[str, Option] = {name: opt for opt in OPTIONS for name in (opt.name, *opt.old)}


@dataclass(slots=True)
class RawOptions:
    """What was typed, by the options' new names, secrets wrapped already; ``warnings`` to be logged."""

    values: dict[str, str | Secret] = field(default_factory=dict)
    spelt: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def put(self, spelling: str, option: Option, value: str) -> None:
        """Record one setting; the last one of one spelling wins, two spellings must agree."""
        kept: str | Secret = Secret(value) if option.secret else value
        before = self.spelt.get(option.name)
        if option.name == "action" and before == "action" and spelling != "action":
            return  # the fencer's action= stands above an old option= in the configuration
        differs = before not in (None, spelling) and self.values[option.name] != kept
        if differs and option.name != "action":
            raise UsageError(f"Failed: {before}= and {spelling}= mean the same and differ; give only one of them")
        self.spelt[option.name] = spelling
        self.values[option.name] = kept

    def flag(self, name: str) -> bool:
        return str(self.values.get(name, "")).strip().lower() in _TRUE

    def given(self, name: str) -> bool:
        """True when the option was set to something."""
        return bool(self.values.get(name))

    def text(self, name: str) -> str:
        """The value or its default; empty for a secret."""
        value = self.values.get(name, BY_NAME[name].default)
        return value if isinstance(value, str) else ""

    def flag_is_valid(self, name: str) -> bool:
        return str(self.values.get(name, "")).lower() in _TRUE | _FALSE


def read_argv(argv: Sequence[str]) -> RawOptions:
    """Options from the command line (without argv[0]). Raises UsageError."""
    shorts = "".join(o.short + (":" if o.value else "") for o in OPTIONS if o.short)
    longs = [o.long + ("=" if o.value else "") for o in OPTIONS]
    try:
        pairs, rest = getopt.gnu_getopt(list(argv), shorts, longs)
    except getopt.GetoptError as error:
        raise UsageError(f"Parse error: {error.msg}") from None
    if rest:
        # Not quoted back: it may be a password that lost its option.
        raise UsageError(f"Parse error: {len(rest)} argument(s) that belong to no option")
    raw = RawOptions()
    for spelling, value in pairs:
        option = next(o for o in OPTIONS if spelling in (f"-{o.short}", f"--{o.long}"))
        raw.put(option.name, option, value if option.value else "1")
    return raw


def read_stdin(lines: Iterable[str]) -> RawOptions:
    """Options as ``name=value`` lines. Unknown names are ignored with a warning (FenceAgentAPI)."""
    raw = RawOptions()
    for line in _without_fill_in(list(lines)):
        text = line.strip(" \t\r\n")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        spelling = name.strip().replace("-", "_")
        option = BY_NAME.get(spelling)
        if not equals:
            raw.warnings.append("a line without '=' on standard input is ignored")
        elif option is not None and option.on_stdin:
            raw.put(spelling, option, _unquoted(value if option.secret else value.strip()))
        elif spelling not in _SILENTLY_IGNORED:
            raw.warnings.append(f"unknown option '{spelling[:40]}' on standard input is ignored")
    return raw


def _without_fill_in(lines: list[str]) -> list[str]:
    """``lines`` without the plug that the fencer only filled in.

    Pacemaker's fencer writes the node's name into ``port`` (2.1) or ``plug`` (later) unless that very name is
    configured, so with ``plug=5`` in the configuration 2.1 sends ``plug=5``, ``port=pete`` and ``nodename=pete``.
    What equals nodename is the fencer's, the other is what the administrator wrote and meant.
    """
    given = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
    node, plug, port = (given.get(name, "") for name in ("nodename", "plug", "port"))
    if not node or not plug or not port or plug == port or node not in (plug, port):
        return lines
    filled_in = "port" if port == node else "plug"
    return [line for line in lines if line.partition("=")[0].strip() != filled_in]


def stdin_line(name: str, value: str) -> str:
    """``name=value`` for a fence agent's standard input, so that it reads ``value`` unchanged.

    Agents strip blanks at both ends and then one pair of double quotes (fence-agents' fencing.py,
    process_input): what has either gets a pair of its own.
    """
    bare = value == value.strip() and not (len(value) >= 2 and value[0] == value[-1] == '"')
    return f"{name}={value}\n" if bare else f'{name}="{value}"\n'


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value
