"""Planted bugs of what came first: Heartbeat's four, the ✗ of PROTOCOL, drills, maintenance, ping nodes."""

from __future__ import annotations

from dataclasses import replace

from failover_kit.manager import law, pingvotes
from failover_kit.manager.coredata import Drill, Group, Order, Proof, Purpose
from failover_kit.manager.dialect import MINOR
from failover_kit.manager.drill import DrillDecisions
from failover_kit.manager.events import BeatReceived, ShutdownRequested, Verb
from failover_kit.manager.hearing import Hearing, Verdict
from failover_kit.manager.law import shoot_delay_ms
from failover_kit.manager.records import Beat, CoreConfig, GroupClaim, GroupRecord, NodeRecord
from failover_kit.manager.states import GroupState, PeerState, PeerTrigger
from sim import liveness, shell
from sim.faults import Faults
from sim.machine import Machine
from sim.planted.model import Planted
from sim.world import TracedCore, World

# --- two versions ------------------------------------------------------------------------------------


def _goes_on_from_what_bars(minor: int, record: NodeRecord | None) -> tuple[NodeRecord | None, bool]:
    """An older failoverd that takes what it knows of a record in maintenance: rights, and nothing that forbids."""
    if record is None or minor == MINOR:
        return record, False
    groups = tuple(replace(group, unlooked=False) for group in record.groups)
    return replace(record, maintenance=0, agreed=False, groups=groups), False


# --- a watcher's requests ----------------------------------------------------------------------------


class AsksNoEpoch(TracedCore):
    """Admits a request about whatever epoch is active."""

    def _not_as_seen(self, group: Group, epoch: int) -> str:
        claim = self.peer_claim(group.name)
        return super()._not_as_seen(group, claim.right if claim is not None and claim.right else epoch)


class ForgetsTheHoldOff(TracedCore):
    """Admits requests as they come."""

    def _held_off(self, group: Group, hold_off_ms: int) -> str:
        return ""


# --- ping nodes --------------------------------------------------------------------------------------


class PingIsProof(TracedCore):
    """Takes over from a silent peer without a shot as long as it reaches its own ping nodes (rule 5)."""

    def _choose_shot(self) -> None:
        if self.peer_state is PeerState.SILENT and self.reaches() and self.proof is None:
            self._peer_becomes(PeerTrigger.PROOF)
            self.proof = Proof(self.wanted.peer_boot_id, self.counter, self.now_ms)
            return
        super()._choose_shot()


class CutOffForEver(TracedCore):
    """Does not shoot as long as it reaches no ping node."""

    def silent_shot_at_ms(self) -> int:
        return super().silent_shot_at_ms() + (10**9 if self.pings.cut_off else 0)


class ReachesSoShoots(TracedCore):
    """Takes its own ping nodes for leave to shoot first (rule 10)."""

    def silent_shot_at_ms(self) -> int:
        return max(self.silent_since_ms, self.shot_next_ms) if self.reaches() else super().silent_shot_at_ms()


class MovesToFewer(TracedCore):
    """Does not look at ping nodes in planned moves."""

    def fewer_there(self) -> str:
        return ""

    def fewer_here(self) -> str:
        return ""


def _one_turn_more(
    config: CoreConfig, *, mine_active: bool, peer_active: bool, cut_off: bool = False
) -> int:
    """One D more where nobody is reached: the turn that the other node may have (rule 10)."""
    delay_ms = shoot_delay_ms(config, mine_active=mine_active, peer_active=peer_active)
    return delay_ms + config.fence_delay_ms if cut_off else delay_ms


# --- Heartbeat's four double activations (heartbeat.md §0.1) ---------------------------------------


class NoneNeedsNoFence(TracedCore):
    """Takes over from a silent peer without a shot when its last beat claimed nothing (rule 5)."""

    def _choose_shot(self) -> None:
        beat = self.hearing.beat
        said_none = beat is not None and not any(c.right or c.held or c.grant for c in beat.groups)
        if self.peer_state is PeerState.SILENT and said_none and self.proof is None:
            self._peer_becomes(PeerTrigger.PROOF)
            self.proof = Proof(self.wanted.peer_boot_id, self.counter, self.now_ms)
            return
        super()._choose_shot()


