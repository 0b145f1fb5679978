"""What all audits share: the world, what each life of failoverd was seen to do, and how a violation is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from failover_kit.manager.records import NodeRecord
from failover_kit.manager.states import GroupState
from sim.witness import Witness

if TYPE_CHECKING:
    from sim.machine import Machine
    from sim.world import World

RUNNING_STATES = (GroupState.STARTING, GroupState.STARTED)


class Violation(Exception):
    """A promise was broken: by the core, or by the simulator itself."""


class AuditsBase:
    """The books of one world's audits."""

    def __init__(self, world: World, *, outcome_only: bool = False) -> None:
        self.world = world
        self.outcome_only = outcome_only  # look only at S1 and the rights, not at how it came about
        self.s1_only = False  # not even at the rights: what really runs
        self.two_active = ""  # a group that an exam made active on both nodes, to see what follows (rule 16)
        self.resets: list[str] = []  # nodes that then reset themselves
        self.groups = tuple(name for name, _ in world.faults.groups)
        self.witness: list[Witness | None] = [None, None]
        self.contact = ["", ""]  # boot in which a current beat was received
        self.shelved: list[tuple[NodeRecord | None, str] | None] = [None, None]  # and its contact
        self.alone_shots = [0, 0]  # shots since the last contact, fired without one
        self.sent_grants: dict[tuple[str, int], str] = {}  # (group, epoch) -> life it is addressed to
        self.state_lost = False
        self.starts = 0
        self.starts_of: dict[str, int] = {}
        self.believed_ms: dict[tuple[str, str], int] = {}  # (life, life of its peer): believed since
        self.rights_since: dict[tuple[int, str], int] = {}  # the epoch from which on a disk has said right, always
        self.restarts: dict[tuple[int, str], list[int]] = {}  # monitors that failed in this boot
        self.drills = 0  # that ended well
        self.ping_moves: dict[str, int] = {}  # when a group was last moved by ping_failover

    def check(self, condition: bool, text: str) -> None:
        """Raise a Violation unless ``condition``."""
        if not condition:
            raise Violation(text)

    def fail(self, machine: Machine, text: str) -> None:
        """A rule was broken on ``machine``."""
        if self.outcome_only:
            return
        raise Violation(f"{machine.name} at {self.world.now / 1000:.3f} s: {text}")

    def usable_right(self, machine: Machine, name: str) -> int:
        """The epoch by which this node could start ``name`` now; 0 = none. Doubt counts as usable."""
        stored = machine.disk.record
        if not machine.boot_id or stored is None or stored.boot_id != machine.boot_id:
            return 0
        right = next((record.right for record in stored.groups if record.name == name), 0)
        witness = self.witness[machine.index]
        if right and machine.daemon is not None and witness is not None and name in witness.handed:
            # Given up counts from the moment it was handed to Persist.
            return right if witness.handed[name].right == right else 0
        return right

    def _adopted(self, witness: Witness, group: str) -> bool:
        return witness.books[group].state == "doubt" and bool(witness.begun_with[group])

    def _active_states(self, witness: Witness) -> set[str]:
        return {book.state for book in witness.books.values()}
