"""A switch that nobody can reach until its address is set over the serial line, as in the HOWTO's third step."""

from __future__ import annotations

import time

from lab import plan
from lab.lab import Lab

PATIENCE_S = 300.0


def test_the_address_set_over_the_serial_line_is_where_the_switch_answers(lab_dir: str) -> None:
    with Lab.open(lab_dir, guests=("pete",), switch_follows=True) as lab:
        lab.boot(timeout_s=PATIENCE_S)
        lab.panel.join("pete", "switch")
        ping = ["ping", "-c1", "-W2", plan.SWITCH]
        assert lab.pete.run(ping, check=False).code != 0
        words = ["switch", "setup", "--serial", "/dev/ttyS0", "--set-address", plan.SWITCH_ADDRESS]
        lab.pete.run(["failoverctl", *words], timeout_s=PATIENCE_S)
        end = time.monotonic() + PATIENCE_S
        while lab.pete.run(ping, check=False).code != 0:
            assert time.monotonic() < end, lab.switch.events()
        shown = lab.pete.run(["failoverctl", "switch", "show", "--ip", plan.SWITCH_ADDRESS], timeout_s=PATIENCE_S)
        assert shown.stdout.count("ON") >= plan.PLUG_COUNT
