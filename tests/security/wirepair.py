"""Two cores and everything between them and the wire, without sockets: real frames, real signatures, one clock.

A frame goes the way it goes in failoverd: ``FrameReceiver.take`` (shape, signature, sender, bounds), then
``Core.handle``, and each beat the core then wants to send is written by ``wire.encode``: what raises anywhere on
this way would end failoverd. Agents and the disk answer at once; a switch never does what it is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from failover_kit.manager import dialect, wire
from failover_kit.manager.actions import (
    Action,
    Fence,
    Note,
    Persist,
    PowerOn,
    Probe,
    ReadPlugs,
    SelfReset,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.config import Secret
from failover_kit.manager.core import Core
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    Persisted,
    PlugsRead,
    PowerOnDone,
    Probed,
    ProbeOutcome,
    Started,
    Stopped,
    Tick,
    Verb,
)
from failover_kit.manager.links_receive import FrameReceiver
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    CoreGroup,
    FenceEvidence,
    GroupRecord,
    NodeRecord,
    PlugState,
)
from failover_kit.manager.snapshot import export_core

KEY = b"WhatAboutTheKey"  # the one of tests/data/dialect, so that those frames are signed rightly here
KEYS = {1: Secret(KEY)}
LINKS = ("eth1", "ttyS0")
KEEPALIVE_MS = 200
DEADTIME_MS = 2_000

HEARD_ONLY = ("last_authentic_ms", "links", "candidates")
"""Of ``Hearing``: what a frame with a right signature that proves nothing may move. PROTOCOL's handshake, and when
something was heard at all; no right, claim, state or count of the peer is among them."""


def config(node: str, peer: str, groups: tuple[str, ...] = ("web",)) -> CoreConfig:
    return CoreConfig(
        node=node,
        peer=peer,
        groups=tuple(CoreGroup(name=name, home="mclaws") for name in groups),
        links=LINKS,
        keepalive_ms=KEEPALIVE_MS,
        warntime_ms=1_000,
        deadtime_ms=DEADTIME_MS,
        initdead_ms=4_000,
        auto_failback=False,
        can_fence=True,
        fence_delay_ms=8_000,
        fence_power_on=True,
        digest="5b0f6a1d0c7e9a34",
        release="0.1.0",
        minor=dialect.MINOR,
    )


@dataclass
class Node:
    """One failoverd without its shell."""

    name: str
    peer: str
    clock: Clock
    life: int = 1
    groups: tuple[str, ...] = ("web",)
    sent: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # of the receiver
    said: list[str] = field(default_factory=list)  # of the core
    passed: int = 0  # so many of ``sent`` were delivered
    turns: int = 0  # of the core, by frames
    actions: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        number = 0 if self.name < self.peer else 1
        nonce = f"{self.life:08x}{number:08x}"
        boot_id = f"2cb5b36b-3b05-4d0c-9d0a-{number:04x}{self.life:08x}"
        # The second life of this boot would know its record; here it begins with none, as after rule 23.
        record = NodeRecord(boot_id=boot_id, groups=tuple(GroupRecord(name=name) for name in self.groups))
        self.core = Core(
            config(self.name, self.peer, self.groups),
            boot_id=boot_id,
            nonce=nonce,
            stored=record,
            now_ms=self.clock.now_ms,
        )
        self.receiver = FrameReceiver(
            (self.name, self.peer),
            nonce,
            KEYS,
            self._beat,
            note=self.notes.append,
            inform=self.notes.append,
            now_ms=lambda: self.clock.now_ms,
        )
        self.handle(Tick())

    def take(self, frame: bytes, link: str = "eth1") -> None:
        """One frame comes in."""
        self.receiver.take(link, frame, "" if link == "ttyS0" else "10.0.0.66")

    def _beat(self, link: str, beat: Beat) -> None:
        self.turns += 1
        self.handle(BeatReceived(link, beat))

    def handle(self, event: Event) -> list[Action]:
        """One event, and everything that follows from it at once."""
        todo: list[Event] = [event]
        done: list[Action] = []
        while todo:
            for action in self.core.handle(self.clock.now_ms, todo.pop(0)):
                done.append(action)
                answer = self._perform(action)
                if answer is not None:
                    todo.append(answer)
        self.actions += done
        return done

    def _perform(self, action: Action) -> Event | None:
        match action:
            case SendBeat():
                self.sent.append(wire.encode(action.beat, KEYS, 1))
            case Note():
                self.said.append(action.text)
            case Persist():
                return Persisted(action.token)
            case Probe():
                return Probed(action.group, action.op, ProbeOutcome.STOPPED)
            case Start():
                return Started(action.group, action.op)
            case Stop():
                return Stopped(action.group, action.op)
            case Fence():
                return FenceDone(action.op, FenceEvidence(readings=(), in_time=False, reason="the switch is away"))
            case PowerOn():
                return PowerOnDone(action.op, ok=False, reason="the switch is away")
            case ReadPlugs():
                return PlugsRead(action.op, PlugState.UNKNOWN, "the switch is away")
            case SelfReset():
                self.said.append(f"reset: {action.reason}")
        return None

    def order(self, verb: Verb, target: str = "") -> None:
        self.handle(Command(1, verb, (), target))

    def state(self) -> dict[str, Any]:
        """Everything the core knows, in plain values, less what the last turn asked for."""
        whole: dict[str, Any] = export_core(self.core)
        whole["f"].pop("_out")
        return whole

    def settled_state(self) -> dict[str, Any]:
        """``state`` without what an authentic frame that is not current may move (HEARD_ONLY)."""
        whole = self.state()
        for name in HEARD_ONLY:
            whole["f"]["hearing"]["f"].pop(name)
        return whole


class Clock:
    """Milliseconds, turned by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000


class WirePair:
    """``mclaws`` and ``pete``, and all frames that passed between them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.first = Node("mclaws", "pete", self.clock)
        self.second = Node("pete", "mclaws", self.clock)

    def pass_time(self, duration_ms: int) -> None:
        """Both tick and hear each other on both links."""
        end_ms = self.clock.now_ms + duration_ms
        while self.clock.now_ms < end_ms:
            self.clock.now_ms += KEEPALIVE_MS // 2
            self.first.handle(Tick())
            self.second.handle(Tick())
            for one, other in ((self.first, self.second), (self.second, self.first)):
                fresh, one.passed = one.sent[one.passed :], len(one.sent)
                for frame in fresh:
                    for link in LINKS:
                        other.take(frame, link)

    def restart(self, name: str) -> Node:
        """A new life of one node, with nothing in its records."""
        old = self.first if name == "mclaws" else self.second
        made = Node(old.name, old.peer, self.clock, life=old.life + 1)
        if name == "mclaws":
            self.first = made
        else:
            self.second = made
        return made


def group_state(node: Node) -> str:
    return node.core.view(node.clock.now_ms).groups[0].state.value


def served() -> WirePair:
    """A pair whose group was started at home, moved to the other node and back, with every frame kept."""
    pair = WirePair()
    pair.pass_time(6_000)
    assert group_state(pair.first) == "started", pair.first.said
    pair.first.order(Verb.STANDBY)
    pair.pass_time(2_000)
    assert group_state(pair.second) == "started", pair.second.said
    pair.second.order(Verb.STANDBY)
    pair.pass_time(2_000)
    assert group_state(pair.first) == "started", pair.first.said
    assert not pair.first.notes and not pair.second.notes
    return pair
