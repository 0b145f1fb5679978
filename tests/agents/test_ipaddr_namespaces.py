"""IPaddr on real interfaces: nodes a and b, client c, one switch, all network namespaces."""

import os
import subprocess
from pathlib import Path

import pytest

from agents.agent_worlds import ArpListener, eventually, reason, sh

pytestmark = pytest.mark.root
VIP = "10.77.0.9"


def test_every_action_twice(network, ipaddr):
    agent = ipaddr("a", ip=VIP)
    assert agent("monitor") == 7
    assert agent("stop") == 0
    assert [agent("start"), agent("start")] == [0, 0]
    assert ("eth0", f"{VIP}/24") in network.addresses("a")
    assert len([text for _, text in network.addresses("a") if text.startswith(VIP)]) == 1
    assert [agent("monitor"), agent("monitor", interval_s=0)] == [0, 0]
    assert [agent("stop"), agent("stop")] == [0, 0]
    assert agent("monitor") == 7
    assert network.addresses("a") == {("lo", "127.0.0.1/8"), ("eth0", "10.77.0.1/24")}


def test_probe_of_a_stopped_resource_is_quiet(ipaddr):
    result = ipaddr("a", ip=VIP).run("monitor", interval_s=0)
    assert (result.returncode, result.stdout, result.stderr) == (7, "", "")


def test_broadcast_and_label_are_set(network, ipaddr):
    assert ipaddr("a", ip=VIP, cidr_netmask="255.255.255.0", iflabel="web")("start") == 0
    line = next(line for line in network.ip("a", "-4", "-o", "addr").splitlines() if VIP in line)
    assert "brd 10.77.0.255" in line
    assert "eth0:web" in line


