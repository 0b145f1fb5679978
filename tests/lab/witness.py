"""The witness at the shelf's port: every AoE request that arrives, when, from whom, read or write, and where.

It reads a ring that it shares with the kernel (packet_mmap, TPACKET_V3): a filter lets only requests in and cuts
their data off, the kernel stamps each with its time of arrival, and frames come in blocks. So a busy machine makes
it late, never wrong; only a full ring loses frames, and the kernel counts those. A witness that lost one says so
instead of testifying.

The kernel's stamps are wall clock; the difference to CLOCK_MONOTONIC is taken whenever a block is read, within
RETIRE_MS of the frames in it.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import struct
import threading
import time

from lab import frames

SOL_PACKET = 263  # include/linux/socket.h
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V3 = 5, 6, 10, 2  # include/uapi/linux/if_packet.h
STATUS_KERNEL, STATUS_USER = 0, 1
BLOCK_BYTES, BLOCK_COUNT, FRAME_BYTES = 1 << 16, 256, 1 << 11
"""16 MiB: some 100 000 frames of about 130 bytes each, ten seconds of the fastest load seen."""

RETIRE_MS = 20
SETTLE_MS = 70
"""A frame is in our hands at the latest this long after it arrived: two turns of the kernel's timer, and some."""
RECORD_LIMIT = 6_000_000
"""144 MB of records; a run that is longer must mark() and read earlier, or not be believed."""

_BLOCK_HEAD = struct.Struct("=8xIII")  # struct tpacket_hdr_v1: block_status, num_pkts, offset_to_first_pkt
_FRAME_HEAD = struct.Struct("=IIIIIIH")  # struct tpacket3_hdr: next, sec, nsec, snaplen, len, status, mac


class Witness:
    """Begins when made, in the network namespace of the caller. ``path`` takes the records; ``blocks`` is the size
    of the ring, a power of two; not ``running``: nobody reads it (a test of what a lost frame does)."""

    def __init__(self, interface: str, path: str, *, blocks: int = BLOCK_COUNT, running: bool = True) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        attach_filter(self._socket)
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        count = BLOCK_BYTES * blocks // FRAME_BYTES
        self._socket.setsockopt(
            SOL_PACKET,
            PACKET_RX_RING,
            struct.pack("=7I", BLOCK_BYTES, blocks, FRAME_BYTES, count, RETIRE_MS, 0, 0),
        )
        self._ring = mmap.mmap(self._socket.fileno(), BLOCK_BYTES * blocks)
        self._socket.bind((interface, frames.ETHERTYPE))
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._at = 0
        self._blocks = blocks
        self.count = 0
        self.dropped = 0
        self.full = False
        self.problem = ""
        self._read_through_ns = 0
        self._moved = threading.Condition()
        if running:
            threading.Thread(target=self._serve, name="witness", daemon=True).start()

    def testify(self, timeout_s: float) -> dict[str, object]:
        """Wait until everything that arrived before now is in the file; then what is known about the record.

        ``caught_up`` False: the witness is further behind than ``timeout_s``.
        """
        now_ns = time.monotonic_ns()
        with self._moved:
            caught_up = self._moved.wait_for(lambda: self._read_through_ns > now_ns or self.problem, timeout_s)
        return {
            "caught_up": bool(caught_up) and not self.problem,
            "count": self.count,
            "dropped": self.dropped,
            "full": self.full,
            "problem": self.problem,
        }

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        try:
            while True:
                began_ns = time.monotonic_ns()
                poll.poll(RETIRE_MS)
                while self._block():
                    pass
                self.count_drops()
                with self._moved:
                    # A frame older than this was in a block that had been retired before we looked.
                    self._read_through_ns = began_ns - SETTLE_MS * 1_000_000
                    self._moved.notify_all()
        except Exception as error:  # outermost in this thread; without it, silence would pass for no frames
            self.problem = f"{type(error).__name__}: {error}"
            with self._moved:
                self._moved.notify_all()

    def _block(self) -> bool:
        """Take the next block if the kernel has handed it over."""
        base = self._at * BLOCK_BYTES
        status, count, first = _BLOCK_HEAD.unpack_from(self._ring, base)
        if not status & STATUS_USER:
            return False
        skew = skew_ns()
        at = base + first
        found = []
        with memoryview(self._ring) as ring:
            for _ in range(count):
                following, seconds, nanoseconds, length, _, _, mac = _FRAME_HEAD.unpack_from(ring, at)
                t_ns = seconds * 1_000_000_000 + nanoseconds + skew
                line = frames.record(t_ns, ring[at + mac : at + mac + length])
                if line is not None:
                    found.append(line)
                at += following
        struct.pack_into("=I", self._ring, base + 8, STATUS_KERNEL)
        self._at = (self._at + 1) % self._blocks
        self._write(found)
        return True

    def _write(self, found: list[bytes]) -> None:
        room = RECORD_LIMIT - self.count
        if len(found) > room:
            self.full = True
            found = found[:room]
        if found:
            os.write(self._fd, b"".join(found))
            self.count += len(found)

    def count_drops(self) -> None:
        """Add the kernel's count of frames that found the ring full."""
        # struct tpacket_stats_v3; reading it sets the kernel's counters to zero.
        _, drops, _ = struct.unpack("=3I", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12))
        self.dropped += drops


def skew_ns() -> int:
    """What to add to the wall clock for CLOCK_MONOTONIC; of three tries the one that was disturbed least."""
    tries = []
    for _ in range(3):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        tries.append((after - before, (before + after) // 2 - wall))
    return min(tries)[1]


def attach_filter(packet_socket: socket.socket) -> None:
    """Only AoE requests, only their headers (classic BPF, Documentation/networking/filter.rst)."""
    import ctypes

    program = (
        (0x28, 0, 0, 12),  # ldh [12]           EtherType
        (0x15, 0, 3, frames.ETHERTYPE),  # jne → drop
        (0x30, 0, 0, 14),  # ldb [14]           version and flags
        (0x45, 1, 0, frames.RESPONSE),  # jset → drop
        (0x06, 0, 0, frames.SNAP_BYTES),  # ret: keep that many bytes
        (0x06, 0, 0, 0),  # ret: drop
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    so_attach_filter = 26  # include/uapi/asm-generic/socket.h
    packet_socket.setsockopt(
        socket.SOL_SOCKET, so_attach_filter, struct.pack("@HP", len(program), ctypes.addressof(code))
    )
