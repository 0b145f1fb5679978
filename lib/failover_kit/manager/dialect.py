"""The version of everything that two failoverd exchange: frames, the durable record, the journal.

``MAJOR.MINOR`` (docs/design/0039). A minor only adds what may be missing: whoever does not know it ignores it, and
its absence is the safe reading in both directions. What cannot be ignored is either refused by the node that
knows it while its peer does not (``unknown_to``), or it is a new major. This is no version of the package: two
releases may speak alike.

Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

MAJOR = 1

MINOR = 1
"""Grows by one with the first addition after a release; what has not been released yet shares its minor."""

MINOR_LIMIT = 1000

RELEASE_BYTES = 12
"""Longest name of a release that travels in a beat."""


class Feature(Enum):
    """What needs the peer's understanding; its value is how the operator knows it."""

    MAINTENANCE = "maintenance"


SINCE: dict[Feature, int] = {Feature.MAINTENANCE: 1}
"""The first minor that knows it."""


def name_of(minor: int) -> str:
    """``1.1``, as frames have it."""
    return f"{MAJOR}.{minor}"


def unknown_to(peer: str, minor: int, feature: Feature) -> str:
    """"" when the peer, which speaks ``minor``, understands ``feature``; else the sentence of the refusal."""
    if minor >= SINCE[feature]:
        return ""
    return (
        f"the other node, {peer}, runs an older failoverd ({name_of(minor)}) that does not know {feature.value}; "
        f"upgrade {peer} first"
    )


@dataclass(frozen=True, slots=True)
class Speaker:
    """A node and its failoverd. ``release`` is "" when it does not say."""

    node: str
    release: str
    minor: int

    def __str__(self) -> str:
        speaks = name_of(self.minor)
        return f"failoverd {self.release} ({speaks})" if self.release else f"a failoverd that speaks {speaks}"


def difference(ours: Speaker, theirs: Speaker) -> str:
    """"" when both nodes run the same; else which runs what, and which of them is to be upgraded."""
    if (ours.release, ours.minor) == (theirs.release, theirs.minor):
        return ""
    older = _older(ours, theirs)
    remedy = f"upgrade {older}" if older else "install the same on both"
    lost = [feature.value for feature, since in SINCE.items() if theirs.minor < since <= ours.minor]
    remedy += f"; until then there is no {' and no '.join(lost)}" if lost else ""
    return f"{ours.node} runs {ours}, {theirs.node} runs {theirs}: {remedy}"


def _older(ours: Speaker, theirs: Speaker) -> str:
    """Which node runs the older one; "" when their names do not tell."""
    one, other = ((speaker.minor, *_numbers(speaker.release)) for speaker in (ours, theirs))
    comparable = one[0] != other[0] or (len(one) > 1 and len(other) > 1 and one != other)
    if not comparable:
        return ""
    return ours.node if one < other else theirs.node


def _numbers(release: str) -> tuple[int, ...]:
    """``(0, 1, 10)``; empty when the release is not named like that."""
    return tuple(int(part) for part in release.split(".")) if re.fullmatch(r"\d+(\.\d+)*", release) else ()
