"""haresources: groups, their names, and the sentence for every mistake."""

from __future__ import annotations

import pytest

from failover_kit.manager import haresources
from failover_kit.manager.config import GROUP_NAME_BYTES, Group, Resource, ResourceKind

NODES = ("pete", "mclaws")


def sound(text: str) -> tuple[Group, ...]:
    parsed = haresources.parse(text, NODES)
    assert [str(problem) for problem in parsed.problems] == []
    assert parsed.value is not None
    return parsed.value


def problems(text: str) -> list[str]:
    parsed = haresources.parse(text, NODES)
    assert parsed.value is None
    return [str(problem) for problem in parsed.problems]


def script(name: str, *args: str) -> Resource:
    return Resource(kind=ResourceKind.SCRIPT, type=name, args=args)


def test_howtos_line_continued_with_backslashes() -> None:
    (group,) = sound(
        "pete IPaddr::205.185.197.220 \\\n Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs \\\n"
        "\tkillnfsd nfs-common\\\n nfs-kernel-server\n"
    )
    assert (group.name, group.home) == ("205.185.197.220", "pete")
    assert group.resources == (
        script("IPaddr", "205.185.197.220"),
        script("Filesystem", "/dev/etherd/e0.0", "/mnt/e0.0", "xfs"),
        script("killnfsd"),
        script("nfs-common"),
        script("nfs-kernel-server"),
    )
    assert [(resource.line, resource.column) for resource in group.resources[:3]] == [(1, 6), (2, 2), (3, 2)]


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.1/24", "192.0.2.1/24/eth0/192.0.2.255"])
def test_bare_address_is_an_ipaddr(address: str) -> None:
    (group,) = sound(f"pete {address}")
    assert group.resources == (script("IPaddr", address),)
    assert group.name == "192.0.2.1"


def test_comments_and_empty_lines() -> None:
    text = "# pete 192.0.2.9\n\n \t\nPete 192.0.2.1 # the address\n\nMCLAWS 192.0.2.2 #id\n"
    assert [(group.home, group.name) for group in sound(text)] == [("pete", "192.0.2.1"), ("mclaws", "192.0.2.2")]


def test_ocf_resource_with_its_own_times() -> None:
    (group,) = sound(
        "pete ocf:heartbeat:nfsserver::nfs_ip=192.0.2.1::opts=a=b"
        "::op_monitor_interval=500ms::op_start_timeout=40::op_stop_timeout=60s"
    )
    (resource,) = group.resources
    assert resource == Resource(
        kind=ResourceKind.OCF,
        provider="heartbeat",
        type="nfsserver",
        parameters=(("nfs_ip", "192.0.2.1"), ("opts", "a=b")),
        monitor_interval_ms=500,
        timeouts_ms=(("start", 40_000), ("stop", 60_000)),
    )
    assert resource.timeout_ms("stop", 1) == 60_000
    assert resource.timeout_ms("monitor", 7) == 7
    assert resource.name == "nfsserver:192.0.2.1"


def test_monitoring_can_be_turned_off() -> None:
    (group,) = sound("pete ocf:heartbeat:Delay::op_monitor_interval=0")
    assert group.resources[0].monitor_interval_ms == 0


def test_double_colon_of_an_ipv6_address_is_not_a_separator() -> None:
    (group,) = sound("pete ocf:heartbeat:IPv6addr::ipv6addr=2001:db8::1/64::nic=eth0")
    assert group.resources[0].parameters == (("ipv6addr", "2001:db8::1/64"), ("nic", "eth0"))


def test_an_ipv6_address_written_in_full_is_an_argument() -> None:
    (group,) = sound("pete IPaddr::2001:db8:0:0:0:0:0:1/64/eth0 nfs-common")
    assert group.resources[0] == script("IPaddr", "2001:db8:0:0:0:0:0:1/64/eth0")
    assert group.name == "2001:db8::1"


