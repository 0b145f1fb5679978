"""Two nodes, their cables, a ledger and a power switch: the same for both managers, new for every case.

The nodes are the rehearsal's (namespaces of their own: net, mount, pid, UTS, IPC, cgroup); what runs in them is
not. When this process ends, however it ends, the kernel ends the nodes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from failover_kit.rehearsal.cable import SerialCable
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.ledger import Attempt, Power, Span, held, parse_attempt
from failover_kit.rehearsal.namespaces import NetworkNamespace
from failover_kit.rehearsal.network import Network
from failover_kit.rehearsal.node import Node, NodeError
from failover_kit.rehearsal.nodefiles import make_cgroup, prepare, remove_cgroups
from failover_kit.rehearsal.plan import BAUD, GROUP, NODES
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.process import CLEAN_ENV, CommandResult
from versus.switch import Pace, Switch

if TYPE_CHECKING:
    from versus.managers import Manager

KIT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
SHARED = ("ask-switch", "fence_lab", "no-reboot")
POLL_S = 0.05
NO_DISK = "0:0"


class StageFailed(Exception):
    """A case could not be played: nothing is known about the manager. ``str()`` says what was waited for."""


class Station(Node):
    """A node of the rehearsal without its witness: here the resource script itself writes the ledger."""

    def _description(self, namespace: NetworkNamespace) -> dict[str, object]:
        return {**super()._description(namespace), "witnessed": []}

    def own_pids(self) -> set[int]:
        """The node's own processes in that group: the one that made it, and its pid 1."""
        return {self.pid, self._child.pid} if self._child is not None else {self.pid}


