"""The control socket: root asks for status or gives an order, and gets the real outcome.

The socket is 0600 from its first moment, and the caller's uid is asked of the kernel (SO_PEERCRED, unix(7)):
only root, or the user failoverd itself runs as, is served. Every wait for a client has an end; a client
that hangs or goes away costs nothing but its own answer, the order goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol

from failover_kit.manager.actions import ExitCode, Level
from failover_kit.manager.client import (
    COMMAND_LIMIT_MS,
    DEFAULT_SOCKET,
    REQUEST_LIMIT_BYTES,
    STATUS,
    TEST,
    WATCH,
    Answer,
    ControlError,
    Request,
)
from failover_kit.manager.codec import CodecError, from_plain, to_plain
from failover_kit.manager.events import Terms, Verb
from failover_kit.manager.fencetest import TestOutcome
from failover_kit.manager.status import Status

CLIENT_LIMIT = 32
CLIENT_TIMEOUT_MS = 10_000  # for the request to come in and for an answer to be taken
WATCH_INTERVAL_MS = 1_000

_UNREAD_LIMIT_BYTES = 1 << 20  # of a refused request, read and thrown away

_ADDRESS_LIMIT_BYTES = 107  # sun_path of unix(7) without its NUL


class Outcome(Protocol):
    """What became of an order."""

    @property
    def code(self) -> ExitCode: ...

    @property
    def text(self) -> str: ...


_NO_LOGIN_UID = 2**32 - 1
"""Nobody logged in: (uid_t) -1, kernel/audit.c."""

GiveOrder = Callable[[Verb, tuple[str, ...], str, Terms | None, str], Awaitable[Outcome]]
"""``Shell.command``: verb, groups, target, terms, who; returns with the real outcome."""


TestPlugs = Callable[[str], Awaitable[Outcome]]
"""``PlugTester.test``: the node, or "" for both."""


class ControlServer:
    """Listens between ``start`` and ``close`` on one event loop."""

    def __init__(
        self,
        give_order: GiveOrder,
        status: Callable[[], Status],
        say: Callable[[Level, str], None],
        path: str = DEFAULT_SOCKET,
        *,
        watch_interval_ms: int = WATCH_INTERVAL_MS,
        test_plugs: TestPlugs | None = None,
    ) -> None:
        """``say`` gets a sentence for each order taken, with who gave it; ``test_plugs`` does ``fence --test``."""
        self.path = path
        self._give_order = give_order
        self._status = status
        self._say = say
        self._watch_interval_ms = watch_interval_ms
        self._test_plugs = test_plugs
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._orders: set[asyncio.Future[Outcome]] = set()

    async def start(self) -> None:
        """Listen. ControlError when that cannot be. A socket left by a crash is replaced: the lock of the
        state directory is what keeps a second failoverd away."""
        if len(os.fsencode(self.path)) > _ADDRESS_LIMIT_BYTES:
            text = f"{self.path} is too long for a socket; use at most {_ADDRESS_LIMIT_BYTES} bytes"
            raise ControlError(ExitCode.CONFIGURATION, text)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            os.makedirs(os.path.dirname(self.path) or ".", 0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
            # bind() gives the file the mode of the socket (net/unix/af_unix.c): never open to others.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(self.path)
        except OSError as error:
            listener.close()
            text = f"the control socket {self.path} cannot be made: {error.strerror}"
            raise ControlError(ExitCode.FAILED, text) from None
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=REQUEST_LIMIT_BYTES)

    async def close(self) -> None:
        """Stop listening, end every conversation, remove the socket. Call it after the last outcome."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        # Outcomes that are there already still reach whoever waits for them.
        if self._clients:
            await asyncio.wait(self._clients, timeout=0.1)
        for client in tuple(self._clients):
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a client is served outside of a task")
        too_many = len(self._clients) >= CLIENT_LIMIT
        self._clients.add(task)
        try:
            if too_many:
                text = f"failoverd serves {CLIENT_LIMIT} clients already; end some of them"
                await _refuse(reader, writer, ExitCode.FAILED, text)
            else:
                await self._serve(reader, writer)
        except (OSError, TimeoutError):
            pass  # the client went away, or does not read: its own loss
        except asyncio.CancelledError:
            pass  # failoverd ends; asyncio would print a traceback for a cancelled handler (before 3.12)
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, uid = _peer_of(writer)
        if uid not in (0, os.geteuid()):
            await _refuse(reader, writer, ExitCode.PERMISSION, "only root may talk to failoverd")
            return
        try:
            async with asyncio.timeout(CLIENT_TIMEOUT_MS / 1000):
                request = _parse(await reader.readline())
        except ValueError as error:
            await _refuse(reader, writer, ExitCode.USAGE, f"the request cannot be read: {error}")
            return
        if request.verb == STATUS:
            await _send(writer, {"status": to_plain(self._status())})
        elif request.verb == WATCH:
            await self._watch(reader, writer)
        else:
            await self._order(request, writer, _who(pid, uid))

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone = asyncio.ensure_future(reader.read(1))
        try:
            while not gone.done():
                await _send(writer, {"status": to_plain(self._status())})
                await asyncio.wait((gone,), timeout=self._watch_interval_ms / 1000)
        finally:
            gone.cancel()

    async def _order(self, request: Request, writer: asyncio.StreamWriter, who: str) -> None:
        if request.terms is not None:
            who += f", for {request.terms.asker}"
        begun = self._begun(request, who)
        if begun is None:
            await _reply(writer, ExitCode.USAGE, f"failoverd does not know {request.verb!r}")
            return
        about = " ".join((request.verb, *request.groups, request.target)).strip()
        self._say(Level.INFO, f"order: {about} ({who})")
        outcome = asyncio.ensure_future(begun)
        # Kept here so that it lives on when its client goes away.
        self._orders.add(outcome)
        outcome.add_done_callback(lambda done: self._answered(about, done))
        wait_ms = min(request.timeout_ms, COMMAND_LIMIT_MS) or COMMAND_LIMIT_MS
        done, _ = await asyncio.wait((outcome,), timeout=wait_ms / 1000)
        if not done:
            text = f"no outcome of {request.verb} within {wait_ms / 1000:g} s; it goes on, see failoverctl status"
            await _reply(writer, ExitCode.TIMED_OUT, text)
            return
        result = outcome.result()
        plain = _reply_of(result.code, result.text)
        if isinstance(result, TestOutcome):
            plain["plugs"] = to_plain(result.plugs)
        await _send(writer, plain)

    def _begun(self, request: Request, who: str) -> Awaitable[Outcome] | None:
        """The order, begun; None when it is unknown."""
        if request.verb == TEST and self._test_plugs is not None:
            return self._test_plugs(request.target)
        try:
            return self._give_order(Verb(request.verb), request.groups, request.target, request.terms, who)
        except ValueError:
            return None

    def _answered(self, about: str, outcome: asyncio.Future[Outcome]) -> None:
        """The outcome stands in the log beside its order, also when the client went away."""
        self._orders.discard(outcome)
        if not outcome.cancelled() and outcome.exception() is None:
            result = outcome.result()
            word = result.code.name.lower().replace("_", " ")
            first, *more = result.text.splitlines()  # a test answers with a table
            rest = f"; {'; '.join(line.strip() for line in more)}" if more else ""
            self._say(Level.INFO, f"order {word}: {about}: {first}{rest}")


