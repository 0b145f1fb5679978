"""The shell: order, one timer, the second question before a fork, and what it does when the core breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from failover_kit.manager.actions import (
    Action,
    Exit,
    ExitCode,
    Level,
    Note,
    Persist,
    Probe,
    Reply,
    SelfReset,
    SendBeat,
    Start,
)
from failover_kit.manager.children import Freshness
from failover_kit.manager.config import AuthKeys, AuthMethod, Secret
from failover_kit.manager.events import (
    Command,
    Event,
    Persisted,
    PersistFailed,
    Probed,
    ProbeOutcome,
    ShutdownRequested,
    Started,
    StartFailed,
    Tick,
    Verb,
)
from failover_kit.manager.records import Beat, CoreConfig, NodeRecord
from failover_kit.manager.shell import EXIT_BUG, Parts, Shell
from failover_kit.manager.states import InvariantViolation
from failover_kit.manager.store import PersistError

KEYS = AuthKeys(sign_index=1, keys={1: Secret(b"k" * 20)}, methods={1: AuthMethod.HMAC_SHA256})
CONFIG = CoreConfig(
    node="pete", peer="mclaws", groups=(), links=("eth1",), keepalive_ms=200, warntime_ms=500, deadtime_ms=2_000,
    initdead_ms=4_000, auto_failback=False, can_fence=False, fence_delay_ms=5_000, fence_power_on=True,
)
BEAT = Beat(node="pete", boot_id="b", nonce="n", counter=1, echoes=(), hears=False, ready=True)
RECORD = NodeRecord(boot_id="b")
WALL_MS = 1_700_000_000_000


class ScriptedCore:
    """Answers each kind of event with the actions a test put there."""

    def __init__(self, answers: dict[type, list[Action]]) -> None:
        self.config = CONFIG
        self.answers = answers
        self.events: list[Event] = []
        self.refusal = ""
        self.now_ms = 0

    def handle(self, now_ms: int, event: Event) -> list[Action]:
        self.events.append(event)
        self.now_ms = now_ms
        if isinstance(event, ShutdownRequested) and ShutdownRequested not in self.answers:
            raise InvariantViolation("planted")
        return self.answers.pop(type(event), [])

    def deadline_ms(self) -> int:
        return self.now_ms + 10_000

    def may_start(self, group: str) -> str:
        return self.refusal

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


class Runner:
    """A group that asks for permission as the real one does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def start(self, op: int, permission: Callable[[], tuple[str, Freshness]]) -> Started | StartFailed:
        refusal, _ = permission()
        self.asked.append(refusal)
        return StartFailed("web", op, "x", refusal) if refusal else Started("web", op)

    async def probe(self, op: int) -> Probed:
        return Probed("web", op, ProbeOutcome.STOPPED)

    async def end_watch(self) -> None:
        return


class World:
    """A shell around a scripted core; records what leaves it, in order."""

    def __init__(self, answers: dict[type, list[Action]], **parts: Any) -> None:
        self.core = ScriptedCore(answers)
        self.out: list[str] = []
        self.runner = Runner()
        self.clock_ms = 1_000
        self.persist_error = ""
        self.recorded: list[Event] = []
        self.parts = parts

    def send(self, frame: bytes) -> None:
        self.out.append("beat")

    async def persist(self, record: NodeRecord) -> None:
        if self.persist_error:
            raise PersistError(self.persist_error)
        self.out.append("persisted")

    def record(self, now_ms: int, event: Event, actions: object) -> None:
        self.recorded.append(event)

    def say(self, level: Level, text: str) -> None:
        self.out.append(f"{level.value}: {text}")

    def shell(self) -> Shell:
        parts = Parts(
            keys=KEYS, links=[self], store=self, runners={"web": self.runner},  # type: ignore[dict-item]
            fencer=None, say=self.say, journal=self, **self.parts,
        )
        return Shell(self.core, parts, clock=lambda: self.clock_ms, wall_clock=lambda: WALL_MS)  # type: ignore[arg-type]

    def tell(self, story: Callable[[Shell], Awaitable[None]]) -> int | None:
        async def whole() -> int | None:
            shell = self.shell()
            await story(shell)
            code = shell.ended.result() if shell.ended.done() else None
            await shell.close()
            return code

        return asyncio.run(asyncio.wait_for(whole(), 30))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def begin(shell: Shell) -> None:
    shell.begin()
    await settle()


def test_actions_are_performed_in_the_order_of_the_list() -> None:
    world = World({Tick: [Note(Level.INFO, "a", "first"), SendBeat(BEAT), Note(Level.ALARM, "b", "last")]})
    world.tell(begin)
    assert world.out == ["info: first", "beat", "alarm: last"]


def test_a_durable_record_comes_back_as_a_fact() -> None:
    world = World({Tick: [Persist(4, RECORD)]})
    world.tell(begin)
    assert world.core.events == [Tick(), Persisted(4)]


def test_a_failed_one_comes_back_with_its_reason() -> None:
    world = World({Tick: [Persist(4, RECORD)]})
    world.persist_error = "No space left"
    world.tell(begin)
    assert world.core.events == [Tick(), PersistFailed(4, "No space left")]


def test_permission_is_asked_of_a_core_that_just_turned() -> None:
    world = World({Tick: [Start("web", 2, 6)]})
    world.tell(begin)
    assert world.runner.asked == [""]
    assert world.core.kinds() == ["Tick", "Tick", "Started"]


