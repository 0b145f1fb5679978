"""haresources arguments, as Heartbeat's own IPaddr and Filesystem scripts take them."""

import pytest

from failover_kit.agents import filesystem, ipaddr
from failover_kit.agents.haresources import parameters_for


@pytest.mark.parametrize(
    ("word", "parameters"),
    [
        ("10.0.0.9", {"ip": "10.0.0.9"}),
        ("10.0.0.9/24", {"ip": "10.0.0.9", "cidr_netmask": "24"}),
        ("10.0.0.9/255.255.255.0/eth0", {"ip": "10.0.0.9", "cidr_netmask": "255.255.255.0", "nic": "eth0"}),
        (
            "10.0.0.9/24/eth0:1/10.0.0.255",
            {"ip": "10.0.0.9", "cidr_netmask": "24", "nic": "eth0:1", "broadcast": "10.0.0.255"},
        ),
        ("10.0.0.9/24/10.0.0.255", {"ip": "10.0.0.9", "cidr_netmask": "24", "broadcast": "10.0.0.255"}),
        ("10.0.0.9//eth0", {"ip": "10.0.0.9", "nic": "eth0"}),
        ("10.0.0.9/eth0", {"ip": "10.0.0.9", "nic": "eth0"}),
    ],
)
def test_ipaddr(word, parameters):
    assert ipaddr.AGENT.positional([word]) == parameters
    assert parameters_for("IPaddr", [word]) == parameters_for("IPaddr2", [word]) == parameters


@pytest.mark.parametrize(
    "args", [[], ["10.0.0.999"], ["10.0.0.9/24/eth0/10.0.0.255/x"], ["10.0.0.9", "eth0"], [""]]
)
def test_ipaddr_refuses(args):
    with pytest.raises(ValueError, match="IPaddr"):
        ipaddr.AGENT.positional(args)


@pytest.mark.parametrize(
    ("args", "parameters"),
    [
        (["/dev/etherd/e0.0", "/mnt/e0.0"], {"device": "/dev/etherd/e0.0", "directory": "/mnt/e0.0"}),
        (
            ["LABEL=home", "/mnt/e0.0", "xfs", "noatime,nodev"],
            {"device": "LABEL=home", "directory": "/mnt/e0.0", "fstype": "xfs", "options": "noatime,nodev"},
        ),
        (["-Lhome", "/home", "", "ro"], {"device": "-Lhome", "directory": "/home", "options": "ro"}),
    ],
)
def test_filesystem(args, parameters):
    assert filesystem.AGENT.positional(args) == parameters
    assert parameters_for("Filesystem", args) == parameters


@pytest.mark.parametrize(
    "args", [["/dev/sda1"], ["sda1", "/mnt"], ["/dev/sda1", "/mnt", "nfs"], ["a", "b", "c", "d", "e"]]
)
def test_filesystem_refuses(args):
    with pytest.raises(ValueError, match="Filesystem"):
        filesystem.AGENT.positional(args)


def test_scripts_of_others_are_not_ours():
    assert parameters_for("nfs-common", []) is None
    assert parameters_for("apache", ["/etc/httpd.conf"]) is None


@pytest.mark.parametrize(
    ("args", "parameters"),
    [
        ([], {}),
        (["/mnt/e0.0/.nfs"], {"nfs_shared_infodir": "/mnt/e0.0/.nfs"}),
        (["/mnt/e0.0/.nfs", "192.0.2.220"], {"nfs_shared_infodir": "/mnt/e0.0/.nfs", "nfs_ip": "192.0.2.220"}),
        (["", "192.0.2.220,192.0.2.221"], {"nfs_ip": "192.0.2.220,192.0.2.221"}),
    ],
)
def test_nfsserver(args, parameters):
    assert parameters_for("nfsserver", args) == parameters


@pytest.mark.parametrize("args", [["mnt"], ["/"], ["/mnt", "clusterb"], ["/mnt", "192.0.2.220", "4.1"]])
def test_nfsserver_refuses(args):
    with pytest.raises(ValueError, match="nfsserver"):
        parameters_for("nfsserver", args)


def test_killnfsd_takes_no_arguments():
    assert parameters_for("killnfsd", []) == {}
    with pytest.raises(ValueError, match="one argument too many"):
        parameters_for("killnfsd", ["nfs-server.service"])
