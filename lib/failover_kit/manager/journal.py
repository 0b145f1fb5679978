"""What happened to the core and what it answered: enough to run it again and compare.

JSON lines in two files, ``previous.jsonl`` and ``current.jsonl``, together within a limit; of what came before
``journalpast`` keeps a digest. A line is a head, an entry or a gap:

    {"journal":1,"part":1,"life":{..}}     a life of failoverd begins
    {"journal":1,"part":2,"life":{..},"core":{..}}  it goes on in a new file, with a snapshot of the core
    {"t":8120400}                          a Tick at that time
    {"t":..,"b":["eth1",17,[12]]}          the last beat of that link again, with new counters
    {"t":..,"w":..,"e":{..},"a":[..]}      an event and the actions it led to, SendBeat left out
    {"gap":3,"why":".."}                   entries were lost here

A head has the dialect of who wrote what follows (design/0039). What a newer minor wrote is read without what is not
known here, to be explained; it is not replayed.

``record`` only appends to a bounded ring in memory; a thread does the encoding and writing, so a slow or
full disk costs entries (a gap says how many) and never a beat. Nothing is fsynced: a power cut loses the last
second of the journal, and the last five of ticks and beats that led to nothing; what must survive is in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from failover_kit import VERSION
from failover_kit.manager import dialect, journalpast
from failover_kit.manager.actions import Action, SendBeat
from failover_kit.manager.codec import (
    CodecError,
    from_plain,
    from_tagged,
    is_member,
    pruned,
    pruned_tagged,
    tagged,
    to_plain,
)
from failover_kit.manager.core import Core
from failover_kit.manager.events import BeatReceived, Event, Tick
from failover_kit.manager.offloop import Worker
from failover_kit.manager.records import Beat, CoreConfig, NodeRecord, standing
from failover_kit.manager.snapshot import import_core
from failover_kit.manager.states import InvariantViolation

DEFAULT_DIR = "/var/lib/failover-kit/journal"
LIMIT_BYTES = 16 << 20

RING_ENTRIES = 20_000
"""Some minutes of a busy node: what a disk may hang before entries are lost."""

FLUSH_PAUSE_MS = 1_000
QUIET_PAUSE_MS = 5_000
"""Ticks and beats that led to nothing wait so long for company: to wake the thread costs more than they do."""

CLOSE_TIMEOUT_MS = 3_000

_encoded = json.JSONEncoder(separators=(",", ":")).encode

CURRENT = "current.jsonl"
PREVIOUS = "previous.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Everything a Core is made from."""

    config: CoreConfig
    boot_id: str
    nonce: str
    stored: NodeRecord | None
    start_ms: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of ``Core.handle``. ``wall_ms`` is 0 where it was not written down."""

    now_ms: int
    wall_ms: int
    event: Event
    actions: tuple[Action, ...]


class JournalError(Exception):
    """A journal cannot be read; ``str()`` names file, line and reason."""


class _NoFullBeat(CodecError):
    """What was shortened is not there."""


class _BeatShortener:
    """Writes a beat that only counts on as its counters, and reads it back. One per file and direction."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken  # a line before could not be read
        self._last: dict[str, Beat] = {}

    def shorten(self, event: BeatReceived) -> list[Any] | None:
        """The short form, or None when this beat must be written in full."""
        last = self._last.get(event.link)
        beat = event.beat
        self._last[event.link] = beat
        if last is None or [nonce for nonce, _ in last.echoes] != [nonce for nonce, _ in beat.echoes]:
            return None
        if standing(last) != standing(beat):
            return None
        return [event.link, beat.counter, [heard for _, heard in beat.echoes]]

    def remember(self, event: BeatReceived) -> None:
        self._last[event.link] = event.beat

    def lengthen(self, short: Any) -> BeatReceived:
        """CodecError when it is no short form, or has no full beat before it."""
        if isinstance(short, list) and short and isinstance(short[0], str) and short[0] not in self._last:
            raise _NoFullBeat("a shortened beat without the full one before it")
        try:
            link, counter, heard = short
            last = self._last[link]
            echoes = tuple((nonce, at) for (nonce, _), at in zip(last.echoes, heard, strict=True))
        except (KeyError, TypeError, ValueError):
            raise CodecError("no shortened beat") from None
        event = BeatReceived(link, dataclasses.replace(last, counter=counter, echoes=echoes))
        self.remember(event)
        return event


