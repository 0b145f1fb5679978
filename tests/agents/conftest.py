"""Fixtures for the resource agents. Whatever a test makes is taken away again, also when it fails."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from agents.agent_worlds import OCF, ROOT, AgentRunner, Disk, Network, sh

CLONE_NEWNS = 0x00020000  # linux/sched.h


@pytest.fixture
def network():
    world = Network(f"fkra{os.getpid()}")
    try:
        world.build()
        yield world
    finally:
        world.destroy()


@pytest.fixture
def ipaddr(network, tmp_path):
    """``ipaddr("a", ip=…)``: the IPaddr agent inside a node."""

    def make(node, **parameters):
        prefix = ["ip", "netns", "exec", network.ns(node)]
        return AgentRunner("IPaddr", tmp_path / f"state-{node}", prefix, **parameters)

    return make


@pytest.fixture
def own_mounts():
    """The test and all it starts live in a mount namespace of their own, which ends with the test.

    Not only to leave nothing behind: whoever makes a mount namespace while our disk is mounted takes
    a copy of the mount along and keeps the disk busy, as stop would then rightly say.
    """
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = Path.cwd()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    sh("mount", "--make-rprivate", "/")
    # And we keep nobody else's disk busy.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for point in [line.split()[4] for line in lines if " /dev/loop" in line]:
        sh("umount", "-l", point, check=False)
    yield
    assert libc.setns(home, CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    os.close(home)
    os.chdir(directory)


@pytest.fixture
def disks(own_mounts):
    """``disks("xfs", label=…)`` makes a loop disk with a filesystem."""
    base = Path(tempfile.mkdtemp(prefix=f"fkra{os.getpid()}-"))
    made = []

    def make(fstype="xfs", label="", copy_of=None):
        image = base / f"disk{len(made)}.img"
        if copy_of is not None:
            shutil.copy(copy_of.image, image)
        else:
            with image.open("wb") as file:
                file.truncate((320 if fstype == "xfs" else 32) << 20)
        device = sh("losetup", "--find", "--show", image).stdout.strip()
        made.append(device)
        if copy_of is None:
            option = ["-L", label] if label else []
            quiet = ["-q", "-F"] if fstype.startswith("ext") else ["-q"]
            sh(f"mkfs.{fstype}", *quiet, *option, device)
        return Disk(base, image, device)

    yield make
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for point in reversed([line.split()[4] for line in lines if f" {base}/" in line]):
        sh("umount", "-l", point, check=False)
    for device in made:
        sh("losetup", "-d", device, check=False)
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def filesystem(tmp_path):
    """``filesystem(device=…, directory=…)``: the Filesystem agent in our mount namespace."""

    def make(prefix=(), **parameters):
        return AgentRunner("Filesystem", tmp_path / "state", prefix, **parameters)

    return make


@pytest.fixture
def background():
    """``background([...])`` starts a process of its own session; all of them are killed at the end."""
    started = []

    def start(argv, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        child = subprocess.Popen(argv, start_new_session=True, **kwargs)
        started.append(child)
        return child

    yield start
    for child in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


@pytest.fixture(scope="session")
def installed():
    """The agents in their installed layout, readable by everybody (ocf-tester runs one as nobody)."""
    base = Path(tempfile.mkdtemp(prefix=f"fkra{os.getpid()}-"))
    base.chmod(0o755)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(OCF, base / "usr/lib/ocf/resource.d/failover-kit", ignore=ignore)
    shutil.copytree(ROOT / "compat", base / "usr/lib/failover-kit/compat", symlinks=True)
    shutil.copytree(ROOT / "lib/failover_kit", base / "usr/share/failover-kit/failover_kit", ignore=ignore)
    sh("chmod", "-R", "a+rX", base)
    yield base
    shutil.rmtree(base)
