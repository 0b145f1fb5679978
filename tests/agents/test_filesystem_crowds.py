"""Filesystem among thousands: of processes, and of mounts that come and go."""

import os
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import sh
from failover_kit.kernel import mounts

pytestmark = pytest.mark.root

# Forks argv[2] children in argv[1]: half have it as their working directory, half have a file in it open.
_CROWD = """
import os, signal, sys
place, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    pid = os.fork()
    if pid == 0:
        if number % 2:
            os.chdir(place)
        else:
            os.open(place + "/file", os.O_RDONLY)
        signal.pause()
print("ready", flush=True)
for number in range(count):
    os.wait()
print("all gone", flush=True)
"""
CROWD = 2000


def crowd(background, place, count=CROWD):
    (place / "file").touch()
    argv = ["/usr/bin/python3", "-IS", "-c", _CROWD, str(place), str(count)]
    child = background(argv, stdout=subprocess.PIPE, cwd="/")
    assert child.stdout.readline() == b"ready\n"
    return child


def alive(parent):
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    return sum("Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] for pid in children)


def test_2000_users_go_and_2000_others_stay(disks, filesystem, background):
    """Regression (the peer's issues 1042, 1978, 2084): its stop failed at 120 s with 2000 users."""
    disk = disks("ext4")
    point, elsewhere = disk.base / "mnt", disk.base / "elsewhere"
    elsewhere.mkdir()
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    others = crowd(background, elsewhere)
    users = crowd(background, point)
    assert agent("stop", timeout_s=60) == 0
    assert users.stdout.readline() == b"all gone\n"
    assert alive(others) == CROWD
    assert disk.mounts() == []


def test_users_of_a_bind_mount_go_and_those_of_its_source_stay(disks, filesystem, background):
    disk = disks("ext4")
    home, point = disk.base / "home", disk.base / "bound"
    home.mkdir()
    sh("mount", disk.device, home)
    agent = filesystem(device=home, directory=point, options="bind")
    assert agent("start") == 0
    others, users = crowd(background, home, 200), crowd(background, point, 200)
    assert agent("stop") == 0
    assert users.stdout.readline() == b"all gone\n"
    assert alive(others) == 200
    assert disk.mounts() == [str(home)]


def test_processes_that_are_started_again_and_again(disks, filesystem, background):
    """Regression (the peer's issue 2106, its mode move): somebody always comes back."""
    disk = disks("ext4")
    point = disk.base / "mnt"
    agent = filesystem(device=disk.device, directory=point)
    assert agent("start") == 0
    script = 'trap "" TERM; while :; do (cd "$0" 2>/dev/null && exec sleep 5); done'
    shell = background(["sh", "-c", script, point], cwd="/")
    assert agent("stop", timeout_s=40, fast_stop="yes") == 0
    assert disk.mounts() == []
    assert shell.poll() is None, "it has never been on it itself"


# Mounts and unmounts without a pause, until killed.
_CHURN = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
places = [f"{sys.argv[1]}/churn{number}".encode() for number in range(50)]
for place in places:
    os.makedirs(place, exist_ok=True)
print("ready", flush=True)
while True:
    for place in places:
        libc.mount(b"churn", place, b"tmpfs", 0, None)
    for place in places:
        libc.umount2(place, 2)
"""
MOUNTS = 5000


@pytest.fixture
def many_mounts(disks):
    """5000 bind mounts in the namespace of this test: (disk, a directory for more)."""
    disk = disks("ext4")
    many = disk.base / "many"
    many.mkdir()
    sh("mount", "-t", "tmpfs", "many", many)
    (many / "source").mkdir()
    from failover_kit.kernel import mounting

    for number in range(MOUNTS):
        place = f"{many}/{number}"
        os.mkdir(place)
        mounting.bind(f"{many}/source", place)
    yield disk, many
    sh("umount", "-l", many)


def test_5000_mounts_that_come_and_go(many_mounts, filesystem, background):
    """Regression (the peer's issue 1337): 1 in 100 monitors missed what was mounted all the time."""
    disk, many = many_mounts
    agent = filesystem(device=disk.device, directory=disk.base / "mnt")
    argv = ["/usr/bin/python3", "-IS", "-c", _CHURN, str(many)]
    churn = background(argv, stdout=subprocess.PIPE)
    assert churn.stdout.readline() == b"ready\n"
    assert agent("monitor") == 7
    assert [agent("start"), agent("start")] == [0, 0]
    number = os.stat(disk.device).st_rdev
    for attempt in range(40):
        place = f"{many}/{attempt * MOUNTS // 40}"
        table = mounts.table(place)
        assert table.at(place) is not None
        assert [mount.point for mount in table.of_device(number)] == [str(disk.base / "mnt")]
    assert [agent("monitor") for _ in range(5)] == [0] * 5
    assert agent("stop") == 0
    assert [agent("monitor") for _ in range(3)] == [7] * 3
    assert churn.poll() is None
