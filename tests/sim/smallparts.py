"""What a small world is made of: names, times, bounds, settings, and copies of cores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from failover_kit.manager.core import Core
from failover_kit.manager.coredata import Group
from failover_kit.manager.dialect import MINOR
from failover_kit.manager.hearing import Candidate, Hearing
from failover_kit.manager.records import CoreConfig, CoreGroup

NODES = ("mclaws", "pete")
GROUP = "web"
SECOND = "files"
LINK = "eth1"

KEEPALIVE_MS = 1
DEADTIME_MS = 1_000
# Parts of a wait: below the bound of a pause (half of deadtime), together above deadtime and every delay.
WAIT_PART_MS = 400
WAIT_PARTS = 3
PAUSE_MS = WAIT_PART_MS * WAIT_PARTS
# A moment of the last wait stays younger than deadtime until the next one, as long as there are fewer beats
# than this lacks of deadtime; an age between the two would break the abstraction and is an error.
FRESH_MS = 960
EXPIRED_MS = DEADTIME_MS


# With one clock for both nodes: what one step of it is, how long a shot takes at most, and the turn D of rule 10,
# which is larger than a shot, deadtime and the interval of beats (one step) together.
STEP_MS = 400
SHOT_MS = 400
TURN_MS = 2_000
assert TURN_MS > SHOT_MS + DEADTIME_MS + STEP_MS


class Violation(Exception):
    """The world is in a state it must never be in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How often each kind of trouble may still happen. Loss of beats is not counted: any beat may be lost."""

    waits: int = 99  # either node hears nothing for deadtime; 99 = as often as it likes
    kept: int = 0  # beats kept by the network and delivered at any later time
    crashes: int = 0  # failoverd dies and starts again, the boot goes on
    lost_state: int = 0  # a crash or power cut after which the state directory is empty
    resets: int = 0  # power losses, by the switch or without it, each followed by a new boot
    pauses: int = 0  # a node does not run for longer than deadtime
    persist_failures: int = 0  # the disk then holds the old or the new record
    agent_failures: int = 0  # a start, a stop or a monitor fails
    device_failures: int = 0  # a shot, a power-on that fails; a shot that reports success and switches nothing
    moves: int = 0  # standby or takeover
    leaves: int = 0  # failoverd is asked to end
    fence_orders: int = 0  # the operator orders a shot
    confirms: int = 0  # the operator says "dead" of a node that is
    proves: int = 0  # the operator orders a proof drill
    false_reads: int = 0  # off goes to plugs that are not the peer's, and they read OFF: for counter-examples


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stays the same during one search."""

    home: str = NODES[0]
    second_home: str = ""  # of a second group; "" = there is one group
    can_fence: bool = True
    boot_alone: bool = False
    power_on: bool = True  # fence_action reboot
    slow_disks: bool = True  # a Persist takes as long as it likes; False: it is answered at once
    slow_probes: bool = False
    # The others are for counter-examples.
    rash_operator: bool = False  # may say "dead" of a node that lives
    two_active: bool = False  # the worst has happened: what is audited is that nobody unmounts beside it
    maintenance: bool = False  # may be begun, and the pair must keep still once the operator was told that it does
    edited: bool = False  # in the files that pete's second life of failoverd reads the groups have changed disks
    status: bool = False  # where nobody serves and a node waits for nothing, its status must name something to do
    one_clock: bool = False  # time passes for both nodes at once: rules 10 and 11 are about whose turn comes first

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Names, in the order of the configuration."""
        return (GROUP, SECOND) if self.second_home else (GROUP,)

    @cached_property
    def nothing_runs(self) -> tuple[int, ...]:
        return (0,) * len(self.groups)

    @cached_property
    def no_agents(self) -> tuple[None, ...]:
        return (None,) * len(self.groups)

    def place(self, group: str) -> int:
        """Of a group in lists by group."""
        return self.groups.index(group)

    def called(self, place: int) -> str:
        """" of NAME" where there is more than one group to speak of."""
        return f" of {self.groups[place]}" if self.second_home else ""

    def reads_edited(self, index: int, life: int) -> bool:
        """Whether this life of failoverd has other files than its peer."""
        return self.edited and index == 1 and life > 1

    def config(self, index: int, life: int = 1) -> CoreConfig:
        return CoreConfig(
            node=NODES[index],
            peer=NODES[1 - index],
            groups=tuple(
                CoreGroup(name=name, home=home)
                for name, home in zip(self.groups, (self.home, self.second_home), strict=False)
            ),
            links=(LINK,),
            keepalive_ms=KEEPALIVE_MS,
            warntime_ms=DEADTIME_MS // 2,
            deadtime_ms=DEADTIME_MS,
            initdead_ms=DEADTIME_MS,
            auto_failback=False,
            can_fence=self.can_fence,
            fence_delay_ms=TURN_MS if self.one_clock else DEADTIME_MS // 2,
            fence_power_on=self.power_on,
            fence_retry_ms=DEADTIME_MS,
            boot_alone=self.boot_alone,
            monitor_interval_ms=DEADTIME_MS,
            stop_retry_ms=DEADTIME_MS,
            move_timeout_ms=DEADTIME_MS,
            prove_timeout_ms=DEADTIME_MS,
            minor=MINOR,
            digest="edited" if self.reads_edited(index, life) else "as installed" if self.edited else "",
        )


# --- copies of cores ---------------------------------------------------------------------------------


def _copy_hearing(old: Hearing) -> Hearing:
    new = Hearing.__new__(Hearing)
    for name in Hearing.__slots__:
        setattr(new, name, getattr(old, name))
    new.candidates = {
        nonce: Candidate(c.my_counter, c.counter, c.boot_id) for nonce, c in old.candidates.items()
    }
    new.retired = set(old.retired)
    new.links = dict(old.links)
    new.unheard_ms = dict(old.unheard_ms)
    return new


def copy_core(old: Core) -> Core:
    """A core that goes its own way. Frozen records are shared; ``copy.deepcopy`` takes thirty times as long."""
    new = Core.__new__(Core)
    state = new.__dict__
    state.update(old.__dict__)
    state["hearing"] = _copy_hearing(old.hearing)
    state["groups"] = {name: _copy_group(group) for name, group in old.groups.items()}
    state["wanted_groups"] = dict(old.wanted_groups)
    state["said"] = dict(old.said)
    state["orders"] = [replace(order) for order in old.orders]
    if old.shot is not None:
        state["shot"] = replace(old.shot)
    if old.drill is not None:
        state["drill"] = replace(old.drill)
    if old.proof is not None:
        state["proof"] = replace(old.proof, epochs=dict(old.proof.epochs))
    return new


_GROUP_FIELDS = tuple(Group.__dataclass_fields__)


def _copy_group(old: Group) -> Group:
    new = Group.__new__(Group)
    for name in _GROUP_FIELDS:
        setattr(new, name, getattr(old, name))
    return new
