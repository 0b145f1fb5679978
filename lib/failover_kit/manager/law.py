"""The rules of PROTOCOL.md as predicates, one function a rule, no state of their own.

Everything that gives, takes or uses the right to run a group asks here, and nowhere else is such a
question answered. A function that can refuse returns the sentence why not; "" means yes. The
simulator breaks these functions one at a time to prove that its audits would notice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from failover_kit.manager import dialect
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    DrillRecord,
    FenceEvidence,
    GroupClaim,
    GroupRecord,
    NodeRecord,
    PlugState,
)
from failover_kit.manager.states import GroupState, PeerState

MAINTENANCE = "the pair is in maintenance"

NO_CONTACT = "no contact with the peer since this node booted"

PLUGS_DISPROVED = (
    "the last proof drill showed that its plugs do not cut it; correct plug.NODE in ha.cf or the cabling, and "
    "prove it again"
)


@dataclass(slots=True)
class StartFacts:
    """What rule 1 looks at."""

    wanted: GroupRecord  # as handed, or to be handed, to Persist
    durable: GroupRecord  # as known to be on the disk
    state: GroupState
    ready: str  # "" or why this node is not ready
    stalled: bool  # this node was not running and has no fresh facts yet (rule 21)
    tainted: bool  # the right came from a proof that turned out false (rule 9)
    peer_right: int  # what a current peer claims; 0 = none
    unlooked: bool  # maintenance ended and the peer was not looked at since (rule 19)


def may_start(facts: StartFacts) -> str:
    """Rules 1, 3, 7, 9, 15, 19, 21: "" when the group may be started now, else why not."""
    wanted, durable = facts.wanted, facts.durable
    if not wanted.right:
        return "this node has no right to it"
    if wanted.grant:
        return f"it is granted to the peer (epoch {wanted.grant})"
    if durable.right != wanted.right:
        return "the right is not on the disk yet"
    if not (wanted.held and durable.held):
        return "the intent to start is not on the disk yet"
    if wanted.failures and (wanted.failures, wanted.failed_ms) != (durable.failures, durable.failed_ms):
        return "the count of its failures is not on the disk yet"  # rule 15: a restart in place is counted first
    if wanted.parked:
        return f"parked: {wanted.parked}"
    if facts.ready:
        return facts.ready
    if facts.tainted:
        return "the fence that gave the right was proved false"
    if facts.peer_right:
        return f"the peer claims it, too (epoch {facts.peer_right})"
    if facts.unlooked:
        return "since maintenance ended the peer was neither seen stopped nor proved off"
    if facts.stalled:
        return "this node was paused and waits for fresh facts"
    if facts.state not in (GroupState.STOPPED, GroupState.STARTING):
        return f"it is {facts.state.value} here"
    return ""


def right_survives(stored: NodeRecord, boot_id: str) -> bool:
    """Rule 3: a right lives as long as the boot it was obtained in."""
    return stored.boot_id == boot_id


def may_adopt(record: GroupRecord, inherited: int) -> bool:
    """Rule 3: resources found running are ours only under the right this life began with."""
    return record.right != 0 and record.right == inherited


def grant_is_valid(claim: GroupClaim, my_nonce: str, record: GroupRecord) -> bool:
    """Rule 2a: addressed to this life, and above every epoch issued or accepted here."""
    return claim.grant > record.top and claim.grant_nonce == my_nonce


def grant_is_over(record: GroupRecord, claim: GroupClaim | None, peer_nonce: str) -> bool:
    """Whether an outstanding grant needs no repeating: answered, overtaken, or addressed to an ended life.

    When the peer's own highest epoch reached it, the peer accepted it or can never accept it. When
    another life of the peer is current, the addressed one has ended: had it accepted durably, the
    new life's claim shows it.
    """
    if claim is not None and claim.top >= record.grant:
        return True
    return bool(peer_nonce) and peer_nonce != record.grant_nonce


EPOCH_CEILING = 999_000_000
"""Highest epoch, and highest number of maintenance, that is issued or believed. No pair comes near it by moves; a
frame has room for a little more (wireitems.EPOCH_LIMIT), so what is issued below can always be said. Even: the end
of a maintenance that was begun below it can always be said, too (docs/design/0046)."""


def epochs_spent(known: int, *, even: bool) -> str:
    """"" while an epoch above ``known`` can be issued, else why not."""
    if next_epoch(known, even=even) <= EPOCH_CEILING:
        return ""
    return (
        f"its epochs are used up ({known} was claimed, which no pair reaches by moves): whoever has the key may "
        "have claimed that. Change authkeys on both nodes; then end failoverd on both, with the group stopped, and "
        "move state/node.json in the state directory of both away"
    )


def next_epoch(known: int, *, even: bool) -> int:
    """The smallest epoch of this node's parity above ``known``; the node first by name issues even ones."""
    epoch = known + 1
    if (epoch % 2 == 0) != even:
        epoch += 1
    return epoch


