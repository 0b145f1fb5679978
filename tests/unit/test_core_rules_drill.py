"""Rule 25, the proof drill, step by step; and what its OFF, its debt and its record may be used for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode, Fence, PowerOn, Reply, Start, Stop
from failover_kit.manager.coredata import Purpose
from failover_kit.manager.drill import UNFINISHED
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    PowerOnDone,
    ProbeOutcome,
    ShutdownRequested,
    Tick,
    Verb,
)
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    DrillRecord,
    GroupClaim,
    GroupRecord,
    PlugState,
    ProofState,
)
from failover_kit.manager.states import GroupState

PASSIVE = replace(EMPTY, top=3)
DRILL = replace(CONFIG, fencing_digest="devices", prove_timeout_ms=60_000)
PROVED = DrillRecord(ok=True, wall_ms=1_000_000, config="alike", fencing="devices")


def bench_at_work(config: CoreConfig = DRILL) -> Bench:
    """This node runs the group, pete is up and has nothing."""
    bench = Bench(config=config)
    bench.serve()
    bench.wait(KEEPALIVE_MS, hearing=PASSIVE, writing=True)
    return bench


def ordered(config: CoreConfig = DRILL) -> Bench:
    """The drill is fired."""
    bench = bench_at_work(config)
    bench.order(Verb.PROVE, "pete")
    assert bench.count(Fence) == 0  # nothing before the disk knows
    bench.write()
    assert bench.count(Fence) == 1
    bench.now_ms += 100
    return bench


def off(config: CoreConfig = DRILL) -> Bench:
    """Every plug read OFF."""
    bench = ordered(config)
    bench.fenced()
    bench.write()
    return bench


def powered(config: CoreConfig = DRILL) -> Bench:
    """It was silent while off, and its plugs read ON again."""
    bench = off(config)
    bench.wait(DEADTIME_MS, writing=True)
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=True))
    bench.write()
    return bench


def come_back(bench: Bench) -> None:
    """pete's next boot is heard."""
    bench.reset_peer()
    bench.hear(PASSIVE)
    bench.wait(KEEPALIVE_MS)
    bench.hear(PASSIVE)


def reply(bench: Bench) -> str:
    last = bench.last(Reply)
    assert last is not None
    return last.text


def proof(bench: Bench) -> ProofState:
    return bench.core.view(bench.now_ms).proof.state


# --- the way it should go ------------------------------------------------------------------------------


def test_rule_25_off_silent_on_and_a_new_boot_are_a_proof_with_its_date_and_configuration() -> None:
    bench = powered()
    come_back(bench)
    assert bench.reply_code() is None  # not before it is on the disk
    bench.write()
    assert bench.reply_code() is ExitCode.DONE
    record = bench.core.durable.drilled
    assert record is not None
    assert (record.ok, record.config, record.fencing) == (True, "alike", "devices")
    assert record.wall_ms > 0
    assert proof(bench) is ProofState.PROVED
    assert bench.count(Start) == 1
    assert bench.count(Stop) == 0


def test_rule_07_and_13_intent_debt_and_no_proof_are_on_the_disk_before_the_shot() -> None:
    bench = ordered()
    durable = bench.core.durable
    assert (durable.shot_pending, durable.on_owed, durable.shots) == (True, True, 1)
    assert durable.drilled is not None
    assert not durable.drilled.ok


def test_rule_13_power_is_owed_by_a_drill_also_where_shots_leave_the_power_off() -> None:
    bench = powered(replace(DRILL, fence_power_on=False))
    assert bench.count(PowerOn) == 1
    assert not bench.core.durable.on_owed


# --- refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        (replace(RUNS, right=5), "the peer has it (started)"),
        (replace(PASSIVE, held=True), "the peer has it (stopped)"),
        (replace(PASSIVE, state=GroupState.UNKNOWN), "the peer has it (unknown)"),
        (replace(PASSIVE, state=GroupState.STOPPING, held=True), "the peer has it (stopping)"),
        (replace(PASSIVE, want=1), "asks for it"),
        (replace(PASSIVE, parked=True), "holds it parked"),
    ],
)
def test_rule_25_only_a_peer_that_holds_nothing_is_cut(claim: GroupClaim, why: str) -> None:
    bench = bench_at_work()
    bench.core.hearing.beat = replace(bench.beat(claim), counter=bench.peer_counter)
    bench.order(Verb.PROVE, "pete")
    bench.write()
    assert (bench.reply_code(), bench.count(Fence)) == (ExitCode.REFUSED, 0)
    assert why in reply(bench)


