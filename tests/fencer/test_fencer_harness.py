"""The harness itself: it works where corosync does not, says why when it fails, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.emulator.server import OutletConfig
from failover_kit.spec.deadline import Deadline
from fencer.fencer import Fencer, FencerFailed, missing
from fencer.world import CHECKOUT, PASSWORD, PATIENT, World

pytestmark = pytest.mark.root

AGENT = CHECKOUT / "stonith" / "fence_wti_ips800"
NO_COROSYNC = {"fence_wti_ips800": AGENT, "corosync": Path("/bin/false")}
PATIENCE_MS = 60_000


@pytest.fixture(autouse=True)
def needs() -> None:
    why_not = missing()
    if why_not:
        pytest.skip(why_not)


def test_a_fencer_that_stands_alone_fences_as_well(folder: Path) -> None:
    outlets = {1: OutletConfig("pete", delay_ms=0)}
    with Fencer(folder, NO_COROSYNC) as fencer:
        assert "corosync does not start" in fencer.no_cluster
        inside = fencer.prefix(network_only=True)
        with EmulatorProcess(str(folder), outlets=outlets, password=PASSWORD, port=23, prefix=inside) as switch:
            world = World(fencer, switch)
            world.register(**PATIENT)
            for action in ("off", "on", "reboot"):
                assert world.fence(action, "pete").ok()


def test_a_fencer_that_does_not_start_says_why(folder: Path) -> None:
    (folder / "fenced.err").write_text("the fencer's last words\n")
    broken = {**NO_COROSYNC, "stonith_admin": Path("/bin/false")}
    with pytest.raises(FencerFailed, match="last words"), Fencer(folder, broken, start_ms=3000):
        pass


def test_killed_in_the_middle_it_leaves_no_process_behind(folder: Path) -> None:
    """No chance to clean up: the kernel does it."""
    program = (
        "import sys, time; from pathlib import Path; from fencer.fencer import Fencer\n"
        "Fencer(Path(sys.argv[1]), {}).start(); print('up', flush=True); time.sleep(1000)\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{CHECKOUT / 'lib'}:{CHECKOUT / 'tests'}"}
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, env=env, text=True
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        assert mentioning(folder)
        child.send_signal(signal.SIGKILL)
    deadline = Deadline(PATIENCE_MS)
    while left := mentioning(folder):
        deadline.require(f"the end of {left}")
        time.sleep(0.05)


def mentioning(folder: Path) -> list[str]:
    """The command lines of this machine's processes that name ``folder``."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(folder) in line:
            lines.append(line)
    return lines
