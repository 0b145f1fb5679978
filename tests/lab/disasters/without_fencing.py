"""Disaster two, a demonstration: the same schedule without a fence device, and with a false word of the operator.

First the manager refuses: it does not take over from a node that is only silent. Then somebody who has not looked
says that pete is dead, while its kernel still has the filesystem mounted. What two kernels do to one XFS is written
down as it comes: the shelf's account, the kernels' messages, ``xfs_repair``, and what is left of the records.

Two schedules: ``hung-stop``, the one of disaster one, in which pete writes only what a clean unmount writes; and
``cables``, in which pete has just lost both links and serves on, so that both write all the time.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass

from lab import plan
from lab.disasters import evidence, files, recorder
from lab.disasters.hung_stop import audit
from lab.disasters.pair import BOOT_S, COMMAND_S, START_S, Nodes
from lab.disasters.scene import FREEZE, HUNG, Scene, begin, cut_links, hung_stop, machines, never
from lab.guest import Guest, Result
from lab.howto.pair import CTL
from lab.report import Step, StepFailed, Table

CABLES = "cables"
SCHEDULES = (HUNG, CABLES)
PATIENCE_S = (files.DEADTIME_MS + 2 * files.FENCE_DELAY_MS) / 1000 + 15
"""With a fence device mclaws would have shot by then."""

BOTH_WRITE_COUNT, BOTH_WRITE_LIMIT_S = 200, 120
REPAIR_S = 600
SHOWN_LINES = 12


@dataclass
class Damage:
    """What was found wrong, one sentence each."""

    found: list[str]


def play(table: Table, nodes: Nodes, schedules: tuple[str, ...]) -> None:
    """All steps. Raises StepFailed, LabError."""
    machines(table, nodes)
    for at, schedule in enumerate(schedules):
        table.part(schedule)
        if at:
            nodes.start_over()
        scene = Scene(table, nodes, FREEZE)
        begin(scene, "1", fencing=False)
        if schedule == HUNG:
            hung_stop(scene, "2")
        cut_links(scene, "3", "both heartbeat links go" + (" while the stop hangs" if schedule == HUNG else ""))
        nobody_takes(scene)
        false_word(scene)
        both_have_it(scene, schedule)
        from_outside(scene)
        damage = left_over(scene, schedule)
        with table.step("9", "the order of events") as step:
            scene.tell(step, f"without-fencing-{schedule}")
            for sentence in damage.found:
                step.fact(f"damage: {sentence}")
            step.check("the demonstration demonstrates: the filesystem is damaged", bool(damage.found))


# --- before ---------------------------------------------------------------------------------------------------


def nobody_takes(scene: Scene) -> None:
    """Rule 2: silence is no proof, and there is no fence device to make one."""
    nodes = scene.nodes
    mclaws = nodes.mclaws
    with scene.table.step("4", "mclaws does not take over from a node that is only silent") as step:
        status = nodes.wait("pete is silent for mclaws", mclaws, lambda now: now["peer_state"] == "silent", START_S)
        begun = time.monotonic()
        never(lambda: "mclaws has the disk mounted" if nodes.mounted(mclaws) else "", PATIENCE_S)
        status = nodes.status(mclaws)
        step.fact(f"after {time.monotonic() - begun:.0f} s of silence: {status['health']}: {status['reason']}")
        for hint in status["todo"]:
            step.fact(f"do: {hint}")
        step.check("status says why", "no fence device" in status["reason"], seen=status["reason"])
        hints = " / ".join(status["todo"])
        step.check("and what the operator can do", "confirm-dead pete" in hints, seen=hints)
        frames = nodes.lab.shelf.frames(mac_of="mclaws", since_ms=scene.cut_ms)
        step.check("mclaws has not touched the disk", not evidence.uses(frames), seen=evidence.summary(frames))
        told = mclaws.run([CTL, "confirm-dead", "pete"], timeout_s=COMMAND_S, check=False)
        step.check("confirm-dead asks first", told.code == 2, seen=f"exit {told.code}: {told.last_line()}")


def false_word(scene: Scene) -> None:
    """The operator has not looked. pete's kernel has the filesystem mounted."""
    nodes = scene.nodes
    with scene.table.step("5", "the operator says that pete is dead, which is not true") as step:
        step.check("pete runs", nodes.pete.on)
        scene.mark("(we)", "failoverctl confirm-dead pete --yes on mclaws, a false word")
        told = nodes.mclaws.run([CTL, "confirm-dead", "pete", "--yes"], timeout_s=COMMAND_S, check=False)
        step.did(f"mclaws: failoverctl confirm-dead pete --yes (exit {told.code}: {told.last_line()})")
        started = "mclaws believes it and starts the group"
        nodes.wait(started, nodes.mclaws, lambda now: now["groups"][0]["state"] == "started", START_S)
        nodes.wait_acks(nodes.mclaws, 10, START_S)
        both = {node.name: nodes.mounted(node) for node in nodes.both}
        step.check("both kernels have the filesystem mounted", all(both.values()), seen=str(both))


