"""What a scene works with: waits that end, facts about the world, and the proof after it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from failover_kit.rehearsal import ledger, status
from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.kit import program
from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.plan import HANG_FILE, HEARTBEAT, RECORDS_FILE, SERIAL, peer_of
from failover_kit.rehearsal.records import Gap, longest_gap, missing
from failover_kit.rehearsal.status import Status, StatusError
from failover_kit.rehearsal.watch import ADDRESS
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline, boottime_ms

POLL_S = 0.05
TRUTH_MS = 12_000
"""How long status may take to catch up with the end of a scene: initdead, and a monitor."""

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
        """The client must be served all this time: a scene begins and ends in peace."""
        before = len(self.world.acknowledgements.read())
        self.stays("the client is served", self.serving, for_ms)
        self.require(len(self.world.acknowledgements.read()) > before, "the client got no acknowledgement")

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

    def serving(self) -> str:
        """The node whose acknowledgements the client gets just now; "" for none."""
        latest = self.world.acknowledgements.read()[-1:]
        return latest[0].node if latest and latest[0].t_ms >= boottime_ms() - SERVED_MS else ""

    def served_since(self, name: str, since_ms: int) -> bool:
        """Whether ``name`` acknowledged a record after ``since_ms``."""
        return any(ack.node == name for ack in self.world.acknowledgements.since(since_ms))

    def holder(self) -> str:
        """The node that has the disk mounted. SceneFailed when it is not exactly one."""
        names = [node.name for node in self.world.nodes.values() if node.on and self.world.mounted_on(node)]
        if len(names) != 1:
            raise SceneFailed(f"the disk is mounted on {' and '.join(names) or 'no node'}; expected exactly one")
        return names[0]

    def attempts(self, name: str, verb: str = "") -> list[ledger.Attempt]:
        """Attempts on the node that began since the fault."""
        return [
            call
            for call in self.world.attempts()
            if call.node == name and call.t_ms >= self.fault_ms and call.what == "begin" and verb in ("", call.verb)
        ]

    def switched(self, name: str, to: str) -> list[int]:
        """When the node's outlet changed to ``to`` (on or off) since the fault."""
        outlet = self.node(name).plan.outlet
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

    def gap(self, begin_ms: int | None = None, end_ms: int | None = None) -> Gap:
        """The client's longest wait, by default since the fault."""
        times = [ack.t_ms for ack in self.world.acknowledgements.read()]
        last_before = [t for t in times if t <= (begin_ms or self.fault_ms)][-1:]
        begin = last_before[0] if last_before else begin_ms or self.fault_ms
        return longest_gap(times, begin, end_ms or boottime_ms())

    # --- doing -------------------------------------------------------------------------------------

    def order(self, name: str, *arguments: str, timeout_ms: int = 60_000) -> None:
        """A failoverctl command that must succeed."""
        result = self.node(name).run([self.ctl, *arguments], timeout_ms)
        if not result.ok():
            raise SceneFailed(f"on {name}: {result.describe()}")

    @contextmanager
    def order_in_background(self, name: str, *arguments: str) -> Iterator[None]:
        """A failoverctl command whose end is not waited for; it is killed when the block is left."""
        import subprocess

        from failover_kit.spec.process import CLEAN_ENV

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

    # --- the proof ---------------------------------------------------------------------------------

    def prove(self) -> list[str]:
        """What is proved of everything so far, a sentence each. Raises SceneFailed."""
        problems = self.audit()
        if problems:
            raise SceneFailed("; ".join(problems))
        attempts = self.world.attempts()
        spans = ledger.held(attempts, self.world.power())
        starts = sum(call.verb == "start" and call.what == "begin" for call in attempts)
        several = "1 span" if len(spans) == 1 else f"{len(spans)} spans, none overlaps"
        proofs = [f"never two holders: {starts} start attempts in {several}"]
        proofs.append(self._prove_records())
        self.require_truth()
        proofs.append("status on both nodes tells the truth")
        return proofs

    def audit(self) -> list[str]:
        """What the ledger has against this run so far, a sentence each; empty when nothing."""
        power = self.world.power()
        spans = ledger.held(self.world.attempts(), power)
        return ledger.overlaps(spans) + ledger.strays(self.world.sightings(), spans, power)

    def _prove_records(self) -> str:
        acknowledged = list(self.world.acknowledgements.read())
        holder = self.node(self.holder())
        with open(holder.root + RECORDS_FILE, encoding="ascii") as file:
            lost = missing(acknowledged, file.read())
        if lost:
            raise SceneFailed(f"{len(lost)} acknowledged records are not in the file, the first is {lost[0]}")
        return f"all {len(acknowledged)} acknowledged records are on the disk of {holder.name}"

    def require_truth(self) -> None:
        """What both nodes say of themselves must come to agree with what is so. Raises SceneFailed."""
        deadline = Deadline(TRUTH_MS)
        while True:
            lies = [lie for name in self.world.nodes for lie in self.lies(name)]
            if not lies:
                return
            if deadline.expired():
                raise SceneFailed("status does not tell the truth: " + "; ".join(lies))
            time.sleep(POLL_S)

    def lies(self, name: str) -> list[str]:
        """Where the node's status differs from what is so. Both nodes are expected to be on."""
        try:
            says = self.status(name)
        except StatusError as error:
            return [f"{name}: {error}"]
        here = self.parts_on(name)
        wrong = []
        if (says.state == "started") != all(here.values()):
            wrong.append(f"{name} says {says.state}, and there is {here}")
        if (says.state == "stopped") != (not any(here.values())):
            wrong.append(f"{name} says {says.state}, and there is {here}")
        peer = self.node(peer_of(name))
        links = {SERIAL: self.world.cable.connected, HEARTBEAT: self.world.network.heartbeat_connected()}
        audible = peer.on and peer.daemon_pid != 0
        if (says.peer_state == "up") != (audible and any(links.values())):
            wrong.append(f"{name} says {peer.name} is {says.peer_state}")
        for link, connected in links.items():
            if bool(says.links.get(link)) != (audible and connected):
                wrong.append(f"{name} says link {link} is {'up' if says.links.get(link) else 'silent'}")
        well = audible and all(links.values()) and bool(self.serving())
        if (says.health == "healthy") != well:
            wrong.append(f"{name} says {says.health} ({says.reason})")
        if says.exit_code != status.EXIT_CODES.get(says.health):
            wrong.append(f"status on {name} says {says.health} and exits {says.exit_code}")
        return wrong

    def parts_on(self, name: str) -> dict[str, bool]:
        """Which parts of the group are really there on a node that is on."""
        node = self.node(name)
        seen = [s for s in node.sightings if s.boot == node.boot and s.thing == ADDRESS]
        return {
            "disk": self.world.mounted_on(node),
            "address": bool(seen) and seen[-1].present,
            "service": _service_runs(node),
        }

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


def _service_runs(node: Node) -> bool:
    try:
        with open(f"{node.root}/run/recordd.pid", encoding="ascii") as file:
            pid = int(file.read())
        with open(f"{node.root}/proc/{pid}/cmdline", "rb") as command:
            return b"recordd.py\0serve" in command.read()
    except (OSError, ValueError):
        return False


def as_json(value: Any) -> Any:
    """Dataclasses and enums as plain data for ``--json``."""
    import dataclasses
    from enum import Enum

    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return value
