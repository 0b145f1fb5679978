"""What IPaddr and Filesystem decide, from observations alone."""

from types import SimpleNamespace

import pytest

from failover_kit.agents import (
    filesystem,
    filesystem_block,
    filesystem_disk,
    filesystem_seen,
    filesystem_stop,
    filesystem_users,
    ipaddr,
    ipaddr_announce,
    ipaddr_start,
)
from failover_kit.kernel.addresses import Address
from failover_kit.kernel.links import IFF_LOWER_UP, IFF_UP, Link
from failover_kit.kernel.mounts import MountTable
from failover_kit.ocf.agent import Call
from failover_kit.ocf.codes import AgentError
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.parameter import check_all

IP = bytes((192, 0, 2, 9))
UP = IFF_UP | IFF_LOWER_UP


def call(agent, **parameters):
    values, problems = check_all(agent.parameters, parameters)
    assert problems == []
    return Call(agent, values, Deadline(20_000))


def wanted(**parameters):
    return ipaddr.Wanted(call(ipaddr.AGENT, ip="192.0.2.9", **parameters))


def eth(index=2, flags=UP):
    return {index: Link(index, f"eth{index}", flags, 1, bytes(6))}


@pytest.mark.parametrize(
    ("parameters", "found", "links", "words"),
    [
        ({}, [(2, 24)], eth(), ""),
        ({"cidr_netmask": "24"}, [(2, 24)], eth(), ""),
        ({"cidr_netmask": "255.255.0.0"}, [(2, 24)], eth(), "prefix 24, not 16"),
        ({"nic": "eth2"}, [(2, 24)], eth(), ""),
        ({"nic": "eth3"}, [(2, 24)], eth(), "on eth2, not on eth3"),
        ({}, [(2, 24), (2, 32)], eth(), "2 times"),
        ({}, [(2, 24)], eth(flags=IFF_LOWER_UP), "is down"),
        ({}, [(2, 24)], {}, "is down"),
    ],
)
def test_an_address_as_declared_or_in_doubt(parameters, found, links, words):
    addresses = [Address(index, IP, prefix) for index, prefix in found]
    nic_index = {"eth2": 2, "eth3": 3}.get(parameters.get("nic"), 0)
    problem = ipaddr.disagreement(wanted(**parameters), addresses, links, nic_index)
    assert words in problem
    assert bool(words) == bool(problem)


def test_alias_interface_spelling_gives_the_label():
    asked = wanted(nic="eth0:web")
    assert (asked.nic, asked.label) == ("eth0", "web")
    assert wanted(nic="eth0:web", iflabel="www").label == "www"


@pytest.mark.parametrize(
    ("declared", "prefix", "broadcast"),
    [
        ("", 24, "192.0.2.255"),
        ("+", 28, "192.0.2.15"),
        ("-", 28, "192.0.2.0"),
        ("192.0.3.255", 24, "192.0.3.255"),
        ("", 31, ""),
        ("", 32, ""),
    ],
)
def test_broadcast(declared, prefix, broadcast):
    expected = bytes(map(int, broadcast.split("."))) if broadcast else b""
    assert ipaddr_start.broadcast_of(declared, IP, prefix) == expected


def observation(lines, directory="/mnt/a.b", device="/dev/loop1", number=(7, 1), monkeypatch=None):
    import os

    table = MountTable(lines)
    monkeypatch.setattr(filesystem_seen.mounts, "table", lambda path="", device=0: table)
    monkeypatch.setattr(filesystem_seen.mounts, "real_path", lambda path, known: path)
    monkeypatch.setattr(filesystem_block.blockdev, "number_of", lambda path: os.makedev(*number))
    monkeypatch.setattr(filesystem_block.blockdev, "living_filesystem", lambda device: "")
    return call(filesystem.AGENT, device=device, directory=directory)


