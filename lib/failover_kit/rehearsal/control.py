"""Requests to a running rehearsal (and to the emulated power switch): one JSON object a line, each way.

Also a program, as light as possible since the switch runs it when a relay moves:
``control.py SOCKET power NODE on|off OUTLET``; see ``world.World.answer`` for what can be asked.
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

ANSWER_LIMIT_BYTES = 1 << 16
TIMEOUT_S = 40.0  # longer than a node may take to boot

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class RequestError(Exception):
    """A request could not be made or was refused; ``str()`` says why."""


def request(path: str, what: dict[str, Any], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Ask the one who listens at ``path``. Raises RequestError."""
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(path)
            connection.sendall(json.dumps(what).encode() + b"\n")
            while not answer.endswith(b"\n") and len(answer) < ANSWER_LIMIT_BYTES:
                part = connection.recv(4096)
                if not part:
                    raise RequestError(f"{path}: no answer; did the rehearsal end?")
                answer += part
        except OSError as error:
            raise RequestError(f"{path}: {error.strerror or error}; is the rehearsal running?") from None
    found = json.loads(answer)
    if not isinstance(found, dict) or not found.get("ok"):
        raise RequestError(str(found.get("error") if isinstance(found, dict) else found))
    return found


class Server:
    """Answers requests, one at a time, in one thread that lives until ``close()``.

    One thread for good: a node that it boots dies with the thread that started it (PR_SET_PDEATHSIG).
    """

    def __init__(self, path: str, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        os.chmod(path, 0o600)
        self._socket.listen(8)
        self._ended = False
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wake:
            try:
                wake.connect(self._path)
            except OSError:
                pass
        self._thread.join(timeout=TIMEOUT_S)
        self._socket.close()
        os.unlink(self._path)

    def _serve(self) -> None:
        while not self._ended:
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(5)
                try:
                    self._one(connection)
                except OSError:
                    pass  # whoever asked is gone

    def _one(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            line = stream.readline(ANSWER_LIMIT_BYTES)
        if not line:
            return
        try:
            what = json.loads(line)
            answer = {"ok": True, **self._answer(what)}
        except (ValueError, KeyError, TypeError, RequestError) as error:
            answer = {"ok": False, "error": f"{error}"}
        connection.sendall(json.dumps(answer).encode() + b"\n")


def main(argv: list[str]) -> int:
    path, what, node, state, outlet = argv[1:6]
    try:
        request(path, {"do": what, "node": node, "state": state, "outlet": outlet})
    except RequestError as error:
        print(f"rehearsal: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