def test_script_that_looks_like_an_ipv6_address() -> None:
    assert sound("pete add::0")[0].resources == (script("add", "0"),)


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("IPaddr2::192.0.2.1/24", "192.0.2.1"),
        ("ocf:heartbeat:IPaddr2::cidr_netmask=24::ip=192.0.2.1", "192.0.2.1"),
        ("ocf:heartbeat:IPv6addr::ipv6addr=2001:DB8::1", "2001:db8::1"),
        ("nfs-common", "nfs-common"),
        ("drbddisk::r0", "drbddisk:r0"),
        ("Filesystem::/dev/etherd/e0.0::/mnt::xfs", "Filesystem:e0.0"),
        ("Filesystem::/dev/vg/with space-ish:é::/mnt".replace(" ", "~"), "Filesystem:with_space-ish:_"),
        ("ocf:heartbeat:mysql::password=Tr0ub4dor::datadir=/var/lib/mysql/", "mysql:mysql"),
        ("x" * 40, "x" * GROUP_NAME_BYTES),
    ],
)
def test_group_is_named_after_its_first_resource(resource: str, name: str) -> None:
    (group,) = sound(f"pete {resource} apache2")
    assert group.name == name
    assert len(group.name.encode()) <= GROUP_NAME_BYTES


def test_a_unit_and_an_init_script_spelled_out() -> None:
    (group,) = sound("pete systemd:nginx::op_stop_timeout=90 lsb:quota:: systemd:app@one.service")
    assert group.resources == (
        Resource(kind=ResourceKind.UNIT, type="nginx", timeouts_ms=(("stop", 90_000),)),
        Resource(kind=ResourceKind.LSB, type="quota"),
        Resource(kind=ResourceKind.UNIT, type="app@one.service"),
    )
    assert group.name == "nginx"
    agents = [resource.agent for resource in group.resources]
    assert agents == ["systemd:nginx", "lsb:quota", "systemd:app@one.service"]


def test_every_resource_may_have_its_own_monitor_and_timeouts() -> None:
    (group,) = sound(
        "pete Filesystem::/dev/x::op_monitor_depth=20::/y::op_monitor_interval=1::op_stop_timeout=300 "
        "ocf:heartbeat:apache::op_monitor_depth=10"
    )
    disk, apache = group.resources
    assert disk.args == ("/dev/x", "/y")
    assert (disk.monitor_interval_ms, disk.monitor_depth) == (1_000, 20)
    assert disk.timeouts_ms == (("stop", 300_000),)
    assert apache.monitor_depth == 10
    assert sound("pete Filesystem::/dev/x::/y")[0].resources[0].monitor_depth == 0


def test_the_double_colon_of_an_address_in_heartbeats_ipv6addr() -> None:
    (group,) = sound("pete IPv6addr::2001:DB8::1/64/eth0")
    assert group.resources == (script("IPv6addr", "2001:DB8::1/64/eth0"),)
    assert group.name == "2001:db8::1"
    assert sound("pete IPv6addr::::1")[0].resources[0].args == ("::1",)


