"""The command line of the device: one typed line in, one checked command out. Pure.

Sources: the IPS-400/IPS-800 user's guides, section 6.2 (verbs, ``1+3+4``, ``1:3``, ``*``, names, the
option ``,Y``); cluster-glue's wti_nps, which sends blank-separated plug numbers and a blank before the
comma (``/Off 2 ,y``); fence_wti (``/off 2,y``); the HOWTO (``/p1`` without a blank). Commands are not
case-sensitive. The guides ask for no blanks around ``+`` and ``,``; the device accepts them, or wti_nps
would not work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_LINE = re.compile(r"/([A-Za-z]+)\s*(.*)", re.DOTALL)
_SURE = re.compile(r"(^|.*?)\s*,\s*[yY]\s*", re.DOTALL)
_SEPARATORS = re.compile(r"[+,\s]+")
_RANGE = re.compile(r"([0-9]+):([0-9]+)")

SWITCHING = ("on", "off", "boot")
MAY_BE_SURE = (*SWITCHING, "default", "exit")


class InvalidCommand(Exception):
    """The line is none of the device's commands."""


class InvalidPlug(Exception):
    """The verb is right, the plug list is empty or names a plug that does not exist."""


@dataclass(frozen=True)
class Command:
    """``verb`` is a value of the variant's verbs; ``plugs`` are in ascending order; ``sure``: given with ,Y."""

    verb: str
    plugs: tuple[int, ...] = ()
    sure: bool = False

    def text(self, verbs: Mapping[str, str]) -> str:
        """Canonical spelling, for the event log."""
        word = next(word for word, verb in verbs.items() if verb == self.verb)
        plugs = " " + "+".join(map(str, self.plugs)) if self.plugs else ""
        return f"/{word}{plugs}{',Y' if self.sure else ''}"


def parse(
    line: str, verbs: Mapping[str, str], names: Mapping[int, str], groups: Mapping[str, Iterable[int]]
) -> Command:
    """Read ``line``. ``names``: the plugs the user may see, by number, empty for one without a name.

    Raises InvalidCommand or InvalidPlug. A list with one bad element switches nothing
    (approximation: the guides do not say).
    """
    match = _LINE.fullmatch(line.strip())
    if match is None or match[1].upper() not in verbs:
        raise InvalidCommand
    verb, rest = verbs[match[1].upper()], match[2].strip()
    sure = _SURE.fullmatch(rest)
    if sure is not None:
        rest = sure[1].strip()
        if verb not in MAY_BE_SURE:
            raise InvalidCommand
    if verb in SWITCHING:
        return Command(verb, _plugs(rest, names, groups), sure is not None)
    if verb == "plug":
        return Command(verb, _one_plug(rest, names))
    if rest:
        raise InvalidCommand
    return Command(verb, sure=sure is not None)


def _one_plug(text: str, names: Mapping[int, str]) -> tuple[int, ...]:
    """The plug whose menu is wanted; without one, the first (approximation)."""
    found = _plug(text, names, {}) if text else {min(names, default=0)}
    if len(found) != 1:
        raise InvalidPlug
    return tuple(found)


def _plugs(text: str, names: Mapping[int, str], groups: Mapping[str, Iterable[int]]) -> tuple[int, ...]:
    found: set[int] = set()
    for item in _SEPARATORS.split(text):
        numbers = _plug(item, names, groups)
        if not numbers:
            raise InvalidPlug
        found |= numbers
    return tuple(sorted(found))


def _plug(item: str, names: Mapping[int, str], groups: Mapping[str, Iterable[int]]) -> set[int]:
    """The plugs one element means. Plugs that share a name are switched together (dual supplies)."""
    if item == "*":
        return set(names)
    if item.isascii() and item.isdigit():
        return {int(item)} & set(names)
    span = _RANGE.fullmatch(item)
    if span is not None:
        wanted = set(range(int(span[1]), min(int(span[2]), max(names, default=0) + 1) + 1))
        return wanted if wanted and wanted <= set(names) else set()
    found = {number for number, name in names.items() if item and name.lower() == item.lower()}
    for name, members in groups.items():
        if item and name.lower() == item.lower():
            found |= set(members) & set(names)
    return found
