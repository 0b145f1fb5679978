"""A menu of a WTI switch, understood: numbered items with a label and a value. Pure.

What is known of the menus is little: the NPS-115/230 user's guide prints one (figure 8, page 14), and names the
items of the others in its text (sections 4.4 to 4.6):

    IP SECURITY
    1. Security Mask #1: (undefined)
    2. Mask #1 Action: Permit
    Enter Selection or <ESC> to Exit

The numbers differ between firmwares (IP Security is item 4 on an NPS, page 14, and item 5 on an IPS-15, page 5-12
of its guide), so an item is chosen by its label and by nothing else. Newer units print long menus in two columns.
A label that stands nowhere, or twice, is an error that shows the menu: never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from failover_kit.fence.log import printable
from failover_kit.fence.screens import UNNAMED
from failover_kit.fence.secret import MASK

# How a set password is shown, whatever the unit printed in its place (some print the password itself).
SET, NOT_SET = "set", "not set"

# "1. Label" or "1) Label", at the beginning of a line or after a gap of two blanks: the second column of a long
# menu. "0.5 Secs" and "255.255.255.0" are no items: a blank has to follow the dot.
_ITEM = re.compile(r"(?:^\s*|\s{2,})(\d{1,2})[.)]\s+(?=\S)")
# The label ends at its colon, at an equals sign, or where dots or blanks lead to the value; the first of these
# that is there. A colon without a blank comes last, since addresses have some.
_ENDS_OF_LABEL = (r":(?:\s|$)", r"\s=\s", r"\s*\.{3,}", r"\s{2,}", r":")


@dataclass(frozen=True, slots=True)
class MenuItem:
    """One line of a menu: ``5. Subnet Mask: 255.255.255.0``.

    ``value`` is as printed, blanks trimmed; of a password only "***" or nothing, since some units print it.
    """

    number: int
    label: str
    value: str

    @property
    def key(self) -> str:
        return spelling(self.label)

    @property
    def secret(self) -> bool:
        """True when the value may be a password."""
        return "password" in self.key or "community" in self.key

    def shown(self) -> str:
        """The value as it may be printed: of a password only whether there is one."""
        if self.secret:
            return SET if self.value else NOT_SET
        return printable(self.value)


@dataclass(frozen=True, slots=True)
class Menu:
    """One menu as it stood on the screen. ``title`` is the last line above the items, perhaps empty."""

    title: str
    items: tuple[MenuItem, ...]

    def lines(self) -> list[str]:
        """The menu for people, without a secret in it."""
        head = [printable(self.title)] if self.title else []
        return head + [f"{item.number}. {printable(item.label)}: {item.shown()}" for item in self.items]


class MenuError(Exception):
    """A menu is not as expected; ``str()`` says what was looked for and shows the menu."""


class Label(Enum):
    """The items we may touch or look into, each with every spelling it is known by.

    From the NPS-115/230 guide (sections 4.4 to 4.6), the IPS-800/1600, IPS-4 and IPS-15 guides (5.3.1 to 5.3.3),
    and the RSM, MPC and VMR guides (5.7, 5.9).
    """

    SYSTEM_PASSWORD = ("system password",)
    SITE_ID = ("site id", "site i d", "location id")
    DISCONNECT_TIMEOUT = (
        "disconnect timeout",
        "disconnect time out",
        "disconnect",
        "inactivity timeout",
        "timeout",
    )
    CONFIRMATION = ("command confirmation", "confirmation")
    AUTOMATED = ("automated mode", "automated")
    PLUG_NAME = ("plug name", "name")
    ADDRESS = ("ip address", "ip addr", "internet address")
    MASK = ("subnet mask", "network mask", "netmask", "net mask", "ip mask")
    GATEWAY = ("gateway address", "gateway", "gateway ip address", "gateway ip", "default gateway")
    IP_SECURITY = ("ip security",)

    @property
    def text(self) -> str:
        return str(self.value[0])


def spelling(label: str) -> str:
    """A label without its case, punctuation and gaps: "IP  Address" and "ip address:" are the same."""
    return " ".join(re.findall(r"[a-z0-9#]+", label.casefold()))


def items_of(line: str) -> list[MenuItem]:
    """The items in one line: none, one, or one for each column."""
    starts = list(_ITEM.finditer(line))
    # What begins in the middle of a line is a column only when the line begins with an item, too.
    if not starts or line[: starts[0].start()].strip():
        return []
    ends = [start.start() for start in starts[1:]] + [len(line)]
    return [_item(int(start[1]), line[start.end() : end].strip()) for start, end in zip(starts, ends, strict=True)]


def read_menu(lines: Iterable[str]) -> Menu:
    """The menu in these lines; without items when there is none. The last title and what follows it counts."""
    title = ""
    items: list[MenuItem] = []
    for line in lines:
        found = items_of(line)
        items += found
        if not found and not items and line.strip(" \t-=_*"):
            title = line.strip()
    return Menu(title, tuple(sorted(items, key=lambda item: item.number)))


def find(menu: Menu, label: Label) -> MenuItem:
    """The one item with this label. Raises MenuError when it is not there, or not clearly one."""
    found = [item for item in menu.items if item.key in label.value]
    if len(found) != 1:
        how = "no item" if not found else f"{len(found)} items"
        raise MenuError(
            f"the menu has {how} called {label.text!r}; nothing was chosen. It reads:\n{_indented(menu)}"
        )
    number = found[0].number
    if sum(item.number == number for item in menu.items) != 1:
        raise MenuError(
            f"number {number} stands twice in the menu; nothing was chosen. It reads:\n{_indented(menu)}"
        )
    return found[0]


def has(menu: Menu, label: Label) -> bool:
    return any(item.key in label.value for item in menu.items)


def minutes_of(text: str) -> int | None:
    """A disconnect timeout in minutes: "2 Min", "15", "120 Secs"; 0 for none, None when it cannot be read.

    NPS v3.02 prints "2 min"; how an IPS prints "none" is not known.
    """
    words = text.casefold().strip()
    if words in UNNAMED or words in ("off", "none", "no", "never", "disabled", "disable"):
        return 0
    match = re.fullmatch(r"(\d{1,4})\s*(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:ours?|rs?)?)?\.?", words)
    if not match:
        return None
    number, unit = int(match[1]), (match[2] or "m")[0]
    if unit == "s":
        return number // 60 if number % 60 == 0 else None
    return number * (60 if unit == "h" else 1)


def word_of(text: str) -> str:
    """A switch as "on" or "off"; anything else as it is."""
    word = text.casefold().strip()
    if word in ("on", "yes", "enabled", "enable", "always"):
        return "on"
    return "off" if word in ("off", "no", "disabled", "disable", "never") else word


def choose_word(menu: Menu, word: str) -> MenuItem:
    """The item of a list that says on or off. Raises MenuError when there is not exactly one."""
    found = [item for item in menu.items if word_of(item.label) == word and not item.value]
    if len(found) != 1:
        raise MenuError(f"the unit does not offer {word!r}. It offers:\n{_indented(menu)}")
    return found[0]


def choose(menu: Menu, minutes: int) -> MenuItem:
    """The item of a list of times that says ``minutes``. Raises MenuError when there is not exactly one."""
    found = [item for item in menu.items if minutes_of(item.label) == minutes or minutes_of(item.value) == minutes]
    if len(found) != 1:
        raise MenuError(f"the unit does not offer {minutes} minutes. It offers:\n{_indented(menu)}")
    return found[0]


def _item(number: int, text: str) -> MenuItem:
    for end in _ENDS_OF_LABEL:
        parts = re.split(end, text, maxsplit=1)
        if len(parts) == 2:
            item = MenuItem(number, parts[0].strip(), parts[1].strip())
            if item.secret:
                return MenuItem(number, item.label, "" if item.value.casefold() in UNNAMED else MASK)
            return item
    return MenuItem(number, text, "")


def _indented(menu: Menu) -> str:
    return "\n".join(f"    {line}" for line in menu.lines()) if menu.items or menu.title else "    (nothing)"


class Masking:
    """Lines of a screen made fit to be shown, in their order: no password of a menu, and none of a plug table's
    column.
    """

    def __init__(self) -> None:
        self._column: int | None = None

    def line(self, text: str) -> str:
        shown = printable(text.strip())
        if "|" not in text:
            return re.sub(r"(?i)(password\b[^:=.]*(?:[:=]|\.{3,}) *)(?=\S)(?!\(undefined\)).*", rf"\1{MASK}", shown)
        cells = shown.split("|")
        titles = [cell.strip().casefold() for cell in cells]
        if "password" in titles:
            self._column = titles.index("password")
        elif self._column is not None and self._column < len(cells):
            cell = cells[self._column]
            if cell.strip().casefold() not in UNNAMED and cell.strip("-+ "):
                cells[self._column] = f" {MASK} "
        return "|".join(cells)


def shown_lines(lines: Sequence[str]) -> list[str]:
    """The lines that are not blank, fit for an error message."""
    masking = Masking()
    return [masking.line(line) for line in lines if line.strip()]
