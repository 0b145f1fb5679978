"""A bench for what drives fence agents: a fence agent whose outlets are files, and a stonith command like it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from failover_kit.manager import actionspace, hacf
from failover_kit.manager.actionspace import CgroupSpace, cgroup2_mount
from failover_kit.manager.callers import Search
from failover_kit.manager.children import Calls, Freshness
from failover_kit.manager.config import ClusterConfig
from failover_kit.manager.fencedevices import find_agents
from failover_kit.manager.fencetest import PlugTester, TestOutcome
from failover_kit.manager.fencing import Fencer, SwitchLine
from failover_kit.manager.records import FenceEvidence
from failover_kit.spec.deadline import boottime_ms

# Every outlet is a file. Files beside it say what goes wrong.
AGENT = """#!/bin/sh
while IFS= read -r line; do case $line in
  action=*) action=${line#*=};; plug=*) plug=${line#*=};; password=*) password=${line#*=};; ip=*) ip=${line#*=};;
esac; done
cd "$(dirname "$0")"
[ $# = 0 ] || { echo "arguments: $*" >> calls; exit 1; }
echo "$ip $action $plug" >> calls
[ -e "$ip-hang-$action" ] && sleep 300
[ -e "$ip-fail-$action" ] && { echo "login with $password refused" >&2; exit 1; }
case $action in
off) [ -e "$ip-stuck" ] || [ -e "$ip-stuck-$plug" ] || echo off > "$ip.$plug" ;;
on) echo on > "$ip.$plug" ;;
list) [ -e "$ip-names" ] || exit 1; cat "$ip-names" ;;
status) [ -e "$ip-none-$plug" ] && { echo "Failed: plug is not available" >&2; exit 1; }
  [ -e "$ip-usage-status" ] && { echo "usage: fence_x [-h]" >&2; exit 2; }
  [ -e "$ip.$plug" ] && [ "$(cat "$ip.$plug")" = off ] && { echo "Status: OFF"; exit 2; }
  echo "Status: ON" ;;
esac
exit 0
"""

ONE = "fence_device sw fence_x ip=sw password=sesam plug.pete=1 plug.mclaws=2\n"
TWO_SUPPLIES = (
    "fence_device a fence_x ip=a password=sesam plug.pete=1 plug.mclaws=2\n"
    "fence_device b fence_x ip=b password=sesam plug.pete=1 plug.mclaws=2\n"
    "fence_level pete 1 a b\nfence_level mclaws 1 a b\n"
)
TWO_LEVELS = TWO_SUPPLIES.replace("fence_level pete 1 a b\nfence_level mclaws 1 a b\n", (
    "fence_level pete 1 a\nfence_level pete 2 b\nfence_level mclaws 1 a\nfence_level mclaws 2 b\n"
))


def config_of(devices: str) -> ClusterConfig:
    parsed = hacf.parse("node pete mclaws\nucast eth1 10.0.0.1\nop_timeout 20\n" + devices)
    assert parsed.value is not None, parsed.problems
    return parsed.value


# cluster-glue's command line: parameters from the environment, nothing to tell a plug's state.
STONITH = """#!/bin/sh
cd "$(dirname "$0")"
echo "$* hostname=$hostname passwd=${passwd:+set}" >> calls
case "$*" in *sesam*) exit 70 ;; esac
[ -e stonith-fails ] && { echo "ERROR: $2 device not accessible ($passwd)." >&2; exit 1; }
exit 0
"""


class Bench:
    """Fences mclaws."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node = f"fencetest-{os.getpid()}"
        self.mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        self.space = CgroupSpace(self.node, (self.mount,))
        self.calls = Calls()
        self.line = SwitchLine()
        for name, text in (("fence_x", AGENT), ("stonith", STONITH)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.search = Search(ocf_own=(), fence=(str(folder),), stonith=(str(folder / "stonith"),))

    def fencer(self, devices: str, timeout_ms: int = 20_000) -> Fencer:
        config = config_of(devices)
        programs, problems = find_agents(config, "mclaws", self.search)
        assert problems == ()
        fencer = Fencer(config, "mclaws", programs, self.space, self.calls, line=self.line)
        fencer._timeout_ms = timeout_ms
        return fencer

    def fence(self, devices: str, *, only_if_off: bool = False, timeout_ms: int = 20_000) -> FenceEvidence:
        fencer = self.fencer(devices, timeout_ms)
        fresh = Freshness(boottime_ms(), 60_000)
        return asyncio.run(fencer.fence(3, fresh, only_if_off=only_if_off)).evidence

    def tester(self, devices: str, *running: str) -> PlugTester:
        """Reads the plugs of both nodes; ``running`` are the nodes known to run."""
        config = config_of(devices)
        programs = {**find_agents(config, "pete", self.search)[0], **find_agents(config, "mclaws", self.search)[0]}
        runs = running.__contains__
        return PlugTester(config, programs, self.space, self.calls, line=self.line, runs=runs)

    def test(self, devices: str, *running: str, node: str = "") -> TestOutcome:
        return asyncio.run(self.tester(devices, *running).test(node))

    def wrong(self, what: str) -> None:
        (self.folder / what).touch()

    def outlet(self, name: str, state: str) -> None:
        (self.folder / name).write_text(f"{state}\n")

    def log(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def close(self) -> None:
        asyncio.run(self.space.clear(actionspace.FENCING))
        top = Path(self.mount) / actionspace.BRANCH / self.node
        for folder, _, _ in sorted(os.walk(top), reverse=True):
            Path(folder).rmdir()
        # The directory above is every node's, another worker's too: tests/conftest.py removes it in the end.
