"""Groups started, stopped, probed and watched with real scripts: what the core is told is what is true."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from failover_kit.manager import actionspace
from failover_kit.manager.actionspace import CgroupSpace, cgroup2_mount
from failover_kit.manager.callers import Caller, CallKind, GroupPlan
from failover_kit.manager.children import Calls, Freshness
from failover_kit.manager.events import (
    MonitorFailed,
    Probed,
    ProbeOutcome,
    Started,
    StartFailed,
    StopFailed,
    Stopped,
)
from failover_kit.manager.resources import GroupRunner, clear_strangers
from failover_kit.spec.deadline import boottime_ms

pytestmark = pytest.mark.root

# Runs a daemon, as services do; what it shall do wrong stands in files beside it.
AGENT = """#!/bin/sh
cd "$OCF_RESKEY_dir" || exit 6
echo "$OCF_RESKEY_name $1" >> ledger
wrong() { [ -e "$OCF_RESKEY_name.$1" ]; }
wrong "hang-$1" && { setsid sleep 300 & sleep 300; }
wrong "fail-$1" && { echo "ocf-exit-reason:$1 went wrong" >&2; exit 1; }
case $1 in
start) wrong lie-start && exit 0
  [ -e "$OCF_RESKEY_name.pid" ] && exit 0
  setsid sleep 300 </dev/null >/dev/null 2>&1 & echo $! > "$OCF_RESKEY_name.pid"
  wrong straggler && { setsid sleep 300 & } ;;
stop) wrong lie-stop && exit 0
  [ -e "$OCF_RESKEY_name.pid" ] && kill "$(cat "$OCF_RESKEY_name.pid")"; rm -f "$OCF_RESKEY_name.pid" ;;
monitor) [ -e "$OCF_RESKEY_name.pid" ] || exit 7
  wrong degraded && { echo "ocf-exit-reason:one path of two" >&2; exit 190; } ;;
