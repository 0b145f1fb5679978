"""How long the way back may take: what ``failoverctl budget`` says of the worst case, and what comes before it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from failover_kit.rehearsal.node import BOOT_MS
from failover_kit.rehearsal.plan import INITDEAD_MS
from failover_kit.rehearsal.stage import SceneFailed, Stage

SLACK = 1.5
"""A machine that is shared is slow at times; what hangs stays beyond any factor."""


@dataclass(frozen=True)
class Bound:
    """``parts`` are sentences; ``ms`` is their sum, with the slack."""

    ms: int
    parts: tuple[str, ...]


def of(stage: Stage, op_timeout_ms: int) -> Bound:
    """Asks ``failoverctl budget`` on both nodes. SceneFailed when it does not answer."""
    worst_ms, title = 0, ""
    for name, node in stage.world.nodes.items():
        result = node.run([stage.ctl, "budget", "--json"], 60_000)
        if not result.ok():
            raise SceneFailed(f"on {name}: {result.describe()}")
        for case in json.loads(result.stdout)["cases"]:
            if case["worst_ms"] is None:
                raise SceneFailed(f"budget on {name} states no bound for: {case['title']}")
            if case["worst_ms"] > worst_ms:
                worst_ms, title = case["worst_ms"], case["title"]
    before = {
        f"budget, {title}": worst_ms,
        "a call to an agent or to the switch that began before the heal": op_timeout_ms,
        "a node that boots": BOOT_MS,
        "initdead, with nothing heard yet": INITDEAD_MS,
    }
    parts = tuple(f"{ms / 1000:g} s: {what}" for what, ms in before.items())
    return Bound(round(sum(before.values()) * SLACK), (*parts, f"and the sum {SLACK} times, for a busy machine"))
