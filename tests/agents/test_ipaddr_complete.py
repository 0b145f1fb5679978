"""IPaddr beside ClusterLabs' IPaddr2: names, routes, both families, what is left behind and what must not be."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import ArpListener, eventually, reason, sh

pytestmark = pytest.mark.root
VIP4 = "10.77.0.9"
VIP6 = "2001:db8:77::9"


@pytest.fixture
def six(network):
    """An IPv6 subnet for all, ready to use."""
    for number, name in enumerate("abc", start=1):
        network.ip(name, "-6", "addr", "add", f"2001:db8:77::{number}/64", "dev", "eth0", "nodad")
    return network


def line_of(network, node, ip):
    """What ip(8) says of one address; "" when it is not there."""
    lines = network.ip(node, "-o", "addr").splitlines()
    return next((line for line in lines if f" {ip}/" in line), "")


def set_in(network, node, path, value):
    sh("ip", "netns", "exec", network.ns(node), "sh", "-c", f"echo {value} > /proc/sys/net/{path}")


def read_in(network, node, path):
    return sh("ip", "netns", "exec", network.ns(node), "cat", f"/proc/sys/net/{path}").stdout.strip()


def record_of(tmp_path, name, node="a"):
    return tmp_path / f"state-{node}" / f"failover-kit-IPaddr-{name}.arp"


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("primary", ("macvlan", "mode", "bridge")),
        ("dev", ("macvlan", "mode", "bridge")),
        ("mac@vlan", ("macvlan", "mode", "bridge")),
        ("eth0.100", ("vlan", "id", "100")),
        ("br-lan", ("bridge",)),
    ],
)
def test_an_interface_may_have_any_name(network, ipaddr, name, kind):
    """Peers' issue 2161: names that are words of ip(8)'s language."""
    below = () if kind == ("bridge",) else ("link", "eth0")
    made = sh("ip", "-n", network.ns("a"), "link", "add", *below, "name", name, "type", *kind, check=False)
    if made.returncode:
        pytest.skip(f"this kernel has no {kind[0]}")
    if kind == ("bridge",):
        network.ip("a", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        network.ip("a", "link", "set", "v0", "up")
        network.ip("a", "link", "set", "v1", "master", name, "up")
    network.ip("a", "link", "set", "dev", name, "up")
    network.ip("a", "addr", "add", "10.88.0.1/24", "dev", name)
    for parameters in ({}, {"nic": f"{name}:w"}):
        agent = ipaddr("a", ip="10.88.0.9", **parameters)
        assert agent("start") == 0
        assert (name, "10.88.0.9/24") in network.addresses("a")
        assert (f"{name}:w" in line_of(network, "a", "10.88.0.9")) == bool(parameters)
        assert [agent("monitor"), agent("stop"), agent("monitor")] == [0, 0, 7]


@pytest.mark.parametrize("name", ["uplink", "an-alternative-name-of-some-length"])
def test_an_alternative_name_is_a_name(network, ipaddr, name):
    network.ip("a", "link", "property", "add", "dev", "eth0", "altname", name)
    agent = ipaddr("a", ip=VIP4, nic=name, iflabel="web")
    assert [agent("start"), agent("monitor"), agent("start")] == [0, 0, 0]
    assert "eth0:web" in line_of(network, "a", VIP4), "the kernel takes labels of the first name only"
    assert agent("stop") == 0


def test_a_name_the_kernel_could_never_have_is_a_missing_interface(ipaddr):
    for name in ("ü" * 15, "ü" * 100):
        result = ipaddr("a", ip=VIP4, nic=name).run("start")
        assert result.returncode == 5, result.stderr


@pytest.mark.parametrize(("broadcast", "shown"), [("-", "10.77.0.0"), ("+", "10.77.0.255"), ("10.77.255.255",) * 2])
def test_mask_by_its_old_name_and_broadcast(network, ipaddr, broadcast, shown):
    assert ipaddr("a", ip=VIP4, nic="eth0:web", netmask="255.255.255.0", broadcast=broadcast)("start") == 0
    line = line_of(network, "a", VIP4)
    assert f"{VIP4}/24 brd {shown} " in line
    assert "eth0:web" in line


def test_a_label_that_does_not_fit_this_interface_is_this_node_s_fault(network, ipaddr):
    """Peers' issue 334: exit 6 would ban the resource from all nodes."""
    result = ipaddr("a", ip=VIP4, iflabel="cluster-addr").run("start")
    assert result.returncode == 1
    assert "15 characters" in reason(result)
    assert not line_of(network, "a", VIP4)


