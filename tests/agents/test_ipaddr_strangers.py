"""IPaddr and what is not its own, or is and is hard to find: link-local addresses, namespaces without a name."""

import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, reason, sh

pytestmark = pytest.mark.root
LINK_LOCAL = "fe80::77"


@pytest.fixture
def inner(network, background):
    """A network namespace of the cluster's own, with a leg to node c, and a process that lives in it."""
    name = f"{network.tag}-i"
    sh("ip", "netns", "add", name)
    try:
        sh("ip", "-n", name, "link", "add", "in0", "type", "veth", "peer", "name", "out0", "netns", network.ns("c"))
        sh("ip", "-n", name, "link", "set", "in0", "up")
        network.ip("c", "link", "set", "out0", "up")
        network.ip("c", "addr", "add", "10.78.0.1/24", "dev", "out0")
        argv = ["ip", "netns", "exec", name, "sh", "-c", "echo ready; exec sleep 600"]
        child = background(argv, stdout=subprocess.PIPE)
        assert child.stdout.readline() == b"ready\n"
        eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n", "it sleeps")
        yield name
    finally:
        sh("ip", "netns", "del", name, check=False)


def answers(network, ip):
    argv = ["ip", "netns", "exec", network.ns("c"), "ping", "-c", "1", "-W", "1", ip]
    return sh(*argv, check=False).returncode == 0


@pytest.mark.parametrize("again", [False, True])
def test_a_namespace_that_lost_its_name_is_not_gone(network, ipaddr, inner, again):
    agent = ipaddr("a", ip="10.78.0.5", nic="in0", cidr_netmask=24, network_namespace=inner)
    agent.prefix = []
    assert [agent("start"), agent("monitor")] == [0, 0]
    sh("ip", "netns", "del", inner)
    if again:
        sh("ip", "netns", "add", inner)
    eventually(lambda: answers(network, "10.78.0.5"), "the address answers")
    result = agent.run("monitor", interval_s=0)
    assert result.returncode == 1
    assert "was deleted, but sleep (pid" in reason(result)
    assert agent("stop") == 0
    assert not answers(network, "10.78.0.5")
    assert [agent("monitor"), agent("stop")] == [7, 0]
    assert list(agent.state_dir.iterdir()) == []


@pytest.mark.parametrize("nic", ["", "eth0 "])
def test_a_link_local_address_without_an_interface_is_anothers(network, ipaddr, nic):
    """start refuses it, so nothing was started; stop took the router's address off every interface."""
    network.ip("a", "addr", "add", f"{LINK_LOCAL}/64", "dev", "eth0", "nodad")
    agent = ipaddr("a", ip=LINK_LOCAL, nic=nic)
    assert [agent("start"), agent("monitor", interval_s=0), agent("stop")] == [6, 7, 0]
    assert f"{LINK_LOCAL}/64" in network.ip("a", "-6", "-o", "addr")


def test_a_link_local_address_goes_with_its_interface(network, ipaddr):
    agent = ipaddr("a", ip=LINK_LOCAL, nic="eth0", cidr_netmask=64, nodad="yes")
    assert [agent("start"), agent("monitor")] == [0, 0]
    network.ip("a", "link", "set", "eth0", "down")
    network.ip("a", "link", "set", "eth0", "name", "lan0")
    network.ip("a", "link", "set", "lan0", "up")
    if f"{LINK_LOCAL}/64" not in network.ip("a", "-6", "-o", "addr"):
        network.ip("a", "addr", "add", f"{LINK_LOCAL}/64", "dev", "lan0", "nodad")
    eventually(lambda: "LOWER_UP" in network.ip("a", "link", "show", "lan0"), "carrier")
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "is configured on lan0, not on eth0" in reason(result)
    assert [agent("stop"), agent("monitor")] == [0, 7]
    assert f"{LINK_LOCAL}/64" not in network.ip("a", "-6", "-o", "addr")


def test_with_a_wrong_namespace_the_host_keeps_its_address(network, ipaddr):
    """stop went on without the setting, that is in the host's own namespace."""
    network.ip("a", "addr", "add", "10.77.0.9/24", "dev", "eth0")
    agent = ipaddr("a", ip="10.77.0.9", network_namespace="inner/one")
    assert [agent("start"), agent("monitor", interval_s=0), agent("stop")] == [6, 7, 0]
    assert ("eth0", "10.77.0.9/24") in network.addresses("a")


def test_an_address_with_another_end_can_be_stopped(network, ipaddr):
    """RTM_DELADDR names the other end, too; without it the kernel finds no such address (inet_rtm_deladdr())."""
    network.ip("a", "addr", "add", "10.77.0.9", "peer", "10.77.0.8/32", "dev", "eth0")
    network.ip("a", "addr", "add", "fd00::9", "peer", "fd00::8/128", "dev", "eth0", "nodad")
    for ip in ("10.77.0.9", "fd00::9"):
        agent = ipaddr("a", ip=ip)
        assert [agent("monitor"), agent("stop"), agent("monitor")] == [0, 0, 7]
