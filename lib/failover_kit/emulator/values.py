"""What the device's menus take: kinds of values, how each is shown, read and refused. Pure.

Known: the limits of plug names and passwords and the words of the delays (user's guides, printed screens).
*Approximated*: the words for a value that is not taken, and ``-`` for clearing an item.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

UNDEFINED = "(undefined)"
DEFINED = "(defined)"
TEXT_LIMIT = 32
PASSWORD_LIMIT = 16
CLEAR = "-"  # typed as a value it clears the item (approximation)


class BadValue(Exception):
    """The device does not take this value; ``str()`` is what it prints."""


class Kind:
    """What an item takes. ``secret``: it is not echoed. ``options`` is empty when the value is typed freely."""

    secret = False

    @property
    def options(self) -> tuple[str, ...]:
        return ()

    def show(self, value: Any) -> str:
        """The value as the menu prints it."""
        return str(value) or UNDEFINED

    def read(self, text: str) -> Any:
        """The value that was typed. Raises BadValue."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Kind):
    """Free text, printable ASCII."""

    limit: int = TEXT_LIMIT

    def read(self, text: str) -> Any:
        if text == CLEAR:
            return ""
        if len(text) > self.limit or not (text.isascii() and text.isprintable()):
            raise BadValue(f"Invalid entry: up to {self.limit} printable characters")
        return text


@dataclass(frozen=True)
class PlugName(Kind):
    """User's guides: 16 characters, begins with a letter, no blank and none of , : + " *."""


    def read(self, text: str) -> Any:
        if text == CLEAR:
            return ""
        problem = check_name(text)
        if problem is not None:
            raise BadValue("Invalid entry: " + problem)
        return text


@dataclass(frozen=True)
class Password(Kind):
    """IPS-4 guide: 16 characters; no blanks, colons, plus signs or quotation marks. ``none``: when undefined."""

    none: str | None = None
    secret = True

    def show(self, value: Any) -> str:
        return DEFINED if value else UNDEFINED

    def read(self, text: str) -> Any:
        if text == CLEAR:
            return self.none
        if len(text) > PASSWORD_LIMIT or re.fullmatch(r'[!-~]+', text) is None or set(text) & set(':+"'):
            raise BadValue(f'Invalid entry: up to {PASSWORD_LIMIT} characters, no blank and none of : + "')
        return text


@dataclass(frozen=True)
class Address(Kind):
    """A dotted IPv4 address. ``mask``: a contiguous subnet mask is wanted."""

    mask: bool = False

    def read(self, text: str) -> Any:
        if text == CLEAR and not self.mask:
            return ""
        try:
            address = ipaddress.IPv4Address(text)
            if self.mask:
                ipaddress.IPv4Network(f"0.0.0.0/{text}")
        except ValueError:
            raise BadValue("Invalid entry: " + ("a subnet mask" if self.mask else "an IP address")) from None
        return str(address)


@dataclass(frozen=True)
class Minutes(Kind):
    """A timeout in whole minutes, kept in ms."""

    limit: int = 30  # NPS v3.02, as powerman's notes have it

    def show(self, value: Any) -> str:
        return f"{int(value) / 60_000:g} Min"

    def read(self, text: str) -> Any:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= self.limit):
            raise BadValue(f"Invalid entry: 1 to {self.limit} minutes")
        return int(text) * 60_000


@dataclass(frozen=True)
class Choice(Kind):
    """One of a few values, chosen by number from a list."""

    labels: tuple[tuple[str, Any], ...]

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(label for label, _ in self.labels)

    def show(self, value: Any) -> str:
        return next((label for label, known in self.labels if known == value), str(value))

    def read(self, text: str) -> Any:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= len(self.labels)):
            raise BadValue("Invalid selection")
        return self.labels[int(text) - 1][1]


@dataclass(frozen=True)
class Delay(Kind):
    """A Boot/Seq. delay: a choice whose labels are the device's own words for a time."""

    choices_ms: tuple[int, ...]

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(delay_text(ms) for ms in self.choices_ms)

    def show(self, value: Any) -> str:
        return delay_text(int(value))

    def read(self, text: str) -> Any:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= len(self.choices_ms)):
            raise BadValue("Invalid selection")
        return self.choices_ms[int(text) - 1]


@dataclass(frozen=True)
class Number(Kind):
    """A whole number from 1 to ``limit``."""

    limit: int

    def read(self, text: str) -> Any:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= self.limit):
            raise BadValue(f"Invalid entry: 1 to {self.limit}")
        return int(text)


def check_name(name: str) -> str | None:
    """Why the device would not take ``name`` for a plug, or None (user's guide, plug parameters)."""
    if len(name) > 16:
        return f"'{name}' has {len(name)} characters; the name column holds 16"
    if re.fullmatch(r"[A-Za-z][!-~]*", name) is None or set(name) & set(',:+"*'):
        return f"'{name}' must start with a letter and have no blank , : + \" or *"
    return None


def delay_text(delay_ms: int) -> str:
    """A boot/sequence delay in the device's words: ``0.5 Secs``, ``1 Sec``, ``30 Secs``, ``1 Min``."""
    if delay_ms >= 60_000 and delay_ms % 60_000 == 0:
        minutes = delay_ms // 60_000
        return f"{minutes} Min" if minutes == 1 else f"{minutes} Mins"
    seconds = delay_ms / 1000
    return f"{seconds:g} Sec" if seconds == 1 else f"{seconds:g} Secs"
