"""What failoverd does with the watchdog before its core lives; no device, no cgroup, no configuration is needed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from failover_kit.manager import daemon, host
from failover_kit.manager.daemon import Daemon
from failover_kit.manager.hostcheck import CannotStart, Checked, Options
from failover_kit.manager.logs import Log
from failover_kit.manager.records import GroupRecord, NodeRecord
from failover_kit.manager.store import Store
from failover_kit.manager.watchdog import Watchdog

BOOT = "boot 1"


class Shelf:
    """The record of the last life; a damaged one is set aside by the first who reads it."""

    remark = ""

    def __init__(self, record: NodeRecord | None, damaged: str = "") -> None:
        self.record, self.damaged = record, damaged

    def load(self) -> tuple[NodeRecord | None, str]:
        said, self.damaged = self.damaged, ""
        return self.record, said


class Dog(Watchdog):
    """Notes only whether it is armed."""

    def __init__(self, *, left_running: bool = False) -> None:
        super().__init__("/dev/watchdog", 20_000, lambda _level, _text: None)
        self.on = False
        self.left_running = left_running

    def runs(self) -> bool:
        return self.left_running

    @property
    def armed(self) -> bool:
        return self.on

    def _arm(self, now_ms: int) -> None:
        self.on = True

    def let_go(self) -> None:
        self.on = False


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A failoverd whose start fails when leftovers are to be cleared, and what it says."""

    def no_space(_node: str, _run_dir: str) -> None:
        raise CannotStart(1, "left over")

    monkeypatch.setattr(daemon, "find_space", no_space)
    monkeypatch.setattr(host, "boot_id", lambda _file: BOOT)
    return []


def fail_to_start(shelf: Shelf, said: list[str], dog: Dog | None = None) -> None:
    timing = SimpleNamespace(deadtime_ms=10_000)
    config = SimpleNamespace(watchdog_device=None, timing=timing, fence_delay_ms=10_000)
    log = SimpleNamespace(say=lambda _level, text: said.append(text))
    checked = SimpleNamespace(config=config, node="mclaws", peer="pete")
    made = Daemon(Options(), cast(Checked, checked), cast(Store, shelf), cast(Log, log))
    made._watchdog = dog
    with pytest.raises(CannotStart):
        asyncio.run(made.run())


def record(*, held: bool = True, **fields: object) -> NodeRecord:
    return NodeRecord(boot_id=BOOT, groups=(GroupRecord(name="cluster", held=held),), **fields)  # type: ignore[arg-type]


def test_a_damaged_record_is_told_of(said: list[str]) -> None:
    """It is set aside when it is read: whoever reads it first has to say so."""
    fail_to_start(Shelf(None, "the record is damaged"), said)
    assert "the record is damaged" in said


def test_what_an_earlier_life_held_keeps_the_node_guarded(said: list[str]) -> None:
    dog = Dog()
    fail_to_start(Shelf(record()), said, dog)
    assert dog.on
    dog = Dog()
    fail_to_start(Shelf(record(held=False)), said, dog)
    assert not dog.on


@pytest.mark.parametrize("shelf", [None, record(held=False)])
def test_one_that_was_left_running_is_taken_up_whatever_the_record_says(
    said: list[str], shelf: NodeRecord | None
) -> None:
    """Killed before the intent was on the disk, or with a group in doubt, or without a record."""
    dog = Dog(left_running=True)
    fail_to_start(Shelf(shelf), said, dog)
    assert dog.on


def test_a_start_that_fails_in_maintenance_does_not_reset_the_node(said: list[str]) -> None:
    dog = Dog()
    fail_to_start(Shelf(record(maintenance=1, agreed=True)), said, dog)
    assert not dog.on
