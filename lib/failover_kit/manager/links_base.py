"""What every link does: open, fail with a sentence, try again, and complain at a bounded rate.

A link never queues: a frame that cannot be sent now is dropped or takes the place of the one that waits
(PROTOCOL rule 22), because only the latest beat matters and an old one would lie about the present.
A link that cannot be opened is tried again for ever, with a bounded pause, and says why in ``error``.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from failover_kit.spec.deadline import boottime_ms

OnFrame = Callable[[str, bytes, str], None]
"""Called with the link's name, what came in, and where from ("" on a serial line)."""

REOPEN_FIRST_MS = 250
REOPEN_LAST_MS = 2_000

NOTE_INTERVAL_MS = 60_000
"""The same complaint is noted once in this time, with the number of those passed over."""


class Limiter:
    """Lets a sentence of one kind through once per NOTE_INTERVAL_MS."""

    def __init__(self, note: Callable[[str], None], now_ms: Callable[[], int] = boottime_ms) -> None:
        self._note = note
        self._now_ms = now_ms
        self._last: dict[tuple[str, str], tuple[int, int]] = {}  # when noted, how many passed over since

    def note(self, link: str, kind: str, text: str) -> None:
        """Note ``link: text`` unless this link said something of this kind a short while ago."""
        now = self._now_ms()
        noted_ms, passed_over = self._last.get((link, kind), (now - NOTE_INTERVAL_MS, 0))
        if now - noted_ms < NOTE_INTERVAL_MS:
            self._last[link, kind] = (noted_ms, passed_over + 1)
            return
        more = f" ({passed_over} more like it since the last such note)" if passed_over else ""
        self._last[link, kind] = (now, 0)
        self._note(f"{link}: {text}{more}")


class Down(Exception):
    """The device of a link is unusable; ``str()`` is the sentence for status."""


class Link(ABC):
    """One way to the peer. ``start`` and everything after it belong to one running event loop."""

    def __init__(self, name: str, note: Callable[[str], None]) -> None:
        """``name`` as in the core's configuration; ``note`` gets a sentence when the link fails or recovers."""
        self.name = name
        self.unsent = 0  # beats that an open device did not take, since the start
        self.error = ""  # one sentence while something is wrong on this side of the link
        self._limiter = Limiter(note)
        self._on_frame: OnFrame = lambda _link, _frame, _source: None
        self._reopen: asyncio.TimerHandle | None = None
        self._pause_ms = REOPEN_FIRST_MS
        self._closed = True

    def start(self, on_frame: OnFrame) -> None:
        """Open it; a failure shows in ``error`` and is retried."""
        self._on_frame = on_frame
        self._closed = False
        self._try_open()

    @abstractmethod
    def send(self, frame: bytes) -> None:
        """Send, or drop it. Never blocks, never raises."""

    def close(self) -> None:
        """Stop for good. May be called twice."""
        self._closed = True
        if self._reopen is not None:
            self._reopen.cancel()
            self._reopen = None
        self._close_device()

    @abstractmethod
    def _open_device(self) -> None:
        """Open and watch the device. Down when that cannot be."""

    @abstractmethod
    def _close_device(self) -> None:
        """Stop watching and close whatever is open."""

    def _retry(self) -> None:
        """The pause is over."""
        self._try_open()

    def _try_open(self) -> None:
        self._reopen = None
        try:
            self._open_device()
        except Down as down:
            self._device_failed(str(down))

    def _device_failed(self, sentence: str) -> None:
        """Close, complain, and try again after a pause that grows until something is received."""
        self._close_device()
        self._complain(sentence)
        if self._closed or self._reopen is not None:
            return
        self._reopen = asyncio.get_running_loop().call_later(self._pause_ms / 1000, self._retry)
        self._pause_ms = min(self._pause_ms * 2, REOPEN_LAST_MS)

    def _complain(self, sentence: str) -> None:
        if sentence != self.error:
            self.error = sentence
            self._limiter.note(self.name, sentence, sentence)

    def _works(self) -> None:
        """Something went through, so what was wrong is over."""
        if self.error:
            self.error = ""
            self._limiter.note(self.name, "works", "works again")

    def _received(self) -> None:
        self._pause_ms = REOPEN_FIRST_MS
