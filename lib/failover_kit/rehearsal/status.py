"""What ``failoverctl status --json`` says on a node, as far as the rehearsal compares it with the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from failover_kit.rehearsal.node import Node
from failover_kit.spec.process import CommandMissing, CommandTimeout

STATUS_MS = 10_000


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """What the node says of one group. ``failures``: monitors that failed here and still count."""

    name: str
    state: str
    right: int
    held: bool
    failures: int
    doing: str


@dataclass(frozen=True, slots=True)
class Status:
    """One node's own account; ``groups`` in the order of haresources.

    ``links`` maps a link's name to up, None while nothing was heard on it.
    """

    node: str
    peer_state: str
    peer_hears_us: bool
    groups: tuple[GroupStatus, ...]
    health: str
    reason: str
    todo: tuple[str, ...]
    links: dict[str, bool | None]
    fence_attempts: int
    fence_last: str
    exit_code: int


EXIT_CODES = {"healthy": 0, "degraded": 1, "no-service": 2}
"""What ``failoverctl status`` exits with, for scripts that look no further."""


class StatusError(Exception):
    """The node does not answer, or not as expected; ``str()`` says what came instead."""


def ask(node: Node, ctl: str) -> Status:
    """Run ``failoverctl status --json`` in the node. Raises StatusError."""
    if not node.on:
        raise StatusError(f"{node.name} has no power")
    try:
        result = node.run([ctl, "status", "--json"], STATUS_MS)
    except (CommandTimeout, CommandMissing) as error:
        raise StatusError(str(error)) from None
    if result.code not in EXIT_CODES.values():
        raise StatusError(result.describe())
    try:
        return parse(json.loads(result.stdout)["view"], result.code)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StatusError(f"{node.name}: status is not as expected ({error!r}): {result.stdout[:200]}") from None


def parse(found: dict[str, Any], exit_code: int) -> Status:
    """The ``view`` of status (``ClusterView`` in manager/records.py). KeyError, TypeError when it is not one."""
    return Status(
        node=found["node"],
        peer_state=found["peer_state"],
        peer_hears_us=found["peer_hears_us"],
        groups=tuple(
            GroupStatus(**{name: group[name] for name in GroupStatus.__slots__}) for group in found["groups"]
        ),
        health=found["health"],
        reason=found["reason"],
        todo=tuple(found["todo"]),
        links={link["name"]: link["up"] for link in found["links"]},
        fence_attempts=found["fence_attempts"],
        fence_last=found["fence_last"],
        exit_code=exit_code,
    )
