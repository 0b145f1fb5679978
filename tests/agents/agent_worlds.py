"""Worlds for the resource agents: running one, network namespaces, loop disks, listening to ARP."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OCF = ROOT / "ocf"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# No agent call of these tests may take longer: "every wait ends" is part of what is tested.
CALL_LIMIT_S = 150


def sh(*argv, check=True, **kwargs):
    kwargs.setdefault("timeout", CALL_LIMIT_S)
    environment = {"PATH": PATH, "LC_ALL": "C"}
    return subprocess.run(
        list(map(str, argv)), check=check, text=True, capture_output=True, env=environment, **kwargs
    )


def eventually(condition, what, limit_s=60.0):
    """Wait for something the kernel or another process does; the result of ``condition``."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    pytest.fail(f"never happened: {what}")


class AgentRunner:
    """Runs one agent the way a cluster manager does: verb in argv, parameters in the environment."""

    def __init__(self, name, state_dir, prefix=(), **parameters):
        self.path = OCF / name
        self.prefix = list(prefix)
        self.state_dir = state_dir
        self.parameters = parameters

    def environment(self, timeout_s, interval_s, level, parameters):
        reskeys = {
            **self.parameters,
            "CRM_meta_timeout": timeout_s * 1000,
            "CRM_meta_interval": interval_s * 1000,
            **parameters,
        }
        return {
            "PATH": PATH,
            "HA_RSCTMP": str(self.state_dir),
            "OCF_RESOURCE_INSTANCE": "test",
            "OCF_CHECK_LEVEL": str(level),
            **{f"OCF_RESKEY_{name}": str(value) for name, value in reskeys.items()},
        }

    def run(self, verb, timeout_s=60, interval_s=10, level=0, **parameters):
        return subprocess.run(
            [*self.prefix, str(self.path), verb],
            env=self.environment(timeout_s, interval_s, level, parameters),
            text=True,
            capture_output=True,
            check=False,
            timeout=CALL_LIMIT_S,
        )

    def __call__(self, verb, **kwargs):
        """The exit code alone."""
        result = self.run(verb, **kwargs)
        sys.stderr.write(f"{self.path.name} {verb}: {result.returncode} {result.stderr}")
        return result.returncode


def told(agent, verb, words, first_s=2, **parameters):
    """The result of a call that fails when its time is up, once it had enough of it to give ``words`` as reason.

    Two seconds are plenty. A machine that does other things may take them all before the agent has looked around.
    """
    for timeout_s in (first_s, 8, 32, 100):
        result = agent.run(verb, timeout_s=timeout_s, **parameters)
        if any(words in line for line in result.stderr.splitlines() if line.startswith("ocf-exit-reason:")):
            break
    return result


def reason(result):
    lines = [line for line in result.stderr.splitlines() if line.startswith("ocf-exit-reason:")]
    assert len(lines) == 1, result.stderr
    return lines[0].removeprefix("ocf-exit-reason:")


class Network:
    """Nodes a and b and a client c on one switch; each a network namespace."""

    def __init__(self, tag):
        self.tag = tag
        self.names = [f"{tag}-{name}" for name in ("s", "a", "b", "c")]

    def ns(self, name):
        return f"{self.tag}-{name}"

    def ip(self, name, *args, check=True):
        return sh("ip", "-n", self.ns(name), *args, check=check).stdout

    def build(self):
        for name in self.names:
            sh("ip", "netns", "add", name)
        self.ip("s", "link", "add", "br0", "type", "bridge")
        self.ip("s", "link", "set", "br0", "up")
        for number, name in enumerate("abc", start=1):
            self.ip("s", "link", "add", f"p{name}", "type", "veth", "peer", "name", "eth0", "netns", self.ns(name))
            self.ip("s", "link", "set", f"p{name}", "master", "br0", "up")
            self.ip(name, "link", "set", "lo", "up")
            self.ip(name, "link", "set", "eth0", "up")
            self.ip(name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        for name in "abc":
            eventually(lambda name=name: "LOWER_UP" in self.ip(name, "link", "show", "eth0"), "carrier")

    def destroy(self):
        for name in self.names:
            sh("ip", "netns", "del", name, check=False)

    def addresses(self, name):
        lines = self.ip(name, "-4", "-o", "addr").splitlines()
        return {(line.split()[1], line.split()[3]) for line in lines}

    def mac(self, name, device="eth0"):
        return sh("ip", "netns", "exec", self.ns(name), "cat", f"/sys/class/net/{device}/address").stdout.strip()


class Disk:
    def __init__(self, base, image, device):
        self.base = base
        self.image = image
        self.device = device

    def mounts(self):
        """Mount points of this disk in our namespace, from the kernel's table."""
        number = os.stat(self.device).st_rdev
        needle = f"{os.major(number)}:{os.minor(number)}"
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line.split()[4] for line in lines if line.split()[2] == needle]


_LISTENER = """
import socket
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
print("ready", flush=True)
while True:
    print(sock.recv(2048)[:42].hex(), flush=True)
"""


class ArpListener:
    """Hears every ARP frame on a node's network."""

    def __init__(self, background, network, node):
        argv = ["ip", "netns", "exec", network.ns(node), "/usr/bin/python3", "-c", _LISTENER]
        self.child = background(argv, stdout=subprocess.PIPE)
        assert self.child.stdout.readline() == b"ready\n"

    def stop(self):
        """All frames heard, as bytes."""
        self.child.kill()
        self.child.wait()
        return [bytes.fromhex(line.decode()) for line in self.child.stdout.read().split()]
