"""When a service that does not answer is worth a takeover. Pure: no clock, no I/O.

Asked is after n failures in a row, about the epoch that was seen when they began. One takeover is asked for one
trouble: what the other node did not cure it will not cure the second time, so after a takeover the service has to
have answered n times in a row before another one is asked for.
"""

from __future__ import annotations


class Observer:
    """What one watcher knows. ``take`` is told each look; the sentences it returns are for the log."""

    def __init__(self, *, failures: int, again_ms: int) -> None:
        """``failures`` in a row lead to a request; after one without success the next waits ``again_ms``."""
        self._needed = failures
        self._again_ms = again_ms
        self._failed = 0
        self._well = 0
        self._armed = True
        self._not_before_ms = 0
        self._epoch = 0  # seen active when the failures began; 0 = not known

    def take(self, failure: str) -> str:
        """One look: "" for a good answer. Returns a sentence when something changed, else ""."""
        if failure:
            return self._take_failure(failure)
        failed, self._failed, self._epoch = self._failed, 0, 0
        self._well += 1
        said = [f"answers again after {failed} {_looks(failed)} without an answer"] if failed else []
        if not self._armed and self._well >= self._needed:
            self._armed = True
            said.append(f"answered {self._well} times in a row since the takeover: watching as before")
        return "; ".join(said)

    def _take_failure(self, failure: str) -> str:
        self._failed += 1
        self._well = 0
        if self._failed == self._needed and not self._armed:
            return (
                f"does not answer after the takeover either ({failure}): no other is asked for before it has "
                f"answered {self._needed} times in a row; look at the service itself"
            )
        if self._failed == self._needed and self._needed > 1:
            return f"did not answer {self._failed} times in a row: {failure}"
        return f"does not answer: {failure}" if self._failed == 1 else ""

    def wants_epoch(self) -> bool:
        """Whether failures began and the epoch they began under is not known yet."""
        return self._failed > 0 and not self._epoch and self._armed

    def due(self, now_ms: int) -> bool:
        """Whether a takeover is to be asked for now."""
        return self._failed >= self._needed and self._armed and now_ms >= self._not_before_ms

    def saw(self, epoch: int) -> str:
        """What is active now. A group that moved since the failures began gets its own count."""
        before, self._epoch = self._epoch, epoch
        if before in (0, epoch):
            return ""
        self._failed = 1
        return f"moved by itself meanwhile (epoch {before} to {epoch}): counted from the beginning"

    def not_asked(self, now_ms: int) -> None:
        """The request was not made, refused, or came to nothing."""
        self._not_before_ms = now_ms + self._again_ms

    def taken_over(self) -> None:
        """The takeover was done."""
        self._armed = False
        self._failed = self._well = self._epoch = 0


def _looks(count: int) -> str:
    return "look" if count == 1 else "looks"
