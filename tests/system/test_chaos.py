"""Some minutes of chaos against a real pair, by a fixed seed; and a bug that it must find. More: docs/chaos.md."""

import subprocess
import sys
from pathlib import Path

import pytest

from chaos.planted import PLANTED, plant

pytestmark = pytest.mark.root

CHAOS = [sys.executable, str(Path(__file__).resolve().parents[1] / "chaos")]
MINUTES, SEED = 3, 81
PATIENCE_S = 900
"""The minutes, a last round with its bound, and a machine that does other things, too."""

FROZEN_BEHIND_A_STUCK_SWITCH = """\
round 1
  +0.00 for 30.00 switch fault=stuck
  +0.20 for 30.00 freeze node=active
"""


def chaos(*arguments):
    done = subprocess.run(
        [*CHAOS, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    print(done.stdout, done.stderr)
    return done.returncode, done.stdout


@pytest.mark.alone
def test_minutes_of_chaos_lose_nothing_and_leave_nothing():
    code, said = chaos("--minutes", str(MINUTES), "--seed", str(SEED))
    assert code == 0
    assert "never two holders" in said and "none lost" in said
    assert said.count("all decisions came out alike") == 2
    assert "nothing is left behind" in said


@pytest.mark.alone
def test_a_shot_without_proof_is_caught_and_can_be_played_again(tmp_path):
    file, kit = tmp_path / "schedule", tmp_path / "kit"
    file.write_text(FROZEN_BEHIND_A_STUCK_SWITCH)
    plant("unproved", kit)
    code, said = chaos("--schedule", str(file), "--kit", str(kit))
    assert code == 1
    assert "FAILED: round 1: pete and mclaws held the group together" in said, "the ledger comes first"
    assert "--schedule FILE" in said and "+0.20 for 30.00 freeze node=active" in said
    assert "is silent for 2 s" in said, "the logs are shown"
    assert "nothing is left behind" in said


@pytest.mark.parametrize("name", PLANTED)
def test_the_bugs_can_still_be_planted(name, tmp_path):
    plant(name, tmp_path / "kit")


def test_a_schedule_that_is_none_is_refused(tmp_path):
    file = tmp_path / "schedule"
    file.write_text("round 1\n  +1 for 2 explode\n")
    code, _ = chaos("--schedule", str(file))
    assert code == 2
