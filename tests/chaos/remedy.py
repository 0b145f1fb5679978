"""The operator of the quiet time: does what ``failoverctl status`` tells, literally, and nothing else.

What needs hands and eyes is done on the stage: whether a node is off for certain is looked up, not guessed.
"""

from __future__ import annotations

import re

from chaos.deeds import Order
from chaos.views import View
from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.plan import FRONT, FRONT_PREFIX, GROUP, peer_of
from failover_kit.rehearsal.stage import Stage

_RUN = re.compile(r"run(?: on (?P<node>\S+))?: failoverctl (?P<words>.+)")


def act(stage: Stage, views: list[View | str], orders: list[Order]) -> list[str]:
    """Follow the first hint of each node that can be followed now; a sentence for each."""
    done = []
    for view in views:
        if isinstance(view, str):
            continue
        for hint in view["todo"]:
            said = _follow(stage, view, hint, orders)
            if said:
                done.append(f"{view['node']} said '{hint}': {said}")
                break
    return done


def _follow(stage: Stage, view: View, hint: str, orders: list[Order]) -> str:
    node = stage.node(view["node"])
    peer = stage.node(peer_of(node.name))
    if hint.startswith("if ") and "confirm-dead" in hint:
        if peer.on:
            return ""  # it is not off, let alone for certain
        orders.append(Order(stage, node, "confirm-dead", "--yes", peer.name, "--timeout", "60"))
        return "it is off, confirmed"
    if "switch it on" in hint or "look at its plugs" in hint:
        if stage.world.switch.outlet_state(peer.plan.outlet) == "on" and peer.on:
            return ""
        stage.world.press(peer.name, "on")
        if not peer.on:
            peer.switch_on()
        return "switched on"
    if hint.startswith("stop the resources of group"):
        return _stop_by_hand(stage, node)
    found = _RUN.search(hint)
    if found is None:
        if not hint.endswith("the next failoverctl takeover here clears this"):
            return ""
        words = ["takeover"]
    else:
        words = found["words"].split()
    where = stage.node(found["node"]) if found is not None and found["node"] else node
    if not where.on:
        return ""
    if words[0] == "fence":
        words.insert(1, "--yes")
    orders.append(Order(stage, where, *words, "--timeout", "60"))
    return f"{' '.join(words)} on {where.name}"


def _stop_by_hand(stage: Stage, node: Node) -> str:
    """Through the witness, so that the ledger knows."""
    common = ["env", "OCF_ROOT=/usr/lib/ocf", "OCF_RESOURCE_INSTANCE=hand"]
    disk = [f"OCF_RESKEY_device={stage.world.disk_of().device}", f"OCF_RESKEY_directory={GROUP.mount_point}"]
    address = [f"OCF_RESKEY_ip={GROUP.address}", f"OCF_RESKEY_cidr_netmask={FRONT_PREFIX}"]
    address.append(f"OCF_RESKEY_nic={FRONT}")
    kit = stage.world.kit
    codes = [
        node.run([*common, *address, f"{kit}/ocf/IPaddr", "stop"]).code,
        node.run(["/etc/ha.d/resource.d/recordd", GROUP.mount_point, str(GROUP.port), "stop"]).code,
        node.run([*common, *disk, "OCF_RESKEY_fstype=xfs", f"{kit}/ocf/Filesystem", "stop"]).code,
    ]
    return f"stopped by hand (exit codes {codes})"