def test_ipv6_interface_by_longest_prefix_then_lowest_metric(six, ipaddr):
    six.ip("a", "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
    six.ip("a", "link", "set", "mv1", "up")
    for prefix, device, metric in (
        ("2001:db8:1::/48", "eth0", 10),
        ("2001:db8:1:5::/64", "mv1", 5000),
        ("2001:db8:2::/64", "mv1", 900),
        ("2001:db8:2::/64", "eth0", 1000),
    ):
        six.ip("a", "-6", "route", "add", prefix, "dev", device, "metric", metric)
    for ip in ("2001:db8:1:5::9", "2001:db8:2::9", "2001:db8:1:6::9"):
        assert ipaddr("a", ip=ip, nodad="yes")("start") == 0
    found = [line_of(six, "a", ip).split()[1:4:2] for ip in ("2001:db8:1:5::9", "2001:db8:2::9", "2001:db8:1:6::9")]
    assert found == [["mv1", "2001:db8:1:5::9/64"], ["mv1", "2001:db8:2::9/64"], ["eth0", "2001:db8:1:6::9/48"]]


def test_a_spare_loopback_address_goes_to_lo(network, ipaddr):
    agent = ipaddr("a", ip="127.0.0.10")
    assert [agent("monitor"), agent("start"), agent("start"), agent("monitor")] == [7, 0, 0, 0]
    assert ("lo", "127.0.0.10/8") in network.addresses("a")
    assert [agent("stop"), agent("stop"), agent("monitor")] == [0, 0, 7]
    assert ("lo", "127.0.0.1/8") in network.addresses("a")
    own = ipaddr("a", ip="127.0.0.1")
    assert [own("start"), own("stop"), own("monitor", interval_s=0)] == [6, 0, 7]
    assert ("lo", "127.0.0.1/8") in network.addresses("a"), "the host's own address is nobody's resource"


def test_an_interface_without_ipv6_is_said_to_be_one(network, ipaddr):
    set_in(network, "a", "ipv6/conf/eth0/disable_ipv6", 1)
    result = ipaddr("a", ip=VIP6, nic="eth0", cidr_netmask=64).run("start")
    assert result.returncode == 5
    assert "net.ipv6.conf.eth0.disable_ipv6" in reason(result)


def test_a_link_local_address_is_another_one_on_each_interface(six, ipaddr, tmp_path):
    six.ip("a", "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "private")
    six.ip("a", "link", "set", "mv1", "up")
    first, second = (ipaddr("a", ip="fe80::99", nic=nic, cidr_netmask=64, nodad="yes") for nic in ("eth0", "mv1"))
    assert [first("start"), second("monitor"), second("start")] == [0, 7, 0]
    assert [first("monitor"), second("monitor")] == [0, 0]
    assert len(list((tmp_path / "state-a").glob("*.arp"))) == 2
    assert [first("stop"), first("monitor"), second("monitor")] == [0, 7, 0]
    assert second("stop") == 0


def test_a_file_that_is_no_namespace_any_more_is_in_doubt(network, ipaddr):
    name = f"{network.tag}-husk"
    husk = Path("/run/netns") / name
    husk.touch()
    try:
        agent = ipaddr("a", ip=VIP4, network_namespace=name)
        for verb in ("monitor", "start", "stop"):
            result = agent.run(verb)
            assert result.returncode == 1
            assert f"ip netns delete {name}" in reason(result)
    finally:
        husk.unlink()


def test_one_address_in_two_namespaces_is_two_resources(network, ipaddr, tmp_path):
    """Their announcers are on record apart: a stop of one does not lose the other."""
    first, second = (ipaddr("a", ip=VIP4, network_namespace=network.ns(node)) for node in "bc")
    assert [first("start"), second("start")] == [0, 0]
    records = sorted((tmp_path / "state-a").glob("*.arp"))
    assert len(records) == 2
    assert [first("stop"), second("monitor")] == [0, 0]
    assert [record.exists() for record in records] == [False, True]
    assert second("stop") == 0


@pytest.mark.parametrize(("ip", "length"), [(VIP4, 24), (VIP6, 64)])
def test_lifetime_and_prefix_route_and_cached_routes(six, ipaddr, ip, length):
    agent = ipaddr("a", ip=ip, preferred_lft=0, noprefixroute="yes", flush_routes="yes", nodad="yes")
    assert agent("start") == 0
    line = line_of(six, "a", ip)
    assert f"{ip}/{length}" in line
    assert "deprecated" in line
    assert "noprefixroute" in line
    result = agent.run("stop")
    assert result.returncode == 0
    assert "flush_routes" not in result.stderr, "no warning: the kernel took the order"


@pytest.mark.parametrize("ip", [VIP4, VIP6])
def test_reload_agent_changes_the_lifetime_in_place(six, ipaddr, ip):
    agent = ipaddr("a", ip=ip, noprefixroute="yes", nodad="yes", kill_connections="no")
    assert agent("reload-agent") == 7
    assert agent("start") == 0
    for preferred_lft, word in (("0", "deprecated"), ("forever", "preferred_lft forever")):
        assert agent("reload-agent", preferred_lft=preferred_lft, link_status="ignore", arp_count=5) == 0
        line = line_of(six, "a", ip)
        assert word in line
        assert ("deprecated" in line) == (preferred_lft == "0")
        assert "noprefixroute" in line, "a change of one thing is no change of another"
        assert "valid_lft forever" in line
        assert agent("monitor") == 0


def test_an_ipv6_address_without_link_is_degraded_and_well_when_the_link_is_back(six, ipaddr):
    """Detection cannot finish without a link, and begins anew when it is back: neither is a failure."""
    six.ip("s", "link", "set", "pa", "down")
    # Not NO-CARRIER, which is there before the kernel has told IPv6: until then detection goes on and ends well.
    eventually(lambda: "state UP" not in six.ip("a", "link", "show", "eth0"), "IPv6 knows that the link is lost")
    agent = ipaddr("a", ip=VIP6, nic="eth0", cidr_netmask=64, link_status="degraded")
    assert [agent("start"), agent("start"), agent("monitor")] == [0, 0, 190]
    assert "tentative" in line_of(six, "a", VIP6)
    six.ip("s", "link", "set", "pa", "up")
    eventually(lambda: "state UP" in six.ip("a", "link", "show", "eth0"), "IPv6 knows that the link is back")
    assert agent("monitor") == 0
    assert "tentative" not in line_of(six, "a", VIP6)
    assert agent("stop") == 0


def test_a_start_that_was_killed_before_it_told_the_network_is_completed(network, ipaddr, background):
    listener = ArpListener(background, network, "c")
    network.ip("a", "addr", "add", f"{VIP4}/24", "dev", "eth0")
    agent = ipaddr("a", ip=VIP4, arp_count=1)
    assert [agent("start"), agent("start")] == [0, 0]
    assert agent("stop") == 0
    ours = [frame for frame in listener.stop() if frame[28:32] == bytes(map(int, VIP4.split(".")))]
    assert ours[:2], "the first start told it"
    network.ip("a", "addr", "add", f"{VIP4}/24", "dev", "eth0")
    network.ip("s", "link", "set", "pa", "down")
    eventually(lambda: "NO-CARRIER" in network.ip("a", "link", "show", "eth0"), "carrier lost")
    assert ipaddr("a", ip=VIP4, link_status="ignore")("start") == 0, "nobody to tell, and no failure"


@pytest.mark.parametrize("ip", [VIP4, VIP6])
def test_the_announcer_survives_the_kill_of_the_agent_s_group_and_not_a_stop(six, ipaddr, tmp_path, ip):
    agent = ipaddr("a", ip=ip, nodad="yes", arp_count=5, arp_interval=5_000)
    child = subprocess.Popen(
        [*agent.prefix, agent.path, "start"],
        env=agent.environment(20, 10, 0, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    child.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # nobody is left in the group
    record = record_of(tmp_path, ip.replace(":", "%3a"))
    pid = int(record.read_text().split()[0])
    assert alive(pid)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()} == {"/dev/null"}
    assert agent("stop") == 0
    assert not alive(pid)
    assert not record.exists()


def test_a_second_start_leaves_one_announcer(network, ipaddr, tmp_path):
    """Somebody took the address away, and start puts it back: the first start's announcer ends."""
    agent = ipaddr("a", ip=VIP4, arp_count=5, arp_interval=5_000)
    assert agent("start") == 0
    first = int(record_of(tmp_path, VIP4).read_text().split()[0])
    network.ip("a", "addr", "del", f"{VIP4}/24", "dev", "eth0")
    assert agent("start") == 0
    second = int(record_of(tmp_path, VIP4).read_text().split()[0])
    assert first != second
    assert [alive(first), alive(second)] == [False, True]
    assert agent("stop") == 0
    assert not alive(second)


def test_what_leans_on_the_address_keeps_its_properties(network, ipaddr):
    """With promote_secondaries 0 the kernel drops a subnet's other addresses with the first one."""
    network.ip("a", "addr", "del", "10.77.0.1/24", "dev", "eth0")
    for knob in ("all", "eth0"):
        set_in(network, "a", f"ipv4/conf/{knob}/promote_secondaries", 0)
    agent = ipaddr("a", ip=VIP4, nic="eth0", cidr_netmask=24)
    assert agent("start") == 0
    other = ("10.77.0.50/24", "brd", "10.77.0.255", "dev", "eth0", "label", "eth0:x", "metric", "77")
    network.ip("a", "addr", "add", *other, "valid_lft", "5000", "preferred_lft", "4000")
    assert "secondary" in line_of(network, "a", "10.77.0.50")
    assert agent("stop") == 0
    line = line_of(network, "a", "10.77.0.50")
    for word in ("metric 77", "brd 10.77.0.255", "eth0:x", r"valid_lft [45]\d{3}s", r"preferred_lft [34]\d{3}s"):
        assert re.search(word, line), line
    assert read_in(network, "a", "ipv4/conf/eth0/promote_secondaries") == "0", "the setting is as it was"


SERVER = """
import socket, sys
family, own = (socket.AF_INET6, sys.argv[2]) if sys.argv[2] else (socket.AF_INET, sys.argv[1])
server = socket.create_server((own, 4000), family=family, dualstack_ipv6=own == "::")
print("ready", flush=True)
connection, peer = server.accept()
print("accepted", flush=True)
try:
    connection.recv(1)
    print("closed", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""
CLIENT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 4000), timeout=30)
connection.settimeout(60)
try:
    connection.recv(1)
    print("closed", flush=True)
except OSError as error:
    print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize(("ip", "listens"), [(VIP6, VIP6), (VIP4, "::"), (VIP4, "")])
def test_connections_of_both_families_end_with_the_address(six, ipaddr, background, ip, listens):
    """Peers' issue 2076. ``::`` is a dual-stack server, whose IPv4 connections are IPv6 sockets."""
    agent = ipaddr("a", ip=ip, kill_connections="yes", nodad="yes")
    other = ipaddr("a", ip="10.77.0.10", kill_connections="yes")
    assert [agent("start"), other("start")] == [0, 0]
    inside_a, inside_c = (["ip", "netns", "exec", six.ns(name), "/usr/bin/python3", "-c"] for name in "ac")
    server = background([*inside_a, SERVER, ip, listens], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    client = background([*inside_c, CLIENT, ip], stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "accepted\n"
    assert "ended" not in other.run("stop").stderr, "other addresses' connections are not ours"
    result = agent.run("stop")
    assert result.returncode == 0
    if "left to time out" in result.stderr:
        pytest.skip("this kernel has no CONFIG_INET_DIAG_DESTROY")
    assert "1 TCP connections" in result.stderr
    assert server.stdout.readline() == "ConnectionAbortedError\n"
    assert client.stdout.readline() == "ConnectionResetError\n", "the client need not wait until it times out"


def test_what_only_ipaddr2_has_is_refused_by_its_name(ipaddr):
    for parameters in ({"lvs_support": "yes"}, {"CRM_meta_clone_max": 2}):
        agent = ipaddr("a", ip=VIP4, **parameters)
        for verb, level in (("start", 0), ("validate-all", 10)):
            result = agent.run(verb, level=level)
            assert result.returncode == 6
            assert "use ocf:heartbeat:IPaddr2 for this" in reason(result)
        assert [agent("stop"), agent("monitor", interval_s=0)] == [0, 7]
