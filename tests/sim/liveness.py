"""After the faults: everything heals, the pair must find together, and then pass one plain exam.

L1 to L7 of heartbeat.md §8, and rule 26: liveness is promised to nodes in contact with working devices.
The operator of this part does only what ``view().todo`` would tell him.
"""

from __future__ import annotations

from dataclasses import replace

from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.dialect import MINOR
from failover_kit.manager.events import ShutdownRequested, Verb
from failover_kit.manager.records import ClusterView, GroupView, ProofState
from failover_kit.manager.states import GroupState
from sim import pings
from sim.audits_base import Violation
from sim.audits_power import PING_REST_MS
from sim.machine import Machine
from sim.shell import read_by
from sim.world import World

STEP_MS = 2_000
# How long the pair may need to find together: late switches, hung agents, boots and shots add up.
CONVERGE_MS = 600_000
# When the operator looks after what only an operator may do.
OPERATOR_MS = 60_000


def heal(world: World) -> None:
    """All faults end. What a node owes (power to its peer) it has to pay by itself; see ``operate``."""
    world.faults = replace(world.faults, agent_fail=0.0, unkillable=0.0, loss=0.0, duplicate=0.0, long_delay=0.0)
    world.quiet_network = True
    world.say("world", "heals")
    for link in world.links:
        link.cut = [False, False]
    for machine in world.machines:
        machine.disk.fails = False
        machine.disk.slow = False
        machine.device_mode = "ok"
        for number in range(world.faults.pings):
            pings.find(machine, number)
        machine.agent_mode.clear()
        machine.enabled = True
        machine.mains = True
        machine.power_changed()
        if machine.digest != "cfg":
            machine.digest = "cfg"
            machine.kill_daemon()
        elif machine.daemon is not None and machine.daemon.config.digest != "cfg":
            machine.kill_daemon()
        machine.start_daemon()
    _install_for_the_exam(world)


def _install_for_the_exam(world: World) -> None:
    """Both nodes are upgraded, or one of them only; that one cannot say what maintenance asks for, so not then."""
    if "upgrade" not in world.faults.kinds:
        return
    records = [found for machine in world.machines for found in (machine.disk.record, machine.disk.in_flight)]
    bars = any(read_by(0, record)[1] for record in records)  # what is being written may be there when it begins
    older = world.rng.choice(world.machines) if world.faults.mixed and not bars else None
    for machine in world.machines:
        world.install(machine, 0 if machine is older else MINOR)


def view(machine: Machine) -> ClusterView | None:
    """What status shows on this node; None when no daemon runs."""
    return machine.daemon.core.view(machine.clock()) if machine.daemon is not None else None


def seen_groups(machine: Machine) -> tuple[GroupView, ...]:
    """The groups as status shows them on this node."""
    seen = view(machine)
    return seen.groups if seen is not None else ()


def unhealthy(world: World) -> str:
    """ "" when both nodes agree that each group runs on exactly one of them, and they are right (L7)."""
    views = [view(machine) for machine in world.machines]
    for machine, seen in zip(world.machines, views, strict=True):
        if seen is None:
            return f"no failoverd on {machine.name}"
        if seen.peer_state != "up" or not seen.peer_hears_us:
            return f"{machine.name} sees its peer {seen.peer_state}"
        if seen.fence_running_since_ms is not None or seen.on_owed or seen.leaving:
            return f"{machine.name} is not at rest: on owed {seen.on_owed}, leaving {seen.leaving}"
        if seen.proof.state is ProofState.RUNNING:
            return f"{machine.name} is not at rest: {seen.proof.text}"
        if not seen.contact:
            return f"{machine.name} has no contact"
    for index, (name, _) in enumerate(world.faults.groups):
        here = []
        for machine, seen in zip(world.machines, views, strict=True):
            assert seen is not None
            group = seen.groups[index]
            resource = machine.resources[name]
            if group.state is GroupState.STARTED and group.right and resource.level == 2:
                here.append(machine)
            elif group.state is not GroupState.STOPPED or group.right or group.held or resource.active:
                return f"{name} on {machine.name}: {group.state.value}, right {group.right}: {group.doing}"
        if len(here) != 1:
            return f"{name} runs on {len(here)} nodes"
    return ""


