"""The command line of the device: one typed line in, one checked command out. Pure.

Sources: the IPS-400/IPS-800 user's guides, section 6.2 (verbs, ``1+3+4``, ``1:3``, ``*``, names, the
option ``,Y``); cluster-glue's wti_nps, which sends blank-separated plug numbers and a blank before the
comma (``/Off 2 ,y``); fence_wti (``/off 2,y``). Commands are not case-sensitive. The guides ask for no
blanks around ``+`` and ``,``; the device accepts them, or wti_nps would not work.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINE = re.compile(r"/([A-Za-z]+)\s*(.*)", re.DOTALL)
_SURE = re.compile(r"(^|.*?)\s*,\s*[yY]\s*", re.DOTALL)
_SEPARATORS = re.compile(r"[+,\s]+")
_RANGE = re.compile(r"([0-9]+):([0-9]+)")

VERBS = {"S": "status", "H": "help", "X": "exit", "ON": "on", "OFF": "off", "BOOT": "boot", "BO": "boot"}
SWITCHING = ("on", "off", "boot")
_SPELLING = {"status": "S", "help": "H", "exit": "X"}


class InvalidCommand(Exception):
    """The line is none of the device's commands."""


class InvalidPlug(Exception):
    """The verb is right, the plug list is empty or names a plug that does not exist."""


@dataclass(frozen=True)
class Command:
    """``verb`` is a value of VERBS; ``plugs`` are numbers in ascending order; ``sure``: given with ,Y."""

    verb: str
    plugs: tuple[int, ...] = ()
    sure: bool = False

    def text(self) -> str:
        """Canonical spelling, for the event log."""
        plugs = " " + "+".join(map(str, self.plugs)) if self.plugs else ""
        return f"/{_SPELLING.get(self.verb, self.verb.upper())}{plugs}{',Y' if self.sure else ''}"


def parse(line: str, names: Sequence[str]) -> Command:
    """Read ``line``; ``names[i]`` is the name of plug i+1, empty when it has none.

    Raises InvalidCommand or InvalidPlug. A list with one bad element switches nothing
    (approximation: the guides do not say).
    """
    match = _LINE.fullmatch(line.strip())
    if match is None or match[1].upper() not in VERBS:
        raise InvalidCommand
    verb, rest = VERBS[match[1].upper()], match[2].strip()
    sure = _SURE.fullmatch(rest)
    if sure is not None:
        rest = sure[1].strip()
    if verb not in SWITCHING:
        if rest or (sure is not None and verb != "exit"):
            raise InvalidCommand
        return Command(verb, sure=sure is not None)
    return Command(verb, _plugs(rest, names), sure is not None)


def _plugs(text: str, names: Sequence[str]) -> tuple[int, ...]:
    found: set[int] = set()
    for item in _SEPARATORS.split(text):
        numbers = _plug(item, names)
        if not numbers:
            raise InvalidPlug
        found |= numbers
    return tuple(sorted(found))


def _plug(item: str, names: Sequence[str]) -> set[int]:
    """The plugs one element means. Plugs that share a name are switched together (dual supplies)."""
    everything = range(1, len(names) + 1)
    if item == "*":
        return set(everything)
    if item.isascii() and item.isdigit():
        return {int(item)} & set(everything)
    span = _RANGE.fullmatch(item)
    if span is not None:
        first, last = int(span[1]), int(span[2])
        if not 1 <= first <= last <= len(names):
            return set()
        return set(range(first, last + 1))
    return {number for number in everything if item and names[number - 1].lower() == item.lower()}


def check_name(name: str) -> str | None:
    """Why the device would not take ``name`` for a plug, or None (user's guide, plug parameters)."""
    if len(name) > 16:
        return f"'{name}' has {len(name)} characters; the name column holds 16"
    if re.fullmatch(r"[A-Za-z][!-~]*", name) is None or set(name) & set(',:+"*'):
        return f"'{name}' must start with a letter and have no blank , : + \" or *"
    return None
