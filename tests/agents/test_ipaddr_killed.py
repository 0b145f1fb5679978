"""IPaddr killed at any moment: Pacemaker ends an action that is late by SIGKILL to its process group."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from agents.agent_worlds import ROOT, eventually, sh

pytestmark = pytest.mark.root
SEED = 20261126
OTHER = "10.77.0.50"


class Killer:
    """Runs an agent and kills its group at a random moment of its usual time."""

    def __init__(self, agent, seed):
        self.agent = agent
        self.random = random.Random(seed)
        self.usual_s = {"start": 0.1, "stop": 0.1}

    def kill(self, verb):
        """Whether the action was cut short."""
        child = subprocess.Popen(
            [*self.agent.prefix, str(self.agent.path), verb],
            env=self.agent.environment(20, 10, 0, {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        begun = time.monotonic()
        try:
            child.wait(self.random.uniform(0, 1.2 * self.usual_s[verb]))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return True
        self.usual_s[verb] = time.monotonic() - begun
        return False


def there(network, ip):
    return f" {ip}/" in network.ip("a", "-o", "addr")


def recorded(agent):
    """The pids of the announcers on record; their first burst takes minutes here (arp_interval)."""
    return [int(record.read_text().split()[0]) for record in agent.state_dir.glob("*.arp")]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def one_round(network, killer, verb, ip, note):
    """Kill ``verb``; then everything must be as if it had never been called, or ended well."""
    cut = killer.kill(verb)
    found = there(network, ip)
    assert killer.agent("monitor") == (0 if found else 7), f"{note}: {verb} killed, address there: {found}"
    assert cut or found == (verb == "start"), f"{note}: {verb} came to its end"
    return cut


def go_on(network, killer, verb, ip, note):
    """The next action, not killed."""
    announcers = recorded(killer.agent) if verb == "stop" else []
    assert killer.agent(verb) == 0, f"{note}: {verb} after a kill"
    assert there(network, ip) == (verb == "start"), f"{note}: {verb} after a kill"
    assert killer.agent("monitor") == (0 if verb == "start" else 7), note
    if verb == "stop":
        assert not any(map(alive, announcers)), f"{note}: an announcer outlived stop"
        # One that was not yet on record when its start was killed ends by itself, without a word.
        eventually(lambda: not sh("ip", "netns", "pids", network.ns("a")).stdout, f"{note}: nobody is left")


@pytest.mark.parametrize(("ip", "rounds"), [("10.77.0.9", 26), ("2001:db8:77::9", 16)])
def test_killed_at_any_moment_the_next_actions_go_on(network, ipaddr, ip, rounds):
    six = ":" in ip
    quick = {"ipv6/neigh/eth0/retrans_time_ms": 50, "ipv6/conf/eth0/router_solicitation_delay": 0}
    slow = {"ipv4/conf/all/promote_secondaries": 0, "ipv4/conf/eth0/promote_secondaries": 0}
    for path, value in (quick if six else slow).items():
        sh("ip", "netns", "exec", network.ns("a"), "sh", "-c", f"echo {value} > /proc/sys/net/{path}")
    network.ip("a", "addr", "flush", "dev", "eth0", "scope", "global")
    length = 64 if six else 24
    agent = ipaddr("a", ip=ip, nic="eth0", cidr_netmask=length, arp_count=20, arp_interval=5000)
    killer = Killer(agent, SEED)
    cuts = 0
    for number in range(rounds):
        note = f"seed {SEED}, round {number}"
        cuts += one_round(network, killer, "start", ip, note)
        if killer.random.random() < 0.5:
            go_on(network, killer, "start", ip, note)
        leans = not six and there(network, ip)
        if leans:
            network.ip("a", "addr", "add", f"{OTHER}/24", "dev", "eth0")
        cuts += one_round(network, killer, "stop", ip, note)
        assert not leans or there(network, OTHER), f"{note}: another address went along"
        if killer.random.random() < 0.7:
            go_on(network, killer, "stop", ip, note)
        network.ip("a", "addr", "del", f"{OTHER}/24", "dev", "eth0", check=False)
    go_on(network, killer, "stop", ip, "at the end")
    assert cuts > rounds // 2, "most actions must have been cut short, or this shows little"


REMOVAL = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "lib")!r})
from failover_kit.agents import ipaddr_stop
from failover_kit.kernel import addresses, netlink
remove = addresses.remove
def remove_and_die(link, address):
    remove(link, address)
    os.kill(os.getpid(), 9)
if sys.argv[1] == "killed":
    addresses.remove = remove_and_die
else:
    ipaddr_stop._exchange = lambda path, old, new: False
with netlink.Netlink() as link:
    ipaddr_stop.remove_alone(link, addresses.find(link, bytes((10, 77, 0, 1)))[0])
"""


@pytest.mark.parametrize("case", ["killed", "read-only"])
def test_the_others_of_the_subnet_stay_or_come_back(network, case):
    """The kernel drops secondaries with their primary. A container may have a /proc/sys that cannot be written."""
    for knob in ("all", "eth0"):
        path = f"/proc/sys/net/ipv4/conf/{knob}/promote_secondaries"
        sh("ip", "netns", "exec", network.ns("a"), "sh", "-c", f"echo 0 > {path}")
    other = (f"{OTHER}/24", "brd", "10.77.0.255", "dev", "eth0", "label", "eth0:x", "metric", "77")
    network.ip("a", "addr", "add", *other, "valid_lft", "5000", "preferred_lft", "4000")
    argv = ("/usr/bin/python3", "-IS", "-c", REMOVAL, case)
    done = sh("ip", "netns", "exec", network.ns("a"), *argv, check=False)
    assert done.returncode == (-signal.SIGKILL if case == "killed" else 0), done.stderr
    assert not there(network, "10.77.0.1")
    line = next(line for line in network.ip("a", "-o", "addr").splitlines() if f" {OTHER}/" in line)
    for word in ("metric 77", "brd 10.77.0.255", "eth0:x", r"valid_lft [45]\d{3}s", r"preferred_lft [34]\d{3}s"):
        assert re.search(word, line), line