def untrue(world: World) -> str:
    """L7: "" when what status says of each group at rest is so, else where it is not."""
    for machine in world.machines:
        for group in seen_groups(machine):
            resource = machine.resources[group.name]
            if group.state is GroupState.STARTED and resource.level < 2:
                return f"status on {machine.name} says {group.name} is started, and it does not run"
            if group.state is GroupState.STOPPED and resource.active:
                return f"status on {machine.name} says {group.name} is stopped, and it may be active"
    return ""


def describe(world: World) -> str:
    """Both nodes' status, for a failure's sentence."""
    lines = []
    for machine in world.machines:
        seen = view(machine)
        if seen is None:
            lines.append(f"{machine.name}: no failoverd, boot {machine.boot_id or 'none'}")
            continue
        lines.append(f"{machine.name}: {seen.health}, peer {seen.peer_state}: {seen.reason}; todo {seen.todo}")
        for group in seen.groups:
            lines.append(
                f"    {group.name}: {group.state.value} right={group.right} held={group.held} grant={group.grant} "
                f"parked={group.parked!r} failed_here={group.failed_here}: {group.doing}"
            )
    return "\n    ".join(lines)


def settle(world: World) -> None:
    """The exam is about one plain fault: first let what the random phase left in the air come down."""
    faults = world.faults
    late_ms = faults.fence_timeout_ms + faults.late_ms if "late" in faults.device_modes else 0
    late_ms = max(late_ms, faults.long_delay_ms if world.delayed else 0)
    world.run_until(max(world.now, faults.duration_ms + late_ms))
    converge(world)


def converge(world: World, limit_ms: int = CONVERGE_MS) -> None:
    """Let time pass until the pair is at rest and stays so for a while; the operator helps where asked."""
    end = world.now + limit_ms
    began = world.now
    operator_at = world.now + OPERATOR_MS
    rested_ms = 0
    while rested_ms < 3 * world.faults.deadtime_ms:
        if world.now >= end:
            waited = f"{(world.now - began) / 1000:.0f} s after all was healed"
            lie = untrue(world)
            why = f"L7: {lie}; not together {waited}" if lie else f"L: not together {waited}: {unhealthy(world)}"
            raise Violation(f"{why}\n    {describe(world)}")
        world.run_until(world.now + STEP_MS)
        start_all(world)
        rested_ms = 0 if unhealthy(world) else rested_ms + STEP_MS
        if world.now >= operator_at:
            operator_at = world.now + OPERATOR_MS
            operate(world)


def start_all(world: World) -> None:
    """systemd: Restart=always."""
    for machine in world.machines:
        machine.start_daemon()


def operate(world: World) -> None:
    """What only an operator may do: power on after fence_action off, stop by hand, unpark."""
    for machine in world.machines:
        job = machine.peer.daemon.job if machine.peer.daemon is not None else None
        stored = machine.peer.disk.record
        # A debt is paid without an operator (rule 13); with fence_action off there is none.
        unsettled = stored is not None and stored.shot_pending and world.faults.fence_power_on
        unpaid = unsettled or (stored is not None and stored.on_owed)
        if job is None and not (unpaid and machine.peer.boot_id):
            for plug, on in enumerate(machine.outlets):
                if not on:
                    world.set_outlet(machine, plug, True)
        seen = view(machine)
        if seen is None:
            continue
        if any("maintenance off" in text for text in seen.todo):
            world.command(machine, Verb.MAINTENANCE_OFF)
        for group in seen.groups:
            resource = machine.resources[group.name]
            if group.state is GroupState.UNKNOWN and resource.level and not group.right and not resource.processes:
                world.say("operator", f"stops {group.name} on {machine.name} by hand")
                resource.level = 0
                resource.active = False
            elif group.parked and group.peer_state is not GroupState.STARTED:
                world.command(machine, Verb.TAKEOVER, (group.name,))


# --- the exam --------------------------------------------------------------------------------------


def failover_bound_ms(world: World) -> int:
    """L1: silence, the longest turn of rule 10, the shot, and the start."""
    faults = world.faults
    shot_ms = 4 * faults.plugs * faults.switch_ms
    persist_ms = 6 * (faults.persist_ms + 1)
    return faults.deadtime_ms + 2 * faults.fence_delay_ms + shot_ms + persist_ms + faults.start_ms + 5_000


