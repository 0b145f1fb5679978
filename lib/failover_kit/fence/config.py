"""From what was typed to a request that can be carried out: every check that needs no look at the host.

All problems come at once, in fence_wti's words where it has some. What can only be said on the machine
itself (is the file there, can the script be run) is ``validate``'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from failover_kit.fence.options import ACTIONS, BY_NAME, DEFAULT_PROMPTS, OPTIONS, Option, RawOptions, UsageError
from failover_kit.fence.secret import Secret

DESCRIBES = frozenset(("metadata", "manpage"))
SWITCHES = frozenset(("on", "off", "reboot"))
NEEDS_PLUG = SWITCHES | {"status", "validate-all"}
_PLUG_LENGTH_MAX = 64
_SECONDS_MAX = 24 * 3600
_WAITS = frozenset(("login_timeout", "power_timeout", "shell_timeout"))
_PROMPT_LENGTH_MAX = 40
# termios has these and every adapter the usual ones; anything else is a slip of the finger.
_BAUDS = frozenset((300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200))
_META = re.compile(r"[\\*+?()\[\]{}^$]")
# ssh(1): options with a value; and those that keep ssh from talking, or from having a terminal to talk on.
_SSH_WITH_VALUE = frozenset("BbcDEeFIiJLlmOopQRSWw")
_SSH_UNUSABLE = frozenset("EfGMNnOQqsTVvWy")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Way(Enum):
    """How the device is reached. The value is the TCP port that belongs to it."""

    TELNET = 23
    SSH = 22
    REST = 443
    SERIAL = 0


@dataclass(frozen=True, slots=True)
class Config:
    """A checked request. Times in milliseconds."""

    action: str
    way: Way
    ip: str
    ipport: int
    family: int  # 0, 4 or 6
    username: str
    password: Secret
    password_script: str
    password_file: str
    password_env: str
    prompts: tuple[str, ...]  # empty: any prompt of a known form
    identity_file: str
    ssh_options: tuple[str, ...]
    ssh_path: str
    serial: str
    baud: int
    ca_file: str
    ssl_insecure: bool
    plugs: tuple[str, ...]
    quiet: bool
    verbose: bool
    debug_file: str
    separator: str
    delay_ms: int
    delay_random_ms: int
    login_timeout_ms: int
    power_timeout_ms: int
    power_wait_ms: int
    shell_timeout_ms: int
    status_sleep_ms: int
    timeout_ms: int
    retry_on: int

    def has_password_source(self) -> bool:
        return bool(self.password or self.password_script or self.password_file or self.password_env)


def check(raw: RawOptions) -> Config:
    """Check everything at once. Raises UsageError with one problem a line."""
    problems: list[str] = []
    action = raw.text("action").lower()
    if action == "meta-data":
        action = "metadata"
    if action not in ACTIONS:
        problems.append(f"Failed: Unrecognised action '{action}'")
    way = _way(raw, problems)
    _check_flags_and_text(raw, problems)
    if action not in DESCRIBES:
        _check_address_and_login(raw, way, problems)
        if action in NEEDS_PLUG and not raw.text("plug"):
            problems.append("Failed: You have to enter plug number or machine identification")
    password = raw.values.get("password", Secret(""))
    assert isinstance(password, Secret)  # noqa: S101 - RawOptions.put() wraps it
    seconds = {o.name: _milliseconds(raw, o, problems) for o in OPTIONS if o.kind == "second"}
    baud = _integer(raw, "baud", 1, 4_000_000, problems)
    if baud not in _BAUDS:
        problems.append(f"Failed: The value you have entered for --baud is none of {sorted(_BAUDS)}")
        baud = 9600
    retry_on = _integer(raw, "retry_on", 0, 100, problems)
    timeout_ms = seconds["timeout"] or default_timeout_ms(action, seconds, retry_on, line_ms(way, baud))
    if action in ("off", "reboot") and seconds["delay"] + seconds["delay_random"] >= timeout_ms:
        problems.append(
            "Failed: the delay uses up the whole time of the operation; raise --timeout or lower --delay"
        )
    config = Config(
        action=action,
        way=way,
        ip=_address(raw.text("ip")),
        ipport=_integer(raw, "ipport", 1, 65535, problems) if raw.given("ipport") else way.value,
        family=4 if raw.flag("inet4_only") else 6 if raw.flag("inet6_only") else 0,
        username=raw.text("username"),
        password=password,
        password_script=raw.text("password_script"),
        password_file=raw.text("password_file"),
        password_env=raw.text("password_env"),
        prompts=_prompts(raw.text("command_prompt"), problems),
        identity_file=raw.text("identity_file"),
        ssh_options=_ssh_options(raw.text("ssh_options"), problems),
        ssh_path=raw.text("ssh_path"),
        serial=raw.text("serial"),
        baud=baud,
        ca_file=raw.text("ca_file"),
        ssl_insecure=raw.flag("ssl_insecure"),
        plugs=_plugs(raw, problems),
        quiet=raw.flag("quiet"),
        verbose=_verbose(raw),
        debug_file=raw.text("debug_file"),
        separator=raw.text("separator") or ",",
        delay_ms=seconds["delay"],
        delay_random_ms=seconds["delay_random"],
        login_timeout_ms=seconds["login_timeout"],
        power_timeout_ms=seconds["power_timeout"],
        power_wait_ms=seconds["power_wait"],
        shell_timeout_ms=seconds["shell_timeout"],
        status_sleep_ms=seconds["stonith_status_sleep"],
        timeout_ms=timeout_ms,
        retry_on=retry_on,
    )
    if problems:
        raise UsageError("\n".join(problems))
    return config


def on_attempts(action: str, retry_on: int) -> int:
    """How often power is commanded on: as fence-agents for on, and at least once in a reboot."""
    if action == "on":
        return 1 + retry_on
    return max(1, retry_on) if action == "reboot" else 0


def default_timeout_ms(action: str, ms: Mapping[str, int], retry_on: int, slow_ms: int = 0) -> int:
    """The time an operation may take when ``timeout`` is not given: what its parts may take.

    With the defaults 36 s for off and 56 s for reboot, inside Pacemaker's stonith-timeout of 60 s. ``slow_ms``
    is what a slow line adds to each step.
    """
    offs = 1 if action in ("off", "reboot") else 0
    phases = offs + on_attempts(action, retry_on)
    total = ms["login_timeout"] + 2 * (ms["shell_timeout"] + slow_ms)
    total += phases * (ms["power_timeout"] + ms["power_wait"] + slow_ms)
    return total + offs * (ms["delay"] + ms["delay_random"])


def line_ms(way: Way, baud: int) -> int:
    """How long the answer to one question may be under way on a serial line; 0 elsewhere.

    The longest screen in the manuals, the 16 plugs of an NPS with its banner, has less than 2048 bytes; a
    byte is ten bits with start and stop bit; there each screen is read twice (see ``wti``).
    """
    return 2 * 2048 * 10 * 1000 // baud if way is Way.SERIAL else 0


def _way(raw: RawOptions, problems: list[str]) -> Way:
    chosen = [way for way, on in (
        (Way.SSH, raw.flag("ssh")), (Way.REST, raw.flag("rest")), (Way.SERIAL, raw.given("serial")),
    ) if on]  # fmt: skip
    if len(chosen) > 1:
        problems.append("Failed: --ssh, --rest and --serial exclude each other; give only one of them")
    way = chosen[0] if chosen else Way.TELNET
    if way is Way.SERIAL:
        path = raw.text("serial")
        if not path.startswith("/") or path.endswith("/") or "/../" in path:
            problems.append("Failed: --serial must be the whole path of a serial line, like /dev/ttyS0")
        for name in ("ipport", "inet4_only", "inet6_only"):
            if raw.given(name) and (BY_NAME[name].value or raw.flag(name)):
                problems.append(f"Failed: --{BY_NAME[name].long} and --serial exclude each other")
    if way is not Way.REST:
        problems += [
            f"Failed: --{name.replace('_', '-')} is only for --rest"
            for name in ("ca_file", "ssl_insecure")
            if raw.given(name) and (name == "ca_file" or raw.flag(name))
        ]
    elif raw.given("ca_file") and raw.flag("ssl_insecure"):
        problems.append("Failed: --ca-file and --ssl-insecure exclude each other")
    if raw.given("identity_file") and way is not Way.SSH:
        problems.append("Failed: You have to use identity file together with ssh connection (-x)")
    if raw.flag("inet4_only") and raw.flag("inet6_only"):
        problems.append("Failed: --inet4-only and --inet6-only exclude each other")
    return way


def _check_flags_and_text(raw: RawOptions, problems: list[str]) -> None:
    for option in OPTIONS:
        if option.kind == "boolean" and not raw.flag_is_valid(option.name):
            problems.append(f"Failed: The value you have entered for --{option.long} is neither true nor false")
        elif option.kind == "string" and option.name != "plug" and _has_control(raw.text(option.name)):
            problems.append(f"Failed: --{option.long} has a control character in it")
    secret = raw.values.get("password")
    if isinstance(secret, Secret) and _has_control(secret.reveal()):
        problems.append("Failed: the password has a control character in it; the device cannot be given that")
    variable = raw.text("password_env")
    if variable and not _VARIABLE.fullmatch(variable):
        problems.append("Failed: --password-env takes the name of a variable, not its value")
    username = raw.text("username")
    if raw.flag("rest") and ":" in username:
        problems.append("Failed: --username with a colon cannot be sent by HTTP (RFC 7617)")


def _check_address_and_login(raw: RawOptions, way: Way, problems: list[str]) -> None:
    ip = _address(raw.text("ip"))
    if way is Way.SERIAL:
        if ip:
            raw.warnings.append("--ip is not used, because --serial is given")
    elif not ip:
        problems.append("Failed: You have to enter fence address")
    elif ip.startswith("-") or any(char.isspace() or char in "/@[]" for char in ip):
        problems.append("Failed: --ip is no address and no host name")
    if way in (Way.SSH, Way.REST) and not raw.text("username"):
        problems.append("Failed: You have to set login name")
    passwords = ("password", "password_script", "password_file", "password_env")
    if any(raw.given(name) for name in passwords):
        return
    if way is Way.SSH and not raw.given("identity_file"):
        problems.append("Failed: You have to enter password, password script or identity file")
    if way is Way.REST:
        problems.append("Failed: You have to enter password or password script")


def _address(text: str) -> str:
    """``[2001:db8::1]`` without its brackets."""
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _plugs(raw: RawOptions, problems: list[str]) -> tuple[str, ...]:
    text = raw.text("plug")
    if not text:
        return ()
    plugs = tuple(item.strip() for item in text.split(raw.text("plug_separator") or ","))
    for plug in plugs:
        if not plug:
            problems.append("Failed: an empty plug in --plug; is there a separator too many?")
        elif len(plug) > _PLUG_LENGTH_MAX or _has_control(plug):
            problems.append("Failed: a plug in --plug is too long or has a control character in it")
        elif plug.isascii() and plug.isdigit() and plug.startswith("0"):
            # fence_wti knows no plug 01 either; to read it as 1 would be a guess about a machine's power.
            problems.append(f"Failed: plug {plug}: a plug number has no leading zero")
    return plugs


def _prompts(text: str, problems: list[str]) -> tuple[str, ...]:
    """Literal prompts from one prompt, several with ``|`` between, or a list as fence-agents writes it.

    fence-agents takes regular expressions; the anchors and escapes people put there are understood,
    anything more is an error and not a prompt that never comes.
    """
    if not text or text == DEFAULT_PROMPTS:
        return ()
    if text.startswith("["):
        items = [first or second for first, second in re.findall(r"'([^']*)'|\"([^\"]*)\"", text)]
    else:
        items = text.split("|")
    prompts = tuple(_literal(item) for item in items)
    if not prompts or not all(0 < len(p) <= _PROMPT_LENGTH_MAX and not _META.search(p) for p in prompts):
        problems.append("Failed: --command-prompt is no regular expression here; write what the device shows: IPS>")
        return ()
    return prompts


def _literal(item: str) -> str:
    """A prompt without the anchors and backslashes of a regular expression."""
    return re.sub(r"\\(\W)", r"\1", item.strip().removeprefix("^").removesuffix("$")).strip()


def _ssh_options(text: str, problems: list[str]) -> tuple[str, ...]:
    """Split like a shell. A word that is no option would be taken for the host, so it is an error."""
    if not text:
        return ()
    import shlex

    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        problems.append(f"Failed: --ssh-options cannot be split into words: {error}")
        return ()
    expects_value = False
    for word in words:
        if expects_value:
            expects_value = False
            continue
        if not word.startswith("-") or word in ("-", "--"):
            problems.append("Failed: --ssh-options has a word that belongs to no option")
            break
        for index, letter in enumerate(word[1:], 2):
            if letter in _SSH_UNUSABLE:
                problems.append(f"Failed: --ssh-options: -{letter} does not go with a dialogue on ssh's terminal")
            if letter in _SSH_WITH_VALUE:
                expects_value = index == len(word)
                break
    return words


def _verbose(raw: RawOptions) -> bool:
    """As fence-agents: a level stands above the flag, and a bad level is level 0 with a warning."""
    if not raw.given("verbose_level"):
        return raw.flag("verbose")
    level = _number(int, raw.text("verbose_level"))
    if level is None or level < 0:
        raw.warnings.append("Parse error: option 'verbose_level' must be a whole number from 0; it is set to 0")
    return level is not None and level > 0


def _has_control(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def _number(convert: Callable[[str], float], text: str) -> float | None:
    try:
        return convert(text)
    except (ValueError, OverflowError):
        return None


def _milliseconds(raw: RawOptions, option: Option, problems: list[str]) -> int:
    text = raw.text(option.name)
    if option.name not in raw.values and not text:
        return 0
    value = _number(float, text)
    # NaN fails both comparisons.
    if value is None or not 0 <= value <= _SECONDS_MAX:
        problems.append(f"Failed: The value you have entered for --{option.long} is not a valid time in seconds")
        return 0
    if not value and option.name in _WAITS:
        # fence-agents waits without end for 0. Nothing here does, and not to wait at all would always fail.
        value = float(option.default)
    return round(value * 1000)


def _integer(raw: RawOptions, name: str, low: int, high: int, problems: list[str]) -> int:
    text = raw.text(name)
    if name not in raw.values and not text:
        return low
    value = _number(int, text)
    if value is None or not low <= value <= high:
        problems.append(
            f"Failed: The value you have entered for --{BY_NAME[name].long} is not a valid integer "
            f"from {low} to {high}"
        )
        return low
    return int(value)
