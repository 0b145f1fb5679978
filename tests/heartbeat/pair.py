"""The rehearsal's pair with failover-kit installed in its nodes, under Debian's Heartbeat or under failoverd.

Network, cable, disk, power switch, client, ledger and audit are the rehearsal's. A node boots into what ``systemctl
enable`` was said of (``programs/nodestart.sh``). The three files are the same for both managers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from failover_kit.rehearsal import proof, rundir
from failover_kit.rehearsal.events import Diary
from failover_kit.rehearsal.plan import (
    FRONT,
    FRONT_PREFIX,
    GROUP,
    MCLAWS,
    NODES,
    PETE,
    SERIAL_DEVICE,
    SWITCH,
    SWITCH_ADDRESS,
)
from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.process import CommandMissing, CommandResult, CommandTimeout, run
from heartbeat import guide
from heartbeat.cards import TwoCards

HERE = Path(__file__).resolve().parent
KIT = HERE.parents[1]
PROGRAMS = HERE / "programs"
HEARTBEAT = "/usr/libexec/heartbeat/heartbeat"
CL_STATUS = "/usr/bin/cl_status"
HB = "/usr/share/heartbeat"
LOG = "ha-log"
DISK = "/run/etherd/e0.0"
"""What both nodes call the shared disk; ``nodestart.sh`` makes it a link to the node's own device."""

INSTALL_MS = 600_000
START_MS = 240_000
"""Heartbeat's own start takes 11 s on a quiet machine; failoverd's, the wait for the peer."""

MOVE_MS = 180_000
TAKEOVER_MS = 240_000
"""deadtime 7 s, fence_delay twice, a shot, the starts; a loaded machine gets more."""

BOOT_MS = 120_000
RECORDS = 20

# The times: a pause of a loaded machine must not become a shot. Heartbeat runs without realtime here.
HA_CF = f"""\
logfile /var/log/{LOG}
keepalive 500ms
warntime 3
deadtime 7
initdead 60
auto_failback off
baud 19200
serial {SERIAL_DEVICE}
udpport 694
ucast eth1 {PETE.heartbeat_address}
ucast eth1 {MCLAWS.heartbeat_address}
node pete
node mclaws
realtime off
crm no
stonith_host * external/failover-kit-wti-file {SWITCH_ADDRESS} /etc/ha.d/{SWITCH}.password
"""

PAGE_OF_SCRIPTS = "with-heartbeat.md"
PAGE_OF_MIGRATION = "from-heartbeat.md"


def haresources(device: str) -> str:
    """The HOWTO's group with the rehearsal's service in the place of NFS."""
    return (
        f"{GROUP.home} Filesystem::{device}::{GROUP.mount_point}::xfs killnfsd "
        f"recordd::{GROUP.mount_point}::{GROUP.port} IPaddr::{GROUP.address}/{FRONT_PREFIX}/{FRONT}\n"
    )


def missing() -> str:
    """Why this cannot run here, or ""."""
    if os.geteuid() != 0:
        return "needs root for namespaces, mounts and loop devices"
    programs = (HEARTBEAT, CL_STATUS, f"{HB}/hb_standby", "/usr/bin/make")
    gone = [path for path in programs if not os.access(path, os.X_OK)]
    return f"needs {', '.join(gone)} (packages heartbeat, cluster-glue, make)" if gone else ""


def install(folder: str) -> str:
    """``make install`` into ``folder``, and the test's programs; the tree's ``usr``."""
    # /lib is a link to /usr/lib, and only usr is laid over the node's.
    places = [f"DESTDIR={folder}", "UNITDIR=/usr/lib/systemd/system"]
    argv = ["/usr/bin/make", "-s", "-C", str(KIT), "install", *places]
    result = run(argv, Deadline(INSTALL_MS))
    if not result.ok():
        raise SceneFailed(result.describe())
    usr = Path(folder, "usr")
    (usr / "lib" / "lab").mkdir()
    for name in ("nodestart.sh", "witness"):
        shutil.copy(PROGRAMS / name, usr / "lib" / "lab" / name)
    shutil.copy(PROGRAMS / "systemctl", usr / "bin" / "systemctl")
    for place in ("sbin/reboot", "sbin/halt", "sbin/poweroff", "sbin/shutdown", "sbin/init", "sbin/telinit"):
        shutil.copy(PROGRAMS / "no-reboot", usr / place)
    (usr / "lib" / "systemd" / "systemd").unlink(missing_ok=True)
    shutil.copy(PROGRAMS / "no-reboot", usr / "lib" / "systemd" / "systemd")
    return str(usr)


