"""For all tests: a run that is told to end cleans up, as one that is interrupted at the keyboard does.

What plays with real processes, kernels and clocks gets a second try when it fails, since a machine that stood
still for a moment fails such a test, too. Three limits keep that honest: what is computed alone (the core, the
simulator) has one try; whatever speaks of two holders or of lost data has one try; and more than a handful of
second tries fails the run. The summary prints each with the first failure.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE_TRY = ("tests/sim/", "tests/unit/test_core", "tests/unit/test_sim", "tests/unit/test_law")
NEVER_AGAIN = "|".join(
    (
        r"\bS\d+:",
        "Violation",
        "possibly active",
        "usable right",
        "held the group together",
        "are not in the file",
        "every acknowledged record",
    )
)
"""Words of the audits. A test that failed with one of them has failed."""
SECOND_TRIES = 4

KEPT = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def pytest_configure() -> None:
    # How long one example takes is the machine's affair, not the code's.
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Who starts a run in the background may have these ignored, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # by nohup; a handler is not inherited
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.relative_to(config.rootpath).as_posix().startswith(ONE_TRY):
            item.add_marker(pytest.mark.flaky(reruns=1, rerun_except=[NEVER_AGAIN]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    again = terminalreporter.getreports("rerun")
    for report in again:
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.line(report.longreprtext)
    if len(again) > SECOND_TRIES:
        terminalreporter.line(f"{len(again)} tests needed a second try; more than {SECOND_TRIES} fail the run")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Too many second tries fail the run; the directory of all tests' nodes goes when the last worker has ended."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(reporter.getreports("rerun")) > SECOND_TRIES:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if not hasattr(session.config, "workerinput"):
        for place in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
            with contextlib.suppress(OSError):
                os.rmdir(f"{place}/failover-kit")


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A program's main() run in this process must not decide what the next test's programs inherit."""
    before = {number: signal.getsignal(number) for number in KEPT}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
