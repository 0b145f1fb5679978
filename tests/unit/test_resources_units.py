"""What is read out of ``systemctl show`` and a unit's control group. The texts are those of systemd 252."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.manager import units
from failover_kit.manager.actionspace import CgroupSpace, cgroup2_mount
from failover_kit.manager.callers import Caller, CallKind, Finding, GroupPlan, unit_finding
from failover_kit.manager.children import Calls, Ended
from failover_kit.manager.events import Probed, ProbeOutcome, StopFailed, Stopped
from failover_kit.manager.resources import GroupRunner

STARTED_FINE = "InactiveExitTimestampMonotonic=131203537\nActiveEnterTimestampMonotonic=131246761\n"
START_FAILED = "InactiveExitTimestampMonotonic=137542916\nActiveEnterTimestampMonotonic=0\n"
START_FAILED_AFTER_A_GOOD_ONE = "InactiveExitTimestampMonotonic=37542916\nActiveEnterTimestampMonotonic=31246761\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups as systemd keeps it; files instead of a kernel."""
    (tmp_path / "init.scope").mkdir()
    monkeypatch.setattr(units, "CGROUP_MOUNTS", (str(tmp_path),))
    return tmp_path


def group_of(tree: Path, path: str, *, pids: str = "", populated: bool | None = None) -> Path:
    folder = tree / path.lstrip("/")
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").write_text(pids)
    if populated is not None:
        (folder / "cgroup.events").write_text(f"populated {int(populated)}\nfrozen 0\n")
    return folder


def finding(text: str) -> Finding:
    return unit_finding(units.read(text))[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ActiveState=active\nTasksCurrent=3\nControlGroup=/system.slice/a.service\n", Finding.RUNNING),
        ("ActiveState=reloading\nTasksCurrent=3\n", Finding.RUNNING),
        # nfs-server.service: the threads of the kernel are no tasks of the unit.
        ("ActiveState=active\nSubState=exited\nTasksCurrent=[not set]\nControlGroup=\n", Finding.RUNNING),
        ("ActiveState=inactive\nTasksCurrent=[not set]\nControlGroup=\n", Finding.STOPPED),
        ("ActiveState=inactive\n", Finding.STOPPED),  # a target
        ("ActiveState=inactive\nTasksCurrent=2\n", Finding.DOUBT),
        ("ActiveState=failed\nTasksCurrent=[not set]\n", Finding.STOPPED),
        ("ActiveState=failed\nTasksCurrent=18446744073709551615\n", Finding.STOPPED),
        ("ActiveState=failed\nTasksCurrent=1\n", Finding.DOUBT),
        ("ActiveState=deactivating\nTasksCurrent=1\n", Finding.DOUBT),
        ("ActiveState=activating\nTasksCurrent=[not set]\n", Finding.DOUBT),
        ("", Finding.DOUBT),
        ("Failed to connect to bus: Connection refused\n", Finding.DOUBT),
    ],
)
def test_a_unit_is_stopped_only_without_tasks(tree: Path, text: str, found: Finding) -> None:
    assert finding(text) is found


@pytest.mark.parametrize(
    ("kind", "times", "found"),
    [
        ("oneshot", STARTED_FINE, Finding.DOUBT),
        ("oneshot", "", Finding.DOUBT),  # not told: doubt
        ("oneshot", START_FAILED, Finding.STOPPED),
        ("oneshot", START_FAILED_AFTER_A_GOOD_ONE, Finding.STOPPED),
        # What a service of processes is, is gone with its processes.
        ("simple", STARTED_FINE, Finding.STOPPED),
        ("forking", STARTED_FINE, Finding.STOPPED),
    ],
)
def test_a_oneshot_unit_whose_stop_failed_is_not_stopped(
    tree: Path, kind: str, times: str, found: Finding
) -> None:
    text = f"Type={kind}\nResult=timeout\nControlGroup=\nTasksCurrent=[not set]\nActiveState=failed\n{times}"
    unit = units.read(text)
    assert unit_finding(unit)[0] is found
    if found is Finding.DOUBT:
        assert "Result=timeout" in unit.doubt
        assert "systemctl reset-failed" in unit.doubt


LEFT = "ActiveState=inactive\nTasksCurrent=[not set]\nControlGroup=/system.slice/kna.service\n"


def test_processes_left_in_the_control_group_are_seen_where_systemd_does_not_count_them(tree: Path) -> None:
    group_of(tree, "/system.slice/kna.service", pids=f"{os.getpid()}\n", populated=True)
    found, reason = unit_finding(units.read(LEFT))
    assert found is Finding.DOUBT
    assert reason.startswith(f"systemd says inactive, but process {os.getpid()} (")
    assert reason.endswith("is left in its control group")


def test_processes_in_a_control_group_below_count(tree: Path) -> None:
    group_of(tree, "/system.slice/kna.service", populated=True)
    group_of(tree, "/system.slice/kna.service/deeper", pids=f"{os.getpid()}\n", populated=True)
    unit = units.read(LEFT)
    assert unit.left is not None
    assert unit.left.pids() == (os.getpid(),)
    assert unit_finding(unit)[0] is Finding.DOUBT


@pytest.mark.parametrize("pids", ["", "17\n"])
def test_before_control_groups_version_2_the_list_of_processes_tells(tree: Path, pids: str) -> None:
    group_of(tree, "/system.slice/kna.service")
    group_of(tree, "/system.slice/kna.service/deeper", pids=pids)
    assert finding(LEFT) is (Finding.DOUBT if pids else Finding.STOPPED)


