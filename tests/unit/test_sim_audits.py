"""The simulator's look at a start before it is forked: by a right that is on the disk, and has not ended since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from failover_kit.manager.actions import Start
from failover_kit.manager.records import GroupRecord, NodeRecord
from sim.audits import Audits
from sim.audits_base import Violation


def record(right: int, boot: str = "boot1", top: int = 9) -> NodeRecord:
    groups = (GroupRecord(name="g1", right=right, top=top, known=top, held=bool(right)),)
    return NodeRecord(boot_id=boot, groups=groups)


def machine_of(world: Any, index: int, name: str) -> Any:
    resource = SimpleNamespace(active=False)
    disk = SimpleNamespace(record=None)
    made = SimpleNamespace(
        index=index, name=name, boot_id="boot1", disk=disk, daemon=None, resources={"g1": resource}
    )
    world.machines.append(made)
    return made


def forks(epoch: int, *written: NodeRecord) -> None:
    """A node writes these records, and then the start by ``epoch`` is forked."""
    world = cast(Any, SimpleNamespace(now=0, machines=[], faults=SimpleNamespace(groups=(("g1", "pete"),))))
    pete, mclaws = machine_of(world, 0, "pete"), machine_of(world, 1, "mclaws")
    pete.peer, mclaws.peer = mclaws, pete
    audits = Audits(world)
    for new in written:
        old, pete.disk.record = pete.disk.record, new
        audits.disk_written(pete, old, new)
    audits.start_forked(pete, cast(Any, None), Start("g1", 1, epoch))


def test_a_grant_that_is_accepted_while_the_start_is_under_way_does_not_stop_it() -> None:
    forks(6, record(6), record(7))


@pytest.mark.parametrize(
    ("epoch", "written"),
    [
        pytest.param(6, (record(5),), id="not durable yet"),
        pytest.param(6, (record(0),), id="no right"),
        pytest.param(6, (record(6), record(0), record(8)), id="given away and got back"),
        pytest.param(6, (record(8),), id="a right that was never on the disk"),
        pytest.param(6, (record(6, "boot0"), record(8)), id="of an earlier boot"),
    ],
)
def test_a_right_that_is_not_there_or_has_ended_starts_nothing(epoch: int, written: tuple[NodeRecord, ...]) -> None:
    with pytest.raises(Violation, match="rules 1, 7: starts g1 by epoch 6"):
        forks(epoch, *written)
