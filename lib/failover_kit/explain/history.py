"""How long each phase took, over all episodes of a journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from failover_kit.explain.facts import Step, Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the journal has of one phase."""

    count: int
    median_ms: int
    worst_ms: int


class History:
    """Durations in a journal, by phase. Waits count only from takeovers under the times of ``timing``."""

    def __init__(self, told: Told | None, timing: tuple[int, int] = (0, 0)) -> None:
        """``timing`` is deadtime and fence_delay in ms."""
        self._found: dict[tuple[Step, str], list[int]] = {}
        for episode in told.episodes if told is not None else ():
            then = episode.life.config
            same = timing == (then.deadtime_ms, then.fence_delay_ms) and episode.has("takeover")
            for phase in episode.phases:
                if phase.took_ms is None or not phase.good:
                    continue
                if phase.step in (Step.SILENCE, Step.DELAY) and not (same and episode.has("peer-silent")):
                    continue
                for subject in {phase.subject, ""}:
                    if not (phase.inside and not subject):
                        self._found.setdefault((phase.step, subject), []).append(phase.took_ms)

    def of(self, step: Step, subject: str = "") -> Measured | None:
        """One phase, of one group or resource or of all."""
        return _measured(self._found.get((step, subject), []))

    def together(self, steps: Sequence[Step]) -> Measured | None:
        """Phases that follow each other each time, as one; None where their counts differ."""
        columns = [self._found.get((step, ""), []) for step in steps]
        if len({len(column) for column in columns}) != 1:
            return None
        return _measured([sum(row) for row in zip(*columns, strict=True)])


def _measured(times: Iterable[int]) -> Measured | None:
    found = list(times)
    if not found:
        return None
    return Measured(count=len(found), median_ms=round(median(found)), worst_ms=max(found))
