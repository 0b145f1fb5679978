"""WTI's REST interface as a session: plugs are read with GET and switched with POST, over TLS.

Sources: WTI's Ansible collection wti.remote (cpm_plugcontrol: GET and POST /api/v2/config/powerplug, Basic
authentication) and WTI's sample program for the interface (wti.com "RESTful API", plug control), which shows
the answer: ``{"status": {"code": "0", "text": "OK"}, "plugdatacount": "8", "powerplugs": [{"plug": "1",
"plugname": "pete", "state": "on", "busy": "0"}, …]}``. *Unproven on hardware.*

A plug is believed to be ON or OFF only when its ``state`` says exactly that and it is not busy. The password
goes out only after the certificate was verified, and never again once it was rejected.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import random
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from failover_kit.fence.screens import GroupRow, PlugRow, PlugState
from failover_kit.fence.secret import Secret
from failover_kit.fence.session import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, CommandRefused, LoginFailed
from failover_kit.fence.tcp import open_socket, wait_for
from failover_kit.fence.transport import ConnectFailed, ConnectionLost, NoAnswer, reason
from failover_kit.spec.deadline import Deadline

PATH = "/api/v2/config/powerplug"
# 64 plugs with every field anybody has seen are under 20 KB.
BODY_LIMIT = 256 * 1024
_NUMBER_DIGITS_MAX = 4
_UNNAMED = frozenset(("", "(undefined)", "(none)", "---"))


class AnswerError(Exception):
    """The device's answer is not one we understand; ``str()`` says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RestTarget:
    """Where the interface is and how it proves who it is."""

    host: str
    port: int
    family: int = 0
    ca_file: str = ""
    insecure: bool = False

    @property
    def name(self) -> str:
        """The host as the device may know it: a scope (fe80::1%eth0) belongs to our interface."""
        return self.host.partition("%")[0]


