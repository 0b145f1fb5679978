"""Journals that are damaged, cut short, old, empty or from the middle: clear sentences, and nothing invented."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explain.story_journals import played, played_text, written
from failover_kit.explain.facts import Step, Told, Topic
from failover_kit.explain.judge import judge
from failover_kit.explain.page import page
from failover_kit.explain.plain import to_json
from failover_kit.explain.text import render
from failover_kit.explain.tracker import tell
from failover_kit.manager import journal, journalpast
from failover_kit.manager.actions import Level
from failover_kit.manager.core import Core
from failover_kit.manager.events import Started
from failover_kit.manager.journal import Damage, Entry, Gap, Head, JournalError
from failover_kit.manager.snapshot import export_core

TAKEOVER = "power-cut-active"


def told_of(directory: str) -> Told:
    return tell(journal.read_all(journal.files_with_past(directory)))


def everything(told: Told) -> str:
    """All that can be printed of it; each printer sees everything."""
    stories = [judge(episode) for episode in told.episodes]
    html = page(told, stories)
    text = render(told, stories, width=80, paint=lambda word, level: word, timeline=True)
    return html + text + json.dumps(to_json(told, stories))


# --- what files hold --------------------------------------------------------------------------------------


def test_what_is_told_of_files_is_what_was_told_of_the_events(tmp_path: Path) -> None:
    items = played(TAKEOVER)["mclaws"]
    from_files = told_of(written(items, tmp_path))
    from_memory = tell(items)
    assert everything(from_files) == everything(from_memory)
    assert from_files.remarks == () and not from_files.damaged


def test_one_bad_line_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    directory = written(played(TAKEOVER)["mclaws"], tmp_path)
    path = tmp_path / journal.CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if b'"code":"fencing"' in line)
    lines[at] = b'{"t":12,"e":{"is":"Nonsense"}}\n'
    path.write_bytes(b"".join(lines))
    told = told_of(directory)
    assert told.damaged
    assert f"{path}:{at + 1}: " in told.remarks[0] and told.remarks[0].startswith("unknown: 1 line is unreadable")
    (story,) = [judge(e) for e in told.episodes if e.has("takeover")]
    assert any("1 line is unreadable" in sentence for sentence in story.episode.unknown)
    off = [p for p in story.episode.phases if p.step is Step.OFF and p.end_ms is not None]
    assert [p.begin_ms for p in off] == [None], "when it was fired stood in that line"


def test_a_beat_behind_damage_is_not_read_by_an_older_one(tmp_path: Path) -> None:
    """A shortened beat says: like the full one before it. If that line is lost, it says nothing."""
    directory = written(played("standby-and-back")["mclaws"], tmp_path)
    path = tmp_path / journal.CURRENT
    lines = path.read_bytes().splitlines(keepends=True)
    full = [n for n, line in enumerate(lines) if b'"is":"BeatReceived"' in line]
    at = next(n for n in full[3:] if b'"b":' in lines[n + 1] or b'"b":' in lines[n + 2])
    lines[at] = b"\xff\xfe\n"
    path.write_bytes(b"".join(lines))
    items = list(journal.read_all([str(path)]))
    assert [type(item) for item in items].count(Damage) >= 1
    good = {(e.now_ms, e.event) for e in played("standby-and-back")["mclaws"] if isinstance(e, Entry)}
    read = {(item.now_ms, item.event) for item in items if isinstance(item, Entry)}
    assert read <= good, "nothing is invented"
    with pytest.raises(JournalError, match=f"{journal.CURRENT}:{at + 1}: "):
        list(journal.read([str(path)]))
    assert told_of(directory).damaged


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([TAKEOVER, "stuck-switch", "failed-stop"]),
    st.sampled_from(["pete", "mclaws"]),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["cut", "flip", "drop", "swap", "junk"])), max_size=6),
)
def test_no_damage_makes_a_traceback(story: str, node: str, wounds: list[tuple[float, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = written(played(story)[node], Path(name))
        path = Path(name) / journal.CURRENT
        data = path.read_bytes()
        for where, how in wounds:
            at = int(where * len(data))
            if how == "cut":
                data = data[:at]
            elif how == "flip":
                data = data[:at] + bytes(byte ^ 0x15 for byte in data[at : at + 3]) + data[at + 3 :]
            elif how == "drop":
                data = data[:at] + data[at + 700 :]
            elif how == "swap":
                lines = data.splitlines(keepends=True)
                here = int(where * max(0, len(lines) - 2))
                lines[here : here + 2] = reversed(lines[here : here + 2])
                data = b"".join(lines)
            else:
                data = data[:at] + b'\n[1,2]\n{"journal":99}\n\x00\x1b[2J\n' + data[at:]
        path.write_bytes(data)
        text = everything(told_of(directory))
        assert "\x1b" not in text and "\x00" not in text


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_a_traceback(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / journal.CURRENT).write_bytes(data)
        everything(told_of(name))


@pytest.mark.parametrize("story", [TAKEOVER, "both-links-lost", "stuck-switch", "pause-active-long", "prove-ok"])
@pytest.mark.parametrize("node", ["pete", "mclaws"])
def test_a_quick_reading_tells_the_same(story: str, node: str, tmp_path: Path) -> None:
    directory = written(played(story)[node], tmp_path)
    quick = tell(journal.read_all(journal.files_with_past(directory), thin=True))
    assert everything(quick) == everything(told_of(directory))


# --- parts that are missing -------------------------------------------------------------------------------


def test_a_gap_in_the_middle_of_a_takeover_leaves_its_phases_unknown() -> None:
    items: list[Head | Entry | Gap | Damage] = list(played(TAKEOVER)["mclaws"])
    fired = next(n for n, item in enumerate(items) if isinstance(item, Entry) and _has(item, "Fence"))
    items[fired : fired + 1] = [Gap(1, "the disk was too slow or full")]
    told = tell(items)
    (episode,) = [e for e in told.episodes if e.has("takeover")]
    offs = [p for p in episode.phases if p.step is Step.OFF and p.end_ms is not None]
    assert [p.took_ms for p in offs] == [None], "when it was fired is in the gap"
    assert any("1 event is missing" in sentence for sentence in episode.unknown)
    assert not told.damaged, "a gap is told by the journal itself"


def test_an_answer_lost_in_a_gap_keeps_nothing_open() -> None:
    items: list[Head | Entry | Gap | Damage] = list(played("standby-and-back")["pete"])
    whole = tell(items).episodes
    started = next(n for n, item in enumerate(items) if isinstance(item, Entry) and isinstance(item.event, Started))
    items[started : started + 1] = [Gap(1, "the disk was too slow or full")]
    told = tell(items)
    assert len(told.episodes) == len(whole), "what came later is told apart, as ever"
    assert [(p.step, p.end_ms) for p in told.episodes[0].phases][-1] == (Step.START, None)


def test_a_part_that_a_crash_left_in_two_files_is_told_once(tmp_path: Path) -> None:
    directory = written(played(TAKEOVER)["mclaws"], tmp_path)
    before = everything(told_of(directory))
    (tmp_path / journal.PREVIOUS).write_bytes((tmp_path / journal.CURRENT).read_bytes())
    assert everything(told_of(directory)) == before


def _has(entry: Entry, kind: str) -> bool:
    return any(type(action).__name__ == kind for action in entry.actions)


def test_a_journal_that_begins_in_the_middle_says_so() -> None:
    items = played(TAKEOVER)["mclaws"]
    head = items[0]
    assert isinstance(head, Head)
    cut = next(n for n, item in enumerate(items) if isinstance(item, Entry) and _has(item, "Fence"))
    told = tell([replace(head, part=2), *items[cut + 1 :]])
    assert told.remarks == ("unknown: what happened on mclaws earlier; the journal begins after it",)
    (story,) = [judge(e) for e in told.episodes if e.has("takeover")]
    assert story.away_ms is None, "since when pete was silent is not in it"
    assert "the journal begins in the middle of this life of failoverd" in story.episode.unknown
    assert not any("waited" in sentence for sentence in story.why)


def test_behind_a_snapshot_it_knows_who_ran_and_when_the_last_beat_came() -> None:
    items = played(TAKEOVER)["mclaws"]
    head = items[0]
    assert isinstance(head, Head)
    silent = next(n for n, i in enumerate(items) if isinstance(i, Entry) and "is silent for" in str(i.actions))
    core = journal.make_core(head.life)
    assert isinstance(core, Core)
    for item in items[1:silent]:
        assert isinstance(item, Entry)
        core.handle(item.now_ms, item.event)
    told = tell([replace(head, part=2, core=export_core(core)), *items[silent:]])
    whole = judge(tell(items).episodes[-1])
    story = judge(told.episodes[-1])
    assert (story.title, story.why, story.outcome, story.away_ms) == (
        whole.title, whole.why, whole.outcome, whole.away_ms,
    )  # fmt: skip
    assert story.episode.phases == whole.episode.phases and story.episode.unknown == []


def test_a_journal_of_another_format_is_not_guessed_at(tmp_path: Path) -> None:
    directory = written(played(TAKEOVER)["mclaws"], tmp_path)
    path = tmp_path / journal.CURRENT
    path.write_text(path.read_text().replace('{"journal":1,', '{"journal":2,'))
    told = told_of(directory)
    assert told.damaged and told.episodes == () and told.lives == 0
    assert "written by another version of failover-kit" in told.remarks[0]
    assert any("without the head" in remark for remark in told.remarks)


def test_an_older_journal_without_the_newer_facts_is_told(tmp_path: Path) -> None:
    """Journals from before calls, read_ended_ms and earlier: the same story, less detail."""
    directory = written(played(TAKEOVER)["mclaws"], tmp_path)
    path = tmp_path / journal.CURRENT
    text = path.read_text()
    for newer in (',"calls":[]', ',"read_ended_ms":0', ',"earlier":[]'):
        assert newer in text
        text = text.replace(newer, "")
    path.write_text(text)
    assert everything(told_of(directory)) == everything(tell(played(TAKEOVER)["mclaws"]))


def test_a_life_that_ended_without_a_word_is_an_episode_of_its_own() -> None:
    items = played("both-links-lost")["mclaws"]
    story = [judge(e) for e in tell(items).episodes][1]
    assert story.topic is Topic.SILENCE and "no end here: mclaws lost its power" in story.outcome[-1]
    resets = [judge(e) for e in tell(played("boots-alone")["mclaws"]).episodes]
    reset = next(s for s in resets if s.topic is Topic.RESET)
    assert "25.1 s later, by a new boot" in reset.why[0]


# --- days later -------------------------------------------------------------------------------------------


def test_a_takeover_is_told_alike_after_its_part_became_the_past(tmp_path: Path) -> None:
    """Weeks of beats later, the files of then are gone; the digest of them tells the same."""
    items = played(TAKEOVER)["mclaws"]
    before = [judge(e) for e in tell(items).episodes]
    directory = written(items, tmp_path, file_bytes=6_000, snapshots=True)
    assert (tmp_path / journalpast.PAST).exists() and not (tmp_path / journalpast.LEAVING).exists()
    after = [judge(e) for e in told_of(directory).episodes]
    assert [(s.title, s.why, s.proof, s.outcome, s.away_ms) for s in after] == [
        (s.title, s.why, s.proof, s.outcome, s.away_ms) for s in before
    ]
    assert [p for s in after for p in s.episode.phases] == [p for s in before for p in s.episode.phases]


def test_quiet_days_leave_next_to_nothing(tmp_path: Path) -> None:
    text = "# Quiet.\n> both nodes run and every group is at home\n> run for 900 s\n"
    items = played_text(text)["pete"]
    whole = (tmp_path / "whole").resolve()
    whole.mkdir()
    written(items, whole)
    size = (whole / journal.CURRENT).stat().st_size
    kept = b"".join(journalpast.condensed((whole / journal.CURRENT).read_bytes().splitlines(keepends=True)))
    assert size > 20 * len(kept), f"{len(kept)} of {size} bytes"


def test_the_past_is_bounded_and_a_crash_on_the_way_loses_nothing(tmp_path: Path) -> None:
    directory = written(played("stuck-switch")["mclaws"], tmp_path)
    current = (tmp_path / journal.CURRENT).read_bytes()
    for _ in range(12):
        (tmp_path / journalpast.LEAVING).write_bytes(current)
        journalpast.absorb(directory, 60_000)
    sizes = [(tmp_path / name).stat().st_size for name in (journalpast.PAST, journalpast.PAST_OLD)]
    assert all(size <= 30_001 for size in sizes)
    (tmp_path / journalpast.LEAVING).write_bytes(current)
    assert str(tmp_path / journalpast.LEAVING) in journal.files_with_past(directory), "told from where it lies"


def test_longest_time_between_beats_is_not_taken_from_a_digest(tmp_path: Path) -> None:
    items = played(TAKEOVER)["mclaws"]
    assert 0 < tell(items).longest_gap_ms <= 400
    directory = written(items, tmp_path, file_bytes=6_000)
    assert told_of(directory).longest_gap_ms <= 400


def test_a_takeover_refused_for_days_is_one_episode_of_few_lines() -> None:
    at_home = "# Stuck.\n> both nodes run and every group is at home\n"
    text = at_home + "> switch is stuck\n> power cut pete\n> run for 2700 s\n"
    told = tell(played_text(text)["mclaws"])
    story = judge(told.episodes[-1])
    assert story.topic is Topic.FENCE_FAILED and len(story.episode.shots) > 400
    text = render(told, [story], width=80, paint=lambda word, level: word, timeline=False)
    assert text.count("\n") < 60
    assert "no end here: the journal ends here; pete was silent and its fencing was being repeated" in text.replace(
        "\n           ", " "
    )
    assert Level.ALARM in {moment.level for moment in story.episode.moments}
