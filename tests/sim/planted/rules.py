"""Planted bugs of the rules of docs/protocol.md by their numbers: each breaks one of them, and nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from failover_kit.manager import law, view
from failover_kit.manager.actions import Start
from failover_kit.manager.coredata import Group, Purpose, Shot, ShotKind
from failover_kit.manager.events import StartFailed
from failover_kit.manager.hearing import Hearing, Verdict
from failover_kit.manager.records import (
    Beat,
    CoreConfig,
    FenceEvidence,
    GroupClaim,
    GroupRecord,
    NodeRecord,
)
from failover_kit.manager.states import GroupState, GroupTrigger
from sim import shell
from sim.planted.model import Planted
from sim.world import TracedCore

FAST_CUTS = (("persist_ms", 300), ("stability_ms", 500), ("delay_ms", 1))


class StartsByWish(TracedCore):
    """Starts at home what nobody claims, without a right to it."""

    def _decide_without_right(self, group: Group) -> None:
        claim = self.peer_claim(group.name)
        if group.config.home == self.config.node and claim is not None and not claim.right:
            group.op = self._next_op()
            self._become(group, GroupTrigger.START_ORDERED)
            self._act(Start(group.name, group.op, self.known_epoch(group.name)))
            return
        super()._decide_without_right(group)


def _any_higher(claim: GroupClaim, my_nonce: str, record: GroupRecord) -> bool:
    """Accepts a grant that is not addressed to this life, or not durable yet."""
    return claim.grant > record.top


def _mine_alone(record: GroupRecord, state: GroupState, claim: GroupClaim | None) -> bool:
    """Gives what it has no right to without a look at what the peer has or passes on."""
    stopped = GroupState.STOPPED
    here = state is stopped and not record.right and not record.grant
    return here and claim is not None and claim.state is stopped


class ShootsWhoLeft(TracedCore):
    """Shoots a peer that has left in good order."""

    def has_left(self) -> bool:
        return False


class RightOutlivesTheEnd(TracedCore):
    """Keeps the right to what it stopped beyond an orderly end of failoverd."""

    def _give_up_rights(self) -> None:
        pass


def _nothing_is_left(self: shell.Daemon, resource: object, then: object) -> None:
    """Neither kills nor waits for what an earlier life's agents left behind."""
    then(True)  # type: ignore[operator]


def _exit_is_enough(self: shell.Daemon, action: shell.Stop) -> None:
    """A stop that exits 0 is believed, whatever else of the group still runs."""
    resource = self.machine.resources[action.group]
    self.watch.pop(action.group, None)

    def ended(ok: bool, reason: str) -> None:
        if ok:
            resource.verified_stopped()
            self.handle(shell.Stopped(action.group, action.op))
        else:
            self.handle(shell.StopFailed(action.group, action.op, "r1", reason))

    self._run(resource, "stop", ended)


class ShootsAtOnce(TracedCore):
    """Fires a shot before its record is on the disk."""

    def _prepare_shot(self, shot: Shot) -> None:
        super()._prepare_shot(shot)
        self._fire(shot)


class StartsBeforeDurable(TracedCore):
    """Takes a right that is being written for one that is on the disk."""

    def _on_disk(self, name: str) -> GroupRecord:
        return self.wanted_groups[name]


def _any_end_is_proof(evidence: FenceEvidence, ordered_ms: int) -> bool:
    """Counts a killed or late agent as a fence."""
    return bool(evidence.readings)


def _never_after_off(beat: Beat, fenced_boot_ids: Collection[str], my_nonce: str, off_counter: int) -> bool:
    """Goes on with a right although the node it was taken from answers after OFF was read."""
    return False


def _no_delay(config: CoreConfig, *, mine_active: bool, peer_active: bool, cut_off: bool = False) -> int:
    """Shoots a silent peer at once, whoever runs the service."""
    return 0


_receive = Hearing.receive


def _any_beat_counts(self: Hearing, beat: Beat, link: str, my_counter: int, now_ms: int) -> Verdict:
    """Calls a peer up that says it hears nothing."""
    verdict = _receive(self, beat, link, my_counter, now_ms)
    if verdict is Verdict.CURRENT:
        self.last_two_way_ms = now_ms
    return verdict


class ShootsAnyway(TracedCore):
    """Fires a shot that was decided, although the peer answers again."""

    def _still_wanted(self, shot: Shot) -> bool:
        return shot.kind is ShotKind.SILENT or super()._still_wanted(shot)


def _trouble_is_a_request(beat: Beat | None, claim: GroupClaim | None) -> bool:
    """Shoots a beating peer that is stopping a group, without being asked for it."""
    return claim is not None and claim.state in (GroupState.STOPPING, GroupState.FAILED)


_may_shoot = law.may_shoot


