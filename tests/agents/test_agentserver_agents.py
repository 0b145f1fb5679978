"""Our agents through the agent server (docs/design/0052): word for word the answers of programs of their own."""

import os
import re
from pathlib import Path

import pytest

from agents.agent_worlds import OCF
from agentserver_world import World, mount
from failover_kit.manager import agentserver, children
from failover_kit.manager.agentserver import own_programs

NAMES = ("IPaddr", "Filesystem", "exportfs", "nfsserver", "killnfsd")
PROBE = {"OCF_RESKEY_CRM_meta_interval": "0"}

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not mount(), reason="no cgroup2 here: failoverd then executes every agent"),
]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """``served()`` starts a server for all our agents, in the namespaces of this moment.

    Asked for after ``disks``: no thread may be left when that goes back to the mount namespace it came from.
    """
    monkeypatch.setattr(agentserver, "ANSWER_S", 60)  # a busy machine is not a server that hangs
    monkeypatch.setattr(children, "REPORT_S", 60)
    world = World(tmp_path, "agents")

    def start():
        programs = own_programs(str(OCF / name) for name in NAMES)
        assert len(programs) == len(NAMES)
        world.start(*programs)
        return world

    yield start
    world.close()


def told(world, way, name, steps, parameters):
    """(code, stdout, stderr) of each step; the state directory is a new one for each way."""
    state = world.folder / f"state-{way}"
    state.mkdir(exist_ok=True)
    run = {"executed": world.execute, "forked": world.call}[way]
    answers = []
    for verb, extra in steps:
        reskeys = {"CRM_meta_timeout": 60_000, "CRM_meta_interval": 10_000, **parameters}
        environment = {
            "HA_RSCTMP": str(state),
            "OCF_RESOURCE_INSTANCE": "test",
            **{f"OCF_RESKEY_{key}": str(value) for key, value in reskeys.items()},
            **extra,
        }
        ended = run(str(OCF / name), verb, environment)
        assert ended.failure == ""
        answers.append((verb, ended.code, ended.stdout, plain(ended.stderr, state)))
    return answers


def plain(text, state):
    """Without what differs between any two calls."""
    return re.sub(r"\[\d+\]", "[PID]", text.replace(str(state), "STATE"))


def alike(world, name, steps, **parameters):
    """What both ways said; fails where they differ."""
    executed = told(world, "executed", name, steps, parameters)
    forked = told(world, "forked", name, steps, parameters)
    assert forked == executed
    return [code for _, code, _, _ in forked]


LOOKS = [("meta-data", {}), ("monitor", PROBE), ("monitor", {}), ("validate-all", {}), ("help", {}), ("fly", {})]


def test_words_and_looks_of_all_agents(served):
    world = served()
    for name in NAMES:
        codes = alike(world, name, LOOKS)
        assert (codes[0], codes[-1]) == (0, 3), name
    wrong = {
        "IPaddr": {"ip": "300.1.1.1", "nic": "e h"},
        "Filesystem": {"device": "/dev/none", "directory": "no/path"},
        "exportfs": {"clientspec": "*", "directory": "relative"},
        "nfsserver": {"threads": "0", "lease_time": "5"},
        "killnfsd": {"unit": "a/b"},
    }
    for name, parameters in wrong.items():
        assert alike(world, name, [*LOOKS[1:4], ("start", {})], **parameters)[-1] == 6, name


def test_stops_of_what_never_ran(served):
    """Not of nfsserver and killnfsd: they would stop this machine's server."""
    world = served()
    nowhere = {"OCF_CHECK_LEVEL": "10"}
    steps = [("stop", {}), ("monitor", PROBE), ("monitor", nowhere), ("stop", {})]
    assert alike(world, "IPaddr", steps, ip="192.0.2.77", nic="fk-none0") == [0, 7, 7, 0]
    assert alike(world, "Filesystem", steps, device="/dev/fk-none", directory=f"{world.folder}/none", fstype="ext4")
    assert alike(world, "exportfs", steps, clientspec="192.0.2.0/24", directory=f"{world.folder}/none", fsid="77")


STORY = [
    ("monitor", PROBE),
    ("stop", {}),
    ("start", {}),
    ("start", {}),
    ("monitor", {}),
    ("monitor", {"OCF_CHECK_LEVEL": "10"}),
    ("monitor", {"OCF_CHECK_LEVEL": "20"}),
    ("stop", {}),
    ("stop", {}),
    ("monitor", PROBE),
]


def test_an_address_is_started_watched_and_stopped(served, network):
    world = served()
    parameters = {"ip": "10.77.0.99", "nic": "eth0", "cidr_netmask": "24", "network_namespace": network.ns("a")}
    codes = alike(world, "IPaddr", STORY, **parameters)
    assert codes == [7, 0, 0, 0, 0, 0, 0, 0, 0, 7]
    assert network.addresses("a") == {("lo", "127.0.0.1/8"), ("eth0", "10.77.0.1/24")}


def test_a_disk_is_started_watched_and_stopped(disks, served):
    disk = disks("ext4")
    point = disk.base / "mnt"
    point.mkdir()
    world = served()  # now: in the mount namespace of the test
    codes = alike(world, "Filesystem", STORY, device=disk.device, directory=str(point), fstype="ext4")
    assert codes == [7, 0, 0, 0, 0, 0, 0, 0, 0, 7]
    assert disk.mounts() == []


def test_the_server_keeps_no_disk_busy_and_is_not_killed_as_a_user_of_one(disks, background, served):
    disk = disks("ext4")
    point = disk.base / "mnt"
    point.mkdir()
    world = served()
    server = world.pid()
    parameters = {"device": disk.device, "directory": str(point), "fstype": "ext4"}
    assert [code for _, code, _, _ in told(world, "forked", "Filesystem", [("start", {})], parameters)] == [0]
    user = background(["/bin/sleep", "900"], cwd=str(point))
    assert [code for _, code, _, _ in told(world, "forked", "Filesystem", [("stop", {})], parameters)] == [0]
    assert user.wait(60) < 0
    assert disk.mounts() == []
    assert world.pid() == server
    assert Path(f"/proc/{server}").exists()
    assert os.readlink(f"/proc/{server}/cwd") == "/"
