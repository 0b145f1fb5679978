"""Fixtures for the resource agents. Whatever a test makes is taken away again, also when it fails."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from agents.agent_worlds import OCF, ROOT, AgentRunner, Disk, Network, sh


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
def disks():
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

    try:
        yield make
    finally:
        text = Path("/proc/self/mountinfo").read_text()
        points = [line.split()[4] for line in text.splitlines()]
        for point in reversed([point for point in points if point.startswith(f"{base}/")]):
            # Only here, to leave nothing behind after a failed test: force, then detach.
            sh("umount", "-f", point, check=False)
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
    shutil.copytree(ROOT / "lib/failover_kit", base / "usr/share/failover-kit/failover_kit", ignore=ignore)
    sh("chmod", "-R", "a+rX", base)
    yield base
    shutil.rmtree(base)
