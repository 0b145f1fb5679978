"""From the facts of an episode to sentences: what it was, why, who decided, how long, and what could be done.

Sentences of the core are quoted, not retold: what an operator finds in the log stands here word for word.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover_kit.explain.advise import advice_for
from failover_kit.explain.facts import Episode, Phase, Step, Topic, order_words
from failover_kit.explain.proof import proof_of
from failover_kit.explain.times import clock, span
from failover_kit.explain.titles import stopped_here, title_of, topic_of
from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode

REASONS = (
    "adopted", "begin-maintenance", "boot-ended", "config-differs", "confirm-void", "confirmed-dead", "conflict-",
    "end-maintenance", "fence-failed", "fence-me", "fence-me-refused", "half-running", "heard-after-off", "leaving",
    "leaving-undone", "life-ended", "maintenance-", "monitor-failed", "move", "move-dropped", "never-heard",
    "no-shot", "parked", "paused", "peer-left", "peer-silent", "persist-failed", "plugs", "power-on-failed",
    "probe-", "right-dropped", "shot-aborted", "start-failed", "start-refused", "stop-failed-",
)  # fmt: skip
"""Notes that say why something happened or did not."""

@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """An episode in words. ``away_ms``: how long a group may have been without a node, None when not known."""

    episode: Episode
    topic: Topic
    title: str
    why: tuple[str, ...]
    decided: tuple[str, ...]
    proof: tuple[str, ...]
    outcome: tuple[str, ...]
    todo: tuple[str, ...]
    away_ms: int | None
    total_ms: int


def judge(episode: Episode) -> Story:
    """The whole of it."""
    topic = topic_of(episode)
    away_ms = away(episode, topic)
    return Story(
        episode=episode,
        topic=topic,
        title=title_of(episode, topic),
        why=tuple(_why(episode)),
        decided=tuple(_decided(episode, topic)),
        proof=tuple(proof_of(episode)),
        outcome=tuple(_outcome(episode, topic, away_ms)),
        todo=advice_for(episode, topic),
        away_ms=away_ms,
        total_ms=episode.end_ms - episode.begin_ms,
    )


# --- why ------------------------------------------------------------------------------------------------


def _why(episode: Episode) -> list[str]:
    found: list[str] = []
    for note in episode.notes:
        if not any(note.code == code or (code.endswith("-") and note.code.startswith(code)) for code in REASONS):
            continue
        text = note.text
        if note.code == "peer-silent":
            found += [f"{text}; {_last_heard(episode)}", *_links(episode)]
            continue
        found.append(text)
    refused = [f"{verb} was refused: {r.text}" for verb, r in episode.replies if r.code is ExitCode.REFUSED]
    return list(dict.fromkeys([*found, *_delay(episode), *refused]))


def _last_heard(episode: Episode) -> str:
    if episode.last_beat_ms is None:
        return "unknown: when its last beat came; the journal begins after it"
    return f"its last beat that heard {episode.life.config.node} came at {clock(episode, episode.last_beat_ms)}"


def _links(episode: Episode) -> list[str]:
    if not episode.links_before:
        return []
    names = " and ".join(episode.links_before)
    return [f"{names} had been silent for longer: when the last link failed, too, no other was left"]


def _delay(episode: Episode) -> list[str]:
    """Rule 10 with its numbers: why the shot came when it came."""
    phase = next((p for p in episode.phases if p.step is Step.DELAY and p.took_ms is not None), None)
    if phase is None:
        return []
    config = episode.life.config
    mine, theirs = " and ".join(episode.ran_here), " and ".join(episode.ran_there)
    cut_off = episode.has("cut-off")
    waited = law.shoot_delay_ms(config, mine_active=bool(mine), peer_active=bool(theirs), cut_off=cut_off)
    if cut_off:
        fact = f"{config.node} reached no ping node and may have been cut off itself"
        return [f"{fact}, so it waited {span(waited)} for {config.peer} to shoot first (rule 10, ping nodes)"]
    if not waited:
        return [f"{config.node} ran {mine}, so it shot at once (rule 10)"]
    turns = "twice fence_delay" if waited > config.fence_delay_ms else "fence_delay"
    if mine:
        who = f"both nodes ran a group and {config.peer} is home of the first, so {config.peer} was to shoot first"
    elif theirs:
        who = f"{config.peer} ran {theirs} by its last beat: alive, it would have shot first"
    else:
        who = f"{config.node} ran nothing, so a peer that runs something would have shot first"
    return [f"{who}; {config.node} waited {span(waited)} ({turns}, rule 10)"]


# --- who ------------------------------------------------------------------------------------------------


def _decided(episode: Episode, topic: Topic) -> list[str]:
    node, peer = episode.life.config.node, episode.life.config.peer
    found = []
    for order in episode.orders:
        who = f"the watcher {order.terms.asker}" if order.terms is not None else f"an operator on {node}"
        by = order.by or "as root: the log has uid and pid"
        found.append(f"{who}, by failoverctl {order_words(order)} ({by})")
    move = episode.first("move")
    if move is not None and "asked for it" in move.text:
        found.append(f"an operator on {peer}: the request for a takeover came in its beats")
    if move is not None and "auto_failback" in move.text:
        found.append(f"failoverd of {node}: {peer} is its home, and auto_failback is on")
    if move is not None and "ping_failover" in move.text:
        found.append(f"failoverd of {node}: {peer} reached more ping nodes, and ping_failover is on")
    if topic is Topic.TAKEOVER and not episode.has("confirmed-dead") and not episode.orders:
        found.append(f"failoverd of {node} by itself: a peer that was read OFF has no right any more (rule 2b)")
    if topic in (Topic.FENCE, Topic.FENCE_FAILED) and not episode.orders:
        asked = "a silent peer is fenced (rule 5)"
        if episode.has("fence-me"):
            asked = f"{peer} asked for it (rules 14, 17)"
        found.append(f"failoverd of {node} by itself: {asked}")
    if episode.has("accepted") and not found:
        found.append(f"failoverd of {peer}, which granted it; its journal says why")
    if topic is Topic.MOVED and not found:
        why = "it failed here, so the other node tries it once (rule 18)"
        if not stopped_here(episode):
            why = f"neither node had a right, and {peer} is its home or {node} was not ready (rule 2d)"
        found.append(f"failoverd of {node} by itself: {why}")
    if topic is Topic.RESET and episode.has("boot-ended"):
        found.append(f"unknown here: the journal of {peer} tells whether {node} was fenced")
    elif topic is Topic.RESET:
        found.append(f"unknown here: the system log of {node} may tell what ended failoverd")
    if not found and topic in (Topic.STOP_FAILED, Topic.START_FAILED, Topic.MONITOR_FAILED, Topic.SILENCE):
        found.append(f"failoverd of {node} by itself")
    return found


# --- how it ended ---------------------------------------------------------------------------------------


def away(episode: Episode, topic: Topic) -> int | None:
    """How long a group had no node, in ms: from the last that is known to have run it to the end of its start."""
    starts = [p for p in episode.phases if p.step in (Step.START, Step.START_THERE) and p.good and not p.inside]
    ends = [p.end_ms for p in starts if p.end_ms is not None]
    stops = [p.begin_ms for p in episode.phases if p.step is Step.STOP and not p.inside and p.begin_ms is not None]
    if not ends:
        return None
    if topic is Topic.TAKEOVER and episode.last_beat_ms is not None and not episode.has("fence-me"):
        return max(ends) - episode.last_beat_ms
    return max(ends) - min(stops) if stops and min(stops) < max(ends) else None


def _outcome(episode: Episode, topic: Topic, away_ms: int | None) -> list[str]:
    node, peer = episode.life.config.node, episode.life.config.peer
    if episode.has("boot-ended"):
        ran = " and ".join(episode.runs_here)
        until = f"{ran} ran on {node} until then" if ran else f"no group ran on {node} then"
        return [f"{until}; what followed is in the journal of {peer}"]
    found = []
    if episode.runs_here:
        found.append(f"{' and '.join(episode.runs_here)} ran on {node} at the end of it")
    if episode.runs_there:
        found.append(f"{' and '.join(episode.runs_there)} ran on {peer} at the end of it, by its beats")
    if episode.doubt_here:
        found.append(f"{' and '.join(episode.doubt_here)} was not verified stopped on {node}, and stayed its own")
    if not (episode.runs_here or episode.runs_there or episode.doubt_here):
        found.append(f"no group ran on {node} at the end of it, and none is known to have run on {peer}")
    if away_ms is not None:
        since = f"from the last beat of {peer}" if topic is Topic.TAKEOVER else "from the order to stop"
        found.append(f"without a node for at most {span(away_ms)}: {since} to the end of the start")
    elif topic is Topic.TAKEOVER and episode.has("started"):
        found.append(f"unknown here: since when it was not served; the journal of {peer} may have it")
    if episode.back_ms is not None:
        same = episode.back_boot == episode.gone_boot
        boot = "the same boot: it had not been reset" if same else "a new boot"
        found.append(f"{peer} was heard again at {clock(episode, episode.back_ms)}, by {boot}")
    elif episode.has("peer-silent", "fenced", "never-heard"):
        found.append(f"{peer} was not heard again in this journal")
    found += [f"{verb} was answered: {r.text}" for verb, r in episode.replies if r.code is ExitCode.DONE]
    good = (ExitCode.DONE, ExitCode.REFUSED)
    found += [f"{verb} failed: {reply.text}" for verb, reply in episode.replies if reply.code not in good]
    if episode.ended:
        found.append(f"it has no end here: {episode.ended}")
    return found


def main_phases(episode: Episode) -> list[Phase]:
    """Phases in order of time."""

    def place(phase: Phase) -> tuple[int, bool]:
        begin_ms = phase.begin_ms if phase.begin_ms is not None else phase.end_ms or 0
        return begin_ms, bool(phase.inside)

    return sorted(episode.phases, key=place)
