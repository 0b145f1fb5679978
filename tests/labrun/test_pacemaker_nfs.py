"""The HOWTO's service under corosync and Pacemaker in virtual machines: kernels, NFS, and power of their own.

The CIB is what ``failoverctl export-cib`` made of the HOWTO's files. A client writes, with locks, by NFSv3 and v4.1
through a move and a power cut, and everything it was promised is looked up on the disk at the end.
"""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from failover_kit.spec.deadline import boottime_ms
from lab import plan
from lab.client.evidence import Evidence
from lab.client.scene import tell
from lab.howto import proofs
from lab.lab import Lab
from lab.pacemaker_pair import CLUSTER_S, PacemakerPair
from lab.report import Step, Table
from lab.systemd_pair import PATIENCE_S, wait_for

pytestmark = [pytest.mark.root, pytest.mark.release, pytest.mark.usefixtures("able")]

MOUNTS = {"v3": ("/mnt/v3", "3"), "v4": ("/mnt/v4", "4.1")}
CLIENT_S = 2400
"""How long the client may wait in a scene: a takeover, and NFS' 90 s of grace on top."""


@pytest.fixture(scope="module")
def pair(lab_dir: str) -> Iterator[PacemakerPair]:
    with Lab.open(lab_dir, image="pacemaker") as lab:
        made = PacemakerPair(lab)
        made.prepare()
        yield made


def client_of(pair: PacemakerPair, rundir: str) -> Evidence:
    """The client mounts by both versions, and writes and reads from now on."""
    client = pair.lab.kokone
    evidence = Evidence(
        client, rundir, server=plan.CLUSTER_ADDRESS, export=plan.MOUNT_POINT, say=print, now_ms=pair.lab.now_ms
    )
    evidence.install(*pair.nodes)
    for name, (point, version) in MOUNTS.items():
        source = f"{plan.CLUSTER}:{plan.MOUNT_POINT}"
        client.run(["mkdir", "-p", point])
        client.run(["mount", "-t", "nfs", "-o", f"vers={version},hard", source, point], timeout_s=PATIENCE_S)
        evidence.uses_nfs(point, version)
        evidence.start_writer(name, point, extra=("--pace-ms", "150"))
    evidence.start_reader("r4", "/mnt/v4", of="v4")
    evidence.wait_going_on(CLIENT_S)
    return evidence


def start(table: Table, pair: PacemakerPair) -> None:
    with table.step("start", "the exported cluster starts, and pete serves") as step:
        pair.make_cluster()
        step.fact(f"export-cib said:\n{pair.remarks}")
        wait_for(lambda: pair.serves(pair.lab.pete) and pair.well(), "pete serves", pair, timeout_s=CLUSTER_S)
        step.check("both nodes are online, the group runs on pete, and both fence devices run", True)
        cib = ET.fromstring(pair.ask(pair.lab.pete, "cibadmin", "--query").stdout)
        members = [(one.get("provider"), one.get("type")) for one in cib.findall(".//group/primitive")]
        ours = [("failover-kit", name) for name in ("Filesystem", "nfsserver", "exportfs", "IPaddr")]
        step.check("the group has our four agents in the order of haresources", members == ours, seen=str(members))
        devices = [one.get("type") for one in cib.findall(".//primitive[@class='stonith']")]
        step.check("a device of ours for each node", devices == ["fence_wti_ips800"] * 2, seen=str(devices))


def move(table: Table, pair: PacemakerPair, evidence: Evidence) -> None:
    pete, mclaws = pair.nodes
    with table.step("move", "crm_resource --move to mclaws under the client's writers") as step:
        cuts = pair.cuts()
        with evidence.scene("a move", taker=mclaws, limit_s=CLIENT_S) as scene:
            pair.ask(pete, "crm_resource", "--move", "-r", pair.group, "-N", "mclaws")
            scene.mark("the group is moved")
            wait_for(lambda: pair.serves(mclaws), "mclaws serves", pair, timeout_s=CLUSTER_S)
            scene.mark("mclaws serves")
        scene.tell(step)
        pair.ask(pete, "crm_resource", "--clear", "-r", pair.group)
        wait_for(pair.well, "both are well", pair, timeout_s=CLUSTER_S)
        step.check("it stays on mclaws when the constraint is gone", pair.serves(mclaws))
        step.check("nobody was shot for it", pair.cuts() == cuts and not pair.fenced(pete, "pete"))
        evidence.require_locks(mclaws)


