"""From frames to beats: what is refused is counted, and said at a bounded rate."""

from __future__ import annotations

import dataclasses

import pytest

from failover_kit.manager import config, links
from failover_kit.manager.config import Secret
from failover_kit.manager.links_base import NOTE_INTERVAL_MS
from failover_kit.manager.links_receive import FrameReceiver
from failover_kit.manager.records import Beat
from failover_kit.manager.wire import encode

KEYS = {1: Secret(b"k")}
BEAT = Beat(node="mclaws", boot_id="b", nonce="n", counter=1, echoes=(), hears=False, ready=True)


class Desk:
    """A receiver with a clock in the hand and everything it said."""

    def __init__(self) -> None:
        self.beats: list[tuple[str, Beat]] = []
        self.notes: list[str] = []
        self.told: list[str] = []
        self.now_ms = 0
        self.receiver = FrameReceiver(
            ("pete", "mclaws"),
            "life",
            KEYS,
            lambda link, beat: self.beats.append((link, beat)),
            note=self.notes.append,
            inform=self.told.append,
            shared=("eth1/bcast",),
            now_ms=lambda: self.now_ms,
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


OTHERS = {1: Secret(b"the key of others")}


def frame(node: str, keys: dict[int, Secret] = KEYS, nonce: str = "n") -> bytes:
    return encode(dataclasses.replace(BEAT, node=node, nonce=nonce), keys, 1)


@pytest.mark.parametrize("keys", [KEYS, OTHERS], ids=["our key", "their key"])
def test_another_cluster_on_the_segment_is_one_quiet_note(keys: dict[int, Secret]) -> None:
    desk = Desk()
    for second in range(1000):
        desk.now_ms = second * 1000
        for node in ("anna", "berta"):
            desk.receiver.take("eth1/bcast", frame(node, keys), "10.0.0.9")
    assert desk.beats == [] and desk.notes == [] and desk.receiver.refused == {}
    assert desk.receiver.foreign == {"eth1/bcast": 2000}
    assert len(desk.told) == 1
    assert "another cluster's frames come in (from 10.0.0.9)" in desk.told[0]


def test_another_cluster_with_our_names_is_quiet_while_the_peer_is_heard() -> None:
    desk = Desk()
    desk.receiver.take("eth1/bcast", frame("mclaws"))
    for noise in (frame("mclaws", OTHERS), frame("pete", OTHERS), b">>>\nt=status\n", b"noise"):
        desk.receiver.take("eth1/bcast", noise)
    assert len(desk.beats) == 1 and desk.notes == [] and len(desk.told) == 1


def test_a_peer_with_another_key_is_no_other_cluster() -> None:
    """Nothing of the peer came in for a while: the operator must read that its key is wrong."""
    desk = Desk()
    desk.receiver.take("eth1/bcast", frame("mclaws", OTHERS), "10.0.0.2")
    assert "wrong signature" in desk.notes[0] and desk.told == []
    desk.receiver.take("eth1/bcast", frame("mclaws"))
    desk.now_ms += NOTE_INTERVAL_MS
    desk.receiver.take("eth1/bcast", frame("mclaws", OTHERS), "10.0.0.2")
    assert len(desk.notes) == 2 and desk.receiver.refused == {"eth1/bcast": 2}


def test_own_beats_on_a_shared_medium_are_nothing() -> None:
    desk = Desk()
    desk.receiver.take("eth1/bcast", frame("pete", nonce="life"), "10.0.0.1")
    assert desk.beats == [] and desk.notes == [] and desk.told == []
    assert desk.receiver.refused == {} and desk.receiver.foreign == {}


def test_another_machine_of_our_name_is_named() -> None:
    desk = Desk()
    desk.receiver.take("eth1/bcast", frame("pete", nonce="other life"), "10.0.0.7")
    assert desk.notes == [
        "eth1/bcast: a beat of another machine named pete came in from 10.0.0.7; each needs a name of its own"
    ]


def test_a_stranger_with_our_key_is_no_event_for_the_core() -> None:
    desk = Desk()
    desk.receiver.take("eth1", frame("anna"), "10.0.0.9")
    assert desk.beats == []
    assert "a beat of anna, no node of this pair, came in (from 10.0.0.9) with our key" in desk.notes[0]


def test_each_medium_is_a_link() -> None:
    made = links.make_links(
        (
            config.UcastLink(interface="eth1", peer_address="10.0.0.1", port=694),
            config.UcastLink(interface="eth1", peer_address="fe80::2", port=694, ipv6=True),
            config.UcastLink(interface="eth1", peer_address="fe80::3", port=694, ipv6=True),
            config.BcastLink(interface="eth2", port=694),
            config.McastLink(interface="eth3", group="239.0.0.43", port=694),
            config.McastLink(interface="eth3", group="ff12::43", port=694, ipv6=True),
        ),
        print,
    )
    assert [link.name for link in made] == ["eth1", "eth1/ucast6", "eth2/bcast", "eth3/mcast", "eth3/mcast6"]


def test_ucast_lines_on_one_interface_are_one_link() -> None:
    made = links.make_links(
        (
            config.SerialLink(device="/dev/ttyS0", baud=9600),
            config.UcastLink(interface="eth1", peer_address="10.0.0.1", port=694),
            config.UcastLink(interface="eth1", peer_address="10.0.0.2", port=694),
            config.UcastLink(interface="eth0", peer_address="10.1.0.2", port=694),
        ),
        print,
    )
    assert [link.name for link in made] == ["ttyS0", "eth1", "eth0"]


@pytest.mark.parametrize(("address", "port"), [(None, 694), ("10.0.0.2", 695)])
def test_links_that_cannot_be_made_are_refused(address: str | None, port: int) -> None:
    first = config.UcastLink(interface="eth1", peer_address="10.0.0.1", port=694)
    with pytest.raises(ValueError, match="ucast"):
        links.make_links((first, config.UcastLink(interface="eth1", peer_address=address, port=port)), print)
