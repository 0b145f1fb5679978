"""What a WTI switch prints, understood: the plug table, the group table, and who stands in them. Pure.

A table is found by the names of its columns and never by widths, because they differ between
firmwares: IPS-400 v1.41d prints a Name cell of 16, IPS-800 v1.41h and NPS v2.12 one of 18, the IPS-4
manual (v1.10, page 39) has no Default column, NPS up to v3.02 puts Status before Password, and
the CableLabs emulator prints a bar at the left edge. ``tests/data/wti`` holds one of each.

A table that can be read in two ways is an error here, never a guess: a wrong OFF kills a disk. What
every capture shows is therefore demanded: as many cells in each row as titles in the header, rows in
the order of their numbers, each number once, the bars behind the numbers in line, and, when a rule
stands under the header, another one that closes the table. A table cut short is so told from a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

# What the device prints in the Name cell of a plug nobody named.
UNNAMED = frozenset(("", "(undefined)", "(none)", "---"))

# What stands for "no plug" in the first row of a group: MPC and VMR from firmware 1.43 on (fence-agents 0b92cea4).
NO_PLUG = "---"

# Not str.strip(): that also takes away what line noise makes, such as a no-break space.
_BLANKS = " \t"


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
    """A plug group and the numbers of its plugs, in the order shown."""

    name: str
    plugs: tuple[int, ...]


class ScreenError(Exception):
    """A screen is not one we understand; ``str()`` says what was expected and what stood there."""


class PlugMissing(Exception):
    """What was asked for is not in the device's own tables."""


class PlugAmbiguous(PlugMissing):
    """A name means two different sets of plugs."""


def plug_state(cell: str) -> PlugState:
    """Read a Status cell. A ``*`` marks a command still in progress on newer units (NPS/VMR manual)."""
    word = cell.strip(_BLANKS).upper()
    if "*" in word:
        return PlugState.BUSY
    if word in ("ON", "OFF"):
        return PlugState(word)
    return PlugState.UNKNOWN


def is_plug_header(line: str) -> bool:
    """True for the header of a plug table, readable or not."""
    titles = _titles(line)
    return "plug" in titles and "status" in titles and "group name" not in titles


def is_group_header(line: str) -> bool:
    """True for the header of a group table: GROUP NAME, PLUG and STATUS, as fence_wti looks for them."""
    titles = _titles(line)
    return "group name" in titles and "plug" in titles


def has_table(lines: Iterable[str]) -> bool:
    """True when a plug table's header is among the lines; says nothing about whether it can be read."""
    return any(is_plug_header(line) for line in lines)


def parse_status(lines: Iterable[str], *, noisy: bool = False) -> tuple[PlugRow, ...]:
    """The plugs of one status screen, in the order of their numbers.

    ``noisy``: from a line that loses bytes, where one row may have been grafted upon another; all bars
    of all rows must then stand in line, and the rules must be the same.

    Lines without a bar (banner, site, pager, help line) are skipped; a header may come again after a
    page; a table with other columns (the serial ports of an RSM) is passed over. Raises ScreenError when
    there is no plug table, when it is cut short or when a row does not fit its header.
    """
    rows: list[PlugRow] = []
    bars: set[int] = set()  # where the bar after the plug's number stands, in all rows
    gaps: set[int] = set()  # the same, counted from the number's end
    for columns, line in _rows(lines, is_plug_header, "status table", noisy=noisy):
        cells = columns.cells(line)
        number = _number(cells[columns.place("plug")], line)
        if rows and number <= rows[-1].number:
            where = "twice" if any(row.number == number for row in rows) else f"after plug {rows[-1].number}"
            raise ScreenError(f"plug {number} stands {where} in the status table")
        name = cells[columns.place("name")] if "name" in columns.titles else ""
        state = plug_state(cells[columns.place("status")])
        bars.add(columns.bar_after("plug", line))
        gaps.add(columns.bar_after("plug", line) - len(str(number)))
        rows.append(PlugRow(number, "" if name.casefold() in UNNAMED else name, state))
    if not rows:
        raise ScreenError("the status table has no rows")
    if len(bars) > 1 and len(gaps) > 1:
        # Neither a column of fixed width nor one without: somewhere a digit was lost.
        raise ScreenError("the rows of the status table are shifted against each other")
    return tuple(rows)


def parse_groups(lines: Iterable[str], *, noisy: bool = False) -> tuple[GroupRow, ...]:
    """The plug groups of an ``/SG`` screen; none when its table has no rows. ``noisy`` as for the status.

    The first row of a group carries its name; firmware 1.43 has "---" for that row's plug, 1.40 (MPC)
    has a plug; the rows after it have a blank name, or the same name again. Raises ScreenError when
    there is no such table or when it can be read in more than one way.
    """
    groups: dict[str, list[int]] = {}
    current = ""
    for columns, line in _rows(lines, is_group_header, "group table", noisy=noisy):
        cells = columns.cells(line)
        name, plug = cells[columns.place("group name")], cells[columns.place("plug")]
        if name and name != current:
            if any(name.casefold() == known.casefold() for known in groups):
                raise ScreenError(f"two groups are named {name!r}: {_shown(line)}")
            if name.casefold() in UNNAMED:
                raise ScreenError(f"a group without a name: {_shown(line)}")
            current = name
            groups[current] = []
            if plug == NO_PLUG:
                continue
        if not current:
            raise ScreenError(f"a plug of no group: {_shown(line)}")
        number = _number(plug, line)
        if number in groups[current]:
            raise ScreenError(f"plug {number} stands twice in group {current!r}")
        groups[current].append(number)
    return tuple(GroupRow(name, tuple(plugs)) for name, plugs in groups.items())


