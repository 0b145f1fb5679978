"""A pair whose failoverd have agent servers: an address moves, whatever becomes of them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
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


@pytest.mark.release
def test_moves_in_a_storm_of_signals_to_both_servers(served: Pair) -> None:
    """The address is never on both nodes, whatever becomes of the servers in the middle of a move."""
    first, second = served.start()
    chance = random.Random(52)  # a storm that can be repeated
    over, both, struck = threading.Event(), [], []

    def strike() -> None:
        while not over.wait(chance.random() * 0.4):
            for pid in servers(chance.choice((first, second))):
                number = chance.choice((signal.SIGKILL, signal.SIGSTOP))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                    struck.append(number)

    def look() -> None:
        while not over.wait(0.02):
            # A move may lie between two looks at the same address; one that stays on both is what is looked for.
            if has_it(second) and has_it(first) and has_it(second):
                both.append(time.monotonic())

    threads = [threading.Thread(target=work) for work in (strike, look)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(ROUNDS):
            for node in (first, second):  # a new failoverd has a new server at once
                if not servers(node):
                    node.kill_daemon()
                    node.start()
            wait_until("at rest", lambda: sorted((first.group(), second.group())) == ["started", "stopped"], 180)
            wait_until("they know each other", lambda: first.peer() == second.peer() == "up", 180)
            verb = chance.choice(("standby", "takeover"))
            chance.choice((first, second)).moved(verb)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    wait_until("at rest", lambda: sorted((first.group(), second.group())) == ["started", "stopped"], 180)
    assert (has_it(first), has_it(second)) == (first.group() == "started", second.group() == "started")
    assert both == []
    assert len(struck) >= ROUNDS
    print(f"{len(struck)} signals, {first.log().count('agent server:') + second.log().count('agent server:')} said")


ROUNDS = 12
