"""What is written onto the two nodes, word by word. Pure data."""

from __future__ import annotations

from lab import plan

PASSWORD = "changeme"
PASSWORD_FILE = "/etc/ha.d/benjamin.password"

KEEPALIVE_MS, WARNTIME_MS, DEADTIME_MS, INITDEAD_MS = 1_000, 5_000, 10_000, 20_000
FENCE_DELAY_MS = DEADTIME_MS + KEEPALIVE_MS + 5_000
"""The time that failoverd takes when ``fence_delay`` is not given; mclaws, which is not at home, waits it twice."""

OP_TIMEOUT_S = 300
"""An emulated processor on a busy machine starts nothing quickly."""

STOP_TIMEOUT_S = 900
"""A stop of Filesystem may take that long, so that one that hangs hangs until the other node has acted."""

FENCING = (
    f"fence_device {plan.SWITCH} fence_wti_ips800 ip={plan.SWITCH_ADDRESS} password_file={PASSWORD_FILE}"
    f" plug.pete={plan.PETE.plug} plug.mclaws={plan.MCLAWS.plug}"
)

AUTHKEYS = "auth 1\n1 sha256 a-secret-of-the-lab-that-opens-nothing\n"

_FILESYSTEM = "::".join((
    "ocf:failover-kit:Filesystem",
    f"device={plan.SHELF_DEVICE}",
    f"directory={plan.MOUNT_POINT}",
    "fstype=xfs",
    f"op_stop_timeout={STOP_TIMEOUT_S}s",
))  # fmt: skip
HARESOURCES = f"pete {_FILESYSTEM} IPaddr::{plan.CLUSTER_ADDRESS}/24/eth2\n"


def ha_cf(*, fencing: bool) -> str:
    """Two links, short times; with the power switch, or without any fence device."""
    return f"""\
keepalive {KEEPALIVE_MS}ms
warntime {WARNTIME_MS}ms
deadtime {DEADTIME_MS}ms
op_timeout {OP_TIMEOUT_S}s
initdead {INITDEAD_MS}ms
auto_failback off
baud 19200
serial /dev/ttyS0
ucast eth1 {plan.PETE.nic("eth1").address}
ucast eth1 {plan.MCLAWS.nic("eth1").address}
node pete
node mclaws
{FENCING if fencing else "# no fence device"}
"""


def defaults(node: str) -> str:
    """/etc/default/failoverd, which the init script reads first: what another service would have done at boot.

    The address of the heartbeat card of ``node``; and control groups, without which status is never without remark.
    """
    nic = plan.guest(node).nic("eth1")
    return f"""\
ip addr replace {nic.address}/{nic.prefix} dev eth1
mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
"""
