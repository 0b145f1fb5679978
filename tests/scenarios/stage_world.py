"""Two nodes, two links, a power switch and one clock, all of them simple and all of them exact.

Nothing here is random: each thing takes the same time whenever it is done. The cores are the real ones;
everything else does only what a command of the story makes it do (``stage.py``). What is *really* so is
kept here and written with ``--``, so a reader can compare it with what the nodes say.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace

from failover_kit.manager import dialect
from failover_kit.manager.actions import (
    Action,
    CancelPowerOn,
    Exit,
    Fence,
    Level,
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
from failover_kit.manager.events import (
    BeatReceived,
    Event,
    FenceDone,
    MonitorFailed,
    Persisted,
    PersistFailed,
    PingsSeen,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
    Tick,
)
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    CoreGroup,
    FenceEvidence,
    NodeRecord,
    PlugReading,
    PlugState,
)

NODES = ("pete", "mclaws")

# How long things take, in milliseconds. Different from each other, so that a time tells what ended.
LINK_MS = {"eth1": 1, "ttyS0": 15}
PERSIST_MS = 5
PROBE_MS = 60
START_MS = 400
STOP_MS = 300
ACTION_TIMEOUT_MS = 10_000
PLUG_READ_MS = 300
PLUG_SWITCH_MS = 700
BOOT_MS = 20_000
ECHO_MS = 250  # until a ping node that answers is known to

CONFIG = CoreConfig(
    node="",
    peer="",
    groups=(CoreGroup(name="cluster", home="pete"),),
    links=tuple(LINK_MS),
    keepalive_ms=200,
    warntime_ms=1_000,
    deadtime_ms=2_000,
    initdead_ms=4_000,
    auto_failback=False,
    can_fence=True,
    fence_delay_ms=8_000,
    fence_power_on=True,
    monitor_interval_ms=5_000,
    move_timeout_ms=60_000,
    digest="the same on both",
    fencing_digest="the same switch",
    prove_timeout_ms=60_000,
    minor=dialect.MINOR,
)


class StageError(Exception):
    """The story cannot go on: a command makes no sense now, or two nodes have a group active."""


class Service:
    """A group's resources on one node, as they really are."""

    def __init__(self) -> None:
        self.level = 0  # 0 stopped, 1 some of it runs, 2 all of it runs
        self.start_does = "works"  # or "fails"
        self.stop_does = "works"  # or "fails" or "hangs"


