"""The switches this emulator can be, each as one record. Pure.

What a record says is marked where it is an *approximation*; docs/emulator.md has the table of what is
known from where. Sources: the printed session of an IPS-800 v1.41h (banner, columns, rule, factory row),
a published log of an NPS v2.12 (banner, columns, "Plugs to be turned on"), WTI's user's guides for the
NPS-115/230 (12927), IPS-400/800/1600, IPS-15 and VMR/NPS (commands, menus, login, ``*``, queueing), the
command list of an NPS in a public driver, and what fence_wti and wti_nps look for on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

from failover_kit.emulator import menus
from failover_kit.emulator.menus import Menu


@dataclass(frozen=True)
class Column:
    """One column of the status table. ``cell`` formats what stands between two bars; its length is the width."""

    field: str
    title: str
    cell: str

    @property
    def width(self) -> int:
        return len(self.cell.format(""))


@dataclass(frozen=True)
class Variant:
    """One kind of switch. ``verbs`` maps what is typed after the slash to what the device does.

    ``capital_verbs``: "turned Off", not "turned off". ``asks_user``: a login name is asked before the
    password. ``page_lines``: of the pager of listings that were asked for; 0: none. ``prompt_after_ms``: a
    command that takes longer gives the prompt back meanwhile; None: the prompt waits. ``busy_star``: a plug
    that is being switched carries ``*`` in Status, and the fault ``busy`` shows it; without it, ``busy``
    means that somebody else has the session. ``console_busy``: what the console says while the network has
    the session; empty: it does not wake.
    """

    name: str
    title: str
    banner: str
    prompt: str
    plug_count: int
    columns: tuple[Column, ...]
    verbs: dict[str, str]
    help: tuple[str, ...]
    user_help: tuple[str, ...]
    general: Menu
    network: Menu
    plug: Menu
    password_prompt: str
    invalid_password: str
    first_screen: str
    asks_user: bool = False
    user_prompt: str = ""
    factory_user: str = ""
    factory_password: str | None = None
    capital_verbs: bool = True
    console_busy: str = ""
    busy_star: bool = False
    page_lines: int = 0
    prompt_after_ms: int | None = None


_CLASSIC_COLUMNS = (
    Column("plug", "Plug", " {:<3} "),
    Column("name", "Name", " {:<16} "),
    Column("password", "Password", " {:<11} "),
    Column("status", "Status", "{:^8}"),
    Column("delay", "Boot/Seq. Delay", "{:>13}    "),
    Column("default", "Default", "   {:<6}"),
)

# Capitals as fence_wti expects them; which columns a VMR prints, and how wide, is an approximation.
_VMR_COLUMNS = (
    Column("plug", "PLUG", " {:<3} "),
    Column("name", "NAME", " {:<16} "),
    Column("status", "STATUS", " {:<6} "),
    Column("delay", "BOOT DELAY", " {:<10} "),
    Column("default", "DEFAULT", "   {:<6}"),
    Column("priority", "PRIORITY", "    {:<6}"),
)

_SWITCHING = {"ON": "on", "OFF": "off", "BOOT": "boot", "BO": "boot", "D": "default"}
_CLASSIC_VERBS = {
    "S": "status",
    "H": "help",
    "X": "exit",
    "E": "leave",  # the HOWTO types it to leave a menu; at the prompt it does nothing (approximation)
    "G": "general",
    "P": "plug",
    "N": "network",
    "T": "reset",
    "R": "relogin",
    **_SWITCHING,
}
# MPC v1.60 help: /S /SG /PL n /N /BOOT /ON /OFF /DPL /UL; /F and what stands in the menus is approximated.
_VMR_VERBS = {
    "S": "status",
    "SG": "groups",
    "H": "help",
    "X": "exit",
    "E": "leave",
    "F": "general",
    "PL": "plug",
    "N": "network",
    "UL": "unlock",
    "ON": "on",
    "OFF": "off",
    "BOOT": "boot",
    "BO": "boot",
    "DPL": "default",
}

_PLUG_LISTS = (
    "",
    "<n>   plug number or name; several: 1+3, 1,3 or 1:3; all: *",
    ",Y    after the plugs or after /X: do not ask for confirmation",
)
# The commands are those of the NPS's own help; how the screen sets them is an approximation.
_CLASSIC_HELP = (
    "Display                              Control",
    "  /S          Plug Status              /ON <n>     Turn Plug On",
    "  /H          This Help                /OFF <n>    Turn Plug Off",
    "Configuration                          /BOOT <n>   Boot Plug (also /BO)",
    "  /G          General Parameters       /D          Set Plugs to Default",
    "  /P [n]      Plug Parameters          /T          Reset Network Interface",
    "  /N          Network Parameters       /R          Login as a Different User",
    "                                       /X          Exit, Disconnect",
    *_PLUG_LISTS,
)
_VMR_HELP = (
    "Display                              Control",
    "  /S          Plug Status              /ON <n>     Turn Plug On",
    "  /SG         Plug Group Status        /OFF <n>    Turn Plug Off",
    "  /H          This Help                /BOOT <n>   Boot Plug",
    "Configuration                          /DPL        Set Plugs to Default",
    "  /F          System Parameters        /UL         Unlock (Invalid Access)",
    "  /PL [n]     Plug Parameters          /X          Exit, Disconnect",
    "  /N          Network Parameters",
    *_PLUG_LISTS,
)

# User Mode has no configuration menus (user's guides, "System Mode and User Mode").
_USER_HELP = (
    "Display                              Control",
    "  /S          Plug Status              /ON <n>     Turn Plug On",
    "  /H          This Help                /OFF <n>    Turn Plug Off",
    "                                       /BOOT <n>   Boot Plug",
    "                                       /X          Exit, Disconnect",
    *_PLUG_LISTS,
)

IPS = Variant(
    name="ips",
    title="IPS-800, firmware v1.41h",
    banner="Internet Power Switch v1.41h    Site ID: {}",
    prompt="IPS> ",
    plug_count=8,
    columns=_CLASSIC_COLUMNS,
    verbs=_CLASSIC_VERBS,
    help=_CLASSIC_HELP,
    user_help=_USER_HELP,
    general=menus.IPS_GENERAL,
    network=menus.IPS_NETWORK,
    plug=menus.IPS_PLUG,
    password_prompt="Enter Password: ",  # noqa: S106 - the words on the screen; wti_nps waits for "Password:"
    invalid_password="Invalid password",  # noqa: S106
    first_screen="status",  # IPS user's guides, 6.2.1
)

NPS = Variant(
    name="nps",
    title="NPS, firmware v2.12, 16 plugs",
    banner="Network Power Switch v2.12     Site: {}",
    prompt="NPS> ",
    plug_count=16,
    columns=_CLASSIC_COLUMNS,
    verbs=_CLASSIC_VERBS,
    help=_CLASSIC_HELP,
    user_help=_USER_HELP,
    general=menus.NPS_GENERAL,
    network=menus.NPS_NETWORK,
    plug=menus.NPS_PLUG,
    password_prompt="Enter Password: ",  # noqa: S106
    invalid_password="Invalid password",  # noqa: S106
    first_screen="help",  # NPS user's guide, 4.2: the System or User Help Screen
    capital_verbs=False,
    console_busy="NPS is Busy, Session in Progress",  # the guide has it for the modem port
)

VMR = Variant(
    name="vmr",
    title="VMR, 16 plugs",
    banner="Managed Power Controller v1.60    Site ID: {}",
    prompt="VMR> ",
    plug_count=16,
    columns=_VMR_COLUMNS,
    verbs=_VMR_VERBS,
    help=_VMR_HELP,
    user_help=_USER_HELP,
    general=menus.VMR_GENERAL,
    network=menus.VMR_NETWORK,
    plug=menus.VMR_PLUG,
    password_prompt="Password: ",  # noqa: S106
    invalid_password="Invalid login",  # noqa: S106
    first_screen="prompt",  # approximation: fence_wti, which knows such units, expects no pager at login
    asks_user=True,
    user_prompt="Login: ",
    factory_user="super",  # the account in the examples of WTI's wti.remote collection
    factory_password="super",  # noqa: S106
    busy_star=True,
    page_lines=20,
    prompt_after_ms=1000,
)

VARIANTS = {variant.name: variant for variant in (IPS, NPS, VMR)}
