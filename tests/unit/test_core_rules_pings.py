"""What ping nodes do to decisions: they refuse planned moves and delay shots, and nothing else."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, DELAY_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode, Fence, Note, Reply, SendBeat, Start, Stop
from failover_kit.manager.events import Command, PingsSeen, ProbeOutcome, ShutdownRequested, Terms, Tick, Verb
from failover_kit.manager.pingvotes import PING_REST_MS
from failover_kit.manager.records import CoreGroup

PINGS = replace(CONFIG, pings=("192.0.2.1", "192.0.2.2"), deadping_ms=DEADTIME_MS)
ALL, ONE, NONE = PingsSeen((True, True)), PingsSeen((True, False)), PingsSeen((False, False))
QUIET = PingsSeen((True, True), quiet=True)


def holder(**changes: object) -> Bench:
    """mclaws runs the group and reaches both ping nodes."""
    bench = Bench(config=replace(PINGS, **changes))  # type: ignore[arg-type]
    bench.serve()
    bench.handle(ALL)
    return bench


def passive(**changes: object) -> Bench:
    """pete runs the group; mclaws has nothing and reaches both."""
    bench = Bench(config=replace(PINGS, **changes))  # type: ignore[arg-type]
    bench.meet(RUNS)
    bench.handle(ALL)
    return bench


def idle(bench: Bench, reached: int | None) -> None:
    """A beat of a pete that has nothing and reaches so many."""
    bench.hear(replace(EMPTY, top=3), reached=reached)


def said(bench: Bench) -> str:
    reply = bench.last(Reply)
    return reply.text if reply is not None else ""


def sent(bench: Bench) -> int | None:
    """What the next beat tells of ping nodes."""
    bench.now_ms += KEEPALIVE_MS
    bench.handle(Tick())
    beat = bench.last(SendBeat)
    assert beat is not None
    return beat.beat.reached


# --- planned moves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("there", "moves"), [(2, True), (None, True), (1, False), (0, False)])
def test_standby_to_a_node_that_reaches_fewer_is_refused(there: int | None, moves: bool) -> None:
    bench = holder()
    idle(bench, there)
    bench.standby()
    assert bench.count(Stop) == int(moves)
    if not moves:
        assert bench.reply_code() is ExitCode.REFUSED
        assert said(bench) == (
            f"group cluster stays: pete reaches {there} of 2 ping nodes, mclaws 2; repair its way to them, or end "
            "failoverd on mclaws, which hands over in any case"
        )


def test_what_is_not_known_is_no_vote() -> None:
    bench = Bench(config=PINGS)
    bench.serve()
    bench.handle(PingsSeen((True, None)))
    idle(bench, 0)
    bench.standby()
    assert bench.count(Stop) == 1


def test_a_peer_with_other_files_is_told_nothing_and_not_believed() -> None:
    bench = holder()
    bench.hear(replace(EMPTY, top=3), reached=0)
    assert sent(bench) == 2 and bench.core.peer_reaches() == 0
    bench.hear(replace(EMPTY, top=3), reached=0, digest="other")
    assert sent(bench) is None and bench.core.peer_reaches() is None


def test_a_move_under_way_is_dropped_before_its_stop_and_not_after() -> None:
    bench = holder()
    idle(bench, 2)
    bench.order(Verb.STANDBY)  # not durable yet
    idle(bench, 1)
    assert "move-dropped" in bench.codes() and bench.count(Stop) == 0
    bench.write()
    idle(bench, 2)
    bench.standby()
    assert bench.count(Stop) == 1
    idle(bench, 0)
    bench.stopped()
    assert "granted" in bench.codes()  # stopped here already: better there than nowhere


def test_a_node_that_leaves_hands_over_in_any_case() -> None:
    bench = holder()
    idle(bench, 0)
    bench.handle(ShutdownRequested())
    assert bench.count(Stop) == 1
    bench.stopped()
    assert "granted" in bench.codes()


def test_takeover_by_the_node_that_reaches_fewer_is_refused_there() -> None:
    bench = passive()
    bench.handle(ONE)
    bench.hear(RUNS, reached=2)
    bench.order(Verb.TAKEOVER)
    assert bench.reply_code() is ExitCode.REFUSED
    assert "mclaws reaches 1 of 2 ping nodes, pete 2; repair the way" in said(bench)
    assert bench.core.groups["cluster"].want == 0


def test_takeover_of_a_group_that_runs_nowhere_is_not_a_question_of_ping_nodes() -> None:
    bench = passive()
    bench.handle(NONE)
    bench.hear(replace(RUNS, state=EMPTY.state, held=False, parked=True), reached=2)
    bench.order(Verb.TAKEOVER)
    assert bench.core.groups["cluster"].want


def test_a_watchers_request_to_the_node_that_reaches_fewer_is_refused() -> None:
    bench = passive()
    bench.wait(61_000, hearing=RUNS, writing=True)
    bench.handle(ONE)
    bench.hear(RUNS, reached=2)
    bench.handle(Command(7, Verb.TAKEOVER, ("cluster",), terms=Terms(3, 60_000, "kokone")))
    assert bench.reply_code() is ExitCode.REFUSED and "mclaws reaches 1 of 2 ping nodes" in said(bench)


# --- ping_failover ---------------------------------------------------------------------------------------


def served_long(**changes: object) -> Bench:
    bench = holder(**changes)
    bench.wait(PING_REST_MS, hearing=replace(EMPTY, top=3), writing=True)
    return bench


def hear_for(bench: Bench, duration_ms: int, reached: int | None) -> None:
    for _ in range(duration_ms // KEEPALIVE_MS):
        bench.now_ms += KEEPALIVE_MS
        bench.handle(Tick())
        idle(bench, reached)
        bench.write()


def test_ping_failover_moves_where_more_is_reached_after_deadping() -> None:
    bench = served_long(ping_failover=True)
    bench.handle(ONE)
    hear_for(bench, DEADTIME_MS, 2)
    assert bench.count(Stop) == 0
    hear_for(bench, 2 * KEEPALIVE_MS, 2)
    assert bench.count(Stop) == 1 and bench.count(Fence) == 0
    texts = [note.text for note in bench.done if isinstance(note, Note) and note.code == "move"]
    assert texts == [
        "group cluster: moving to pete, 2 ping nodes are reached there, here 1 of 2 (ping_failover)"
    ]


@pytest.mark.parametrize(
    ("on", "here", "there"), [(False, ONE, 2), (True, ONE, 1), (True, NONE, None), (True, ALL, 2)]
)
def test_ping_failover_moves_nothing_else(on: bool, here: PingsSeen, there: int | None) -> None:
    bench = served_long(ping_failover=on)
    bench.handle(here)
    hear_for(bench, 4 * DEADTIME_MS, there)
    assert bench.count(Stop) == 0


def test_ping_failover_counts_anew_when_it_was_equal_meanwhile() -> None:
    bench = served_long(ping_failover=True)
    bench.handle(ONE)
    for _ in range(5):
        hear_for(bench, DEADTIME_MS - KEEPALIVE_MS, 2)
        hear_for(bench, KEEPALIVE_MS, 1)
    assert bench.count(Stop) == 0


def test_ping_failover_lets_a_group_rest_after_each_move() -> None:
    bench = holder(ping_failover=True)  # it was moved here just now
    bench.handle(ONE)
    hear_for(bench, PING_REST_MS - bench.now_ms - KEEPALIVE_MS, 2)
    assert bench.count(Stop) == 0
    hear_for(bench, 10 * KEEPALIVE_MS, 2)
    assert bench.count(Stop) == 1


# --- before a shot ---------------------------------------------------------------------------------------


def fired_after_ms(bench: Bench) -> int:
    """How long after the silence was stated the shot came."""
    began_ms = bench.core.silent_since_ms
    bench.write()
    for _ in range(6 * DELAY_MS // KEEPALIVE_MS):
        if bench.count(Fence):
            return bench.now_ms - began_ms
        bench.wait(KEEPALIVE_MS, writing=True)
    raise AssertionError("no shot within 6 D")


def silence(bench: Bench, seen: PingsSeen) -> None:
    """pete falls silent, and half-way there ``seen`` comes."""
    bench.wait(DEADTIME_MS // 2)
    bench.handle(seen)
    bench.wait(DEADTIME_MS // 2)


def test_a_passive_node_that_reaches_nobody_waits_two_turns_longer_and_no_more() -> None:
    plain, quiet = passive(), passive()
    silence(plain, ALL)
    silence(quiet, QUIET)
    assert fired_after_ms(plain) == 2 * DELAY_MS
    assert fired_after_ms(quiet) == 4 * DELAY_MS
    assert "cut-off" in quiet.codes() and "cut-off" not in plain.codes()


def test_a_holder_shoots_at_once_unless_it_reaches_nobody() -> None:
    plain, quiet = holder(), holder()
    silence(plain, ONE)
    silence(quiet, QUIET)
    assert fired_after_ms(plain) == 0
    assert fired_after_ms(quiet) == 2 * DELAY_MS


def test_ping_nodes_that_were_never_reached_or_are_down_for_both_delay_nothing() -> None:
    never = Bench(config=PINGS)
    never.meet(RUNS)
    silence(never, NONE)
    assert fired_after_ms(never) == 2 * DELAY_MS
    down = passive()
    down.hear(RUNS, reached=0)
    silence(down, replace(NONE, quiet=True))
    assert fired_after_ms(down) == 2 * DELAY_MS


@pytest.mark.parametrize(("seen", "turn"), [(NONE, 2), (ONE, 0), (PingsSeen((False, None)), 0)])
def test_a_life_that_begins_in_the_silence_and_reaches_nobody_is_cut_off(seen: PingsSeen, turn: int) -> None:
    """failoverd ended while it waited: what it knew is lost, and "at once" then falls into the other's turn."""
    bench = Bench(config=PINGS, record=stored(right=4, held=True, contact=True, peer_boot_id="pete boot 1"))
    bench.probe(ProbeOutcome.RUNNING)
    bench.handle(seen)
    bench.wait(INITDEAD_MS, writing=True)
    assert fired_after_ms(bench) == turn * DELAY_MS


