"""Real echoes to the kernel of another network namespace, and what silences it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover_kit.manager import pinger as pinger_module
from failover_kit.manager import pinging
from failover_kit.manager.config import PingNode
from failover_kit.manager.events import PingsSeen
from failover_kit.manager.pinger import Pinger, Prober, place_of
from failover_kit.manager.pinging import Pace
from links_wire import THERE, THERE6, Wire, ip

PACE = Pace(interval_ms=40, deadping_ms=600, quiet_ms=200)
LIBRARY = Path(__file__).resolve().parents[2] / "lib"


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


def node(*members: str) -> PingNode:
    return PingNode(name=members[0], members=members)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def play(nodes: tuple[PingNode, ...], story, pace: Pace = PACE) -> list[PingsSeen]:  # type: ignore[no-untyped-def]
    """Run ``story(seen, pinger)``; everything the core would have been told."""
    seen: list[PingsSeen] = []

    async def run() -> None:
        pinger = Pinger(nodes, pace, seen.append, lambda sentence: pytest.fail(sentence))
        pinger.start()
        try:
            await story(seen, pinger)
        finally:
            pinger.close()
            pinger.close()

    asyncio.run(run())
    return seen


@pytest.mark.root
def test_the_kernel_at_the_other_end_answers_until_the_cable_is_cut(wire: Wire) -> None:
    nodes = (node(THERE), node(f"{THERE6}%{wire.name}"), node("198.51.100.77", THERE))
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this kernel has no IPv6")

    async def story(seen: list[PingsSeen], pinger: Pinger) -> None:
        await until(lambda: bool(seen) and seen[-1].reached == (True, True, True))
        assert not seen[-1].quiet and pinger.problem == ""
        ip("link", "set", wire.name, "down")  # then an echo cannot even leave
        await until(lambda: seen[-1].reached == (False, False, False))
        ip("link", "set", wire.name, "up")
        ip("addr", "replace", "fe80::43:1/64", "dev", wire.name, "nodad")
        await until(lambda: seen[-1] == PingsSeen((True, True, True)))

    # Far between, or a machine that is busy for half a second lets both pass at once.
    told = play(nodes, story, Pace(interval_ms=40, deadping_ms=4_000, quiet_ms=200))
    quiet = told.index(PingsSeen((True, True, True), quiet=True))  # sooner than deadping
    assert all(seen.reached != (False, False, False) for seen in told[:quiet])


@pytest.mark.root
def test_a_peer_that_gets_nothing_back_to_us_is_not_reached(wire: Wire) -> None:
    """One direction cut: our echoes arrive there, its answers do not."""

    async def story(seen: list[PingsSeen], pinger: Pinger) -> None:
        await until(lambda: bool(seen) and seen[-1].reached == (True,))
        wire.to_us(whole=False)
        await until(lambda: seen[-1].reached == (False,))
        wire.to_us(whole=True)
        await until(lambda: seen[-1].reached == (True,))

    play((node(THERE),), story)


@pytest.mark.root
def test_without_a_socket_nothing_is_known_and_status_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(version: int) -> Prober:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(pinger_module, "Prober", refused)
    notes: list[str] = []
    seen: list[PingsSeen] = []

    async def story() -> None:
        pinger = Pinger((node(THERE),), PACE, seen.append, notes.append)
        pinger.start()
        await asyncio.sleep(0)
        assert pinger.problem.startswith("IPv4 ping nodes cannot be asked: no socket for echoes")
        pinger._turn()
        pinger.close()

    asyncio.run(story())
    assert seen == [] and len(notes) == 1


ECHO_IN_A_NAMESPACE = """
import select, subprocess, sys
sys.path.insert(0, sys.argv[1])
from failover_kit.manager.pinger import Prober
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
with open("/proc/sys/net/ipv4/ping_group_range", "w") as range_of_groups:
    range_of_groups.write(sys.argv[2])
for version, address in ((4, "127.0.0.1"), (6, "::1")):
    prober = Prober(version)
    assert prober.send(address, 7, b"sixteen bytes ..") == ""
    assert prober.send("203.0.113.1" if version == 4 else "2001:db8::1", 8, b"") != ""
    while True:
        assert select.select([prober.socket], [], [], 10)[0], "no answer"
        source, answer = prober.receive()
        if answer is not None:
            break
    print(version, prober.raw, source, *answer)
"""


@pytest.mark.root
@pytest.mark.parametrize(("groups", "raw"), [("0 0", False), ("1 0", True)], ids=["ping socket", "raw socket"])
def test_both_kinds_of_sockets_get_answers(groups: str, raw: bool) -> None:
    """By net.ipv4.ping_group_range, which each namespace has for itself."""
    command = ["unshare", "--net", sys.executable, "-c", ECHO_IN_A_NAMESPACE, str(LIBRARY), groups]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"4 {raw} 127.0.0.1 7 b'sixteen bytes ..'", f"6 {raw} ::1 7 b'sixteen bytes ..'"
    ]  # fmt: skip


def test_a_zone_that_is_not_there_is_no_way_and_no_error_of_ours() -> None:
    assert place_of("192.0.2.1") == ("192.0.2.1", 0)
    assert place_of("2001:db8::1") == ("2001:db8::1", 0, 0, 0)
    with pytest.raises(OSError):
        place_of("fe80::1%nosuchcard")


class FloodedSocket:
    """A raw socket with longer packets in it than any answer to us."""

    def __init__(self, packet: bytes) -> None:
        self.packet = packet

    def recvfrom(self, size: int) -> tuple[bytes, tuple[str, int]]:
        return self.packet[:size], (THERE, 0)


def test_of_a_flood_of_long_packets_little_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forged replies, right in all but their length: their sum is not taken of 1500 bytes, 64 times a turn."""
    summed: list[int] = []
    real = pinging.checksum
    monkeypatch.setattr(pinging, "checksum", lambda data: summed.append(len(data)) or real(data))
    prober = object.__new__(Prober)
    prober.version, prober.raw, prober.identifier = 4, True, 7
    long = bytes([0, 0, 0, 0, 0, 7, 0, 1]) + bytes(1_400)
    prober.socket = FloodedSocket(bytes([0x45]) + bytes(19) + long)  # type: ignore[assignment]
    assert prober.receive() == (THERE, None)
    assert max(summed) < 100


class FullLoop:
    """epoll_ctl(2) has no room: fs.epoll.max_user_watches."""

    def add_reader(self, *args: object) -> None:
        raise OSError(28, "No space left on device")

    def remove_reader(self, *args: object) -> bool:
        return False

    def call_later(self, *args: object) -> asyncio.TimerHandle:
        return self.later

    def __init__(self, later: asyncio.TimerHandle) -> None:
        self.later = later


@pytest.mark.root
def test_a_socket_that_nobody_can_wait_for_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked and never read it would look as if no ping node answered; and the asking must go on."""
    notes: list[str] = []
    seen: list[PingsSeen] = []

    async def story() -> None:
        later = asyncio.get_running_loop().call_later(60, lambda: None)
        pinger = Pinger((node("127.0.0.1"),), PACE, seen.append, notes.append)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: FullLoop(later))
        pinger.start()
        assert "No space left on device" in pinger.problem and pinger._probers == {}
        pinger.close()
        monkeypatch.undo()

    asyncio.run(story())
    assert seen == [] and len(notes) == 1
