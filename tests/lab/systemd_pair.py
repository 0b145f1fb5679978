"""A pair of guests with systemd as pid 1, set up as docs/howto/a-real-pair.md says, and what tests ask of it.

``settle`` brings it to where every test begins: both nodes up and healthy, the groups at home on pete.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from failover_kit.spec.deadline import Deadline
from lab import plan
from lab.errors import GuestError, LabError
from lab.guest import Guest
from lab.lab import Lab

POLL_S = 0.5
PATIENCE_S = 1800.0
"""For whatever takes seconds on a quiet machine: emulated processors that share two real ones are slow."""

ASK_S = 300.0
"""For one question: an interpreter's start."""

PASSWORD = "changeme"
"""The document's."""

DEADTIME_S, FENCE_DELAY_S = 8, 16
CHECK_S = 2.5
"""How long ``failoverd --check`` takes in a guest on a quiet machine."""

MOST_SLOW = 20
"""Beside sixteen other jobs ``failoverd --version`` took 40 s: the unit's 120 s were over before it was up."""

START_TIMEOUT_S, OP_TIMEOUT_S, INITDEAD_S = 120, 60, 120
"""TimeoutStartSec of etc/failoverd.service, ha.cf's own op_timeout, and the document's initdead."""

# Of every service, as systemd.unit(5) has it: a folder of failoverd's own would have to be told apart at the purge.
SLOW_UNITS = "/etc/systemd/system/service.d"

HA_CF = f"""\
node pete mclaws

keepalive 1
warntime {{warntime}}
deadtime {{deadtime}}
initdead {{initdead}}
op_timeout {{op_timeout}}
fence_delay {{fence_delay}}
auto_failback off
watchdog /dev/watchdog

baud 9600
serial /dev/ttyS0
ucast eth1 192.168.1.1
ucast eth1 192.168.1.2

fence_device {plan.SWITCH} fence_wti_ips800 ip={plan.SWITCH_ADDRESS} password_file=/etc/ha.d/switch.password \
plug.pete=1 plug.mclaws=5
"""

DISK = f"Filesystem::{plan.SHELF_DEVICE}::{plan.MOUNT_POINT}::xfs"
ADDRESS = f"IPaddr::{plan.CLUSTER_ADDRESS}/24/eth2"
HARESOURCES = f"pete {DISK} nfs-server.service {ADDRESS}\npete leaver.service holder.service sleeper\n"
"""The group of the document's page; and units that do what units may do, with a script of Heartbeat's kind."""

HARESOURCES_KILLNFSD = HARESOURCES.replace(" nfs-server", " killnfsd nfs-server")
NFS_GROUP, UNITS_GROUP = "Filesystem:e0.0", "leaver.service"

EXPORTS = f"{plan.MOUNT_POINT} 192.0.2.0/24(rw,sync,no_root_squash,no_subtree_check,fsid=1)\n"

# The defaults are 90 s each, in which a client that is new to a server waits.
NFS_CONF = "[nfsd]\ngrace-time=10\nlease-time=10\n"

# eth1's address, as /etc/network would give it, and the witness of the order at shutdown: what is ordered before
# network.target goes down after failoverd, and without its links a failoverd that still ran would be alone.
HEART_UNIT = """\
[Unit]
Description=the heartbeat link and the witness of the network's end
Wants=network.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip addr replace {address}/{prefix} dev eth1
ExecStop=/usr/sbin/ip link set eth1 down
ExecStop=/usr/sbin/ip link set eth2 down
ExecStop=/usr/sbin/ip link set eth3 down

[Install]
WantedBy=multi-user.target
"""

# Its main process ends with it, another one does not, and systemd does not count its tasks.
LEAVER_UNIT = """\
[Unit]
Description=a service that leaves a process when it is stopped

[Service]
ExecStart=/bin/sh -c 'setsid /bin/sleep 7777 & exec /bin/sleep 8888'
KillMode=process
TasksAccounting=no
"""

