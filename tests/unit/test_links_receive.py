"""From frames to beats: what is refused is counted, and said at a bounded rate."""

from __future__ import annotations

import dataclasses

import pytest

from failover_kit.manager import config, links
from failover_kit.manager.config import Secret
from failover_kit.manager.records import Beat
from failover_kit.manager.wire import encode

KEYS = {1: Secret(b"k")}
BEAT = Beat(node="mclaws", boot_id="b", nonce="n", counter=1, echoes=(), hears=False, ready=True)


class Desk:
    """A receiver with a clock in the hand and everything it said."""

    def __init__(self) -> None:
        self.beats: list[tuple[str, Beat]] = []
        self.notes: list[str] = []
        self.now_ms = 0
        self.receiver = links.FrameReceiver(
            "pete", KEYS, lambda link, beat: self.beats.append((link, beat)), self.notes.append, lambda: self.now_ms
        )


def test_an_authentic_beat_is_delivered_with_its_link() -> None:
    desk = Desk()
    desk.receiver.take("eth1", encode(BEAT, KEYS, 1), "10.0.0.2")
    assert desk.beats == [("eth1", BEAT)]
    assert desk.notes == [] and desk.receiver.refused == {}


def test_forged_frames_are_counted_and_noted_once_a_minute() -> None:
    desk = Desk()
    forged = encode(BEAT, {1: Secret(b"other")}, 1)
    for second in range(61):
        desk.now_ms = second * 1000
        desk.receiver.take("eth1", forged, "10.0.0.9")
    assert desk.beats == []
    assert desk.receiver.refused == {"eth1": 61}
    assert len(desk.notes) == 2
    assert "wrong signature" in desk.notes[0] and "10.0.0.9" in desk.notes[0]
    assert "59 more like it" in desk.notes[1]


def test_each_kind_of_fault_on_each_link_is_noted() -> None:
    desk = Desk()
    for link in ("eth1", "ttyS0"):
        for frame in (b">>>\n", b"noise", encode(BEAT, KEYS, 1)[:40]):
            desk.receiver.take(link, frame)
    assert len(desk.notes) == 6
    assert sum("Heartbeat" in note for note in desk.notes) == 2


def test_a_looped_cable_is_named() -> None:
    desk = Desk()
    desk.receiver.take("ttyS0", encode(dataclasses.replace(BEAT, node="pete"), KEYS, 1))
    assert desk.beats == []
    assert "ttyS0: a beat of this node itself came in: the cable is looped" in desk.notes[0]


def test_ucast_lines_on_one_interface_are_one_link() -> None:
    made = links.make_links(
        (
            config.SerialLink(device="/dev/ttyS0", baud=9600),
            config.UdpLink(interface="eth1", peer_address="10.0.0.1", port=694),
            config.UdpLink(interface="eth1", peer_address="10.0.0.2", port=694),
            config.UdpLink(interface="eth0", peer_address="10.1.0.2", port=694),
        ),
        print,
    )
    assert [link.name for link in made] == ["ttyS0", "eth1", "eth0"]


@pytest.mark.parametrize(("address", "port"), [(None, 694), ("10.0.0.2", 695)])
def test_links_that_cannot_be_made_are_refused(address: str | None, port: int) -> None:
    first = config.UdpLink(interface="eth1", peer_address="10.0.0.1", port=694)
    with pytest.raises(ValueError, match="ucast"):
        links.make_links((first, config.UdpLink(interface="eth1", peer_address=address, port=port)), print)
