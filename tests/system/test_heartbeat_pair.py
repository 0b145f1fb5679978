"""A short run of tests/heartbeat: our scripts and plugin under Heartbeat, then to failoverd by the guide."""

from __future__ import annotations

import pytest

from failover_kit.rehearsal.stage import SceneFailed
from heartbeat import guide
from heartbeat.pair import PAGE_OF_MIGRATION, PAGE_OF_SCRIPTS, missing, pair
from heartbeat.scenes import SCENES, chosen

FORGET = "rm -rf /var/lib/failover-kit/state"
SMOKE = ("power-cut", "migrate")


@pytest.mark.root
@pytest.mark.alone  # deadtime is seven seconds in it
@pytest.mark.skipif(bool(missing()), reason=missing() or "runs")
def test_a_dead_node_is_shot_through_our_plugin_and_the_pair_goes_over_to_failoverd() -> None:
    with pair() as there:
        for scene in chosen(list(SMOKE)):
            try:
                scene.play(there)
                assert len(there.prove()) == 2
            except SceneFailed as error:
                pytest.fail(f"{scene.name}: {error}\n" + "\n".join(there.trouble()))


def test_the_pages_have_the_sections_that_are_typed_and_each_has_commands() -> None:
    scripts = {step.section for step in guide.read(PAGE_OF_SCRIPTS)}
    migration = [step.section for step in guide.read(PAGE_OF_MIGRATION)]
    assert scripts == {"Install", "Start"}
    assert list(dict.fromkeys(migration)) == [
        "Before", "The passive node", "The active node", "Afterwards", "The way back",
    ]  # fmt: skip


def test_heartbeat_is_ended_before_failoverd_is_started_on_each_node_and_the_other_way_round() -> None:
    """What the guide must never tell anybody to type, whatever else is changed in it."""
    there = [step for step in guide.read(PAGE_OF_MIGRATION) if step.section != "The way back"]
    back = [step for step in guide.read(PAGE_OF_MIGRATION) if step.section == "The way back"]
    for node in ("pete", "mclaws"):
        _in_order([step.command for step in there if step.node == node], "heartbeat", "failoverd")
    _in_order([step.command for step in back], "failoverd", "heartbeat")
    ends = [(step.node, step.command) for step in there if step.command == "systemctl disable --now heartbeat"]
    assert [node for node, _ in ends] == ["mclaws", "pete"], "the passive node first"
    starts = [step.node for step in back if step.command == "systemctl enable --now heartbeat"]
    assert starts == ["pete", "mclaws"], "on both: a Heartbeat alone shoots the other node"


def test_the_records_of_an_earlier_failoverd_go_before_a_manager_starts() -> None:
    """With them the passive node's failoverd mounted the disk beside the other node's Heartbeat."""
    steps = guide.read(PAGE_OF_MIGRATION)
    for node in ("pete", "mclaws"):
        there = [step.command for step in steps if step.node == node and step.section != "The way back"]
        back = [step.command for step in steps if step.node == node and step.section == "The way back"]
        assert there.index(FORGET) < there.index("systemctl enable --now failoverd")
        assert back.index("systemctl disable --now failoverd") < back.index(FORGET)
        assert back.index(FORGET) < back.index("systemctl enable --now heartbeat")


def _in_order(commands: list[str], old: str, new: str) -> None:
    """Every command that ends ``old`` stands before the first that starts ``new``, and nothing starts ``old``."""
    ends = [i for i, command in enumerate(commands) if command == f"systemctl disable --now {old}"]
    starts = [i for i, command in enumerate(commands) if command == f"systemctl enable --now {new}"]
    assert ends, f"nothing ends {old}"
    assert starts, f"nothing starts {new}"
    assert max(ends) < min(starts)
    assert f"systemctl enable --now {old}" not in commands


def test_a_line_of_a_page_is_a_command_and_what_it_must_come_to() -> None:
    text = """
## One
```sh pete mclaws
true
cat x      # exit 1, says: no such file
```
    not typed
```sh
neither
```
## Two
```sh mclaws
cl_status nodestatus pete      # says: active
pgrep -x heartbeat      # exit 1
```
"""
    steps = guide.parse(text)
    assert [(step.section, step.node, step.command, step.code, step.says) for step in steps] == [
        ("One", "pete", "true", 0, ""),
        ("One", "mclaws", "true", 0, ""),
        ("One", "pete", "cat x", 1, "no such file"),
        ("One", "mclaws", "cat x", 1, "no such file"),
        ("Two", "mclaws", "cl_status nodestatus pete", 0, "active"),
        ("Two", "mclaws", "pgrep -x heartbeat", 1, ""),
    ]
    assert [step.waits for step in steps] == [False, False, True, True, True, True]
    swapped = guide.exchanged(steps[4], {"pete": "mclaws", "mclaws": "pete"})
    assert (swapped.node, swapped.command) == ("pete", "cl_status nodestatus mclaws")


@pytest.mark.parametrize("line", ["true # says: yes", "true      # perhaps", "true      # "])
def test_a_remark_that_would_be_passed_over_is_an_error(line: str) -> None:
    with pytest.raises(guide.PageError, match="page:3"):
        guide.parse(f"## One\n```sh pete\n{line}\n```\n")


def test_a_block_without_an_end_is_an_error() -> None:
    with pytest.raises(guide.PageError):
        guide.parse("```sh pete\ntrue\n")


def test_scenes_bring_those_that_lead_to_them() -> None:
    names = [scene.name for scene in SCENES]
    assert [scene.name for scene in chosen([])] == names
    assert [scene.name for scene in chosen(["outlet-off"])] == ["install", "outlet-off"]
    assert [scene.name for scene in chosen(["back"])] == ["install", "migrate", "back"]
