"""What an episode was, in one clause."""

from __future__ import annotations

from collections.abc import Callable

from failover_kit.explain.facts import Episode, Step, Topic
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.events import Verb

_TOPICS: tuple[tuple[Topic, Callable[[Episode], bool]], ...] = (
    (Topic.CONFLICT, lambda e: e.has("conflict-", "heard-after-off")),
    (Topic.TAKEOVER, lambda e: e.has("takeover")),
    (Topic.DRILL, lambda e: e.ordered(Verb.PROVE) and (e.has("fencing") or not e.refused())),
    (Topic.FENCE, lambda e: e.has("fenced")),
    (Topic.FENCE_FAILED, lambda e: e.has("fencing", "fence-failed")),
    (Topic.STOP_FAILED, lambda e: e.has("stop-failed-")),
    (Topic.START_FAILED, lambda e: e.has("start-failed")),
    (Topic.MONITOR_FAILED, lambda e: e.has("monitor-failed")),
    (Topic.MAINTENANCE, lambda e: e.has("begin-maintenance", "end-maintenance", "maintenance-")),
    (Topic.MOVED, lambda e: e.has("granted") and not e.has("leaving")),
    (Topic.GIVEN, lambda e: e.has("accepted")),
    (Topic.LEFT, lambda e: e.has("leaving")),
    (Topic.RESET, lambda e: e.has("boot-ended", "life-ended")),
    (Topic.SILENCE, lambda e: e.has("peer-silent", "never-heard", "peer-left")),
    (Topic.REFUSED, lambda e: e.refused()),
    (Topic.STARTED, lambda e: e.has("started", "adopted", "stopped")),
)


def topic_of(episode: Episode) -> Topic:
    """What it is about: the weightiest thing in it."""
    return next((topic for topic, holds in _TOPICS if holds(episode)), Topic.TROUBLE)


def groups_of(episode: Episode, *codes: str) -> str:
    """The groups that notes of these codes speak of."""
    texts = [note.text for note in episode.notes if any(note.code.startswith(code) for code in codes)]
    names = [g.name for g in episode.life.config.groups if any(t.startswith(f"group {g.name}:") for t in texts)]
    return " and ".join(names) or "nothing"


def title_of(episode: Episode, topic: Topic) -> str:
    """One clause that an operator would say."""
    node, peer = episode.life.config.node, episode.life.config.peer
    if topic is Topic.TAKEOVER:
        how = "was declared dead by the operator" if episode.has("confirmed-dead") else "was fenced"
        fate = "" if episode.has("started") else ", and did not start it" if not episode.ended else ""
        return f"{node} took {groups_of(episode, 'takeover')} over from {peer}, which {how}{fate}"
    if topic is Topic.FENCE:
        kept = f", and kept {' and '.join(episode.runs_here)}" if episode.runs_here else ""
        return f"{node} fenced {peer}{kept}"
    if topic is Topic.CONFLICT and not episode.has("conflict-"):
        return f"{peer} was heard although its plugs read OFF"
    if topic is Topic.TROUBLE and episode.has("probe-"):
        return f"{groups_of(episode, 'probe-')} was not stopped on {node}, which had no right to it"
    if topic is Topic.RESET:
        ran = f", while it ran {' and '.join(episode.ran_here)}" if episode.ran_here else ""
        what = "lost its power, was reset or rebooted" if episode.has("boot-ended") else "lost its failoverd"
        return f"{node} {what}{ran}"
    group = {
        Topic.STOP_FAILED: groups_of(episode, "stop-failed-"),
        Topic.START_FAILED: groups_of(episode, "start-failed"),
        Topic.MONITOR_FAILED: groups_of(episode, "monitor-failed"),
        Topic.MOVED: groups_of(episode, "granted"),
        Topic.GIVEN: groups_of(episode, "accepted"),
        Topic.STARTED: groups_of(episode, "started", "adopted", "stopped"),
        Topic.CONFLICT: groups_of(episode, "conflict-"),
    }.get(topic, "")
    verb = next((verb for verb, reply in episode.replies if reply.code is ExitCode.REFUSED), "an order")
    silent = "left in good order" if episode.has("peer-left") else "fell silent"
    silent = "was never heard" if episode.has("never-heard") else silent
    return {
        Topic.CONFLICT: f"both nodes had a right to {group}",
        Topic.DRILL: _drill(episode),
        Topic.FENCE_FAILED: f"{peer} was not fenced, and nothing was taken from it",
        Topic.STOP_FAILED: f"{group} could not be stopped on {node}",
        Topic.START_FAILED: f"{group} could not be started on {node}",
        Topic.MONITOR_FAILED: f"{group} failed on {node} while it ran",
        Topic.MAINTENANCE: _maintenance(episode),
        Topic.MOVED: f"{group} went from {node} to {peer}" if stopped_here(episode) else (
            f"{node} gave {peer} the right to {group}, which nobody ran"
        ),
        Topic.GIVEN: f"{node} was given {group} by {peer}",
        Topic.LEFT: f"{node} was told to leave",
        Topic.SILENCE: f"{peer} {silent}; nothing was taken from it",
        Topic.REFUSED: f"{verb} was refused on {node}",
        Topic.STARTED: f"{group} was {_what_was_done(episode)} on {node}",
        Topic.TROUBLE: f"{episode.replies[0][0]} on {node}" if episode.replies else episode.moments[0].text,
    }[topic]


def _maintenance(episode: Episode) -> str:
    began, ended = episode.has("begin-maintenance"), episode.has("end-maintenance")
    if began and ended:
        return "maintenance began and ended"
    if began or ended:
        return "maintenance began" if began else "maintenance ended"
    return f"{groups_of(episode, 'maintenance-')} did not run in maintenance"


def _drill(episode: Episode) -> str:
    node, peer = episode.life.config.node, episode.life.config.peer
    if not episode.has("fencing"):
        return f"a proof drill of {peer} was not begun"
    if not episode.has("fenced"):
        return f"a proof drill failed: {node} could not cut {peer}"
    passed = any(reply.code is ExitCode.DONE for _, reply in episode.replies)
    end = "passed" if passed else "failed" if episode.replies else "has no end"
    return f"a proof drill {end}: {node} cut {peer} on purpose"


def _what_was_done(episode: Episode) -> str:
    if episode.has("adopted"):
        return "found running, and adopted,"
    if episode.has("half-running"):
        return "found half running, stopped and started"
    done = [word for word in ("stopped", "started") if episode.has(word)]
    return " and ".join(done)


def stopped_here(episode: Episode) -> bool:
    """Whether a group was stopped on this node in it."""
    return any(phase.step is Step.STOP for phase in episode.phases)
