"""The words of a frame, and the lines that a minor version added to it (docs/design/0039).

``ADDITIONS`` is the one place that knows a line of its own: since which minor, which fields of Beat it carries,
how it is written and read. A line is left out where all its fields are at their default. New ones are appended
at the end with the minor of the next release, never in between: whoever does not know them must find them behind
all it knows. Only what may be missing in both directions belongs here.

Pure. ValueError for what cannot be written or read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from failover_kit.manager.config import LINK_LIMIT, PING_LIMIT
from failover_kit.manager.dialect import MINOR, RELEASE_BYTES
from failover_kit.manager.records import Beat

COUNTER_LIMIT = 10**12
"""Bound of beat counters: 31 years of one life at 1000 beats a second. Bounds make rule 22 exact."""

EPOCH_LIMIT = 10**9
"""Bound of epochs and of request numbers: a thousand million moves."""

WORD_LIMIT_BYTES = 96
"""Longest name accepted, as written; real ones are a third of that (GROUP_NAME_BYTES, boot_id 36)."""

UNKNOWN_LIMIT = 16
"""A newer minor may have added so many lines to a beat, and so many words to a group, that we do not know."""

_WORD = re.compile(r"[!-<>-~]+")  # printable, no blank, no "="
_RELEASE = re.compile(r"[!-~]+")
_UNKNOWN_LINE = re.compile(r"([a-z][a-z0-9-]{0,23})(?: [!-<>-~]{1,96}){0,32}")
_UNKNOWN_WORD = re.compile(r"([a-z][a-z0-9-]{0,23})(?:=[!-<>-~]{1,96})?")


# --- words ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)  # names, boot ids, nonces: the same ones with each beat
def quote(text: str) -> str:
    """One word: bytes outside letters, digits and a few signs as ``%XX``; "-" alone is the empty text."""
    if not text:
        return "-"
    if text == "-":
        return "%2D"
    word = quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe="/:@,+")
    if len(word) > WORD_LIMIT_BYTES:
        raise ValueError(f"{text!r} is too long for a beat: {len(word)} of {WORD_LIMIT_BYTES} bytes")
    return word


def unquote(word: str) -> str:
    """The text that ``quote`` wrote."""
    if len(word) > WORD_LIMIT_BYTES or not _WORD.fullmatch(word):
        raise ValueError("a word that is empty, too long or not printable")
    if word == "-":
        return ""
    return unquote_to_bytes(word).decode("utf-8", "surrogateescape")


def digits(number: int, limit: int) -> str:
    """``number`` in decimal, when it is within its bound."""
    if not 0 <= number < limit:
        raise ValueError(f"{number} does not fit into a beat, which has room for 0 to {limit - 1}")
    return str(number)


def number(text: str) -> int:
    """What ``digits`` wrote, or another spelling of it: the comparison in ``decode`` tells them apart."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(COUNTER_LIMIT))):
        raise ValueError("a number that is none")
    return int(text)


# --- additions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Addition:
    """A line that beats have since a minor version. ``write`` gives the words behind the key."""

    key: str
    since: int
    fields: tuple[str, ...]  # of Beat
    write: Callable[[Beat], str]
    read: Callable[[Sequence[str]], dict[str, Any]]


def _write_links(beat: Beat) -> str:
    if len(beat.links) > LINK_LIMIT:
        raise ValueError(f"a beat tells of {LINK_LIMIT} links at most")
    return "".join("1" if heard else "0" for heard in beat.links)


def _read_links(words: Sequence[str]) -> dict[str, Any]:
    return {"links": tuple(sign == "1" for sign in words[0])}


def _write_maintenance(beat: Beat) -> str:
    return digits(beat.maintenance, EPOCH_LIMIT) + (" still" if beat.still else "")


def _read_maintenance(words: Sequence[str]) -> dict[str, Any]:
    return {"maintenance": number(words[0]), "still": "still" in words}


