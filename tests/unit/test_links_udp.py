"""Network links over a cable to a network namespace: each medium of ha.cf, and what may happen to it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator

import pytest

from failover_kit.manager import links_base, links_udp
from failover_kit.manager.config import Secret
from failover_kit.manager.host import own_ipv6_addresses
from failover_kit.manager.links_receive import FrameReceiver
from failover_kit.manager.links_udp import BcastLink, McastLink, UcastLink, UdpLink, is_own_address
from failover_kit.manager.records import Beat
from failover_kit.manager.wire import encode
from links_wire import GROUP, GROUP6, HERE, HERE6, MEDIA, PORT, THERE, THERE6, Machine, Wire, ip


def link_of(wire: Wire, medium: str) -> UdpLink:
    name, note = wire.name, wire.notes.append
    made: dict[str, Callable[[], UdpLink]] = {
        # Both nodes' lines in one file, as the HOWTO has it: our own address is passed over.
        "ucast": lambda: UcastLink(name, name, (HERE, THERE), PORT, note),
        "ucast6": lambda: UcastLink(name, name, (HERE6, THERE6), PORT, note, ipv6=True),
        "bcast": lambda: BcastLink(name, name, PORT, note),
        "mcast": lambda: McastLink(name, name, GROUP, PORT, note),
        "mcast6": lambda: McastLink(name, name, GROUP6, PORT, note, ipv6=True),
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
    async with asyncio.timeout(60):
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
        wire.unplug()  # and so quickly that no beat falls in between
        wire.plug_in()
        await exchange(link, came, b"again")
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
        other = wire.another("bcast", "send", "1", "a broadcast")
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


@pytest.mark.root
@pytest.mark.parametrize("medium", ["ucast6"], indirect=True)
def test_own_ipv6_addresses_have_their_zone(wire: Wire) -> None:
    own = own_ipv6_addresses()
    assert f"{HERE6}%{wire.name}" in own
    assert HERE6 not in own and f"{THERE6}%{wire.name}" not in own


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


class Listener:
    """A link as failoverd has it, with what its receiver made of everything that came in."""

    def __init__(self, wire: Wire, medium: str) -> None:
        wire.peer.hush()
        self.link = link_of(wire, medium)
        self.beats: list[Beat] = []
        self.told: list[str] = []
        self.receiver = FrameReceiver(
            ("pete", "mclaws"),
            "life",
            {1: Secret(b"ours")},
            lambda _link, beat: self.beats.append(beat),
            note=wire.notes.append,
            inform=self.told.append,
            shared=(wire.name,),
        )
        self.link.start(self.receiver.take)

    def foreign(self) -> int:
        return sum(self.receiver.foreign.values())


def frame_of(node: str, key: bytes, life: str = "n") -> str:
    beat = Beat(node=node, boot_id="b", nonce=life, counter=1, echoes=(), hears=False, ready=True)
    return encode(beat, {1: Secret(key)}, 1).decode("ascii")


@pytest.mark.root
@pytest.mark.parametrize("medium", ["bcast", "mcast", "mcast6"], indirect=True)
def test_two_clusters_on_one_segment(wire: Wire, medium: str) -> None:
    """One port, one group, and another key, other names, or both: ours go on, theirs are one quiet note."""

    async def story() -> None:
        heard = Listener(wire, medium)
        peer = wire.another(medium, "send", "1", frame_of("mclaws", b"ours"))
        strangers = [
            wire.another(medium, "send", "10", frame_of(node, key))
            for node, key in (("anna", b"theirs"), ("anna", b"ours"), ("mclaws", b"theirs"))
        ]

        async def told_until(condition: Callable[[], bool], *machines: Machine) -> None:
            """A datagram may be lost: they send again, now and then, until it is so."""
            turns = 0

            def so() -> bool:
                nonlocal turns
                if turns % 200 == 0:
                    for machine in machines:
                        machine.tell("now")
                turns += 1
                return condition()

            await until(so)

        async def let_go(count: int, stranger: Machine) -> None:
            """The peer beats on meanwhile: its own key is what makes the strangers' frames in its name foreign."""
            before = heard.foreign()
            await told_until(lambda: heard.foreign() >= before + count, peer, stranger)

        await told_until(lambda: bool(heard.beats), peer)
        heard.link.send(frame_of("pete", b"ours", "life").encode())
        for stranger in strangers:
            await let_go(10, stranger)
        before = len(heard.beats)
        await told_until(lambda: len(heard.beats) > before, peer)
        assert {beat.node for beat in heard.beats} == {"mclaws"}
        assert len(heard.told) == 1 and "another cluster's frames come in" in heard.told[0]
        assert heard.receiver.refused == {} and wire.notes == []
        heard.link.close()

    asyncio.run(story())


