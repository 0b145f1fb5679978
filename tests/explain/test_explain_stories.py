"""What is told of journals that the real core made: reviewed texts, word for word, and the facts behind them.

After a change that was meant: ``python tests/explain/test_explain_stories.py --rewrite``. Only commit a changed
text when you understand what changed it.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

if not __package__ and __name__ == "__main__":
    _TOP = pathlib.Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_TOP / "lib"), str(_TOP / "tests")]

import pytest

from explain.story_journals import played
from failover_kit.explain.facts import Step, Topic
from failover_kit.explain.judge import Story, judge
from failover_kit.explain.text import render
from failover_kit.explain.tracker import tell
from failover_kit.manager.events import Started, StartFailed, StopFailed, Stopped
from failover_kit.manager.journal import Entry
from scenarios import stage

ANSWERS = (Started, StartFailed, Stopped, StopFailed)
HERE = pathlib.Path(__file__).resolve().parent
REVIEWED = {
    "power-cut-active": "mclaws",
    "both-links-lost": "pete",
    "stuck-switch": "mclaws",
    "failed-stop": "pete",
    "failed-start": "pete",
    "standby-and-back": "pete",
    "first-start-alone": "mclaws",
    "boots-alone": "mclaws",
    "prove-ok": "pete",
    "prove-refused-active": "mclaws",
    "heard-after-off": "pete",
    "two-rights": "pete",
    "daemon-killed-in-a-start": "pete",
    "links-lost-one-at-a-time": "mclaws",
    "full-disk": "pete",
    "maintenance": "pete",
    "ping-isolated-and-power-cut": "mclaws",
    "ping-failover": "pete",
}
"""Stories whose text is kept, and the node that tells it."""

TOPICS = {
    "power-cut-active": {"mclaws": [Topic.MOVED, Topic.TAKEOVER], "pete": [Topic.GIVEN]},
    "failed-stop": {"mclaws": [Topic.MOVED, Topic.TAKEOVER], "pete": [Topic.GIVEN, Topic.STOP_FAILED]},
    "failed-monitor": {"pete": [Topic.GIVEN, Topic.MONITOR_FAILED]},
    "no-fence-device": {"mclaws": [Topic.MOVED, Topic.SILENCE, Topic.TAKEOVER]},
    "fence-by-the-operator": {"mclaws": [Topic.MOVED, Topic.TAKEOVER]},
    "prove-ok": {"pete": [Topic.GIVEN, Topic.DRILL]},
    "maintenance": {"pete": [Topic.GIVEN, Topic.MAINTENANCE, Topic.MAINTENANCE]},
    "clean-shutdown": {"mclaws": [Topic.MOVED, Topic.GIVEN]},
}


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def stories_of(name: str, node: str) -> list[Story]:
    return [judge(episode) for episode in tell(played(name)[node]).episodes]


def told(name: str) -> str:
    node = REVIEWED[name]
    journal = tell(played(name)[node])
    stories = [judge(episode) for episode in journal.episodes]
    return render(journal, stories, width=80, paint=lambda word, level: word, timeline=True)


@pytest.mark.parametrize("name", REVIEWED)
def test_a_story_is_told_as_reviewed(name: str) -> None:
    assert told(name) == (HERE / f"{name}.txt").read_text(), "--rewrite, if you understand what changed"


@pytest.mark.parametrize("name", TOPICS)
def test_each_node_tells_what_it_was_about(name: str) -> None:
    for node, topics in TOPICS[name].items():
        assert [story.topic for story in stories_of(name, node)][: len(topics)] == topics, node


def test_the_phases_of_a_takeover_are_those_of_the_stage() -> None:
    (story,) = [s for s in stories_of("power-cut-active", "mclaws") if s.topic is Topic.TAKEOVER]
    took = {phase.step: phase.took_ms for phase in story.episode.phases}
    config = story.episode.life.config
    assert took[Step.DELAY] == 2 * config.fence_delay_ms
    assert config.deadtime_ms <= (took[Step.SILENCE] or 0) <= config.deadtime_ms + config.keepalive_ms
    assert (took[Step.OFF], took[Step.READ_BACK], took[Step.START]) == (700, 300, 400)
    (shot,) = story.episode.shots
    assert shot.proved and [reading.plug for reading in shot.plugs] == ["pete"]


def test_a_drill_that_cut_nothing_is_not_told_as_one_that_did() -> None:
    titles = [s.title for s in stories_of("prove-a-stuck-switch", "pete") if s.topic is Topic.DRILL]
    assert titles == [
        "a proof drill failed: pete could not cut mclaws", "a proof drill passed: pete cut mclaws on purpose",
    ]  # fmt: skip


def test_a_shot_that_proved_nothing_is_never_called_a_proof() -> None:
    for path in stage.stories():
        for node, items in played(path.stem).items():
            for episode in tell(items).episodes:
                story = judge(episode)
                proofs = [sentence for sentence in story.proof if "proved: each off" in sentence]
                assert len(proofs) <= sum(shot.proved for shot in episode.shots), f"{path.stem} on {node}"
                if not any(shot.proved for shot in episode.shots):
                    assert not episode.has("fenced"), f"{path.stem} on {node}"


def test_every_story_can_be_told_and_no_phase_ends_before_it_begins() -> None:
    for path in stage.stories():
        for node, items in played(path.stem).items():
            for episode in tell(items).episodes:
                assert judge(episode).title
                assert all(phase.took_ms is None or phase.took_ms >= 0 for phase in episode.phases), path.stem
                assert episode.end_ms >= episode.begin_ms, f"{path.stem} on {node}"


def test_each_start_and_stop_of_the_core_is_in_an_episode() -> None:
    """Nothing that was done to a group is left out: every answered Start and Stop is a phase of some episode."""
    for path in stage.stories():
        for node, items in played(path.stem).items():
            answers = [i for i in items if isinstance(i, Entry) and isinstance(i.event, ANSWERS)]
            phases = [p for e in tell(items).episodes for p in e.phases if p.step in (Step.START, Step.STOP)]
            ended = [phase for phase in phases if phase.end_ms is not None]
            assert len(ended) == len(answers), f"{path.stem} on {node}"


def main(arguments: list[str]) -> int:
    """Write the reviewed texts anew."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    if arguments != ["--rewrite"]:
        print(__doc__)
        return 2
    for name in REVIEWED:
        (HERE / f"{name}.txt").write_text(told(name))
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