def _without_contact(facts: law.ShotFacts) -> str:
    """Shoots without contact since its boot, as often as it likes."""
    record = replace(facts.record, contact=True, boot_id=facts.boot_id)
    return _may_shoot(replace(facts, record=record))


class IgnoresTwoRights(TracedCore):
    """Keeps a right that the peer has, too."""

    def _check_conflict(self, beat: Beat) -> None:
        pass


class LowerUnmounts(TracedCore):
    """Of two that are active, the one with the lower epoch stops the group in good order."""

    def _resolve_conflict(self, group: Group, claim: GroupClaim, boot_id: str) -> None:
        lower = law.loses_conflict(self.wanted_groups[group.name].right, claim.right)
        if lower and group.state is GroupState.STARTED:
            self._order_stop(group, Purpose.SHUTDOWN)
        else:
            super()._resolve_conflict(group, claim, boot_id)


class LowerStays(TracedCore):
    """Of two that are active, the one with the lower epoch goes on."""

    def _resolve_conflict(self, group: Group, claim: GroupClaim, boot_id: str) -> None:
        if not law.loses_conflict(self.wanted_groups[group.name].right, claim.right):
            super()._resolve_conflict(group, claim, boot_id)


class HigherWaits(TracedCore):
    """Of two that are active, the one with the higher epoch leaves it to the other to end."""

    def _resolve_conflict(self, group: Group, claim: GroupClaim, boot_id: str) -> None:
        if law.loses_conflict(self.wanted_groups[group.name].right, claim.right):
            super()._resolve_conflict(group, claim, boot_id)


_may_grant = law.may_grant


def _plugs_unread(facts: law.GrantFacts) -> str:
    """Gives a group to a node whose plugs were not read again after a shot."""
    return _may_grant(replace(facts, plugs_uncertain=False))


BOTH_ACTIVE = (
    ("exam", "both_active"),
    ("duration_ms", 1_000),
    ("groups", (("g1", "pete"),)),
    ("auto_failback", False),
)


class GivesToTheBroken(TracedCore):
    """Gives a group whose start failed to a node where it failed, too."""

    def why_not_given(self, group: Group) -> str:
        return self.peer_ready(group.name)


_peer_is_ready = law.peer_is_ready


def _whatever_its_files(beat: Beat | None, claim: GroupClaim | None, digest: str) -> str:
    """Moves a group to a node whose configuration differs."""
    return _peer_is_ready(beat, claim, beat.digest if beat is not None else digest)


class NeverPaused(TracedCore):
    """Goes on after a pause as if no time had passed."""

    def _notice_pause(self, now_ms: int) -> None:
        pass


class RemembersContact(TracedCore):
    """Takes contact for given when its records are lost."""

    def _load(self, stored: NodeRecord | None) -> None:
        super()._load(stored)
        if stored is None:
            self._change(contact=True)


class LetsTheWatchdogGo(TracedCore):
    """Disarms the watchdog while a group is only being started or stopped."""

    def holds(self) -> bool:
        return any(group.state is GroupState.STARTED for group in self.groups.values())


def _nothing_to_do(core: object) -> tuple[str, ...]:
    """Status names nothing that the operator could do."""
    return ()


class StartsAgainAtOnce(TracedCore):
    """Starts a group again after a failed start, without a stop between them."""

    def _start_failed(self, event: StartFailed) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        group.op = 0
        group.state = GroupState.STOPPED
        self._version += 1