@pytest.mark.root
@pytest.mark.parametrize("medium", ["bcast", "mcast6"], indirect=True)
def test_a_flood_of_others_starves_neither_the_loop_nor_the_peer(wire: Wire, medium: str) -> None:
    async def story() -> None:
        heard = Listener(wire, medium)
        flood = wire.another(medium, "send", "0", frame_of("anna", b"theirs"))
        peer = wire.another(medium, "send", "1", frame_of("mclaws", b"ours"))
        flood.tell("for ever")
        await until(lambda: heard.foreign() > 1000)
        turns = 0

        def ten_beats() -> bool:
            nonlocal turns
            turns += 1
            peer.tell("once")
            return len(heard.beats) >= 10

        await until(ten_beats)
        assert turns >= 10  # the timers of the loop went on
        assert wire.notes == []
        heard.link.close()

    asyncio.run(story())


def test_a_flood_is_taken_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes in, the loop gets its turn: here it never ends."""

    class Endless:
        taken = 0

        def recvfrom(self, _size: int) -> tuple[bytes, tuple[str, int]]:
            self.taken += 1
            assert self.taken < 10_000, "the loop never gets its turn"
            return b"noise", ("192.0.2.9", PORT)

    link = BcastLink("eth1/bcast", "eth1", PORT, print)
    endless = Endless()
    monkeypatch.setattr(link, "_socket", endless)
    link._readable()
    assert 0 < endless.taken < 1000


def test_without_a_file_descriptor_left_nothing_is_raised_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a link raises ends failoverd, or the tries to open it again."""

    def none_left(*_args: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    async def story() -> None:
        link = UcastLink("lo", "lo", (HERE,), PORT, notes.append)
        monkeypatch.setattr(socket, "socket", none_left)
        monkeypatch.setattr(socket, "if_nameindex", none_left)
        link.start(lambda *_: None)
        link.send(b"frame")
        assert link.error == "there can be no socket for lo: Too many open files" and link._reopen is not None
        assert "Too many open files" in link._why_not_open(OSError(24, "Too many open files"))
        assert not is_own_address(socket.AF_INET, (HERE, PORT))
        monkeypatch.undo()
        link._retry()
        assert link._socket is not None
        link.close()

    notes: list[str] = []
    asyncio.run(story())
    assert len(notes) == 1


class Unwilling:
    """An open socket whose kernel takes nothing."""

    def __init__(self, number: int) -> None:
        self.number = number

    def sendto(self, _frame: bytes, _place: object) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EPERM, errno.ENETDOWN]
)
def test_what_the_kernel_does_not_take_is_counted_and_noted_and_ends_nothing(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    link = BcastLink("eth1/bcast", "eth1", PORT, notes.append)
    monkeypatch.setattr(links_udp, "_index_of", lambda _socket, _name: link._index)
    link._socket = socket_of(Unwilling(number))
    for _ in range(100):
        link.send(b"frame")
    assert link.unsent == 100
    assert link._socket is not None and link._reopen is None, "the device is all right and stays open"
    if number == errno.EAGAIN:  # the interface is busy: no fault of anything
        assert (link.error, notes) == ("", [])
        return
    assert os.strerror(number) in link.error
    assert len(notes) == 1
    scarce = number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
    assert ("the kernel is short of" in link.error) is scarce


def socket_of(pretended: Unwilling) -> socket.socket:
    return pretended  # type: ignore[return-value]


def test_without_a_file_descriptor_left_an_open_link_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """if_nametoindex(3) and the look at own addresses need one; the link has its own already."""

    def none_left(*_args: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def story() -> None:
        link = UcastLink("lo", "lo", ("127.0.0.1", "203.0.113.77"), 0, [].append)
        link.start(lambda *_: None)
        assert link._socket is not None, link.error
        before = link._targets()
        assert before == [("203.0.113.77", 0)]
        monkeypatch.setattr(socket, "socket", none_left)
        monkeypatch.setattr(socket, "if_nametoindex", none_left)
        link.send(b"frame")
        assert link._socket is not None and "disappeared" not in link.error
        assert link._targets() == before, "it would talk to itself"
        monkeypatch.undo()
        link.close()

    asyncio.run(story())


def test_the_index_is_asked_of_the_kernel() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        assert links_udp._index_of(one, "lo") == socket.if_nametoindex("lo")
        assert links_udp._index_of(one, "fknone0") == 0
