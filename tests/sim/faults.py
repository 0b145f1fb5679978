"""What may go wrong in one simulated run: one frozen value, drawn from the seed, printed on failure.

Swarm testing: each seed switches whole kinds of faults on or off, so that one kind cannot hide what
another would show (a world where everything always fails never gets far enough to fail interestingly).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random

from failover_kit.manager.dialect import MINOR
from failover_kit.manager.records import CoreConfig, CoreGroup

NODES = ("mclaws", "pete")

# Kinds of faults the chaos driver (chaos.py) can inject, each by the method of that name.
FAULT_KINDS = (
    "cut_one_way",
    "cut_link",
    "cut_all",
    "crash_daemon",
    "pause_daemon",
    "mains_cut",
    "blackout",
    "reboot",
    "disk_full",
    "disk_slow",
    "device_mode",
    "agent_mode",
    "standby",
    "takeover",
    "fence",
    "confirm_dead",
    "shutdown",
    "resource_dies",
    "replay",
    "lose_state",
    "mid_move_cut",
    "config_differs",
)

# Kinds added later, and the first seed that draws them: older seeds stay the runs they were.
LATER_KINDS = {
    "crash_loop": 5_000,
    "prove": 9_000,
    "maintain": 30_000,
    "request": 40_000,
    "ping_lost": 50_000,
    "isolate": 50_000,
    "upgrade": 60_000,
    "unheard": 70_000,
    "insist": 70_000,
    "repair": 70_000,
    "cut_in_maintenance": 70_000,
}
# The first seed that can draw every kind of fault and every exam there is: where a release run begins.
EVERYTHING_SEED = 70_000
# From this seed on a pair may have ping nodes.
PINGS_SEED = 50_000
# From this seed on the exam may be one of those added later, too.
LATER_EXAMS_SEED = 9_000
# From this seed on a drill may meet every kind of fault, not only those first thought of.
ANY_FAULT_MEETS_DRILL_SEED = 20_000

DEVICE_MODES = ("fail", "hang", "late", "lie", "blind", "slow")
AGENT_MODES = ("fail", "hang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Options of one run. Times are milliseconds of simulated time, probabilities 0..1."""

    seed: int
    duration_ms: int  # of the random phase
    # The pair
    groups: tuple[tuple[str, str], ...]  # (name, home)
    links: tuple[str, ...]
    keepalive_ms: int
    deadtime_ms: int
    auto_failback: bool
    boot_alone: bool
    can_fence: bool
    fence_power_on: bool
    plugs: int
    # The network
    loss: float
    duplicate: float
    delay_ms: int  # largest ordinary delay
    long_delay: float  # probability that a frame takes up to long_delay_ms: it meets other lives
    long_delay_ms: int
    # Disks
    persist_ms: int
    # Agents
    start_ms: int
    stop_ms: int
    op_timeout_ms: int
    outlive: float  # an action goes on after its daemon crashed
    unkillable: float  # a process does not die at once when killed (a call stuck in the kernel)
    agent_fail: float  # any start or stop fails without a fault being switched on
    # Fence devices
    switch_ms: int  # longest ordinary off, on or read of one plug
    fence_timeout_ms: int
    late_ms: int  # a late off switches up to this long after it was given up
    # Machines
    boot_ms: int
    # The chaos driver
    gap_ms: int  # mean time between two faults
    stability_ms: int  # least time a fault, and its absence, lasts
    kinds: tuple[str, ...]
    device_modes: tuple[str, ...] = DEVICE_MODES
    later_exams: bool = False
    newer_exams: bool = False
    exam: str = ""  # this one, not one that is drawn
    failback_delay_ms: int = 0
    monitor_failures: int = 2
    pings: int = 0  # ping nodes
    ping_failover: bool = False
    speaks: tuple[int, int] = (MINOR, MINOR)  # minor of failoverd on each node at the beginning (design 0039)
    mixed: bool = False  # the exam is taken by two versions side by side

    @property
    def fence_delay_ms(self) -> int:
        """D of rule 10: above the slowest ordinary issue-to-OFF time + deadtime + one beat."""
        return self.plugs * self.switch_ms + self.deadtime_ms + self.keepalive_ms + 1_000

    @property
    def prove_timeout_ms(self) -> int:
        """Enough for a slow switch and a boot; a node that takes longer was not proved."""
        return self.boot_ms + self.fence_timeout_ms + 60_000

    def config(self, index: int, digest: str) -> CoreConfig:
        """The configuration of node ``index``."""
        return CoreConfig(
            node=NODES[index],
            peer=NODES[1 - index],
            groups=tuple(CoreGroup(name=name, home=home) for name, home in self.groups),
            links=self.links,
            keepalive_ms=self.keepalive_ms,
            warntime_ms=self.deadtime_ms // 2,
            deadtime_ms=self.deadtime_ms,
            initdead_ms=2 * self.deadtime_ms,
            auto_failback=self.auto_failback,
            failback_delay_ms=self.failback_delay_ms,
            monitor_failures=self.monitor_failures,
            can_fence=self.can_fence,
            fence_delay_ms=self.fence_delay_ms,
            fence_power_on=self.fence_power_on,
            boot_alone=self.boot_alone,
            move_timeout_ms=4 * self.op_timeout_ms,
            digest=digest,
            fencing_digest="switch",
            prove_timeout_ms=self.prove_timeout_ms,
            pings=tuple(f"gateway{number}" for number in range(1, self.pings + 1)),
            deadping_ms=self.deadtime_ms,
            ping_failover=self.ping_failover,
        )

    def describe(self) -> str:
        """One option a line, as printed with a failing seed."""
        return "\n".join(f"    {field.name} = {getattr(self, field.name)!r}" for field in fields(self))


