"""What a WTI switch prints, understood: the status table and who stands in it. Pure.

The table is found by the names of its columns and never by widths, because they differ between
firmwares: IPS-400 v1.41d prints a Name cell of 16, IPS-800 v1.41h and NPS v2.12 one of 18, the IPS-4
manual (v1.10, page 39) has no Default column, NPS up to v3.02 puts Status before Password, and
the CableLabs emulator prints a bar at the left edge. ``tests/data/wti`` holds one of each.

A table that can be read in two ways is an error here, never a guess: a wrong OFF kills a disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

# What the device prints in the Name cell of a plug nobody named.
UNNAMED = frozenset(("", "(undefined)", "(none)", "---"))


class PlugState(Enum):
    """What one status cell says. Only ON and OFF are facts; the others mean "ask again"."""

    ON = "ON"
    OFF = "OFF"
    BUSY = "BUSY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class PlugRow:
    """One plug as its row shows it; ``name`` is empty for a plug without one."""

    number: int
    name: str
    state: PlugState


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A plug group and the plugs in it."""

    name: str
    plugs: tuple[int, ...]


class ScreenError(Exception):
    """A screen is not one we understand; ``str()`` says what was expected and what stood there."""


class PlugMissing(Exception):
    """A plug asked for is not in the device's own table."""


def plug_state(cell: str) -> PlugState:
    """Read a Status cell. A ``*`` marks a command still in progress on newer units (NPS/VMR manual)."""
    word = cell.strip().upper()
    if "*" in word:
        return PlugState.BUSY
    if word in ("ON", "OFF"):
        return PlugState(word)
    return PlugState.UNKNOWN


def parse_status(lines: Iterable[str]) -> tuple[PlugRow, ...]:
    """The plugs of one status screen, in the order of their numbers.

    Lines without a bar (banner, site, pager, help line) are skipped; a header may come again after
    a page. Raises ScreenError when there is no table or when a row does not fit its header.
    """
    columns: _Columns | None = None
    rows: dict[int, PlugRow] = {}
    for line in lines:
        cells = _cells(line)
        if cells is None:
            continue
        header = _Columns.of(cells)
        if header is not None:
            columns = header
        elif columns is not None:
            row = columns.row(cells, line)
            known = rows.setdefault(row.number, row)
            if known != row:
                raise ScreenError(f"plug {row.number} stands twice in the status table, with different facts")
    if columns is None:
        raise ScreenError("no status table: no line with the columns Plug and Status")
    if not rows:
        raise ScreenError("the status table has no rows")
    return tuple(rows[number] for number in sorted(rows))


def has_table(lines: Iterable[str]) -> bool:
    """True when a table's header is among the lines; says nothing about whether it can be read."""
    return any((cells := _cells(line)) is not None and _Columns.of(cells) is not None for line in lines)


def resolve(wanted: Sequence[str], table: Sequence[PlugRow]) -> tuple[int, ...]:
    """Turn plug numbers and names into numbers, by the device's own table.

    A name on several rows means all of them: that is how a machine with two supplies is named
    (cluster-glue's wti_nps reads it so, too). Raises PlugMissing naming every plug that is not there.
    """
    numbers: set[int] = set()
    missing: list[str] = []
    for item in wanted:
        if item.isascii() and item.isdigit():
            found = [row.number for row in table if row.number == int(item)]
        else:
            found = [row.number for row in table if row.name and row.name.casefold() == item.casefold()]
        numbers.update(found)
        if not found:
            missing.append(item)
    if missing:
        have = ", ".join(f"{row.number}={row.name}" if row.name else str(row.number) for row in table)
        raise PlugMissing(f"no plug {', '.join(missing)!s} on this device; it has {have}")
    return tuple(sorted(numbers))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where a header puts the cells we need."""

    count: int
    plug: int
    name: int | None
    status: int

    @classmethod
    def of(cls, cells: Sequence[str]) -> _Columns | None:
        titles = [" ".join(cell.casefold().split()) for cell in cells]
        if "plug" not in titles or "status" not in titles:
            return None
        for title in ("plug", "status", "name"):
            if titles.count(title) > 1:
                raise ScreenError(f"the status table has {titles.count(title)} columns named {title}")
        name = titles.index("name") if "name" in titles else None
        return cls(len(titles), titles.index("plug"), name, titles.index("status"))

    def row(self, cells: Sequence[str], line: str) -> PlugRow:
        if len(cells) != self.count:
            raise ScreenError(
                f"a row of the status table has {len(cells)} cells under {self.count} columns: {_shown(line)}"
            )
        number = cells[self.plug]
        if not (number.isascii() and number.isdigit() and len(number) <= 4 and int(number) >= 1):
            raise ScreenError(f"a row of the status table has no plug number: {_shown(line)}")
        name = cells[self.name] if self.name is not None else ""
        return PlugRow(int(number), "" if name.casefold() in UNNAMED else name, plug_state(cells[self.status]))


def _cells(line: str) -> list[str] | None:
    """The cells of a table line, without the outer bars; None for a rule and for any other line."""
    text = line.strip()
    if "|" not in text or not text.strip("|+-= "):
        return None
    cells = [cell.strip() for cell in text.split("|")]
    if text.startswith("|"):
        del cells[0]
    if text.endswith("|"):
        del cells[-1]
    return cells


def _shown(line: str) -> str:
    return repr(line.strip()[:120])