ROOT = b"22 1 254:0 / / rw - ext4 /dev/root rw\n"
OURS = b"42 22 7:1 / /mnt/a.b rw - ext4 /dev/loop1 rw\n"
OTHER = b"43 22 7:2 / /mnt/a.b rw - ext4 /dev/loop2 rw\n"
ELSEWHERE = b"44 22 7:1 / /srv rw - ext4 /dev/loop1 rw\n"
COVER = b"45 42 0:50 / /mnt/a.b rw - tmpfs cover rw\n"
PART = b"46 22 7:1 /sub /mnt/a.b rw - ext4 /dev/loop1 rw\n"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (ROOT, ""),
        (ROOT + OURS, ""),
        (ROOT + OTHER, ""),
        (ROOT + OURS + ELSEWHERE, ""),
        (ROOT + ELSEWHERE, "mounted at /srv, not at /mnt/a.b"),
        (ROOT + OTHER + ELSEWHERE, "mounted at /srv, not at /mnt/a.b"),
        (ROOT + OURS + COVER, "cover is mounted on top"),
        (ROOT + PART, "only /sub"),
    ],
)
def test_where_a_filesystem_is(lines, words, monkeypatch):
    asked = observation(lines, monkeypatch=monkeypatch)
    problem = filesystem_seen.describe_state(filesystem_seen.observe(asked), "/dev/loop1")
    assert words in problem
    assert bool(words) == bool(problem)


def test_running_stopped_and_foreign(monkeypatch):
    seen = filesystem_seen.observe(observation(ROOT + OURS, monkeypatch=monkeypatch))
    assert (seen.mount.source, seen.foreign, seen.elsewhere) == ("/dev/loop1", None, [])
    seen = filesystem_seen.observe(observation(ROOT + OTHER, monkeypatch=monkeypatch))
    assert (seen.mount, seen.foreign.source, seen.elsewhere) == (None, "/dev/loop2", [])
    assert filesystem.monitor(observation(ROOT + OTHER, monkeypatch=monkeypatch)) == 7
    asked = observation(ROOT, monkeypatch=monkeypatch)
    monkeypatch.setattr(filesystem_block.blockdev, "living_filesystem", lambda device: "loop1")
    with pytest.raises(AgentError, match="the kernel still has a filesystem on loop1"):
        filesystem.monitor(asked)


@pytest.mark.parametrize(
    ("options", "asked", "words"),
    [
        ("rw,shutdown", "", "shut down by the kernel"),
        ("rw,emergency_ro", "", "shut down by the kernel"),
        ("ro", "", "read-only"),
        ("ro", "noatime,ro", ""),
        ("rw,errors=remount-ro", "", ""),
    ],
)
def test_sick_filesystems(options, asked, words, monkeypatch):
    monkeypatch.setattr(filesystem_seen.os, "stat", lambda path: SimpleNamespace())
    table = MountTable(ROOT + b"42 22 7:1 / /mnt/x rw - ext4 /dev/loop1 " + options.encode() + b"\n")
    problem = filesystem_seen.sickness(table.at("/mnt/x"), asked, table)
    assert words in problem
    assert bool(words) == bool(problem)


def test_a_directory_behind_a_server_is_not_touched(monkeypatch):
    def never(path):
        raise AssertionError("stat may hang here")

    monkeypatch.setattr(filesystem_seen.os, "stat", never)
    lines = b"40 22 0:9 / /net rw - nfs4 s:/x rw\n41 40 7:1 / /net/x rw - ext4 /dev/loop1 rw\n"
    table = MountTable(ROOT + lines)
    assert filesystem_seen.sickness(table.at("/net/x"), "", table) == ""


def test_only_our_own_filesystem_counts_as_a_whole_for_users():
    bind = b"50 42 254:0 /usr /mnt/a.b/usr rw - ext4 /dev/root rw\n"
    table = MountTable(ROOT + OURS + bind)
    ours = table.at("/mnt/a.b")
    places = filesystem_users.places_of(table.standing_on([ours]), ours.device)
    assert places.points == {"/mnt/a.b", "/mnt/a.b/usr"}
    whole, below = places._kinds
    assert (whole.mapped, whole.points, whole.devices) == (b" 07:01 ", {"/mnt/a.b"}, {ours.device})
    assert below.points == {"/mnt/a.b/usr"}