def power_cut(table: Table, pair: PacemakerPair, evidence: Evidence) -> None:
    """mclaws serves and loses its power; the cord stays out until pete serves."""
    pete = pair.lab.pete
    with table.step("power", "the active node's power cord is pulled; the survivor fences and takes over") as step:
        with evidence.scene("a power cut", taker=pete, limit_s=CLIENT_S) as scene:
            cut_ms = pair.lab.now_ms()
            pair.lab.pull_cord("mclaws")
            scene.mark("the power cord of mclaws is pulled")
            wait_for(lambda: pair.serves(pete), "pete serves", pair, timeout_s=CLUSTER_S)
            scene.mark("pete serves")
        scene.tell(step)
        done = [one for one in pair.fenced(pete, "mclaws") if one.get("status") == "success"]
        step.check("Pacemaker's history has mclaws fenced by our agent", bool(done), seen=str(done))
        off_before_write(step, pair, cut_ms)
        evidence.require_locks(pete)


def off_before_write(step: Step, pair: PacemakerPair, cut_ms: float) -> None:
    """The relay of mclaws' plug was off before pete wrote anything to the disk, and mclaws wrote nothing more."""
    offset_ms = pair.lab.now_ms() - boottime_ms()
    moved = [event for event in pair.lab.switch.events("switched") if event["t_ms"] + offset_ms >= cut_ms]
    offs = [event for event in moved if event["to"] == "off"]
    plug = plan.MCLAWS.plug
    step.check(
        f"plug {plug} went off, and no other",
        bool(offs) and all(event["outlet"] == plug for event in offs),
        seen=str(moved),
    )
    writes = {
        node.name: [f.t_ms for f in pair.lab.shelf.frames(mac_of=node.name, since_ms=cut_ms) if f.kind == "write"]
        for node in pair.nodes
    }
    step.check("pete wrote afterwards", bool(writes["pete"]))
    off_ms = offs[0]["t_ms"] + offset_ms
    step.check(
        "OFF came before the first write of pete",
        off_ms <= writes["pete"][0],
        seen=f"{writes['pete'][0] - off_ms:.0f} ms before",
    )
    last = writes["mclaws"][-1:] or [cut_ms]
    step.check(
        "mclaws wrote nothing after OFF",
        last[0] <= off_ms,
        seen=f"its last write came {off_ms - last[0]:.0f} ms before",
    )


def comes_back(table: Table, pair: PacemakerPair) -> None:
    with table.step("return", "mclaws gets its power back and joins; nothing goes back to it") as step:
        pair.lab.boot("mclaws", timeout_s=PATIENCE_S * 2)
        wait_for(pair.well, "both are online and everything runs", pair, timeout_s=CLUSTER_S)
        step.check("the group stays on pete", pair.serves(pair.lab.pete))


def audit(table: Table, pair: PacemakerPair, evidence: Evidence, begun_ms: float) -> None:
    """The client ends, the cluster ends, and the disk is looked at with nobody's kernel on it."""
    pete, mclaws = pair.nodes
    with table.step("audit", "the service ends; every acknowledged write is on the disk; it is sound") as step:
        for fact in evidence.require_nfs():
            step.fact(fact)
        complaints = evidence.kernel_complaints()
        step.check("the client's kernel complains of nothing", not complaints, seen="; ".join(complaints)[:400])
        evidence.stop()
        pair.lab.kokone.sh("umount /mnt/v3\numount /mnt/v4\n", timeout_s=PATIENCE_S)
        for node in (mclaws, pete):
            node.run(["systemctl", "stop", "pacemaker", "corosync"], timeout_s=PATIENCE_S)
            mounted = node.run(["mountpoint", "-q", plan.MOUNT_POINT], check=False).code == 0
            step.check(f"{node.name}: the disk is unmounted", not mounted)
        tell(evidence.audit_device(pete, plan.SHELF_DEVICE), step)
        told = pete.run(["xfs_repair", "-n", plan.SHELF_DEVICE], timeout_s=PATIENCE_S, check=False)
        step.check("xfs_repair -n is clean", told.code == 0, seen=f"exit {told.code}: {told.last_line()}")
        frames = {node.name: pair.lab.shelf.frames(mac_of=node.name, since_ms=begun_ms) for node in pair.nodes}
        turns = proofs.turns(frames)
        step.check("one node wrote at each moment", turns == ["pete", "mclaws", "pete"], seen=", ".join(turns))


def test_the_howto_s_nfs_service_under_pacemaker(pair: PacemakerPair, tmp_path: pathlib.Path) -> None:
    begun_ms = pair.lab.now_ms()
    table = Table("NFS under Pacemaker", str(tmp_path), now_ms=pair.lab.now_ms)
    start(table, pair)
    with table.step("client", "the client mounts by NFSv3 and v4.1, and writes under a lock by each"):
        evidence = client_of(pair, str(tmp_path))
    move(table, pair, evidence)
    power_cut(table, pair, evidence)
    comes_back(table, pair)
    audit(table, pair, evidence, begun_ms)
    assert table.passed
