"""The manager's brain: ``handle(now_ms, event) -> actions``. No clock, no I/O, no randomness, no logger."""

from __future__ import annotations

from failover_kit.manager.actions import Action
from failover_kit.manager.events import Event
from failover_kit.manager.records import ClusterView, CoreConfig, NodeRecord


class Core:
    """One node's decisions, for one life of failoverd.

    ``boot_id`` is the kernel's, ``nonce`` fresh random text of this life, ``stored`` the last durable
    record or None when there is none (rule 23).
    """

    def __init__(
        self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
    ) -> None:
        raise NotImplementedError

    def handle(self, now_ms: int, event: Event) -> list[Action]:
        """Take in one fact, decide, and return what is to be done, in order."""
        raise NotImplementedError

    def deadline_ms(self) -> int:
        """When the core wants a Tick, in milliseconds of the clock it was given."""
        raise NotImplementedError

    def may_start(self, group: str) -> str:
        """"" when the group may be started now, else the sentence why not (rule 1)."""
        raise NotImplementedError

    def view(self, now_ms: int) -> ClusterView:
        """A frozen picture for status and tests."""
        raise NotImplementedError
