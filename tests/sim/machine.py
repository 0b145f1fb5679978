"""A simulated node: power, kernel, disk, and the truth about what of each group is possibly active.

The truth here knows nothing of the core. ``Resource.active`` goes up when the first process of a start
is forked and down only when a stop was verified, a probe found nothing, or the power was cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from failover_kit.manager.records import NodeRecord

if TYPE_CHECKING:
    from sim.devices import SwitchJob
    from sim.shell import Daemon
    from sim.world import World


class Process:
    """One agent call. It ends by itself, or by a kill, or not at all."""

    __slots__ = (
        "alive",
        "generation",
        "hangs",
        "killed",
        "on_exit",
        "resource",
        "succeeds",
        "unkillable_until",
        "verb",
    )

    def __init__(self, resource: Resource, verb: str, succeeds: bool, hangs: bool, unkillable_until: int) -> None:
        self.resource = resource
        self.verb = verb
        self.succeeds = succeeds
        self.hangs = hangs
        self.unkillable_until = unkillable_until
        self.alive = True
        self.killed = False
        self.generation = resource.machine.generation
        self.on_exit: Callable[[], None] | None = None  # of the daemon that forked it, while it lives


class Resource:
    """A group on one machine: how much of it runs, and which agent processes are at it."""

    __slots__ = ("active", "level", "machine", "name", "processes")

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.level = 0  # 0 nothing runs, 1 some, 2 all
        self.active = False  # possibly active: the quantity S1 is about
        self.processes: list[Process] = []

    def clear(self) -> None:
        """The power was cut: nothing is left, whatever it was doing."""
        self.level = 0
        self.active = False
        for process in self.processes:
            process.alive = False
        self.processes = []

    def spawn(self, verb: str, duration_ms: int, *, succeeds: bool, hangs: bool) -> Process:
        """Fork an agent. A start counts as possibly active from here on."""
        world = self.machine.world
        faults = world.faults
        until = 0
        if world.rng.random() < faults.unkillable:
            until = world.now + world.rng.randint(0, 2 * faults.op_timeout_ms)
        process = Process(self, verb, succeeds, hangs, until)
        self.processes.append(process)
        if verb == "start":
            self.active = True
            self.level = max(self.level, 1)
        if not hangs:
            world.at(duration_ms, self._finish, process)
        return process

    def _finish(self, process: Process) -> None:
        if not process.alive:
            return
        if process.succeeds:
            self.level = 2 if process.verb == "start" else 0
        self._gone(process)

    def kill(self, process: Process) -> None:
        """SIGKILL: at once, or when the kernel lets go of it."""
        process.killed = True
        world = self.machine.world
        if world.now >= process.unkillable_until:
            self._killed(process)
        else:
            world.at(process.unkillable_until - world.now, self._killed, process)

    def _killed(self, process: Process) -> None:
        if process.alive:
            process.succeeds = False
            self._gone(process)

    def _gone(self, process: Process) -> None:
        process.alive = False
        self.processes.remove(process)
        if process.on_exit is not None:
            process.on_exit()

    def verified_stopped(self) -> None:
        """A stop or a probe looked and found nothing: the group is not active here any more."""
        self.active = False
        self.machine.world.audits.check(
            self.level == 0 and not self.processes,
            f"rule 6: the shell of {self.machine.name} verified a stop of {self.name} that is not one",
        )


class Disk:
    """The state directory: one record, replaced whole."""

    __slots__ = ("fails", "in_flight", "machine", "record", "slow")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.record: NodeRecord | None = None
        self.in_flight: NodeRecord | None = None
        self.fails = False
        self.slow = False

    def write(self, record: NodeRecord, answer: Callable[[bool], None]) -> None:
        """Begin to make ``record`` durable; ``answer`` is called with the outcome unless power goes first."""
        world = self.machine.world
        self.in_flight = record
        delay_ms = 1 + int(world.rng.random() * world.faults.persist_ms)
        if self.slow:
            delay_ms += world.rng.randint(0, 2 * world.faults.deadtime_ms)
        world.at(delay_ms, self._finish, record, answer)

    def _finish(self, record: NodeRecord, answer: Callable[[bool], None]) -> None:
        if self.in_flight is not record:
            return
        self.in_flight = None
        if not self.fails:
            self._replace(record)
        elif self.machine.world.rng.random() < 0.5:
            # The rename happened and the fsync of the directory did not: the new record, and an error.
            self._replace(record)
        answer(not self.fails)

    def crash(self) -> None:
        """The writer died in the middle: either record."""
        record, self.in_flight = self.in_flight, None
        if record is not None and self.machine.world.rng.random() < 0.5:
            self._replace(record)

    def _replace(self, record: NodeRecord) -> None:
        old, self.record = self.record, record
        self.machine.world.audits.disk_written(self.machine, old, record)


class Machine:
    """One of the two nodes."""

    def __init__(self, world: World, index: int, name: str) -> None:
        self.world = world
        self.index = index
        self.name = name
        self.disk = Disk(self)
        self.resources = {group: Resource(self, group) for group, _ in world.faults.groups}
        self.mains = True
        self.outlets = [True] * world.faults.plugs
        self.miswired = False  # its outlets feed something else
        self.generation = 0  # counts power losses; what was scheduled for an older one is void
        self.boots = 0
        self.lives = 0
        self.boot_id = ""  # "" while it is off or booting
        self.clock_base = 0  # node clock = world clock + this
        self.daemon: Daemon | None = None
        self.enabled = True  # failoverd starts at boot
        self.booting = False
        self.digest = "cfg"
        self.agent_mode: dict[str, str] = {}  # verb -> fail or hang
        self.lost_ms: list[int | None] = [None] * world.faults.pings  # since when ping nodes do not answer it
        self.device_mode = "ok"  # how the switch treats orders about this machine's plugs
        self.state_lost = False
        self.speaks = world.faults.speaks[index]  # minor of the failoverd that is installed
        self.switch_job: SwitchJob | None = None  # a fence agent that outlived its daemon

    @property
    def peer(self) -> Machine:
        return self.world.machines[1 - self.index]

    @property
    def powered(self) -> bool:
        return self.mains and (self.miswired or any(self.outlets))

    def clock(self) -> int:
        """This node's own clock; never compared with the other's."""
        return self.world.now + self.clock_base

    def power_changed(self) -> None:
        """Mains or an outlet switched: die, or boot after a while."""
        if not self.powered:
            if self.boot_id or self.booting:
                self.lose_power()
        elif not self.boot_id and not self.booting:
            self.booting = True
            self.world.at(1 + self.world.rng.randint(0, self.world.faults.boot_ms), self._boot, self.generation)

    def lose_power(self) -> None:
        """Everything in memory is gone; the disk holds either record."""
        self.world.say(self.name, "loses power")
        self.generation += 1
        self.booting = False
        self.switch_job = None
        self.kill_daemon()
        self.boot_id = ""
        for resource in self.resources.values():
            resource.clear()
        self.world.audits.power_lost(self)

    def reset(self) -> None:
        """A reboot without the switch: panic, sysrq, SelfReset."""
        if self.boot_id:
            self.lose_power()
            self.power_changed()

    def _boot(self, generation: int) -> None:
        if generation != self.generation or not self.powered:
            return
        self.booting = False
        self.boots += 1
        self.boot_id = f"{self.name}-boot{self.boots}"
        self.clock_base = self.world.rng.randint(0, 10**6) - self.world.now
        self.world.say(self.name, f"boots ({self.boot_id})")
        self.world.audits.booted(self)
        if self.enabled:
            self.start_daemon()

    def start_daemon(self) -> None:
        """A new life of failoverd."""
        if not self.boot_id or self.daemon is not None:
            return
        self.lives += 1
        self.daemon = self.world.new_daemon(self, f"{self.name}-life{self.lives}")
        self.daemon.begin()

    def kill_daemon(self) -> None:
        """The daemon dies without a chance to do anything."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            self.world.say(self.name, "failoverd dies")
            self.disk.crash()
            daemon.die()
