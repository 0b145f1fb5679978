"""What the tests of the fencer share: a fencer and a switch, and what must hold after every call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from failover_kit.emulator.harness import EmulatorProcess
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult
from fencer.fencer import Fencer

CHECKOUT = Path(__file__).resolve().parents[2]
STONITH = CHECKOUT / "stonith" / "stonith"
WAYS = ("fence_wti_ips800", "fence_legacy")
PASSWORD = "s3cret-Pa55"
OUTLETS = {"pete": (1,), "kokone": (2,), "mclaws": (5, 6)}
COMMAND = {"off": "--fence", "on": "--unfence", "reboot": "--reboot"}
# For what is expected to fail: soon. For what is expected to succeed: with room for a machine under load.
BRIEF = {"timeout": 3, "login_timeout": 1, "shell_timeout": 1, "power_timeout": 1}
PATIENT = {"timeout": 60, "login_timeout": 30, "shell_timeout": 30, "power_timeout": 30}
SETTLE_MS = 30_000


class World:
    """One fencer, one switch."""

    def __init__(self, fencer: Fencer, switch: EmulatorProcess) -> None:
        self.fencer = fencer
        self.switch = switch

    def register(self, agent: str = "fence_wti_ips800", device: str = "benjamin", **options: object) -> None:
        """Register the switch as a device of the fencer, with our password."""
        where = {"ip": self.switch.address, "ipport": self.switch.port}
        self.fencer.register(device, agent, password=PASSWORD, **{**where, **options})

    def register_through(self, way: str, node: str, **options: object) -> None:
        """Register a device for ``node``: our agent itself, or our stonith under Pacemaker's fence_legacy.

        Parameters of fence_legacy other than plugin and stonith reach the stonith command in its environment.
        """
        if way != "fence_legacy":
            self.register(way, pcmk_host_map=f"{node}:{node}", **options)
            return
        where = {"ipaddr": self.switch.address, "ipport": self.switch.port, "pcmk_host_list": node}
        device = {"plugin": "wti_nps", "stonith": STONITH}
        self.fencer.register("benjamin", way, password=PASSWORD, **{**where, **device, **options})

    def fence(self, action: str, node: str, outlets: Sequence[int] = (), timeout_s: int = 100) -> CommandResult:
        """Let the fencer act on ``node`` and hold the outcome against the truth.

        ``timeout_s`` is the fencer's, far above any timeout of ours: when it expires the agent hung.
        """
        mark, moves = self.fencer.mark(), len(self.switch.events("switched"))
        result = self.fencer.admin(COMMAND[action], node, "--timeout", str(timeout_s))
        log = self.fencer.log(mark)
        assert "timed out after" not in log, "the agent outlived every deadline and was killed by the fencer"
        if result.ok():
            self._hold_to_truth(action, outlets or OUTLETS[node], moves)
        self.assert_session_free()
        assert PASSWORD not in log + self.fencer.syslog() + result.stdout + result.stderr
        return result

    def states(self, *outlets: int) -> list[str]:
        """The truth, from the switch itself."""
        return [self.switch.outlet_state(number) for number in outlets]

    def assert_session_free(self) -> None:
        """The agent left: the switch's one session can be taken by the next who needs it."""
        settle = Deadline(SETTLE_MS)
        while self.switch.view()["session"] is not None:
            settle.require("a free session: the agent has ended and its session is still open")
            time.sleep(0.02)

    def _hold_to_truth(self, action: str, outlets: Sequence[int], moves: int) -> None:
        if action in COMMAND and action != "reboot":
            assert self.states(*outlets) == [action] * len(outlets), "success, and the outlet is not so"
            return
        # A reboot has succeeded when the machine was without power: every one of its outlets went off.
        seen_off = {move["outlet"] for move in self.switch.events("switched")[moves:] if move["to"] == "off"}
        assert seen_off >= set(outlets), "rebooted, and an outlet never went off"
