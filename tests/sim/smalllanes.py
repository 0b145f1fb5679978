"""The searches: what each may do, how large it is, and the relaxations of the rules that each must find.

A lane is a bounded search. The small profile is for every test run; the larger ones widen the same bounds.
A planted relaxation has a lane of its own, short enough to be searched to the end with the core as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

from failover_kit.manager import law
from failover_kit.manager.core import Core
from failover_kit.manager.coredata import Group
from failover_kit.manager.hearing import Candidate, Hearing
from failover_kit.manager.records import Beat, GroupClaim, GroupRecord
from failover_kit.manager.states import PeerState
from sim.smallparts import NODES, Budget, Setting

SETTLE = "everything settles"
MCLAWS, PETE = NODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One search: where it begins and what may happen in it."""

    name: str
    story: str
    budget: Budget
    setting: Setting = field(default_factory=Setting)
    # Steps that lead from the first boot to the beginning of the search, by their sentences.
    prelude: tuple[str, ...] = (SETTLE,)
    # Beginnings of sentences that are not tried, where a search is directed at one story.
    without: tuple[str, ...] = ()


FAST = Setting(slow_disks=False)

SMALL = (
    Lane(
        name="drill",
        story="a proof drill, a silence, power cut by the switch or without it",
        budget=Budget(waits=1, proves=1, resets=1),
        setting=FAST,
    ),
    Lane(
        name="first-start",
        story="both nodes boot for the first time; every loss of beats; one silence",
        budget=Budget(waits=1),
        prelude=(),
    ),
    Lane(name="moves", story="two planned moves", budget=Budget(waits=0, moves=2)),
    Lane(
        name="late-beat",
        story="one planned move and a beat that comes at any later time",
        budget=Budget(waits=0, moves=1, kept=1),
    ),
    Lane(
        name="silence",
        story="one silence, one power cut, by the switch or without it; a shot that fails",
        budget=Budget(waits=1, resets=1, device_failures=1),
        setting=FAST,
    ),
    Lane(
        name="crash",
        story="failoverd dies once on either node, and two silences",
        budget=Budget(waits=2, crashes=1),
        setting=FAST,
    ),
    Lane(
        name="crash-in-move",
        story="failoverd dies during a planned move",
        budget=Budget(waits=0, moves=1, crashes=1),
    ),
    Lane(
        name="disk-in-move",
        story="a record that fails to be written during a planned move",
        budget=Budget(waits=1, moves=1, persist_failures=1),
        without=(f"{PETE}: hears nothing", f"{PETE}: writing", f"{PETE}: failoverctl"),
    ),
    Lane(
        name="lost-state",
        story="a power loss or crash empties a state directory; nobody is silent",
        budget=Budget(waits=0, crashes=1, resets=1, lost_state=1),
        setting=FAST,
    ),
    Lane(
        name="leave",
        story="failoverd is asked to end during a planned move",
        budget=Budget(waits=0, moves=1, leaves=1),
        setting=FAST,
    ),
)

MEDIUM = (
    Lane(
        name="drill-and-trouble",
        story="a proof drill, a silence, failoverd dies, power cut by the switch or without it",
        budget=Budget(waits=1, proves=1, resets=1, crashes=1),
        setting=FAST,
    ),
    Lane(
        name="first-start",
        story="both nodes boot for the first time; two silences, slow disks and probes",
        budget=Budget(waits=2),
        setting=Setting(slow_probes=True),
        prelude=(),
    ),
    Lane(name="late-beats", story="two moves and a late beat", budget=Budget(waits=0, moves=2, kept=1)),
    Lane(
        name="silence",
        story="two silences, a power cut, a failing shot, slow disks",
        budget=Budget(waits=2, resets=1, device_failures=1),
    ),
    Lane(name="crash", story="a crash, two silences, slow disks", budget=Budget(waits=2, crashes=1)),
    Lane(
        name="crash-in-move",
        story="a crash and a silence during a planned move",
        budget=Budget(waits=1, moves=1, crashes=1),
    ),
    Lane(
        name="agents",
        story="a start, stop or monitor fails during a planned move, and one silence",
        budget=Budget(waits=1, moves=1, agent_failures=1),
    ),
    Lane(
        name="late-life",
        story="a crash, a planned move and a beat of an ended life",
        budget=Budget(waits=0, moves=1, kept=1, crashes=1),
        setting=FAST,
    ),
    Lane(
        name="pause",
        story="a node that does not run for longer than deadtime, a power cut, slow disks",
        budget=Budget(waits=1, pauses=1, resets=1),
    ),
    Lane(
        name="confirm",
        story="no fence device: the operator confirms a death, one late beat",
        budget=Budget(waits=2, resets=1, confirms=1, kept=1),
        setting=Setting(can_fence=False, slow_disks=False),
    ),
    Lane(
        name="lost-state",
        story="crash and power cut, one with loss of the state directory, one silence",
        budget=Budget(waits=1, crashes=1, resets=1, lost_state=1),
        setting=FAST,
    ),
    Lane(name="leave", story="a move, an end of failoverd, one silence", budget=Budget(waits=1, moves=1, leaves=1)),
)

