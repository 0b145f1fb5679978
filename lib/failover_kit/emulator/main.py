"""The command ``wti-emulator``: run an emulated IPS-800, or talk to a running one (``ctl``)."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Sequence

from failover_kit.emulator import control, faults
from failover_kit.emulator.commands import check_name
from failover_kit.emulator.device import IDLE_TIMEOUT_MS, LINE_LIMIT, PLUG_COUNT
from failover_kit.emulator.relays import DEFAULT_DELAY_MS
from failover_kit.emulator.server import (
    OUTLET_TIMEOUT_MS,
    TELNET_PORT,
    Emulator,
    EmulatorConfig,
    OutletConfig,
    endpoint,
)

DONE, FAILED, USAGE = 0, 1, 2

EPILOG = """\
Outlets are numbered 1 to 8. A command is split like a shell line but run without a shell, with
WTI_OUTLET, WTI_NAME and WTI_STATE in its environment. The outlet shows its new state once the command
has exited 0; if it fails or is late, the outlet keeps its state. Exit codes: 0 done, 1 failed, 2 usage.

To talk to a running emulator:
  wti-emulator ctl SOCKET show
  wti-emulator ctl SOCKET fault stuck|slow|mute|refuse|garbage|drop [SECONDS if slow] [OUTLET...]
  wti-emulator ctl SOCKET clear [FAULT [OUTLET...]]
  wti-emulator ctl SOCKET switch OUTLET on|off
"""


class UsageError(Exception):
    """An argument that cannot be meant; ``str()`` names it and what to write."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own); returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["ctl"]:
            return _ctl(arguments[1:])
        options = _parser().parse_args(arguments)
        return asyncio.run(_serve(_config(options), options.ready_fd))
    except UsageError as error:
        print(f"wti-emulator: {error}", file=sys.stderr)
        return USAGE
    except control.ControlError as error:
        print(f"wti-emulator: {error}", file=sys.stderr)
        return FAILED


# --- running a switch --------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wti-emulator",
        description="A WTI IPS-800 power switch on TCP, for rehearsals and tests.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--listen", metavar="ADDRESS[:PORT]", default="127.0.0.1", help=f"default port {TELNET_PORT}")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--password-file", metavar="FILE", help="first line: the system password")
    secret.add_argument("--password-env", metavar="VARIABLE", help="environment variable that holds it")
    add("--outlet", metavar="N=NAME", action="append", default=[], help="name plug N")
    add("--outlet-on", metavar="N=COMMAND", action="append", default=[], help="run when N switches on")
    add("--outlet-off", metavar="N=COMMAND", action="append", default=[], help="run when N switches off")
    add("--outlet-state", metavar="N=on|off", action="append", default=[], help="state at start (on)")
    add(
        "--outlet-delay",
        metavar="N=SECONDS",
        action="append",
        default=[],
        help=f"boot/seq. delay ({DEFAULT_DELAY_MS / 1000:g})",
    )
    add(
        "--outlet-timeout",
        metavar="SECONDS",
        type=float,
        default=OUTLET_TIMEOUT_MS / 1000,
        help="for outlet commands (%(default)g)",
    )
    add(
        "--idle-timeout",
        metavar="SECONDS",
        type=float,
        default=IDLE_TIMEOUT_MS / 1000,
        help="disconnect an idle session (%(default)g)",
    )
    add("--site-id", metavar="TEXT", default="", help="shown in the banner")
    add("--control", metavar="SOCKET", help="unix socket for 'wti-emulator ctl'")
    add("--log", metavar="FILE", help="append events as JSON lines")
    add("--ready-fd", metavar="FD", type=int, help="also write the 'listening on' line there, then close it")
    return parser


def _config(options: argparse.Namespace) -> EmulatorConfig:
    address, port = _listen(options.listen)
    if not (options.site_id.isascii() and options.site_id.isprintable()):
        raise UsageError("--site-id: printable ASCII only")
    for flag in ("outlet_timeout", "idle_timeout"):
        if not 0 < getattr(options, flag) <= 86_400:
            raise UsageError(f"--{flag.replace('_', '-')}: a number of seconds above 0, at most 86400")
    return EmulatorConfig(
        address=address,
        port=port,
        password=_password(options),
        outlets=_outlets(options),
        outlet_timeout_ms=round(options.outlet_timeout * 1000),
        idle_timeout_ms=round(options.idle_timeout * 1000),
        site_id=options.site_id,
        control_path=options.control,
        log_path=options.log,
    )


def _listen(text: str) -> tuple[str, int]:
    """``10.0.0.5:23``, ``10.0.0.5``, ``[::1]:23`` or ``[::1]``."""
    host, separator, port = text.rpartition(":")
    if not separator or text.endswith("]"):
        host, port = text, str(TELNET_PORT)
    if not port.isdecimal() or int(port) > 65535 or not host:
        raise UsageError(f"--listen {text}: write ADDRESS or ADDRESS:PORT")
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
    if len(password.encode()) > LINE_LIMIT or any(character < " " or character == "\x7f" for character in password):
        raise UsageError(f"{origin}: at most {LINE_LIMIT} bytes and no control characters, or nobody can type it")
    return password


