"""Network links over a cable to a network namespace: each medium of ha.cf, and what may happen to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from failover_kit.manager import links_base
from failover_kit.manager.links_udp import BcastLink, McastLink, UcastLink, UdpLink, is_own_address
from links_wire import GROUP, GROUP6, HERE, HERE6, MEDIA, PORT, THERE, THERE6, Wire, ip


def link_of(wire: Wire, medium: str) -> UdpLink:
    name, note = wire.name, wire.notes.append
    made: dict[str, Callable[[], UdpLink]] = {
        # Both nodes' lines in one file, as the HOWTO has it: our own address is passed over.
        "ucast": lambda: UcastLink(name, name, (HERE, THERE), PORT, note),
        "ucast6": lambda: UcastLink(name, name, (HERE6, THERE6), PORT, note, ipv6=True),
        "bcast": lambda: BcastLink(name, name, PORT, note),
        "mcast": lambda: McastLink(name, name, GROUP, PORT, 1, note),
        "mcast6": lambda: McastLink(name, name, GROUP6, PORT, 1, note, ipv6=True),
    }
    return made[medium]()


@pytest.fixture
def veth() -> Iterator[Wire]:
    made = Wire()
    try:
        made.lay()
        yield made
    finally:
        made.remove()


@pytest.fixture(params=MEDIA)
def medium(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    if chosen.endswith("6") and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this kernel has no IPv6")
    return chosen


@pytest.fixture
def wire(medium: str) -> Iterator[Wire]:
    made = Wire(medium)
    try:
        made.lay()
        yield made
    finally:
        made.remove()


def ucast(wire: Wire, *addresses: str) -> UcastLink:
    return UcastLink(wire.name, wire.name, addresses, PORT, wire.notes.append)


async def until(condition) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def exchange(link: UdpLink, came: list[bytes], text: bytes) -> None:
    """Send until the peer's answer to this very text is here."""

    def answered() -> bool:
        link.send(text)
        return b"seen " + text in came

    await until(answered)


@pytest.mark.root
def test_a_frame_goes_and_comes(wire: Wire, medium: str) -> None:
    async def story() -> None:
        came: list[tuple[str, bytes, str]] = []
        link = link_of(wire, medium)
        link.start(lambda *what: came.append(what))
        source = THERE6 if medium.endswith("6") else THERE

        def answered() -> bool:
            link.send(b"beat")
            return (wire.name, b"seen beat", source) in came

        await until(answered)
        own = (wire.name, b"beat", HERE)
        assert set(came) <= {(wire.name, b"seen beat", source), own}
        assert own not in came or medium == "bcast"  # the kernel loops a broadcast back, a group is told not to
        assert link.error == ""
        link.close()
        link.close()
        link.send(b"after the end")

    asyncio.run(story())


@pytest.mark.root
def test_every_medium_outlives_its_interface(wire: Wire, medium: str) -> None:
    """Deleted and made anew, as a driver that is loaded again does it: bound and joined again."""

    async def story() -> None:
        came: list[bytes] = []
        link = link_of(wire, medium)
        link.start(lambda _link, frame, _source: came.append(frame))
        await exchange(link, came, b"before")
        wire.unplug()
        link.send(b"lost")
        assert link.error == f"interface {wire.name} disappeared; waiting for it"
        wire.plug_in()
        await until(lambda: link._socket is not None)
        await exchange(link, came, b"after")
        assert link.error == "" and wire.notes[-1].endswith("works again")
        ip("link", "set", wire.name, "down")
        ip("link", "set", wire.name, "up")
        if medium == "ucast6":  # the kernel has dropped its addresses
            ip("addr", "replace", f"{HERE6}/64", "dev", wire.name, "nodad")
        await exchange(link, came, b"up again")
        link.close()

    asyncio.run(story())


@pytest.mark.root
def test_what_the_peer_sends_is_lost_and_it_still_hears(wire: Wire, medium: str) -> None:
    """One direction cut: the link itself has nothing to complain of, and frames still leave."""

    async def story() -> None:
        came: list[bytes] = []
        link = link_of(wire, medium)
        link.start(lambda _link, frame, _source: came.append(frame))
        await exchange(link, came, b"whole")
        wire.to_us(whole=False)
        answers = wire.peer.transmitted("eth0")
        for _ in range(20):
            link.send(b"into the cut")
        await until(lambda: wire.peer.transmitted("eth0") - answers >= 20)  # heard there, and answered
        wire.to_us(whole=True)
        await exchange(link, came, b"mended")
        assert b"seen into the cut" not in came
        assert link.error == "" and wire.notes == []
        link.close()

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.parametrize("medium", ["bcast"], indirect=True)
def test_bcast_needs_no_address(wire: Wire, medium: str) -> None:
    async def story() -> None:
        came: list[bytes] = []
        link = link_of(wire, medium)
        ip("addr", "flush", "dev", wire.name)
        link.start(lambda _link, frame, _source: came.append(frame))
        await exchange(link, came, b"beat")
        assert link.error == ""
        link.close()

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.parametrize("medium", ["mcast"], indirect=True)
def test_only_the_group_comes_in(wire: Wire, medium: str) -> None:
    """Other groups and unicast to the same port are not ours."""

    async def story() -> None:
        came: list[bytes] = []
        link = link_of(wire, medium)
        link.start(lambda _link, frame, _source: came.append(frame))
        other = wire.another("bcast", "flood", "1", "a broadcast")
        other.tell("send")
        other.expect("sent")
        await exchange(link, came, b"beat")
        assert set(came) == {b"seen beat"}
        link.close()

    asyncio.run(story())


@pytest.mark.root
def test_a_link_without_network_says_why_and_recovers(veth: Wire) -> None:
    async def story() -> None:
        came: list[bytes] = []
        link = ucast(veth, THERE)
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
        link = ucast(veth, THERE)
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
        first, second = ucast(veth, THERE), ucast(veth, THERE)
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
        link = ucast(veth, HERE)
        link.start(lambda *what: None)
        link.send(b"beat")
        assert "name the peer's in ha.cf" in link.error
        link.close()

    asyncio.run(story())


def test_own_addresses_are_known() -> None:
    assert is_own_address(socket.AF_INET, ("127.0.0.1", 9))
    assert not is_own_address(socket.AF_INET, ("203.0.113.77", 9))


def test_a_missing_interface_is_waited_for() -> None:
    async def story() -> None:
        notes: list[str] = []
        link = UcastLink("fknone0", "fknone0", (THERE,), 694, notes.append)
        link.start(lambda *what: None)
        assert link.error == "there is no interface fknone0; waiting for it"
        assert link._pause_ms > links_base.REOPEN_FIRST_MS
        link._try_open()
        assert len(notes) == 1
        link.close()

    asyncio.run(story())
