"""The control socket: a unix stream socket, one JSON object per line each way, mode 0600.

    {"do": "show"}
    {"do": "fault", "fault": "stuck", "outlets": [1]}     no outlets: all of them
    {"do": "fault", "fault": "slow", "outlets": [1], "seconds": 3}
    {"do": "fault", "fault": "lockout", "count": 3}
    {"do": "clear"}      {"do": "clear", "fault": "stuck", "outlets": [1]}
    {"do": "switch", "outlet": 1, "state": "off"}         answers when the relay has moved, or has not
    {"do": "power-cycle"}                                 answers when the relays are done

An answer is {"ok": true, ...} or {"ok": false, "error": "one sentence"}. The answer to show, fault and
clear carries the device's view: variant, outlets, session, busy, faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from typing import Any

from failover_kit.emulator.faults import FaultError
from failover_kit.emulator.server import Emulator
from failover_kit.spec.deadline import Deadline

ANSWER_LIMIT_BYTES = 1 << 16
PATH_LIMIT_BYTES = 107  # sun_path without its NUL, unix(7)


class ControlError(Exception):
    """The request could not be made or was turned down; ``str()`` says why."""


class ControlServer:
    """Serves the requests above for one emulator."""

    def __init__(self, emulator: Emulator, path: str) -> None:
        self._emulator = emulator
        self._path = path
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen at the path. Raises ControlError when another emulator does, OSError otherwise."""
        if len(os.fsencode(self._path)) > PATH_LIMIT_BYTES:
            raise ControlError(f"{self._path}: a socket's path has at most {PATH_LIMIT_BYTES} bytes; shorten it")
        _remove_stale(self._path)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None
        finally:
            os.umask(mask)

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the other side went away, or sent a line longer than a request can be
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ControlError("a request is a JSON object; see the head of control.py")
            return await self._do(request)
        except (ControlError, FaultError) as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, RecursionError) as error:  # the latter: more brackets than any request has
            return {"ok": False, "error": f"not JSON: {error}"}

    async def _do(self, request: dict[str, Any]) -> dict[str, object]:
        what = request.get("do")
        outlets = self._outlets(request["outlets"]) if "outlets" in request else None
        fault = request.get("fault")
        if fault is not None and not isinstance(fault, str):
            raise ControlError("'fault' is the name of a fault")
        if what == "fault":
            delay_ms, count = _delay_ms(request.get("seconds")), _count(request.get("count"))
            self._emulator.set_fault(fault or "", outlets or self._numbers(), delay_ms, count)
        elif what == "clear":
            self._emulator.clear_fault(fault, outlets)
        elif what == "switch":
            return await self._switch(request)
        elif what == "power-cycle":
            await self._emulator.power_cycle()
        elif what != "show":
            raise ControlError(f"unknown request {what!r}; there are show, fault, clear, switch, power-cycle")
        return {"ok": True, **self._emulator.device.view()}

    async def _switch(self, request: dict[str, Any]) -> dict[str, object]:
        number = self._outlets([request.get("outlet")])[0]
        wanted = request.get("state")
        if wanted not in ("on", "off"):
            raise ControlError("'state' is on or off")
        if not self._emulator.device.unit.settings.buttons:
            raise ControlError("the buttons on the front are disabled, in the menu /G")
        if await self._emulator.press(number, wanted == "on"):
            return {"ok": True, "outlet": number, "state": wanted}
        raise ControlError(f"outlet {number} did not switch {wanted}; the event log says why")

    def _numbers(self) -> list[int]:
        return list(self._emulator.device.unit.relays.outlets)

    def _outlets(self, value: object) -> list[int]:
        numbers = value if isinstance(value, list) else []
        valid = [n for n in numbers if type(n) is int and n in self._numbers()]
        if not valid or len(valid) != len(numbers):
            raise ControlError(f"an outlet is a number from 1 to {len(self._numbers())}, not {value!r}")
        return valid


def _count(value: object) -> int | None:
    if value is None or (type(value) is int and 1 <= value <= 1000):
        return value
    raise ControlError(f"'count' is a number from 1 to 1000, not {value!r}")


def _delay_ms(seconds: object) -> int | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 3600:
        raise ControlError(f"'seconds' is a number from 0 to 3600, not {seconds!r}")
    return round(seconds * 1000)


def _remove_stale(path: str) -> None:
    """Take away a socket nobody listens on; leave everything else alone."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ControlError(f"{path} exists and is no socket; remove it or choose another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise ControlError(f"another emulator answers on {path}; stop it or choose another path")


def request(path: str, what: dict[str, object], timeout_ms: int = 30_000) -> dict[str, Any]:
    """Ask the emulator at ``path``; returns its answer. Raises ControlError with the reason if it says no."""
    deadline = Deadline(timeout_ms)
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(max(0.001, deadline.left_s()))
            connection.connect(path)
            connection.sendall(json.dumps(what).encode() + b"\n")
            while not answer.endswith(b"\n") and len(answer) < ANSWER_LIMIT_BYTES:
                connection.settimeout(max(0.001, deadline.left_s()))
                part = connection.recv(4096)
                if not part:
                    raise ControlError(f"{path}: the emulator closed the connection without an answer")
                answer += part
        except TimeoutError:
            raise ControlError(f"{path}: no answer within {timeout_ms / 1000:g} s") from None
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror}; is the emulator running?") from None
    found = json.loads(answer)
    if not isinstance(found, dict):
        raise ControlError(f"{path}: the answer is no JSON object")
    if not found.get("ok"):
        raise ControlError(str(found.get("error")))
    return found
