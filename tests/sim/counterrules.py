"""Each rule of PROTOCOL.md taken away from the core, one at a time, and the small search that shows what follows.

A case is a plant (``smalllanes.Plant``) with words for people around it. Lanes are narrow on purpose: what leads to
the beginning of a search is played and told, too, and only what happens from there on is searched. Found breadth
first, so no shorter schedule from that beginning breaks anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from failover_kit.manager import law, view
from failover_kit.manager.actions import Start, Stop
from failover_kit.manager.core import Core
from failover_kit.manager.coredata import Group, Proof, Purpose, Shot, ShotKind
from failover_kit.manager.events import (
    BeatReceived,
    Probed,
    ProbeOutcome,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.hearing import Hearing, Verdict
from failover_kit.manager.records import Beat, FenceEvidence, GroupClaim, NodeRecord
from failover_kit.manager.states import GroupState, GroupTrigger, PeerState, PeerTrigger
from sim.smalllanes import FAST, PLANTS, SETTLE, Lane, Plant
from sim.smallparts import NODES, Budget, Setting
from sim.smallworld import World

MCLAWS, PETE = NODES


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One page: a rule, what the core does without it, and the search."""

    slug: str  # of its file: rule-SLUG.md
    rule: str  # its name in PROTOCOL.md
    says: str  # the rule in one sentence
    without: str  # what the weakened core does instead
    consequence: str  # a few words for the index
    story: str  # the schedule in two or three sentences
    saved: str  # why the rule prevents it
    plant: Plant
    given: str = ""  # why the first steps are given, where that is not plain from the story


def _wrap(stack: ExitStack, name: str, make: Callable[[Any], Any], owner: Any = Core) -> None:
    """Replace ``owner.name`` by what ``make`` builds around it."""
    stack.enter_context(patch.object(owner, name, make(getattr(owner, name))))


# --- starting and giving -------------------------------------------------------------------------------


def starts_unasked(stack: ExitStack) -> None:
    """The home node starts what it does not see on the peer, right or none."""

    def make(decide: Any) -> Any:
        def decide_without_right(core: Core, group: Group) -> None:
            if group.config.home != core.config.node or core.peer_state is not PeerState.SILENT:
                decide(core, group)
                return
            group.op = core._next_op()
            core._become(group, GroupTrigger.START_ORDERED)
            core._act(Start(group.name, group.op, 0))

        return decide_without_right

    _wrap(stack, "_decide_without_right", make)
    stack.enter_context(patch.object(Core, "may_start", lambda _core, _group: ""))


def any_epoch(stack: ExitStack) -> None:
    def grant_is_valid(claim: GroupClaim, my_nonce: str, _record: object) -> bool:
        return claim.grant != 0 and claim.grant_nonce == my_nonce

    stack.enter_context(patch.object(law, "grant_is_valid", grant_is_valid))


def proof_kept(stack: ExitStack) -> None:
    """What was proved once is taken for proved at the next silence, too."""

    def load_makes(load: Any) -> Any:
        def loads(core: Any, stored: NodeRecord | None) -> None:
            core.proved_boot = ""
            load(core, stored)

        return loads

    def receive_makes(receive: Any) -> Any:
        def beat_received(core: Any, event: BeatReceived) -> None:
            if core.proof is not None:
                core.proved_boot = core.proof.boot_id
            receive(core, event)

        return beat_received

    def choose_makes(choose: Any) -> Any:
        def choose_shot(core: Any) -> None:
            if core.peer_state is PeerState.SILENT and core.proved_boot and core.proof is None:
                core._peer_becomes(PeerTrigger.PROOF)
                core.proof = Proof(core.proved_boot, core.counter, core.now_ms)
                return
            choose(core)

        return choose_shot

    _wrap(stack, "_load", load_makes)
    _wrap(stack, "_beat_received", receive_makes)
    _wrap(stack, "_choose_shot", choose_makes)


def word_is_enough(stack: ExitStack) -> None:
    stack.enter_context(patch.object(Core, "_confirm_refusal", lambda _core: ""))
    stack.enter_context(patch.object(Core, "_void_confirmation", lambda _core, _boot_id: None))


def right_outlives_boot(stack: ExitStack) -> None:
    def make(load: Any) -> Any:
        def loads(core: Core, stored: NodeRecord | None) -> None:
            load(core, stored if stored is None else replace(stored, boot_id=core.boot_id))

        return loads

    _wrap(stack, "_load", make)


def grants_while_it_runs(stack: ExitStack) -> None:
    """A planned move begins with the grant; the stop comes after it."""

    def begin_move(core: Core, group: Group) -> None:
        if not core.move_refusal(group):
            core._grant(group)
            core._order_stop(group, Purpose.NONE)

    stack.enter_context(patch.object(Core, "_begin_move", begin_move))


