"""Counts for the metrics, and the file they stand in: written on a timer for node_exporter's textfile collector.

The picture is taken on the loop, which costs what one ``failoverctl status`` costs; rendering and writing happen on
a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from failover_kit.manager.actions import Action, Fence, Level, Note
from failover_kit.manager.events import (
    Event,
    FenceDone,
    MonitorFailed,
    PersistFailed,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.metrics import Extra, Gaps, render
from failover_kit.manager.offloop import Worker
from failover_kit.manager.status import Status

INTERVAL_S = 15.0
"""Between two files; Prometheus itself scrapes every 15 to 60 s."""

_CLOSE_LIMIT_S = 1.0

_OPERATIONS: dict[type, tuple[str, str]] = {
    Started: ("start", "ok"),
    StartFailed: ("start", "failed"),
    Stopped: ("stop", "ok"),
    StopFailed: ("stop", "failed"),
    MonitorFailed: ("monitor", "failed"),
}


class Meter:
    """Counts what happens on the loop: a Recorder of turns, and an ear for beats. Adds integers, nothing else."""

    def __init__(self, links: Sequence[str], groups: Sequence[str]) -> None:
        self._turns = Gaps()
        self._beats = {name: Gaps() for name in links}
        # A counter that begins to exist with its first event hides that event from rate().
        self._counts: dict[tuple[str, ...], int] = {("persist",): 0, ("shot", "fenced"): 0, ("shot", "failed"): 0}
        for group in groups:
            self._counts["takeover", group] = 0
            for what, result in _OPERATIONS.values():
                self._counts["operation", group, what, result] = 0
        self._looking: set[int] = set()  # ops that only look whether the plugs read OFF

    def record(self, now_ms: int, event: Event, actions: Sequence[Action]) -> None:
        """One turn of the core."""
        self._turns.happened(now_ms)
        if type(event) in _OPERATIONS and isinstance(
            event, (Started, StartFailed, Stopped, StopFailed, MonitorFailed)
        ):
            self._add("operation", event.group, *_OPERATIONS[type(event)])
        elif isinstance(event, PersistFailed):
            self._add("persist")
        elif isinstance(event, FenceDone):
            fenced = any(isinstance(action, Note) and action.code == "fenced" for action in actions)
            if fenced or event.op not in self._looking:
                self._add("shot", "fenced" if fenced else "failed")
            self._looking.discard(event.op)
        for action in actions:
            if isinstance(action, Fence) and action.only_if_off:
                self._looking.add(action.op)
            elif isinstance(action, Note) and action.code == "takeover":
                self._take_over(action.text)

    def _take_over(self, text: str) -> None:
        for key in self._counts:
            if key[0] == "takeover" and text.startswith(f"group {key[1]}: "):
                self._counts[key] += 1
                return

    def _add(self, *key: str) -> None:
        if key in self._counts:
            self._counts[key] += 1

    def beat(self, link: str, now_ms: int) -> None:
        """An authentic beat came in."""
        if link in self._beats:
            self._beats[link].happened(now_ms)

    def take(self, now_ms: int) -> tuple[Gaps, dict[str, Gaps], dict[tuple[str, ...], int]]:
        """Turns, beats and counts for one file."""
        beats = {link: gaps.take(now_ms) for link, gaps in self._beats.items()}
        return self._turns.take(now_ms), beats, dict(self._counts)


class MetricsFile:
    """Writes the file every INTERVAL_S until closed; then it is removed: metrics of no failoverd mislead."""

    def __init__(
        self, path: str, picture: Callable[[], tuple[Status, Extra]], say: Callable[[Level, str], None]
    ) -> None:
        """``picture`` is called on the loop, ``say`` from a thread."""
        self._path = path
        self._picture = picture
        self._say = say
        self._worker = Worker("metrics", lambda text: say(Level.ALARM, text))
        self._timer: asyncio.TimerHandle | None = None
        self._writing = False
        self._problem = ""

    def start(self) -> None:
        """Write now, and again and again. A file system that hangs gets no second write."""
        self._timer = asyncio.get_running_loop().call_later(INTERVAL_S, self.start)
        if self._writing:
            return
        self._writing = True
        status, extra = self._picture()
        self._worker.submit(lambda: self._write(status, extra))

    async def close(self) -> None:
        """Stop, and remove the file within a bounded time."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await self._worker.run(self._remove)
        except TimeoutError:
            pass  # the file system hangs; the time in the file tells its age
        self._worker.close()

    def _write(self, status: Status, extra: Extra) -> None:
        # The collector takes every *.prom there is: a name with a dot before and something behind is none.
        folder, name = os.path.split(self._path)
        draft = os.path.join(folder, f".{name}.new")
        try:
            # The folder may belong to the collector's user: what it left under this name is not written through.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                os.fchmod(descriptor, 0o644)
                file.write(render(status, extra))
            os.replace(draft, self._path)
            self._problem = ""
        except OSError as error:
            problem = f"metrics: {self._path} cannot be written ({error.strerror}); correct --metrics-file"
            if problem != self._problem:
                self._problem = problem
                self._say(Level.WARNING, problem)
        finally:
            self._writing = False

    def _remove(self) -> None:
        try:
            os.unlink(self._path)
        except OSError:
            pass  # never written, or gone
