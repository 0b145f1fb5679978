"""Who is measured, at what, and which ratios we want to reach.

The switch is our emulator with outlets that move at once: no boot/sequence delay, no outlet commands. On
hardware that time is added to everybody alike, so the ratios of off, on and reboot are those of the
programs and come out closer to 1 on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.facts import package_version

from failover_kit import VERSION
from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

ADDRESS = "127.0.8.1"
NOBODY = "127.0.8.2"  # no one listens there: a closed port
PORT = 23
PASSWORD = "changeme"  # noqa: S105 - the emulator's
WRONG = "letmein"
NODE, PLUG = "pete", 1
# wti_nps needs 19 s to report one wrong password; more runs than these teach nothing.
SLOW_ROW_RUNS = 3

AGENT, STOCK_AGENT, STONITH, STOCK_STONITH = "fence_wti_ips800", "fence_wti", "our stonith", "stonith"


@dataclass(frozen=True)
class Command:
    """One process: what it gets, and whether it has to succeed."""

    argv: tuple[str, ...]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    succeeds: bool = True


@dataclass(frozen=True)
class Contender:
    """One program on this machine; ``talk`` makes its command from an action, a plug and where to go."""

    key: str
    version: str
    talk: Callable[[str, str, str], Command]


@dataclass(frozen=True)
class Target:
    """``ours`` should need at most ``ratio`` of the wall time of ``peer``."""

    ours: str
    peer: str
    ratio: float | None  # None: stated, no target


@dataclass(frozen=True)
class Row:
    """One thing to do. ``moves``: how often the outlet must have switched when it is done."""

    key: str
    title: str
    actions: tuple[str, ...]
    targets: tuple[Target, ...]
    moves: int = 0
    address: str = ADDRESS
    password: str = PASSWORD
    succeeds: bool = True
    slow: bool = False

    def runs(self, asked: int) -> int:
        """How often each contender runs."""
        return min(asked, SLOW_ROW_RUNS) if self.slow else asked


def _pairs(agents: float | None, stoniths: float | None) -> tuple[Target, ...]:
    return (Target(AGENT, STOCK_AGENT, agents), Target(STONITH, STOCK_STONITH, stoniths))


def _failures(ratio: float) -> tuple[Target, ...]:
    return (
        Target(AGENT, STOCK_STONITH, ratio),
        Target(STONITH, STOCK_STONITH, ratio),
        Target(AGENT, STOCK_AGENT, None),
    )


ROWS = (
    Row("status", "status", ("status",), _pairs(0.5, None)),
    Row("off-on", "off, then on (two calls)", ("off", "on"), _pairs(0.5, None), moves=2),
    Row("reboot", "reboot", ("reboot",), _pairs(0.5, None), moves=2),
    Row("list", "list", ("list",), _pairs(None, None)),
    Row(
        "wrong-password", "status with a wrong password", ("status",), _failures(1 / 3),
        password=WRONG, succeeds=False, slow=True,
    ),
    Row(
        "closed-port", "status at a closed port", ("status",), _failures(1 / 3),
        address=NOBODY, succeeds=False, slow=True,
    ),
    Row(
        "closed-port-off", "off at a closed port", ("off",), _failures(1 / 3),
        address=NOBODY, succeeds=False, slow=True,
    ),
)  # fmt: skip


def switch_for(folder: str) -> EmulatorProcess:
    """The switch that all of them use, not started yet."""
    outlets = {number: OutletConfig(f"node{number}", delay_ms=0) for number in range(1, 9)}
    outlets[PLUG] = OutletConfig(NODE, delay_ms=0)
    return EmulatorProcess(folder, outlets=outlets, password=PASSWORD, address=ADDRESS, port=PORT)


def contenders(top: Path) -> dict[str, Contender]:
    """Who is there: ours from the checkout ``top``, the others from Debian's packages."""
    found = {}
    for key, path, version in (
        (AGENT, top / "stonith" / "fence_wti_ips800", VERSION),
        (STOCK_AGENT, Path("/usr/sbin/fence_wti"), package_version("fence-agents")),
    ):
        if path.exists():
            found[key] = Contender(key, version, _fence_agent(str(path), NODE if key == AGENT else str(PLUG)))
    for key, path, version in (
        (STONITH, top / "stonith" / "stonith", VERSION),
        (STOCK_STONITH, Path("/usr/sbin/stonith"), package_version("cluster-glue")),
    ):
        if path.exists():
            found[key] = Contender(key, version, _stonith(str(path)))
    return found


def _fence_agent(path: str, plug: str) -> Callable[[str, str, str], Command]:
    """Options on standard input, as Pacemaker gives them; ours by the plug's name, fence_wti knows only numbers."""

    def talk(action: str, address: str, password: str) -> Command:
        lines = (f"action={action}", f"ip={address}", f"plug={plug}", f"password={password}")
        return Command((path,), "".join(f"{line}\n" for line in lines))

    return talk


_STONITH_VERBS = {
    "status": ("-S",),
    "off": ("-T", "off", NODE),
    "on": ("-T", "on", NODE),
    "reboot": ("-T", "reset", NODE),
    "list": ("-l",),
}


def _stonith(path: str) -> Callable[[str, str, str], Command]:
    """Parameters in the environment, as fence_legacy gives them."""

    def talk(action: str, address: str, password: str) -> Command:
        env = {"ipaddr": address, "password": password}
        return Command((path, "-t", "wti_nps", "-E", *_STONITH_VERBS[action]), env=env)

    return talk