def test_an_answer_within_the_silence_does_not_bring_the_shot_forward() -> None:
    """It would come in the middle of the other node's turn."""
    bench = passive()
    silence(bench, QUIET)
    bench.wait(2 * DELAY_MS + 5 * KEEPALIVE_MS, writing=True)
    bench.handle(ALL)
    assert bench.count(Fence) == 0
    assert fired_after_ms(bench) == 4 * DELAY_MS


def test_the_next_silence_is_judged_anew() -> None:
    bench = passive()
    silence(bench, QUIET)
    bench.handle(ALL)
    bench.hear(RUNS)
    assert not bench.core.view(bench.now_ms).cut_off
    bench.lose_peer()
    assert fired_after_ms(bench) == 2 * DELAY_MS


@pytest.mark.parametrize(("seen", "turn"), [(ALL, 0), (QUIET, 2)], ids=["answered since", "still quiet"])
def test_a_network_that_was_taken_apart_in_maintenance_delays_nothing_after_it(seen: PingsSeen, turn: int) -> None:
    """The silence is the same, but turns are counted from the end of maintenance."""
    bench = holder()
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, top=3), maintenance=1, still=True, ready=False)
    bench.write()
    silence(bench, QUIET)
    bench.wait(DELAY_MS, writing=True)
    assert bench.core.in_maintenance() and "cut-off" not in bench.codes()
    bench.handle(seen)
    bench.order(Verb.MAINTENANCE_OFF, "pete")
    bench.probe(ProbeOutcome.RUNNING)
    assert fired_after_ms(bench) == turn * DELAY_MS


