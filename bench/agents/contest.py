"""Who is measured, at what, and which ratios we want to reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.facts import package_version
from worlds import Addresses, Exports, Mounts, Nothing, World

from failover_kit import VERSION

OURS, PEER, BARE = "failover-kit", "ClusterLabs", "bare interpreter"
OURS_AT = "usr/lib/ocf/resource.d/failover-kit"
PEERS_AT = Path("/usr/lib/ocf/resource.d/heartbeat")
BARE_ARGV = ("/usr/bin/python3", "-IS", "-c", "pass")
PEER_OF = {"IPaddr": "IPaddr2", "Filesystem": "Filesystem", "exportfs": "exportfs", "nfsserver": "nfsserver"}
LIMIT_S = 60
# What ClusterLabs' Filesystem is given for 2000 users; it has never needed less.
CROWD_LIMIT_S = 120


@dataclass(frozen=True)
class Target:
    """Ours should need at most ``ratio`` of what ``other`` needs (None: stated, no target)."""

    other: str
    ratio: float | None
    measure: str = "cpu"


@dataclass(frozen=True)
class Sizes:
    """How big the worlds are."""

    addresses: int
    mounts: int
    users: int
    exports: int


FULL = Sizes(addresses=1000, mounts=5000, users=2000, exports=500)
QUICK = Sizes(addresses=40, mounts=60, users=20, exports=30)


@dataclass(frozen=True)
class Row:
    """One thing to do.

    ``once`` runs before the row, so that there is something to monitor; ``before`` runs before each sample, by
    the agent that is measured; ``verbs`` are measured and exit with ``code``. ``users`` processes are on the
    filesystem meanwhile.
    """

    key: str
    title: str
    agent: str
    verbs: tuple[str, ...]
    targets: tuple[Target, ...]
    world: Callable[[str], World] = Nothing
    once: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    code: int = 0
    users: int = 0
    limit_s: int = LIMIT_S
    # The peer may fail or be killed, is run once, and what it took until then is a lower bound.
    peer_struggles: bool = False

    def contenders(self) -> tuple[str, ...]:
        """Who takes part, in the order of their turns. The interpreter monitors and describes, at best."""
        return (BARE, OURS, PEER) if len(self.verbs) == 1 and self.verbs[0] != "stop" else (OURS, PEER)

    def runs(self, contender: str, asked: int) -> int:
        """How many samples of ``contender`` are taken."""
        if contender == PEER and self.peer_struggles:
            return 1
        return min(asked, 3) if self.peer_struggles else asked


@dataclass(frozen=True)
class Contender:
    """One of the three on this machine: how it is called, by agent, and its version."""

    key: str
    version: str
    argv: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def rows(sizes: Sizes) -> tuple[Row, ...]:
    """Everything that is measured, with the targets of the design."""
    return (
        *_monitors("IPaddr", ("addresses", Addresses, sizes.addresses)),
        Row(
            "ipaddr-start-stop", "IPaddr start and stop, 10 addresses", "IPaddr", ("start", "stop"),
            (Target(PEER, None),), lambda place: Addresses(place, 10),
        ),
        *_monitors("Filesystem", ("mounts", Mounts, sizes.mounts)),
        Row(
            "filesystem-start-stop", "Filesystem start and stop, 10 mounts", "Filesystem", ("start", "stop"),
            (Target(PEER, None),), lambda place: Mounts(place, 10),
        ),
        Row(
            "filesystem-stop-0", "Filesystem stop, nobody uses it", "Filesystem", ("stop",),
            (Target(PEER, None, "wall"),), lambda place: Mounts(place, 10), before=("start",),
        ),
        Row(
            "filesystem-stop-crowd", f"Filesystem stop, {sizes.users} processes use it", "Filesystem", ("stop",),
            (Target(PEER, 1 / 10, "wall"),), lambda place: Mounts(place, 10), before=("start",),
            users=sizes.users, limit_s=CROWD_LIMIT_S, peer_struggles=True,
        ),
        Row(
            "exportfs-monitor", f"exportfs monitor, {sizes.exports} exports", "exportfs", ("monitor",),
            (Target(PEER, 2 / 3), Target(BARE, 1.5)), lambda place: Exports(place, sizes.exports), once=("start",),
        ),
        Row(
            "exportfs-start-stop", f"exportfs start and stop, {sizes.exports} exports", "exportfs",
            ("start", "stop"), (Target(PEER, None),), lambda place: Exports(place, sizes.exports),
        ),
        Row(
            "nfsserver-monitor", "nfsserver monitor, not running", "nfsserver", ("monitor",),
            (Target(PEER, 1 / 3), Target(BARE, 1.5)), code=7,
        ),
        *(
            Row(
                f"{agent.lower()}-meta-data", f"{agent} meta-data", agent, ("meta-data",),
                (Target(BARE, 1.5), Target(PEER, None)),
            )
            for agent in PEER_OF
        ),
    )  # fmt: skip


def _monitors(agent: str, large: tuple[str, Callable[[str, int], World], int]) -> tuple[Row, Row]:
    """monitor in a usual world and in a large one, for which no interpreter's start is a yardstick."""
    what, world, size = large
    key = f"{agent.lower()}-monitor"
    usual = (Target(PEER, 1 / 4), Target(BARE, 1.5))
    unusual = (Target(PEER, 1 / 2), Target(BARE, None))
    return (
        Row(
            key, f"{agent} monitor, 10 {what}", agent, ("monitor",), usual,
            lambda place: world(place, 10), once=("start",),
        ),
        Row(
            f"{key}-large", f"{agent} monitor, {size} {what}", agent, ("monitor",), unusual,
            lambda place: world(place, size), once=("start",),
        ),
    )  # fmt: skip


def contenders(installed: Path) -> dict[str, Contender]:
    """Who is there: ours as installed below ``installed``, the peers from Debian's package."""
    ours = {agent: (str(installed / OURS_AT / agent),) for agent in PEER_OF}
    found = {
        BARE: Contender(BARE, " ".join(BARE_ARGV), dict.fromkeys(PEER_OF, BARE_ARGV)),
        OURS: Contender(OURS, VERSION, ours),
    }
    theirs = {agent: (str(PEERS_AT / peer),) for agent, peer in PEER_OF.items() if (PEERS_AT / peer).exists()}
    if theirs:
        found[PEER] = Contender(PEER, package_version("resource-agents"), theirs)
    return found