def none_needs_no_fence(stack: ExitStack) -> None:
    def make(choose: Any) -> Any:
        def choose_shot(core: Core) -> None:
            beat = core.hearing.beat
            said_none = beat is not None and not any(c.right or c.held or c.grant for c in beat.groups)
            if core.peer_state is PeerState.SILENT and said_none and core.proof is None:
                core._peer_becomes(PeerTrigger.PROOF)
                core.proof = Proof(core.wanted.peer_boot_id, core.counter, core.now_ms)
                return
            choose(core)

        return choose_shot

    _wrap(stack, "_choose_shot", make)


def doubt_is_stopped(stack: ExitStack) -> None:
    def make(probed: Any) -> Any:
        def believing(core: Core, event: Probed) -> None:
            doubt = event.outcome is ProbeOutcome.DOUBT
            probed(core, replace(event, outcome=ProbeOutcome.STOPPED) if doubt else event)

        return believing

    _wrap(stack, "_probed", make)


def grant_told_early(stack: ExitStack) -> None:
    def make(claim_of: Any) -> Any:
        def claim(core: Core, group: Group) -> GroupClaim:
            return replace(claim_of(core, group), grant_nonce=core.wanted_groups[group.name].grant_nonce)

        return claim

    _wrap(stack, "_claim", make)


# --- fencing -------------------------------------------------------------------------------------------


def exit_code_is_proof(stack: ExitStack) -> None:
    def is_proof(evidence: FenceEvidence, _ordered_ms: int) -> bool:
        return bool(evidence.readings) and all(reading.off_exit == 0 for reading in evidence.readings)

    stack.enter_context(patch.object(law, "is_proof", is_proof))


def deaf_to_the_fenced(stack: ExitStack) -> None:
    """Beats of the boot that was proved off are late ones, all of them."""

    def check_fenced_boot(core: Core, beat: Beat) -> bool:
        return core.proof is not None and beat.boot_id == core.proof.boot_id

    stack.enter_context(patch.object(Core, "_check_fenced_boot", check_fenced_boot))


def restart_is_reset(stack: ExitStack) -> None:
    def make(receive: Any) -> Any:
        def beat_received(core: Core, event: BeatReceived) -> None:
            nonce, boot_id = core.hearing.nonce, core.wanted.peer_boot_id
            receive(core, event)
            if nonce and core.hearing.nonce != nonce and event.beat.boot_id == boot_id:
                core.proof = Proof(boot_id, core.counter, core.now_ms)

        return beat_received

    _wrap(stack, "_beat_received", make)


def no_abort(stack: ExitStack) -> None:
    stack.enter_context(patch.object(Core, "_still_wanted", lambda _core, _shot: True))


def asked_once_is_enough(stack: ExitStack) -> None:
    def make(wanted: Any) -> Any:
        def still_wanted(core: Core, shot: Shot) -> bool:
            return shot.kind is ShotKind.ASKED or wanted(core, shot)

        return still_wanted

    _wrap(stack, "_still_wanted", make)


def off_beside_on(stack: ExitStack) -> None:
    """Does not wait for the power-on that is under way."""

    def make(decide: Any) -> Any:
        def decide_fencing(core: Core) -> None:
            under_way, core.device_op = core.device_op, 0
            decide(core)
            core.device_op = under_way

        return decide_fencing

    _wrap(stack, "_decide_fencing", make)


def no_contact_needed(stack: ExitStack) -> None:
    def make(may: Any) -> Any:
        def may_shoot(facts: law.ShotFacts) -> str:
            why: str = may(facts)
            return "" if why == law.NO_CONTACT else why

        return may_shoot

    _wrap(stack, "may_shoot", make, law)


def no_turns(stack: ExitStack) -> None:
    """Whoever is silent long enough is shot at once, whoever runs the service."""
    stack.enter_context(patch.object(law, "shoot_delay_ms", lambda *_, **__: 0))


def hearing_is_enough(stack: ExitStack) -> None:
    """A peer that is heard is up, also when it says that it hears nothing."""

    def make(receive: Any) -> Any:
        def hear(heard: Hearing, beat: Beat, link: str, my_counter: int, now_ms: int) -> Verdict:
            verdict: Verdict = receive(heard, beat, link, my_counter, now_ms)
            if verdict is Verdict.CURRENT:
                heard.last_two_way_ms = now_ms
            return verdict

        return hear

    _wrap(stack, "receive", make, Hearing)


# --- around it -----------------------------------------------------------------------------------------


