"""The whole stage: network, cable, disks, power switch, nodes, clients; made together, gone together."""

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
from failover_kit.rehearsal.node import Node, NodeError
from failover_kit.rehearsal.nodefiles import make_cgroup, prepare, remove_cgroups
from failover_kit.rehearsal.plan import (
    BAUD,
    GROUP,
    NODES,
    STANDING,
    SWITCH,
    SWITCH_ADDRESS,
    GroupPlan,
    NodePlan,
    Setup,
    authkeys,
    ha_cf,
    haresources,
)
from failover_kit.rehearsal.records import Acknowledgements
from failover_kit.rehearsal.room import Room
from failover_kit.rehearsal.timeline import switch_text
from failover_kit.rehearsal.watch import mounted
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV

FREE_MS = 2_000
"""The kernel puts a dead mount namespace away in the background (fs/namespace.c, put_mnt_ns)."""


class World:
    """``directory`` must exist and be ours; ``kit`` is the root of the tree that is rehearsed."""

    def __init__(
        self, directory: str, kit: str, diary: Diary, setup: Setup = STANDING, *, daemon: bool = True
    ) -> None:
        self.directory = directory
        self.setup = setup
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
        self.disks: list[SharedDisk] = []
        for group in self.setup.groups:
            disk = SharedDisk(os.path.join(self.directory, f"disk{group.number}.img"), group.mount_point[5:])
            stack.callback(disk.close)
            self.disks.append(disk)
        self.room = Room() if self.setup.state_bytes else None
        if self.room is not None:
            stack.callback(self.room.close)
        password, key = secrets.token_hex(8), secrets.token_hex(16)
        self.nodes: dict[str, Node] = {}
        for index, plan in enumerate(NODES):
            home = os.path.join(self.directory, plan.name)
            files = {
                "ha.cf": ha_cf(self.setup),
                "haresources": haresources([disk.device for disk in self.disks], self.setup),
                "authkeys": authkeys(key),
                f"{SWITCH}.password": password + "\n",
            }
            prepare(home, files)
            if self.room is not None:
                self.room.add_disk(os.path.join(home, "disk"), self.setup.state_bytes)

            def on_power_cut(end: int = index) -> None:
                self.cable.power_cycle(end)
                self._wait_for_disks()

            self.nodes[plan.name] = Node(
                plan,
                directory=home,
                kit=self.kit,
                ledger=self.ledger_path,
                cgroup=self.cgroup,
                outlets=self.setup.outlets(plan),
                disks={self.disk_number(plan.name, group): group for group in self.setup.groups},
                serial=self.cable.end_of(index),
                command=[program(self.kit, "failoverd")] if daemon else [],
                network=self.network,
                diary=self.diary,
                on_power_cut=on_power_cut,
                prefix=self.room.prefix() if self.room is not None else (),
            )
        self.control_path = os.path.join(self.directory, "control.sock")
        server = Server(self.control_path, self.answer)
        stack.callback(server.close)
        for node in self.nodes.values():
            stack.callback(node.switch_off, "the rehearsal is over")
        self.switch = self._power_switch(password)
        self.switch.start()
        stack.callback(self.switch.stop)
        self.clients: list[subprocess.Popen[bytes]] = []
        stack.callback(self._stop_clients)
        self._acknowledgements = {
            group.number: Acknowledgements(os.path.join(self.directory, f"client{group.number}"))
            for group in self.setup.groups
        }

    def close(self) -> None:
        self._stack.close()

    # --- parts -----------------------------------------------------------------------------------------

    def _power_switch(self, password: str) -> EmulatorProcess:
        helper = os.path.join(os.path.dirname(os.path.realpath(__file__)), "control.py")

        def outlet(plan: NodePlan, number: int) -> OutletConfig:
            command = ["/usr/bin/python3", "-IS", helper, self.control_path, "power", plan.name]
            return OutletConfig(
                name=self.setup.plug_name(plan, number),
                on=False,
                on_command=[*command, "on", str(number)],
                off_command=[*command, "off", str(number)],
            )

        outlets = {number: outlet(plan, number) for plan in NODES for number in self.setup.outlets(plan)}
        return EmulatorProcess(
            self.directory,
            outlets=outlets,
            password=password,
            address=SWITCH_ADDRESS,
            port=23,
            prefix=dies_with_us(self.network.switch.prefix()),
            extra=["--site-id", SWITCH],
        )

    def start_clients(self) -> None:
        """Let ``kokone`` begin to write records, to each group by a process of its own."""
        program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "client.py")
        for group in self.setup.groups:
            arguments = [group.address, str(group.port), self.acknowledgements(group).path]
            argv = [*self.network.client.prefix(), "/usr/bin/python3", "-IS", program, *arguments]
            client = subprocess.Popen(
                dies_with_us(argv), stdin=subprocess.DEVNULL, env=CLEAN_ENV, cwd="/", start_new_session=True
            )
            self.clients.append(client)
            self.diary.note(group.client, Kind.CLIENT, "begins to write records")

    def _stop_clients(self) -> None:
        for client in self.clients:
            client.kill()
            client.wait()
        self.clients.clear()

    def disk_of(self, group: GroupPlan = GROUP) -> SharedDisk:
        return self.disks[group.number]

    def disk_number(self, name: str, group: GroupPlan = GROUP) -> str:  # noqa: ARG002 - the same on both here
        """The major:minor under which that node sees the group's disk."""
        return self.disk_of(group).number

    def disk_free(self, group: GroupPlan = GROUP) -> bool:
        """Whether no filesystem holds the group's disk on any node."""
        return self.disk_of(group).free()

    def acknowledgements(self, group: GroupPlan = GROUP) -> Acknowledgements:
        """What the client of the group was promised."""
        return self._acknowledgements[group.number]

    def _wait_for_disks(self) -> None:
        """After a power cut: until the dead node's mounts are gone, but for disks that the other node has now."""
        deadline = Deadline(FREE_MS)
        for group in self.setup.groups:
            while not deadline.expired() and not self.disk_free(group):
                if any(node.on and self.mounted_on(node, group) for node in self.nodes.values()):
                    break

    def mounted_on(self, node: Node, group: GroupPlan = GROUP) -> bool:
        """Whether the disk of the group is mounted in the node now."""
        try:
            with open(f"/proc/{node.pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                return mounted(file.read(), self.disk_number(node.name, group))
        except OSError:
            return False

    # --- what can be done to it ------------------------------------------------------------------------

    def pull_power_cable(self, name: str, outlet: int | None = None) -> None:
        """Of one supply, or of all: without any the node dies. The switch knows nothing of it and shows ON."""
        node = self.nodes[name]
        if outlet is None:
            node.switch_off("its power cable was pulled")
        else:
            node.starve(outlet, f"its power cable from outlet {outlet} was pulled")

    def push_power_cable(self, name: str, outlet: int) -> None:
        """The cable of one supply is back in an outlet that is on."""
        self.nodes[name].feed(outlet)

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
        """Press the buttons of the node's outlets on the switch itself."""
        for outlet in self.nodes[name].outlets:
            self.switch.press(outlet, state)

    def answer(self, what: dict[str, Any]) -> dict[str, Any]:
        """Requests on the control socket: ``power``, ``cable``, ``outlets``, ``where``. Raises RequestError."""
        do = what.get("do")
        if do == "power":
            node = self._node(what)
            outlet = int(what["outlet"])
            try:
                if what.get("state") == "on":
                    node.feed(outlet)
                else:
                    node.starve(outlet, f"{SWITCH} cut outlet {outlet}")
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
        if do == "outlets":
            return {"outlets": list(self._node(what).outlets)}
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
            text = switch_text(event)
            if text:
                level = "warning" if event["event"] in ("stuck", "switch_failed", "login_refused") else "info"
                self.diary.note(SWITCH, Kind.SWITCH, text, t_ms=int(event["t_ms"]), level=level)
        self._switch_events = len(events)
        return events
