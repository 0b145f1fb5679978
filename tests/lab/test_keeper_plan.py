"""The plan agrees with itself, with the HOWTO and with the image."""

from __future__ import annotations

import ipaddress
import os

import pytest

from lab import network, plan
from lab.errors import LabError

IMAGE_HOSTS = os.path.join(os.path.dirname(__file__), "guest", "common", "etc", "hosts")


def test_the_howto_s_addresses() -> None:
    fronts = {guest.name: guest.nic("eth2").address.rpartition(".")[2] for guest in plan.GUESTS}
    assert fronts == {"pete": "218", "mclaws": "217", "kokone": "10"}
    assert (plan.SWITCH_ADDRESS, plan.CLUSTER_ADDRESS) == ("192.0.2.219", "192.0.2.220")
    assert [(node.name, node.plug) for node in plan.NODES] == [("pete", 1), ("mclaws", 5)]


def test_no_mac_address_name_or_address_is_there_twice() -> None:
    cards = [(guest, nic) for guest in plan.GUESTS for nic in guest.nics]
    addresses = [nic.address for _, nic in cards if nic.address]
    addresses += [plan.SWITCH_ADDRESS, plan.CLUSTER_ADDRESS, plan.HOST_ADDRESS]
    for things in ([nic.mac for _, nic in cards], addresses, [plan.tap(guest.name, nic) for guest, nic in cards]):
        assert len(set(things)) == len(things)


def test_interface_names_fit_the_kernel() -> None:
    names = [plan.tap(guest.name, nic) for guest in plan.GUESTS for nic in guest.nics]
    names += [plan.SHELF_PORT, plan.SHELF_SOCKET, f"{plan.FRONT}-{plan.SWITCH}", *plan.NETWORKS]
    assert all(len(name) <= 15 for name in names)


def test_cards_of_one_network_share_a_subnet() -> None:
    for name in (plan.MGMT, plan.HEART, plan.FRONT):
        nets = {
            ipaddress.ip_interface(f"{nic.address}/{nic.prefix}").network
            for guest in plan.GUESTS
            for nic in guest.nics
            if nic.network == name
        }
        assert len(nets) == 1


def test_the_client_has_neither_heartbeat_nor_storage() -> None:
    assert [nic.name for nic in plan.KOKONE.nics] == ["eth0", "eth2"]
    with pytest.raises(LabError, match="kokone has no eth3; it has eth0, eth2"):
        plan.KOKONE.nic("eth3")


def test_only_the_management_ports_are_isolated() -> None:
    isolated = [line.split()[3] for line in network.lines(plan.GUESTS) if line.endswith("isolated on")]
    assert isolated == ["mgmt-pete", "mgmt-mclaws", "mgmt-kokone"]


def test_nothing_in_the_network_leads_out() -> None:
    text = "\n".join(network.lines(plan.GUESTS))
    assert "route" not in text
    assert [line for line in network.lines(plan.GUESTS) if line.startswith("addr")] == [
        "addr add 10.9.0.254/24 dev mgmt"
    ]


def test_the_heartbeat_card_gets_no_address_from_the_boot() -> None:
    words = plan.kernel_arguments(plan.PETE).split()
    cards = [word for word in words if word.startswith("NIC=")]
    assert cards == [
        "NIC=eth0,02:00:00:00:00:01,10.9.0.1/24",
        "NIC=eth1,02:00:00:00:01:01",
        "NIC=eth2,02:00:00:00:02:01,192.0.2.218/24",
        "NIC=eth3,02:00:00:00:03:01",
    ]
    assert "NODE=pete" in words


def test_the_image_s_hosts_file_says_what_the_plan_says() -> None:
    with open(IMAGE_HOSTS, encoding="ascii") as file:
        lines = {tuple(line.split()) for line in file if line.strip()}
    assert {tuple(line.split()) for line in plan.hosts().splitlines()} <= lines


@pytest.mark.parametrize("names", [(), ("pete", "pete"), ("pete", "bob")])
def test_guests_are_named_once_and_rightly(names: tuple[str, ...]) -> None:
    with pytest.raises(LabError):
        plan.guests(names)


def test_who_hangs_where() -> None:
    assert plan.by_plug(5) is plan.MCLAWS
    assert plan.by_plug(2) is None
    assert plan.by_mac("02:00:00:00:03:02") == (plan.MCLAWS, plan.MCLAWS.nic("eth3"))
