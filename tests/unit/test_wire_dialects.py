"""Versions side by side (docs/design/0039): recorded frames of 1.0 and of a 1.9 that does not exist yet."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialect_peer import KEY, frame, read
from failover_kit.manager import dialect, wire, wireitems
from failover_kit.manager.config import Secret
from failover_kit.manager.records import Beat, GroupClaim
from failover_kit.manager.states import GroupState
from failover_kit.manager.wire import Fault, FrameError, decode, encode

DATA = pathlib.Path(__file__).resolve().parents[1] / "data" / "dialect"
KEYS = {1: Secret(KEY)}

WEB = GroupClaim(name="web", state=GroupState.STARTED, held=True, right=5, top=5)
MAIL = GroupClaim(name="mail", state=GroupState.STOPPED, held=False, right=0, top=2)
ACTIVE = Beat(
    node="mclaws",
    boot_id="77aa0000-3b05-4d0c-9d0a-9e2b4f7f9a51",
    nonce="90c1b6a2d2e04f5c",
    counter=988,
    echoes=(("6f1d0a7b52c94e83", 1204),),
    hears=True,
    ready=True,
    digest="5b0f6a1d0c7e9a34",
    groups=(WEB, MAIL),
)
CURRENT = dataclasses.replace(
    ACTIVE, links=(True, False), maintenance=3, still=True, release="0.1.0", minor=dialect.MINOR
)


def recorded(name: str) -> Beat:
    return decode((DATA / name).read_bytes(), KEYS)


def refused(data: bytes) -> Fault:
    with pytest.raises(FrameError) as caught:
        decode(data, KEYS)
    return caught.value.fault


def lines_of(beat: Beat) -> list[str]:
    return encode(beat, KEYS, 1).partition(b"auth ")[0].decode().split("\n")[1:-1]


# --- a peer of 1.0 --------------------------------------------------------------------------------------


def test_recorded_frames_of_1_0_are_read() -> None:
    assert recorded("1.0/active.frame") == ACTIVE
    first = recorded("1.0/first.frame")
    assert (first.echoes, first.hears, first.minor) == ((), False, 0)
    granting = recorded("1.0/granting.frame")
    assert (granting.groups[0].grant, granting.groups[0].grant_nonce) == (7, "6f1d0a7b52c94e83")
    assert granting.groups[0].failed_here and granting.groups[1].fence_me == 4
    leaving = recorded("1.0/leaving.frame")
    assert leaving.leaving and leaving.groups[0].parked and leaving.groups[1].want == 3
    for path in sorted((DATA / "1.0").glob("*.frame")):
        beat = recorded(f"1.0/{path.name}")
        assert encode(beat, KEYS, 1) == path.read_bytes(), "1.0 is not written any more as it was"


def test_what_1_0_does_not_say_is_the_safe_reading() -> None:
    beat = recorded("1.0/active.frame")
    assert (beat.links, beat.maintenance, beat.still, beat.release, beat.minor) == ((), 0, False, "", 0)


def test_1_0_hears_this_node() -> None:
    minor, known, ignored = read(encode(CURRENT, KEYS, 1))
    assert minor == dialect.MINOR
    assert known == lines_of(ACTIVE)
    assert ignored == ["links 10", "maintenance 3 still", "release 0.1.0"]


def test_a_frame_of_1_0_with_a_younger_line_is_refused() -> None:
    """Who says 1.0 has no such line: it is no addition but another spelling."""
    assert refused(frame(0, lines_of(CURRENT))) is Fault.MALFORMED
    assert decode(frame(dialect.MINOR, lines_of(CURRENT)), KEYS) == CURRENT


# --- a peer of 1.9 --------------------------------------------------------------------------------------


def test_recorded_frames_of_1_9_are_read_without_what_is_not_known() -> None:
    known = dataclasses.replace(ACTIVE, links=(True, True), maintenance=4, release="0.9.0", minor=9)
    assert recorded("1.9/active.frame") == known
    keeps_still = recorded("1.9/maintenance.frame")
    assert (keeps_still.maintenance, keeps_still.still) == (3, True)
    assert [claim.name for claim in keeps_still.groups] == ["web", "mail"]
    assert recorded("1.9/plain.frame").minor == 9


def lines_1_9() -> list[str]:
    return [
        *lines_of(dataclasses.replace(CURRENT, groups=())), "weather fine 21", "mice",
        "group web started held right=5 top=5 colour=green urgent", "group mail stopped top=2",
    ]  # fmt: skip


def changed(old: str, new: str) -> bytes:
    lines = lines_1_9()
    assert old in lines
    lines[lines.index(old)] = new
    return frame(9, "\n".join(lines).split("\n"))


def test_1_9_as_a_test_makes_it_is_read() -> None:
    assert decode(frame(9, lines_1_9()), KEYS) == dataclasses.replace(CURRENT, minor=9)


@pytest.mark.parametrize("minor", range(dialect.MINOR + 1))
def test_unknown_lines_are_ignored_only_from_a_higher_minor(minor: int) -> None:
    assert refused(frame(minor, lines_1_9())) is Fault.MALFORMED
    plain = lines_of(dataclasses.replace(CURRENT, minor=minor))
    for line in ("weather fine", "says no"):
        assert refused(frame(minor, [*plain[:-2], line, *plain[-2:]])) is Fault.MALFORMED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mice", "mice\nweather again"),  # twice
        ("mice", "mice\nmice"),
        ("mice", "maintenance 5"),  # known, and behind what is not
        ("mice", "echo a 1"),
        ("mice", "auth 1 2=3"),
        ("mice", "Mice"),
        ("mice", "mice "),
        ("mice", "mice  two"),
        ("mice", "mice x=y"),
        ("mice", "m" * 25),
        ("mice", "mice " + "x" * 97),
        ("mice", "mice é"),
        ("mice", "mice" + " a" * 33),
        ("mice", "\n".join(f"line{n}" for n in range(wireitems.UNKNOWN_LIMIT))),  # one too many, with the weather
        ("beat 988", "weather sun\nbeat 988"),  # in the middle of what is known
        ("conf 5b0f6a1d0c7e9a34", "snow\nconf 5b0f6a1d0c7e9a34"),
        ("links 10", "snow\nlinks 10"),
        ("links 10", "links 10 new"),  # no words behind a known line
        ("says hears ready", "says hears ready sleepy"),
        ("maintenance 3 still", "maintenance 03 still"),  # known lines keep their one spelling
        ("maintenance 3 still", "release 0.1.0"),
        ("group mail stopped top=2", "group mail stopped top=2\nweather behind"),
        ("group mail stopped top=2", "group mail colour=red stopped top=2"),
        ("group mail stopped top=2", "group mail stopped colour=red top=2"),
        ("group mail stopped top=2", "group mail stopped top=2 a a"),
        ("group mail stopped top=2", "group mail stopped top=2 a=1 a=2"),
        ("group mail stopped top=2", "group mail stopped top=2 a="),
        ("group mail stopped top=2", "group mail stopped top=2 a=b=c"),
        ("group mail stopped top=2", "group mail stopped top=2 " + " ".join(f"a{n}" for n in range(17))),
        ("group mail stopped top=2", "group mail hovering top=2"),  # a new state is no addition
        ("group mail stopped top=2", "group web stopped top=2"),
    ],
)
def test_an_addition_stands_only_where_additions_may(old: str, new: str) -> None:
    lines_1_9()
    with pytest.raises(FrameError):
        decode(changed(old, new), KEYS)


def test_without_the_key_nothing_of_it_is_looked_at() -> None:
    data = frame(9, lines_1_9())
    assert refused(data.replace(b"weather fine", b"weather grey")) is Fault.FORGED
    assert refused(data.replace(b"1.9", b"1.8", 1)) is Fault.FORGED
    assert refused(data.replace(b"kit 1.9", b"kit 1.0", 1)) is Fault.FORGED
    assert refused(data[: data.index(b"group")]) is Fault.TRUNCATED
    assert refused(data.replace(b"auth 1", b"auth 2")) is Fault.UNKNOWN_KEY


def test_a_newer_frame_has_the_same_bound() -> None:
    lines = lines_1_9()
    for extra in range(9):
        lines.insert(-2, f"more{extra} " + " ".join(["x" * 90] * 2))
    assert refused(frame(9, lines)) is Fault.TOO_LONG


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=80), st.integers(0, 14))
def test_whatever_a_newer_minor_adds_is_ignored_or_refused(text: str, at: int) -> None:
    """And what is known of the beat is never another for it."""
    lines = lines_1_9()
    lines.insert(min(at, len(lines)), text)
    try:
        beat = decode(frame(9, lines), KEYS)
    except FrameError:
        return
    assert dataclasses.replace(beat, minor=dialect.MINOR) == CURRENT or text.startswith(("group ", "echo "))


# --- the table ------------------------------------------------------------------------------------------


def test_another_major_is_named_with_the_node_to_upgrade() -> None:
    newer = frame(0, lines_of(ACTIVE)).replace(b"kit 1.0", b"kit 2.0", 1)
    with pytest.raises(FrameError, match=r"version 2\.0 was dropped, this node speaks 1\.1; .* on this node"):
        decode(newer, KEYS)
    for version in (b"1", b"1.01", b"1.1000", b"1.1.1"):
        data = frame(0, lines_of(ACTIVE)).replace(b"kit 1.0\n", b"kit " + version + b"\n", 1)
        assert refused(data) is Fault.MALFORMED


def test_every_field_of_a_beat_is_of_1_0_or_an_addition() -> None:
    """A field that is neither would be lost on the wire; one without a default could not be missing."""
    base = {"node", "boot_id", "nonce", "counter", "echoes", "hears", "ready", "leaving", "digest", "groups"}
    added = [name for addition in wireitems.ADDITIONS for name in addition.fields]
    assert sorted(added) == sorted({field.name for field in dataclasses.fields(Beat)} - base - {"minor"})
    minors = [addition.since for addition in wireitems.ADDITIONS]
    assert minors == sorted(minors), "additions are appended"
    assert min(minors) > 0 and max(minors) <= dialect.MINOR
    keys = [addition.key for addition in wireitems.ADDITIONS]
    assert len(set(keys)) == len(keys) and not set(keys) & (wire._BASE_KEYS | {"group", "auth"})


def test_narrowed_is_what_is_left_on_the_way_to_1_0() -> None:
    assert wireitems.narrowed(CURRENT, 0) == dataclasses.replace(ACTIVE, minor=dialect.MINOR)
    assert wireitems.narrowed(CURRENT, dialect.MINOR) == CURRENT


def test_our_release_fits_into_a_beat() -> None:
    from failover_kit import VERSION

    encode(dataclasses.replace(CURRENT, release=VERSION), KEYS, 1)
    with pytest.raises(ValueError, match="too long for a beat"):
        encode(dataclasses.replace(CURRENT, release="1" * 13), KEYS, 1)


@pytest.mark.parametrize("text", ["1\x1b[2J", "1\n0", "\udcff", "1 0", "caf\u00e9"])
def test_a_release_is_printable_for_it_is_shown_to_people(text: str) -> None:
    """A terminal would obey it, and what is no UTF-8 cannot be written into metrics or given to syslog."""
    with pytest.raises(ValueError, match="no printable ASCII"):
        encode(dataclasses.replace(CURRENT, release=text), KEYS, 1)
    lines = [f"release {wireitems.quote(text)}" if line == "release 0.1.0" else line for line in lines_of(CURRENT)]
    assert refused(frame(dialect.MINOR, lines)) is Fault.MALFORMED
    assert encode(dataclasses.replace(CURRENT, release="1:2.0~rc1+b3"), KEYS, 1)