class _ClaimsNothing(NoneNeedsNoFence):
    """Says it has nothing in a state in which something may be active."""

    def _is_said_none(self, group: Group) -> bool:
        raise NotImplementedError

    def _claim(self, group: Group) -> GroupClaim:
        claim = super()._claim(group)
        if self._is_said_none(group):
            return replace(claim, state=GroupState.STOPPED, held=False, right=0, fence_me=0)
        return claim


class StandbyHungStop(_ClaimsNothing):
    """Says none when a standby begins its stop."""

    def _is_said_none(self, group: Group) -> bool:
        return group.state is GroupState.STOPPING and group.purpose is Purpose.MOVE


class ShutdownHungStop(_ClaimsNothing):
    """Says none when a clean shutdown begins its stop."""

    def _is_said_none(self, group: Group) -> bool:
        return self.shutting_down and group.state is GroupState.STOPPING


class FailedStopNoReboot(_ClaimsNothing):
    """Says none after a failed stop, counting on a reboot that never happens."""

    def _is_said_none(self, group: Group) -> bool:
        return group.stop_failed and group.state in (GroupState.FAILED, GroupState.STOPPING)


class NewOwnerStarting(_ClaimsNothing):
    """Claims a group only when its start is done."""

    def _is_said_none(self, group: Group) -> bool:
        return group.state is GroupState.STARTING or (
            group.state is GroupState.STOPPED and bool(self.wanted_groups[group.name].right)
        )


# --- the others ------------------------------------------------------------------------------------


class GrantBeforeDurable(TracedCore):
    """Sends a grant that is not on the disk yet (rules 4, 7)."""

    def _claim(self, group: Group) -> GroupClaim:
        return replace(super()._claim(group), grant_nonce=self.wanted_groups[group.name].grant_nonce)


class RightSurvivesReboot(TracedCore):
    """Takes the record of an earlier boot for its own (rule 3)."""

    def __init__(
        self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
    ) -> None:
        if stored is not None:
            stored = replace(stored, boot_id=boot_id)
        super().__init__(config, boot_id=boot_id, nonce=nonce, stored=stored, now_ms=now_ms)


class StaleProof(TracedCore):
    """Uses a fence's proof again at the next silence of the node that came back (rule 2b)."""

    used: Proof | None = None

    def _beat_received(self, event: BeatReceived) -> None:
        if self.proof is not None:
            self.used = self.proof
        super()._beat_received(event)

    def _choose_shot(self) -> None:
        if self.peer_state is PeerState.SILENT and self.used is not None and self.proof is None:
            self._peer_becomes(PeerTrigger.PROOF)
            self.proof = Proof(self.used.boot_id, self.counter, self.now_ms)
            return
        super()._choose_shot()


class VoidWordUsed(TracedCore):
    """Goes on with a confirmed death although the dead boot was heard before the right was durable (rule 2c)."""

    def _void_confirmation(self, boot_id: str) -> None:
        pass


class RestartTakenForReset(TracedCore):
    """Takes a new nonce under the same boot_id for a reset of the node (rule 9)."""

    def _beat_received(self, event: BeatReceived) -> None:
        nonce, boot_id = self.hearing.nonce, self.wanted.peer_boot_id
        super()._beat_received(event)
        if nonce and self.hearing.nonce != nonce and event.beat.boot_id == boot_id:
            self.proof = Proof(boot_id, self.counter, self.now_ms)


class RightKeptUntilDurable(TracedCore):
    """✗ of rule 4: a failed Persist of a grant brings the right back."""

    def _persist_failed(self, token: int, reason: str) -> None:
        super()._persist_failed(token, reason)
        for name, record in self.wanted_groups.items():
            durable = self.durable_groups[name]
            if record.grant and record.grant != durable.grant and durable.right:
                self._change_group(name, right=durable.right, grant=0, grant_nonce="")