def prove_again(world: World) -> None:
    """What status asks the operator for when a drill disproved the plugs: also when a late frame did."""
    for machine in world.machines:
        daemon = machine.daemon
        assert daemon is not None
        if not law.plugs_disproved(daemon.core.wanted.drilled, daemon.config):
            continue
        world.command(machine, Verb.TAKEOVER)
        converge(world)
        world.command(machine, Verb.PROVE, (), machine.peer.name)
        converge(world)


def exam(world: World) -> None:
    """One plain fault against the healed pair, drawn by the seed."""
    prove_again(world)
    holder = holder_of(world, world.faults.groups[0][0])
    subjects = SUBJECTS + LATER_SUBJECTS if world.faults.later_exams else SUBJECTS
    if world.faults.newer_exams:
        subjects += NEWER_SUBJECTS
    subject = world.rng.choice(subjects + PING_SUBJECTS if world.faults.pings else subjects)
    if world.faults.exam:
        every = SUBJECTS + LATER_SUBJECTS + NEWER_SUBJECTS + PING_SUBJECTS + NAMED_SUBJECTS
        subject = next(one for one in every if one.__name__ == world.faults.exam)
    world.say("exam", subject.__name__)
    subject(world, holder)
    converge(world)


def holder_of(world: World, group: str) -> Machine:
    """The node that runs it."""
    return next(machine for machine in world.machines if machine.resources[group].active)


def placement(world: World) -> list[str]:
    """Which node runs each group."""
    return [holder_of(world, name).name for name, _ in world.faults.groups]


def expect(world: World, condition: bool, text: str) -> None:
    """A promise of the exam."""
    if not condition:
        raise Violation(f"{text}\n    {describe(world)}")


def undisturbed(world: World, duration_ms: int, what: str) -> None:
    """No shot and no move while time passes."""
    shots, placed = world.shots, placement(world)
    world.run_until(world.now + duration_ms)
    expect(world, world.shots == shots, f"{what}: a shot was fired")
    expect(world, placement(world) == placed or world.faults.auto_failback, f"{what}: a group moved")


def nothing(world: World, holder: Machine) -> None:
    """L2: a healthy pair does nothing."""
    undisturbed(world, 60_000, "L2: a healthy pair left alone")


def one_link(world: World, holder: Machine) -> None:
    """L5: one medium lost, one direction or both."""
    if len(world.links) < 2:
        return
    link = world.rng.choice(world.links)
    for sender in world.rng.choice(((0,), (1,), (0, 1))):
        link.cut[sender] = True
    undisturbed(world, 5 * world.faults.deadtime_ms, f"L5: only {link.name} was cut")
    link.cut = [False, False]


def power(world: World, holder: Machine) -> None:
    """L1: the holder's power fails."""
    survivor = holder.peer
    taken = [name for name, resource in holder.resources.items() if resource.active]
    holder.mains = False
    holder.power_changed()
    world.run_until(world.now + failover_bound_ms(world))
    if not world.faults.can_fence:
        for name in taken:
            taken_over = survivor.resources[name].active
            expect(world, not taken_over, f"rule 5: {name} was taken over without a fence device")
        number = world.command(survivor, Verb.CONFIRM_DEAD, (), holder.name)
        world.run_until(world.now + 2 * world.faults.start_ms + 10_000)
        reply = world.replies.get(number)
        expect(world, reply is not None and reply.code is ExitCode.DONE, f"confirm-dead was not done: {reply}")
    parked = {group.name for group in seen_groups(survivor) if group.parked}
    for name, _ in world.faults.groups:
        if name not in parked:
            expect(world, survivor.resources[name].level == 2, f"L1: {name} does not run on {survivor.name}")
    holder.mains = True
    holder.power_changed()


def all_links(world: World, holder: Machine) -> None:
    """L3, L2: all links cut with both alive: exactly one survives, and it stays at that."""
    if not world.faults.can_fence:
        return
    shots = world.shots
    parked = {group.name for machine in world.machines for group in seen_groups(machine) if group.parked}
    for link in world.links:
        link.cut = [True, True]
    # boot_alone moves the service once more, by the shot it allows: then time for two failovers.
    world.run_until(world.now + failover_bound_ms(world) + (200_000 if world.faults.boot_alone else 0))
    for name, _ in world.faults.groups:
        running = [machine for machine in world.machines if machine.resources[name].level == 2]
        expect(
            world,
            len(running) == 1 or name in parked,
            f"L3: {name} runs on {len(running)} nodes after all links were cut",
        )
    world.run_until(world.now + 200_000)
    # boot_alone lets the node that was shot fire once, too.
    most = 2 if world.faults.boot_alone else 1
    expect(world, 1 <= world.shots - shots <= most, f"L2: {world.shots - shots} shots while the cable stays cut")
    for link in world.links:
        link.cut = [False, False]


