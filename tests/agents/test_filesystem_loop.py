"""Filesystem on loop disks with real XFS and ext4."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh, told
from failover_kit.kernel import blockdev

pytestmark = pytest.mark.root


@contextlib.contextmanager
def thawed_at_the_end(device):
    """Gives a function that freezes; at the end the filesystem is thawed, by way of a new mount if it has none."""
    points = []

    def freeze(point):
        sh("fsfreeze", "-f", point)
        points.append(point)

    try:
        yield freeze
    finally:
        for point in points:
            unmounted = not os.path.ismount(point)
            if unmounted:
                sh("mount", device, point)
            sh("fsfreeze", "-u", point)
            if unmounted:
                sh("umount", point)


def state_of(pid):
    """The letter of ps(1): R, S, D, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


@pytest.fixture(params=["xfs", "ext4"])
def fstype(request):
    return request.param


def test_every_action_twice(disks, filesystem, fstype):
    disk = disks(fstype)
    agent = filesystem(device=disk.device, directory=disk.base / "mnt", fstype=fstype)
    assert agent("monitor") == 7
    assert agent("stop") == 0
    assert [agent("start"), agent("start")] == [0, 0]
    assert disk.mounts() == [str(disk.base / "mnt")]
    assert [agent("monitor"), agent("monitor", interval_s=0)] == [0, 0]
    assert [agent("monitor", level=level) for level in (10, 20)] == [0, 0]
    assert [agent("stop"), agent("stop")] == [0, 0]
    assert agent("monitor") == 7


def test_probe_of_a_stopped_resource_is_quiet(disks, filesystem):
    disk = disks("ext4")
    result = filesystem(device=disk.device, directory=disk.base / "mnt").run("monitor", interval_s=0)
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")


@pytest.mark.parametrize("spelling", ["UUID={uuid}", "-U {uuid}", "--uuid {uuid}", "LABEL={label}", "-L {label}"])
def test_device_by_uuid_and_label_without_udev(disks, filesystem, fstype, spelling):
    label = f"h {os.getpid() % 10**9}"  # of this run alone: all disks of the machine are searched
    disk = disks(fstype, label=label)
    uuid = sh("blkid", "-p", "-s", "UUID", "-o", "value", disk.device).stdout.strip()
    device = spelling.format(uuid=uuid, label=label)
    agent = filesystem(device=device, directory=disk.base / "mnt", fstype=fstype)
    assert agent("monitor") == 7
    assert agent("validate-all", level=10) == 0
    assert agent("start") == 0
    assert disk.mounts() == [str(disk.base / "mnt")]
    assert agent("monitor") == 0
    assert agent("start") == 0
    for record in agent.state_dir.iterdir():
        record.unlink()
    assert agent("monitor") == 0, "the superblock tells when the record is lost"
    assert agent("stop") == 0
    assert agent("monitor") == 7
    assert disk.mounts() == []


def test_two_disks_with_one_uuid_are_refused(disks, filesystem):
    label = f"twin{os.getpid()}"
    disk = disks("ext4", label=label)
    disks("ext4", copy_of=disk)
    result = filesystem(device=f"LABEL={label}", directory=disk.base / "mnt").run("start")
    assert result.returncode == 5
    assert "give the path" in reason(result)


@pytest.mark.parametrize("name", ["a.b", "50%s", "with blank", "ta\\b", "per#cent%", "ünïcode", "(x)[y]+*?"])
def test_any_mount_point_name(disks, filesystem, name):
    """Regressions: the peer took the mount point for a regular expression and for a printf format."""
    disk, other = disks("ext4"), disks("ext4")
    decoy = disk.base / name.replace(".", "X").replace("%s", "")
    decoy.mkdir(exist_ok=True)
    agent = filesystem(device=disk.device, directory=disk.base / name)
    if decoy != disk.base / name:
        sh("mount", other.device, decoy)
    assert agent("monitor") == 7
    assert agent("start") == 0
    assert len(disk.mounts()) == 1
    assert agent("monitor") == 0
    assert agent("stop") == 0
    assert agent("monitor") == 7
    assert disk.mounts() == []


