"""The proof made from the ledger: it must see what it is there to see."""

import pytest

from failover_kit.rehearsal.ledger import (
    SEEN_LATE_MS,
    Attempt,
    LedgerError,
    Power,
    Sighting,
    Span,
    held,
    holder_at,
    overlaps,
    parse_attempt,
    strays,
)


def calls(text):
    """Lines ``T NODE BOOT RESOURCE VERB WHAT [CODE]``, CODE 0 if not given."""
    lines = [line.split() for line in text.splitlines() if line]
    return [parse_attempt(" ".join([*words, "0"][:7])) for words in lines]


STARTED_ON_PETE = """
100 pete 1 Filesystem start begin
150 pete 1 Filesystem start end
160 pete 1 IPaddr start begin
180 pete 1 IPaddr start end
"""
STOPPED_ON_PETE = """
300 pete 1 IPaddr stop begin
320 pete 1 IPaddr stop end
330 pete 1 Filesystem stop begin
380 pete 1 Filesystem stop end
"""
STARTED_ON_MCLAWS = """
400 mclaws 1 Filesystem start begin
450 mclaws 1 Filesystem start end
"""


def test_a_clean_move_is_two_spans_that_do_not_touch():
    spans = held(calls(STARTED_ON_PETE + STOPPED_ON_PETE + STARTED_ON_MCLAWS), [])
    assert spans == [Span("pete", 1, 100, 380, "stopped"), Span("mclaws", 1, 400, None, "")]
    assert overlaps(spans) == []
    assert [holder_at(spans, t_ms) for t_ms in (50, 100, 379, 390, 400)] == ["", "pete", "pete", "", "mclaws"]


def test_a_mount_attempt_on_the_other_node_is_caught_even_if_it_fails():
    attempt = "200 mclaws 1 Filesystem start begin\n205 mclaws 1 Filesystem start end 1\n"
    found = overlaps(held(calls(STARTED_ON_PETE + attempt), []))
    assert found == ["pete and mclaws held the group together from 200 and still do"]


def test_one_millisecond_too_early_is_caught():
    early = "379 mclaws 1 Filesystem start begin\n"
    found = overlaps(held(calls(STARTED_ON_PETE + STOPPED_ON_PETE + early), []))
    assert found == ["pete and mclaws held the group together from 379 for 1 ms"]


def test_a_stop_that_failed_or_never_ended_does_not_end_the_holding():
    for end in ("380 pete 1 Filesystem stop end 1\n", "", "380 pete 1 Filesystem stop end -9\n"):
        text = STARTED_ON_PETE + STOPPED_ON_PETE.rsplit("\n", 2)[0] + "\n" + end + STARTED_ON_MCLAWS
        assert overlaps(held(calls(text), []))


def test_a_resource_that_was_never_stopped_is_held():
    only_the_address = STOPPED_ON_PETE.split("330")[0]
    assert overlaps(held(calls(STARTED_ON_PETE + only_the_address + STARTED_ON_MCLAWS), []))


def test_a_power_cut_ends_the_holding_of_that_boot_only():
    cut = Power(390, "pete", 1, False)
    spans = held(calls(STARTED_ON_PETE + STARTED_ON_MCLAWS), [cut])
    assert overlaps(spans) == []
    late = Power(401, "pete", 1, False)
    assert overlaps(held(calls(STARTED_ON_PETE + STARTED_ON_MCLAWS), [late]))
    next_boot = "500 pete 2 Filesystem start begin\n"
    assert overlaps(held(calls(STARTED_ON_PETE + STARTED_ON_MCLAWS + next_boot), [cut]))


def test_the_same_node_may_hold_again():
    again = "600 pete 1 Filesystem start begin\n"
    spans = held(calls(STARTED_ON_PETE + STOPPED_ON_PETE + again), [])
    assert [(span.begin_ms, span.end_ms) for span in spans] == [(100, 380), (600, None)]
    assert overlaps(spans) == []


def test_a_stop_of_what_was_not_started_holds_nothing():
    assert held(calls(STOPPED_ON_PETE), []) == []


def test_a_mount_that_no_attempt_explains_is_a_stray():
    spans = held(calls(STARTED_ON_PETE + STOPPED_ON_PETE), [])
    inside = Sighting(150, "pete", 1, "the disk", True)
    noticed_late = Sighting(380 + SEEN_LATE_MS, "pete", 1, "the disk", False)
    assert strays([inside, noticed_late], spans, []) == []
    by_hand = Sighting(150, "mclaws", 1, "the disk", True)
    assert strays([by_hand], spans, []) == ["the disk appeared on mclaws at 150, which did not hold the group"]
    stayed = Sighting(381 + SEEN_LATE_MS, "pete", 1, "the disk", False)
    assert "was still there" in strays([stayed], spans, [])[0]


def test_what_disappears_with_the_power_is_no_stray():
    spans = held(calls(STARTED_ON_PETE), [Power(200, "pete", 1, False)])
    gone = Sighting(205, "pete", 1, "the disk", False)
    assert strays([gone], spans, [Power(200, "pete", 1, False)]) == []


def test_a_line_that_cannot_be_read_is_an_error_and_not_skipped():
    whole = Attempt(73212, "pete", 1, "IPaddr", "stop", "end", -9)
    assert parse_attempt("73212 pete 1 IPaddr stop end -9") == whole
    for line in ("", "73212 pete 1 IPaddr stop", "x pete 1 IPaddr stop end 0"):
        with pytest.raises(LedgerError):
            parse_attempt(line)
