"""Failures that are counted (rule 15) and groups that go home by themselves, each shown by one core.

As in test_core_rules.py: mclaws is the core, pete is beats made by hand and the home of the group.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, EMPTY, KEEPALIVE_MS, Bench, stored
from failover_kit.manager.actions import Start, Stop
from failover_kit.manager.events import MonitorFailed, Persisted, ProbeOutcome, Verb
from failover_kit.manager.records import CoreConfig, NodeRecord
from failover_kit.manager.states import GroupState

AWAY = replace(EMPTY, top=3)
TEN_MINUTES_MS = 600_000


def fail(bench: Bench) -> None:
    """The monitor of the running group fails, and what it says is on the disk."""
    op = bench.core.groups["cluster"].watch_op
    bench.handle(MonitorFailed("cluster", op, "recordd", "not running"))
    bench.write()


def stopped_and_settled(bench: Bench) -> None:
    """The stop ends, and pete answers what follows from it."""
    bench.stopped()
    bench.write()
    bench.hear(AWAY)
    bench.write()


def restart(bench: Bench) -> None:
    fail(bench)
    starts = bench.count(Start)
    stopped_and_settled(bench)
    assert bench.count(Start) == starts + 1
    bench.started()
    bench.write()


def granted(bench: Bench) -> bool:
    return bench.right() == 0 and bench.claim().grant != 0


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_rule_15_a_group_is_handed_over_at_the_failure_that_ha_cf_says(limit: int) -> None:
    bench = Bench(config=replace(CONFIG, monitor_failures=limit))
    bench.serve()
    for _ in range(limit - 1):
        restart(bench)
    assert not bench.claim().failed_here
    fail(bench)
    assert bench.claim().failed_here
    stopped_and_settled(bench)
    assert granted(bench)


def test_rule_15_failures_ten_minutes_apart_are_not_counted_together() -> None:
    bench = Bench()
    bench.serve()
    restart(bench)
    bench.wait(TEN_MINUTES_MS - KEEPALIVE_MS, hearing=AWAY, writing=True)
    assert bench.core.view(bench.now_ms).groups[0].failures == 1
    bench.wait(2 * KEEPALIVE_MS, hearing=AWAY, writing=True)
    assert bench.core.view(bench.now_ms).groups[0].failures == 0
    restart(bench)


def life_with(record: NodeRecord, now_ms: int) -> Bench:
    """A later life of failoverd, with the group found running; pete is up."""
    bench = Bench(record=record, now_ms=now_ms)
    bench.probe(ProbeOutcome.RUNNING)
    bench.write()
    bench.hear(AWAY)
    bench.wait(KEEPALIVE_MS)
    bench.hear(AWAY)
    bench.write()
    return bench


def record_with_a_failure(boot_id: str = "mclaws boot 1", failed_ms: int = 1_000) -> NodeRecord:
    record = stored(3, held=True, boot_id=boot_id)
    return replace(record, groups=(replace(record.groups[0], failures=1, failed_ms=failed_ms),))


def test_rule_15_a_restart_of_failoverd_does_not_end_the_count() -> None:
    bench = life_with(record_with_a_failure(), 5_000)
    assert bench.state() is GroupState.STARTED
    fail(bench)
    assert bench.claim().failed_here


@pytest.mark.parametrize("failed_ms", [1_000, 900_000], ids=["long ago", "by a clock that went back"])
def test_rule_15_what_has_expired_does_not_count_after_a_restart(failed_ms: int) -> None:
    bench = life_with(record_with_a_failure(failed_ms=failed_ms), 1_000 + TEN_MINUTES_MS)
    fail(bench)
    assert not bench.claim().failed_here


def test_rule_15_a_boot_ends_the_count() -> None:
    bench = Bench(record=record_with_a_failure(boot_id="mclaws boot 0"))
    assert bench.core.wanted_groups["cluster"].failures == 0


def test_rule_15_the_count_is_on_the_disk_before_the_group_is_started_again() -> None:
    bench = Bench()
    bench.serve()
    op = bench.core.groups["cluster"].watch_op
    bench.handle(MonitorFailed("cluster", op, "recordd", "not running"))
    starts = bench.count(Start)
    while bench.count(Start) == starts:
        if bench.count(Stop) == 1 and bench.state() is GroupState.STOPPING:
            bench.stopped()
        bench.write()
        bench.hear(AWAY)
    assert bench.core.durable_groups["cluster"].failures == 1


def test_rule_15_a_slow_disk_delays_the_restart_and_not_the_stop() -> None:
    """Seed 308868: an older record was being written; the right was on the disk, the count came after the start."""
    bench = Bench()
    bench.serve()
    bench.core._dirty = True
    bench.wait(KEEPALIVE_MS)
    older = bench.unwritten()
    assert older is not None
    starts, op = bench.count(Start), bench.core.groups["cluster"].watch_op
    bench.handle(MonitorFailed("cluster", op, "recordd", "not running"))
    bench.stopped()
    assert bench.count(Start) == starts, "what is being written does not have the count"
    bench.handle(Persisted(older.token))
    assert bench.count(Start) == starts
    bench.write()
    assert bench.core.durable_groups["cluster"].failures == 1
    assert bench.count(Start) == starts + 1


def test_the_operators_takeover_of_a_parked_group_begins_a_new_count() -> None:
    bench = Bench()
    bench.serve()
    restart(bench)
    fail(bench)
    bench.hear(replace(AWAY, failed_here=True))
    bench.stopped()
    bench.write()
    assert bench.claim().parked
    bench.order(Verb.TAKEOVER)
    bench.write()
    bench.started()
    bench.write()
    restart(bench)


def test_the_hand_over_ends_the_count() -> None:
    bench = Bench()
    bench.serve()
    restart(bench)
    fail(bench)
    stopped_and_settled(bench)
    assert granted(bench)
    bench.hear(replace(EMPTY, top=5, grant=5, grant_nonce=bench.core.nonce))
    bench.write()
    bench.started()
    bench.write()
    restart(bench)


# --- auto_failback ---------------------------------------------------------------------------------------

HOME = replace(CONFIG, auto_failback=True, failback_delay_ms=10_000, can_fence=False)


def away(config: CoreConfig = HOME) -> Bench:
    """The group runs here, pete was away and came back just now by another boot."""
    bench = Bench(config=config)
    bench.serve()
    bench.lose_peer()
    bench.write()
    bench.reset_peer()
    for _ in range(3):
        bench.hear(AWAY)
        bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.core.view(bench.now_ms).peer_state == "up"
    return bench


def moves(bench: Bench) -> bool:
    return "move" in bench.codes()


def test_a_group_goes_home_when_its_home_node_was_up_for_the_delay() -> None:
    bench = away()
    bench.wait(9_000, hearing=AWAY, writing=True)
    assert not moves(bench)
    assert "not yet back on pete: pete has to be up for 10 s" in bench.core.view(bench.now_ms).groups[0].doing
    bench.wait(2_000, hearing=AWAY, writing=True)
    assert moves(bench)


def test_the_delay_is_never_shorter_than_deadtime() -> None:
    bench = away(replace(HOME, failback_delay_ms=0))
    bench.wait(DEADTIME_MS - 4 * KEEPALIVE_MS, hearing=AWAY, writing=True)
    assert not moves(bench)


@pytest.mark.parametrize(
    ("claim", "fields"),
    [
        (replace(AWAY, failed_here=True), {}),
        (replace(AWAY, parked=True), {}),
        (AWAY, {"ready": False}),
        (AWAY, {"digest": "another"}),
    ],
    ids=["failed there", "parked there", "not ready", "other files"],
)
def test_a_group_does_not_go_home_to_a_node_that_is_not_well(claim: object, fields: dict[str, object]) -> None:
    bench = away()
    for _ in range(100):
        bench.wait(KEEPALIVE_MS, writing=True)
        bench.hear(claim, **fields)  # type: ignore[arg-type]
    assert not moves(bench)


def test_a_group_goes_home_only_over_links_that_all_carried_beats_for_the_delay() -> None:
    bench = away(replace(HOME, links=("eth1", "ttyS0")))
    bench.wait(30_000, hearing=AWAY, writing=True)
    assert not moves(bench)
    assert "link ttyS0 is silent" in bench.core.view(bench.now_ms).groups[0].doing


def test_a_group_that_was_moved_while_its_home_node_was_up_stays() -> None:
    bench = Bench(config=HOME)
    bench.serve()
    bench.wait(60_000, hearing=AWAY, writing=True)
    assert not moves(bench)
