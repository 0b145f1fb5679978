"""The client of a story about the HOWTO's NFS service, and what must be true of the disk at its end."""

from __future__ import annotations

from collections.abc import Callable

from failover_kit.spec.deadline import boottime_ms
from lab import plan
from lab.client.evidence import Evidence
from lab.client.scene import tell
from lab.howto import proofs
from lab.report import Step, Table
from lab.systemd_pair import PATIENCE_S, Pair

MOUNTS = {"v3": ("/mnt/v3", "3"), "v4": ("/mnt/v4", "4.1")}
CLIENT_S = 2400
"""How long the client may wait in a scene: a takeover, and NFS' 90 s of grace on top."""


def client_of(pair: Pair, rundir: str) -> Evidence:
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


def off_before_write(step: Step, pair: Pair, cut_ms: float) -> None:
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


def audit(table: Table, pair: Pair, evidence: Evidence, begun_ms: float, end: Callable[[], None]) -> None:
    """The client ends, ``end`` ends the cluster, and the disk is looked at with nobody's kernel on it.

    The service was on pete, then on mclaws, and at last on pete again.
    """
    pete, mclaws = pair.nodes
    with table.step("audit", "the service ends; every acknowledged write is on the disk; it is sound") as step:
        for fact in evidence.require_nfs():
            step.fact(fact)
        complaints = evidence.kernel_complaints()
        step.check("the client's kernel complains of nothing", not complaints, seen="; ".join(complaints)[:400])
        evidence.stop()
        pair.lab.kokone.sh("umount /mnt/v3\numount /mnt/v4\n", timeout_s=PATIENCE_S)
        end()
        for node in (mclaws, pete):
            mounted = node.run(["mountpoint", "-q", plan.MOUNT_POINT], check=False).code == 0
            step.check(f"{node.name}: the disk is unmounted", not mounted)
        tell(evidence.audit_device(pete, plan.SHELF_DEVICE), step)
        told = pete.run(["xfs_repair", "-n", plan.SHELF_DEVICE], timeout_s=PATIENCE_S, check=False)
        step.check("xfs_repair -n is clean", told.code == 0, seen=f"exit {told.code}: {told.last_line()}")
        frames = {node.name: pair.lab.shelf.frames(mac_of=node.name, since_ms=begun_ms) for node in pair.nodes}
        turns = proofs.turns(frames)
        step.check("one node wrote at each moment", turns == ["pete", "mclaws", "pete"], seen=", ".join(turns))
