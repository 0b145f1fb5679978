"""Run the contenders of one row in turns and time each whole process.

Wall: from fork to the end of the process. CPU: user and system time of the process and of the children it
waited for (wait4(2)); a telnet client that fence_wti kills at the end is not in it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from contest import NODE, PLUG, Command, Contender, Row

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV

# Three times what the slowest of the originals was ever seen to need.
PATIENCE_MS = 180_000


class WrongOutcome(Exception):
    """A contender did not do what it was timed for; ``str()`` says who and what."""


@dataclass(frozen=True)
class Sample:
    """One run of all commands of a row."""

    wall_ms: float
    cpu_ms: float
    codes: tuple[int, ...]


@dataclass
class Result:
    """All runs of one row, by contender, in the order in which they took turns."""

    row: Row
    runs: int
    samples: dict[str, list[Sample]] = field(default_factory=dict)


def measure_row(row: Row, present: Mapping[str, Contender], switch: EmulatorProcess, runs: int) -> Result:
    """Each contender once for warming up, then A B C D, A B C D … ``runs`` times. Raises WrongOutcome."""
    wanted = {name for target in row.targets for name in (target.ours, target.peer)}
    taking_part = [contender for key, contender in present.items() if key in wanted]
    result = Result(row, runs, {contender.key: [] for contender in taking_part})
    if not row.slow:
        for contender in taking_part:
            _one(row, contender, switch)
    for _ in range(runs):
        for contender in taking_part:
            result.samples[contender.key].append(_one(row, contender, switch))
    return result


def _one(row: Row, contender: Contender, switch: EmulatorProcess) -> Sample:
    if switch.outlet_state(PLUG) != "on":
        switch.press(PLUG, "on")
    _wait_until_free(switch)
    moves_before = len(switch.events("switched"))
    wall_ms, cpu_ms, codes = 0.0, 0.0, []
    for action in row.actions:
        timed = _timed(contender.talk(action, row.address, row.password))
        wall_ms, cpu_ms = wall_ms + timed.wall_ms, cpu_ms + timed.cpu_ms
        codes += timed.codes
        if (timed.codes[0] == 0) != row.succeeds:
            raise WrongOutcome(f"{contender.key} {action} exited {timed.codes[0]}")
    moves = len(switch.events("switched")) - moves_before
    if moves != row.moves or switch.outlet_state(PLUG) != "on":
        raise WrongOutcome(f"{contender.key} exited {codes}, and outlet {PLUG} ({NODE}) moved {moves} times")
    return Sample(wall_ms, cpu_ms, tuple(codes))


def _wait_until_free(switch: EmulatorProcess) -> None:
    """The switch has one session: nobody shall pay for the one who was there before."""
    settle = Deadline(PATIENCE_MS)
    while switch.view()["session"] is not None:
        settle.require("the switch's session is free again")
        time.sleep(0.01)


def _timed(command: Command) -> Sample:
    """Run one command. Its standard input is a file, so that nobody waits for a writer."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(command.stdin.encode())
        stdin.seek(0)
        begin_ns = time.monotonic_ns()
        child = subprocess.Popen(
            command.argv,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**CLEAN_ENV, **command.env},
            cwd="/",
            start_new_session=True,
        )
        killer = threading.Timer(PATIENCE_MS / 1000, os.killpg, (child.pid, signal.SIGKILL))
        killer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        finally:
            killer.cancel()
        end_ns = time.monotonic_ns()
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu_ms = (usage.ru_utime + usage.ru_stime) * 1000
    return Sample((end_ns - begin_ns) / 1e6, cpu_ms, (child.returncode,))
