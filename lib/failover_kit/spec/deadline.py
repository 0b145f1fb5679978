"""One point in time after which nobody waits any longer.

A deadline is made once, at the edge (an operation's timeout), and handed down to everything that
waits, so that waits never add up. The clock is CLOCK_BOOTTIME: it counts suspend and ignores
clock steps (clock_gettime(2)).
"""

import time


def boottime_ms() -> int:
    """Milliseconds since boot, suspend included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class DeadlineExpired(Exception):
    """The time for an operation is used up; ``str()`` names what was being waited for."""


class Deadline:
    """A fixed end on the boot clock."""

    __slots__ = ("end_ms", "total_ms")

    def __init__(self, total_ms: int) -> None:
        self.total_ms = total_ms
        self.end_ms = boottime_ms() + total_ms

    def left_ms(self) -> int:
        """Milliseconds left, never below 0."""
        return max(0, self.end_ms - boottime_ms())

    def left_s(self) -> float:
        """Seconds left, never below 0."""
        return self.left_ms() / 1000

    def expired(self) -> bool:
        return self.left_ms() == 0

    def require(self, what: str) -> None:
        """Raise DeadlineExpired naming ``what`` when no time is left."""
        if self.expired():
            raise DeadlineExpired(f"{what}: not done within {self.total_ms / 1000:g} s")

    def at_most(self, total_ms: int) -> "Deadline":
        """A deadline ``total_ms`` from now that never outlives this one."""
        return Deadline(min(total_ms, self.left_ms()))
