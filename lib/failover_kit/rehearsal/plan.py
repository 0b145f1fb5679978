"""What the rehearsed pair looks like: names, addresses, times, and the three files of ``/etc/ha.d``. Pure.

The picture is the CLN failover HOWTO's: nodes ``pete`` and ``mclaws``, client ``kokone``, power switch
``benjamin`` (pete on plug 1, mclaws on plug 5), a disk mounted at ``/mnt/e0.0``, a null-modem cable and a
network link of their own between the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

FRONT_PREFIX = 24
CLUSTER_ADDRESS = "10.99.0.100"
CLIENT_ADDRESS = "10.99.0.3"
SWITCH_ADDRESS = "10.99.0.19"
CLIENT = "kokone"
SWITCH = "benjamin"
MOUNT_POINT = "/mnt/e0.0"
RECORDS_FILE = MOUNT_POINT + "/records"
SERVICE_PORT = 7000
CONFIG_DIR = "/etc/ha.d"
STATE_DIR = "/var/lib/failover-kit"
NODE_DIR = "/run/rehearsal"
"""Where a node finds what belongs to the rehearsal, not to failover-kit: the real agents, the ledger."""

SERIAL_DEVICE = NODE_DIR + "/ttyS0"
"""This node's end of the null-modem cable: a pseudo terminal under the name of a serial port."""

SERIAL = "ttyS0"

HANG_FILE = NODE_DIR + "/recordd.hangs"
"""While it exists on a node, the service's stop never ends there."""

KEEPALIVE_MS = 200
DEADTIME_MS = 2_000
INITDEAD_MS = 4_000
FENCE_DELAY_MS = 5_000
OP_TIMEOUT_MS = 30_000
BAUD = 115_200

FRONT, HEARTBEAT = "eth0", "eth1"


@dataclass(frozen=True)
class NodePlan:
    """One machine of the pair."""

    name: str
    number: int
    outlet: int

    @property
    def front_address(self) -> str:
        return f"10.99.0.{self.number}"

    @property
    def heartbeat_address(self) -> str:
        return f"10.99.1.{self.number}"

    def mac(self, interface: str) -> str:
        """A network card keeps its address over a power cut; locally administered, IEEE 802 clause 8."""
        return f"02:00:0a:63:0{int(interface == HEARTBEAT)}:0{self.number}"


PETE = NodePlan("pete", 1, 1)
MCLAWS = NodePlan("mclaws", 2, 5)
NODES = (PETE, MCLAWS)


def peer_of(name: str) -> str:
    """The other node's name."""
    return MCLAWS.name if name == PETE.name else PETE.name


def ha_cf(op_timeout_ms: int = OP_TIMEOUT_MS) -> str:
    """``ha.cf``, the same on both nodes."""
    return f"""\
# Written by the rehearsal. Short times: it is to be over in minutes.
keepalive {KEEPALIVE_MS}ms
warntime {DEADTIME_MS // 2}ms
deadtime {DEADTIME_MS}ms
initdead {INITDEAD_MS}ms
auto_failback off
baud {BAUD}
serial {SERIAL_DEVICE}
udpport 694
ucast {HEARTBEAT} {PETE.heartbeat_address}
ucast {HEARTBEAT} {MCLAWS.heartbeat_address}
node {PETE.name}
node {MCLAWS.name}
fence_device {SWITCH} fence_wti_ips800 ip={SWITCH_ADDRESS} password_file={CONFIG_DIR}/{SWITCH}.password
fence_delay {FENCE_DELAY_MS}ms
fence_action reboot
op_timeout {op_timeout_ms}ms
monitor_interval 5s
"""


def haresources(device: str) -> str:
    """One group, at home on pete. The address comes last: who answers there can also serve."""
    return (
        f"{PETE.name} Filesystem::{device}::{MOUNT_POINT}::xfs recordd "
        f"IPaddr::{CLUSTER_ADDRESS}/{FRONT_PREFIX}/{FRONT}\n"
    )


def authkeys(key: str) -> str:
    """``authkeys`` with one key, made anew for each run."""
    return f"auth 1\n1 sha1 {key}\n"
