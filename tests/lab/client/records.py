"""The form of a writer's records on the NFS mount. Pure; standard library only.

    FKR1 NAME RUN SEQUENCE LENGTH SHA256\n PAYLOAD \n

SEQUENCE is 8 digits, LENGTH (bytes of PAYLOAD) 6, SHA256 is over everything before it and the payload. The payload
follows from name, run and sequence, so that whoever knows these can say every byte that must be there. Sizes vary
so that records begin and end anywhere in a page and in a block.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"FKR1 "
LARGE = 4000
_HEADER = re.compile(rb"FKR1 (\S{1,32}) (\S{1,32}) (\d{8}) (\d{6}) ([0-9a-f]{64})\n")
_LONGEST_HEADER = 5 + 33 + 33 + 9 + 7 + 65


def payload_size(sequence: int) -> int:
    """Bytes: four of five records about a page, every fifth small."""
    return LARGE + sequence % 180 if sequence % 5 else 24 + sequence % 200


def encode(name: str, run: str, sequence: int) -> bytes:
    """Record ``sequence`` of the writer ``name`` in its run ``run``."""
    size = payload_size(sequence)
    seed = f"{name} {run} {sequence}".encode("ascii")
    payload = hashlib.shake_128(seed).hexdigest((size + 1) // 2)[:size].encode("ascii")
    head = f"FKR1 {name} {run} {sequence:08d} {size:06d} ".encode("ascii")
    digest = hashlib.sha256(head + payload).hexdigest().encode("ascii")
    return head + digest + b"\n" + payload + b"\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What begins at byte ``at``: a whole record, or (``fault``) why it is none. ``length`` is 0 for no record."""

    at: int
    length: int
    name: str = ""
    run: str = ""
    sequence: int = 0
    fault: str = ""


def decode(data: bytes, at: int) -> Found:
    """What begins at byte ``at`` of ``data``."""
    if at >= len(data):
        return Found(at, 0, fault=f"the file ends at byte {len(data)}")
    match = _HEADER.match(data, at, at + _LONGEST_HEADER)
    if match is None:
        piece = data[at : at + 24]
        return Found(at, 0, fault="zeros" if not any(piece) else f"no header of a record: {piece!r}")
    name, run, sequence, size, digest = match.groups()
    end = match.end() + int(size) + 1
    whole = Found(at, end - at, name.decode("ascii", "replace"), run.decode("ascii", "replace"), int(sequence))
    if end > len(data):
        return _torn(whole, f"it needs bytes to {end}, the file ends at {len(data)}")
    payload = data[match.end() : end - 1]
    head = data[at : match.start(5)]
    if hashlib.sha256(head + payload).hexdigest().encode("ascii") != digest or data[end - 1 : end] != b"\n":
        return _torn(whole, "its checksum does not fit")
    return whole


def _torn(found: Found, why: str) -> Found:
    return Found(found.at, found.length, found.name, found.run, found.sequence, why)


def scan(data: bytes, end: int) -> Iterator[Found]:
    """Everything that begins before byte ``end``, from byte 0 on. After a fault the next header is looked for."""
    at = 0
    while at < min(end, len(data)):
        found = decode(data, at)
        yield found
        if found.fault:
            following = data.find(MAGIC, at + 1)
            at = following if following >= 0 else len(data)
        else:
            at += found.length