def test_directory_behind_a_symbolic_link(disks, filesystem):
    disk = disks("ext4")
    (disk.base / "real").mkdir()
    (disk.base / "link").symlink_to("real")
    agent = filesystem(device=disk.device, directory=disk.base / "link" / "mnt")
    assert agent("start") == 0
    assert disk.mounts() == [str(disk.base / "real" / "mnt")]
    assert agent("monitor") == 0
    assert agent("stop") == 0
    assert agent("monitor") == 7


def test_the_device_s_link_vanishes_or_moves_while_mounted(disks, filesystem):
    """udev takes a link away when its disk fails; "not running" would then be a lie, and stop's, too."""
    disk = disks("ext4")
    link = disk.base / "by-path"
    link.symlink_to(disk.device)
    agent = filesystem(device=link, directory=disk.base / "mnt")
    assert agent("start") == 0
    link.unlink()
    assert [agent("monitor"), agent("start")] == [0, 0]
    link.symlink_to(disks("ext4").device)
    assert [agent("monitor"), agent("start")] == [0, 0]
    assert agent("stop") == 0
    assert disk.mounts() == []
    assert agent("monitor") == 7


def test_something_else_at_the_directory(disks, filesystem):
    disk, other = disks("ext4"), disks("ext4")
    point = disk.base / "mnt"
    point.mkdir()
    sh("mount", other.device, point)
    agent = filesystem(device=disk.device, directory=point)
    result = agent.run("start")
    assert result.returncode == 1
    assert other.device in reason(result)
    assert agent("monitor") == 7
    assert agent("stop") == 0
    assert other.mounts() == [str(point)], "what is not ours stays"


def test_mounted_elsewhere_is_in_doubt_and_stop_finds_it(disks, filesystem):
    disk = disks("ext4")
    (disk.base / "other").mkdir()
    sh("mount", disk.device, disk.base / "other")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    assert agent("monitor") == 1
    assert agent("monitor", interval_s=0) == 1
    assert agent("start") == 1
    assert agent("stop") == 0
    assert disk.mounts() == []
    assert agent("monitor") == 7


def test_stop_takes_submounts_binds_and_covers_along(disks, filesystem):
    disk, inner = disks("xfs"), disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point, fstype="xfs")
    assert agent("start") == 0
    for name in ("sub", "bound"):
        (point / name).mkdir()
    sh("mount", inner.device, point / "sub")
    (disk.base / "bind").mkdir()
    sh("mount", "--bind", point / "bound", disk.base / "bind")
    sh("mount", "-t", "tmpfs", "cover", point)
    assert agent("monitor") == 1
    assert agent("stop") == 0
    assert (disk.mounts(), inner.mounts()) == ([], [])
    assert str(point) not in Path("/proc/self/mountinfo").read_text()


def test_missing_device(disks, filesystem):
    disk = disks("ext4")
    agent = filesystem(device="/dev/fkra-nothing", directory=disk.base / "mnt")
    result = told(agent, "start", "did not appear", first_s=1)
    assert result.returncode == 5
    assert "did not appear" in reason(result)
    assert agent("monitor") == 7
    assert agent("stop") == 0
    assert agent("validate-all") == 0
    assert agent("validate-all", level=10) == 5
    by_uuid = filesystem(device="UUID=00000000-0000-4000-8000-000000000000", directory=disk.base / "mnt")
    assert (by_uuid("monitor"), by_uuid("stop")) == (7, 0)
    assert told(by_uuid, "start", "did not appear", first_s=1).returncode == 5


def test_device_that_comes_late_is_waited_for(disks, filesystem, background):
    disk = disks("ext4")
    link = disk.base / "late"
    background(["sh", "-c", f"sleep 0.5; ln -s {disk.device} {link}"])
    assert filesystem(device=link, directory=disk.base / "mnt")("start") == 0
    assert filesystem(device=link, directory=disk.base / "mnt")("stop") == 0


def test_a_regular_file_is_not_a_device(disks, filesystem):
    disk = disks("ext4")
    result = filesystem(device=disk.image, directory=disk.base / "mnt").run("start", timeout_s=2)
    assert result.returncode == 5
    assert "not a block device" in reason(result)