class World:
    """The clock, the links, the nodes and the transcript."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.config = CONFIG
        self.lines: list[str] = []
        self.cut: set[tuple[str, str]] = set()  # (link, sending node)
        self.nodes: dict[str, Node] = {}
        self.switch = Switch(self)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def build(self) -> None:
        """Make the nodes, once the configuration is settled."""
        if not self.nodes:
            self.nodes = {name: Node(self, name) for name in NODES}

    def say(self, text: str) -> None:
        self.lines.append(f"{self.now_ms / 1000:6.1f} {text}")

    def fact(self, text: str) -> None:
        """What is really so, as nobody in the story may know."""
        self.say(f"-- {text}")

    def later(self, delay_ms: int, call: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self.now_ms + delay_ms, self._number, call))

    def run(self, duration_ms: int) -> None:
        """Let time pass. After each step no group may be active on two nodes."""
        end_ms = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= end_ms:
            self.now_ms, _, call = heapq.heappop(self._queue)
            call()
            self.audit()
        self.now_ms = end_ms

    def audit(self) -> None:
        for group in self.config.groups:
            active = [node.name for node in self.nodes.values() if node.services[group.name].level]
            if len(active) > 1:
                raise StageError(f"at {self.now_ms} ms group {group.name} is active on {' and '.join(active)}")

    def send(self, sender: Node, beat: Beat) -> None:
        for link, delay_ms in LINK_MS.items():
            if (link, sender.name) not in self.cut:
                self.later(delay_ms, lambda link=link: sender.peer().receive(link, beat))  # type: ignore[misc]


class Node:
    """A machine: power, a disk, the resources, and failoverd while it runs."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.mains = False  # there is power at the wall
        self.boots_by_itself = True  # when power returns
        self.plug_on = True  # the outlet of the switch
        self.power_number = 0  # grows with each change, so a boot that was cut short stays cut short
        self.boots = 0
        self.lives = 0
        self.alive = False  # the machine runs
        self.core: Core | None = None
        self.digest = world.config.digest
        self.record: NodeRecord | None = None
        self.disk_full = False
        self.paused_until_ms = 0
        self.services = {group.name: Service() for group in world.config.groups}
        self.watched: dict[str, int] = {}
        self.orders: dict[int, str] = {}
        self.power_on_op = 0
        self.lost_ms: dict[str, int] = {}  # since when ping nodes do not answer it
        self.seen = PingsSeen(())
        self.answered = False  # some ping node did, in this life of failoverd

    def peer(self) -> Node:
        return next(node for node in self.world.nodes.values() if node is not self)

    # --- power -------------------------------------------------------------------------------------

    def power_changed(self) -> None:
        """Power comes or goes: at the wall or at the switch."""
        self.power_number += 1
        if self.mains and self.plug_on:
            if not self.boots_by_itself:
                self.world.fact(f"{self.name}: has power and does not boot")
                return
            self.world.fact(f"{self.name}: has power and boots")
            power = self.power_number
            self.world.later(BOOT_MS, lambda: self.boot() if power == self.power_number else None)
        elif self.alive:
            self.die()

    def die(self) -> None:
        self.world.fact(f"{self.name}: is without power, everything on it ended")
        self.alive = False
        self.end_daemon()
        for service in self.services.values():
            service.level = 0

    def boot(self) -> None:
        self.alive = True
        self.boots += 1
        self.start_daemon()

    # --- failoverd ---------------------------------------------------------------------------------

    def start_daemon(self) -> None:
        self.lives += 1
        self.world.fact(f"{self.name}: failoverd starts")
        self.core = Core(
            replace(self.world.config, node=self.name, peer=self.peer().name, digest=self.digest),
            boot_id=f"{self.name}.{self.boots}",
            nonce=f"{self.name} life {self.lives}",
            stored=self.record,
            now_ms=self.world.now_ms,
        )
        self.seen, self.answered = PingsSeen((None,) * len(self.world.config.pings)), False
        self.handle(Tick())
        self.pings_change()

    # --- ping nodes --------------------------------------------------------------------------------

    def pings_change(self) -> None:
        """Something answers or does not any more: failoverd finds out in its time."""
        if self.core is not None and self.world.config.pings:
            quiet_ms, deadping_ms = self.world.config.deadtime_ms // 2, self.world.config.deadping_ms
            for wait_ms in (ECHO_MS, quiet_ms, deadping_ms):
                self.later(wait_ms, self.look)

    def look(self) -> None:
        now_ms, config = self.world.now_ms, self.world.config
        lost_ms = [self.lost_ms.get(ping) for ping in config.pings]
        lost = [None if at is None else now_ms - max(at, self.core.born_ms if self.core else 0) for at in lost_ms]
        self.answered = self.answered or None in lost
        reached = tuple(
            True if for_ms is None else False if for_ms >= config.deadping_ms else was
            for for_ms, was in zip(lost, self.seen.reached, strict=True)
        )
        silent = all(for_ms is not None and for_ms >= config.deadtime_ms // 2 for for_ms in lost)
        seen = PingsSeen(reached, quiet=self.answered and silent)
        if seen != self.seen:
            self.seen = seen
            self.handle(seen)

    def end_daemon(self) -> None:
        """failoverd and the agents it was running are gone; what they started stays."""
        self.core = None
        self.lives += 1
        self.orders.clear()
        self.watched.clear()
        self.paused_until_ms = 0

    def later(self, delay_ms: int, call: Callable[[], None]) -> None:
        """For what ends with this life of failoverd; while it is paused, nothing of it happens."""
        life = self.lives

        def happen() -> None:
            if life != self.lives:
                return
            if self.paused_until_ms > self.world.now_ms:
                self.world.later(self.paused_until_ms - self.world.now_ms, happen)
            else:
                call()

        self.world.later(delay_ms, happen)

    def handle(self, event: Event) -> None:
        core = self.core
        if core is None:
            return
        for action in core.handle(self.world.now_ms, event):
            self.perform(action)
        if self.core is core:
            at_ms = core.deadline_ms()
            self.later(max(0, at_ms - self.world.now_ms), lambda: self.tick(at_ms))

    def tick(self, at_ms: int) -> None:
        if self.core is not None and self.core.deadline_ms() == at_ms:
            self.handle(Tick())

    def receive(self, link: str, beat: Beat) -> None:
        if self.core is not None:
            self.later(0, lambda: self.handle(BeatReceived(link, beat)))

    # --- what the core asks for --------------------------------------------------------------------

    def perform(self, action: Action) -> None:
        match action:
            case SendBeat():
                self.world.send(self, action.beat)
            case Note():
                loud = "" if action.level is Level.INFO else f"{action.level.value.upper()}: "
                self.world.say(f"{self.name}: {loud}{action.text}")
            case Reply():
                order = self.orders.pop(action.id)
                code = action.code.name.lower().replace("_", " ")
                self.world.say(f"{self.name}: {order}: {code}: {action.text}")
            case Persist():
                self.later(PERSIST_MS, lambda: self.persist(action))
            case Probe():
                self.later(PROBE_MS, lambda: self.probe(action))
            case Start():
                self.start(action)
            case Stop():
                self.stop(action)
            case Fence():
                self.world.switch.fence(self, action)
            case PowerOn():
                self.power_on_op = action.op
                self.later(PLUG_SWITCH_MS + PLUG_READ_MS, lambda: self.world.switch.power_on(self, action))
            case CancelPowerOn():
                self.power_on_op = 0
                self.later(1, lambda: self.handle(PowerOnDone(action.op, False, "it was called off")))
            case ReadPlugs():
                self.later(PLUG_READ_MS, lambda: self.world.switch.read(self, action))
            case Exit():
                self.end_daemon()
                self.world.fact(f"{self.name}: failoverd has ended")
            case SelfReset():
                self.world.fact(f"{self.name}: resets itself: {action.reason}")
                self.die()
                self.power_changed()

    def persist(self, action: Persist) -> None:
        if self.disk_full:
            self.handle(PersistFailed(action.token, "No space left on device"))
        else:
            self.record = action.record
            self.handle(Persisted(action.token))

    def probe(self, action: Probe) -> None:
        level = self.services[action.group].level
        outcome = (ProbeOutcome.STOPPED, ProbeOutcome.DOUBT, ProbeOutcome.RUNNING)[level]
        said = ("", "Filesystem runs, IPaddr does not", "")[level]
        if level == 2:
            self.watched[action.group] = action.op
        self.handle(Probed(action.group, action.op, outcome, said))

    def becomes(self, group: str, level: int) -> None:
        """Write down what really runs."""
        if self.services[group].level != level:
            self.services[group].level = level
            self.world.fact(f"{self.name}: {group} {('is stopped', 'runs in part', 'runs')[level]}")

    def start(self, action: Start) -> None:
        if self.core is None or self.core.may_start(action.group):
            raise StageError(f"{self.name} orders a start that it may not do")
        self.services[action.group].level = 1  # from the fork on
        self.world.audit()

        def ended() -> None:
            if self.services[action.group].start_does == "fails":
                self.becomes(action.group, 1)
                reason = "/dev/xvdb is not there (exit 5, not installed)"
                self.handle(StartFailed(action.group, action.op, "Filesystem", reason))
            else:
                self.becomes(action.group, 2)
                self.watched[action.group] = action.op
                self.handle(Started(action.group, action.op))

        self.later(START_MS, ended)

    def stop(self, action: Stop) -> None:
        service = self.services[action.group]
        self.watched.pop(action.group, None)
        service.level = min(service.level, 1)
        delay_ms = ACTION_TIMEOUT_MS if service.stop_does == "hangs" else STOP_MS
        reason = {
            "hangs": f"did not end within {ACTION_TIMEOUT_MS // 1000} s and was killed",
            "fails": "/data is still in use by process 4711 (exit 1, generic error)",
        }.get(service.stop_does, "")

        def ended() -> None:
            if reason:
                self.handle(StopFailed(action.group, action.op, "Filesystem", reason))
            else:
                self.becomes(action.group, 0)
                self.handle(Stopped(action.group, action.op))

        self.later(delay_ms, ended)

    def monitor_fails(self, group: str) -> None:
        if group not in self.watched:
            raise StageError(f"{group} is not monitored on {self.name}")
        self.becomes(group, 1)
        self.handle(MonitorFailed(group, self.watched[group], "recordd", "not running"))


class Switch:
    """The power switch. It really switches, or does not, as the story says."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.does = "works"  # or "is stuck", "does not answer"
        self.wrong_outlet: set[str] = set()  # nodes that go on running when their plug is off

    def reads(self, victim: Node) -> PlugState:
        if self.does == "does not answer":
            return PlugState.UNKNOWN
        return PlugState.ON if victim.plug_on else PlugState.OFF

    def plug(self, victim: Node, on: bool) -> None:
        """Move the outlet, if it moves."""
        if self.does != "works" or victim.plug_on == on:
            return
        victim.plug_on = on
        self.world.fact(f"switch: plug {victim.name} {'ON' if on else 'OFF'}")
        if victim.name in self.wrong_outlet:
            return
        victim.power_changed()

    def fence(self, node: Node, action: Fence) -> None:
        victim = node.peer()
        if action.only_if_off:
            node.later(PLUG_READ_MS, lambda: self._only_if_off(node, victim, action))
        else:
            self._off(node, victim, action)

    def _only_if_off(self, node: Node, victim: Node, action: Fence) -> None:
        if self.reads(victim) is PlugState.OFF:
            self._off(node, victim, action)
            return
        reason = "nothing was switched: not all plugs read OFF"
        node.handle(FenceDone(action.op, FenceEvidence(readings=(), in_time=True, reason=reason)))

    def _off(self, node: Node, victim: Node, action: Fence) -> None:
        began_ms = self.world.now_ms

        def switched() -> None:
            ended_ms = self.world.now_ms
            if self.does == "does not answer":
                reason = f"benjamin plug {victim.name}: off failed: 192.168.85.9:23: no answer"
                self._answer(node, victim, action, (1, began_ms, ended_ms), reason)
                return
            self.plug(victim, on=False)
            node.later(PLUG_READ_MS, lambda: self._answer(node, victim, action, (0, began_ms, ended_ms), ""))

        node.later(PLUG_SWITCH_MS, switched)

    def _answer(
        self, node: Node, victim: Node, action: Fence, off: tuple[int, int, int], reason: str
    ) -> None:
        state = self.reads(victim)
        if not reason and state is not PlugState.OFF:
            reason = f"benjamin plug {victim.name} reads {state.value.upper()} after the off"
        reading = PlugReading(
            device="benjamin",
            plug=victim.name,
            off_exit=off[0],
            off_began_ms=off[1],
            off_ended_ms=off[2],
            read_began_ms=off[2],
            state=state,
        )
        node.handle(FenceDone(action.op, FenceEvidence(readings=(reading,), in_time=True, reason=reason)))

    def power_on(self, node: Node, action: PowerOn) -> None:
        if node.power_on_op != action.op:
            return
        victim = node.peer()
        self.plug(victim, on=True)
        state = self.reads(victim)
        ok = state is PlugState.ON
        reason = "" if ok else f"benjamin plug {victim.name} reads {state.value.upper()} after the on"
        node.handle(PowerOnDone(action.op, ok, reason))

    def read(self, node: Node, action: ReadPlugs) -> None:
        node.handle(PlugsRead(action.op, self.reads(node.peer())))
