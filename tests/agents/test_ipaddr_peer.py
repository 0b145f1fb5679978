"""IPaddr beside Debian's IPaddr2 where that one goes wrong: ours must not; what the peer does is printed."""

from pathlib import Path

import pytest

from agents.agent_worlds import AgentRunner, eventually, sh

pytestmark = pytest.mark.root
PEER = Path("/usr/lib/ocf/resource.d/heartbeat/IPaddr2")
VIP = "10.77.0.9"
FIXED = {"ip": VIP, "nic": "eth0", "cidr_netmask": 24}


class Peer(AgentRunner):
    def __init__(self, *args, **parameters):
        super().__init__("IPaddr2", *args, **parameters)
        self.path = PEER

    def environment(self, *args):
        return {**super().environment(*args), "OCF_ROOT": "/usr/lib/ocf", "HA_LOGFACILITY": "none"}


@pytest.fixture
def both(network, ipaddr, tmp_path):
    """``both(scenario, **parameters)``: our answer; the peer's goes to the report."""

    def run(scenario, **parameters):
        if PEER.exists():
            (tmp_path / "peer").mkdir()
            prefix = ["ip", "netns", "exec", network.ns("b")]
            print(f"IPaddr2: {scenario('b', Peer(tmp_path / 'peer', prefix, **parameters))}")
        ours = scenario("a", ipaddr("a", **parameters))
        print(f"IPaddr:  {ours}")
        return ours

    return run


def there(network, node, ip=VIP):
    return network.ip(node, "-o", "addr").count(f" {ip}/")


@pytest.mark.parametrize("place", ["other prefix", "other interface"])
def test_an_address_that_is_there_otherwise(network, both, place):
    def scenario(node, agent):
        network.ip(node, "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
        network.ip(node, "link", "set", "mv1", "up")
        wrong = (f"{VIP}/16", "dev", "eth0") if place == "other prefix" else (f"{VIP}/24", "dev", "mv1")
        network.ip(node, "addr", "add", *wrong)
        codes = [agent("monitor"), agent("start")]
        copies = there(network, node)
        return codes, copies, agent("stop"), there(network, node)

    assert both(scenario, **FIXED) == ([1, 1], 1, 0, 0)


def test_an_interface_by_its_alternative_name(network, both):
    def scenario(node, agent):
        network.ip(node, "link", "property", "add", "dev", "eth0", "altname", "uplink")
        codes = [agent("start"), agent("monitor"), agent("stop")]
        return codes, there(network, node)

    assert both(scenario, **{**FIXED, "nic": "uplink"}) == ([0, 0, 0], 0)


def test_others_of_the_subnet_after_stop(network, both):
    def scenario(node, agent):
        network.ip(node, "addr", "flush", "dev", "eth0")
        for knob in ("all", "eth0"):
            path = f"/proc/sys/net/ipv4/conf/{knob}/promote_secondaries"
            sh("ip", "netns", "exec", network.ns(node), "sh", "-c", f"echo 0 > {path}")
        started = agent("start")
        network.ip(node, "addr", "add", "10.77.0.50/24", "dev", "eth0")
        return started, agent("stop"), there(network, node), there(network, node, "10.77.0.50")

    assert both(scenario, **FIXED) == (0, 0, 0, 1)


def test_a_lost_link(network, both):
    def scenario(node, agent):
        started = agent("start")
        network.ip("s", "link", "set", f"p{node}", "down")
        eventually(lambda: "NO-CARRIER" in network.ip(node, "link", "show", "eth0"), "carrier lost")
        codes = [agent("monitor"), agent("monitor", interval_s=0), agent("stop"), agent("start")]
        return started, codes, there(network, node)

    assert both(scenario, **FIXED) == (0, [1, 1, 0, 1], 0)


def test_a_route_without_and_one_with_a_metric(network, both):
    def scenario(node, agent):
        network.ip(node, "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
        network.ip(node, "link", "set", "mv1", "up")
        network.ip(node, "route", "add", "192.168.144.0/24", "dev", "mv1", "metric", "100")
        network.ip(node, "route", "add", "192.168.144.0/24", "dev", "eth0")
        started = agent("start")
        lines = network.ip(node, "-o", "addr").splitlines()
        return started, [line.split()[1] for line in lines if "192.168.144.9/" in line]

    assert both(scenario, ip="192.168.144.9") == (0, ["eth0"])


def test_ipv6_is_usable_when_start_returns(network, both):
    def scenario(node, agent):
        started = agent("start")
        line = next(line for line in network.ip(node, "-6", "-o", "addr").splitlines() if "2001:db8:77::9/" in line)
        return started, "tentative" in line, agent("stop")  # else the next one finds a duplicate

    assert both(scenario, ip="2001:db8:77::9", nic="eth0", cidr_netmask=64) == (0, False, 0)
