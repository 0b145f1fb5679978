"""What the witness makes of a frame."""

from __future__ import annotations

import struct

import pytest

from lab import frames
from lab.frames import Frame

PETE = bytes.fromhex("020000000301")


def ata(
    command: int, *, aflags: int = 0x40, sectors: int = 2, lba: int = 0x123456789A, flags: int = 0x10, kind: int = 0
) -> bytes:
    """A frame as the aoe driver sends it, with room for data behind."""
    ethernet = b"\xff" * 6 + PETE + struct.pack("!H", 0x88A2)
    aoe = struct.pack("!BBHBBI", flags, 0, 0, 0, kind, 77)
    header = struct.pack("!BBBB", aflags, 0, sectors, command) + lba.to_bytes(6, "little")
    return ethernet + aoe + header + bytes(40)


def one(data: bytes) -> Frame:
    line = frames.record(1_500_250_000, data)
    assert line is not None
    return next(frames.parse(line))


def test_a_read_is_a_read() -> None:
    assert one(ata(0x24)) == Frame(1500.25, "02:00:00:00:03:01", "read", 0x123456789A, 2)


@pytest.mark.parametrize("command", [0x30, 0x34, 0xCA, 0x35])
def test_every_writing_command_is_a_write(command: int) -> None:
    assert one(ata(command)).kind == "write"


def test_an_unknown_command_that_carries_data_is_a_write() -> None:
    assert one(ata(0x99, aflags=0x41)).kind == "write"


@pytest.mark.parametrize("command", [0xEC, 0xE7, 0xEA])
def test_identify_and_flush_are_neither(command: int) -> None:
    assert one(ata(command)).kind == "other"


def test_a_query_of_the_shelf_is_neither() -> None:
    assert one(ata(0x30, kind=1)) == Frame(1500.25, "02:00:00:00:03:01", "other", 0, 0)


def test_28_bit_addresses_have_28_bits() -> None:
    assert one(ata(0x20, aflags=0, lba=0xE1234567)).lba == 0x01234567


NOT_OURS = ata(0x24).replace(b"\x88\xa2", b"\x08\x00")


@pytest.mark.parametrize("data", [b"", ata(0x24)[:20], ata(0x24, flags=0x18), NOT_OURS])
def test_what_is_no_request_is_nothing(data: bytes) -> None:
    assert frames.record(0, data) is None


def test_a_frame_without_its_ata_header_is_still_on_record() -> None:
    assert one(ata(0x34)[:30]).kind == "other"
