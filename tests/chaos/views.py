"""What both nodes say of themselves, and whether the pair is at rest."""

from __future__ import annotations

import json
from typing import Any

from failover_kit.rehearsal.node import Node
from failover_kit.rehearsal.stage import Stage
from failover_kit.rehearsal.status import EXIT_CODES, STATUS_MS
from failover_kit.spec.process import CommandMissing, CommandTimeout

View = dict[str, Any]


def look(stage: Stage, node: Node) -> View | str:
    """The view of ``failoverctl status --json``, or why there is none."""
    if not node.on:
        return f"{node.name} has no power"
    try:
        result = node.run([stage.ctl, "status", "--json"], STATUS_MS)
        if result.code not in EXIT_CODES.values():
            return f"{node.name}: {result.describe()}"
        view: View = json.loads(result.stdout)["view"]
        return view
    except (CommandTimeout, CommandMissing, ValueError, KeyError) as error:
        return f"{node.name}: {error}"


def unrest(views: list[View | str]) -> str:
    """"" when each group runs on exactly one node, both agree on it and owe nothing; else what is still so."""
    for view in views:
        if isinstance(view, str):
            return view
        name = view["node"]
        if view["peer_state"] != "up" or not view["peer_hears_us"]:
            return f"{name} sees its peer {view['peer_state']}"
        if view["fence_running_since_ms"] is not None or view["on_owed"] or view["leaving"]:
            return f"{name} is not at rest: a shot, power owed, or leaving"
        if view["proof"]["state"] == "running":
            return f"{name}: {view['proof']['text']}"
        if view["health"] != "healthy":
            return f"{name} is {view['health']}: {view['reason']}"
    groups = [view["groups"][0] for view in views if not isinstance(view, str)]
    holders = [group for group in groups if group["state"] == "started" and group["right"]]
    others = [g for g in groups if g["state"] == "stopped" and not (g["right"] or g["held"] or g["grant"])]
    if len(holders) != 1 or len(others) != 1:
        return "; ".join(f"the group is {g['state']}, right {g['right']}, held {g['held']}" for g in groups)
    return ""
