"""What is kept of a journal's older parts: everything but beats, ticks and records that say nothing new.

A journal of a day fills its files with beats, and the takeover of last month would be gone. So the part that makes
way is condensed into ``past.jsonl`` (and ``past-old.jsonl``, together within a limit). What is kept can be
explained (``failoverctl explain``), not replayed. Runs on the journal's thread; what fails costs the past, never
the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

PAST = "past.jsonl"
PAST_OLD = "past-old.jsonl"
LEAVING = "leaving.jsonl"
"""A part on its way into the past; there only until it was condensed, or after a crash in between."""

LIMIT_BYTES = 4 << 20


def absorb(directory: str, limit_bytes: int = LIMIT_BYTES) -> None:
    """Condense ``leaving.jsonl`` into the past, and remove it. Never raises."""
    leaving = os.path.join(directory, LEAVING)
    with contextlib.suppress(OSError):
        try:
            with open(leaving, "rb") as file:
                kept = b"".join(condensed(file))
        except FileNotFoundError:
            return
        past = os.path.join(directory, PAST)
        with contextlib.suppress(FileNotFoundError):
            if os.path.getsize(past) + len(kept) > limit_bytes // 2:
                os.replace(past, os.path.join(directory, PAST_OLD))
        descriptor = os.open(past, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "ab") as file:
            # A crash may have left half a line: the head that comes first tells it from damage.
            file.write(b"\n" + _within(kept, limit_bytes // 2) if kept else b"")
        os.unlink(leaving)


def _within(kept: bytes, limit_bytes: int) -> bytes:
    """The newest of it, behind its head and a gap that says how much was too much."""
    if len(kept) <= limit_bytes:
        return kept
    head, _, rest = kept.partition(b"\n")
    tail = rest[-limit_bytes:].partition(b"\n")[2]
    lost = rest.count(b"\n") - tail.count(b"\n")
    gap = json.dumps({"gap": lost, "why": "too much happened to keep all of it"}).encode()
    return b"\n".join((head, gap, tail))


def condensed(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines worth keeping. Lines that are none are dropped without a word: the past is a digest."""
    beats: dict[bytes, bytes] = {}  # by link: the newest shortened beat, told only before something that matters
    record: object = None
    idle: set[int] = set()  # tokens of records that said nothing new
    for line in lines:
        if line.startswith(b'{"t":') and b'"e":' not in line and b'"a":' not in line:
            if b'"b":' in line:
                _newest(beats, line)
            continue
        try:
            plain = json.loads(line)
        except ValueError:
            continue
        if not isinstance(plain, dict):
            continue
        if "journal" in plain:
            plain.pop("core", None)
            beats.clear()
            record = None
            yield json.dumps({**plain, "past": True}, separators=(",", ":")).encode() + b"\n"
            continue
        news, record = _news(plain, record, idle)
        if news:
            yield from beats.values()
            beats.clear()
            yield line
        elif "b" in plain:
            _newest(beats, line)
    yield from beats.values()  # what matters may begin in the part that follows


def _newest(beats: dict[bytes, bytes], line: bytes) -> None:
    """Remember the line of a beat as its link's newest, behind those of other links: in the order they came."""
    link = line.partition(b'"b":[')[2].partition(b",")[0]
    beats.pop(link, None)
    beats[link] = line


def _news(plain: dict[str, Any], record: object, idle: set[int]) -> tuple[bool, object]:
    """Whether an entry is more than the record written each minute to try the disk; and the newest record."""
    event, actions = plain.get("e"), plain.get("a", [])
    records = [action for action in actions if isinstance(action, dict) and action.get("is") == "Persist"]
    newest = records[-1].get("record") if records else record
    if event is None and len(records) == len(actions) == 1 and newest == record:
        idle.add(records[0].get("token", 0))
        return False, record
    if isinstance(event, dict) and event.get("is") == "Persisted" and not actions and event.get("token") in idle:
        idle.discard(event["token"])
        return False, record
    return True, newest
