"""Each alarm has a runbook section and each section an alarm; its symptom has the words that the operator sees."""

from __future__ import annotations

import re

import docpages
import pytest

from docs import alarms

SECTIONS = alarms.sections()
PARTS = ("Meaning", "Check", "Act", "Afterwards")
UNCODED = {code for codes in alarms.UNCODED.values() for code in codes}


def test_each_alarm_has_one_section_and_each_section_an_alarm() -> None:
    found = [section.code for section in SECTIONS]
    assert len(found) == len(set(found)), "two sections of one name"
    assert set(found) == alarms.codes() | UNCODED


def test_sentences_without_a_code_come_from_modules_that_are_known() -> None:
    """A module that begins to raise one needs a section, and a line in alarms.UNCODED."""
    modules = {call.place.partition(":")[0] for call in alarms.raised() if not call.codes}
    assert modules == set(alarms.UNCODED)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.code)
def test_a_section_has_its_five_parts_in_order(section: alarms.Section) -> None:
    assert section.symptoms, "no block of text with the words that are seen"
    assert section.parts == PARTS
    assert "```sh" in section.text.partition("**Check.**")[2], "a check is a command"
    assert len(section.text.split("\n")) <= 55, "too long for 3 a.m."


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.code)
def test_symptoms_are_sentences_that_the_manager_says(section: alarms.Section) -> None:
    for line in section.symptoms:
        assert alarms.says(line), line


def test_every_sentence_that_is_raised_is_the_symptom_of_its_section() -> None:
    """The reader searches for the words of the log: each one, whatever values stand in it, must be found."""
    symptoms = {section.code: section.symptoms for section in SECTIONS}
    absent = []
    for call in alarms.raised():
        if len(call.text.replace(alarms.HOLE, "").strip()) < 8:
            continue  # made elsewhere: the section is there, and its symptoms are checked above
        home = call.codes or alarms.UNCODED[call.place.partition(":")[0]]
        lines = [line for code in home for line in symptoms.get(code, ())]
        if not any(alarms.pattern(call.text).fullmatch(line) for line in lines):
            absent.append(f"{call.place} {home}: {call.text.replace(alarms.HOLE, '…')}")
    assert not absent, "\n".join(absent)


def test_the_reading_of_the_source_sees_what_is_known_to_be_there() -> None:
    """Else an empty list would satisfy all of the above."""
    texts = {code: call.text for call in alarms.raised() for code in call.codes}
    assert texts["fence-failed"].startswith("\0 is not fenced: \0; no takeover.")
    assert {"parked", "conflict", "link", "probe", "ping", "persist-failed"} <= alarms.codes()
    assert "started" not in alarms.codes(), "what is only told is no alarm"


def test_the_index_of_runbooks_has_every_section() -> None:
    page = docpages.read(alarms.RUNBOOKS / "README.md")
    named = {link.target for link in page.links}
    assert {f"{section.page}#{section.code}" for section in SECTIONS} <= named


def test_every_alert_of_alerts_md_has_a_runbook() -> None:
    """The codes that docs/alerts.md lists are the ones the mail names; what only ends a trouble needs none."""
    text = (alarms.RUNBOOKS.parent / "alerts.md").read_text()
    table = text.partition("## Which alerts there are")[2].partition("\n## ")[0]
    listed = {code.split("-GROUP")[0].split("-NAME")[0] for code in re.findall(r"`([a-z]+(?:-[A-Za-z]+)*)`", table)}
    ends = {
        "peer-up",
        "peer-left",
        "power-is-on",
        "drill-proved",
        "started",
        "stopped",
        "takeover",
        "granted",
        "link-back",
        "persist-ok",
    }
    words = {
        "node",
        "fencing",
        "resource",
        "attribute",
        "peer",
        "desc",
        "member",
        "lost",
        "task",
        "rc",
        "off",
        "on",
        "status",
        "prove",
        "confirm-dead",
        "rsc",
    }
    words.add("interval")
    assert listed - ends - words <= alarms.codes(), listed - ends - words - alarms.codes()
