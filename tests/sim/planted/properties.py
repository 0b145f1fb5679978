"""Planted bugs of the properties S1 to S11 and L1 to L7 (docs/simulation.md names them)."""

from __future__ import annotations

from dataclasses import replace

from failover_kit.manager import law
from failover_kit.manager.actions import Action
from failover_kit.manager.coredata import Order, Proof, Purpose
from failover_kit.manager.events import BeatReceived, Event, MonitorFailed, StartFailed, StopFailed
from failover_kit.manager.records import CoreConfig, FenceEvidence, NodeRecord
from failover_kit.manager.states import GroupState, PeerState, PeerTrigger
from sim.planted.earlier import MOVES, SLOW, NoneNeedsNoFence
from sim.planted.model import Planted
from sim.planted.rules import StartsAgainAtOnce, _no_delay, _without_contact
from sim.world import TracedCore


class SilenceIsLeave(TracedCore):
    """Takes over from a peer that has been silent for long, without a shot and without an operator."""

    def _choose_shot(self) -> None:
        long_ago = self.now_ms - self.silent_since_ms >= 2 * self.config.deadtime_ms
        if self.peer_state is PeerState.SILENT and self.proof is None and long_ago:
            self._peer_becomes(PeerTrigger.PROOF)
            self.proof = Proof(self.wanted.peer_boot_id, self.counter, self.now_ms)


def _exit_0_is_proof(evidence: FenceEvidence, ordered_ms: int) -> bool:
    """Believes the exit code of an off, and reads nothing back."""
    offs = [reading.off_exit for reading in evidence.readings]
    return evidence.in_time and bool(offs) and all(code == 0 for code in offs)


class StopsWhatStarts(TracedCore):
    """Begins a stop while the start of the same group still runs."""

    def _decide_groups(self) -> None:
        for group in self.groups.values():
            claim = self.peer_claim(group.name)
            if group.op and group.state is GroupState.STARTING and claim is not None and claim.want:
                self._order_stop(group, Purpose.MOVE)
        super()._decide_groups()


class WallClock(TracedCore):
    """Takes the time of day, which is set back by 5 s, for the time."""

    def handle(self, now_ms: int, event: Event) -> list[Action]:
        return super().handle(now_ms - (5_000 if now_ms - self.born_ms > 60_000 else 0), event)


class FailedStopReleases(TracedCore):
    """Counts a stop that failed as done, and gives the group away."""

    def _stop_failed(self, event: StopFailed) -> None:
        group = self.groups[event.group]
        if group.op != event.op:
            return
        super()._stop_failed(event)
        group.state, group.stop_failed, group.purpose = GroupState.STOPPED, False, Purpose.MOVE
        self._change_group(group.name, held=False)


class ProbesNothing(TracedCore):
    """Takes everything for stopped when it starts, and looks at nothing."""

    def __init__(
        self, config: CoreConfig, *, boot_id: str, nonce: str, stored: NodeRecord | None, now_ms: int
    ) -> None:
        super().__init__(config, boot_id=boot_id, nonce=nonce, stored=stored, now_ms=now_ms)
        for group in self.groups.values():
            group.state = GroupState.STOPPED


_may_start = law.may_start


def _start_stalled(facts: law.StartFacts) -> str:
    """Starts a group right after a pause, on old facts."""
    return _may_start(replace(facts, stalled=False))


class NeverShoots(TracedCore):
    """Waits for ever before it shoots a silent peer."""

    def silent_shot_at_ms(self) -> int:
        return super().silent_shot_at_ms() + 10**9


class NeverGivesUp(TracedCore):
    """Waits for ever for the outcome of an order."""

    def _give_up(self, order: Order) -> None:
        pass


class OneLinkOnly(TracedCore):
    """Listens to one medium alone."""

    def _beat_received(self, event: BeatReceived) -> None:
        if event.link == self.config.links[0]:
            super()._beat_received(event)


class ForgetsFailedStarts(TracedCore):
    """Tells nobody that a start failed here."""

    def _start_failed(self, event: StartFailed) -> None:
        super()._start_failed(event)
        self._change_group(event.group, failed_here=False)