@pytest.mark.parametrize(
    ("device", "line", "ours"),
    [
        ("/net/a/b", b"server:/x/a/b", True),
        ("/net", b"server:/x", True),
        ("/net/a/b", b"server:/x/a/c", False),
        ("/net/a/b", b"server:/x", False),
    ],
)
def test_a_directory_of_an_nfs_filesystem_bound_elsewhere(device, line, ours, monkeypatch):
    """NFS has / as the root of each mount: start failed and left the bind mount, stop said it was not there."""
    text = b"46 22 0:51 / /net rw - nfs4 server:/x rw\n50 22 0:51 / /bound rw - nfs4 " + line + b" rw\n"
    monkeypatch.setattr(filesystem_seen.mounts, "table", lambda path="": MountTable(ROOT + text))
    source = filesystem_seen.source_of(
        call(filesystem.AGENT, device=device, directory="/bound", options="bind", fstype="none")
    )
    seen = source.observe()
    assert (seen.mount is not None) is ours
    assert bool(source.claims(seen, None)) is ours
    assert filesystem_seen.describe_state(seen, device) == ""


def test_stop_refuses_to_unmount_through_a_cover():
    table = MountTable(ROOT + OURS + b"60 22 0:60 / /mnt rw - fuse hung rw\n")
    with pytest.raises(AgentError, match="hidden by hung"):
        filesystem_stop.refuse_hidden([table.at("/mnt/a.b")], table)


def test_a_device_never_free_fails_at_the_deadline(monkeypatch):
    class Answers:
        def run(self, what, work, deadline):
            return "0"

    monkeypatch.setattr(filesystem_disk.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(filesystem_disk.processes, "mounted_in_other_namespaces", lambda device: [])
    with pytest.raises(AgentError, match="lazy unmount"):
        filesystem_disk.prove_free("/dev/loop1", 1, Answers(), Deadline(0))


@pytest.mark.parametrize(
    ("word", "force"), [("yes", True), ("safe", True), ("safe,move,xargs", True), ("true", True), ("no", False)]
)
def test_force_unmount_understands_the_peer_s_words(word, force):
    assert filesystem.check_force(word) is force


@pytest.mark.parametrize(
    ("parameters", "name", "words"),
    [
        ({"ip": "192.0.2.9", "cidr_netmask": "64"}, "cidr_netmask", "too long for IPv4"),
        ({"ip": "2001:db8::9", "broadcast": "+"}, "broadcast", "no broadcast"),
        ({"ip": "2001:db8::9", "iflabel": "web"}, "iflabel", "no labels"),
        ({"ip": "2001:db8::9", "nic": "eth0:web"}, "iflabel", "no labels"),
        ({"ip": "fe80::9"}, "nic", "say which"),
        ({"ip": "192.0.2.9", "lvs_support": "yes"}, "lvs_support", "IPaddr2"),
    ],
)
def test_what_an_address_cannot_be(parameters, name, words):
    values, problems = check_all(ipaddr.AGENT.parameters, parameters)
    assert problems == []
    (sentence,) = ipaddr.consistency(values)
    assert sentence.startswith(f"{name}: ")
    assert words in sentence


@pytest.mark.parametrize(
    "parameters",
    [
        {"ip": "2001:db8::9", "cidr_netmask": "64"},
        {"ip": "fe80::9", "nic": "eth0"},
        {"ip": "192.0.2.9", "nic": "eth0:web", "broadcast": "-"},
    ],
)
def test_what_an_address_can_be(parameters):
    values, problems = check_all(ipaddr.AGENT.parameters, parameters)
    assert problems == []
    assert ipaddr.consistency(values) == []


def test_the_kernel_s_spelling_of_an_ipv6_address():
    checked, _ = check_all(ipaddr.AGENT.parameters, {"ip": "2001:DB8:0:0::0009"})
    assert checked.text("ip") == "2001:db8::9"


@pytest.mark.parametrize("text", ["::", "::1", "ff02::1", "::ffff:192.0.2.9", "fe80::9%eth0", "2001:db8::g", "1:2"])
def test_not_an_ipv6_address_to_serve(text):
    assert check_all(ipaddr.AGENT.parameters, {"ip": text})[1]


def test_announcements_of_one_burst_apart():
    assert ipaddr_announce._times(3, 0) == [1200, 3000]
    assert ipaddr_announce._times(3, 200) == [200, 400, 1200, 1400, 1600, 3000, 3200, 3400]
    assert ipaddr_announce._times(3, 2000) == [2000, 4000, 6000, 8000, 10000]
