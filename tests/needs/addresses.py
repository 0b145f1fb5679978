"""Cluster addresses: IPaddr beside IPaddr2, on node a of a small network unless the story moves."""

import subprocess
import time
from pathlib import Path

from agents.agent_worlds import eventually, sh
from needs.catalogue import Outcome, need
from needs.world import NotHere

VIP = "10.77.0.9"
VIP6 = "2001:db8:77::9"
SEND_UA = ("/usr/libexec/heartbeat/send_ua", "/usr/lib/heartbeat/send_ua")
CONFIGURED = 6  # OCF_ERR_CONFIGURED: Pacemaker gives the resource up on every node
# All announcements of a start are over by then, also on a busy machine: ours end after 3 s, the peer's after 1 s.
HEARD_S = 8.0


def on(world, network, node="a", **parameters):
    """The agent for an address, on a node."""
    return world.agent("IPaddr", ["ip", "netns", "exec", network.ns(node)], **parameters)


def six(world):
    """The network with an IPv6 subnet, ready to use."""
    network = world.network()
    for number, name in enumerate("abc", start=1):
        network.ip(name, "-6", "addr", "add", f"2001:db8:77::{number}/64", "dev", "eth0", "nodad")
    return network


def line_of(network, node, address):
    """What ip(8) says of an address; "" when the node does not have it."""
    lines = network.ip(node, "-o", "addr").splitlines()
    return next((line for line in lines if f" {address}/" in line), "")


