"""A fresh pair for each test; its daemons' logs are shown when the test fails."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pair import Pair


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has room for 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="fksys-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def pair(folder: Path) -> Iterator[Pair]:
    yield from _told(Pair(folder))


@pytest.fixture
def patient(folder: Path) -> Iterator[Pair]:
    """A pair whose deadtime is above what a start of failoverd takes on a busy machine."""
    yield from _told(Pair(folder, deadtime_s=15))


def _told(made: Pair) -> Iterator[Pair]:
    yield made
    print(made.logs())
    print((made.folder / "ledger").read_text())
    made.close()
