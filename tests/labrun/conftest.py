"""For tests with virtual machines: where they run, and why they are skipped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import main, needs, start
from lab.image import cache
from lab.places import Places


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Emulated processors take all there is: whatever runs beside them is slow, and so are they."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("alone")


@pytest.fixture(scope="session")
def able() -> None:
    """Skips, with the reasons, where a lab cannot run."""
    lacking = needs.missing("/var/tmp", cache.root(main.CHECKOUT))
    if lacking:
        pytest.skip("; ".join(lacking))


@pytest.fixture(scope="module")
def lab_dir(able: None) -> Iterator[str]:
    """A run directory with a short path. Whatever a test leaves there is ended and removed."""
    parent = tempfile.mkdtemp(prefix="fk-lab-", dir="/var/tmp")
    place = f"{parent}/lab"
    yield place
    start.end(Places(place))
    shutil.rmtree(parent)
