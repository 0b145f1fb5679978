"""Beats as frames: round trip, every single damage is refused, every fault has its sentence."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.manager import dialect, wire, wireitems
from failover_kit.manager.config import LINK_LIMIT, Secret, serial_fits
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState
from failover_kit.manager.wire import Fault, FrameError, StreamDecoder, decode, encode

KEYS = {1: Secret(b"WhatAboutTheKey"), 2: Secret(b"another")}

BEAT = Beat(
    node="pete",
    boot_id="2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51",
    nonce="6f1d0a7b52c94e83",
    counter=1204,
    echoes=(("90c1b6a2d2e04f5c", 988),),
    hears=True,
    ready=True,
    links=(True, False),
    digest="5b0f6a1d0c7e9a34",
    maintenance=3,
    minor=dialect.MINOR,
    release="0.1.0",
    groups=(
        GroupClaim(name="IPaddr_10.0.0.9", state=GroupState.STARTED, held=True, right=4, top=4),
        GroupClaim(name="web", state=GroupState.STOPPED, held=False, right=0, top=7, grant=9, grant_nonce="90c1"),
    ),
)

epochs = st.integers(0, wire.EPOCH_LIMIT - 1)
counters = st.integers(0, wire.COUNTER_LIMIT - 1)
names = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
claims = st.builds(
    GroupClaim,
    name=names,
    state=st.sampled_from(GroupState),
    held=st.booleans(),
    right=epochs,
    top=epochs,
    grant=epochs,
    grant_nonce=names,
    failed_here=st.booleans(),
    parked=st.booleans(),
    fence_me=epochs,
    want=epochs,
)
beats = st.builds(
    Beat,
    node=names,
    boot_id=names,
    nonce=names,
    counter=counters,
    echoes=st.lists(st.tuples(names, counters), max_size=2).map(tuple),
    hears=st.booleans(),
    ready=st.booleans(),
    leaving=st.booleans(),
    links=st.lists(st.booleans(), max_size=LINK_LIMIT).map(tuple),
    digest=names,
    maintenance=epochs.filter(bool),
    still=st.booleans(),
    groups=st.lists(claims, max_size=2, unique_by=lambda claim: claim.name).map(tuple),
    minor=st.just(dialect.MINOR),
    release=st.text("0123456789.~rc", max_size=4),
)


def fault_of(frame: bytes) -> Fault:
    with pytest.raises(FrameError) as caught:
        decode(frame, KEYS)
    return caught.value.fault


def signed(text: bytes, key: bytes = b"WhatAboutTheKey") -> bytes:
    """A frame made without the module under test."""
    head = text + b"auth 1 "
    return head + hmac.new(key, head, hashlib.sha256).hexdigest().encode() + b"\n=end\n"


@settings(deadline=None)
@given(beat=beats, key=st.sampled_from((1, 2)))
def test_what_was_encoded_is_decoded(beat: Beat, key: int) -> None:
    assert decode(encode(beat, KEYS, key), KEYS) == beat


def test_a_frame_reads_like_this() -> None:
    text = (
        b"=failover-kit 1.1\nnode pete\nboot 2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51\nlife 6f1d0a7b52c94e83\n"
        b"beat 1204\necho 90c1b6a2d2e04f5c 988\nsays hears ready\nconf 5b0f6a1d0c7e9a34\nlinks 10\nmaintenance 3\n"
        b"release 0.1.0\n"
        b"group IPaddr_10.0.0.9 started held right=4 top=4\ngroup web stopped top=7 grant=9 for=90c1\n"
    )
    assert encode(BEAT, KEYS, 1) == signed(text)


def test_every_field_of_a_beat_is_on_the_wire() -> None:
    """A field added to Beat or GroupClaim and forgotten in wire.py would vanish between the nodes."""
    plain = GroupClaim(name="g", state=GroupState.STOPPED, held=False, right=0, top=0)
    other: dict[str, object] = {
        "node": "x", "boot_id": "x", "nonce": "x", "counter": 7, "echoes": (("x", 1),), "hears": False,
        "ready": False, "leaving": True, "links": (True,), "digest": "x", "maintenance": 7, "still": True,
        "reached": 0, "groups": (), "minor": 9, "release": "x",
    }  # fmt: skip
    assert set(other) == {field.name for field in dataclasses.fields(Beat)}
    for name, value in other.items():
        changed = dataclasses.replace(BEAT, **{name: value})
        assert decode(encode(changed, KEYS, 1), KEYS) == changed != BEAT
    for field in dataclasses.fields(GroupClaim):
        value = {"str": "x", "int": 5, "bool": True, "GroupState": GroupState.FAILED}[str(field.type)]
        changed = dataclasses.replace(BEAT, groups=(dataclasses.replace(plain, **{field.name: value}),))
        assert decode(encode(changed, KEYS, 1), KEYS) == changed


def test_each_changed_byte_is_refused() -> None:
    frame = encode(BEAT, KEYS, 1)
    rng = random.Random(2)
    for at in range(len(frame)):
        for value in {rng.randrange(256), frame[at] ^ 1, frame[at] ^ 0x20, 0x0A, 0x30} - {frame[at]}:
            damaged = frame[:at] + bytes([value]) + frame[at + 1 :]
            with pytest.raises(FrameError):
                decode(damaged, KEYS)


def test_each_lost_or_added_byte_is_refused() -> None:
    frame = encode(BEAT, KEYS, 1)
    for at in range(len(frame) + 1):
        for damaged in (frame[:at] + frame[at + 1 :], frame[:at] + b"0" + frame[at:], frame[:at]):
            if damaged != frame:
                with pytest.raises(FrameError):
                    decode(damaged, KEYS)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_raises_only_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(data, KEYS)


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_signed_garbage_raises_only_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        decode(signed(b"=failover-kit 1.1\n" + data + b"\n"), KEYS)


def test_faults_are_named() -> None:
    frame = encode(BEAT, KEYS, 1)
    assert fault_of(frame[:200]) is Fault.TRUNCATED
    assert fault_of(frame.replace(b"held", b"hell")) is Fault.FORGED
    assert fault_of(encode(BEAT, {3: Secret(b"k")}, 3)) is Fault.UNKNOWN_KEY
    assert fault_of(encode(BEAT, {1: Secret(b"not the key")}, 1)) is Fault.FORGED
    assert fault_of(frame.replace(b"kit 1.1", b"kit 2.0")) is Fault.VERSION
    assert fault_of(b"=failover-kit 1.1\n" + b"x" * 1300) is Fault.TOO_LONG
    assert fault_of(b"hello") is Fault.NOT_A_FRAME
    assert fault_of(b"") is Fault.NOT_A_FRAME
    assert fault_of(b">>>\nt=status\nst=active\n<<<\n") is Fault.HEARTBEAT
    assert fault_of(b"###\n11:(0)t=status,%%%\n") is Fault.HEARTBEAT
    assert fault_of(signed(b"=failover-kit 1.1\nnode pete\n")) is Fault.MALFORMED


def test_another_spelling_of_the_same_beat_is_refused() -> None:
    """One spelling only of what is known; and in a frame of our own minor everything is."""
    body = encode(BEAT, KEYS, 1).partition(b"auth ")[0]
    assert decode(signed(body), KEYS) == BEAT
    for old, new in (
        (b"beat 1204", b"beat 01204"),
        (b"says hears ready", b"says ready hears"),
        (b"top=7", b"top=7 top=7"),
        (b"top=7", b"top=7 colour=1"),
        (b"node pete", b"node %70ete"),
        (b"says hears ready\n", b"says hears ready\nsays ready\n"),
        (b"life 6f1d0a7b52c94e83", b"life  6f1d0a7b52c94e83"),
    ):
        assert fault_of(signed(body.replace(old, new))) is Fault.MALFORMED


def test_no_key_shows_in_errors() -> None:
    for frame in (encode(BEAT, {1: Secret(b"PEERSKEY")}, 1), encode(BEAT, KEYS, 1)[:-9]):
        with pytest.raises(FrameError) as caught:
            decode(frame, KEYS)
        assert "WhatAbout" not in str(caught.value) and "PEERSKEY" not in str(caught.value)


def test_the_crc_key_is_a_checksum() -> None:
    """authkeys ``crc`` on a serial-only pair: the empty key, checked like any other."""
    keys = {1: Secret(b"")}
    frame = encode(BEAT, keys, 1)
    assert decode(frame, keys) == BEAT
    with pytest.raises(FrameError):
        decode(frame.replace(b"pete", b"pet3"), keys)


def test_the_longest_beat_of_a_howto_pair_fits_on_9600_baud() -> None:
    size = wire.max_frame_bytes(("pete", "mclaws"), ("IPaddr_192.168.100.200",), links=2)
    assert size < 530
    assert serial_fits(size, 9600, 1000) is None
    assert wire.frame_fits(("pete", "mclaws"), ("a", "b", "c")) is None


@settings(deadline=None)
@given(beat=beats)
def test_no_beat_is_longer_than_foretold(beat: Beat) -> None:
    nonce_bytes = max(len(wireitems.quote(word)) for word in (beat.nonce, *(n for n, _ in beat.echoes), "n" * 16))
    grants = [len(wireitems.quote(claim.grant_nonce)) for claim in beat.groups]
    longest = wire.max_frame_bytes(
        (beat.node,), tuple(claim.name for claim in beat.groups), max([nonce_bytes, *grants])
    )
    short = dataclasses.replace(beat, boot_id="b", digest="d")
    assert len(encode(short, KEYS, 1)) <= longest


def test_too_many_groups_are_refused_with_the_arithmetic() -> None:
    refusal = wire.frame_fits(("pete", "mclaws"), tuple(f"group-with-a-long-name-{n}" for n in range(20)))
    assert refusal is not None
    assert "20 groups" in refusal and "1232" in refusal


def test_a_beat_that_cannot_be_written_says_so() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(dataclasses.replace(BEAT, counter=wire.COUNTER_LIMIT), KEYS, 1)
    with pytest.raises(ValueError, match="too long"):
        encode(dataclasses.replace(BEAT, node="n" * 200), KEYS, 1)


# --- streams --------------------------------------------------------------------------------------------


def decoded(chunks: list[bytes]) -> list[Beat | Fault]:
    found: list[Beat | Fault] = []
    for chunk in chunks:
        try:
            found.append(decode(chunk, KEYS))
        except FrameError as error:
            found.append(error.fault)
    return found


@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_a_stream_is_cut_into_frames_wherever_reads_end(cuts: list[int]) -> None:
    data = b"\xff\x00noise" + encode(BEAT, KEYS, 1) * 2 + b"=fail" + encode(BEAT, KEYS, 2)
    stream = StreamDecoder()
    found: list[bytes] = []
    at = 0
    for size in cuts:
        found += stream.feed(data[at : at + size])
        at += size
    found += stream.feed(data[at:])
    assert decoded(found) == [BEAT, BEAT, BEAT]


def test_a_frame_that_lost_its_end_costs_only_itself() -> None:
    frame = encode(BEAT, KEYS, 1)
    assert decoded(StreamDecoder().feed(frame[:100] + frame)) == [Fault.TRUNCATED, BEAT]


def test_a_frame_that_never_ends_is_bounded() -> None:
    stream = StreamDecoder()
    found = stream.feed(b"=failover-kit 1.1\n")
    for _ in range(100):
        found += stream.feed(b"x" * 100)
        assert len(stream._buffer) <= wire.FRAME_LIMIT_BYTES + 100
    assert decoded(found) == [Fault.TOO_LONG]
    assert decoded(stream.feed(encode(BEAT, KEYS, 1))) == [BEAT]


def test_heartbeat_on_the_line_is_named() -> None:
    stream = StreamDecoder()
    text = b">>>\nt=status\nst=active\nauth=1 00\n<<<\n"
    found = [chunk for n in range(len(text)) for chunk in stream.feed(text[n : n + 1])]
    assert decoded(found) == [Fault.HEARTBEAT]
    assert stream.noise_bytes > 20


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=30))
def test_noise_on_the_line_never_raises_and_never_stays(chunks: list[bytes]) -> None:
    stream = StreamDecoder()
    for chunk in chunks:
        for candidate in stream.feed(chunk):
            with pytest.raises(FrameError):
                decode(candidate, KEYS)
        assert len(stream._buffer) <= wire.FRAME_LIMIT_BYTES + 300
    assert BEAT in decoded(stream.feed(b"\n" + encode(BEAT, KEYS, 1)))


def test_the_name_a_frame_claims_is_read_without_its_key() -> None:
    assert wire.claimed_node(encode(BEAT, {1: Secret(b"of others")}, 1)) == "pete"
    assert wire.claimed_node(encode(BEAT, KEYS, 1).replace(b"kit 1.1", b"kit 2.0", 1)) == "pete"
    for frame in (b"", b">>>\n", b"=failover-kit 1.1\nboot x\n", b"=failover-kit 1.1\nnode a b\n"):
        assert wire.claimed_node(frame) is None


@pytest.mark.parametrize("line", [b"links\n", b"links 12\n", b"links 1 0\n", b"links " + b"1" * 17 + b"\n"])
def test_links_have_one_spelling(line: bytes) -> None:
    body = encode(BEAT, KEYS, 1).partition(b"auth ")[0]
    assert fault_of(signed(body.replace(b"links 10\n", line))) is Fault.MALFORMED


def test_awkward_names_travel_unchanged() -> None:
    for name in ("-", "", "%2D", "=failover-kit 1", "=end", "a b", "web\n", "größe", "\x00"):
        beat = dataclasses.replace(BEAT, node=name, digest=name, echoes=((name, 1),))
        assert decode(encode(beat, KEYS, 1), KEYS) == beat


def test_a_group_told_of_twice_is_refused() -> None:
    """Two claims about one group could say two things; which one would hold?"""
    twice = dataclasses.replace(BEAT, groups=(BEAT.groups[0], BEAT.groups[0]))
    assert fault_of(encode(twice, KEYS, 1)) is Fault.MALFORMED


def test_noise_is_counted_since_the_last_frame() -> None:
    stream = StreamDecoder()
    stream.feed(b"\x80" * 500)
    assert stream.noise_bytes > 400
    stream.feed(encode(BEAT, KEYS, 1))
    assert stream.noise_bytes == 0