def test_an_ordered_shot_does_not_wait() -> None:
    bench = passive()
    silence(bench, QUIET)
    bench.order(Verb.FENCE, "pete")
    bench.write()
    assert bench.count(Fence) == 1


TURNS = {"active": (True, False), "both": (True, True), "passive": (False, True), "nobody": (False, False)}
"""What a node may believe: whether it runs something, and whether the other does."""


def turns(home: bool) -> dict[tuple[str, bool], int]:
    config = replace(CONFIG, groups=(CoreGroup(name="cluster", home="mclaws" if home else "pete"),))
    delay_ms = law.shoot_delay_ms
    return {
        (name, cut_off): delay_ms(config, mine_active=mine, peer_active=theirs, cut_off=cut_off) // DELAY_MS
        for name, (mine, theirs) in TURNS.items()
        for cut_off in (False, True)
    }


def test_rule_10_a_turn_of_a_node_that_is_cut_off_is_one_that_the_other_cannot_have() -> None:
    """Whatever each node believes of the other: neither knows of the other's ping nodes at that moment."""
    at_home, other = turns(home=True), turns(home=False)
    for (one, one_cut_off), (two, two_cut_off) in itertools.product(at_home, other):
        if one_cut_off or two_cut_off:
            assert at_home[one, one_cut_off] != other[two, two_cut_off], (one, one_cut_off, two, two_cut_off)


