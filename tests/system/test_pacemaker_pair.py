"""A smoke of tests/pacemaker: the pair under failoverd, exported, under Debian's Pacemaker; a move; a dead node."""

from __future__ import annotations

import pytest

from failover_kit.rehearsal.stage import SceneFailed
from pacemaker.pair import missing, pair
from pacemaker.scenes import SCENES

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing() or "runs")]

SMOKE = ("migrate", "move", "node-kill")


def test_the_exported_pair_runs_under_pacemaker_and_the_data_is_intact() -> None:
    with pair() as there:
        for scene in SCENES:
            if scene.name in SMOKE:
                try:
                    scene.play(there)
                    assert len(there.prove()) == 2
                except SceneFailed as error:
                    pytest.fail(f"{scene.name}: {error}\n" + "\n".join(there.trouble()))
