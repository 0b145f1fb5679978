"""Filesystem after SIGKILL at any instant: start, stop and monitor go on correctly."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh, told
from failover_kit.kernel import blockdev

pytestmark = pytest.mark.root

SEED = 20261126
ROUNDS = 25


def kill_after(background, agent, verb, delay_s, whole_group):
    child = background([agent.path, verb], env=agent.environment(30, 10, 0, {}), stderr=-3, stdout=-3)
    time.sleep(delay_s)
    if child.poll() is None:
        (os.killpg if whole_group else os.kill)(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.parametrize("kind", ["disk", "bind"])
def test_killed_at_random_moments(disks, filesystem, background, kind):
    """Pacemaker kills an agent that is late without a word, and what the agent had started goes on."""
    chance = random.Random(SEED)
    disk = disks("ext4")
    point = disk.base / "mnt"
    if kind == "disk":
        agent = filesystem(device=disk.device, directory=point, fstype="ext4", run_fsck="force")
    else:
        (disk.base / "source").mkdir()
        agent = filesystem(device=disk.base / "source", directory=point, options="bind,ro")
    for number in range(ROUNDS):
        verb = chance.choice(["start", "stop"])
        kill_after(background, agent, verb, chance.uniform(0, 0.25), chance.random() < 0.5)
        told = f"seed {SEED}, round {number}, {verb} killed"
        if chance.random() < 0.5:
            assert agent("start") == 0, told
            assert agent("monitor") == 0, told
        assert agent("stop") == 0, told
        if kind == "disk":
            assert blockdev.is_free(disk.device, os.stat(disk.device).st_rdev), told
        assert agent("monitor") == 7, told
        time.sleep(0.1)  # What the killed one had started would have mounted it by now.
        assert agent("monitor") == 7, told
    assert str(point) not in Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def slow_mount(disks):
    """mount(8) waits before it mounts, as it does for a disk that is slow: (disk, a file that lets it go on)."""
    disk = disks("ext4")
    real, gate, slow = disk.base / "mount.real", disk.base / "go", disk.base / "mount.slow"
    real.write_bytes(Path("/usr/bin/mount").read_bytes())
    real.chmod(0o755)
    waiting = f"while [ -d {disk.base} ] && [ ! -e {gate} ]; do sleep 0.05; done"
    slow.write_text(f'#!/bin/sh\n{waiting}\nexec {real} "$@"\n')
    slow.chmod(0o755)
    sh("mount", "--bind", slow, "/usr/bin/mount")
    yield disk, gate
    gate.touch()
    sh("umount", "-l", "/usr/bin/mount")


def test_a_mount_that_goes_on_without_its_start_is_waited_for(slow_mount, filesystem, background):
    """Otherwise stop says "stopped", and a moment later the disk is mounted."""
    disk, gate = slow_mount
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    starting = background([agent.path, "start"], env=agent.environment(60, 10, 0, {}), stderr=-3, stdout=-3)
    eventually(lambda: mounting(disk.device), "mount(8) runs")
    os.kill(starting.pid, signal.SIGKILL)
    starting.wait()
    result = told(agent, "stop", "an earlier start or stop")
    assert result.returncode == 1
    assert "an earlier start or stop" in reason(result)
    assert "mount" in reason(result).partition("still runs")[2]
    gate.touch()
    assert agent("stop") == 0
    assert disk.mounts() == []
    assert agent("monitor") == 7


def mounting(device):
    """The processes that are mount(8) and were given ``device``."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"/usr/bin/mount" in words and device.encode() in words:
                found.append(pid)
    return found
