"""One frozen picture of the core, for status and tests: facts, then why, then what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager import dialect, law
from failover_kit.manager.coredata import CoreBase, DrillStep, Group, Purpose, ShotKind
from failover_kit.manager.drill import UNFINISHED
from failover_kit.manager.records import ClusterView, GroupView, LinkView, PingView, ProofState, ProofView
from failover_kit.manager.states import GroupState, PeerState

if TYPE_CHECKING:
    from failover_kit.manager.orders import OrderDecisions


def view_of(core: OrderDecisions, now_ms: int) -> ClusterView:
    """The picture at ``now_ms``."""
    heard = core.hearing.last_current_ms
    beat = core.hearing.beat
    groups = tuple(_group(core, group) for group in core.groups.values())
    todo = _todo(core)
    health, reason = _health(core, groups, now_ms)
    shot = core.shot
    next_ms = None
    if core.peer_state is PeerState.SILENT and shot is None and not core.shot_refusal():
        next_ms = core.silent_shot_at_ms()
    return ClusterView(
        now_ms=now_ms,
        node=core.config.node,
        peer=core.config.peer,
        boot_id=core.boot_id,
        nonce=core.nonce,
        peer_state=core.peer_state.value,
        peer_since_ms=core.peer_since_ms,
        peer_heard_ago_ms=None if heard is None else now_ms - heard,
        peer_hears_us=bool(beat is not None and beat.hears and core.peer_beat() is not None),
        peer_ready=bool(core.peer_beat() is not None and beat is not None and beat.ready),
        peer_leaving=bool(beat is not None and beat.leaving),
        peer_boot_id=core.wanted.peer_boot_id,
        ready=core.ready_reason(),
        contact=core.wanted.contact,
        leaving=core.shutting_down,
        links=tuple(_link(core, name, now_ms) for name in core.hearing.links),
        groups=groups,
        can_fence=core.config.can_fence,
        fence_running_since_ms=shot.fired_ms if shot is not None and shot.op else None,
        fence_attempts=core.shot_attempts,
        fence_last=core.shot_last,
        fence_next_ms=next_ms,
        on_owed=core.wanted.on_owed,
        config_differs="config-differs" in core.said,
        health=health,
        reason=reason,
        todo=todo,
        speaks=dialect.name_of(core.config.minor),
        peer_release=beat.release if beat is not None else "",
        peer_speaks=dialect.name_of(beat.minor) if beat is not None else "",
        versions_differ=core.versions_differ(beat) if beat is not None else "",
        proof=_proof(core),
        pings=tuple(
            PingView(name=name, reached=reached, since_ms=since_ms)
            for name, reached, since_ms in zip(
                core.config.pings, core.pings.reached, core.pings.since_ms, strict=True
            )
        ),
        peer_reaches=core.peer_reaches(),
        cut_off=core.pings.cut_off,
    )


def _proof(core: OrderDecisions) -> ProofView:
    """Rule 25: whether this node has proved that it can cut its peer, and what to do about it."""
    config, peer, drilled = core.config, core.config.peer, core.wanted.drilled
    again = f"on a quiet day, run: failoverctl fence --prove {peer}"
    if not config.can_fence:
        return ProofView()
    if core.drill is not None:
        return ProofView(state=ProofState.RUNNING, text=_drill_doing(core.drill.step, peer))
    if drilled is None:
        return ProofView(state=ProofState.NEVER, text=f"that this node can cut {peer} was never proved; {again}")
    wall_ms = drilled.wall_ms
    if not drilled.ok and drilled.fencing != config.fencing_digest:
        text = f"the last drill of {peer} failed, and the fencing lines in ha.cf were changed since; {again}"
        return ProofView(state=ProofState.OUTDATED, wall_ms=wall_ms, text=text)
    if not drilled.ok:
        text = f"{peer} is not proved, the last drill failed: {drilled.reason}"
        return ProofView(state=ProofState.FAILED, wall_ms=wall_ms, text=text)
    if drilled.fencing != config.fencing_digest:
        text = f"{peer} was proved under other fencing lines in ha.cf; {again}"
        return ProofView(state=ProofState.OUTDATED, wall_ms=wall_ms, text=text)
    if drilled.config != config.digest:
        text = f"{peer} was proved before the configuration changed; the fencing lines are the same"
        return ProofView(state=ProofState.CHANGED, wall_ms=wall_ms, text=text)
    return ProofView(state=ProofState.PROVED, wall_ms=wall_ms, text=f"this node has proved that it can cut {peer}")


def _drill_doing(step: DrillStep, peer: str) -> str:
    return {
        DrillStep.CUT: f"proof drill: {peer} is being cut",
        DrillStep.QUIET: f"proof drill: the plugs of {peer} read OFF, its beats must stop",
        DrillStep.POWER: f"proof drill: {peer} was off and silent, its power is being given back",
        DrillStep.RETURN: f"proof drill: the plugs of {peer} read ON, it must come back by a new boot",
        DrillStep.DONE: f"proof drill: {peer} is back, the result is being written",
    }[step]


def _link(core: CoreBase, name: str, now_ms: int) -> LinkView:
    heard = core.hearing.links[name]
    return LinkView(
        name=name,
        up=None if heard is None else now_ms - heard < core.config.deadtime_ms,
        heard_ago_ms=None if heard is None else now_ms - heard,
        peer_hears=core.hearing.peer_hears_on(name) if core.peer_beat() is not None else None,
        one_way=core.one_way(name, now_ms),
    )


def _group(core: OrderDecisions, group: Group) -> GroupView:
    record = core.wanted_groups[group.name]
    claim = core.peer_claim(group.name)
    return GroupView(
        name=group.name,
        home=group.config.home,
        state=group.state,
        right=record.right,
        held=core.is_held(group),
        peer_state=claim.state if claim is not None else None,
        peer_right=claim.right if claim is not None else 0,
        grant=record.grant,
        parked=record.parked,
        failed_here=record.failed_here,
        failures=core.recent_failures(group),
        doing=_doing(core, group),
        since_ms=group.since_ms,
    )


def _doing(core: OrderDecisions, group: Group) -> str:
    """One sentence: what goes on with a group here, or why nothing does."""
    record = core.wanted_groups[group.name]
    match group.state:
        case GroupState.STARTED if core.in_maintenance():
            return group.reason or f"ran here under epoch {record.right} when maintenance began"
        case GroupState.STARTED:
            return f"runs here under epoch {record.right}{_but(core, group)}"
        case GroupState.STARTING:
            return f"is being started here under epoch {record.right}"
        case GroupState.STOPPING:
            why = {
                Purpose.MOVE: f"to move to {core.config.peer}",
                Purpose.RESTART: "to be started again",
                Purpose.FAILED_START: "because its start failed",
                Purpose.SHUTDOWN: "because this node leaves",
            }.get(group.purpose, "")
            return f"is being stopped here {why}".rstrip()
        case GroupState.FAILED:
            return group.reason
        case GroupState.UNKNOWN:
            looked = "is looked at when maintenance ends" if core.in_maintenance() else "is being looked at"
            return group.reason or looked
    return _stopped_because(core, group)


def _but(core: OrderDecisions, group: Group) -> str:
    """What is to be known of a group that runs here: failures that count, and why it is not at home."""
    failures = core.recent_failures(group)
    limit = core.config.monitor_failures
    said = f"; monitor failures: {failures}, handed over at {limit}" if failures else ""
    why = core.why_not_home(group) if core.belongs_home(group) else ""
    if core.config.ping_failover and core.pings.fewer_since_ms is not None:
        waits = core.why_not_for_pings(group) or core.move_refusal(group)
        said += f"; not yet moved to {core.config.peer}, which reaches more ping nodes: {waits}" if waits else ""
    return f"{said}; not yet back on {core.config.peer}: {why}" if why else said


def _stopped_because(core: OrderDecisions, group: Group) -> str:
    record = core.wanted_groups[group.name]
    claim = core.peer_claim(group.name)
    if record.parked:
        return f"parked here: {record.parked}"
    if record.grant:
        return f"granted to {core.config.peer} (epoch {record.grant}), waiting for its answer"
    if record.right:
        return core.may_start(group.name) or "is about to be started here"
    beat = core.peer_beat()
    if claim is not None and (claim.right or claim.held):
        unready = "" if beat is None or beat.ready or claim.state is GroupState.STARTED else ", and is not ready"
        return f"{core.config.peer} has it ({claim.state.value}){unready}"
    if beat is not None:
        why = core.ready_reason() or core.peer_ready(group.name)
        return f"waiting: nobody has it, {group.config.home} is its home" + (f"; {why}" if why else "")
    return f"not started: {_why_no_takeover(core)}"


def _why_no_takeover(core: OrderDecisions) -> str:
    peer = core.config.peer
    if core.peer_state is PeerState.NEVER_HEARD:
        return f"{peer} was not heard yet"
    if core.shot is not None:
        return f"{peer} is being fenced" if core.shot.kind is not ShotKind.IF_OFF else f"reading {peer}'s plugs"
    if core.shot_attempts:
        return f"{peer} is not fenced: {core.shot_last}"
    if core.peer_state is PeerState.SILENT:
        left_s = max(0, core.silent_shot_at_ms() - core.now_ms) / 1000
        later = ", later than usual: no ping node answers here" if core.pings.cut_off else ""
        return core.shot_refusal() or f"{peer} is silent and is fenced in {left_s:.1f} s unless it answers{later}"
    return f"{peer} is {core.peer_state.value}"


def _health(core: OrderDecisions, groups: tuple[GroupView, ...], now_ms: int) -> tuple[str, str]:
    """healthy, degraded or no-service, and the one sentence why."""
    peer = core.config.peer
    if core.in_maintenance():
        beat = core.peer_beat()
        heard = "" if beat is not None else f"; {peer} is {core.peer_state.value}"
        if beat is not None and dialect.unknown_to(peer, beat.minor, dialect.Feature.MAINTENANCE):
            heard = f"; {peer} does not: its failoverd ({dialect.name_of(beat.minor)}) knows no maintenance"
        return "degraded", f"maintenance: nothing is started, stopped, moved or fenced by itself{heard}"
    for group in groups:
        here = group.state is GroupState.STARTED
        there = group.peer_state is GroupState.STARTED
        if here or there:
            continue
        return "no-service", _no_service(core, group)
    if "heard-after-off" in core.said:
        return "degraded", f"{peer} is heard although its plugs read OFF"
    if core.persist_error:
        return "degraded", f"the state directory cannot be written: {core.persist_error}"
    if core.peer_state is not PeerState.UP:
        state = "gone (failoverd was ended there)" if core.has_left() else core.peer_state.value
        return "degraded", f"{peer} is {state}: a second failure would not be covered"
    for group in groups:
        doubt = _doubt_beside(group, core.config.node, peer)
        if doubt:
            return "degraded", doubt
        if group.parked or group.failed_here:
            return "degraded", f"group {group.name} cannot run here: {group.parked or 'it failed here'}"
        claim = core.peer_claim(group.name)
        if claim is not None and (claim.parked or claim.failed_here):
            return "degraded", f"group {group.name} cannot run on {peer}: it failed there"
    for name in core.hearing.links:
        link = _link(core, name, now_ms)
        if link.one_way:
            return "degraded", f"link {name}: {link.one_way}"
        if not link.up and now_ms - core.peer_since_ms >= core.config.deadtime_ms:
            return "degraded", f"link {name} is silent"
    for name, reached in zip(core.config.pings, core.pings.reached, strict=True):
        if reached is False:
            return "degraded", f"ping node {name} does not answer"
    theirs = core.peer_reaches()
    if theirs is not None and theirs < len(core.config.pings):
        return "degraded", f"{peer} reaches {theirs} of {len(core.config.pings)} ping nodes"
    if not core.config.can_fence:
        return "degraded", "no fence device: no automatic takeover from a silent peer"
    if "config-differs" in core.said:
        return "degraded", "the configuration files differ between the nodes"
    if law.plugs_disproved(core.wanted.drilled, core.config) and core.drill is None:
        return "degraded", f"no automatic takeover from {peer}: a proof drill showed that its plugs do not cut it"
    if _drill_showed_a_fault(core):
        return "degraded", f"the last proof drill of {peer} failed: whether {peer} can be cut is in doubt"
    return "healthy", "both nodes are up"


def _doubt_beside(group: GroupView, node: str, peer: str) -> str:
    """What is not known of a group on the node beside the one that runs it; "" when it is stopped there."""
    doubtful = (GroupState.UNKNOWN, GroupState.FAILED)
    for runs, doubts, state in ((peer, node, group.state), (node, peer, group.peer_state)):
        if state in doubtful:
            return f"group {group.name} runs on {runs}, and it is not known that nothing of it runs on {doubts}"
    return ""


def _drill_showed_a_fault(core: OrderDecisions) -> bool:
    """Whether the last drill came to its end and failed, by the fencing lines of today."""
    drilled = core.wanted.drilled
    if drilled is None or drilled.ok or core.drill is not None or not core.config.can_fence:
        return False
    return drilled.reason != UNFINISHED and drilled.fencing == core.config.fencing_digest


def _no_service(core: OrderDecisions, group: GroupView) -> str:
    """Why a group runs nowhere as far as this node knows, and what it does not know."""
    name, peer = group.name, core.config.peer
    match group.state:
        case GroupState.STARTING | GroupState.STOPPING:
            return f"group {name} {group.doing}"
        case GroupState.FAILED:
            return f"group {name}: {group.doing}"
        case GroupState.UNKNOWN:
            return f"the state of group {name} is not known here: {group.doing}"
    if core.peer_state in (PeerState.SILENT, PeerState.NEVER_HEARD, PeerState.FENCING) and not core.has_left():
        why = group.doing.removeprefix("not started: ")
        return f"group {name} does not run here, and whether it runs on {peer} is not known: {why}"
    claim = core.peer_claim(name)
    if claim is not None and claim.held and claim.state is not GroupState.STOPPED:
        if claim.state is GroupState.UNKNOWN:
            return f"what group {name} does on {peer} is not known there: see failoverctl status on {peer}"
        return f"group {name} is {claim.state.value} on {peer}: see failoverctl status there"
    return f"group {name} runs on no node: {group.doing}"


def _todo_unlooked(core: OrderDecisions, names: str) -> tuple[str, ...]:
    peer, beat = core.config.peer, core.peer_beat()
    why = dialect.unknown_to(peer, beat.minor, dialect.Feature.MAINTENANCE) if beat is not None else ""
    if why:
        return (f"{names} starts here when {peer} says that it looked since maintenance ended: {why}",)
    return (f"see failoverctl status on {peer}: {names} starts here when it is stopped and looked at there",)


def _todo(core: OrderDecisions) -> tuple[str, ...]:
    """What the operator can do now, most urgent first."""
    peer = core.config.peer
    todo: list[str] = []
    unlooked = [group.name for group in core.groups.values() if core.waits_for_a_look(group)]
    takes = unlooked + [name for name, record in core.wanted_groups.items() if not record.right]
    if core.in_maintenance():
        return ("when the work is done, run: failoverctl maintenance off",)
    if core.persist_error:
        todo.append("free space in, or repair, the state directory")
    if core.peer_state in (PeerState.SILENT, PeerState.NEVER_HEARD, PeerState.FENCING) and takes:
        if core.shot_attempts:
            todo.append(f"repair the power switch of {peer}, or its way there; the shot is repeated by itself")
        certain = core.peer_state is PeerState.FENCING or (not core.shot_refusal() and not core.shot_attempts)
        if not certain:
            todo.append(f"if {peer} is off for certain, run: failoverctl confirm-dead {peer}")
    if unlooked and core.has_left():
        names = ", ".join(unlooked)
        todo.append(f"start failoverd on {peer}: {names} starts here when it was looked at there since maintenance")
    elif unlooked and core.peer_state is PeerState.UP:
        todo += _todo_unlooked(core, ", ".join(unlooked))
    by_itself = core.peer_state is PeerState.FENCED and core.config.fence_power_on
    if core.peer_state in (PeerState.FENCED, PeerState.CONFIRMED_DEAD) and not by_itself:
        todo.append(f"when {peer} is fit again, switch it on and boot it: it joins by itself")
    if core.wanted.shot_pending and core.peer_state is PeerState.SILENT and core.shot is None and not takes:
        by_hand = "" if core.config.fence_power_on else ", and switch it on by hand (fence_action off)"
        todo.append(f"a shot at {peer} was not proved: look at its plugs{by_hand}")
    if "power-on-failed" in core.said:
        todo.append(f"repair the power switch of {peer}: it could not be switched on again, and is tried again")
    for group in core.groups.values():
        todo += _todo_of_group(core, group)
    if "config-differs" in core.said:
        todo.append(f"make ha.cf, haresources and authkeys alike on {core.config.node} and {peer}")
    if "heard-after-off" in core.said:
        todo.append(f"check which outlets feed {peer}: it is heard although they read OFF")
    if _drill_showed_a_fault(core):
        todo.append(f"see the line proof; repair that, then run: failoverctl fence --prove {peer}")
    for name in core.hearing.links:
        if f"link-{name}" in core.said:
            todo.append(f"repair link {name}")
    for name, reached in zip(core.config.pings, core.pings.reached, strict=True):
        if reached is False:
            todo.append(f"repair the way to ping node {name}, or take it out of ha.cf on both nodes")
    return tuple(todo)


def _todo_of_group(core: OrderDecisions, group: Group) -> list[str]:
    """What the operator can do for one group."""
    peer = core.config.peer
    todo: list[str] = []
    claim = core.peer_claim(group.name)
    runs_there = claim is not None and claim.state is GroupState.STARTED
    record = core.wanted_groups[group.name]
    if (record.parked or record.failed_here) and runs_there:
        todo.append(f"repair group {group.name} here; the next failoverctl takeover here clears this")
    elif record.parked:
        todo.append(f"repair group {group.name}, then run: failoverctl takeover {group.name}")
    elif group.state is GroupState.STARTED and claim is not None and (claim.parked or claim.failed_here):
        todo.append(f"repair group {group.name} on {peer}; the next failoverctl takeover there clears this")
    if claim is not None and claim.fence_me and core.wanted_groups[group.name].failed_here:
        todo.append(
            f"{peer} cannot stop group {group.name}: free it there, or try it here: "
            f"failoverctl takeover {group.name}"
        )
    if claim is not None and claim.parked and claim.right:
        todo.append(f"repair group {group.name}, then run on {peer}: failoverctl takeover {group.name}")
    if group.state is GroupState.FAILED:
        todo.append(f"free what keeps group {group.name} from stopping; the stop is tried again")
    if group.state is GroupState.UNKNOWN and group.reason:
        todo.append(f"stop the resources of group {group.name} by hand; they are looked at again")
    return todo