# Like nfs-server.service: no process, and what it set up is gone when its ExecStop succeeded. And like many that
# carry disks it is ordered before what failoverd comes after, so that at the machine's end systemd wants to stop it
# only when failoverd has ended.
HOLDER_UNIT = """\
[Unit]
Description=a service of the kernel's kind, without a process
DefaultDependencies=no
Conflicts=shutdown.target
Before=network.target shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/touch /run/holder
ExecStop=/bin/sh -c 'test ! -e /run/holder-fails && rm /run/holder'
"""


# Its process stays in failoverd's own control group, below the unit.
SLEEPER = """\
#!/bin/sh
runs() { [ -e /run/sleeper.pid ] && kill -0 "$(cat /run/sleeper.pid)" 2>/dev/null; }
case $1 in
start) runs && exit 0
    setsid /bin/sleep 6666 </dev/null >/dev/null 2>&1 &
    echo $! >/run/sleeper.pid ;;
stop) runs && kill "$(cat /run/sleeper.pid)"
    rm -f /run/sleeper.pid ;;
status) if runs; then echo running; else echo stopped; exit 3; fi ;;
esac
"""


@dataclass(frozen=True)
class Told:
    """``failoverctl status --json`` of a node."""

    plain: dict[str, Any]

    @property
    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = self.plain["view"]
        return found

    def group(self, name: str) -> dict[str, Any]:
        """Raises LabError."""
        for group in self.view["groups"]:
            if group["name"] == name:
                found: dict[str, Any] = group
                return found
        raise LabError(f"status of {self.view['node']} has no group {name}")

    @property
    def said(self) -> list[str]:
        """The last sentences of the log."""
        return [str(line["text"]) for line in self.plain["recent"]]


