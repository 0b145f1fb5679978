"""What each fault does to the stage, and how it heals. ``schedule.KINDS`` names them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from contextlib import suppress

from chaos import processes
from chaos.processes import Process
from chaos.schedule import Fault
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.namespaces import dies_with_us
from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.plan import FRONT, HANG_FILE, HEARTBEAT, NODES, peer_of
from failover_kit.rehearsal.stage import Stage
from failover_kit.spec.process import CLEAN_ENV

ORDER_S = 60
"""An order's own limit. What it began goes on; nobody waits for it longer."""


class Order:
    """A failoverctl command on its way, and how it ended."""

    def __init__(self, stage: Stage, node: Node, *arguments: str) -> None:
        self.text = f"{node.name}: failoverctl {' '.join(arguments)}"
        argv = [*node.entry(), stage.ctl, *arguments]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            dies_with_us(argv),
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            env=CLEAN_ENV,
            cwd="/",
            text=True,
        )
        stage.world.diary.note(node.name, Kind.FAULT, f"failoverctl {' '.join(arguments)}")

    def ended(self) -> bool:
        return self._child.poll() is not None

    def close(self) -> tuple[int, str]:
        """Its exit code (negative: it was killed, here or by its node's power cut) and all it said."""
        if not self.ended():
            self._child.kill()
        out, err = self._child.communicate()
        return self._child.returncode, f"{out}{err}".strip()


class Deed:
    """One fault in force. ``begin`` once, ``tick`` often, ``heal`` once."""

    def __init__(self, stage: Stage, fault: Fault, roles: dict[str, str], orders: list[Order]) -> None:
        self.stage = stage
        self.world = stage.world
        self.fault = fault
        self.orders = orders
        wanted = fault.options.get("node", "")
        self.nodes = [self.world.nodes[roles[role]] for role in (roles if wanted == "both" else [wanted]) if role]
        self.boots = [node.boot for node in self.nodes]
        self.rng = random.Random(str(fault))

    @property
    def node(self) -> Node:
        return self.nodes[0]

    def same_boot(self) -> bool:
        return self.node.on and self.node.boot == self.boots[0]

    def begin(self) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        pass

    def heal(self) -> None:
        pass


class KillDaemon(Deed):
    def begin(self) -> None:
        processes.signal(processes.daemon(self.node), signal.SIGKILL)

    def heal(self) -> None:
        if self.node.on:
            self.node.start_daemon()


class PauseDaemon(Deed):
    _found: Process | None = None

    def begin(self) -> None:
        self._found = processes.daemon(self.node)
        processes.signal(self._found, signal.SIGSTOP)

    def heal(self) -> None:
        if self.same_boot():
            processes.signal(self._found, signal.SIGCONT)


class EndDaemon(KillDaemon):
    """As ``systemctl stop`` and, later, ``start``."""

    def begin(self) -> None:
        processes.signal(processes.daemon(self.node), signal.SIGTERM)


class Agents(Deed):
    """Agents, fence agents among them, are hit as they come: a share of those that are seen."""

    number = signal.SIGKILL

    def begin(self) -> None:
        self.seen: set[int] = set()
        self.hit: list[Process] = []

    def tick(self) -> None:
        if not self.same_boot():
            return
        for agent in processes.agents(self.node):
            if agent.pid in self.seen:
                continue
            self.seen.add(agent.pid)
            chosen = self.rng.random() * 100 < int(self.fault.options["percent"])
            if chosen and processes.signal(agent, self.number):
                self.hit.append(agent)


class KillAgents(Agents):
    pass


class PauseAgents(Agents):
    number = signal.SIGSTOP

    def heal(self) -> None:
        for agent in self.hit:
            processes.signal(agent, signal.SIGCONT)


class KillService(Deed):
    def begin(self) -> None:
        processes.signal(processes.service(self.node), signal.SIGKILL)


class HangStop(Deed):
    def begin(self) -> None:
        if self.node.on:
            self.stage.let_stop_hang(self.node.name)

    def heal(self) -> None:
        if self.same_boot():
            with suppress(FileNotFoundError):
                os.unlink(self.node.root + HANG_FILE)


