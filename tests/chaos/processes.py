"""The processes of a node as the machine sees them, by the control group that they are in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from failover_kit.rehearsal.node import Node

ACTION = "op-"
"""How failoverd names the group of one call of an agent (``manager.actionspace``)."""


@dataclass(frozen=True, slots=True)
class Process:
    """``pid`` on the machine, ``inner`` in the node, ``cell`` the last part of its control group's path."""

    pid: int
    inner: int
    cell: str
    words: tuple[str, ...]


def of(node: Node) -> Iterator[Process]:
    """Every process of the node that can be read now."""
    for path, _, _ in os.walk(node.cgroup):
        with suppress(OSError), open(f"{path}/cgroup.procs", encoding="ascii") as file:
            for line in file.read().split():
                with suppress(OSError, StopIteration):
                    yield _process(int(line), os.path.basename(path))


def _process(pid: int, cell: str) -> Process:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        inner = next(int(row.split()[-1]) for row in file if row.startswith("NSpid:"))
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = tuple(word.decode("utf-8", "replace") for word in file.read().split(b"\0"))
    return Process(pid, inner, cell, words)


def agents(node: Node) -> list[Process]:
    """What runs in the cells of agents' calls: the witness, the agent, and what it started."""
    return [process for process in of(node) if process.cell.startswith(ACTION)]


def daemon(node: Node) -> Process | None:
    """failoverd, if it runs."""
    wanted = node.daemon_pid
    return next((process for process in of(node) if wanted and process.inner == wanted), None)


def service(node: Node) -> Process | None:
    """The service's server, if it runs."""
    return next((p for p in of(node) if p.words[-3:-2] == ("serve",) or "serve" in p.words), None)


def signal(process: Process | None, number: int) -> bool:
    """Send it; False when there is nobody to send it to."""
    if process is None:
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True