def _write_release(beat: Beat) -> str:
    if not _RELEASE.fullmatch(beat.release):  # it is shown to people: on terminals, in logs, in metrics
        raise ValueError("the name of a release has a sign that is no printable ASCII, or a blank")
    word = quote(beat.release)
    if len(word) > RELEASE_BYTES:
        raise ValueError(f"the name of a release is too long for a beat: {len(word)} of {RELEASE_BYTES} bytes")
    return word


def _read_release(words: Sequence[str]) -> dict[str, Any]:
    return {"release": unquote(words[0])}


def _write_reached(beat: Beat) -> str:
    return digits(beat.reached or 0, PING_LIMIT + 1)  # None has no line


def _read_reached(words: Sequence[str]) -> dict[str, Any]:
    return {"reached": number(words[0])}


# In the order of the frame. Each is safe to be without: design/0039 says why, item by item.
ADDITIONS: tuple[Addition, ...] = (
    Addition("links", 1, ("links",), _write_links, _read_links),
    Addition("maintenance", 1, ("maintenance", "still"), _write_maintenance, _read_maintenance),
    Addition("release", 1, ("release",), _write_release, _read_release),
    Addition("reached", 1, ("reached",), _write_reached, _read_reached),
)

_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(Beat) if field.default is not MISSING}


def additions(minor: int) -> tuple[Addition, ...]:
    """Those that a beat of this minor may have and this failoverd knows."""
    return tuple(addition for addition in ADDITIONS if addition.since <= min(minor, MINOR))


def added_lines(beat: Beat) -> list[str]:
    """The lines of ``beat`` that its minor has and 1.0 had not."""
    return [
        f"{addition.key} {addition.write(beat)}"
        for addition in additions(beat.minor)
        if any(getattr(beat, name) != _DEFAULTS[name] for name in addition.fields)
    ]


def narrowed(beat: Beat, minor: int) -> Beat:
    """What is left of ``beat`` for somebody who speaks ``minor``: younger additions are at their default."""
    lost = [name for addition in ADDITIONS if addition.since > minor for name in addition.fields]
    return replace(beat, **{name: _DEFAULTS[name] for name in lost})


# --- what a newer minor added ---------------------------------------------------------------------------


def without_unknown(lines: Sequence[str], base: frozenset[str], group_words: frozenset[str]) -> list[str]:
    """The lines less what a newer minor added; ValueError where that stands in no place kept free for it.

    Whole lines may stand behind all known ones and before the first group, words behind all known ones at the end
    of a group's line. Each has a form, a bound and a name of its own, once. Nothing of it is kept: a frame
    of FRAME_LIMIT_BYTES is all it ever costs.
    """
    known = base | {addition.key for addition in additions(MINOR)}
    keys = [line.partition(" ")[0] for line in lines]
    first_group = keys.index("group") if "group" in keys else len(keys)
    first = next((at for at, key in enumerate(keys[:first_group]) if key not in known), first_group)
    _check_unknown(lines[first:first_group], _UNKNOWN_LINE, known | {"group"}, "line")
    kept = [*lines[:first], *lines[first_group:]]
    return [_group_without_unknown(line, group_words) if line.startswith("group ") else line for line in kept]


def _group_without_unknown(line: str, group_words: frozenset[str]) -> str:
    words = line.split(" ")
    names = [word.partition("=")[0] for word in words]
    first = next((at for at in range(3, len(words)) if names[at] not in group_words), len(words))
    _check_unknown(words[first:], _UNKNOWN_WORD, group_words, "word")
    return " ".join(words[:first])


def _check_unknown(items: Sequence[str], form: re.Pattern[str], known: frozenset[str], what: str) -> None:
    if len(items) > UNKNOWN_LIMIT:
        raise ValueError(f"more than {UNKNOWN_LIMIT} unknown {what}s")
    seen: set[str] = set()
    for item in items:
        match = form.fullmatch(item)
        if match is None:
            raise ValueError(f"an unknown {what} in no form that an addition has")
        name = match.group(1)
        if name in known or name in seen:
            raise ValueError(f"{what} {name!r} stands where only additions may, or twice")
        seen.add(name)
