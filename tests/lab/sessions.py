"""The keeper's side of ssh: one master connection for each guest that runs, made when somebody needs it.

The masters live in the keeper's namespaces, so they reach the guests and die with the lab. The host's side only
talks to a master's socket (ssh -S). When a guest's power goes its master goes, too: nobody ever waits on the
connection of a dead boot.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV
from lab import plan
from lab.errors import LabError
from lab.machine import last_line

POLL_S = 0.02
RETRY_S = 0.2
END_S = 10.0
CONNECT_S = 60
"""ConnectTimeout, ssh_config(5), for the key exchange, too: 5 s were not enough for an emulated processor on a
busy machine, and no attempt ever came through. A guest whose power goes is not waited for: see ``drop``."""
ALIVE_S, ALIVE_COUNT = 15, 8
"""A guest on a busy machine may say nothing for long; two minutes of silence are the end of a connection."""


class Masters:
    """``directory`` takes the sockets, ``key`` and ``known`` are files of the image; ``known`` "": not checked."""

    def __init__(self, directory: str, key: str, known: str) -> None:
        self._directory = directory
        self._key, self._known = key, known
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._locks = {name: threading.Lock() for name in plan.NAMES}

    def path(self, name: str) -> str:
        """The socket that ``ssh -S`` wants."""
        return os.path.join(self._directory, name)

    def log(self, name: str) -> str:
        return os.path.join(self._directory, f"{name}.log")

    def get(self, name: str, timeout_ms: int, on: Callable[[], bool]) -> dict[str, object]:
        """A master that is connected: its socket and its process id here. Raises LabError in time, and at once
        when the machine is not ``on``."""
        deadline = Deadline(timeout_ms)
        if not self._locks[name].acquire(timeout=max(0.001, deadline.left_s())):
            raise LabError(f"{name}: somebody else waits for its ssh already; {self._why(name)}")
        try:
            while True:
                child = self._children.get(name)
                if child is not None and child.poll() is None and self._wait(name, child, deadline):
                    return {"path": self.path(name), "master": child.pid}
                if not on():
                    raise LabError(f"{name} is off")
                if deadline.expired():
                    raise LabError(f"{name}: no ssh within {timeout_ms / 1000:g} s; {self._why(name)}")
                if child is not None:
                    time.sleep(RETRY_S)  # sshd is not up yet; nobody is helped by a storm of attempts
                self._children[name] = self._start(name)
        finally:
            self._locks[name].release()

    def alive(self, name: str, master: int) -> bool:
        """Whether that master is still the one, and connected."""
        child = self._children.get(name)
        return child is not None and child.pid == master and child.poll() is None

    def drop(self, name: str) -> None:
        """The guest is gone, or will be."""
        child = self._children.pop(name, None)
        if child is not None:
            child.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_S)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def _why(self, name: str) -> str:
        return f"ssh's last word: {last_line(self.log(name))}"

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))
        options = {
            "ControlMaster": "yes",
            "ControlPath": self.path(name),
            "ControlPersist": "no",
            "IdentityFile": self._key,
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self._known or "/dev/null",
            "StrictHostKeyChecking": "yes" if self._known else "no",
            "BatchMode": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": str(ALIVE_COUNT),
            "LogLevel": "ERROR",
        }
        argv = ["ssh", "-F", "/dev/null", "-N"]
        for option, value in options.items():
            argv += ["-o", f"{option}={value}"]
        with open(self.log(name), "ab") as log:
            return subprocess.Popen(
                [*argv, f"root@{plan.guest(name).address}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**CLEAN_ENV, "HOME": "/root"},
                cwd="/",
                start_new_session=True,
            )

    def _wait(self, name: str, child: subprocess.Popen[bytes], deadline: Deadline) -> bool:
        """Whether the master's socket is there before its process or our time ends."""
        while not os.path.exists(self.path(name)):
            if deadline.expired():
                return False
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_S)
                return False
        return True