LARGE = (
    Lane(
        name="late-lives",
        story="two crashes, a move, a late beat",
        budget=Budget(waits=0, moves=1, kept=1, crashes=2),
    ),
    Lane(
        name="power",
        story="two power cuts, two silences, a failing shot",
        budget=Budget(waits=3, resets=2, device_failures=1),
    ),
    Lane(
        name="crash-and-cut",
        story="crash, power cut, silence, failing disk and move in any order",
        budget=Budget(waits=1, crashes=1, resets=1, moves=1, persist_failures=1),
    ),
    Lane(
        name="boot-alone",
        story="boot_alone yes: power cuts and silences",
        budget=Budget(waits=2, resets=2),
        setting=Setting(boot_alone=True),
    ),
    Lane(
        name="operator",
        story="moves, an ordered shot, a silence, a late beat",
        budget=Budget(waits=1, moves=1, fence_orders=1, resets=1, kept=1),
    ),
)

# Two groups, each at home on another node: both nodes are active, and each has something to take over.
TWO = Setting(second_home=PETE, slow_disks=False)

TWO_GROUPS = (
    Lane(
        name="two-first-start",
        story="both nodes boot for the first time, each to its own group; one silence",
        budget=Budget(waits=1),
        setting=TWO,
        prelude=(),
    ),
    Lane(
        name="two-moves", story="two planned moves, of either group", budget=Budget(waits=0, moves=2), setting=TWO
    ),
    Lane(
        name="two-silence",
        story="two active nodes and one silence, slow disks",
        budget=Budget(waits=1),
        setting=Setting(second_home=PETE),
    ),
    Lane(
        name="two-cut",
        story="two active nodes fall silent: one silence, one power cut, by the switch or without it, a reboot",
        budget=Budget(waits=1, resets=1),
        setting=TWO,
    ),
    Lane(
        name="two-crash",
        story="two active nodes: failoverd dies once on either, and one silence, in any order",
        budget=Budget(waits=1, crashes=1),
        setting=TWO,
    ),
    Lane(
        name="two-lost-state",
        story="failoverd dies once and its state directory is empty afterwards; nobody is silent",
        budget=Budget(waits=0, crashes=1, lost_state=1),
        setting=TWO,
    ),
)

# Larger than a release check has time for; how far it went: design 0018.
TWO_LARGE = (
    Lane(
        name="two-crash-and-cut",
        story="two active nodes: failoverd dies once on either, one silence, one power cut and its reboot",
        budget=Budget(waits=1, crashes=1, resets=1),
        setting=TWO,
    ),
)

PROFILES = {"small": SMALL, "two-groups": TWO_GROUPS, "medium": MEDIUM, "large": LARGE + TWO_LARGE}


