"""One pass over a journal, and the episodes in it.

Nothing is decided here and no core is run: an episode says what was recorded, also where this version would
decide otherwise. What a journal does not have stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable

from failover_kit.explain.facts import (
    Episode,
    Moment,
    Noted,
    Phase,
    ShotSeen,
    Told,
    order_words,
    verb_words,
)
from failover_kit.explain.flight import Flight
from failover_kit.explain.proof import plug_words
from failover_kit.explain.times import clock, span
from failover_kit.manager import law
from failover_kit.manager.actions import ExitCode, Level, Note, Reply
from failover_kit.manager.events import BeatReceived, Command, Event, FenceDone, ShutdownRequested
from failover_kit.manager.journal import Damage, Entry, Gap, Head

QUIET_MS = 10_000
"""So long without anything notable, and with nothing unfinished, ends an episode."""

PAUSE_MS = 1_000
"""The same when what comes next is a beginning of its own."""

BEGINNINGS = {
    "accepted", "begin-maintenance", "end-maintenance", "fence-me", "fencing", "granted", "leaving",
    "monitor-failed", "move", "never-heard", "peer-silent",
}  # fmt: skip
"""Notes that begin something new, unless what came before still goes on."""

REPEATS_WITHIN = 8
"""The same line again among the last so many is counted, not written again."""

OPENS = {
    "accepted", "adopted", "confirmed-dead", "fencing", "granted", "leaving", "move", "never-heard", "peer-left",
    "peer-silent", "started", "stopped", "takeover",
}  # fmt: skip
"""Notes of level INFO that begin an episode; warnings and alarms do, but for those of ``ASIDE``."""

ASIDE = ("link-", "ping-", "config-differs", "versions-differ")
"""Notes that are no event of their own; told where they fall into an episode."""


def tell(items: Iterable[Head | Entry | Gap | Damage]) -> Told:
    """The episodes of a journal, oldest first."""
    tracker = Tracker()
    for item in items:
        tracker.feed(item)
    return tracker.told()


class Tracker:
    """Feed it everything of a journal in order, then ask for ``told``."""

    def __init__(self) -> None:
        self._episodes: list[Episode] = []
        self._open: Episode | None = None
        self._away: Episode | None = None  # the last one in which the peer was lost, until it is back
        self._flight: Flight | None = None
        self._offset_ms: int | None = None  # wall clock less boot clock
        self._last_ms = 0
        self._from_wall_ms = self._to_wall_ms = 0
        self._lives = 0
        self._longest_gap_ms = 0
        self._headless = 0
        self._remarks: list[str] = []
        self._damaged = False

    def feed(self, item: Head | Entry | Gap | Damage) -> None:
        """Take in one item."""
        if isinstance(item, Head):
            self._head(item)
        elif isinstance(item, Entry):
            self._entry(item)
        elif isinstance(item, Gap):
            self._hole(f"{_count(item.lost, 'event')} missing ({item.why})")
        else:
            self._damaged = True
            self._hole(f"{_count(item.lines, 'line')} unreadable (the first: {item.first})")

    def told(self) -> Told:
        """Close what is open, and hand it all out."""
        flight = self._flight
        if flight is not None and self._open is not None:
            busy = flight.pending()
            self._close(f"the journal ends here; {busy}" if busy else "")
        if self._headless:
            self._damaged = True
            self._remarks.append(
                f"unknown: {_count(self._headless, 'event')} without the head of a life of failoverd; nothing can "
                "be said of them"
            )
        return Told(
            episodes=tuple(self._episodes),
            node=flight.life.config.node if flight is not None else "",
            peer=flight.life.config.peer if flight is not None else "",
            from_wall_ms=self._from_wall_ms,
            to_wall_ms=self._to_wall_ms,
            lives=self._lives,
            longest_gap_ms=self._longest_gap_ms,
            remarks=tuple(self._remarks),
            damaged=self._damaged,
        )

    # --- lives, holes, time ------------------------------------------------------------------------

    def _head(self, head: Head) -> None:
        if self._flight is not None and self._flight.life == head.life:
            self._flight.peer.goes_on(digest=head.past)
            return  # in a new file, or after the disk was full: the gap was told
        if self._flight is not None:
            self._end_life(self._flight, head)
        self._lives += 1
        self._last_ms = head.life.start_ms
        self._flight = Flight(head.life) if head.part == 1 else Flight.resumed(head)
        self._flight.peer.goes_on(digest=head.past)
        self._offset_ms = head.wall_ms - head.life.start_ms if head.wall_ms else None
        if head.part > 1:
            node = head.life.config.node
            self._remarks.append(f"unknown: what happened on {node} earlier; the journal begins after it")
        if head.part == 1 or self._from_wall_ms:
            self._see(head.life.start_ms)

    def _end_life(self, flight: Flight, head: Head) -> None:
        """Another life of failoverd begins. What was in flight has no end in this journal; and a life that did not
        leave in good order ended by something that its own journal cannot have."""
        node = flight.life.config.node
        busy = "" if flight.exited else flight.pending()
        same_boot = flight.life.boot_id == head.life.boot_id
        how = "failoverd ended and was started again in the same boot" if same_boot else (
            f"{node} lost its power, was reset or rebooted"
        )
        if not same_boot:
            self._away = None
        self._close(f"{how}, and {busy}" if busy else "")
        if flight.exited or busy:
            return
        text = f"{how}; nothing before says why"
        episode = self._say(flight, node, text, Level.WARNING, self._last_ms, opens=True)
        began = "in the same boot" if same_boot else "by a new boot"
        text = f"the last entry of that life is of {clock(episode, self._last_ms)}"
        if head.wall_ms and episode.begin_wall_ms:
            text += f"; the next life began {span(max(0, head.wall_ms - episode.begin_wall_ms))} later, {began}"
        episode.notes.append(Noted(self._last_ms, "life-ended" if same_boot else "boot-ended", text))
        self._close("")

    def _hole(self, why: str) -> None:
        self._remarks.append(f"unknown: {why}")
        if self._flight is not None:
            self._flight.lose(why)
        if self._open is not None:
            self._open.unknown.append(why)
            self._open.phases += self._flight.take() if self._flight is not None else []

    def _wall_ms(self, at_ms: int) -> int:
        return 0 if self._offset_ms is None else max(0, at_ms + self._offset_ms)

    def _see(self, at_ms: int) -> None:
        wall_ms = self._wall_ms(at_ms)
        self._from_wall_ms = self._from_wall_ms or wall_ms
        self._to_wall_ms = wall_ms or self._to_wall_ms

    # --- one turn of the core ----------------------------------------------------------------------

    def _entry(self, entry: Entry) -> None:
        flight, now_ms = self._flight, entry.now_ms
        if flight is None:
            self._headless += 1
            return
        if now_ms < self._last_ms:
            return  # time never goes back within a life: a crash left this part in two files
        if entry.wall_ms:
            self._offset_ms = entry.wall_ms - now_ms
        self._see(now_ms)
        self._last_ms = now_ms
        if self._open is not None and not flight.pending():
            begins = isinstance(entry.event, Command) or any(
                isinstance(action, Note) and action.code in BEGINNINGS for action in entry.actions
            )
            if now_ms - self._open.end_ms >= (PAUSE_MS if begins else QUIET_MS):
                self._close("")
        self._event(flight, entry.event, now_ms)
        for action in entry.actions:
            if isinstance(action, Note):
                self._note(flight, action, now_ms)
            elif isinstance(action, Reply):
                self._reply(flight, action, now_ms)
            else:
                flight.ordered(action, now_ms)
        self._longest_gap_ms = max(self._longest_gap_ms, flight.peer.longest_gap_ms)
        for phase in flight.take():
            self._phase(phase, now_ms)

    def _event(self, flight: Flight, event: Event, now_ms: int) -> None:
        config = flight.life.config
        if isinstance(event, BeatReceived):
            # Only what answers this life: a delayed beat of an earlier one tells nothing of now.
            if event.beat.node == config.peer and law.echo_of(event.beat, flight.life.nonce):
                for text, level in flight.peer.hears(event.link, event.beat, now_ms):
                    self._say(flight, config.peer, text, level, now_ms, opens=level is not Level.INFO)
        elif isinstance(event, Command):
            flight.orders[event.id] = event
            text = f"failoverctl {order_words(event)}" + (f" ({event.by})" if event.by else "")
            episode = self._say(flight, "operator", text, Level.INFO, now_ms, opens=True)
            episode.orders.append(event)
        elif isinstance(event, ShutdownRequested):
            self._say(flight, "operator", "failoverd is told to end", Level.INFO, now_ms, opens=True)
        elif isinstance(event, FenceDone):
            self._shot(flight, flight.shot_ended(event, now_ms), now_ms)
        else:
            flight.answered(event, now_ms)

    def _note(self, flight: Flight, note: Note, now_ms: int) -> None:
        episode = self._open
        loud = note.level is not Level.INFO and not note.code.startswith(ASIDE)
        if note.code in OPENS or loud or episode is not None:
            # What stands aside is told within an episode, and keeps none open.
            aside = (episode.end_ms,) if episode is not None and note.code.startswith(ASIDE) else ()
            episode = self._say(flight, flight.life.config.node, note.text, note.level, now_ms, opens=True)
            episode.end_ms = min((episode.end_ms, *aside))
            episode.notes.append(Noted(now_ms, note.code, note.text))
        if note.code == "peer-up" and self._away is not None:
            self._away.back_ms, self._away.back_boot = now_ms, flight.peer.boot
            self._away.back_wall_ms = self._wall_ms(now_ms)
            self._away = None
        if episode is not None and note.code in ("peer-silent", "never-heard", "fencing"):
            self._away = episode
            episode.gone_boot = episode.gone_boot or flight.peer.boot
        if episode is not None and note.code == "peer-silent" and episode.last_beat_ms is None:
            episode.last_beat_ms = flight.peer.last_beat_ms
            episode.ran_here, episode.ran_there = tuple(flight.runs), tuple(flight.peer.there)
        if episode is not None and note.code == "confirmed-dead" and episode.last_beat_ms is None:
            episode.last_beat_ms = flight.peer.last_beat_ms
            episode.links_before = flight.peer.links_silent_before()
        flight.noted(note, now_ms)

    def _reply(self, flight: Flight, reply: Reply, now_ms: int) -> None:
        order = flight.orders.pop(reply.id, None)
        verb = verb_words(order.verb) if order is not None else "an order"
        level = Level.INFO if reply.code is ExitCode.DONE else Level.WARNING
        text = f"{verb}: {reply.code.name.lower().replace('_', ' ')}: {reply.text}"
        self._say(flight, flight.life.config.node, text, level, now_ms, opens=True).replies.append((verb, reply))

    # --- episodes ----------------------------------------------------------------------------------

    def _say(self, flight: Flight, lane: str, text: str, level: Level, now_ms: int, *, opens: bool) -> Episode:
        """Add a line. With ``opens`` False it is lost when there is no episode to belong to."""
        episode = self._open
        if episode is None:
            episode = Episode(flight.life, now_ms, self._wall_ms(now_ms), now_ms)
            episode.ran_here = tuple(flight.runs)
            episode.ran_there = tuple(flight.peer.there)
            if not opens:
                return episode
            if flight.blind:
                episode.unknown.append(flight.blind)
                flight.blind = ""
            self._open = episode
        episode.end_ms = now_ms
        for earlier in reversed(episode.moments[-REPEATS_WITHIN:]):
            if (earlier.lane, earlier.text, earlier.level) == (lane, text, level):
                earlier.count, earlier.last_ms = earlier.count + 1, now_ms
                return episode
        episode.moments.append(Moment(now_ms, self._wall_ms(now_ms), lane, text, level))
        return episode

    def _phase(self, phase: Phase, now_ms: int) -> None:
        if self._open is not None:
            self._open.end_ms = now_ms
            self._open.phases.append(phase)

    def _shot(self, flight: Flight, shot: ShotSeen, now_ms: int) -> None:
        if shot.looked_only and self._open is None:
            return  # the look each half minute whether its plugs read OFF already: no news
        for reading in shot.plugs:
            level = Level.INFO if shot.proved or shot.looked_only else Level.WARNING
            self._say(flight, "switch", plug_words(reading), level, now_ms, opens=True)
        if self._open is not None:
            self._open.shots.append(shot)

    def _close(self, ended: str) -> None:
        episode, flight = self._open, self._flight
        self._open = None
        if episode is None or flight is None:
            return
        episode.phases += [*flight.take(), *flight.unfinished()]
        episode.runs_here = tuple(flight.runs)
        episode.runs_there = tuple(flight.peer.there)
        episode.doubt_here = tuple(sorted(flight.failed))
        episode.ended = ended
        self._episodes.append(episode)


def _count(number: int, thing: str) -> str:
    return f"1 {thing} is" if number == 1 else f"{number} {thing}s are"
