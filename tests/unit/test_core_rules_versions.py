"""A peer of another version (docs/design/0039): what it cannot understand is refused, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core_bench import CONFIG, DEADTIME_MS, DELAY_MS, EMPTY, INITDEAD_MS, KEEPALIVE_MS, RUNS, Bench
from failover_kit.manager import dialect
from failover_kit.manager.actions import Exit, ExitCode, Fence, Note, Persist, Reply, SendBeat, Start, Stop
from failover_kit.manager.dialect import MINOR, Feature, Speaker, difference, unknown_to
from failover_kit.manager.events import PersistFailed, Probed, ProbeOutcome, ShutdownRequested, Verb
from failover_kit.manager.states import GroupState


def active(bench: Bench, minor: int) -> None:
    """The group runs here, and pete, which speaks 1.``minor``, has nothing of it."""
    bench.meet(EMPTY)
    bench.hear(replace(EMPTY, top=3, grant=3, grant_nonce="mclaws life 1"), minor=minor)
    bench.write()
    bench.started()
    bench.hear(replace(EMPTY, top=3), minor=minor)
    bench.write()


def notes(bench: Bench) -> list[str]:
    return [action.text for action in bench.done if isinstance(action, Note) and action.code == "versions-differ"]


# --- the sentences --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "remedy"),
    [
        (("0.2.0", 1), ("0.2.0", 1), ""),
        (("", 0), ("", 0), ""),
        (("0.2.0", 1), ("", 0), "upgrade pete; until then there is no maintenance"),
        (("0.2.0", 1), ("0.9.0", 9), "upgrade mclaws"),
        (("0.2.0", 1), ("0.10.0", 1), "upgrade mclaws"),
        (("0.10.0", 1), ("0.2.0", 1), "upgrade pete"),
        (("0.2.0", 1), ("0.2.0~rc1", 1), "install the same on both"),
        (("0.2", 1), ("", 1), "install the same on both"),
    ],
)
def test_which_node_is_to_be_upgraded(ours: tuple[str, int], theirs: tuple[str, int], remedy: str) -> None:
    text = difference(Speaker("mclaws", *ours), Speaker("pete", *theirs))
    assert text.partition(": ")[2] == remedy
    if text:
        assert text.startswith("mclaws runs ") and f"(1.{ours[1]}), pete runs " in text


def test_every_feature_has_a_minor_that_is_not_above_our_own() -> None:
    assert set(dialect.SINCE) == set(Feature)
    for feature, since in dialect.SINCE.items():
        assert 0 < since <= MINOR
        assert unknown_to("pete", since, feature) == unknown_to("pete", 9, feature) == ""
        why = unknown_to("pete", since - 1, feature)
        assert f"(1.{since - 1}) that does not know {feature.value}; upgrade pete" in why


def test_what_runs_there_is_told_once_and_shown() -> None:
    bench = Bench(replace(CONFIG, release="0.2.0"))
    active(bench, 0)
    said = notes(bench)
    assert len([text for text in said if "upgrade pete" in text]) == 1, "not with every beat"
    view = bench.core.view(bench.now_ms)
    assert (view.speaks, view.peer_speaks, view.peer_release) == (f"1.{MINOR}", "1.0", "")
    assert view.versions_differ == said[-1]
    assert view.health == "healthy", "two versions are no fault"
    bench.hear(replace(EMPTY, top=3), release="0.2.0")
    assert bench.core.view(bench.now_ms).versions_differ == ""
    bench.hear(replace(EMPTY, top=3), minor=0)
    assert len(notes(bench)) == len(said) + 1
    beat = bench.last(SendBeat)
    assert beat is not None and (beat.beat.minor, beat.beat.release) == (MINOR, "0.2.0")


# --- what needs the other node's understanding ----------------------------------------------------------


def test_maintenance_is_refused_while_the_other_node_does_not_know_it() -> None:
    bench = Bench()
    active(bench, 0)
    bench.order(Verb.MAINTENANCE_ON)
    reply = bench.last(Reply)
    assert reply is not None and reply.code is ExitCode.REFUSED
    assert "the other node, pete, runs an older failoverd (1.0) that does not know maintenance" in reply.text
    assert bench.core.wanted.maintenance == 0
    bench.hear(replace(EMPTY, top=3))
    bench.order(Verb.MAINTENANCE_ON)
    assert bench.core.wanted.maintenance == 1


def test_a_peer_that_was_downgraded_does_not_keep_still_and_status_says_so() -> None:
    bench = Bench()
    active(bench, MINOR)
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, top=3), maintenance=1, still=True, ready=False)
    bench.write()
    assert bench.core.in_maintenance()
    bench.wait(3 * DEADTIME_MS, hearing=replace(EMPTY, top=3))
    bench.hear(replace(EMPTY, top=3), minor=0)
    assert bench.core.in_maintenance(), "an absence ends nothing"
    assert "pete does not: its failoverd (1.0) knows no maintenance" in bench.core.view(bench.now_ms).reason


def test_the_absence_of_a_number_is_no_look_after_maintenance() -> None:
    bench = Bench()
    active(bench, MINOR)
    bench.order(Verb.MAINTENANCE_ON)
    bench.write()
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, top=3), maintenance=1, still=True, ready=False)
    bench.write()
    bench.order(Verb.MAINTENANCE_OFF, "pete")
    bench.write()
    bench.probe()
    starts = bench.count(Start)
    for _ in range(8):
        bench.wait(KEEPALIVE_MS)
        bench.hear(replace(EMPTY, top=3), minor=0)
        bench.write()
    assert bench.count(Start) == starts
    todo = bench.core.view(bench.now_ms).todo
    assert any("(1.0) that does not know maintenance; upgrade pete" in text for text in todo)
    bench.wait(KEEPALIVE_MS)
    bench.hear(replace(EMPTY, top=3), maintenance=2)
    bench.write()
    bench.write()
    assert bench.count(Start) == starts + 1


def test_moves_and_the_drill_need_nothing_that_1_0_does_not_know() -> None:
    bench = Bench(replace(CONFIG, fencing_digest="switch"))
    active(bench, 0)
    bench.order(Verb.PROVE, "pete")
    assert bench.core.drill is not None
    assert bench.last(Reply) is None
    bench = Bench()
    active(bench, 0)
    bench.standby()
    assert bench.count(Stop) == 1


def test_a_peer_of_1_0_that_falls_silent_is_fenced_as_any_other() -> None:
    bench = Bench()
    active(bench, 0)
    bench.lose_peer()
    bench.wait(KEEPALIVE_MS)
    bench.write()
    assert bench.count(Fence) == 1


# --- a record that bars (the store answers every Persist with an error) ---------------------------------


def barred(outcome: ProbeOutcome) -> Bench:
    """This life begins without a record on a disk that takes none."""
    bench = Bench()
    refuse(bench)
    bench.probe() if outcome is ProbeOutcome.STOPPED else bench.handle(Probed("cluster", 1, outcome))
    refuse(bench)
    return bench


def refuse(bench: Bench) -> None:
    for action in [action for action in bench.done if isinstance(action, Persist)][-1:]:
        bench.handle(PersistFailed(action.token, "it was written by a newer failoverd"))


@pytest.mark.parametrize("outcome", ProbeOutcome)
def test_a_barred_node_touches_nothing_takes_nothing_and_shoots_nobody(outcome: ProbeOutcome) -> None:
    bench = barred(outcome)
    for claim in (RUNS, replace(EMPTY, top=3, grant=3, grant_nonce="mclaws life 1"), replace(EMPTY, top=3)):
        for _ in range(3):
            bench.wait(KEEPALIVE_MS)
            bench.hear(claim)
            refuse(bench)
    for _ in range(60):
        bench.wait(INITDEAD_MS + DELAY_MS)
        refuse(bench)
    assert bench.count(Start) == bench.count(Stop) == bench.count(Fence) == 0
    beat = bench.last(SendBeat)
    assert beat is not None and not beat.beat.ready and not beat.beat.leaving
    assert beat.beat.groups[0].held or outcome is ProbeOutcome.STOPPED
    assert beat.beat.groups[0].right == 0 or not beat.beat.groups[0].grant
    for verb in (Verb.TAKEOVER, Verb.FENCE, Verb.PROVE, Verb.CONFIRM_DEAD, Verb.MAINTENANCE_ON):
        bench.order(verb, "" if verb in (Verb.TAKEOVER, Verb.MAINTENANCE_ON) else "pete")
        refuse(bench)
        bench.wait(KEEPALIVE_MS)
        refuse(bench)
    assert bench.count(Start) == bench.count(Stop) == bench.count(Fence) == 0
    group = bench.core.groups["cluster"]
    assert group.state is (GroupState.STOPPED if outcome is ProbeOutcome.STOPPED else GroupState.UNKNOWN)


def test_a_barred_node_ends_when_it_is_told_to() -> None:
    bench = barred(ProbeOutcome.STOPPED)
    bench.handle(ShutdownRequested())
    refuse(bench)
    for _ in range(30):
        bench.wait(KEEPALIVE_MS)
        refuse(bench)
    assert bench.count(Exit) == 1
