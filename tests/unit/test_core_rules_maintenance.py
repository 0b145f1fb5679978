"""Rule 19, maintenance, shown by one core and beats made by hand."""

from __future__ import annotations

from dataclasses import replace

from core_bench import CONFIG, DEADTIME_MS, DELAY_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager import law
from failover_kit.manager.actions import (
    Exit,
    ExitCode,
    Fence,
    PowerOn,
    Probe,
    Reply,
    SelfReset,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.events import (
    MonitorFailed,
    PowerOnDone,
    ProbeOutcome,
    ShutdownRequested,
    StopFailed,
    Verb,
)
from failover_kit.manager.records import NodeRecord
from failover_kit.manager.states import GroupState

LOOKED = replace(EMPTY, held=False)


def active(bench: Bench) -> None:
    """The group runs here, and pete has nothing of it."""
    bench.meet(EMPTY)
    bench.hear(replace(EMPTY, top=3, grant=3, grant_nonce="mclaws life 1"))
    bench.write()
    bench.started()
    bench.hear(replace(EMPTY, top=3))
    bench.write()


def kept_still(bench: Bench) -> None:
    """Ordered here, on the disk, heard of by pete, and known here."""
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(EMPTY, maintenance=1, still=True, ready=False)
    bench.write()


def answer(bench: Bench) -> Reply:
    found = bench.last(Reply)
    assert found is not None
    return found


def beat(bench: Bench) -> SendBeat:
    bench.wait(KEEPALIVE_MS)
    found = bench.last(SendBeat)
    assert found is not None
    return found


def test_a_number_says_what_it_means() -> None:
    assert [law.next_maintenance(known, on=True) for known in range(4)] == [1, 3, 3, 5]
    assert [law.next_maintenance(known, on=False) for known in range(4)] == [2, 2, 4, 4]


def test_it_holds_when_the_peer_has_said_so_and_not_before() -> None:
    bench = Bench()
    active(bench)
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    assert not bench.core.in_maintenance() and bench.count(Reply) == 0
    assert beat(bench).beat.maintenance == 1 and not beat(bench).beat.still
    bench.hear(EMPTY, maintenance=1, still=True, ready=False)
    assert bench.core.in_maintenance() and bench.count(Reply) == 0  # not on the disk yet
    bench.write()
    assert answer(bench).code is ExitCode.DONE
    assert beat(bench).beat.still


def test_without_an_answer_it_is_taken_back() -> None:
    bench = Bench()
    active(bench)
    bench.order(Verb.MAINTENANCE_ON)
    bench.wait(3 * DEADTIME_MS, hearing=EMPTY, writing=True)
    assert answer(bench).code is ExitCode.TIMED_OUT
    assert not bench.core.in_maintenance() and beat(bench).beat.maintenance == 2


def test_nothing_is_done_of_itself() -> None:
    bench = Bench()
    active(bench)
    kept_still(bench)
    before = [bench.count(kind) for kind in (Start, Stop, Probe, Fence)]
    for number in range(5):
        op = bench.core.groups["cluster"].watch_op
        bench.handle(MonitorFailed("cluster", op, "r1", f"not running, {number}"))
        bench.wait(DEADTIME_MS, hearing=EMPTY, writing=True)
    bench.wait(3 * DELAY_MS, writing=True)  # pete is silent now
    assert [bench.count(kind) for kind in (Start, Stop, Probe, Fence)] == before
    assert bench.core.shot_refusal() == law.MAINTENANCE
    bench.order(Verb.TAKEOVER)
    assert answer(bench).code is ExitCode.REFUSED


def test_a_node_that_is_told_finishes_what_it_does_first() -> None:
    bench = Bench()
    active(bench)
    bench.standby()
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, top=3), maintenance=1)
    assert not bench.core.in_maintenance()
    bench.stopped()
    bench.write()
    bench.wait(KEEPALIVE_MS)
    epoch = bench.core.wanted_groups["cluster"].grant
    bench.hear(replace(EMPTY, right=epoch, top=epoch), maintenance=1)  # the grant is answered
    assert not bench.core.in_maintenance()  # the order has no outcome yet
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(RUNS, right=epoch, top=epoch), maintenance=1)
    bench.write()
    assert bench.core.in_maintenance()


