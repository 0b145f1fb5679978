"""Filesystem's settings on real disks: fsck, signals, reload, clones, status file, odd names."""

import os
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh, told

pytestmark = pytest.mark.root


def damage(device):
    """An ext filesystem whose inode table is zeros: fsck -p gives up on it (exit 4)."""
    sh("debugfs", "-w", "-R", "clri <2>", device)
    sh("debugfs", "-w", "-R", "ssv state 2", device)  # has errors: the check is not skipped as clean


@pytest.mark.parametrize(
    ("fstype", "run_fsck", "checked"),
    [("ext4", "auto", False), ("ext4", "force", True), ("ext2", "auto", True), ("ext2", "no", False)],
)
def test_fsck_when_it_is_needed_or_asked_for(disks, filesystem, fstype, run_fsck, checked):
    disk = disks(fstype)
    agent = filesystem(device=disk.device, directory=disk.base / "mnt", fstype=fstype, run_fsck=run_fsck)
    result = agent.run("start")
    assert result.returncode == 0, result.stderr
    assert (f"with fsck.{fstype}" in result.stderr) == checked
    assert agent("stop") == 0
    damage(disk.device)
    result = agent.run("start")
    if checked:
        assert result.returncode == 1
        assert f"not mounted, 'fsck.{fstype} -p {disk.device}' exited 4" in reason(result)
    assert agent("stop") == 0
    assert disk.mounts() == []


def test_an_fsck_that_does_not_end_fails_the_start_in_time(disks, filesystem):
    disk = disks("ext4")
    slow = disk.base / "fsck"
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    sh("mount", "--bind", slow, "/usr/sbin/fsck.ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt", run_fsck="force")
    result = told(agent, "start", "give start more time")
    sh("umount", "-l", "/usr/sbin/fsck.ext4")
    assert result.returncode == 1
    assert "give start more time" in reason(result)
    assert [agent("stop"), agent("start", run_fsck="auto"), agent("stop")] == [0, 0, 0]


def test_signals_come_in_their_order(disks, filesystem, background):
    disk = disks("ext4")
    point, heard = disk.base / "mnt", disk.base / "heard"
    # HUP is the lower number: a process that had no turn between the two hears them in this order all the same.
    # So many of them give it thirty seconds before the kill signals; it ends at the first it has a turn for.
    signals = "HUP" + 29 * " SIGUSR1"
    agent = filesystem(device=disk.device, directory=point, term_signals=signals, signal_delay=1)
    assert agent("start") == 0
    script = f"trap 'echo hup >>{heard}' HUP; trap 'echo usr1 >>{heard}; exit 3' USR1; trap '' TERM; echo ready"
    argv = ["bash", "-c", f"{script}; while :; do sleep 0.05; done"]
    user = background(argv, cwd=point, stdout=subprocess.PIPE)
    assert user.stdout.readline() == b"ready\n"
    assert agent("stop", timeout_s=120) == 0
    assert user.wait(60) == 3
    assert heard.read_text().split() == ["hup", "usr1"]


def test_kill_signals_come_after_the_others(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    settings = {"kill_signals": "QUIT KILL", "fast_stop": "yes", "signal_delay": 40}  # room for QUIT to be heard
    agent = filesystem(device=disk.device, directory=point, **settings)
    assert agent("start") == 0
    argv = ["bash", "-c", "trap '' TERM; trap 'exit 4' QUIT; echo ready; while :; do sleep 0.05; done"]
    user = background(argv, cwd=point, stdout=subprocess.PIPE)
    assert user.stdout.readline() == b"ready\n"
    assert agent("stop", timeout_s=120) == 0
    assert user.wait(60) == 4


def test_an_idle_stop_looks_at_no_process(disks, filesystem, tmp_path):
    """Regression (the peer's issue 1907): ten idle filesystems took 25 s to stop."""
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    assert agent("start") == 0
    trace = tmp_path / "trace"
    argv = ["strace", "-f", "-o", str(trace), "-e", "trace=file", str(agent.path), "stop"]
    result = subprocess.run(argv, env=agent.environment(20, 10, 0, {}), check=False, timeout=60)
    assert result.returncode == 0
    text = trace.read_text()
    assert "umount2" in text
    assert '/fd"' not in text
    assert '/maps"' not in text


@pytest.mark.parametrize("name", ["two\nlines", "tab\tand\x01", "e\u0301\u202e", "\udcff not utf-8", "n" * 250])
def test_names_that_cannot_be_printed(disks, filesystem, name):
    disk, other = disks("ext4"), disks("ext4")
    base = os.fsencode(disk.base)
    point = os.fsdecode(base + b"/" + os.fsencode(name))
    link = point[:200] + "-link"
    os.symlink(disk.device, link)
    agent = filesystem(device=link, directory=point)
    verbs = ("monitor", "start", "start", "monitor", "stop", "monitor")
    assert [agent(verb) for verb in verbs] == [7, 0, 0, 0, 0, 7]
    assert not os.path.ismount(point)
    sh("mount", other.device, point)
    result = agent.run("start")
    assert result.returncode == 1
    assert reason(result).startswith(f"{other.device} is mounted at {disk.base}/")
    assert len(result.stderr.splitlines()) == 1
    sh("umount", point)


def test_reload_of_a_disk_s_options(disks, filesystem, fstype="xfs"):
    disk = disks(fstype)
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point, options="noatime")
    assert agent("reload-agent") == 1, "nothing to reload"
    assert agent("start") == 0
    assert agent("reload-agent", options="noatime") == 0
    assert agent("reload-agent", options="ro,nodev,noatime") == 0
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    line = next(line.split() for line in lines if f" {point} " in line)
    assert {"ro", "nodev", "noatime"} <= set(line[5].split(","))
    assert "ro" in line[-1].split(",")
    assert agent("monitor", options="ro,nodev,noatime") == 0
    result = agent.run("reload-agent", options="ro,nodev,noatime,uquota")
    assert result.returncode == 1
    assert "uquota cannot be changed" in reason(result)
    assert agent("reload-agent", options="noatime") == 0
    (point / "x").touch()
    with (point / "x").open("w"):
        assert agent("reload-agent", options="ro") == 1, "somebody writes"
    assert agent("monitor") == 0
    assert agent("stop") == 0


