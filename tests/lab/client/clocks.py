"""Which moment of a guest's clock is which of the host's: an offset with its bound. Pure but for the asking.

A guest is asked for its time since boot (``/proc/uptime``, CLOCK_BOOTTIME in steps of 10 ms). It answers at some
moment between the question and the answer, so the offset is known up to half the round trip; of several rounds the
shortest is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

STEP_MS = 10
ROUNDS = 5
DRIFT = 500
"""An emulated processor's clock is calibrated at boot, in a hurry: it may go wrong by one part in so many."""


@dataclass(frozen=True, slots=True)
class ClockMap:
    """``guest = host + offset_ms``, wrong by ``bound_ms`` at the most when it was measured."""

    offset_ms: int
    bound_ms: int

    def guest_ms(self, host_ms: int) -> int:
        return host_ms + self.offset_ms

    def host_ms(self, guest_ms: int) -> int:
        return guest_ms - self.offset_ms

    def agrees(self, other: ClockMap, elapsed_ms: int) -> bool:
        """Whether no clock jumped in the ``elapsed_ms`` between the two measurements; drift is allowed for."""
        allowed_ms = self.bound_ms + other.bound_ms + elapsed_ms // DRIFT
        return abs(self.offset_ms - other.offset_ms) <= allowed_ms


def uptime_ms(text: str) -> int:
    """The first number of ``/proc/uptime``, seconds with two digits, in ms."""
    seconds, _, hundredths = text.split()[0].partition(".")
    return int(seconds) * 1000 + int(hundredths) * 10


def measure(ask: Callable[[], str], now_ms: Callable[[], int], rounds: int = ROUNDS) -> ClockMap:
    """``ask`` returns the guest's ``/proc/uptime``; ``now_ms`` is the host's clock."""
    best: ClockMap | None = None
    for _ in range(rounds):
        before = now_ms()
        guest = uptime_ms(ask())
        after = now_ms()
        # The shown time is rounded down: the true one is up to a step later.
        bound = (after - before + 1) // 2 + STEP_MS
        found = ClockMap(guest - (before + after) // 2, bound)
        best = found if best is None or found.bound_ms < best.bound_ms else best
    if best is None:
        raise ValueError("a clock is measured in one round at least")
    return best
