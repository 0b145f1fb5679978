"""What runs on a node and writes to the shared disk: whenever the filesystem is mounted, records are written to it.

    recorder.py run --mount /mnt/e0.0 --node pete --acks /var/lib/recorder     # until SIGTERM
    recorder.py audit --mount /mnt/e0.0 FILE...                                # JSON: the fate of what was promised

It stands for an application with a supervisor, which knows nothing of the cluster. The supervisor never touches
the filesystem: it only looks whether something is mounted, and starts a writer. The writer makes a file for each
record, syncs it and its directory, adds a line to the journal that both nodes share, syncs that, and only then
writes the acknowledgement to the node's own disk, and syncs that, too: what stands there was promised to somebody.

Runs in the guest as one file: standard library only.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

JOURNAL = "journal"
WRITER = "record-writer"
"""The writer's name in ps(1)."""

PACE_S = 0.05
LOOK_S = 0.1
RESTART_S = 3.0
"""A writer that was killed comes back after this. Whoever wants to unmount has that long."""
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


class Ack(NamedTuple):
    """One line of the acknowledgements: ``at_ms`` is the node's time since boot (CLOCK_BOOTTIME)."""

    node: str
    life: int
    number: int
    at_ms: int


def uptime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def body(node: str, life: int, number: int) -> bytes:
    """Every byte of a record's file follows from its name; sizes from 1 to 12 KiB."""
    line = hashlib.sha256(f"{node} {life} {number}".encode("ascii")).hexdigest()
    text = f"{node} {life} {number} {line}\n".encode("ascii")
    size = 1024 + (number * 2741) % 11264
    return (text * (size // len(text) + 1))[:size]


def journal_line(node: str, life: int, number: int) -> str:
    return f"{node} {life} {number}\n"


def file_name(life: int, number: int) -> str:
    return f"{life}-{number:06d}"


# --- writing ------------------------------------------------------------------------------------------------


def mounted(mount: str) -> bool:
    """Whether a filesystem is mounted there, as the kernel's table says: no lookup goes near it."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[1] == mount for line in file)


def write_synced(path: str, data: bytes, directory: int, flags: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o644, dir_fd=directory)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def stands_on_a_mount(directory: int, mount: str) -> bool:
    """Whether the open ``directory`` is another filesystem than the one that ``mount`` lies in."""
    return os.fstat(directory).st_dev != os.stat(os.path.dirname(mount)).st_dev


def write_records(mount: str, node: str, acks: int, life: int) -> None:
    """The writer: records until it is killed, or an error, which is noted and ends it."""
    top = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if not stands_on_a_mount(top, mount):
        return  # unmounted meanwhile: what is below is the node's own disk
    try:
        try:
            os.mkdir(node, dir_fd=top)
        except FileExistsError:
            pass
        mine = os.open(node, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
        number = 0
        while True:
            number += 1
            write_synced(file_name(life, number), body(node, life, number), mine, os.O_EXCL)
            os.fsync(mine)
            write_synced(JOURNAL, journal_line(node, life, number).encode("ascii"), top, os.O_APPEND)
            promise(acks, {"ack": number, "life": life, "node": node, "at": uptime_ms()})
            time.sleep(PACE_S)
    except OSError as error:
        promise(acks, {"error": str(error), "life": life, "node": node, "at": uptime_ms()})


def promise(acks: int, what: dict[str, object]) -> None:
    os.write(acks, json.dumps(what).encode("ascii") + b"\n")
    os.fsync(acks)


def spawn_writer(mount: str, node: str, acks: int, life: int) -> int:
    """A child named WRITER; its pid. It holds the filesystem, its parent does not, and ends with its parent."""
    pid = os.fork()
    if pid == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            libc.prctl(_PR_SET_NAME, WRITER.encode("ascii"), 0, 0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            write_records(mount, node, acks, life)
        finally:
            os._exit(0)
    return pid


def run(mount: str, node: str, directory: str) -> None:
    """The supervisor. One writer at a time; a life is the time a writer lived."""
    os.makedirs(directory, exist_ok=True)
    acks = os.open(f"{directory}/{node}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    with open(f"{directory}/{node}", "rb") as file:
        life = max((entry.life for entry in acknowledged(file.read().decode("ascii", "replace"))), default=0)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    writer, rest_s = 0, 0.0
    while True:
        if writer and os.waitpid(writer, os.WNOHANG)[0] == writer:
            writer, rest_s = 0, time.monotonic() + RESTART_S
        if not writer and time.monotonic() >= rest_s and mounted(mount):
            life += 1
            writer = spawn_writer(mount, node, acks, life)
        time.sleep(LOOK_S)


# --- looking ------------------------------------------------------------------------------------------------


def entries(text: str) -> Iterator[dict[str, object]]:
    """The lines of an acknowledgement file; the last one may be torn by a power cut: it promised nothing."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def acknowledged(text: str) -> list[Ack]:
    return [
        Ack(str(entry["node"]), int(str(entry["life"])), int(str(entry["ack"])), int(str(entry["at"])))
        for entry in entries(text)
        if "ack" in entry
    ]


def errors(text: str) -> list[str]:
    return [f"{entry['node']}: {entry['error']}" for entry in entries(text) if "error" in entry]


def fate(mount: str, ack: Ack) -> str:
    """What the file of an acknowledged record is now: ``whole``, ``missing``, ``damaged`` or the error."""
    path = f"{mount}/{ack.node}/{file_name(ack.life, ack.number)}"
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return "whole" if data == body(ack.node, ack.life, ack.number) else "damaged"


def audit(mount: str, acks: Iterable[Ack]) -> dict[str, dict[str, int]]:
    """For each node: the fate of what was acknowledged there, of files and of lines in the journal."""
    try:
        with open(f"{mount}/{JOURNAL}", "rb") as file:
            lines = set(file.read().decode("ascii", "replace").splitlines(keepends=True))
    except OSError:
        lines = set()
    counts: dict[str, Counter[str]] = {}
    for ack in acks:
        count = counts.setdefault(ack.node, Counter())
        count["acknowledged"] += 1
        count[fate(mount, ack)] += 1
        count["journal line there" if journal_line(*ack[:3]) in lines else "journal line lost"] += 1
    return {node: dict(count) for node, count in sorted(counts.items())}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="recorder.py")
    parser.add_argument("do", choices=("run", "audit"))
    parser.add_argument("--mount", required=True)
    parser.add_argument("--node", default="")
    parser.add_argument("--acks", default="/var/lib/recorder", help="a directory; the file is named for the node")
    parser.add_argument("files", nargs="*")
    options = parser.parse_intermixed_args(argv)
    if options.do == "run":
        run(options.mount, options.node, options.acks)
        return 0
    if not mounted(options.mount):
        print(f"recorder: nothing is mounted at {options.mount}", file=sys.stderr)
        return 3
    acks: list[Ack] = []
    for name in options.files:
        with open(name, encoding="ascii", errors="replace") as file:
            acks += acknowledged(file.read())
    print(json.dumps(audit(options.mount, acks)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
