"""Which power is lost, and when: drawn from a seed before anything is played. Pure.

Kinds come in shuffled decks, so that each was played once before one comes again. Nodes are named by what they do
when their round begins. Times in ms.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

CORD_ACTIVE, OUTLET_ACTIVE, CRASH_ACTIVE = "cord-active", "outlet-active", "crash-active"
CORD_PASSIVE, BOTH, STANDBY, CUT_GIVER, CUT_TAKER = "cord-passive", "both", "standby", "cut-giver", "cut-taker"

KINDS = {
    CORD_ACTIVE: "the power cord of the active node is pulled; its outlet still reads ON",
    OUTLET_ACTIVE: "the outlet of the active node goes off at the switch",
    CRASH_ACTIVE: "the kernel of the active node panics and resets the machine",
    CORD_PASSIVE: "the power cord of the passive node is pulled",
    BOTH: "both nodes lose their power at the same time",
    STANDBY: "an ordered move",
    CUT_GIVER: "an ordered move, and the giver loses its power in the middle of it",
    CUT_TAKER: "an ordered move, and the taker loses its power in the middle of it",
}

WRITE_MS = (2_000, 12_000)
"""How long the client writes in a round before its fault: the cut comes at any moment of the kernel's write-back,
whose threads wake up every 5 s (dirty_writeback_centisecs)."""

IN_MOVE_MS = (200, 9_000)
"""After the order: an emulated processor takes some seconds for a stop."""


@dataclass(frozen=True, slots=True)
class Round:
    """``write_ms`` after it begins comes the fault; ``in_move_ms`` from the order to the cut, 0: no order."""

    kind: str
    write_ms: int
    in_move_ms: int = 0

    def __str__(self) -> str:
        later = f", the cut {self.in_move_ms / 1000:.1f} s after the order" if self.in_move_ms else ""
        return f"{self.kind} after {self.write_ms / 1000:.1f} s of writing{later}"


def draw(seed: int) -> Iterator[Round]:
    """Rounds without an end; the same ones for the same seed."""
    rng = random.Random(seed)
    while True:
        deck = list(KINDS)
        rng.shuffle(deck)
        for kind in deck:
            write_ms = rng.randint(*WRITE_MS)
            in_move_ms = rng.randint(*IN_MOVE_MS)  # drawn for each kind: a deck is alike whatever it holds
            yield Round(kind, write_ms, in_move_ms if kind in (CUT_GIVER, CUT_TAKER) else 0)