class EpochCountsWhenDurable(TracedCore):
    """✗ of rule 4: an epoch that was not made durable is issued again."""

    def _persist_failed(self, token: int, reason: str) -> None:
        super()._persist_failed(token, reason)
        for name, record in self.wanted_groups.items():
            durable = self.durable_groups[name]
            if record.grant and record.grant != durable.grant:
                self._change_group(name, top=durable.top, known=durable.known, grant=0, grant_nonce="")


def _any_echo(self: Hearing, beat: Beat, candidate: object, my_counter: int) -> bool:
    """✗ of "current beat": an echo of the nonce alone makes a new life current."""
    return law.echo_of(beat, self.my_nonce) > 0


_receive_new_life = Hearing._receive_new_life


def _older_lives_forgotten(self: Hearing, beat: Beat, my_counter: int) -> Verdict:
    """Lets an older life that was hardly heard answer what was said before the present one came."""
    bars = {nonce: other.my_counter for nonce, other in self.candidates.items()}
    verdict = _receive_new_life(self, beat, my_counter)
    for nonce, other in self.candidates.items():
        other.my_counter = bars.get(nonce, other.my_counter)
    return verdict


class DebtDiesWithItsBoot(TracedCore):
    """Forgets at its boot that it owes the peer its power (rule 13)."""

    def _load(self, stored: NodeRecord | None) -> None:
        if stored is not None and stored.boot_id != self.boot_id:
            stored = replace(stored, on_owed=False)
        super()._load(stored)


class DrillTakes(TracedCore):
    """Takes what nobody has by the OFF of a drill (rule 25)."""

    def _drill_is_off(self) -> None:
        super()._drill_is_off()
        if self.proof is not None:
            self.proof.takes = True


def _drill_any(facts: law.DrillFacts) -> str:
    """Cuts any peer that beats as a drill, whatever it holds."""
    return "" if facts.beat is not None and facts.config.can_fence and not facts.debts else "not heard"


def _drill_beside_nobody(group: law.DrillGroupFacts) -> str:
    """Only what runs on the peer stands in the way of a drill."""
    return "" if group.claim is not None and not group.claim.right and not group.claim.held else "it has it"


def _over_at_once(beat: Beat | None, cut_boot_id: str, my_nonce: str, off_counter: int) -> bool:
    """Calls a drill passed before the peer is back by another boot."""
    return True


def _quiet_at_once(self: DrillDecisions, drill: Drill) -> bool:
    """Gives the power back before the peer was silent in a drill."""
    return True


def _seen_in_old_beats(beat: Beat | None, claim: GroupClaim | None, number: int) -> bool:
    """Believes what the peer said of the group before it looked at what people did."""
    return claim is not None and claim.state is GroupState.STOPPED


class StillAlone(TracedCore):
    """Keeps still by its own number alone (rule 19): the peer may not know of it."""

    def in_maintenance(self) -> bool:
        return law.maintenance_is_on(self.wanted.maintenance)

    def _peer_keeps_still(self, order: Order) -> bool:
        return True


class WordOfThePast(TracedCore):
    """Takes an answer that was sent before the order for one to it (rule 19)."""

    def _peer_keeps_still(self, order: Order) -> bool:
        beat = self.peer_beat()
        return beat is not None and beat.still and beat.maintenance == self.wanted.maintenance


class NoLookAfterMaintenance(TracedCore):
    """Goes on where it was when maintenance began (rule 19)."""

    def _end_maintenance(self, number: int, *, agreed: bool) -> None:
        self._change(maintenance=number, agreed=agreed)


class CountDiesWithItsLife(TracedCore):
    """Forgets with each restart of failoverd how often a group's monitor failed (rule 15)."""

    def __init__(
        self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
    ) -> None:
        if stored is not None:
            groups = tuple(replace(group, failures=0, failed_ms=0) for group in stored.groups)
            stored = replace(stored, groups=groups)
        super().__init__(config, boot_id=boot_id, nonce=nonce, stored=stored, now_ms=now_ms)