def both_have_it(scene: Scene, schedule: str) -> None:
    """Two kernels at once, until we stop it. Nothing is required here; what comes is written down."""
    nodes = scene.nodes
    with scene.table.step("6", "two kernels, one filesystem") as step:
        before = {node.name: len(nodes.acks(node)) for node in nodes.both}
        if schedule == HUNG:
            scene.let_go()
            step.did("what hung on pete lets go: its stop goes on and unmounts")
        wrote_s = _let_both_write(nodes, before)
        for node in nodes.both:
            node.run(["pkill", "-TERM", "-f", "recorder.py run"], check=False)
        for node in nodes.both:
            more = len(nodes.acks(node)) - before[node.name]
            state = "mounted" if nodes.mounted(node) else "not mounted"
            step.fact(f"{node.name}: {more} more records acknowledged in {wrote_s} s; the disk is {state} now")
            for line in [*recorder.errors(nodes.acks_text(node)), *xfs_messages(node)][-SHOWN_LINES:]:
                step.fact(f"{node.name}: {line}")
        scene.collect_said(*nodes.both)


def _let_both_write(nodes: Nodes, before: dict[str, int]) -> int:
    """Until each node has acknowledged so many records more, or the time is over: one of them may fail. Seconds."""
    begun = time.monotonic()
    while (passed_s := time.monotonic() - begun) < BOTH_WRITE_LIMIT_S:
        if all(len(nodes.acks(node)) >= before[node.name] + BOTH_WRITE_COUNT for node in nodes.both):
            break
        time.sleep(1)
    return round(passed_s)


def xfs_messages(node: Guest) -> list[str]:
    """The kernel's lines about XFS on the shared disk."""
    text = node.run(["dmesg"], timeout_s=COMMAND_S).stdout
    return [line for line in text.splitlines() if re.search(r"XFS \(etherd/e0\.0\)|XFS: ", line)]


def from_outside(scene: Scene) -> None:
    """The shelf saw both write."""
    lab = scene.nodes.lab
    with scene.table.step("7", "from outside: both write to the shelf") as step:
        frames = lab.shelf.frames(since_ms=scene.cut_ms)
        pete, mclaws = evidence.by_node(frames, "pete"), evidence.by_node(frames, "mclaws")
        first = next((frame.t_ms for frame in evidence.writes(mclaws)), None)
        if first is None:
            raise StepFailed("writes of mclaws", "none reached the shelf")
        after = evidence.between(pete, first, None)
        step.check("pete writes after mclaws began to", bool(evidence.writes(after)), seen=evidence.summary(after))
        step.fact(f"mclaws from then on: {evidence.summary(mclaws)}")
        step.fact(f"the writer changed {evidence.turns(evidence.between(frames, first, None))} times")
        step.fact(f"{evidence.sectors_of_both(after, mclaws)} sectors were written by both")


# --- after ----------------------------------------------------------------------------------------------------


def left_over(scene: Scene, schedule: str) -> Damage:
    """Both off; one boots and looks at the disk as whoever comes to repair it would."""
    nodes = scene.nodes
    damage = Damage([])
    with scene.table.step("8", "what is left: mount, xfs_repair, and the records") as step:
        texts = {node.name: nodes.acks_text(node) for node in nodes.both}
        for node in nodes.both:
            assert node.plan.plug is not None
            nodes.lab.switch.press(node.plan.plug, "off")
        scene.mark("(we)", "both nodes are switched off")
        nodes.lab.boot("mclaws", timeout_s=BOOT_S)
        node = nodes.mclaws
        nodes.await_disk(node)
        _looked_at(scene, step, damage, texts)
        told = _repair(scene, step, schedule, "-n")
        if told.code != 0:
            damage.found.append(f"xfs_repair -n exits {told.code}")
        _repaired(scene, step, schedule, damage, texts)
    return damage


