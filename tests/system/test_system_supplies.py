"""A node with two supplies on the emulated switch: cut when both are off, proved by a drill, tested while live."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pair import Node, Pair, wait_until

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig

pytestmark = pytest.mark.root

PASSWORD = "open-sesame"
PORT = 2323
FIRST, SECOND = (1, 4), (2, 3)  # outlets of each node

# A node loses its power with its last supply: the other outlet's file tells.
SUPPLY = """[ "$3" = on ] && {{ rm -f {folder}/off-$2; exit 0; }}
touch {folder}/off-$2
[ -e {folder}/off-$1 ] && sh {folder}/cut-$4
exit 0
"""


def supplies(pair: Pair, outlets: tuple[int, int], plug: str) -> dict[int, OutletConfig]:
    script = str(pair.folder / "supply")
    found = {}
    for mine, other in (outlets, outlets[::-1]):
        command = ["/bin/sh", script, str(other), str(mine)]
        found[mine] = OutletConfig(
            name=f"n{plug}-{mine}", off_command=[*command, "off", plug], on_command=[*command, "on", plug]
        )
    return found


@contextmanager
def two_supplies(pair: Pair, *, second_plugs: tuple[int, int] = SECOND) -> Iterator[EmulatorProcess]:
    """``second_plugs``: what ha.cf says feeds the second node."""
    first, second = pair.nodes
    (pair.folder / "supply").write_text(SUPPLY.format(folder=pair.folder))
    subprocess.run(["ip", "-n", first.namespace, "link", "set", "lo", "up"], check=True)
    plugs = f"plug.{first.name}=1,4 plug.{second.name}={','.join(map(str, second_plugs))}"
    for node in pair.nodes:
        path = node.home / "ha.d" / "ha.cf"
        device = f"fence_device benjamin fence_wti_ips800 ip=10.77.0.1 ipport={PORT} password={PASSWORD}"
        text = re.sub(r"fence_device .*", f"{device} power_timeout=10 {plugs}", path.read_text())
        path.write_text(text.replace("op_timeout 5", "op_timeout 30\nfence_prove_timeout 60"))
    outlets = {**supplies(pair, FIRST, first.plug), **supplies(pair, SECOND, second.plug)}
    outlets |= {7: OutletConfig(name="lamp"), 8: OutletConfig(name="fan")}
    prefix = ["nsenter", f"--net=/run/netns/{first.namespace}"]
    with EmulatorProcess(
        str(pair.folder), outlets=outlets, password=PASSWORD, address="10.77.0.1", port=PORT, prefix=prefix
    ) as switch:
        yield switch


def states(switch: EmulatorProcess, outlets: tuple[int, ...] = SECOND) -> list[str]:
    return [switch.outlet_state(outlet) for outlet in outlets]


def proof(node: Node) -> str:
    return str(node.view()["proof"]["state"])


def test_a_node_is_cut_when_both_its_supplies_are_off_and_gets_both_back(pair: Pair) -> None:
    with two_supplies(pair) as switch:
        first, second = pair.start()
        assert first.moved("standby").returncode == 0
        wait_until("the group runs on the second node", lambda: second.group() == "started")

        switch.fault("stuck", 3)
        failed = first.ctl("fence", "--yes", second.name)
        assert failed.returncode == 1
        assert "benjamin plug 3" in failed.stderr
        assert second.group() == "started"  # it runs on by the other supply
        assert first.group() == "stopped"
        wait_until("the supply that was cut is given back", lambda: states(switch) == ["on", "on"])
        assert not any(words[3] == "cut" for words in pair.ledger())

        switch.clear()
        done = first.ctl("fence", "--yes", second.name)
        assert done.returncode == 0, done.stderr
        wait_until("the group was taken over", lambda: first.group() == "started")
        assert [words[1] for words in pair.ledger() if words[3] == "cut"] == [second.name]
        wait_until("both supplies are given back", lambda: states(switch) == ["on", "on"])
        assert states(switch, FIRST) == ["on", "on"]
        pair.prove_one_holder()


def test_a_drill_proves_both_supplies_and_the_service_runs_on(pair: Pair) -> None:
    with two_supplies(pair) as switch:
        first, second = pair.start()
        starts = pair.starts()
        assert proof(first) == "never"
        tested = first.ctl("fence", "--test")
        assert tested.returncode == 0, tested.stdout + tested.stderr
        assert tested.stdout.startswith("4 plugs were asked, nothing is wrong\n")
        assert "are different outlets" in tested.stdout
        assert not switch.events("switched")

        assert second.ctl("fence", "--prove", "--yes", first.name).returncode == 3
        answers: list[subprocess.CompletedProcess[str]] = []
        drill = threading.Thread(
            target=lambda: answers.append(first.ctl("fence", "--prove", "--yes", second.name))
        )
        drill.start()
        wait_until("it was cut", lambda: any(words[3] == "cut" for words in pair.ledger()))
        wait_until("power is given back", lambda: states(switch) == ["on", "on"])
        second.start()
        drill.join()
        assert answers[0].returncode == 0, answers[0].stderr
        assert len(switch.events("switched")) == 4  # both off, both on
        assert proof(first) == "proved"
        assert re.search(r"proof  proved, .* ago: this node has proved that it can cut", first.ctl("status").stdout)
        assert pair.starts() == starts

        def replayed() -> subprocess.CompletedProcess[str]:
            return first.ctl("replay", str(first.home / "var" / "journal"))

        outcome = "is proved: all its plugs read OFF, its beats stopped"
        wait_until("the journal has it", lambda: outcome in replayed().stdout)  # written once a second
        first.kill_daemon()
        first.start()
        wait_until("it was adopted", lambda: first.group() == "started")
        assert proof(first) == "proved"  # it is on the disk
        assert replayed().returncode == 0
        pair.prove_one_holder()


def test_a_drill_with_the_plugs_of_something_else_is_found_out(pair: Pair) -> None:
    with two_supplies(pair, second_plugs=(7, 8)) as switch:
        first, second = pair.start()
        failed = first.ctl("fence", "--prove", "--yes", second.name)
        assert failed.returncode == 1
        assert "its beats go on although all its plugs read OFF" in failed.stderr
        assert proof(first) == "failed"
        assert second.peer() == "up"
        wait_until("the lamp has its power back", lambda: states(switch, (7, 8)) == ["on", "on"])
        assert not any(words[3] == "cut" for words in pair.ledger())