def peer_is_ready(beat: Beat | None, claim: GroupClaim | None, digest: str) -> str:
    """"" when a current peer could run the group, else why not (the word *ready*, rules 18 and 20)."""
    if beat is None:
        return "the peer is not heard now"
    if beat.leaving or not beat.ready:
        return "the peer is not ready"
    if beat.digest != digest:
        return "the configuration files differ between the nodes"
    if claim is None:
        return "the peer does not know this group"
    if claim.parked:
        return "the group is parked on the peer"
    if claim.held or claim.state is not GroupState.STOPPED:
        return f"the group is {claim.state.value} on the peer"
    return ""


@dataclass(slots=True)
class GrantFacts:
    """What rule 4 looks at."""

    record: GroupRecord
    state: GroupState
    peer_ready: str  # from peer_is_ready
    device_busy: bool  # a fence or another call to the switch is in flight
    plugs_uncertain: bool  # a shot's plugs were not read again (rule 12)
    stalled: bool
    can_persist: bool


def may_grant(facts: GrantFacts) -> str:
    """Rule 4: "" when the right may be passed on now, else why not."""
    if facts.state is not GroupState.STOPPED or facts.record.held:
        return "its stop is not verified here"
    if facts.peer_ready:
        return facts.peer_ready
    if facts.device_busy or facts.plugs_uncertain:
        return "a shot at the peer is not settled"
    if facts.stalled:
        return "this node was paused and waits for fresh facts"
    if not facts.can_persist:
        return "the state directory cannot be written"
    return ""


def no_right_visible(record: GroupRecord, state: GroupState, claim: GroupClaim | None) -> bool:
    """Rule 2d: neither side has, accepts or is granted a right, and all is verified stopped on both."""
    if claim is None or claim.held or claim.right or claim.grant:
        return False
    if claim.state is not GroupState.STOPPED or state is not GroupState.STOPPED:
        return False
    return not (record.right or record.grant)


def is_proof(evidence: FenceEvidence, ordered_ms: int) -> bool:
    """Rule 8: off to all plugs, each exit 0, then a separate read of all plugs says OFF, in time."""
    if not evidence.in_time or not evidence.readings:
        return False
    last_off_ms = max(reading.off_ended_ms for reading in evidence.readings)
    for reading in evidence.readings:
        if reading.off_exit != 0 or reading.off_began_ms < ordered_ms:
            return False
        if reading.trusted:
            continue
        if reading.state is not PlugState.OFF or reading.read_began_ms < last_off_ms:
            return False
    return True


def echo_of(beat: Beat, my_nonce: str) -> int:
    """The highest of my counters the sender had received; 0 when it knows nothing of this life."""
    for nonce, counter in beat.echoes:
        if nonce == my_nonce:
            return counter
    return 0


def heard_after_off(beat: Beat, fenced_boot_ids: Collection[str], my_nonce: str, off_counter: int) -> bool:
    """Rule 9: a boot that was proved off answers something first sent after OFF was read."""
    return beat.boot_id in fenced_boot_ids and echo_of(beat, my_nonce) > off_counter


@dataclass(slots=True)
class ShotFacts:
    """What rules 5, 10, 12 and 15 look at before a silent peer is shot."""

    config: CoreConfig
    boot_id: str  # of this node, now
    record: NodeRecord  # the durable one
    peer_state: PeerState
    group_states: tuple[GroupState, ...]
    needed: bool  # there is a group to take over or to protect
    shutting_down: bool
    maintenance: bool
    stalled: bool
    can_persist: bool


