"""What an IPS-800 with firmware v1.41h puts on the screen, as text with CR LF line ends.

Known from the printed session of that firmware: the banner, the order of the columns, the exact
rule (hence the widths; Name has 16 usable characters), the factory row, ``"/H" for help.`` and the
prompt. *Approximated* from its nearest relatives, because the printed session lost its blanks and
no capture of v1.41h is at hand: how a cell is padded (IPS-400 v1.41d), the closing rule (same),
the confirm dialogue and the processing line (NPS v2.12; the lower-case "please" is what
cluster-glue's wti_nps waits for), the wording of errors, the help text.

This module renders only. Nothing in the package reads a screen back.
"""

from __future__ import annotations

from collections.abc import Iterable

FIRMWARE = "v1.41h"
PROMPT = "IPS> "
PASSWORD_PROMPT = "Enter Password: "  # noqa: S105 - the words on the screen; wti_nps waits for "Password:"
INVALID_PASSWORD = "Invalid password"  # noqa: S105
INVALID_COMMAND = "Invalid command"
INVALID_PLUG = "Invalid plug"
UNDEFINED = "(undefined)"
CONFIRM = "Are you sure? (Y/N): "
PROCESSING = "Processing - please wait or <CR> to continue..."
NAME_WIDTH = 16

RULE = "-----+------------------+-------------+--------+-----------------+---------+"
HEADER = "Plug | Name             | Password    | Status | Boot/Seq. Delay | Default |"

HELP_LINES = (
    "Display                              Control",
    "  /S          Plug Status              /ON <n>     Turn Plug On",
    "  /H          This Help                /OFF <n>    Turn Plug Off",
    "                                       /BOOT <n>   Boot Plug (also /BO)",
    "                                       /X          Exit, Disconnect",
    "",
    "<n>   plug number or name; several: 1+3, 1,3 or 1:3; all: *",
    ",Y    after the plugs or after /X: do not ask for confirmation",
)


def lines(*texts: str) -> str:
    """``texts`` as lines, each ended by CR LF."""
    return "".join(text + "\r\n" for text in texts)


def delay_text(delay_ms: int) -> str:
    """A boot/sequence delay as the table shows it: ``0.5 Secs``, ``1 Sec``, ``30 Secs``, ``1 Min``."""
    if delay_ms >= 60_000 and delay_ms % 60_000 == 0:
        minutes = delay_ms // 60_000
        return f"{minutes} Min" if minutes == 1 else f"{minutes} Mins"
    seconds = delay_ms / 1000
    return f"{seconds:g} Sec" if seconds == 1 else f"{seconds:g} Secs"


def row(number: int, name: str, on: bool, delay_ms: int, default_on: bool) -> str:
    """One line of the status table; ``name`` is empty for an unnamed plug."""
    status = "ON" if on else "OFF"
    default = "ON" if default_on else "OFF"
    return (
        f" {number:<3} | {name or UNDEFINED:<{NAME_WIDTH}} | {UNDEFINED} |{status:^8}|"
        f"{delay_text(delay_ms):>13}    |   {default:<6}|"
    )


def status(site_id: str, rows: Iterable[str]) -> str:
    """The status screen, from the banner to the line about help, without the prompt.

    The empty line after the closing rule also ends the table for wti_nps, which reads rows until a
    line of at most two characters.
    """
    return lines(
        "",
        f"Internet Power Switch {FIRMWARE}    Site ID: {site_id or UNDEFINED}",
        "",
        HEADER,
        RULE,
        *rows,
        RULE,
        "",
        '"/H" for help.',
        "",
    )


def help_text(site_id: str) -> str:
    """The help screen (approximation: only the commands the emulator has)."""
    return lines(
        "",
        f"Internet Power Switch {FIRMWARE}    Site ID: {site_id or UNDEFINED}",
        "",
        *HELP_LINES,
        "",
    )


def announce(verb: str, plugs: Iterable[tuple[int, str]]) -> str:
    """The plugs a command is about to act on; ``verb`` as in "Plugs to be turned Off:"."""
    return lines(
        "",
        f"Plugs to be {verb}:",
        *(f"Plug {number}: {name or UNDEFINED}" for number, name in plugs),
        "",
    )
