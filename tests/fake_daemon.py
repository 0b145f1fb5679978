"""failoverd as the control socket sees it: the real server, and answers made by the test."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import status_examples
from failover_kit.manager.actions import ExitCode, Level
from failover_kit.manager.client import Answer
from failover_kit.manager.control import ControlServer, Outcome
from failover_kit.manager.events import Terms, Verb


class FakeDaemon:
    """A control server on a loop of its own thread; orders are answered when the test says so."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = status_examples.status_of()
        self.orders: list[tuple[Verb, tuple[str, ...], str]] = []
        self.terms: list[Terms | None] = []
        self.by: list[str] = []  # who gave them
        self.tests: list[str] = []
        self.said: list[str] = []
        self.answer: Outcome = Answer(code=ExitCode.REFUSED, text="group web stays: mclaws is silent")
        self.answer_at_once = True
        self.finished = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.server = ControlServer(
            self._order, lambda: self.status, self._say, path, watch_interval_ms=1, test_plugs=self._test
        )

    def _say(self, level: Level, text: str) -> None:
        self.said.append(text)

    async def _order(
        self, verb: Verb, groups: tuple[str, ...], target: str, terms: Terms | None, by: str
    ) -> Outcome:
        self.orders.append((verb, groups, target))
        self.terms.append(terms)
        self.by.append(by)
        if not self.answer_at_once:
            await self._gate.wait()
        self.finished.set()
        return self.answer

    async def _test(self, node: str) -> Outcome:
        self.tests.append(node)
        return self.answer

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def open_gate(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.set)

    def start(self) -> None:
        self._thread.start()
        self.run(self.server.start())

    def stop(self) -> None:
        self.run(self.server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()