def _looked_at(scene: Scene, step: Step, damage: Damage, texts: dict[str, str]) -> None:
    """Mounted as after any power cut, the log replayed; if that fails, read without the log."""
    node, when = scene.nodes.mclaws, "before any repair"
    told = _mount(step, node, "")
    for line in [*told.stderr.splitlines(), *xfs_messages(node)][:SHOWN_LINES]:
        step.fact(line)
    if told.code != 0:
        damage.found.append(f"the filesystem cannot be mounted: {first_line(told)}")
        told, when = _mount(step, node, "ro,norecovery"), "read without its log"
    if told.code == 0:
        _lost(step, damage, audit(scene.nodes, node, texts), when)
        lines = [line for line in texts["pete"].splitlines(keepends=True) if recorder.acknowledged(line)]
        early = audit(scene.nodes, node, {"pete": "".join(lines[: scene.early])})
        _lost(step, damage, early, f"{when}, from before the links were cut")
        node.run(["umount", plan.MOUNT_POINT], timeout_s=COMMAND_S)


def _mount(step: Step, node: Guest, options: str) -> Result:
    argv = ["mount", "-t", "xfs", *(["-o", options] if options else []), plan.SHELF_DEVICE, plan.MOUNT_POINT]
    told = node.run(argv, timeout_s=COMMAND_S, check=False)
    step.did(f"{node.name}: {' '.join(argv)} (exit {told.code})")
    return told


def first_line(told: Result) -> str:
    """The first line of stderr; the last one only says where to look further."""
    return next((line.strip() for line in told.stderr.splitlines() if line.strip()), "(no output)")


def _repair(scene: Scene, step: Step, schedule: str, *options: str) -> Result:
    """xfs_repair with these options; all it says is kept beside the table, its beginning is in it."""
    argv = ["xfs_repair", *options, plan.SHELF_DEVICE]
    told = scene.nodes.mclaws.run(argv, timeout_s=REPAIR_S, check=False)
    name = f"{schedule}-xfs_repair{''.join(options)}.txt"
    os.makedirs(scene.table.rundir, exist_ok=True)
    with open(os.path.join(scene.table.rundir, name), "w", encoding="utf-8") as file:
        file.write(told.stdout + told.stderr)
    lines = [line for line in (told.stdout + told.stderr).splitlines() if not re.match(r"Phase|\s+- ", line)]
    step.did(f"mclaws: {' '.join(argv)} (exit {told.code}, {len(lines)} lines besides its phases; kept in {name})")
    for line in lines[:SHOWN_LINES]:
        step.fact(line.strip())
    return told


def _repaired(scene: Scene, step: Step, schedule: str, damage: Damage, texts: dict[str, str]) -> None:
    """The repair itself, and what it could not bring back."""
    nodes, node = scene.nodes, scene.nodes.mclaws
    told = _repair(scene, step, schedule)
    if told.code != 0:
        told = _repair(scene, step, schedule, "-L")
    if told.code != 0:
        damage.found.append(f"xfs_repair cannot repair it (exit {told.code})")
        return
    told = _mount(step, node, "")
    if told.code != 0:
        damage.found.append(f"even after the repair it cannot be mounted: {first_line(told)}")
        return
    _lost(step, damage, audit(nodes, node, texts), "after the repair")
    found = node.sh(f"ls {plan.MOUNT_POINT}/lost+found 2>/dev/null | wc -l\n").stdout.strip()
    step.fact(f"lost+found has {found} entries")


def _lost(step: Step, damage: Damage, found: dict[str, dict[str, int]], when: str) -> None:
    for name, count in found.items():
        step.fact(f"{when}: records acknowledged on {name}: {json.dumps(count)}")
        promised, whole = count["acknowledged"], count.get("whole", 0)
        lines = count.get("journal line there", 0)
        if whole < promised:
            damage.found.append(f"{when}: {promised - whole} of {promised} records acknowledged on {name} are lost")
        if lines < promised:
            lost = promised - lines
            damage.found.append(f"{when}: {lost} of {promised} journal lines acknowledged on {name} are lost")
