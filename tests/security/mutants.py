"""Bad frames made from good ones: seeded, so that a number names one for ever.

Each mutator takes real frames as they were sent and returns bytes that somebody without the key can make. What it
returns may by chance be a frame that was really sent (a replay); whoever uses it looks that up.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

LIMIT_BYTES = 1232
_NUMBERS = (
    b"0", b"-1", b"01", b"999999999", b"1000000000", b"999999999999", b"1" * 40, b"9" * 900, b"1e9", b"\xd9\xa1",
)  # fmt: skip
_CONTROL = (
    b"\x00", b"\x1b[2J", b"\r", b"\x7f", b"\xff\xfe", b"\xc3\xa9", b"\xe2\x80\xae", b"\xf0\x9f\x92\xa3", b"%0A",
    b"\n",
)  # fmt: skip
_HEADS = tuple(b"=failover-kit " + version for version in (b"1.0", b"1.9", b"1.999", b"2.0", b"0.0"))
_STARTS = (b"", b">>>\n", b"###\n", b"=failover-kit ", b"=failover-kit 1.1\n", b"=failover-kit-test\n")

Mutator = Callable[[random.Random, bytes, bytes], bytes]


def _flip_bits(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    data = bytearray(frame)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def _replace_bytes(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(frame))
    return frame[:at] + rng.randbytes(rng.choice((1, 2, 16))) + frame[at + rng.choice((0, 1, 2, 16)) :]


def _truncate(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    at = rng.randrange(len(frame))
    return frame[:at] if rng.random() < 0.5 else frame[at:]


def _oversize(rng: random.Random, frame: bytes, other: bytes) -> bytes:
    return rng.choice((frame * 20, frame[:-6] + b"x" * LIMIT_BYTES + frame[-6:], frame + other, b"\n" * 5000))


def _splice(rng: random.Random, frame: bytes, other: bytes) -> bytes:
    return frame[: rng.randrange(len(frame))] + other[rng.randrange(len(other)) :]


def _lines(rng: random.Random, frame: bytes, other: bytes) -> bytes:
    """A line twice, a line lost, two lines changed about, a line of another frame: with the old signature."""
    lines = frame.split(b"\n")
    one, two = rng.randrange(1, len(lines) - 2), rng.randrange(1, len(lines) - 2)
    match rng.randrange(4):
        case 0:
            lines.insert(two, lines[one])
        case 1:
            del lines[one]
        case 2:
            lines[one], lines[two] = lines[two], lines[one]
        case _:
            lines[one] = rng.choice(other.split(b"\n"))
    return b"\n".join(lines)


def _words(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    """A word twice, or huge, or of control characters and other scripts."""
    words = frame.split(b" ")
    at = rng.randrange(len(words))
    match rng.randrange(3):
        case 0:
            words.insert(at, words[at])
        case 1:
            words[at] = rng.choice(_NUMBERS)
        case _:
            words[at] += rng.choice(_CONTROL)
    return b" ".join(words)


def _counters(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    """Newer than it is."""
    lines = frame.split(b"\n")
    for at, line in enumerate(lines):
        if line.startswith((b"beat ", b"echo ", b"maintenance ")):
            lines[at] = line.rpartition(b" ")[0] + b" %d" % rng.choice((1, 10**6, 10**9, 10**12 - 1, 10**12))
    return b"\n".join(lines)


def _head(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    return rng.choice(_HEADS) + frame[frame.index(b"\n") :]


def _key_number(rng: random.Random, frame: bytes, _other: bytes) -> bytes:
    head, _, tail = frame.rpartition(b"\nauth 1 ")
    return head + b"\nauth %d " % rng.choice((0, 2, 15, 16, 99)) + tail


def _no_frame(rng: random.Random, _frame: bytes, _other: bytes) -> bytes:
    return rng.choice(_STARTS) + rng.randbytes(rng.randrange(200)) + rng.choice((b"", b"\n=end\n"))


MUTATORS: tuple[Mutator, ...] = (
    _flip_bits, _flip_bits, _replace_bytes, _truncate, _oversize, _splice, _lines, _words, _counters, _head,
    _key_number, _no_frame,
)  # fmt: skip


def mutants(frames: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """``count`` bad frames of ``frames``; one in six was mutated twice."""
    rng = random.Random(seed)
    for _ in range(count):
        frame, other = rng.choice(frames), rng.choice(frames)
        mutant = rng.choice(MUTATORS)(rng, frame, other)
        if rng.random() < 0.16 and len(mutant) > 40 and mutant.count(b"\n") > 4 and b"\nauth 1 " in mutant:
            mutant = rng.choice(MUTATORS)(rng, mutant, other)
        yield mutant
