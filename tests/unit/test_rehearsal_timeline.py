"""A scene as rows, as a page, and on a terminal."""

import io
from xml.etree import ElementTree as ET

from failover_kit.rehearsal.events import Diary, Happening, Kind
from failover_kit.rehearsal.ledger import Span
from failover_kit.rehearsal.node import said
from failover_kit.rehearsal.picture import page, picture
from failover_kit.rehearsal.records import Gap
from failover_kit.rehearsal.report import Outcome, Printer
from failover_kit.rehearsal.timeline import rows

FAULT = 10_000


def happening(at_ms, lane, kind, text, level="info"):
    return Happening(FAULT + at_ms, lane, kind, text, level)


def texts(found):
    return [(row.at_ms, row.lane, row.text) for row in found]


def test_a_call_is_one_row_with_its_duration():
    story = [
        happening(5, "pete", Kind.AGENT, "IPaddr start"),
        happening(6, "mclaws", Kind.AGENT, "IPaddr start"),
        happening(47, "pete", Kind.AGENT, "IPaddr start ... done"),
        happening(60, "mclaws", Kind.AGENT, "IPaddr start ... failed (1)"),
    ]
    found = rows(story, FAULT)
    assert texts(found) == [
        (47, "pete", "IPaddr start done in 42 ms"),
        (60, "mclaws", "IPaddr start failed (1) in 54 ms"),
    ]
    assert [row.level for row in found] == ["info", "alarm"]


def test_a_call_without_an_end_is_shown_where_it_began():
    found = rows([happening(5, "pete", Kind.AGENT, "recordd stop")], FAULT)
    assert texts(found) == [(5, "pete", "recordd stop begun, no end seen")]
    assert found[0].level == "warning"


def test_status_screens_of_one_session_are_one_row():
    story = [
        happening(at, "benjamin", Kind.SWITCH, text)
        for at, text in ((1, "/S"), (2, "/OFF 1,Y"), (3, "/S"), (9, "/S"), (12, "/X,Y"), (20, "/S"), (21, "/X,Y"))
    ]
    assert texts(rows(story, FAULT)) == [
        (1, "benjamin", "status screen read"),
        (2, "benjamin", "/OFF 1,Y"),
        (3, "benjamin", "status screen read, 2 times until +9"),
        (20, "benjamin", "status screen read"),
    ]


def test_the_client_says_whether_its_wait_ended():
    gap = Gap(FAULT - 3, FAULT + 900)
    assert texts(rows([], FAULT, [gap]))[1] == (900, "kokone", "acknowledged again, after 903 ms")
    assert texts(rows([], FAULT, [gap], FAULT + 900))[1] == (900, "kokone", "still waits, since 903 ms")
    assert rows([], FAULT, [Gap(FAULT, FAULT + 40)]) == []
    other = rows([], FAULT, [Gap(FAULT - 3, FAULT + 900, "kokone:7001")])
    assert {row.lane for row in other} == {"kokone:7001"}


def test_the_diary_sorts_by_time_and_cuts():
    diary = Diary()
    diary.note("pete", Kind.SAYS, "later", t_ms=30)
    diary.note("pete", Kind.SAYS, "sooner", t_ms=20)
    diary.note("pete", Kind.SAYS, "before", t_ms=10)
    assert [entry.text for entry in diary.since(20)] == ["sooner", "later"]


def test_a_line_of_the_log_is_level_and_sentence():
    assert said("2026-11-23T22:27:01 failoverd warning: pete is silent") == ("warning", "pete is silent")
    assert said("Traceback (most recent call last):") == ("warning", "Traceback (most recent call last):")


def an_outcome(**fields):
    outcome = Outcome(3, "power <cut>", "fence & takeover", begin_ms=9_000, fault_ms=FAULT, end_ms=24_000)
    outcome.rows = rows(
        [
            happening(0, "", Kind.FAULT, "the cable of <pete> is pulled"),
            happening(1800, "mclaws", Kind.SAYS, 'pete is "silent" & <gone>', "warning"),
        ],
        FAULT,
    )
    outcome.held = [Span("pete", 1, 9_000, 10_050, "power cut"), Span("mclaws", 1, 22_000, None, "")]
    outcome.powered = [("pete", 8_000, 10_050), ("mclaws", 8_000, 24_000)]
    outcome.outlets = [(21_900, "pete", "off"), (23_500, "pete", "on")]
    outcome.acknowledged_ms = {"kokone": [9_100, 9_900, 23_000, 23_100]}
    for name, value in fields.items():
        setattr(outcome, name, value)
    return outcome


def test_the_picture_is_well_formed_and_stays_inside():
    root = ET.fromstring(picture(an_outcome()))
    width = float(root.get("viewBox").split()[2])
    assert {element.tag for element in root} == {"text", "rect", "line", "circle", "polygon"}
    for rect in root.iter("rect"):
        assert 0 <= float(rect.get("x")) <= float(rect.get("x")) + float(rect.get("width")) <= width + 1


def test_holding_is_drawn_where_it_was():
    bars = [e for e in ET.fromstring(picture(an_outcome())).iter("rect") if e.get("height") == "18"]
    assert [bar.find("title").text for bar in bars] == ["pete holds the group", "mclaws holds the group"]
    assert float(bars[0].get("x")) + float(bars[0].get("width")) < float(bars[1].get("x"))


def test_two_groups_are_two_bars_in_a_lane_and_two_clients():
    spans = [Span("pete", 1, 9_000, None, ""), Span("pete", 1, 20_000, None, "", group=1)]
    clients = {"kokone": [9_100, 23_000], "kokone:7001": [9_100, 23_000]}
    root = ET.fromstring(picture(an_outcome(held=spans, acknowledged_ms=clients)))
    bars = [e for e in root.iter("rect") if "holds group" in (e.findtext("title") or "")]
    assert [bar.find("title").text for bar in bars] == ["pete holds group 1", "pete holds group 2"]
    first, second = bars
    assert float(first.get("y")) + float(first.get("height")) <= float(second.get("y"))
    assert first.get("fill") != second.get("fill")
    assert {"kokone", "kokone:7001"} <= {e.text for e in root.iter("text")}


def test_a_scene_without_any_record_is_drawn_as_waiting():
    titles = [e.text for e in ET.fromstring(picture(an_outcome(acknowledged_ms={"kokone": []}))).iter("title")]
    assert "nothing acknowledged" in titles


def test_the_page_escapes_and_needs_no_other_file():
    text = page([an_outcome(failure="<b>", passed=False)], "rehearsal")
    assert "<gone>" not in text and "power <cut>" not in text and "<b>" not in text
    assert "src=" not in text and "href=" not in text and "@import" not in text
    assert "0 of 1 scenes passed" in text


def test_the_terminal_says_in_words_what_colour_would_say():
    stream = io.StringIO()
    printer = Printer(stream)
    outcome = an_outcome(failure="mclaws serves: not within 30 s", trouble=["--- pete: off"], proofs=["one"])
    printer.begin(outcome)
    printer.end(outcome)
    text = stream.getvalue()
    assert "\033" not in text
    for part in ("Scene 3", "+1800  mclaws    warning: ", "FAILED after 15.0 s: mclaws serves", "--- pete: off"):
        assert part in text
    assert all(len(line) <= 111 for line in text.splitlines())


def test_progress_is_overwritten_on_a_terminal_and_absent_elsewhere():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, expected in ((Terminal(), "\r\033[Kwaits\r\033[Kdone\n"), (io.StringIO(), "done\n")):
        printer = Printer(stream)
        printer.progress("waits")
        printer.line("done")
        assert stream.getvalue() == expected
