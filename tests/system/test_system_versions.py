"""Two versions of failoverd side by side (docs/howto/upgrade.md): restarts and upgrades under running resources."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pair import REPOSITORY, Node, Pair, wait_until
from versions import NEWER, OLDER, installed

from failover_kit.manager import leftbehind

pytestmark = pytest.mark.root

REFUSED = 3


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("versions"), "older", OLDER)


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("versions"), "newer", NEWER)


def other_version(node: Node, tree: Path) -> None:
    """failoverd of ``node`` is killed and begins again from ``tree``: its resources run on."""
    node.kill_daemon()
    node.tree = tree
    node.start()


def joined(pair: Pair, active: Node) -> None:
    passive = next(node for node in pair.nodes if node is not active)
    wait_until("it was adopted", lambda: active.group() == "started")
    wait_until("they hear each other", lambda: active.peer() == passive.peer() == "up")
    wait_until("the other was looked at", lambda: passive.group() == "stopped")


def disturbs_nothing(pair: Pair, active: Node, node: Node, tree: Path) -> None:
    """Another version on ``node`` while ``active`` serves: nothing is started, stopped or shot."""
    before, ledger = active.resources(), pair.ledger()
    assert len(before) == 2
    other_version(node, tree)
    joined(pair, active)
    assert active.resources() == before
    assert pair.ledger() == ledger
    assert pair.switch_log() == []


def mark_of(node: Node) -> Path:
    return node.home / "run" / leftbehind.MARK


def record_of(node: Node) -> Path:
    return node.home / "var" / "state" / "node.json"


def test_an_upgrade_under_running_resources_and_days_of_two_versions(patient: Pair, older: Path) -> None:
    pair = patient
    first, second = pair.nodes
    second.tree = older
    pair.start()
    seen = first.view()
    assert (seen["speaks"], seen["peer_speaks"], seen["peer_release"]) == ("1.1", "1.0", "")
    assert f"upgrade {second.name}" in seen["versions_differ"]
    assert f"upgrade {second.name}" in first.ctl("status").stdout
    assert f"upgrade {second.name}" in second.view()["versions_differ"], "the newer one is not to be upgraded"

    refused = first.ctl("maintenance", "on")
    assert refused.returncode == REFUSED
    assert "runs an older failoverd (1.0) that does not know maintenance" in refused.stderr

    # For days: moves both ways, and failoverd of the active node begins again.
    assert first.moved("standby").returncode == 0
    disturbs_nothing(pair, second, second, older)
    disturbs_nothing(pair, second, first, REPOSITORY)
    # Now the older one is upgraded while it serves.
    disturbs_nothing(pair, second, second, REPOSITORY)
    wait_until("they are alike", lambda: not first.view()["versions_differ"])
    assert second.view()["peer_release"] == first.view()["peer_release"] != ""
    assert first.moved("takeover").returncode == 0
    # Back again, the active node first: what the newer one wrote is read without what 1.0 does not know.
    disturbs_nothing(pair, first, first, older)
    assert "was written by a newer failoverd: this one goes on without" not in second.log()
    pair.prove_one_holder()


def test_a_downgrade_in_maintenance_touches_neither_resources_nor_the_record(patient: Pair, older: Path) -> None:
    pair = patient
    first, second = pair.start()
    assert first.ctl("maintenance", "on").returncode == 0
    wait_until("it is durable on both", lambda: '"maintenance":1' in record_of(second).read_text())
    kept, running = record_of(first).read_text(), first.resources()
    other_version(first, older)
    wait_until("they hear each other", lambda: first.peer() == second.peer() == "up")
    wait_until("it looked", lambda: "running without a right" in first.log() or first.group() == "unknown")
    assert "must not be used by an older one: the pair is in maintenance" in first.log()
    status = first.ctl("status")
    assert status.returncode == 2 and "written by a newer failoverd" in status.stdout
    assert f"{first.name} does not: its failoverd (1.0) knows no maintenance" in second.view()["reason"]
    assert first.ctl("takeover").returncode == REFUSED
    assert record_of(first).read_text() == kept
    # The newer one finds everything as it left it.
    other_version(first, REPOSITORY)
    wait_until("it is back in maintenance", lambda: "maintenance" in first.view().get("reason", ""))
    assert first.resources() == running
    assert second.ctl("maintenance", "off").returncode == 0
    joined(pair, first)
    assert pair.switch_log() == []
    assert len(pair.starts()) == 2
    pair.prove_one_holder()


def test_a_failoverd_that_does_not_exist_yet_is_understood(patient: Pair, newer: Path) -> None:
    pair = patient
    first, second = pair.nodes
    second.tree = newer
    pair.start()
    assert b"weather fine 21\n" not in b"".join(pair.cable.passed), "that is what the first one says"
    seen = first.view()
    assert (seen["peer_speaks"], seen["peer_release"]) == ("1.9", "0.9.0")
    assert f"upgrade {first.name}" in seen["versions_differ"]
    assert f"upgrade {first.name}" in second.view()["versions_differ"]
    # What both know is used: maintenance, moves.
    # In maintenance failoverd of the active node ends in good order, and another version goes on.
    assert second.ctl("maintenance", "on").returncode == 0
    ledger = pair.ledger()
    assert first.leave() == 0
    assert mark_of(first).read_text().strip(), "its group runs on, and nobody watches"
    first.tree = newer
    first.start()
    wait_until("they are alike", lambda: first.view().get("peer_release") == "0.9.0")
    assert not mark_of(first).exists()
    assert first.leave() == 0
    first.tree = REPOSITORY
    first.start()
    wait_until("it goes on in maintenance", lambda: "maintenance" in first.view().get("reason", ""))
    wait_until("they hear each other", lambda: first.peer() == second.peer() == "up")
    assert first.ctl("maintenance", "off").returncode == 0
    joined(pair, first)
    assert pair.ledger() == ledger
    assert first.moved("standby").returncode == 0
    disturbs_nothing(pair, second, second, newer)
    # Downgraded while it serves: its record has a field that this version does not know.
    assert json.loads(record_of(second).read_text())["record"]["mice"] == 7
    disturbs_nothing(pair, second, second, REPOSITORY)
    assert "goes on without mice" in second.log()
    for state in ("on", "off"):  # something to write down: by itself it does so once a minute
        assert first.ctl("maintenance", state).returncode == 0
    wait_until("it wrote its own", lambda: "mice" not in record_of(second).read_text())
    joined(pair, second)
    assert all(link["refused"] == 0 for node in pair.nodes for link in links_of(node))
    # And one that loses its power is fenced, as always.
    other_version(first, newer)
    joined(pair, second)
    second.power_cut()
    wait_until("it was taken over", lambda: first.group() == "started")
    pair.prove_one_holder()


def links_of(node: Node) -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads(node.ctl("status", "--json").stdout)["links"]
    return found
