"""What a fence agent can be told: one table, read from argv or stdin, shown in metadata and help.

Names and defaults are fence-agents' (its fence_wti of 2026), so that a CIB or a script written for
it works here. Differences, each on purpose:

- a flag given as false is false (fence-agents tests presence: ``ssh=0`` switches ssh on);
- ``option=`` is ``action=``, as FenceAgentAPI documents and fence-agents' library does not do;
- an old and a new name with different values is an error: nobody can say which machine was meant;
- seconds may be decimal; ``timeout`` bounds the whole operation, under Pacemaker as anywhere;
- quotes around a password are part of it.
"""

from __future__ import annotations

import getopt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from failover_kit.fence.secret import Secret

ACTIONS = ("on", "off", "reboot", "status", "list", "list-status", "monitor", "metadata", "validate-all")
# What Pacemaker and the old cluster suite send for us to know, not to act on.
_SILENTLY_IGNORED = frozenset(("nodename", "agent", "name"))
_TRUE = frozenset(("1", "yes", "on", "true"))
_FALSE = frozenset(("0", "no", "off", "false", ""))
_PLUG_LENGTH_MAX = 64
_SECONDS_MAX = 24 * 3600


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
    refused: bool = False  # known, and an error when used: being ignored would be worse
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
        required=True,
    ),
    Option("ipport", "integer", "TCP port to use for connection with device", "u", default="23", value="port"),
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
    Option(
        "plug",
        "string",
        "Number or name of the plug; several with the separator between; a name that "
        "several plugs have means all of them",
        "n",
        ("port",),
        value="id",
        required=True,
    ),
    Option("inet4_only", "boolean", "Forces agent to use IPv4 addresses only", "4"),
    Option("inet6_only", "boolean", "Forces agent to use IPv6 addresses only", "6"),
    Option(
        "ssh",
        "boolean",
        "Use SSH connection (not supported by this agent yet: an error)",
        "x",
        ("secure",),
        refused=True,
    ),
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
)

_BY_NAME: Mapping[str, Option] = {name: opt for opt in OPTIONS for name in (opt.name, *opt.old)}


@dataclass(frozen=True, slots=True)
class Config:
    """A checked request. Times in milliseconds."""

    action: str
    ip: str
    ipport: int
    username: str
    password: Secret
    password_script: str
    password_file: str
    plugs: tuple[str, ...]
    family: int  # 0, 4 or 6
    quiet: bool
    verbose: bool
    debug_file: str
    separator: str
    delay_ms: int
    login_timeout_ms: int
    power_timeout_ms: int
    power_wait_ms: int
    shell_timeout_ms: int
    status_sleep_ms: int
    timeout_ms: int
    retry_on: int


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
        option = _BY_NAME.get(spelling)
        if not equals:
            raw.warnings.append("a line without '=' on standard input is ignored")
        elif option is not None and option.on_stdin:
            raw.put(spelling, option, value if option.secret else _unquoted(value.strip()))
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


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def check(raw: RawOptions) -> Config:
    """Check everything at once. Raises UsageError with one problem a line."""
    problems: list[str] = []
    action = _text(raw, "action").lower() or "reboot"
    if action == "meta-data":
        action = "metadata"
    if action not in ACTIONS:
        problems.append(f"Failed: Unrecognised action '{action}'")
    talks = action not in ("metadata", "validate-all")
    if action != "metadata":
        problems += _missing(raw, action, talks)
    for option in OPTIONS:
        if option.kind == "boolean" and str(raw.values.get(option.name, "")).lower() not in _TRUE | _FALSE:
            problems.append(f"Failed: The value you have entered for --{option.long} is neither true nor false")
        if option.refused and raw.flag(option.name):
            problems.append(f"Failed: --{option.long} is not supported by this agent yet; remove it")
    secret = raw.values.get("password", Secret(""))
    if not isinstance(secret, Secret) or _has_control(secret.reveal()):
        problems.append("Failed: the password has a control character in it; the device cannot be given that")
    for name in ("username", "ip"):
        if _has_control(_text(raw, name)):
            problems.append(f"Failed: --{name} has a control character in it")
    plugs = _plugs(raw, problems)
    seconds = {o.name: _milliseconds(raw, o, problems) for o in OPTIONS if o.kind == "second"}
    port = _integer(raw, "ipport", 1, 65535, problems)
    retry_on = _integer(raw, "retry_on", 0, 100, problems)
    verbose_level = _integer(raw, "verbose_level", 0, 1000, problems)
    timeout_ms = seconds["timeout"] or default_timeout_ms(action, seconds, retry_on)
    if action in ("off", "reboot") and seconds["delay"] >= timeout_ms:
        problems.append(
            "Failed: the delay uses up the whole time of the operation; raise --timeout or lower --delay"
        )
    if raw.flag("inet4_only") and raw.flag("inet6_only"):
        problems.append("Failed: --inet4-only and --inet6-only exclude each other")
    if problems:
        raise UsageError("\n".join(problems))
    assert isinstance(secret, Secret)  # noqa: S101 - put() wraps it
    return Config(
        action=action,
        ip=_text(raw, "ip"),
        ipport=port,
        username=_text(raw, "username"),
        password=secret,
        password_script=_text(raw, "password_script"),
        password_file=_text(raw, "password_file"),
        plugs=plugs,
        family=4 if raw.flag("inet4_only") else 6 if raw.flag("inet6_only") else 0,
        quiet=raw.flag("quiet"),
        verbose=raw.flag("verbose") or verbose_level > 0,
        debug_file=_text(raw, "debug_file"),
        separator=_text(raw, "separator") or ",",
        delay_ms=seconds["delay"],
        login_timeout_ms=seconds["login_timeout"],
        power_timeout_ms=seconds["power_timeout"],
        power_wait_ms=seconds["power_wait"],
        shell_timeout_ms=seconds["shell_timeout"],
        status_sleep_ms=seconds["stonith_status_sleep"],
        timeout_ms=timeout_ms,
        retry_on=retry_on,
    )