class Stage:
    """``boots``: whether a machine whose power comes back boots, manager included.

    ``disk``: the number of a block device whose mounts are to be watched, as ``7:0``.
    """

    def __init__(
        self, manager: Manager, *, boots: bool = False, disk: str = NO_DISK, pace: Pace | None = None
    ) -> None:
        self.manager = manager
        self._disk = disk
        self._pace = pace
        self.diary = Diary()
        self.nodes: dict[str, Station] = {}
        self.begun_ms = boottime_ms()
        self._children: list[subprocess.Popen[bytes]] = []
        with ExitStack() as stack:
            self._build(stack, boots)
            self._stack = stack.pop_all()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _build(self, stack: ExitStack, boots: bool) -> None:
        self.directory = tempfile.mkdtemp(prefix="fkv-", dir="/tmp")
        stack.callback(shutil.rmtree, self.directory)
        self._ledger = os.path.join(self.directory, "ledger")
        Path(self._ledger).touch()
        cgroup = make_cgroup(f"failover-kit-versus-{os.getpid()}")
        stack.callback(remove_cgroups, cgroup)
        self.network = Network()
        stack.callback(self.network.close)
        self.cable = SerialCable(BAUD)
        stack.callback(self.cable.close)
        for index, plan in enumerate(NODES):
            home = os.path.join(self.directory, plan.name)
            self._furnish(home)
            self.nodes[plan.name] = Station(
                plan,
                directory=home,
                kit=str(KIT),
                ledger=self._ledger,
                cgroup=cgroup,
                outlets=[plan.outlet],
                disks={self._disk: GROUP},
                serial=self.cable.end_of(index),
                command=["/etc/ha.d/boot"],
                network=self.network,
                diary=self.diary,
                on_power_cut=lambda end=index: self.cable.power_cycle(end),
            )
        for node in self.nodes.values():
            stack.callback(node.switch_off, "the case is over")
        sockets = {name: str(self.config(name) / "switch") for name in self.nodes}
        self.switch = Switch(sockets, self._power, boots=boots, pace=self._pace)
        stack.callback(self.switch.close)
        stack.callback(self._end_children)

    def _furnish(self, home: str) -> None:
        prepare(home, self.manager.files())
        config = Path(home, "ha.d")
        (config / "faults").mkdir()
        for name in SHARED:
            shutil.copy(PROGRAMS / name, config / name)
        shutil.copy(PROGRAMS / "svc", config / "resource.d" / "svc")
        shutil.copy(PROGRAMS / self.manager.boot, config / "boot")
        self.manager.furnish(config)

    def _power(self, name: str, on: bool) -> None:
        if on:
            self.nodes[name].switch_on()
        else:
            self.nodes[name].switch_off("by the switch")

    def _end_children(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()

    # --- what can be done to it ------------------------------------------------------------------------

    def config(self, name: str) -> Path:
        """The node's ``/etc/ha.d`` as seen from outside."""
        return Path(self.directory, name, "ha.d")

    def start(self) -> None:
        """Both machines on; until pete has the service and both managers are at rest. Raises StageFailed."""
        self.switch_on()
        self.wait("the service runs on pete", lambda: self.serving() == "pete", self.manager.start_s)
        self.wait("both managers are at rest", lambda: self.manager.settled(self), self.manager.start_s)

    def switch_on(self) -> None:
        try:
            for node in self.nodes.values():
                node.switch_on()
        except NodeError as error:
            raise StageFailed(str(error)) from None

    def cut_power(self, name: str) -> None:
        """The machine dies; its outlet still reads ON."""
        self.nodes[name].switch_off("its power was cut")

    def cut_links(self) -> None:
        """Both cables between the nodes, at the same moment."""
        self.cable.pull()
        self.network.set_heartbeat(connected=False)

    def mend_links(self) -> None:
        self.cable.push()
        self.network.set_heartbeat(connected=True)

    def fault(self, name: str, verb: str, text: str) -> None:
        """What the service's script does wrong on that node from now on: see ``programs/svc``; "" ends it."""
        path = self.config(name) / "faults" / verb
        if text:
            path.write_text(text)
        else:
            path.unlink()

    def run(self, name: str, argv: Sequence[str]) -> CommandResult:
        return self.nodes[name].run(argv)

    def background(self, name: str, argv: Sequence[str]) -> None:
        """A command that may wait for its outcome; ended with the case."""
        words = [*self.nodes[name].entry(), *argv]
        null = subprocess.DEVNULL
        child = subprocess.Popen(words, env=CLEAN_ENV, stdin=null, stdout=null, stderr=null, cwd="/")
        self._children.append(child)

    # --- what is known of it ---------------------------------------------------------------------------

    def wait(self, what: str, true: Callable[[], object], limit_s: float) -> None:
        """Until ``true()``. StageFailed after ``limit_s``."""
        if not self.until(true, limit_s):
            raise StageFailed(f"not within {limit_s:g} s: {what}; {self.manager.name} said:\n{self.said()[-3000:]}")

    def until(self, true: Callable[[], object], limit_s: float) -> bool:
        """Whether ``true()`` came within ``limit_s``."""
        deadline = Deadline(int(limit_s * 1000))
        while not true():
            if deadline.expired():
                return False
            time.sleep(POLL_S)
        return True

    def attempts(self) -> list[Attempt]:
        return [parse_attempt(line) for line in Path(self._ledger).read_text().splitlines()]

    def power(self) -> list[Power]:
        return [entry for node in self.nodes.values() for entry in node.power]

    def spans(self) -> list[Span]:
        """Who held the service when; from the ledger and the power alone."""
        return held(self.attempts(), self.power())

    def begun(self, name: str, verb: str, *, ended: bool = False) -> int:
        """How many attempts of the verb the node has begun (or ended well)."""
        what = ("end", 0) if ended else ("begin", 0)
        return sum((a.node, a.verb, a.what, a.code) == (name, verb, *what) for a in self.attempts())

    def serving(self) -> str:
        """Who has started the service and not begun to stop it; "" for nobody."""
        last: dict[str, Attempt] = {a.node: a for a in self.attempts()}
        for name, one in last.items():
            node = self.nodes[name]
            if (one.verb, one.what, one.code) == ("start", "end", 0) and node.on and node.boot == one.boot:
                return name
        return ""

    def said(self) -> str:
        """The logs of both nodes."""
        return "\n".join(f"--- {name}\n{self.manager.log(self, name)}" for name in self.nodes)

    def record(self) -> str:
        """Everything that tells what happened: logs, ledger, power, requests to the switch."""
        power = "\n".join(f"{p.t_ms} {p.node} {'on' if p.on else 'off'}" for p in self.power())
        asked = "\n".join(f"{a.t_ms} {a.by}: {a.order} {a.node}" for a in self.switch.asked)
        ledger = Path(self._ledger).read_text()
        return f"{self.said()}\n--- ledger\n{ledger}--- power\n{power}\n--- switch\n{asked}\n"
