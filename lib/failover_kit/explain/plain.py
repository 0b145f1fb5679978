"""Stories as plain values for ``--json``. Times are milliseconds; ``wall_ms`` counts from 1970, 0 = not known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from failover_kit.explain.facts import Episode, Phase, Told
from failover_kit.explain.judge import Story, main_phases
from failover_kit.explain.text import stories_numbered
from failover_kit.explain.times import wall_of
from failover_kit.manager.codec import to_plain


def to_json(told: Told, stories: Sequence[Story]) -> dict[str, Any]:
    """What ``json.dumps`` takes; names of fields stay, new ones may come."""
    return {
        "node": told.node,
        "peer": told.peer,
        "from_wall_ms": told.from_wall_ms,
        "to_wall_ms": told.to_wall_ms,
        "lives": told.lives,
        "episodes_in_journal": len(told.episodes),
        "remarks": list(told.remarks),
        "damaged": told.damaged,
        "episodes": [_story(number, story) for number, story in stories_numbered(told, stories)],
    }


def _story(number: int, story: Story) -> dict[str, Any]:
    episode = story.episode
    return {
        "number": number,
        "topic": story.topic.value,
        "title": story.title,
        "wall_ms": episode.begin_wall_ms,
        "began_ms": episode.begin_ms,
        "ended_ms": episode.end_ms,
        "away_ms": story.away_ms,
        "unfinished": episode.ended,
        "why": list(story.why),
        "decided": list(story.decided),
        "proof": list(story.proof),
        "outcome": list(story.outcome),
        "unknown": list(episode.unknown),
        "do": list(story.todo),
        "runs_here": list(episode.runs_here),
        "runs_on_peer": list(episode.runs_there),
        "phases": [_phase(episode, phase) for phase in main_phases(episode)],
        "shots": [to_plain(shot) for shot in episode.shots],
        "moments": [to_plain(moment) for moment in episode.moments],
    }


def _phase(episode: Episode, phase: Phase) -> dict[str, Any]:
    return {
        "step": phase.step.value,
        "subject": phase.subject,
        "group": phase.inside,
        "began_ms": phase.begin_ms,
        "ended_ms": phase.end_ms,
        "took_ms": phase.took_ms,
        "began_wall_ms": wall_of(episode, phase.begin_ms) if phase.begin_ms is not None else 0,
        "good": phase.good,
    }
