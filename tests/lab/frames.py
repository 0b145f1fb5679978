"""AoE requests as the witness writes them down, one record of fixed size each. Pure.

ATA over Ethernet (EtherType 0x88A2), from the AoE specification (AoEr11): after the Ethernet header version and
flags (bit 3: a response), error, major, minor, command, tag; then for command 0 (ATA) aflags (bit 0: write, bit 6:
48 bit addresses), feature, sector count, ATA command, six bytes of LBA, least significant first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ETHERTYPE = 0x88A2
RESPONSE = 0x08
SNAP_BYTES = 36
"""Ethernet header, AoE header, ATA header; the data is nobody's business here."""

READ, WRITE, OTHER = 0, 1, 2
KINDS = ("read", "write", "other")

RECORD = struct.Struct("<Q6sBBQ")
"""Nanoseconds on CLOCK_MONOTONIC, source address, kind, sectors, LBA."""

_HEADER = struct.Struct("!6x6sHBxHBB4x")
_ATA = struct.Struct("!BxBB6s")
_COMMAND_ATA = 0
_AFLAG_WRITE, _AFLAG_EXTENDED = 0x01, 0x40
# ATA/ATAPI-6: READ SECTORS (EXT), READ DMA (EXT); WRITE SECTORS (EXT), WRITE DMA (EXT)
_READS = frozenset((0x20, 0x24, 0xC8, 0x25))
_WRITES = frozenset((0x30, 0x34, 0xCA, 0x35))


@dataclass(frozen=True)
class Frame:
    """One request that reached the shelf. ``t_ms``: CLOCK_MONOTONIC, with its fraction."""

    t_ms: float
    mac: str
    kind: str
    lba: int
    sectors: int


def record(t_ns: int, data: bytes | memoryview) -> bytes | None:
    """The record of one Ethernet frame; None for what is no AoE request."""
    if len(data) < _HEADER.size:
        return None
    mac, ethertype, flags, _major, _minor, command = _HEADER.unpack_from(data)
    if ethertype != ETHERTYPE or flags & RESPONSE:
        return None
    if command != _COMMAND_ATA or len(data) < SNAP_BYTES - 2:
        return RECORD.pack(t_ns, mac, OTHER, 0, 0)
    aflags, sectors, ata, address = _ATA.unpack_from(data, _HEADER.size)
    lba = int.from_bytes(address, "little")
    if not aflags & _AFLAG_EXTENDED:
        lba &= 0x0FFFFFFF
    # A frame that carries data to the disk is a write, whatever its command is called.
    kind = READ if ata in _READS else OTHER
    if aflags & _AFLAG_WRITE or ata in _WRITES:
        kind = WRITE
    return RECORD.pack(t_ns, mac, kind, sectors, lba)


def parse(records: bytes) -> Iterator[Frame]:
    """Records as frames, oldest first."""
    for t_ns, mac, kind, sectors, lba in RECORD.iter_unpack(records):
        yield Frame(t_ns / 1e6, mac.hex(":"), KINDS[kind], lba, sectors)