def test_rule_25_a_passive_node_proves_nobody() -> None:
    bench = Bench(config=DRILL)
    bench.meet(RUNS)
    bench.order(Verb.PROVE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED


def test_rule_25_a_group_nobody_has_is_in_the_way() -> None:
    bench = Bench(config=replace(DRILL, groups=(replace(CONFIG.groups[0], home="mclaws"),)))
    bench.meet(replace(PASSIVE, failed_here=True))
    bench.order(Verb.PROVE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED
    assert "no right to it" in reply(bench)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"hears": False}, "not heard"),
        ({"ready": False}, "not ready"),
        ({"digest": "another"}, "configuration files differ"),
    ],
)
def test_rule_25_only_a_ready_peer_that_hears_us_is_cut(fields: dict[str, object], why: str) -> None:
    bench = bench_at_work()
    bench.hear(PASSIVE, **fields)
    bench.order(Verb.PROVE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED
    assert why in reply(bench)


def test_rule_25_a_silent_peer_is_no_drill() -> None:
    bench = bench_at_work()
    bench.lose_peer()
    bench.order(Verb.PROVE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED


def test_rule_12_and_25_a_peer_that_asks_for_the_group_meanwhile_is_not_cut_and_the_old_proof_stands() -> None:
    bench = Bench(config=DRILL, record=stored(4, held=True, contact=True, drilled=PROVED))
    bench.probe(ProbeOutcome.RUNNING)
    bench.hear(replace(EMPTY, top=4))
    bench.wait(2 * KEEPALIVE_MS, hearing=replace(EMPTY, top=4), writing=True)
    assert proof(bench) is ProofState.PROVED
    bench.order(Verb.PROVE, "pete")
    bench.hear(replace(EMPTY, top=4, want=1))
    bench.write()
    assert (bench.reply_code(), bench.count(Fence)) == (ExitCode.REFUSED, 0)
    assert bench.core.durable.drilled == PROVED


def test_rule_14_and_25_another_boot_than_the_one_ordered_is_not_cut() -> None:
    bench = bench_at_work()
    bench.order(Verb.PROVE, "pete")
    come_back(bench)
    bench.write()
    assert (bench.reply_code(), bench.count(Fence)) == (ExitCode.REFUSED, 0)


def test_rule_04_nothing_moves_while_a_drill_runs() -> None:
    bench = ordered()
    bench.order(Verb.STANDBY)
    assert bench.reply_code() is ExitCode.REFUSED


# --- every fact that refuses, one at a time ------------------------------------------------------------

MINE = GroupRecord(name="cluster", right=4, top=4, known=4, held=True)
BESIDE = law.DrillGroupFacts(wanted=MINE, durable=MINE, state=GroupState.STARTED, settled=True, claim=PASSIVE)
UP = Beat(
    node="pete", boot_id="pete boot 1", nonce="pete life 1", counter=9, echoes=(("mclaws life 1", 9),), hears=True,
    ready=True, digest="alike", groups=(PASSIVE,),
)  # fmt: skip
FACTS = law.DrillFacts(config=DRILL, beat=UP, groups=(BESIDE,), ready="", stalled=False, debts=False)
PARKED = replace(MINE, held=False, parked="start failed")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"config": replace(DRILL, can_fence=False)}, "no fence device"),
        ({"beat": None}, "it is not heard now"),
        ({"beat": replace(UP, leaving=True)}, "the peer is not ready"),
        ({"beat": replace(UP, ready=False)}, "the peer is not ready"),
        ({"beat": replace(UP, digest="another")}, "the configuration files differ"),
        ({"ready": "the state directory cannot be written"}, "the state directory cannot be written"),
        ({"stalled": True}, "paused"),
        ({"debts": True}, "not settled"),
    ],
)
def test_rule_25_each_fact_about_the_nodes_refuses_by_itself(fields: dict[str, object], why: str) -> None:
    assert law.may_drill(FACTS) == ""
    assert why in law.may_drill(replace(FACTS, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"claim": None}, "does not know it"),
        ({"claim": replace(PASSIVE, right=5)}, "the peer has it"),
        ({"claim": replace(PASSIVE, held=True)}, "the peer has it"),
        ({"claim": replace(PASSIVE, state=GroupState.UNKNOWN)}, "the peer has it"),
        ({"claim": replace(PASSIVE, grant=6)}, "passes it on"),
        ({"claim": replace(PASSIVE, want=1)}, "asks for it"),
        ({"claim": replace(PASSIVE, parked=True)}, "holds it parked"),
        ({"wanted": replace(MINE, right=0), "durable": replace(MINE, right=0)}, "no right to it"),
        ({"wanted": replace(MINE, right=0)}, "no right to it"),
        ({"durable": replace(MINE, right=2)}, "no right to it"),
        ({"wanted": replace(MINE, grant=6), "durable": replace(MINE, grant=6)}, "no right to it"),
        ({"settled": False}, "on its way"),
        ({"state": GroupState.STARTING}, "it is starting here"),
        ({"state": GroupState.FAILED}, "it is failed here"),
        ({"state": GroupState.STOPPED}, "it is stopped here"),
        ({"state": GroupState.STARTING, "wanted": PARKED, "durable": PARKED}, "it is starting here"),
    ],
)
def test_rule_25_each_fact_about_a_group_refuses_by_itself(fields: dict[str, object], why: str) -> None:
    assert why in law.may_drill(replace(FACTS, groups=(BESIDE, replace(BESIDE, **fields))))  # type: ignore[arg-type]


