"""The service that fails over: takes numbered records on TCP, appends them, fsyncs, acknowledges.

As a haresources script: ``recordd DIRECTORY PORT start|stop|status``. A client sends ``N``, the answer is
``N NODE`` when the record is on the disk. Anything else closes the connection. While
``/run/rehearsal/recordd.hangs`` exists, ``stop`` never ends: the fault of scenes 6 and 11.
"""

import os
import select
import signal
import socket
import sys
import time

HANGS = "/run/rehearsal/recordd.hangs"
START_MS = 10_000
STOP_MS = 5_000
LINE_LIMIT_BYTES = 32  # a number and a newline; no client of ours sends more
CLIENT_LIMIT = 16

RUNNING, FAILED, NOT_RUNNING = 0, 1, 3  # LSB core, 22.2: exit codes of status


def now_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def pid_file(directory: str) -> str:
    return f"/run/recordd.{os.path.basename(directory)}.pid"


def running_pid(directory: str) -> int:
    """The daemon's pid, 0 when it does not run."""
    try:
        with open(pid_file(directory), encoding="ascii") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid if b"recordd.py\0serve" in file.read() else 0
    except (OSError, ValueError):
        return 0


def serve(directory: str, port: int, ready: int) -> int:
    """The daemon. ``ready`` is closed after one byte when the port is open."""
    records = os.open(f"{directory}/records", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))
    listener.listen(CLIENT_LIMIT)
    with open(pid_file(directory), "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.write(ready, b"+")
    os.close(ready)
    node = os.uname().nodename
    clients: dict[socket.socket, bytes] = {}
    while True:
        for client in select.select([listener, *clients], [], [])[0]:
            if client is listener:
                accepted = listener.accept()[0]
                if len(clients) < CLIENT_LIMIT:
                    clients[accepted] = b""
                continue
            rest = take(client, clients[client], records, node)
            if rest is None:
                client.close()
                del clients[client]
            else:
                clients[client] = rest


def take(client: socket.socket, before: bytes, records: int, node: str) -> bytes | None:
    """Append what arrived, acknowledge; what is left of an unfinished line, or None to hang up."""
    try:
        data = client.recv(4096)
    except OSError:
        return None
    *lines, rest = (before + data).split(b"\n")
    if not data or len(rest) > LINE_LIMIT_BYTES or not all(line.isdigit() for line in lines):
        return None
    if lines:
        text = "".join(f"{line.decode()} {node} {now_ms()}\n" for line in lines)
        if os.write(records, text.encode()) != len(text):
            return None  # a full disk: what is not there is not acknowledged
        os.fsync(records)
        try:
            client.sendall("".join(f"{line.decode()} {node}\n" for line in lines).encode())
        except OSError:
            return None
    return rest


def start(directory: str, port: int) -> int:
    if running_pid(directory):
        return RUNNING
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        os.setsid()
        os.set_inheritable(writer, True)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):  # or our caller waits for the end of its pipe
            os.dup2(null, fd)
        daemon = ["/usr/bin/python3", "-IS", __file__, "serve", directory, str(port), str(writer)]
        os.execv(daemon[0], daemon)  # noqa: S606
    os.close(writer)
    heard = select.select([reader], [], [], START_MS / 1000)[0] and os.read(reader, 1)
    if heard:
        return RUNNING
    print("recordd: did not start; is the filesystem mounted and the port free?", file=sys.stderr)
    return FAILED


def stop(directory: str, _port: int) -> int:
    while os.path.exists(HANGS):
        time.sleep(3600)
    pid = running_pid(directory)
    if not pid:
        return RUNNING
    os.kill(pid, signal.SIGTERM)
    end_ms = now_ms() + STOP_MS
    while running_pid(directory):
        if now_ms() > end_ms:
            os.kill(pid, signal.SIGKILL)
            end_ms = now_ms() + STOP_MS
        time.sleep(0.005)
    os.unlink(pid_file(directory))
    return RUNNING


def status(directory: str, _port: int) -> int:
    pid = running_pid(directory)
    print(f"recordd is running (pid {pid})" if pid else "recordd is stopped")
    return RUNNING if pid else NOT_RUNNING


def main(argv: list[str]) -> int:
    if argv[1:2] == ["serve"]:
        return serve(argv[2], int(argv[3]), int(argv[4]))
    actions = {"start": start, "stop": stop, "status": status, "monitor": status}
    if len(argv) != 4 or not argv[2].isdigit() or argv[3] not in actions:
        print(f"usage: {argv[0]} DIRECTORY PORT start|stop|status", file=sys.stderr)
        return 2
    return actions[argv[3]](argv[1], int(argv[2]))


if __name__ == "__main__":
    sys.exit(main(sys.argv))
