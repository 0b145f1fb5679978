"""What many seeds came to: sums, the violated ones, the rows that were taken; and how far a long run is.

A tally can be kept in a file, so that a run goes on where it was stopped and the shards of several machines are
added up. A file belongs to one kind of run of one state of the sources: after a change of the core or of the
simulator the same seed plays another game, and what was counted before says nothing about it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from failover_kit.manager.states import GROUP_TABLE, PEER_TABLE

if TYPE_CHECKING:
    from sim.run import Outcome

Row = tuple[Enum, Enum]

ROWS: dict[str, Row] = {
    f"{state.value} on {trigger.value}": (state, trigger) for state, trigger in [*GROUP_TABLE, *PEER_TABLE]
}
"""Every row of the core's tables by its name."""

_SOURCES = ("tests/sim", "lib/failover_kit/manager")


class TallyError(Exception):
    """A file that cannot be gone on from: place, fact, remedy."""


def stamp(kinds: Sequence[str] | None, duration_ms: int) -> str:
    """What a tally belongs to: the sources, the kinds of faults, and the length of the random phase."""
    root = Path(__file__).resolve().parent.parent.parent
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((root / folder).glob("*.py")):
            digest.update(f"{path.name}\n".encode() + path.read_bytes())
    what = "every kind" if kinds is None else ",".join(kinds)
    return f"sources {digest.hexdigest()[:16]}, {what}, {duration_ms} ms"


@dataclass(slots=True)
class Total:
    """Sums over many seeds."""

    steps: int = 0
    simulated_ms: int = 0
    done: set[int] = field(default_factory=set)
    violated: dict[int, str] = field(default_factory=dict)  # seed -> the sentence
    rows: Counter[Row] = field(default_factory=Counter)

    @property
    def seeds(self) -> int:
        return len(self.done)

    @property
    def failures(self) -> int:
        return len(self.violated)

    def add(self, outcome: Outcome, rows: Counter[Row]) -> None:
        """One more seed."""
        self.done.add(outcome.seed)
        self.steps += outcome.steps
        self.simulated_ms += outcome.simulated_ms
        self.rows.update(rows)
        if outcome.failure:
            self.violated[outcome.seed] = outcome.failure

    def add_all(self, other: Total, place: str) -> None:
        """Another shard; TallyError when a seed would count twice."""
        twice = self.done & other.done
        if twice:
            raise TallyError(
                f"{place}: seed {min(twice)} is in another file, too; give each shard seeds of its own"
            )
        self.done |= other.done
        self.steps += other.steps
        self.simulated_ms += other.simulated_ms
        self.rows.update(other.rows)
        self.violated.update(other.violated)

    # --- its file ------------------------------------------------------------------------------------

    def keep(self, path: str, what: str) -> None:
        """Write it; whoever is killed meanwhile leaves the file of before."""
        document = {
            "what": what,
            "seeds": list(ranges(self.done)),
            "steps": self.steps,
            "simulated_ms": self.simulated_ms,
            "violated": sorted(self.violated.items()),
            "rows": {name: self.rows[row] for name, row in ROWS.items() if self.rows[row]},
        }
        beside = f"{path}.new"
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")
        os.replace(beside, path)

    @classmethod
    def kept(cls, path: str, what: str) -> Total:
        """What ``keep`` wrote; TallyError when it is of another run or no such file."""
        try:
            with open(path, encoding="utf-8") as file:
                document: dict[str, Any] = json.load(file)
            if document["what"] != what:
                raise TallyError(
                    f"{path}: made by another run ({document['what']}; this one: {what}); "
                    "its seeds would not do the same again: begin another file"
                )
            return cls(
                steps=int(document["steps"]),
                simulated_ms=int(document["simulated_ms"]),
                done={seed for first, last in document["seeds"] for seed in range(first, last + 1)},
                violated={int(seed): str(text) for seed, text in document["violated"]},
                rows=Counter({ROWS[name]: int(count) for name, count in document["rows"].items()}),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TallyError(f"{path}: no tally of this program ({error!r}); name another file") from error


def ranges(seeds: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of every unbroken row of seeds."""
    first = last = None
    for seed in sorted(seeds):
        if first is not None and last is not None and seed == last + 1:
            last = seed
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = seed
    if first is not None and last is not None:
        yield first, last


# --- while it runs ------------------------------------------------------------------------------------------


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Progress:
    """A line every ``every_s`` seconds: how far, how fast since the line before, and how long it will take."""

    def __init__(
        self,
        wanted: int,
        every_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.wanted = wanted
        self.every_s = every_s
        self.clock = clock
        self.write = write
        self.began = self.last = (clock(), 0, 0)  # when, seeds, steps

    def begins(self, total: Total) -> None:
        """What an earlier run had done is no speed of this one."""
        self.began = self.last = (self.clock(), total.seeds, total.steps)

    def seen(self, total: Total) -> bool:
        """Called after each seed; True when it is time for a line, which it wrote."""
        now = self.clock()
        if not self.every_s or now - self.last[0] < self.every_s:
            return False
        self.write(self.line(total, now))
        self.last = (now, total.seeds, total.steps)
        return True

    def line(self, total: Total, now: float) -> str:
        """The line."""
        then, _, steps = self.last
        rate = (total.steps - steps) / max(now - then, 1e-9)
        seeds_a_second = (total.seeds - self.began[1]) / max(now - self.began[0], 1e-9)
        left = max(self.wanted - total.seeds, 0)
        eta = duration(left / seeds_a_second) if seeds_a_second else "unknown"
        return (
            f"{total.seeds} of {self.wanted} seeds ({100 * total.seeds / max(self.wanted, 1):.1f} %), "
            f"{total.failures} failed; {rate:.0f} events/s, {seeds_a_second:.1f} seeds/s; {eta} left"
        )


def duration(seconds: float) -> str:
    """As people say it."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
