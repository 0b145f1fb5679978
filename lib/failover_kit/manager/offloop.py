"""One thread for what may block on a disk, so that the event loop never does (docs/design/0015-wire-and-store.md).

Not a ThreadPoolExecutor: its threads are joined when the interpreter ends, and a disk that hangs in the
kernel would then keep a daemon alive that has already decided to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import traceback
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def _to_stderr(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"failoverd alarm: {text}\n".encode("utf-8", "replace"))


class Worker:
    """Runs functions one after the other, in the order they were handed over, on one daemon thread.

    The thread outlives whatever a function raises: without it everything behind would wait for ever, and nobody
    would know why. What ``run`` raises is its caller's: he fails the action, or failoverd ends where it is not
    known what happened (``Shell``). Nothing hangs on what is handed to ``submit``: what that raises is told as the
    bug it is, and the next one's turn comes.
    """

    def __init__(self, name: str, broken: Callable[[str], None] = _to_stderr) -> None:
        """``broken`` is called on the thread with a sentence when what was submitted raised; once for each kind."""
        self._name = name
        self._broken = broken
        self._told: set[str] = set()  # kinds of errors: a file and a line of ours for each, so there are few
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[], _T]) -> _T:
        """Its result, or what it raised. Cancelling the wait does not stop the function."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def settle(result: _T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def job() -> None:
            result: _T | None = None
            caught: BaseException | None = None
            try:
                result = function()
            except BaseException as error:
                caught = error
            try:
                loop.call_soon_threadsafe(settle, result, caught)
            except RuntimeError:
                return  # the loop was closed: nobody waits any longer

        self._jobs.put(job)
        return await future

    def submit(self, function: Callable[[], None]) -> None:
        """Run ``function`` in its turn; nobody waits for it. It must not raise: what it raises is a bug of ours."""
        self._jobs.put(function)

    def close(self) -> None:
        """Let the thread end after what was handed over. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # SystemExit, too, would end the thread without a word
                self._tell(error)

    def _tell(self, error: BaseException) -> None:
        """Never raises: whoever is told may be broken, too."""
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "?"
        kind = f"{type(error).__name__} in {where}"
        if kind in self._told:
            return
        self._told.add(kind)
        text = f"this is a bug in failover-kit: {kind}, on the thread of {self._name}, which goes on: {error}"
        try:
            self._broken(text)
        except BaseException:
            _to_stderr(text)
