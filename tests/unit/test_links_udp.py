"""UDP links over a veth pair; the peer is a process in a network namespace of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from failover_kit.manager import links
from failover_kit.manager.links import UdpLink, is_own_address

IP = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin") or "ip"
HERE, THERE = "198.51.100.1", "198.51.100.2"

# Tells when it is there, then sends back what comes in.
PEER = """
import socket, sys
print("namespace", flush=True)
sys.stdin.readline()
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 694))
print("bound", flush=True)
while True:
    data, source = s.recvfrom(2000)
    s.sendto(b"seen " + data, source)
"""


def ip(*words: str) -> None:
    subprocess.run([IP, *words], check=True, timeout=20, capture_output=True)


class Wire:
    """Our interface, and the peer's process at the other end of it."""

    def __init__(self) -> None:
        self.name = f"fkl{os.getpid() % 100000}"
        self.peer = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", PEER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.notes: list[str] = []

    def lay(self) -> None:
        self.expect("namespace")
        ip("link", "add", self.name, "type", "veth", "peer", "name", "hb0", "netns", str(self.peer.pid))
        ip("addr", "add", f"{HERE}/30", "dev", self.name)
        ip("link", "set", self.name, "up")
        enter = ["nsenter", "--net", "--target", str(self.peer.pid), IP]
        for words in (("addr", "add", f"{THERE}/30", "dev", "hb0"), ("link", "set", "hb0", "up")):
            subprocess.run([*enter, *words], check=True, timeout=20, capture_output=True)
        assert self.peer.stdin is not None
        self.peer.stdin.write("go\n")
        self.peer.stdin.flush()
        self.expect("bound")

    def expect(self, word: str) -> None:
        assert self.peer.stdout is not None
        assert self.peer.stdout.readline().strip() == word

    def remove(self) -> None:
        subprocess.run([IP, "link", "del", self.name], check=False, capture_output=True)
        self.peer.kill()
        self.peer.wait()
        for stream in (self.peer.stdin, self.peer.stdout):
            assert stream is not None
            stream.close()

    def link(self, *addresses: str) -> UdpLink:
        return UdpLink(self.name, addresses, 694, self.notes.append)


@pytest.fixture
def veth() -> Iterator[Wire]:
    made = Wire()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.root
def test_a_frame_goes_and_comes(veth: Wire) -> None:
    async def story() -> None:
        came: list[tuple[str, bytes, str]] = []
        # Both nodes' lines in one file, as the HOWTO has it: our own address is passed over.
        link = veth.link(HERE, THERE)
        link.start(lambda *what: came.append(what))
        link.send(b"beat")
        await until(lambda: came)
        assert came == [(veth.name, b"seen beat", THERE)]
        assert link.error == "" and veth.notes == []
        link.close()
        link.close()
        link.send(b"after the end")

    asyncio.run(story())


@pytest.mark.root
def test_a_link_without_network_says_why_and_recovers(veth: Wire) -> None:
    async def story() -> None:
        came: list[bytes] = []
        link = veth.link(THERE)
        link.start(lambda _link, frame, _source: came.append(frame))
        ip("link", "set", veth.name, "down")
        link.send(b"one")
        assert f"cannot send to {THERE}" in link.error
        ip("link", "set", veth.name, "up")

        def sent() -> bool:
            link.send(b"two")
            return bool(came)

        await until(sent)
        assert link.error == ""
        assert veth.notes[-1].endswith("works again")
        link.close()

    asyncio.run(story())


@pytest.mark.root
def test_an_interface_that_is_replaced_is_opened_again(veth: Wire) -> None:
    async def story() -> None:
        link = veth.link(THERE)
        link.start(lambda *what: None)
        before = link._index
        ip("link", "del", veth.name)
        link.send(b"one")
        assert "disappeared" in link.error
        assert link._socket is None and link._reopen is not None
        link._reopen.cancel()
        link._try_open()
        assert "there is no interface" in link.error
        ip("link", "add", veth.name, "type", "veth", "peer", "name", f"{veth.name}x")
        ip("addr", "add", f"{HERE}/30", "dev", veth.name)
        ip("link", "set", veth.name, "up")
        await until(lambda: link._socket is not None)
        assert link._index != before
        link.send(b"two")
        assert link.error == ""
        link.close()

    asyncio.run(story())


@pytest.mark.root
def test_a_port_in_use_is_named(veth: Wire) -> None:
    async def story() -> None:
        first, second = veth.link(THERE), veth.link(THERE)
        first.start(lambda *what: None)
        second.start(lambda *what: None)
        assert "UDP port 694" in second.error and "Heartbeat" in second.error
        first.close()
        await until(lambda: second._socket is not None)
        second.close()

    asyncio.run(story())


@pytest.mark.root
def test_only_own_addresses_are_an_error(veth: Wire) -> None:
    async def story() -> None:
        link = veth.link(HERE)
        link.start(lambda *what: None)
        link.send(b"beat")
        assert "name the peer's in ha.cf" in link.error
        link.close()

    asyncio.run(story())


def test_own_addresses_are_known() -> None:
    assert is_own_address("127.0.0.1")
    assert not is_own_address("203.0.113.77")


def test_a_missing_interface_is_waited_for() -> None:
    async def story() -> None:
        notes: list[str] = []
        link = UdpLink("fknone0", (THERE,), 694, notes.append)
        link.start(lambda *what: None)
        assert link.error == "there is no interface fknone0; waiting for it"
        assert link._pause_ms > links.REOPEN_FIRST_MS
        link._try_open()
        assert len(notes) == 1
        link.close()

    asyncio.run(story())