def test_an_empty_or_removed_control_group_is_no_doubt(tree: Path) -> None:
    assert finding(LEFT) is Finding.STOPPED
    group_of(tree, "/system.slice/kna.service", populated=False)
    assert finding(LEFT) is Finding.STOPPED


def test_where_no_tree_of_systemd_is_found_nothing_is_called_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "CGROUP_MOUNTS", (str(tmp_path),))
    assert finding(LEFT) is Finding.DOUBT
    assert finding("ActiveState=inactive\nControlGroup=\n") is Finding.STOPPED


def test_a_unit_that_runs_has_left_nothing_behind() -> None:
    caller = unit_caller("/bin/false")
    answer = Ended(code=0, stdout="ActiveState=active\nControlGroup=/\n", began_ms=0, ended_ms=1)
    assert caller.left_behind(answer) is None
    assert caller.finding(answer) == (Finding.RUNNING, "")


def test_the_reason_of_a_stopped_unit_is_a_sentence(tree: Path) -> None:
    answer = Ended(code=0, stdout="ActiveState=failed\nControlGroup=\n", began_ms=0, ended_ms=1)
    assert unit_caller("/bin/false").finding(answer) == (Finding.STOPPED, "systemd says failed")


# --- with a real control group ------------------------------------------------------------------------

SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$@" >> ledger
[ "$1" = stop ] && { touch stopped; exit 0; }
[ "$1" = start ] && { rm -f stopped; exit 0; }
state=active; [ -e stopped ] && state=inactive
[ -e queued ] && echo Job=415
printf 'ActiveState=%s\\nTasksCurrent=[not set]\\nControlGroup=/system.slice/kmp.service\\n' $state
"""


def unit_caller(systemctl: str) -> Caller:
    return Caller(
        name="kmp.service",
        instance="web-1-kmp.service",
        kind=CallKind.UNIT,
        program=systemctl,
        args=("kmp.service",),
        monitor_interval_ms=0,
        default_timeout_ms=20_000,
    )


class Bench:
    """A unit with a process that outlives its stop, in a control group below a tree of our own."""

    def __init__(self, folder: Path) -> None:
        mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        self.top = Path(mount) / f"unittest-{os.getpid()}"
        self.group = self.top / "system.slice" / "kmp.service" / "deeper"
        self.group.mkdir(parents=True)
        (self.top / "init.scope").mkdir()
        self.systemctl = folder / "systemctl"
        self.systemctl.write_text(SYSTEMCTL)
        self.systemctl.chmod(0o755)
        self.sleeper = subprocess.Popen(["/bin/sleep", "300"])
        (self.group / "cgroup.procs").write_text(str(self.sleeper.pid))
        patience = time.monotonic() + 60
        while Path(f"/proc/{self.sleeper.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < patience, "it does not sleep"
            time.sleep(0.01)
        space = CgroupSpace("unitnode", (str(self.top),))
        plan = GroupPlan("web", (unit_caller(str(self.systemctl)),))
        self.runner = GroupRunner(plan, space, lambda _: None, Calls())

    def close(self) -> None:
        self.sleeper.kill()
        self.sleeper.wait()
        for folder, _, _ in sorted(os.walk(self.top), reverse=True):
            Path(folder).rmdir()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path)
    monkeypatch.setattr(units, "CGROUP_MOUNTS", (str(made.top),))
    yield made
    made.close()


@pytest.mark.root
def test_what_a_unit_leaves_running_is_killed_by_its_stop(bench: Bench) -> None:
    assert asyncio.run(asyncio.wait_for(bench.runner.stop(1), 60)) == Stopped("web", 1)
    assert bench.sleeper.wait(timeout=60) == -9
    assert bench.group.is_dir(), "the group is systemd's, and stays"


@pytest.mark.root
def test_a_probe_kills_nothing_of_a_unit_and_says_what_is_left(bench: Bench) -> None:
    (bench.systemctl.parent / "stopped").touch()
    probed = asyncio.run(asyncio.wait_for(bench.runner.probe(1), 60))
    assert isinstance(probed, Probed)
    assert probed.outcome is ProbeOutcome.DOUBT
    assert f"process {bench.sleeper.pid} (sleep, state S) is left in its control group" in probed.reason
    assert bench.sleeper.poll() is None


@pytest.mark.root
def test_a_unit_that_runs_on_after_its_stop_is_not_killed_but_told(bench: Bench) -> None:
    bench.systemctl.write_text(SYSTEMCTL.replace("touch stopped; ", ""))
    stopped = asyncio.run(asyncio.wait_for(bench.runner.stop(1), 60))
    assert isinstance(stopped, StopFailed)
    assert "after the stop the monitor says still running" in stopped.reason
    assert bench.sleeper.poll() is None


@pytest.mark.root
@pytest.mark.parametrize("queued", [False, True])
def test_a_stop_that_systemd_wants_as_well_does_not_wait_for_its_order(bench: Bench, queued: bool) -> None:
    """At the end of the machine the unit may be ordered to stop after failoverd, which waits for that stop."""
    folder = bench.systemctl.parent
    if queued:
        (folder / "queued").touch()
    assert asyncio.run(asyncio.wait_for(bench.runner.stop(1), 60)) == Stopped("web", 1)
    (stop,) = [line for line in (folder / "ledger").read_text().splitlines() if line.startswith("stop")]
    assert stop == ("stop --job-mode=ignore-dependencies kmp.service" if queued else "stop kmp.service")


@pytest.mark.parametrize(
    ("line", "queued"), [("Job=415\n", True), ("Job=\n", False), ("Job=0\n", False), ("", False)]
)
def test_a_job_of_systemd_shows(line: str, queued: bool) -> None:
    assert units.read(f"ActiveState=active\n{line}").queued is queued
