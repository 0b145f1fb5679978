"""Two real failoverd on one machine: a network namespace each, a cable between them, a pty pair as serial line.

Nothing here is part of failover-kit. Resources and the fence agent are small scripts of this file that write a
ledger; the ledger, not the daemons' word, tells who ran what and when.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import threading
import time
import tty
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from failover_kit.manager.client import STATUS_TIMEOUT_MS

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 120.0  # the machine may be busy; a test that works ends long before

AGENT = """#!/bin/sh
here={folder}/$OCF_RESKEY_CRM_meta_on_node
pidfile=$here/volatile/$OCF_RESKEY_name.pid
now() {{ cut -d' ' -f1 /proc/uptime; }}
note() {{ echo "$(now) $OCF_RESKEY_CRM_meta_on_node $OCF_RESKEY_name $1" >> {folder}/ledger; }}
[ -e "$here/hang-$1-$OCF_RESKEY_name" ] && {{ note "hang-$1"; setsid sleep 600 & sleep 600; }}
[ -e "$here/fail-$1-$OCF_RESKEY_name" ] && {{ echo "ocf-exit-reason:told to fail" >&2; exit 1; }}
case $1 in
start) [ -e "$pidfile" ] && exit 0
  note start; setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! > "$pidfile" ;;
stop) [ -e "$pidfile" ] && {{ kill "$(cat "$pidfile")"; rm "$pidfile"; note stopped; }} ;;
monitor) [ -e "$pidfile" ] || exit 7 ;;
esac
exit 0
"""

# Plug 1 feeds the first node, plug 2 the second. Switching one off is what a power cut does to a node.
FENCE_AGENT = """#!/bin/sh
while IFS= read -r line; do case $line in action=*) action=${{line#*=}};; plug=*) plug=${{line#*=}};; esac; done
echo "$action $plug" >> {folder}/switch-log
[ -e {folder}/switch-broken ] && {{ echo "Unable to connect/login to fencing device" >&2; exit 1; }}
case $action in
off) [ -e {folder}/plug-$plug-stuck ] || {{ echo off > {folder}/plug-$plug; sh {folder}/cut-$plug; }} ;;
on) echo on > {folder}/plug-$plug ;;
status) [ "$(cat {folder}/plug-$plug 2>/dev/null)" = off ] && {{ echo 'Status: OFF'; exit 2; }}
  echo 'Status: ON' ;;
