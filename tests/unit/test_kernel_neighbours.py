"""Frames that ask for and announce addresses, byte for byte (RFC 4861, RFC 5227)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.kernel import arp, neighbours

MAC = bytes.fromhex("020000000001")
IP4 = bytes((192, 0, 2, 9))
IP6 = bytes.fromhex("20010db8000000000000000000010009")


def test_an_advertisement_to_all_nodes():
    frame = neighbours.advertisement(MAC, IP6, router=False)
    assert frame[:14].hex() == "333300000001" + MAC.hex() + "86dd"
    assert frame[14:22].hex() == "60000000" + "0020" + "3a" + "ff"  # 32 bytes of ICMPv6, hop limit 255
    assert (frame[22:38], frame[38:54].hex()) == (IP6, "ff020000000000000000000000000001")
    assert (frame[54], frame[55], frame[58]) == (136, 0, 0x20)
    assert (frame[62:78], frame[78:].hex()) == (IP6, "0201" + MAC.hex())
    assert neighbours.advertisement(MAC, IP6, router=True)[58] == 0xA0


def test_a_probe_comes_from_nobody_and_goes_to_the_owner_s_group():
    frame = neighbours.solicitation(MAC, IP6)
    assert frame[:6].hex() == "3333ff010009"
    assert (frame[22:38], frame[38:54].hex()) == (bytes(16), "ff0200000000000000000001ff010009")
    assert (frame[54], frame[62:78], len(frame)) == (135, IP6, 78)


@pytest.mark.parametrize("make", [neighbours.advertisement, neighbours.solicitation])
def test_the_checksum_adds_up(make):
    frame = make(MAC, IP6, False) if make is neighbours.advertisement else make(MAC, IP6)
    body = frame[54:]
    pseudo = frame[22:54] + len(body).to_bytes(4, "big") + b"\0\0\0\x3a"
    assert neighbours.checksum(pseudo + body) == 0


def test_who_advertises():
    other = bytes.fromhex("020000000002")
    frame = neighbours.advertisement(other, IP6, router=False)
    assert neighbours.advertised_by(frame, IP6) == other
    assert neighbours.advertised_by(frame[:78], IP6) == other  # without the option: the frame's sender
    assert neighbours.advertised_by(frame, bytes(16)) == b""
    assert neighbours.advertised_by(neighbours.solicitation(other, IP6), IP6) == b""


def test_who_claims():
    other = bytes.fromhex("020000000002")
    assert arp.claimed_by(arp.announcement(other, IP4, 2), IP4) == other
    assert arp.claimed_by(arp.probe(other, IP4), IP4) == other, "somebody else is about to take it"
    assert arp.claimed_by(arp.announcement(other, bytes((192, 0, 2, 8)), 1), IP4) == b""
    assert arp.probe(MAC, IP4)[28:32] == bytes(4)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_no_frame_is_too_strange(frame):
    assert isinstance(neighbours.advertised_by(frame, IP6), bytes)
    assert isinstance(arp.claimed_by(frame, IP4), bytes)