def resolve(
    wanted: Sequence[str], table: Sequence[PlugRow], groups: Sequence[GroupRow] = ()
) -> tuple[int, ...]:
    """Turn plug numbers, plug names and group names into numbers, by the device's own tables.

    Names are compared whole, without regard to case. A name on several rows means all of them: that is
    how a machine with two supplies is named (cluster-glue's wti_nps reads it so, too). Raises
    PlugMissing naming everything that is not there (a group counts as missing when one of its plugs is
    not in ``table``, or when it has none) and PlugAmbiguous for a name that is a plug's and a group's
    with different plugs.
    """
    numbers: set[int] = set()
    missing: list[str] = []
    for item in wanted:
        found = _plugs_of(item, table, groups)
        numbers.update(found)
        if not found:
            missing.append(item)
    if missing:
        have = ", ".join(f"{row.number}={row.name}" if row.name else str(row.number) for row in table)
        names = ", ".join(group.name for group in groups)
        raise PlugMissing(
            f"no plug {', '.join(missing)} on this device; it has {have}" + (f"; groups {names}" if names else "")
        )
    return tuple(sorted(numbers))


def _plugs_of(item: str, table: Sequence[PlugRow], groups: Sequence[GroupRow]) -> set[int]:
    if item.isascii() and item.isdigit():
        return {row.number for row in table if row.number == int(item)}
    wanted = item.casefold()
    named = {row.number for row in table if row.name and row.name.casefold() == wanted}
    for group in groups:
        if group.name.casefold() != wanted or set(group.plugs) == named:
            continue
        if named:
            raise PlugAmbiguous(
                f"{item} names plug {_list(named)} and the group of plugs {_list(group.plugs)}; rename one of them"
            )
        unknown = set(group.plugs) - {row.number for row in table}
        if unknown:
            raise PlugMissing(
                f"group {item} has plug {_list(unknown)}, which the status table does not show; log in as a "
                "user who may see all of its plugs"
            )
        named = set(group.plugs)
    return named


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


# Tables.


@dataclass(frozen=True, slots=True)
class _Columns:
    """A header: its titles, and whether its lines begin with a bar."""

    titles: tuple[str, ...]
    edged: bool

    def place(self, title: str) -> int:
        return self.titles.index(title)

    def bar_after(self, title: str, line: str) -> int:
        """Where the bar behind a title's cell stands; the end of the line when it is the last."""
        bars = [at for at, char in enumerate(line) if char == "|"][self.edged :]
        return ([*bars, len(line)])[self.place(title)]

    def cells(self, line: str) -> list[str]:
        """The cells of a row. Raises ScreenError when they are not as many as the titles."""
        cells = _split(line, edged=self.edged)
        if len(cells) != len(self.titles):
            raise ScreenError(
                f"a row of the table has {len(cells)} cells under {len(self.titles)} columns: {_shown(line)}"
            )
        return cells


def _rows(
    lines: Iterable[str], is_header: Callable[[str], bool], what: str, *, noisy: bool
) -> Iterator[tuple[_Columns, str]]:
    """The rows under the headers that ``is_header`` knows, each with its header."""
    columns: _Columns | None = None
    seen = ruled = closed = False
    layouts: set[tuple[int, ...]] = set()
    rules: set[str] = set()
    for line in lines:
        if is_header(line):
            columns = _columns(line, what)
            seen, closed = True, False
        elif _is_foreign_header(line):
            if columns is not None and ruled and not closed:
                break
            columns = None
        elif columns is None:
            continue
        elif _is_rule(line):
            ruled = closed = True
            rules.add(line.strip(_BLANKS))
        elif "|" in line:
            closed = False
            layouts.add(tuple(at for at, char in enumerate(line) if char == "|"))
            yield columns, line
    if not seen:
        raise ScreenError(f"no {what}: no line with the columns Plug and Status")
    if ruled and not closed:
        raise ScreenError(f"the {what} is cut short: no rule closes it")
    if noisy and (len(layouts) > 1 or len(rules) > 1):
        raise ScreenError(f"the lines of the {what} are not in line: bytes were lost")


def _columns(line: str, what: str) -> _Columns:
    titles = _titles(line)
    for title in ("plug", "status", "name", "group name"):
        if titles.count(title) > 1:
            raise ScreenError(f"the {what} has {titles.count(title)} columns named {title}")
    return _Columns(titles, line.strip(_BLANKS).startswith("|"))


def _titles(line: str) -> tuple[str, ...]:
    """The cells of a line in lower case; none when it has no bar."""
    if "|" not in line:
        return ()
    cells = _split(line, edged=line.strip(_BLANKS).startswith("|"))
    return tuple(" ".join(cell.casefold().split()) for cell in cells)


def _is_foreign_header(line: str) -> bool:
    """The header of a table of something else: plugs, groups, or the serial ports of an RSM (its manual, 9.2.1)."""
    titles = _titles(line)
    return titles[:1] in (("plug",), ("group name",), ("port",)) and "status" in titles


def _is_rule(line: str) -> bool:
    text = line.strip(_BLANKS)
    return len(text) > 2 and not text.strip("|+-=") and text.strip("|") != ""


def _split(line: str, *, edged: bool) -> list[str]:
    """The cells of a line, without the outer bars. A blank first cell is one unless the lines are ``edged``."""
    cells = [cell.strip(_BLANKS) for cell in line.split("|")]
    if edged and not cells[0]:
        del cells[0]
    if len(cells) > 1 and not cells[-1] and line.rstrip(_BLANKS).endswith("|"):
        del cells[-1]
    return cells


def _number(cell: str, line: str) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 4 and int(cell) >= 1):
        raise ScreenError(f"a row of the table has no plug number: {_shown(line)}")
    return int(cell)


def _shown(line: str) -> str:
    return repr(line.strip()[:120])