# --- planted relaxations -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """A rule of PROTOCOL.md made weaker in the core, and the lane that must find it."""

    name: str
    rule: str
    weaken: Callable[[ExitStack], None]
    lane: Lane
    ends_in: tuple[str, ...] = ("the group is active on both nodes", "both nodes have a right they can use")

    @contextmanager
    def planted(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.weaken(stack)
            yield


def _nonce_echo(stack: ExitStack) -> None:
    def proves_life(hearing: Hearing, beat: Beat, _candidate: Candidate, my_counter: int) -> bool:
        return 0 < law.echo_of(beat, hearing.my_nonce) <= my_counter

    stack.enter_context(patch.object(Hearing, "_proves_life", proves_life))


def _right_kept(stack: ExitStack) -> None:
    """A grant on its way to the disk is taken back, and the right used, when the peer falls silent."""
    decide = Core._decide_stopped

    def decide_stopped(core: Core, group: Group) -> None:
        wanted, durable = core.wanted_groups[group.name], core.durable_groups[group.name]
        pending = wanted.grant and durable.grant != wanted.grant
        if pending and durable.right and core.peer_ready(group.name):
            core._change_group(group.name, right=durable.right, grant=0, grant_nonce="", held=durable.held)
        decide(core, group)

    def on_disk(core: Core, name: str) -> GroupRecord:
        return core.durable_groups[name]

    stack.enter_context(patch.object(Core, "_decide_stopped", decide_stopped))
    stack.enter_context(patch.object(Core, "_on_disk", on_disk))


def _late_epoch(stack: ExitStack) -> None:
    """A grant counts, against a grant of the peer and towards it, only from the moment it is on the disk. Who ends
    would give the second right up at once (0053): that protection is taken away, too."""
    take_in, claim_of = Core._take_in_claim, Core._claim

    def take_in_claim(core: Core, group: Group, claim: GroupClaim) -> None:
        record = core.wanted_groups[group.name]
        core.wanted_groups[group.name] = replace(record, top=core.durable_groups[group.name].top)
        take_in(core, group, claim)
        if core.wanted_groups[group.name].right == record.right:
            core.wanted_groups[group.name] = replace(core.wanted_groups[group.name], top=record.top)

    def claim(core: Core, group: Group) -> GroupClaim:
        durable = core.durable_groups[group.name]
        said = claim_of(core, group)
        return replace(said, grant=durable.grant, grant_nonce=durable.grant_nonce) if durable.grant else said

    stack.enter_context(patch.object(Core, "_take_in_claim", take_in_claim))
    stack.enter_context(patch.object(Core, "_claim", claim))
    stack.enter_context(patch.object(Core, "_give_up_rights", lambda core: None))


def _released(stack: ExitStack) -> None:
    """A peer that said it runs nothing: the home node starts at once, the other one when it is silent."""
    decide = Core._decide_without_right

    def decide_without_right(core: Core, group: Group) -> None:
        record, claim = core.wanted_groups[group.name], core.last_claim(group.name)
        turn = group.config.home == core.config.node or core.peer_state is PeerState.SILENT
        if not turn or not law.no_right_visible(record, group.state, claim):
            decide(core, group)
            return
        epoch = core._issue(group.name)
        core._change_group(group.name, right=epoch, top=epoch, known=epoch, held=True)

    stack.enter_context(patch.object(Core, "_decide_without_right", decide_without_right))


def _drill_anybody(stack: ExitStack) -> None:
    """A drill cuts whoever beats."""

    def may_drill(facts: law.DrillFacts) -> str:
        return "" if facts.beat is not None and not facts.debts else "not now"

    stack.enter_context(patch.object(law, "may_drill", may_drill))


def _drill_at_its_word(stack: ExitStack) -> None:
    """A drill is over when the plugs read ON again, whoever comes back."""
    stack.enter_context(patch.object(law, "drill_is_over", lambda *_: True))


def _lane(name: str, story: str, budget: dict[str, Any], **rest: Any) -> Lane:
    return Lane(name=name, story=story, budget=Budget(**budget), **rest)


PLANTS = (
    Plant(
        name="drill-anybody",
        rule="25: a drill of a node that is not passive",
        weaken=_drill_anybody,
        lane=_lane(
            "plant-drill-anybody", "a drill and a standby", {"waits": 0, "proves": 1, "moves": 1}, setting=FAST
        ),
        ends_in=("pete: a drill cuts", "mclaws: a drill cuts"),
    ),
    Plant(
        name="drill-at-its-word",
        rule="25: a drill without a new boot",
        weaken=_drill_at_its_word,
        lane=_lane(
            "plant-drill-at-its-word",
            "a drill, one silence, one power cut",
            {"waits": 1, "proves": 1, "resets": 1},
            setting=FAST,
        ),
        ends_in=("pete: a proof of a boot", "mclaws: a proof of a boot"),
    ),
    Plant(
        name="nonce-echo",
        rule="current beat: echoing the nonce alone is enough",
        weaken=_nonce_echo,
        lane=_lane(
            "plant-nonce-echo",
            "pete restarts; one beat of that life arrives; it moves the group away, one beat comes late; it "
            "restarts again and has lost its state directory",
            {"waits": 0, "moves": 1, "kept": 1, "crashes": 1, "lost_state": 1},
            setting=Setting(home=PETE, slow_disks=False),
            prelude=(
                SETTLE,
                f"{MCLAWS}: failoverctl takeover",
                SETTLE,
                f"{MCLAWS}: loses its power",
                f"{PETE}: hears nothing for deadtime",
                f"{PETE}: hears nothing for deadtime",
                SETTLE,
                f"{PETE}: failoverd dies",
                f"{PETE}: failoverd starts",
                f"{MCLAWS}: the last beat of {PETE} arrives",
            ),
            without=(
                f"{MCLAWS}: failoverd dies",
                f"{MCLAWS}: failoverctl",
                f"the network keeps the last beat of {MCLAWS}",
            ),
        ),
    ),
    Plant(
        name="right-kept",
        rule="4: the right is kept until the grant is durable",
        weaken=_right_kept,
        lane=_lane(
            "plant-right-kept",
            "a planned move, one silence, failoverd dies once",
            {"waits": 1, "crashes": 1},
            prelude=(SETTLE, f"{MCLAWS}: failoverctl standby", f"{MCLAWS}: the record is on its disk"),
            without=(f"{PETE}: failoverd dies", f"{PETE}: hears nothing"),
        ),
    ),
    Plant(
        name="late-epoch",
        rule="4: the epoch counts as issued only when it is durable",
        weaken=_late_epoch,
        lane=_lane(
            "plant-late-epoch",
            "a first start, while failoverd on the home node is asked to end",
            {"waits": 0, "leaves": 1},
            setting=Setting(home=PETE),
            prelude=(),
            without=(f"{MCLAWS}: failoverd is asked",),
        ),
    ),
    Plant(
        name="released",
        rule="introduction: 'released' is taken as permission",
        weaken=_released,
        lane=_lane("plant-released", "a first start and one silence", {"waits": 1}, setting=FAST, prelude=()),
    ),
)