# --- writing --------------------------------------------------------------------------------------------


class Journal:
    """The journal of one life of failoverd. Belongs to one event loop."""

    def __init__(
        self,
        directory: str,
        life: Life,
        *,
        snapshot: Callable[[], dict[str, Any]] | None = None,
        limit_bytes: int = LIMIT_BYTES,
        ring_entries: int = RING_ENTRIES,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """``snapshot`` is ``lambda: export_core(core)``: without it, a file that is not the first of its life
        can be replayed only together with all before it."""
        self.error = ""  # one sentence while the files cannot be written; the cluster goes on without
        self._ring: deque[Entry | _Rotation] = deque()
        self._snapshot = snapshot
        self._ring_entries = ring_entries
        self._lost = 0
        self._wall_s = wall_s
        self._wake = asyncio.Event()
        self._quiet_since_ms = 0  # when the oldest entry came that nobody was woken for; 0: there is none
        self._worker = Worker("journal")
        self._files = _Files(directory, life, limit_bytes // 2, int(wall_s() * 1000))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush; call it on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._flush_always())

    def record(self, now_ms: int, event: Event, actions: Sequence[Action]) -> None:
        """Note one call of the core. Cheap; never raises; the oldest entry is lost when the ring is full."""
        if len(self._ring) >= self._ring_entries:
            self._lost += isinstance(self._ring.popleft(), Entry)
        kept = tuple([action for action in actions if not isinstance(action, SendBeat)]) if actions else ()
        self._ring.append(Entry(now_ms, int(self._wall_s() * 1000), event, kept))
        if kept or not isinstance(event, Tick | BeatReceived):
            self._wake.set()
        elif not self._quiet_since_ms:
            self._quiet_since_ms = now_ms
        elif now_ms - self._quiet_since_ms >= QUIET_PAUSE_MS:
            self._wake.set()

    async def close(self) -> None:
        """Write what is left, for at most CLOSE_TIMEOUT_MS, and end."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_MS / 1000):
                await self._flush()
        self._worker.submit(self._files.close)
        self._worker.close()

    async def _flush_always(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
                await asyncio.sleep(FLUSH_PAUSE_MS / 1000)
        except Exception as error:
            self.error = f"this is a bug in failover-kit: the journal ends here ({error!r})"

    async def _flush(self) -> None:
        """Hand everything in the ring to the thread; a failed write becomes a gap in front of the next."""
        entries, self._ring = self._ring, deque()
        self._quiet_since_ms = 0
        lost, self._lost = self._lost, 0
        if not entries and not lost:
            return
        try:
            full = await self._worker.run(lambda: self._files.write(entries, lost))
        except OSError as error:
            self._lost += lost + sum(isinstance(entry, Entry) for entry in entries)
            self.error = f"the journal cannot be written ({error.strerror}); replay will miss this time"
            return
        self.error = ""
        if full:
            # Now, between two turns of the core, the snapshot stands behind exactly what is in the ring.
            self._ring.append(_Rotation(None if self._snapshot is None else self._snapshot()))


@dataclass(frozen=True, slots=True)
class _Rotation:
    """In the ring: begin a new file here. ``core`` is the core's state at this point, if it can be had."""

    core: dict[str, Any] | None


class _Files:
    """The two files. Everything here runs on the journal's thread."""

    def __init__(self, directory: str, life: Life, file_bytes: int, wall_ms: int) -> None:
        self._directory = directory
        self._life = life
        self._file_bytes = file_bytes
        self._wall_ms = wall_ms
        self._fd = -1
        self._size = 0
        self._part = 0
        self._torn = False  # the file may end with half a line
        self._beats = _BeatShortener()

    def write(self, entries: Sequence[Entry | _Rotation], lost: int) -> bool:
        """Append; true when the file has reached its size and a rotation should be ordered.

        OSError when it could not; the next call then begins with a head of its own.
        """
        try:
            if self._fd < 0:
                self._open()
            if lost:
                self._line({"gap": lost, "why": "the disk was too slow or full"})
            lines: list[str] = []
            for entry in entries:
                if isinstance(entry, _Rotation):
                    self._append(lines)
                    lines = []
                    self._rotate(entry.core)
                else:
                    lines.append(_encoded(_entry_plain(entry, self._beats)))
            self._append(lines)
        except OSError:
            self.close()
            raise
        return self._size >= self._file_bytes

    def close(self) -> None:
        """Close the file. Never raises."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        os.makedirs(self._directory, 0o700, exist_ok=True)
        path = os.path.join(self._directory, CURRENT)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size
        # A crash or a full disk may have left half a line.
        self._torn = self._size > 0
        if self._size >= self._file_bytes:
            self._rotate(None)
        else:
            self._head(None)

    def _rotate(self, core: dict[str, Any] | None) -> None:
        path, previous = (os.path.join(self._directory, name) for name in (CURRENT, PREVIOUS))
        journalpast.absorb(self._directory)  # what a crash left on its way
        with contextlib.suppress(OSError):
            os.rename(previous, os.path.join(self._directory, journalpast.LEAVING))
        os.rename(path, previous)
        journalpast.absorb(self._directory)
        self.close()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = 0
        self._torn = False
        self._head(core)

    def _head(self, core: dict[str, Any] | None) -> None:
        self._part += 1
        self._beats = _BeatShortener()
        version = {"journal": dialect.MAJOR, "minor": dialect.MINOR, "version": VERSION}
        head = {**version, "part": self._part, "w": self._wall_ms}
        state = {} if core is None else {"core": core}
        self._line({**head, "life": to_plain(self._life), **state})

    def _line(self, plain: dict[str, Any]) -> None:
        self._append([_encoded(plain)])

    def _append(self, lines: Sequence[str]) -> None:
        """In one write, as far as the disk takes it."""
        if not lines:
            return
        data = "".join([f"{line}\n" for line in lines]).encode()
        if self._torn:
            data = b"\n" + data
        while data:
            written = os.write(self._fd, data)
            self._size += written
            data = data[written:]
        self._torn = False


def _entry_plain(entry: Entry, beats: _BeatShortener) -> dict[str, Any]:
    plain: dict[str, Any] = {"t": entry.now_ms}
    short = beats.shorten(entry.event) if isinstance(entry.event, BeatReceived) else None
    if short is not None:
        plain["b"] = short
    elif not isinstance(entry.event, Tick):
        plain["e"] = tagged(entry.event)
    if entry.actions or "e" in plain:
        plain["w"] = entry.wall_ms
    if entry.actions:
        plain["a"] = [tagged(action) for action in entry.actions]
    return plain


# --- reading --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """A life begins (part 1) or goes on in a new file."""

    life: Life
    part: int
    wall_ms: int
    version: str
    core: dict[str, Any] | None = None
    past: bool = False  # of a condensed part (``journalpast``): beats and ticks were left out
    minor: int = 0  # of the dialect it was written in

    @property
    def newer(self) -> bool:
        """Written by a failoverd that knows more than this one."""
        return self.minor > dialect.MINOR


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries are missing here."""

    lost: int
    why: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Lines that are none, where no crash explains them. ``first`` is ``file:line: reason`` of the first."""

    lines: int
    first: str


def read(paths: Sequence[str]) -> Iterator[Head | Entry | Gap]:
    """What is in these files, in order. JournalError at a line that is none.

    A half line is accepted where a crash or a full disk leaves one: at the end, before a head or a gap.
    """
    for item in read_all(paths):
        if isinstance(item, Damage):
            raise JournalError(item.first)
        yield item


def read_all(paths: Sequence[str], *, thin: bool = False) -> Iterator[Head | Entry | Gap | Damage]:
    """As ``read``, but it goes on behind lines that are none and says how many there were. JournalError only
    when a file cannot be read at all. ``thin`` leaves out what a quiet day consists of: ten times faster."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                lines = enumerate(file, start=1)
                yield from _read_file(path, _thinned(lines) if thin else lines)
        except OSError as error:
            raise JournalError(f"{path}: cannot be read: {error.strerror}") from None


def _thinned(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Without the ticks and shortened beats between two lines that matter, but for the last of each link."""
    held: dict[bytes, tuple[int, bytes]] = {}
    for number, line in lines:
        if line.startswith(b'{"t":') and b'"e":' not in line and b'"a":' not in line:
            held[line.partition(b'"b":[')[2].partition(b",")[0]] = (number, line)
            continue
        yield from sorted(held.values())
        held.clear()
        yield number, line
    yield from sorted(held.values())


def _read_file(path: str, lines: Iterable[tuple[int, bytes]]) -> Iterator[Head | Entry | Gap | Damage]:
    beats = _BeatShortener()
    bad, first, unread = 0, "", 0  # lines just before this one that are none; beats that were lost by them
    newer = False
    for number, line in lines:
        if not line.strip():
            continue
        try:
            item = _read_line(line, beats, newer=newer)
        except ValueError as error:
            if isinstance(error, _NoFullBeat) and beats.broken:
                unread += bool(bad)
                continue
            bad, first = bad + 1, first or f"{path}:{number}: {error}"
            beats = _BeatShortener(broken=True)  # the line may have been the beat that the next ones shorten
            continue
        torn_by_crash = bad == 1 and not unread and isinstance(item, (Head, Gap))
        if bad and not torn_by_crash:
            yield Damage(bad, first)
        bad, first, unread = 0, "", 0
        if isinstance(item, Head):
            beats = _BeatShortener()
            newer = item.newer
        yield item
    if bad > 1 or unread:
        yield Damage(bad, first)


def _read_line(line: bytes, beats: _BeatShortener, *, newer: bool = False) -> Head | Entry | Gap:
    """ValueError when it is no line of a journal. ``newer``: what is not known here may be in it."""
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("cut short, or no journal of failoverd") from None
    if not isinstance(plain, dict):
        raise ValueError("no journal of failoverd")
    if "journal" in plain:
        return _read_head(plain)
    if "gap" in plain:
        return Gap(from_plain(int, plain["gap"]), from_plain(str, plain.get("why", "")))
    if not newer:
        return _read_entry(plain, beats)
    try:
        return _read_entry(_known_part(plain), beats)
    except _NoFullBeat:
        raise
    except CodecError as error:
        # A kind of event that is not known here: what follows it is told all the same.
        beats.broken = True
        return Gap(1, f"a newer failoverd wrote what this one does not know ({error})")


def _read_head(plain: dict[str, Any]) -> Head:
    if plain["journal"] != dialect.MAJOR:
        raise ValueError(f"written by another version of failover-kit ({plain.get('version')}, this is {VERSION})")
    version, life = from_plain(str, plain.get("version")), plain.get("life")
    minor = from_plain(int, plain.get("minor", 0))
    if minor > dialect.MINOR:
        life = pruned(Life, life, [])
    return Head(
        from_plain(Life, life),
        from_plain(int, plain.get("part")),
        from_plain(int, plain.get("w")),
        version,
        plain.get("core"),
        from_plain(bool, plain.get("past", False)),
        minor,
    )


def _known_part(plain: dict[str, Any]) -> dict[str, Any]:
    """An entry of a newer minor without the fields and the actions that are not known here."""
    kept = dict(plain)
    if "e" in kept:
        kept["e"] = pruned_tagged(Event, kept["e"], [])
    if isinstance(kept.get("a"), list):
        kept["a"] = [pruned_tagged(Action, action, []) for action in kept["a"] if is_member(Action, action)]
    return kept


def _read_entry(plain: dict[str, Any], beats: _BeatShortener) -> Entry:
    event: Event = Tick()
    if "b" in plain:
        event = beats.lengthen(plain["b"])
    elif "e" in plain:
        event = from_tagged(Event, plain["e"], "e")
        if isinstance(event, BeatReceived):
            beats.remember(event)
    actions = tuple(from_tagged(Action, action, f"a[{at}]") for at, action in enumerate(plain.get("a", [])))
    return Entry(from_plain(int, plain.get("t"), "t"), from_plain(int, plain.get("w", 0), "w"), event, actions)


# --- replay ---------------------------------------------------------------------------------------------


class Replayed(Protocol):
    """What replay needs of a core."""

    def handle(self, now_ms: int, event: Event) -> list[Action]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """One event, what the daemon's core answered, and what the core here answers."""

    entry: Entry
    reproduced: tuple[Action, ...]

    @property
    def agrees(self) -> bool:
        return self.entry.actions == self.reproduced


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence between the steps: a life begins, something is missing. ``broken``: no replay from here."""

    text: str
    broken: bool = False


def make_core(life: Life) -> Replayed:
    """The core of a life, as it was at its start."""
    return Core(
        life.config, boot_id=life.boot_id, nonce=life.nonce, stored=life.stored, now_ms=life.start_ms
    )


def replay(
    path: str,
    make: Callable[[Life], Replayed] = make_core,
    restore: Callable[[object], Replayed] = import_core,
) -> Iterator[Step | Remark]:
    """Run the core again over the journal at ``path``: a directory, or one file.

    A life is replayed from its beginning, or from the snapshot its file begins with. What cannot be
    replayed (no snapshot, or entries are missing) is passed over with a Remark.
    """
    core: Replayed | None = None
    life: Life | None = None
    next_part = 1
    skipped = 0
    for item in read(files_for(path)):
        if isinstance(item, Entry):
            if core is None:
                skipped += 1
                continue
            try:
                actions = core.handle(item.now_ms, item.event)
            except InvariantViolation as error:
                yield Remark(f"the core stops at {item.event}: {error}; this is a bug", broken=True)
                core = None
                continue
            yield Step(item, tuple(action for action in actions if not isinstance(action, SendBeat)))
            continue
        if skipped:
            yield Remark(f"{skipped} events could not be replayed", broken=True)
            skipped = 0
        if isinstance(item, Gap):
            yield Remark(f"{item.lost} events are missing ({item.why}); replay of this life ends here", broken=True)
            core = None
        elif item.newer:
            core, life = None, None
            yield Remark(f"{_life_sentence(item)}: {_newer_sentence(item)}", broken=True)
        elif item.part == 1:
            core, life, next_part = make(item.life), item.life, 2
            yield Remark(_life_sentence(item))
        elif core is not None and life == item.life and item.part == next_part:
            next_part += 1
        else:
            core, remark = _resume(item, restore)
            life, next_part = item.life, item.part + 1
            yield remark
    if skipped:
        yield Remark(f"{skipped} events could not be replayed", broken=True)


def _resume(head: Head, restore: Callable[[object], Replayed]) -> tuple[Replayed | None, Remark]:
    """Go on in the middle of a life, from its snapshot."""
    where = f"{_life_sentence(head)}; this is part {head.part}"
    if head.core is None:
        return None, Remark(f"{where}, and its beginning is no longer kept", broken=True)
    try:
        return restore(head.core), Remark(f"{where}, replayed from the snapshot it begins with")
    except CodecError as error:
        other = f"; failoverd {head.version} itself can replay it" if head.version != VERSION else ""
        return None, Remark(f"{where}: {error}{other}", broken=True)


def _newer_sentence(head: Head) -> str:
    theirs, ours = dialect.name_of(head.minor), dialect.name_of(dialect.MINOR)
    return (
        f"it decided by what this failoverd ({VERSION}, {ours}) does not know ({theirs}), so it is not replayed; "
        f"failoverctl explain tells of it, failoverctl replay of failoverd {head.version} replays it"
    )


def files_for(path: str) -> list[str]:
    """The files to read for ``path``, oldest first."""
    if os.path.isdir(path):
        both = [os.path.join(path, name) for name in (PREVIOUS, CURRENT)]
        return [file for file in both if os.path.exists(file)] or both[1:]
    before = os.path.join(os.path.dirname(path), PREVIOUS)
    if os.path.basename(path) == CURRENT and os.path.exists(before):
        return [before, path]
    return [path]


def files_with_past(path: str) -> list[str]:
    """As ``files_for``, after what was kept of older parts: to be explained, not replayed."""
    if not os.path.isdir(path):
        return files_for(path)
    names = (journalpast.PAST_OLD, journalpast.PAST, journalpast.LEAVING)
    return [file for name in names if os.path.exists(file := os.path.join(path, name))] + files_for(path)


def _life_sentence(head: Head) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(head.wall_ms / 1000))
    life = head.life
    return f"life {life.nonce} of failoverd {head.version} on {life.config.node}, begun {began}"
