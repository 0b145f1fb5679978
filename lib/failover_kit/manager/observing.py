"""Puts together what looks at the manager and has no say in it: alerts and metrics of one life of failoverd."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from failover_kit.manager.actions import Level
from failover_kit.manager.alertrunner import Alerts
from failover_kit.manager.alerts import Translator
from failover_kit.manager.core import Core
from failover_kit.manager.journal import Journal
from failover_kit.manager.metrics import Extra
from failover_kit.manager.metricsfile import Meter, MetricsFile
from failover_kit.manager.records import Beat
from failover_kit.manager.shell import Recorder
from failover_kit.manager.status import Status
from failover_kit.spec.deadline import boottime_ms


class Observing:
    """``observers`` are for the shell. ``metrics_file`` "" is none. Belongs to the running loop."""

    def __init__(
        self, core: Core, journal: Journal, say: Callable[[Level, str], None], *, alerts_dir: str, metrics_file: str
    ) -> None:
        self._core = core
        self._journal = journal
        self._say = say
        self._loop = asyncio.get_running_loop()
        config = core.config
        names = [group.name for group in config.groups]
        translator = Translator(config.node, config.peer, names, config.monitor_interval_ms)
        self._alerts = Alerts(alerts_dir, translator, self._say_from_thread)
        self._meter = Meter(config.links, names)
        self._metrics_file = metrics_file
        self._metrics: MetricsFile | None = None
        self.observers: tuple[Recorder, ...] = (self._alerts, self._meter)

    def counted(self, on_beat: Callable[[str, Beat], None]) -> Callable[[str, Beat], None]:
        """``on_beat``, with the time of each beat taken before."""

        def beat_came(link: str, beat: Beat) -> None:
            self._meter.beat(link, boottime_ms())
            on_beat(link, beat)

        return beat_came

    def start(self, status: Callable[[], Status]) -> None:
        """Begin to write metrics, if they were asked for."""
        if self._metrics_file:
            self._metrics = MetricsFile(
                self._metrics_file, lambda: (status(), self._extra()), self._say_from_thread
            )
            self._metrics.start()

    async def close(self) -> None:
        """Wait a bounded time for alerts under way, and take the metrics away."""
        await self._alerts.close()
        if self._metrics is not None:
            await self._metrics.close()

    def _extra(self) -> Extra:
        now_ms = boottime_ms()
        turns, beats, counts = self._meter.take(now_ms)
        return Extra(
            uptime_ms=now_ms - self._core.born_ms,
            maintenance=self._core.in_maintenance(),
            persist_error=bool(self._core.persist_error),
            journal_error=bool(self._journal.error),
            turns=turns,
            beats=beats,
            counts=counts,
        )

    def _say_from_thread(self, level: Level, text: str) -> None:
        try:
            self._loop.call_soon_threadsafe(self._say, level, text)
        except RuntimeError:
            pass  # the loop is closed: failoverd has ended, and its log with it
