"""The launchers in Heartbeat's own hands: Debian's ResourceManager, in namespaces of the test.

/etc/ha.d is a copy, with our scripts put in place by the commands of the howto. Programs that would end this
machine are taken out of the way; a call of one leaves a line in a file.
"""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.agent_worlds import PATH, ROOT, eventually, sh

MANAGER = "/usr/share/heartbeat/ResourceManager"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not Path(MANAGER).exists(), reason="no ResourceManager: the package heartbeat"),
]


def install_commands():
    """What docs/howto/with-heartbeat.md tells people to type."""
    page = (ROOT / "docs" / "howto" / "with-heartbeat.md").read_text().splitlines()
    first = page.index("```sh pete mclaws", page.index("## Install")) + 1
    return "\n".join(page[first : page.index("```", first)])


class Heartbeat:
    """ResourceManager, as heartbeat calls it, in network namespace a of ``network``."""

    def __init__(self, installed, network, base):
        # Not ip netns exec: that makes a mount namespace for each call, and the mounts would go with it.
        self.enter = ["nsenter", f"--net=/run/netns/{network.ns('a')}"]
        self.base = base
        self.log = base / "ha-log"
        self.state = base / "state"
        shutil.copytree("/etc/ha.d", base / "ha.d")
        sh("mount", "--bind", base / "ha.d", "/etc/ha.d")
        scripts = Path("/etc/ha.d/resource.d")
        sh("sh", "-ec", install_commands().replace("/usr/lib/failover-kit", f"{installed}/usr/lib/failover-kit"))
        (scripts / "after").write_text("#!/bin/sh\ncase $1 in start) echo $1 >>/etc/ha.d/after ;; esac\nexit 0\n")
        (scripts / "after").chmod(0o755)
        tools = base / "tools"
        tools.mkdir()
        # A failed stop ends in these. None of them may reach this machine.
        for name in ("pkill", "reboot", "init", "hb_standby", "sleep"):
            tool = tools / name
            tool.write_text(f'#!/bin/sh\necho {name} "$@" >>{base}/ends\n')
            tool.chmod(0o755)
        for real in ("/usr/bin/pkill", "/sbin/reboot", "/sbin/init", "/usr/share/heartbeat/hb_standby"):
            if Path(real).exists():
                sh("mount", "--bind", tools / Path(real).name, Path(real).resolve())

    def resources(self, *words):
        Path("/etc/ha.d/haresources").write_text("pete " + " ".join(map(str, words)) + "\n")

    def run(self, *args, **environ):
        environment = {
            "PATH": f"{self.base}/tools:{PATH}",
            "HA_RESOURCEDIR": "/etc/ha.d/resource.d",
            "HA_CURHOST": "pete",
            "HA_DEBUGLOG": str(self.base / "ha-debug"),
            "HA_LOGFILE": str(self.log),
            "HA_BIN": "/usr/lib/heartbeat",
            "HA_RSCTMP": str(self.state),
            "HA_STOPRETRYMAX": "1",
            **environ,
        }
        return subprocess.run(
            [*self.enter, MANAGER, *map(str, args)],
            env=environment, check=False, text=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def call(self, script, *args):
        """A launcher alone, as ResourceManager calls it."""
        return subprocess.run(
            [*self.enter, f"/etc/ha.d/resource.d/{script}", *map(str, args)],
            env={"PATH": PATH, "HA_RSCTMP": str(self.state)}, check=False, text=True, capture_output=True,
            timeout=60,
        )  # fmt: skip

    def ends(self):
        """The programs called that would have ended something."""
        path = self.base / "ends"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def said(self):
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def heartbeat(own_mounts, installed, network, tmp_path):
    # The mount of /etc/ha.d and the bind mounts end with the mount namespace of the test.
    return Heartbeat(installed, network, tmp_path)


@pytest.fixture
def group(heartbeat, disks):
    """A disk and an address, stopped."""
    disk = disks("ext4")
    heartbeat.resources(
        "IPaddr::10.77.0.9/24/eth0", f"Filesystem::{disk.device}::{disk.base}/mnt::ext4", "after"
    )
    heartbeat.key = "IPaddr::10.77.0.9/24/eth0"
    return heartbeat, disk


def test_a_group_is_taken_and_given_and_heartbeat_knows_which(group, network):
    heartbeat, disk = group
    filesystem = f"Filesystem::{disk.device}::{disk.base}/mnt::ext4"
    assert heartbeat.run("listkeys", "pete").stdout.split() == [heartbeat.key]
    for _ in range(2):
        assert heartbeat.run("status", heartbeat.key).returncode == 3
        assert heartbeat.run("verifyallidle").returncode == 0
        assert heartbeat.run("takegroup", heartbeat.key).returncode == 0, heartbeat.said()
        assert ("eth0", "10.77.0.9/24") in network.addresses("a")
        assert heartbeat.run("status", heartbeat.key).returncode == 0
        assert heartbeat.run("status", filesystem).returncode == 0
        assert heartbeat.run("verifyallidle").returncode == 1
        assert heartbeat.run("takegroup", heartbeat.key).returncode == 0
        assert heartbeat.run("givegroup", heartbeat.key).returncode == 0, heartbeat.said()
        assert heartbeat.run("givegroup", heartbeat.key).returncode == 0
        assert ("eth0", "10.77.0.9/24") not in network.addresses("a")
        assert heartbeat.run("status", filesystem).returncode == 3
    assert heartbeat.ends() == []


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("IPaddr::2001:db8:0:0:0:0:0:9/64/eth0", "2001:db8::9/64"),
        ("IPaddr2::2001:db8:0:0:0:0:0:9/64/eth0", "2001:db8::9/64"),
        ("10.77.0.9", "10.77.0.9/24"),
        ("10.77.0.9/25/eth0/10.77.0.127", "10.77.0.9/25 brd 10.77.0.127"),
        ("IPaddr2::10.77.0.9/24/eth0:web", "10.77.0.9/24"),
    ],
)
def test_an_address_in_every_spelling_of_haresources(heartbeat, network, key, address):
    heartbeat.resources(key)
    assert heartbeat.run("takegroup", key).returncode == 0, heartbeat.said()
    assert address in network.ip("a", "addr", "show", "dev", "eth0")
    assert heartbeat.run("status", key).returncode == 0
    assert heartbeat.run("givegroup", key).returncode == 0
    assert address not in network.ip("a", "addr", "show", "dev", "eth0")
    assert heartbeat.ends() == []


