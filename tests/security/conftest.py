"""What these tests share lies beside them; the real pair is that of tests/system."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in ("security", "system"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has room for 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="fksec-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)
