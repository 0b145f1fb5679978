"""The lab's network, made inside the keeper's own network namespace: nothing of it has a name outside.

Four bridges without spanning tree, a tap for each card of each guest, a veth for the shelf, and a namespace of its
own for the switch, which is a machine like the others. No forwarding, no route, no way out; no IPv6 on the host's
side, where neighbour discovery would only be noise in the witness's record.
"""

from __future__ import annotations

import os

from failover_kit.rehearsal.namespaces import NetworkNamespace
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import run
from lab import plan
from lab.errors import LabError
from lab.plan import GuestPlan, Nic

COMMAND_MS = 20_000
_QUIET = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1", "ipv4/ip_forward": "0"}


def lines(guests: tuple[GuestPlan, ...]) -> list[str]:
    """Commands of ip(8) that make everything but the switch."""
    found = ["link set lo up"]
    for network in plan.NETWORKS:
        found += [f"link add name {network} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
    found += [f"addr add {plan.HOST_ADDRESS}/{plan.MGMT_PREFIX} dev {plan.MGMT}"]
    for guest in guests:
        for nic in guest.nics:
            port = plan.tap(guest.name, nic)
            found += [
                f"tuntap add dev {port} mode tap",
                f"link set dev {port} mtu {nic.mtu} master {nic.network} up",
            ]
            if nic.network == plan.MGMT:
                found += [f"link set dev {port} type bridge_slave isolated on"]
    found += [
        f"link add name {plan.SHELF_PORT} mtu {plan.SAN_MTU} type veth "
        f"peer name {plan.SHELF_SOCKET} mtu {plan.SAN_MTU}",
        f"link set dev {plan.SHELF_SOCKET} master {plan.SAN} up",
        f"link set dev {plan.SHELF_PORT} up",
    ]
    found += [f"link set dev {network} up" for network in plan.NETWORKS]
    return found


class Network:
    """Everything between the machines. Only for pid 1 of the lab's namespaces."""

    def __init__(self, guests: tuple[GuestPlan, ...]) -> None:
        for name, value in _QUIET.items():
            path = os.path.join("/proc/sys/net", name)
            if os.path.exists(path):  # a kernel without IPv6 has nothing to be told
                with open(path, "w", encoding="ascii") as file:
                    file.write(value)
        ip(*lines(guests))
        self.switch = NetworkNamespace()
        self.switch_port = f"{plan.FRONT}-{plan.SWITCH}"
        ip(
            f"link add name {self.switch_port} type veth peer name eth0 netns {self.switch.path}",
            f"link set dev {self.switch_port} master {plan.FRONT} up",
        )
        self.switch.ip(
            "link set lo up", "link set eth0 up", f"addr add {plan.SWITCH_ADDRESS}/{plan.FRONT_PREFIX} dev eth0"
        )

    def port(self, guest: GuestPlan, nic: Nic, *, up: bool) -> None:
        """Let frames through the bridge's end of a guest's cable, or none."""
        ip(f"link set dev {plan.tap(guest.name, nic)} {'up' if up else 'down'}")

    def switch_link(self, *, up: bool) -> None:
        """The network cable of the power switch."""
        ip(f"link set dev {self.switch_port} {'up' if up else 'down'}")


def ip(*commands: str) -> None:
    """Commands of ip(8), one a line, in one process. Raises LabError."""
    result = run(["ip", "-batch", "-"], Deadline(COMMAND_MS), stdin="".join(f"{line}\n" for line in commands))
    if not result.ok():
        raise LabError(f"the lab's network: ip: {result.last_line()} (in: {'; '.join(commands)})")
