"""What the rehearsed pair looks like: names, addresses, times, and the three files of ``/etc/ha.d``. Pure.

The picture is the CLN failover HOWTO's: nodes ``pete`` and ``mclaws``, client ``kokone``, power switch
``benjamin`` (pete on plug 1, mclaws on plug 5), a disk mounted at ``/mnt/e0.0``, a null-modem cable and a
network link of their own between the nodes. A scene may need another pair than that: see ``Setup``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FRONT_PREFIX = 24
CLIENT_ADDRESS = "10.99.0.3"
SWITCH_ADDRESS = "10.99.0.19"
CLIENT = "kokone"
SWITCH = "benjamin"
CONFIG_DIR = "/etc/ha.d"
STATE_DIR = "/var/lib/failover-kit"
NODE_DIR = "/run/rehearsal"
"""Where a node finds what belongs to the rehearsal, not to failover-kit: the real agents, the ledger."""

SERIAL_DEVICE = NODE_DIR + "/ttyS0"
"""This node's end of the null-modem cable: a pseudo terminal under the name of a serial port."""

SERIAL = "ttyS0"

HANG_FILE = NODE_DIR + "/recordd.hangs"
"""While it exists on a node, no service's stop ends there."""

KEEPALIVE_MS = 200
DEADTIME_MS = 2_000
INITDEAD_MS = 4_000
FENCE_DELAY_MS = 5_000
OP_TIMEOUT_MS = 30_000
STOP_TIMEOUT_MS = 15_000
"""Of the service's stop. Longer than the longest delay before a shot: scene 6 is about a stop that still hangs."""

MONITOR_MS = 3_000
POWER_TIMEOUT_S = 10
"""How long the fence agent waits for an outlet to turn: here until the node is gone, or has booted."""

BAUD = 115_200

FRONT, HEARTBEAT = "eth0", "eth1"


@dataclass(frozen=True)
class NodePlan:
    """One machine of the pair."""

    name: str
    number: int
    outlet: int
    """Of its first supply; a second one is on the next outlet."""

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


@dataclass(frozen=True)
class GroupPlan:
    """A service of the pair: a disk, ``recordd`` on it, an address, and a client that writes to it."""

    number: int
    home: str

    @property
    def mount_point(self) -> str:
        return f"/mnt/e0.{self.number}"

    @property
    def records_file(self) -> str:
        return f"{self.mount_point}/records"

    @property
    def pid_file(self) -> str:
        """Of ``recordd``; it makes the name itself."""
        return f"/run/recordd.e0.{self.number}.pid"

    @property
    def address(self) -> str:
        return f"10.99.0.{100 + self.number}"

    @property
    def port(self) -> int:
        return 7000 + self.number

    @property
    def client(self) -> str:
        """Who is served, for people: all clients run on one machine."""
        return CLIENT if self.number == 0 else f"{CLIENT}:{self.port}"

    @property
    def disk(self) -> str:
        """The disk, for people."""
        return "the disk" if self.number == 0 else f"disk e0.{self.number}"

    @property
    def cluster_address(self) -> str:
        """The address, for people."""
        return "the cluster address" if self.number == 0 else f"address {self.address}"

    @property
    def service(self) -> str:
        """What the ledger calls ``recordd`` (``witness`` names what a call is about)."""
        return f"recordd:{self.mount_point}"

    @property
    def resources(self) -> tuple[str, ...]:
        """What the ledger calls the parts, in the order of their start."""
        return (f"Filesystem:{self.mount_point}", self.service, f"IPaddr:{self.address}")

    def haresources(self, device: str, stop_timeout_ms: int = STOP_TIMEOUT_MS) -> str:
        """Its line. The address comes last: who answers there can also serve."""
        return (
            f"{self.home} Filesystem::{device}::{self.mount_point}::xfs "
            f"recordd::{self.mount_point}::{self.port}::op_stop_timeout={stop_timeout_ms // 1000}s "
            f"IPaddr::{self.address}/{FRONT_PREFIX}/{FRONT}\n"
        )


GROUP = GroupPlan(0, PETE.name)
SECOND_GROUP = GroupPlan(1, MCLAWS.name)


@dataclass(frozen=True)
class Setup:
    """What a scene needs the pair to be. Another setup is another pair: everything is made anew."""

    title: str
    groups: tuple[GroupPlan, ...] = (GROUP,)
    supplies: int = 1
    """Of each node, each on an outlet of its own."""

    fence_delay_ms: int = FENCE_DELAY_MS
    """More than the time of a shot, and each outlet takes its time."""

    op_timeout_ms: int = OP_TIMEOUT_MS
    state_bytes: int = 0
    """When not 0, the disk with a node's own state is that small, and can be full."""

    @property
    def stop_timeout_ms(self) -> int:
        """Of the service."""
        return min(STOP_TIMEOUT_MS, self.op_timeout_ms)

    def outlets(self, node: NodePlan) -> tuple[int, ...]:
        return tuple(range(node.outlet, node.outlet + self.supplies))

    def plug_name(self, node: NodePlan, outlet: int) -> str:
        """What the switch calls an outlet."""
        return node.name if self.supplies == 1 else f"{node.name}-{outlet}"


STANDING = Setup("one group, one supply each")
TWO_SUPPLIES = Setup("two supplies each", supplies=2, fence_delay_ms=7_000)
TWO_GROUPS = Setup("two groups, each at home on another node", groups=(GROUP, SECOND_GROUP))

DEVICE_PARAMETERS = f"password_file={CONFIG_DIR}/{SWITCH}.password power_timeout={POWER_TIMEOUT_S}"


def ha_cf(setup: Setup = STANDING) -> str:
    """``ha.cf``, the same on both nodes."""
    plugs = ""
    if setup.supplies > 1:
        plugs = "".join(f" plug.{node.name}={','.join(map(str, setup.outlets(node)))}" for node in NODES)
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
fence_device {SWITCH} fence_wti_ips800 ip={SWITCH_ADDRESS} {DEVICE_PARAMETERS}{plugs}
fence_delay {setup.fence_delay_ms}ms
fence_action reboot
op_timeout {setup.op_timeout_ms}ms
monitor_interval {MONITOR_MS}ms
"""


def haresources(devices: Sequence[str], setup: Setup = STANDING) -> str:
    """One line for each group; ``devices`` in their order."""
    pairs = zip(setup.groups, devices, strict=True)
    return "".join(group.haresources(device, setup.stop_timeout_ms) for group, device in pairs)


def authkeys(key: str) -> str:
    """``authkeys`` with one key, made anew for each run."""
    return f"auth 1\n1 sha1 {key}\n"