esac
exit 0
"""


class Bench:
    """A group of two resources, "left" and "right"."""

    def __init__(self, folder: Path, monitor_interval_ms: int = 0) -> None:
        self.folder = folder
        self.node = f"grouptest-{os.getpid()}"
        self.mount = cgroup2_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        self.space = CgroupSpace(self.node, (self.mount,))
        self.failed: list[MonitorFailed] = []
        self.warnings: list[str] = []
        agent = folder / "Dummy"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        self.interval_ms = monitor_interval_ms
        self.timeout_ms = 20_000
        self.short: tuple[tuple[str, int], ...] = ()  # action, milliseconds: the one that is to hang

    def runner(self) -> GroupRunner:
        callers = tuple(
            Caller(
                name=name,
                instance=f"web-{name}",
                kind=CallKind.OCF,
                program=str(self.folder / "Dummy"),
                parameters=(("name", name), ("dir", str(self.folder))),
                monitor_interval_ms=self.interval_ms,
                default_timeout_ms=self.timeout_ms,
                timeouts_ms=self.short,
            )
            for name in ("left", "right")
        )
        return GroupRunner(GroupPlan("web", callers), self.space, self.failed.append, Calls(), self.warnings.append)

    def wrong(self, name: str, what: str) -> Path:
        path = self.folder / f"{name}.{what}"
        path.touch()
        return path

    def ledger(self) -> list[str]:
        path = self.folder / "ledger"
        return path.read_text().splitlines() if path.exists() else []

    def acts(self) -> list[str]:
        return [line for line in self.ledger() if not line.endswith("monitor")]

    def processes(self) -> list[int]:
        cells = [*self.space.leftovers("web"), *self.space.services("web")]
        return [pid for cell in cells for pid in cell.pids()]

    def permission(self, refusal: str = "") -> Callable[[], tuple[str, Freshness]]:
        return lambda: (refusal, Freshness(boottime_ms(), 60_000))

    def close(self) -> None:
        asyncio.run(self.space.clear("web"))
        asyncio.run(self.space.clear_services("web"))
        top = Path(self.mount) / actionspace.BRANCH / self.node
        for folder, _, _ in sorted(os.walk(top), reverse=True):
            Path(folder).rmdir()
        # The directory above is every node's, another worker's too: tests/conftest.py removes it in the end.


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_left_to_right_up_and_right_to_left_down_and_nothing_is_left(bench: Bench) -> None:
    runner = bench.runner()
    assert run(runner.start(1, bench.permission())) == Started("web", 1)
    assert len(bench.processes()) == 2
    assert run(runner.stop(2)) == Stopped("web", 2)
    assert bench.acts() == ["left start", "right start", "right stop", "left stop"]
    assert sorted(bench.ledger()[-2:]) == ["left monitor", "right monitor"]
    assert bench.processes() == []


def test_answers_say_what_each_resource_took_in_the_order_it_was_done(bench: Bench) -> None:
    runner = bench.runner()
    began_ms = boottime_ms()
    started = run(runner.start(1, bench.permission()))
    stopped = run(runner.stop(2))
    assert [call.resource for call in started.calls] == ["left", "right"]
    assert [call.resource for call in stopped.calls] == ["right", "left"]
    calls = [*started.calls, *stopped.calls]
    marks = [mark for call in calls for mark in (call.began_ms, call.ended_ms)]
    assert [began_ms, *marks, boottime_ms()] == sorted([began_ms, *marks, boottime_ms()])


def test_a_failed_start_says_how_far_it_came(bench: Bench) -> None:
    bench.wrong("right", "fail-start")
    failed = run(bench.runner().start(1, bench.permission()))
    assert isinstance(failed, StartFailed) and [call.resource for call in failed.calls] == ["left", "right"]


def test_degraded_is_shown_once_and_nothing_else_follows(bench: Bench) -> None:
    async def story() -> None:
        runner = bench.runner()
        mark = bench.wrong("left", "degraded")
        assert await runner.start(1, bench.permission()) == Started("web", 1)
        sentence = "group web: left runs degraded: one path of two (exit 190, degraded)"
        assert runner.degraded() == (sentence,)
        assert (await runner.probe(2)).outcome is ProbeOutcome.RUNNING
        assert bench.warnings == [f"{sentence}; nothing is done about it, repair it"]
        assert bench.failed == []
        mark.unlink()
        await runner.probe(3)
        assert runner.degraded() == ()
        bench.wrong("left", "degraded")
        await runner.probe(4)
        assert runner.degraded() == (sentence,)
        assert await runner.stop(5) == Stopped("web", 5)
        assert runner.degraded() == ()

    run(story())


def test_a_start_of_what_runs_already_starts_nothing(bench: Bench) -> None:
    run(bench.runner().start(1, bench.permission()))
    assert run(bench.runner().start(2, bench.permission())) == Started("web", 2)
    assert bench.acts() == ["left start", "right start"]


def test_a_stop_of_what_is_stopped_succeeds(bench: Bench) -> None:
    assert run(bench.runner().stop(1)) == Stopped("web", 1)


def test_without_permission_nothing_is_forked(bench: Bench) -> None:
    answer = run(bench.runner().start(1, bench.permission("this node has no right to it")))
    assert answer == StartFailed("web", 1, "", "left was not started: this node has no right to it")
    assert bench.acts() == []


def test_permission_is_asked_before_each_start(bench: Bench) -> None:
    answers = iter(["", "it is granted to the peer"])

    def permission() -> tuple[str, Freshness]:
        return next(answers), Freshness(boottime_ms(), 60_000)

    answer = run(bench.runner().start(1, permission))
    assert answer == StartFailed("web", 1, "", "right was not started: it is granted to the peer")
    assert bench.acts() == ["left start"]


def test_an_old_decision_starts_nothing(bench: Bench) -> None:
    old = Freshness(boottime_ms() - 10_000, 1_000)
    answer = run(bench.runner().start(1, lambda: ("", old)))
    assert isinstance(answer, StartFailed)
    assert "must be made again" in answer.reason
    assert bench.acts() == []


def test_a_failed_start_is_told_in_the_agents_words(bench: Bench) -> None:
    bench.wrong("right", "fail-start")
    answer = run(bench.runner().start(1, bench.permission()))
    assert answer == StartFailed("web", 1, "right", "start: start went wrong (exit 1, error)")


def test_a_start_that_lies_is_found_by_the_monitor(bench: Bench) -> None:
    bench.wrong("right", "lie-start")
    answer = run(bench.runner().start(1, bench.permission()))
    assert isinstance(answer, StartFailed)
    assert answer.reason == "start succeeded, but the monitor says not running: exit 7, not running"


def test_a_hanging_start_is_killed_with_everything_it_started(bench: Bench) -> None:
    bench.wrong("left", "hang-start")
    bench.short = (("start", 3_000),)
    answer = run(bench.runner().start(1, bench.permission()))
    assert answer == StartFailed("web", 1, "left", "start: did not end within 3 s and was killed")
    assert bench.processes() == []


def test_a_resource_in_doubt_is_not_started(bench: Bench) -> None:
    bench.wrong("left", "fail-monitor")
    answer = run(bench.runner().start(1, bench.permission()))
    assert isinstance(answer, StartFailed)
    assert "in doubt" in answer.reason
    assert bench.acts() == []


def test_before_each_start_and_after_it_there_is_a_monitor(bench: Bench) -> None:
    """The one before the second start is made after the first start, beside the monitor that must agree with it."""
    assert run(bench.runner().start(1, bench.permission())) == Started("web", 1)
    lines = bench.ledger()
    assert lines[:2] == ["left monitor", "left start"]
    assert sorted(lines[2:4]) == ["left monitor", "right monitor"]
    assert lines[4:] == ["right start", "right monitor"]


def test_the_second_resource_in_doubt_is_not_started_either(bench: Bench) -> None:
    bench.wrong("right", "fail-monitor")
    answer = run(bench.runner().start(1, bench.permission()))
    assert isinstance(answer, StartFailed)
    assert (answer.resource, "in doubt" in answer.reason) == ("right", True)
    assert bench.acts() == ["left start"]


def test_nothing_is_started_after_a_start_that_lies(bench: Bench) -> None:
    bench.wrong("left", "lie-start")
    answer = run(bench.runner().start(1, bench.permission()))
    assert isinstance(answer, StartFailed)
    assert answer.reason == "start succeeded, but the monitor says not running: exit 7, not running"
    assert bench.acts() == ["left start"]


def test_a_failed_stop_does_not_keep_the_others_from_being_stopped(bench: Bench) -> None:
    runner = bench.runner()
    run(runner.start(1, bench.permission()))
    bench.wrong("right", "fail-stop")
    answer = run(runner.stop(2))
    assert answer == StopFailed("web", 2, "right", "stop: stop went wrong (exit 1, error)")
    assert "left stop" in bench.acts()
    # What its stop left alive is gone, so that a retry can succeed.
    assert bench.processes() == []


def test_a_stop_that_lies_is_found_by_the_monitor(bench: Bench) -> None:
    runner = bench.runner()
    run(runner.start(1, bench.permission()))
    bench.wrong("left", "lie-stop")
    answer = run(runner.stop(2))
    assert answer == StopFailed("web", 2, "left", "after the stop the monitor says still running")
    # What it left behind in spite of its success is gone all the same, so that a retry can succeed.
    assert bench.processes() == []


def test_a_hanging_stop_is_a_failed_stop(bench: Bench) -> None:
    runner = bench.runner()
    run(runner.start(1, bench.permission()))
    bench.wrong("left", "hang-stop")
    bench.short = (("stop", 3_000),)
    answer = run(bench.runner().stop(2))
    assert isinstance(answer, StopFailed)
    assert answer.resource == "left"
    assert answer.reason == "stop: did not end within 3 s and was killed"


def test_a_monitor_in_doubt_after_the_stop_is_a_failed_stop(bench: Bench) -> None:
    bench.wrong("right", "fail-monitor")
    answer = run(bench.runner().stop(1))
    assert isinstance(answer, StopFailed)
    assert answer.reason == "after the stop the monitor says in doubt: monitor went wrong (exit 1, error)"


def test_a_straggler_of_a_service_is_gone_before_stopped_is_said(bench: Bench) -> None:
    bench.wrong("right", "straggler")
    runner = bench.runner()
    run(runner.start(1, bench.permission()))
    assert len(bench.processes()) == 3
    assert run(runner.stop(2)) == Stopped("web", 2)
    assert bench.processes() == []


def test_a_probe_tells_stopped_running_and_doubt(bench: Bench) -> None:
    assert run(bench.runner().probe(1)) == Probed("web", 1, ProbeOutcome.STOPPED)
    run(bench.runner().start(2, bench.permission()))
    assert run(bench.runner().probe(3)) == Probed("web", 3, ProbeOutcome.RUNNING)
    (bench.folder / "left.pid").unlink()
    answer = run(bench.runner().probe(4))
    assert (answer.outcome, answer.reason) == (ProbeOutcome.DOUBT, "left is stopped, right is running")
    bench.wrong("right", "fail-monitor")
    answer = run(bench.runner().probe(5))
    assert answer.outcome is ProbeOutcome.DOUBT
    assert "monitor went wrong" in answer.reason


def test_a_probe_kills_what_a_dead_failoverd_left_half_done(bench: Bench) -> None:
    """The daemon dies during a start that hangs; the next life's probe must find nothing running."""
    bench.wrong("left", "hang-start")

    async def die_in_the_middle() -> None:
        task = asyncio.create_task(bench.runner().start(1, bench.permission()))
        while not bench.acts():
            await asyncio.sleep(0.01)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run(die_in_the_middle())
    assert run(bench.runner().probe(1)) == Probed("web", 1, ProbeOutcome.STOPPED)
    assert bench.processes() == []


