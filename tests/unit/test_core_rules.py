"""The rules of the right to run a group, one by one, each shown by one core and beats made by hand.

The numbers are those of the protocol (docs/glossary.md has its words). Whole stories are in
tests/scenarios, random worlds in tests/sim; here a reader sees one rule at work, and nothing else.
Rules 8 to 16 are in test_core_rules_fencing.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, DELAY_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager.actions import (
    Exit,
    ExitCode,
    Fence,
    Persist,
    SendBeat,
    Start,
    Stop,
)
from failover_kit.manager.core import Core
from failover_kit.manager.events import (
    BeatReceived,
    MonitorFailed,
    Persisted,
    ProbeOutcome,
    ShutdownRequested,
    StartFailed,
    StopFailed,
    Tick,
    Verb,
)
from failover_kit.manager.records import GroupClaim
from failover_kit.manager.states import GroupState

GRANT = replace(EMPTY, top=3, grant=3, grant_nonce="mclaws life 1")


# --- 1 to 4: the right -------------------------------------------------------------------------------


def test_rule_01_a_group_is_started_only_with_a_right_that_is_on_the_disk() -> None:
    bench = Bench()
    bench.meet(RUNS)
    assert bench.core.may_start("cluster") == "this node has no right to it"
    bench.hear(GRANT)
    assert bench.right() == 3
    assert bench.core.may_start("cluster") == "the right is not on the disk yet"
    assert bench.count(Start) == 0
    bench.write()
    assert bench.count(Start) == 1


@pytest.mark.parametrize(
    "grant",
    [replace(GRANT, grant_nonce="mclaws life 0"), replace(GRANT, grant_nonce="")],
    ids=["to another life", "not durable there"],
)
def test_rule_02a_a_grant_is_for_one_life_only(grant: GroupClaim) -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.hear(grant)
    assert bench.right() == 0


def test_rule_02a_a_grant_is_above_every_epoch_known_here_or_it_is_old() -> None:
    bench = Bench()
    bench.meet(GRANT)
    assert bench.right() == 3
    bench.handle(Tick())
    bench.hear(replace(GRANT, top=1, grant=1))
    assert bench.right() == 3


def test_rule_02a_a_grant_is_accepted_by_a_node_that_is_not_ready() -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.now_ms += KEEPALIVE_MS
    bench.hear(replace(RUNS, top=5))
    bench.disk_fails()
    assert bench.core.ready_reason()
    bench.hear(replace(GRANT, top=7, grant=7))
    assert bench.right() == 7


def test_rule_02b_a_proved_fence_gives_a_right_once() -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.lose_peer()
    bench.wait(2 * DELAY_MS, writing=True)
    bench.fenced()
    assert bench.right() == 4  # even, and above pete's 3
    bench.write()
    assert bench.count(Start) == 1


def test_rule_02b_the_proof_is_void_when_the_peer_is_heard_again() -> None:
    bench = Bench()  # the group is not looked at yet, so nothing can be taken over at once
    bench.order(Verb.FENCE, "pete")
    bench.write()
    bench.fenced()
    bench.reset_peer()
    for _ in range(2):
        bench.hear(RUNS)
        bench.wait(KEEPALIVE_MS, writing=True)
    bench.probe()
    bench.write()
    assert bench.right() == 0
    assert bench.count(Start) == 0


def test_rule_02c_the_operators_word_is_refused_while_there_is_any_sign_of_life() -> None:
    bench = Bench()
    bench.meet(RUNS)
    old = bench.beat(RUNS)
    bench.hear(RUNS)
    bench.lose_peer()
    bench.handle(BeatReceived("eth1", old))  # authentic, not current
    bench.order(Verb.CONFIRM_DEAD, "pete")
    assert bench.reply_code() is ExitCode.REFUSED
    bench.wait(DEADTIME_MS)
    bench.order(Verb.CONFIRM_DEAD, "pete")
    assert bench.right() == 4


def test_rule_02c_the_operators_word_is_void_when_that_boot_is_heard_before_the_right_is_durable() -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.lose_peer()
    bench.write()
    bench.order(Verb.CONFIRM_DEAD, "pete")
    bench.hear(RUNS)
    assert bench.right() == 0
    assert bench.reply_code() is ExitCode.FAILED
    bench.write()
    assert bench.count(Start) == 0


@pytest.mark.parametrize("boot", ["pete boot 1", "pete boot 0", "pete boot 2"])
@pytest.mark.parametrize("known", [True, False], ids=["met", "never met"])
def test_rule_02c_a_word_that_waits_for_a_shot_is_void_when_any_boot_is_heard(boot: str, known: bool) -> None:
    """Seed 70709: given while a shot was under way, and used after it, although the peer was heard in between."""
    bench = Bench(record=None if known else stored(contact=True))
    bench.meet(RUNS) if known else bench.probe()
    bench.wait(INITDEAD_MS + 3 * DELAY_MS, writing=True)
    assert bench.count(Fence) == 1
    bench.order(Verb.CONFIRM_DEAD, "pete")
    assert bench.reply_code() is None
    bench.hear(RUNS, boot_id=boot, nonce="a life that answers nothing", echoes=())
    assert bench.reply_code() is ExitCode.FAILED
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.fenced(in_time=False)
    bench.wait(DEADTIME_MS, writing=True)
    assert bench.right() == 0 and bench.count(Start) == 0


def test_rule_02c_a_word_that_waits_for_a_shot_is_used_when_nothing_was_heard() -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.wait(3 * DELAY_MS, writing=True)
    bench.order(Verb.CONFIRM_DEAD, "pete")
    bench.wait(2 * DEADTIME_MS, writing=True)
    bench.fenced(in_time=False)
    assert bench.right() == 4


def test_rule_02d_nobody_has_a_right_and_all_is_stopped_then_the_home_node_is_given_it() -> None:
    bench = Bench()
    bench.meet()
    assert bench.claim().grant == 2


@pytest.mark.parametrize(
    "claim",
    [
        replace(EMPTY, held=True),
        replace(EMPTY, state=GroupState.UNKNOWN),
        replace(EMPTY, right=1),
        replace(EMPTY, grant=1),
        replace(EMPTY, parked=True),
    ],
    ids=["held", "unknown", "right", "grant", "parked"],
)
def test_rule_02d_not_while_anything_is_left_on_the_other_side(claim: GroupClaim) -> None:
    bench = Bench()
    bench.meet(claim)
    assert bench.claim().grant == 0


def test_rule_02d_not_before_all_is_verified_stopped_here() -> None:
    bench = Bench()
    bench.hear()
    bench.wait(KEEPALIVE_MS)
    bench.hear()
    bench.write()
    assert bench.core.peer_beat() is not None
    assert bench.claim().grant == 0


def test_rule_03_a_right_dies_with_its_boot() -> None:
    bench = Bench(record=stored(4, boot_id="mclaws boot 0"))
    assert bench.right() == 0
    assert bench.claim().top == 4  # what was issued stays issued


def test_rule_03_running_resources_are_adopted_under_a_right_of_this_boot() -> None:
    bench = Bench(record=stored(4, held=True))
    bench.probe(ProbeOutcome.RUNNING)
    assert bench.state() is GroupState.STARTED
    assert bench.count(Start) == bench.count(Stop) == 0


def test_rule_03_running_resources_without_a_right_are_held_and_left_alone() -> None:
    bench = Bench(record=stored(4, boot_id="mclaws boot 0", held=True))
    bench.probe(ProbeOutcome.RUNNING)
    assert bench.state() is GroupState.UNKNOWN
    assert bench.claim().held
    assert bench.claim().right == 0
    assert bench.count(Start) == bench.count(Stop) == 0
    assert "probe-cluster" in bench.codes()


def test_rule_04_a_granted_right_is_gone_at_once_and_sent_when_it_is_durable() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    bench.stopped()
    assert bench.right() == 0
    assert (bench.claim().grant, bench.claim().grant_nonce) == (4, "")  # shown, not valid
    bench.write()
    assert (bench.claim().grant, bench.claim().grant_nonce) == (4, "pete life 1")


def test_rule_04_a_failed_write_does_not_bring_the_right_back() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    bench.stopped()
    bench.disk_fails()
    bench.wait(KEEPALIVE_MS, hearing=EMPTY)
    assert bench.right() == 0
    assert bench.claim().grant_nonce == ""
    assert bench.claim().top == 4  # and the epoch counts as issued
    assert bench.count(Start) == 1  # the one of serve()


def test_rule_04_a_life_that_answered_once_long_ago_is_given_nothing() -> None:
    """Seed 70889: not silent before initdead, as it never said that it hears us; its beat is old earlier."""
    bench = Bench(config=replace(CONFIG, can_fence=False))
    bench.wait(INITDEAD_MS)
    for _ in range(2):
        bench.hear(hears=False)
        bench.wait(KEEPALIVE_MS)
    bench.write()
    bench.wait(DEADTIME_MS)
    bench.probe()  # only now it is known that nothing runs here, and pete is the home node
    bench.write()
    assert bench.claim().grant == 0
    bench.hear(hears=False)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    assert bench.claim().grant == 2


def test_rule_04_a_grant_is_repeated_in_every_beat_until_it_was_answered() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    bench.stopped()
    bench.write()
    beats = [a.beat for a in bench.wait(DEADTIME_MS, hearing=replace(EMPTY, top=3)) if isinstance(a, SendBeat)]
    assert len(beats) >= DEADTIME_MS // KEEPALIVE_MS
    assert {beat.groups[0].grant for beat in beats} == {4}
    bench.hear(replace(EMPTY, top=4, right=4))
    bench.wait(KEEPALIVE_MS)
    assert bench.claim().grant == 0


# --- 5 to 7: silence, stops, the disk ----------------------------------------------------------------


def test_rule_05_a_silent_peer_is_fenced_whatever_it_said_last() -> None:
    bench = Bench()
    bench.meet(replace(EMPTY, parked=True))  # nothing there: stopped, no right, no claim
    bench.lose_peer()
    bench.wait(2 * DELAY_MS, writing=True)
    assert bench.count(Fence) == 1
    assert bench.count(Start) == 0
    bench.fenced()
    bench.write()
    assert bench.count(Start) == 1


def test_rule_05_a_peer_that_left_is_not_shot_by_the_node_with_the_right() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(replace(EMPTY, top=3), leaving=True, ready=False)
    bench.wait(10 * DEADTIME_MS, writing=True)
    assert bench.count(Fence) == 0


def test_rule_05_who_ends_in_good_order_with_nobody_to_give_to_keeps_no_right() -> None:
    """Rules 3, 26: between two lives people may run it by other means, on either node, and nobody hears of it."""
    bench = Bench()
    bench.serve()
    bench.hear(replace(EMPTY, top=3), leaving=True, ready=False)
    bench.wait(DEADTIME_MS, writing=True)
    bench.handle(ShutdownRequested())
    bench.stopped()
    assert bench.count(Exit) == 0  # not before it is on the disk
    bench.wait(2 * DEADTIME_MS, writing=True)
    assert bench.count(Exit) == 1
    record = bench.last(Persist)
    assert record is not None and record.record.groups[0].right == 0 and not record.record.groups[0].held
    again = Bench(record=record.record)
    again.probe()
    again.wait(INITDEAD_MS - KEEPALIVE_MS, writing=True)
    assert again.count(Start) == 0


def test_rule_05_a_peer_that_left_and_comes_back_is_not_shot_either() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(replace(EMPTY, top=3), leaving=True, ready=False)
    bench.wait(10 * DEADTIME_MS, writing=True)
    bench.peer_nonce, bench.peer_counter = "pete life 2", 0
    for hears in (False, False, True):  # a life that begins has not heard us yet
        bench.hear(replace(EMPTY, top=3), hears=hears)
        bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 0


def test_rule_06_what_is_not_verified_stopped_is_not_granted() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    stop = bench.last(Stop)
    assert stop is not None
    bench.handle(StopFailed("cluster", stop.op, "Filesystem", "still in use"))
    bench.write()
    assert bench.claim().held
    assert bench.claim().right == 3
    assert bench.claim().grant == 0


def test_rule_07_no_shot_before_it_is_on_the_disk() -> None:
    bench = Bench()
    bench.serve()
    bench.lose_peer()
    assert bench.count(Fence) == 0
    asked = bench.unwritten()
    assert asked is not None
    assert asked.record.shot_pending
    bench.handle(Persisted(asked.token))
    assert bench.count(Fence) == 1


def test_rule_07_a_full_disk_stops_starts_grants_and_shots_and_lets_stopping_go_on() -> None:
    bench = Bench()
    bench.serve()
    bench.now_ms += KEEPALIVE_MS
    bench.hear(replace(EMPTY, top=5))
    bench.disk_fails()
    bench.lose_peer()
    assert bench.count(Fence) == 0
    op = bench.core.groups["cluster"].watch_op
    bench.handle(MonitorFailed("cluster", op, "recordd", "not running"))
    assert bench.count(Stop) == 1
    bench.stopped()
    bench.wait(KEEPALIVE_MS)
    assert bench.count(Start) == 1  # the one of serve()


# --- 17, 18: what fails ------------------------------------------------------------------------------


def fail_stop(bench: Bench) -> None:
    stop = bench.last(Stop)
    assert stop is not None
    bench.handle(StopFailed("cluster", stop.op, "Filesystem", "still in use"))
    bench.write()


def test_rule_17_a_failed_stop_keeps_the_right_and_asks_a_ready_peer_for_a_fence() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    fail_stop(bench)
    assert bench.claim().right == 3
    assert bench.claim().fence_me == 3


def test_rule_17_peer_away_the_stop_is_tried_again_and_then_it_is_started_here() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    fail_stop(bench)
    bench.wait(DEADTIME_MS, writing=True)
    assert bench.claim().fence_me == 0
    bench.wait(CONFIG.stop_retry_ms, writing=True)
    assert bench.count(Stop) == 2
    bench.stopped()
    bench.write()
    assert bench.count(Start) == 2
    assert bench.right() == 3


def fail_start(bench: Bench) -> None:
    start = bench.last(Start)
    assert start is not None
    bench.handle(StartFailed("cluster", start.op, "Filesystem", "no device"))
    bench.stopped()
    bench.write()


def test_rule_18_a_failed_start_is_given_to_the_other_side_once() -> None:
    bench = Bench()
    bench.meet(GRANT)
    fail_start(bench)
    assert bench.right() == 0
    assert bench.claim().grant == 4


@pytest.mark.parametrize("peer", ["failed there", "away"])
def test_rule_18_else_it_is_parked_until_the_operator_says_so(peer: str) -> None:
    bench = Bench()
    bench.meet(replace(GRANT, failed_here=peer == "failed there"))
    if peer == "away":
        bench.lose_peer()
    fail_start(bench)
    assert bench.core.view(bench.now_ms).groups[0].parked
    bench.wait(60_000, writing=True)
    assert bench.count(Start) == 1
    bench.order(Verb.TAKEOVER)
    bench.write()
    assert bench.count(Start) == 2


# --- 20 to 23 ----------------------------------------------------------------------------------------


def test_rule_20_planned_moves_are_refused_while_the_files_differ() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(replace(EMPTY, top=3), digest="another")
    bench.standby()
    assert bench.reply_code() is ExitCode.REFUSED
    assert bench.count(Stop) == 0


def test_rule_20_after_a_proved_fence_the_survivor_goes_on() -> None:
    bench = Bench()
    bench.meet(RUNS)
    bench.hear(RUNS, digest="another")
    bench.lose_peer()
    bench.wait(2 * DELAY_MS, writing=True)
    bench.fenced()
    bench.write()
    assert bench.count(Start) == 1


def test_rule_21_after_a_pause_nothing_is_shot_before_a_fresh_echo_or_deadtime() -> None:
    bench = Bench()
    bench.serve()
    bench.now_ms += 60_000
    bench.handle(Tick())
    bench.write()
    assert bench.count(Fence) == 0
    assert bench.core.view(bench.now_ms).peer_state == "up"
    bench.wait(DEADTIME_MS + KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 1


def test_rule_21_after_a_pause_nothing_is_granted_on_what_was_heard_before() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    answer_from_before = bench.beat(replace(EMPTY, top=3))
    bench.now_ms += DEADTIME_MS - KEEPALIVE_MS
    bench.stopped()
    bench.handle(BeatReceived("eth1", answer_from_before))
    bench.write()
    assert bench.claim().grant == 0
    bench.hear(replace(EMPTY, top=3))
    bench.write()
    assert bench.claim().grant == 4


def test_rule_21_time_that_goes_back_is_a_bug_and_stops_the_core() -> None:
    core: Core = Bench().core
    core.handle(1_000, Tick())
    with pytest.raises(Exception, match="time went back"):
        core.handle(999, Tick())


def test_rule_23_a_lost_state_directory_is_no_right_no_epoch_no_contact() -> None:
    bench = Bench(record=None)
    view = bench.core.view(bench.now_ms)
    assert (view.groups[0].right, view.contact) == (0, False)
    assert bench.claim().top == 0
    bench.probe(ProbeOutcome.RUNNING)
    assert bench.claim().right == 0
