"""Real Heartbeat 3 fences through our ``external/`` plugin: two nodes in namespaces, the emulated switch.

Heartbeat loads cluster-glue's ``external`` plugin into itself, which runs ours. What is shown: the line of ha.cf is
understood, a dead node's plugs are switched off and on before the survivor takes its resource, and with a
plug that does not switch the survivor takes nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from stonith.commands import PLUGINS, ROOT
from stonith.switches import PASSWORD, must

HEARTBEAT = "/usr/libexec/heartbeat/heartbeat"
SWITCH = "10.99.77.9"
ADDRESSES = {"pete": "10.99.77.1", "mclaws": "10.99.77.2"}
# Heartbeat's own start takes 11 s before it holds a resource (measured); the rest is room.
PATIENCE_S = 180
PLUGIN = "failover-kit-wti-file"
OURS = f"external/{PLUGIN} {SWITCH} {{folder}}/secret"
THEIRS = f"wti_nps {SWITCH} {PASSWORD}"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces"),
    pytest.mark.skipif(not Path(HEARTBEAT).exists(), reason="needs the package heartbeat"),
]

# A machine that stands still must not look dead. initdead ends when both nodes are there: nothing waits for it.
HA_CF = """logfile {folder}/{name}.log
keepalive 200ms
warntime 2
deadtime 5
initdead 60
udpport 694
ucast eth0 {peer}
auto_failback off
node pete
node mclaws
crm no
stonith_host * {device}
"""

# What /etc/ha.d/resource.d/Lab does: a resource that is a file, and a diary outside of both nodes.
RESOURCE = """#!/bin/sh
here={folder}/$(uname -n).running
case $1 in
start) echo "$(uname -n) start" >>{folder}/diary; touch $here;;
stop) echo "$(uname -n) stop" >>{folder}/diary; rm -f $here;;
status) if [ -e $here ]; then echo running; else echo stopped; fi;;
esac
exit 0
"""

NODE = """set -e
hostname "$1"
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd
chown -R hacluster:haclient /run/heartbeat
mkdir -m 1755 /run/resource-agents
mount --bind "$2/lib" /var/lib/heartbeat
mount --bind "$2/ha.d" /etc/ha.d
mount --bind "$3" /usr/lib/stonith/plugins/external
echo ready
while :; do sleep 1 & wait; done
"""


class Node:
    """One node: its namespaces, alive as long as their first process."""

    def __init__(self, name: str, namespace: str, folder: Path, device: str) -> None:
        self.name = name
        place = folder / name
        (place / "lib").mkdir(parents=True)
        no_fifo = shutil.ignore_patterns("fifo")
        shutil.copytree("/var/lib/heartbeat", place / "lib", dirs_exist_ok=True, ignore=no_fifo)
        for path in [place / "lib", *(place / "lib").rglob("*")]:
            shutil.chown(path, "hacluster", "haclient")
        shutil.copytree("/etc/ha.d", place / "ha.d", symlinks=True)
        peer = ADDRESSES["mclaws" if name == "pete" else "pete"]
        config = HA_CF.format(folder=folder, name=name, peer=peer, device=device)
        (place / "ha.d" / "ha.cf").write_text(config)
        (place / "ha.d" / "haresources").write_text("pete Lab\n")
        (place / "ha.d" / "authkeys").write_text("auth 1\n1 sha1 laboratory\n")
        (place / "ha.d" / "authkeys").chmod(0o600)
        script = place / "ha.d" / "resource.d" / "Lab"
        script.write_text(RESOURCE.format(folder=folder))
        script.chmod(0o755)
        words = ["ip", "netns", "exec", namespace, "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"]
        words += ["--kill-child=KILL", "--mount-proc", "--propagation", "private"]
        self._child = subprocess.Popen(
            [*words, "sh", "-c", NODE, "sh", name, str(place), str(folder / "external")],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{self._child.pid}/task/{self._child.pid}/children").read_text().split()
        self._first = int(children[0])

    def start(self) -> None:
        must(["nsenter", "-t", str(self._first), "-n", "-m", "-u", "-i", "-p", "--", HEARTBEAT])

    def die(self) -> None:
        """Every process of the node at once, as when its power goes."""
        os.kill(self._first, signal.SIGKILL)
        self._child.wait(PATIENCE_S)

    def remove(self) -> None:
        if self._child.poll() is None:
            self.die()
        if self._child.stdout is not None:
            self._child.stdout.close()


class Pair:
    """Both nodes, the switch on the same wire, and what has happened."""

    def __init__(self, folder: Path, nodes: dict[str, Node], switch: EmulatorProcess) -> None:
        self.folder = folder
        self.nodes = nodes
        self.switch = switch

    def diary(self) -> list[str]:
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}\n{self.log('mclaws')[-6000:]}"
            time.sleep(0.1)


@pytest.fixture
def pair(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    tmp_path.chmod(0o755)
    names = {name: f"fk-hb-{os.getpid()}-{name}" for name in ("wire", *ADDRESSES)}
    external = tmp_path / "external"
    external.mkdir()
    for plugin in PLUGINS.iterdir():
        (external / plugin.name).write_bytes(plugin.read_bytes())
        (external / plugin.name).chmod(0o755)
    (external / PLUGIN).symlink_to(ROOT / "stonith" / "external" / PLUGIN)
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    (tmp_path / "secret").chmod(0o600)
    device = getattr(request, "param", OURS).format(folder=tmp_path)
    nodes: dict[str, Node] = {}
    made = []
    try:
        for name in names.values():
            must(["ip", "netns", "add", name])
            made.append(name)
            must(["ip", "-n", name, "link", "set", "lo", "up"])
        _wire(names)
        emulator = EmulatorProcess(
            str(tmp_path),
            outlets={1: OutletConfig("pete", delay_ms=50), 2: OutletConfig("mclaws", delay_ms=50)},
            password=PASSWORD,
            address=SWITCH,
            port=23,
            prefix=["ip", "netns", "exec", names["wire"]],
        )
        with emulator:
            for name in ADDRESSES:
                nodes[name] = Node(name, names[name], tmp_path, device)
            pair = Pair(tmp_path, nodes, emulator)
            for node in nodes.values():
                node.start()
            pair.wait_until(lambda: "pete start" in pair.diary(), "pete holds its resource")
            pair.wait_until(lambda: "remote resource transition completed" in pair.log("mclaws"), "stable")
            yield pair
    finally:
        for node in nodes.values():
            node.remove()
        for name in made:
            must(["ip", "netns", "delete", name])


def _wire(names: dict[str, str]) -> None:
    """A bridge in a namespace of its own, with the switch's address, and a cable to each node."""
    wire = names["wire"]
    must(["ip", "-n", wire, "link", "add", "br0", "type", "bridge"])
    must(["ip", "-n", wire, "address", "add", f"{SWITCH}/24", "dev", "br0"])
    must(["ip", "-n", wire, "link", "set", "br0", "up"])
    for name, address in ADDRESSES.items():
        inside = names[name]
        must(["ip", "-n", wire, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", inside])
        must(["ip", "-n", wire, "link", "set", name, "master", "br0", "up"])
        must(["ip", "-n", inside, "address", "add", f"{address}/24", "dev", "eth0"])
        must(["ip", "-n", inside, "link", "set", "eth0", "up"])


def test_a_dead_node_is_reset_through_our_plugin_and_then_taken_over(pair: Pair) -> None:
    pair.nodes["pete"].die()
    pair.wait_until(lambda: "mclaws start" in pair.diary(), "mclaws has taken over")
    moves = [(event["outlet"], event["to"]) for event in pair.switch.events("switched")]
    assert moves == [(1, "off"), (1, "on")]
    assert pair.diary() == ["pete start", "mclaws start"]
    assert "Resetting node pete with [" in pair.log("mclaws")
    assert "node pete now reset" in pair.log("mclaws")
    assert PASSWORD not in pair.log("mclaws")


def test_a_plug_that_does_not_switch_means_no_takeover(pair: Pair) -> None:
    pair.switch.fault("stuck", 1)
    pair.nodes["pete"].die()
    pair.wait_until(lambda: pair.log("mclaws").count("Resetting node pete with [") >= 2, "the second attempt")
    assert "mclaws start" not in pair.diary()
    assert "node pete now reset" not in pair.log("mclaws")
    # The relay is mended: the next attempt fences, and only then the resource moves.
    pair.switch.clear()
    pair.wait_until(lambda: "mclaws start" in pair.diary(), "mclaws has taken over")
    assert (1, "off") in [(event["outlet"], event["to"]) for event in pair.switch.events("switched")]


@pytest.mark.parametrize("pair", [THEIRS], indirect=True)
def test_with_cluster_glue_s_wti_nps_the_same_plug_means_a_takeover(pair: Pair) -> None:
    """Why there is a plugin of ours: Heartbeat is told that the node was reset, while it still has power."""
    pair.switch.fault("stuck", 1)
    pair.nodes["pete"].die()
    pair.wait_until(lambda: "mclaws start" in pair.diary(), "mclaws has taken over")
    assert pair.switch.outlet_state(1) == "on"
    assert pair.switch.events("switched") == []
