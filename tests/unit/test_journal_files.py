"""The journal: what was recorded is read back and replayed; what was lost is said to be lost."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failover_kit.manager import events as ev
from failover_kit.manager.actions import Action, Exit, Level, Note, Persist, SendBeat
from failover_kit.manager.journal import (
    CURRENT,
    PREVIOUS,
    Entry,
    Gap,
    Head,
    Journal,
    JournalError,
    Life,
    Remark,
    Step,
    read,
    replay,
)
from failover_kit.manager.records import Beat, CoreConfig, CoreGroup, NodeRecord
from failover_kit.manager.states import InvariantViolation

CONFIG = CoreConfig(
    node="pete", peer="mclaws", groups=(CoreGroup(name="web", home="pete"),), links=("eth1",), keepalive_ms=1000,
    warntime_ms=2000, deadtime_ms=5000, initdead_ms=9000, auto_failback=False, can_fence=True, fence_delay_ms=5000,
    fence_power_on=True,
)  # fmt: skip
LIFE = Life(config=CONFIG, boot_id="boot", nonce="life-1", stored=NodeRecord(boot_id="boot"), start_ms=5)
BEAT = Beat(node="mclaws", boot_id="b", nonce="n", counter=1, echoes=(("life-1", 3),), hears=True, ready=True)


def write(
    directory: Path, calls: list[tuple[int, ev.Event, list[Action]]], life: Life = LIFE, **options: Any
) -> Journal:
    async def story() -> Journal:
        journal = Journal(str(directory), life, wall_s=lambda: 1000.5, **options)
        journal.start()
        for now_ms, event, actions in calls:
            journal.record(now_ms, event, actions)
        await journal.close()
        journal._worker._thread.join(60)
        return journal

    return asyncio.run(story())


def entries(directory: Path) -> list[Entry]:
    return [item for item in read([str(directory / CURRENT)]) if isinstance(item, Entry)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**12),
            st.one_of([st.from_type(kind) for kind in get_args(ev.Event)]),
            st.lists(st.one_of([st.from_type(kind) for kind in get_args(Action)]), max_size=3),
        ),
        max_size=6,
    )
)
def test_what_is_recorded_is_read_back(calls: list[tuple[int, ev.Event, list[Action]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), calls)
        if not calls:
            assert os.listdir(name) == []
            return
        found = entries(Path(name))
        assert [(e.now_ms, e.event) for e in found] == [(now, event) for now, event, _ in calls]
        for entry, (_, _, actions) in zip(found, calls, strict=True):
            assert entry.actions == tuple(a for a in actions if not isinstance(a, SendBeat))


def test_beats_that_only_count_on_are_short(tmp_path: Path) -> None:
    def beat(counter: int, heard: int, **other: Any) -> ev.Event:
        echoes = (("life-1", heard),)
        return ev.BeatReceived("eth1", dataclasses.replace(BEAT, counter=counter, echoes=echoes, **other))

    calls: list[tuple[int, ev.Event, list[Action]]] = [
        (1000 * n, beat(n, n - 1, ready=n < 50), []) for n in range(1, 100)
    ]
    write(tmp_path, calls)
    lines = (tmp_path / CURRENT).read_text().splitlines()
    assert sum(len(line) > 60 for line in lines) == 1 + 2, "the head, the first beat, the one that changed"
    assert [(e.now_ms, e.event, []) for e in entries(tmp_path)] == calls


def woken(calls: list[tuple[int, ev.Event, list[Action]]]) -> list[bool]:
    """After each call, whether the flush was told to begin."""

    async def story() -> list[bool]:
        journal = Journal("/nowhere", LIFE)
        told = []
        for now_ms, event, actions in calls:
            journal.record(now_ms, event, actions)
            told.append(journal._wake.is_set())
            journal._wake.clear()
        journal._worker.close()
        return told

    return asyncio.run(story())


def test_ticks_and_beats_that_led_to_nothing_wait_for_company() -> None:
    beat = ev.BeatReceived("eth1", BEAT)
    note: list[Action] = [Note(Level.INFO, "x", "y")]
    assert woken([(0, ev.Tick(), []), (900, beat, []), (1000, ev.Tick(), [SendBeat(BEAT)])]) == [False] * 3
    assert woken([(0, ev.Tick(), []), (10, beat, note)]) == [False, True]
    assert woken([(0, ev.Persisted(1), [])]) == [True]
    long = [(1_000, ev.Tick(), []), (5_999, ev.Tick(), []), (6_000, beat, []), (6_001, beat, [])]
    assert woken(long) == [False, False, True, True], "and not for longer than five seconds"


def test_a_full_ring_loses_the_oldest_and_says_how_many(tmp_path: Path) -> None:
    write(tmp_path, [(n, ev.Tick(), []) for n in range(25)], ring_entries=10)
    items = list(read([str(tmp_path / CURRENT)]))
    assert [item.lost for item in items if isinstance(item, Gap)] == [15]
    assert [entry.now_ms for entry in entries(tmp_path)] == list(range(15, 25))


def test_a_full_disk_costs_entries_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write
    full = [True]

    def short_then_full(fd: int, data: bytes) -> int:
        if not full[0] or not os.readlink(f"/proc/self/fd/{fd}").startswith(str(tmp_path)):
            return real_write(fd, data)
        if len(data) > 10:
            return real_write(fd, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", short_then_full)

    async def story() -> None:
        journal = Journal(str(tmp_path), LIFE)
        for now in range(3):
            journal.record(now, ev.Tick(), [])
        await journal._flush()
        assert "No space left" in journal.error
        full[0] = False
        journal.record(3, ev.Persisted(1), [])
        await journal._flush()
        assert journal.error == ""
        await journal.close()

    asyncio.run(story())
    items = list(read([str(tmp_path / CURRENT)]))
    assert [item for item in items if isinstance(item, Gap)] == [Gap(3, "the disk was too slow or full")]
    assert [item.event for item in items if isinstance(item, Entry)] == [ev.Persisted(1)]
    assert isinstance(items[0], Head), "entries without a head would belong to nobody"


def test_a_life_that_crashed_in_a_line_is_followed_by_the_next(tmp_path: Path) -> None:
    write(tmp_path, [(1, ev.Tick(), [])])
    with open(tmp_path / CURRENT, "a") as file:
        file.write('{"t":2,"e":{"is":"Per')
    write(tmp_path, [(7, ev.Tick(), [])], dataclasses.replace(LIFE, nonce="life-2"))
    items = list(read([str(tmp_path / CURRENT)]))
    assert [item.life.nonce for item in items if isinstance(item, Head)] == ["life-1", "life-2"]
    assert [entry.now_ms for entry in entries(tmp_path)] == [1, 7]


@pytest.mark.parametrize(
    "line", ["garbage", '{"t":"x"}', '{"t":1,"e":{"is":"Nonsense"}}', '{"t":1,"b":["x",1,[]]}', "[]"]
)
def test_a_broken_line_is_named_by_its_place(tmp_path: Path, line: str) -> None:
    write(tmp_path, [(1, ev.Tick(), [])])
    with open(tmp_path / CURRENT, "a") as file:
        file.write(line + '\n{"t":9}\n')
    with pytest.raises(JournalError, match=r"current\.jsonl:3: "):
        list(read([str(tmp_path / CURRENT)]))


def test_what_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        list(replay(str(tmp_path / "nothing")))


# --- replay ---------------------------------------------------------------------------------------------


class CountingCore:
    """Answers with how often it was asked: a core whose whole history shows in each answer."""

    def __init__(self, life: Life) -> None:
        self.asked = life.start_ms

    def handle(self, now_ms: int, event: ev.Event) -> list[Action]:
        self.asked += 1
        if isinstance(event, ev.ShutdownRequested):
            raise InvariantViolation("no transition")
        return [SendBeat(BEAT), Note(Level.INFO, "asked", f"{self.asked} at {now_ms}")]


def record_life(
    directory: Path,
    count: int,
    life: Life = LIFE,
    *,
    change: Callable[[int, list[Action]], None] | None = None,
    snapshots: bool = False,
    **options: Any,
) -> None:
    """A life of ``count`` events, flushed after every fifth."""

    async def story() -> None:
        core = CountingCore(life)
        if snapshots:
            options["snapshot"] = lambda: {"asked": core.asked}
        journal = Journal(str(directory), life, wall_s=lambda: 1000.5, **options)
        for now in range(count):
            actions = core.handle(now, ev.Persisted(now))
            if change is not None:
                change(now, actions)
            journal.record(now, ev.Persisted(now), actions)
            if now % 5 == 4 and "ring_entries" not in options:
                await journal._flush()
        await journal.close()
        journal._worker._thread.join(60)

    asyncio.run(story())


def restore(plain: Any) -> CountingCore:
    core = CountingCore(LIFE)
    core.asked = plain["asked"]
    return core


def run(path: Path) -> tuple[list[Step], list[Remark]]:
    found = list(replay(str(path), CountingCore, restore))
    return [x for x in found if isinstance(x, Step)], [x for x in found if isinstance(x, Remark)]


def test_replay_reproduces_what_the_core_said(tmp_path: Path) -> None:
    record_life(tmp_path, 30)
    for path in (tmp_path, tmp_path / CURRENT):
        steps, remarks = run(path)
        assert len(steps) == 30 and all(step.agrees for step in steps)
        assert [remark.broken for remark in remarks] == [False]
        assert "life-1" in remarks[0].text and "pete" in remarks[0].text


def test_replay_shows_where_another_core_would_decide_otherwise(tmp_path: Path) -> None:
    def change(now: int, actions: list[Action]) -> None:
        if now == 17:
            actions.append(Exit())

    record_life(tmp_path, 30, change=change)
    steps, _ = run(tmp_path)
    assert [step.entry.now_ms for step in steps if not step.agrees] == [17]


def test_replay_goes_through_both_files_of_a_life(tmp_path: Path) -> None:
    size = 2 * 6000
    record_life(tmp_path, 60, limit_bytes=size)
    assert os.path.exists(tmp_path / PREVIOUS)
    total = sum(os.path.getsize(tmp_path / name) for name in (PREVIOUS, CURRENT))
    assert total < size + 4000
    for path in (tmp_path, tmp_path / CURRENT):
        steps, remarks = run(path)
        assert len(steps) == 60 and all(step.agrees for step in steps)
        assert not any(remark.broken for remark in remarks)


def test_a_life_whose_beginning_is_gone_is_not_replayed_and_said_so(tmp_path: Path) -> None:
    record_life(tmp_path, 300, limit_bytes=2 * 6000)
    record_life(tmp_path, 10, dataclasses.replace(LIFE, nonce="life-2"))
    steps, remarks = run(tmp_path)
    assert len(steps) == 10 and all(step.agrees for step in steps)
    texts = " | ".join(remark.text for remark in remarks)
    assert "life-1" in texts and "no longer kept" in texts and "could not be replayed" in texts
    assert remarks[-1].text.startswith("life life-2") and not remarks[-1].broken


def test_a_life_whose_beginning_is_gone_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    record_life(tmp_path, 300, limit_bytes=2 * 6000, snapshots=True)
    steps, remarks = run(tmp_path)
    assert 50 < len(steps) < 300 and all(step.agrees for step in steps)
    assert [remark.broken for remark in remarks] == [False]
    assert "from the snapshot" in remarks[0].text
    alone = tmp_path / "copied"
    os.rename(tmp_path / CURRENT, alone)
    steps, remarks = run(alone)
    assert steps and all(step.agrees for step in steps) and not remarks[0].broken


def test_after_a_gap_replay_goes_on_at_the_next_snapshot(tmp_path: Path) -> None:
    record_life(tmp_path, 90, limit_bytes=2 * 6000, snapshots=True)
    path = tmp_path / PREVIOUS
    path.write_text(path.read_text() + '{"gap":1,"why":"a test"}\n')
    steps, remarks = run(tmp_path)
    assert all(step.agrees for step in steps) and steps[-1].entry.now_ms == 89
    assert [remark.broken for remark in remarks] == [False, True, False]


def test_parts_that_do_not_follow_each_other_are_not_joined(tmp_path: Path) -> None:
    record_life(tmp_path, 60, limit_bytes=2 * 6000)
    path = tmp_path / CURRENT
    path.write_text(path.read_text().replace('"part":2', '"part":3', 1))
    steps, remarks = run(tmp_path)
    assert len(steps) < 60
    assert any("no longer kept" in remark.text for remark in remarks)


def test_a_changed_echo_is_written_in_full(tmp_path: Path) -> None:
    """A short beat keeps the nonces of the one before it: a peer that hears another life is a new story."""
    other = dataclasses.replace(BEAT, counter=2, echoes=(("life-2", 1),))
    calls: list[tuple[int, ev.Event, list[Action]]] = [
        (1, ev.BeatReceived("eth1", BEAT), []), (2, ev.BeatReceived("eth1", other), [])
    ]  # fmt: skip
    write(tmp_path, calls)
    assert [entry.event for entry in entries(tmp_path)] == [event for _, event, _ in calls]


def test_replay_ends_at_a_gap(tmp_path: Path) -> None:
    record_life(tmp_path, 30, ring_entries=10)
    steps, remarks = run(tmp_path)
    assert steps == []
    assert any("20 events are missing" in remark.text for remark in remarks)
    assert any("10 events could not be replayed" in remark.text for remark in remarks)


def test_replay_shows_the_crash_of_the_core(tmp_path: Path) -> None:
    write(tmp_path, [(1, ev.ShutdownRequested(), [])])
    steps, remarks = run(tmp_path)
    assert steps == []
    assert "no transition" in remarks[-1].text and "bug" in remarks[-1].text


def test_the_record_that_became_durable_is_in_the_journal(tmp_path: Path) -> None:
    record = NodeRecord(boot_id="boot", contact=True)
    write(tmp_path, [(1, ev.Tick(), [Persist(4, record)])])
    assert entries(tmp_path)[0].actions == (Persist(4, record),)
    assert os.stat(tmp_path / CURRENT).st_mode & 0o077 == 0