def daemon_restart(world: World, holder: Machine) -> None:
    """failoverd alone dies and is started at once: nothing is started twice, nothing is shot."""
    if world.faults.deadtime_ms < 6 * world.faults.keepalive_ms:
        return
    starts, shots = world.audits.starts, world.shots
    holder.kill_daemon()
    world.run_until(world.now + 50)
    holder.start_daemon()
    world.run_until(world.now + 3 * world.faults.deadtime_ms)
    expect(world, world.shots == shots, "a restarted failoverd was shot")
    # With auto_failback a group that is away from home may be on its way back.
    expect(
        world,
        world.audits.starts == starts or world.faults.auto_failback,
        "a restarted failoverd started a group again",
    )


def standby(world: World, holder: Machine) -> None:
    """A planned move ends where it was sent, and the answer says so."""
    seen = view(holder.peer)
    assert seen is not None
    # With auto_failback a group whose home is here comes back before the last one has moved.
    able = not world.faults.auto_failback and not any(g.failed_here or g.parked for g in seen.groups)
    shots = world.shots
    number = world.command(holder, Verb.STANDBY)
    wait_ms = (world.faults.start_ms + world.faults.stop_ms) * len(world.faults.groups) + 20_000
    world.run_until(world.now + wait_ms)
    reply = world.replies.get(number)
    expect(world, reply is not None, "L4: standby was never answered")
    if able:
        expect(world, reply is not None and reply.code is ExitCode.DONE, f"standby was not done: {reply}")
    expect(world, world.shots == shots, "a planned move fired a shot")


def clean_leave(world: World, holder: Machine) -> None:
    """A clean stop hands over, and the node that left is not shot."""
    daemon = holder.daemon
    assert daemon is not None
    seen = view(holder.peer)
    assert seen is not None
    able = not any(group.failed_here or group.parked for group in seen.groups)
    shots = world.shots
    daemon.post(daemon.handle, ShutdownRequested())
    world.run_until(
        world.now + world.faults.start_ms + world.faults.stop_ms + 20_000 + 4 * world.faults.deadtime_ms
    )
    if able:
        for name, _ in world.faults.groups:
            runs_there = holder.peer.resources[name].level == 2
            expect(world, runs_there, f"rule 5: {name} was not handed over by a clean stop")
        expect(world, holder.daemon is None, "L4: a clean stop did not end")
        expect(world, world.shots == shots, "rule 5: a node that left cleanly was shot")


def stuck_switch(world: World, holder: Machine) -> None:
    """A power cut, and a switch that does not switch: no takeover; it ends by itself when the switch works."""
    survivor = holder.peer
    names = [name for name, resource in holder.resources.items() if resource.active]
    parked = {group.name for group in seen_groups(survivor) if group.parked}
    if not world.faults.can_fence or set(names) <= parked:
        return
    holder.device_mode = "lie"
    holder.mains = False
    holder.power_changed()
    world.run_until(world.now + failover_bound_ms(world) + 2 * world.faults.fence_timeout_ms)
    seen = view(survivor)
    silent = seen is None or not seen.todo
    expect(world, not silent, "rule 26, L4: a stuck switch, and status has nothing to do for the operator")
    for name in names:
        taken = survivor.resources[name].active
        expect(world, not taken, f"rule 8: {name} was taken over although the plug reads ON")
    holder.device_mode = "ok"
    world.run_until(world.now + failover_bound_ms(world) + 10_000)
    for name in names:
        if name not in parked:
            expect(
                world,
                survivor.resources[name].level == 2,
                f"{name} was not taken over when the switch worked again",
            )
    holder.mains = True
    holder.power_changed()