class Pair:
    """The stage, and the questions about Heartbeat and about what of ours it ran."""

    def __init__(self, stage: Stage, world: TwoCards) -> None:
        self.stage = stage
        self.world = world
        self.left_last = ""
        """The node whose failoverd was ended last on the way back."""
        stage.ctl = "/usr/sbin/failoverctl"
        for plan in NODES:
            self._furnish(plan.name)

    def _furnish(self, name: str) -> None:
        config = Path(self.world.directory, name, "ha.d")
        files = {"ha.cf": HA_CF, "haresources": haresources(DISK), "lab-disk": self.world.device_on(name) + "\n"}
        for file, text in files.items():
            (config / file).write_text(text, encoding="utf-8")
        ours = shutil.ignore_patterns(*files)
        shutil.copytree("/etc/ha.d", config, symlinks=True, dirs_exist_ok=True, ignore=ours)
        self.stage.node(name).boot_into(["/bin/sh", "/run/rehearsal/kit/lib/lab/nodestart.sh"])

    # --- doing -----------------------------------------------------------------------------------------

    def switch_on(self) -> None:
        """Both machines have power, and have booted."""
        for plan in NODES:
            self.world.press(plan.name, "on")
        for plan in NODES:
            self.booted(plan.name)

    def booted(self, name: str) -> None:
        """Until the node is up and what is enabled on it has been started."""
        node = self.stage.node(name)
        self.stage.wait(f"{name} has booted", lambda: node.on and Path(f"{node.root}/run/booted").exists(), BOOT_MS)

    def run(self, name: str, *argv: str, timeout_ms: int = 60_000) -> CommandResult:
        """A command on a node that must succeed."""
        result = self.stage.node(name).run(list(argv), timeout_ms)
        self.stage.require(result.ok(), f"on {name}: {result.describe()}")
        return result

    def play(self, page: str, *sections: str, active: str = PETE.name) -> None:
        """The commands of those sections of the page; ``active`` plays the page's pete."""
        passive = next(plan.name for plan in NODES if plan.name != active)
        who = {PETE.name: active, MCLAWS.name: passive}
        steps = guide.read(page)
        for section in sections:
            guide.play(self.stage, [step for step in steps if step.section == section], who)

    # --- what is known ---------------------------------------------------------------------------------

    def serves(self, name: str, timeout_ms: int = MOVE_MS) -> None:
        """Until that node acknowledges a record after the scene's fault."""
        stage = self.stage
        stage.wait(f"{name} serves", lambda: stage.served_since(name, stage.fault_ms), timeout_ms)

    def goes_on(self) -> None:
        """Until the client was served by the node that has the disk for RECORDS more records."""
        stage = self.stage
        holder, since_ms = stage.holder(), boottime_ms()
        acknowledged = self.world.acknowledgements()

        def more() -> bool:
            return sum(one.node == holder for one in acknowledged.since(since_ms)) >= RECORDS

        stage.wait(f"{holder} serves {RECORDS} more records", more, MOVE_MS)

    def settled(self) -> None:
        """Until Heartbeat on both nodes knows both as active and says that nothing is in transition."""
        nodes = self.world.nodes
        self.stage.wait("Heartbeat is at rest on both nodes", lambda: all(map(self._at_rest, nodes)), START_MS)

    def _at_rest(self, name: str) -> bool:
        answers = [self._cl_status(name, "nodestatus", plan.name) for plan in NODES]
        held = self._cl_status(name, "rscstatus")
        return answers == ["active", "active"] and held in ("none", "local", "foreign", "all")

    def _cl_status(self, name: str, *words: str) -> str:
        node = self.stage.node(name)
        if not node.on:
            return ""
        try:
            return node.run([CL_STATUS, *words], 20_000).stdout.strip()
        except (CommandTimeout, CommandMissing):
            return ""

    def healthy(self) -> None:
        """Until failoverd on both nodes says so."""
        for plan in NODES:
            self.stage.wait(
                f"failoverd is healthy on {plan.name}",
                lambda name=plan.name: self.stage.says(name, lambda said: said.health == "healthy"),
                START_MS,
            )

    def manager_of(self, name: str) -> set[str]:
        """The managers that run on the node, by the kernel."""
        found = set()
        for entry in Path(f"{self.stage.node(name).root}/proc").glob("[0-9]*/comm"):
            try:
                found.add(entry.read_text().strip())
            except OSError:
                continue
        return found & {"heartbeat", "failoverd"}

    def called(self, name: str) -> list[dict[str, Any]]:
        """What the witness wrote of launchers and plugin on that node since the fault, oldest first."""
        path = Path(self.world.directory, name, "disk", "lab", "called.jsonl")
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [call for call in map(json.loads, lines) if call["t_ms"] >= self.stage.fault_ms]

    def log(self, name: str) -> str:
        """Heartbeat's log of that node, all of it."""
        path = Path(self.world.directory, name, "disk", "lab", "log", LOG)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def shots(self) -> list[tuple[str, str]]:
        """What the power switch did since the fault: outlet's name and new state."""
        return [
            (str(event["name"]), str(event["to"]))
            for event in self.world.switch_events()
            if event["event"] == "switched" and event["t_ms"] >= self.stage.fault_ms
        ]

    # --- the proof -------------------------------------------------------------------------------------

    def prove(self) -> list[str]:
        """Never two holders, no stray mount or address, no acknowledged record lost. Raises SceneFailed."""
        problems = proof.audit(self.world)
        if problems:
            raise SceneFailed("; ".join(problems))
        starts = sum(call.verb == "start" and call.what == "begin" for call in self.world.attempts())
        return [f"never two holders: {starts} start attempts", proof.prove_records(self.stage)]

    def trouble(self) -> list[str]:
        """For a failed scene: what every node and its logs say."""
        lines = []
        for name, node in self.world.nodes.items():
            running = ", ".join(sorted(self.manager_of(name))) if node.on else ""
            power = "on" if node.on else "off"
            lines.append(f"--- {name}: {power}, boot {node.boot}, runs {running or 'no manager'}")
            lines += [f"  {line}" for line in node.log[-8:]]
            for path in sorted(Path(self.world.directory, name, "disk", "lab", "log").glob("*")):
                if path.is_file():
                    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
                    lines += [f"  {path.name}: {line}" for line in text[-25:]]
        return lines


@contextmanager
def pair() -> Iterator[Pair]:
    """A stage whose nodes are off, and a client that has begun; all of it is gone at the end."""
    place = rundir.RunDir()
    try:
        kit = install(os.path.join(place.path, "tree"))
        world = TwoCards(place.path, kit, Diary())
        try:
            there = Pair(Stage(world), world)
            world.start_clients()
            yield there
        finally:
            world.close()
    finally:
        place.close()