def may_shoot(facts: ShotFacts) -> str:
    """"" when this node may order a shot at its silent peer, else why not."""
    if facts.peer_state is not PeerState.SILENT:
        return f"the peer is {facts.peer_state.value}"
    if not facts.config.can_fence:
        return "no fence device is configured for the peer"
    if plugs_disproved(facts.record.drilled, facts.config):
        return PLUGS_DISPROVED
    if facts.shutting_down:
        return "this node is leaving"
    if facts.maintenance:
        return MAINTENANCE
    if not facts.can_persist:
        return "the state directory cannot be written"
    if any(state in (GroupState.STOPPING, GroupState.FAILED) for state in facts.group_states):
        return "a group is being stopped here, and a node does not shoot while that lasts"
    if not facts.needed:
        return "there is nothing to take over"
    if facts.stalled:
        return "this node was paused and waits for fresh facts"
    contact = facts.record.contact and facts.record.boot_id == facts.boot_id
    if not contact and not (facts.config.boot_alone and facts.record.shots == 0):
        return NO_CONTACT
    return ""


def shoot_delay_ms(
    config: CoreConfig, *, mine_active: bool, peer_active: bool, cut_off: bool = False
) -> int:
    """Rule 10: how long after silence began this node waits. ``*_active``: has a right and runs a group.

    ``cut_off``: it reaches no ping node, and did before or never heard the peer. Each node decides that by itself
    and knows nothing of the other, so these turns differ by D from every turn the other may have: the home node's
    is 3, and the other has none like it; the other's is 2 or 4, and the home node has none like them
    (docs/design/0038).
    """
    home_of_first = bool(config.groups) and config.groups[0].home == config.node
    if cut_off:
        turn_of_other = 2 if mine_active and not peer_active else 4
        return (3 if home_of_first else turn_of_other) * config.fence_delay_ms
    if mine_active and peer_active:
        return 0 if home_of_first else config.fence_delay_ms
    if mine_active:
        return 0
    return config.fence_delay_ms if home_of_first else 2 * config.fence_delay_ms


def reaches_fewer(receiver: int | None, holder: int | None) -> bool:
    """Whether a planned move would bring a group where fewer ping nodes are reached. Not known is no vote."""
    return receiver is not None and holder is not None and receiver < holder


def fence_me_is_asked(beat: Beat | None, claim: GroupClaim | None) -> bool:
    """Rules 14, 17: the peer asks to be fenced for the very right it still has."""
    return beat is not None and claim is not None and claim.fence_me != 0 and claim.fence_me == claim.right


def loses_conflict(my_right: int, peer_right: int) -> bool:
    """Rule 16: of two rights found anyway, the lower one gives way (by a reset, never by unmounting)."""
    return my_right < peer_right


def plugs_disproved(drilled: DrillRecord | None, config: CoreConfig) -> bool:
    """Rules 8, 25: a drill read OFF on these plugs while the peer lived on, and none has passed since. What is
    known to be false is not believed again: no shot, and so no takeover, until other fencing lines or a drill that
    passes.
    """
    return drilled is not None and drilled.disproved and drilled.fencing == config.fencing_digest


# --- rule 25: the proof drill ------------------------------------------------------------------------


@dataclass(slots=True)
class DrillGroupFacts:
    """One group, as rule 25 looks at it."""

    wanted: GroupRecord
    durable: GroupRecord
    state: GroupState  # here
    settled: bool  # no move, restart or hand-over is going on here
    claim: GroupClaim | None  # of the current peer


@dataclass(slots=True)
class DrillFacts:
    """What rule 25 looks at before a beating peer is cut to prove that it can be."""

    config: CoreConfig
    beat: Beat | None  # the peer's, while it is up and hears this node
    groups: tuple[DrillGroupFacts, ...]
    ready: str  # "" or why this node is not ready
    stalled: bool
    debts: bool  # power is owed, a shot is not settled, or a call to the switch runs


