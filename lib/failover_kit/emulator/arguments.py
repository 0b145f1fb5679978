"""The options of ``wti-emulator``: declared, read and checked here; one clear line for each mistake."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence

from failover_kit.emulator.relays import DEFAULT_DELAY_MS
from failover_kit.emulator.server import (
    OUTLET_TIMEOUT_MS,
    REST_PORT,
    TELNET_PORT,
    EmulatorConfig,
    OutletConfig,
)
from failover_kit.emulator.session import LINE_LIMIT
from failover_kit.emulator.settings import IDLE_TIMEOUT_MS
from failover_kit.emulator.values import check_name
from failover_kit.emulator.variants import VARIANTS, Variant

DELAY_LIMIT_S = 3600

DESCRIPTION = """\
A WTI power switch in software: telnet, a serial console and the REST interface of current units.
Its outlets run commands, so that it can be the power switch of virtual machines."""

EXIT_STATUS = (
    (0, "done"),
    (1, "failed (a port is taken, a request was turned down)"),
    (2, "usage"),
    (3, "the state file cannot be read or used (nothing was started and it was left as it is)"),
)

COMMANDS = """\
A command is split like a shell line but run without a shell, with WTI_OUTLET, WTI_NAME and WTI_STATE in
its environment. The outlet reads OFF once the OFF command has exited 0, and ON when the ON command
begins. If one fails or is late, the outlet keeps its state; after a failed ON command the OFF command
makes sure of that, or the outlet reads ON. So a command must succeed, too, when a machine is already as
it shall be."""

EXAMPLE = """\
  wti-emulator --listen 192.0.2.5:23 --password-file /etc/switch.password \\
      --outlet 1=pete --outlet 5=mclaws --control /run/switch.ctl \\
      --on  '/bin/sh -c "virsh start $WTI_NAME;   virsh domstate $WTI_NAME | grep -q running"' \\
      --off '/bin/sh -c "virsh destroy $WTI_NAME; virsh domstate $WTI_NAME | grep -q shut"'"""

CONTROL = """\
  wti-emulator ctl SOCKET show
  wti-emulator ctl SOCKET fault NAME [SECONDS if slow] [COUNT if lockout] [OUTLET...]
      for outlets: stuck, slow; for the device: mute refuse garbage drop busy echo confirm automated
      pager lockout
  wti-emulator ctl SOCKET clear [FAULT [OUTLET...]]
  wti-emulator ctl SOCKET switch OUTLET on|off     the button on the front
  wti-emulator ctl SOCKET power-cycle              the device itself loses power and gets it back"""

EPILOG = f"""\
{COMMANDS}
Example, two virtual machines:

{EXAMPLE}

To talk to a running emulator (--control SOCKET):
{CONTROL}

