"""Start a keeper in namespaces of its own, find one that runs, end one: the host's side of a lab's life."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV
from lab import wire
from lab.errors import LabError
from lab.machine import last_line
from lab.places import Places

START_MS = 90_000
END_MS = 60_000
POLL_S = 0.05
TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
LIBRARY = os.path.join(os.path.dirname(TESTS), "lib")


def launch(
    places: Places, lock: int, config: dict[str, Any], *, foreground: bool, kept: Sequence[int] = ()
) -> int:
    """Start the keeper and wait until it is ready. Raises LabError, and then nothing is left of it.

    Returns the descriptor of the lifeline, which must stay open for as long as the lab shall live; -1 when the lab
    shall outlive this process. ``lock`` is closed here in any case; the keeper has it from then on. ``kept``:
    descriptors that shall stay open as long as the lab lives.
    """
    with open(places.config, "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    theirs, ours = os.pipe() if foreground else (-1, -1)
    argv = ["unshare", "--net", "--pid", "--mount", "--propagation", "private", "--fork", "--kill-child"]
    argv += ["--mount-proc", "/usr/bin/python3", "-s", "-P", "-m", "lab.keeper"]
    argv += [places.root, str(lock), str(theirs)]
    try:
        with open(places.log, "ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**CLEAN_ENV, "PYTHONPATH": f"{LIBRARY}:{TESTS}", "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                pass_fds=(lock, *kept, *((theirs,) if foreground else ())),
                start_new_session=True,
            )
    except OSError as error:
        raise LabError(f"unshare: {error.strerror}; apt install util-linux") from None
    finally:
        os.close(lock)
        if foreground:
            os.close(theirs)
    _CHILDREN.append(child)
    try:
        said = _first_line(child, Deadline(START_MS))
        if said != "ready":
            raise LabError(f"the lab's keeper did not start: {said or last_line(places.log)}")
    except BaseException:
        child.kill()  # and with it pid 1, by --kill-child
        child.wait()
        if foreground:
            os.close(ours)
        raise
    return ours


_CHILDREN: list[subprocess.Popen[bytes]] = []
"""Keepers of this process: kept, so that they can be reaped."""


def _first_line(child: subprocess.Popen[bytes], deadline: Deadline) -> str:
    assert child.stdout is not None
    with child.stdout as stream:
        text = b""
        while not text.endswith(b"\n"):
            if not select.select([stream], [], [], deadline.left_s())[0]:
                raise LabError(f"the lab's keeper was not ready within {deadline.total_ms / 1000:g} s")
            part = os.read(stream.fileno(), 4096)
            if not part:
                break
            text += part
    return text.decode("utf-8", "replace").strip()


def keeper_pid(places: Places) -> int:
    """The keeper's process id as this process sees it. Raises LabError when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(wire.TIMEOUT_S)
        try:
            connection.connect(places.socket)
        except OSError as error:
            raise LabError(f"{places.socket}: {error.strerror}; does the lab run?") from None
        # The kernel translates the id of who listens into our process namespace, unix(7).
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


def end(places: Places, deadline_ms: int = END_MS) -> list[str]:
    """End the lab in that directory, dead or alive, and remove the directory; a sentence for each thing done.

    Raises LabError when something would not go.
    """
    if not os.path.exists(places.root):
        return []
    if not os.path.exists(places.lock):
        raise LabError(f"{places.root}: this is no lab's directory; it was left as it is")
    said = []
    if places.alive():
        said.append(_end_keeper(places, Deadline(deadline_ms)))
    for child in list(_CHILDREN):
        if child.poll() is not None:
            _CHILDREN.remove(child)
    if os.path.exists(places.root):
        shutil.rmtree(places.root)
        said.append(f"{places.root}: what a lab that died had left was removed")
    return said


def _end_keeper(places: Places, deadline: Deadline) -> str:
    """Ask, then kill; wait for the keeper (the last of its namespace to go) and for its wrapper."""
    pids = set(filter(None, (_unshare_pid(places),)))
    with contextlib.suppress(LabError):
        pids.add(keeper_pid(places))
    with contextlib.ExitStack() as stack:
        victims = []
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                victims.append(os.pidfd_open(pid))
                stack.callback(os.close, victims[-1])
        try:
            wire.request(places.socket, {"do": "end"}, 10)
            if _gone(places, victims, deadline.at_most(deadline.total_ms // 2)):
                return f"{places.root}: the lab was ended"
        except wire.RequestError:
            pass
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(victim, signal.SIGKILL)
        if not _gone(places, victims, deadline):
            raise LabError(f"{places.root}: the lab's keeper cannot be ended; see its log {places.log}")
        return f"{places.root}: the lab did not answer and was killed"


def _gone(places: Places, victims: Sequence[int], deadline: Deadline) -> bool:
    """Whether these processes (pidfds) have ended in time, every thread of them, and the lock is free.

    The keeper's end comes after that of every process in its namespace: pid_namespaces(7).
    """
    for victim in victims:
        if not select.select([victim], [], [], deadline.left_s())[0]:
            return False
    while places.alive():
        if deadline.expired():
            return False
        time.sleep(POLL_S)
    return True


def _unshare_pid(places: Places) -> int | None:
    """The wrapper of the keeper of this directory, by its command line; its end takes the keeper along."""
    wanted = places.root.encode()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
                if words[0] == b"unshare" and b"lab.keeper" in words and wanted in words:
                    return int(name)
    return None