def test_interface_by_longest_prefix_then_lowest_metric(network, ipaddr):
    """Regression of the peer's findif: routes without a metric were sorted by their first octet."""
    network.ip("a", "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
    network.ip("a", "link", "set", "mv1", "up")
    for prefix in ("10.1.1.0/24", "192.168.144.0/24"):
        network.ip("a", "route", "add", prefix, "dev", "mv1", "metric", "100")
        network.ip("a", "route", "add", prefix, "dev", "eth0")
    network.ip("a", "route", "add", "172.16.0.0/12", "dev", "eth0")
    network.ip("a", "route", "add", "172.16.5.0/24", "dev", "mv1", "metric", "500")
    for ip in ("10.1.1.9", "192.168.144.9", "172.16.5.9"):
        assert ipaddr("a", ip=ip)("start") == 0
    found = network.addresses("a")
    assert {("eth0", "10.1.1.9/24"), ("eth0", "192.168.144.9/24"), ("mv1", "172.16.5.9/24")} <= found


def test_no_direct_route_is_an_error_with_a_remedy(network, ipaddr):
    network.ip("a", "route", "add", "default", "via", "10.77.0.3")
    result = ipaddr("a", ip="203.0.113.7").run("start")
    assert result.returncode == 1
    assert "set nic and cidr_netmask" in reason(result)
    assert ipaddr("a", ip="203.0.113.7", nic="eth0", cidr_netmask=32)("start") == 0


def test_missing_interface_is_this_node_s_fault(ipaddr):
    result = ipaddr("a", ip=VIP, nic="eth7", cidr_netmask=24).run("start")
    assert result.returncode == 5
    assert "eth7" in reason(result)
    assert ipaddr("a", ip=VIP, nic="eth7")("validate-all") == 0
    assert ipaddr("a", ip=VIP, nic="eth7")("validate-all", level=10) == 5
    assert ipaddr("a", ip=VIP, nic="eth7")("stop") == 0


def test_carrier_lost_is_a_failure_and_never_not_running(network, ipaddr):
    agent = ipaddr("a", ip=VIP)
    assert agent("start") == 0
    network.ip("s", "link", "set", "pa", "down")
    eventually(lambda: "NO-CARRIER" in network.ip("a", "link", "show", "eth0"), "carrier lost")
    result = agent.run("monitor")
    assert result.returncode == 1
    assert "no carrier" in reason(result)
    assert agent("monitor", interval_s=0) == 1
    assert agent("start") == 1
    assert agent("stop") == 0
    result = agent.run("start")
    assert result.returncode == 1
    assert not any(text.startswith(VIP) for _, text in network.addresses("a")), "a failed start leaves nothing"


def test_interface_that_is_down_is_brought_up(network, ipaddr):
    network.ip("a", "link", "set", "eth0", "down")
    agent = ipaddr("a", ip=VIP, nic="eth0", cidr_netmask=24)
    assert agent("start") == 0
    assert agent("monitor") == 0


def test_other_prefix_is_in_doubt_left_alone_by_start_and_removed_by_stop(network, ipaddr):
    network.ip("a", "addr", "add", f"{VIP}/16", "dev", "eth0")
    agent = ipaddr("a", ip=VIP, cidr_netmask=24)
    result = agent.run("start")
    assert result.returncode == 1
    assert "prefix 16, not 24" in reason(result)
    assert ("eth0", f"{VIP}/16") in network.addresses("a")
    assert agent("monitor") == 1
    assert agent("stop") == 0
    assert agent("monitor") == 7


def test_address_configured_twice_is_in_doubt(network, ipaddr):
    agent = ipaddr("a", ip=VIP)
    assert agent("start") == 0
    network.ip("a", "addr", "add", f"{VIP}/32", "dev", "eth0")
    assert agent("monitor") == 1
    assert agent("stop") == 0
    assert agent("monitor") == 7


def test_stop_of_the_first_address_keeps_the_others_of_its_subnet(network, ipaddr):
    """The kernel drops secondaries with their primary when promote_secondaries is 0, its default."""
    network.ip("a", "addr", "del", "10.77.0.1/24", "dev", "eth0")
    for knob in ("all", "eth0"):
        path = f"/proc/sys/net/ipv4/conf/{knob}/promote_secondaries"
        sh("ip", "netns", "exec", network.ns("a"), "sh", "-c", f"echo 0 > {path}")
    agent = ipaddr("a", ip=VIP, nic="eth0", cidr_netmask=24)
    assert agent("start") == 0
    network.ip("a", "addr", "add", "10.77.0.50/24", "brd", "10.77.0.255", "dev", "eth0")
    network.ip("a", "addr", "add", "10.77.0.51/24", "dev", "eth0")
    assert agent("stop") == 0
    assert network.addresses("a") == {("lo", "127.0.0.1/8"), ("eth0", "10.77.0.50/24"), ("eth0", "10.77.0.51/24")}


def sender_of(network, tmp_path, node="a"):
    """Pid of the detached ARP sender from its record; None when there is none."""
    record = tmp_path / f"state-{node}" / f"failover-kit-IPaddr-{VIP}.arp"
    return int(record.read_text().split()[0]) if record.exists() else None


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_sender_is_detached_from_the_pipes_and_ended_by_stop(network, ipaddr, tmp_path):
    agent = ipaddr("a", ip=VIP, arp_count=5, arp_interval=5_000)  # a minute and more: it must not end by itself
    child = subprocess.Popen(
        [*agent.prefix, agent.path, "start"],
        env=agent.environment(20, 10, 0, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.communicate(timeout=60)  # returns only when nobody holds the pipes any more
    pid = sender_of(network, tmp_path)
    assert alive(pid), "the sender must outlive the agent, or this test shows nothing"
    targets = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in ("0", "1", "2")}
    assert targets == {"/dev/null"}
    assert os.getsid(pid) == pid
    assert agent("stop") == 0
    assert not alive(pid)
    assert sender_of(network, tmp_path) is None


def test_a_stale_record_never_kills_another_process(network, ipaddr, tmp_path, background):
    innocent = background(["sleep", "600"])
    state = tmp_path / "state-a"
    state.mkdir()
    (state / f"failover-kit-IPaddr-{VIP}.arp").write_text(f"{innocent.pid} 1\n")
    assert ipaddr("a", ip=VIP)("stop") == 0
    assert innocent.poll() is None
    (state / f"failover-kit-IPaddr-{VIP}.arp").write_text("garbage")
    assert ipaddr("a", ip=VIP)("stop") == 0


def test_a_client_follows_the_address_without_asking(network, ipaddr, tmp_path):
    """The first burst reaches a client that knows the old place, a later one a client that missed it."""
    on_a, on_b = ipaddr("a", ip=VIP), ipaddr("b", ip=VIP)

    def learnt():
        return network.mac("b") in network.ip("c", "neigh", "show", VIP)

    def forget():
        """Back to the old place, and fresh: the client has no reason to ask."""
        entry = (VIP, "lladdr", network.mac("a"), "dev", "eth0", "nud", "reachable")
        network.ip("c", "neigh", "replace", *entry)

    assert on_a("start") == 0
    sh("ip", "netns", "exec", network.ns("c"), "ping", "-c", "1", "-W", "5", VIP)
    assert network.mac("a") in network.ip("c", "neigh", "show", VIP)
    forget()
    assert on_a("stop") == 0
    for _ in range(5):  # on a busy machine all bursts may be over when the client has forgotten
        assert on_b("start") == 0
        forget()
        sender = sender_of(network, tmp_path, "b")
        eventually(lambda sender=sender: learnt() or not alive(sender), "the sender has done its work")
        if learnt():
            return
        assert on_b("stop") == 0
    pytest.fail("no later burst taught the client")


def test_three_bursts_of_requests_and_replies(network, ipaddr, tmp_path, background):
    listener = ArpListener(background, network, "c")
    assert ipaddr("a", ip=VIP, arp_count=2)("start") == 0
    eventually(lambda: not alive(sender_of(network, tmp_path)), "the sender ended by itself")
    mac = bytes.fromhex(network.mac("a").replace(":", ""))
    vip = bytes(map(int, VIP.split(".")))
    ours = [frame for frame in listener.stop() if frame[28:32] == vip]
    assert [frame[21] for frame in ours] == [1, 2] * 2 * 3
    for frame in ours:
        assert (frame[:6], frame[6:12], frame[22:28], frame[38:42]) == (b"\xff" * 6, mac, mac, vip)


def test_sender_says_nothing_once_the_address_is_gone(network, ipaddr, tmp_path, background):
    """If something else removes the address, later bursts would poison the new owner's clients."""
    listener = ArpListener(background, network, "c")
    # The later bursts come seconds after the first: the address is gone by then also on a busy machine.
    assert ipaddr("a", ip=VIP, arp_count=1, arp_interval=5_000)("start") == 0
    network.ip("a", "addr", "del", f"{VIP}/24", "dev", "eth0")
    eventually(lambda: not alive(sender_of(network, tmp_path)), "the sender ended by itself")
    ours = [frame for frame in listener.stop() if frame[28:32] == bytes(map(int, VIP.split(".")))]
    assert len(ours) == 2, "the first burst only"


def test_two_starts_at_once_both_succeed(network, ipaddr):
    agent = ipaddr("a", ip=VIP)
    children = [
        subprocess.Popen(
            [*agent.prefix, agent.path, "start"],
            env=agent.environment(20, 10, 0, {}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(4)
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert agent("monitor") == 0


def test_not_root_is_a_permission_error(network, installed):
    """Reading is free for all, changing is not."""
    code = sh(
        "ip", "netns", "exec", network.ns("a"), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
        "env", f"OCF_RESKEY_ip={VIP}", "HA_RSCTMP=/tmp", "/usr/bin/python3", "-IS", "-c",
        "import sys\n"
        f"sys.path.insert(0, {str(installed / 'usr/share/failover-kit')!r})\n"
        "from failover_kit.agents.ipaddr import AGENT\nfrom failover_kit.ocf.runner import main\n"
        "import os\nsys.exit(10 * main(AGENT, ['IPaddr', 'monitor'], os.environ)"
        " + main(AGENT, ['IPaddr', 'start'], os.environ))",
        check=False,
    ).returncode  # fmt: skip
    assert code == 74
