"""The picture of a scene: who is who, and labels that can be read."""

from __future__ import annotations

import re

from failover_kit.rehearsal.events import Kind
from failover_kit.rehearsal.picture import page, picture
from failover_kit.rehearsal.report import Outcome
from failover_kit.rehearsal.timeline import Row


def outcome_with(*faults: tuple[int, str]) -> Outcome:
    outcome = Outcome(4, "one cable at a time", "a warning each <and> no takeover")
    outcome.begin_ms, outcome.fault_ms, outcome.end_ms = 0, 1_000, 11_000
    outcome.rows = [Row(at_ms, "", Kind.FAULT, text, "info") for at_ms, text in faults]
    return outcome


def labels(svg: str) -> dict[str, float]:
    """Each label of a fault with its height."""
    found = re.findall(r"<text x='[\d.]+' y='(\d+)' text-anchor='\w+'>([^<]+)<title>", svg)
    return {text: float(y) for y, text in found}


def test_labels_that_would_overlap_stand_in_different_rows_and_others_do_not() -> None:
    svg = picture(outcome_with((0, "the serial cable is pulled"), (400, "serial cable connected"), (6_000, "end")))
    heights = labels(svg)
    assert heights["the serial cable is pulled"] != heights["serial cable connected"]
    assert heights["the serial cable is pulled"] == heights["end"]


def test_what_happens_at_the_same_moment_shares_a_label_that_says_so() -> None:
    faults = ((0, "both cables"), (1, "serial cable pulled"), (5_000, "serial"), (5_010, "network"))
    svg = picture(outcome_with(*faults))
    assert set(labels(svg)) == {"both cables", "serial (and 1 more)"}
    assert "<title>serial; network</title>" in svg, "pointing at it tells all"


def test_the_page_names_the_parts_and_needs_nothing_else() -> None:
    text = page([outcome_with((0, "a fault"))], "a rehearsal")
    for role in ("power switch", "client"):
        assert f">{role}</text>" in text
    assert "<and>" not in text
    assert "http" not in text and "<script" not in text


def test_labels_of_outlets_do_not_overlap_and_every_dot_says_what_it_is() -> None:
    outcome = outcome_with((0, "a fault"))
    outcome.outlets = [(5_000 + 60 * i, f"pete-{i}", "off") for i in range(6)]
    svg = picture(outcome)
    shown = re.findall(r"<text class='axis' x='([\d.]+)' y='(\d+)' text-anchor='start'>(pete-\d OFF)<", svg)
    assert [text for _, _, text in shown] == ["pete-0 OFF", "pete-1 OFF"]
    assert shown[0][1] != shown[1][1]
    assert svg.count("<circle") == 6 and "<title>pete-5 OFF</title>" in svg
