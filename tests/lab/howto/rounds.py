"""Between the rounds and after them: the service ends in good order, others are configured, all is proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab import plan
from lab.client.scene import tell
from lab.howto import client, files, prepare, proofs
from lab.howto.configure import FOLDER
from lab.howto.pair import JOURNAL, SERVE_S, Pair, brief
from lab.howto.scenes import CLIENT_S, start
from lab.report import Step, Table

if TYPE_CHECKING:
    from lab.guest import Guest


def change(table: Table, pair: Pair, active: Guest) -> None:
    """From the document's resources to ours, with the client waiting: same mounts, same open files, same locks."""
    with table.step("13", "haresources as we recommend: our agents, the address last") as step:
        before_ms = round(float(pair.kokone.get("/proc/uptime").split()[0]) * 1000)
        with pair.evidence.scene("other resources", taker=pair.pete, limit_s=CLIENT_S) as scene:
            scene.mark("the service is stopped on both nodes")
            step.did(f"failoverd is stopped: {pair.other(active).name} first, then {active.name}")
            pair.stop_managers(active)
            for node in pair.nodes:
                step.check(f"{node.name}: the disk is unmounted", not pair.mounted(node))
            leave_document(step, pair)
            configure(step, pair)
            length = pair.log_lines(pair.pete)
            pair.start_managers()
            pair.wait_started(pair.pete, length, SERVE_S)
            pair.wait_served_by(pair.pete)
            scene.mark("pete serves with the new resources")
            pair.wait_mac_of(pair.pete)
        scene.tell(step)
        client.promises_kept(step, pair, pair.pete)
        pair.evidence.require_locks(pair.pete)
        step.check("every lock of the client is held on pete", True)
        complaints = pair.evidence.kernel_complaints(before_ms)
        step.check("the client's kernel complains of nothing", not complaints, seen="; ".join(complaints)[:400])


def leave_document(step: Step, pair: Pair) -> None:
    """Undo what only the init scripts needed; the agents do it themselves."""
    step.did(f"both: /var/lib/nfs is a directory again; {files.NFS_CONF_PATH}, scope lines and exports are removed")
    pair.script_on_both(prepare.UNLINK + f"rm {files.NFS_CONF_PATH}\n: > /etc/exports\n")
    for node in pair.nodes:
        text = node.get(files.DEFAULTS_PATH).decode()
        step.check(f"{node.name}: the scope line was there", files.SCOPE in text)
        node.put(files.DEFAULTS_PATH, text.replace(files.SCOPE, ""))


def configure(step: Step, pair: Pair) -> None:
    """The recommended haresources onto both nodes, checked."""
    pair.put_on_both(f"{FOLDER}/haresources", files.RECOMMENDED)
    for line in files.RECOMMENDED.splitlines():
        step.did(f"both: {line.strip()}")
    for node, told in zip(pair.nodes, pair.on_both(["failoverd", "--check"], check=False), strict=True):
        step.check(f"{node.name}: it loads", told.code == 0, seen=brief(told.stdout + told.stderr))


def start_recommended(table: Table, pair: Pair) -> None:
    """The recommended resources from the beginning, when the document's round is left out."""
    with table.step("13", "haresources as we recommend: our agents, the address last") as step:
        configure(step, pair)
    start(table, pair)


def finish(table: Table, pair: Pair, active: Guest, begun_ms: float, turns: list[str]) -> None:
    """The client ends, the service ends, and the disk is looked at with nobody's kernel on it."""
    with table.step("21", "the client ends; everything it was promised is on the disk") as step:
        pair.evidence.stop()
        step.did("kokone: the writers, readers and the walk end, both mounts are unmounted")
        pair.kokone.sh("umount /mnt/v3; umount /mnt/v4\n", timeout_s=SERVE_S)
        step.did(f"failoverd is stopped: {pair.other(active).name} first, then {active.name}")
        pair.stop_managers(active)
        for node in pair.nodes:
            step.check(f"{node.name}: the disk is unmounted", not pair.mounted(node))
        step.did(
            f"{active.name}: {plan.SHELF_DEVICE} mounted read-only, without log recovery: every promise looked up"
        )
        tell(pair.evidence.audit_device(active, plan.SHELF_DEVICE), step)
    with table.step("8", "xfs_repair -n finds nothing; one node wrote at each moment of the story") as step:
        told = active.run(["xfs_repair", "-n", plan.SHELF_DEVICE], timeout_s=SERVE_S, check=False)
        step.check("xfs_repair -n is clean", told.code == 0, seen=f"exit {told.code}: {told.last_line()}")
        frames = {node.name: pair.lab.shelf.frames(mac_of=node.name, since_ms=begun_ms) for node in pair.nodes}
        seen = proofs.turns(frames)
        step.check(
            f"the nodes wrote in turn: {', '.join(turns)}",
            seen == turns,
            expected=", ".join(turns),
            seen=", ".join(seen),
        )
        step.fact(f"the witness saw {pair.lab.shelf.testify().count} frames and lost none")
    with table.step("15", "every decision of both managers comes out alike when it is replayed") as step:
        for node in pair.nodes:
            told = pair.ctl(node, "replay", JOURNAL, check=False)
            step.check(f"{node.name}: failoverctl replay", told.code == 0, seen=told.last_line())
