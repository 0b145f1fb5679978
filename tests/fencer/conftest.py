"""A fencer for each module, a fresh switch for each test; the fencer's logs are shown when a test fails."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from fencer.fencer import Fencer, missing
from fencer.world import CHECKOUT, PASSWORD, World

AGENT = CHECKOUT / "stonith" / "fence_wti_ips800"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has room for 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="fkf-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def fencer() -> Iterator[Fencer]:
    """pacemaker-fenced, with our agent under both its names and Debian's as fence_wti_debian."""
    why_not = missing()
    if why_not:
        pytest.skip(why_not)
    folder = Path(tempfile.mkdtemp(prefix="fkf-", dir="/tmp"))
    agents = {"fence_wti_ips800": AGENT, "fence_wti": AGENT}
    if Path("/usr/sbin/fence_wti").exists():
        agents["fence_wti_debian"] = Path("/run/sbin/fence_wti")
    try:
        with Fencer(folder, agents) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def world(fencer: Fencer, folder: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """The fencer without devices and a switch: pete on plug 1, mclaws on 5 and 6 (two supplies), kokone on 2."""
    outlets = {
        1: OutletConfig("pete", delay_ms=0),
        2: OutletConfig("kokone", delay_ms=0),
        5: OutletConfig("mclaws", delay_ms=0),
        6: OutletConfig("mclaws", delay_ms=0),
    }
    switch = EmulatorProcess(
        str(folder), outlets=outlets, password=PASSWORD, port=23, prefix=fencer.prefix(network_only=True)
    )
    with switch:
        made = World(fencer, switch)
        yield made
        print(fencer.logs())
        print(Path(switch.log_path).read_text())
        fencer.forget()


@pytest.fixture
def silent_switch(fencer: Fencer) -> Iterator[str]:
    """The address of a second switch that accepts connections and never says a word."""
    path = Path(tempfile.mkdtemp(prefix="fkf-", dir="/tmp"))
    address = "127.0.0.2"
    prefix = fencer.prefix(network_only=True)
    try:
        with EmulatorProcess(str(path), outlets={}, address=address, port=23, prefix=prefix) as switch:
            switch.fault("mute")
            yield address
    finally:
        shutil.rmtree(path, ignore_errors=True)
