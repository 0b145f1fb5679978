"""The command ``wti-emulator``: run an emulated power switch, or talk to a running one (``ctl``)."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Sequence

from failover_kit.emulator import arguments, control, faults
from failover_kit.emulator.arguments import UsageError
from failover_kit.emulator.certificate import CertificateError
from failover_kit.emulator.server import Emulator, EmulatorConfig, endpoint
from failover_kit.emulator.state import StateError

DONE, FAILED, USAGE, BAD_STATE = 0, 1, 2, 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: the process's own); returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words[:1] == ["ctl"]:
            return _ctl(words[1:])
        options = arguments.parser().parse_args(words)
        return asyncio.run(_serve(arguments.config_from(options), options.ready_fd))
    except UsageError as error:
        print(f"wti-emulator: {error}", file=sys.stderr)
        return USAGE
    except StateError as error:
        print(f"wti-emulator: {error}", file=sys.stderr)
        return BAD_STATE
    except (control.ControlError, CertificateError) as error:
        print(f"wti-emulator: {error}", file=sys.stderr)
        return FAILED


# --- running a switch --------------------------------------------------------------------------------


async def _serve(config: EmulatorConfig, ready_fd: int | None) -> int:
    emulator = Emulator(config)
    server = None if config.control_path is None else control.ControlServer(emulator, config.control_path)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        try:
            await emulator.start()
            if server is not None:
                await server.start()
            _ready(emulator, ready_fd)
            await stop.wait()
        finally:
            if server is not None:
                await server.stop()
            await emulator.stop()
    except OSError as error:
        place = error.filename or endpoint(config.address, config.port)
        remedy = _REMEDIES.get(error.errno or 0, "")
        print(f"wti-emulator: {place}: {error.strerror}{remedy and '; ' + remedy}", file=sys.stderr)
        return FAILED
    return DONE


_REMEDIES = {
    errno.EADDRINUSE: "something else listens there, give another address or port",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address, see ip addr",
    errno.EACCES: "be root, or choose a port from 1024 on and files of your own",
    errno.ENOENT: "make the directory first",
    errno.EISDIR: "name a file in it",
    errno.EEXIST: "remove it or name another path",
    socket.EAI_NONAME: "give the address in numbers",
    socket.EAI_AGAIN: "give the address in numbers",
}


def _ready(emulator: Emulator, ready_fd: int | None) -> None:
    """Say where the device can be reached; the line about telnet comes first and always."""
    text = f"listening on {endpoint(emulator.address, emulator.port)}\n"
    if emulator.serial_path is not None:
        text += f"serial console on {emulator.serial_path}\n"
    if emulator.rest_url is not None:
        text += f"rest on {emulator.rest_url}\n"
    sys.stdout.write(text)
    sys.stdout.flush()
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, text.encode())
        os.close(ready_fd)
    except OSError as error:
        raise UsageError(f"--ready-fd {ready_fd}: {error.strerror}; pass an open descriptor") from None


# --- talking to one ----------------------------------------------------------------------------------


def _ctl(words: Sequence[str]) -> int:
    if len(words) < 2:
        raise UsageError("write: ctl SOCKET show|fault|clear|switch|power-cycle ...")
    path, verb, rest = words[0], words[1], list(words[2:])
    what: dict[str, object] = {"do": verb}
    if verb == "fault" and rest:
        what["fault"] = rest.pop(0)
        if what["fault"] == "slow":
            what["seconds"] = _seconds(rest.pop(0) if rest else "")
        elif what["fault"] == "lockout":
            what["count"] = _count(rest.pop(0) if rest else "")
        _add_outlets(what, rest)
    elif verb == "clear":
        if rest:
            what["fault"] = rest.pop(0)
        _add_outlets(what, rest)
    elif verb == "switch" and len(rest) == 2 and rest[0].isdecimal():
        what |= {"outlet": int(rest[0]), "state": rest[1]}
    elif verb not in ("show", "power-cycle") or rest:
        raise UsageError(
            f"write: ctl SOCKET show | fault {'|'.join(faults.NAMES)} [SECONDS if slow] [COUNT if lockout] "
            "[OUTLET...] | clear [FAULT [OUTLET...]] | switch OUTLET on|off | power-cycle"
        )
    print(json.dumps(control.request(path, what)))
    return DONE


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError("'slow' needs a number of seconds: fault slow SECONDS [OUTLET...]") from None


def _count(text: str) -> int:
    if not text.isdecimal():
        raise UsageError("'lockout' needs a number of rejected passwords: fault lockout COUNT")
    return int(text)


def _add_outlets(what: dict[str, object], texts: Sequence[str]) -> None:
    if any(not text.isdecimal() for text in texts):
        raise UsageError(f"outlets are numbers, not '{' '.join(texts)}'")
    if texts:
        what["outlets"] = [int(text) for text in texts]
