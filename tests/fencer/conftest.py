"""A fencer for each module, a fresh switch for each test; the fencer's logs are shown when a test fails."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
def make_world(fencer: Fencer, folder: Path) -> Iterator[Callable[..., World]]:
    """``make_world(variant="vmr", …)``: the fencer without devices and a switch with options of its own.

    pete is on plug 1, kokone on 2, mclaws on 5 and 6 (two supplies).
    """
    running: list[EmulatorProcess] = []

    def make(**options: Any) -> World:
        names = {1: "pete", 2: "kokone", 5: "mclaws", 6: "mclaws"}
        outlets = {number: OutletConfig(name, delay_ms=0) for number, name in names.items()}
        inside = fencer.prefix(network_only=True)
        switch = EmulatorProcess(
            str(folder), outlets=outlets, password=PASSWORD, port=23, prefix=inside, **options
        )
        switch.start()
        running.append(switch)
        return World(fencer, switch)

    yield make
    print(fencer.logs())
    for switch in running:
        print(Path(switch.log_path).read_text())
        switch.stop()
    fencer.forget()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """The fencer without devices, and an IPS-800."""
    return make_world()


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
