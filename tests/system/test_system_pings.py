"""Two real failoverd with a gateway beside them: what is reached is a vote, and a node that is cut off yields."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair import Node, Pair, wait_until

pytestmark = pytest.mark.root

GATEWAY = "10.78.0.254"
EXTRA = [f"ping {GATEWAY}", "ping_group printers 10.78.0.77 10.78.0.253"]  # nobody has .77


class Gateway:
    """A machine with a switch in it; each node has lan0 in a port of that."""

    def __init__(self, pair: Pair) -> None:
        self.namespace = f"fksys-{os.getpid()}-gw"
        self._ip("netns", "add", self.namespace)
        self._ip("-n", self.namespace, "link", "add", "br0", "up", "type", "bridge")
        for address in (GATEWAY, "10.78.0.253"):
            self._ip("-n", self.namespace, "address", "add", f"{address}/24", "dev", "br0")
        for number, node in enumerate(pair.nodes, 1):
            ends = ["lan0", "netns", node.namespace, "type", "veth", "peer", "name", f"port{number}"]
            self._ip("link", "add", *ends, "netns", self.namespace)
            self._ip("-n", self.namespace, "link", "set", f"port{number}", "master", "br0", "up")
            self._ip("-n", node.namespace, "address", "add", f"10.78.0.{number}/24", "dev", "lan0")
            self.plug(node, whole=True)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)

    def plug(self, node: Node, *, whole: bool) -> None:
        """The cable of one node."""
        self._ip("-n", node.namespace, "link", "set", "lan0", "up" if whole else "down")

    def close(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


@pytest.fixture
def site(folder: Path) -> Iterator[tuple[Pair, Gateway]]:
    pair = Pair(folder, extra=EXTRA)
    gateway = None
    try:
        gateway = Gateway(pair)
        yield pair, gateway
    finally:
        if gateway is not None:
            gateway.close()
        pair.close()


def reached(node: Node) -> list[bool | None]:
    return [ping["reached"] for ping in node.view().get("pings", [])]


def test_a_vote_in_planned_moves_and_patience_of_the_node_that_is_cut_off(site: tuple[Pair, Gateway]) -> None:
    pair, gateway = site
    first, second = pair.start()
    for node in (first, second):
        wait_until("both ping nodes answer", lambda node=node: reached(node) == [True, True])  # type: ignore[misc]
        wait_until("the peer's count is known", lambda node=node: node.view()["peer_reaches"] == 2)  # type: ignore[misc]
    wait_until("all is well", lambda: first.view()["health"] == "healthy")

    gateway.plug(second, whole=False)
    wait_until("it is silent for the passive node", lambda: reached(second) == [False, False])
    wait_until("the holder knows", lambda: first.view()["peer_reaches"] == 0)
    refused = first.ctl("standby")
    assert refused.returncode == 3 and f"{second.name} reaches 0 of 2 ping nodes, {first.name} 2" in refused.stderr
    assert second.ctl("takeover").returncode == 3
    status = second.ctl("status")
    assert status.returncode == 1 and f"ping node {GATEWAY} does not answer" in " ".join(status.stdout.split())
    assert pair.starts() == [(first.name, "one"), (first.name, "two")]

    gateway.plug(second, whole=True)
    wait_until("it answers again", lambda: first.view()["peer_reaches"] == 2)
    assert first.moved("standby").returncode == 0
    assert second.group() == "started"

    # The holder loses everything at once, the other one only its peer.
    pair.cable.pulled = True
    gateway.plug(second, whole=False)
    pair.pull_network()
    wait_until("the node that is not cut off has taken over", lambda: first.group() == "started")
    assert "reaches no ping node: it may be cut off itself" in second.log(), pair.logs()
    assert pair.switch_log()[:1] == ["off 2"], pair.logs()
    assert not any(line.endswith(" 1") for line in pair.switch_log())
    pair.prove_one_holder()
