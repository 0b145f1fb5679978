"""The HOWTO's service under corosync and Pacemaker in virtual machines: kernels, NFS, and power of their own.

The CIB is what ``failoverctl export-cib`` made of the HOWTO's files. A client writes, with locks, by NFSv3 and v4.1
through a move and a power cut, and everything it was promised is looked up on the disk at the end.
"""

from __future__ import annotations

import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest

from lab.client.evidence import Evidence
from lab.lab import Lab
from lab.nfs_story import CLIENT_S, audit, client_of, off_before_write
from lab.pacemaker_pair import CLUSTER_S, PacemakerPair
from lab.report import Table
from lab.systemd_pair import PATIENCE_S, wait_for

pytestmark = [pytest.mark.root, pytest.mark.release, pytest.mark.usefixtures("able")]


@pytest.fixture(scope="module")
def pair(lab_dir: str) -> Iterator[PacemakerPair]:
    with Lab.open(lab_dir, image="pacemaker") as lab:
        made = PacemakerPair(lab)
        made.prepare()
        yield made


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


def comes_back(table: Table, pair: PacemakerPair) -> None:
    with table.step("return", "mclaws gets its power back and joins; nothing goes back to it") as step:
        pair.lab.boot("mclaws", timeout_s=PATIENCE_S * 2)
        wait_for(pair.well, "both are online and everything runs", pair, timeout_s=CLUSTER_S)
        step.check("the group stays on pete", pair.serves(pair.lab.pete))


def end(pair: PacemakerPair) -> None:
    for node in (pair.lab.mclaws, pair.lab.pete):
        node.run(["systemctl", "stop", "pacemaker", "corosync"], timeout_s=PATIENCE_S)


def test_the_howto_s_nfs_service_under_pacemaker(pair: PacemakerPair, tmp_path: pathlib.Path) -> None:
    begun_ms = pair.lab.now_ms()
    table = Table("NFS under Pacemaker", str(tmp_path), now_ms=pair.lab.now_ms)
    start(table, pair)
    with table.step("client", "the client mounts by NFSv3 and v4.1, and writes under a lock by each"):
        evidence = client_of(pair, str(tmp_path))
    move(table, pair, evidence)
    power_cut(table, pair, evidence)
    comes_back(table, pair)
    audit(table, pair, evidence, begun_ms, lambda: end(pair))
    assert table.passed
