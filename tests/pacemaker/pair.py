"""The rehearsal's pair, first under failoverd and then, with what export-cib made of its files, under Pacemaker.

Network, disk, power switch, client, ledger and audit are the rehearsal's; only what a node boots into is another.
The exported files are loaded as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lxml import etree

from failover_kit.rehearsal import proof, rundir
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.plan import MCLAWS, NODES, PETE, peer_of
from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.rehearsal.world import World
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.process import CommandResult, run

KIT = str(Path(__file__).resolve().parents[2])
START = str(Path(__file__).with_name("nodestart.sh"))
CTL = os.path.join(KIT, "bin", "failoverctl")

GROUP_START_MS = 180_000
"""dc-deadtime, an election, probes, and the starts; a loaded machine gets more."""

STOP_MS = 90_000
CALL_MS = 120_000
TAKEOVER_MS = 240_000
"""Token, consensus, the head start of who serves, the shot, an election, the starts."""

EXPORTED = {
    "cib.xml": ("--format", "cib"),
    "corosync.conf": ("--format", "corosync"),
}
MAP = ("--map", "recordd=lsb:recordd")


def missing() -> str:
    """Why this cannot run here, or ""."""
    if os.geteuid() != 0:
        return "needs root for namespaces, mounts and loop devices"
    programs = ("/usr/sbin/corosync", "/usr/sbin/pacemakerd", "/usr/sbin/crm_mon", "/usr/sbin/stonith_admin")
    gone = [path for path in programs if not os.access(path, os.X_OK)]
    return f"needs {', '.join(gone)} (packages corosync, pacemaker, pacemaker-cli-utils)" if gone else ""


class Pair:
    """The stage, and the questions that are Pacemaker's."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.world = stage.world
        self.group = ""

    # --- from one manager to the other -----------------------------------------------------------------

    def start_under_failoverd(self) -> None:
        """Both on, the group at home on pete, the client served."""
        stage = self.stage
        stage.fault("both nodes are switched on, under failoverd")
        self.world.start_clients()
        for plan in NODES:
            self.world.press(plan.name, "on")
        stage.wait("failoverd serves", lambda: stage.served_since(PETE.name, stage.fault_ms), GROUP_START_MS)
        stage.let_it_run()

    def migrate(self, *wishes: str) -> None:
        """Export on pete, end failoverd on both nodes, boot them into Pacemaker with what was exported."""
        files = {name: self.exported(*options, *wishes) for name, options in EXPORTED.items()}
        key = os.urandom(256)  # corosync-keygen(8) makes 2048 bits
        for name in (MCLAWS.name, PETE.name):  # the passive one first: then nothing is handed over
            self._end_failoverd(name)
        for plan in NODES:
            self.world.press(plan.name, "off")
            config = os.path.join(self.world.directory, plan.name, "ha.d")
            for name, text in files.items():
                Path(config, name).write_text(text, encoding="utf-8")
            Path(config, "corosync.authkey").write_bytes(key)
            self.world.nodes[plan.name].boot_into(["/bin/sh", START, KIT])
        cib = etree.fromstring(files["cib.xml"].encode())
        self.group = str(cib.find(".//group").get("id"))

    def exported(self, *options: str) -> str:
        """What ``export-cib`` prints on pete. SceneFailed unless all of the pair is in it."""
        result = self.stage.node(PETE.name).run([CTL, "export-cib", *options, *MAP])
        self.stage.require(result.ok(), result.describe())
        return result.stdout

    def _end_failoverd(self, name: str) -> None:
        node = self.stage.node(name)
        node.run(["kill", "-TERM", str(node.daemon_pid)])
        self.stage.wait(f"failoverd of {name} ends", lambda: not node.daemon_pid, STOP_MS)

    # --- Pacemaker -------------------------------------------------------------------------------------

    def start_under_pacemaker(self) -> None:
        """Both on; the group comes up at home."""
        stage = self.stage
        stage.fault("both nodes are switched on, under Pacemaker")
        for plan in NODES:
            self.world.press(plan.name, "on")
        stage.wait("Pacemaker serves", lambda: stage.served_since(PETE.name, stage.fault_ms), GROUP_START_MS)
        self.settled()
        stage.let_it_run()

    def run(self, name: str, *argv: str, timeout_ms: int = 60_000) -> CommandResult:
        """A command on a node that must succeed."""
        result = self.stage.node(name).run(list(argv), timeout_ms)
        self.stage.require(result.ok(), f"on {name}: {result.describe()}")
        return result

    def replace_primitive(self, name: str, primitive: str, text: str) -> None:
        """Another definition of a resource. On standard input: a password stands in no argument list."""
        shown = self.run(name, "cibadmin", "--query", "--scope", "resources").stdout
        resources = etree.fromstring(shown.encode())
        for old in resources.findall(f".//primitive[@id='{primitive}']"):
            old.getparent().replace(old, etree.fromstring(text))
        argv = [*self.stage.node(name).entry(), "cibadmin", "--replace", "--scope", "resources", "--xml-pipe"]
        result = run(argv, Deadline(CALL_MS), stdin=etree.tostring(resources, encoding="unicode"))
        self.stage.require(result.ok(), result.describe())

    def picture(self, name: str) -> etree._Element | None:
        """``crm_mon`` of that node; None while Pacemaker does not answer there."""
        node = self.stage.node(name)
        if not node.on:
            return None
        result = node.run(["crm_mon", "-1", "--output-as=xml"], 20_000)
        return etree.fromstring(result.stdout.encode()) if result.ok() else None

    def well(self) -> bool:
        """Whether both nodes say that both are online, and everything managed runs."""
        for plan in NODES:
            shown = self.picture(plan.name)
            if shown is None:
                return False
            nodes = shown.findall("./nodes/node")
            if len(nodes) != len(NODES) or any(
                node.get("online") != "true" or node.get("unclean") == "true" or node.get("pending") == "true"
                for node in nodes
            ):
                return False
            resources = shown.findall(".//resource")
            if not resources or any(resource.get("role") != "Started" for resource in resources):
                return False
        return True

    def settled(self) -> None:
        """Until both are online and all of the cluster runs, devices too."""
        self.stage.wait("both nodes are online and everything runs", self.well, TAKEOVER_MS)

    def moved_to(self, name: str, timeout_ms: int = TAKEOVER_MS) -> None:
        """Until that node, which did not serve before the fault, serves the client."""
        stage = self.stage
        stage.wait(f"{name} serves", lambda: stage.served_since(name, stage.fault_ms), timeout_ms)

    def serves_again(self, name: str, timeout_ms: int) -> None:
        """Until that node acknowledges a record that is sent from now on."""
        now_ms = boottime_ms()
        self.stage.wait(f"{name} serves again", lambda: self.stage.served_since(name, now_ms), timeout_ms)

    def other(self) -> str:
        """The node that does not serve."""
        return peer_of(self.stage.holder())

    # --- the proof -------------------------------------------------------------------------------------

    def prove(self) -> list[str]:
        """Never two holders, no stray mount or address, no acknowledged record lost. Raises SceneFailed."""
        problems = proof.audit(self.world)
        if problems:
            raise SceneFailed("; ".join(problems))
        attempts = self.world.attempts()
        starts = sum(call.verb == "start" and call.what == "begin" for call in attempts)
        return [f"never two holders: {starts} start attempts", proof.prove_records(self.stage)]

    def shots(self, since: int = 0) -> list[tuple[str, str]]:
        """What the power switch did: outlet's name and new state, from event number ``since`` on."""
        events = [event for event in self.world.switch_events() if event["event"] == "switched"]
        return [(str(event["name"]), str(event["to"])) for event in events[since:]]

    def trouble(self) -> list[str]:
        """For a failed scene: the ends of the logs."""
        lines = []
        for name, node in self.world.nodes.items():
            lines.append(f"--- {name}: {'on' if node.on else 'off'}, boot {node.boot}")
            lines += [f"  {line}" for line in node.log[-8:]]
            if node.on:
                for log in ("pacemaker/pacemaker.log", "corosync/corosync.log"):
                    path = Path(f"{node.root}/var/log/{log}")
                    if path.exists():
                        lines += [f"  {line}" for line in path.read_text(errors="replace").splitlines()[-25:]]
        return lines


@contextmanager
def pair() -> Iterator[Pair]:
    """An empty stage with the rehearsal's files; all of it is gone at the end."""
    place = rundir.RunDir()
    try:
        world = World(place.path, KIT, Diary())
        try:
            yield Pair(Stage(world))
        finally:
            world.close()
    finally:
        place.close()
