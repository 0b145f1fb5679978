"""cluster-glue's wti_nps under its ``stonith`` command, in a network namespace: it knows no port but 23."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

STONITH = "/usr/sbin/stonith"
ADDRESS = "127.0.8.1"
PASSWORD = "changeme"
TIMEOUT_MS = 120_000

needs_stonith = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
    pytest.mark.skipif(not Path(STONITH).exists(), reason="needs the package cluster-glue"),
]
_numbers = count()


def must(argv: list[str]) -> None:
    result = run(argv, Deadline(TIMEOUT_MS))
    assert result.ok(), result.describe()


@contextmanager
def namespace_for_a_switch() -> Iterator[str]:
    """The name of a network namespace with a loopback."""
    name = f"fk-wti-{os.getpid()}-{next(_numbers)}"
    must(["ip", "netns", "add", name])
    try:
        must(["ip", "-n", name, "link", "set", "lo", "up"])
        yield name
    finally:
        must(["ip", "netns", "delete", name])


def stonith(namespace: str, *arguments: str) -> CommandResult:
    """The parameters go through the environment (-E), as fence_legacy passes them."""
    argv = ["ip", "netns", "exec", namespace, STONITH, "-t", "wti_nps", "-E", *arguments]
    return run(argv, Deadline(TIMEOUT_MS), env={"ipaddr": ADDRESS, "password": PASSWORD})


def works(namespace: str, switch: EmulatorProcess, *arguments: str) -> CommandResult:
    """What must succeed. wti_nps waits five seconds for each answer and has no option for it.

    A machine that does other things may take them; it is asked again while nothing has come of it.
    """
    moved = len(switch.events("switched"))
    for _ in range(5):
        result = stonith(namespace, *arguments)
        if result.code == 0 or len(switch.events("switched")) != moved:
            break
    assert result.code == 0, result.describe()
    return result
