"""The witness on a real network card, with made-up frames: that it keeps up, and that it admits a loss."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.rehearsal.namespaces import NetworkNamespace
from lab import frames
from lab.witness import BLOCK_BYTES, Witness

SENDER = bytes.fromhex("020000000301")
BURST = 20_000


@pytest.fixture
def cable(able: None) -> Iterator[NetworkNamespace]:
    namespace = NetworkNamespace()
    namespace.ip("link add near type veth peer name far", "link set near up", "link set far up")
    yield namespace
    namespace.close()


def frame(number: int, flags: int = 0x10, ethertype: int = 0x88A2) -> bytes:
    head = b"\xff" * 6 + SENDER + struct.pack("!HBBHBBI", ethertype, flags, 0, 0, 0, 0, number)
    return head + struct.pack("!BBBB", 0x41, 0, 2, 0x34) + number.to_bytes(6, "little") + bytes(1026)


def send(namespace: NetworkNamespace, data: list[bytes]) -> None:
    def body() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("near", 0))
            for one in data:
                sender.send(one)

    namespace.inside(body)


def test_every_request_of_a_fast_burst_is_on_record_in_order(cable: NetworkNamespace, tmp_path: Path) -> None:
    path = tmp_path / "frames"
    witness = cable.inside(lambda: Witness("far", str(path)))
    noise = [frame(1, flags=0x18), frame(2, ethertype=0x0800)]
    before = time.monotonic_ns() / 1e6
    send(cable, noise + [frame(number) for number in range(BURST)] + noise)
    after = time.monotonic_ns() / 1e6
    print(f"\n{BURST} frames in {after - before:.0f} ms")
    testimony = witness.testify(60)
    assert testimony["caught_up"] and not testimony["dropped"]
    found = list(frames.parse(path.read_bytes()))
    assert [one.lba for one in found] == list(range(BURST))
    assert {(one.mac, one.kind, one.sectors) for one in found} == {("02:00:00:00:03:01", "write", 2)}
    assert all(before - 1 <= one.t_ms <= after + 1 for one in found)


def test_a_witness_that_could_not_keep_up_admits_it(cable: NetworkNamespace, tmp_path: Path) -> None:
    witness = cable.inside(lambda: Witness("far", str(tmp_path / "frames"), blocks=1, running=False))
    send(cable, [frame(number) for number in range(BLOCK_BYTES // 64)])
    witness.count_drops()
    assert witness.dropped > 0
    assert witness.testify(0)["caught_up"] is False