def test_it_outlives_failoverd_and_nothing_is_touched_by_the_next_life() -> None:
    bench = Bench(record=stored(3, held=True, contact=True, maintenance=1, agreed=True))
    assert bench.core.in_maintenance()
    bench.wait(5 * DEADTIME_MS, writing=True)
    assert bench.count(Probe) == 0 and bench.count(Fence) == 0


def test_failoverd_ends_and_leaves_what_runs_alone() -> None:
    bench = Bench()
    active(bench)
    kept_still(bench)
    stops = bench.count(Stop)
    bench.handle(ShutdownRequested())
    assert bench.count(Stop) == stops and bench.count(Exit) == 1


def test_after_it_nothing_starts_before_the_other_node_was_seen_stopped() -> None:
    bench = Bench()
    active(bench)
    kept_still(bench)
    bench.order(Verb.MAINTENANCE_OFF)
    bench.write()
    assert bench.core.groups["cluster"].state is GroupState.UNKNOWN
    bench.probe(ProbeOutcome.STOPPED)
    bench.write()
    starts = bench.count(Start)
    # What pete says is from before its own look, then from its look, and only then from after it.
    for fields in ({"maintenance": 1, "still": True, "ready": False}, {"maintenance": 1}):
        bench.wait(KEEPALIVE_MS)
        bench.hear(EMPTY, **fields)
        bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, state=GroupState.UNKNOWN, held=True), maintenance=2)
    bench.write()
    assert bench.count(Start) == starts
    assert "neither seen stopped" in bench.core.may_start("cluster")
    bench.wait(KEEPALIVE_MS)
    bench.hear(LOOKED, maintenance=2)
    bench.write()
    assert bench.count(Start) == starts + 1


def test_what_runs_is_adopted_under_the_right_it_had() -> None:
    bench = Bench()
    active(bench)
    kept_still(bench)
    stops = bench.count(Stop)
    bench.order(Verb.MAINTENANCE_OFF)
    bench.write()
    bench.probe(ProbeOutcome.RUNNING)
    assert bench.core.groups["cluster"].state is GroupState.STARTED and bench.right() == 3
    assert bench.count(Stop) == stops


def test_a_silent_peer_is_fenced_before_what_people_stopped_is_started() -> None:
    bench = Bench()
    active(bench)
    kept_still(bench)
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.MAINTENANCE_OFF)
    assert answer(bench).code is ExitCode.REFUSED
    starts = bench.count(Start)
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.wait(3 * DELAY_MS, writing=True)
    assert bench.count(Fence) == 1 and bench.count(Start) == starts
    bench.fenced()
    bench.write()
    assert bench.count(Start) == starts + 1


def test_what_waits_for_a_look_says_what_to_do() -> None:
    """No fence device, and pete is silent: only the operator's word can end it. Is pete up, it is seen there."""
    bench = Bench(config=replace(CONFIG, can_fence=False))
    active(bench)
    kept_still(bench)
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.wait(DEADTIME_MS, writing=True)
    assert "failoverctl confirm-dead pete" in " ".join(bench.core.view(bench.now_ms).todo)
    bench.hear(replace(EMPTY, state=GroupState.UNKNOWN, held=True), maintenance=2)
    assert "see failoverctl status on pete" in " ".join(bench.core.view(bench.now_ms).todo)
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.CONFIRM_DEAD, target="pete")
    bench.write()
    assert bench.reply_code() is ExitCode.DONE and bench.core.groups["cluster"].state is GroupState.STARTING


def test_a_peer_that_left_is_not_shot_for_a_look() -> None:
    """Rule 5, seed 70020: that it looked since maintenance is not known, and it left in good order all the same."""
    bench = Bench()
    active(bench)
    kept_still(bench)
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.hear(EMPTY, leaving=True, ready=False)  # an older release: it has no number of maintenance
    bench.wait(5 * DELAY_MS, writing=True)
    assert bench.count(Fence) == 0 and bench.core.groups["cluster"].state is GroupState.STOPPED
    todo = " ".join(bench.core.view(bench.now_ms).todo)
    assert "start failoverd on pete" in todo and "confirm-dead pete" in todo


def test_a_proof_from_before_it_ended_is_not_used() -> None:
    """In maintenance people may give a node its power back, and use it without failoverd."""
    bench = Bench()
    active(bench)
    kept_still(bench)
    bench.order(Verb.FENCE, target="pete")
    bench.write()
    bench.fenced()
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.write()
    assert "proved off" in bench.core.may_start("cluster")


