"""For all tests: a run that is told to end cleans up, as one that is interrupted at the keyboard does."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD)


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Who starts a run in the background may have these ignored, and the programs under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The directory that the nodes of all tests share goes when the last worker has ended."""
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