class MonitorsNothing(TracedCore):
    """Does not listen to monitors that fail."""

    def _monitor_failed(self, event: MonitorFailed) -> None:
        pass


def exam(name: str) -> tuple[tuple[str, object], ...]:
    """No random phase: the pair finds together and takes this exam."""
    return (("exam", name), ("duration_ms", 1_000))


PROPERTIES: tuple[Planted, ...] = (
    Planted(
        name="two-active", rule="S1", core_class=NoneNeedsNoFence, kinds=MOVES, changes=SLOW, by="S1", alone=True
    ),
    Planted(
        name="silence-is-leave", rule="2b, S2", core_class=SilenceIsLeave, kinds=("cut_all", "mains_cut"), by="S2"
    ),
    Planted(
        name="exit-0-is-proof",
        rule="8, S4",
        patches=((law, "is_proof", _exit_0_is_proof),),
        kinds=("cut_all", "device_mode"),
        changes=(("device_modes", ("lie", "blind")),),
        by="S4",
    ),
    Planted(
        name="starts-again-at-once",
        rule="18, S5",
        core_class=StartsAgainAtOnce,
        kinds=("agent_mode", "standby"),
        changes=(("agent_fail", 0.2),),
        by="S5",
        outcome=False,
    ),
    Planted(
        name="stops-what-starts",
        rule="S6",
        core_class=StopsWhatStarts,
        kinds=("takeover", "standby"),
        changes=SLOW,
        by="S6",
        outcome=False,
    ),
    Planted(
        name="wall-clock",
        rule="21, S8",
        core_class=WallClock,
        kinds=("standby",),
        by="time went back",
        outcome=False,
        seeds=4,
    ),
    Planted(
        name="failed-stop-releases",
        rule="17, S9",
        core_class=FailedStopReleases,
        kinds=("mid_move_cut", "agent_mode"),
        by="S9",
    ),
    Planted(
        name="probes-nothing",
        rule="6, S10",
        core_class=ProbesNothing,
        kinds=("crash_daemon", "standby"),
        by="S10",
        outcome=False,
    ),
    Planted(
        name="starts-after-a-pause",
        rule="21, S11",
        patches=((law, "may_start", _start_stalled),),
        kinds=("pause_daemon", "resource_dies", "standby"),
        changes=(("stability_ms", 500),),
        by="S11",
        outcome=False,
    ),
    Planted(
        name="never-shoots",
        rule="L1",
        core_class=NeverShoots,
        changes=exam("power"),
        by="L1",
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="shoots-for-ever",
        rule="15, L2",
        patches=((law, "may_shoot", _without_contact),),
        changes=exam("all_links"),
        by="L2",
        alone=True,
        outcome=False,
        seeds=8,
    ),
    Planted(
        name="both-shoot-at-once",
        rule="10, L3",
        patches=((law, "shoot_delay_ms", _no_delay),),
        changes=exam("all_links"),
        by="L3",
        alone=True,
        outcome=False,
        seeds=20,
    ),
    Planted(
        name="never-gives-up",
        rule="L4",
        core_class=NeverGivesUp,
        kinds=("mid_move_cut", "device_mode"),
        changes=(*SLOW, ("device_modes", ("fail",)), ("stability_ms", 20_000), ("op_timeout_ms", 10_000)),
        by="L4: order",
        outcome=False,
    ),
    Planted(
        name="one-link-only",
        rule="L5",
        core_class=OneLinkOnly,
        changes=(*exam("one_link"), ("links", ("eth1", "ttyS0"))),
        by="L5",
        outcome=False,
        seeds=20,
    ),
    Planted(
        name="failed-start-for-ever",
        rule="18, L6",
        core_class=ForgetsFailedStarts,
        changes=exam("failed_start"),
        by="L6",
        outcome=False,
        seeds=20,
    ),
    Planted(
        name="monitors-nothing",
        rule="15, L7",
        core_class=MonitorsNothing,
        changes=exam("resource_gone"),
        by="L7",
        outcome=False,
        seeds=8,
    ),
)
