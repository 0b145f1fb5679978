"""One core on a bench: the peer's beats are made by hand, and whatever the core asks for is kept.

The core is ``mclaws``, its peer ``pete``. Nothing is answered by itself: a test that wants a record
durable says ``write()``, one that wants to see what happens before that does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

from failover_kit.manager import dialect
from failover_kit.manager.actions import (
    Action,
    ExitCode,
    Fence,
    Note,
    Persist,
    Probe,
    Reply,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.core import Core
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    Persisted,
    PersistFailed,
    Probed,
    ProbeOutcome,
    Started,
    Stopped,
    Tick,
    Verb,
)
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    CoreGroup,
    FenceEvidence,
    GroupClaim,
    GroupRecord,
    NodeRecord,
    PlugReading,
    PlugState,
)
from failover_kit.manager.states import GroupState

KEEPALIVE_MS = 200
DEADTIME_MS = 2_000
INITDEAD_MS = 4_000
DELAY_MS = 8_000
A = TypeVar("A")

CONFIG = CoreConfig(
    node="mclaws",
    peer="pete",
    groups=(CoreGroup(name="cluster", home="pete"),),
    links=("eth1",),
    keepalive_ms=KEEPALIVE_MS,
    warntime_ms=1_000,
    deadtime_ms=DEADTIME_MS,
    initdead_ms=INITDEAD_MS,
    auto_failback=False,
    can_fence=True,
    fence_delay_ms=DELAY_MS,
    fence_power_on=True,
    digest="alike",
    minor=dialect.MINOR,
)

EMPTY = GroupClaim(name="cluster", state=GroupState.STOPPED, held=False, right=0, top=0)
"""What pete says of the group when it has nothing of it."""

RUNS = replace(EMPTY, state=GroupState.STARTED, held=True, right=3, top=3)
"""What pete says when it runs it."""


def stored(right: int = 0, *, boot_id: str = "mclaws boot 1", held: bool = False, **node: object) -> NodeRecord:
    """A durable record from an earlier life."""
    group = GroupRecord(name="cluster", right=right, top=right, known=right, held=held)
    return NodeRecord(boot_id=boot_id, groups=(group,), **node)  # type: ignore[arg-type]


@dataclass
class Bench:
    """See the module. Times are milliseconds since this life began."""

    config: CoreConfig = CONFIG
    record: NodeRecord | None = None
    now_ms: int = 0
    done: list[Action] = field(default_factory=list)
    peer_nonce: str = "pete life 1"
    peer_boot_id: str = "pete boot 1"
    peer_counter: int = 0

    def __post_init__(self) -> None:
        self.core = Core(
            self.config, boot_id="mclaws boot 1", nonce="mclaws life 1", stored=self.record, now_ms=0
        )
        self.handle(Tick())

    # --- what happens ------------------------------------------------------------------------------

    def handle(self, event: Event) -> list[Action]:
        """One event; what it led to, and all of it is kept in ``done``, too."""
        actions = self.core.handle(self.now_ms, event)
        self.done += actions
        return actions

    def wait(self, duration_ms: int, *, hearing: GroupClaim | None = None, writing: bool = False) -> list[Action]:
        """Let time pass by keepalives; with ``hearing``, pete beats all the while and says that."""
        before = len(self.done)
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, self.now_ms + KEEPALIVE_MS)
            self.handle(Tick())
            if hearing is not None:
                self.hear(hearing)
            if writing:
                self.write()
        return self.done[before:]

    def hear(self, claim: GroupClaim = EMPTY, **fields: object) -> list[Action]:
        """A beat of pete's that answers the last one sent here."""
        return self.handle(BeatReceived("eth1", self.beat(claim, **fields)))

    def beat(self, claim: GroupClaim = EMPTY, **fields: object) -> Beat:
        self.peer_counter += 1
        beat = Beat(
            node="pete",
            boot_id=self.peer_boot_id,
            nonce=self.peer_nonce,
            counter=self.peer_counter,
            echoes=((self.core.nonce, self.core.counter),),
            hears=True,
            ready=True,
            digest="alike",
            groups=(claim,),
            minor=dialect.MINOR,
        )
        return replace(beat, **fields)  # type: ignore[arg-type]

    def reset_peer(self) -> None:
        """From now on pete's beats come from its next boot."""
        self.peer_boot_id, self.peer_nonce, self.peer_counter = "pete boot 2", "pete life 2", 0

    def write(self) -> None:
        """Answer every Persist until there is none left."""
        while (asked := self.unwritten()) is not None:
            self.handle(Persisted(asked.token))

    def disk_fails(self) -> list[Action]:
        asked = self.unwritten()
        assert asked is not None
        return self.handle(PersistFailed(asked.token, "No space left on device"))

    def unwritten(self) -> Persist | None:
        """The Persist in flight."""
        in_flight = self.core._in_flight
        asked = self.last(Persist)
        return asked if asked is not None and in_flight is not None and in_flight[0] == asked.token else None

    def probe(self, outcome: ProbeOutcome = ProbeOutcome.STOPPED) -> list[Action]:
        asked = self.last(Probe)
        assert asked is not None
        return self.handle(Probed("cluster", asked.op, outcome))

    def started(self) -> list[Action]:
        asked = self.last(Start)
        assert asked is not None
        return self.handle(Started("cluster", asked.op))

    def stopped(self) -> list[Action]:
        asked = self.last(Stop)
        assert asked is not None
        return self.handle(Stopped("cluster", asked.op))

    def order(self, verb: Verb, target: str = "") -> list[Action]:
        return self.handle(Command(7, verb, (), target))

    def standby(self) -> None:
        """Ordered, and the intent to move is on the disk."""
        self.order(Verb.STANDBY)
        self.write()

    def fenced(self, *, in_time: bool = True, done: bool = True, **fields: object) -> list[Action]:
        """The shot in flight ends; as a proof, unless ``fields`` of the one reading say otherwise."""
        asked = self.last(Fence)
        assert asked is not None
        reading = PlugReading(
            device="benjamin",
            plug="pete",
            off_exit=0,
            off_began_ms=self.now_ms,
            off_ended_ms=self.now_ms,
            read_began_ms=self.now_ms,
            state=PlugState.OFF,
        )
        readings = (replace(reading, **fields),)  # type: ignore[arg-type]
        return self.handle(FenceDone(asked.op, FenceEvidence(readings=readings if done else (), in_time=in_time)))

    # --- where most tests begin --------------------------------------------------------------------

    def meet(self, claim: GroupClaim = EMPTY) -> None:
        """The group was found stopped here, and pete is up and says ``claim``."""
        self.probe()
        self.write()
        self.hear(claim)
        self.wait(KEEPALIVE_MS)
        self.hear(claim)
        self.write()

    def lose_peer(self) -> None:
        """pete is not heard until it counts as silent."""
        self.wait(DEADTIME_MS)

    def serve(self) -> int:
        """pete grants the group, it is started and runs here; its epoch."""
        self.meet(replace(EMPTY, top=3, grant=3, grant_nonce=self.core.nonce))
        self.started()
        self.write()
        self.hear(replace(EMPTY, top=3))
        self.write()
        return 3

    # --- what was done -----------------------------------------------------------------------------

    def last(self, kind: type[A]) -> A | None:
        return next((action for action in reversed(self.done) if isinstance(action, kind)), None)

    def count(self, kind: type[Action]) -> int:
        return sum(isinstance(action, kind) for action in self.done)

    def codes(self) -> list[str]:
        """The codes of all notes so far."""
        return [action.code for action in self.done if isinstance(action, Note)]

    def claim(self) -> GroupClaim:
        """What the last beat said of the group."""
        sent = self.last(SendBeat)
        assert sent is not None
        return sent.beat.groups[0]

    def reply_code(self) -> ExitCode | None:
        """How the last order was answered."""
        reply = self.last(Reply)
        return reply.code if reply is not None else None

    def right(self) -> int:
        return self.core.view(self.now_ms).groups[0].right

    def state(self) -> GroupState:
        return self.core.view(self.now_ms).groups[0].state
