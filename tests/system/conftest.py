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
    made = Pair(folder)
    yield made
    print(made.logs())
    print((folder / "ledger").read_text())
    made.close()