def _drill_order(world: World, holder: Machine) -> tuple[ExitCode | None, bool]:
    """Order it and wait for its outcome; the outcome, and whether it could not have been refused."""
    able = world.faults.can_fence and all(
        group.right and group.state is GroupState.STARTED and holder.resources[group.name].level == 2
        for group in seen_groups(holder)
    )
    able = able and not any(group.parked or group.right for group in seen_groups(holder.peer))
    starts, shots = world.audits.starts, world.shots
    number = world.command(holder, Verb.PROVE, (), holder.peer.name)
    shot_ms = 6 * world.faults.plugs * world.faults.switch_ms
    world.run_until(world.now + shot_ms + 3 * world.faults.deadtime_ms + world.faults.boot_ms + 20_000)
    reply = world.replies.get(number)
    code = reply.code if reply is not None else None
    expect(world, code is not None, "L4: a drill was never answered")
    expect(world, world.shots - shots <= (code is not ExitCode.REFUSED), "a drill fired more than its one shot")
    expect(
        world,
        world.audits.starts == starts or world.faults.auto_failback,
        "something was started because of a drill",
    )
    return code, able


def drill(world: World, holder: Machine) -> None:
    """Rule 25: a passive node is cut, and it is on record; the service runs on."""
    code, able = _drill_order(world, holder)
    expect(world, code is ExitCode.DONE or not able, f"a drill with everything in order was answered {code}")
    seen = view(holder)
    assert seen is not None
    expect(world, (seen.proof.state is ProofState.PROVED) or code is not ExitCode.DONE, f"status: {seen.proof}")


def drill_wrong_plug(world: World, holder: Machine) -> None:
    """Rule 25: the plugs feed something else: it must not pass, and what was cut gets its power back."""
    holder.peer.miswired = True
    before = list(holder.peer.outlets)  # one may be off since a life whose records are lost
    code, able = _drill_order(world, holder)
    expected = (ExitCode.FAILED,) if able else (ExitCode.FAILED, ExitCode.REFUSED)
    expect(world, code in expected, f"a drill with the wrong plugs was answered {code}")
    seen = view(holder)
    assert seen is not None
    expect(world, seen.proof.state is ProofState.FAILED or code is ExitCode.REFUSED, f"status: {seen.proof}")
    given = all(on or not was for on, was in zip(holder.peer.outlets, before, strict=True))
    expect(world, given, "the power of what was cut was not given back")
    holder.peer.miswired = False


def debt_outlives_its_boot(world: World, holder: Machine) -> None:
    """Rule 13: who cut the other and lost its own power before it paid pays when it boots, without an operator."""
    victim, faults = holder.peer, world.faults
    if not faults.can_fence or not faults.fence_power_on:
        return
    world.command(holder, Verb.FENCE, (), victim.name)
    end = world.now + faults.fence_timeout_ms
    while any(victim.outlets) and world.now < end:
        world.run_until(world.now + 1)
    holder.mains = False
    holder.power_changed()
    world.run_until(world.now + 1_000)
    holder.mains = True
    holder.power_changed()
    look_ms = 40_000 + 6 * faults.plugs * faults.switch_ms + faults.fence_timeout_ms
    world.run_until(world.now + faults.boot_ms + 3 * faults.deadtime_ms + 2 * faults.fence_delay_ms + look_ms)
    owed = f"rule 13: the power of {victim.name} was not given back after {holder.name} booted"
    expect(world, all(victim.outlets), owed)


# --- what came later still -------------------------------------------------------------------------


def _fit_everywhere(world: World) -> bool:
    """Nothing failed anywhere since its last success, so that each group may go to each node."""
    return not any(g.failed_here or g.parked for machine in world.machines for g in seen_groups(machine))


def _dies(world: World, holder: Machine) -> str:
    """The first group that runs on ``holder`` is gone, by no hand of failoverd; its name."""
    name = next(name for name, resource in holder.resources.items() if resource.level == 2)
    holder.resources[name].level = 1
    if holder.daemon is not None:
        holder.daemon.check_watch(holder.resources[name])
    return name


def _noticed_ms(world: World) -> int:
    """A monitor, and a stop and a start on each node, with what becomes durable between them."""
    faults = world.faults
    return 12_000 + 2 * (faults.stop_ms + faults.start_ms) + 12 * (faults.persist_ms + 1) + 4 * faults.keepalive_ms


def resource_gone(world: World, holder: Machine) -> None:
    """L7: a group that is gone is noticed, and runs again; status never says it runs where it does not."""
    if not _fit_everywhere(world):
        return
    name = _dies(world, holder)
    world.run_until(world.now + _noticed_ms(world))
    lie = untrue(world)
    expect(world, not lie, f"L7: {lie}")
    running = [machine.name for machine in world.machines if machine.resources[name].level == 2]
    expect(world, len(running) == 1, f"rule 15: {name} died, and runs on {running}")


