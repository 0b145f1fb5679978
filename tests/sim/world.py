"""The world: one clock, one seeded source of dice, two machines, the links between them, a trace."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from enum import Enum
from heapq import heappop, heappush
from random import Random
from typing import Any

from failover_kit.manager.actions import Action, ExitCode, Note, Reply, SendBeat
from failover_kit.manager.core import Core
from failover_kit.manager.dialect import MINOR
from failover_kit.manager.events import BeatReceived, Command, Event, Terms, Tick, Verb
from failover_kit.manager.records import Beat
from sim.audits import Audits
from sim.faults import NODES, Faults
from sim.machine import Machine
from sim.shell import SOCKET_LIMIT, Daemon, understood

# How often each row of the core's tables was taken by any core of this process.
ROWS_USED: Counter[tuple[Enum, Enum]] = Counter()

# Old frames kept per link for the replay fault.
REPLAY_KEPT = 200
TRACE_KEPT = 40


class TracedCore(Core):
    """The real core; its hook counts the rows of the transition tables that are taken."""

    def _row_used(self, key: tuple[Enum, Enum]) -> None:
        ROWS_USED[key] += 1


class Link:
    """A medium between the nodes; each direction is cut by itself."""

    __slots__ = ("cut", "name", "old")

    def __init__(self, name: str) -> None:
        self.name = name
        self.cut = [False, False]  # by sender
        self.old: deque[tuple[int, Beat]] = deque(maxlen=REPLAY_KEPT)


class World:
    """Everything outside the cores, and the loop that drives them."""

    def __init__(
        self,
        faults: Faults,
        *,
        core_class: type[Core] = TracedCore,
        trace: int | None = None,
        outcome_only: bool = False,
    ) -> None:
        self.faults = faults
        self.core_class = core_class
        self.rng = Random(f"run-{faults.seed}")
        self.now = 0
        self.steps = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self.trace: deque[str] | None = None
        if trace is not None:
            self.trace = deque(maxlen=trace or None)
        self._said: dict[str, object] = {}
        self.on_note: Callable[[str, Note], None] | None = None
        self.on_reply: Callable[[str, Reply], None] | None = None
        self.replies: dict[int, Reply] = {}
        self.shots = 0
        self.commands = 0
        self.audits = Audits(self, outcome_only=outcome_only)
        self.links = [Link(name) for name in faults.links]
        self.machines = [Machine(self, index, name) for index, name in enumerate(NODES)]
        self.delayed = False  # frames of the random phase may still be on their way
        self.keeps_still = False  # rule 19: an operator was told that the pair is in maintenance
        self._beginnings: set[int] = set()
        self.quiet_network = False  # no loss, no odd delays: the healed world

    # --- time --------------------------------------------------------------------------------------

    def at(self, delay_ms: int, call: Callable[..., None], *args: Any) -> None:
        """Call in ``delay_ms``; equal times run in the order they were asked for."""
        self._order += 1
        heappush(self._heap, (self.now + delay_ms, self._order, call, args))

    def run_until(self, end: int) -> None:
        """Let simulated time pass up to ``end``."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, call, args = heappop(heap)
            call(*args)
        self.now = max(self.now, end)

    # --- nodes -------------------------------------------------------------------------------------

    def new_daemon(self, machine: Machine, nonce: str) -> Daemon:
        """Another life of failoverd."""
        return Daemon(machine, nonce)

    def install(self, machine: Machine, minor: int) -> None:
        """Another version of failoverd begins, in place of whatever runs."""
        machine.kill_daemon()
        machine.speaks = minor
        self.say(machine.name, f"has failoverd 1.{minor} now")
        if minor < MINOR:
            self.keeps_still = False  # it cannot: nobody may rely on maintenance any more
        machine.start_daemon()

    def set_outlet(self, machine: Machine, plug: int, on: bool) -> None:
        """The switch switches."""
        if machine.outlets[plug] is not on:
            machine.outlets[plug] = on
            self.say("switch", f"outlet {plug + 1} of {machine.name} is now {'on' if on else 'off'}")
            machine.power_changed()

    def command(
        self,
        machine: Machine,
        verb: Verb,
        groups: tuple[str, ...] = (),
        target: str = "",
        terms: Terms | None = None,
    ) -> int:
        """An operator's order to the daemon of ``machine``, or a watcher's request; 0 when none runs."""
        daemon = machine.daemon
        if daemon is None:
            return 0
        if daemon.speaks < MINOR and verb in (Verb.MAINTENANCE_ON, Verb.MAINTENANCE_OFF):
            return 0  # its failoverctl has no such word
        self.commands += 1
        if verb is Verb.MAINTENANCE_ON:
            self._beginnings.add(self.commands)
        elif verb is Verb.MAINTENANCE_OFF:
            self._beginnings.clear()
            self.keeps_still = False
        daemon.post(daemon.handle, Command(self.commands, verb, groups, target, terms=terms))
        return self.commands

    # --- the network -------------------------------------------------------------------------------

    def send(self, sender: Machine, beat: Beat) -> None:
        """A frame on every link, as each of them treats it."""
        faults, random, receiver = self.faults, self.rng.random, sender.peer
        for link in self.links:
            if link.cut[sender.index]:
                continue
            if self.quiet_network:
                self.at(1, self._deliver, receiver, link, beat)
                continue
            link.old.append((sender.index, beat))
            if faults.loss and random() < faults.loss:
                continue
            delay_ms = 1 + int(random() * faults.delay_ms)
            if faults.long_delay and random() < faults.long_delay:
                delay_ms += int(random() * faults.long_delay_ms)
            self.at(delay_ms, self._deliver, receiver, link, beat)
            if faults.duplicate and random() < faults.duplicate:
                self.at(delay_ms + int(random() * 2_000), self._deliver, receiver, link, beat)

    def replay(self, link: Link, entry: tuple[int, Beat]) -> None:
        """A frame of long ago arrives."""
        self._deliver(self.machines[1 - entry[0]], link, entry[1])

    def _deliver(self, receiver: Machine, link: Link, beat: Beat) -> None:
        daemon = receiver.daemon
        if daemon is None:
            return
        if daemon.paused:
            daemon.frames_waiting += 1
            if daemon.frames_waiting > SOCKET_LIMIT:
                return
        daemon.post(daemon.handle, BeatReceived(link.name, understood(daemon.speaks, beat)))

    # --- what people see ---------------------------------------------------------------------------

    def say(self, who: str, text: str) -> None:
        """A line of the trace about the world itself."""
        if self.trace is not None:
            self.trace.append(f"{self.now / 1000:10.3f} {who:>7} * {text}")

    def noted(self, machine: Machine, note: Note) -> None:
        """The core said a sentence."""
        if self.trace is not None:
            self.trace.append(f"{self.now / 1000:10.3f} {machine.name:>7}   [{note.code}] {note.text}")
        if self.on_note is not None:
            self.on_note(machine.name, note)

    def replied(self, machine: Machine, reply: Reply) -> None:
        """The core answered an operator."""
        self.audits.check(reply.id not in self.replies, f"command {reply.id} was answered twice")
        self.replies[reply.id] = reply
        # The word of a node that keeps still was true when it gave it; it may have got an older failoverd since.
        able = all(machine.speaks == MINOR for machine in self.machines) and not self.audits.state_lost
        if reply.id in self._beginnings and reply.code is ExitCode.DONE and able:
            self.keeps_still = True
        if self.on_reply is not None:
            self.on_reply(machine.name, reply)

    def trace_event(self, who: str, event: Event) -> None:
        """What happened to a core."""
        assert self.trace is not None
        if isinstance(event, BeatReceived):
            if not self._news(f"<{who}{event.link}", event.beat):
                return
            text = f"hears {event.link}: {brief(event.beat)}"
        elif isinstance(event, Tick):
            return
        else:
            text = str(event)
        self.trace.append(f"{self.now / 1000:10.3f} {who:>7} < {text}")

    def trace_action(self, who: str, action: Action) -> None:
        """What a core asked for."""
        assert self.trace is not None
        if isinstance(action, Note):
            return
        if isinstance(action, SendBeat) and not self._news(f">{who}", action.beat):
            return
        text = f"sends {brief(action.beat)}" if isinstance(action, SendBeat) else str(action)
        self.trace.append(f"{self.now / 1000:10.3f} {who:>7} > {text}")

    def _news(self, where: str, beat: Beat) -> bool:
        """Whether a beat says something the one before it there did not: the others stay out of the trace."""
        said = (beat.nonce, beat.hears, beat.ready, beat.leaving, beat.groups, [n for n, _ in beat.echoes])
        if self._said.get(where) == said:
            return False
        self._said[where] = said
        return True


def brief(beat: Beat) -> str:
    """A beat on one line."""
    echoes = ",".join(f"{nonce}:{counter}" for nonce, counter in beat.echoes)
    words = [f"{beat.nonce}#{beat.counter}", f"echo({echoes})", "hears" if beat.hears else "deaf"]
    words += [word for word, said in (("unready", not beat.ready), ("leaving", beat.leaving)) if said]
    for claim in beat.groups:
        text = f"{claim.name}={claim.state.value} right={claim.right} top={claim.top}"
        text += " held" if claim.held else ""
        text += f" grant={claim.grant}->{claim.grant_nonce or '?'}" if claim.grant else ""
        text += f" fence-me={claim.fence_me}" if claim.fence_me else ""
        text += f" want={claim.want}" if claim.want else ""
        text += " parked" if claim.parked else ""
        text += " failed-here" if claim.failed_here else ""
        words.append(text)
    return " | ".join(words)
