"""Filesystem as a bind mount: only that mount is the resource, and only who goes through it is in the way."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh
from agents.test_ocf_peers import PROVIDER, ocf_tester

pytestmark = pytest.mark.root


def mounts_at(point):
    """(options, root) of every mount at ``point``."""
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [(set(line[5].split(",")), line[3]) for line in lines if line[4] == str(point)]


@pytest.fixture
def tree(disks):
    """A filesystem with a directory to bind, and a place to bind it to: (disk, source, point)."""
    disk = disks("ext4")
    home = disk.base / "home"
    home.mkdir()
    sh("mount", disk.device, home)
    (home / "dir" / "sub").mkdir(parents=True)
    return disk, home / "dir", disk.base / "bound"


def test_every_action_twice(tree, filesystem):
    _, source, point = tree
    agent = filesystem(device=source, directory=point, fstype="none", options="bind")
    assert [agent("monitor"), agent("monitor", interval_s=0), agent("stop")] == [7, 7, 0]
    assert [agent("start"), agent("start")] == [0, 0]
    assert [root for _, root in mounts_at(point)] == ["/dir"]
    assert [agent("monitor", level=level) for level in (0, 10, 20)] == [0, 0, 0]
    assert [agent("stop"), agent("stop"), agent("monitor")] == [0, 0, 7]
    assert mounts_at(point) == []
    assert source.is_dir()
    assert list(agent.state_dir.iterdir()) == []


def test_ro_is_real_and_a_writable_mount_is_not_it(tree, filesystem):
    _, source, point = tree
    agent = filesystem(device=source, directory=point, options="bind,ro,nosuid,nodev,noatime")
    assert agent("start") == 0
    ((options, _),) = mounts_at(point)
    assert {"ro", "nosuid", "nodev", "noatime"} <= options
    with pytest.raises(OSError, match="Read-only"):
        (point / "x").touch()
    (source / "x").touch()
    assert agent("monitor", level=20) == 0
    sh("mount", "-o", "remount,bind,rw", point)
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "can be written to" in reason(result)
    assert agent("stop") == 0


def test_stop_leaves_other_mounts_and_their_users_alone(tree, filesystem, background):
    """Regression (the peer's issue 1304): everybody on the source's filesystem was a user of the bind mount."""
    disk, source, point = tree
    other = disk.base / "other"
    other.mkdir()
    sh("mount", "--bind", source, other)
    (source / "file").touch()
    agent = filesystem(device=source, directory=point, options="bind")
    point.mkdir()
    before = background(["sleep", "600"], cwd=point)
    eventually(lambda: os.readlink(f"/proc/{before.pid}/cwd") == str(point), "it sits in what will be covered")
    assert agent("start") == 0
    innocents = [before, *(background(["sleep", "600"], cwd=place) for place in (source, other, source.parent))]
    innocents += [background(["sleep", "600"], stdin=(place / "file").open()) for place in (source, other)]
    guilty = [background(["sleep", "600"], cwd=place) for place in (point, point / "sub")]
    guilty += [background(["sleep", "600"], stdin=(point / "file").open())]
    assert agent("stop") == 0
    assert [child.wait(60) for child in guilty] == [-signal.SIGTERM] * 3
    assert [child.poll() for child in innocents] == [None] * 6
    assert len(mounts_at(other)) == 1
    assert len(disk.mounts()) == 2


def test_a_file_mapped_through_the_bind_mount_is_a_use(tree, filesystem, background):
    _, source, point = tree
    maps = Path("/proc/self/maps").read_text()
    library = next(line.split()[-1] for line in maps.splitlines() if "libc.so" in line)
    sh("cp", library, source / "library.so")
    agent = filesystem(device=source, directory=point, options="bind")
    assert agent("start") == 0
    script = "import ctypes,sys,time; ctypes.CDLL(sys.argv[1]); print('ready', flush=True); time.sleep(600)"
    children = []
    for place in (point, source):
        argv = ["/usr/bin/python3", "-c", script, f"{place}/library.so"]
        children.append(background(argv, stdout=subprocess.PIPE))
        assert children[-1].stdout.readline() == b"ready\n"
    assert agent("stop") == 0
    assert children[0].wait(60) == -signal.SIGTERM
    assert children[1].poll() is None


def test_what_is_mounted_in_it_goes_too_and_what_else_is_there_is_not_ours(tree, filesystem):
    _, source, point = tree
    agent = filesystem(device=source, directory=point, options="bind")
    assert agent("start") == 0
    sh("mount", "-t", "tmpfs", "inner", point / "sub")
    assert agent("monitor") == 0
    assert agent("stop") == 0
    assert (mounts_at(point), mounts_at(point / "sub")) == ([], [])
    sh("mount", "--bind", source / "sub", point)
    assert agent("monitor") == 7
    result = agent.run("start")
    assert (result.returncode, agent("stop")) == (1, 0)
    assert f"is mounted at {point}" in reason(result)
    assert [root for _, root in mounts_at(point)] == ["/dir/sub"]


def test_the_source_s_own_mount_goes_first(tree, filesystem):
    """The bind mount lives on; that its source's path leads elsewhere now does not make it "not running"."""
    _, source, point = tree
    agent = filesystem(device=source, directory=point, options="bind")
    assert agent("start") == 0
    sh("umount", source.parent)
    source.mkdir()
    assert [agent("monitor"), agent("start"), agent("stop"), agent("monitor")] == [0, 0, 0, 7]
    assert mounts_at(point) == []


def test_a_deleted_source_is_a_failure(tree, filesystem):
    _, source, point = tree
    agent = filesystem(device=source / "sub", directory=point, options="bind")
    assert agent("start") == 0
    (source / "sub").rmdir()
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "was deleted" in reason(result)
    assert [agent("stop"), agent("monitor")] == [0, 7]


def test_a_source_that_is_no_directory(tree, filesystem):
    _, source, point = tree
    result = filesystem(device=source / "missing", directory=point, options="bind").run("start")
    assert result.returncode == 5
    assert "not a directory" in reason(result)
    assert mounts_at(point) == []


def test_reload_changes_ro_and_flags_in_place(tree, filesystem, background):
    _, source, point = tree
    agent = filesystem(device=source, directory=point, options="bind")
    assert agent("start") == 0
    user = background(["sleep", "600"], cwd=point)
    assert agent("reload-agent", options="bind,ro,nosuid") == 0
    ((options, _),) = mounts_at(point)
    assert {"ro", "nosuid"} <= options
    assert agent("monitor", options="bind,ro,nosuid") == 0
    assert agent("reload-agent") == 0
    ((options, _),) = mounts_at(point)
    assert "rw" in options
    assert "nosuid" not in options
    assert user.poll() is None
    assert agent("stop") == 0


def test_ocf_tester_passes_a_bind_mount(tree, installed, tmp_path):
    _, source, point = tree
    parameters = {"device": source, "directory": point, "fstype": "none", "options": "bind,ro"}
    result = ocf_tester(installed / PROVIDER / "Filesystem", [], parameters, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
