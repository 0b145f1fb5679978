"""The whole stage: network, cable, disk, power switch, nodes, client; made together, gone together."""

from __future__ import annotations

import os
import secrets
import subprocess
from contextlib import ExitStack
from typing import Any

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.rehearsal.cable import SerialCable
from failover_kit.rehearsal.control import RequestError, Server
from failover_kit.rehearsal.disk import SharedDisk
from failover_kit.rehearsal.events import Diary, Kind
from failover_kit.rehearsal.kit import program
from failover_kit.rehearsal.ledger import Attempt, Power, Sighting, parse_attempt
from failover_kit.rehearsal.namespaces import dies_with_us
from failover_kit.rehearsal.network import Network
from failover_kit.rehearsal.node import Node, NodeError, prepare, remove_cgroups
from failover_kit.rehearsal.plan import (
    BAUD,
    CLIENT,
    CLUSTER_ADDRESS,
    NODES,
    SERVICE_PORT,
    SWITCH,
    SWITCH_ADDRESS,
    authkeys,
    ha_cf,
    haresources,
)
from failover_kit.rehearsal.records import Acknowledgements
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV

FREE_MS = 2_000
"""The kernel puts a dead mount namespace away in the background (fs/namespace.c, put_mnt_ns)."""


class World:
    """``directory`` must exist and be ours; ``kit`` is the root of the tree that is rehearsed."""

    def __init__(self, directory: str, kit: str, diary: Diary, *, daemon: bool = True) -> None:
        self.directory = directory
        self.kit = kit
        self.diary = diary
        self.ledger_path = os.path.join(directory, "ledger")
        self._attempts: list[Attempt] = []
        self._ledger_at = 0
        self._switch_events = 0
        with ExitStack() as stack:
            self._build(stack, daemon)
            self._stack = stack.pop_all()

    def _build(self, stack: ExitStack, daemon: bool) -> None:
        with open(self.ledger_path, "x", encoding="ascii"):
            pass
        self.cgroup = make_cgroup(f"failover-kit-rehearsal-{os.getpid()}")
        stack.callback(remove_cgroups, self.cgroup)
        self.network = Network()
        stack.callback(self.network.close)
        self.cable = SerialCable(BAUD)
        stack.callback(self.cable.close)
        self.disk = SharedDisk(os.path.join(self.directory, "disk.img"))
        stack.callback(self.disk.close)
        password, key = secrets.token_hex(8), secrets.token_hex(16)
        self.nodes: dict[str, Node] = {}
        for index, plan in enumerate(NODES):
            home = os.path.join(self.directory, plan.name)
            files = {
                "ha.cf": ha_cf(),
                "haresources": haresources(self.disk.device),
                "authkeys": authkeys(key),
                f"{SWITCH}.password": password + "\n",
            }
            prepare(home, files)

            def on_power_cut(end: int = index) -> None:
                self.cable.power_cycle(end)
                self._wait_for_disk()

            self.nodes[plan.name] = Node(
                plan,
                directory=home,
                kit=self.kit,
                ledger=self.ledger_path,
                cgroup=self.cgroup,
                disk_number=self.disk.number,
                serial=self.cable.end_of(index),
                command=[program(self.kit, "failoverd")] if daemon else [],
                network=self.network,
                diary=self.diary,
                on_power_cut=on_power_cut,
            )
        self.control_path = os.path.join(self.directory, "control.sock")
        server = Server(self.control_path, self.answer)
        stack.callback(server.close)
        for node in self.nodes.values():
            stack.callback(node.switch_off, "the rehearsal is over")
        self.switch = self._power_switch(password)
        self.switch.start()
        stack.callback(self.switch.stop)
        self._client: subprocess.Popen[bytes] | None = None
        stack.callback(self._stop_client)
        self.acknowledgements = Acknowledgements(os.path.join(self.directory, "client"))

    def close(self) -> None:
        self._stack.close()

    # --- parts -----------------------------------------------------------------------------------------

    def _power_switch(self, password: str) -> EmulatorProcess:
        helper = os.path.join(os.path.dirname(os.path.realpath(__file__)), "control.py")

        def command(node: str, state: str) -> list[str]:
            return ["/usr/bin/python3", "-IS", helper, self.control_path, "power", node, state]

        outlets = {
            plan.outlet: OutletConfig(
                name=plan.name,
                on=False,
                on_command=command(plan.name, "on"),
                off_command=command(plan.name, "off"),
            )
            for plan in NODES
        }
        return EmulatorProcess(
            self.directory,
            outlets=outlets,
            password=password,
            address=SWITCH_ADDRESS,
            port=23,
            prefix=dies_with_us(self.network.switch.prefix()),
            extra=["--site-id", SWITCH],
        )

    def start_client(self) -> None:
        """Let ``kokone`` begin to write records."""
        program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "client.py")
        arguments = [CLUSTER_ADDRESS, str(SERVICE_PORT), self.acknowledgements.path]
        argv = [*self.network.client.prefix(), "/usr/bin/python3", "-IS", program, *arguments]
        self._client = subprocess.Popen(
            dies_with_us(argv), stdin=subprocess.DEVNULL, env=CLEAN_ENV, cwd="/", start_new_session=True
        )
        self.diary.note(CLIENT, Kind.CLIENT, "begins to write records")

    def _stop_client(self) -> None:
        if self._client is not None:
            self._client.kill()
            self._client.wait()
            self._client = None

    def _wait_for_disk(self) -> None:
        """After a power cut: until the dead node's mount is gone, unless the other node has the disk now."""
        deadline = Deadline(FREE_MS)
        while not deadline.expired() and not self.disk.free():
            if any(node.on and self.mounted_on(node) for node in self.nodes.values()):
                return

    def mounted_on(self, node: Node) -> bool:
        """Whether the disk is mounted in the node now."""
        from failover_kit.rehearsal.watch import mounted

        try:
            with open(f"/proc/{node.pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                return mounted(file.read(), self.disk.number)
        except OSError:
            return False

    # --- what can be done to it ------------------------------------------------------------------------

    def pull_power_cable(self, name: str) -> None:
        """The node dies; the switch knows nothing of it and shows the outlet ON."""
        self.nodes[name].switch_off("its power cable was pulled")

    def set_serial(self, *, connected: bool) -> None:
        if connected:
            self.cable.push()
        else:
            self.cable.pull()
        self.diary.note("", Kind.FAULT, f"serial cable {'connected' if connected else 'pulled'}")

    def set_network(self, *, connected: bool) -> None:
        self.network.set_heartbeat(connected=connected)
        self.diary.note("", Kind.FAULT, f"heartbeat network link {'connected' if connected else 'pulled'}")

    def press(self, name: str, state: str) -> None:
        """Press the button of the node's outlet on the switch itself."""
        self.switch.press(self.nodes[name].plan.outlet, state)

    def answer(self, what: dict[str, Any]) -> dict[str, Any]:
        """Requests on the control socket: ``power``, ``cable``, ``where``. Raises RequestError."""
        do = what.get("do")
        if do == "power":
            node = self._node(what)
            try:
                if what.get("state") == "on":
                    node.switch_on()
                else:
                    node.switch_off(f"{SWITCH} cut outlet {node.plan.outlet}")
            except NodeError as error:
                raise RequestError(str(error)) from None
            return {"node": node.name, "state": what.get("state")}
        if do == "cable":
            connected = what.get("state") == "on"
            if what.get("node") == "serial":
                self.set_serial(connected=connected)
            elif what.get("node") == "network":
                self.set_network(connected=connected)
            else:
                raise RequestError("there are two cables, serial and network")
            return {}
        if do == "where":
            node = self._node(what)
            if not node.on:
                raise RequestError(f"{node.name} has no power")
            return {"entry": node.entry()}
        raise RequestError(f"unknown request {do!r}")

    def _node(self, what: dict[str, Any]) -> Node:
        node = self.nodes.get(str(what.get("node")))
        if node is None:
            raise RequestError(f"no node {what.get('node')!r}; there are {' and '.join(self.nodes)}")
        return node

    # --- what is known of it ---------------------------------------------------------------------------

    def attempts(self) -> list[Attempt]:
        """Every attempt so far; new ones go into the diary, too."""
        with open(self.ledger_path, encoding="ascii") as file:
            file.seek(self._ledger_at)
            while (line := file.readline()).endswith("\n"):
                self._ledger_at += len(line)
                call = parse_attempt(line)
                self._attempts.append(call)
                text = f"{call.resource} {call.verb}"
                if call.what == "end":
                    text += " ... done" if call.code == 0 else f" ... failed ({call.code})"
                self.diary.note(call.node, Kind.AGENT, text, t_ms=call.t_ms)
        return self._attempts

    def power(self) -> list[Power]:
        return [entry for node in self.nodes.values() for entry in node.power]

    def sightings(self) -> list[Sighting]:
        return [entry for node in self.nodes.values() for entry in node.sightings]

    def switch_events(self) -> list[dict[str, Any]]:
        """The switch's own log so far; new lines go into the diary, too."""
        events = self.switch.events()
        for event in events[self._switch_events :]:
            text = _switch_text(event)
            if text:
                level = "warning" if event["event"] in ("stuck", "switch_failed", "login_refused") else "info"
                self.diary.note(SWITCH, Kind.SWITCH, text, t_ms=int(event["t_ms"]), level=level)
        self._switch_events = len(events)
        return events


def _switch_text(event: dict[str, Any]) -> str:
    """What the timeline may show of an event of the switch; "" for nothing."""
    name = event["event"]
    if name == "command":
        return str(event["text"])
    if name == "login_refused":
        return "login refused: wrong password"
    if name in ("switched", "stuck", "switch_failed"):
        what = {"switched": "outlet is", "stuck": "relay is stuck, not", "switch_failed": "failed to go"}[name]
        return f"{event['outlet']} {event['name']}: {what} {str(event['to']).upper()}"
    return ""


def make_cgroup(name: str) -> str:
    """A control group for the run on the machine's cgroup2; "" when there is none to write to."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if after.split(" ", 1)[0] == "cgroup2":
                path = os.path.join(before.split(" ")[4], name)
                remove_cgroups(path)  # of a crashed run whose process id is ours now
                try:
                    os.mkdir(path)
                except OSError:
                    continue
                return path
    return ""