def test_what_is_in_doubt_is_not_started_over_and_the_group_is_given_up(group):
    """The disk is mounted, but elsewhere: neither running nor stopped. What follows must not start."""
    heartbeat, disk = group
    elsewhere = disk.base / "elsewhere"
    elsewhere.mkdir()
    sh("mount", disk.device, elsewhere)
    result = heartbeat.call("Filesystem", disk.device, disk.base / "mnt", "ext4", "status")
    assert (result.returncode, result.stdout) == (4, "Filesystem: state unknown\n")
    assert result.stderr.startswith("ERROR: ")
    heartbeat.run("takegroup", heartbeat.key)  # its exit code is 0 also when it gave everything up again
    assert "Giving up resources due to failure of Filesystem::" in heartbeat.said()
    assert not Path("/etc/ha.d/after").exists()
    assert heartbeat.ends().count("reboot") == 0


@contextmanager
def held_elsewhere():
    """Another mount namespace has a copy of every mount: what we unmount goes on living there."""
    holder = subprocess.Popen(["unshare", "-m", "sleep", "600"])
    try:
        ours = os.readlink("/proc/self/ns/mnt")
        eventually(lambda: os.readlink(f"/proc/{holder.pid}/ns/mnt") != ours, "a mount namespace")
        yield
    finally:
        holder.kill()
        holder.wait()


def test_a_stop_that_fails_takes_the_node_down_and_nothing_is_said_to_be_released(group):
    """The disk is held by another mount namespace, so it is not free. Heartbeat must hear "running"."""
    heartbeat, disk = group
    args = (disk.device, disk.base / "mnt", "ext4")
    assert heartbeat.run("takegroup", heartbeat.key).returncode == 0, heartbeat.said()
    with held_elsewhere():
        assert heartbeat.run("givegroup", heartbeat.key, OCF_RESKEY_CRM_meta_timeout="3000").returncode != 0
        assert "pkill" in heartbeat.ends()
        assert "narrowly avoided" not in heartbeat.said()
        assert "Resource STOP failure. Reboot required!" in heartbeat.said()
        result = heartbeat.call("Filesystem", *args, "status")
        # The disk is not mounted in this namespace any more, so a probe alone would say "not running".
        assert (result.returncode, result.stdout.count("running")) == (4, 1)
    assert heartbeat.call("Filesystem", *args, "stop").returncode == 0
    assert heartbeat.call("Filesystem", *args, "status").stdout == "Filesystem: not running\n"
    assert list(heartbeat.state.glob("*-stop-*")) == []


def test_beside_heartbeat_s_own_script_on_a_disk_that_is_held_elsewhere(heartbeat, disks):
    """What the script that went aside makes of the same disk; printed, not judged."""
    disk = disks("ext4")
    key = f"Filesystem.heartbeat::{disk.device}::{disk.base}/mnt::ext4"
    (disk.base / "mnt").mkdir()
    heartbeat.resources(key)
    heartbeat.run("takegroup", key)
    assert disk.mounts() == [f"{disk.base}/mnt"], heartbeat.said()
    with held_elsewhere():
        code = heartbeat.run("givegroup", key).returncode
        try:
            os.close(os.open(disk.device, os.O_RDONLY | os.O_EXCL))
            free = "free"
        except OSError as error:
            free = error.strerror
        print(f"Heartbeat's Filesystem: givegroup exits {code}, called {heartbeat.ends()}; the disk: {free}")


@pytest.mark.parametrize("script", ["IPaddr", "IPaddr2", "Filesystem", "nfsserver", "exportfs", "killnfsd"])
def test_every_script_is_there_and_says_what_it_takes(heartbeat, script):
    result = heartbeat.call(script, "frobnicate")
    assert result.returncode == 3
    assert result.stderr.startswith(f"usage: {script} ")
    assert result.stderr.endswith("start|stop|status|monitor\n")
    assert heartbeat.call(script, "meta-data").stdout.startswith("<?xml")


