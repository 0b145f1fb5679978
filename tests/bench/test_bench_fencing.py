"""The bench runs, so that it does not rot. What it measures is nobody's business here: no speed is asserted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

TOP = Path(__file__).resolve().parents[2]
PATIENCE_MS = 300_000

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]


def bench(*arguments: str) -> CommandResult:
    return run(["/usr/bin/python3", str(TOP / "bench" / "fencing"), *arguments], Deadline(PATIENCE_MS))


def test_three_runs_of_one_row_give_a_ratio() -> None:
    result = bench("--runs", "3", "--row", "status", "--json")
    assert result.ok(), result.describe()
    report = json.loads(result.stdout)
    row = report["rows"][0]
    assert len(row["samples"]["fence_wti_ips800"]) == 3
    if "fence_wti" not in row["samples"]:
        pytest.skip("needs the package fence-agents to compare with")
    assert row["ratios"][0]["wall"] > 0


def test_two_runs_are_too_few_for_a_ratio() -> None:
    result = bench("--runs", "2", "--row", "reboot")
    assert result.ok(), result.describe()
    assert "n=2" in result.stdout
    if Path("/usr/sbin/fence_wti").exists():
        assert "no ratio from fewer than 3 runs" in result.stdout


def test_a_program_that_does_not_do_it_is_not_measured(tmp_path: Path) -> None:
    """A stand-in that says success and switches nothing must not win."""
    liar = tmp_path / "stonith" / "fence_wti_ips800"
    liar.parent.mkdir()
    liar.write_text("#!/bin/sh\nexit 0\n")
    liar.chmod(0o755)
    result = bench("--runs", "1", "--row", "reboot", "--tree", str(tmp_path))
    assert result.code == 1
    assert "fence_wti_ips800 exited [0], and outlet 1 (pete) moved 0 times" in result.stderr
