"""Who is measured, and how each is told the same: files, start, an order to move, how one sees that it is at rest.

One group, a filesystem and then an address, at home on pete; one network link between the nodes; one fence agent
over one switch. All are told to notice a silent node after half a second (``DEADTIME_MS``).
"""

from __future__ import annotations

import json
from pathlib import Path

from common.facts import package_version

from failover_kit.rehearsal.plan import FRONT, FRONT_PREFIX, GROUP, MCLAWS, PETE
from versus.managers import Failoverd, Heartbeat, Manager
from versus.stage import Stage

HERE = Path(__file__).resolve().parent / "programs"
KEEPALIVE_MS = 20
DEADTIME_MS = 500
MONITOR_S = 10
OURS, HEARTBEAT, PACEMAKER, KEEPALIVED = "failoverd", "Heartbeat", "Pacemaker", "keepalived"

HA_CF = f"""\
keepalive {{keepalive}}ms
warntime {{warntime}}ms
deadtime {{deadtime}}ms
initdead {{initdead}}ms
auto_failback off
udpport 694
ucast eth1 {PETE.heartbeat_address}
ucast eth1 {MCLAWS.heartbeat_address}
node pete
node mclaws
"""


class Driver(Manager):
    """A manager on a stage with a disk. ``keepalive_ms`` and ``deadtime_ms`` as far as it knows such things."""

    has_disk = True
    has_fence = True
    late: str
    """What its log says each time a node counts as lost."""
    idle_keepalive_ms = 1_000
    idle_deadtime_ms = 10_000
    """For the cost of doing nothing: Heartbeat's default keepalive, and a deadtime for it."""

    def __init__(self, device: str, keepalive_ms: int = KEEPALIVE_MS, deadtime_ms: int = DEADTIME_MS) -> None:
        self.device = device
        self.keepalive_ms = keepalive_ms
        self.deadtime_ms = deadtime_ms

    def ha_cf(self) -> str:
        """What failoverd and Heartbeat read alike."""
        return HA_CF.format(
            keepalive=self.keepalive_ms,
            warntime=self.deadtime_ms // 2,
            deadtime=self.deadtime_ms,
            initdead=max(4_000, 2 * self.deadtime_ms),
        )

    def haresources(self) -> str:
        """The address comes last: who answers there can also serve."""
        address = f"IPaddr::{GROUP.address}/{FRONT_PREFIX}/{FRONT}"
        return f"pete Filesystem::{self.device}::{GROUP.mount_point}::xfs {address}\n"


class OursDriver(Driver, Failoverd):
    late = " is silent for "

    def files(self) -> dict[str, str]:
        own = (
            "fence_device lab /etc/ha.d/fence_lab ip=192.0.2.1 plug.pete=pete plug.mclaws=mclaws\n"
            f"op_timeout 20\nmonitor_interval {MONITOR_S}\n"
        )
        key = "auth 1\n1 sha1 a-key-of-some-length-9f3c\n"
        return {"ha.cf": self.ha_cf() + own, "haresources": self.haresources(), "authkeys": key}


class HeartbeatDriver(Driver, Heartbeat):
    late = ": is dead"

    def files(self) -> dict[str, str]:
        own = "logfile /etc/ha.d/ha.log\nrealtime off\ncrm no\nstonith_host * external/lab pete,mclaws\n"
        key = "auth 1\n1 sha1 comparison\n"
        return {"ha.cf": own + self.ha_cf(), "haresources": self.haresources(), "authkeys": key}


COROSYNC = f"""\
totem {{
  version: 2
  cluster_name: bench
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: @TOKEN@
  consensus: @CONSENSUS@
}}
nodelist {{
  node {{
    ring0_addr: {PETE.heartbeat_address}
    name: pete
    nodeid: 1
  }}
  node {{
    ring0_addr: {MCLAWS.heartbeat_address}
    name: mclaws
    nodeid: 2
  }}
}}
quorum {{
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 1
}}
system {{
  sched_rr: no
}}
logging {{
  to_logfile: yes
  logfile: /etc/ha.d/corosync.log
  to_syslog: no
}}
"""

CIB = f"""\
<cib validate-with="pacemaker-3.0" epoch="1" num_updates="0" admin_epoch="1">
 <configuration>
  <crm_config><cluster_property_set id="o">
   <nvpair id="o1" name="stonith-enabled" value="true"/><nvpair id="o2" name="stonith-action" value="off"/>
   <nvpair id="o3" name="dc-deadtime" value="2s"/><nvpair id="o4" name="no-quorum-policy" value="stop"/>
  </cluster_property_set></crm_config>
  <nodes><node id="1" uname="pete"/><node id="2" uname="mclaws"/></nodes>
  <resources>
   <group id="g">
    <primitive id="fs" class="ocf" provider="heartbeat" type="Filesystem"><instance_attributes id="fsa">
      <nvpair id="fs1" name="device" value="{{device}}"/>
      <nvpair id="fs2" name="directory" value="{GROUP.mount_point}"/>
      <nvpair id="fs3" name="fstype" value="xfs"/></instance_attributes>
     <operations><op id="fsm" name="monitor" interval="{MONITOR_S}s"/></operations></primitive>
    <primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="ipa">
      <nvpair id="ip1" name="ip" value="{GROUP.address}"/><nvpair id="ip2" name="cidr_netmask" value="24"/>
      <nvpair id="ip3" name="nic" value="{FRONT}"/></instance_attributes>
     <operations><op id="ipm" name="monitor" interval="{MONITOR_S}s"/></operations></primitive>
   </group>
   {{fences}}
  </resources>
  <constraints>
   <rsc_location id="home" rsc="g" node="pete" score="100"/>
   {{bans}}
  </constraints>
  <rsc_defaults><meta_attributes id="d"><nvpair id="d1" name="resource-stickiness" value="1000"/>
  </meta_attributes></rsc_defaults>
 </configuration>
 <status/>
</cib>
"""