def test_rule_25_a_group_parked_here_is_in_nobodys_way() -> None:
    rests = replace(BESIDE, wanted=PARKED, durable=PARKED, state=GroupState.STOPPED)
    assert law.may_drill(replace(FACTS, groups=(rests,))) == ""


@pytest.mark.parametrize("fields", [{"boot_id": "cut"}, {"hears": False}, {"echoes": (("mclaws life 1", 8),)}])
def test_rule_25_a_return_is_another_boot_that_hears_us_and_answers_something_from_after_off(
    fields: dict[str, object],
) -> None:
    assert law.drill_is_over(UP, "cut", "mclaws life 1", 8)
    assert not law.drill_is_over(replace(UP, **fields), "cut", "mclaws life 1", 8)  # type: ignore[arg-type]


# --- what the order looks at ----------------------------------------------------------------------------


def test_rule_25_a_group_on_its_way_is_no_time_for_a_drill() -> None:
    bench = bench_at_work()
    bench.order(Verb.STANDBY)  # its stop waits for the disk
    bench.handle(Command(8, Verb.PROVE, (), "pete"))
    assert "on its way" in reply(bench)
    bench.write()
    bench.handle(Command(9, Verb.PROVE, (), "pete"))  # it is being stopped
    assert "on its way" in reply(bench)
    assert bench.count(Fence) == 0


@pytest.mark.parametrize("what", ["purpose", "op", "moving", "device", "old beat"])
def test_rule_25_each_thing_under_way_here_refuses_by_itself(what: str) -> None:
    bench = bench_at_work()
    core, group = bench.core, bench.core.groups["cluster"]
    assert core.drill_refusal() == ""
    match what:
        case "purpose":
            group.purpose = Purpose.MOVE
        case "op":
            group.op = 99
        case "moving":
            core._change_group("cluster", moving=True)
        case "device":
            core.device_op = 99
        case _:
            core.hearing.last_two_way_ms = bench.now_ms - DEADTIME_MS
    assert core.drill_refusal()


@pytest.mark.parametrize("debt", [{"shot_pending": True}, {"on_owed": True}])
def test_rule_13_and_25_an_older_debt_is_paid_before_a_drill(debt: dict[str, object]) -> None:
    bench = Bench(config=DRILL, record=stored(4, held=True, contact=True, **debt))
    bench.probe(ProbeOutcome.RUNNING)
    bench.hear(replace(EMPTY, top=4))
    bench.wait(2 * KEEPALIVE_MS, hearing=replace(EMPTY, top=4), writing=True)
    assert bench.core.device_op  # the call that settles it
    bench.core.device_op = 0  # and between two tries of it
    bench.core.device_next_ms = bench.now_ms + 10_000
    bench.order(Verb.PROVE, "pete")
    assert (bench.reply_code(), bench.count(Fence)) == (ExitCode.REFUSED, 0)
    assert "not settled" in reply(bench)


def test_rule_25_a_full_disk_is_no_time_for_a_drill() -> None:
    bench = bench_at_work()
    bench.core._change(contact=False)
    bench.wait(KEEPALIVE_MS)
    bench.disk_fails()
    bench.order(Verb.PROVE, "pete")
    assert "cannot be written" in reply(bench)


