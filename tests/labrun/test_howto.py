"""The story of the HOWTO as a person would start it: ``make howto``.

What is looked at is what it leaves: exit code, table, pages, and nothing else.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from failover_kit.spec.process import CLEAN_ENV

pytestmark = pytest.mark.root

LAB = pathlib.Path(__file__).resolve().parents[1] / "lab"
LIMIT_S = 3000
"""Some ten minutes on two idle cores."""


def howto(
    place: str, folder: pathlib.Path, *words: str, limit_s: float = LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run it in ``folder``, its lab in ``place``."""
    argv = ["/usr/bin/python3", str(LAB), "--rundir", place, "howto", *words]
    return subprocess.run(
        argv, cwd=folder, env=CLEAN_ENV, capture_output=True, text=True, timeout=limit_s, check=False
    )


def test_the_whole_story_holds(lab_dir: str, tmp_path: pathlib.Path) -> None:
    result = howto(lab_dir, tmp_path)
    sys.stdout.write(result.stdout)
    assert result.returncode == 0, result.stderr
    table = json.loads((tmp_path / "howto.json").read_text(encoding="utf-8"))
    assert table["passed"]
    for number, scenes in (("22", 4), ("23", 4)):
        steps = [step for step in table["steps"] if step["number"] == number]
        assert [step["result"] for step in steps] == ["done"] * scenes
    moved = [step for step in table["steps"] if step["reclaims"]]
    assert len(moved) >= 6, "a standby, a takeover and a power cut in each round"
    for step in moved:
        assert {pause["who"] for pause in step["pauses"]} >= {"v3", "v4"}
        assert {one["who"]: one["ms"] is not None for one in step["reclaims"]} == {"v3": True, "v4": True}
    assert (tmp_path / "howto.html").stat().st_size > 0
    assert not (tmp_path / "howto-logs").exists()


def test_help_names_every_option(lab_dir: str, tmp_path: pathlib.Path) -> None:
    result = howto(lab_dir, tmp_path, "--help", limit_s=180)
    assert result.returncode == 0
    for word in ("--scene", "--round", "--text", "--json", "--html", "--logs", "--keep", "Exit codes"):
        assert word in result.stdout


@pytest.mark.parametrize("words", [("--scene", "nosuch"), ("--json", "/nosuch/howto.json")])
def test_what_cannot_be_is_usage_and_builds_nothing(
    lab_dir: str, tmp_path: pathlib.Path, words: tuple[str, ...]
) -> None:
    result = howto(lab_dir, tmp_path, *words, limit_s=180)
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())
