"""The asking side of the control socket, and what goes over it: one JSON line each way.

A request is ``{"verb", "groups", "target", "timeout_ms"}``, a watcher's has ``"terms"``, too. Answers are
``{"status": {...}}`` for status and watch (again and again), else ``{"reply": {"code", "text"}}`` with the real
outcome; that of fence-test has ``"plugs"`` beside it, which a failoverctl from before them does not look at.
Imports no asyncio: status should answer fast.
"""

from __future__ import annotations

import contextlib
import errno
import json
import socket
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from failover_kit.manager.actions import ExitCode
from failover_kit.manager.codec import CodecError, from_plain, pruned, to_plain
from failover_kit.manager.events import Terms
from failover_kit.manager.status import Status

DEFAULT_SOCKET = "/run/failover-kit/control.sock"

REQUEST_LIMIT_BYTES = 16_384
ANSWER_LIMIT_BYTES = 1 << 20

STATUS = "status"
WATCH = "watch"
TEST = "fence-test"

STATUS_TIMEOUT_MS = 10_000
PATIENCE_MS = 10_000
"""How much longer than the daemon's own limit a client waits for its answer."""

COMMAND_LIMIT_MS = 3_600_000
"""Longest wait for a command's outcome. The core gives up earlier: a move after CoreConfig.move_timeout_ms, a proof
drill after prove_timeout_ms and some minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One order or question. ``verb`` is one of events.Verb, "fence-test", "status" or "watch"."""

    verb: str
    groups: tuple[str, ...] = ()
    target: str = ""
    timeout_ms: int = 0  # 0: until there is an outcome
    terms: Terms | None = None  # of a watcher's request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outcome of an order."""

    code: ExitCode
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugReading:
    """What one plug said to ``fence --test``."""

    node: str
    level: int
    device: str
    plug: str
    state: str  # on, off, unknown; answers: a device without status
    took_ms: int
    problem: str  # fact and remedy; "" when nothing is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested(Answer):
    """The outcome of fence-test."""

    plugs: tuple[PlugReading, ...]


class ControlError(Exception):
    """There is no outcome; ``code`` is failoverctl's exit code, ``str()`` the sentence."""

    def __init__(self, code: ExitCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def order(path: str, request: Request) -> Answer:
    """Give an order and wait for its real outcome. ControlError when there is none."""
    limit_ms = request.timeout_ms or COMMAND_LIMIT_MS
    with contextlib.closing(_ask(path, request, limit_ms + PATIENCE_MS)) as answers:
        for answer in answers:
            if isinstance(answer, Answer):
                return answer
    raise _gone()


def status(path: str, timeout_ms: int = STATUS_TIMEOUT_MS) -> Status:
    """The status now. ControlError when there is none."""
    with contextlib.closing(_ask(path, Request(verb=STATUS), timeout_ms)) as answers:
        for answer in answers:
            if isinstance(answer, Status):
                return answer
            raise ControlError(answer.code, answer.text)
    raise _gone()


def watch(path: str, timeout_ms: int = STATUS_TIMEOUT_MS) -> Iterator[Status]:
    """The status again and again, until the caller stops. ControlError when failoverd ends or hangs."""
    with contextlib.closing(_ask(path, Request(verb=WATCH), timeout_ms)) as answers:
        for answer in answers:
            if isinstance(answer, Answer):
                raise ControlError(answer.code, answer.text)
            yield answer
    raise _gone()


def _ask(path: str, request: Request, timeout_ms: int) -> Generator[Status | Answer, None, None]:
    """Connect, ask, and give out what comes until the other side closes. ``timeout_ms`` is for each answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_ms / 1000)
        try:
            connection.connect(path)
        except OSError as error:
            raise _not_connected(path, error) from None
        try:
            connection.sendall(json.dumps(_plain(request)).encode() + b"\n")
            with connection.makefile("rb") as lines:
                while line := lines.readline(ANSWER_LIMIT_BYTES):
                    yield _answer(line)
        except TimeoutError:
            raise ControlError(
                ExitCode.TIMED_OUT,
                f"failoverd did not answer within {timeout_ms / 1000:g} s; the order may still be carried out",
            ) from None
        except OSError:
            raise _gone() from None


def _plain(request: Request) -> object:
    """Without terms where there are none: a failoverd from before them still takes an operator's orders."""
    plain = to_plain(request)
    if isinstance(plain, dict) and request.terms is None:
        del plain["terms"]
    return plain


def _answer(line: bytes) -> Status | Answer:
    try:
        plain = json.loads(line)
        if not isinstance(plain, dict):
            raise CodecError("no object")
        if "status" in plain:  # for people: what a newer failoverd says beside what is known here is not shown
            return from_plain(Status, pruned(Status, plain["status"], []))
        answer = from_plain(Answer, plain.get("reply"))
        if "plugs" not in plain:
            return answer
        plugs = from_plain(tuple[PlugReading, ...], pruned(tuple[PlugReading, ...], plain["plugs"], []))
        return Tested(code=answer.code, text=answer.text, plugs=plugs)
    except ValueError as error:
        raise ControlError(
            ExitCode.FAILED,
            f"failoverd's answer cannot be read ({error}); it runs another version: restart failoverd",
        ) from None


def _not_connected(path: str, error: OSError) -> ControlError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return ControlError(ExitCode.PERMISSION, f"no permission for {path}; run failoverctl as root")
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTSOCK, errno.ENOTDIR):
        return ControlError(
            ExitCode.NO_DAEMON,
            f"failoverd does not run on this node (nothing listens on {path}); start it, and see its log",
        )
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return ControlError(ExitCode.TIMED_OUT, f"failoverd does not take connections on {path}; see its log")
    return ControlError(ExitCode.NO_DAEMON, f"cannot talk to failoverd over {path}: {error.strerror or error}")


def _gone() -> ControlError:
    return ControlError(
        ExitCode.NO_DAEMON, "failoverd closed the connection without an outcome; see its log and the status"
    )
