"""Stories for a terminal: what, why, who, the proof, the phases with their bars, the end, and what to do. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape

from failover_kit.explain.facts import Episode, Moment, Phase, Told
from failover_kit.explain.judge import Story, main_phases
from failover_kit.explain.times import clock, day, span
from failover_kit.manager.actions import Level

LABEL = 9
ALIKE = 3
"""Phases of one kind that are shown."""

BAR = 24
"""Letters of the longest bar."""

Paint = Callable[[str, Level], str]
"""Colours a word by its level; off a terminal it hands the word back."""


def render(told: Told, stories: Sequence[Story], *, width: int, paint: Paint, timeline: bool) -> str:
    """All of ``stories`` with a head, ending with a newline. ``width`` 0: lines are not wrapped."""
    parts = [_head(told, stories, width)]
    parts += [_story(number, story, width, paint, timeline) for number, story in stories_numbered(told, stories)]
    return "\n".join(parts)


def stories_numbered(told: Told, stories: Sequence[Story]) -> list[tuple[int, Story]]:
    """The last stories of a journal keep their numbers when earlier ones are left out."""
    return list(enumerate(stories, len(told.episodes) - len(stories) + 1))


def _head(told: Told, stories: Sequence[Story], width: int) -> str:
    lines = []
    if told.from_wall_ms:
        covers = f"{day(told.from_wall_ms)} to {day(told.to_wall_ms)}, as {told.node} saw it"
        lines.append(_labelled("journal", covers, width))
    count = len(told.episodes)
    shown = f", the last {len(stories)} of them here" if len(stories) < count else ""
    lives = "1 life" if told.lives == 1 else f"{told.lives} lives"
    things = "1 episode" if count == 1 else f"{count} episodes"
    lines.append(_labelled("", f"{things} in {lives} of failoverd{shown}", width))
    lines += [_labelled("", remark, width) for remark in told.remarks]
    return "".join(lines)


def _story(number: int, story: Story, width: int, paint: Paint, timeline: bool) -> str:
    episode = story.episode
    took = span(story.total_ms)
    lines = [f"{'#' + str(number):>{LABEL}}  {day(episode.begin_wall_ms)}  ({took})\n"]
    lines.append(_labelled("what", story.title, width))
    for label, sentences in (
        ("why", story.why),
        ("decided", story.decided),
        ("proof", story.proof),
    ):
        lines.append(_listed(label, sentences, width))
    lines.append(_took(episode, width))
    lines.append(_listed("end", story.outcome, width))
    lines.append(_listed("unknown", tuple(episode.unknown), width))
    lines.append(_listed("do", story.todo, width))
    if timeline:
        lines += [_moment(episode, moment, width, paint) for moment in in_order(episode.moments)]
    return "".join(lines)


def in_order(moments: Sequence[Moment]) -> list[Moment]:
    """By time; what happened at once stays in the order of the journal."""
    return sorted(moments, key=lambda moment: moment.at_ms)


def phase_words(phase: Phase) -> tuple[str, str]:
    """``start of cluster`` and how long it took, or why that is not known."""
    what = f"{phase.step.value} {phase.subject}"
    if phase.end_ms is None:
        return what, "no end"
    if phase.took_ms is None:
        return what, "unknown"
    return what, span(phase.took_ms) + ("" if phase.good else ", failed")


def _took(episode: Episode, width: int) -> str:
    phases, more = shortened(main_phases(episode))
    longest = max((phase.took_ms or 0 for phase in phases), default=0)
    words = [(("  " if phase.inside else "") + phase_words(phase)[0], phase_words(phase)[1]) for phase in phases]
    left = min(max((len(what) for what, _ in words), default=0), 40)
    right = max((len(took) for _, took in words), default=0)
    # Too narrow a terminal gets short bars rather than none: they compare, they do not measure.
    bar_room = min(BAR, max(6, width - LABEL - left - right - 6)) if width else BAR
    lines, label = [], "took"
    for phase, (what, took) in zip(phases, words, strict=True):
        share = (phase.took_ms or 0) / longest if longest else 0
        bar = ("-" if phase.inside else "=") * round(share * bar_room)
        lines.append(f"{label:>{LABEL}}  {clean(what)[:left]:<{left}}  {took:>{right}}  {bar}".rstrip() + "\n")
        label = ""
    return "".join(lines) + _listed("", more, width)


def shortened(phases: Sequence[Phase]) -> tuple[list[Phase], list[str]]:
    """The first few of each kind, and a sentence on those left out: a shot may be repeated for days."""
    kept: list[Phase] = []
    seen: Counter[tuple[str, str, str]] = Counter()
    for phase in phases:
        kind = (phase.step.value, phase.subject, phase.inside)
        seen[kind] += 1
        if seen[kind] <= ALIKE:
            kept.append(phase)
    return kept, [f"and {n - ALIKE} more: {step} {of}" for (step, of, _), n in seen.items() if n > ALIKE]


def _moment(episode: Episode, moment: Moment, width: int, paint: Paint) -> str:
    loud = "" if moment.level is Level.INFO else f"{moment.level.value.upper()}: "
    again = f" ({moment.count} times, the last at {clock(episode, moment.last_ms)})" if moment.count > 1 else ""
    when = clock(episode, moment.at_ms)
    text = _labelled(when, f"{moment.lane}: {loud}{moment.text}{again}", width, LABEL + 1)
    return text.replace(loud, paint(loud, moment.level), 1) if loud else text


# --- words ----------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """One printable line: an agent's message must not steer the terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def safe(text: str) -> str:
    """The same for a page."""
    return escape(clean(text))


def _listed(label: str, sentences: Sequence[str], width: int) -> str:
    lines = []
    for sentence in sentences:
        lines.append(_labelled(label, sentence, width))
        label = ""
    return "".join(lines)


def _labelled(label: str, text: str, width: int, room: int = LABEL) -> str:
    first, indent = f"{label:>{room}}  ", " " * (room + 2)
    if not width or width < len(indent) + 20:
        return first + clean(text) + "\n"
    lines = textwrap.wrap(
        clean(text), width, initial_indent=first, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(lines or [first.rstrip()]) + "\n"