def draw(seed: int, *, kinds: tuple[str, ...] | None = None, duration_ms: int = 600_000) -> Faults:
    """The options of ``seed``; ``kinds`` narrows the faults to a profile."""
    # The options have their own generator: a longer list of options does not shift the run's own dice.
    rng = Random(f"options-{seed}")
    keepalive_ms = rng.choice((200, 500, 500, 1_000, 1_000))
    if kinds is None:
        kinds = tuple(kind for kind in FAULT_KINDS if rng.random() < (0.15 if kind == "lose_state" else 0.5))
        kinds += tuple(
            kind for kind, first in LATER_KINDS.items() if seed >= first and Random(f"{kind}-{seed}").random() < 0.5
        )
    versions = Random(f"upgrade-{seed}")
    speaks, mixed = (MINOR, MINOR), False
    if "upgrade" in kinds:
        speaks, mixed = versions.choice(((0, MINOR), (MINOR, 0), (0, 0), (MINOR, MINOR))), versions.random() < 0.5
    group_count = rng.choice((1, 1, 2, 3))
    return Faults(
        seed=seed,
        duration_ms=duration_ms,
        groups=tuple((f"g{number}", rng.choice(NODES)) for number in range(1, group_count + 1)),
        links=rng.choice((("eth1",), ("eth1", "ttyS0"), ("eth1", "ttyS0"))),
        keepalive_ms=keepalive_ms,
        deadtime_ms=keepalive_ms * rng.randint(4, 10),
        auto_failback=rng.random() < 0.3,
        boot_alone=rng.random() < 0.2,
        can_fence=rng.random() < 0.95,
        fence_power_on=rng.random() < 0.8,
        plugs=rng.choice((1, 1, 2)),
        loss=rng.choice((0.0, 0.0, 0.02, 0.2)),
        duplicate=rng.choice((0.0, 0.05)),
        delay_ms=rng.choice((1, 20, keepalive_ms)),
        long_delay=rng.choice((0.0, 0.0, 0.01)),
        long_delay_ms=rng.choice((5_000, 60_000, 200_000)),
        persist_ms=rng.choice((2, 20, 300)),
        start_ms=rng.choice((100, 2_000, 8_000)),
        stop_ms=rng.choice((100, 2_000, 8_000)),
        op_timeout_ms=rng.choice((10_000, 20_000)),
        outlive=rng.choice((0.0, 0.5, 1.0)),
        unkillable=rng.choice((0.0, 0.0, 0.1, 0.5)),
        agent_fail=rng.choice((0.0, 0.0, 0.02)),
        switch_ms=rng.choice((300, 2_000)),
        fence_timeout_ms=rng.choice((10_000, 20_000)),
        late_ms=rng.choice((5_000, 40_000)),
        boot_ms=rng.choice((1_000, 10_000, 30_000)),
        gap_ms=rng.choice((3_000, 10_000, 30_000)),
        stability_ms=rng.choice((500, 5_000, 20_000)),
        kinds=kinds,
        device_modes=tuple(mode for mode in DEVICE_MODES if rng.random() < 0.6) or ("fail",),
        later_exams=seed >= LATER_EXAMS_SEED,
        newer_exams=seed >= EVERYTHING_SEED,
        failback_delay_ms=Random(f"failback-{seed}").choice((0, 0, 20_000)),
        monitor_failures=Random(f"failures-{seed}").choice((1, 2, 2, 3)),
        pings=Random(f"pings-{seed}").choice((0, 1, 2)) if seed >= PINGS_SEED else 0,
        ping_failover=seed >= PINGS_SEED and Random(f"ping-failover-{seed}").random() < 0.3,
        speaks=speaks,
        mixed=mixed,
    )
