"""Every need of the catalogue with our agents. Beside the peer's: ``make peers``."""

import ast
import contextlib
import os
import re
from pathlib import Path

import pytest

from agents.agent_worlds import eventually, sh
from needs import cell
from needs.catalogue import LAB, NEEDS, Outcome, scenarios
from needs.table import Row, as_markdown
from needs.world import NotHere

TOP = Path(__file__).resolve().parents[2]
SCENARIOS = scenarios()
MANY = 60


def outcome(one, side):
    try:
        return cell.run(one, side, MANY)
    except NotHere as error:
        pytest.skip(str(error))


@pytest.mark.root
@pytest.mark.parametrize("one", SCENARIOS, ids=[one.name for one in SCENARIOS])
def test(one):
    result = outcome(one, "ours")
    print(result.seen)
    assert result.holds, result.seen


@pytest.mark.root
@pytest.mark.parametrize("name", ["defect_mountpoint_used_as_format", "need_08_missing_interface_is_not_fatal_334"])
def test_a_scenario_can_fail(name):
    """ClusterLabs' agents of Debian 12 have these defects: a judgement that lets them pass is none."""
    result = outcome(next(one for one in SCENARIOS if one.name == name), "peer")
    print(result.seen)
    assert not result.holds


@pytest.mark.root
def test_a_cell_that_is_late_is_ended_with_all_that_is_in_it(monkeypatch, tmp_path):
    """The scenario sits between a holder that sleeps for minutes and a stop that takes seconds, a disk mounted."""

    def unreachable():
        """Loop disks of cells that are no more: the path of their image begins where the cell's tmpfs did."""
        found = sh("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE").stdout.splitlines()
        return {line.split()[0] for line in found if line.split()[1:] == ["/disk0.img"]}

    before = unreachable()
    monkeypatch.setattr(cell, "LIMIT_S", 2)
    monkeypatch.setattr(cell, "EACH_S", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = next(one for one in SCENARIOS if one.name == "need_13_a_stop_that_cannot_end_says_why_1045")
    with pytest.raises(cell.Broken, match="did not end in 2 s"):
        cell.run(one, "ours", MANY)
    assert list(tmp_path.iterdir()) == []

    def mentioned():
        argvs = []
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                argvs.append(process.read_bytes())
        return [argv for argv in argvs if os.fsencode(tmp_path) in argv]

    eventually(lambda: not mentioned(), "nothing of it runs")
    eventually(lambda: unreachable() <= before, "the disk of the cell was detached")


def test_every_need_has_a_scenario_or_a_test_in_the_lab():
    covered = {row for case in (*SCENARIOS, *LAB) for row in case.rows}
    assert sorted(covered) == sorted(NEEDS)


@pytest.mark.parametrize("name", [test for case in LAB for test in case.tests])
def test_the_lab_has_the_tests_that_are_named(name):
    path, _, function = name.partition("::")
    tree = ast.parse((TOP / path).read_text())
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_every_scenario_and_says_that_ours_holds():
    """docs/peers.md is a run's result: this looks only whether a newer scenario calls for a new run."""
    made = as_markdown([Row(one, Outcome(True, ""), Outcome(True, "")) for one in SCENARIOS], "")
    page = (TOP / "docs" / "peers.md").read_text(encoding="utf-8")

    def heads(text):
        """The columns that say what was tried: all but the results."""
        return [line.split(" | ")[:4] for line in text.splitlines() if re.match(r"\| [D0-9]", line)]

    assert heads(page) == heads(made), "run: make peers ARGS=--write"
    results = [line.split(" | ")[4] for line in page.splitlines() if re.match(r"\| [D0-9]", line)]
    assert not [result for result in results if not result.startswith(("holds: ", "`labrun/"))]
