"""A two-node Pacemaker cluster as far as ha.cf and haresources can say one, and what is to be said of it.

Pure data. Times are integer milliseconds; names of options are Pacemaker's own (Pacemaker Explained).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

INFINITY = "INFINITY"

FORGET_FAILURES_MS = 600_000
"""Ten minutes without a failure end failoverd's count (docs/haresources.md)."""

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")


class Fate(Enum):
    """What became of a fact that Pacemaker does not take as it is."""

    LEFT_OUT = "left out"  # it is missing in the cluster: somebody must put something in its place
    TO_DO = "to do"  # it is there, and needs something on the nodes before it works
    CHANGED = "changed"  # Pacemaker has something near it, and here is the difference
    DROPPED = "not carried"  # there is no such thing there


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence about one thing: what it is, what became of it, why."""

    fate: Fate
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.fate.value}: {self.what}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One ``op`` of a primitive. ``depth`` is OCF_CHECK_LEVEL; ``on_fail`` "" leaves Pacemaker's default."""

    name: str
    interval_ms: int = 0
    timeout_ms: int
    depth: int = 0
    on_fail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Primitive:
    """A resource or a fence device. ``parameters`` may hold secrets: they never show in a ``repr``."""

    id: str
    standard: str  # ocf, systemd, lsb, stonith
    provider: str = ""
    type: str
    parameters: tuple[tuple[str, str], ...] = ()
    operations: tuple[Operation, ...] = ()
    meta: tuple[tuple[str, str], ...] = ()

    @property
    def agent(self) -> str:
        """``ocf:heartbeat:IPaddr2``, ``systemd:nginx``, ``stonith:fence_wti``."""
        return ":".join(part for part in (self.standard, self.provider, self.type) if part)

    def __repr__(self) -> str:
        return f"<Primitive {self.id} {self.agent}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacemakerGroup:
    """A group: its members in the order of their start, the node it prefers, and its meta attributes."""

    id: str
    home: str
    members: tuple[Primitive, ...]
    meta: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A fence device for one victim; never run on the victim itself."""

    victim: str
    primitive: Primitive


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """Devices, by id, that together cut ``victim``."""

    victim: str
    index: int
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All of it. ``levels`` is empty where each node has one device and nothing is to be said."""

    nodes: tuple[str, str]
    properties: tuple[tuple[str, str], ...]
    groups: tuple[PacemakerGroup, ...]
    fences: tuple[Fence, ...] = ()
    levels: tuple[Level, ...] = ()
    home_score: str = "100"
    remarks: tuple[Remark, ...] = field(default=(), compare=False)

    def left_out(self) -> bool:
        """Whether something is missing that failoverd has."""
        return any(remark.fate is Fate.LEFT_OUT for remark in self.remarks)


class Ids:
    """Ids of one CIB: legal in XML (NCName), readable, and each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def make(self, *parts: str) -> str:
        """An id of these words, with a number behind it when it is taken."""
        name = "-".join(cleaned for part in parts if (cleaned := _NOT_IN_ID.sub("-", part).strip("-")))
        if not re.match(r"[A-Za-z_]", name):
            name = f"_{name}"
        wanted, number = name, 2
        while name in self._given:
            name, number = f"{wanted}-{number}", number + 1
        self._given.add(name)
        return name


def as_interval(value_ms: int) -> str:
    """A time as Pacemaker reads one: ``10s``, ``1500ms``."""
    return f"{value_ms // 1000}s" if value_ms % 1000 == 0 else f"{value_ms}ms"


def as_bool(text: str) -> bool | None:
    """A truth value as Pacemaker reads one; None for what is none."""
    word = text.strip().lower()
    if word in ("true", "on", "yes", "y", "1"):
        return True
    return False if word in ("false", "off", "no", "n", "0") else None


def whole_seconds(value_ms: int) -> int:
    """The time in ms, up to whole seconds: Pacemaker cuts properties down to them, pcs 0.11 refuses a fraction."""
    return -(-value_ms // 1000) * 1000


def names(text: str) -> frozenset[str]:
    """The words of a text, for tables of names that people can read."""
    return frozenset(text.split())


def as_comment(text: str) -> str:
    """A line for a comment of XML, of crmsh (which makes XML of it) or a shell: no control sign, no two hyphens."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    while "--" in shown:
        shown = shown.replace("--", "- -")
    return shown.rstrip("-")
