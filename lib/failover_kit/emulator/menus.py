"""The device's menus as tables: which items, in which order, what each takes. Pure.

Known (NPS user's guide and drivers): ``/G`` item 1 system password, 7 disconnect timeout, 8 command
confirmation; ``/P n`` items 1 name, 2 password, 3 boot delay, 4 power-up default; ``/N`` IP address,
subnet mask, gateway, and IP security as item 4 of an NPS and item 5 of an IPS-15; five masks with an
action each; the footer "Enter Selection or <ESC> to Exit"; lines like "1. Label: (undefined)".
*Approximated*: every other item and number, all of the VMR's menus, the titles, the value prompts. The
numbers differ between the variants so that a client that goes by number instead of label is found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from failover_kit.emulator.values import Address, Choice, Delay, Kind, Minutes, Number, Password, PlugName, Text

FOOTER = "Enter Selection or <ESC> to Exit: "


@dataclass(frozen=True)
class Item:
    """One numbered line: sets ``field`` of what the menu is about, or opens ``submenu``.

    ``index``: the field is a list, and this is the place in it.
    """

    label: str
    field: str = ""
    kind: Kind | None = None
    index: int | None = None
    submenu: Menu | None = None

    def get(self, subject: object) -> Any:
        value = getattr(subject, self.field)
        return value if self.index is None else value[self.index]

    def set(self, subject: object, value: Any) -> None:
        if self.index is None:
            setattr(subject, self.field, value)
        else:
            getattr(subject, self.field)[self.index] = value


@dataclass(frozen=True)
class Menu:
    """``title`` may hold {} for the number of the plug the menu is about."""

    title: str
    items: tuple[Item, ...]


def _switchable(on: str, off: str) -> Choice:
    return Choice(((on, True), (off, False)))


ON_OFF = _switchable("On", "Off")
# The order is that of the REST interface's bootdelay, 0 to 9 (wti.remote, module cpm_plugconfig).
DELAYS_MS = (500, 1_000, 2_000, 5_000, 15_000, 30_000, 60_000, 120_000, 180_000, 300_000)

IP_SECURITY = Menu(
    "IP SECURITY:",
    tuple(
        item
        for number in range(5)
        for item in (
            Item(f"Security Mask #{number + 1}", "mask_addresses", Address(), index=number),
            Item(f"Mask #{number + 1} Action", "mask_permits", _switchable("Permit", "Deny"), index=number),
        )
    ),
)

_PASSWORD = Item("System Password", "password", Password())
_SITE = Item("Site ID", "site_id", Text())
_ECHO = Item("Command Echo", "echo", ON_OFF)
_TIMEOUT = Item("Disconnect Timeout", "idle_timeout_ms", Minutes())
_CONFIRM = Item("Command Confirmation", "confirm", ON_OFF)
_AUTOMATED = Item("Automated Mode", "automated", ON_OFF)
_ADDRESS = Item("IP Address", "address", Address())
_MASK = Item("Subnet Mask", "mask", Address(mask=True))
_SECURITY = Item("IP Security", submenu=IP_SECURITY)

IPS_GENERAL = Menu(
    "GENERAL PARAMETERS:",
    (
        _PASSWORD,
        _SITE,
        _ECHO,
        Item("Baud Rate", "baud", Choice(tuple((str(rate), rate) for rate in (1200, 2400, 9600, 19200)))),
        Item("Front Panel Buttons", "buttons", ON_OFF),
        _AUTOMATED,
        _TIMEOUT,
        _CONFIRM,
    ),
)
IPS_NETWORK = Menu(
    "NETWORK PARAMETERS:",
    (_ADDRESS, _MASK, Item("Gateway Address", "gateway", Address()), Item("DHCP", "dhcp", ON_OFF), _SECURITY),
)
IPS_PLUG = Menu(
    "PLUG PARAMETERS, PLUG {}:",
    (
        Item("Plug Name", "name", PlugName()),
        Item("Plug Password", "password", Password(none="")),
        Item("Boot/Seq. Delay", "delay_ms", Delay(DELAYS_MS[:7])),
        Item("Power Up Default", "default_on", ON_OFF),
    ),
)

NPS_GENERAL = Menu(
    "GENERAL PARAMETERS:",
    (
        _PASSWORD,
        Item("Site I.D.", "site_id", Text()),
        Item("Modem Reset String", "modem_reset", Text()),
        Item("Modem Initialization String", "modem_init", Text()),
        Item("Modem Hang-Up String", "modem_hangup", Text()),
        _ECHO,
        _TIMEOUT,
        _CONFIRM,
        _AUTOMATED,
    ),
)
NPS_NETWORK = Menu(
    "NETWORK PARAMETERS:", (_ADDRESS, _MASK, Item("Gateway Address", "gateway", Address()), _SECURITY)
)
NPS_PLUG = Menu(
    "PLUG PARAMETERS, PLUG {}:",
    (
        Item("Plug Name", "name", PlugName()),
        Item("Password", "password", Password(none="")),
        # NPS-115 guide, 4.5; 0.5 seconds stands in the published v2.12 screen.
        Item("Boot Delay", "delay_ms", Delay((500, 1_000, 5_000, 10_000, 15_000, 30_000, 60_000))),
        Item("Power-Up Default", "default_on", ON_OFF),
    ),
)

VMR_GENERAL = Menu(
    "SYSTEM PARAMETERS:",
    (
        Item("User Name", "user", Text(limit=32)),
        Item("Password", "password", Password()),
        _SITE,
        Item("Command Confirmation", "confirm", ON_OFF),
        _AUTOMATED,
        Item("Inactivity Timeout", "idle_timeout_ms", Minutes()),
        _ECHO,
    ),
)
VMR_NETWORK = Menu(
    "NETWORK PARAMETERS:",
    (Item("DHCP", "dhcp", ON_OFF), _ADDRESS, _MASK, Item("Gateway Address", "gateway", Address()), _SECURITY),
)
VMR_PLUG = Menu(
    "PLUG PARAMETERS, PLUG {}:",
    (
        Item("Plug Name", "name", PlugName()),
        Item("Boot/Seq. Delay", "delay_ms", Delay(DELAYS_MS)),
        Item("Power Up Default", "default_on", ON_OFF),
        Item("Boot Priority", "priority", Number(16)),
    ),
)


def lines_of(menu: Menu, subject: object, number: int = 0) -> Sequence[str]:
    """The menu's lines with the values of ``subject``; ``number`` is the plug's."""
    width = max(len(item.label) for item in menu.items) + 2
    found = ["", menu.title.format(number), ""]
    for position, item in enumerate(menu.items, start=1):
        if item.kind is None:
            found.append(f"{position:2}. {item.label}")
        else:
            found.append(f"{position:2}. {item.label + ':':<{width}}{item.kind.show(item.get(subject))}")
    return [*found, ""]