FENCE = """<primitive id="f-{name}" class="stonith" type="fence_lab"><instance_attributes id="f-{name}-a">
 <nvpair id="f-{name}-1" name="plug" value="{name}"/><nvpair id="f-{name}-2" name="pcmk_host_list" value="{name}"/>
 <nvpair id="f-{name}-3" name="pcmk_host_check" value="static-list"/>
 </instance_attributes></primitive>"""
BAN = '<rsc_location id="b-{name}" rsc="f-{name}" node="{name}" score="-INFINITY"/>'


class PacemakerDriver(Driver):
    """corosync and Pacemaker, without systemd; each node's fence device runs on the other one."""

    late = "A processor failed"
    idle_deadtime_ms = 1_000  # corosync's default token (corosync.conf(5)); there is no keepalive to set
    name = PACEMAKER
    boot = str(HERE / "boot-pacemaker")
    start_s = 60.0

    def version(self) -> str:
        return ", ".join(package_version(name) for name in ("pacemaker", "corosync", "resource-agents"))

    def files(self) -> dict[str, str]:
        names = (PETE.name, MCLAWS.name)
        fences = "".join(FENCE.format(name=name) for name in names)
        bans = "".join(BAN.format(name=name) for name in names)
        cib = CIB.format(device=self.device, fences=fences, bans=bans)
        # corosync's own rule for consensus: at least 1.2 times the token (corosync.conf(5)).
        times = {"@TOKEN@": self.deadtime_ms, "@CONSENSUS@": self.deadtime_ms * 6 // 5}
        corosync = COROSYNC
        for sign, ms in times.items():
            corosync = corosync.replace(sign, str(ms))
        return {"corosync.conf": corosync, "cib.xml": cib}

    def settled(self, stage: Stage) -> bool:
        return all("S_IDLE" in self._dc(stage, name) or "S_NOT_DC" in self._dc(stage, name) for name in stage.nodes)

    def _dc(self, stage: Stage, name: str) -> str:
        return stage.run(name, ["crmadmin", "-S", name]).stdout

    def standby(self, stage: Stage, name: str) -> None:
        stage.run(name, ["crm_standby", "-N", name, "-v", "on"])

    def leave(self, stage: Stage, name: str) -> None:
        stage.run(name, ["kill", "-TERM", str(stage.nodes[name].daemon_pid)])

    def log(self, stage: Stage, name: str) -> str:
        files = [stage.config(name) / file for file in ("corosync.log", "pacemaker.log")]
        own = "\n".join(stage.nodes[name].log)
        return own + "".join(file.read_text(errors="replace") for file in files if file.exists())

    def status(self, stage: Stage, name: str) -> str:
        return stage.run(name, ["crm_mon", "-1"]).stdout


KEEPALIVED_CONF = f"""\
global_defs {{{{
  router_id {{name}}
  vrrp_version 3
}}}}
vrrp_instance bench {{{{
  state BACKUP
  nopreempt
  interface eth1
  virtual_router_id 51
  priority {{priority}}
  advert_int {{advert}}
  virtual_ipaddress {{{{
    {GROUP.address}/{FRONT_PREFIX} dev {FRONT}
  }}}}
}}}}
"""


class KeepalivedDriver(Driver):
    """VRRP: an address, no disk, no fencing. A node is silent after three advertisements and a skew."""

    late = "Entering MASTER STATE"
    name = KEEPALIVED
    boot = str(HERE / "boot-keepalived")
    start_s = 20.0
    has_disk = False
    has_fence = False

    def version(self) -> str:
        return package_version("keepalived")

    def files(self) -> dict[str, str]:
        return {}

    def furnish(self, config: Path) -> None:
        name = config.parent.name
        # VRRP counts in hundredths of a second (RFC 5798, 5.2.7).
        advert = round(self.deadtime_ms / 3.4 / 1000, 2)
        text = KEEPALIVED_CONF.format(name=name, priority=200 if name == PETE.name else 100, advert=advert)
        (config / "keepalived.conf").write_text(text)

    def settled(self, stage: Stage) -> bool:
        return all(node.daemon_pid for node in stage.nodes.values())

    def standby(self, stage: Stage, name: str) -> None:
        self.leave(stage, name)

    def leave(self, stage: Stage, name: str) -> None:
        stage.run(name, ["kill", "-TERM", str(stage.nodes[name].daemon_pid)])

    def log(self, stage: Stage, name: str) -> str:
        return "\n".join(stage.nodes[name].log)

    def status(self, stage: Stage, name: str) -> str:
        return json.dumps({"running": bool(stage.nodes[name].daemon_pid)})


DRIVERS: dict[str, type[Driver]] = {
    OURS: OursDriver,
    HEARTBEAT: HeartbeatDriver,
    PACEMAKER: PacemakerDriver,
    KEEPALIVED: KeepalivedDriver,
}
NEEDED = {
    HEARTBEAT: "/usr/libexec/heartbeat/heartbeat",
    PACEMAKER: "/usr/sbin/pacemakerd",
    KEEPALIVED: "/usr/sbin/keepalived",
}
