"""The rules of fencing, 8 to 16, one by one; the others are in test_core_rules.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from core_bench import CONFIG, DEADTIME_MS, DELAY_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager.actions import (
    CancelPowerOn,
    ExitCode,
    Fence,
    PowerOn,
    Reply,
    SelfReset,
    Start,
    Stop,
)
from failover_kit.manager.events import (
    BeatReceived,
    PowerOnDone,
    ProbeOutcome,
    Verb,
)
from failover_kit.manager.records import CoreConfig, CoreGroup, PlugState
from failover_kit.manager.states import GroupState

AT_HOME = replace(CONFIG, groups=(CoreGroup(name="cluster", home="mclaws"),))


# --- 8 to 16: fencing --------------------------------------------------------------------------------


def fenced_bench() -> Bench:
    """A passive node whose shot at the holder is in flight."""
    bench = Bench()
    bench.meet(RUNS)
    bench.lose_peer()
    bench.wait(2 * DELAY_MS, writing=True)
    assert bench.count(Fence) == 1
    bench.now_ms += 100
    return bench


@pytest.mark.parametrize(
    "evidence",
    [
        {"off_exit": 1},
        {"off_exit": None},
        {"state": PlugState.ON},
        {"state": PlugState.UNKNOWN},
        {"off_ended_ms": 10**9},
        {"off_began_ms": 0},
        {"in_time": False},
        {"done": False},
    ],
    ids=[
        "off failed",
        "off was killed",
        "reads ON",
        "cannot be read",
        "read before the off had ended",
        "off from before the order",
        "late",
        "nothing was done",
    ],
)
def test_rule_08_everything_but_off_and_a_separate_read_of_off_is_not_fenced(evidence: dict[str, Any]) -> None:
    bench = fenced_bench()
    bench.fenced(**evidence)
    bench.write()
    assert bench.core.view(bench.now_ms).peer_state == "silent"
    assert bench.right() == 0
    assert "fence-failed" in bench.codes()


def test_rule_08_an_unproved_shot_is_repeated() -> None:
    bench = fenced_bench()
    bench.fenced(state=PlugState.ON)
    bench.wait(CONFIG.fence_retry_ms + KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 2


def test_rule_09_heard_after_off_raises_an_alarm_and_the_right_is_not_used() -> None:
    bench = fenced_bench()
    bench.fenced()
    assert bench.right() == 4
    bench.wait(KEEPALIVE_MS)  # a beat that the peer answers: sent after OFF was read
    bench.hear(RUNS)
    assert "heard-after-off" in bench.codes()
    bench.write()
    assert bench.right() == 0
    assert bench.count(Start) == 0


def test_rule_09_a_frame_that_was_on_its_way_is_no_news() -> None:
    bench = fenced_bench()
    late = bench.beat(RUNS)  # echoes nothing sent after OFF
    bench.fenced()
    bench.handle(BeatReceived("eth1", late))
    assert "heard-after-off" not in bench.codes()
    assert bench.right() == 4


SERVES_ANEW = replace(RUNS, right=5, top=5)


def reset_and_shot() -> Bench:
    """The peer was reset and one beat of its new boot was heard, too little to believe it; then it was shot."""
    bench = fenced_bench()
    bench.reset_peer()
    bench.hear(SERVES_ANEW, echoes=())
    bench.wait(KEEPALIVE_MS)
    return bench


def test_rule_09_a_boot_that_was_heard_before_off_is_off_too() -> None:
    """Seed 152202: its answer was on its way when its plugs read OFF. It passed for a boot after the reset,
    with a right of its own, and this node had to reset itself."""
    bench = reset_and_shot()
    late = bench.beat(SERVES_ANEW)
    bench.fenced()
    bench.write()
    assert bench.right() == 4
    bench.handle(BeatReceived("eth1", late))
    assert bench.core.peer_state.value == "fenced"
    assert "heard-after-off" not in bench.codes()
    assert bench.count(SelfReset) == 0


def test_rule_09_a_boot_that_was_heard_before_off_and_answers_what_was_sent_after_it() -> None:
    bench = reset_and_shot()
    bench.fenced()
    bench.wait(KEEPALIVE_MS)
    bench.hear(SERVES_ANEW)
    assert "heard-after-off" in bench.codes()
    bench.write()
    assert bench.right() == 0
    assert bench.count(Start) == 0


def test_rule_09_a_new_boot_is_believed_when_it_answers_what_was_sent_after_off() -> None:
    bench = fenced_bench()
    bench.fenced()
    bench.write()
    bench.reset_peer()
    bench.hear(EMPTY, echoes=())
    bench.wait(KEEPALIVE_MS)
    bench.hear(EMPTY)
    assert bench.core.peer_state.value == "up"
    assert "heard-after-off" not in bench.codes()
    assert bench.right() == 4


def shots_while_heard(bench: Bench) -> int:
    """The peer goes on to beat, and the disk takes records again."""
    for _ in range(20):
        bench.wait(KEEPALIVE_MS, writing=True)
        bench.hear(EMPTY)
    assert not bench.core.persist_error and bench.core.peer_state.value == "up" and not bench.core.orders
    return bench.count(Fence)


def test_rule_07_an_ordered_shot_is_refused_while_the_disk_takes_no_record() -> None:
    """Not after minutes: whoever ordered it has to know that nothing is cut, and why."""
    bench = Bench()
    bench.meet(EMPTY)
    bench.core._dirty = True
    bench.wait(KEEPALIVE_MS)
    bench.disk_fails()
    bench.order(Verb.FENCE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED
    reply = bench.last(Reply)
    assert reply is not None
    assert reply.text == (
        "pete is not cut: that cannot be made durable (No space left on device); free space in, or repair, the "
        "state directory"
    )
    assert shots_while_heard(bench) == 0


def test_rule_07_an_ordered_shot_ends_at_once_when_its_own_record_is_not_taken() -> None:
    bench = Bench()
    bench.meet(EMPTY)
    bench.order(Verb.FENCE, "pete")
    assert bench.reply_code() is None
    bench.disk_fails()
    assert bench.reply_code() is ExitCode.FAILED
    reply = bench.last(Reply)
    assert reply is not None
    assert reply.text.startswith("pete was not shot: that cannot be made durable (No space left on device)")
    assert not bench.core.orders
    # The disk is well again: the order was answered, so nothing of it is left to be fired.
    assert shots_while_heard(bench) == 0


def test_rule_10_a_node_that_runs_a_group_shoots_at_once() -> None:
    bench = Bench()
    bench.serve()
    bench.wait(DEADTIME_MS - KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 0
    bench.wait(2 * KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 1


@pytest.mark.parametrize(
    ("config", "delay_ms"), [(AT_HOME, DELAY_MS), (CONFIG, 2 * DELAY_MS)], ids=["home node", "other node"]
)
def test_rule_10_a_node_without_a_group_waits(config: CoreConfig, delay_ms: int) -> None:
    bench = Bench(config=config)
    bench.meet(RUNS)
    bench.wait(DEADTIME_MS + delay_ms - KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 0
    bench.wait(2 * KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 1


def test_rule_10_a_node_that_is_stopping_does_not_shoot() -> None:
    bench = Bench()
    bench.serve()
    bench.standby()
    bench.wait(10 * DELAY_MS, writing=True)
    assert bench.state() is GroupState.STOPPING
    assert bench.count(Fence) == 0


def test_rule_11_a_peer_that_does_not_hear_us_counts_as_silent() -> None:
    bench = Bench()
    bench.meet(RUNS)
    for _ in range(2 * DEADTIME_MS // KEEPALIVE_MS):
        bench.wait(KEEPALIVE_MS)
        bench.hear(RUNS, hears=False)
    assert bench.core.view(bench.now_ms).peer_state == "silent"


def test_rule_12_a_shot_is_not_fired_when_the_peer_answers_again() -> None:
    bench = Bench()
    bench.serve()
    bench.lose_peer()
    assert bench.unwritten() is not None  # decided, not durable, not fired
    bench.hear(replace(EMPTY, top=3))
    bench.write()
    assert bench.count(Fence) == 0
    assert "shot-aborted" in bench.codes()


def test_rule_12_nothing_is_granted_before_the_plugs_were_read_again() -> None:
    bench = Bench()
    bench.serve()
    bench.lose_peer()
    bench.hear(replace(EMPTY, top=3))
    bench.write()
    bench.standby()
    assert bench.reply_code() is ExitCode.REFUSED


def test_rule_13_takeover_first_then_the_power_is_given_back() -> None:
    bench = fenced_bench()
    bench.fenced()
    assert bench.count(PowerOn) == 0
    bench.write()
    kinds = [type(action) for action in bench.done if isinstance(action, Start | PowerOn)]
    assert sorted(kinds, key=str) == sorted([Start, PowerOn], key=str)
    assert bench.core.view(bench.now_ms).on_owed
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=True))
    assert not bench.core.view(bench.now_ms).on_owed


def test_rule_13_a_pending_power_on_ends_before_any_off() -> None:
    bench = fenced_bench()
    bench.fenced()
    bench.write()
    on = bench.last(PowerOn)
    assert on is not None
    bench.order(Verb.FENCE, "pete")
    bench.write()
    assert bench.count(CancelPowerOn) == 1
    assert bench.count(Fence) == 1
    bench.handle(PowerOnDone(on.op, ok=False))
    assert bench.count(Fence) == 2


def test_rule_13_the_debt_of_an_earlier_life_is_paid() -> None:
    bench = Bench(record=stored(4, held=True, contact=True, on_owed=True, fenced_boot_id="pete boot 1"))
    bench.probe(ProbeOutcome.RUNNING)
    bench.wait(INITDEAD_MS + KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1
    assert bench.count(Fence) == 0


def test_rule_14_a_beating_peer_is_shot_when_it_asks_for_it() -> None:
    bench = Bench()
    bench.meet(replace(RUNS, state=GroupState.FAILED))
    assert bench.count(Fence) == 0
    bench.hear(replace(RUNS, state=GroupState.FAILED, fence_me=3))
    bench.write()
    assert bench.count(Fence) == 1


def test_rule_14_only_for_the_very_right_it_has() -> None:
    bench = Bench()
    bench.meet(replace(RUNS, state=GroupState.FAILED, fence_me=1))
    bench.write()
    assert bench.count(Fence) == 0


def test_rule_15_no_contact_since_the_boot_no_shot() -> None:
    bench = Bench()
    bench.probe()
    bench.wait(20 * DELAY_MS, writing=True)
    assert [shot.only_if_off for shot in bench.done if isinstance(shot, Fence)] == [True]  # it looks, no more


def test_rule_15_a_plug_that_reads_off_is_enough() -> None:
    bench = Bench()
    bench.probe()
    bench.wait(INITDEAD_MS + KEEPALIVE_MS, writing=True)
    shot = bench.last(Fence)
    assert shot is not None
    assert shot.only_if_off
    bench.fenced()
    bench.write()
    assert bench.count(Start) == 1
    assert not bench.core.view(bench.now_ms).on_owed  # somebody switched it off on purpose


def test_rule_15_boot_alone_allows_one_shot_counted_before_it_is_fired() -> None:
    bench = Bench(config=replace(CONFIG, boot_alone=True))
    bench.probe()
    bench.wait(INITDEAD_MS + 2 * DELAY_MS + KEEPALIVE_MS, writing=True)
    assert bench.count(Fence) == 1
    assert bench.core.durable.shots == 1
    again = Bench(config=replace(CONFIG, boot_alone=True), record=replace(bench.core.durable, boot_id="boot 0"))
    again.probe()
    again.wait(20 * DELAY_MS, writing=True)
    assert not [shot for shot in again.done if isinstance(shot, Fence) and not shot.only_if_off]


def test_rule_15_a_node_on_which_it_failed_too_does_not_honour_fence_me() -> None:
    failed = replace(stored(), groups=(replace(stored().groups[0], failed_here=True),))
    bench = Bench(record=failed)
    bench.meet(replace(RUNS, state=GroupState.FAILED, fence_me=3))
    bench.write()
    assert bench.count(Fence) == 0
    assert "fence-me-refused" in bench.codes()


def test_rule_16_the_lower_epoch_resets_itself_and_does_not_unmount() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(replace(RUNS, right=5, top=5))
    assert bench.count(SelfReset) == 1
    assert bench.count(Stop) == 0


def test_rule_16_the_higher_epoch_fences_the_other() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(replace(RUNS, right=1, top=1))
    bench.write()
    assert bench.count(Fence) == 1
    assert bench.count(SelfReset) == bench.count(Stop) == 0


def test_rule_16_equal_epochs_are_an_alarm_and_nothing_else() -> None:
    bench = Bench()
    bench.serve()
    bench.hear(RUNS)
    bench.write()
    assert "conflict-cluster" in bench.codes()
    assert bench.count(Fence) == bench.count(SelfReset) == bench.count(Stop) == 0
