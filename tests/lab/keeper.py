"""The keeper: pid 1 of the lab's own network, process and mount namespaces, and owner of everything in them.

When it dies, by whatever cause, the kernel kills every process of its namespace and takes the network away. What
the kernel does not take is the run directory; the keeper removes it when it is told to end, when its lifeline (a
pipe from a foreground run) breaks, or on SIGTERM; after a SIGKILL of the keeper itself ``down`` does.

Started by ``lab.start`` as ``python3 -m lab.keeper RUNDIR``; says ``ready`` on stdout, or one line of what failed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from typing import Any

from failover_kit.emulator.harness import EmulatorFailed
from failover_kit.spec.process import CLEAN_ENV
from lab import benjamin, plan, wire
from lab.errors import LabError
from lab.machine import Hardware, Machine, PowerEvent, last_line
from lab.network import Network
from lab.panel import SWITCH_END, Panel, PanelError
from lab.places import Places
from lab.sessions import Masters
from lab.wire import RequestError
from lab.witness import Witness

VBLADE_BUFFERS = 8
"""Requests that the shelf announces to take at once. A socket's default buffer holds about a dozen jumbo frames;
more in flight are lost and sent again."""


class Keeper:
    """``config`` is what ``lab.start`` wrote down."""

    def __init__(self, places: Places, config: dict[str, Any]) -> None:
        self.places = places
        self.ended = threading.Event()
        self._events: list[PowerEvent] = []
        self._guests = plan.guests(config["guests"])
        self._shelf_problem = ""
        self._network = Network(self._guests)
        self._witness = Witness(plan.SHELF_PORT, places.frames)
        self._vblade = self._shelf()
        nodes = tuple(guest.name for guest in self._guests if guest.is_node)
        self._panel = Panel((*nodes, SWITCH_END))
        self._masters = Masters(places.masters, config["key"], config["known"])
        self._machines = {guest.name: self._machine(guest, config) for guest in self._guests}
        self._server = wire.Server(places.socket, self.answer)
        follows = bool(config["switch_follows"])
        self._switch = benjamin.emulator(places, self._guests, self._network.switch, follows=follows)
        if follows:
            benjamin.Address(self._network.switch, places.switch_state)
        self._switch.start()
        self._panel.attach_terminal(SWITCH_END, self._switch.serial_path)

    # --- parts -------------------------------------------------------------------------------------------

    def _shelf(self) -> subprocess.Popen[bytes]:
        argv = ["vblade", "-b", str(VBLADE_BUFFERS), str(plan.SHELF_NUMBER), str(plan.SLOT_NUMBER)]
        argv += [plan.SHELF_PORT, self.places.shelf]
        with open(self.places.shelf_log, "ab") as log:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=CLEAN_ENV, start_new_session=True
            )
        threading.Thread(target=self._watch_shelf, args=(child,), name="watch-shelf", daemon=True).start()
        return child

    def _watch_shelf(self, child: subprocess.Popen[bytes]) -> None:
        code = child.wait()
        self._shelf_problem = f"vblade ended with code {code}: {last_line(self.places.shelf_log)}"

    def _machine(self, guest: plan.GuestPlan, config: dict[str, Any]) -> Machine:
        hardware = Hardware(
            kernel=config["kernel"],
            initrd=config["initrd"],
            disk=self.places.disk(guest.name),
            project=config["project"],
            memory_mb=config["memory_mb"],
            arguments=f"{plan.kernel_arguments(guest)} {config['arguments']}".strip(),
        )

        def attach(name: str, serial: Any) -> None:
            if guest.is_node:
                self._panel.attach(name, serial)
            else:
                serial.close()

        def detached(name: str) -> None:
            if guest.is_node:
                self._panel.detach(name)
            self._masters.drop(name)

        # The switch comes with every outlet on, and nobody has put the machines' cords in yet.
        return Machine(
            guest, hardware, self.places.root, attach=attach, detached=detached, record=self._record, outlet=True
        )

    def _record(self, event: PowerEvent) -> None:
        self._events.append(event)
        print(f"{event.t_ms} {event.guest} {event.what}: {event.by}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Power off, in an order in which nothing is reported as broken."""
        for machine in self._machines.values():
            machine.end()
        self._switch.stop()
        self._vblade.kill()

    # --- requests ----------------------------------------------------------------------------------------

    def answer(self, what: dict[str, Any]) -> dict[str, Any]:
        """Raises RequestError."""
        do = what.get("do")
        method = getattr(self, f"_do_{do}", None) if isinstance(do, str) else None
        if method is None:
            raise RequestError(f"unknown request {do!r}")
        try:
            found: dict[str, Any] = method(what) or {}
        except (LabError, PanelError) as error:
            raise RequestError(str(error)) from None
        return found

    def _one(self, what: dict[str, Any]) -> Machine:
        name = str(what.get("guest"))
        if name not in self._machines:
            raise RequestError(f"this lab has no {name!r}; it has {', '.join(self._machines)}")
        return self._machines[name]

    def _do_status(self, _what: dict[str, Any]) -> dict[str, Any]:
        return {
            "guests": {name: machine.view() for name, machine in self._machines.items()},
            "panel": self._panel.view(),
            "shelf": {"problem": self._shelf_problem, "requests": self._witness.count},
            "serial": self._switch.serial_path,
        }

    def _do_guest(self, what: dict[str, Any]) -> dict[str, Any]:
        return self._one(what).view()

    def _do_power(self, what: dict[str, Any]) -> None:
        self._one(what).set_outlet(what["state"] == "on")

    def _do_cord(self, what: dict[str, Any]) -> None:
        self._one(what).set_cord(bool(what["in"]))

    def _do_button(self, what: dict[str, Any]) -> None:
        self._one(what).press_button()

    def _do_link(self, what: dict[str, Any]) -> None:
        up = bool(what["up"])
        if what.get("guest") == plan.SWITCH:
            self._network.switch_link(up=up)
            return
        machine = self._one(what)
        nic = machine.guest.nic(str(what.get("nic")))
        # Both ends: the guest sees the carrier go, and nothing it has queued leaves on the way.
        self._network.port(machine.guest, nic, up=up)
        machine.set_link(f"card-{nic.name}", up)

    def _do_join(self, what: dict[str, Any]) -> None:
        self._panel.join(str(what["first"]), str(what["second"]))

    def _do_cut(self, what: dict[str, Any]) -> None:
        self._panel.cut(*what.get("ends", []))

    def _do_master(self, what: dict[str, Any]) -> dict[str, Any]:
        machine = self._one(what)
        boot = machine.boots
        found = self._masters.get(machine.guest.name, int(what["timeout_ms"]), lambda: machine.on)
        return {**found, "boot": boot}

    def _do_alive(self, what: dict[str, Any]) -> dict[str, Any]:
        machine = self._one(what)
        return {"alive": self._masters.alive(machine.guest.name, int(what["master"])), "boot": machine.boots}

    def _do_drop_master(self, what: dict[str, Any]) -> None:
        self._masters.drop(self._one(what).guest.name)

    def _do_testify(self, what: dict[str, Any]) -> dict[str, Any]:
        return {**self._witness.testify(float(what["limit_s"])), "shelf": self._shelf_problem}

    def _do_events(self, _what: dict[str, Any]) -> dict[str, Any]:
        return {"events": [vars(event) for event in self._events]}

    def _do_end(self, _what: dict[str, Any]) -> None:
        self.ended.set()


