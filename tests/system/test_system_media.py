"""Two real failoverd over every medium of ha.cf at once, and one wire of a cable broken."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
from pair import Node, Pair, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this kernel has no IPv6"),
]

MEDIA = ["bcast eth2", "mcast eth1 239.0.0.43 6945 1 0", "ucast6 eth2 fe80::43:1", "ucast6 eth2 fe80::43:2",
         "mcast6 eth1 ff12::43"]  # fmt: skip
NAMES = ["eth1", "eth1/mcast", "eth1/mcast6", "eth2/bcast", "eth2/ucast6"]


def second_cable(pair: Pair) -> None:
    first, second = (node.namespace for node in pair.nodes)
    for words in (
        ["link", "add", "eth2", "netns", first, "type", "veth", "peer", "name", "eth2", "netns", second],
        ["-n", first, "link", "set", "eth2", "up"],
        ["-n", second, "link", "set", "eth2", "up"],
        ["-n", first, "address", "add", "fe80::43:1/64", "dev", "eth2", "nodad"],
        ["-n", second, "address", "add", "fe80::43:2/64", "dev", "eth2", "nodad"],
    ):
        subprocess.run(["ip", *words], check=True, capture_output=True)


def links_of(node: Node) -> dict[str, tuple[bool, bool]]:
    """By name: whether beats come in there, and whether the peer says that ours do."""
    return {link["name"]: (link["up"], link["peer_hears"]) for link in node.view().get("links", [])}


def all_whole(node: Node) -> bool:
    view = node.view()
    links = view.get("links", [])
    both = all(link["up"] and link["peer_hears"] for link in links)
    return both and len(links) == 6 and view["health"] == "healthy"


def one_way(node: Node) -> list[str]:
    return [link["one_way"] for link in node.view().get("links", []) if link["one_way"]]


def test_every_medium_carries_beats_and_a_broken_wire_is_named(folder: Path) -> None:
    pair = Pair(folder, extra=MEDIA)
    try:
        second_cable(pair)
        first, second = pair.start()
        for node in (first, second):
            wait_until("every link works both ways", partial(all_whole, node))
            assert sorted(name for name in links_of(node) if name.startswith("eth")) == NAMES

        inject = pair.cable.inject
        pair.cable.inject = lambda side, data: None if side == 1 else inject(side, data)  # type: ignore[method-assign]
        deaf = f"{first.name} hears us there, we do not hear it"
        wait_until("the deaf side says so", lambda: one_way(second) == [deaf])
        not_heard = f"we hear {second.name} there, it does not hear us"
        wait_until("the other side, too", lambda: one_way(first) == [not_heard])
        assert "ONE WAY" in second.ctl("status").stdout
        pair.cable.inject = inject  # type: ignore[method-assign]
        wait_until("mended", lambda: not one_way(first) and not one_way(second))

        # The last of them all is enough: nothing moves, nobody is fenced.
        pair.cable.pulled = True
        subprocess.run(["ip", "-n", first.namespace, "link", "set", "eth1", "down"], check=True)
        subprocess.run(["ip", "-n", second.namespace, "-6", "address", "flush", "dev", "eth2"], check=True)
        wait_until(
            "bcast alone is left",
            lambda: [name for name, (heard, _) in links_of(second).items() if heard] == ["eth2/bcast"],
        )
        assert (first.peer(), second.peer(), first.group()) == ("up", "up", "started")
        assert pair.switch_log() == []
        pair.prove_one_holder()
    finally:
        print(pair.logs())
        pair.close()
