"""The power switch of the lab: the emulated IPS-800, as from the factory, in a network namespace of its own.

Where it listens: at its address on the front network from the start, whatever is set on it; or, if asked for, as a
real unit does, at the factory's address until another one is set over its serial console, and at that from then on.
When a real unit takes a new address over is not known to us; here it is at once.
"""

from __future__ import annotations

import ipaddress
import json
import os
import threading
import time
from typing import Any

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.emulator.settings import FACTORY_ADDRESS
from failover_kit.rehearsal.namespaces import NamespaceError, NetworkNamespace
from lab import plan, wire
from lab.places import Places
from lab.plan import GuestPlan

OUTLET_TIMEOUT_S = 60
"""For a command that starts or kills a machine, on a host with no processor to spare."""

FOLLOW_S = 0.2


def emulator(
    places: Places, guests: tuple[GuestPlan, ...], namespace: NetworkNamespace, *, follows: bool
) -> EmulatorProcess:
    """Not started yet. No password, no names, every outlet on; outlets of nodes ask the keeper."""
    helper = os.path.realpath(wire.__file__)

    def command(guest: str, state: str) -> list[str]:
        return ["/usr/bin/python3", "-IS", helper, places.socket, "power", guest, state]

    outlets = {
        guest.plug: OutletConfig(on_command=command(guest.name, "on"), off_command=command(guest.name, "off"))
        for guest in guests
        if guest.plug is not None
    }
    return EmulatorProcess(
        places.root,
        outlets=outlets,
        serial=True,
        state=places.switch_state,
        address="0.0.0.0" if follows else plan.SWITCH_ADDRESS,
        port=plan.SWITCH_PORT,
        prefix=namespace.prefix(),
        extra=["--outlet-timeout", str(OUTLET_TIMEOUT_S)],
    )


def address_in(state: dict[str, Any]) -> str:
    """ADDRESS/PREFIX of a state file's content. Raises ValueError or KeyError."""
    settings = state["settings"]
    return str(ipaddress.IPv4Interface(f"{settings['address']}/{settings['mask']}"))


class Address:
    """Gives the card of the switch the address that is set on it."""

    def __init__(self, namespace: NetworkNamespace, state_path: str) -> None:
        self._namespace = namespace
        self._path = state_path
        self.current = f"{FACTORY_ADDRESS}/24"
        namespace.ip("addr flush dev eth0", f"addr add {self.current} dev eth0")
        threading.Thread(target=self._follow, name="switch-address", daemon=True).start()

    def _follow(self) -> None:
        while True:
            time.sleep(FOLLOW_S)
            try:
                with open(self._path, encoding="utf-8") as file:
                    wanted = address_in(json.load(file))
                if wanted != self.current:
                    self._namespace.ip("addr flush dev eth0", f"addr add {wanted} dev eth0")
                    self.current = wanted
            except (OSError, ValueError, KeyError, NamespaceError):
                continue  # not written yet, or an address that no card can have: it stays as it was
