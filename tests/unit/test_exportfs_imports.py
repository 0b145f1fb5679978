"""What a monitor of exportfs imports: a short, known list (see test_agents_imports.py for why)."""

import pytest

from unit.test_agents_imports import SHARED, imported

MONITOR = SHARED | {
    "select", "failover_kit.agents.exportfs", "failover_kit.kernel.exports", "failover_kit.kernel.mounts",
    "failover_kit.kernel.paths",
}  # fmt: skip


def test_exportfs_monitor():
    code, modules = imported("exportfs", "monitor", directory="/no/where", clientspec="*", fsid="1")
    assert (code, modules) == (7, MONITOR)


@pytest.mark.parametrize("verb", ["meta-data", "help"])
def test_exportfs_says_what_it_is_without_the_heavy_modules(verb):
    code, modules = imported("exportfs", verb)
    assert code == 0
    assert not modules & {"re", "enum", "typing", "dataclasses", "argparse", "logging", "subprocess", "socket"}