def failed_start(world: World, holder: Machine) -> None:
    """L6, rule 18: a start that fails is tried once on the other node; failing there too it stops, and says so."""
    if not _fit_everywhere(world):
        return
    broken = world.rng.choice(([holder], [holder, holder.peer]))
    for machine in broken:
        machine.agent_mode["start"] = "fail"
    name = _dies(world, holder)
    before = world.audits.starts_of[name]
    world.run_until(world.now + _noticed_ms(world) + 2 * world.faults.stop_ms)
    there = holder.peer.resources[name].level == 2
    expect(world, there or holder.peer in broken, f"L6: {name} failed on {holder.name} and was not tried elsewhere")
    world.run_until(world.now + 60_000)
    starts = world.audits.starts_of[name] - before
    expect(world, starts <= 2, f"L6: {name} was started {starts} times, and fails on {len(broken)} nodes")
    said = [text for machine in world.machines for text in getattr(view(machine), "todo", ())]
    # Its failback may have been due in this very moment: it was moved before anybody noticed, and no start failed.
    home = world.faults.auto_failback and dict(world.faults.groups)[name] == holder.peer.name
    if not (home and there and starts == 1):
        expect(world, any(name in text for text in said), f"L6: {name} failed, and status asks nobody to repair it")
    for machine in broken:
        machine.agent_mode.pop("start")


def two_rights(world: World, holder: Machine) -> None:
    """Rule 16: a record from nowhere (a restored backup) gives the passive node a higher right: it drops it."""
    other, name = holder.peer, next(n for n, resource in holder.resources.items() if resource.level == 2)
    right = next(group.right for group in seen_groups(holder) if group.name == name)
    stored = other.disk.record
    quick = world.faults.deadtime_ms < 6 * world.faults.keepalive_ms or world.faults.deadtime_ms < 2_000
    if stored is None or quick or not all(machine.speaks == MINOR for machine in world.machines):
        return  # quick: too quick to be restarted without being missed
    other.kill_daemon()
    higher = right + (1 if (right % 2 == 0) != (other.name < holder.name) else 2)
    groups = tuple(
        replace(record, right=higher, top=higher, known=higher, parked="restored from a backup")
        if record.name == name
        else record
        for record in other.disk.record.groups  # type: ignore[union-attr]
    )
    other.disk.record = replace(other.disk.record, groups=groups)  # type: ignore[type-var]
    world.audits.s1_only = True  # for this is not what the pair may bring about
    shots = world.shots
    for link in world.links:  # it is heard when it has looked: before, both may be active, and the lower resets
        link.cut = [True, True]
    other.start_daemon()
    world.run_until(world.now + 300)
    for link in world.links:
        link.cut = [False, False]
    world.run_until(world.now + 3 * world.faults.deadtime_ms + 5_000)
    kept = [group.right for group in seen_groups(other) if group.name == name]
    expect(world, kept == [0], f"rule 16: {other.name} has {name} stopped and keeps a second right to it: {kept}")
    expect(world, holder.resources[name].level == 2, f"rule 16: {name} runs no more, for a right that nobody uses")
    expect(world, world.shots == shots, "rule 16: a shot for a right that nobody uses")
    world.audits.s1_only = False


def _runs_on(world: World, name: str) -> list[Machine]:
    return [machine for machine in world.machines if machine.resources[name].level == 2]


