"""The serial panel with sockets for machines and a pty for the switch."""

from __future__ import annotations

import os
import select
import socket
import tty
from collections.abc import Iterator

import pytest

from lab.panel import QUEUE_BYTES, Panel, PanelError

PATIENCE_S = 60.0


class Bench:
    """A panel with pete and mclaws attached, and a pty for the switch."""

    def __init__(self) -> None:
        self.panel = Panel(("pete", "mclaws", "switch"))
        self.sockets: dict[str, socket.socket] = {}
        for name in ("pete", "mclaws"):
            self.attach(name)
        self.device, client = os.openpty()
        tty.setraw(client)
        self.panel.attach_terminal("switch", os.ttyname(client))
        self._client = client

    def attach(self, name: str) -> None:
        far, near = socket.socketpair()
        far.settimeout(PATIENCE_S)
        self.sockets[name] = far
        self.panel.attach(name, near)

    def got(self, name: str, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.sockets[name].recv(4096)
        return data

    def moved(self, name: str) -> int:
        return self.panel.view()["bytes_from"][name]  # type: ignore[index, no-any-return]

    def lost(self, name: str, data: bytes) -> None:
        """Send what nobody shall get; returns when the panel has read it."""
        before = self.moved(name)
        self.sockets[name].sendall(data)
        while self.moved(name) < before + len(data):
            pass

    def close(self) -> None:
        for far in self.sockets.values():
            far.close()
        os.close(self.device)
        os.close(self._client)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def test_a_null_modem_carries_every_byte_both_ways(bench: Bench) -> None:
    bench.panel.join("pete", "mclaws")
    text = bytes(range(256)) * 4
    bench.sockets["pete"].sendall(text)
    assert bench.got("mclaws", len(text)) == text
    bench.sockets["mclaws"].sendall(b"hello there\r\n")
    assert bench.got("pete", 13) == b"hello there\r\n"


def test_the_switch_is_joined_to_a_node(bench: Bench) -> None:
    bench.panel.join("pete", "switch")
    bench.sockets["pete"].sendall(b"\r")
    assert select.select([bench.device], [], [], PATIENCE_S)[0]
    assert os.read(bench.device, 100) == b"\r"
    os.write(bench.device, b"IPS> ")
    assert bench.got("pete", 5) == b"IPS> "


def test_what_is_sent_while_nothing_is_joined_is_lost(bench: Bench) -> None:
    bench.lost("pete", b"into the void")
    bench.panel.join("pete", "mclaws")
    bench.sockets["pete"].sendall(b"now")
    assert bench.got("mclaws", 3) == b"now"


def test_a_cut_cable_carries_nothing_and_a_new_one_does(bench: Bench) -> None:
    bench.panel.join("pete", "mclaws")
    bench.panel.cut()
    bench.lost("pete", b"lost")
    bench.panel.join("mclaws", "pete")
    bench.sockets["pete"].sendall(b"kept")
    assert bench.got("mclaws", 4) == b"kept"


def test_joining_pulls_the_earlier_cable_out(bench: Bench) -> None:
    bench.panel.join("pete", "mclaws")
    bench.panel.join("pete", "switch")
    assert bench.panel.view()["joined"] == [["pete", "switch"]]
    bench.lost("mclaws", b"nobody is there")


def test_the_cable_stays_when_a_machine_is_off_and_comes_back(bench: Bench) -> None:
    bench.panel.join("pete", "mclaws")
    bench.panel.detach("mclaws")
    bench.lost("pete", b"to a dead machine")
    bench.attach("mclaws")
    bench.sockets["pete"].sendall(b"alive")
    assert bench.got("mclaws", 5) == b"alive"


def test_a_machine_that_does_not_read_does_not_hold_up_the_others(bench: Bench) -> None:
    bench.panel.join("pete", "mclaws")
    bench.lost("pete", bytes(3 * QUEUE_BYTES))
    assert bench.panel.view()["waiting"]["mclaws"] <= QUEUE_BYTES  # type: ignore[index]
    bench.sockets["mclaws"].sendall(b"still here")
    assert bench.got("pete", 10) == b"still here"


def test_little_of_the_past_waits_in_front_of_a_machine(bench: Bench) -> None:
    """A UART holds 16 bytes; a socket's own buffer would hold 200 000."""
    bench.panel.join("pete", "mclaws")
    bench.lost("pete", bytes(QUEUE_BYTES))
    bench.panel.cut()
    bench.panel.join("pete", "mclaws")
    bench.sockets["pete"].sendall(b"!")
    data = b""
    while not data.endswith(b"!"):
        data += bench.sockets["mclaws"].recv(4096)
    assert len(data) <= 8 * 16 + 1


def test_a_machine_that_dies_is_noticed(bench: Bench) -> None:
    bench.sockets["pete"].close()
    while "pete" in bench.panel.view()["attached"]:  # type: ignore[operator]
        pass


@pytest.mark.parametrize(("first", "second"), [("pete", "pete"), ("pete", "kokone"), ("bob", "pete")])
def test_a_cable_that_cannot_be(bench: Bench, first: str, second: str) -> None:
    bench.panel.join("pete", "mclaws")
    with pytest.raises(PanelError):
        bench.panel.join(first, second)
    assert bench.panel.view()["joined"] == [["mclaws", "pete"]]