def _lifeline(fd: int, ended: threading.Event) -> None:
    """The foreground run holds the other end and never writes; its end is ours."""
    while os.read(fd, 1):
        pass
    ended.set()


def main(argv: list[str]) -> int:
    """``keeper RUNDIR LOCK_FD LIFELINE_FD``; a lifeline of -1 is none."""
    places = Places(argv[1])
    lock_fd, lifeline_fd = int(argv[2]), int(argv[3])
    os.set_inheritable(lock_fd, False)
    with open(places.config, encoding="utf-8") as file:
        config = json.load(file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if lifeline_fd >= 0:
        os.set_inheritable(lifeline_fd, False)
        threading.Thread(target=_lifeline, args=(lifeline_fd, stop), name="lifeline", daemon=True).start()
    code, keeper = 0, None
    try:
        keeper = Keeper(places, config)
        keeper.ended = stop
        os.write(1, b"ready\n")
        os.dup2(2, 1)
        stop.wait()
    except (LabError, EmulatorFailed, OSError) as error:
        os.write(1, f"{error}\n".encode())
        code = 1
    except Exception as error:
        traceback.print_exc()
        os.write(1, f"a bug in the lab's keeper: {type(error).__name__}: {error}\n".encode())
        code = 1
    try:
        if keeper is not None:
            keeper.close()
        if code == 0:
            shutil.rmtree(places.root, ignore_errors=True)
    finally:
        # At once: this process is pid 1, and its end is the end of everything that may still run here.
        os._exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
