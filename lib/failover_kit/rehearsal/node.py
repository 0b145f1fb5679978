"""One machine of the pair: power, orders, commands in it. What happens inside is ``nodeinit``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from failover_kit.rehearsal.events import Diary, Kind
from failover_kit.rehearsal.kit import agents
from failover_kit.rehearsal.ledger import Power, Sighting
from failover_kit.rehearsal.namespaces import NetworkNamespace
from failover_kit.rehearsal.network import Network
from failover_kit.rehearsal.nodefiles import remove_cgroups
from failover_kit.rehearsal.plan import GroupPlan, NodePlan
from failover_kit.rehearsal.watch import Watch
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, CommandResult, run

BOOT_MS = 20_000
DEATH_MS = 10_000
WITNESSED = ("IPaddr", "Filesystem")


class NodeError(Exception):
    """A node did not come up or go down; ``str()`` says what it was waiting for."""


class Node:
    """``directory`` keeps what survives a power cut (``disk``) and the configuration (``ha.d``).

    ``disks`` has the groups by the major:minor of their disks.
    """

    def __init__(
        self,
        plan: NodePlan,
        *,
        directory: str,
        kit: str,
        ledger: str,
        cgroup: str,
        outlets: Sequence[int],
        disks: Mapping[str, GroupPlan],
        serial: str,
        command: Sequence[str],
        network: Network,
        diary: Diary,
        on_power_cut: Callable[[], None],
        prefix: Sequence[str] = (),
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self.boot = 0
        self.pid = 0
        self.power: list[Power] = []
        self.sightings: list[Sighting] = []
        self.log: list[str] = []
        self._directory = directory
        self._kit = kit
        self._ledger = ledger
        self._cgroup = cgroup
        self.outlets = tuple(outlets)
        self.feeds: set[int] = set()
        """The outlets that feed it just now: it lives while there is one."""
        self._disks = disks
        self._serial = serial
        self._command = list(command)
        self._network = network
        self._diary = diary
        self._on_power_cut = on_power_cut
        self._prefix = list(prefix)
        self._lock = threading.RLock()
        self._child: subprocess.Popen[bytes] | None = None
        self._namespace: NetworkNamespace | None = None
        self._watch: Watch | None = None
        self._readers: list[threading.Thread] = []
        self._ready = threading.Event()
        self._trouble = ""
        self.daemon_pid = 0
        """failoverd's pid inside the node, 0 when it does not run."""

    @property
    def on(self) -> bool:
        return self._child is not None

    @property
    def root(self) -> str:
        """The node's own view of the filesystem, seen from outside."""
        return f"/proc/{self.pid}/root"

    def feed(self, outlet: int) -> None:
        """Power comes by this outlet; with the first one it boots. Raises NodeError."""
        with self._lock:
            self.feeds.add(outlet)
            if self._child is not None:
                self._diary.note(self.name, Kind.POWER, f"power by outlet {outlet}, too")
            self.switch_on()

    def starve(self, outlet: int, why: str) -> None:
        """No power by this outlet any more; without the last one it dies. Raises NodeError."""
        with self._lock:
            if outlet in self.feeds and len(self.feeds) > 1 and self._child is not None:
                others = ", ".join(map(str, sorted(self.feeds - {outlet})))
                self._diary.note(self.name, Kind.POWER, f"lives on by outlet {others}: {why}")
            self.feeds.discard(outlet)
            if not self.feeds:
                self.switch_off(why)

    def switch_on(self) -> None:
        """Boot, if the power is off. Returns when pid 1 has started failoverd. Raises NodeError."""
        with self._lock:
            if self._child is not None:
                return
            self.boot += 1
            self._ready.clear()
            self._trouble = ""
            self.pid = 0
            namespace = self._network.plug_in(self.plan)
            self._namespace = namespace
            entry = self._diary.note(self.name, Kind.POWER, "power on")
            self.power.append(Power(entry.t_ms, self.name, self.boot, True))
            description = self._description(namespace)
            here = os.path.dirname(os.path.realpath(__file__))
            self._child = subprocess.Popen(
                [*self._prefix, "/usr/bin/python3", "-I", os.path.join(here, "nodeinit.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=CLEAN_ENV,
                cwd="/",
                start_new_session=True,
            )
            for function in (self._read_orders, self._read_log):
                reader = threading.Thread(target=function, args=(self._child,), daemon=True, name=self.name)
                reader.start()
                self._readers.append(reader)
            self._send(json.dumps(description))
            if not self._ready.wait(BOOT_MS / 1000) or self._trouble:
                trouble = self._trouble or f"not ready within {BOOT_MS / 1000:g} s"
                self.switch_off("did not boot")
                raise NodeError(f"{self.name} does not boot: {trouble}")

    def boot_into(self, command: Sequence[str]) -> None:
        """What pid 1 starts from the next boot on, in the place of failoverd."""
        with self._lock:
            self._command = list(command)

    def _description(self, namespace: NetworkNamespace) -> dict[str, object]:
        """What ``nodeinit`` needs; every boot has a boot_id of its own (random(4): a version 4 UUID)."""
        boot_id = os.path.join(self._directory, "boot_id")
        with open(boot_id, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")
        cgroup = ""
        if self._cgroup:
            cgroup = self.cgroup
            os.mkdir(cgroup)
        return {
            "name": self.name,
            "boot": self.boot,
            "kit": self._kit,
            "disk": os.path.join(self._directory, "disk"),
            "config": os.path.join(self._directory, "ha.d"),
            "witness": os.path.join(self._directory, "witness"),
            "witnessed": [f"{agents(self._kit)}/{name}" for name in WITNESSED],
            "ledger": self._ledger,
            "boot_id": boot_id,
            "serial": self._serial,
            "netns": namespace.path,
            "cgroup": cgroup,
            "mount_points": [group.mount_point for group in self._disks.values()],
            "command": self._command,
        }

    def switch_off(self, why: str) -> None:
        """Atomic death: every process, mount and card of the node is gone when this returns. Raises NodeError."""
        with self._lock:
            self.feeds.clear()
            child, self._child = self._child, None
            if child is None:
                return
            if self.pid:
                _kill(self.pid)
            else:
                child.kill()
            self._network.unplug(self.plan)
            try:
                child.wait(DEATH_MS / 1000)
            except subprocess.TimeoutExpired:
                raise NodeError(f"{self.name}: a process did not die within {DEATH_MS / 1000:g} s") from None
            self.daemon_pid = 0
            entry = self._diary.note(self.name, Kind.POWER, f"power off: {why}")
            self.power.append(Power(entry.t_ms, self.name, self.boot, False))
            self._tidy(child)
            self._on_power_cut()

    def _tidy(self, child: subprocess.Popen[bytes]) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        for reader in self._readers:
            reader.join(timeout=5)
        self._readers = []
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None
        if self._cgroup:
            remove_cgroups(self.cgroup)

    @property
    def cgroup(self) -> str:
        """The control group of this boot as the machine sees it; "" without cgroup2."""
        return f"{self._cgroup}/{self.name}-{self.boot}" if self._cgroup else ""

    def freeze(self, *, frozen: bool) -> None:
        """Every process of the node stands still, or goes on: a machine that hangs. Needs cgroup2."""
        with self._lock:
            child = self._child
            if child is None:
                return
            # Who waits for the node's death must not stand still with it.
            for path, text in (("../cgroup.procs", f"{child.pid}"), ("cgroup.freeze", f"{int(frozen)}")):
                with open(f"{self.cgroup}/{path}", "w", encoding="ascii") as file:
                    file.write(text)

    def start_daemon(self) -> None:
        self._send("start")

    def kill_daemon(self) -> None:
        """SIGKILL to failoverd alone; the node and its resources live on."""
        self._send("kill")

    def run(self, argv: Sequence[str], timeout_ms: int = 30_000) -> CommandResult:
        """Run a command in the node, as an administrator logged in there would."""
        return run([*self.entry(), *argv], Deadline(timeout_ms))

    def entry(self) -> list[str]:
        """What to put before a command so that it runs in the node."""
        cgroup = ["-C"] if self._cgroup else []
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", *cgroup, "--"]

    # --- inside --------------------------------------------------------------------------------------

    def _send(self, line: str) -> None:
        child = self._child
        if child is not None and child.stdin is not None:
            child.stdin.write(line.encode() + b"\n")
            child.stdin.flush()

    def _read_orders(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None  # noqa: S101 - made with a pipe
        for line in child.stdout:
            self._told(json.loads(line))
        self._trouble = self._trouble or "its first process ended"
        self._ready.set()

    def _told(self, fields: dict[str, Any]) -> None:
        if "pid" in fields:
            self.pid = fields["pid"]
        if "ready" in fields and self._namespace is not None:
            disks = {number: group.disk for number, group in self._disks.items()}
            addresses = {group.address: group.cluster_address for group in self._disks.values()}
            self._watch = Watch(self.pid, self._namespace, disks, addresses, self._saw)
            self._ready.set()
        if "error" in fields:
            self._trouble = fields["error"]
        if "failoverd" in fields:
            self.daemon_pid = fields["failoverd"]
        if "exited" in fields:
            self.daemon_pid = 0
            status = fields["status"]
            how = f"killed by signal {-status}" if status < 0 else f"exited {status}"
            self._diary.note(self.name, Kind.POWER, f"failoverd {how}", level="warning")

    def _saw(self, thing: str, present: bool) -> None:
        entry = self._diary.note(self.name, Kind.SEEN, f"{thing} {'appears' if present else 'is gone'}")
        self.sightings.append(Sighting(entry.t_ms, self.name, self.boot, thing, present))

    def _read_log(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stderr is not None  # noqa: S101 - made with a pipe
        for raw in child.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if line:
                self.log.append(line)
                level, sentence = said(line)
                self._diary.note(self.name, Kind.SAYS, sentence, level=level)


_SAID = re.compile(r"\S+ failoverd (info|warning|alarm): (.*)")


def said(line: str) -> tuple[str, str]:
    """Level and sentence of a line of failoverd's log (``manager.logs``); other lines are alarming."""
    found = _SAID.fullmatch(line)
    return (found[1], found[2]) if found else ("warning", line)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
