"""The fault injector: picks a fault, applies it, undoes it no sooner than the stability time later."""

from __future__ import annotations

from failover_kit.manager.dialect import MINOR
from failover_kit.manager.events import ShutdownRequested, Terms, Verb
from failover_kit.manager.records import NodeRecord
from sim import pings
from sim.faults import AGENT_MODES, ANY_FAULT_MEETS_DRILL_SEED
from sim.machine import Machine
from sim.world import World

# What else may come while a drill runs, on either node.
MEET_DRILL = (
    "disk_slow",
    "disk_full",
    "lose_state",
    "shutdown",
    "crash_loop",
    "agent_mode",
    "resource_dies",
    "replay",
    "cut_one_way",
    "takeover",
    "fence",
    "confirm_dead",
    "config_differs",
    "mains_cut",
)

# From this seed on maintenance meets more than the faults beside it: orders from both sides, people at the switch.
MEAN_MAINTENANCE_SEED = 31_000
MEET_MAINTENANCE = (
    "both", "both", "again", "again", "pause", "crash", "reset", "deaf", "switch", "fence", "leave", "word",
)  # fmt: skip


class Chaos:
    """Faults of one run, until ``stop``."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self.faults = world.faults
        self.running = True

    def begin(self) -> None:
        """Schedule the first fault."""
        if self.faults.kinds:
            self._next()

    def stop(self) -> None:
        """No more faults; what is under way is healed by the caller."""
        self.running = False

    def _next(self) -> None:
        self.world.at(1 + int(self.rng.expovariate(1 / self.faults.gap_ms)), self._inject)

    def _inject(self) -> None:
        if not self.running:
            return
        kind = self.rng.choice(self.faults.kinds)
        self.world.say("chaos", kind)
        getattr(self, kind)()
        self._next()

    def _undo(self, call: object, *args: object) -> None:
        """Call after the fault was stable for a while, if the random phase still runs."""
        stable = self.faults.stability_ms
        self.world.at(stable + self.rng.randint(0, 4 * stable), self._undone, call, args)

    def _undone(self, call: object, args: tuple[object, ...]) -> None:
        if self.running and callable(call):
            call(*args)

    def _machine(self) -> Machine:
        return self.rng.choice(self.world.machines)

    # --- links -------------------------------------------------------------------------------------

    def _set_cut(self, link: int, sender: int, cut: bool) -> None:
        self.world.links[link].cut[sender] = cut
        self.world.say("links", f"{self.world.links[link].name} from {sender} {'cut' if cut else 'whole'}")

    def cut_one_way(self) -> None:
        """One direction of one link: the plug of a receive wire, a one-sided filter."""
        link, sender = self.rng.randrange(len(self.world.links)), self.rng.randrange(2)
        self._set_cut(link, sender, True)
        self._undo(self._set_cut, link, sender, False)

    def cut_link(self) -> None:
        """One cable."""
        link = self.rng.randrange(len(self.world.links))
        for sender in (0, 1):
            self._set_cut(link, sender, True)
            self._undo(self._set_cut, link, sender, False)

    def cut_all(self) -> None:
        """All of them, one way or both."""
        senders = self.rng.choice(((0,), (1,), (0, 1), (0, 1)))
        for link in range(len(self.world.links)):
            for sender in senders:
                self._set_cut(link, sender, True)
                self._undo(self._set_cut, link, sender, False)

    def replay(self) -> None:
        """Somebody plays back frames of long ago."""
        link = self.rng.choice(self.world.links)
        if link.old:
            start = self.rng.randrange(len(link.old))
            for entry in list(link.old)[start : start + self.rng.randint(1, 20)]:
                self.world.at(self.rng.randint(0, 2_000), self.world.replay, link, entry)

    def ping_lost(self) -> None:
        """One ping node, or all, do not answer one node, or both."""
        machines = self.world.machines if self.rng.random() < 0.3 else [self._machine()]
        numbers = list(range(self.faults.pings))
        if numbers and self.rng.random() < 0.5:
            numbers = [self.rng.choice(numbers)]
        for machine in machines:
            for number in numbers:
                pings.lose(machine, number)
                self._undo(pings.find, machine, number)

    def isolate(self) -> None:
        """One node's network fails as a whole: no link, no ping node; sometimes not quite at once."""
        machine = self._machine()
        for number in range(self.faults.pings):
            self.world.at(self.rng.choice((0, 0, self.faults.deadtime_ms)), self._lose, machine, number)
        self.cut_all()

    def _lose(self, machine: Machine, number: int) -> None:
        if self.running:
            pings.lose(machine, number)
            self._undo(pings.find, machine, number)

    # --- nodes -------------------------------------------------------------------------------------

    def crash_daemon(self) -> None:
        """failoverd alone dies; somebody starts it again."""
        machine = self._machine()
        machine.kill_daemon()
        if self.rng.random() < 0.5:
            self.world.at(self.rng.randint(1, 3_000), machine.start_daemon)
        else:
            self._undo(machine.start_daemon)

    def crash_loop(self) -> None:
        """failoverd starts and dies again within a few beats: lives that were hardly heard."""
        machine = self._machine()
        delay_ms = 0
        for _ in range(self.rng.randint(2, 5)):
            self.world.at(delay_ms, machine.kill_daemon)
            delay_ms += self.rng.randint(1, self.faults.keepalive_ms)
            self.world.at(delay_ms, machine.start_daemon)
            delay_ms += self.rng.randint(1, 3 * self.faults.keepalive_ms)

    def pause_daemon(self) -> None:
        """failoverd does not get the processor for a while."""
        daemon = self._machine().daemon
        if daemon is not None:
            daemon.pause(self.rng.randint(1, 4 * self.faults.deadtime_ms))

    def _set_mains(self, machine: Machine, on: bool) -> None:
        machine.mains = on
        machine.power_changed()

    def mains_cut(self) -> None:
        """The node's power fails; the switch does not know."""
        machine = self._machine()
        self._set_mains(machine, False)
        self._undo(self._set_mains, machine, True)

    def blackout(self) -> None:
        """Both."""
        for machine in self.world.machines:
            self._set_mains(machine, False)
            self._undo(self._set_mains, machine, True)

    def reboot(self) -> None:
        """A panic; sometimes failoverd is not enabled at boot."""
        machine = self._machine()
        machine.enabled = self.rng.random() < 0.8
        machine.reset()
        if not machine.enabled:
            self._undo(self._enable, machine)

    def _enable(self, machine: Machine) -> None:
        machine.enabled = True
        machine.start_daemon()

    def config_differs(self) -> None:
        """One node was given other files and was restarted."""
        machine = self._machine()
        machine.digest = self.rng.choice(("cfg", "other"))
        machine.kill_daemon()
        self.world.at(self.rng.randint(1, 3_000), machine.start_daemon)

    # --- disks -------------------------------------------------------------------------------------

    def _set_disk(self, machine: Machine, attribute: str, value: bool) -> None:
        setattr(machine.disk, attribute, value)

    def disk_full(self) -> None:
        """fsync and rename fail."""
        machine = self._machine()
        machine.disk.fails = True
        self._undo(self._set_disk, machine, "fails", False)

    def disk_slow(self) -> None:
        """fsync takes up to twice deadtime."""
        machine = self._machine()
        machine.disk.slow = True
        self._undo(self._set_disk, machine, "slow", False)

    def lose_state(self) -> None:
        """The state directory is gone when failoverd starts again (rule 23)."""
        machine = self._machine()
        machine.kill_daemon()
        lost: NodeRecord | None = machine.disk.record
        machine.disk.record = None
        if lost is not None:
            self.world.audits.state_lost = True
            self.world.keeps_still = False
        self.world.at(self.rng.randint(1, 3_000), machine.start_daemon)

    def upgrade(self) -> None:
        """One node gets another failoverd, a newer or an older one: after a clean stop, or at once."""
        machine = self._machine()
        minor = 0 if machine.speaks else MINOR
        daemon = machine.daemon
        if daemon is not None and self.rng.random() < 0.5:
            daemon.post(daemon.handle, ShutdownRequested())
            self.world.at(self.rng.randint(20_000, 60_000), self._install, machine, minor)
        else:
            machine.kill_daemon()
            self.world.at(self.rng.randint(1, 3_000), self._install, machine, minor)

    def _install(self, machine: Machine, minor: int) -> None:
        if self.running:
            self.world.install(machine, minor)

    # --- devices and agents ------------------------------------------------------------------------

    def _set_device(self, machine: Machine, mode: str) -> None:
        machine.device_mode = mode

    def device_mode(self) -> None:
        """The switch misbehaves about one node's plugs."""
        machine = self._machine()
        machine.device_mode = self.rng.choice(self.faults.device_modes)
        self.world.say("switch", f"mode {machine.device_mode} for {machine.name}")
        self._undo(self._set_device, machine, "ok")

    def _set_agents(self, machine: Machine, verb: str) -> None:
        machine.agent_mode.pop(verb, None)

    def agent_mode(self) -> None:
        """Starts, stops or probes of one node fail or hang."""
        machine = self._machine()
        verb = self.rng.choice(("start", "stop", "stop", "probe"))
        machine.agent_mode[verb] = self.rng.choice(AGENT_MODES)
        self.world.say("agents", f"{verb} on {machine.name}: {machine.agent_mode[verb]}")
        self._undo(self._set_agents, machine, verb)

    def resource_dies(self) -> None:
        """A running resource is gone."""
        machine = self._machine()
        resource = self.rng.choice(list(machine.resources.values()))
        if resource.level == 2:
            resource.level = 1
            if machine.daemon is not None:
                machine.daemon.check_watch(resource)

    # --- the operator ------------------------------------------------------------------------------

    def _some_groups(self) -> tuple[str, ...]:
        names = [name for name, _ in self.faults.groups]
        return () if self.rng.random() < 0.5 else (self.rng.choice(names),)

    def standby(self) -> None:
        """failoverctl standby."""
        self.world.command(self._machine(), Verb.STANDBY, self._some_groups())

    def takeover(self) -> None:
        """failoverctl takeover."""
        self.world.command(self._machine(), Verb.TAKEOVER, self._some_groups())

    def request(self) -> None:
        """A watcher, or somebody who has its key, asks either node: mostly about the epoch that is active."""
        machine, name = self._machine(), self.rng.choice(self.faults.groups)[0]
        epochs = [m.daemon.core.wanted_groups[name].right for m in self.world.machines if m.daemon is not None]
        epoch = max(epochs, default=0) if self.rng.random() < 0.8 else self.rng.randint(0, 20)
        terms = Terms(epoch, self.rng.choice((0, 5_000, 60_000)), "watcher")
        self.world.command(machine, Verb.TAKEOVER, (name,), terms=terms)

    def fence(self) -> None:
        """failoverctl fence; rarely, or nothing else would happen."""
        if self.rng.random() < 0.2:
            machine = self._machine()
            self.world.command(machine, Verb.FENCE, (), machine.peer.name)

    def prove(self) -> None:
        """failoverctl fence --prove; half of them meet another fault on the way."""
        machine = self._machine()
        self.world.command(machine, Verb.PROVE, (), machine.peer.name)
        if self.rng.random() < 0.5:
            self.world.at(self.rng.randint(0, 3 * self.faults.deadtime_ms), self._meet_drill, machine)

    def _meet_drill(self, machine: Machine) -> None:
        """What may come while a node is being cut to prove something."""
        if not self.running:
            return
        if self.faults.seed >= ANY_FAULT_MEETS_DRILL_SEED and self.rng.random() < 0.5:
            kind = self.rng.choice(MEET_DRILL)
            self.world.say("chaos", f"meets the drill: {kind}")
            getattr(self, kind)()
            return
        what = self.rng.choice(("cut", "crash", "power", "reboot", "switch", "standby", "mutual", "pause"))
        self.world.say("chaos", f"meets the drill: {what}")
        if what == "cut":
            self.cut_all()
        elif what == "crash":
            machine.kill_daemon()
            self.world.at(self.rng.randint(1, 3_000), machine.start_daemon)
        elif what == "power":
            self._set_mains(machine, False)
            self._undo(self._set_mains, machine, True)
        elif what == "reboot":
            machine.peer.reset()
        elif what == "switch":
            machine.peer.device_mode = self.rng.choice(self.faults.device_modes)
            self._undo(self._set_device, machine.peer, "ok")
        elif what == "standby":
            self.world.command(machine, Verb.STANDBY)
            self.world.command(machine.peer, Verb.TAKEOVER)
        elif what == "mutual":
            self.world.command(machine.peer, Verb.PROVE, (), machine.name)
        elif machine.daemon is not None:
            machine.daemon.pause(self.rng.randint(1, 4 * self.faults.deadtime_ms))

    def confirm_dead(self) -> None:
        """failoverctl confirm-dead, by an operator who looked: the other node has no power."""
        for machine in self.world.machines:
            if machine.boot_id and not machine.peer.boot_id and not machine.peer.booting:
                self.world.command(machine, Verb.CONFIRM_DEAD, (), machine.peer.name)

    def _order_about_peer(self, machine: Machine, verb: Verb) -> None:
        """An order about the peer; that it is dead only by an operator who looked."""
        if self.running and (verb is Verb.FENCE or (machine.boot_id and not machine.peer.powered)):
            self.world.command(machine, verb, (), machine.peer.name)

    def unheard(self) -> None:
        """failoverd starts while its peer has no power, and the operator does not wait for initdead."""
        machine, deadtime_ms = self._machine(), self.faults.deadtime_ms
        self._set_mains(machine.peer, False)
        self._undo(self._set_mains, machine.peer, True)
        if self.rng.random() < 0.5:
            machine.peer.device_mode = self.rng.choice(self.faults.device_modes)
            self._undo(self._set_device, machine.peer, "ok")
        machine.kill_daemon()
        self.world.at(1, machine.start_daemon)
        verb = self.rng.choice((Verb.FENCE, Verb.CONFIRM_DEAD, Verb.CONFIRM_DEAD))
        least_ms = deadtime_ms if verb is Verb.CONFIRM_DEAD else 1
        self.world.at(self.rng.randint(least_ms, 2 * deadtime_ms), self._order_about_peer, machine, verb)

    def insist(self) -> None:
        """The operator orders a shot at what is called dead or was shot; and old frames come while he does."""
        machine, deadtime_ms = self._machine(), self.faults.deadtime_ms
        verb = self.rng.choice((Verb.FENCE, Verb.CONFIRM_DEAD))
        if verb is Verb.CONFIRM_DEAD:
            self._set_mains(machine.peer, False)
            self._undo(self._set_mains, machine.peer, True)
        first_ms = 0 if verb is Verb.FENCE else self.rng.randint(deadtime_ms, 3 * deadtime_ms)
        self.world.at(first_ms, self._order_about_peer, machine, verb)
        if self.rng.random() < 0.5:
            for _ in range(3):
                late_ms = first_ms + self.rng.randint(1, 1 + self.faults.persist_ms)
                self.world.at(late_ms, self._late_frame, machine.peer)
        else:
            again_ms = first_ms + self.rng.randint(1, 4 * self.faults.plugs * self.faults.switch_ms)
            for wait_ms in (again_ms, 2 * again_ms):
                self.world.at(wait_ms, self._order_about_peer, machine, Verb.FENCE)

    def _late_frame(self, sender: Machine) -> None:
        """The last frame it sent comes once more."""
        link = self.rng.choice(self.world.links)
        entry = next((entry for entry in reversed(link.old) if entry[0] == sender.index), None)
        if self.running and entry is not None:
            self.world.replay(link, entry)

    def cut_in_maintenance(self) -> None:
        """The operator has a node fenced in maintenance, and ends it before that node is back."""
        machine, deadtime_ms = self._machine(), self.faults.deadtime_ms
        self.world.command(machine, Verb.MAINTENANCE_ON)
        fence_ms = self.rng.randint(deadtime_ms, 3 * deadtime_ms)
        self.world.at(fence_ms, self._order, machine, Verb.FENCE, machine.peer.name)
        shot_ms = 2 * self.faults.plugs * self.faults.switch_ms
        for wait_ms in (shot_ms // 2, shot_ms, 2 * shot_ms):
            end_ms = fence_ms + wait_ms + self.rng.randint(1, 1_000)
            self.world.at(end_ms, self._order, machine, Verb.MAINTENANCE_OFF, machine.peer.name)

    def repair(self) -> None:
        """A stop fails, its node cannot be shot for it, and people put the pair into maintenance to repair that."""
        machine = self._machine()
        running = [resource for resource in machine.resources.values() if resource.level == 2]
        if not running:
            return
        machine.agent_mode["stop"] = "fail"
        self._undo(self._set_agents, machine, "stop")
        machine.peer.digest = "other"
        machine.peer.kill_daemon()
        self.world.at(1, machine.peer.start_daemon)
        running[0].level = 1
        if machine.daemon is not None:
            machine.daemon.check_watch(running[0])
        late_ms = 10_000 + self.faults.stop_ms
        for wait_ms in (late_ms, late_ms + 3_000, late_ms + 7_000):
            self.world.at(wait_ms, self._order, machine, Verb.MAINTENANCE_ON, "")
        self.world.at(late_ms + self.rng.randint(8_000, 20_000), self._work_by_hand)
        self.world.at(late_ms + self.rng.randint(10_000, 40_000), self._end_maintenance)

    def shutdown(self) -> None:
        """systemctl stop failoverd, and start again; killed when it takes too long."""
        machine = self._machine()
        daemon = machine.daemon
        if daemon is None:
            return
        daemon.post(daemon.handle, ShutdownRequested())
        if self.rng.random() < 0.5:
            self.world.at(self.rng.randint(1, 5_000), self._cut_everything)
        self.world.at(self.rng.randint(30_000, 90_000), self._restart, machine)

    def _restart(self, machine: Machine) -> None:
        if self.running:
            if machine.daemon is not None:
                machine.kill_daemon()
            machine.start_daemon()

    def _cut_everything(self) -> None:
        if self.running:
            self.cut_all()

    def mid_move_cut(self) -> None:
        """A move begins, its stop is sick, and the links go in the middle: what CTS never combined."""
        if self.rng.random() < 0.5:
            machine = self._machine()
            machine.agent_mode["stop"] = self.rng.choice(AGENT_MODES)
            self._undo(self._set_agents, machine, "stop")
        if self.rng.random() < 0.5:
            self.standby()
        else:
            self.takeover()
        self.world.at(self.rng.randint(0, 3_000), self._cut_everything)

    def maintain(self) -> None:
        """failoverctl maintenance on; people work; off."""
        self.world.command(self._machine(), Verb.MAINTENANCE_ON)
        deadtime_ms = self.faults.deadtime_ms
        for _ in range(self.rng.randint(1, 3)):
            self.world.at(self.rng.randint(1, 10 * deadtime_ms), self._work_by_hand)
        self.world.at(self.rng.randint(deadtime_ms, 12 * deadtime_ms), self._end_maintenance)
        if self.faults.seed >= MEAN_MAINTENANCE_SEED:
            for _ in range(self.rng.randint(1, 4)):
                self.world.at(self.rng.randint(0, 14 * deadtime_ms), self._meet_maintenance)

    def _meet_maintenance(self) -> None:
        """What may come between the orders: more orders, failures, and people at the switch."""
        if not self.running:
            return
        machine, deadtime_ms = self._machine(), self.faults.deadtime_ms
        what = self.rng.choice(MEET_MAINTENANCE)
        self.world.say("chaos", f"meets maintenance: {what}")
        if what == "both":
            verb = self.rng.choice((Verb.MAINTENANCE_ON, Verb.MAINTENANCE_ON, Verb.MAINTENANCE_OFF))
            for one in self.world.machines:
                without = one.peer.name if verb is Verb.MAINTENANCE_OFF else ""
                self.world.at(self.rng.randint(0, 50), self._order, one, verb, without)
        elif what == "again":
            self._end_maintenance()
            self.world.at(self.rng.randint(0, deadtime_ms), self._order, self._machine(), Verb.MAINTENANCE_ON, "")
            self.world.at(self.rng.randint(0, 4 * deadtime_ms), self._work_by_hand)
            self.world.at(self.rng.randint(0, 6 * deadtime_ms), self._end_maintenance)
        elif what == "pause" and machine.daemon is not None:
            machine.daemon.pause(self.rng.randint(1, 3 * deadtime_ms))
        elif what == "crash":
            machine.kill_daemon()
            self.world.at(self.rng.randint(1, 3_000), machine.start_daemon)
        elif what == "reset":
            machine.reset()
            self.world.at(self.rng.randint(1, deadtime_ms), self._work_by_hand)
        elif what == "deaf":
            for link in range(len(self.world.links)):
                self._set_cut(link, machine.index, True)
                self._undo(self._set_cut, link, machine.index, False)
        elif what == "switch":
            self._people_at_the_switch(machine)
        elif what == "fence":
            self.world.command(machine, Verb.FENCE, (), machine.peer.name)
            self.world.at(self.rng.randint(1, 4 * deadtime_ms), self._people_at_the_switch, machine.peer)
        elif what == "leave":
            self.shutdown()
        elif what == "word":
            self._end_maintenance()
            self.world.at(self.rng.randint(1, 2 * deadtime_ms), self.confirm_dead)

    def _order(self, machine: Machine, verb: Verb, target: str) -> None:
        if self.running:
            self.world.command(machine, verb, (), target)

    def _people_at_the_switch(self, machine: Machine) -> None:
        """Power off or on by hand, and the service run by hand on what has power then."""
        if not (self.running and self.world.keeps_still):
            return
        on = not all(machine.outlets)
        for plug in range(len(machine.outlets)):
            self.world.set_outlet(machine, plug, on)
        self.world.at(self.rng.randint(1, self.faults.deadtime_ms), self._work_by_hand)
        if not on:
            self.world.at(self.rng.randint(1, 6 * self.faults.deadtime_ms), self._people_at_the_switch, machine)

    def _work_by_hand(self) -> None:
        """One group is stopped wherever it runs, and perhaps started on one node: never while an agent is at it."""
        if not (self.running and self.world.keeps_still):
            return
        name = self.rng.choice(self.faults.groups)[0]
        resources = [machine.resources[name] for machine in self.world.machines]
        if any(resource.processes for resource in resources):
            return
        for resource in resources:
            resource.level, resource.active = 0, False
        chosen = self.rng.choice(resources)
        if chosen.machine.boot_id and self.rng.random() < 0.7:
            self.world.say("operator", f"runs {name} on {chosen.machine.name} by hand")
            chosen.level, chosen.active = 2, True

    def _end_maintenance(self) -> None:
        if self.running:
            machine = self._machine()
            without = machine.peer.name if self.rng.random() < 0.5 else ""
            self.world.command(machine, Verb.MAINTENANCE_OFF, (), without)