def _outlets(options: argparse.Namespace) -> dict[int, OutletConfig]:
    names = _numbered("--outlet", options.outlet)
    for number, name in names.items():
        problem = check_name(name)
        if problem is not None:
            raise UsageError(f"--outlet {number}={name}: {problem}")
    states = _numbered("--outlet-state", options.outlet_state)
    for number, state in states.items():
        if state not in ("on", "off"):
            raise UsageError(f"--outlet-state {number}={state}: write on or off")
    delays = {n: _delay(n, text) for n, text in _numbered("--outlet-delay", options.outlet_delay).items()}
    on_commands = _commands("--outlet-on", options.outlet_on)
    off_commands = _commands("--outlet-off", options.outlet_off)
    return {
        number: OutletConfig(
            name=names.get(number, ""),
            on=states.get(number, "on") == "on",
            delay_ms=delays.get(number, DEFAULT_DELAY_MS),
            on_command=on_commands.get(number, ()),
            off_command=off_commands.get(number, ()),
        )
        for number in range(1, PLUG_COUNT + 1)
    }


def _numbered(option: str, values: Sequence[str]) -> dict[int, str]:
    found: dict[int, str] = {}
    for value in values:
        number, separator, rest = value.partition("=")
        if not separator or not number.isdecimal() or not 1 <= int(number) <= PLUG_COUNT:
            raise UsageError(f"{option} {value}: write N=VALUE with N from 1 to {PLUG_COUNT}")
        if int(number) in found:
            raise UsageError(f"{option} {value}: outlet {number} is given twice")
        found[int(number)] = rest
    return found


def _delay(number: int, text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise UsageError(f"--outlet-delay {number}={text}: write a number of seconds from 0 to 3600")
    return round(seconds * 1000)


def _commands(option: str, values: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for number, text in _numbered(option, values).items():
        try:
            found[number] = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"{option} {number}={text}: {error}") from None
        if not found[number]:
            raise UsageError(f"{option} {number}=: the command is empty; leave the option out instead")
    return found


async def _serve(config: EmulatorConfig, ready_fd: int | None) -> int:
    emulator = Emulator(config)
    server = None if config.control_path is None else control.ControlServer(emulator, config.control_path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await emulator.start()
        try:
            if server is not None:
                await server.start()
            _ready(emulator, ready_fd)
            await stop.wait()
        finally:
            if server is not None:
                await server.stop()
            await emulator.stop()
    except OSError as error:
        place = error.filename or f"{config.address}:{config.port}"
        print(f"wti-emulator: {place}: {error.strerror}", file=sys.stderr)
        return FAILED
    return DONE


def _ready(emulator: Emulator, ready_fd: int | None) -> None:
    line = f"listening on {endpoint(emulator.address, emulator.port)}"
    print(line, flush=True)
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, line.encode() + b"\n")
        os.close(ready_fd)
    except OSError as error:
        raise UsageError(f"--ready-fd {ready_fd}: {error.strerror}; pass an open descriptor") from None


# --- talking to one ----------------------------------------------------------------------------------


def _ctl(arguments: Sequence[str]) -> int:
    if len(arguments) < 2:
        raise UsageError("write: ctl SOCKET show|fault|clear|switch ...")
    path, verb, rest = arguments[0], arguments[1], list(arguments[2:])
    what: dict[str, object] = {"do": verb}
    if verb == "fault" and rest:
        what["fault"] = rest.pop(0)
        if what["fault"] == "slow":
            what["seconds"] = _number(rest.pop(0) if rest else "")
        _add_outlets(what, rest)
    elif verb == "clear":
        if rest:
            what["fault"] = rest.pop(0)
        _add_outlets(what, rest)
    elif verb == "switch" and len(rest) == 2 and rest[0].isdecimal():
        what |= {"outlet": int(rest[0]), "state": rest[1]}
    elif verb != "show" or rest:
        raise UsageError(
            f"write: ctl SOCKET show | fault {'|'.join(faults.NAMES)} [SECONDS if slow] [OUTLET...] | "
            "clear [FAULT [OUTLET...]] | switch OUTLET on|off"
        )
    print(json.dumps(control.request(path, what)))
    return DONE


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError("'slow' needs a number of seconds: fault slow SECONDS [OUTLET...]") from None


def _add_outlets(what: dict[str, object], texts: Sequence[str]) -> None:
    if any(not text.isdecimal() for text in texts):
        raise UsageError(f"outlets are numbers, not '{' '.join(texts)}'")
    if texts:
        what["outlets"] = [int(text) for text in texts]
