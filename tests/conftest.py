"""For all tests: a run that is told to end cleans up, as one that is interrupted at the keyboard does."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