def within(seconds, condition):
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not (result := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return result


@need("8", source="#334")
def need_08_missing_interface_is_not_fatal_334(world):
    """The interface is not on this node: start fails here, but never with 6."""
    agent = on(world, world.network(), ip=VIP, nic="eth7", cidr_netmask=24)
    answers = [agent.act("start"), agent.act("monitor", interval_s=0), agent.act("stop")]
    codes = [answer.code for answer in answers]
    return Outcome(codes[0] in (1, 5) and codes[1:] == [7, 0], ", ".join(map(str, answers)))


@need("14", source="#124 #977 #1117 #1131")
def need_14_clients_follow_the_address_without_asking_124(world):
    """The address moves from a to b; a client that has just confirmed the old place learns the new one."""
    network = world.network()
    on_a, on_b = (on(world, network, node, ip=VIP) for node in "ab")
    answers = [on_a.act("start"), on_a.act("stop")]
    place = (VIP, "lladdr", network.mac("a"), "dev", "eth0", "nud", "reachable")
    network.ip("c", "neigh", "replace", *place)
    answers.append(on_b.act("start"))
    learnt = within(HEARD_S, lambda: network.mac("b") in network.ip("c", "neigh", "show", VIP))
    holds = [answer.code for answer in answers] == [0, 0, 0] and bool(learnt)
    return Outcome(holds, f"start {answers[-1].code}, the client {'learnt it' if learnt else 'never learnt it'}")


@need("14", source="#977")
def need_14_requests_and_replies_977(world):
    """Some switches and hosts ignore one of the two forms of gratuitous ARP: both are sent, addressed to all."""
    network = world.network()
    listener = world.background(
        "ip", "netns", "exec", network.ns("c"), "/usr/bin/python3", "-uc",
        "import socket\n"
        "sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))\n"
        "print('ready')\n"
        "while True:\n    print(sock.recv(2048)[:42].hex())\n",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert listener.stdout.readline() == b"ready\n"
    start = on(world, network, ip=VIP).act("start")
    time.sleep(HEARD_S)
    listener.kill()
    frames = [bytes.fromhex(line.decode()) for line in listener.stdout.read().split()]
    vip, mac = bytes(map(int, VIP.split("."))), bytes.fromhex(network.mac("a").replace(":", ""))
    good = [
        frame for frame in frames
        if frame[28:32] == frame[38:42] == vip and frame[:6] == b"\xff" * 6 and frame[22:28] == mac
    ]  # fmt: skip
    kinds = [sum(frame[21] == kind for frame in good) for kind in (1, 2)]
    return Outcome(start.code == 0 and all(kinds), f"{start}, {kinds[0]} requests and {kinds[1]} replies")


@need("14", source="#868")
def need_14_a_cache_that_went_wrong_is_refreshed_868(world):
    """After a split brain a client has the wrong place; a monitor with arp_count_refresh puts that right."""
    network = world.network()
    agent = on(world, network, ip=VIP, arp_count_refresh=1)
    start = agent.act("start")
    time.sleep(HEARD_S)  # the announcements of start are over
    wrong = (VIP, "lladdr", network.mac("b"), "dev", "eth0", "nud", "reachable")
    network.ip("c", "neigh", "replace", *wrong)

    def learnt():
        agent.act("monitor")
        return network.mac("a") in network.ip("c", "neigh", "show", VIP)

    done = within(HEARD_S, learnt)
    return Outcome(start.code == 0 and bool(done), f"the client {'learnt' if done else 'never learnt'} the place")


@need("15", source="#180")
def need_15_ipv6_start_means_usable_180(world):
    """start returns when duplicate detection is through, and a neighbour reaches the address."""
    network = six(world)
    start = on(world, network, ip=VIP6, cidr_netmask=64, nic="eth0").act("start")
    line = line_of(network, "a", VIP6)
    state = "tentative" if "tentative" in line else "usable" if line else "missing"
    reached = sh("ip", "netns", "exec", network.ns("c"), "ping", "-6", "-c", "1", "-W", "3", VIP6, check=False)
    holds = (start.code, state, reached.returncode) == (0, "usable", 0)
    return Outcome(holds, f"{start} after {start.took_s:.1f} s, the address is {state}")


@need("15", source="#180")
def need_15_ipv6_duplicate_fails_the_start(world):
    """Another host has the address: start fails and takes it away again."""
    network = six(world)
    network.ip("b", "-6", "addr", "add", f"{VIP6}/64", "dev", "eth0", "nodad")
    agent = on(world, network, ip=VIP6, cidr_netmask=64, nic="eth0")
    start = agent.act("start")
    left = line_of(network, "a", VIP6)
    monitor = agent.act("monitor")
    named = network.mac("b") in start.text
    holds = start.code == 1 and not left and monitor.code == 7
    seen = f"{start}, address {'left behind' if left else 'gone'}, {monitor}"
    return Outcome(holds, f"{seen}, the owner {'is named' if named else 'is not named'}")


@need("15", source="#1752")
def need_15_ipv6_without_detection_is_announced_1752(world):
    """With nodad the address is usable at once, and a client that knows the old place learns the new one."""
    network = six(world)
    on_a, on_b = (on(world, network, node, ip=VIP6, cidr_netmask=64, nic="eth0", nodad="true") for node in "ab")
    answers = [on_a.act("start"), on_a.act("stop")]
    place = (VIP6, "lladdr", network.mac("a"), "dev", "eth0", "nud", "reachable")
    network.ip("c", "-6", "neigh", "replace", *place)
    answers.append(on_b.act("start"))
    tentative = "tentative" in line_of(network, "b", VIP6)
    learnt = within(HEARD_S, lambda: network.mac("b") in network.ip("c", "-6", "neigh", "show", VIP6))
    holds = [answer.code for answer in answers] == [0, 0, 0] and not tentative and bool(learnt)
    seen = f"start {answers[-1].code}{' while tentative' if tentative else ''}"
    return Outcome(holds, f"{seen}, the client {'learnt' if learnt else 'never learnt'} the place")


@need("D9", "15")
def defect_ipv6_start_while_tentative(world):
    """As on a machine without the send_ua program: start still waits for duplicate detection."""
    for program in filter(lambda path: Path(path).exists(), SEND_UA):
        sh("mount", "--bind", "/dev/null", program)
    network = six(world)
    start = on(world, network, ip=VIP6, cidr_netmask=64, nic="eth0").act("start")
    line = line_of(network, "a", VIP6)
    state = "tentative" if "tentative" in line else "usable" if line else "missing"
    holds = (start.code, state) == (0, "usable") or (start.code not in (None, 0) and state == "missing")
    return Outcome(holds, f"{start} after {start.took_s:.2f} s, the address is {state}")


@need("D7", "16", source="#2210")
def defect_metric_of_a_route_misread(world):
    """Two interfaces have a route of the same length, one with a metric: the one without wins, as in the kernel."""
    network = world.network()
    network.ip("a", "link", "add", "mv1", "link", "eth0", "type", "macvlan", "mode", "bridge")
    network.ip("a", "link", "set", "mv1", "up")
    chosen = []
    for prefix, ip in (("10.1.1.0/24", "10.1.1.9"), ("192.168.144.0/24", "192.168.144.9")):
        network.ip("a", "route", "add", prefix, "dev", "mv1", "metric", "100")
        network.ip("a", "route", "add", prefix, "dev", "eth0")
        start = on(world, network, ip=ip).act("start")
        where = line_of(network, "a", ip).split()
        chosen.append(f"{ip} on {where[1] if where else f'nothing ({start})'}")
    holds = chosen == ["10.1.1.9 on eth0", "192.168.144.9 on eth0"]
    return Outcome(holds, ", ".join(chosen))


@need("16", source="#1726 #2161")
def need_16_interfaces_of_any_name_1726_2161(world):
    """No interface is called eth0, and names are words of ip(8)'s own language."""
    network = world.network()
    network.ip("a", "link", "set", "eth0", "down")
    results = []
    old = "eth0"
    for name in ("ens3", "primary", "dynamic"):
        network.ip("a", "link", "set", "dev", old, "name", name)
        network.ip("a", "link", "set", "dev", name, "up")
        eventually(lambda name=name: "LOWER_UP" in network.ip("a", "link", "show", "dev", name), "carrier")
        agent = on(world, network, ip=VIP)
        codes = [agent.act(verb).code for verb in ("start", "monitor", "stop", "monitor")]
        results.append(codes)
        network.ip("a", "link", "set", "dev", name, "down")
        old = name
    seen = f"start, monitor, stop, monitor on ens3, primary, dynamic: {results}"
    return Outcome(results == [[0, 0, 0, 7]] * 3, seen)


@need("16", source="#1963 #1976 #2001 #2013")
def need_16_default_and_blackhole_routes_are_no_places_1963(world):
    """Without a route that leads directly to it an address goes nowhere; start fails with what to set."""
    network = world.network()
    network.ip("a", "route", "add", "default", "via", "10.77.0.3")
    network.ip("a", "route", "add", "blackhole", "203.0.113.0/25")
    network.ip("a", "route", "add", "unreachable", "203.0.113.0/26")
    agent = on(world, network, ip="203.0.113.7")
    start = agent.act("start")
    left = line_of(network, "a", "203.0.113.7")
    named = agent.act("start", nic="eth0", cidr_netmask=32)
    holds = start.code in (1, 5) and not left and bool(start.reason()) and named.code == 0
    return Outcome(holds, f"{start}: {start.reason() or 'no reason given'}; with nic and netmask {named}")


@need("17", "D8", source="#2047 #2056 #2113")
def need_17_lost_carrier_is_not_stopped_2056(world):
    """The cable goes: the address is still there, so not stopped; and a start without a link leaves nothing."""
    network = world.network()
    agent = on(world, network, ip=VIP, nic="eth0", cidr_netmask=24)
    first = agent.act("start")
    network.ip("s", "link", "set", "pa", "down")
    eventually(lambda: "NO-CARRIER" in network.ip("a", "link", "show", "eth0"), "carrier lost")
    answers = [agent.act("monitor"), agent.act("monitor", interval_s=0), agent.act("stop"), agent.act("start")]
    left = bool(line_of(network, "a", VIP))
    monitor, probe, stop, start = (answer.code for answer in answers)
    # Running, degraded or failed are all true as long as the address answers; stopped is not.
    holds = (first.code, stop) == (0, 0) and 7 not in (monitor, probe) and None not in (monitor, probe)
    holds = holds and (start == 0) == left
    seen = f"monitor {monitor}, probe {probe}, stop {stop}, start {start}"
    return Outcome(holds, f"{seen} with the address {'left there' if left else 'not there'}")


@need("20", source="#2076")
def need_20_connections_end_with_the_address_2076(world):
    """A server has a connection on the address when it goes: if asked to, stop ends it."""
    network = world.network()
    asked = {"kill_connections": "yes"} if world.side == "ours" else {}
    agent = on(world, network, ip=VIP, **asked)
    start = agent.act("start")
    serve = (
        "import socket\n"
        f"server = socket.create_server(('{VIP}', 4000))\n"
        "print('ready', flush=True)\n"
        "connection, _ = server.accept()\n"
        "print('accepted', flush=True)\n"
        "connection.settimeout(4)\n"
        "try:\n    connection.recv(1)\n    print('closed', flush=True)\n"
        "except OSError as error:\n    print(type(error).__name__, flush=True)\n"
    )
    connect = f"import socket, time\nkept = socket.create_connection(('{VIP}', 4000))\ntime.sleep(600)\n"
    inside = {node: ["ip", "netns", "exec", network.ns(node), "/usr/bin/python3", "-c"] for node in "ac"}
    server = world.background(*inside["a"], serve, stdout=subprocess.PIPE)
    assert server.stdout.readline() == b"ready\n"
    world.background(*inside["c"], connect)
    assert server.stdout.readline() == b"accepted\n"
    stop = agent.act("stop")
    if "left to time out" in stop.text:
        raise NotHere("this kernel has no CONFIG_INET_DIAG_DESTROY")
    end = server.stdout.readline().strip().decode()
    holds = (start.code, stop.code, end) == (0, 0, "ConnectionAbortedError")
    return Outcome(holds, f"{stop}, {'the connection lives on' if end == 'TimeoutError' else end}")


@need("21", "13", source="#1693")
def need_21_a_start_that_cannot_end_ends_itself_1693(world):
    """Duplicate detection goes on for minutes: start gives up in time, says why, and leaves nothing behind."""
    network = six(world)
    knob = "/proc/sys/net/ipv6/conf/eth0/dad_transmits"
    sh("ip", "netns", "exec", network.ns("a"), "sh", "-c", f"echo 600 > {knob}")
    agent = on(world, network, ip=VIP6, cidr_netmask=64, nic="eth0")
    start = agent.act("start", timeout_s=4)
    left = bool(line_of(network, "a", VIP6))
    holds = start.code == 1 and bool(start.reason()) and not left
    seen = f"{start} after {start.took_s:.1f} s, address {'left behind' if left else 'gone'}"
    return Outcome(holds, f"{seen}: {start.reason() or 'no reason given'}")
