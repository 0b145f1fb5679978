"""What a switch puts on the screen, as text with CR LF line ends. Pure; renders only, reads nothing back.

What differs between the variants comes from ``variants``, with its sources. *Approximated* for all, from
relatives: how a cell is padded (IPS-400 v1.41d), the closing rule (same), the confirm dialogue and the
processing line (NPS v2.12; the lower-case "please" is what cluster-glue's wti_nps waits for), the wording
of errors, the help texts, the look of a plug's password, the words of the pager (fence_wti answers any
text that ends in "Enter: "), and the whole group screen (columns as fence_wti reads them, a group's first
row without a plug as in firmware 1.43).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from failover_kit.emulator.relays import Outlet
from failover_kit.emulator.values import DEFINED, UNDEFINED, delay_text
from failover_kit.emulator.variants import Column, Variant

INVALID_COMMAND = "Invalid command"
INVALID_PLUG = "Invalid plug"
QUEUE_FULL = "Invalid command: the command queue is full"  # guessed; a refusal clients know
CONFIRM = "Are you sure? (Y/N): "
PROCESSING = "Processing - please wait or <CR> to continue..."
RESET = "Network Interface Reset"
PAGER = "Press Enter to continue, or type Q and Enter: "

_GROUP_COLUMNS = (Column("group", "GROUP NAME", " {:<16} "), Column("plug", "PLUG", " {:<4} "),
                  Column("status", "STATUS", " {:<6} "))  # fmt: skip


def lines(*texts: str) -> str:
    """``texts`` as lines, each ended by CR LF."""
    return "".join(text + "\r\n" for text in texts)


def banner(variant: Variant, site_id: str) -> str:
    return variant.banner.format(site_id or UNDEFINED)


def rule(columns: Iterable[Column]) -> str:
    return "".join("-" * column.width + "+" for column in columns)


def header(columns: Iterable[Column]) -> str:
    """The titles; the first one stands at the left edge, as fence_wti and the printed screens have it."""
    cells = [f" {column.title:<{column.width - 1}}" for column in columns]
    cells[0] = cells[0][1:].ljust(len(cells[0]))
    return "".join(cell + "|" for cell in cells)


def row(columns: Iterable[Column], fields: Mapping[str, str]) -> str:
    return "".join(column.cell.format(fields[column.field]) + "|" for column in columns)


def plug_row(variant: Variant, outlet: Outlet, busy: bool) -> str:
    """One line of the status table. ``busy``: marked with ``*``; the state before it stays the truth."""
    fields = {
        "plug": str(outlet.number),
        "name": outlet.name or UNDEFINED,
        "password": DEFINED if outlet.password else UNDEFINED,
        "status": _state(outlet.on) + ("*" if busy else ""),
        "delay": delay_text(outlet.delay_ms),
        "default": _state(outlet.default_on),
        "priority": str(outlet.priority),
    }
    return row(variant.columns, fields)


def status(variant: Variant, site_id: str, outlets: Iterable[Outlet], busy: Collection[int] = ()) -> str:
    """The status screen, from the banner to the line about help, without the prompt.

    The empty line after the closing rule also ends the table for wti_nps, which reads rows until a
    line of at most two characters.
    """
    return lines(
        "",
        banner(variant, site_id),
        "",
        header(variant.columns),
        rule(variant.columns),
        *(plug_row(variant, outlet, outlet.number in busy) for outlet in outlets),
        rule(variant.columns),
        "",
        '"/H" for help.',
        "",
    )


def groups(
    variant: Variant, site_id: str, members: Mapping[str, Iterable[Outlet]], busy: Collection[int] = ()
) -> str:
    """The group status screen."""
    rows = []
    for name, outlets in members.items():
        rows.append(row(_GROUP_COLUMNS, {"group": name, "plug": "---", "status": "---"}))
        for outlet in outlets:
            state = _state(outlet.on) + ("*" if outlet.number in busy else "")
            rows.append(row(_GROUP_COLUMNS, {"group": "", "plug": str(outlet.number), "status": state}))
    edge = rule(_GROUP_COLUMNS)
    return lines("", banner(variant, site_id), "", header(_GROUP_COLUMNS), edge, *rows, edge, "")


def help_text(variant: Variant, site_id: str, system: bool) -> str:
    """The help screen of System Mode or of User Mode."""
    return lines("", banner(variant, site_id), "", *(variant.help if system else variant.user_help), "")


def announce(variant: Variant, verb: str, outlets: Iterable[Outlet]) -> str:
    """The plugs a command is about to act on: "Plugs to be turned Off:" and their names."""
    words = {"boot": "booted", "default": "set to Default"}.get(verb)
    if words is None:
        words = "turned " + (verb.capitalize() if variant.capital_verbs else verb)
    named = (f"Plug {outlet.number}: {outlet.name or UNDEFINED}" for outlet in outlets)
    return lines("", f"Plugs to be {words}:", *named, "")


def _state(on: bool) -> str:
    return "ON" if on else "OFF"