def may_drill(facts: DrillFacts) -> str:
    """Rule 25: "" when the peer may be cut as a drill: it beats, is ready, and holds nothing.

    Every right is here, so the drill can neither leave a group with nobody nor lead to a takeover.
    """
    if not facts.config.can_fence:
        return "no fence device is configured; add fence_device to ha.cf"
    if facts.ready:
        return facts.ready
    beat = facts.beat
    if beat is None:
        return "it is not heard now, or does not hear this node: only beats that stop prove anything"
    if beat.leaving or not beat.ready:
        return "the peer is not ready"
    if beat.digest != facts.config.digest:
        return "the configuration files differ between the nodes"
    if facts.stalled:
        return "this node was paused and waits for fresh facts"
    if facts.debts:
        return "power is owed to it, or a call to its switch is not settled; see failoverctl status, then try again"
    for group in facts.groups:
        why = may_drill_beside(group)
        if why:
            return f"group {group.wanted.name}: {why}"
    return ""


def may_drill_beside(group: DrillGroupFacts) -> str:
    """"" when this group stands in no drill's way: the peer holds nothing of it, and it rests here."""
    claim = group.claim
    if claim is None:
        return "the peer does not know it"
    if claim.right or claim.held or claim.state is not GroupState.STOPPED:
        has = f"the peer has it ({claim.state.value})"
        return f"{has}; only a passive node is cut by a drill; failoverctl takeover moves it here"
    if claim.grant or claim.want or claim.parked:
        what = "passes it on" if claim.grant else "asks for it" if claim.want else "holds it parked"
        return f"the peer {what}"
    if not group.wanted.right or group.durable.right != group.wanted.right or group.wanted.grant:
        return "this node has no right to it: nothing would serve it while the peer is off"
    if not group.settled:
        return "it is on its way; try again when it has arrived"
    if group.state is not GroupState.STARTED and not (group.state is GroupState.STOPPED and group.wanted.parked):
        return f"it is {group.state.value} here"
    return ""


def drill_is_over(beat: Beat | None, cut_boot_id: str, my_nonce: str, off_counter: int) -> bool:
    """Rule 25: the peer is back, by a boot that is not the one that was cut, and answers something first sent
    after OFF was read."""
    return (
        beat is not None
        and beat.boot_id != cut_boot_id
        and beat.hears
        and echo_of(beat, my_nonce) > off_counter
    )


# --- rule 19: maintenance ------------------------------------------------------------------------------


def maintenance_is_on(number: int) -> bool:
    """Whether the order of that number began maintenance: odd ones do, even ones end it.

    So two orders of the same number say the same, whoever gave them, and the higher of two is the later.
    """
    return number % 2 == 1


def record_needs(record: NodeRecord) -> tuple[int, str]:
    """The least minor (design/0039) that may go on from this record, and what an older one would lose by it.

    A reader drops the fields that it does not know. That is safe for a field whose loss makes this node do less;
    what keeps it from doing something is named here: a number above 0 bars older readers from the whole record.
    """
    if maintenance_is_on(record.maintenance):
        return dialect.SINCE[dialect.Feature.MAINTENANCE], "the pair is in maintenance"
    if any(group.unlooked for group in record.groups):
        return dialect.SINCE[dialect.Feature.MAINTENANCE], "the peer was not looked at since maintenance ended"
    return 0, ""


def keeps_still(record: NodeRecord) -> bool:
    """Whether this node is in maintenance: it was begun, and the peer is known to know of it."""
    return maintenance_is_on(record.maintenance) and record.agreed


def next_maintenance(known: int, *, on: bool) -> int:
    """The smallest number above ``known`` that says ``on``."""
    number = known + 1
    return number if maintenance_is_on(number) is on else number + 1


def seen_stopped(beat: Beat | None, claim: GroupClaim | None, number: int) -> bool:
    """Rule 19: a current peer knows that maintenance ``number`` ended, and looked at the group since: a beat that
    carries the number is from after the peer put every group back to unknown."""
    return (
        beat is not None
        and claim is not None
        and beat.maintenance == number
        and claim.state is GroupState.STOPPED
        and not claim.held
    )
