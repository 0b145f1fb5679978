"""How the story waits, and what it takes for a healthy pair, with guests that only answer."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import GuestError
from lab.howto.pair import Pair, both, brief, until
from lab.howto.story import POWER_CUT, Choice, promise
from lab.report import StepFailed, Table
from lab.report_rows import BY_HAND, HOWTO


def test_until_says_what_was_still_wrong() -> None:
    assert until("light", lambda: "", 0) >= 0
    with pytest.raises(StepFailed, match="expected light; seen: it is dark, after -1 s"):
        until("light", lambda: "it is dark", -1)


def test_brief_keeps_the_end() -> None:
    assert brief("a\n b") == "a b"
    assert brief("x" * 300 + " end").endswith("end") and len(brief("x" * 300)) < 210


class Node:
    """Answers failoverctl status."""

    def __init__(self, name: str, state: str, code: int = 0) -> None:
        self.name = name
        self.state = state
        self.code = code

    def run(self, argv: list[str], **_options: Any) -> SimpleNamespace:
        if self.code > 2:
            raise GuestError(f"{self.name}: gone", None)
        group = {"name": "g", "state": self.state, "right": 1, "held": True, "doing": "", "failures": 0}
        view = {
            "node": self.name, "peer_state": "up", "peer_hears_us": True, "groups": [group], "health": "healthy",
            "reason": "", "todo": [], "links": [], "fence_attempts": 0, "fence_last": "",
        }  # fmt: skip
        return SimpleNamespace(code=self.code, stdout=json.dumps({"view": view}), stderr="", last_line=lambda: "")


def pair_of(pete: Node, mclaws: Node) -> Pair:
    lab: Any = SimpleNamespace(pete=pete, mclaws=mclaws, kokone=None)
    return Pair(lab, lambda _text: None)


def test_a_healthy_pair() -> None:
    pair = pair_of(Node("pete", "started"), Node("mclaws", "stopped"))
    assert pair.not_served_by(pair.pete) == ""
    assert "pete" in pair.not_served_by(pair.mclaws) or "mclaws" in pair.not_served_by(pair.mclaws)


@pytest.mark.parametrize(
    ("pete", "mclaws", "word"),
    [
        (Node("pete", "starting"), Node("mclaws", "stopped"), "starting"),
        (Node("pete", "started"), Node("mclaws", "started"), "mclaws says the group is started"),
        (Node("pete", "started"), Node("mclaws", "stopped", 1), "exit 1"),
        (Node("pete", "started"), Node("mclaws", "stopped", 9), "gone"),
    ],
)
def test_a_pair_that_is_not_healthy(pete: Node, mclaws: Node, word: str) -> None:
    pair = pair_of(pete, mclaws)
    assert word in pair.not_served_by(pair.pete)


def test_both_waits_for_both_and_raises_what_one_met() -> None:
    done: list[str] = []

    def work(node: Any) -> Any:
        if node.name == "pete":
            raise GuestError("no")
        done.append(node.name)
        return node.name

    nodes: Any = (Node("pete", ""), Node("mclaws", ""))
    with pytest.raises(GuestError):
        both(nodes, work)
    assert done == ["mclaws"]
    assert both(nodes[1:], work) == ["mclaws"]


def test_a_part_of_the_story_excuses_the_rows_it_leaves_out(tmp_path: Any) -> None:
    table = Table("t", str(tmp_path), rows=HOWTO, by_hand=BY_HAND, say=lambda _text: None)
    promise(table, Choice(scenes=(POWER_CUT,)))
    assert "22" in table.hands and "23" not in table.hands
    assert [step.number for step in table.steps] == ["23"] * 4
    assert not table.passed
