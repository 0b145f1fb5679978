"""A core exported and imported decides exactly as the one it was taken from."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest

from failover_kit.manager import events as ev
from failover_kit.manager.actions import (
    Action,
    Fence,
    Persist,
    PowerOn,
    Probe,
    ReadPlugs,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.codec import CodecError
from failover_kit.manager.core import Core
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    CoreGroup,
    FenceEvidence,
    PlugReading,
    PlugState,
)
from failover_kit.manager.snapshot import export_core, import_core

CONFIG = CoreConfig(
    node="pete", peer="mclaws", groups=(CoreGroup(name="web", home="pete"), CoreGroup(name="mail", home="mclaws")),
    links=("eth1", "ttyS0"), keepalive_ms=1000, warntime_ms=2000, deadtime_ms=5000, initdead_ms=9000,
    auto_failback=True, can_fence=True, fence_delay_ms=5000, fence_power_on=True,
)  # fmt: skip


def through_json(core: Core) -> Core:
    return import_core(json.loads(json.dumps(export_core(core))))


class Pair:
    """Two real cores joined by lossy hands; events come in an order drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now_ms = 1_000
        self.cores: list[Core] = []
        self.inbox: list[list[ev.Event]] = [[], []]
        self.used: set[str] = set()
        for node, peer in (("pete", "mclaws"), ("mclaws", "pete")):
            config = dataclasses.replace(CONFIG, node=node, peer=peer)
            boot_id, nonce = f"boot-{node}", f"n-{node}"
            self.cores.append(Core(config, boot_id=boot_id, nonce=nonce, stored=None, now_ms=self.now_ms))

    def answer(self, me: int, action: Action) -> None:
        self.used.add(type(action).__name__)
        good = self.rng.random() < 0.8
        inbox = self.inbox[me]
        match action:
            case SendBeat():
                self.deliver(1 - me, action.beat)
            case Persist():
                inbox.append(ev.Persisted(action.token) if good else ev.PersistFailed(action.token, "full"))
            case Probe():
                inbox.append(ev.Probed(action.group, action.op, ev.ProbeOutcome.STOPPED))
            case Start():
                failed = ev.StartFailed(action.group, action.op, "fs", "no")
                inbox.append(ev.Started(action.group, action.op) if good else failed)
            case Stop():
                failed = ev.StopFailed(action.group, action.op, "fs", "busy")
                inbox.append(ev.Stopped(action.group, action.op) if good else failed)
            case Fence():
                now = self.now_ms
                reading = PlugReading(
                    device="d", plug="1", off_exit=0, off_began_ms=now, off_ended_ms=now, read_began_ms=now,
                    state=PlugState.OFF if good else PlugState.ON,
                )  # fmt: skip
                inbox.append(ev.FenceDone(action.op, FenceEvidence(readings=(reading,), in_time=True)))
            case PowerOn():
                inbox.append(ev.PowerOnDone(action.op, good))
            case ReadPlugs():
                inbox.append(ev.PlugsRead(action.op, PlugState.ON))

    def deliver(self, to: int, beat: Beat) -> None:
        cut = (self.now_ms // 60_000) % 3 == 1
        for link in ("eth1", "ttyS0"):
            if not cut and self.rng.random() < 0.9:
                self.inbox[to].append(ev.BeatReceived(link, beat))

    def next_event(self, me: int) -> ev.Event:
        if self.inbox[me]:
            return self.inbox[me].pop(0)
        if self.rng.random() < 0.02:
            verb = self.rng.choice(list(ev.Verb))
            return ev.Command(self.rng.randrange(1, 10**6), verb, (), "mclaws" if me == 0 else "pete")
        return ev.Tick()

    def step(self, me: int) -> tuple[ev.Event, list[Action]]:
        event = self.next_event(me)
        if isinstance(event, ev.Tick):
            self.now_ms = max(self.now_ms, min(core.deadline_ms() for core in self.cores))
        actions = list(self.cores[me].handle(self.now_ms, event))
        for action in actions:
            self.answer(me, action)
        return event, actions


def live(pair: Pair) -> None:
    """1500 events, beside a twin that is made anew from time to time."""
    twin: Core | None = None
    for number in range(1500):
        me = number % 2
        event, actions = pair.step(me)
        if me == 0 and twin is not None:
            assert list(twin.handle(pair.now_ms, event)) == actions
            assert twin.deadline_ms() == pair.cores[0].deadline_ms()
            assert twin.view(pair.now_ms) == pair.cores[0].view(pair.now_ms)
        if me == 0 and number % 50 == 0:
            twin = through_json(pair.cores[0])
            assert export_core(twin) == export_core(pair.cores[0])


def test_an_imported_core_decides_alike_ever_after() -> None:
    used: set[str] = set()
    for seed in range(8):
        pair = Pair(seed)
        live(pair)
        used |= pair.used
    assert {"SendBeat", "Persist", "Probe", "Start", "Stop", "Fence", "Reply", "Note"} <= used


def changed(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    whole = json.loads(json.dumps(plain))
    place = whole
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return whole


def test_what_is_no_snapshot_of_this_version_is_refused() -> None:
    plain = export_core(Pair(1).cores[0])
    for path, value in (
        (("O",), "Hearing"),
        (("O",), "Popen"),
        (("f", "new"), 1),
        (("f", "peer_state"), {"E": ["PeerState", "asleep"]}),
        (("f", "peer_state"), {"E": ["Core", "asleep"]}),
        (("f", "hearing", "f", "colour"), 1),
        (("f", "hearing"), {"O": "Hearing", "f": {}}),
        (("f", "groups"), {"X": []}),
        (("f", "config"), 1.5),
    ):
        with pytest.raises(CodecError):
            import_core(changed(plain, path, value))
    for nothing in (None, [], {}, "x", {"O": "Core", "f": {}}):
        with pytest.raises(CodecError):
            import_core(nothing)
    deep: Any = 1
    for _ in range(5000):
        deep = {"L": [deep]}
    with pytest.raises(CodecError):
        import_core(deep)


def test_only_plain_state_is_exported() -> None:
    core = Pair(1).cores[0]
    core.said["x"] = object()  # type: ignore[assignment]
    with pytest.raises(TypeError, match="object has no plain form"):
        export_core(core)
