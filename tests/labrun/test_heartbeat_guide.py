"""docs/howto/from-heartbeat.md typed on two virtual machines with systemd: from Heartbeat to failoverd, and back.

The service is the HOWTO's, NFS on the AoE disk. A client writes, with locks, by NFSv3 and v4.1 all the while, and
everything it was promised is looked up on the disk at the end.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from lab.client.evidence import Evidence
from lab.heartbeat_pair import HeartbeatPair
from lab.lab import Lab
from lab.nfs_story import CLIENT_S, audit, client_of, off_before_write
from lab.report import Table
from lab.systemd_pair import PATIENCE_S, wait_for

pytestmark = [pytest.mark.root, pytest.mark.release, pytest.mark.usefixtures("able")]

SCRIPTS, GUIDE = "with-heartbeat.md", "from-heartbeat.md"


@pytest.fixture(scope="module")
def pair(lab_dir: str) -> Iterator[HeartbeatPair]:
    with Lab.open(lab_dir, image="heartbeat") as lab:
        made = HeartbeatPair(lab)
        made.prepare()
        yield made


def start(table: Table, pair: HeartbeatPair) -> None:
    with table.step("start", "our scripts in resource.d, and Heartbeat started on both; pete serves") as step:
        pair.play(SCRIPTS, "Install", "Start")
        wait_for(lambda: pair.serves(pair.lab.pete), "pete serves", pair)
        step.check("nobody was shot for it", not pair.cuts(), seen=str(pair.cuts()))


def passive(table: Table, pair: HeartbeatPair, evidence: Evidence) -> None:
    pete, mclaws = pair.nodes
    with table.step("passive", "mclaws leaves Heartbeat and gets failoverd; pete serves on") as step:
        pair.play(GUIDE, "Before", "The passive node")
        evidence.wait_going_on(CLIENT_S)
        step.check("pete serves, and mclaws does not", pair.serves(pete) and not pair.serves(mclaws))
        found = (pair.managers(pete), pair.managers(mclaws))
        as_told = found == ({"heartbeat"}, {"failoverd"})
        step.check("Heartbeat on pete, failoverd on mclaws", as_told, seen=str(found))


def active(table: Table, pair: HeartbeatPair, evidence: Evidence) -> None:
    pete, mclaws = pair.nodes
    with table.step("active", "pete goes over, too; clients wait from here until the group has started") as step:
        with evidence.scene("to failoverd", taker=pete, limit_s=CLIENT_S) as scene:
            pair.play(GUIDE, "The active node")
            scene.mark("both are healthy")
        scene.tell(step)
        found = (pair.managers(pete), pair.managers(mclaws))
        step.check("failoverd on both", found == ({"failoverd"}, {"failoverd"}), seen=str(found))
        evidence.require_locks(pete)
    with table.step("move", "the page's standby") as step:
        with evidence.scene("a standby", taker=mclaws, limit_s=CLIENT_S) as scene:
            pair.play(GUIDE, "Afterwards")
        scene.tell(step)
        step.check("nobody was shot so far", not pair.cuts(), seen=str(pair.cuts()))
        evidence.require_locks(mclaws)


def power_cut(table: Table, pair: HeartbeatPair, evidence: Evidence) -> None:
    """mclaws serves and loses its power; the cord stays out until pete serves."""
    pete = pair.lab.pete
    with table.step("power", "the active node's power cord is pulled; the same files fence") as step:
        with evidence.scene("a power cut", taker=pete, limit_s=CLIENT_S) as scene:
            cut_ms = pair.lab.now_ms()
            pair.lab.pull_cord("mclaws")
            wait_for(lambda: pair.serves(pete), "pete serves", pair)
            scene.mark("pete serves")
        scene.tell(step)
        off_before_write(step, pair, cut_ms)
        evidence.require_locks(pete)
    with table.step("return", "mclaws gets its power back and is passive"):
        pair.lab.boot("mclaws", timeout_s=PATIENCE_S * 2)
        wait_for(pair.healthy, "both are healthy", pair)


def back(table: Table, pair: HeartbeatPair, evidence: Evidence) -> None:
    pete, mclaws = pair.nodes
    with table.step("back", "the way back to Heartbeat") as step:
        cuts = pair.cuts()
        with evidence.scene("the way back", taker=pete, limit_s=CLIENT_S) as scene:
            pair.play(GUIDE, "The way back")
            wait_for(lambda: pair.serves(pete), "pete serves", pair)
            scene.mark("pete serves")
        scene.tell(step)
        found = (pair.managers(pete), pair.managers(mclaws))
        step.check("Heartbeat on both", found == ({"heartbeat"}, {"heartbeat"}), seen=str(found))
        step.check("nobody was shot for it", pair.cuts() == cuts)
        evidence.require_locks(pete)


def end(pair: HeartbeatPair) -> None:
    for node in (pair.lab.mclaws, pair.lab.pete):
        node.run(["systemctl", "stop", "heartbeat"], timeout_s=PATIENCE_S)


def test_the_guide_from_heartbeat_and_back(pair: HeartbeatPair, tmp_path: pathlib.Path) -> None:
    begun_ms = pair.lab.now_ms()
    table = Table("From Heartbeat to failoverd", str(tmp_path), now_ms=pair.lab.now_ms)
    start(table, pair)
    with table.step("client", "the client mounts by NFSv3 and v4.1, and writes under a lock by each"):
        evidence = client_of(pair, str(tmp_path))
    passive(table, pair, evidence)
    active(table, pair, evidence)
    power_cut(table, pair, evidence)
    back(table, pair, evidence)
    audit(table, pair, evidence, begun_ms, lambda: end(pair))
    assert table.passed