def _adopt_all(record: GroupRecord, inherited: int) -> bool:
    """Adopts what it finds running, with or without a right."""
    return True


# --- the list --------------------------------------------------------------------------------------

MOVES = ("mid_move_cut", "standby", "takeover", "cut_all")


def _pair_at_work(faults: Faults, core_class: type[TracedCore]) -> tuple[World, Machine]:
    """A pair whose first group runs; and the node that runs it."""
    world = World(faults, core_class=core_class, outcome_only=True)
    world.quiet_network = True
    world.audits.s1_only = True
    for machine in world.machines:
        machine.power_changed()
    liveness.converge(world)
    return world, liveness.holder_of(world, faults.groups[0][0])


def _cut_and_wait(world: World, after_ms: int) -> None:
    world.run_until(world.now + after_ms)
    for link in world.links:
        link.cut = [True, True]
    world.run_until(world.now + 60_000)


def standby_story(faults: Faults, core_class: type[TracedCore]) -> None:
    """Standby with a stop that hangs; both links cut while it does (T5a)."""
    world, holder = _pair_at_work(faults, core_class)
    holder.agent_mode["stop"] = "hang"
    world.command(holder, Verb.STANDBY)
    _cut_and_wait(world, 2 * faults.keepalive_ms)


def shutdown_story(faults: Faults, core_class: type[TracedCore]) -> None:
    """Clean shutdown with a stop that hangs; both links cut while it does (T6)."""
    world, holder = _pair_at_work(faults, core_class)
    holder.agent_mode["stop"] = "hang"
    assert holder.daemon is not None
    holder.daemon.handle(ShutdownRequested())
    _cut_and_wait(world, 2 * faults.keepalive_ms)


def failed_stop_story(faults: Faults, core_class: type[TracedCore]) -> None:
    """A stop fails, the switch does not obey, so the reset never happens; then both links are cut (T9)."""
    world, holder = _pair_at_work(faults, core_class)
    holder.agent_mode["stop"] = "fail"
    holder.device_mode = "fail"
    world.command(holder, Verb.STANDBY)
    _cut_and_wait(world, faults.stop_ms + 2_000)


def starting_story(faults: Faults, core_class: type[TracedCore]) -> None:
    """Both links cut while the new owner is still starting (T5c)."""
    world, holder = _pair_at_work(faults, core_class)
    holder.peer.agent_mode["start"] = "hang"
    world.command(holder, Verb.STANDBY)
    while not holder.peer.resources[faults.groups[0][0]].active:
        world.run_until(world.now + 10)
    _cut_and_wait(world, 2 * faults.keepalive_ms)


SLOW = (("start_ms", 8_000), ("stop_ms", 8_000), ("keepalive_ms", 200), ("deadtime_ms", 1_000))
RESTARTS = ("crash_daemon", "standby", "takeover", "cut_all")
BAD_DISK = ("disk_full", "standby", "takeover", "crash_daemon")