@pytest.mark.parametrize("home", [True, False])
def test_rule_10_a_vote_only_ever_delays_and_by_three_turns_at_most(home: bool) -> None:
    found = turns(home)
    for name in TURNS:
        assert found[name, False] < found[name, True] <= found[name, False] + 3 and found[name, True] <= 4


@pytest.mark.parametrize("cut_off", [False, True])
def test_rule_10_of_two_that_know_the_same_the_holder_shoots_first(cut_off: bool) -> None:
    """Then the home node of the first group, as without ping nodes."""
    at_home, other = turns(home=True), turns(home=False)
    assert at_home["active", cut_off] < other["passive", cut_off]
    assert other["active", cut_off] < at_home["passive", cut_off]
    assert at_home["both", cut_off] < other["both", cut_off]
    assert at_home["nobody", cut_off] < other["nobody", cut_off]


def test_of_two_of_which_one_is_cut_off_the_other_shoots_first() -> None:
    at_home, other = turns(home=True), turns(home=False)
    for one, two in (("active", "passive"), ("passive", "active"), ("both", "both"), ("nobody", "nobody")):
        assert at_home[one, True] > other[two, False]
        assert other[two, True] > at_home[one, False]


# --- what is shown ---------------------------------------------------------------------------------------


def test_status_names_a_ping_node_that_does_not_answer_here_or_there() -> None:
    bench = holder()
    idle(bench, 2)
    assert bench.core.view(bench.now_ms).health == "healthy"
    bench.handle(ONE)
    view = bench.core.view(bench.now_ms)
    assert (view.health, view.reason) == ("degraded", "ping node 192.0.2.2 does not answer")
    assert "repair the way to ping node 192.0.2.2, or take it out of ha.cf on both nodes" in view.todo
    assert [(ping.name, ping.reached) for ping in view.pings] == [("192.0.2.1", True), ("192.0.2.2", False)]
    bench.handle(ALL)
    idle(bench, 1)
    assert bench.core.view(bench.now_ms).reason == "pete reaches 1 of 2 ping nodes"


def test_an_event_of_another_configuration_is_let_go() -> None:
    bench = holder()
    bench.handle(PingsSeen((False,), quiet=True))
    assert bench.core.reaches() == 2


def test_no_right_and_no_start_follows_from_any_answer() -> None:
    bench = passive()
    for seen in (ALL, ONE, NONE, QUIET, PingsSeen((None, None))):
        bench.handle(seen)
        assert bench.right() == 0 and bench.core.may_start("cluster") == "this node has no right to it"
    bench.lose_peer()
    for seen in (QUIET, ALL, ONE, NONE):
        bench.handle(seen)
    assert bench.right() == 0 and bench.count(Start) == 0