def _parse(line: bytes) -> Request:
    """ValueError when it is no request."""
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        raise CodecError("no line of JSON") from None
    request = from_plain(Request, plain)
    if request.timeout_ms < 0:
        raise CodecError("a timeout below 0")
    return request


def _peer_of(writer: asyncio.StreamWriter) -> tuple[int, int]:
    """pid and uid of the other side, from the kernel (struct ucred of unix(7))."""
    connection: socket.socket = writer.get_extra_info("socket")
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _gid = struct.unpack("3i", raw)
    return pid, uid


def _who(pid: int, uid: int) -> str:
    """Who asks, for the log and the journal: ``uid 0, pid 10479, hb_standby``.

    The name is what the process calls itself (/proc/PID/comm, proc(5)); root may lie, and nothing is decided by it.
    The login uid is who logged in before sudo or su, where the kernel was told (pam_loginuid(8)).
    """
    words = [f"uid {uid}"]
    login = _proc(pid, "loginuid")
    if login.isdigit() and int(login) not in (uid, _NO_LOGIN_UID):
        words.append(f"login uid {login}")
    words.append(f"pid {pid}")
    name = "".join(sign if sign.isprintable() else "?" for sign in _proc(pid, "comm"))
    return ", ".join((*words, name) if name else words)


def _proc(pid: int, name: str) -> str:
    """A short file of /proc/PID; "" when the process is gone already."""
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read(64).strip()
    except OSError:
        return ""


async def _refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: ExitCode, text: str
) -> None:
    """Reply without having read everything, and let the reply arrive: closing a unix socket with unread bytes
    resets the connection, and the other side may then lose what was sent (net/unix/af_unix.c)."""
    await _reply(writer, code, text)
    writer.write_eof()
    async with asyncio.timeout(CLIENT_TIMEOUT_MS / 1000):
        for _ in range(_UNREAD_LIMIT_BYTES // REQUEST_LIMIT_BYTES):
            if not await reader.read(REQUEST_LIMIT_BYTES):
                return


async def _reply(writer: asyncio.StreamWriter, code: ExitCode, text: str) -> None:
    await _send(writer, _reply_of(code, text))


def _reply_of(code: ExitCode, text: str) -> dict[str, object]:
    return {"reply": to_plain(Answer(code=code, text=text))}


async def _send(writer: asyncio.StreamWriter, plain: object) -> None:
    writer.write(json.dumps(plain).encode() + b"\n")
    async with asyncio.timeout(CLIENT_TIMEOUT_MS / 1000):
        await writer.drain()