def failed_stop_is_a_stop(stack: ExitStack) -> None:
    def stop_failed(core: Core, event: StopFailed) -> None:
        core._stopped(Stopped(event.group, event.op))

    stack.enter_context(patch.object(Core, "_stop_failed", stop_failed))


def failed_start_is_over(stack: ExitStack) -> None:
    """A start that failed left nothing behind, so nothing has to be stopped."""

    def start_failed(core: Core, event: StartFailed) -> None:
        group = core.groups[event.group]
        group.op = 0
        group.purpose = Purpose.FAILED_START
        group.state = GroupState.STOPPED
        core._version += 1
        core._change_group(group.name, failed_here=True, held=False)

    stack.enter_context(patch.object(Core, "_start_failed", start_failed))


def whatever_its_files(stack: ExitStack) -> None:
    """A peer is ready whatever files it has."""

    def make(ready: Any) -> Any:
        def peer_is_ready(beat: Beat | None, claim: GroupClaim | None, digest: str) -> str:
            why: str = ready(beat, claim, beat.digest if beat is not None else digest)
            return why

        return peer_is_ready

    _wrap(stack, "peer_is_ready", make, law)


def says_nothing_to_do(stack: ExitStack) -> None:
    stack.enter_context(patch.object(view, "_todo", lambda _core: ()))


def pause_unnoticed(stack: ExitStack) -> None:
    """Takes what it did not hear while it did not run for the peer's silence. The audit still knows when it was."""

    def notice_pause(core: Core, now_ms: int) -> None:
        if now_ms - core.now_ms >= core.config.deadtime_ms:
            core.stalled_at_ms = now_ms

    stack.enter_context(patch.object(Core, "_notice_pause", notice_pause))


def lazy_unmount(stack: ExitStack) -> None:
    """The agent's stop succeeds while the filesystem is still alive: the weak part is the shell, not the core."""

    def make(agent_ok: Any) -> Any:
        def lazily(world: World, index: int, place: int) -> World:
            stops = isinstance(world.agents[index][place], Stop)
            if stops:
                world = world.spend()
                agent = world.agents[index][place]
                assert agent is not None
                world._agent_is(index, place, None)
                return world._hand(index, Stopped(agent.group, agent.op))
            after: World = agent_ok(world, index, place)
            return after

        return lazily

    _wrap(stack, "_agent_ok", make, World)


def still_alone(stack: ExitStack) -> None:
    """A node keeps still by its own number; whether the peer knows of it is not asked."""

    def in_maintenance(core: Core) -> bool:
        return law.maintenance_is_on(core.wanted.maintenance)

    stack.enter_context(patch.object(Core, "in_maintenance", in_maintenance))
    stack.enter_context(patch.object(Core, "_peer_keeps_still", lambda _core, _order: True))


def lower_unmounts(stack: ExitStack) -> None:
    """Of two rights found, the node with the lower epoch stops the group, as in a planned move."""

    def check_conflict(core: Core, beat: Beat) -> None:
        for group in core.groups.values():
            claim, record = beat.claim(group.name), core.wanted_groups[group.name]
            if claim is None or not 0 < record.right < claim.right or group.state is not GroupState.STARTED:
                continue
            core._order_stop(group, Purpose.SHUTDOWN)

    stack.enter_context(patch.object(Core, "_check_conflict", check_conflict))


def home_has_it(stack: ExitStack) -> None:
    """Without records, the home node takes the right for its own."""

    def make(load: Any) -> Any:
        def load_or_claim(core: Core, stored: NodeRecord | None) -> None:
            load(core, stored)
            for name, group in core.groups.items():
                if stored is None and group.config.home == core.config.node:
                    core._change_group(name, right=core._issue(name))
                    group.inherited = core.wanted_groups[name].right

        return load_or_claim

    _wrap(stack, "_load", make)


# --- the cases -----------------------------------------------------------------------------------------


def plant(
    slug: str,
    weaken: Callable[[ExitStack], None],
    budget: Budget,
    *,
    setting: Setting = FAST,
    prelude: tuple[str, ...] = (SETTLE,),
    without: tuple[str, ...] = (),
) -> Plant:
    lane = Lane(name=slug, story=slug, budget=budget, setting=setting, prelude=prelude, without=without)
    return Plant(name=slug, rule=slug, weaken=weaken, lane=lane)


def known(name: str) -> Plant:
    return next(found for found in PLANTS if found.name == name)


NO_TROUBLE = Budget(waits=0)
SLOW = Setting()
CUT_AND_TAKEN = (
    f"{PETE}: hears nothing for deadtime",
    f"{PETE}: hears nothing for deadtime",
    f"the switch cuts the power of {MCLAWS}",
    f"{PETE}: its shot is read back OFF",
    f"{PETE}: its start succeeds",
)