def heard_after_off(world: World, holder: Machine) -> None:
    """Rule 9: OFF was read of plugs that feed something else, and the node is heard again: nothing is taken."""
    survivor, name = holder.peer, next(n for n, resource in holder.resources.items() if resource.level == 2)
    if not world.faults.can_fence:
        return
    holder.miswired = True
    survivor.device_mode = "fail"  # or the holder would shoot first
    for link in world.links:
        link.cut = [True, True]
    end = world.now + failover_bound_ms(world)
    while world.now < end and any(holder.outlets):
        world.run_until(world.now + 1)
    while world.now < end and survivor.daemon is not None and survivor.daemon.job is not None:
        world.run_until(world.now + 1)
    # A group that was on its way home when the links were cut is had by that grant.
    granted = [group.grant for group in seen_groups(holder) if group.name == name and not group.right]
    survivor.disk.fails = True  # so what it takes is not used yet when the holder is heard
    world.audits.s1_only = True
    for link in world.links:
        link.cut = [False, False]
    world.run_until(world.now + world.faults.deadtime_ms + 4 * world.faults.keepalive_ms)
    taken = [group.right for group in seen_groups(survivor) if group.name == name]
    told = f"rule 9: {survivor.name} has a right to {name} and hears whom it took it from"
    expect(world, taken in ([0], granted), told)
    survivor.disk.fails = False
    survivor.device_mode = "ok"
    world.run_until(world.now + 20_000)
    moves = world.faults.auto_failback or world.faults.ping_failover  # in good order, when it has been stable
    end = world.now + (60_000 if moves else 0)
    while world.now < end and len(_runs_on(world, name)) != 1:
        world.run_until(world.now + 100)
    runs = _runs_on(world, name)
    well = runs == [holder] or (moves and runs == [survivor])
    expect(world, well, f"rule 9: {name} runs no more on {holder.name}")
    holder.miswired = False
    for plug in range(len(holder.outlets)):
        world.set_outlet(holder, plug, True)
    world.audits.s1_only = False


def _falsely_taken(world: World, holder: Machine, name: str) -> bool:
    """OFF was read of plugs that feed something else, and the other node started; whether two are active now."""
    survivor = holder.peer
    holder.miswired = True
    survivor.device_mode = "fail"  # or the holder would shoot first
    for link in world.links:
        link.cut = [True, True]
    world.audits.two_active = name
    end, daemon = world.now + failover_bound_ms(world) + world.faults.fence_timeout_ms, survivor.daemon
    while world.now < end and (survivor.resources[name].level < 2 or (daemon is not None and daemon.job)):
        world.run_until(world.now + 1)
    for plug in range(len(holder.outlets)):
        world.set_outlet(holder, plug, True)
    holder.miswired = False  # somebody found the wrong cable
    return survivor.resources[name].level == 2 and holder.resources[name].level == 2


def both_active(world: World, holder: Machine) -> None:
    """Rule 16: two active nodes hear each other. The lower epoch unmounts nothing (audits.py) and resets itself;
    where it cannot do that, the higher one fences it."""
    survivor, name = holder.peer, world.faults.groups[0][0]
    faults = world.faults
    if not faults.can_fence or faults.auto_failback or len(faults.groups) > 1 or not _fit_everywhere(world):
        return  # one group, that stays where it is: only this one is active twice
    able = world.rng.choice((True, False))
    if not able:
        holder.reset = lambda: None  # type: ignore[method-assign]
    if _falsely_taken(world, holder, name):
        boot_id = holder.boot_id
        for link in world.links:
            link.cut = [False, False]
        world.run_until(world.now + failover_bound_ms(world))
        told = holder.name in world.audits.resets
        expect(world, told, f"rule 16: {holder.name} has the lower epoch and does not reset itself")
        ended = f"{survivor.name} does not fence the lower epoch" if not able else f"{holder.name} goes on"
        expect(world, holder.boot_id != boot_id, f"rule 16: {ended}")
        expect(world, survivor.resources[name].level == 2, f"rule 16: {name} runs no more on {survivor.name}")
    for link in world.links:
        link.cut = [False, False]
    holder.__dict__.pop("reset", None)
    survivor.device_mode = "ok"
    world.run_until(world.now + failover_bound_ms(world))
    world.audits.two_active = ""


# --- ping nodes ------------------------------------------------------------------------------------


def _no_network(world: World, machine: Machine) -> None:
    for number in range(world.faults.pings):
        pings.lose(machine, number)


def _found_again(world: World) -> None:
    for machine in world.machines:
        for number in range(world.faults.pings):
            pings.find(machine, number)


def _cut_off_bound_ms(world: World) -> int:
    """A node that reaches nobody waits two turns longer, and no more."""
    return failover_bound_ms(world) + 2 * world.faults.fence_delay_ms


def _votes_travel(world: World) -> bool:
    """Whether each node hears how many ping nodes the other reaches: 1.0 has no line for it (design 0039)."""
    return all(machine.speaks == MINOR for machine in world.machines)


def ping_power(world: World, holder: Machine) -> None:
    """L1: the holder's power fails, and the survivor's ping nodes with it."""
    survivor = holder.peer
    if not world.faults.can_fence:
        return
    _no_network(world, survivor)
    holder.mains = False
    holder.power_changed()
    parked = {group.name for group in seen_groups(survivor) if group.parked}
    world.run_until(world.now + _cut_off_bound_ms(world))
    for name, _ in world.faults.groups:
        if name not in parked:
            expect(world, survivor.resources[name].level == 2, f"L1, ping: {name} does not run on {survivor.name}")
    holder.mains = True
    holder.power_changed()
    _found_again(world)