def test_wrong_filesystem_type_says_what_mount_said(disks, filesystem):
    disk = disks("ext4")
    result = filesystem(device=disk.device, directory=disk.base / "mnt", fstype="xfs").run("start")
    assert result.returncode == 1
    assert "mount -t xfs" in reason(result)


def test_many_users_are_ended(disks, filesystem, background, fstype):
    """100 processes with their working directory, 20 with open files; all gone, innocents spared."""
    disk = disks(fstype)
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    (point / "file").touch()
    ready = disk.base / "ready"
    script = f"""
        for i in $(seq 100); do sleep 600 & done
        cd /
        for i in $(seq 20); do sleep 600 3<{point}/file & done
        touch {ready}
        wait
    """
    background(["bash", "-c", script], cwd=point)
    innocent = background(["sleep", "600"], cwd=disk.base)
    eventually(ready.exists, "users are there")
    assert agent("stop") == 0
    assert disk.mounts() == []
    assert innocent.poll() is None


def test_users_that_ignore_term_are_killed(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    script = f"trap '' TERM; touch {disk.base}/ready; while :; do sleep 0.05; done"
    stubborn = background(["bash", "-c", script], cwd=point)
    eventually((disk.base / "ready").exists, "the stubborn one is there")
    assert agent("stop") == 0
    assert stubborn.wait(60) == -signal.SIGKILL


def test_a_bind_mount_from_elsewhere_inside_ours_harms_nobody_elsewhere(disks, filesystem, background):
    """Regression (peer's issue 1304): a bind mount made users of its source's whole filesystem victims."""
    disk, shared = disks("ext4"), disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    for directory in (disk.base / "shared", point / "bind"):
        directory.mkdir()
    sh("mount", shared.device, disk.base / "shared")
    (disk.base / "shared" / "dir").mkdir()
    sh("mount", "--bind", disk.base / "shared" / "dir", point / "bind")
    innocents = [background(["sleep", "600"], cwd=place) for place in (disk.base, disk.base / "shared" / "dir")]
    guilty = [background(["sleep", "600"], cwd=place) for place in (point, point / "bind")]
    assert agent("stop") == 0
    assert [child.wait(60) for child in guilty] == [-signal.SIGTERM] * 2
    assert [child.poll() for child in innocents] == [None, None]
    assert shared.mounts() == [str(disk.base / "shared")]


def test_a_user_that_stop_descends_from_is_named_and_spared(disks, filesystem):
    """``cd /mnt/disk; failoverctl standby``: the administrator's own shell must not be killed."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    shell = ["sh", "-c", f'cd {point} && ("$@" <&-); code=$?; cd /; exit $code', "sh"]
    assert filesystem(device=disk.device, directory=point)("start") == 0
    result = told(filesystem(shell, device=disk.device, directory=point), "stop", "sh (pid")
    assert result.returncode == 1
    assert "sh (pid" in reason(result)
    assert "never kills" in reason(result)
    assert filesystem(device=disk.device, directory=point)("stop") == 0


def test_force_unmount_no_harms_nobody_and_names_the_user(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point, force_unmount="no")
    assert agent("start") == 0
    user = background(["sleep", "600"], cwd=point)
    result = told(agent, "stop", f"sleep (pid {user.pid})")
    assert result.returncode == 1
    assert f"sleep (pid {user.pid})" in reason(result)
    assert user.poll() is None
    assert agent("monitor") == 0
    assert agent("stop", force_unmount="safe,xargs") == 0


def test_a_mapped_file_is_a_use(disks, filesystem, background):
    """A library that was loaded is in no descriptor, only in the memory map."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    maps = Path("/proc/self/maps").read_text()
    shutil.copy(next(line.split()[-1] for line in maps.splitlines() if "libc.so" in line), point / "library.so")
    script = (
        f"import ctypes,sys,time; ctypes.CDLL('{point}/library.so'); print('ready', flush=True); time.sleep(600)"
    )
    user = background(["/usr/bin/python3", "-c", script], stdout=subprocess.PIPE)
    assert user.stdout.readline() == b"ready\n"
    links = [os.readlink(entry) for entry in Path(f"/proc/{user.pid}/fd").iterdir()]
    assert not any(link.startswith(f"{point}/") for link in links)
    assert agent("stop") == 0
    assert user.wait(60) == -signal.SIGTERM


def test_the_same_path_in_another_mount_namespace_is_no_use(disks, filesystem, background):
    """A path is text: in a container it may name something else, whose users are innocent."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    point.mkdir()
    script = f"mount -t tmpfs mine {point} && cd {point} && touch {disk.base}/ready && exec sleep 600"
    innocent = background(["unshare", "-m", "--propagation", "private", "sh", "-c", script])
    eventually((disk.base / "ready").exists, "the container is there")
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    user = background(["sleep", "600"], cwd=point)
    assert os.readlink(f"/proc/{innocent.pid}/cwd") == str(point)
    assert agent("stop") == 0
    assert user.wait(60) == -signal.SIGTERM
    assert innocent.poll() is None


def test_another_mount_namespace_makes_stop_fail(disks, filesystem, background):
    """The rule that keeps two nodes off one disk: gone is only what can be opened exclusively."""
    disk = disks("xfs")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    assert agent("start") == 0
    ready = disk.base / "ready"
    holder = background(["unshare", "-m", "--propagation", "private", "sh", "-c", f"touch {ready}; exec sleep 600"])
    eventually(ready.exists, "the namespace is there")
    eventually(lambda: Path(f"/proc/{holder.pid}/comm").read_text() == "sleep\n", "it sleeps")
    result = told(agent, "stop", "mount namespace of sleep")
    assert result.returncode == 1
    assert f"mount namespace of sleep (pid {holder.pid})" in reason(result)
    assert disk.mounts() == []
    result = agent.run("monitor")
    assert result.returncode == 1, "not mounted here, but not stopped"
    assert "the kernel still has a filesystem on" in reason(result)
    assert agent("stop", timeout_s=2) == 1
    result = told(agent, "start", "in use")
    assert result.returncode == 1
    assert "in use" in reason(result)
    assert holder.poll() is None, "a process that is only in another namespace is not ours to kill"
    holder.kill()
    holder.wait()
    assert agent("stop") == 0
    assert agent("start") == 0
    assert agent("stop") == 0


def test_a_lazy_unmount_is_not_a_stop(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    holder = background(["sleep", "600"], cwd=point)
    eventually(lambda: os.readlink(f"/proc/{holder.pid}/cwd") == str(point), "the holder is there")
    sh("umount", "-l", point)
    result = told(agent, "stop", "lazy unmount")
    assert result.returncode == 1
    assert "lazy unmount" in reason(result)
    assert [agent("monitor"), agent("monitor", interval_s=0)] == [1, 1]
    holder.kill()
    holder.wait()
    eventually(lambda: agent("monitor") == 7, "the filesystem is gone from the kernel")
    assert agent("stop") == 0


@pytest.mark.parametrize("hangs_in", ["open", "write"])
def test_a_frozen_filesystem_with_a_writer_in_it_fails_the_stop(disks, filesystem, background, hangs_in):
    """A writer that waits for the thaw cannot be killed: the stop names it, and nothing is unmounted."""
    disk = disks("xfs")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    script = {"open": f"exec echo >{point}/file", "write": f"exec 3>{point}/file; read x; echo >&3"}[hangs_in]
    with thawed_at_the_end(disk.device) as freeze:
        if hangs_in == "open":
            freeze(point)
        writer = background(["sh", "-c", script], stdin=subprocess.PIPE)
        if hangs_in == "write":
            eventually((point / "file").exists, "the writer has its file")
            freeze(point)
        writer.stdin.close()
        eventually(lambda: state_of(writer.pid) == "D", "the writer waits for the thaw")
        seen = {"open": f"in state D now: sh (pid {writer.pid})", "write": f"sh (pid {writer.pid}, in state D)"}
        result = told(agent, "stop", seen[hangs_in])
        assert result.returncode == 1
        assert seen[hangs_in] in reason(result)
        assert disk.mounts() == [str(point)]
    writer.wait(60)
    assert agent("stop") == 0


def test_a_filesystem_that_was_frozen_when_it_was_unmounted_is_not_stopped(disks, fstype, filesystem):
    """umount(2) returns 0, and the superblock lives on: only the exclusive open tells."""
    disk = disks(fstype)
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    with thawed_at_the_end(disk.device) as freeze:
        freeze(point)
        result = told(agent, "stop", "frozen when it was unmounted")
        assert result.returncode == 1
        assert "frozen when it was unmounted" in reason(result)
        assert disk.mounts() == []
        assert agent("monitor") == 1
        assert agent("start", timeout_s=2) == 1
    assert agent("monitor") == 7
    assert agent("stop") == 0


def test_a_lazy_unmount_is_not_a_stop_even_if_the_link_is_gone(disks, filesystem, background):
    disk = disks("ext4")
    link, point = disk.base / "by-path", disk.base / "mnt"
    link.symlink_to(disk.device)
    agent = filesystem(device=link, directory=point)
    assert agent("start") == 0
    holder = background(["sleep", "600"], cwd=point)
    eventually(lambda: os.readlink(f"/proc/{holder.pid}/cwd") == str(point), "the holder is there")
    sh("umount", "-l", point)
    link.unlink()
    assert agent("monitor") == 1, "start wrote down which device it was"
    assert agent("stop", timeout_s=2) == 1
    holder.kill()
    holder.wait()
    assert agent("stop") == 0
    assert list(agent.state_dir.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO])
def test_a_disk_that_is_only_away_is_not_free(disks, fstype, background, monkeypatch, number):
    """AoE and SCSI answer so while the target is down; a lazily unmounted filesystem then writes on later."""

    def away(path, flags):
        raise OSError(number, os.strerror(number))

    disk = disks(fstype)
    point = disk.base / "mnt"
    point.mkdir()
    sh("mount", disk.device, point)
    holder = background(["sleep", "600"], cwd=point)
    eventually(lambda: os.readlink(f"/proc/{holder.pid}/cwd") == str(point), "the holder is there")
    sh("umount", "-l", point)
    device = os.stat(disk.device).st_rdev
    with monkeypatch.context() as patch:
        patch.setattr(blockdev.os, "open", away)
        assert not blockdev.is_free(disk.device, device)
    holder.kill()
    holder.wait()
    eventually(lambda: blockdev.is_free(disk.device, device), "the filesystem is gone")
    monkeypatch.setattr(blockdev.os, "open", away)
    assert blockdev.is_free(disk.device, device)


def test_a_filesystem_shut_down_by_the_kernel_is_a_failure_at_depth_0(disks, filesystem, fstype, background):
    """Regression: the peer called an XFS running on which every access failed with EIO."""
    disk = disks(fstype)
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    user = background(["sleep", "600"], cwd=point)
    sh("xfs_io", "-x", "-c", "shutdown", point)
    if fstype == "xfs":
        assert agent("monitor") == 1
    else:
        # ext4 says so in its options since Linux 6.15 only; a write always tells.
        assert agent("monitor", level=20) == 1
    assert agent("stop") == 0
    assert user.wait(60) == -signal.SIGTERM
    assert agent("monitor") == 7


def test_a_filesystem_gone_read_only_is_a_failure(disks, filesystem):
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    assert agent("start") == 0
    sh("mount", "-o", "remount,ro", disk.base / "mnt")
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "read-only" in reason(result)
    assert agent("monitor", options="noatime,ro") == 0
    assert agent("monitor", options="noatime,ro", level=20) == 0
    assert agent("stop") == 0


class HungFilesystem:
    """A FUSE filesystem whose server never answers: the model of a dead NFS server or disk."""

    def __init__(self, point):
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        data = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"hung", os.fsencode(point), b"fuse", 0, data) != 0:
            raise OSError(ctypes.get_errno(), "mount of fuse failed")

    def close(self):
        """Closing the connection fails every request that waits."""
        os.close(self.fd)


def test_a_hung_filesystem_below_ours_does_not_hang_stop(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    (point / "dead").mkdir()
    hung = HungFilesystem(point / "dead")
    try:
        stuck = background(["stat", point / "dead" / "x"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: "fuse" in Path(f"/proc/{stuck.pid}/wchan").read_text(), "somebody hangs there")
        assert agent("monitor") == 0
        assert agent("stop") == 0
        assert disk.mounts() == []
    finally:
        hung.close()


def test_a_hung_mount_over_a_parent_directory_does_not_hang_anything(disks, filesystem):
    """A lookup below a dead server would hang: the mount table alone says that ours is hidden."""
    disk = disks("ext4")
    parent = disk.base / "parent"
    (parent / "mnt").mkdir(parents=True)
    agent = filesystem(device=disk.device, directory=parent / "mnt")
    assert agent("start") == 0
    hung = HungFilesystem(parent)
    try:
        for verb in ("monitor", "start", "stop"):
            result = agent.run(verb)
            assert result.returncode == 1
            assert f"hidden by hung, mounted at {parent}" in reason(result)
        assert disk.mounts() == [str(parent / "mnt")]
    finally:
        hung.close()
        sh("umount", "-f", parent, check=False)
    assert agent("stop") == 0


def test_a_hung_filesystem_on_the_way_does_not_hang_monitor(disks, filesystem):
    """No component below a mount that may hang is looked up, not even to resolve links."""
    disk = disks("ext4")
    parent = disk.base / "parent"
    parent.mkdir()
    hung = HungFilesystem(parent)
    try:
        agent = filesystem(device=disk.device, directory=parent / "mnt")
        assert agent("monitor") == 7
        assert agent("monitor", interval_s=0) == 7
        assert agent("stop") == 0
    finally:
        hung.close()
        sh("umount", "-f", parent, check=False)


def test_a_broken_link_or_missing_parent_is_not_running(disks, filesystem):
    """Regression: readlink on a missing parent failed probes, and all nodes stopped their filesystems."""
    disk = disks("ext4")
    (disk.base / "loop").symlink_to("loop")
    for directory in (disk.base / "no" / "such" / "parent", disk.base / "loop" / "x"):
        agent = filesystem(device=disk.device, directory=directory)
        assert [agent("monitor"), agent("monitor", interval_s=0), agent("stop")] == [7, 7, 0]


def test_what_the_mount_is_called_does_not_matter(disks, filesystem):
    """The device is compared by number: another node for the same disk is the same disk."""
    disk = disks("ext4")
    number = os.stat(disk.device).st_rdev
    node = disk.base / "alias"
    os.mknod(node, 0o600 | 0o060000, number)
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    (disk.base / "mnt").mkdir()
    sh("mount", node, disk.base / "mnt")
    assert agent("monitor") == 0
    assert agent("start") == 0
    assert agent("stop") == 0
    assert re.match(r"/dev/loop\d+$", disk.device)


def test_starts_and_stops_at_once_all_succeed(disks, filesystem, background):
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    for verb, code in (("start", 0), ("stop", 7)):
        environment = agent.environment(20, 10, 0, {})
        children = [background([agent.path, verb], env=environment, stderr=-3, stdout=-3) for _ in range(4)]
        assert [child.wait(60) for child in children] == [0, 0, 0, 0]
        assert agent("monitor") == code
        assert len(disk.mounts()) == (1 if verb == "start" else 0)


def test_killed_in_the_middle_of_a_stop_the_next_stop_ends_it(disks, filesystem, background):
    """Pacemaker kills an agent that is late without a word: the next call must find its way."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    background(["bash", "-c", "trap '' TERM; while :; do sleep 0.05; done"], cwd=point)
    stopping = background([agent.path, "stop"], env=agent.environment(60, 10, 0, {}), stderr=-3, stdout=-3)
    os.killpg(stopping.pid, signal.SIGKILL)
    stopping.wait()
    assert agent("monitor") in (0, 7)
    assert agent("stop", fast_stop="yes") == 0
    assert agent("monitor") == 7
