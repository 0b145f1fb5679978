"""A schedule of the small world, told for people: what happens, what is on the wire, what each node believes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    Fence,
    Note,
    Persist,
    PowerOn,
    ReadPlugs,
    Reply,
    SelfReset,
    Start,
    Stop,
)
from failover_kit.manager.records import Beat, GroupRecord, NodeRecord
from failover_kit.manager.states import PeerState
from sim.explore import PRELUDE_BUDGET, begin, settle, short_intervals
from sim.smalllanes import SETTLE, Lane
from sim.smallparts import NODES, Violation
from sim.smallworld import TIME_PASSES, World


@dataclass(slots=True)
class Step:
    """One step of a schedule and what came of it."""

    sentence: str  # the search's name of it
    number: int  # counted from the beginning of the search; 0 = leads to it
    title: str = ""
    did: list[str] = field(default_factory=list)  # what the nodes did, in order
    believes: list[str] = field(default_factory=list)  # by node, where it changed
    violation: str = ""
    impossible: bool = False  # it could not happen: the core never asked for what it answers


# --- what is said and believed -------------------------------------------------------------------------


def claimed(beat: Beat) -> str:
    """What a beat says, in a few words."""
    parts = []
    for claim in beat.groups:
        words = [f"{claim.name} {claim.state.value}"]
        words.append(f"right by epoch {claim.right}" if claim.right else "no right")
        if claim.grant:
            to = f"to {claim.grant_nonce}" if claim.grant_nonce else "not durable yet, to nobody"
            words.append(f"granted away as epoch {claim.grant} ({to})")
        if claim.fence_me:
            words.append("cannot stop it: fence me")
        if claim.want:
            words.append("asks for it")
        parts.append(", ".join(words))
    if not beat.hears:
        parts.append("I do not hear you")
    if beat.leaving:
        parts.append("leaving")
    return "; ".join(parts)


_PEER = {
    PeerState.NEVER_HEARD: "was never heard",
    PeerState.UP: "is up",
    PeerState.SILENT: "is silent",
    PeerState.FENCING: "is being fenced",
    PeerState.FENCED: "is fenced",
    PeerState.CONFIRMED_DEAD: "is confirmed dead",
}


def _right(record: GroupRecord, durable: GroupRecord) -> str:
    if record.grant:
        pending = "" if durable.grant == record.grant else ", not on its disk yet"
        return f"no right (granted away as epoch {record.grant}{pending})"
    if not record.right:
        pending = f" (its disk still says epoch {durable.right})" if durable.right else ""
        return f"no right{pending}"
    pending = "" if durable.right == record.right else ", not on its disk yet"
    return f"right by epoch {record.right}{pending}"


def believed(world: World, index: int) -> str:
    """What a node believes of the groups and of its peer, and what is true where that is something else."""
    core = world.cores[index]
    if not world.up[index]:
        return "without power" if not world.plugs[index] else "off, its plugs have power"
    if core is None:
        return f"no failoverd runs; its disk: {_on_disk(world.disks[index])}{_truly(world, index)}"
    parts = [
        f"{name} {group.state.value}, {_right(core.wanted_groups[name], core.durable_groups[name])}"
        for name, group in core.groups.items()
    ]
    todo = core.view(world.clock[index]).todo if world.setting.status else ()
    parts.append(f"{NODES[1 - index]} {_PEER[core.peer_state]}{_truly(world, index)}")
    return "; ".join(parts) + "".join(f"; its status asks: “{text}”" for text in todo)


def _truly(world: World, index: int) -> str:
    core = world.cores[index]
    said = []
    for name, level in zip(world.setting.groups, world.resources[index], strict=True):
        if level and (core is None or core.groups[name].state.value in ("stopped", "unknown")):
            said.append(f"; in truth {'some of ' if level == 1 else ''}{name} still runs here")
    return "".join(said)


def _on_disk(record: NodeRecord | None) -> str:
    if record is None:
        return "empty"
    return "; ".join(
        f"{g.name} " + (f"right by epoch {g.right}" if g.right else "no right")
        + (f", granted away as epoch {g.grant}" if g.grant else "")
        for g in record.groups
    )


def _written(world: World, index: int, record: NodeRecord) -> str:
    before = {g.name: g for g in world.disks[index].groups} if world.disks[index] is not None else {}  # type: ignore[union-attr]
    news = []
    for group in record.groups:
        old = before.get(group.name, GroupRecord(name=group.name))
        if group.right != old.right:
            news.append(f"right {group.right or 'none'}")
        if group.grant != old.grant and group.grant:
            news.append(f"granted as epoch {group.grant} to {group.grant_nonce}")
        if group.held and not old.held:
            news.append("the intent to start")
        if group.moving and not old.moving:
            news.append("a move is ordered")
    if record.shot_pending and not (world.disks[index] and world.disks[index].shot_pending):  # type: ignore[union-attr]
        news.append("a shot is coming")
    return f"hands a record to its disk ({'; '.join(news)})" if news else ""


def _acted(world: World, index: int, action: Action) -> str:
    """An action in words; "" for what would only lengthen the page."""
    node, peer = NODES[index], NODES[1 - index]
    match action:
        case Note():
            return f"{node}: “{action.text}”"
        case Persist():
            text = _written(world, index, action.record) if world.setting.slow_disks else ""
            return f"{node} {text}" if text else ""
        case Start():
            by = f"by epoch {action.epoch}" if action.epoch else "by no right at all"
            return f"**{node} starts {action.group}**, {by}"
        case Stop():
            return f"{node} orders the stop of {action.group}"
        case Fence() if action.only_if_off:
            return f"{node} asks the switch whether the plugs of {peer} read OFF already; no other is switched"
        case Fence():
            return f"**{node} tells the switch to cut {peer}**"
        case PowerOn():
            return f"{node} tells the switch to give {peer} its power"
        case ReadPlugs():
            return f"{node} asks the switch how the plugs of {peer} are"
        case CancelPowerOn():
            return f"{node} calls that power-on off"
        case Reply():
            return f"{node} answers the operator: {action.code.name.lower().replace('_', ' ')}, “{action.text}”"
        case SelfReset():
            return f"{node} resets itself: {action.reason}"
        case Exit():
            return f"failoverd on {node} ends"
    return ""


# --- titles --------------------------------------------------------------------------------------------


_PLAIN = {
    "its next beat is due": "{node} sends its next beat.",
    "hears nothing for deadtime": "Nothing reaches {node} for longer than deadtime: every beat of {peer} is lost.",
    "does not run for longer than deadtime": "failoverd on {node} does not run for longer than deadtime (SIGSTOP, "
    "swapping, a slow hypervisor).",
    "the record is on its disk": "The record of {node} is on its disk.",
    "its start succeeds": "The start on {node} succeeds.",
    "its start fails": "The start on {node} fails, and leaves something running.",
    "its stop succeeds": "The stop on {node} reports success.",
    "its stop fails": "The stop on {node} fails.",
    "its probe succeeds": "{node} has looked what runs there.",
    "its shot is read back OFF": "{node} reads the plugs of {peer} back: OFF.",
    "its shot is read back OFF, falsely": "{node} reads back OFF. The plugs are not those of {peer}, which "
    "lives on.",
    "its start of web succeeds": "The start of web on {node} succeeds.",
    "its start of files succeeds": "The start of files on {node} succeeds.",
    "its stop of web succeeds": "The stop of web on {node} reports success.",
    "boots": "{node} boots.",
    "loses its power": "{node} loses its power.",
    "failoverd starts": "failoverd starts on {node}.",
    "failoverd dies": "failoverd dies on {node} (SIGKILL); what was not on its disk is gone.",
    "failoverd dies (its disk has the new record)": "failoverd dies on {node} (SIGKILL); its record has just "
    "reached the disk.",
    "failoverd dies and loses its state directory": "failoverd dies on {node}, and its state directory is lost.",
    "failoverd is asked to end": "failoverd on {node} is asked to end (systemctl stop).",
}


def _title(world: World, sentence: str) -> str:
    if sentence == TIME_PASSES:
        return "0.4 of deadtime passes for both; beats that did not arrive by now are lost."
    if sentence == SETTLE:
        return "Beats go back and forth and whatever is under way ends well, until nothing is left to do."
    head, _, rest = sentence.partition(": ")
    if head in NODES and rest:
        index = NODES.index(head)
        peer = NODES[1 - index]
        if rest in _PLAIN:
            return _PLAIN[rest].format(node=head, peer=peer)
        if rest.startswith("the last beat of"):
            beat = world.channel[1 - index]
            return f"{head} hears {peer}: “{claimed(beat) if beat else ''}”."
        if rest.startswith("kept beat"):
            place = int(rest.split()[2])
            if place > len(world.kept):
                return f"{sentence}: nothing was kept."
            late = world.kept[place - 1]
            return f"The beat that the network had kept reaches {head}, from {late.nonce}: “{claimed(late)}”."
        if rest.startswith("failoverctl"):
            return f"The operator on {head}: `{rest}`."
        if rest == "its shot fails":
            on = world.plugs[1 - index]
            how = "off exits 0, and the plugs read ON" if on else "the agent is killed before it reads the plugs "
            "back"
            return f"The shot of {head} at {peer} fails: {how}."
        return f"{head}: {rest}."
    if sentence.startswith("the network keeps"):
        sender = NODES.index(sentence.rsplit(" ", 1)[1])
        own = world.channel[sender]
        return f"The network keeps a copy of the last beat of {NODES[sender]} (“{claimed(own) if own else ''}”)."
    return sentence[0].upper() + sentence[1:] + "."


# --- playing -------------------------------------------------------------------------------------------


def play(lane: Lane, schedule: tuple[str, ...]) -> tuple[list[str], list[Step]]:
    """Beliefs at the beginning; and every step, as far as it can happen, until something is violated."""
    with short_intervals():
        first = (SETTLE,) if lane.prelude[:1] == (SETTLE,) else ()
        world = begin_at(lane, first)
        beliefs = [believed(world, index) for index in (0, 1)]
        beginning = list(beliefs)
        steps = [Step(sentence, 0) for sentence in lane.prelude[len(first) :]]
        given = len(steps)
        steps += [Step(sentence, number) for number, sentence in enumerate(schedule, 1)]
        for place, step in enumerate(steps):
            if place == given:
                world.budget = lane.budget
            step.title = _title(world, step.sentence)
            world.told = []
            try:
                after = _next(world, step)
            except Violation as violation:
                step.violation = str(violation)
                after = world
            step.did = [text for index, action in world.told if (text := _acted(world, index, action))]
            if step.violation:
                return beginning, steps[: place + 1]
            world = after
            now = [believed(world, index) for index in (0, 1)]
            step.believes = [
                f"{node}: {text}" for node, text, old in zip(NODES, now, beliefs, strict=True) if text != old
            ]
            beliefs = now
    return beginning, steps


def begin_at(lane: Lane, prelude: tuple[str, ...]) -> World:
    """The lane's world after a part of its prelude, with every kind of trouble allowed."""
    world = begin(replace(lane, prelude=prelude))
    world.budget = PRELUDE_BUDGET
    return world


def _next(world: World, step: Step) -> World:
    if step.sentence == SETTLE:
        return settle(world)
    found = dict(world.steps()).get(step.sentence)
    if found is None:
        step.impossible = True
        return world
    return found()


def told(steps: list[Step]) -> Iterator[str]:
    """The steps as a list in Markdown: letters lead to the beginning of the search, numbers were searched."""
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for step in steps:
        mark = str(step.number) if step.number else next(letters)
        yield f"**{mark}.** {step.title}"
        for text in step.did:
            yield f"   - {text}"
        for text in step.believes:
            yield f"   - *{text}*"
        yield ""


def parting(weak: list[Step], real: list[Step]) -> int:
    """The first step after which the two cores differ; -1 if none does."""
    for place, (one, other) in enumerate(zip(weak, real, strict=False)):
        if one != other:
            return place
    return -1
