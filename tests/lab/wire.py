"""Requests to the keeper: one JSON object a line, each way, on a unix socket.

Also a program, as light as possible, because the switch runs it whenever a relay moves:
``wire.py SOCKET power GUEST on|off``. Exit codes: 0 done, 1 refused or no answer, 2 usage.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

ANSWER_LIMIT_BYTES = 1 << 22
TIMEOUT_S = 50.0
"""Longer than QEMU may take to start or to die, shorter than an outlet waits for its command."""

PATH_LIMIT_BYTES = 107  # sun_path without its NUL, unix(7)

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class RequestError(Exception):
    """A request could not be made or was refused; ``str()`` says why."""


def request(path: str, what: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Ask the keeper that listens at ``path``. Raises RequestError."""
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(path)
            connection.sendall(json.dumps(what).encode() + b"\n")
            while not answer.endswith(b"\n") and len(answer) < ANSWER_LIMIT_BYTES:
                part = connection.recv(1 << 16)
                if not part:
                    raise RequestError(f"{path}: the keeper hung up without an answer; did the lab end?")
                answer += part
        except TimeoutError:
            raise RequestError(f"{path}: no answer to {what.get('do')!r} within {timeout_s:g} s") from None
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror or error}; does the lab run?") from None
    found = json.loads(answer)
    if not isinstance(found, dict) or not found.get("ok"):
        raise RequestError(str(found.get("error") if isinstance(found, dict) else found))
    return found


class Server:
    """Answers requests, each connection in a thread of its own: one may wait for a machine's end."""

    def __init__(self, path: str, answer: Answer) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        os.chmod(path, 0o600)
        self._socket.listen(32)
        threading.Thread(target=self._serve, name="wire", daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._one, args=(connection,), name="request", daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(TIMEOUT_S)
            try:
                with connection.makefile("rb") as stream:
                    line = stream.readline(ANSWER_LIMIT_BYTES)
                if line:
                    connection.sendall(self.reply(line))
            except OSError:
                pass  # whoever asked is gone

    def reply(self, line: bytes) -> bytes:
        """The answer to one line, as a line."""
        try:
            what = json.loads(line)
            answer = {"ok": True, **self._answer(what)}
        except Exception as error:  # outermost: a bug in one answer must not silence the keeper
            kind = "" if isinstance(error, RequestError) else f"{type(error).__name__}: "
            answer = {"ok": False, "error": f"{kind}{error}"}
        return json.dumps(answer).encode() + b"\n"


def main(argv: list[str]) -> int:
    """What an outlet runs."""
    if len(argv) != 5 or argv[2] != "power" or argv[4] not in ("on", "off"):
        print("wire.py: write SOCKET power GUEST on|off", file=sys.stderr)
        return 2
    try:
        request(argv[1], {"do": "power", "guest": argv[3], "state": argv[4]})
    except RequestError as error:
        print(f"wire.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
