"""What both disasters have in common: the beginning, a stop that hangs, the outside's account, the timeline."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from failover_kit.spec.deadline import boottime_ms
from lab import plan
from lab.disasters import evidence, files
from lab.disasters.evidence import Timeline
from lab.disasters.pair import START_S, Nodes
from lab.errors import LabError
from lab.guest import Guest
from lab.howto.pair import CTL, until
from lab.report import Step, StepFailed, Table

FREEZE, SAN = "freeze", "san"
BLOCKS = (FREEZE, SAN)
"""How the stop is made to hang: the filesystem frozen by fsfreeze(8), or the node's storage cable pulled."""

HUNG = "hung-stop"
STANDBY_LOG = "/run/standby.log"
DEAD_S = 3600
HANG_S = 5.0
"""The stop is looked at twice, so far apart."""


@dataclass
class Scene:
    """One disaster under way."""

    table: Table
    nodes: Nodes
    block: str
    timeline: Timeline = field(default_factory=Timeline)
    begin_ms: float = 0.0
    cut_ms: float = 0.0
    early: int = 0  # how many records pete had acknowledged when the links were cut
    blocked: bool = False

    def __post_init__(self) -> None:
        self.begin_ms = self.nodes.lab.now_ms()

    def mark(self, who: str, text: str) -> float:
        now_ms = self.nodes.lab.now_ms()
        self.timeline.add(now_ms, who, text)
        return now_ms

    # --- block and unblock -----------------------------------------------------------------------------------

    def hang(self) -> None:
        """Make pete's filesystem one that does not answer a writer."""
        if self.block == FREEZE:
            self.mark("(we)", f"fsfreeze -f {plan.MOUNT_POINT} on pete")
            self.nodes.pete.run(["fsfreeze", "-f", plan.MOUNT_POINT], timeout_s=120)
        else:
            # After three minutes without an answer the aoe driver would fail every request, and the hang would end.
            self.nodes.pete.sh(f"echo {DEAD_S} > /sys/module/aoe/parameters/aoe_deadsecs\n")
            self.mark("(we)", "the storage cable of pete is pulled")
            self.nodes.lab.link("pete", "eth3").down()
        self.blocked = True

    def let_go(self) -> None:
        """The filesystem answers again; not if pete has no power any more."""
        if not self.blocked:
            return
        self.blocked = False
        if self.block == SAN:
            self.mark("(we)", "the storage cable of pete is put back")
            self.nodes.lab.link("pete", "eth3").up()
            return
        self.mark("(we)", f"fsfreeze -u {plan.MOUNT_POINT} on pete")
        try:
            self.nodes.pete.run(["fsfreeze", "-u", plan.MOUNT_POINT], timeout_s=30)
        except LabError as error:
            self.mark("(we)", f"pete does not do it: {str(error).splitlines()[0][:120]}")

    # --- the timeline ----------------------------------------------------------------------------------------

    def collect_said(self, *nodes: Guest) -> None:
        """What failoverd said on these nodes; to be called while they live."""
        for node in nodes:
            recent = self.nodes.status(node)["recent"]
            evidence.add_said(self.timeline, node.name, recent, self.nodes.wall_offset_ms(node))

    def collect_outside(self) -> None:
        lab = self.nodes.lab
        evidence.add_switch(self.timeline, lab.switch.events(), lab.now_ms() - boottime_ms())
        evidence.add_power(self.timeline, lab.power_events())

    def tell(self, step: Step, name: str) -> None:
        """The timeline from the first deed on into the table, and as JSON beside it. Once, at the end."""
        self.collect_outside()
        frames = self.nodes.lab.shelf.frames(since_ms=self.begin_ms)
        for node in plan.NODES:
            evidence.add_shelf(self.timeline, frames, node.name)
        first = min((moment.t_ms for moment in self.timeline.moments if moment.who == "(we)"), default=self.cut_ms)
        for line in self.timeline.lines(self.cut_ms, first):
            step.fact(line)
        os.makedirs(self.table.rundir, exist_ok=True)
        with open(os.path.join(self.table.rundir, f"{name}.timeline.json"), "w", encoding="utf-8") as file:
            file.write(self.timeline.document(self.cut_ms))


# --- steps ----------------------------------------------------------------------------------------------------


def machines(table: Table, nodes: Nodes) -> None:
    for node in nodes.both:
        kernel = node.run(["uname", "-r"]).stdout.strip()
        xfs = node.run(["mkfs.xfs", "-V"]).stdout.strip()
        table.machine(node.name, kernel=kernel, xfsprogs=xfs)


