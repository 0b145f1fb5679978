"""How a fence was proved, or why it was not: which plug was switched when, and what was read when (rule 8)."""

from __future__ import annotations

from failover_kit.explain.facts import Episode, ShotSeen
from failover_kit.explain.times import clock
from failover_kit.manager.records import PlugReading, PlugState

SHOTS_TOLD = 3
"""Shots told one by one; of more only the last."""


def proof_of(episode: Episode) -> list[str]:
    """One sentence for each thing that was seen; empty when nobody tried to cut the peer."""
    found: list[str] = []
    shots = [shot for shot in episode.shots if not shot.looked_only]
    for number, shot in enumerate(shots[:SHOTS_TOLD], 1):
        which = f"shot {number}: " if len(shots) > 1 else ""
        found += [which + text if at == 0 else text for at, text in enumerate(_shot(episode, shot))]
    if len(shots) > SHOTS_TOLD:
        last = shots[-1]
        found.append(f"shots in all: {len(shots)}; the last, answered at {clock(episode, last.answered_ms)}:")
        found += _shot(episode, last)
    looked = [shot for shot in episode.shots if shot.looked_only]
    if looked and not shots:
        found.append(f"its plugs were only read: {looked[-1].reason or 'not all were OFF'}")
    if episode.has("confirmed-dead"):
        found.append("no switch proved it: an operator's word stands for the proof (rule 2c)")
    return found


def _shot(episode: Episode, shot: ShotSeen) -> list[str]:
    found = [f"tried before: {reason}" for reason in shot.earlier]
    found += [_plug(episode, reading) for reading in shot.plugs]
    if shot.proved:
        trusted = any(reading.trusted for reading in shot.plugs)
        what = "all that can be read" if trusted else "all"
        found.append(f"proved: each off had ended with exit 0 before a reading began, and {what} read OFF (rule 8)")
    else:
        found.append(f"not proved: {shot.reason or 'no reason was recorded'}")
    return found


def _plug(episode: Episode, reading: PlugReading) -> str:
    name = f"{reading.device} plug {reading.plug}" if reading.plug else reading.device
    if reading.off_exit is None:
        return f"{name}: its off was not done, or was killed"
    began, ended = clock(episode, reading.off_began_ms), clock(episode, reading.off_ended_ms)
    off = f"off at {began}, exit {reading.off_exit} at {ended}"
    if reading.trusted:
        return f"{name}: {off}; believed unread (fence_trust)"
    if reading.state is PlugState.UNKNOWN:
        return f"{name}: {off}; what it read after is not known"
    until = f" to {clock(episode, reading.read_ended_ms)}" if reading.read_ended_ms else ""
    return f"{name}: {off}; read {reading.state.value.upper()} at {clock(episode, reading.read_began_ms)}{until}"


def plug_words(reading: PlugReading) -> str:
    """One plug in a shot: the exit code of its off, and what was read after it."""
    name = f"{reading.device} plug {reading.plug}" if reading.plug else reading.device
    if reading.off_exit is None and not reading.plug:
        return f"{name} reads {reading.state.value.upper()}; nothing was switched"
    off = "off was not done or was killed" if reading.off_exit is None else f"off, exit {reading.off_exit}"
    if reading.trusted:
        return f"{name}: {off}; believed unread (fence_trust)"
    said = "not read" if reading.state is PlugState.UNKNOWN else f"then read {reading.state.value.upper()}"
    return f"{name}: {off}; {said}"
