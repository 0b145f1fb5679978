"""Filesystem and what belongs to others: processes and mounts that only look like those of the resource."""

import os
import subprocess
import sys

import pytest

from agents.agent_worlds import eventually, reason, sh, told

pytestmark = pytest.mark.root


@pytest.fixture
def running(disks, filesystem):
    """An ext4 that is started, and its agent: (mount point, agent)."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point, fstype="ext4")
    assert agent("start") == 0
    return point, agent


def sits_in(child, place):
    eventually(lambda: os.readlink(f"/proc/{child.pid}/cwd") == str(place), f"a process sits in {place}")


_SAME_NUMBER = """
import os, subprocess, sys
number, agent = int(sys.argv[1]), sys.argv[2]
fd = os.open("/proc/sys/kernel/ns_last_pid", os.O_RDWR)
os.write(fd, str(number - 1).encode())
stranger = subprocess.Popen(["sleep", "600"], cwd="/")
assert stranger.pid == number, stranger.pid
code = subprocess.run([agent, "stop"], check=False).returncode
hit = stranger.poll()
stranger.kill()
sys.exit(f"stranger hit by {hit}" if hit is not None else code)
"""


def test_no_signal_by_the_numbers_of_another_pid_namespace(running, background):
    """/proc says that pid N uses the disk; for our system calls N is somebody else."""
    point, agent = running
    user = background(["sleep", "600"], cwd=point)
    sits_in(user, point)
    argv = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", _SAME_NUMBER, user.pid, agent.path]
    environment = agent.environment(10, 10, 0, {})
    result = subprocess.run(list(map(str, argv)), env=environment, text=True, capture_output=True, check=False)
    assert result.returncode == 1, result.stderr
    assert "stranger" not in result.stderr
    assert "pid namespace" in reason(result)
    assert user.poll() is None
    assert agent("stop") == 0


def test_a_process_elsewhere_at_the_same_path_is_no_user(running, background):
    """Its namespace has not our filesystem, but what is bound below ours is of the filesystem it sits on."""
    point, agent = running
    (point / "etc").mkdir()
    sh("mount", "--bind", point.parent, point / "etc")
    script = f"umount -R {point} && cd {point} && exec sleep 600"
    stranger = background(["unshare", "-m", "--propagation", "private", "sh", "-c", script])
    sits_in(stranger, point)
    user = background(["sleep", "600"], cwd=point)
    through = background(["sleep", "600"], cwd=point / "etc")
    sits_in(user, point)
    sits_in(through, point / "etc")
    assert agent("stop") == 0
    assert stranger.poll() is None
    assert [child.wait(60) for child in (user, through)] == [-15, -15]


_BROKEN_ELSEWHERE = """
import ctypes, os, sys, time
point = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x20000) == 0
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
server = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
assert libc.mount(b"gone", os.fsencode(point), b"fuse", 0, data) == 0
os.open(point, os.O_PATH)
os.close(server)  # from now on: ENOTCONN
print("ready", flush=True)
time.sleep(600)
"""


def test_a_broken_filesystem_elsewhere_at_the_same_path_is_not_ours(disks, filesystem, background):
    disk = disks("ext4")
    point = disk.base / "mnt"
    point.mkdir()
    argv = [sys.executable, "-c", _BROKEN_ELSEWHERE, str(point)]
    stranger = background(argv, stdout=subprocess.PIPE)
    assert stranger.stdout.readline() == b"ready\n"
    agent = filesystem(device=disk.device, directory=point, fstype="ext4")
    assert agent("start") == 0
    user = background(["sleep", "600"], cwd=point)
    sits_in(user, point)
    assert agent("stop") == 0
    assert user.wait(60) == -15
    assert stranger.poll() is None


def test_a_bind_mount_stays_ours_when_links_to_its_place_move(own_mounts, filesystem, tmp_path):
    """monitor said 7 and stop 0, with the mount where it had been all the time."""
    source, first, second = (tmp_path / name for name in ("source", "first", "second"))
    for place in (source, first, second):
        place.mkdir()
    (tmp_path / "link").symlink_to(first)
    agent = filesystem(device=source, directory=tmp_path / "link", options="bind")
    assert [agent("start"), agent("monitor")] == [0, 0]
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(second)
    result = agent.run("monitor", interval_s=0)
    assert result.returncode == 1
    assert f"is mounted at {first}, not at {second}" in reason(result)
    assert [agent("start"), agent("stop"), agent("monitor")] == [1, 0, 7]
    assert not os.path.ismount(first)


@pytest.mark.parametrize("numbers", ["99999999999999999999:1", "7:99999999999999999999", ":", "7", "-1:0"])
def test_a_damaged_record_is_none(running, numbers):
    _, agent = running
    record = next(path for path in agent.state_dir.iterdir() if path.name.endswith(".device"))
    lines = record.read_text().split("\n")
    record.write_text("\n".join([lines[0], numbers, *lines[2:]]))
    results = [agent.run(verb) for verb in ("monitor", "stop", "monitor")]
    assert [result.returncode for result in results] == [0, 0, 7]
    assert not any("Traceback" in result.stderr for result in results)


_BOUND = """
import os, socket, sys, time
os.chdir(sys.argv[1])
here = socket.socket(socket.AF_UNIX)
here.bind("relative")
if "deleted" in sys.argv:
    os.unlink("relative")
os.chdir("/")
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("state", ["there", "deleted"])
def test_a_bound_unix_socket_is_a_use(running, background, state):
    """It keeps the filesystem busy, and no link in /proc leads there: stop failed, and the node would be fenced."""
    point, agent = running
    daemon = background([sys.executable, "-c", _BOUND, str(point), state], stdout=subprocess.PIPE)
    assert daemon.stdout.readline() == b"ready\n"
    assert agent("stop") == 0
    assert daemon.wait(60) == -15


