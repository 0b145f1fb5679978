"""Somebody in the device's menus: lines and the ESC key in, text out, values changed. Pure.

``MenuWalk`` is the position in one tree of menus. A value takes effect when it is entered; ESC leaves a
question, then a menu. The title, the items and what they take stand in ``menus``. Approximations: an
empty line leaves a value as it is; ``-`` clears it; a line that begins with ``/`` at the selection
leaves all menus and is carried out as a command (the HOWTO types ``/e`` and ``/x`` there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from failover_kit.emulator import menus
from failover_kit.emulator.menus import Item, Menu
from failover_kit.emulator.values import BadValue


class MenuWalk:
    """``changed(label)`` is called after each change. ``done`` once the last menu was left."""

    def __init__(self, menu: Menu, subject: object, number: int, changed: Callable[[str], None]) -> None:
        self._menus: list[Menu] = [menu]
        self._subject = subject
        self._number = number
        self._changed = changed
        self._item: Item | None = None
        self.done = False

    @property
    def secret(self) -> bool:
        """Whether what is typed now is a password, which is not echoed."""
        return self._item is not None and self._item.kind is not None and self._item.kind.secret

    @property
    def choosing(self) -> bool:
        """Whether a number of a menu is asked for, and not a value."""
        return self._item is None

    def screen(self) -> str:
        """What is shown now, up to where the typing begins."""
        if self._item is None:
            return _text(menus.lines_of(self._menus[-1], self._subject, self._number)) + menus.FOOTER
        kind = self._item.kind
        if kind is not None and kind.options:
            listed = [f"{number:2}. {option}" for number, option in enumerate(kind.options, start=1)]
            return _text(["", self._item.label + ":", "", *listed, ""]) + menus.FOOTER
        return _text([""]) + f"Enter {self._item.label}: "

    def line(self, text: str) -> str:
        """A line was typed; returns what the device says to it."""
        said = ""
        if self._item is None:
            said = self._select(text.strip())
        else:
            said = self._enter(self._item, text) if text.strip() else ""
            self._item = None
        return said + self.screen()

    def escape(self) -> str:
        """ESC was pressed; empty when the last menu has been left (``done``)."""
        if self._item is not None:
            self._item = None
        else:
            self._menus.pop()
            if not self._menus:
                self.done = True
                return ""
        return _text([""]) + self.screen()

    def _select(self, text: str) -> str:
        items = self._menus[-1].items
        if not text:
            return ""
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= len(items)):
            return _text(["", "Invalid selection"])
        item = items[int(text) - 1]
        if item.submenu is not None:
            self._menus.append(item.submenu)
        else:
            self._item = item
        return ""

    def _enter(self, item: Item, text: str) -> str:
        if item.kind is None:
            return ""
        try:
            value = item.kind.read(text.strip())
        except BadValue as problem:
            return _text(["", str(problem)])
        item.set(self._subject, value)
        self._changed(item.label)
        return ""


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