def test_a_confirmation_that_is_void_is_no_look() -> None:
    """Rule 2c: given while the group was still being looked at here, and pete was heard before that ended."""
    bench = Bench()
    active(bench)
    kept_still(bench)
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.order(Verb.CONFIRM_DEAD, target="pete")
    starts = bench.count(Start)
    moved_by_hand = replace(EMPTY, state=GroupState.UNKNOWN, held=True)
    bench.wait(KEEPALIVE_MS)
    bench.hear(moved_by_hand, maintenance=1, still=True, ready=False)
    assert answer(bench).code is ExitCode.FAILED
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(moved_by_hand, maintenance=2)
    bench.write()
    assert bench.count(Start) == starts
    assert "neither seen stopped" in bench.core.may_start("cluster")


def test_two_rights_are_told_and_nobody_is_reset_while_people_work() -> None:
    """Rule 16 waits for the end: which of the two really runs is not looked at before."""
    bench = Bench()
    active(bench)
    kept_still(bench)
    for right in (2, 5):
        bench.wait(KEEPALIVE_MS)
        bench.hear(replace(RUNS, right=right, top=right), maintenance=1, still=True, ready=False)
        bench.write()
    assert "conflict-cluster" in bench.codes()
    assert bench.count(Fence) == 0 and bench.count(SelfReset) == 0 and bench.right() == 3


def test_an_order_to_begin_does_not_outlive_the_life_it_was_given_to() -> None:
    bench = Bench(record=stored(3, held=True, contact=True, maintenance=1))
    bench.probe(ProbeOutcome.RUNNING)
    bench.write()
    assert beat(bench).beat.maintenance == 2
    bench.hear(EMPTY, maintenance=1, still=True, ready=False)
    bench.wait(KEEPALIVE_MS)
    bench.hear(EMPTY, maintenance=1, still=True, ready=False)
    bench.write()
    assert not bench.core.in_maintenance()
    bench = Bench()
    active(bench)
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.handle(ShutdownRequested())
    bench.write()
    assert answer(bench).code is ExitCode.FAILED and beat(bench).beat.maintenance == 2


def test_a_stop_that_failed_is_left_to_people() -> None:
    """What does not stop is a reason for maintenance: it is not tried again, and looked at when it ends."""
    bench = Bench()
    active(bench)
    bench.handle(MonitorFailed("cluster", bench.core.groups["cluster"].watch_op, "r1", "not running"))
    stop = bench.last(Stop)
    assert stop is not None
    bench.handle(StopFailed("cluster", stop.op, "r1", "busy"))
    bench.write()
    kept_still(bench)
    assert bench.core.in_maintenance()
    stops = bench.count(Stop)
    bench.wait(10_000, hearing=EMPTY, writing=True)
    assert bench.count(Stop) == stops and bench.claim().fence_me == 0
    bench.order(Verb.MAINTENANCE_OFF)
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(EMPTY, maintenance=2)
    bench.write()
    assert bench.core.groups["cluster"].state is GroupState.STARTING


def test_a_switch_that_does_not_answer_does_not_keep_people_from_repairing_it() -> None:
    bench = Bench(record=stored(3, held=True, contact=True, shot_pending=True, on_owed=True))
    bench.probe(ProbeOutcome.RUNNING)
    bench.write()
    for _ in range(2):
        bench.wait(KEEPALIVE_MS)
        bench.hear(EMPTY)
        bench.write()
    kept_still(bench)
    assert bench.core.in_maintenance()


def test_a_peer_that_was_fenced_by_order_has_its_time_to_come_back_when_maintenance_ends() -> None:
    """Proved off a moment ago and given its power back: it is not silent before initdead is over."""
    bench = Bench(record=stored(maintenance=1, agreed=True))
    bench.order(Verb.FENCE, target="pete")
    bench.write()
    bench.fenced()
    bench.write()
    power = bench.last(PowerOn)
    assert power is not None
    bench.handle(PowerOnDone(power.op, ok=True))
    bench.write()
    bench.order(Verb.MAINTENANCE_OFF, target="pete")
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.wait(INITDEAD_MS - KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 1  # no look whether its plugs are off, either
    bench.wait(2 * KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 2


def test_the_record_says_it() -> None:
    assert law.keeps_still(NodeRecord(boot_id="x", maintenance=3, agreed=True))
    assert not law.keeps_still(NodeRecord(boot_id="x", maintenance=3))
    assert not law.keeps_still(NodeRecord(boot_id="x", maintenance=4, agreed=True))
