"""The comparison as text for a terminal and as docs/peers.md. Pure."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from needs.catalogue import LAB, NEEDS, InLab, Need, Outcome

WIDTH = 110
_HEAD = """# What users asked for, here and there

Made by `make peers ARGS=--write`, which tries every scenario of `tests/needs` with this suite's agent and with
ClusterLabs', one after the other, each in namespaces of its own. Whether a need is met is decided by the scenario,
in the same words for both. Numbers with # are reports in ClusterLabs' `resource-agents`; what was mended there
later is not in the release compared here. Rows that begin with D are defects that were found while this suite was
designed; not all are in this release. Seconds are of one run on one machine: read them against each other.
"""
_LAB_HEAD = """
## With a kernel NFS server

These need a kernel of their own, so they run in the lab's virtual machines (`make lab-test`), with ours alone.

| row | need | scenario | reported | test |
| --- | --- | --- | --- | --- |
"""
_TABLE_HEAD = """
| row | need | scenario | reported | ours | ClusterLabs' |
| --- | --- | --- | --- | --- | --- |
"""


class Row(NamedTuple):
    """A scenario and what came of it on both sides: a text if it could not be run, None if it was not asked for."""

    need: Need
    ours: Outcome | str | None
    peer: Outcome | str | None


def verdict(result: Outcome | str | None) -> str:
    """``holds: …``, ``DOES NOT HOLD: …`` or why there is no result."""
    if isinstance(result, Outcome):
        return f"{'holds' if result.holds else 'DOES NOT HOLD'}: {result.seen}"
    return "not asked for" if result is None else f"no result: {result}"


def tally(rows: list[Row]) -> str:
    """How many hold on each side, of those that gave a result."""
    parts = []
    for name, results in (("ours", [row.ours for row in rows]), ("ClusterLabs'", [row.peer for row in rows])):
        found = [result for result in results if isinstance(result, Outcome)]
        parts.append(f"{name}: {sum(result.holds for result in found)} of {len(found)} hold")
    return "; ".join(parts)


def as_text(row: Row) -> str:
    """One scenario for a terminal."""
    lines = [f"{', '.join(row.need.rows)}  {row.need.name}"]
    for side, result in (("ours", row.ours), ("ClusterLabs'", row.peer)):
        if result is not None:
            first = f"    {side:<13}"
            lines += textwrap.wrap(verdict(result), WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    return "\n".join(lines)


def as_markdown(rows: list[Row], versions: str) -> str:
    """The page docs/peers.md."""
    lines = [_HEAD, versions, "", f"{tally(rows)}.", _TABLE_HEAD.rstrip("\n")]
    for row in rows:
        head = [*_keys(row.need), _plain(row.need.story()), row.need.source, verdict(row.ours), verdict(row.peer)]
        lines.append(_line(head))
    lines.append(_LAB_HEAD.rstrip("\n"))
    for case in LAB:
        tests = ", ".join(f"`{test.partition('tests/')[2]}`" for test in case.tests)
        lines.append(_line([*_keys(case), case.story, case.source, tests]))
    return "\n".join(lines) + "\n"


def _keys(one: Need | InLab) -> list[str]:
    return [", ".join(one.rows), "; ".join(NEEDS[row] for row in one.rows)]


def _plain(text: str) -> str:
    return text.rstrip(".")


def _line(fields: list[str]) -> str:
    """A line of a Markdown table, in which nothing of a field is taken for markup."""
    signs = {"|": "\\|", "*": "\\*", "<": "&lt;", "\n": " "}
    return "| " + " | ".join("".join(signs.get(sign, sign) for sign in field) for field in fields) + " |"
