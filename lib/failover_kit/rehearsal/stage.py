"""What a scene works with: waits that end, facts about the world, orders. The proof after it is ``proof``.

Where a group can be named and is not, the first one is meant: most scenes have no other.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from failover_kit.rehearsal import ledger, status
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.kit import program
from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.plan import GROUP, HANG_FILE, GroupPlan
from failover_kit.rehearsal.records import Gap, longest_gap
from failover_kit.rehearsal.status import Status, StatusError
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.process import CLEAN_ENV

POLL_S = 0.05
SERVED_MS = 1_000
"""A node that acknowledged a record within this time serves."""


CALM_MS = 1_000


class SceneFailed(Exception):
    """A scene did not go as it must; ``str()`` is the sentence."""


@dataclass
class Measured:
    """What a scene wants printed beside its verdict: the client's gaps, times from the fault."""

    facts: list[str] = field(default_factory=list)
    gap: Gap | None = None


class Stage:
    """One world, and the questions that scenes ask of it."""

    def __init__(self, world: World, progress: Callable[[str], None] = lambda _: None) -> None:
        """``progress`` is told what is being waited for, several times a second."""
        self.world = world
        self._progress = progress
        self.ctl = program(world.kit, "failoverctl")
        self.begin_ms = boottime_ms()
        self.fault_ms = self.begin_ms
        self.measured = Measured()

    def begin(self) -> None:
        """A scene begins now; times are from the fault, until there is one from now."""
        self.begin_ms = self.fault_ms = boottime_ms()
        self.measured = Measured()

    def fault(self, text: str) -> None:
        """The disaster happens now: the scene's times count from here."""
        self.fault_ms = self.world.diary.note("", Kind.FAULT, text).t_ms

    def node(self, name: str) -> Node:
        return self.world.nodes[name]

    # --- waiting -----------------------------------------------------------------------------------

    def wait(
        self,
        what: str,
        condition: Callable[[], object],
        timeout_ms: int,
        *,
        never: Callable[[], str] = lambda: "",
    ) -> None:
        """Until ``condition()`` is true. SceneFailed with ``what`` after ``timeout_ms``.

        ``never`` names what must not happen meanwhile; its sentence ends the scene at once.
        """
        deadline = Deadline(timeout_ms)
        while not condition():
            wrong = never()
            if wrong:
                raise SceneFailed(wrong)
            if deadline.expired():
                raise SceneFailed(f"{what}: not within {timeout_ms / 1000:g} s")
            self._pause(what)

    def stays(self, what: str, condition: Callable[[], object], for_ms: int) -> None:
        """``condition()`` must be true all the time. SceneFailed when it once is not."""
        deadline = Deadline(for_ms)
        while not deadline.expired():
            if not condition():
                raise SceneFailed(f"{what}: no longer true after {for_ms - deadline.left_ms()} ms")
            self._pause(what)

    def _pause(self, what: str) -> None:
        self._progress(f"{boottime_ms() - self.fault_ms:+8d}  {what} ...")
        time.sleep(POLL_S)

    @staticmethod
    def require(fact: object, sentence: str) -> None:
        """SceneFailed with ``sentence`` unless ``fact``."""
        if not fact:
            raise SceneFailed(sentence)

    def let_it_run(self, for_ms: int = CALM_MS) -> None:
        """Every client must be served all this time: a scene begins and ends in peace."""
        groups = self.world.setup.groups
        before = [len(self.world.acknowledgements(group).read()) for group in groups]
        self.stays("the client is served", lambda: all(map(self.serving, groups)), for_ms)
        for group, count in zip(groups, before, strict=True):
            more = len(self.world.acknowledgements(group).read()) > count
            self.require(more, f"{group.client} got no acknowledgement")

    # --- facts -------------------------------------------------------------------------------------

    def status(self, name: str) -> Status:
        """What the node says of itself. Raises StatusError."""
        return status.ask(self.node(name), self.ctl)

    def says(self, name: str, check: Callable[[Status], object]) -> bool:
        """Whether the node answers, and ``check`` of the answer is true."""
        try:
            return bool(check(self.status(name)))
        except StatusError:
            return False

    def serving(self, group: GroupPlan = GROUP) -> str:
        """The node whose acknowledgements the group's client gets just now; "" for none."""
        latest = self.world.acknowledgements(group).read()[-1:]
        return latest[0].node if latest and latest[0].t_ms >= boottime_ms() - SERVED_MS else ""

    def served_since(self, name: str, since_ms: int, group: GroupPlan = GROUP) -> bool:
        """Whether ``name`` acknowledged a record after ``since_ms``."""
        return any(ack.node == name for ack in self.world.acknowledgements(group).since(since_ms))

    def holder(self, group: GroupPlan = GROUP) -> str:
        """The node that has the disk mounted. SceneFailed when it is not exactly one."""
        nodes = self.world.nodes.values()
        names = [node.name for node in nodes if node.on and self.world.mounted_on(node, group)]
        if len(names) != 1:
            where = " and ".join(names) or "no node"
            raise SceneFailed(f"{group.disk} is mounted on {where}; expected exactly one")
        return names[0]

    def attempts(self, name: str, verb: str = "") -> list[ledger.Attempt]:
        """Attempts on the node that began since the fault."""
        return [
            call
            for call in self.world.attempts()
            if call.node == name and call.t_ms >= self.fault_ms and call.what == "begin" and verb in ("", call.verb)
        ]

    def switched(self, name: str, to: str, outlet: int | None = None) -> list[int]:
        """When an outlet of the node changed to ``to`` (on or off) since the fault; None: its first one."""
        outlet = self.node(name).outlets[0] if outlet is None else outlet
        return [
            int(event["t_ms"])
            for event in self.world.switch_events()
            if event["event"] == "switched"
            and (event["outlet"], event["to"]) == (outlet, to)
            and int(event["t_ms"]) >= self.fault_ms
        ]

    def said(self, name: str, *words: str) -> bool:
        """Whether failoverd on the node said a sentence with all ``words`` in it since the fault."""
        return any(
            entry.lane == name and entry.kind is Kind.SAYS and all(word in entry.text for word in words)
            for entry in self.world.diary.since(self.fault_ms)
        )

    def gap(
        self, begin_ms: int | None = None, end_ms: int | None = None, group: GroupPlan = GROUP
    ) -> Gap:
        """The longest wait of the group's client, by default since the fault."""
        times = [ack.t_ms for ack in self.world.acknowledgements(group).read()]
        last_before = [t for t in times if t <= (begin_ms or self.fault_ms)][-1:]
        begin = last_before[0] if last_before else begin_ms or self.fault_ms
        return longest_gap(times, begin, end_ms or boottime_ms(), group.client)

    # --- doing -------------------------------------------------------------------------------------

    def order(self, name: str, *arguments: str, timeout_ms: int = 60_000) -> None:
        """A failoverctl command that must succeed."""
        result = self.node(name).run([self.ctl, *arguments], timeout_ms)
        if not result.ok():
            raise SceneFailed(f"on {name}: {result.describe()}")

    @contextmanager
    def order_in_background(self, name: str, *arguments: str) -> Iterator[None]:
        """A failoverctl command whose end is not waited for; it is killed when the block is left."""
        argv = [*self.node(name).entry(), self.ctl, *arguments]
        null = subprocess.DEVNULL
        child = subprocess.Popen(argv, stdin=null, stdout=null, stderr=null, env=CLEAN_ENV, cwd="/")
        try:
            yield
        finally:
            child.kill()
            child.wait()

    def let_stop_hang(self, name: str) -> None:
        """The service's next stop on this node never ends; a reboot ends the fault."""
        with open(self.node(name).root + HANG_FILE, "w", encoding="ascii"):
            pass
        self.world.diary.note(name, Kind.FAULT, "the service's stop will hang")

    def picture_of_trouble(self) -> list[str]:
        """For a failed scene: status of both nodes and the last that each daemon said."""
        lines = []
        for name, node in self.world.nodes.items():
            lines.append(f"--- {name}: {'on' if node.on else 'off'}, boot {node.boot}")
            if node.on:
                try:
                    said = node.run([self.ctl, "status"], 10_000)
                    lines += (said.stdout + said.stderr).rstrip().splitlines()
                except Exception as error:  # anything: this only adds to a report that must come out
                    lines.append(f"status: {error}")
            lines += [f"  {line}" for line in node.log[-12:]]
        return lines