class Power(Deed):
    """The cable is pulled; put back, the node gets what the outlet gives."""

    def begin(self) -> None:
        self.world.pull_power_cable(self.node.name)

    def heal(self) -> None:
        give_power(self.stage, self.node)


class Reset(Power):
    def begin(self) -> None:
        self.world.nodes[self.node.name].switch_off("it was reset")
        give_power(self.stage, self.node)


class Freeze(Deed):
    def begin(self) -> None:
        self.node.freeze(frozen=True)

    def heal(self) -> None:
        if self.same_boot():
            self.node.freeze(frozen=False)


class Cut(Deed):
    def begin(self) -> None:
        self._set(connected=False)

    def heal(self) -> None:
        self._set(connected=True)

    def _set(self, *, connected: bool) -> None:
        medium = self.fault.options.get("medium", "both")
        if medium != "network":
            self.world.set_serial(connected=connected)
        if medium != "serial":
            self.world.set_network(connected=connected)


class OneWay(Deed):
    """What these nodes send is lost: all of it, or a share."""

    def begin(self) -> None:
        self._lose(int(self.fault.options.get("percent", 100)))

    def heal(self) -> None:
        self._lose(0)

    def _lose(self, percent: int) -> None:
        medium = self.fault.options["medium"]
        for node in self.nodes:
            if medium != "network":
                self.world.cable.lose(NODES.index(node.plan), percent)
            if medium != "serial":
                self.world.network.lose(node.plan, HEARTBEAT, percent)


class Front(Deed):
    """Neither clients nor the power switch can be reached from this node."""

    def begin(self) -> None:
        self.world.network.set_port(self.node.plan, FRONT, connected=False)

    def heal(self) -> None:
        self.world.network.set_port(self.node.plan, FRONT, connected=True)


class FullDisk(Deed):
    def begin(self) -> None:
        if self.world.room is not None:
            self.world.room.fill(self._disk())

    def heal(self) -> None:
        if self.world.room is not None:
            self.world.room.free(self._disk())

    def _disk(self) -> str:
        return os.path.join(self.world.directory, self.node.name, "disk")


class Switch(Deed):
    def begin(self) -> None:
        seconds = self.fault.options.get("seconds")
        self.world.switch.fault(self.fault.options["fault"], seconds=float(seconds) if seconds else None)

    def heal(self) -> None:
        self.world.switch.clear(self.fault.options["fault"])


class Command(Deed):
    """An operator who does not look first. Maintenance he ends when the fault heals."""

    def begin(self) -> None:
        peer = peer_of(self.node.name)
        words = {
            "fence": ["fence", "--yes", peer],
            "fence-test": ["fence", "--test", peer],
            "prove": ["fence", "--prove", "--yes", peer],
            "maintenance": ["maintenance", "on"],
        }
        self._order(*words.get(self.fault.options["order"], [self.fault.options["order"]]))

    def heal(self) -> None:
        if self.fault.options["order"] == "maintenance":
            self._order("maintenance", "off")

    def _order(self, *words: str) -> None:
        if self.node.on:
            self.orders.append(Order(self.stage, self.node, *words, "--timeout", str(ORDER_S)))


DEEDS: dict[str, type[Deed]] = {
    "kill-daemon": KillDaemon,
    "pause-daemon": PauseDaemon,
    "end-daemon": EndDaemon,
    "kill-agents": KillAgents,
    "pause-agents": PauseAgents,
    "kill-service": KillService,
    "hang-stop": HangStop,
    "power": Power,
    "reset": Reset,
    "freeze": Freeze,
    "cut": Cut,
    "cut-all": Cut,
    "one-way": OneWay,
    "loss": OneWay,
    "front": Front,
    "full-disk": FullDisk,
    "switch": Switch,
    "order": Command,
}


def give_power(stage: Stage, node: Node) -> None:
    """The cable is in: a node whose outlet is on boots. Whose outlet is off waits for who switched it off."""
    if not node.on and stage.world.switch.outlet_state(node.plan.outlet) == "on":
        node.switch_on()
