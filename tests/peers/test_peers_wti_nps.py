"""cluster-glue's ``stonith -t wti_nps`` operates the emulator.

wti_nps knows no port but 23, so each test gets a network namespace of its own with loopback up. It
also verifies nothing: it reports success for a stuck relay. That is why the outlet is asked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from peers.plugin import ADDRESS, PASSWORD, namespace_for_a_switch, needs_stonith, stonith, works

pytestmark = needs_stonith


@pytest.fixture
def namespace() -> Iterator[str]:
    with namespace_for_a_switch() as name:
        yield name


@pytest.fixture
def switch(namespace: str, tmp_path: Path) -> Iterator[EmulatorProcess]:
    outlets = {
        1: OutletConfig("pete", delay_ms=50),
        2: OutletConfig("mclaws", delay_ms=50),
        5: OutletConfig("mclaws", delay_ms=50),
    }
    emulator = EmulatorProcess(
        str(tmp_path),
        outlets=outlets,
        password=PASSWORD,
        address=ADDRESS,
        port=23,
        prefix=["ip", "netns", "exec", namespace],
    )
    with emulator:
        yield emulator


def test_status(namespace: str, switch: EmulatorProcess) -> None:
    works(namespace, switch, "-S")
    events = switch.events("connect", "command")
    begun = max(number for number, event in enumerate(events) if event["event"] == "connect")
    assert [event["text"] for event in events[begun + 1 :]] == ["/H", "/X,Y"]


def test_host_list_reads_the_name_column(namespace: str, switch: EmulatorProcess) -> None:
    result = works(namespace, switch, "-l")
    assert result.stdout.split() == ["pete", "mclaws", "mclaws"]


def test_off_and_on(namespace: str, switch: EmulatorProcess) -> None:
    works(namespace, switch, "-T", "off", "pete")
    assert switch.outlet_state(1) == "off"
    assert switch.outlet_state(2) == "on"
    works(namespace, switch, "-T", "on", "pete")
    assert switch.outlet_state(1) == "on"


def test_reset_boots_both_supplies_of_a_node(namespace: str, switch: EmulatorProcess) -> None:
    """Two plugs of one name: wti_nps sends ``/BOOT 2 5 ,y``; both are off before one is on again."""
    works(namespace, switch, "-T", "reset", "mclaws")
    moves = [(event["outlet"], event["to"]) for event in switch.events("switched")]
    assert moves == [(2, "off"), (5, "off"), (2, "on"), (5, "on")]
    assert switch.outlet_state(2) == switch.outlet_state(5) == "on"


def test_a_node_it_does_not_have(namespace: str, switch: EmulatorProcess) -> None:
    codes = [stonith(namespace, "-T", "reset", "kokone").code]
    while codes[-1] != 4 and len(codes) < 5:  # its five seconds for an answer were over
        codes.append(stonith(namespace, "-T", "reset", "kokone").code)
    assert codes[-1] == 4, codes  # S_BADHOST
    assert switch.events("switched") == []


def test_success_of_wti_nps_is_no_proof(namespace: str, switch: EmulatorProcess) -> None:
    """With a stuck relay wti_nps still exits 0. The switch's own screen is the only proof there is."""
    switch.fault("stuck", 1)
    works(namespace, switch, "-T", "off", "pete")
    assert switch.outlet_state(1) == "on"