def begin(scene: Scene, number: str, *, fencing: bool) -> None:
    """A pair in good order, pete active, records written."""
    nodes = scene.nodes
    with scene.table.step(number, "the pair runs, pete is active, records are written to the disk") as step:
        nodes.prepare(fencing=fencing)
        what = files.FENCING if fencing else "no fence device"
        step.did(f"both: ha.cf with {what}; haresources: {files.HARESOURCES.strip()}")
        nodes.start(at_boot=fencing)
        if fencing:
            nodes.wait_healthy()
        step.check("the disk is mounted on pete", nodes.mounted(nodes.pete))
        step.check("and not on mclaws", not nodes.mounted(nodes.mclaws))
        count = nodes.wait_acks(nodes.pete, 20, START_S)
        step.fact(f"{count} records acknowledged on pete so far")
        scene.mark("pete", "is active; records are written")


def hung_stop(scene: Scene, number: str) -> None:
    """An operator's standby that cannot end."""
    nodes = scene.nodes
    pete = nodes.pete
    with scene.table.step(number, "standby on pete; its stop hangs, because a writer cannot be killed") as step:
        scene.hang()
        step.did(
            {FREEZE: f"pete: fsfreeze -f {plan.MOUNT_POINT}", SAN: "the cable of pete's eth3 pulled"}[scene.block]
        )
        until("the writer waits in the kernel", lambda: _not_waiting(nodes.writer(pete)), 60)
        writer = nodes.writer(pete)
        step.fact(f"the writer, pid {writer['pid']}, is in state D and waits in {writer['waits_in']}")
        pete.spawn([CTL, "standby"], log=STANDBY_LOG)
        scene.mark("(we)", "failoverctl standby on pete")
        step.did("pete: failoverctl standby")
        nodes.wait("the stop of Filesystem runs on pete", pete, stopping_filesystem, 120)
        until("SIGKILL is pending for the writer", lambda: _not_killed(nodes.writer(pete)), 120)
        for look in ("first", "second"):
            _hangs(step, nodes, look)
            time.sleep(HANG_S if look == "first" else 0)


def stopping_filesystem(status: dict[str, object]) -> bool:
    groups, operations = status["groups"], status["operations"]
    assert isinstance(groups, list) and isinstance(operations, list)
    return groups[0]["state"] == "stopping" and any("stop of Filesystem" in call["what"] for call in operations)


def _not_waiting(writer: dict[str, str]) -> str:
    if not writer:
        return "there is no writer"
    return "" if writer["state"] == "D" else f"it is in state {writer['state']}"


def _not_killed(writer: dict[str, str]) -> str:
    return _not_waiting(writer) or ("" if writer["kill"] == "yes" else "no SIGKILL yet")


def _hangs(step: Step, nodes: Nodes, look: str) -> None:
    """What shows that the stop hangs, looked at now."""
    pete = nodes.pete
    status = nodes.status(pete)
    seen = f"{status['groups'][0]['state']}: {status['groups'][0]['doing']}"
    step.check(f"{look} look: status says that the stop of Filesystem runs", stopping_filesystem(status), seen=seen)
    step.check(f"{look} look: the disk is mounted on pete", nodes.mounted(pete))
    writer = nodes.writer(pete)
    seen = f"state {writer.get('state')}, in {writer.get('waits_in')}, SIGKILL pending: {writer.get('kill')}"
    step.check(f"{look} look: the writer is in state D with SIGKILL pending", not _not_killed(writer), seen=seen)


def cut_links(scene: Scene, number: str, title: str) -> None:
    nodes = scene.nodes
    with scene.table.step(number, title) as step:
        scene.early = len(nodes.acks(nodes.pete))
        for node in nodes.both:
            nodes.wall_offset_ms(node)  # now, because later there is no time for it
        nodes.cut_heartbeat()
        scene.cut_ms = scene.mark("(we)", "eth1 and the null-modem cable are pulled")
        step.did("eth1 has no carrier on either node, the null-modem cable is pulled")


def never(what: Callable[[], str], limit_s: float, *, pause_s: float = 1.0) -> None:
    """``what`` says nothing for that long. StepFailed with what it said."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if wrong := what():
            raise StepFailed(f"nothing of the kind for {limit_s:g} s", wrong)
        time.sleep(pause_s)