def test_rule_25_one_drill_at_a_time_and_no_other_order_to_cut_beside_it() -> None:
    bench = off()
    bench.handle(Command(8, Verb.PROVE, (), "pete"))
    assert "another drill is under way" in reply(bench)
    bench.handle(Command(9, Verb.FENCE, (), "pete"))
    assert "a proof drill of pete is under way" in reply(bench)


def test_rule_25_a_life_that_only_just_answered_is_not_up_enough_to_be_cut() -> None:
    """Its silence would prove nothing: nobody knows yet whether it hears us."""
    bench = bench_at_work()
    bench.wait(DEADTIME_MS - KEEPALIVE_MS)
    bench.peer_nonce, bench.peer_counter = "pete life 2", 0
    bench.hear(PASSIVE, hears=False)
    bench.wait(KEEPALIVE_MS)
    bench.hear(PASSIVE, hears=False)
    bench.order(Verb.PROVE, "pete")
    assert (bench.reply_code(), bench.count(Fence)) == (ExitCode.REFUSED, 0)


# --- what goes wrong on the way --------------------------------------------------------------------------


@pytest.mark.parametrize("evidence", [{"off_exit": 1}, {"state": PlugState.ON}, {"in_time": False}])
def test_rule_08_a_drill_that_is_not_read_off_proves_nothing(evidence: dict[str, object]) -> None:
    bench = ordered()
    bench.hear(PASSIVE)
    bench.fenced(**evidence)  # type: ignore[arg-type]
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert proof(bench) is ProofState.FAILED
    assert bench.core.view(bench.now_ms).peer_state == "up"


def test_rule_09_beats_that_go_on_after_off_are_an_alarm_and_no_proof() -> None:
    bench = off()
    bench.wait(KEEPALIVE_MS)
    bench.hear(PASSIVE)
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert "beats go on although all its plugs read OFF" in reply(bench)
    assert "heard-after-off" in bench.codes()
    assert bench.count(PowerOn) == 1  # what was cut gets its power back


def disproved(config: CoreConfig = DRILL) -> Bench:
    """The drill showed that pete lives on while its plugs read OFF; its power is back."""
    bench = off(config)
    bench.wait(KEEPALIVE_MS)
    bench.hear(PASSIVE)
    bench.write()
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=True))
    bench.wait(KEEPALIVE_MS, hearing=PASSIVE, writing=True)
    return bench


def test_rule_08_and_25_plugs_that_a_drill_disproved_are_not_shot_at_for_silence() -> None:
    """Their OFF was false once; a takeover by it would be two active nodes."""
    bench = disproved()
    shots = bench.count(Fence)
    bench.wait(10 * DEADTIME_MS, writing=True)
    assert bench.core.view(bench.now_ms).peer_state == "silent"
    assert bench.count(Fence) == shots
    assert "do not cut it" in bench.core.shot_refusal()


def test_rule_25_the_operator_cannot_order_it_either_and_is_told_what_to_do() -> None:
    bench = disproved()
    bench.order(Verb.FENCE, "pete")
    assert bench.reply_code() is ExitCode.REFUSED
    assert "correct plug.NODE in ha.cf or the cabling" in reply(bench)


def test_rule_25_a_later_drill_that_says_nothing_of_it_does_not_take_it_back() -> None:
    """The switch does not answer the second time: what the first showed stands."""
    bench = disproved()
    bench.order(Verb.PROVE, "pete")
    bench.write()
    assert bench.count(Fence) == 2  # a drill is allowed: how else could it be taken back?
    bench.fenced(off_exit=1)
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert law.plugs_disproved(bench.core.wanted.drilled, DRILL)


def test_rule_25_other_fencing_lines_and_a_drill_that_passes_take_it_back() -> None:
    record = disproved().core.wanted.drilled
    assert record is not None
    assert law.plugs_disproved(record, DRILL)
    assert not law.plugs_disproved(record, replace(DRILL, fencing_digest="other devices"))
    bench = disproved()
    bench.order(Verb.PROVE, "pete")
    bench.write()
    bench.fenced()
    bench.write()
    bench.wait(DEADTIME_MS, writing=True)
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=True))
    bench.write()
    come_back(bench)
    bench.write()
    assert bench.reply_code() is ExitCode.DONE
    assert not law.plugs_disproved(bench.core.wanted.drilled, DRILL)


