"""check --links between two network namespaces and over a pty cable, without a daemon and with both."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from pair import PATIENCE_S, REPOSITORY, Node, Pair, wait_until

pytestmark = pytest.mark.root


def check(node: Node, *words: str) -> list[str]:
    """The command in the node's namespace: the links' interfaces are there."""
    return [
        "nsenter", f"--net=/run/netns/{node.namespace}", str(REPOSITORY / "bin" / "failoverctl"),
        "--socket", str(node.home / "run" / "control.sock"), "check", "--json",
        "--config-dir", str(node.home / "ha.d"), "--node", node.name, *words,
    ]  # fmt: skip


def both_test_their_links(pair: Pair, seconds: str) -> list[tuple[int, dict[str, dict[str, Any]]]]:
    """At the same time, as an operator would; each one's exit code and rows by the kind of link."""
    running = [
        subprocess.Popen(
            check(node, "--links", "--seconds", seconds), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for node in pair.nodes
    ]
    answers = []
    for process in running:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert out, err.decode()
        answers.append((process.returncode, by_kind(out)))
    return answers


def by_kind(out: str | bytes) -> dict[str, dict[str, Any]]:
    return {"udp" if row["link"] == "eth1" else "serial": row for row in json.loads(out)["links"]}


def directions(rows: dict[str, dict[str, Any]]) -> dict[str, tuple[bool, bool | None]]:
    return {kind: (row["to_here"], row["to_there"]) for kind, row in rows.items()}


def test_every_medium_in_both_directions_without_a_daemon(pair: Pair) -> None:
    for code, rows in both_test_their_links(pair, "30"):
        assert directions(rows) == {"udp": (True, True), "serial": (True, True)}
        assert code == 0


def test_a_pulled_cable_and_a_one_way_network_are_told_apart(pair: Pair) -> None:
    second = pair.nodes[1]
    pair.cable.pulled = True
    # What the second node sends goes to an address that nobody has: the first one does not hear it.
    config = second.home / "ha.d" / "ha.cf"
    config.write_text(config.read_text().replace("10.77.0.1\n", "10.77.0.9\n"))
    (code, here), (other_code, there) = both_test_their_links(pair, "6")
    assert directions(here) == {"udp": (False, None), "serial": (False, None)}
    assert directions(there) == {"udp": (True, False), "serial": (False, None)}
    assert (code, other_code) == (1, 1)


def test_with_daemons_both_directions_come_from_what_both_hear(pair: Pair) -> None:
    first, second = pair.start()

    def facts() -> str:
        return subprocess.run(
            check(second, "--facts"), capture_output=True, text=True, check=True, timeout=PATIENCE_S
        ).stdout

    done = subprocess.run(
        check(first, "--links", "--peer-facts", "-"),
        input=facts(), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(row["to_here"], row["to_there"]) for row in json.loads(done.stdout)["links"]] == [(True, True)] * 2

    pair.cable.deaf = 1  # one wire of two: nobody but the other node knows
    wait_until("the other node says so", lambda: any(link["peer_hears"] is False for link in first.view()["links"]))
    done = subprocess.run(check(first, "--links"), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert directions(by_kind(done.stdout)) == {"udp": (True, True), "serial": (True, False)}
    assert (done.returncode, done.stderr) == (1, "")
    wait_until("it is called by its name", lambda: any(link["one_way"] for link in first.view()["links"]))
    done = subprocess.run(check(first), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    (found,) = [row for row in json.loads(done.stdout)["findings"] if row["id"] == "link-one-way"]
    assert found["fact"].startswith(f"{second.name} does not hear {first.name} on ")

    pair.cable.deaf, pair.cable.pulled = None, True
    wait_until("the first node misses it", lambda: any(link["up"] is False for link in first.view()["links"]))
    done = subprocess.run(check(first), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 1
    found = {row["id"]: row for row in json.loads(done.stdout)["findings"]}
    assert "link-silent" in found
    assert "fence-unproved" in found
    assert pair.switch_log() == []  # a check asks no switch


def test_the_switch_is_read_only_when_asked_for_and_by_failoverd(pair: Pair) -> None:
    first, _ = pair.start()
    subprocess.run(check(first, "--switch"), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    asked = set(pair.switch_log())
    assert {"status 1", "status 2"} <= asked
    assert not any(line.startswith(("on", "off", "reboot")) for line in asked)
