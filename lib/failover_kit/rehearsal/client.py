"""The client: sends numbered records for as long as it lives and writes down every acknowledgement.

Run as a program on ``kokone``: ``client.py ADDRESS PORT FILE``. FILE gets a line per event, the time in ms of
the boot clock first: ``T ack N NODE``, ``T lost REASON``, ``T connected``. A record that was not acknowledged is
sent again under the same number, so the file of records may have one twice, and must have each acknowledged one.
"""

import os
import socket
import sys
import time

PACE_S = 0.02
ANSWER_S = 0.3
"""An answer this late means a new connection: after a takeover nobody knows the old one."""
CONNECT_S = 0.25
RETRY_S = 0.03


def now_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def connected(address: str, port: int) -> socket.socket | None:
    try:
        connection = socket.create_connection((address, port), timeout=CONNECT_S)
    except OSError:
        return None
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(ANSWER_S)
    return connection


def acknowledged(connection: socket.socket, number: int) -> str:
    """The node that wrote record ``number``. OSError when the connection is of no use any more."""
    connection.sendall(b"%d\n" % number)
    answer = b""
    while not answer.endswith(b"\n"):
        part = connection.recv(256)
        if not part:
            raise ConnectionResetError("connection closed")
        answer += part
    found, _, node = answer.decode("ascii", "replace").strip().partition(" ")
    if found != str(number):
        raise ConnectionResetError("an answer to another record")
    return node


def main(argv: list[str]) -> int:
    address, port = argv[1], int(argv[2])
    diary = os.open(argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(text: str) -> None:
        os.write(diary, f"{now_ms()} {text}\n".encode())

    number = 1
    while True:
        connection = connected(address, port)
        if connection is None:
            time.sleep(RETRY_S)
            continue
        write("connected")
        with connection:
            try:
                while True:
                    node = acknowledged(connection, number)
                    write(f"ack {number} {node}")
                    number += 1
                    time.sleep(PACE_S)
            except OSError as error:
                write(f"lost {error}")


if __name__ == "__main__":
    sys.exit(main(sys.argv))
