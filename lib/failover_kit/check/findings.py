"""One finding: what is wrong, where, how bad, and the line to change. Why it matters stands in ``catalogue``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from failover_kit.check.catalogue import RULES


class Severity(Enum):
    """How bad. ``ERROR`` loses data or the takeover, ``WARNING`` will on a bad day, ``ADVICE`` could be better."""

    ERROR = "error"
    WARNING = "warning"
    ADVICE = "advice"


_RANK = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.ADVICE: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``place`` is ``ha.cf:12`` for the three files, else an absolute path with its line; "" = the whole node."""

    id: str
    severity: Severity
    place: str
    fact: str
    fix: str
    node: str = ""  # where it was found; "" = in what both nodes have in common

    @property
    def why(self) -> str:
        """What can happen because of it; "" for an id of another version."""
        return RULES[self.id].why if self.id in RULES else ""


def found(rule: str, place: str, fact: str, fix: str, severity: Severity | None = None) -> Finding:
    """A finding of ``rule``, as bad as the catalogue says unless this case is another one."""
    return Finding(id=rule, severity=severity or Severity(RULES[rule].severity), place=place, fact=fact, fix=fix)


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once: the worst first, then by node, file and line."""
    return tuple(sorted(dict.fromkeys(findings), key=_key))


def _key(finding: Finding) -> tuple[object, ...]:
    return (_RANK[finding.severity], finding.node, _by_line(finding.place), finding.id, finding.fact)


def _by_line(place: str) -> tuple[tuple[str, int], ...]:
    """``ha.cf:9`` before ``ha.cf:12``."""
    parts = re.findall(r"([^0-9]*)([0-9]{0,9})", place)
    return tuple((text, int(number) if number else -1) for text, number in parts)


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when there is nothing but advice, else 1."""
    return int(any(finding.severity is not Severity.ADVICE for finding in findings))