def test_the_watch_reports_each_failure_and_ends_with_the_stop(bench: Bench) -> None:
    bench.interval_ms = 20
    runner = bench.runner()

    async def story() -> int:
        await runner.start(7, bench.permission())
        bench.wrong("left", "fail-monitor")
        while len(bench.failed) < 2:
            await asyncio.sleep(0.01)
        (bench.folder / "left.fail-monitor").unlink()
        await runner.stop(8)
        before = len(bench.ledger())
        await asyncio.sleep(0.2)
        return len(bench.ledger()) - before

    assert run(story()) == 0
    assert set(bench.failed) == {MonitorFailed("web", 7, "left", "monitor: monitor went wrong (exit 1, error)")}


def test_a_hanging_monitor_is_a_failure(bench: Bench) -> None:
    bench.interval_ms = 20

    async def story() -> None:
        runner = bench.runner()
        await runner.start(7, bench.permission())
        await runner.end_watch()
        bench.timeout_ms = 1_000
        bench.wrong("left", "hang-monitor")
        impatient = bench.runner()
        impatient._begin_watch(9)
        # On a busy machine a call may be too late to begin at all, which has other words.
        while not any(failed.reason == hung and failed.resource == "left" for failed in bench.failed):
            await asyncio.sleep(0.01)
        await impatient.end_watch()

    hung = "monitor: did not end within 1 s and was killed"
    run(story())


def test_groups_that_left_the_configuration_are_named_and_not_touched(bench: Bench) -> None:
    run(bench.runner().start(1, bench.permission()))
    assert run(clear_strangers(bench.space, ("web",))) == []
    sentences = run(clear_strangers(bench.space, ("other",)))
    assert len(sentences) == 1
    assert sentences[0].startswith("group web is not configured any more, but processes of it run")
    assert len(bench.processes()) == 2
