"""Writer and Reader save work on what stands still between two beats; they may never say anything else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failover_kit.manager import dialect, wire
from failover_kit.manager.records import MOVING, STANDING, Beat, standing
from failover_kit.manager.wire import FrameError, Reader, Writer
from unit.test_wire_frames import BEAT, KEYS, beats, counters, names, signed

echoes = st.lists(st.tuples(names, counters), max_size=2).map(tuple)
moving = st.fixed_dictionaries({"counter": counters, "echoes": echoes})


def outcome(decoded: object) -> object:
    """A beat, or the fault and its sentence."""
    try:
        return decoded() if callable(decoded) else decoded
    except FrameError as error:
        return error.fault, str(error)


@settings(max_examples=60, deadline=None)
@given(first=beats, others=st.lists(st.one_of(beats, moving), max_size=4))
def test_a_story_of_beats_is_written_and_read_as_each_beat_alone(first: Beat, others: list[object]) -> None:
    writer, reader, beat = Writer(KEYS, 1), Reader(KEYS), first
    for other in (None, *others):
        if isinstance(other, dict):
            beat = dataclasses.replace(beat, **other)
        elif isinstance(other, Beat):
            beat = other
        frame = writer.encode(beat)
        assert frame == wire.encode(beat, KEYS, 1)
        assert reader.decode(frame) == beat


NUMBERS = (b"beat 1205", b"beat 01205", b"beat +1", b"beat 99999999999999999", b"beat 1205 x", b"beats 1205", b"")
ECHOES = (
    b"echo 90c1b6a2d2e04f5c 989\n", b"", b"echo - 1\n", b"echo 90c1 007\n", b"echo %39 1\n", b"echo 90c1\n",
    b"echo a 1\necho b 2\n", b"echo a 1\necho b 2\necho c 3\n", b"echo a 1 2\n", b"echo a=b 1\n", b"echo \xff 1\n",
)  # fmt: skip


@pytest.mark.parametrize("echo_lines", ECHOES)
@pytest.mark.parametrize("number", NUMBERS)
def test_what_moves_is_judged_as_in_a_frame_that_stands_alone(number: bytes, echo_lines: bytes) -> None:
    frame = wire.encode(BEAT, KEYS, 1)
    body = frame[: frame.rindex(b"auth 1 ")]
    odd = body.replace(b"beat 1204\necho 90c1b6a2d2e04f5c 988\n", number + b"\n" + echo_lines)
    assert odd != body
    reader = Reader(KEYS)
    assert reader.decode(frame) == BEAT
    assert outcome(lambda: reader.decode(signed(odd))) == outcome(lambda: wire.decode(signed(odd), KEYS))
    assert reader.decode(frame) == BEAT, "and nothing of it is kept"


def test_each_frame_is_checked_however_well_it_is_known() -> None:
    """The very bytes of a known frame, with another signature: forged, as ever."""
    reader = Reader(KEYS)
    frame = wire.encode(BEAT, KEYS, 1)
    assert reader.decode(frame) == reader.decode(frame) == BEAT
    at = frame.rindex(b"auth 1 ") + len(b"auth 1 ")
    forged = frame[:at] + (b"0" if frame[at : at + 1] != b"0" else b"1") + frame[at + 1 :]
    for bad in (forged, frame[:-5], frame.replace(b"beat 1204", b"beat 1205"), frame.replace(b"auth 1", b"auth 7")):
        with pytest.raises(FrameError):
            reader.decode(bad)


def test_what_a_newer_minor_says_beyond_us_is_not_kept() -> None:
    """Not all of its lines were read: the next frame may have them otherwise, and is read as a whole."""
    reader = Reader(KEYS)
    newer = dialect.name_of(dialect.MINOR + 1).encode()
    frame = wire.encode(BEAT, KEYS, 1)
    text = frame[: frame.rindex(b"auth 1 ")].replace(dialect.name_of(dialect.MINOR).encode(), newer, 1)
    for number in (1204, 1205):
        said = signed(text.replace(b"beat 1204", b"beat %d" % number))
        assert reader.decode(said) == wire.decode(said, KEYS)
    assert reader._parts is None


def test_no_field_of_a_beat_is_forgotten_when_beats_are_compared() -> None:
    assert {*STANDING, *MOVING} == {field.name for field in dataclasses.fields(Beat)}
    assert standing(BEAT) == standing(dataclasses.replace(BEAT, counter=9, echoes=()))
    assert standing(BEAT) != standing(dataclasses.replace(BEAT, hears=False))
