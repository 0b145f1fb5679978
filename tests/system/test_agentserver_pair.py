"""A pair whose failoverd have agent servers: an address moves, whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pair import Node, Pair, wait_until

from failover_kit.manager.actionspace import AGENTS

pytestmark = pytest.mark.root
ADDRESS = "10.77.9.9"


@pytest.fixture
def served(folder: Path, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """With an address of our own agent as the group. More deadtime than a stopped server is waited for."""
    extra = getattr(request, "param", ())
    # No recurring monitors: one that a signal hits counts as failed, and the group would be restarted meanwhile.
    resource = f"ocf:failover-kit:IPaddr::ip={ADDRESS}::cidr_netmask=24::nic=eth1::op_monitor_interval=0"
    made = Pair(folder, extra=extra, resources=f"pete{os.getpid()} {resource}", deadtime_s=15)
    yield made
    print(made.logs())
    made.close()


def servers(node: Node) -> list[int]:
    return [
        int(word)
        for path in (node.cgroup / AGENTS).glob("op-*/cgroup.procs")
        for word in path.read_text().split()
    ]


def has_it(node: Node) -> bool:
    command = ["ip", "-n", node.namespace, "-o", "address", "show", "dev", "eth1"]
    return f" {ADDRESS}/" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_address_moves_while_servers_are_killed_and_stopped(served: Pair) -> None:
    first, second = served.start()
    for node in (first, second):
        wait_until("a server stands by", lambda node=node: len(servers(node)) == 1)
    assert (has_it(first), has_it(second)) == (True, False)

    assert first.moved("standby").returncode == 0
    assert (has_it(first), has_it(second)) == (False, True)

    # Killed at rest: agents are executed instead.
    for node in (first, second):
        os.kill(servers(node)[0], signal.SIGKILL)
        wait_until("it is said", lambda node=node: "agent server: it ended (killed by signal 9)" in node.log())
    assert first.moved("takeover").returncode == 0
    assert (has_it(first), has_it(second)) == (True, False)
    assert served.switch_log() == []

    assert first.leave() == 0
    wait_until("the other node took over", lambda: has_it(second))
    assert not has_it(first)
    wait_until("nothing of it runs", lambda: first.processes() == [])


@pytest.mark.release
def test_servers_that_stand_still_hold_nothing_up(served: Pair) -> None:
    first, second = served.start()
    for node in (first, second):
        wait_until("a server stands by", lambda node=node: len(servers(node)) == 1)
        os.kill(servers(node)[0], signal.SIGSTOP)
    assert first.moved("standby").returncode == 0
    assert (has_it(first), has_it(second)) == (False, True)
    wait_until("the server that hung is ended", lambda: "killed by signal 9" in second.log())
    assert served.switch_log() == []


def test_a_server_ends_with_its_failoverd_and_the_next_one_has_its_own(served: Pair) -> None:
    first, _ = served.start()
    wait_until("a server stands by", lambda: len(servers(first)) == 1)
    (before,) = servers(first)
    os.kill(before, signal.SIGSTOP)  # it cannot see the end of its socket
    first.kill_daemon()
    first.start()
    wait_until("it was adopted", lambda: first.group() == "started")
    wait_until("a new server stands by", lambda: servers(first) not in ([], [before]))
    assert before not in servers(first)
    assert has_it(first)


@pytest.mark.parametrize("served", [("agent_server no",)], indirect=True)
def test_without_it_there_is_none(served: Pair) -> None:
    first, second = served.start()
    assert first.moved("standby").returncode == 0
    assert (has_it(first), has_it(second)) == (False, True)
    assert servers(first) == servers(second) == []
    assert not (first.cgroup / AGENTS).exists()