def test_rule_09_a_frame_that_was_on_its_way_is_not_a_beat_that_goes_on() -> None:
    bench = ordered()
    late = bench.beat(PASSIVE)
    bench.fenced()
    bench.handle(BeatReceived("eth1", late))
    bench.write()
    assert bench.reply_code() is None


def test_rule_25_power_comes_back_only_after_deadtime_of_silence() -> None:
    bench = off()
    bench.wait(DEADTIME_MS - KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 0
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1


def test_rule_21_and_25_a_pause_of_this_node_is_no_silence_of_the_other() -> None:
    bench = off()
    bench.now_ms += 2 * DEADTIME_MS
    bench.handle(Tick())
    bench.wait(DEADTIME_MS - KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 0
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1


def test_rule_25_another_boot_heard_while_it_is_off_is_no_proof() -> None:
    bench = off()
    bench.wait(KEEPALIVE_MS)
    come_back(bench)
    assert bench.reply_code() is ExitCode.FAILED
    assert "something else feeds it" in reply(bench)


def test_rule_25_it_counts_only_when_its_plugs_read_on_again() -> None:
    """The on failed as the agent tells, and the node came back all the same: proved when the plugs are read ON."""
    bench = off()
    bench.wait(DEADTIME_MS, writing=True)
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=False, reason="no answer"))
    come_back(bench)
    bench.write()
    assert bench.reply_code() is None
    bench.wait(10_000, hearing=PASSIVE, writing=True)  # tried again
    on = bench.last(PowerOn)
    assert on is not None
    bench.handle(PowerOnDone(on.op, ok=True))
    bench.write()
    assert bench.reply_code() is ExitCode.DONE


def test_rule_25_a_boot_before_its_power_was_given_back_is_no_proof_however_silent_it_was() -> None:
    """The disk is slow, so the power comes late; the node has been silent for deadtime, and boots all the same."""
    bench = ordered()
    bench.fenced()
    bench.wait(DEADTIME_MS + KEEPALIVE_MS)
    assert (bench.core.drill is not None, bench.count(PowerOn)) == (True, 0)
    come_back(bench)
    assert bench.reply_code() is ExitCode.FAILED
    assert "something else feeds it" in reply(bench)


def test_rule_25_the_same_boot_again_is_no_return() -> None:
    bench = powered()
    bench.peer_nonce, bench.peer_counter = "pete life 2", 0  # failoverd was only restarted there
    for _ in range(3):
        bench.hear(PASSIVE)
        bench.wait(KEEPALIVE_MS)
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert proof(bench) is ProofState.FAILED


def test_rule_25_a_node_that_does_not_come_back_is_not_proved_and_is_not_waited_for_for_ever() -> None:
    bench = powered()
    bench.wait(DRILL.prove_timeout_ms, writing=True)
    assert bench.reply_code() is ExitCode.FAILED
    assert "did not come back within 60 s" in reply(bench)
    come_back(bench)
    bench.write()
    assert proof(bench) is ProofState.FAILED


def test_rule_25_a_node_that_boots_by_itself_just_then_is_not_proved_and_gets_its_power_back() -> None:
    """Its new life was heard once before OFF, and becomes current by a frame from before OFF: nobody knows what
    was cut. The power must not stay off until the order's time is over."""
    bench = ordered()
    bench.reset_peer()
    bench.hear(PASSIVE)
    bench.wait(KEEPALIVE_MS)
    late = bench.beat(PASSIVE)
    bench.fenced()
    bench.handle(BeatReceived("eth1", late))
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert "another boot by itself" in reply(bench)
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1


def test_rule_25_another_boot_heard_before_off_is_no_drill_of_the_first() -> None:
    bench = ordered()
    come_back(bench)
    bench.fenced()
    bench.write()
    assert bench.reply_code() is ExitCode.FAILED
    assert bench.count(PowerOn) == 1