def on_attempts(action: str, retry_on: int) -> int:
    """How often power is commanded on: as fence-agents for on, and at least once in a reboot."""
    if action == "on":
        return 1 + retry_on
    return max(1, retry_on) if action == "reboot" else 0


def default_timeout_ms(action: str, ms: Mapping[str, int], retry_on: int) -> int:
    """The time an operation may take when ``timeout`` is not given: what its parts may take.

    With the defaults 36 s for off and 56 s for reboot, inside Pacemaker's stonith-timeout of 60 s.
    """
    offs = 1 if action in ("off", "reboot") else 0
    phases = offs + on_attempts(action, retry_on)
    total = ms["login_timeout"] + 2 * ms["shell_timeout"] + phases * (ms["power_timeout"] + ms["power_wait"])
    return total + offs * ms["delay"]


def _missing(raw: RawOptions, action: str, talks: bool) -> list[str]:
    problems = []
    if not _text(raw, "ip"):
        problems.append("Failed: You have to enter fence address")
    needs_plug = not talks or action in ("on", "off", "reboot", "status")
    if needs_plug and not _text(raw, "plug"):
        problems.append("Failed: You have to enter plug number or machine identification")
    return problems


def _plugs(raw: RawOptions, problems: list[str]) -> tuple[str, ...]:
    text = _text(raw, "plug")
    if not text:
        return ()
    separator = _text(raw, "plug_separator") or ","
    plugs = tuple(item.strip() for item in text.split(separator))
    for plug in plugs:
        if not plug:
            problems.append("Failed: an empty plug in --plug; is there a separator too many?")
        elif len(plug) > _PLUG_LENGTH_MAX or _has_control(plug):
            problems.append("Failed: a plug in --plug is too long or has a control character in it")
    return plugs


def _text(raw: RawOptions, name: str) -> str:
    value = raw.values.get(name, _BY_NAME[name].default)
    return value if isinstance(value, str) else ""


def _has_control(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def _number(convert: Callable[[str], float], text: str) -> float | None:
    try:
        return convert(text)
    except (ValueError, OverflowError):
        return None


def _milliseconds(raw: RawOptions, option: Option, problems: list[str]) -> int:
    text = _text(raw, option.name)
    if option.name not in raw.values and not text:
        return 0
    value = _number(float, text)
    # NaN fails both comparisons.
    if value is None or not 0 <= value <= _SECONDS_MAX:
        problems.append(f"Failed: The value you have entered for --{option.long} is not a valid time in seconds")
        return 0
    return round(value * 1000)


def _integer(raw: RawOptions, name: str, low: int, high: int, problems: list[str]) -> int:
    text = _text(raw, name)
    if name not in raw.values and not text:
        return low
    value = _number(int, text)
    if value is None or not low <= value <= high:
        problems.append(
            f"Failed: The value you have entered for --{_BY_NAME[name].long} is not a valid integer "
            f"from {low} to {high}"
        )
        return low
    return int(value)
