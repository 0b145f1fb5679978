"""The manager's brain: ``handle(now_ms, event) -> actions``. No clock, no I/O, no randomness, no logger."""

from __future__ import annotations

from failover_kit.manager import law
from failover_kit.manager.actions import Action, Level, SendBeat
from failover_kit.manager.coredata import Group
from failover_kit.manager.events import (
    BeatReceived,
    Command,
    Event,
    FenceDone,
    MonitorFailed,
    Persisted,
    PersistFailed,
    PingsSeen,
    PlugsRead,
    PowerOnDone,
    Probed,
    ShutdownRequested,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.hearing import Verdict
from failover_kit.manager.orders import OrderDecisions
from failover_kit.manager.records import Beat, ClusterView, GroupClaim
from failover_kit.manager.states import GroupState, PeerState, PeerTrigger, check
from failover_kit.manager.view import view_of

# One event can enable a decision that enables another; a chain longer than this is a bug.
EVALUATION_LIMIT = 10


class Core(OrderDecisions):
    """One node's decisions, for one life of failoverd.

    ``boot_id`` is the kernel's, ``nonce`` fresh random text of this life, ``stored`` the last durable
    record or None when there is none (rule 23). All times are milliseconds of one clock that counts
    suspend (rule 21); it may start anywhere.
    """

    def handle(self, now_ms: int, event: Event) -> list[Action]:
        """Take in one fact, decide, and return what is to be done, in order.

        Raises InvariantViolation on a bug; the caller must then end without touching resources.
        """
        check(now_ms >= self.now_ms, f"time went back from {self.now_ms} to {now_ms}")
        self._out = []
        if self.exited:
            return []
        self._notice_pause(now_ms)
        self.now_ms = now_ms
        self._take_in(event)
        self._notice_moves()
        self._evaluate()
        if not self.exited and (self.beat_due or now_ms >= self.next_beat_ms):
            self._watch_links()
            self._send_beat()
        return self._out

    def deadline_ms(self) -> int:
        """When the core wants a Tick. Never later than its next beat."""
        if self.exited:
            return self.now_ms + self.config.keepalive_ms
        deadline = self.next_beat_ms
        if self.peer_state is PeerState.UP:
            deadline = min(deadline, self._silent_from_ms())
        elif self.peer_state is PeerState.SILENT and self.shot is None:
            shot_at = self.silent_shot_at_ms()
            if shot_at > self.now_ms:
                deadline = min(deadline, shot_at)
        return max(deadline, self.now_ms + 1)

    def view(self, now_ms: int) -> ClusterView:
        """A frozen picture for status and tests."""
        return view_of(self, now_ms)

    # --- facts -------------------------------------------------------------------------------------

    def _notice_pause(self, now_ms: int) -> None:
        """Rule 21: after a pause nothing known is fresh, and the peer's silence may be our own deafness."""
        if now_ms - self.now_ms < max(self.config.deadtime_ms // 2, 2 * self.config.keepalive_ms):
            return
        paused_ms = now_ms - self.now_ms
        self.silence_floor_ms = now_ms
        self.silent_since_ms = now_ms
        self.stalled_at_ms = now_ms
        self.stalled_counter = self.counter
        self._note(
            Level.WARNING, "paused", f"{self.config.node} did not run for {paused_ms} ms; it looks before it acts"
        )

    def _take_in(self, event: Event) -> None:
        match event:
            case BeatReceived():
                self._beat_received(event)
            case Persisted():
                self._persisted(event.token)
            case PersistFailed():
                self._persist_failed(event.token, event.reason)
            case Probed():
                self._probed(event)
            case Started():
                self._started(event)
            case StartFailed():
                self._start_failed(event)
            case Stopped():
                self._stopped(event)
            case StopFailed():
                self._stop_failed(event)
            case MonitorFailed():
                self._monitor_failed(event)
            case FenceDone():
                self._fence_done(event)
            case PowerOnDone():
                self._power_on_done(event)
            case PlugsRead():
                self._plugs_read(event)
            case PingsSeen():
                self._pings_seen(event)
            case Command():
                self._command(event)
            case ShutdownRequested():
                self._request_shutdown()
            case _:  # Tick: time itself is the fact
                pass

    def _beat_received(self, event: BeatReceived) -> None:
        beat = event.beat
        if beat.node == self.config.peer:
            self._void_confirmation(beat.boot_id)
            self._void_waiting_words()
        life = self.hearing.nonce
        verdict = self.hearing.receive(beat, event.link, self.counter, self.now_ms)
        if verdict is not Verdict.CURRENT or self._check_fenced_boot(beat):
            return
        if self.stalled() and law.echo_of(beat, self.nonce) > self.stalled_counter:
            self.stalled_counter = -1
        self._note_contact(beat)
        self._hear_of_maintenance(beat)
        self._drill_hears(beat)
        for group in self.groups.values():
            claim = beat.claim(group.name)
            if claim is not None:
                self._take_in_claim(group, claim)
        was = self.peer_state
        new_life = self.hearing.nonce != life
        if new_life:
            # It answered us, so it hears us; it says so as soon as it believes us: deadtime for that.
            self.silence_floor_ms = self.now_ms
        back = was in (PeerState.FENCED, PeerState.CONFIRMED_DEAD) or (new_life and was is PeerState.SILENT)
        if beat.hears or back:
            self._peer_becomes(PeerTrigger.BEAT)
            if was is not PeerState.UP and self.peer_state is PeerState.UP:
                self._unsay("no-shot")
                self._unsay("fence-failed")
                self._note(Level.INFO, "peer-up", f"{self.config.peer} is up (boot {beat.boot_id[:8]})")
        if was is not PeerState.FENCING:
            self.proof = None  # served its takeover, or never will (rule 2b)
        self._check_conflict(beat)

    def _note_contact(self, beat: Beat) -> None:
        self._change(peer_boot_id=beat.boot_id)
        if self.wanted.fenced_boot_id == beat.boot_id:
            self._alarm_false_proof()
        if beat.hears:
            self._change(contact=True, fenced_boot_id="")
            if self.shot is None:
                self._change(shots=0)
        if beat.digest != self.config.digest:
            self._note_once(
                Level.WARNING,
                "config-differs",
                f"ha.cf, haresources or authkeys differ between {self.config.node} and {self.config.peer}; "
                "planned moves are refused until they agree",
            )
        else:
            self._unsay("config-differs")
        differs = self.versions_differ(beat)
        if differs:
            self._note_once(Level.WARNING, "versions-differ", differs)
        else:
            self._unsay("versions-differ")

    # --- time --------------------------------------------------------------------------------------

    def _check_silence(self) -> None:
        if self.stalled() and self.now_ms - self.stalled_at_ms >= self.config.deadtime_ms:
            self.stalled_counter = -1
        if self.peer_state is PeerState.NEVER_HEARD:
            if self.now_ms - max(self.born_ms, self.silence_floor_ms) >= self.config.initdead_ms:
                self._peer_becomes(PeerTrigger.SILENCE)
                self.silent_since_ms = self.now_ms
                self._note(
                    Level.WARNING,
                    "never-heard",
                    f"{self.config.peer} was not heard since {self.config.node} started "
                    f"({self.config.initdead_ms / 1000:g} s, initdead)",
                )
        elif self.peer_state is PeerState.UP and self.now_ms >= self._silent_from_ms():
            self._peer_becomes(PeerTrigger.SILENCE)
            self.silent_since_ms = self.now_ms
            if self.has_left():
                self._note(
                    Level.INFO, "peer-left", f"{self.config.peer} has left: failoverd was ended there in good order"
                )
                return
            deaf = self.hearing.hears(self.now_ms, self.config.deadtime_ms)
            what = "does not hear us" if deaf else "is silent"
            self._note(
                Level.WARNING,
                "peer-silent",
                f"{self.config.peer} {what} for {self.config.deadtime_ms / 1000:g} s on "
                f"{' and '.join(self.config.links) or 'every link'}",
            )

    def _watch_links(self) -> None:
        """Warn of one silent link while another still carries beats; a takeover does not follow from it."""
        for name, heard_ms in self.hearing.links.items():
            code = f"link-{name}"
            floor_ms = max(self.peer_since_ms, self.silence_floor_ms)
            since_ms = floor_ms if heard_ms is None else max(heard_ms, floor_ms)
            silent = heard_ms is None or self.now_ms - heard_ms >= self.config.deadtime_ms
            if silent:
                self.link_silent_ms = self.now_ms
            long_enough = self.now_ms - since_ms >= self.config.deadtime_ms
            if silent:  # what the peer hears there counts anew when both directions may work again
                self.hearing.unheard_ms.pop(name, None)
            one_way = self.one_way(name, self.now_ms)
            if one_way and self.peer_state is PeerState.UP:
                self._note_once(
                    Level.WARNING,
                    code,
                    f"link {name}: {one_way}; repair it before another link fails, too",
                )
            elif silent and long_enough and self.peer_state is PeerState.UP and self._other_link_alive(name):
                self._note_once(
                    Level.WARNING,
                    code,
                    f"link {name} is silent; {self.config.peer} is still heard by another link: repair it "
                    "before that one fails, too",
                )
            elif not silent and name not in self.hearing.unheard_ms and code in self.said:
                self._unsay(code)
                self._note(Level.INFO, "link-back", f"link {name} carries beats again")

    def _other_link_alive(self, name: str) -> bool:
        return any(
            other != name and heard_ms is not None and self.now_ms - heard_ms < self.config.deadtime_ms
            for other, heard_ms in self.hearing.links.items()
        )

    # --- decisions ---------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        for _ in range(EVALUATION_LIMIT):
            before = (self._version, len(self._out))
            self._check_silence()
            self._weigh_pings()
            self._decide_maintenance()
            self._decide_groups()
            self._decide_fencing()
            self._decide_drill()
            self._decide_power()
            if self.orders:
                self._decide_orders()
            self._decide_exit()
            self._persist_if_needed()
            if (self._version, len(self._out)) == before:
                return
        check(False, "decisions do not come to rest")

    # --- beats -------------------------------------------------------------------------------------

    def _claim(self, group: Group) -> GroupClaim:
        """The whole truth about one group; a pending right is claimed, a pending grant is shown but not valid."""
        record = self.wanted_groups[group.name]
        durable = self.durable_groups[group.name]
        sent = durable.grant == record.grant and durable.grant_nonce == record.grant_nonce
        asks = group.stop_failed and group.state is not GroupState.STOPPED and not self.peer_ready(group.name)
        asks = asks and not self.in_maintenance()
        return GroupClaim(
            name=group.name,
            state=group.state,
            held=self.is_held(group),
            right=record.right,
            top=record.top,
            grant=record.grant,
            grant_nonce=record.grant_nonce if sent else "",
            failed_here=record.failed_here,
            parked=bool(record.parked),
            fence_me=record.right if asks else 0,
            want=group.want,
        )

    def _send_beat(self) -> None:
        self.counter += 1
        self.beat_due = False
        self.next_beat_ms = self.now_ms + self.config.keepalive_ms
        leaving = self.durable.leaving == self.nonce == self.wanted.leaving and self.is_clean()
        self._act(
            SendBeat(
                Beat(
                    node=self.config.node,
                    boot_id=self.boot_id,
                    nonce=self.nonce,
                    counter=self.counter,
                    echoes=self.hearing.echoes(),
                    hears=self.hearing.hears(self.now_ms, self.config.deadtime_ms),
                    ready=not self.ready_reason(),
                    leaving=leaving,
                    links=self.hearing.hears_on(self.now_ms, self.config.deadtime_ms),
                    digest=self.config.digest,
                    maintenance=self.durable.maintenance,
                    still=law.keeps_still(self.durable) and self.in_maintenance(),
                    reached=self.reaches_told(),
                    groups=tuple(self._claim(group) for group in self.groups.values()),
                    minor=self.config.minor,
                    release=self.config.release,
                )
            )
        )