def ping_links(world: World, holder: Machine) -> None:
    """L3: all links cut, and one node, or both, cut off: exactly one survives; of one, it is the other."""
    faults = world.faults
    if not faults.can_fence:
        return
    shots = world.shots
    parked = {group.name for machine in world.machines for group in seen_groups(machine) if group.parked}
    alone = world.rng.choice((None, *world.machines))
    for machine in world.machines if alone is None else [alone]:
        _no_network(world, machine)
    for link in world.links:
        link.cut = [True, True]
    world.run_until(world.now + _cut_off_bound_ms(world))
    fired = world.shots - shots
    expect(world, fired >= 1, "L3, ping: no shot after all links were cut")
    told = fired == 1 and not parked and faults.deadtime_ms >= 6 * faults.keepalive_ms
    for name, _ in faults.groups:
        if alone is not None and told:
            running = _runs_on(world, name)
            expect(world, running == [alone.peer], f"ping: {name} runs on {alone.name}, which is cut off")
    if faults.boot_alone:  # as in all_links it moves the service once more, here by the last of all turns
        world.run_until(world.now + 200_000 + 4 * faults.fence_delay_ms)
    most = 2 if faults.boot_alone else 1
    fired = world.shots - shots
    expect(world, 1 <= fired <= most, f"L3, ping: {fired} shots after all links were cut")
    for name, _ in faults.groups:
        running = _runs_on(world, name)
        expect(world, len(running) == 1 or name in parked, f"L3, ping: {name} runs on {len(running)} nodes")
    for link in world.links:
        link.cut = [False, False]
    _found_again(world)


def ping_standby(world: World, holder: Machine) -> None:
    """A planned move to a node that reaches fewer is refused, and done when it reaches as many. Where one of them
    speaks 1.0 nothing is known of the other's ping nodes, and what is not known refuses nothing."""
    if world.faults.auto_failback or world.faults.ping_failover:
        return
    pings.lose(holder.peer, 0)
    world.run_until(world.now + 3 * world.faults.deadtime_ms)
    if not _votes_travel(world):
        standby(world, holder)
        pings.find(holder.peer, 0)
        return
    placed = placement(world)
    number = world.command(holder, Verb.STANDBY)
    world.run_until(world.now + 1_000)
    reply = world.replies.get(number)
    expect(world, reply is not None and reply.code is ExitCode.REFUSED, f"ping: standby was answered {reply}")
    expect(world, placement(world) == placed, "ping: a refused standby moved something")
    pings.find(holder.peer, 0)
    world.run_until(world.now + 3 * world.faults.deadtime_ms)
    standby(world, holder)


def ping_moves(world: World, holder: Machine) -> None:
    """ping_failover: a holder that reaches fewer gives its groups away, without a shot; else nothing moves."""
    faults = world.faults
    moves = faults.ping_failover and _votes_travel(world)
    seen = seen_groups(holder.peer)
    able = not any(group.failed_here or group.parked for group in seen) and not faults.auto_failback
    shots = world.shots
    held = [name for name, resource in holder.resources.items() if resource.active]
    pings.lose(holder, 0)
    moves_ms = PING_REST_MS + 4 * faults.deadtime_ms
    world.run_until(world.now + moves_ms + (faults.start_ms + faults.stop_ms) * len(held) + 20_000)
    expect(world, world.shots == shots, "ping: a ping node that does not answer led to a shot")
    for name in held if able else ():
        there = holder.peer.resources[name].level == 2
        expect(world, there is moves, f"ping: {name} runs on {holder.peer.name}: {there}")
    pings.find(holder, 0)


PING_SUBJECTS = (ping_power, ping_links, ping_standby, ping_moves)
LATER_SUBJECTS = (drill, drill_wrong_plug, debt_outlives_its_boot)
NAMED_SUBJECTS = (both_active,)  # not drawn: older seeds stay the runs they were
NEWER_SUBJECTS = (resource_gone, failed_start, two_rights, heard_after_off)
SUBJECTS = (nothing, one_link, power, all_links, daemon_restart, standby, clean_leave, stuck_switch)
