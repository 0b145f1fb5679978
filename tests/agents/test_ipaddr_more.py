"""IPaddr's IPv6, duplicate checks, link policy, namespaces and connections, on real interfaces."""

import subprocess

import pytest

from agents.agent_worlds import eventually, reason, sh

pytestmark = pytest.mark.root
VIP4 = "10.77.0.9"
VIP6 = "2001:db8:77::9"


@pytest.fixture
def six(network):
    """An IPv6 subnet for all, ready to use."""
    for number, name in enumerate("abc", start=1):
        network.ip(name, "-6", "addr", "add", f"2001:db8:77::{number}/64", "dev", "eth0", "nodad")
    return network


def six_of(network, name):
    lines = network.ip(name, "-6", "-o", "addr", "show", "dev", "eth0").splitlines()
    return {line.split()[3]: line for line in lines}


def test_ipv6_start_returns_when_the_address_is_usable(six, ipaddr):
    agent = ipaddr("a", ip="2001:DB8:77:0::9")
    assert agent("monitor") == 7
    assert [agent("start"), agent("start")] == [0, 0]
    assert "tentative" not in six_of(six, "a")[f"{VIP6}/64"]
    assert [agent("monitor"), agent("monitor", interval_s=0)] == [0, 0]
    sh("ip", "netns", "exec", six.ns("c"), "ping", "-6", "-c", "1", "-W", "5", VIP6)
    assert [agent("stop"), agent("stop")] == [0, 0]
    assert agent("monitor") == 7
    assert f"{VIP6}/64" not in six_of(six, "a")


def test_ipv6_duplicate_is_refused_and_its_owner_named(six, ipaddr):
    six.ip("b", "-6", "addr", "add", f"{VIP6}/64", "dev", "eth0", "nodad")
    result = ipaddr("a", ip=VIP6).run("start")
    assert result.returncode == 1
    assert six.mac("b") in reason(result)
    assert f"{VIP6}/64" not in six_of(six, "a"), "a failed start leaves nothing"
    assert ipaddr("a", ip=VIP6)("monitor") == 7
    assert ipaddr("a", ip=VIP6, nodad="yes")("start") == 0


def test_ipv6_neighbours_learn_the_new_place(six, ipaddr):
    on_a, on_b = ipaddr("a", ip=VIP6), ipaddr("b", ip=VIP6)
    assert on_a("start") == 0
    sh("ip", "netns", "exec", six.ns("c"), "ping", "-6", "-c", "1", "-W", "5", VIP6)
    assert six.mac("a") in six.ip("c", "-6", "neigh", "show", VIP6)
    assert on_a("stop") == 0
    assert on_b("start") == 0
    eventually(lambda: six.mac("b") in six.ip("c", "-6", "neigh", "show", VIP6), "the client learnt the new place")


def test_ipv6_link_local_and_flags(six, ipaddr):
    agent = ipaddr("a", ip="fe80::99", nic="eth0", cidr_netmask=64, noprefixroute="yes", preferred_lft=0)
    assert agent("start") == 0
    line = six_of(six, "a")["fe80::99/64"]
    assert "noprefixroute" in line
    assert "deprecated" in line
    assert agent("stop") == 0


@pytest.mark.parametrize("ip", [VIP4, VIP6])
def test_asked_before_start(six, ipaddr, ip):
    length = 24 if ip == VIP4 else 64
    six.ip("b", "addr", "add", f"{ip}/{length}", "dev", "eth0", *(["nodad"] if ip == VIP6 else []))
    result = ipaddr("a", ip=ip, run_arping="yes").run("start")
    assert result.returncode == 1
    assert six.mac("b") in reason(result)
    assert ip not in six.ip("a", "-o", "addr")
    six.ip("b", "addr", "del", f"{ip}/{length}", "dev", "eth0")
    assert ipaddr("a", ip=ip, run_arping="yes")("start") == 0


@pytest.mark.parametrize(("policy", "code"), [("fail", 1), ("degraded", 190), ("ignore", 0)])
def test_what_a_lost_link_means(network, ipaddr, policy, code):
    agent = ipaddr("a", ip=VIP4, nic="eth0", cidr_netmask=24, link_status=policy)
    assert agent("start") == 0
    network.ip("s", "link", "set", "pa", "down")
    eventually(lambda: "NO-CARRIER" in network.ip("a", "link", "show", "eth0"), "carrier lost")
    assert agent("monitor") == code
    assert agent("stop") == 0
    assert agent("start") == (1 if policy == "fail" else 0)
    assert agent("stop") == 0


def test_inside_a_namespace(network, ipaddr):
    """Called from node a, the agent manages an address of node b."""
    agent = ipaddr("a", ip=VIP4, network_namespace=network.ns("b"))
    assert agent("start") == 0
    assert ("eth0", f"{VIP4}/24") in network.addresses("b")
    assert ("eth0", f"{VIP4}/24") not in network.addresses("a")
    assert agent("monitor") == 0
    assert agent("stop") == 0
    assert ("eth0", f"{VIP4}/24") not in network.addresses("b")
    gone = ipaddr("a", ip=VIP4, network_namespace="no-such-namespace")
    assert [gone("monitor"), gone("stop"), gone("start")] == [7, 0, 5]


def test_connections_end_with_the_address(network, ipaddr, background):
    agent = ipaddr("a", ip=VIP4, kill_connections="yes")
    assert agent("start") == 0
    program = (
        "import socket, sys\n"
        f"server = socket.create_server(('{VIP4}', 4000))\n"
        "print('ready', flush=True)\n"
        "connection, _ = server.accept()\n"
        "print('accepted', flush=True)\n"
        "try:\n    connection.recv(1)\n    print('closed', flush=True)\n"
        "except OSError as error:\n    print(type(error).__name__, flush=True)\n"
    )
    inside_a, inside_c = (["ip", "netns", "exec", network.ns(name), "/usr/bin/python3", "-c"] for name in "ac")
    server = background([*inside_a, program], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    client_program = (
        f"import socket, time\nconnection = socket.create_connection(('{VIP4}', 4000))\n"
        "connection.settimeout(30)\n"
        "try:\n    print(connection.recv(1), flush=True)\n"
        "except OSError as error:\n    print(type(error).__name__)\n"
    )
    background([*inside_c, client_program])
    assert server.stdout.readline() == "accepted\n"
    result = agent.run("stop")
    assert result.returncode == 0
    if "left to time out" in result.stderr:
        pytest.skip("this kernel has no CONFIG_INET_DIAG_DESTROY")
    assert server.stdout.readline() == "ConnectionAbortedError\n"


def test_a_clone_is_refused_with_the_agent_that_has_it(network, ipaddr):
    result = ipaddr("a", ip=VIP4, CRM_meta_clone_max=2).run("start")
    assert result.returncode == 6
    assert "IPaddr2" in reason(result)
    assert ipaddr("a", ip=VIP4, CRM_meta_clone_max=1)("start") == 0


def test_each_monitor_announces_when_asked_to(network, ipaddr):
    agent = ipaddr("a", ip=VIP4, arp_count=0, arp_count_refresh=1)
    assert agent("start") == 0
    entry = (VIP4, "lladdr", network.mac("b"), "dev", "eth0", "nud", "reachable")
    network.ip("c", "neigh", "replace", *entry)

    def learnt():
        agent("monitor")
        return network.mac("a") in network.ip("c", "neigh", "show", VIP4)

    eventually(learnt, "a monitor's announcement reached the client")