BAD = [
    (
        "pete Filesystem::/dev/etherd/e0.0::/mnt \\ \n apache2",
        "1:42: blank after the backslash; remove it, or the next line is not joined",
    ),
    (
        "pete apache2 \\\t\n nfs",
        "1:15: blank after the backslash; remove it, or the next line is not joined",
    ),
    (
        "pete apache2 \\\u00a0\n nfs",
        "1:15: blank after the backslash; remove it, or the next line is not joined",
    ),
    ("pete apache2 \\", "1:14: backslash in the last line of the file; remove it, nothing follows"),
    ("pete apache2\\bin", "1:13: backslash inside the line; arguments cannot contain blanks or backslashes"),
    (
        "pete apache2 # the web \\\nmclaws nfs",
        "1:14: backslash at the end of a comment; remove the backslash or the comment",
    ),
    (
        "pete apache2\r\nmclaws nfs",
        "1:13: carriage return at the end of the line; save the file with Unix line ends",
    ),
    ("jim apache2", "1:1: jim is no node of ha.cf; use pete or mclaws"),
    ("mclaw apache2", "1:1: mclaw is no node of ha.cf; did you mean mclaws?"),
    (
        "192.0.2.1 apache2",
        "1:1: 192.0.2.1 is no node of ha.cf; begin the line with a node, or join it to the line before with a "
        "backslash",
    ),
    (
        "pete apache2\n  Filesystem::/dev/x::/y nfs",
        "2:3: Filesystem::/dev/x::/y is no node of ha.cf; begin the line with a node, or join it to the line "
        "before with a backslash",
    ),
    ("pete", "1:1: no resource after node pete; add one, or remove the line"),
    ("", " no resources; write a line NODE RESOURCE..."),
    ("pete ../evil", "1:6: ../evil is no script name; write a file name, without a path"),
    ("pete /etc/init.d/nfs", "1:6: /etc/init.d/nfs is no script name; write a file name, without a path"),
    ("pete -x", "1:6: -x is no script name; write a file name, without a path"),
    ("pete ::zz", "1:6: nothing is no script name; write a file name, without a path"),
    ("pete a;reboot", "1:6: a;reboot is no script name; write a file name, without a path"),
    ("pete a\x07b", "1:6: a\\x07b has an invisible character; type the word again"),
    ("pete nfs::a::::b", "1:6: nfs has an empty argument; remove one :: or write the argument"),
    ("pete IPaddr", "1:6: IPaddr needs an address; write IPaddr::ADDRESS or IPaddr::ADDRESS/24/eth0"),
    (
        "pete IPaddr2::clusterb",
        "1:6: IPaddr2 needs an address; write IPaddr2::ADDRESS or IPaddr2::ADDRESS/24/eth0",
    ),
    ("pete 192.0.2.1/eth0/24", "1:6: eth0 is no netmask; write ADDRESS/24/eth0, or the address alone"),
    ("pete 192.0.2.1/33", "1:6: 33 is no netmask; write ADDRESS/24/eth0, or the address alone"),
    ("pete 2001:db8::1", "1:6: IPv6 address; write IPaddr::2001:db8:0:0:0:0:0:1"),
    (
        "pete IPaddr::2001:db8::1/64/eth0",
        "1:6: :: parts arguments; write the address in full, IPaddr::2001:db8:0:0:0:0:0:1/64/eth0",
    ),
    ("pete IPaddr2::fd::/64", "1:6: :: parts arguments; write the address in full, IPaddr2::fd:0:0:0:0:0:0:0/64"),
    ("pete IPaddr::fd00:0:0:0:0:0:0:1/129", "1:6: 129 is no netmask; write ADDRESS/24/eth0, or the address alone"),
    (
        "pete IPaddr::2001:db8:0:0:0:0:0:1\nmclaws IPaddr::192.0.2.1 ocf:x:IPaddr2::ip=2001:DB8::1",
        "2:26: address 2001:db8::1 stands twice; it is in group 2001:db8::1 already, line 1; keep one",
    ),
    (
        "pete Filesystem::/dev/x",
        "1:6: Filesystem needs a device and a mount point; write Filesystem::DEVICE::DIR::TYPE",
    ),
    ("pete OCF::Delay::1", "1:6: OCF::TYPE::INSTANCE is not read; write ocf:PROVIDER:TYPE::name=value"),
    ("pete ocf:Delay", "1:6: ocf:Delay is no OCF agent; write ocf:PROVIDER:TYPE::name=value"),
    ("pete ocf:../x:Delay", "1:6: ocf:../x:Delay is no OCF agent; write ocf:PROVIDER:TYPE::name=value"),
    ("pete ocf:a:b::c", "1:6: c is not name=value; write ocf:a:b::name=value"),
    ("pete ocf:a:b::", "1:6: an empty parameter is not name=value; write ocf:a:b::name=value"),
    ("pete ocf:a:b::x=1::x=2", "1:6: parameter x is given twice; keep one"),
    (
        "pete ocf:a:b::op_start_timout=2",
        "1:6: unknown option op_start_timout; use op_start_timeout",
    ),
    (
        "pete ocf:a:b::op_zzz=2",
        "1:6: unknown option op_zzz; use op_monitor_interval, op_monitor_depth, op_start_timeout, "
        "op_stop_timeout, op_monitor_timeout",
    ),
    (
        "pete ocf:a:b::op_stop_timeout=0",
        "1:6: op_stop_timeout must be more than 0; without a limit a call could block a takeover",
    ),
    (
        "pete ocf:a:b::op_monitor_interval=often",
        "1:6: op_monitor_interval: often is no time; write seconds as 10 or 10s, or use 500ms, 200000us",
    ),
    (
        "pete ocf:a:b::op_stop_timeout=1::op_stop_timeout=2",
        "1:6: parameter op_stop_timeout is given twice; keep one",
    ),
    ("pete nfs::op_start_timout=2", "1:6: unknown option op_start_timout; use op_start_timeout"),
    (
        "pete ocf:a:b::op_monitor_depth=deep",
        "1:6: op_monitor_depth: deep is no depth; write a number such as 10 or 20, or nothing for 0",
    ),
    (
        "pete ocf:a:b::op_monitor_depth=101",
        "1:6: op_monitor_depth: 101 is no depth; write a number such as 10 or 20, or nothing for 0",
    ),
    (
        "pete systemd:nginx::op_monitor_depth=10",
        "1:6: systemd:nginx has no depth, its status is all there is; remove op_monitor_depth",
    ),
    ("pete systemd:nginx::a::b", "1:6: systemd:nginx takes no arguments; remove a::b"),
    ("pete systemd:", "1:6: nothing is no name; write systemd:NAME, without a path"),
    ("pete lsb:/etc/init.d/x", "1:6: /etc/init.d/x is no name; write lsb:NAME, without a path"),
    (
        "pete IPv6addr::192.0.2.1",
        "1:6: IPv6addr needs an IPv6 address; write IPv6addr::ADDRESS/64/eth0, or ADDRESS alone",
    ),
    (
        "pete IPv6addr::2001:db8::1/64\nmclaws nfs ocf:heartbeat:IPv6addr::ipv6addr=2001:db8::1",
        "2:12: address 2001:db8::1 stands twice; it is in group 2001:db8::1 already, line 1; keep one",
    ),
    (
        "pete 192.0.2.1 nfs\nmclaws nfs IPaddr2::192.0.2.1/24",
        "2:12: address 192.0.2.1 stands twice; it is in group 192.0.2.1 already, line 1; keep one",
    ),
    (
        "pete 192.0.2.1 ocf:x:IPaddr::ip=192.0.2.1",
        "1:16: address 192.0.2.1 stands twice; it is in this group already, line 1; keep one",
    ),
    (
        "pete 192.0.2.1 Filesystem::/dev/x::/a\nmclaws 192.0.2.2 Filesystem::/dev//x::/b",
        "2:18: device /dev/x stands twice; it is in group 192.0.2.1 already, line 1; keep one",
    ),
    (
        "pete 192.0.2.1 Filesystem::-Uab::/a\n"
        "mclaws 192.0.2.2 ocf:heartbeat:Filesystem::device=UUID=ab::directory=/b",
        "2:18: device UUID=ab stands twice; it is in group 192.0.2.1 already, line 1; keep one",
    ),
    (
        "pete 192.0.2.1 Filesystem::/dev/x::/a\nmclaws 192.0.2.2 Filesystem::/dev/y::/a/",
        "2:18: mount point /a stands twice; it is in group 192.0.2.1 already, line 1; keep one",
    ),
    (
        "pete nfs\nmclaws nfs",
        "2:8: a second group named nfs, first in line 1; begin one of them with a different resource, "
        "best its address",
    ),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said[:60] for _, said in BAD])
