"""Planted bugs: the real core with one rule broken. Each proves that an audit would notice.

A bug is a subclass of the real core, or a replaced predicate of ``law.py`` (of the simulated shell, where the
rule lives there), that breaks one rule and nothing else. It is run over seeds of a fault profile that makes
its schedule likely, with all audits, and must be caught by the check of its rule (``Planted.by``). Where the
rule's breach ends in two owners by ordinary schedules it is run with the outcome alone, too (S1 and the rights:
what a customer would lose data by).
"""

from __future__ import annotations

from dataclasses import replace

from sim.planted.earlier import EARLIER
from sim.planted.model import Caught, Planted, hunt, tell
from sim.planted.properties import PROPERTIES
from sim.planted.rules import RULES
from sim.world import TracedCore

__all__ = ["PLANTED", "Caught", "Planted", "hunt", "report", "tell"]

# The real core passes two seeds of each newer profile at every `make test`, and all of them in the release check.
PLANTED = EARLIER + tuple(replace(planted, clean=2) for planted in RULES + PROPERTIES)


def report() -> int:
    """Run every planted bug and print how it is caught; the number of those that were not."""
    missed = 0
    for planted in PLANTED:
        caught = hunt(planted)
        lines = [f"all audits, seed {caught.seed}: {caught.sentence}"]
        well = caught.seed >= 0
        if planted.outcome:
            outcome = hunt(planted, outcome_only=True)
            lines.append(f"outcome, seed {outcome.seed}: {outcome.sentence}")
            well = well and outcome.seed >= 0
        if planted.story is not None:
            told, plain = tell(planted), tell(planted, TracedCore)
            lines.append(f"story: {told or 'nothing happened'}; the real core: {plain or 'holds'}")
            well = well and told.startswith("S1") and not plain
        missed += not well
        print(f"planted {planted.name} (rule {planted.rule}): {'caught' if well else 'MISSED'}")
        print("".join(f"    {line}\n" for line in lines), end="", flush=True)
    print(f"{len(PLANTED)} planted bugs, {len(PLANTED) - missed} caught")
    return missed
