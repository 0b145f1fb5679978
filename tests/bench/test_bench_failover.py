"""The bench of failovers runs, so that it does not rot. No speed is asserted anywhere here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

TOP = Path(__file__).resolve().parents[2]
PATIENCE_MS = 300_000

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces, mounts and a loop device")


def bench(*arguments: str) -> CommandResult:
    return run(["/usr/bin/python3", str(TOP / "bench" / "failover"), *arguments], Deadline(PATIENCE_MS))


@pytest.mark.root
@needs_root
def test_a_switchover_has_its_moments_in_order() -> None:
    result = bench("--runs", "1", "--only", "switchover", "--who", "failoverd", "--json")
    assert result.ok(), result.describe()
    told = json.loads(result.stdout)
    [event] = told["events"]
    [sample] = event["samples"]
    parts = sample["parts"]
    order = ["old: address gone", "old: disk gone", "new: disk", "new: address"]
    assert sorted(parts, key=parts.get) == order
    # The client is without an answer from the one address to the other, at least.
    assert sample["gap_ms"] > (parts["new: disk"] - parts["old: disk gone"])
    assert all(target["value"] is None for target in told["targets"]), "no ratio from one run"


def test_an_unknown_event_is_a_usage_error() -> None:
    assert bench("--only", "lunch").code == 2
