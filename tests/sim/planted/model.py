"""A planted bug: what it breaks, where it shows, whose words catch it; and the hunt for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest import mock

from sim.audits_base import Violation
from sim.faults import Faults, draw
from sim.run import run_world
from sim.world import TracedCore

DURATION_MS = 300_000
STORY = (("loss", 0.0), ("long_delay", 0.0), ("duplicate", 0.0), ("agent_fail", 0.0), ("unkillable", 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One mutation, and where it shows."""

    name: str
    rule: str  # rules and properties, comma-separated
    core_class: type[TracedCore] = TracedCore
    patches: tuple[tuple[object, str, object], ...] = ()
    kinds: tuple[str, ...] = ()
    changes: tuple[tuple[str, object], ...] = ()  # to the drawn options
    seeds: int = 60  # within so many it must be caught
    by: str = ""  # what its checker's sentence must contain: to be stopped by another check is not enough
    what: str = ""  # one line for the table, where the class has none of its own
    alone: bool = False  # the audits look at nothing but what runs (S1): its checker is that, or the exam
    outcome: bool = True  # the outcome alone must show it, too
    clean: int = 12  # so many of its seeds the real core must pass in `make test`
    story: Callable[[Faults, type[TracedCore]], None] | None = None  # the schedule of heartbeat.md §0.1

    @contextmanager
    def applied(self) -> Iterator[type[TracedCore]]:
        """The mutated core's class, while the mutation holds."""
        with ExitStack() as stack:
            for target, attribute, replacement in self.patches:
                stack.enter_context(mock.patch.object(target, attribute, replacement))
            yield self.core_class

    def faults(self, seed: int) -> Faults:
        """The options of one run of its profile."""
        faults = draw(seed, kinds=self.kinds, duration_ms=DURATION_MS)
        return replace(faults, can_fence=True, gap_ms=5_000, **dict(self.changes))  # type: ignore[arg-type]

    def sentence(self) -> str:
        """What is broken, in one line."""
        doc = self.what or self.core_class.__doc__
        if self.patches and not self.what:
            doc = next((new.__doc__ for _, _, new in self.patches if new.__doc__ and callable(new)), doc)
        return (doc or "").strip().splitlines()[0]


@dataclass(frozen=True, slots=True)
class Caught:
    """The seed that caught a bug, and the sentence; seed -1 when none did."""

    seed: int
    sentence: str


def hunt(planted: Planted, *, outcome_only: bool = False, limit: int | None = None) -> Caught:
    """Run the mutated core until its checker objects."""
    other = "not caught"
    with planted.applied() as core_class:
        for seed in range(limit or planted.seeds):
            try:
                run_world(
                    planted.faults(seed),
                    core_class=core_class,
                    outcome_only=outcome_only,
                    s1_only=planted.alone and not outcome_only,
                )
            except Violation as found:
                sentence = str(found).splitlines()[0]
                fits = "S1" in sentence or "usable right" in sentence if outcome_only else planted.by in sentence
            except Exception as error:
                sentence = f"{type(error).__name__}: {error}"
                fits = not outcome_only and planted.by in sentence  # the core's own checks count, too
            else:
                continue
            if fits:
                return Caught(seed, sentence)
            other = f"not caught by {planted.by!r}; seed {seed}: {sentence}"
    return Caught(-1, other)


def tell(planted: Planted, core_class: type[TracedCore] | None = None) -> str:
    """The story's outcome under the mutation, or under ``core_class``: the violation, or ""."""
    if planted.story is None:
        raise ValueError(f"{planted.name} has no story")
    faults = replace(planted.faults(1), **dict(STORY), groups=(("g1", "pete"),), auto_failback=False)  # type: ignore[arg-type]
    try:
        planted.story(faults, core_class or planted.core_class)
    except Violation as found:
        return str(found).splitlines()[0]
    return ""
