"""The disasters with machines. What happens without fencing is switched on by hand: docs/why-fencing.md."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.disasters import main

BY_HAND = "FAILOVER_KIT_WITHOUT_FENCING"
pytestmark = [pytest.mark.root, pytest.mark.release]


@pytest.mark.parametrize("words", [[], ["--block", "san"]], ids=["frozen", "storage cable pulled"])
def test_a_hung_stop_and_both_links_gone_the_fence_comes_first(
    lab_dir: str, tmp_path: Path, words: list[str]
) -> None:
    where = ["--report", str(tmp_path / "report"), "--logs", str(tmp_path / "logs")]
    assert main.main(["hung-stop", *words, *where], lab_dir) == 0, f"see {tmp_path}"
    told = json.loads((tmp_path / "report" / "hung-stop.timeline.json").read_text())
    order = ["fencing pete", "plug 1 (pete) is OFF", "mclaws begins to write"]
    times = [
        next(moment["t_ms"] for moment in told if text in moment["what"] and moment["t_ms"] > 0) for text in order
    ]
    assert times == sorted(times)


@pytest.mark.skipif(
    not os.environ.get(BY_HAND), reason=f"destroys a filesystem to show why; set {BY_HAND}=1 to see it"
)
@pytest.mark.parametrize("schedule", ["hung-stop", "cables"])
def test_the_demonstration_without_fencing_demonstrates(lab_dir: str, tmp_path: Path, schedule: str) -> None:
    words = ["without-fencing", "--schedule", schedule, "--report", str(tmp_path / "report")]
    assert main.main([*words, "--logs", str(tmp_path / "logs")], lab_dir) == 0, f"see {tmp_path}"
