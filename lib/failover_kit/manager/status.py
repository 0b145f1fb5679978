"""What status knows, in one frozen object, and its two printers' common part: health and exit code.

The core's view says what was decided and why; the daemon adds what only it sees: calls in flight with their
deadlines, the errors of links and files, the last sentences. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from failover_kit.manager.actions import Level
from failover_kit.manager.records import ClusterView, ProofView

RECENT_LIMIT = 40
"""Sentences kept for status; the journal has them all."""


class Health(Enum):
    """The cluster's state in one word, as seen from one node."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    NO_SERVICE = "no-service"


EXIT_CODES = {Health.HEALTHY: 0, Health.DEGRADED: 1, Health.NO_SERVICE: 2}
"""Exit codes of ``failoverctl status``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call that runs now, with the end of its time. Times as in ``ClusterView.now_ms``."""

    what: str  # "stop of Filesystem:/dev/etherd/e0.0, group web"
    began_ms: int
    deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A sentence and when it was said: milliseconds since 1970, for display only."""

    wall_ms: int
    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkHealth:
    """This side of a link."""

    name: str
    error: str  # one sentence; "" = none
    refused: int  # frames that were not used since the start
    foreign: int = 0  # frames of other clusters on a shared segment
    unsent: int = 0  # beats that the kernel did not take since the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything ``failoverctl status`` shows; ``--json`` prints exactly this."""

    version: str
    wall_ms: int
    view: ClusterView
    operations: tuple[Operation, ...] = ()
    links: tuple[LinkHealth, ...] = ()
    problems: tuple[str, ...] = ()  # sentences about what else is wrong on this node
    recent: tuple[Said, ...] = ()
    remarks: tuple[str, ...] = ()  # what is so by the configuration and should not be forgotten
    proof_age_ms: int | None = None  # since the last proof drill ended; None: there was none


def proof_age_ms(proof: ProofView, wall_ms: int) -> int | None:
    """How long ago the last drill ended, by the wall clock; 0 when that was set back meanwhile."""
    return max(0, wall_ms - proof.wall_ms) if proof.wall_ms else None


class Recent:
    """The last sentences, oldest first."""

    def __init__(self, limit: int = RECENT_LIMIT) -> None:
        self._limit = limit
        self._said: list[Said] = []

    def add(self, wall_ms: int, level: Level, text: str) -> None:
        self._said = [*self._said[-self._limit + 1 :], Said(wall_ms=wall_ms, level=level, text=text)]

    def last(self) -> tuple[Said, ...]:
        return tuple(self._said)


def assess(status: Status) -> tuple[Health, str, Sequence[str]]:
    """Health, the reason in a sentence, and what to do: the core's, or else what the daemon alone sees."""
    view = status.view
    health = Health(view.health)
    broken = [f"link {link.name}: {link.error}" for link in status.links if link.error]
    broken += status.problems
    if health is Health.HEALTHY and broken:
        return Health.DEGRADED, broken[0], view.todo
    return health, view.reason, view.todo
