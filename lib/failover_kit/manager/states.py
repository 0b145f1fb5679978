"""States of groups and of the peer, and the tables of what may follow what.

A transition is a row. A pair without a row raises InvariantViolation: it is our bug, and a node that
does not understand its own state must not go on deciding. The diagrams in ``docs/`` and the
simulator's coverage report are made from these tables.
"""

from __future__ import annotations

from enum import Enum


class InvariantViolation(Exception):
    """The core met a situation its own rules exclude: a bug in failover-kit, never an operator's error."""


def check(condition: bool, message: str) -> None:
    """Raise InvariantViolation unless ``condition``; unlike ``assert`` it stays under ``python -O``."""
    if not condition:
        raise InvariantViolation(message)


class GroupState(Enum):
    """What is known about a group's resources on this node."""

    UNKNOWN = "unknown"  # not probed, or found in a state we did not order
    STOPPED = "stopped"  # every stop verified (PROTOCOL rule 6)
    STARTING = "starting"
    STARTED = "started"
    STOPPING = "stopping"
    FAILED = "failed"  # a stop failed: resources may be active


class GroupTrigger(Enum):
    """Why a group's state changes."""

    PROBED_STOPPED = "probed-stopped"
    PROBED_DOUBT = "probed-doubt"
    ADOPTED = "adopted"
    START_ORDERED = "start-ordered"
    START_OK = "start-ok"
    STOP_ORDERED = "stop-ordered"
    STOP_OK = "stop-ok"
    STOP_FAILED = "stop-failed"
    LOOK_ORDERED = "look-ordered"  # maintenance ended: what people did meanwhile is not known


GROUP_TABLE: dict[tuple[GroupState, GroupTrigger], GroupState] = {
    (GroupState.UNKNOWN, GroupTrigger.PROBED_STOPPED): GroupState.STOPPED,
    (GroupState.UNKNOWN, GroupTrigger.PROBED_DOUBT): GroupState.UNKNOWN,
    (GroupState.UNKNOWN, GroupTrigger.ADOPTED): GroupState.STARTED,
    # Found half running under a right that survived: brought to one defined state first.
    (GroupState.UNKNOWN, GroupTrigger.STOP_ORDERED): GroupState.STOPPING,
    (GroupState.STOPPED, GroupTrigger.START_ORDERED): GroupState.STARTING,
    (GroupState.STARTING, GroupTrigger.START_OK): GroupState.STARTED,
    # A failed start is followed by a stop of the whole group.
    (GroupState.STARTING, GroupTrigger.STOP_ORDERED): GroupState.STOPPING,
    (GroupState.STARTED, GroupTrigger.STOP_ORDERED): GroupState.STOPPING,
    (GroupState.STOPPING, GroupTrigger.STOP_OK): GroupState.STOPPED,
    (GroupState.STOPPING, GroupTrigger.STOP_FAILED): GroupState.FAILED,
    (GroupState.FAILED, GroupTrigger.STOP_ORDERED): GroupState.STOPPING,
    (GroupState.UNKNOWN, GroupTrigger.LOOK_ORDERED): GroupState.UNKNOWN,
    (GroupState.STOPPED, GroupTrigger.LOOK_ORDERED): GroupState.UNKNOWN,
    (GroupState.STARTED, GroupTrigger.LOOK_ORDERED): GroupState.UNKNOWN,
    (GroupState.FAILED, GroupTrigger.LOOK_ORDERED): GroupState.UNKNOWN,
}


class PeerState(Enum):
    """What is known about the other node. Silent is not dead; dead is only what was read or confirmed."""

    NEVER_HEARD = "never-heard"
    UP = "up"
    SILENT = "silent"
    FENCING = "fencing"
    FENCED = "fenced"
    CONFIRMED_DEAD = "confirmed-dead"


class PeerTrigger(Enum):
    """Why the peer's state changes."""

    BEAT = "current-beat"  # a current beat that says it hears us
    SILENCE = "silence"  # none for deadtime (initdead while never heard in this life)
    SHOT = "shot"
    PROOF = "proof"
    SHOT_FAILED = "shot-failed"
    SHOT_FAILED_UNHEARD = "shot-failed-unheard"  # and initdead is not over yet
    CONFIRM = "operator-confirmed"


PEER_TABLE: dict[tuple[PeerState, PeerTrigger], PeerState] = {
    (PeerState.NEVER_HEARD, PeerTrigger.BEAT): PeerState.UP,
    (PeerState.NEVER_HEARD, PeerTrigger.SILENCE): PeerState.SILENT,
    (PeerState.NEVER_HEARD, PeerTrigger.CONFIRM): PeerState.CONFIRMED_DEAD,
    (PeerState.NEVER_HEARD, PeerTrigger.SHOT): PeerState.FENCING,  # operator's order only
    (PeerState.UP, PeerTrigger.BEAT): PeerState.UP,
    (PeerState.UP, PeerTrigger.SILENCE): PeerState.SILENT,
    (PeerState.UP, PeerTrigger.SHOT): PeerState.FENCING,  # rule 14
    (PeerState.SILENT, PeerTrigger.BEAT): PeerState.UP,
    (PeerState.SILENT, PeerTrigger.SHOT): PeerState.FENCING,
    (PeerState.SILENT, PeerTrigger.CONFIRM): PeerState.CONFIRMED_DEAD,
    # Its plugs were found OFF, ordered off again and read back: no shot was needed, rule 15.
    (PeerState.SILENT, PeerTrigger.PROOF): PeerState.FENCED,
    (PeerState.FENCING, PeerTrigger.BEAT): PeerState.FENCING,  # a shot cannot be recalled, rule 12
    (PeerState.FENCING, PeerTrigger.PROOF): PeerState.FENCED,
    (PeerState.FENCING, PeerTrigger.SHOT_FAILED): PeerState.SILENT,
    (PeerState.FENCING, PeerTrigger.SHOT_FAILED_UNHEARD): PeerState.NEVER_HEARD,
    (PeerState.FENCED, PeerTrigger.BEAT): PeerState.UP,
    (PeerState.FENCED, PeerTrigger.SHOT): PeerState.FENCING,  # operator's order only
    # Maintenance ended: people may have given it its power back, rule 19.
    (PeerState.FENCED, PeerTrigger.SILENCE): PeerState.SILENT,
    (PeerState.CONFIRMED_DEAD, PeerTrigger.BEAT): PeerState.UP,
    # Heard before the confirmed takeover was durable: the confirmation is void, rule 2c.
    (PeerState.CONFIRMED_DEAD, PeerTrigger.SILENCE): PeerState.SILENT,
    (PeerState.CONFIRMED_DEAD, PeerTrigger.SHOT): PeerState.FENCING,  # operator's order only
}
