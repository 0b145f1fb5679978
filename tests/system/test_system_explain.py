"""What real daemons wrote into their journals is told by failoverctl explain and measured by budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pair import Node, Pair, wait_until

pytestmark = pytest.mark.root


def told(node: Node) -> list[dict[str, Any]]:
    answer = node.ctl("explain", "--json", "--journal", str(node.home / "var" / "journal"))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    episodes: list[dict[str, Any]] = json.loads(answer.stdout)["episodes"]
    return episodes


def test_a_takeover_is_explained_on_both_nodes(pair: Pair) -> None:
    first, second = pair.start()
    assert first.moved("standby").returncode == 0
    second.power_cut()
    wait_until("the group was taken over", lambda: first.group() == "started")
    wait_until("power is given back", lambda: "on 2" in pair.switch_log())
    second.start()
    wait_until("the old node is back", lambda: first.peer() == "up")
    wait_until("the journal has it", lambda: any(e["topic"] == "takeover" for e in told(first)))

    (takeover,) = [episode for episode in told(first) if episode["topic"] == "takeover"]
    (shot,) = takeover["shots"]
    assert shot["proved"] and [(plug["plug"], plug["state"]) for plug in shot["plugs"]] == [("2", "off")]
    (plug,) = shot["plugs"]
    assert plug["off_ended_ms"] <= plug["read_began_ms"] <= plug["read_ended_ms"]
    assert any("read OFF at" in sentence for sentence in takeover["proof"])
    group = first.view()["groups"][0]["name"]
    whole = [p for p in takeover["phases"] if p["step"] == "start" and p["subject"] == group]
    parts = [p for p in takeover["phases"] if p["group"] == group and p["step"] == "start"]
    assert sum(part["took_ms"] for part in parts) <= whole[0]["took_ms"]
    (move,) = [episode for episode in told(first) if any("standby" in sentence for sentence in episode["decided"])]
    assert move["topic"] == "move-away" and [p for p in move["phases"] if p["step"] == "stop" and p["group"]]

    # The last second of its journal may have gone with its power: then the start there has no end.
    wait_until("the cut node's journal goes on", lambda: any("lost its power" in end_of(e) for e in told(second)))


def end_of(episode: dict[str, Any]) -> str:
    return f"{episode['title']} {episode['unfinished']}"


def test_budget_measures_what_happened(pair: Pair) -> None:
    first, second = pair.start()
    assert first.moved("standby").returncode == 0
    second.power_cut()
    wait_until("the group was taken over", lambda: first.group() == "started")
    words = ("budget", "--json", "--node", first.name, "--config-dir", str(first.home / "ha.d"))

    def measured() -> dict[str, Any]:
        answer = first.ctl(*words, "--journal", str(first.home / "var" / "journal"))
        assert answer.returncode == 0, answer.stderr
        return {line["phase"]: line for line in json.loads(answer.stdout)["cases"][0]["phases"]}

    # The journal is written a moment after what it tells of.
    wait_until("the journal has the fencing", lambda: measured()["fencing"]["measured"])
    phases = measured()
    for phase in ("silence", "delay", "fencing"):
        assert phases[phase]["measured"]["count"] == 1, phase
    assert phases["fencing"]["measured"]["worst_ms"] <= phases["fencing"]["worst_ms"]
