"""One thread for what may block on a disk, so that the event loop never does (docs/design/0015-wire-and-store.md).

Not a ThreadPoolExecutor: its threads are joined when the interpreter ends, and a disk that hangs in the
kernel would then keep a daemon alive that has already decided to go.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class Worker:
    """Runs functions one after the other, in the order they were handed over, on one daemon thread."""

    def __init__(self, name: str) -> None:
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
        """Run ``function`` in its turn; nobody waits for it. It must not raise."""
        self._jobs.put(function)

    def close(self) -> None:
        """Let the thread end after what was handed over. Does not wait."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