def test_a_refusal_at_the_last_moment_starts_nothing() -> None:
    world = World({Tick: [Start("web", 2, 6)]})
    world.core.refusal = "the peer claims it, too (epoch 7)"
    world.tell(begin)
    assert world.core.events[-1] == StartFailed("web", 2, "x", "the peer claims it, too (epoch 7)")


def test_an_order_that_lay_around_is_given_back() -> None:
    async def story(shell: Shell) -> None:
        shell.begin()
        world.clock_ms += 5_000  # the loop stood still between the decision and its task
        await settle()

    world = World({Tick: [Start("web", 2, 6)]})
    world.tell(story)
    assert world.runner.asked == []
    answer = world.core.events[-1]
    assert isinstance(answer, StartFailed)
    assert "5000 ms old" in answer.reason


def test_a_fact_that_comes_while_a_list_is_performed_waits_for_its_end() -> None:
    class Eager(World):
        """A link that reports something in the middle of sending."""

        own: Shell

        def send(self, frame: bytes) -> None:
            self.out.append("beat")
            self.own.feed(ShutdownRequested())

    async def story(shell: Shell) -> None:
        world.own = shell
        shell.begin()

    second = [Note(Level.INFO, "b", "what followed from it")]
    world = Eager({Tick: [SendBeat(BEAT), Note(Level.INFO, "a", "behind it")], ShutdownRequested: [*second]})
    world.tell(story)
    assert world.out == ["beat", "info: behind it", "info: what followed from it"]


def test_a_command_is_answered_with_its_outcome() -> None:
    async def story(shell: Shell) -> None:
        outcome = await shell.command(Verb.STANDBY, ("web",))
        assert (outcome.code, outcome.text) == (ExitCode.REFUSED, "no")

    world = World({Command: [Reply(1, ExitCode.REFUSED, "no")]})
    world.tell(story)
    assert world.core.events == [Command(1, Verb.STANDBY, ("web",), "", WALL_MS)]


def test_a_core_that_breaks_ends_the_daemon_and_nothing_else() -> None:
    async def story(shell: Shell) -> None:
        order = asyncio.create_task(shell.command(Verb.STANDBY))
        await settle()
        shell.shut_down()  # the scripted core breaks on it
        assert (await order).code is ExitCode.FAILED
        shell.feed(Tick())

    world = World({})
    assert world.tell(story) == EXIT_BUG
    assert world.core.kinds() == ["Command", "ShutdownRequested"]
    # The event that broke it is in the journal, so that a replay shows it.
    assert world.recorded[-1] == ShutdownRequested()
    assert len(world.out) == 1
    assert world.out[0].startswith("alarm: this is a bug in failover-kit: the core failed on ShutdownRequested()")
    assert "planted" in world.out[0]


def test_a_bug_in_the_write_of_a_record_ends_failoverd() -> None:
    """What is durable is not known then: no PersistFailed, after which the core would try again and go on."""

    async def bug(_record: NodeRecord) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    world = World({Tick: [Persist(4, RECORD)]})
    world.persist = bug  # type: ignore[method-assign]
    assert world.tell(begin) == EXIT_BUG
    assert world.core.events == [Tick()]
    assert "this is a bug in failover-kit" in world.out[0] and "ZeroDivisionError" in world.out[0]


def test_observers_are_told_after_the_beat_is_out_and_not_of_a_turn_that_broke() -> None:
    class Observer:
        def record(self, now_ms: int, event: Event, actions: object) -> None:
            world.out.append(f"observed {type(event).__name__}")

    async def story(shell: Shell) -> None:
        shell.begin()
        shell.shut_down()  # the scripted core breaks on it

    world = World({Tick: [SendBeat(BEAT), Note(Level.INFO, "a", "said")]}, observers=(Observer(),))
    assert world.tell(story) == EXIT_BUG
    assert world.out[:3] == ["beat", "info: said", "observed Tick"]
    assert "observed ShutdownRequested" not in world.out


def test_exit_ends_with_0() -> None:
    async def story(shell: Shell) -> None:
        shell.shut_down()

    assert World({ShutdownRequested: [Exit()]}).tell(story) == 0


def test_a_probe_that_fails_in_the_kernel_is_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(op: int) -> Probed:
        raise OSError(5, "Input/output error")

    world = World({Tick: [Probe("web", 3)]})
    monkeypatch.setattr(world.runner, "probe", broken)
    world.tell(begin)
    answer = world.core.events[-1]
    assert isinstance(answer, Probed)
    assert answer.outcome is ProbeOutcome.DOUBT
    assert "Input/output error" in answer.reason


def test_a_reset_is_done_only_where_it_was_allowed() -> None:
    world = World({Tick: [SelfReset("group web: the peer has it under a higher epoch")]})
    world.tell(begin)
    assert "failoverd was not allowed to (--self-reset)" in world.out[1]
    assert "unmount nothing" in world.out[1]

    resets: list[str] = []

    def reset(reason: str) -> str:
        resets.append(reason)
        return "sysrq is missing"

    allowed = World({Tick: [SelfReset("two rights")]}, self_reset=reset)
    allowed.tell(begin)
    assert resets == ["two rights"]
    assert "sysrq is missing" in allowed.out[1]
