"""What starts at boot by itself: SysV links and systemd units.

SysV (insserv(8), update-rc.d(8)): a link S?? in the directory of a runlevel. Where systemd is the init and has a
unit of that name, or a mask, the links start nothing (systemd-sysv-generator(8)).

systemd (systemd.unit(5)): a unit starts when the default target reaches it, through the links in ``.wants``,
``.requires`` and ``.upholds`` directories and the Wants=, Requires=, BindsTo= and Upholds= lines of the units on
the way; under any of its names (aliases are links from one unit file to another); and when a socket, path or
timer of its name is reached. Masked units do not start. Drop-ins, and generators that have not run, are not read.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from failover_kit.check.tree import Tree
from failover_kit.manager.callers import UNIT_FOLDERS

GENERATED = ("/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late")
RUNLEVELS = tuple(f"{folder}{level}.d" for folder in ("/etc/rc", "/etc/rc.d/rc") for level in "S2345")

# Where every boot comes by, also in a tree without the distribution's own unit files.
_ROOTS = (
    "default.target", "graphical.target", "multi-user.target", "basic.target", "sysinit.target", "local-fs.target",
    "remote-fs.target", "network.target", "network-online.target", "sockets.target", "timers.target",
    "paths.target", "getty.target",
)  # fmt: skip
_SUFFIXES = (".wants", ".requires", ".upholds")
_PULLS = re.compile(r"^(?:Wants|Requires|BindsTo|Upholds)[ \t]*=(.*)$", re.MULTILINE)
_TRIGGERS = (".socket", ".path", ".timer")
_MASK = "/dev/null"
_ALIAS_STEPS = 8  # an alias of an alias is one already


@dataclass(frozen=True, slots=True)
class Start:
    """Why a service starts at boot: the link or line, and the command that takes it away."""

    name: str
    place: str
    remedy: str
    more: int = 0  # further links like it


class BootStarts:
    """One look at a host's boot."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folders = [f for f in (*UNIT_FOLDERS, *GENERATED) if tree.mode(f) is not None]
        self._dependencies = dict(_collected(self._wants_links()))
        self._reached = self._reach()

    def of(self, names: Iterable[str]) -> Start | None:
        """How a service known by any of these names starts at boot; None when it does not."""
        wanted = tuple(names)
        for name in wanted:
            unit = name if "." in name else f"{name}.service"
            found = self._unit(unit)
            if found is not None:
                return found
        for name in wanted:
            found = self._sysv(name)
            if found is not None:
                return found
        return None

    def getty(self, terminal: str) -> Start | None:
        """A login on a serial line: ``terminal`` is ttyS0."""
        return self._unit(f"serial-getty@{terminal}.service") or self._unit(f"getty@{terminal}.service")

    # --- SysV ----------------------------------------------------------------------------------------

    def _sysv(self, name: str) -> Start | None:
        if self._systemd_runs() and self._has_unit(f"{name}.service"):
            return None
        links = [
            f"{folder}/{entry}"
            for folder in RUNLEVELS
            for entry in self._tree.names(folder)
            if re.fullmatch(r"S[0-9]{2}" + re.escape(name), entry)
        ]
        if not links:
            return None
        return Start(name, links[0], f"update-rc.d {name} disable", len(links) - 1)

    def _systemd_runs(self) -> bool:
        init = self._tree.resolve("/sbin/init")
        return self._tree.exists("/run/systemd/system") or init.endswith("/systemd")

    # --- systemd -------------------------------------------------------------------------------------

    def _unit(self, unit: str) -> Start | None:
        names = self.aliases(unit)
        for name in sorted(names):
            if name in self._reached:
                return Start(name, self._reached[name], f"systemctl disable {name}")
        for name in sorted(names):
            for trigger in _TRIGGERS:
                other = name.removesuffix(".service") + trigger
                if other in self._reached:
                    return Start(other, self._reached[other], f"systemctl disable {other}")
        return None

    def aliases(self, unit: str) -> set[str]:
        """All names of a unit: links among the unit files, in both directions, to the end."""
        pairs = [
            (entry, os.path.basename(target))
            for folder in self._folders
            for entry in self._tree.names(folder)
            if (target := self._tree.link(f"{folder}/{entry}")) and target != _MASK
        ]
        names = {unit}
        while True:
            more = {a for a, b in pairs if b in names} | {b for a, b in pairs if a in names}
            if more <= names:
                return names
            names |= more

    def _masked(self, unit: str) -> bool:
        """Whether the name, or the one it is an alias of, is masked. The first folder that has a name decides."""
        for _ in range(_ALIAS_STEPS):
            place = next(
                (f"{folder}/{unit}" for folder in self._folders if self._tree.exists(f"{folder}/{unit}")), ""
            )
            target = self._tree.link(place) if place else ""
            if not target or os.path.basename(target) == unit:
                return False
            if target == _MASK:
                return True
            unit = os.path.basename(target)
        return False

    def _has_unit(self, unit: str) -> bool:
        return any(self._tree.exists(f"{folder}/{unit}") for folder in self._folders)

    def _wants_links(self) -> Iterator[tuple[str, str, str]]:
        """(who wants, what, the link)."""
        for folder in self._folders:
            for entry in self._tree.names(folder):
                owner, dot, kind = entry.rpartition(".")
                if dot + kind in _SUFFIXES:
                    for name in self._tree.names(f"{folder}/{entry}"):
                        yield owner, name, f"{folder}/{entry}/{name}"

    def _reach(self) -> dict[str, str]:
        """Every unit the boot comes by, and the link or unit file that pulls it in."""
        reached: dict[str, str] = {}
        pending = deque((name, "") for name in _ROOTS)
        while pending:
            name, place = pending.popleft()
            if name in reached or self._masked(name):
                continue
            reached[name] = place
            pending += self._dependencies.get(name, [])
            pending += self._written(name)
        return {name: place for name, place in reached.items() if place}

    def _written(self, unit: str) -> list[tuple[str, str]]:
        """What the unit's own file pulls in."""
        name, at, rest = unit.partition("@")
        template = f"{name}@.{rest.rpartition('.')[2]}" if at else unit
        for folder in self._folders:
            path = f"{folder}/{template}"
            text = self._tree.text(path)
            if text is not None:
                instance = rest.rpartition(".")[0]
                words = " ".join(_PULLS.findall(text)).replace("%i", instance).replace("%I", instance).split()
                return [(word, path) for word in words]
        return []


def _collected(links: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for owner, name, place in links:
        found.setdefault(owner, []).append((name, place))
    yield from found.items()
