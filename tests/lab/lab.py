"""The lab, from the outside: ``Lab`` and all a story, a disaster or a test needs of it.

    with Lab.open("/var/tmp/lab-1", image="sysv", say=print) as lab:      # root; everything is gone at the end
        lab.boot("pete", "mclaws", "kokone")                              # cords in, outlets on, wait for all
        lab.panel.join("pete", "mclaws")                                  # null-modem between both ttyS0
        lab.pete.run(["aoe-stat"]).stdout                                 # words exactly; GuestError when not 0
        lab.pete.sh("modprobe xfs\nmkfs.xfs -q /dev/etherd/e0.0")         # a script
        cut = lab.now_ms()
        lab.switch.press(1, "off")                                        # returns when pete's process is reaped
        assert not lab.shelf.frames(mac_of="pete", since_ms=lab.now_ms())
        lab.link("mclaws", "eth1").down()                                 # no carrier there
        lab.pull_cord("mclaws")                                           # dead, but its outlet still reads ON

What it is: one keeper process, pid 1 of private network, process and mount namespaces, owns bridges, taps, QEMU
machines (TCG, Debian's kernel), the AoE shelf (vblade), the power switch (our emulated IPS-800), the serial panel
and a witness that writes down every AoE request. Nothing has a name outside; several labs run side by side in
different run directories. The host's side asks the keeper over a unix socket.

How it begins: the switch is as from the factory (no password, no names, every outlet ON), its console on the panel;
no cord is in; no cable is joined; the shelf's disk is empty. ``boot`` puts the cords in.

Power: a machine runs when its cord is in and its outlet is on. Off is SIGKILL, and the outlet reads OFF only when
the process has been reaped. Root disks live as long as the lab, through every power cut. A guest that resets itself
(reboot, panic, watchdog) is started again at once; one that powers itself off stays off until ``boot``. See
``power_events``.

What is real and what is not: kernels, file systems, NFS, AoE, boot scripts and the network stack are Debian's own.
The switch's menus, timing and one-session rule are emulated. The address that is set over its console is shown and
kept, but its telnet listens at 192.0.2.219 from the start and stays there, unless the lab was opened with
``switch_follows``. Serial lines have no speed. A cut network link takes the carrier at the guest and the bridge's
port at once. A disk's cache is QEMU's: what the guest did not flush may be lost at a power cut.

Limits: every wait has one. LabError and GuestError say what was waited for, and end with the guest's console.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from lab import overlay, plan, start, wire
from lab.errors import LabError
from lab.guest import READY_S, Guest
from lab.machine import PowerEvent, now_ms
from lab.parts import EmulatorControl, Link, Panel, Shelf
from lab.places import Places

MEMORY_MB = {"sysv": 384, "systemd": 512, "pacemaker": 640, "heartbeat": 512}


class ImageFiles(Protocol):
    """What ``lab.image.build.ensure`` returns: paths. ``known``: known_hosts lines for the guests' names; "" for
    an image whose host keys nobody wrote down."""

    @property
    def kernel(self) -> str: ...
    @property
    def initrd(self) -> str: ...
    @property
    def root(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def known(self) -> str: ...


class Lab:
    """Made by ``open`` (a new one) or ``attach`` (one that runs)."""

    def __init__(self, places: Places, lifeline: int, names: Sequence[str]) -> None:
        self._places = places
        self._lifeline = lifeline
        self.rundir = places.root
        self.guests = {found.name: Guest(found, places, self.ask) for found in plan.guests(names)}
        self.switch = EmulatorControl(places)
        self.panel = Panel(self.ask)
        self.shelf = Shelf(self.ask, places)

    # --- life --------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        rundir: str,
        image: str | ImageFiles = "sysv",
        guests: Sequence[str] = plan.NAMES,
        say: Callable[[str], None] = print,
        *,
        detached: bool = False,
        memory_mb: int | None = None,
        arguments: str = "",
        project: bool = True,
        switch_follows: bool = False,
        shelf_bytes: int = plan.SHELF_BYTES,
    ) -> Self:
        """Build a lab; nothing is powered yet. It ends with ``close`` or this process, unless ``detached``.

        ``image``: a kind of recipe.py, such as "sysv" (built if need be, in a minute), or the files themselves.
        ``memory_mb`` of each guest; ``arguments``: more words for the guests' kernels; ``project`` False: no second
        disk; ``switch_follows``: the switch is not at 192.0.2.219 until that is set on it (see ``benjamin``).
        Raises LabError; nothing is left then.
        """
        chosen = plan.guests(guests)
        places = Places(rundir)
        lock = places.make()
        try:
            files, kind = _image(image, say)
            for found in chosen:
                overlay.make(places.disk(found.name), files.root)
            with open(places.shelf, "xb") as disk:
                disk.truncate(shelf_bytes)
            config = {
                "guests": [found.name for found in chosen],
                "image": kind,
                **_own_copies(files, places),
                "project": _project(places, kind) if project else "",
                "memory_mb": memory_mb or MEMORY_MB.get(kind, 384),
                "arguments": arguments,
                "switch_follows": switch_follows,
            }
        except BaseException:
            os.close(lock)
            shutil.rmtree(places.root)
            raise
        try:
            held = getattr(files, "hold", None)
            kept = () if held is None else (held,)
            lifeline = start.launch(places, lock, config, foreground=not detached, kept=kept)
        except BaseException:
            shutil.rmtree(places.root, ignore_errors=True)
            raise
        return cls(places, lifeline, guests)

    @classmethod
    def attach(cls, rundir: str) -> Self:
        """A lab that runs already; ``close`` leaves it running. Raises LabError."""
        places = Places(rundir)
        if not places.alive():
            raise LabError(f"{places.root}: no lab runs there; start one with 'up'")
        with open(places.config, encoding="utf-8") as file:
            names = json.load(file)["guests"]
        return cls(places, -1, names)

    def close(self) -> None:
        """End a lab that this process opened, and wait until nothing is left of it. Raises LabError."""
        if self._lifeline < 0:
            return
        try:
            start.end(self._places)
        finally:
            os.close(self._lifeline)
            self._lifeline = -1

    def save_logs(self, directory: str) -> None:
        """Copy what tells how it went, for a report: each boot's console, the logs of QEMU, keeper and switch."""
        os.makedirs(directory, exist_ok=True)
        for folder in (self._places.consoles, self._places.root):
            for name in sorted(os.listdir(folder)):
                if name.endswith((".log", ".err")):
                    shutil.copyfile(os.path.join(folder, name), os.path.join(directory, name))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- guests ------------------------------------------------------------------------------------------

    def _guest(self, name: str) -> Guest:
        if name not in self.guests:
            raise LabError(f"this lab has no {name!r}; it has {', '.join(self.guests)}")
        return self.guests[name]

    @property
    def pete(self) -> Guest:
        return self._guest("pete")

    @property
    def mclaws(self) -> Guest:
        return self._guest("mclaws")

    @property
    def kokone(self) -> Guest:
        return self._guest("kokone")

    # --- power and cables --------------------------------------------------------------------------------

    def boot(self, *guests: str, timeout_s: float = READY_S) -> None:
        """Power on and wait until ready: the outlet by its button if it is off, the cord, the machine's own button.

        None named: all. One that runs is only waited for. Raises LabError.
        """
        chosen = [self._guest(name) for name in guests or tuple(self.guests)]
        for found in chosen:
            if found.plan.plug is not None and self.switch.outlet_state(found.plan.plug) != "on":
                self.switch.press(found.plan.plug, "on")
            self.ask("button", guest=found.name)
        for found in chosen:
            found.wait_ready(timeout_s)

    def pull_cord(self, guest: str) -> None:
        """The power cable at the machine: dead when this returns; its outlet still reads what it read."""
        self.ask("cord", guest=self._guest(guest).name, **{"in": False})

    def plug_in(self, guest: str) -> None:
        """Put the cord back; it boots if its outlet is on. Does not wait for that."""
        self.ask("cord", guest=self._guest(guest).name, **{"in": True})

    def link(self, guest: str, nic: str) -> Link:
        """The cable at a guest's card; guest "benjamin": the network cable of the switch, whatever ``nic``."""
        if guest != plan.SWITCH:
            self._guest(guest).plan.nic(nic)
        return Link(self.ask, guest, nic)

    def power_events(self) -> list[PowerEvent]:
        """When which machine was started or ended, by what, oldest first; see ``machine.PowerEvent``."""
        return [PowerEvent(**event) for event in self.ask("events")["events"]]

    def now_ms(self) -> int:
        """CLOCK_MONOTONIC: the clock of power_events and of the witness."""
        return now_ms()

    def status(self) -> dict[str, Any]:
        """The keeper's view: ``guests``, ``panel``, ``shelf``."""
        return self.ask("status")

    def ask(self, do: str, *, timeout_s: float = wire.TIMEOUT_S, **what: object) -> dict[str, Any]:
        """One request to the keeper. Raises LabError."""
        try:
            return wire.request(self._places.socket, {"do": do, **what}, timeout_s)
        except wire.RequestError as error:
            raise LabError(str(error)) from None


def _image(image: str | ImageFiles, say: Callable[[str], None]) -> tuple[ImageFiles, str]:
    if not isinstance(image, str):
        return image, "other"
    if image not in MEMORY_MB:
        raise LabError(f"image {image!r}: there are {', '.join(MEMORY_MB)}")
    from lab.image import build, tools

    try:
        return build.ensure(image, say), image
    except tools.BuildError as error:
        raise LabError(f"the {image} image: {error}") from None


def _own_copies(files: ImageFiles, places: Places) -> dict[str, str]:
    """The small files of the image, copied: a newer image may take the place of this one while the lab runs."""
    found = {}
    for name in ("kernel", "initrd", "key", "known"):
        source = getattr(files, name)
        found[name] = os.path.join(places.root, name) if source else ""
        if source:
            shutil.copyfile(source, found[name])
            os.chmod(found[name], 0o600)
    return found


def _project(places: Places, kind: str) -> str:
    from lab.image import project, recipe, tools

    try:
        return project.build(places.root, links={} if kind in recipe.MANAGERS_DISABLED else project.LINKS)
    except tools.BuildError as error:
        raise LabError(f"the project's disk: {error}") from None
