"""Disaster one: a stop that hangs, and both heartbeat links go. The other node fences first, then it mounts.

pete is active. An operator orders standby there, and the stop cannot end: a writer waits in the kernel for the
filesystem, and no signal reaches it. In the middle of it both heartbeat links fail. mclaws cannot know whether the
stop has ended, so it must not mount before pete has no power.

``thaw`` says whether what hangs lets go before the fence: ``never``; ``before``, some seconds before mclaws would
shoot; ``during``, as soon as mclaws is at the switch. Then either node may be the one that survives; what must hold
is the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from failover_kit.spec.deadline import boottime_ms
from lab import plan
from lab.disasters import evidence, files
from lab.disasters.evidence import Cut
from lab.disasters.pair import BOOT_S, COMMAND_S, RECORDER, START_S, Nodes
from lab.disasters.scene import SAN, Scene, begin, cut_links, hung_stop, machines
from lab.guest import Guest
from lab.howto.pair import INIT, until
from lab.report import Step, StepFailed, Table

NEVER, BEFORE, DURING = "never", "before", "during"
THAWS = (NEVER, BEFORE, DURING)
LEAST_WAIT_MS = files.DEADTIME_MS + 2 * files.FENCE_DELAY_MS - 2 * files.KEEPALIVE_MS
BEFORE_MS = 6_000
SILENT_S = 60
TAKEOVER_S = 300
AUDIT_S = 300
QUIET_S = 8
"""How long the returned node is watched at the end."""


@dataclass
class Outcome:
    """Who lives on, and how the other one was cut."""

    survivor: Guest
    victim: Guest
    cut: Cut


def play(table: Table, nodes: Nodes, block: str, thaw: str) -> None:
    """All steps. Raises StepFailed, LabError."""
    scene = Scene(table, nodes, block)
    machines(table, nodes)
    begin(scene, "1", fencing=True)
    hung_stop(scene, "2")
    cut_links(scene, "3", "both heartbeat links go while the stop hangs")
    outcome = takeover(scene, thaw)
    from_outside(scene, outcome)
    said_why(scene, outcome)
    comes_back(scene, outcome)
    on_disk(scene, outcome)
    with table.step("9", "the order of events") as step:
        scene.tell(step, "hung-stop")


def takeover(scene: Scene, thaw: str) -> Outcome:
    """One node is cut and the other one serves."""
    nodes = scene.nodes
    with scene.table.step("4", "one node fences the other and takes over") as step:
        silent = nodes.wait("mclaws is silent for pete", nodes.pete, _peer_silent, SILENT_S)
        step.fact(f"pete, whose stop hangs, does not shoot: {silent['groups'][0]['state']}")
        scene.collect_said(nodes.pete)
        if thaw != NEVER:
            _thaw(scene, step, thaw)
        outcome = _decided(scene)
        if scene.block == SAN:
            # What pete had not written yet would go out now, were it not off.
            scene.let_go()
            step.did("the cable of pete's eth3 is put back, after the fence")
        if thaw == NEVER:
            step.check(
                "it is pete that was cut", outcome.victim is nodes.pete, seen=f"{outcome.victim.name} was cut"
            )
            waited = outcome.cut.gone_ms - scene.cut_ms
            least = f"at least {LEAST_WAIT_MS} ms: deadtime, and twice fence_delay of the node that is not at home"
            step.check(
                "not before its time", waited >= LEAST_WAIT_MS, expected=least, seen=f"after {waited:.0f} ms"
            )
        survivor = outcome.survivor
        nodes.wait(f"the group runs on {survivor.name}", survivor, _started, TAKEOVER_S)
        scene.mark(survivor.name, "status says: started")
        step.check(f"the disk is mounted on {survivor.name}", nodes.mounted(survivor))
        count = nodes.wait_acks(survivor, 10, START_S)
        step.fact(f"{count} records acknowledged on {survivor.name} by now")
        scene.collect_said(survivor)
    return outcome


def _thaw(scene: Scene, step: Step, thaw: str) -> None:
    lab = scene.nodes.lab
    if thaw == BEFORE:
        left_ms = scene.cut_ms + LEAST_WAIT_MS - BEFORE_MS - lab.now_ms()
        time.sleep(max(0.0, left_ms / 1000))
    else:
        until("a node is at the switch", lambda: "" if _at_the_switch(scene) else "nobody", TAKEOVER_S, 0.1)
    scene.let_go()
    step.did(f"what hung lets go {lab.now_ms() - scene.cut_ms:.0f} ms after the links were cut")


def _at_the_switch(scene: Scene) -> bool:
    """Whether somebody has connected to it since the links were cut."""
    lab = scene.nodes.lab
    offset_ms = lab.now_ms() - boottime_ms()
    return any(event["t_ms"] + offset_ms >= scene.cut_ms for event in lab.switch.events("connect"))


def _decided(scene: Scene) -> Outcome:
    """Wait until one of the two was cut by its outlet."""
    nodes = scene.nodes
    cuts: list[tuple[Guest, Cut]] = []

    def look() -> str:
        events = nodes.lab.power_events()
        for node in nodes.both:
            cut = evidence.cut_by_outlet(events, node.name, scene.cut_ms)
            if cut is not None:
                cuts.append((node, cut))
        return "" if cuts else "both have their power"

    until("a node is cut", look, TAKEOVER_S, 0.2)
    victim, cut = cuts[0]
    return Outcome(nodes.mclaws if victim is nodes.pete else nodes.pete, victim, cut)


def _peer_silent(status: dict[str, object]) -> bool:
    return status["peer_state"] == "silent"


def _started(status: dict[str, object]) -> bool:
    groups = status["groups"]
    return isinstance(groups, list) and groups[0]["state"] == "started"


# --- the proofs -----------------------------------------------------------------------------------------------


def from_outside(scene: Scene, outcome: Outcome) -> None:
    """The account of shelf, switch and keeper: off first, then the other one, and nothing of the dead."""
    nodes, lab = scene.nodes, scene.nodes.lab
    gone_ms = outcome.cut.gone_ms
    mclaws, victim, survivor = nodes.mclaws.name, outcome.victim.name, outcome.survivor.name
    with scene.table.step("5", "from outside: the fence first, then the mount; never two kernels") as step:
        read_off = [m for m in _switched(scene) if m.text == f"plug {outcome.victim.plan.plug} ({victim}) is OFF"]
        when = (
            f"the plug reads OFF {read_off[0].t_ms - gone_ms:.0f} ms after the process was gone"
            if read_off
            else "never"
        )
        step.check(
            "the outlet ended the machine, and read OFF after that",
            bool(read_off) and read_off[0].t_ms >= gone_ms - 1,
            seen=when,
        )
        others = [cut for node in nodes.both if (cut := _cut(scene, node.name)) is not None]
        step.check("one node was cut, once", len(others) == 1, seen=", ".join(cut.node for cut in others))
        frames = lab.shelf.frames(since_ms=scene.cut_ms)
        early = evidence.between(evidence.uses(evidence.by_node(frames, mclaws)), scene.cut_ms, gone_ms)
        step.check("mclaws neither read nor wrote before that", not early, seen=evidence.summary(early))
        if outcome.survivor is nodes.mclaws:
            used = evidence.uses(evidence.by_node(frames, mclaws))
            step.check("mclaws uses the disk now", bool(used))
            step.fact(f"the first frame of mclaws came {used[0].t_ms - gone_ms:.0f} ms after {victim} was gone")
        back_ms = others[0].back_ms
        late = evidence.between(evidence.by_node(frames, victim), gone_ms, back_ms)
        until_when = "until now" if back_ms is None else f"until it was started again, {back_ms - gone_ms} ms later"
        name = f"after it was gone no frame of {victim} arrived, {until_when}"
        step.check(name, not late, seen=evidence.summary(late))
        turns = evidence.turns(frames)
        step.check("the disk changed hands at most once", turns <= 1, seen=f"{turns} times; {survivor} writes")
        step.fact(f"of {len(frames)} frames: pete {evidence.summary(evidence.by_node(frames, 'pete'))}; "
                  f"mclaws {evidence.summary(evidence.by_node(frames, mclaws))}")  # fmt: skip


def _switched(scene: Scene) -> list[evidence.Moment]:
    scene.collect_outside()
    return [moment for moment in scene.timeline.since(scene.cut_ms) if moment.who == plan.SWITCH]


def _cut(scene: Scene, node: str) -> Cut | None:
    return evidence.cut_by_outlet(scene.nodes.lab.power_events(), node, scene.cut_ms)


def said_why(scene: Scene, outcome: Outcome) -> None:
    """The survivor says what happened."""
    survivor, victim = outcome.survivor, outcome.victim.name
    with scene.table.step("6", f"status on {survivor.name} says why") as step:
        status = scene.nodes.status(survivor)
        step.fact(f"{status['health']}: {status['reason']}")
        step.fact(f"group: {status['groups'][0]['doing']}; right: epoch {status['groups'][0]['right']}")
        log = [moment.text for moment in scene.timeline.since(scene.cut_ms) if moment.who == survivor.name]
        wanted = [f"{victim} is silent", f"fencing {victim}", f"{victim} is fenced: all its plugs read OFF"]
        places = [next((at for at, text in enumerate(log) if words in text), -1) for words in wanted]
        good = -1 not in places and places == sorted(places)
        step.check("silent, fencing, fenced, in this order", good, seen=" / ".join(log)[-600:])


def comes_back(scene: Scene, outcome: Outcome) -> None:
    """The cut node gets its power back, boots, joins, and leaves everything alone."""
    nodes, victim = scene.nodes, outcome.victim
    with scene.table.step("7", f"{victim.name} comes back and is passive") as step:
        scene.let_go()
        until(f"{victim.name} has power again", lambda: "" if victim.on else "off", START_S)
        victim.wait_ready(BOOT_S)
        nodes.heal_heartbeat()
        scene.mark("(we)", "both cables are put back")
        step.did("both heartbeat cables put back")
        nodes.start_recorder(victim)
        nodes.wait_healthy(BOOT_S)
        scene.mark("(we)", "both nodes say: healthy")
        step.check(f"the group runs on {outcome.survivor.name}", _started(nodes.status(outcome.survivor)))
        time.sleep(QUIET_S)
        step.check(f"the disk is not mounted on {victim.name}", not nodes.mounted(victim))
        cut = _cut(scene, victim.name)
        back_ms = None if cut is None else cut.back_ms
        if back_ms is None:
            raise StepFailed(f"a record of {victim.name}'s start", "there is none")
        frames = nodes.lab.shelf.frames(mac_of=victim.name, since_ms=back_ms)
        step.check(f"and {victim.name} writes nothing", not evidence.writes(frames), seen=evidence.summary(frames))
        scene.collect_said(*nodes.both)


def on_disk(scene: Scene, outcome: Outcome) -> None:
    """Every acknowledged record is there, and the filesystem is whole."""
    nodes, survivor = scene.nodes, outcome.survivor
    with scene.table.step("8", "acknowledged records are on the disk; the filesystem is clean") as step:
        found = audit(nodes, survivor)
        for name, count in found.items():
            expected = count["acknowledged"]
            good = count.get("whole", 0) == expected == count.get("journal line there", 0)
            step.check(f"all {expected} records acknowledged on {name} are whole", good, seen=json.dumps(count))
        step.check("records of pete are among them", found.get("pete", {}).get("acknowledged", 0) > 0)
        for node in (outcome.victim, survivor):
            node.run([INIT, "stop"], timeout_s=TAKEOVER_S)
        step.did("failoverd ended on both, the passive node first")
        step.check("the disk is mounted nowhere", not any(nodes.mounted(node) for node in nodes.both))
        told = survivor.run(["xfs_repair", "-n", plan.SHELF_DEVICE], timeout_s=COMMAND_S, check=False)
        seen = f"exit {told.code}: {told.last_line()}"
        step.check("xfs_repair -n finds nothing", told.code == 0, seen=seen)


def audit(nodes: Nodes, node: Guest, texts: Mapping[str, str] | None = None) -> dict[str, dict[str, int]]:
    """The fate of what was acknowledged on both nodes, looked at on ``node``, where the disk is mounted.

    ``texts``: the acknowledgements by node; fetched from the nodes when None.
    """
    found_texts = {other.name: nodes.acks_text(other) for other in nodes.both} if texts is None else texts
    names = []
    for name, text in found_texts.items():
        names.append(f"/run/acks-{name}")
        node.put(names[-1], text)
    argv = ["/usr/bin/python3", RECORDER, "audit", "--mount", plan.MOUNT_POINT, *names]
    found: dict[str, dict[str, int]] = json.loads(node.run(argv, timeout_s=AUDIT_S).stdout)
    return found
