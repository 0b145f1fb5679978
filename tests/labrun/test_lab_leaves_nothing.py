"""However a lab ends, nothing of it stays: processes, namespaces, mounts, run directory."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from lab import main, start
from lab.lab import Lab
from lab.places import Places
from lab.start import keeper_pid

KINDS = ("net", "pid", "mnt")
FOREGROUND = """
import sys, time
sys.path[:0] = sys.argv[2:4]
from lab.lab import Lab
with Lab.open(sys.argv[1], say=lambda _: None) as lab:
    for guest in lab.guests:
        lab.ask("button", guest=guest)
    print("running", flush=True)
    time.sleep(600)
"""


class Traces:
    """What is known of a running lab, to look for when it is over."""

    def __init__(self, rundir: str) -> None:
        self.rundir = rundir
        self.pid = keeper_pid(Places(rundir))
        self.namespaces = {kind: os.readlink(f"/proc/{self.pid}/ns/{kind}") for kind in KINDS}
        assert all(os.readlink(f"/proc/self/ns/{kind}") != name for kind, name in self.namespaces.items())
        # The keeper, vblade, the switch, three machines.
        assert within(lambda: len(self.processes()) >= 6), self.processes()

    def processes(self) -> list[str]:
        """Who is in one of its namespaces, or has its directory in the command line."""
        found = []
        for path in glob.glob("/proc/[0-9]*"):
            try:
                inside = any(os.readlink(f"{path}/ns/{kind}") == self.namespaces[kind] for kind in KINDS)
                with open(f"{path}/cmdline", "rb") as file:
                    words = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if (inside or f"{self.rundir}/" in f"{words}/") and path != f"/proc/{os.getpid()}":
                found.append(f"{path} {words}")
        return found

    def left(self) -> list[str]:
        found = self.processes()
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            found += [line for line in file if self.rundir in line]
        if os.path.exists(self.rundir):
            found.append(self.rundir)
        return found


def within(what: Callable[[], bool], limit_s: float = 120.0) -> bool:
    end = time.monotonic() + limit_s
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def running(rundir: str) -> Lab:
    """A detached lab with every machine powered; nobody waits for their boot."""
    lab = Lab.open(rundir, say=lambda _: None, detached=True)
    for guest in lab.guests:
        lab.ask("button", guest=guest)
    return lab


def test_down_leaves_nothing(lab_dir: str) -> None:
    running(lab_dir)
    traces = Traces(lab_dir)
    assert main.main(["--rundir", lab_dir, "down"]) == main.DONE
    assert within(lambda: traces.left() == []), traces.left()


def test_down_after_the_keeper_was_killed_leaves_nothing(lab_dir: str) -> None:
    running(lab_dir)
    traces = Traces(lab_dir)
    os.kill(traces.pid, signal.SIGKILL)
    assert within(lambda: traces.processes() == []), traces.processes()
    assert main.main(["--rundir", lab_dir, "down"]) == main.DONE
    assert within(lambda: traces.left() == []), traces.left()


def test_down_of_a_keeper_that_does_not_answer_leaves_nothing(lab_dir: str) -> None:
    running(lab_dir)
    traces = Traces(lab_dir)
    os.kill(traces.pid, signal.SIGSTOP)
    assert start.end(Places(lab_dir), 60_000)
    assert within(lambda: traces.left() == []), traces.left()


def test_the_death_of_the_foreground_run_leaves_nothing(lab_dir: str) -> None:
    argv = ["/usr/bin/python3", "-c", FOREGROUND, lab_dir, start.TESTS, start.LIBRARY]
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=dict(os.environ))
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"running\n"
        traces = Traces(lab_dir)
    finally:
        child.kill()
        child.wait()
        child.stdout and child.stdout.close()
    assert within(lambda: traces.left() == []), traces.left()


def test_two_labs_side_by_side_end_each_for_itself(lab_dir: str) -> None:
    other = f"{lab_dir}-2"
    running(lab_dir)
    try:
        second = running(other)
        traces = [Traces(lab_dir), Traces(other)]
        assert not set(traces[0].namespaces.values()) & set(traces[1].namespaces.values())
        start.end(Places(lab_dir))
        assert within(lambda: traces[0].left() == []), traces[0].left()
        assert all(guest.on for guest in second.guests.values())
    finally:
        start.end(Places(other))
    assert within(lambda: traces[1].left() == []), traces[1].left()


def test_an_exception_in_the_story_leaves_nothing(lab_dir: str) -> None:
    with pytest.raises(ZeroDivisionError), Lab.open(lab_dir, say=lambda _: None) as lab:
        for guest in lab.guests:
            lab.ask("button", guest=guest)
        traces = Traces(lab_dir)
        _ = 1 / 0
    assert within(lambda: traces.left() == []), traces.left()


def test_a_keeper_that_cannot_start_leaves_nothing(lab_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.errors import LabError

    monkeypatch.setattr(start, "LIBRARY", "/nonexistent")
    with pytest.raises(LabError, match="keeper did not start"):
        Lab.open(lab_dir, say=lambda _: None)
    assert not os.path.exists(lab_dir)
    assert sys.exc_info() == (None, None, None)