class RestSession:
    """A device reached by HTTPS; the counterpart of ``session.Session``.

    ``connect_ms`` bounds how long a refused connection is tried again, ``login_ms`` one TCP and TLS
    handshake. The connection is kept between requests when the device keeps it.
    """

    def __init__(
        self,
        target: RestTarget,
        username: str,
        password: Secret,
        deadline: Deadline,
        *,
        connect_ms: int,
        login_ms: int,
        debug: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._username = username
        self._password = password
        self._deadline = deadline
        self._connect_ms = connect_ms
        self._login_ms = login_ms
        self._debug = debug
        self._sleep = sleep
        self._stream: _Stream | None = None
        self._accepted = False
        self._final = ""

    def open(self) -> None:
        """Connect and verify the certificate; nothing is asked yet. Raises LoginFailed."""
        self.close()
        until = self._deadline if self._accepted else self._deadline.at_most(self._connect_ms)
        pause_ms = FIRST_PAUSE_MS
        while True:
            if self._final:
                raise LoginFailed(self._final)
            try:
                self._connect()
                return
            except ConnectFailed as error:
                if not error.again:
                    self._final = str(error)
                elif until.left_ms() <= pause_ms:
                    raise LoginFailed(f"{error}; tried for {until.total_ms / 1000:g} s") from None
                else:
                    self._debug(f"{error}; trying again")
                    self._sleep(random.SystemRandom().uniform(0.5, 1) * pause_ms / 1000)
                    pause_ms = min(2 * pause_ms, LONGEST_PAUSE_MS)

    def status(self, answer_ms: int) -> tuple[PlugRow, ...]:
        """The plugs as the device reports them now."""
        body = self._request("GET", None, self._deadline.at_most(answer_ms))
        try:
            rows = parse_plugs(body)
        except AnswerError as error:
            raise CommandRefused(self._password.redact(f"GET {PATH}: {error}")) from None
        self._debug("received: " + ", ".join(f"{r.number} {r.name} {r.state.value}" for r in rows))
        return rows

    def groups(self, answer_ms: int) -> tuple[GroupRow, ...]:  # noqa: ARG002 - the interface has no list of groups
        """Never any: plug groups are not part of this interface."""
        raise CommandRefused("the REST interface does not list plug groups")

    def switch(self, plug: int, answer_ms: int, *, on: bool) -> None:
        """Tell the device to switch one plug. Proves nothing."""
        if plug < 1:
            raise ValueError(f"{plug} is no plug number")
        order = json.dumps({"plug": str(plug), "state": "on" if on else "off"})
        self._debug(f"sent: POST {order}")
        body = self._request("POST", order, self._deadline.at_most(answer_ms))
        try:
            check_status(decode(body))
        except AnswerError as error:
            raise CommandRefused(self._password.redact(f"POST {PATH}: {error}")) from None

    def close(self) -> None:
        """Drop the connection; the interface has no session to leave."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.shut()

    def _connect(self) -> None:
        until = self._deadline.at_most(self._login_ms)
        target = self._target
        sock = open_socket(target.host, target.port, target.family, until)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream = _Stream(_secured(sock, target, until))
        except BaseException:
            sock.close()
            raise

    def _request(self, method: str, body: str | None, until: Deadline) -> bytes:
        """One request and its answer's body. A broken connection is ConnectionLost, a bad login is final."""
        if self._final:
            raise LoginFailed(self._final)
        if self._stream is None:
            self.open()
        assert self._stream is not None  # noqa: S101 - open() sets it or raises
        self._stream.until = until
        try:
            status, answer, kept = self._exchange(self._stream, method, body)
        except (ConnectionLost, http.client.HTTPException) as error:
            self.close()
            # Not the text of http.client: it quotes what the device sent.
            lost = isinstance(error, ConnectionLost)
            words = str(error) if lost else f"no proper answer ({type(error).__name__})"
            if not self._accepted:
                raise self._rejected(f"{words}, after it got the password") from None
            raise ConnectionLost(words) from None
        except NoAnswer:
            self.close()
            if not self._accepted:
                words = f"no answer within {until.total_ms / 1000:g} s, after it got the password"
                raise self._rejected(f"Connection timed out: {words}") from None
            raise
        if not kept:
            self.close()
        return self._judged(method, status, answer)

    def _exchange(self, stream: _Stream, method: str, body: str | None) -> tuple[int, bytes, bool]:
        connection = http.client.HTTPConnection(self._target.name, self._target.port)
        connection.auto_open = 0
        connection.sock = cast(socket.socket, stream)
        login = f"{self._username}:{self._password.reveal()}".encode("utf-8", "surrogateescape")
        headers = {
            "Accept": "application/json",
            "Authorization": "Basic " + base64.b64encode(login).decode("ascii"),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, PATH, body, headers)
        answer = connection.getresponse()
        data = answer.read(BODY_LIMIT + 1)
        if answer.length and len(data) <= BODY_LIMIT:
            # read(n) does not say so itself.
            raise ConnectionLost("the answer is cut off")
        return answer.status, data, answer.isclosed() and not answer.will_close

    def _judged(self, method: str, status: int, body: bytes) -> bytes:
        """The body of a good answer; anything else raises."""
        where = f"{method} {PATH}: HTTP {status}"
        self._debug(f"received: HTTP {status}, {len(body)} bytes")
        if status in (401, 403):
            raise self._rejected(f"the device does not accept user name and password (HTTP {status})")
        if status in (429, 503):
            raise ConnectionLost(f"{where}: the device is busy")
        if 300 <= status < 400:
            # Followed, it would carry the password to wherever the answer points.
            raise CommandRefused(f"{where}: a redirect is not followed; is this the address of the unit itself?")
        if status != 200:
            raise CommandRefused(f"{where}; does this unit have the REST interface, and is it enabled?")
        if len(body) > BODY_LIMIT:
            raise CommandRefused(f"{where}: the answer is longer than {BODY_LIMIT // 1024} KB")
        self._accepted = True
        return body

    def _rejected(self, words: str) -> LoginFailed:
        """From now on nothing is sent any more: newer units lock out after rejected passwords."""
        self.close()
        self._final = words
        return LoginFailed(words)


# The connection.


def _secured(sock: socket.socket, target: RestTarget, until: Deadline) -> ssl.SSLSocket:
    """TLS over a connected socket, its certificate verified. Raises ConnectFailed."""
    try:
        context = ssl.create_default_context(cafile=target.ca_file or None)
    except (OSError, ssl.SSLError):
        words = f"the certificates in {target.ca_file} cannot be read; a PEM file is needed"
        raise ConnectFailed(words, again=False) from None
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    secured = context.wrap_socket(sock, server_hostname=target.name, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secured.do_handshake()
                return secured
            except ssl.SSLWantReadError:
                _wait(secured, select.POLLIN, until)
            except ssl.SSLWantWriteError:
                _wait(secured, select.POLLOUT, until)
    except ssl.SSLCertVerificationError as error:
        secured.close()
        raise ConnectFailed(
            f"the certificate of {target.host} is not trusted: {error.verify_message}; give the unit's certificate "
            "with --ca-file",
            again=False,
        ) from None
    except NoAnswer:
        secured.close()
        words = f"{target.host} port {target.port}: no answer to the TLS handshake"
        raise ConnectFailed(words, again=False) from None
    except OSError as error:
        secured.close()
        words = "it does not speak TLS" if isinstance(error, ssl.SSLError) else reason(error)
        again = not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError)
        raise ConnectFailed(f"{target.host} port {target.port}: {words}", again=again) from None
    except BaseException:
        secured.close()
        raise


def _wait(sock: ssl.SSLSocket, mask: int, until: Deadline) -> None:
    if not wait_for(sock, mask, until):
        raise NoAnswer("the device does not answer")


class _Stream:
    """What http.client needs of a socket, with ``until`` over every single read and write."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self.until = Deadline(0)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._ready(partial(self._sock.send, rest)) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def read_into(self, buffer: memoryview) -> int:
        # A device that drips bytes must not outlast the deadline either.
        if self.until.expired():
            raise NoAnswer("the answer does not end")
        return self._ready(partial(self._sock.recv_into, buffer))

    def close(self) -> None:
        """http.client calls this before the body is read; a real socket then lives on in its file."""

    def shut(self) -> None:
        self._sock.close()

    def _ready(self, step: Callable[[], int]) -> int:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                _wait(self._sock, select.POLLIN, self.until)
            except ssl.SSLWantWriteError:
                _wait(self._sock, select.POLLOUT, self.until)
            except OSError as error:
                raise ConnectionLost(reason(error)) from None


class _Reader(io.RawIOBase):
    def __init__(self, stream: _Stream) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.read_into(memoryview(buffer))


# The answer.


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``, its keys in small letters. Raises AnswerError."""
    try:
        answer = json.loads(body.decode("utf-8"), object_pairs_hook=_one_of_each)
    except (ValueError, RecursionError):
        raise AnswerError("the answer is no JSON") from None
    if not isinstance(answer, dict):
        raise AnswerError("the answer is no JSON object")
    return answer


def _one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key.casefold() in found:
            raise AnswerError(f"the field {key[:40]!r} stands twice in one object")
        found[key.casefold()] = value
    return found


def check_status(answer: Mapping[str, Any]) -> None:
    """Raise AnswerError unless the answer says that the request was taken: status.code is 0."""
    status = answer.get("status")
    code = status.get("code") if isinstance(status, dict) else None
    if _plain(code) != "0":
        text = status.get("text") if isinstance(status, dict) else None
        raise AnswerError(f"the device says {str(text)[:120]!r} (code {str(code)[:20]!r})")


def parse_plugs(body: bytes) -> tuple[PlugRow, ...]:
    """The plugs in an answer, in the order of their numbers. Raises AnswerError."""
    answer = decode(body)
    check_status(answer)
    plugs = answer.get("powerplugs")
    if not isinstance(plugs, list) or not plugs:
        raise AnswerError("the answer has no list 'powerplugs'")
    count = answer.get("plugdatacount")
    if count is not None and _plain(count) != str(len(plugs)):
        raise AnswerError(f"the answer has {len(plugs)} plugs and says that it has {str(count)[:20]!r}")
    rows: dict[int, PlugRow] = {}
    for plug in plugs:
        row = _row(plug)
        if row.number in rows:
            raise AnswerError(f"plug {row.number} stands twice in the answer")
        rows[row.number] = row
    return tuple(rows[number] for number in sorted(rows))


def _row(plug: object) -> PlugRow:
    if not isinstance(plug, dict):
        raise AnswerError("an entry of 'powerplugs' is no object")
    number = _plain(plug.get("plug")) or ""
    if not (number.isascii() and number.isdigit() and len(number) <= _NUMBER_DIGITS_MAX and int(number) >= 1):
        raise AnswerError(f"an entry of 'powerplugs' has no plug number: {str(plug.get('plug'))[:40]!r}")
    name = plug.get("plugname")
    name = name.strip() if isinstance(name, str) else ""
    return PlugRow(int(number), "" if name.casefold() in _UNNAMED else name, _state(plug))


def _state(plug: Mapping[str, Any]) -> PlugState:
    """ON or OFF only when ``state`` is exactly that word and ``busy``, if there, says no."""
    busy = plug.get("busy", "0")
    if isinstance(busy, bool):
        busy = int(busy)
    count = _plain(busy)
    if count not in ("", "0"):
        return PlugState.BUSY if count is not None and count.isascii() and count.isdigit() else PlugState.UNKNOWN
    state = plug.get("state")
    word = state.strip().upper() if isinstance(state, str) else ""
    return PlugState(word) if word in ("ON", "OFF") else PlugState.UNKNOWN


def _plain(value: object) -> str | None:
    """A number or a text as text; None for anything else. True is no 1 here."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip()