Exit codes: {', '.join(f'{code} {meaning}' for code, meaning in EXIT_STATUS[:3])},
{EXIT_STATUS[3][0]} {EXIT_STATUS[3][1]}.
"""


class UsageError(Exception):
    """An argument that cannot be meant; ``str()`` names it and what to write."""


def parser() -> argparse.ArgumentParser:
    """The options, in the groups that --help shows."""
    found = argparse.ArgumentParser(
        prog="wti-emulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    found.add_argument(
        "--variant",
        choices=list(VARIANTS),
        default="ips",
        help="; ".join(f"{variant.name}: {variant.title}" for variant in VARIANTS.values()) + " (default ips)",
    )
    _add_interfaces(found.add_argument_group("interfaces"))
    _add_access(found.add_argument_group("access"))
    _add_outlets(found.add_argument_group("outlets"))
    _add_running(found.add_argument_group("running"))
    return found


def _add_interfaces(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--listen", metavar="ADDRESS[:PORT]", default="127.0.0.1", help=f"telnet; default port {TELNET_PORT}")
    add("--serial", action="store_true", help="a serial console on a pseudo terminal, whose name is printed")
    add("--serial-link", metavar="PATH", help="the same, with a symbolic link to it at PATH")
    add("--rest", metavar="ADDRESS[:PORT]", help=f"REST over TLS; default port {REST_PORT}")
    add("--rest-cert", metavar="FILE", help="PEM file with certificate and key, made if it is not there (without "
        "the option: made anew at each start)")  # fmt: skip
    add("--rest-plain", action="store_true", help="REST without TLS")


def _add_access(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    secret = group.add_mutually_exclusive_group()
    secret.add_argument("--password-file", metavar="FILE", help="first line: the system password")
    secret.add_argument("--password-env", metavar="VARIABLE", help="environment variable that holds it")
    add("--user", metavar="NAME", default="", help="login name of a variant that asks for one (vmr: super)")
    add("--idle-timeout", metavar="SECONDS", type=float, default=IDLE_TIMEOUT_MS / 1000,
        help="disconnect an idle session (%(default)g)")  # fmt: skip
    add("--site-id", metavar="TEXT", default="", help="shown in the banner")


def _add_outlets(group: argparse._ArgumentGroup) -> None:
    def add(option: str, metavar: str, text: str) -> None:
        group.add_argument(option, metavar=metavar, action="append", default=[], help=text)

    add("--outlet", "N=NAME", "name plug N")
    group.add_argument("--on", metavar="COMMAND", help="run when a named plug switches on")
    group.add_argument("--off", metavar="COMMAND", help="run when a named plug switches off")
    add("--outlet-on", "N=COMMAND", "run when plug N switches on, instead of --on")
    add("--outlet-off", "N=COMMAND", "run when plug N switches off, instead of --off")
    add("--outlet-state", "N=on|off", "state at start (on)")
    group.add_argument("--boot-delay", metavar="SECONDS", help=f"boot/seq. delay ({DEFAULT_DELAY_MS / 1000:g})")
    add("--outlet-delay", "N=SECONDS", "boot/seq. delay of plug N, instead of --boot-delay")
    group.add_argument("--outlet-timeout", metavar="SECONDS", type=float, default=OUTLET_TIMEOUT_MS / 1000,
                       help="a command that takes longer has failed (%(default)g)")  # fmt: skip
    add("--group", "NAME=N+N", "a plug group (vmr)")


def _add_running(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--state", metavar="FILE", help="remember names, passwords, settings and relays there; once the file "
        "exists it wins over the options above that say the same")  # fmt: skip
    add("--power-up", action="store_true", help="start with every plug going to its power-up default")
    add("--control", metavar="SOCKET", help="unix socket for 'wti-emulator ctl'")
    add("--log", metavar="FILE", help="append events as JSON lines")
    add("--ready-fd", metavar="FD", type=int, help="also write the lines that say where it listens there, "
        "then close it")  # fmt: skip


def config_from(options: argparse.Namespace) -> EmulatorConfig:
    """What the options mean. Raises UsageError."""
    variant = VARIANTS[options.variant]
    for flag in ("site_id", "user"):
        text = getattr(options, flag)
        if not (text.isascii() and (text.isprintable() or not text) and len(text) <= 32):
            raise UsageError(f"--{flag.replace('_', '-')}: printable ASCII only, at most 32 characters")
    for flag in ("outlet_timeout", "idle_timeout"):
        if not 0 < getattr(options, flag) <= 86_400:
            raise UsageError(f"--{flag.replace('_', '-')}: a number of seconds above 0, at most 86400")
    if options.user and not variant.asks_user:
        raise UsageError(f"--user: the variant {variant.name} does not ask for a login name")
    if options.rest is None and (options.rest_cert is not None or options.rest_plain):
        raise UsageError("--rest-cert and --rest-plain belong to --rest ADDRESS:PORT; add it")
    if options.rest_cert is not None and options.rest_plain:
        raise UsageError("--rest-plain: there is no certificate without TLS; leave out one of them")
    address, port = _endpoint("--listen", options.listen, TELNET_PORT)
    return EmulatorConfig(
        variant=variant.name,
        address=address,
        port=port,
        password=_password(options),
        user=options.user,
        outlets=_outlets(options, variant),
        on_command=() if options.on is None else _split("--on", options.on),
        off_command=() if options.off is None else _split("--off", options.off),
        groups=_groups(options.group, variant),
        outlet_timeout_ms=round(options.outlet_timeout * 1000),
        idle_timeout_ms=round(options.idle_timeout * 1000),
        site_id=options.site_id,
        serial=options.serial,
        serial_link=options.serial_link,
        rest=None if options.rest is None else _endpoint("--rest", options.rest, REST_PORT),
        rest_cert=options.rest_cert,
        rest_plain=options.rest_plain,
        state_path=options.state,
        power_up=options.power_up,
        control_path=options.control,
        log_path=options.log,
    )


def _endpoint(option: str, text: str, default_port: int) -> tuple[str, int]:
    """``10.0.0.5:23``, ``10.0.0.5``, ``[::1]:23`` or ``[::1]``."""
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(default_port)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise UsageError(f"{option} {text}: an IPv6 address stands in brackets, like [::1] or [::1]:{default_port}")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535 or not host.strip("[]"):
        raise UsageError(f"{option} {text}: write ADDRESS or ADDRESS:PORT, with a port up to 65535")
    return host.strip("[]"), int(port)


def _password(options: argparse.Namespace) -> str | None:
    if options.password_file is not None:
        try:
            with open(options.password_file, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UsageError(f"--password-file {options.password_file}: {reason}") from None
        origin = f"--password-file {options.password_file}"
    elif options.password_env is not None:
        password = os.environ.pop(options.password_env, "")
        origin = f"--password-env {options.password_env}"
    else:
        return None
    if not password:
        raise UsageError(f"{origin}: empty; leave the option out for a switch without a password")
    limit = LINE_LIMIT
    if len(password.encode()) > limit or any(c < " " or c == "\x7f" for c in password):
        raise UsageError(f"{origin}: at most {limit} bytes and no control characters, or nobody can type it")
    return password


def _outlets(options: argparse.Namespace, variant: Variant) -> dict[int, OutletConfig]:
    count = variant.plug_count
    names = _numbered("--outlet", options.outlet, count)
    for number, name in names.items():
        problem = check_name(name)
        if problem is not None:
            raise UsageError(f"--outlet {number}={name}: {problem}")
    states = _numbered("--outlet-state", options.outlet_state, count)
    for number, state in states.items():
        if state not in ("on", "off"):
            raise UsageError(f"--outlet-state {number}={state}: write on or off")
    common_ms = DEFAULT_DELAY_MS
    if options.boot_delay is not None:
        common_ms = _delay_ms("--boot-delay ", options.boot_delay)
    delays = _numbered("--outlet-delay", options.outlet_delay, count)
    delays_ms = {n: _delay_ms(f"--outlet-delay {n}=", text) for n, text in delays.items()}
    on_commands = _commands("--outlet-on", options.outlet_on, count)
    off_commands = _commands("--outlet-off", options.outlet_off, count)
    return {
        number: OutletConfig(
            name=names.get(number, ""),
            on=states.get(number, "on") == "on",
            delay_ms=delays_ms.get(number, common_ms),
            on_command=on_commands.get(number, ()),
            off_command=off_commands.get(number, ()),
        )
        for number in range(1, count + 1)
    }


def _numbered(option: str, values: Sequence[str], count: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        number, separator, rest = value.partition("=")
        if not separator or not number.isdecimal() or not 1 <= int(number) <= count:
            raise UsageError(f"{option} {value}: write N=VALUE with N from 1 to {count}")
        if int(number) in found:
            raise UsageError(f"{option} {value}: outlet {number} is given twice")
        found[int(number)] = rest
    return found


def _delay_ms(place: str, text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= DELAY_LIMIT_S:
        raise UsageError(f"{place}{text}: write a number of seconds from 0 to {DELAY_LIMIT_S}")
    return round(seconds * 1000)


def _commands(option: str, values: Sequence[str], count: int) -> dict[int, Sequence[str]]:
    found = _numbered(option, values, count)
    return {number: _split(f"{option} {number}=", text) for number, text in found.items()}


def _split(place: str, text: str) -> list[str]:
    try:
        argv = shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{place} {text}: {error}") from None
    if not argv:
        raise UsageError(f"{place}: the command is empty; leave the option out instead")
    return argv


def _groups(values: Sequence[str], variant: Variant) -> dict[str, tuple[int, ...]]:
    if values and "groups" not in variant.verbs.values():
        raise UsageError(f"--group: the variant {variant.name} has no plug groups; vmr has")
    found: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, separator, rest = value.partition("=")
        numbers = rest.split("+")
        valid = [n for n in numbers if n.isdecimal() and 1 <= int(n) <= variant.plug_count]
        if not separator or len(valid) != len(numbers):
            raise UsageError(f"--group {value}: write NAME=N+N with N from 1 to {variant.plug_count}")
        problem = check_name(name)
        if problem is not None or name in found:
            raise UsageError(f"--group {value}: {problem or 'the group is given twice'}")
        found[name] = tuple(sorted({int(number) for number in numbers}))
    return found
