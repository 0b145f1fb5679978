"""Names of Heartbeat's scripts as ClusterLabs' agents: arguments become the parameters Heartbeat made of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from failover_kit.manager import heartbeatnames
from failover_kit.manager.heartbeatnames import NAMES, parameters_for

AGENTS = Path("/usr/lib/ocf/resource.d/heartbeat")

# As Heartbeat 3.0.6's resource.d scripts read them.
FITS = [
    ("Raid1::/etc/mdadm.conf::/dev/md0", {"raidconf": "/etc/mdadm.conf", "raiddev": "/dev/md0"}),
    ("LVM::shared", {"volgrpname": "shared"}),
    ("Xinetd::tftp", {"service": "tftp"}),
    ("MailTo::root@localhost", {"email": "root@localhost"}),
    ("MailTo::root@localhost::moved", {"email": "root@localhost", "subject": "moved"}),
    ("IPsrcaddr::192.0.2.1", {"ipaddress": "192.0.2.1"}),
    ("portblock::tcp::80,443::block", {"protocol": "tcp", "portno": "80,443", "action": "block"}),
    ("apache", {}),
    ("apache::/etc/apache2/apache2.conf", {"configfile": "/etc/apache2/apache2.conf"}),
    ("SendArp::192.0.2.1/eth0", {"ip": "192.0.2.1", "nic": "eth0"}),
    ("WinPopup", {"hostfile": "hosts"}),
    ("WinPopup::/etc/people", {"hostfile": "/etc/people"}),
    ("ServeRAID::1::2", {"serveraid": "1", "mergegroup": "2"}),
    ("Delay", {"startdelay": "10"}),
    ("Delay::3::4", {"startdelay": "3", "stopdelay": "4"}),
    ("AudibleAlarm", {}),
    ("AudibleAlarm::pete::mclaws", {"nodelist": "pete mclaws"}),
    ("IPv6addr::fd00:1", {"ipv6addr": "fd00:1"}),
    ("IPv6addr::fd00:1/64/eth0", {"ipv6addr": "fd00:1", "cidr_netmask": "64", "nic": "eth0"}),
    ("LinuxSCSI::1:0:2", {"scsi": "1:0:2"}),
    ("ICP::0::/dev/sda", {"driveid": "0", "device": "/dev/sda"}),
    ("db2::db2inst1", {"instance": "db2inst1"}),
    ("ids", {}),
    ("ids::/opt/ids::main::conf", {"informixdir": "/opt/ids", "informixserver": "main", "onconfig": "conf"}),
    ("WAS::8080", {"port": "8080"}),
    ("WAS::/opt/was.conf", {"config": "/opt/was.conf"}),
]


@pytest.mark.parametrize(("text", "parameters"), FITS, ids=[text for text, _ in FITS])
def test_arguments_become_parameters(text: str, parameters: dict[str, str]) -> None:
    name, *args = text.split("::")
    assert parameters_for(name, tuple(args)) == parameters


def test_every_name_is_shown_above() -> None:
    assert {text.partition("::")[0] for text, _ in FITS} == NAMES


@pytest.mark.parametrize(
    ("text", "usage"),
    [
        ("Raid1::/dev/md0", "Raid1::RAIDCONF::RAIDDEV"),
        ("LVM", "LVM::VOLGRPNAME"),
        ("LVM::a::b", "LVM::VOLGRPNAME"),
        ("MailTo::a::b::c", "MailTo::EMAIL::SUBJECT"),
        ("ids::/opt/ids", "ids::INFORMIXDIR::INFORMIXSERVER::ONCONFIG"),
        ("SendArp::192.0.2.1", "SendArp::IP/NIC"),
        ("SendArp::192.0.2.1/", "SendArp::IP/NIC"),
        ("IPv6addr::a/64/eth0/x", "IPv6addr::IPV6ADDR/CIDR_NETMASK/NIC"),
        ("WAS::1::2", "WAS::CONFIGURATION-FILE or WAS::PORT"),
    ],
)
def test_what_does_not_fit_is_refused_with_how_to_write_it(text: str, usage: str) -> None:
    name, *args = text.split("::")
    with pytest.raises(ValueError, match="the arguments do not fit; write ") as refused:
        parameters_for(name, tuple(args))
    assert str(refused.value).endswith(usage)


@pytest.mark.skipif(not AGENTS.is_dir(), reason="ClusterLabs' agents are not installed")
@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_agents_of_this_machine_have_these_parameters(name: str) -> None:
    agent = AGENTS / name
    if not agent.exists():
        pytest.skip(f"{name} is not installed")
    if name == "IPv6addr":
        pytest.skip("it is a program; its meta-data cannot be read as text")
    text = agent.read_text(errors="replace")
    asked = {parameter for shown, made in FITS if shown.partition("::")[0] == name for parameter in made}
    assert {parameter for parameter in asked if f'name="{parameter}"' not in text} == set()


def test_nothing_stands_in_for_drbddisk() -> None:
    assert "drbddisk" not in NAMES
    assert "drbd-utils" in heartbeatnames.ADVICE["drbddisk"]