def test_each_error_has_place_fact_and_remedy(text: str, said: str) -> None:
    assert problems(f"{text}\n" if text and not text.endswith("\\") else text) == [f"haresources:{said}"]


def test_the_sentence_about_the_blank_names_line_and_column() -> None:
    text = "# HOWTO\n\npete IPaddr::205.185.197.220 killnfsd a \\ \n nfs-common\n"
    assert problems(text) == [
        "haresources:3:42: blank after the backslash; remove it, or the next line is not joined"
    ]


def test_all_problems_at_once() -> None:
    found = problems("jim nfs \\ \n ../x\npete\nmclaws ocf:x\n")
    assert [line.partition(": ")[0] for line in found] == [
        "haresources:1:1",
        "haresources:1:10",
        "haresources:2:2",
        "haresources:3:1",
        "haresources:4:8",
    ]


def test_pseudo_filesystems_may_stand_in_two_groups() -> None:
    assert len(sound("pete a Filesystem::tmpfs::/a::tmpfs\nmclaws b Filesystem::tmpfs::/b::tmpfs\n")) == 2


def test_one_device_with_two_mount_points_in_one_group() -> None:
    assert len(sound("pete Filesystem::/dev/x::/a::btrfs::subvol=a Filesystem::/dev/x::/b::btrfs::subvol=b\n")) == 1


def test_homes_are_not_checked_without_a_sound_ha_cf() -> None:
    assert haresources.parse("jim apache2\n", None).problems == ()


def test_secret_parameters_are_in_no_repr_and_no_error() -> None:
    text = "pete ocf:heartbeat:mysql::test_passwd=Tr0ub4dor"
    assert "Tr0ub4dor" not in repr(sound(text))
    assert "Tr0ub4dor" not in str(problems(f"{text}::test_passwd=Tr0ub4dor::password Tr0ub4dor"))