def test_rule_25_a_life_that_cannot_answer_is_not_silent_and_the_power_is_not_kept_for_ever() -> None:
    """One direction of the links is cut: failoverd of the "cut" node is restarted and beats, never current."""
    bench = off()
    for _ in range(4 * DEADTIME_MS // KEEPALIVE_MS):
        bench.wait(KEEPALIVE_MS, writing=True)
        bench.handle(BeatReceived("eth1", bench.beat(PASSIVE, nonce="pete life 2", echoes=(), hears=False)))
        bench.write()
    assert "still came 8 s after its plugs read OFF" in reply(bench)
    bench.wait(KEEPALIVE_MS, writing=True)
    assert (bench.count(PowerOn), proof(bench)) == (1, ProofState.FAILED)


def test_rule_21_a_pause_of_this_node_is_not_the_absence_of_the_other() -> None:
    """failoverd here did not run over the deadline; the beats of the node that came back wait in its socket."""
    bench = powered()
    bench.now_ms += DRILL.prove_timeout_ms + 1_000
    bench.handle(Tick())
    assert bench.reply_code() is None
    come_back(bench)
    bench.write()
    assert bench.reply_code() is ExitCode.DONE


def test_rule_25_a_switch_that_never_answers_ends_the_order_and_its_late_off_proves_nothing() -> None:
    bench = ordered()
    patience_ms = 2 * DRILL.move_timeout_ms + DEADTIME_MS + DRILL.prove_timeout_ms
    bench.wait(patience_ms, hearing=PASSIVE, writing=True)
    assert bench.reply_code() is ExitCode.TIMED_OUT
    bench.fenced()
    bench.write()
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1
    come_back(bench)
    bench.write()
    assert proof(bench) is ProofState.FAILED
    assert "it had no end within" in bench.core.view(bench.now_ms).proof.text


def test_rule_13_failoverd_that_is_told_to_end_gives_the_drill_up_and_the_power_back() -> None:
    bench = off()
    bench.handle(ShutdownRequested())
    assert "the drill is given up" in reply(bench)
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.count(PowerOn) == 1
    assert proof(bench) is ProofState.FAILED


# --- what its OFF may be used for ---------------------------------------------------------------------


def test_rule_02_the_off_of_a_drill_gives_leave_to_take_nothing() -> None:
    bench = off()
    assert bench.core.proof is not None
    assert not bench.core.proof.takes
    bench.core._change_group("cluster", right=0, held=False)  # as if it had been lost on the way
    bench.core.groups["cluster"].state = GroupState.STOPPED
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.right() == 0
    bench.handle(Command(8, Verb.TAKEOVER))
    assert "taken over only when it is fenced" in reply(bench)
    bench.core.proof.takes = True  # and this is what holds it back
    bench.wait(KEEPALIVE_MS, writing=True)
    assert bench.right() > 0


def test_rule_15_a_node_cut_by_a_drill_is_not_shot_again_for_its_silence() -> None:
    bench = off()
    bench.wait(10 * DEADTIME_MS)
    assert bench.count(Fence) == 1


# --- crashes -------------------------------------------------------------------------------------------


def test_rule_13_and_25_a_crash_in_a_drill_leaves_a_debt_and_no_proof() -> None:
    record = off().core.durable
    again = Bench(config=DRILL, record=record)
    again.probe(ProbeOutcome.RUNNING)
    assert proof(again) is ProofState.FAILED
    again.wait(INITDEAD_MS + KEEPALIVE_MS, writing=True)
    assert (again.count(PowerOn), again.count(Fence)) == (1, 0)
    come_back(again)
    again.wait(KEEPALIVE_MS, hearing=PASSIVE, writing=True)
    assert proof(again) is ProofState.FAILED


def test_rule_25_a_proof_is_worth_what_the_fencing_lines_are_worth() -> None:
    def state(**fields: str) -> ProofState:
        return proof(Bench(config=replace(DRILL, **fields), record=stored(drilled=PROVED)))  # type: ignore[arg-type]

    assert state() is ProofState.PROVED
    assert state(digest="other groups") is ProofState.CHANGED
    assert state(fencing_digest="other plugs") is ProofState.OUTDATED
    assert proof(Bench(config=DRILL)) is ProofState.NEVER
    assert proof(Bench(config=replace(DRILL, can_fence=False))) is ProofState.NONE


def test_rule_25_a_drill_that_failed_degrades_status_and_one_that_was_never_made_does_not() -> None:
    def health(drilled: DrillRecord | None) -> str:
        bench = Bench(config=DRILL, record=stored(4, held=True, contact=True, drilled=drilled))
        bench.probe(ProbeOutcome.RUNNING)
        bench.hear(replace(EMPTY, top=4))
        bench.wait(2 * KEEPALIVE_MS, hearing=replace(EMPTY, top=4), writing=True)
        return bench.core.view(bench.now_ms).health

    failed = replace(PROVED, ok=False, reason="its beats go on")
    assert health(failed) == "degraded"
    assert health(replace(failed, fencing="other plugs")) == "healthy"
    assert health(replace(failed, reason=UNFINISHED)) == health(PROVED) == health(None) == "healthy"