def test_a_clone_of_a_disk_is_refused(disks, filesystem):
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    result = agent.run("start", CRM_meta_clone="0")
    assert result.returncode == 6
    assert "several nodes" in reason(result)
    assert disk.mounts() == []
    assert agent("start", CRM_meta_clone="0", force_clones="yes") == 0
    assert agent("stop", CRM_meta_clone="0") == 0


def test_the_status_file_is_called_as_the_peer_calls_it(disks, filesystem):
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    assert agent("monitor", level=20) == 0
    assert (point / f".Filesystem_status/test_{os.uname().nodename}").is_file()
    assert agent("monitor", level=20, statusfile_prefix="plain-", CRM_meta_clone="1") == 0
    assert (point / f"plain-test_1_{os.uname().nodename}").is_file()
    (point / "elsewhere").symlink_to(disk.base)
    result = agent.run("monitor", level=20, statusfile_prefix="elsewhere/")
    assert result.returncode == 1, "a symbolic link does not send us out of the filesystem"
    assert agent("stop") == 0


def test_what_is_mounted_below_would_be_hidden(disks, filesystem):
    disk, inner = disks("ext4"), disks("ext4")
    (disk.base / "mnt" / "sub").mkdir(parents=True)
    sh("mount", inner.device, disk.base / "mnt" / "sub")
    result = filesystem(device=disk.device, directory=disk.base / "mnt").run("start")
    assert result.returncode == 1
    assert f"would hide {disk.base}/mnt/sub" in reason(result)
    assert disk.mounts() == []


def test_a_disk_that_swap_has_is_named_and_no_reason_for_a_probe_to_fail(disks, filesystem):
    disk = disks("ext4")
    sh("mkswap", disk.device)
    sh("swapon", disk.device)
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    try:
        assert [agent("monitor"), agent("monitor", interval_s=0)] == [7, 7]
        for verb in ("start", "stop"):
            result = told(agent, verb, "swap")
            assert result.returncode == 1
            assert "swap" in reason(result)
    finally:
        sh("swapoff", disk.device)
    assert agent("stop") == 0


def test_validate_all_without_a_level_looks_at_nothing(filesystem, tmp_path):
    trace = tmp_path / "trace"
    agent = filesystem(device="/dev/fkra-nothing", directory="/fkra/nothing", options="noatime", run_fsck="force")
    argv = ["strace", "-f", "-o", str(trace), "-e", "trace=file,process,network", str(agent.path), "validate-all"]
    result = subprocess.run(argv, env=agent.environment(20, 10, 0, {}), check=False, timeout=60)
    assert result.returncode == 0
    text = trace.read_text()
    assert not any(word in text for word in ("fkra", "/proc/", "/sys/", "fork(", "vfork", "clone"))


def test_all_wrong_parameters_in_one_reason(filesystem):
    wrong = {"fstype": "zfs", "run_fsck": "maybe", "term_signals": "FOO", "signal_delay": -1}
    agent = filesystem(device="x", directory="y", **wrong)
    result = agent.run("validate-all")
    assert result.returncode == 6
    for name in ("device", "directory", "fstype", "run_fsck", "term_signals", "signal_delay"):
        assert f"{name}: " in reason(result)
    assert agent("stop") == 0
    assert agent("monitor", interval_s=0) == 7


def test_stop_says_what_lies_on_the_disk(disks, filesystem):
    """A mapped device on top of the disk: its filesystem is the disk's, too."""
    if not Path("/dev/mapper/control").exists() or not sh("which", "dmsetup", check=False).stdout:
        pytest.skip("no device mapper here")
    disk = disks("ext4")
    name = f"fkra{os.getpid()}"
    size = sh("blockdev", "--getsz", disk.device).stdout.strip()
    sh("dmsetup", "create", name, "--table", f"0 {size} linear {disk.device} 0")
    try:
        agent = filesystem(device=disk.device, directory=disk.base / "mnt")
        assert agent("monitor") == 7
        (disk.base / "other").mkdir()
        sh("mount", f"/dev/mapper/{name}", disk.base / "other")
        assert agent("monitor") == 1
        sh("umount", disk.base / "other")
        eventually(lambda: agent("monitor") == 7, "unmounted")
    finally:
        sh("dmsetup", "remove", name)
