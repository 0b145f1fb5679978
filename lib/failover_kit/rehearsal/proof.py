"""The proof after each scene: never two holders, every acknowledged record, status that tells the truth.

The same for every group of the pair, and for every scene.
"""

from __future__ import annotations

import time

from failover_kit.rehearsal import ledger, status
from failover_kit.rehearsal.ledger import Span
from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.plan import GROUP, HEARTBEAT, SERIAL, GroupPlan, peer_of
from failover_kit.rehearsal.records import missing
from failover_kit.rehearsal.stage import POLL_S, SceneFailed, Stage
from failover_kit.rehearsal.status import Status, StatusError
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline

TRUTH_MS = 12_000
"""How long status may take to catch up with the end of a scene: initdead, and a monitor."""


def prove(stage: Stage) -> list[str]:
    """What is proved of everything so far, a sentence each. Raises SceneFailed."""
    problems = audit(stage.world)
    if problems:
        raise SceneFailed("; ".join(problems))
    starts = sum(call.verb == "start" and call.what == "begin" for call in stage.world.attempts())
    groups = [spans_of(stage.world, group) for group in stage.world.setup.groups]
    count = sum(map(len, groups))
    several = "1 span" if count == 1 else f"{count} spans, none overlaps"
    whose = "" if len(groups) == 1 else " of the same group"
    proofs = [f"never two holders{whose}: {starts} start attempts in {several}"]
    proofs += [prove_records(stage, group) for group in stage.world.setup.groups]
    require_truth(stage)
    return [*proofs, "status on both nodes tells the truth"]


def spans_of(world: World, group: GroupPlan) -> list[Span]:
    """When which node held the group."""
    calls = [call for call in world.attempts() if call.resource in group.resources]
    return ledger.held(calls, world.power(), group.number)


def audit(world: World) -> list[str]:
    """What the ledger has against this run so far, a sentence each; empty when nothing."""
    power = world.power()
    found = []
    for group in world.setup.groups:
        spans = spans_of(world, group)
        seen = [entry for entry in world.sightings() if entry.thing in (group.disk, group.cluster_address)]
        about = "" if group is GROUP else f"{group.mount_point}: "
        found += [about + sentence for sentence in ledger.overlaps(spans) + ledger.strays(seen, spans, power)]
    known = {resource for group in world.setup.groups for resource in group.resources}
    strangers = sorted({call.resource for call in world.attempts()} - known)
    return found + [f"{resource} was called, which is in no group" for resource in strangers]


def prove_records(stage: Stage, group: GroupPlan = GROUP) -> str:
    """That every acknowledged record is in the file on the disk, a sentence. Raises SceneFailed."""
    acknowledged = list(stage.world.acknowledgements(group).read())
    holder = stage.node(stage.holder(group))
    with open(holder.root + group.records_file, encoding="ascii") as file:
        lost = missing(acknowledged, file.read())
    whose = "" if group is GROUP else f" of {group.client}"
    if lost:
        raise SceneFailed(
            f"{len(lost)} acknowledged records{whose} are not in the file, the first is {lost[0]}"
        )
    return f"all {len(acknowledged)} acknowledged records{whose} are on {group.disk} of {holder.name}"


def require_truth(stage: Stage) -> None:
    """What both nodes say of themselves must come to agree with what is so. Raises SceneFailed."""
    deadline = Deadline(TRUTH_MS)
    while True:
        wrong = [lie for name in stage.world.nodes for lie in lies(stage, name)]
        if not wrong:
            return
        if deadline.expired():
            raise SceneFailed("status does not tell the truth: " + "; ".join(wrong))
        time.sleep(POLL_S)


def lies(stage: Stage, name: str) -> list[str]:
    """Where the node's status differs from what is so. Both nodes are expected to be on."""
    try:
        says = stage.status(name)
    except StatusError as error:
        return [f"{name}: {error}"]
    groups = stage.world.setup.groups
    wrong = [lie for group in groups for lie in _lies_of_group(stage, says, group)]
    peer = stage.node(peer_of(name))
    links = {SERIAL: stage.world.cable.connected, HEARTBEAT: stage.world.network.heartbeat_connected()}
    audible = peer.on and peer.daemon_pid != 0
    if (says.peer_state == "up") != (audible and any(links.values())):
        wrong.append(f"{name} says {peer.name} is {says.peer_state}")
    for link, connected in links.items():
        if bool(says.links.get(link)) != (audible and connected):
            wrong.append(f"{name} says link {link} is {'up' if says.links.get(link) else 'silent'}")
    well = audible and all(links.values()) and all(map(stage.serving, groups))
    if (says.health == "healthy") != well:
        wrong.append(f"{name} says {says.health} ({says.reason})")
    if says.exit_code != status.EXIT_CODES.get(says.health):
        wrong.append(f"status on {name} says {says.health} and exits {says.exit_code}")
    return wrong


def _lies_of_group(stage: Stage, says: Status, group: GroupPlan) -> list[str]:
    here = parts_on(stage, says.node, group)
    state = says.groups[group.number].state
    true = (state == "started") == all(here.values()) and (state == "stopped") == (not any(here.values()))
    return [] if true else [f"{says.node} says {state}, and there is {here}"]


def parts_on(stage: Stage, name: str, group: GroupPlan = GROUP) -> dict[str, bool]:
    """Which parts of the group are really there on a node that is on."""
    node = stage.node(name)
    seen = [s for s in node.sightings if s.boot == node.boot and s.thing == group.cluster_address]
    return {
        "disk": stage.world.mounted_on(node, group),
        "address": bool(seen) and seen[-1].present,
        "service": service_pid(node, group) != 0,
    }


def service_pid(node: Node, group: GroupPlan = GROUP) -> int:
    """The pid of the group's ``recordd`` inside the node, 0 when it does not run."""
    try:
        with open(node.root + group.pid_file, encoding="ascii") as file:
            pid = int(file.read())
        with open(f"{node.root}/proc/{pid}/cmdline", "rb") as command:
            return pid if b"recordd.py\0serve" in command.read() else 0
    except (OSError, ValueError):
        return 0