esac
exit 0
"""

# The order matters: the ledger's "cut" must not come before the last thing the node could do.
CUT = """kill -KILL $(cat {home}/pid) 2>/dev/null
echo 1 > {cgroup}/cgroup.kill
rm -f {home}/volatile/* {home}/pid
cat /proc/sys/kernel/random/uuid > {home}/boot_id
echo "$(cut -d' ' -f1 /proc/uptime) {name} - cut" >> {folder}/ledger
"""


def cgroup_mount() -> Path:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            if " - cgroup2 " in line:
                return Path(line.split()[4])
    raise AssertionError("no cgroup2")


def wait_until(what: str, true: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end, f"not within {patience_s:g} s: {what}"
        time.sleep(0.05)


class Cable:
    """A null-modem cable between two ptys. It can be pulled, it remembers, and it can be tapped."""

    def __init__(self) -> None:
        self.pulled = False
        self.deaf: int | None = None  # the side whose receiving wire is broken
        self.passed: list[bytes] = []  # what the first side said
        pairs = [os.openpty() for _ in range(2)]
        self.masters = [pair[0] for pair in pairs]
        self.slaves = [pair[1] for pair in pairs]  # held open, so that the line lives on without a daemon
        for fd in self.slaves:
            tty.setraw(fd)
        self.devices = [os.ttyname(fd) for fd in self.slaves]
        self._wake = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([*self.masters, self._wake[0]], [], [])
            if self._wake[0] in ready:
                return
            for fd in ready:
                data = os.read(fd, 4096)
                if fd == self.masters[0]:
                    self.passed.append(data)
                to = 1 - self.masters.index(fd)
                if not self.pulled and to != self.deaf:
                    self.inject(to, data)

    def inject(self, side: int, data: bytes) -> None:
        """Make ``side`` (0, 1) receive these bytes."""
        with contextlib.suppress(BlockingIOError):
            os.set_blocking(self.masters[side], False)
            os.write(self.masters[side], data)

    def close(self) -> None:
        os.write(self._wake[1], b"x")
        self._thread.join()
        for fd in (*self.masters, *self.slaves, *self._wake):
            os.close(fd)


class Node:
    """One of the two: its files, its namespace, its daemon."""

    def __init__(self, pair: Pair, number: int, name: str) -> None:
        self.pair = pair
        self.name = name
        self.plug = str(number + 1)
        self.home = pair.folder / name
        self.namespace = f"fksys-{os.getpid()}-{number}"
        self.cgroup = cgroup_mount() / "failover-kit" / name
        self.daemon: subprocess.Popen[bytes] | None = None
        self.tree = REPOSITORY  # where its failover-kit is installed: two nodes may have two versions
        self.log_path = self.home / "log"
        for folder in ("ha.d", "volatile", "var", "run"):
            (self.home / folder).mkdir(parents=True)
        (self.home / "boot_id").write_text(f"{uuid.uuid4()}\n")
        (pair.folder / f"cut-{self.plug}").write_text(
            CUT.format(home=self.home, cgroup=self.cgroup, name=name, folder=pair.folder)
        )

    def command(self, *extra: str) -> list[str]:
        return [
            "nsenter", f"--net=/run/netns/{self.namespace}", str(self.tree / "bin" / "failoverd"),
            "--node", self.name, "--config-dir", str(self.home / "ha.d"), "--state-dir", str(self.home / "var"),
            "--run-dir", str(self.home / "run"), "--boot-id-file", str(self.home / "boot_id"), *extra,
        ]

    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "OCF_ROOT": str(self.pair.folder / "ocf")}

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            # A process group of its own: Ctrl-C in the terminal is for pytest alone.
            self.daemon = subprocess.Popen(
                self.command(), env=self.environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        (self.home / "pid").write_text(str(self.daemon.pid))

    def kill_daemon(self) -> None:
        """SIGKILL to failoverd alone: its resources run on."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()

    def leave(self, patience_s: float = PATIENCE_S) -> int:
        """SIGTERM, and the exit code."""
        assert self.daemon is not None
        self.daemon.terminate()
        return self.daemon.wait(patience_s)

    def power_cut(self) -> None:
        subprocess.run(["/bin/sh", self.pair.folder / f"cut-{self.plug}"], check=True)
        if self.daemon is not None:
            self.daemon.wait()

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        place = str(self.home / "run" / "control.sock")
        command = [str(self.tree / "bin" / "failoverctl"), "--socket", place, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S * 3)

    def moved(self, verb: str) -> subprocess.CompletedProcess[str]:
        """A planned move. A node that was held up refuses until it has fresh facts, and is asked again."""
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.ctl(verb)
            if answer.returncode == 0 or "paused" not in answer.stdout + answer.stderr or time.monotonic() > end:
                return answer
            time.sleep(0.2)

    def view(self) -> dict[str, Any]:
        """The core's view, or {} while no daemon answers.

        What ``failoverctl status --json`` prints, without a process for it: tests ask some twenty times a second.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(STATUS_TIMEOUT_MS / 1000)
            try:
                connection.connect(str(self.home / "run" / "control.sock"))
                connection.sendall(b'{"verb":"status"}\n')
                with connection.makefile("rb") as answer:
                    view: dict[str, Any] = json.loads(answer.readline())["status"]["view"]
            except (OSError, ValueError, KeyError):
                return {}
        return view

    def group(self) -> str:
        """State of the first group, "" while no daemon answers."""
        view = self.view()
        return str(view["groups"][0]["state"]) if view else ""

    def peer(self) -> str:
        return str(self.view().get("peer_state", ""))

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def processes(self) -> list[int]:
        pids: list[int] = []
        for folder, _, files in os.walk(self.cgroup):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):  # its last process has ended meanwhile
                    pids += [int(word) for word in Path(folder, "cgroup.procs").read_text().split()]
        return pids

    def resources(self) -> list[int]:
        """The processes of the resources that live; a monitor may run beside them."""
        pids = [int(path.read_text()) for path in sorted((self.home / "volatile").glob("*.pid"))]
        return [pid for pid in pids if pid in self.processes()]

    def file(self, name: str) -> Path:
        path = self.home / name
        path.touch()
        return path

    def close(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        if self.cgroup.exists():
            (self.cgroup / "cgroup.kill").write_text("1")
            wait_until("the node's processes are gone", lambda: not self.processes())
            for folder, _, _ in sorted(os.walk(self.cgroup), reverse=True):
                Path(folder).rmdir()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


class Pair:
    """The site: two nodes, one group of two resources at home on the first, a power switch."""

    def __init__(
        self, folder: Path, *, extra: Sequence[str] = (), resources: str = "", deadtime_s: int = 3
    ) -> None:
        """``deadtime_s``: above what the machine may hold a daemon up; a start of one may take longer."""
        self.deadtime_s = deadtime_s
        # Unix socket paths have room for 107 bytes, and pytest's folders are long.
        self.folder = folder
        names = [f"pete{os.getpid()}", f"mclaws{os.getpid()}"]
        (folder / "ledger").touch()
        agents = folder / "ocf" / "resource.d" / "test"
        agents.mkdir(parents=True)
        self._program(agents / "Dummy", AGENT)
        self._program(folder / "fence_test", FENCE_AGENT)
        self.nodes: list[Node] = []
        self.cable = Cable()
        try:
            self.nodes = [Node(self, number, name) for number, name in enumerate(names)]
            self._network()
            self._configure(extra, resources)
        except BaseException:
            self.close()
            raise

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text.format(folder=self.folder))
        path.chmod(0o755)

    def _network(self) -> None:
        first, second = (node.namespace for node in self.nodes)
        for words in (
            ["netns", "add", first],
            ["netns", "add", second],
            ["link", "add", "eth1", "netns", first, "type", "veth", "peer", "name", "eth1", "netns", second],
            ["-n", first, "address", "add", "10.77.0.1/24", "dev", "eth1"],
            ["-n", second, "address", "add", "10.77.0.2/24", "dev", "eth1"],
            ["-n", first, "link", "set", "eth1", "up"],
            ["-n", second, "link", "set", "eth1", "up"],
        ):
            subprocess.run(["ip", *words], check=True, capture_output=True)

    def _configure(self, extra: Sequence[str], resources: str) -> None:
        first, second = (node.name for node in self.nodes)
        for node, device in zip(self.nodes, self.cable.devices, strict=True):
            lines = [
                f"node {first} {second}",
                "keepalive 200ms", "warntime 1", f"deadtime {self.deadtime_s}", f"initdead {2 * self.deadtime_s}",
                "udpport 6944",
                "baud 115200", f"serial {device}", "ucast eth1 10.77.0.1", "ucast eth1 10.77.0.2",
                "auto_failback off", "op_timeout 5", "monitor_interval 1",
                f"fence_device switch {self.folder}/fence_test ip=192.0.2.1 password=open-sesame "
                f"plug.{first}=1 plug.{second}=2",
                *extra,
            ]
            (node.home / "ha.d" / "ha.cf").write_text("\n".join(lines) + "\n")
            (node.home / "ha.d" / "ha.cf").chmod(0o600)
            default = f"{first} ocf:test:Dummy::name=one ocf:test:Dummy::name=two"
            (node.home / "ha.d" / "haresources").write_text((resources or default) + "\n")
            (node.home / "ha.d" / "authkeys").write_text("auth 1\n1 sha1 a-key-of-some-length-9f3c\n")
            (node.home / "ha.d" / "authkeys").chmod(0o600)

    def start(self) -> tuple[Node, Node]:
        """Both daemons, until the group runs at home."""
        first, second = self.nodes
        first.start()
        second.start()
        wait_until("the group runs at home", lambda: first.group() == "started")
        wait_until("the other node knows", lambda: second.peer() == "up")
        return first, second

    def pull_network(self, *, pulled: bool = True) -> None:
        state = "down" if pulled else "up"
        subprocess.run(["ip", "-n", self.nodes[0].namespace, "link", "set", "eth1", state], check=True)

    def ledger(self) -> list[list[str]]:
        return [line.split() for line in (self.folder / "ledger").read_text().splitlines()]

    def starts(self) -> list[tuple[str, str]]:
        return [(words[1], words[2]) for words in self.ledger() if words[3] == "start"]

    def switch_log(self) -> list[str]:
        path = self.folder / "switch-log"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def prove_one_holder(self) -> None:
        """From the ledger: no resource was started on one node while the other had it."""
        holders: dict[str, set[str]] = {}
        for _, node, resource, what in self.ledger():
            if what == "start":
                others = holders.setdefault(resource, set()) - {node}
                assert not others, f"{resource} started on {node} while {others} had it"
                holders[resource].add(node)
            elif what == "stopped":
                holders.setdefault(resource, set()).discard(node)
            elif what == "cut":
                for held in holders.values():
                    held.discard(node)

    def logs(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.log()}" for node in self.nodes)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.cable.close()
        shutil.rmtree(self.folder, ignore_errors=True)


