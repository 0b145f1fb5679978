"""The comparison as text for a terminal and as docs/versus-heartbeat.md. Pure."""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from versus.cases import Case, Outcome

WIDTH = 110
_HEAD = """# Heartbeat and failoverd, the same schedules

Made by `make peers-heartbeat ARGS="--write docs/versus-heartbeat.md"`, which plays every case with Debian's
Heartbeat 3 in haresources mode and with failoverd, one after the other. Both get the same: two nodes in
namespaces of their own (net, mount, pid, UTS, IPC), a network link and a null-modem cable between them,
`keepalive 200ms`, `deadtime 2`, one resource script, one power switch with a wire of its own. Heartbeat reaches
the switch through cluster-glue's `external` plugin, failoverd through a fence agent; both are a few lines over
the same program. The script writes each attempt, begun and ended, into a ledger outside the nodes. A node
*holds* the service from the first attempt to start it until a stop of it succeeded or its power was cut. **Both
active** means that two nodes held it at once. Nothing that a manager says of itself counts.

What was measured stands in the table. It is not what somebody wrote about Heartbeat: where it did not do what
it was expected to do, the last column says so. Times are seconds of one run on one machine, from the moment the
last thing was done to the pair.

Not as in real life: the nodes share one kernel, so Heartbeat runs without `realtime`, and `reboot(8)` and
`init(8)` do nothing in its nodes (a machine whose kernel hangs over a dead disk does not reboot either). Only
the row that says "cannot reboot itself" depends on that. failoverd has `fence_delay 5` and `op_timeout 15`. Its
takeovers of a silent node that *may still serve* come ten seconds later than Heartbeat's: a node that serves
gets the first shot, and the passive one, when it is not at home, waits twice `fence_delay` for it. That is the
price of the row *only the links fail*.
"""
_TABLE = """
| case | what is done | what must hold | Heartbeat | failoverd | as expected of Heartbeat? |
| --- | --- | --- | --- | --- | --- |
"""


class Row(NamedTuple):
    """A case and what came of it: a text where it could not be played, None where it was not asked for."""

    case: Case
    heartbeat: Outcome | str | None
    ours: Outcome | str | None


def word(result: Outcome | str | None) -> str:
    """``holds: …``, ``DOES NOT HOLD: …`` or why there is no result."""
    if isinstance(result, Outcome):
        return f"{'holds' if result.holds else 'DOES NOT HOLD'}: {result.seen}"
    return "not asked for" if result is None else f"no result: {result}"


def reproduced(row: Row) -> str:
    """Whether Heartbeat did what it is known for."""
    if not isinstance(row.heartbeat, Outcome):
        return "not known"
    as_known = row.heartbeat.holds is not row.case.fails_there
    return f"{'yes' if as_known else 'NO'}: {row.case.expected}"


def tally(rows: list[Row]) -> str:
    """In how many it held on each side, of those that gave a result."""
    parts = []
    for name, results in (("Heartbeat", [r.heartbeat for r in rows]), ("failoverd", [r.ours for r in rows])):
        found = [result for result in results if isinstance(result, Outcome)]
        parts.append(f"{name}: holds in {sum(result.holds for result in found)} of {len(found)}")
    return "; ".join(parts)


def as_text(row: Row) -> str:
    """One case for a terminal."""
    lines = [f"{row.case.key}: {row.case.title}"]
    for side, result in (("Heartbeat", row.heartbeat), ("failoverd", row.ours)):
        if result is not None:
            first = f"    {side:<10}"
            lines += textwrap.wrap(word(result), WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    if isinstance(row.heartbeat, Outcome):
        lines.append(f"    expected  {reproduced(row)}")
    return "\n".join(lines)


def as_markdown(rows: list[Row], facts: dict[str, str]) -> str:
    """The page docs/versus-heartbeat.md."""
    lines = [_HEAD, *(f"- {name}: {value}" for name, value in facts.items()), "", f"**{tally(rows)}.**"]
    lines.append(_TABLE.rstrip("\n"))
    for row in rows:
        case = row.case
        cells = [case.title, case.story, case.must, word(row.heartbeat), word(row.ours), reproduced(row)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
