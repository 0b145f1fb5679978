"""A small world around two real cores, made to be copied: one group or two, one switch, and every choice a step.

Time is abstract. Each node has a clock of its own, as in reality; nothing compares them. A node's clock moves
by one beat (``tick``), or by more than deadtime while nothing arrives (``wait``, in parts below the
bound of a pause), or by that in one jump (``pause``). All delays of the core are at most one ``wait`` long, so
ages have two values: from before the last wait, or since.

The network keeps the last beat of each node: the next one overwrites it, so any beat can be lost without
being counted. A counted step *keeps* a copy, which may arrive at any later time, in any later life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    ExitCode,
    Fence,
    Note,
    Persist,
    PowerOn,
    Probe,
    ReadPlugs,
    Reply,
    SelfReset,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.core import Core
from failover_kit.manager.coredata import ShotKind
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    MonitorFailed,
    Persisted,
    PersistFailed,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    ShutdownRequested,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
    Tick,
    Verb,
)
from failover_kit.manager.records import (
    Beat,
    FenceEvidence,
    NodeRecord,
    PlugReading,
    PlugState,
)
from failover_kit.manager.states import GroupState, InvariantViolation, PeerState
from sim.smallparts import (
    DEADTIME_MS,
    KEEPALIVE_MS,
    LINK,
    NODES,
    PAUSE_MS,
    SHOT_MS,
    STEP_MS,
    WAIT_PART_MS,
    WAIT_PARTS,
    Budget,
    Setting,
    Violation,
    copy_core,
)

# --- the world ---------------------------------------------------------------------------------------

STOPPED, PARTIAL, RUNNING = 0, 1, 2
TIME_PASSES = "time passes"
_NOT_HEARD = (PeerState.SILENT, PeerState.NEVER_HEARD)
_OUTCOME = {STOPPED: ProbeOutcome.STOPPED, PARTIAL: ProbeOutcome.DOUBT, RUNNING: ProbeOutcome.RUNNING}


class World:
    """Two nodes, their disks, resources and plugs, the beats between them, and what may still go wrong.

    A world that was handed out is never changed: a step copies it first, and copies the one core it touches.
    """

    __slots__ = (
        "agents",
        "boots",
        "budget",
        "channel",
        "clock",
        "cores",
        "devices",
        "disks",
        "drills",
        "kept",
        "lives",
        "orders",
        "persists",
        "plugs",
        "resources",
        "setting",
        "still",
        "told",
        "up",
    )

    def __init__(self, setting: Setting, budget: Budget) -> None:
        self.setting = setting
        self.budget = budget
        self.cores: list[Core | None] = [None, None]
        self.clock = [10_000, 10_000]
        self.lives = [0, 0]
        self.boots = [1, 1]
        self.up = [True, True]  # the kernel runs
        self.plugs = [True, True]
        self.disks: list[NodeRecord | None] = [None, None]
        # By node, then by group in the order of the configuration.
        self.resources: list[tuple[int, ...]] = [setting.nothing_runs, setting.nothing_runs]
        self.agents: list[tuple[Probe | Start | Stop | None, ...]] = [setting.no_agents, setting.no_agents]
        self.persists: list[Persist | None] = [None, None]
        self.devices: list[Fence | PowerOn | ReadPlugs | None] = [None, None]
        self.drills = [0, 0]  # the boot of the other node that the last drill of each node cut; 0 = none
        self.channel: list[Beat | None] = [None, None]  # by sender
        self.kept: tuple[Beat, ...] = ()
        self.orders = 0  # commands given so far
        self.still = False  # an operator was told that the pair is in maintenance
        self.told: list[tuple[int, Action]] | None = None  # a list while a schedule is being narrated
        for index in (0, 1):
            self._begin(index)

    def _copy(self) -> World:
        new = World.__new__(World)
        for name in ("setting", "budget", "kept", "orders", "still", "told"):
            setattr(new, name, getattr(self, name))
        for name in _LISTS:
            setattr(new, name, list(getattr(self, name)))
        return new

    def spend(self, **kinds: int) -> World:
        """A copy with less of the budget."""
        new = self._copy()
        new.budget = replace(self.budget, **{k: getattr(self.budget, k) - n for k, n in kinds.items()})
        return new

    # --- a core's turn -------------------------------------------------------------------------------

    def _begin(self, index: int) -> None:
        """A new life of failoverd."""
        self.lives[index] += 1
        node = NODES[index]
        self.cores[index] = Core(
            self.setting.config(index, self.lives[index]),
            boot_id=f"{node}-boot{self.boots[index]}",
            nonce=f"{node}-life{self.lives[index]}",
            stored=self.disks[index],
            now_ms=self.clock[index],
        )
        self._turn(index, Tick())

    def _hand(self, index: int, event: Event) -> World:
        """Let one event happen to a node; the receiver is a copy already, its core is not."""
        core = self.cores[index]
        if core is not None:
            self.cores[index] = copy_core(core)
            self._turn(index, event)
        return self

    def _turn(self, index: int, event: Event) -> None:
        core = self.cores[index]
        if core is None:
            return
        try:
            actions = core.handle(self.clock[index], event)
        except InvariantViolation as broken:
            raise Violation(f"{NODES[index]}: {broken}") from broken
        for action in actions:
            self._perform(index, core, action)
        self.audit()
        if not self.setting.slow_disks and (persist := self.persists[index]) is not None:
            self.persists[index] = None
            self.disks[index] = persist.record
            self._turn(index, Persisted(persist.token))
        if not self.setting.slow_probes:
            for place in range(len(self.setting.groups)):
                probe = self.agents[index][place]
                if isinstance(probe, Probe):
                    self._agent_is(index, place, None)
                    self._turn(index, Probed(probe.group, probe.op, _OUTCOME[self.resources[index][place]]))

    def _perform(self, index: int, core: Core, action: Action) -> None:
        if self.told is not None and not isinstance(action, SendBeat):
            self.told.append((index, action))
        if self.still and isinstance(action, Probe | Start | Stop | Fence):
            raise Violation(f"{NODES[index]} acts in maintenance: {type(action).__name__.lower()}")
        match action:
            case SendBeat():
                self.channel[index] = action.beat
            case Persist():
                if self.persists[index] is not None:
                    raise Violation(f"{NODES[index]}: two records on their way to the disk at once")
                self.persists[index] = action
                self._audit_record(index, action)
            case Start():
                why = core.may_start(action.group)
                if why:
                    raise Violation(f"{NODES[index]}: start ordered although {why}")
                self._runs(index, self.setting.place(action.group), PARTIAL)
                self._agent_is(index, self.setting.place(action.group), action)
            case Stop():
                place = self.setting.place(action.group)
                if self.setting.two_active and self.resources[1 - index][place]:
                    raise Violation(f"{NODES[index]} unmounts what {NODES[1 - index]} has mounted, too")
                self._runs(index, place, min(self.resources[index][place], PARTIAL))
                self._agent_is(index, place, action)
            case Probe():
                self._agent_is(index, self.setting.place(action.group), action)
            case Fence() | PowerOn() | ReadPlugs():
                if self.devices[index] is not None:
                    raise Violation(f"{NODES[index]}: two calls to the switch at once")
                self.devices[index] = action
                if isinstance(action, Fence):
                    self._audit_shot(index, core)
                    self._audit_turn(index)
                if core.drill is not None and isinstance(action, Fence):
                    self._audit_drill(index)
            case CancelPowerOn():
                pass  # its PowerOnDone still comes, switched or not
            case SelfReset() if self.setting.two_active:
                self._dies(index)
            case SelfReset():
                raise Violation(f"{NODES[index]} resets itself: {action.reason}")
            case Exit():
                self.cores[index] = None
                self.agents[index] = self.setting.no_agents
                self.devices[index] = None
            case Reply():
                begun = self.setting.maintenance and action.code is ExitCode.DONE
                self.still = begun or self.still
            case Note():
                pass

    # --- what must always hold -----------------------------------------------------------------------

    def audit(self) -> None:
        """Never two nodes with the group possibly active, never two with a right they could use."""
        if self.setting.two_active:
            return
        swapped = self.setting.reads_edited(1, self.lives[1])
        for place in range(len(self.setting.groups)):
            if swapped and self.resources[0][place] and self.resources[1][1 - place]:
                raise Violation(f"the disk{self.setting.called(place)} is mounted on both nodes")
            if not swapped and self.resources[0][place] and self.resources[1][place]:
                raise Violation(f"the group{self.setting.called(place)} is active on both nodes")
            mine, other = self.usable_right(0, place), self.usable_right(1, place)
            if mine and other:
                raise Violation(
                    f"both nodes have a right they can use{self.setting.called(place)}: "
                    f"{NODES[0]} epoch {mine}, {NODES[1]} epoch {other}"
                )

    def _audit_shot(self, index: int, core: Core) -> None:
        """Rules 12, 14, 15, 21: what a shot nobody ordered must never hit. What was heard is the core's to say."""
        node, peer, shot, heard = NODES[index], NODES[1 - index], core.shot, core.hearing
        assert shot is not None
        if shot.kind is ShotKind.ASKED:
            asks = heard.beat is not None and any(c.fence_me and c.fence_me == c.right for c in heard.beat.groups)
            if not asks:
                raise Violation(f"{node} shoots {peer}, which does not ask for it any more")
        if shot.kind is not ShotKind.SILENT:
            return
        two_way_ms = heard.last_two_way_ms
        if two_way_ms is not None and core.now_ms - two_way_ms < DEADTIME_MS:
            raise Violation(f"{node} shoots {peer}, which it hears and which hears it")
        if core.born_ms < core.stalled_at_ms and core.now_ms - core.stalled_at_ms < DEADTIME_MS:
            raise Violation(f"{node} shoots {peer} for a silence that was its own pause")
        contact = core.durable.contact and core.durable.boot_id == core.boot_id
        if not contact and not self.setting.boot_alone:
            raise Violation(f"{node} shoots {peer} and has heard nobody since its own boot")

    def _audit_turn(self, index: int) -> None:
        """Rules 10, 11: never both at once, and of two that live the one that serves is first."""
        node, peer = NODES[index], NODES[1 - index]
        if not self.setting.one_clock or not _cuts(self.devices[index]):
            return
        if _cuts(self.devices[1 - index]):
            raise Violation(f"{node} and {peer} cut each other at once: nobody may be left")
        if RUNNING in self.resources[1 - index] and not any(self.resources[index]):
            raise Violation(f"{node}, which serves nothing, cuts {peer}, which serves")

    def _rests_alone(self, index: int) -> bool:
        """Nobody serves, the peer is not heard, and this node has asked for nothing that could still come."""
        core = self.cores[index]
        if core is None or core.peer_state not in _NOT_HEARD or any(map(any, self.resources)):
            return False
        return core.shot is None and not any((self.devices[index], self.persists[index], *self.agents[index]))

    def _only_looks(self, index: int) -> bool:
        """As before, but for a look at the plugs of the peer, which switches nothing: it is repeated for ever."""
        core, device = self.cores[index], self.devices[index]
        if core is None or not isinstance(device, Fence) or not device.only_if_off:
            return self._rests_alone(index)
        return not any((self.persists[index], *self.agents[index], *map(any, self.resources)))

    def _audit_status(self, index: int) -> None:
        """Rule 26: what is forbidden is shown with what the operator can do."""
        core = self.cores[index]
        if core is not None and not core.view(self.clock[index]).todo:
            raise Violation(f"nobody serves, {NODES[index]} waits for nothing, and its status names nothing to do")

    def _audit_drill(self, index: int) -> None:
        """Rule 25: a drill never cuts a node that has anything."""
        places = range(len(self.setting.groups))
        if any(self.resources[1 - index]) or any(self.usable_right(1 - index, place) for place in places):
            raise Violation(f"{NODES[index]}: a drill cuts a node that is not passive")
        self.drills[index] = self.boots[1 - index]

    def _audit_record(self, index: int, action: Persist) -> None:
        """Rule 25: a proof on its way to the disk means that the boot which was cut has ended."""
        before, after = self.disks[index], action.record.drilled
        if after is None or not after.ok or (before is not None and before.drilled == after):
            return
        if not 0 < self.drills[index] < self.boots[1 - index]:
            raise Violation(f"{NODES[index]}: a proof of a boot that has not ended")

    def usable_right(self, index: int, place: int = 0) -> int:
        """The epoch under which a node may start or goes on running, now or after a restart; 0 = none."""
        if not self.up[index]:
            return 0
        core = self.cores[index]
        if core is None:
            record = self.disks[index]
            if record is None or record.boot_id != f"{NODES[index]}-boot{self.boots[index]}":
                return 0
            name = self.setting.groups[place]
            return next((g.right for g in record.groups if g.name == name and not g.grant), 0)
        name = self.setting.groups[place]
        wanted, durable = core.wanted_groups[name], core.durable_groups[name]
        if wanted.grant or wanted.right != durable.right or core.groups[name].tainted_epoch == wanted.right:
            return 0
        return wanted.right

    def epoch(self) -> int:
        """The highest epoch anybody knows of."""
        names = self.setting.groups
        return max((core.known_epoch(name) for core in self.cores if core is not None for name in names), default=0)

    # --- writers -------------------------------------------------------------------------------------

    def _runs(self, index: int, place: int, level: int) -> None:
        levels = self.resources[index]
        self.resources[index] = (*levels[:place], level, *levels[place + 1 :])

    def _agent_is(self, index: int, place: int, agent: Probe | Start | Stop | None) -> None:
        agents = self.agents[index]
        self.agents[index] = (*agents[:place], agent, *agents[place + 1 :])

    # --- steps ---------------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[str, Callable[[], World]]]:
        """Everything that can happen next: a sentence and the world after it."""
        if self.setting.one_clock and 0 < self.budget.waits < 99 and not any(map(self._shot_is_due, (0, 1))):
            yield TIME_PASSES, self._time_passes
        for index in (0, 1):
            if self.cores[index] is not None:
                if not self.setting.one_clock or self.budget.waits == 99:  # 99: on the way to the beginning
                    yield from self._time(index)
                yield from self._beats(index)
                yield from self._answers(index)
                yield from self._operator(index)
            yield from self._troubles(index)

    def _time(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node = NODES[index]
        yield f"{node}: its next beat is due", lambda: self._copy()._advance(index, KEEPALIVE_MS)
        if self.budget.waits == 99:
            yield f"{node}: hears nothing for deadtime", lambda: self._copy()._wait(index)
        elif self.budget.waits:
            yield f"{node}: hears nothing for deadtime", lambda: self.spend(waits=1)._wait(index)
        if self.budget.pauses:
            yield (
                f"{node}: does not run for longer than deadtime",
                lambda: self.spend(pauses=1)._advance(index, PAUSE_MS),
            )

    def _advance(self, index: int, step_ms: int) -> World:
        self.clock[index] += step_ms
        return self._hand(index, Tick())

    def _wait(self, index: int) -> World:
        rested = self.setting.status and self._rests_alone(index)
        for _ in range(WAIT_PARTS):
            self._advance(index, WAIT_PART_MS)
        if rested and self._only_looks(index):
            self._audit_status(index)
        return self

    def _shot_is_due(self, index: int) -> bool:
        """A shot that has taken as long as one may: it ends before time goes on."""
        core = self.cores[index]
        shot = core.shot if core is not None else None
        return core is not None and shot is not None and shot.op != 0 and core.now_ms - shot.fired_ms >= SHOT_MS

    def _time_passes(self) -> World:
        """For both nodes; a beat arrives within a step of time or never."""
        new = self.spend(waits=1)
        new.channel = [None, None]
        for index in (0, 1):
            new._advance(index, STEP_MS)
        return new

    def _beats(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        """Reception by ``index``, and what the network keeps of what it sent."""
        node, peer = NODES[index], NODES[1 - index]
        beat = self.channel[1 - index]
        if beat is not None:
            yield f"{node}: the last beat of {peer} arrives", lambda: self._receive(index, beat)
        for position, late in enumerate(self.kept):
            if late.node == peer:
                yield (
                    f"{node}: kept beat {position + 1} arrives ({late.nonce})",
                    partial(self._receive_kept, index, position),
                )
        own = self.channel[index]
        if own is not None and self.budget.kept:
            yield f"the network keeps the last beat of {node}", lambda: self._keep(own)

    def _receive(self, index: int, beat: Beat) -> World:
        new = self._copy()
        new.channel[1 - index] = None
        return new._hand(index, BeatReceived(LINK, beat))

    def _receive_kept(self, index: int, position: int) -> World:
        new = self._copy()
        new.kept = self.kept[:position] + self.kept[position + 1 :]
        return new._hand(index, BeatReceived(LINK, self.kept[position]))

    def _keep(self, beat: Beat) -> World:
        new = self.spend(kept=1)
        new.kept = (*self.kept, beat)
        return new

    # --- what the shell, the agents and the switch answer --------------------------------------------

    def _answers(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node = NODES[index]
        if self.persists[index] is not None:
            yield f"{node}: the record is on its disk", lambda: self._persisted(index)
            if self.budget.persist_failures:
                for written in (False, True):
                    yield (
                        f"{node}: writing the record fails (the disk has the {'new' if written else 'old'} one)",
                        partial(self._persist_failed, index, written),
                    )
        for place in range(len(self.setting.groups)):
            yield from self._agent_answers(index, place)
        if self.devices[index] is not None:
            yield from self._switch(index)

    def _agent_answers(self, index: int, place: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node, of_group = NODES[index], self.setting.called(place)
        agent = self.agents[index][place]
        if agent is not None:
            kind = type(agent).__name__.lower() + of_group
            yield f"{node}: its {kind} succeeds", lambda: self._agent_ok(index, place)
            if self.budget.agent_failures and not isinstance(agent, Probe):
                yield f"{node}: its {kind} fails", lambda: self._agent_failed(index, place)
        elif self.budget.agent_failures and self.resources[index][place] == RUNNING:
            yield f"{node}: a monitor{of_group} fails", lambda: self._monitor_failed(index, place)

    def _persisted(self, index: int) -> World:
        new = self._copy()
        persist = new.persists[index]
        assert persist is not None
        new.persists[index] = None
        new.disks[index] = persist.record
        return new._hand(index, Persisted(persist.token))

    def _persist_failed(self, index: int, written: bool) -> World:
        new = self.spend(persist_failures=1)
        persist = new.persists[index]
        assert persist is not None
        new.persists[index] = None
        if written:
            new.disks[index] = persist.record
        return new._hand(index, PersistFailed(persist.token, "full"))

    def _agent_ok(self, index: int, place: int) -> World:
        new = self._copy()
        agent = new.agents[index][place]
        assert agent is not None
        new._agent_is(index, place, None)
        match agent:
            case Start():
                new._runs(index, place, RUNNING)
                return new._hand(index, Started(agent.group, agent.op))
            case Stop():
                new._runs(index, place, STOPPED)
                return new._hand(index, Stopped(agent.group, agent.op))
        return new._hand(index, Probed(agent.group, agent.op, _OUTCOME[new.resources[index][place]]))

    def _agent_failed(self, index: int, place: int) -> World:
        new = self.spend(agent_failures=1)
        agent = new.agents[index][place]
        assert isinstance(agent, Start | Stop)
        new._agent_is(index, place, None)
        if isinstance(agent, Start):
            return new._hand(index, StartFailed(agent.group, agent.op, "disk", "failed"))
        return new._hand(index, StopFailed(agent.group, agent.op, "disk", "failed"))

    def _monitor_failed(self, index: int, place: int) -> World:
        new = self.spend(agent_failures=1)
        core = new.cores[index]
        assert core is not None
        name = self.setting.groups[place]
        return new._hand(index, MonitorFailed(name, core.groups[name].watch_op, "disk", "failed"))

    def _switch(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node, peer, device = NODES[index], NODES[1 - index], self.devices[index]
        match device:
            case Fence():
                able = self.budget.resets or not self.up[1 - index]
                if self.plugs[1 - index] and able and not device.only_if_off:
                    yield f"the switch cuts the power of {peer}", lambda: self._cut(index)
                if not self.plugs[1 - index]:
                    yield f"{node}: its shot is read back OFF", lambda: self._shot_done(index)
                elif device.only_if_off:
                    yield (
                        f"{node}: the plugs of {peer} read ON, nothing is switched",
                        lambda: self._shot_done(index),
                    )
                if self.budget.device_failures:
                    yield f"{node}: its shot fails", lambda: self._shot_failed(index)
                if self.budget.false_reads and self.plugs[1 - index]:
                    yield f"{node}: its shot is read back OFF, falsely", lambda: self._shot_read_falsely(index)
            case PowerOn():
                yield f"the switch gives {peer} its power", lambda: self._powered(index)
                if self.budget.device_failures:
                    yield f"{node}: power-on of {peer} fails", lambda: self._not_powered(index)
            case ReadPlugs():
                yield f"{node}: reads the plugs of {peer}", lambda: self._read(index)

    def _device_gone(self, index: int, **spent: int) -> tuple[World, int]:
        new = self.spend(**spent) if spent else self._copy()
        device = new.devices[index]
        assert device is not None
        new.devices[index] = None
        return new, device.op

    def _cut(self, index: int) -> World:
        """The outlet of the peer really goes off, while the shot is under way."""
        new = self.spend(resets=int(self.up[1 - index]))
        new.plugs[1 - index] = False
        new._dies(1 - index)
        return new

    def _evidence(self, index: int, *, off_exit: int | None, state: PlugState) -> FenceEvidence:
        now_ms = self.clock[index]
        reading = PlugReading(
            device="switch",
            plug="1",
            off_exit=off_exit,
            off_began_ms=now_ms,
            off_ended_ms=now_ms,
            read_began_ms=now_ms,
            state=state,
        )
        return FenceEvidence(readings=(reading,), in_time=True)

    def _shot_done(self, index: int) -> World:
        """What is read back is the truth."""
        new, op = self._device_gone(index)
        if new.plugs[1 - index]:
            evidence = FenceEvidence(readings=(), in_time=True, reason="its plugs read ON")
        else:
            evidence = self._evidence(index, off_exit=0, state=PlugState.OFF)
        return new._hand(index, FenceDone(op, evidence))

    def _shot_failed(self, index: int) -> World:
        """Off reported success but ON is read back; or, after a real cut, the agent was killed before it read."""
        new, op = self._device_gone(index, device_failures=1)
        if new.plugs[1 - index]:
            evidence = self._evidence(index, off_exit=0, state=PlugState.ON)
        else:
            evidence = self._evidence(index, off_exit=None, state=PlugState.UNKNOWN)
        return new._hand(index, FenceDone(op, evidence))

    def _shot_read_falsely(self, index: int) -> World:
        """Off went to plugs that are not the peer's: they read OFF, and it lives on."""
        new, op = self._device_gone(index, false_reads=1)
        return new._hand(index, FenceDone(op, self._evidence(index, off_exit=0, state=PlugState.OFF)))

    def _powered(self, index: int) -> World:
        new, op = self._device_gone(index)
        new.plugs[1 - index] = True
        return new._hand(index, PowerOnDone(op, True))

    def _not_powered(self, index: int) -> World:
        new, op = self._device_gone(index, device_failures=1)
        return new._hand(index, PowerOnDone(op, False, "no answer"))

    def _read(self, index: int) -> World:
        new, op = self._device_gone(index)
        return new._hand(index, PlugsRead(op, PlugState.ON if new.plugs[1 - index] else PlugState.OFF))

    # --- orders --------------------------------------------------------------------------------------

    def _operator(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node, peer, core = NODES[index], NODES[1 - index], self.cores[index]
        assert core is not None
        if self.budget.moves and not core.orders:
            for name in self.setting.groups:
                yield from self._moves(index, core, name)
        if self.setting.maintenance and not self.orders:
            yield f"{node}: failoverctl maintenance on", lambda: self._order(index, Verb.MAINTENANCE_ON)
        if self.budget.fence_orders:
            yield f"{node}: failoverctl fence {peer}", lambda: self._order(index, Verb.FENCE, fence_orders=1)
        if self.budget.proves and core.drill is None:
            yield f"{node}: failoverctl fence --prove {peer}", lambda: self._order(index, Verb.PROVE, proves=1)
        if self.budget.confirms and (self.setting.rash_operator or not self.up[1 - index]):
            yield (
                f"{node}: failoverctl confirm-dead {peer}",
                lambda: self._order(index, Verb.CONFIRM_DEAD, confirms=1),
            )
        if self.budget.leaves and not core.shutting_down:
            yield f"{node}: failoverd is asked to end", lambda: self._leave(index)

    def _moves(self, index: int, core: Core, name: str) -> Iterator[tuple[str, Callable[[], World]]]:
        """Of a pair with one group the orders name none, as people give them."""
        groups = (name,) if len(self.setting.groups) > 1 else ()
        words = " ".join(("", *groups))
        has = bool(core.wanted_groups[name].right)
        if has and core.groups[name].state is GroupState.STARTED:
            yield (
                f"{NODES[index]}: failoverctl standby{words}",
                lambda: self._order(index, Verb.STANDBY, groups, moves=1),
            )
        elif not has:
            yield (
                f"{NODES[index]}: failoverctl takeover{words}",
                lambda: self._order(index, Verb.TAKEOVER, groups, moves=1),
            )

    def _order(self, index: int, verb: Verb, groups: tuple[str, ...] = (), **spent: int) -> World:
        new = self.spend(**spent)
        new.orders += 1
        target = NODES[1 - index] if verb in (Verb.FENCE, Verb.CONFIRM_DEAD, Verb.PROVE) else ""
        return new._hand(index, Command(new.orders, verb, groups, target))

    def _leave(self, index: int) -> World:
        return self.spend(leaves=1)._hand(index, ShutdownRequested())

    # --- crashes, power --------------------------------------------------------------------------------

    def _troubles(self, index: int) -> Iterator[tuple[str, Callable[[], World]]]:
        node = NODES[index]
        if self.cores[index] is not None and self.budget.crashes:
            yield from self._ends(index, f"{node}: failoverd dies", self._crash)
        if self.up[index] and self.budget.resets:
            yield from self._ends(index, f"{node}: loses its power", self._reset)
        if self.up[index] and self.cores[index] is None:
            yield f"{node}: failoverd starts", lambda: self._start_daemon(index, written=False)
            if self.persists[index] is not None:
                yield (
                    f"{node}: failoverd starts, after its last record reached the disk",
                    lambda: self._start_daemon(index, written=True),
                )
        if not self.up[index] and self.plugs[index]:
            yield f"{node}: boots", lambda: self._boot(index)

    def _ends(
        self, index: int, what: str, end: Callable[[int, bool, bool], World]
    ) -> Iterator[tuple[str, Callable[[], World]]]:
        """One end, for each thing that may be found on the disk afterwards."""
        yield what, lambda: end(index, False, False)
        if self.persists[index] is not None:
            yield f"{what} (its disk has the new record)", lambda: end(index, True, False)
        if self.budget.lost_state and self.disks[index] is not None:
            yield f"{what} and loses its state directory", lambda: end(index, False, True)

    def _crash(self, index: int, written: bool, lost: bool) -> World:
        new = self.spend(crashes=1, lost_state=int(lost))
        new._disk_after(index, written, lost)
        # An unfinished start or stop leaves the group half running: the next life's probe kills what is left.
        new._silence(index)
        return new

    def _reset(self, index: int, written: bool, lost: bool) -> World:
        new = self.spend(resets=1, lost_state=int(lost))
        new._disk_after(index, written, lost)
        new._dies(index)
        return new

    def _disk_after(self, index: int, written: bool, lost: bool) -> None:
        persist = self.persists[index]
        if written and persist is not None:
            self.disks[index] = persist.record
        if lost:
            self.disks[index] = None

    def _silence(self, index: int) -> None:
        self.drills[index] = 0
        self.cores[index] = None
        self.persists[index] = None
        self.agents[index] = self.setting.no_agents
        self.devices[index] = None

    def _dies(self, index: int) -> None:
        self._silence(index)
        self.up[index] = False
        self.resources[index] = self.setting.nothing_runs

    def _start_daemon(self, index: int, *, written: bool) -> World:
        new = self._copy()
        new._disk_after(index, written, lost=False)
        new.persists[index] = None
        new._begin(index)
        return new

    def _boot(self, index: int) -> World:
        new = self._copy()
        new.up[index] = True
        new.boots[index] += 1
        new._begin(index)
        return new


def _cuts(device: Fence | PowerOn | ReadPlugs | None) -> bool:
    """Whether it is a shot, and not a look that switches nothing."""
    return isinstance(device, Fence) and not device.only_if_off


_LISTS = (
    "agents",
    "boots",
    "channel",
    "clock",
    "cores",
    "devices",
    "disks",
    "drills",
    "lives",
    "persists",
    "plugs",
    "resources",
    "up",
)


def in_short(action: Action) -> str:
    """An action in few words."""
    match action:
        case Note():
            return f"says: {action.text}"
        case Persist():
            several = len(action.record.groups) > 1
            return "writes: " + "; ".join(
                f"{group.name + ': ' if several else ''}right {group.right}, top {group.top}, grant {group.grant}"
                f"{' to ' + group.grant_nonce if group.grant else ''}{', held' if group.held else ''}"
                for group in action.record.groups
            )
        case Reply():
            return f"answers: {action.code.name}, {action.text}"
    return type(action).__name__.lower()