EARLIER = (
    Planted(
        name="standby-hung-stop",
        rule="5, S3",
        by="S3",
        core_class=StandbyHungStop,
        kinds=("mid_move_cut",),
        changes=SLOW,
        story=standby_story,
    ),
    Planted(
        name="shutdown-hung-stop",
        rule="5, S3",
        by="S3",
        core_class=ShutdownHungStop,
        kinds=("shutdown", "agent_mode"),
        changes=SLOW,
        story=shutdown_story,
    ),
    Planted(
        name="failed-stop-no-reboot",
        rule="5, 17, S9",
        by="S3",
        core_class=FailedStopNoReboot,
        kinds=("mid_move_cut", "agent_mode"),
        changes=SLOW,
        story=failed_stop_story,
    ),
    Planted(
        name="new-owner-starting",
        rule="5, S3",
        by="S3",
        core_class=NewOwnerStarting,
        kinds=MOVES,
        changes=SLOW,
        story=starting_story,
    ),
    Planted(
        name="released-is-permission",
        rule="2b, 5",
        by="rule 2b",
        core_class=NoneNeedsNoFence,
        kinds=(*MOVES, "crash_daemon", "cut_one_way"),
        changes=SLOW,
    ),
    Planted(
        name="grant-before-durable",
        rule="4, 7",
        by="rule 7",
        core_class=GrantBeforeDurable,
        kinds=(*RESTARTS, "disk_slow"),
        changes=(("persist_ms", 300),),
    ),
    Planted(
        name="right-survives-reboot",
        rule="3",
        by="rule 3: goes on",
        core_class=RightSurvivesReboot,
        kinds=("mains_cut", "reboot", "standby", "crash_daemon"),
    ),
    Planted(
        name="stale-proof",
        rule="2b",
        by="rule 2b",
        core_class=StaleProof,
        kinds=("cut_all", "takeover", "standby", "mains_cut"),
    ),
    Planted(
        name="restart-is-reset",
        rule="9",
        by="rule 2b",
        core_class=RestartTakenForReset,
        kinds=("crash_daemon", "cut_link"),
    ),
    Planted(
        name="void-word-used",
        rule="2c",
        by="rule 2c",
        core_class=VoidWordUsed,
        kinds=(
            "mains_cut",
            "confirm_dead",
            "disk_slow",
            "disk_full",
            "crash_daemon",
            "device_mode",
            "pause_daemon",
        ),
        changes=(("long_delay", 0.1), ("long_delay_ms", 30_000), ("persist_ms", 300)),
        seeds=150,
        outcome=False,
    ),
    Planted(
        name="adoption-without-right",
        rule="3",
        by="rules 1, 3",
        patches=((law, "may_adopt", _adopt_all),),
        kinds=("lose_state", "crash_daemon", "standby"),
        outcome=False,
    ),
    Planted(
        name="x-echo-nonce-alone",
        rule="current beat",
        by="S7",
        patches=((Hearing, "_proves_life", _any_echo),),
        kinds=("crash_daemon", "standby", "takeover", "replay"),
        changes=(("long_delay", 0.05), ("long_delay_ms", 5_000)),
        outcome=False,
    ),
    Planted(
        name="older-life-believed",
        rule="current beat, S7",
        by="S7",
        patches=((Hearing, "_receive_new_life", _older_lives_forgotten),),
        kinds=("crash_loop", "lose_state", "standby"),
        changes=(("long_delay", 0.1), ("long_delay_ms", 8_000), ("stability_ms", 500)),
        outcome=False,
    ),
    Planted(
        name="x-right-kept-until-durable",
        rule="4",
        by="rule 2",
        core_class=RightKeptUntilDurable,
        kinds=BAD_DISK,
        changes=(("persist_ms", 300),),
        outcome=False,
    ),
    Planted(
        name="debt-dies-with-its-boot",
        rule="13",
        by="rule 13",
        core_class=DebtDiesWithItsBoot,
        kinds=("fence", "mains_cut", "blackout", "reboot"),
        changes=(("fence_power_on", True), ("later_exams", True)),
        outcome=False,
    ),
    Planted(
        name="drill-of-an-active-node",
        rule="25",
        by="rule 25",
        patches=((law, "may_drill", _drill_any),),
        kinds=("prove", "standby", "takeover"),
        outcome=False,
    ),
    Planted(
        name="drill-without-a-new-boot",
        rule="25",
        by="rule 25",
        patches=((law, "drill_is_over", _over_at_once),),
        kinds=("prove",),
        outcome=False,
    ),
    Planted(
        name="drill-without-silence",
        rule="25",
        by="rule 25",
        patches=((DrillDecisions, "_is_quiet", _quiet_at_once),),
        kinds=("prove",),
        outcome=False,
    ),
    Planted(
        name="drill-takes",
        what="Takes what nobody has by the OFF of a drill.",
        rule="25, 2b",
        by="rule 25",
        core_class=DrillTakes,
        patches=((law, "may_drill_beside", _drill_beside_nobody),),
        kinds=("prove", "crash_daemon", "lose_state", "agent_mode"),
        changes=(("groups", (("g1", "pete"), ("g2", "mclaws"))),),
        outcome=False,
    ),
    Planted(
        name="maintenance-no-look",
        rule="19",
        by="S3",
        core_class=NoLookAfterMaintenance,
        kinds=("maintain", "cut_all", "resource_dies"),
    ),
    Planted(
        name="maintenance-old-claim",
        rule="19",
        by="S1",
        patches=((law, "seen_stopped", _seen_in_old_beats),),
        kinds=("maintain", "resource_dies"),
        changes=(("delay_ms", 1_000), ("persist_ms", 300)),
    ),
    Planted(
        name="maintenance-alone",
        rule="19",
        by="rule 19",
        core_class=StillAlone,
        kinds=("maintain", "cut_all", "cut_one_way", "resource_dies"),
        outcome=False,
    ),
    Planted(
        name="maintenance-word-of-the-past",
        rule="19",
        by="rule 19",
        core_class=WordOfThePast,
        kinds=("maintain", "resource_dies"),
        seeds=150,
        outcome=False,
    ),
    Planted(
        name="older-goes-on-in-maintenance",
        rule="19",
        by="S1",
        patches=((shell, "read_by", _goes_on_from_what_bars),),
        kinds=("maintain", "upgrade"),
        changes=(("speaks", (MINOR, MINOR)), ("mixed", False)),
    ),
    Planted(
        name="request-any-epoch",
        rule="epoch",
        by="admits",
        core_class=AsksNoEpoch,
        kinds=("request",),
        outcome=False,
    ),
    Planted(
        name="request-no-hold-off",
        rule="hold-off",
        by="hold-off",
        core_class=ForgetsTheHoldOff,
        kinds=("request",),
        outcome=False,
    ),
    Planted(
        name="ping-is-proof",
        rule="5, ping",
        by="rule 2b",
        core_class=PingIsProof,
        kinds=("cut_all", "ping_lost"),
        changes=(("pings", 1),),
        seeds=4,
    ),
    Planted(
        name="ping-shoots-first",
        rule="10, ping",
        by="rule 10",
        core_class=ReachesSoShoots,
        kinds=("cut_all", "mains_cut"),
        changes=(("pings", 1),),
        outcome=False,
        seeds=4,
    ),
    Planted(
        name="ping-one-turn-more",
        rule="10, ping",
        by="ping: reaches nobody",
        patches=((law, "shoot_delay_ms", _one_turn_more),),
        kinds=("isolate",),
        changes=(("pings", 1),),
        outcome=False,
        seeds=10,
    ),
    Planted(
        name="ping-no-bound",
        rule="L1, ping",
        by="L1, ping",
        core_class=CutOffForEver,
        kinds=("ping_lost",),
        changes=(("pings", 1),),
        outcome=False,
        seeds=12,
    ),
    Planted(
        name="ping-moves-to-fewer",
        rule="vote, ping",
        by="ping:",
        core_class=MovesToFewer,
        kinds=("ping_lost", "standby", "takeover"),
        changes=(("pings", 2),),
        outcome=False,
        seeds=4,
    ),
    Planted(
        name="ping-no-rest",
        what="Moves for the sake of ping nodes as often as their answers change.",
        rule="rest, ping",
        by="ping: again",
        patches=((pingvotes, "PING_REST_MS", 0),),
        kinds=("ping_lost",),
        changes=(("pings", 2), ("ping_failover", True), ("auto_failback", False), ("stability_ms", 20_000)),
        outcome=False,
        seeds=4,
    ),
    Planted(
        name="count-dies-with-its-life",
        rule="15",
        by="rule 15",
        core_class=CountDiesWithItsLife,
        kinds=("crash_daemon", "resource_dies"),
        changes=(("monitor_failures", 2),),
        outcome=False,
    ),
    Planted(
        name="x-epoch-counts-when-durable",
        rule="4",
        by="rule 4",
        core_class=EpochCountsWhenDurable,
        kinds=BAD_DISK,
        outcome=False,
    ),
)
