"""The little of QEMU's machine protocol that the lab needs: commands, and why a machine ended.

QMP is one JSON object a line (QEMU, docs/interop/qmp-spec.rst): a greeting, ``qmp_capabilities``, then commands
with an ``id`` that their answers repeat, and events in between.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from typing import Any

ANSWER_S = 40.0
LINE_LIMIT = 1 << 20


class QmpError(Exception):
    """QEMU refused a command, or is gone."""


class Monitor:
    """One machine's monitor, on a connected socket. ``shutdown_reason`` is known once ``ended`` is set.

    The reason is QEMU's own word (qapi/run-state.json): guest-reset, guest-shutdown, guest-panic, host-signal;
    "" when it was killed without a chance to say one.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._lock = threading.Lock()
        self.shutdown_reason = ""
        self.ended = threading.Event()
        threading.Thread(target=self._listen, name="qmp", daemon=True).start()

    def greet(self) -> None:
        """Leave negotiation mode. Raises QmpError."""
        self.command("qmp_capabilities")

    def command(self, execute: str, /, **arguments: object) -> None:
        """Raises QmpError."""
        text = json.dumps({"execute": execute, "arguments": arguments}) + "\n"
        with self._lock:
            try:
                self._connection.sendall(text.encode())
                answer = self._answers.get(timeout=ANSWER_S)
            except OSError as error:
                raise QmpError(f"{execute}: {error.strerror}") from None
            except queue.Empty:
                raise QmpError(f"{execute}: no answer within {ANSWER_S:g} s") from None
        if answer is None:
            self._answers.put(None)
            raise QmpError(f"{execute}: the machine has ended")
        if "error" in answer:
            raise QmpError(f"{execute}: {answer['error'].get('desc')}")

    def close(self) -> None:
        self._connection.close()

    def _listen(self) -> None:
        try:
            with self._connection.makefile("rb") as stream:
                while line := stream.readline(LINE_LIMIT):
                    self.heard(json.loads(line))
        except (OSError, ValueError):
            pass  # killed in the middle of a line
        self.ended.set()
        self._answers.put(None)

    def heard(self, message: dict[str, Any]) -> None:
        """One object from QEMU."""
        if message.get("event") == "SHUTDOWN":
            self.shutdown_reason = str(message.get("data", {}).get("reason", ""))
        elif "return" in message or "error" in message:
            self._answers.put(message)
