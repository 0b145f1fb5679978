"""A takeover asked for by a watcher: what refuses it, and that it goes the way of every takeover."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import DEADTIME_MS, EMPTY, KEEPALIVE_MS, RUNS, Bench, stored
from failover_kit.manager.actions import ExitCode, Fence, Level, Note, Reply, SendBeat, Start
from failover_kit.manager.events import Command, ProbeOutcome, Terms, Verb

HOLD_OFF_MS = 60_000
ASKER = "kokone (192.0.2.9)"


def passive(bench: Bench, rested_ms: int = HOLD_OFF_MS) -> Bench:
    """pete runs the group under epoch 3, and has for a while."""
    bench.write()
    bench.probe(ProbeOutcome.STOPPED)
    bench.hear(RUNS)
    bench.wait(rested_ms + 2 * KEEPALIVE_MS, hearing=RUNS, writing=True)
    return bench


def ask(
    bench: Bench, epoch: int = 3, *, verb: Verb = Verb.TAKEOVER, groups: tuple[str, ...] = ("cluster",)
) -> None:
    bench.handle(Command(7, verb, groups, terms=Terms(epoch, HOLD_OFF_MS, ASKER)))


def answer(bench: Bench) -> Reply | None:
    return bench.last(Reply)


def wanted(bench: Bench) -> int:
    """What the last beat asks pete for."""
    bench.wait(KEEPALIVE_MS, hearing=RUNS)
    beat = bench.last(SendBeat)
    assert beat is not None
    return beat.beat.groups[0].want


def refused(bench: Bench, words: str, code: ExitCode = ExitCode.REFUSED) -> None:
    """It was answered and is on record, and nothing was asked of pete."""
    reply, note = answer(bench), bench.last(Note)
    assert reply is not None and note is not None
    assert reply.code is code
    assert words in reply.text
    assert note.code == "request-refused" and ASKER in note.text and reply.text in note.text
    assert bench.core.groups["cluster"].want == 0
    assert bench.count(Fence) == 0 and bench.count(Start) == 0


def test_it_is_admitted_and_asks_the_peer_as_an_operator_would() -> None:
    bench = passive(Bench())
    ask(bench)
    note = bench.last(Note)
    assert note is not None and note.level is Level.WARNING and note.code == "request-admitted"
    assert ASKER in note.text and "epoch 3" in note.text
    assert answer(bench) is None
    assert wanted(bench) == 1 and bench.count(Fence) == 0 and bench.count(Start) == 0
    bench.hear(replace(EMPTY, top=4, grant=5, grant_nonce="mclaws life 1"))
    bench.write()
    bench.started()
    reply = answer(bench)
    assert reply is not None and reply.code is ExitCode.DONE


@pytest.mark.parametrize("epoch", [1, 2, 4, 5])
def test_another_epoch_than_the_active_one(epoch: int) -> None:
    bench = passive(Bench())
    ask(bench, epoch)
    refused(bench, f"asked about epoch {epoch}, and pete claims epoch 3")


def test_nobody_has_it() -> None:
    bench = Bench()
    bench.meet(EMPTY)
    bench.wait(HOLD_OFF_MS, hearing=EMPTY, writing=True)
    ask(bench)
    assert answer(bench) is not None and answer(bench).code is ExitCode.REFUSED


def test_once_in_a_hold_off_although_nothing_came_of_it() -> None:
    bench = Bench()
    hold_off_ms = bench.core.config.move_timeout_ms + HOLD_OFF_MS
    terms = Terms(3, hold_off_ms, ASKER)
    passive(bench, hold_off_ms)
    bench.handle(Command(7, Verb.TAKEOVER, ("cluster",), terms=terms))
    bench.wait(bench.core.config.move_timeout_ms + KEEPALIVE_MS, hearing=RUNS, writing=True)
    reply = answer(bench)
    assert reply is not None and reply.code is ExitCode.TIMED_OUT  # pete never let it go
    bench.handle(Command(8, Verb.TAKEOVER, ("cluster",), terms=terms))
    refused(bench, "held off")
    bench.wait(HOLD_OFF_MS, hearing=RUNS, writing=True)
    bench.handle(Command(9, Verb.TAKEOVER, ("cluster",), terms=terms))
    assert wanted(bench) == 2


def test_a_move_of_any_cause_begins_a_hold_off() -> None:
    bench = passive(Bench())
    moved = replace(RUNS, right=5, top=5)
    bench.hear(moved)
    bench.wait(HOLD_OFF_MS - 2 * KEEPALIVE_MS, hearing=moved, writing=True)
    ask(bench, 5)
    refused(bench, "held off")
    bench.wait(3 * KEEPALIVE_MS, hearing=moved, writing=True)
    ask(bench, 5)
    assert bench.core.groups["cluster"].want == 1


def test_a_restart_of_failoverd_does_not_shorten_the_hold_off() -> None:
    bench = Bench(record=stored(contact=True))
    passive(bench, HOLD_OFF_MS - 10 * KEEPALIVE_MS)
    ask(bench)
    refused(bench, "failoverd was started")


def test_a_silent_peer_is_no_matter_for_a_request() -> None:
    bench = passive(Bench())
    bench.wait(DEADTIME_MS + 2 * KEEPALIVE_MS)
    ask(bench)
    assert answer(bench) is not None
    refused(bench, "pete is silent: then failoverd decides by itself")


@pytest.mark.parametrize(
    ("beat", "words"),
    [
        ({"ready": False}, "pete cannot hand over now"),
        ({"digest": "other"}, "the configuration files differ"),
    ],
)
def test_a_peer_that_cannot_give_it(beat: dict[str, object], words: str) -> None:
    bench = passive(Bench())
    bench.hear(RUNS, **beat)
    ask(bench)
    refused(bench, words)


def test_a_group_on_its_way_there() -> None:
    bench = passive(Bench())
    bench.hear(replace(RUNS, want=4))
    ask(bench)
    refused(bench, "on its way")


def test_while_an_order_has_no_outcome() -> None:
    bench = passive(Bench())
    bench.handle(Command(6, Verb.TAKEOVER))
    bench.handle(Command(7, Verb.TAKEOVER, ("cluster",), terms=Terms(3, HOLD_OFF_MS, ASKER)))
    reply = answer(bench)
    assert reply is not None and (reply.id, reply.code) == (7, ExitCode.REFUSED)
    assert "is being moved" in reply.text


def test_in_maintenance() -> None:
    bench = passive(Bench())
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(RUNS, maintenance=1, still=True, ready=False)
    bench.write()
    assert bench.core.in_maintenance()
    ask(bench)
    refused(bench, "mclaws is not ready: the pair is in maintenance")


def test_a_disk_that_takes_no_record() -> None:
    bench = passive(Bench())
    bench.core._change(shots=1)
    bench.wait(KEEPALIVE_MS)
    bench.disk_fails()
    ask(bench)
    refused(bench, "the state directory cannot be written")


def test_where_it_runs_already() -> None:
    bench = Bench()
    bench.meet(EMPTY)
    bench.hear(replace(EMPTY, top=3, grant=3, grant_nonce="mclaws life 1"))
    bench.write()
    bench.started()
    ask(bench)
    reply = answer(bench)
    assert reply is not None and reply.code is ExitCode.REFUSED
    assert "mclaws has group cluster itself (epoch 3); ask pete" in reply.text


def test_where_it_failed() -> None:
    bench = passive(Bench())
    bench.core._change_group("cluster", failed_here=True)
    ask(bench)
    refused(bench, "cannot run on mclaws: it failed there")


@pytest.mark.parametrize(
    ("verb", "groups"), [(Verb.STANDBY, ("cluster",)), (Verb.TAKEOVER, ()), (Verb.FENCE, ("cluster",))]
)
def test_a_request_for_anything_else(verb: Verb, groups: tuple[str, ...]) -> None:
    bench = passive(Bench())
    ask(bench, verb=verb, groups=groups)
    refused(bench, "a request is for a takeover of one group", ExitCode.USAGE)


@pytest.mark.parametrize("terms", [Terms(0, 1, ASKER), Terms(-1, 1, ASKER), Terms(3, -1, ASKER), Terms(3, 1, "")])
def test_terms_that_are_none(terms: Terms) -> None:
    bench = passive(Bench())
    bench.handle(Command(7, Verb.TAKEOVER, ("cluster",), terms=terms))
    reply = answer(bench)
    assert reply is not None and reply.code is ExitCode.USAGE
