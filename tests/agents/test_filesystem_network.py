"""Filesystem of a server, and a server that died: FUSE is the client that needs neither nfsd nor a second machine.

A raw server on /dev/fuse takes the place of mount.nfs, in the test's own mount namespace. Silent, it is
the model of a dead NFS server: whoever asks it anything waits uninterruptibly.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh, told

pytestmark = pytest.mark.root

SERVER = Path(__file__).with_name("fuse_server.py")
HELPER = Path("/usr/sbin/mount.nfs")


def sources_at(point):
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [line[line.index("-") + 2] for line in lines if line[4] == str(point)]


class Server:
    """What ``mount -t nfs`` finds; ``fall_silent()`` makes it dead."""

    def __init__(self, base):
        self.base = base
        self.state = base / "server"
        self.state.mkdir()
        self.program = base / "mount.nfs"
        self.program.write_text(f'#!/bin/sh\nexec /usr/bin/python3 {SERVER} {self.state} "$@"\n')
        self.program.chmod(0o755)

    def fall_silent(self):
        (self.state / "silent").touch()

    def end(self):
        (self.state / "silent").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((self.state / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def server(own_mounts, tmp_path):
    if not HELPER.exists():
        pytest.skip("no mount.nfs to put ours in the place of")
    made = Server(tmp_path)
    sh("mount", "--bind", made.program, HELPER)
    yield made
    made.end()


@pytest.fixture
def nfs(server, filesystem):
    """An agent for the server's filesystem, and its directory."""
    point = server.base / "mnt"
    return filesystem(device="fileserver:/export/home", directory=point, fstype="nfs", options="hard"), point


def test_every_action_twice(nfs):
    agent, point = nfs
    assert [agent("validate-all", level=10), agent("monitor"), agent("monitor", interval_s=0)] == [0, 7, 7]
    assert agent("stop") == 0
    assert [agent("start"), agent("start")] == [0, 0]
    assert sources_at(point) == ["fileserver:/export/home"]
    assert [agent("monitor", level=level) for level in (0, 10, 20)] == [0, 0, 0]
    assert [agent("stop"), agent("stop"), agent("monitor")] == [0, 0, 7]
    assert sources_at(point) == []
    assert list(agent.state_dir.iterdir()) == []


@pytest.mark.parametrize("device", ["[2001:db8::1]:/srv/a b", "files.example.org:/", "files:/trailing/"])
def test_spellings_of_a_source(nfs, device):
    agent, point = nfs
    assert [agent(verb, device=device) for verb in ("start", "monitor", "stop", "monitor")] == [0, 0, 0, 7]
    assert sources_at(point) == []


def test_another_export_is_foreign(nfs, server):
    agent, point = nfs
    assert agent("start", device="fileserver:/export/other") == 0
    assert agent("monitor") == 7
    result = agent.run("start")
    assert result.returncode == 1
    assert "fileserver:/export/other is mounted at" in reason(result)
    assert agent("stop") == 0
    assert sources_at(point) == ["fileserver:/export/other"]
    assert agent("stop", device="fileserver:/export/other") == 0


def test_something_else_that_is_called_so_is_not_it(nfs):
    """A name is text: only a filesystem of a server can be a server's."""
    agent, point = nfs
    point.mkdir()
    sh("mount", "-t", "tmpfs", "fileserver:/export/home", point)
    assert [agent("monitor"), agent("stop"), agent("start")] == [7, 0, 1]
    assert len(sources_at(point)) == 1


def test_a_kernel_that_calls_it_otherwise(nfs, server):
    """What no monitor could find again is not left mounted."""
    agent, point = nfs
    lines = server.program.read_text().replace('"$@"', 'other:/name "$2"')
    server.program.write_text(lines)
    result = agent.run("start")
    assert result.returncode == 1
    assert "set device to other:/name" in reason(result)
    assert sources_at(point) == []


def test_users_are_ended_and_others_are_not(nfs, background):
    agent, point = nfs
    assert agent("start") == 0
    guilty = background(["sleep", "600"], cwd=point)
    innocent = background(["sleep", "600"], cwd=point.parent)
    assert agent("stop") == 0
    assert guilty.wait(60) == -signal.SIGTERM
    assert innocent.poll() is None


def waits_for_the_server(pid):
    """In the kernel's words: fuse_… while the server has not read the request, request_wait_answer after that."""
    wchan = Path(f"/proc/{pid}/wchan").read_text()
    return "fuse" in wchan or wchan == "request_wait_answer"


_WRITER = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
print("ready", flush=True)
os.read(0, 1)
os.fsync(file)
"""


@pytest.fixture
def silent(nfs, server, background):
    """The server has died. One process has it as its working directory, one waits with a file open, one without."""
    agent, point = nfs
    assert agent("start") == 0
    (point / "file").touch()
    holder = background(["sleep", "600"], cwd=point)
    writer = background(
        [sys.executable, "-c", _WRITER, point / "file"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"ready\n"
    server.fall_silent()
    try:
        writer.stdin.write(b"x")
        writer.stdin.flush()
        looker = background(["stat", point / "x"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for child in (writer, looker):
            eventually(lambda pid=child.pid: waits_for_the_server(pid), "somebody waits for the server")
        yield agent, point, [holder, writer, looker]
    finally:
        # First of all: nobody can be waited for who waits for the server.
        server.end()


def test_a_dead_server_does_not_hang_monitor(silent):
    agent, _, _ = silent
    assert [agent("monitor"), agent("monitor", interval_s=0), agent("start")] == [0, 0, 0]
    for level in (10, 20):
        result = told(agent, "monitor", "did not answer within", level=level)
        assert result.returncode == 1
        assert "did not answer within" in reason(result)


def test_a_dead_server_does_not_hang_stop(silent):
    agent, point, users = silent
    assert agent("stop", timeout_s=20) == 0
    assert sources_at(point) == []
    assert [child.wait(60) is not None for child in users] == [True] * 3
    assert agent("monitor") == 7


def test_with_force_unmount_off_the_one_that_hangs_is_named(silent):
    agent, point, users = silent
    result = told(agent, "stop", f"pid {users[0].pid})", force_unmount="no")
    assert result.returncode == 1
    assert f"pid {users[0].pid})" in reason(result)
    assert "force_unmount is off" in reason(result)
    assert sources_at(point) == ["fileserver:/export/home"]
    assert agent("stop") == 0


def test_a_dead_server_with_nobody_in_it_is_left_at_once(nfs, server):
    agent, point = nfs
    assert agent("start") == 0
    server.fall_silent()
    assert agent("stop", timeout_s=10) == 0
    assert sources_at(point) == []
