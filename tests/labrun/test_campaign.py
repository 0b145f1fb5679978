"""Power cuts at random moments, with durability: docs/chaos.md. Some minutes of it, and that it can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.campaign import main, schedule

pytestmark = [pytest.mark.root, pytest.mark.release, pytest.mark.usefixtures("able")]


def campaign(lab_dir: str, tmp_path: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the table."""
    where = ["--report", str(tmp_path / "report"), "--logs", str(tmp_path / "logs")]
    code = main.main([*words, *where], lab_dir)
    table: dict[str, Any] = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    return code, table


def test_whatever_the_client_was_told_is_there_after_every_power_cut(lab_dir: str, tmp_path: Path) -> None:
    """One deck: each kind of round once."""
    code, table = campaign(
        lab_dir, tmp_path, "--seed", "1", "--minutes", "120", "--rounds", str(len(schedule.KINDS))
    )
    assert code == 0, f"see {tmp_path}"
    assert table["passed"]
    rounds = [step for step in table["steps"] if step["number"].isdecimal()]
    assert len(rounds) == len(schedule.KINDS)


def test_a_server_that_says_on_the_disk_too_early_is_found(lab_dir: str, tmp_path: Path) -> None:
    """exports(5), async: what was acknowledged within the last seconds goes with the power."""
    words = ("--seed", "1", "--kind", schedule.CORD_ACTIVE, "--rounds", "1", "--plant", "async")
    code, table = campaign(lab_dir, tmp_path, *words)
    assert code == 1
    (failed,) = [step for step in table["steps"] if step["result"] == "failed"]
    assert failed["number"] == "1"
    # The audit tells what is lost or torn; the client may have met the hole, or that the file is gone, before that.
    assert any(word in failed["seen"] for word in ("lost", "torn", "differs", "Stale file handle")), failed