def test_stop_of_what_never_ran_needs_no_writable_state(disks, filesystem):
    """unlink(2) says EROFS before it says ENOENT: a stop of nothing failed, for which a node is fenced."""
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt", fstype="ext4")
    agent.state_dir.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "ro", "none", agent.state_dir)
    try:
        assert [agent("stop"), agent("monitor"), agent("start"), agent("stop")] == [0, 7, 1, 0]
    finally:
        sh("umount", agent.state_dir)


def test_start_below_a_filesystem_that_hangs_ends_in_time(disks, filesystem, background):
    disk = disks("ext4")
    hung = disk.base / "hung"
    hung.mkdir()
    script = (
        "import ctypes, os, sys, time; server = os.open('/dev/fuse', os.O_RDWR);"
        "data = f'fd={server},rootmode=40000,user_id=0,group_id=0'.encode();"
        "assert ctypes.CDLL(None).mount(b'hung', os.fsencode(sys.argv[1]), b'fuse', 0, data) == 0;"
        "print('ready', flush=True); time.sleep(600)"
    )
    server = background([sys.executable, "-c", script, str(hung)], stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"ready\n"
    agent = filesystem(device=disk.device, directory=hung / "mnt", fstype="ext4")
    try:
        result = agent.run("start", timeout_s=3)
        assert result.returncode == 1
        assert "did not answer within 2.7 s" in reason(result)
        assert agent("validate-all", level=10, timeout_s=3) == 1
    finally:
        server.kill()
        server.wait()
        sh("umount", "-l", hung)


def test_a_vanished_disk_whose_link_went_along_is_not_stopped(disks, filesystem):
    """No record (mounted by hand, or by another agent), no link of udev's any more: monitor said 7, stop 0."""
    disk = disks("ext4")
    point, link = disk.base / "mnt", disk.base / "by-id"
    point.mkdir()
    link.symlink_to(disk.device)
    sh("mount", link, point)
    agent = filesystem(device=link, directory=point, fstype="ext4")
    assert agent("monitor", interval_s=0) == 0
    link.unlink()
    sh("mount", "-t", "tmpfs", "none", "/sys/dev/block")  # as if the kernel had lost the disk
    try:
        results = [agent.run(verb, interval_s=0) for verb in ("monitor", "stop", "start")]
        assert [result.returncode for result in results] == [1, 1, 1]
        assert all("nobody can tell" in reason(result) for result in results)
    finally:
        sh("umount", "/sys/dev/block")


def test_two_directories_never_share_a_record(own_mounts, filesystem, tmp_path):
    """They shared lock and record: "€" was written as %20ac, and so was a blank before "ac"."""
    (tmp_path / "source").mkdir()
    names = ["a€", "a ac", "a%20ac"]
    agents = [filesystem(device=tmp_path / "source", directory=tmp_path / name, options="bind") for name in names]
    assert [agent("start") for agent in agents] == [0, 0, 0]
    assert len([path for path in agents[0].state_dir.iterdir() if path.name.endswith(".device")]) == 3
    assert [agent("stop") for agent in agents] == [0, 0, 0]


def test_a_full_disk_for_records_is_not_filled_up_further(disks, filesystem):
    disk = disks("ext4")
    agent = filesystem(device=disk.device, directory=disk.base / "mnt", fstype="ext4")
    agent.state_dir.mkdir()
    sh("mount", "-t", "tmpfs", "-o", "size=4k", "none", agent.state_dir)
    try:
        (agent.state_dir / "full").write_bytes(bytes(4096))
        assert [agent("start"), agent("start"), agent("stop")] == [1, 1, 0]
        assert [path.name for path in agent.state_dir.iterdir()] == ["full"]
        assert disk.mounts() == []
    finally:
        sh("umount", agent.state_dir)


def test_a_mounted_copy_of_the_disk_is_left_alone(disks, filesystem, background):
    """A snapshot has the same UUID and label: stop unmounted it where it was and killed who used it."""
    disk = disks("ext4", label=f"fk{os.getpid()}")
    copy = disks("ext4", copy_of=disk)
    elsewhere = disk.base / "backup"
    elsewhere.mkdir()
    sh("mount", copy.device, elsewhere)
    reader = background(["sleep", "600"], cwd=elsewhere)
    sits_in(reader, elsewhere)
    agent = filesystem(device=f"LABEL=fk{os.getpid()}", directory=disk.base / "mnt", fstype="ext4")
    result = told(agent, "stop", "nobody can tell")
    assert result.returncode == 1
    assert f"{copy.device} is mounted at {elsewhere}: nobody can tell" in reason(result)
    assert reader.poll() is None
    assert copy.mounts() == [str(elsewhere)]
    reader.kill()
    reader.wait()
    sh("umount", elsewhere)
    assert agent("stop") == 0


def test_of_two_copies_stop_takes_the_one_that_start_mounted(disks, filesystem):
    disk = disks("ext4", label=f"fk{os.getpid()}")
    agent = filesystem(device=f"LABEL=fk{os.getpid()}", directory=disk.base / "mnt", fstype="ext4")
    assert agent("start") == 0
    copy = disks("ext4", copy_of=disk)
    elsewhere = disk.base / "backup"
    elsewhere.mkdir()
    sh("mount", "--move", disk.base / "mnt", elsewhere)
    assert [agent("stop"), disk.mounts(), agent("stop")] == [0, [], 0]
    assert copy.mounts() == []
