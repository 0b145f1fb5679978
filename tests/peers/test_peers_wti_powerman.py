"""powerman's own script for a "WTI NPS" (package powerman, /etc/powerman/wti.dev) operates the emulator.

The script states what it assumes: the system password "wti" and command confirmation off, both set in the
menu /G. So the switch is set up by that menu first, and what powerman then does is a test of the menu, too.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CLEAN_ENV, CommandResult, run
from fence.parts import held_port

SCRIPT = "/etc/powerman/wti.dev"
TIMEOUT_MS = 120_000

pytestmark = pytest.mark.skipif(
    not Path(SCRIPT).exists() or shutil.which("powermand", path=CLEAN_ENV["PATH"]) is None,
    reason="needs the package powerman",
)


def set_up(switch: EmulatorProcess) -> None:
    """/G: item 1, the system password; item 8, command confirmation off."""
    with socket.create_connection((switch.address, switch.port), timeout=30) as client:
        said = b""
        for line in ("", "/g", "1", "wti", "8", "2", "/x,y"):
            client.sendall(line.encode() + b"\r" if line else b"")
            while not said.endswith((b"> ", b": ")):
                part = client.recv(4096)
                if not part:
                    return
                said += part
            said += b"\n"


class Powerman:
    """A running powermand with one device of 8 plugs, node1 to node8."""

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self, *arguments: str) -> CommandResult:
        argv = ["powerman", "-h", f"127.0.0.1:{self._port}", *arguments]
        return run(argv, Deadline(TIMEOUT_MS))


@contextmanager
def powerman(directory: Path, switch: EmulatorProcess, script: str = SCRIPT) -> Iterator[Powerman]:
    held, port = held_port()  # powermand sets SO_REUSEADDR, so that it may listen there and nobody else is given it
    config = directory / "powerman.conf"
    config.write_text(
        f'include "{script}"\nlisten "127.0.0.1:{port}"\n'
        f'device "benjamin" "wti" "{switch.address}:{switch.port}"\nnode "node[1-8]" "benjamin" "[1-8]"\n'
    )
    daemon = subprocess.Popen(
        ["powermand", "-f", "-c", str(config)], env=CLEAN_ENV, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_for_port(port, daemon)
        yield Powerman(port)
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(60)
        held.close()


def wait_for_port(port: int, daemon: subprocess.Popen[bytes]) -> None:
    deadline = Deadline(60_000)
    while True:
        deadline.require("powermand listens")
        assert daemon.poll() is None, "powermand has ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            return
        except (ConnectionRefusedError, TimeoutError):
            time.sleep(0.02)


def test_powerman_reads_and_switches_an_nps(tmp_path: Path) -> None:
    outlets = {n: OutletConfig(delay_ms=0) for n in range(1, 17)}
    with EmulatorProcess(str(tmp_path), outlets=outlets, variant="nps") as switch:
        set_up(switch)
        with powerman(tmp_path, switch) as control:
            assert control("-0", "node3").ok()
            assert switch.outlet_state(3) == "off"
            assert control("-q").stdout.split("\n")[:2] == ["on:      node[1-2,4-8]", "off:     node3"]
            assert control("-1", "node3").ok()
            assert control("-c", "node5").ok()
            moves = [(event["outlet"], event["to"]) for event in switch.events("switched")]
            assert moves == [(3, "off"), (3, "on"), (5, "off"), (5, "on")]


def test_powerman_tells_of_a_stuck_relay_only_when_it_is_asked_for_the_state(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, variant="nps") as switch:
        set_up(switch)
        switch.fault("stuck", 3)
        with powerman(tmp_path, switch) as control:
            assert control("-0", "node3").ok()  # no proof of anything
            assert switch.outlet_state(3) == "on"
            assert control("-q").stdout.startswith("on:      node[1-8]\n")


def test_an_ips_is_not_for_its_script_which_waits_for_the_prompt_of_an_nps(tmp_path: Path) -> None:
    with EmulatorProcess(str(tmp_path), outlets={}, variant="ips") as switch:
        set_up(switch)
        # What never comes is waited for as long as the script says, 30 s; nothing else of it is changed.
        impatient = tmp_path / "wti.dev"
        text, times = re.subn(r"(?m)^(\s*timeout\s+)30\b", r"\g<1>3", Path(SCRIPT).read_text())
        assert times == 1
        impatient.write_text(text)
        with powerman(tmp_path, switch, str(impatient)) as control:
            result = control("-q")
            assert "node[1-8]" in result.stdout.split("unknown:")[1]
            assert switch.events("switched") == []
