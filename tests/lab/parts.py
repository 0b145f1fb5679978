"""What hangs around the guests, as the host's side handles it: switch, serial panel, shelf, cables."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from failover_kit.emulator import control
from failover_kit.emulator.harness import EmulatorFailed, EmulatorProcess
from lab import frames, plan
from lab.errors import LabError
from lab.frames import Frame
from lab.guest import Asks
from lab.machine import now_ms
from lab.places import Places

TESTIFY_S = 20.0
SWITCH_MS = 150_000


class EmulatorControl(EmulatorProcess):
    """The power switch that the keeper runs: what a test asks of ``EmulatorProcess``, without its life.

    request, view, outlet_state, fault, clear, press, power_cycle, events. Its telnet is at ``address``, port 23, on
    the lab's front network: reachable from the guests, not from here.
    """

    def __init__(self, places: Places) -> None:
        super().__init__(places.root, outlets={}, address=plan.SWITCH_ADDRESS, port=plan.SWITCH_PORT)

    def request(self, do: str, **what: object) -> dict[str, Any]:
        """As ``EmulatorProcess.request``, with the time that a busy host may need to start or to end a machine."""
        return control.request(self.control_path, {"do": do, **what}, SWITCH_MS)

    def start(self) -> None:
        raise EmulatorFailed("the lab's switch runs as long as the lab does")

    def stop(self) -> int | None:
        raise EmulatorFailed("the lab's switch runs as long as the lab does; power_cycle() restarts the device")


class Panel:
    """The serial cables. Ends: the nodes' ttyS0 by the node's name, and ``switch``."""

    def __init__(self, ask: Asks) -> None:
        self._ask = ask

    def join(self, first: str, second: str) -> None:
        """A cable between two ends, in place of what was there: ``join("pete", "mclaws")`` a null-modem,
        ``join("pete", "switch")`` the switch's console. Raises LabError."""
        self._ask("join", first=first, second=second)

    def cut(self, *ends: str) -> None:
        """Pull the cables out of these ends; of all when none is named."""
        self._ask("cut", ends=list(ends))

    def view(self) -> dict[str, object]:
        """``joined`` pairs, ``attached`` ends (a machine that runs), ``bytes_from`` each end, bytes ``waiting``."""
        found: dict[str, object] = self._ask("status")["panel"]
        return found


class Link:
    """The network cable at one card. Down: the guest sees no carrier, and no frame passes either way."""

    def __init__(self, ask: Asks, guest: str, nic: str) -> None:
        self._ask = ask
        self.guest, self.nic = guest, nic

    def down(self) -> None:
        self._ask("link", guest=self.guest, nic=self.nic, up=False)

    def up(self) -> None:
        self._ask("link", guest=self.guest, nic=self.nic, up=True)


@dataclass(frozen=True)
class Testimony:
    """What the witness knows about its own record: how many requests, how many it lost."""

    count: int
    dropped: int


class Shelf:
    """The AoE shelf and the witness at its port. ``path`` is the file behind the disk.

    What a test may conclude: a frame's time is its arrival at the shelf's network card. vblade takes frames from
    its socket in order; what a node sent before it died may be carried out a moment later, as in a real shelf.
    """

    def __init__(self, ask: Asks, places: Places) -> None:
        self._ask = ask
        self._places = places
        self.path = places.shelf

    def mark(self) -> int:
        """Now, on the witness's clock: CLOCK_MONOTONIC, milliseconds."""
        return now_ms()

    def testify(self) -> Testimony:
        """Wait until all that arrived before now is on record. Raises LabError when the witness cannot testify:
        it lost frames, its record is full, it is late, or the shelf has died."""
        found = self._ask("testify", timeout_s=TESTIFY_S + 10, limit_s=TESTIFY_S)
        why = ""
        if found["shelf"]:
            why = str(found["shelf"])
        elif found["problem"]:
            why = f"it broke down: {found['problem']}"
        elif found["dropped"]:
            why = f"it lost {found['dropped']} frames, this machine was too busy; run it again with less beside it"
        elif found["full"]:
            why = f"its record is full at {found['count']} requests; a run must be shorter than that"
        elif not found["caught_up"]:
            why = f"it is more than {TESTIFY_S:g} s behind"
        if why:
            raise LabError(f"the witness at the shelf cannot testify: {why}")
        return Testimony(found["count"], found["dropped"])

    def frames(self, mac_of: str | None = None, since_ms: float = 0, until_ms: float | None = None) -> list[Frame]:
        """Requests that reached the shelf from ``since_ms`` on (before ``until_ms``), oldest first.

        From one guest's storage card, or from anybody. Complete, or LabError (see ``testify``).
        """
        self.testify()
        mac = None if mac_of is None else plan.guest(mac_of).nic("eth3").mac
        return [
            frame
            for frame in frames.parse(self._records(since_ms))
            if frame.t_ms >= since_ms
            and (until_ms is None or frame.t_ms < until_ms)
            and (mac is None or frame.mac == mac)
        ]

    def _records(self, since_ms: float) -> bytes:
        """The record from a place not after ``since_ms`` on: it is ordered by time, so it is halved to find it."""
        size = frames.RECORD.size
        with open(self._places.frames, "rb") as file:
            low, high = 0, os.fstat(file.fileno()).st_size // size
            while low < high:
                middle = (low + high) // 2
                file.seek(middle * size)
                t_ns = frames.RECORD.unpack(file.read(size))[0]
                # Two blocks may have been given slightly different clocks: a second of slack.
                low, high = (middle + 1, high) if t_ns / 1e6 < since_ms - 1000 else (low, middle)
            file.seek(low * size)
            data = file.read()
        return data[: len(data) // size * size]