RULES = (
    Planted(
        name="starts-by-wish", rule="1", core_class=StartsByWish, kinds=("standby",), by="rules 1, 3", outcome=False
    ),
    Planted(
        name="any-grant",
        rule="2a",
        patches=((law, "grant_is_valid", _any_higher),),
        kinds=("standby", "takeover"),
        changes=(("persist_ms", 300),),
        by="rule 2a",
        outcome=False,
    ),
    Planted(
        name="gives-what-is-not-there",
        rule="2d",
        patches=((law, "no_right_visible", _mine_alone),),
        kinds=("standby", "takeover", "crash_daemon"),
        by="rule 2d",
        outcome=False,
    ),
    Planted(
        name="shoots-who-left",
        rule="5",
        core_class=ShootsWhoLeft,
        kinds=("shutdown",),
        by="rule 5: shoots a peer that left",
        outcome=False,
    ),
    Planted(
        name="right-outlives-the-end",
        rule="3, 26",
        core_class=RightOutlivesTheEnd,
        kinds=("shutdown", "cut_all", "reboot"),
        by="rules 3, 26",
        outcome=False,
        seeds=20,
    ),
    Planted(
        name="leftovers-forgotten",
        rule="6",
        patches=((shell.Daemon, "_clear", _nothing_is_left), (shell.Daemon, "_stop", _exit_is_enough)),
        kinds=("crash_daemon", "resource_dies", "standby"),
        changes=(("outlive", 1.0), ("start_ms", 8_000)),
        by="rule 6",
        outcome=False,
    ),
    Planted(
        name="shoots-before-durable",
        rule="7",
        core_class=ShootsAtOnce,
        kinds=("cut_all", "mains_cut"),
        by="rule 7: a shot",
        outcome=False,
    ),
    Planted(
        name="starts-before-durable",
        rule="1, 7",
        core_class=StartsBeforeDurable,
        kinds=("standby", "takeover"),
        changes=(("persist_ms", 300),),
        by="rules 1, 7",
        outcome=False,
    ),
    Planted(
        name="killed-agent-is-proof",
        rule="8",
        patches=((law, "is_proof", _any_end_is_proof),),
        kinds=("cut_all", "mains_cut", "device_mode"),
        changes=(("device_modes", ("hang", "late")),),
        by="rule 8",
    ),
    Planted(
        name="heard-after-off",
        rule="9",
        patches=((law, "heard_after_off", _never_after_off),),
        changes=(("exam", "heard_after_off"), ("duration_ms", 1_000)),
        by="rule 9",
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="shoots-at-once",
        rule="10",
        patches=((law, "shoot_delay_ms", _no_delay),),
        kinds=("cut_all", "mains_cut"),
        by="rule 10: shoots after",
        outcome=False,
    ),
    Planted(
        name="deaf-is-up",
        rule="11",
        patches=((Hearing, "receive", _any_beat_counts),),
        kinds=("cut_one_way", "cut_all"),
        by="rule 11",
        outcome=False,
    ),
    Planted(
        name="shot-not-aborted",
        rule="12",
        core_class=ShootsAnyway,
        kinds=("cut_all", "disk_slow"),
        changes=FAST_CUTS,
        by="rules 12, 14",
        outcome=False,
    ),
    Planted(
        name="gives-beside-a-shot",
        rule="12",
        patches=((law, "may_grant", _plugs_unread),),
        kinds=("fence", "device_mode", "shutdown", "standby", "cut_all"),
        changes=(("device_modes", ("blind", "fail", "hang")),),
        by="rule 12: grants",
        outcome=False,
    ),
    Planted(
        name="shoots-unasked",
        rule="14",
        patches=((law, "fence_me_is_asked", _trouble_is_a_request),),
        kinds=("standby", "takeover", "agent_mode"),
        by="rules 12, 14",
        outcome=False,
    ),
    Planted(
        name="shoots-without-contact",
        rule="15",
        patches=((law, "may_shoot", _without_contact),),
        kinds=("blackout", "reboot", "mains_cut", "cut_all"),
        changes=(("boot_alone", False),),
        by="rule 15",
        outcome=False,
    ),
    Planted(
        name="keeps-a-second-right",
        rule="16",
        core_class=IgnoresTwoRights,
        changes=(("exam", "two_rights"), ("duration_ms", 1_000)),
        by="rule 16",
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="lower-unmounts",
        rule="16",
        core_class=LowerUnmounts,
        changes=BOTH_ACTIVE,
        by="rule 16: unmounts",
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="lower-stays",
        rule="16",
        core_class=LowerStays,
        changes=BOTH_ACTIVE,
        by="does not reset itself",
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="higher-waits",
        rule="16",
        core_class=HigherWaits,
        changes=BOTH_ACTIVE,
        by="does not fence the lower epoch",
        outcome=False,
        seeds=20,
    ),
    Planted(
        name="gives-to-the-broken",
        rule="18",
        core_class=GivesToTheBroken,
        kinds=("resource_dies", "standby", "agent_mode"),
        changes=(("agent_fail", 0.3), ("start_ms", 2_000), ("stop_ms", 2_000)),
        by="rule 18",
        outcome=False,
    ),
    Planted(
        name="moves-to-other-files",
        rule="20",
        patches=((law, "peer_is_ready", _whatever_its_files),),
        kinds=("config_differs", "standby", "takeover"),
        by="rule 20",
        outcome=False,
    ),
    Planted(
        name="never-paused",
        rule="21",
        core_class=NeverPaused,
        kinds=("pause_daemon", "standby", "takeover", "cut_all"),
        by="rule 21",
        outcome=False,
    ),
    Planted(
        name="contact-outlives-its-record",
        rule="23",
        core_class=RemembersContact,
        kinds=("lose_state", "cut_all", "mains_cut"),
        by="rule 15, 23",
        outcome=False,
    ),
    Planted(
        name="watchdog-let-go",
        rule="24",
        core_class=LetsTheWatchdogGo,
        kinds=("standby",),
        changes=(("start_ms", 8_000),),
        by="rule 24",
        outcome=False,
    ),
    Planted(
        name="nothing-to-do",
        rule="26",
        patches=((view, "_todo", _nothing_to_do),),
        changes=(("exam", "stuck_switch"), ("duration_ms", 1_000)),
        by="rule 26",
        outcome=False,
        seeds=8,
    ),
)