class Pair:
    """The two nodes in a lab of the systemd image."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.nodes = (lab.pete, lab.mclaws)
        self.resources = ""
        self.pace = 1

    @property
    def deadtime_s(self) -> int:
        """deadtime of the pair: what is enough on a quiet machine, more where the guests are seen to be slow."""
        return DEADTIME_S * self.pace

    # --- setting up --------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Everything of the page but the three files: links, disk, switch, exports, units. Twice does no harm."""
        self.lab.boot("pete", "mclaws")
        self.lab.panel.join("pete", "mclaws")
        for node in self.nodes:
            node.put("/etc/systemd/system/leaver.service", LEAVER_UNIT)
            node.put("/etc/systemd/system/holder.service", HOLDER_UNIT)
            node.put("/etc/exports", EXPORTS)
            node.put("/etc/nfs.conf.d/lab.conf", NFS_CONF)
            self._prepare_links(node)
        self._prepare_switch()
        self._prepare_disk()
        self._remember()

    def _remember(self) -> None:
        """The configuration of an earlier run in the same lab."""
        found = {node.sh("cat /etc/ha.d/haresources 2>/dev/null || true").stdout for node in self.nodes}
        if len(found) == 1 and "" not in found:
            self.resources = found.pop()
            lines = self.lab.pete.get("/etc/ha.d/ha.cf").decode().splitlines()
            self.pace = next(int(line.split()[1]) for line in lines if line.startswith("deadtime ")) // DEADTIME_S

    @staticmethod
    def _prepare_links(node: Guest) -> None:
        """The heartbeat link, the disk's and NFS's modules, and where the disk is mounted."""
        heart = node.plan.nic("eth1")
        unit = HEART_UNIT.format(address=heart.address, prefix=heart.prefix)
        node.put("/etc/systemd/system/lab-heart.service", unit)
        node.sh(
            f"mkdir -p {plan.MOUNT_POINT}\nsystemctl daemon-reload\n"
            "systemctl enable --now lab-heart.service\nmodprobe aoe xfs nfsd\n",
            timeout_s=PATIENCE_S,
        )

    def _prepare_switch(self) -> None:
        pete, password = self.lab.pete, "/root/switch.password"
        pete.put(password, PASSWORD, 0o600)
        at = f"--ip={plan.SWITCH_ADDRESS}"
        look = ["fence_wti_ips800", at, f"--password-file={password}", "-o", "list-status"]
        if pete.run(look, timeout_s=PATIENCE_S, check=False).code == 0:
            return
        names = ["--name", "1=pete", "--name", "5=mclaws", "--new-password-file", password]
        pete.run(["failoverctl", "switch", "setup", at, *names], timeout_s=PATIENCE_S)

    def _prepare_disk(self) -> None:
        wait_for(lambda: all(self._sees_the_disk(node) for node in self.nodes), "both nodes see the disk")
        pete = self.lab.pete
        if pete.run(["blkid", plan.SHELF_DEVICE], check=False).code != 0:
            pete.run(["mkfs.xfs", "-q", plan.SHELF_DEVICE], timeout_s=PATIENCE_S)

    @staticmethod
    def _sees_the_disk(node: Guest) -> bool:
        return node.run(["test", "-b", plan.SHELF_DEVICE], check=False).code == 0

    def configure(self, resources: str = HARESOURCES) -> None:
        """Write the three files of both nodes; failoverd reads them when it starts."""
        self._measure()
        for node in self.nodes:
            node.sh("mkdir -p -m 700 /etc/ha.d /etc/ha.d/resource.d")
            node.put("/etc/ha.d/resource.d/sleeper", SLEEPER, 0o755)
            node.put("/etc/modules-load.d/softdog.conf", "softdog\n")
            node.run(["modprobe", "softdog"], timeout_s=PATIENCE_S)
            self._give_time(node)
            node.put("/etc/ha.d/ha.cf", self._ha_cf())
            node.put("/etc/ha.d/haresources", resources)
            node.put("/etc/ha.d/authkeys", "auth 1\n1 sha256 of-the-lab-and-nobody-else\n", 0o600)
            node.put("/etc/ha.d/switch.password", PASSWORD, 0o600)
            node.run(["failoverd", "--check"], timeout_s=PATIENCE_S)
        self.resources = resources

    def _measure(self) -> None:
        """How slow the guests are; a deadtime shorter than their pauses would test nothing but that."""
        took_s = self.lab.pete.run(["failoverd", "--check"], timeout_s=PATIENCE_S, check=False).ms / 1000
        self.pace = max(self.pace, min(MOST_SLOW, round(took_s / CHECK_S)))

    def _give_time(self, node: Guest) -> None:
        """A slow guest's services may take longer to start than their units say; on others nothing is changed."""
        if self.pace > 1:
            text = f"[Service]\nTimeoutStartSec={START_TIMEOUT_S * self.pace}\n"
            node.sh(f"mkdir -p {SLOW_UNITS}\n")
            node.put(f"{SLOW_UNITS}/slow.conf", text)
            node.run(["systemctl", "daemon-reload"], timeout_s=PATIENCE_S)

    def _ha_cf(self) -> str:
        return HA_CF.format(
            warntime=self.deadtime_s // 2,
            deadtime=self.deadtime_s,
            initdead=max(INITDEAD_S, 2 * self.deadtime_s),
            op_timeout=OP_TIMEOUT_S * self.pace,
            fence_delay=FENCE_DELAY_S * self.pace,
        )

    @property
    def watchdog_s(self) -> int:
        """What failoverd asks of the watchdog: a hang it survives, and sooner than the passive peer's shot."""
        return self.deadtime_s + FENCE_DELAY_S * self.pace - 2

    # --- asking ------------------------------------------------------------------------------------------

    def told(self, node: Guest) -> Told | None:
        """None while its failoverd does not answer."""
        try:
            answer = node.run(["failoverctl", "status", "--json"], timeout_s=ASK_S, check=False)
        except GuestError:
            return None
        return Told(json.loads(answer.stdout)) if answer.code in (0, 1, 2) and answer.stdout else None

    def state(self, node: Guest, group: str = NFS_GROUP) -> str:
        """Of the group on that node, as it says itself; "" while its failoverd does not answer."""
        told = self.told(node)
        return "" if told is None else str(told.group(group)["state"])

    def runs_on(self, node: Guest) -> bool:
        """Whether that node runs both groups."""
        told = self.told(node)
        return told is not None and all(
            told.group(name)["state"] == "started" for name in (NFS_GROUP, UNITS_GROUP)
        )

    def healthy(self) -> bool:
        """Whether both nodes say so."""
        return all(
            node.run(["failoverctl", "status"], timeout_s=ASK_S, check=False).code == 0 for node in self.nodes
        )

    def cuts(self) -> list[str]:
        """Machines that lost their power at an outlet so far: who was shot."""
        return [event.guest for event in self.lab.power_events() if (event.what, event.by) == ("ended", "outlet")]

    # --- the beginning of every test ---------------------------------------------------------------------

    def settle(self, resources: str = "") -> None:
        """Both up and healthy, the groups on pete. "": with the haresources they have. Raises LabError."""
        self.lab.boot("pete", "mclaws", timeout_s=PATIENCE_S)
        resources = resources or self.resources or HARESOURCES
        if self.resources != resources:
            for node in self.nodes:  # a new configuration is read at start, alike on both
                node.run(["systemctl", "stop", "failoverd"], timeout_s=PATIENCE_S, check=False)
            self.configure(resources)
        for node in self.nodes:
            node.sh("rm -f /run/holder-fails\nsystemctl reset-failed failoverd 2>/dev/null || true\n")
            node.run(["systemctl", "start", "failoverd"], timeout_s=PATIENCE_S)
        wait_for(self._both_hear, "both nodes hear each other", self)
        wait_for(lambda: any(map(self.runs_on, self.nodes)), "the groups run", self)
        if not self.runs_on(self.lab.pete):
            self.lab.pete.run(["failoverctl", "takeover"], timeout_s=PATIENCE_S)
        wait_for(self.healthy, "both nodes are healthy", self)

    def _both_hear(self) -> bool:
        views = [self.told(node) for node in self.nodes]
        return all(told is not None and told.view["peer_state"] == "up" for told in views)

    def picture(self) -> str:
        """For the message of a wait that was in vain."""
        parts = []
        for node in self.nodes:
            try:
                shown = node.run(["failoverctl", "status"], timeout_s=ASK_S, check=False)
                last = ["journalctl", "-u", "failoverd", "-n", "15", "--no-pager"]
                log = node.run(last, timeout_s=ASK_S, check=False)
                parts.append(f"{shown.stdout}{shown.stderr}{log.stdout}")
            except LabError as error:
                parts.append(str(error))
        return "\n".join(parts)


def wait_for(
    holds: Callable[[], bool], what: str, pair: Pair | None = None, *, timeout_s: float = PATIENCE_S
) -> float:
    """Until ``holds``; the seconds it took. LabError, with both nodes' status, when it does not in time."""
    deadline = Deadline(round(timeout_s * 1000))
    began = time.monotonic()
    looked = began
    while not holds():
        if deadline.expired():
            picture = f"\n{pair.picture()}" if pair is not None else ""
            raise LabError(f"waited {timeout_s:g} s in vain until {what}{picture}")
        # To look is work for the guest, too: where that is slow, half of the time is left to what is waited for.
        time.sleep(max(POLL_S, time.monotonic() - looked))
        looked = time.monotonic()
    return time.monotonic() - began


def unit_property(node: Guest, unit: str, name: str) -> str:
    """One property as systemd shows it."""
    return node.run(["systemctl", "show", "--value", f"--property={name}", unit]).stdout.strip()
