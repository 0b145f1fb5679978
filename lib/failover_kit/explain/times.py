"""Times as people say them."""

from __future__ import annotations

import time

from failover_kit.explain.facts import Episode


def wall_of(episode: Episode, at_ms: int) -> int:
    """A moment of the boot clock since 1970, by the offset at the beginning of its episode; 0 = not known."""
    return at_ms - episode.begin_ms + episode.begin_wall_ms if episode.begin_wall_ms else 0


def clock(episode: Episode, at_ms: int) -> str:
    """``05:12:04.9``, local time; or the node's uptime when the journal does not have the date."""
    wall_ms = wall_of(episode, at_ms)
    if not wall_ms:
        return f"{at_ms / 1000:.1f} s of uptime"
    tenths = wall_ms // 100
    return time.strftime("%H:%M:%S", time.localtime(tenths // 10)) + f".{tenths % 10}"


def day(wall_ms: int) -> str:
    """``2026-11-26 05:12:04``, local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(wall_ms / 1000)) if wall_ms else "date unknown"


def span(ms: int) -> str:
    """A length of time: ``4 ms``, ``0.41 s``, ``16.2 s``, ``12 min 5 s``."""
    if ms < 100:
        return f"{ms} ms"
    if ms < 1_000:
        return f"{ms / 1000:.2f} s"
    if ms < 120_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
