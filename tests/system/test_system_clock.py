"""Two real daemons whose wall clocks are set, far and in both directions: nothing is decided by the time of day.

A launcher moves what failoverd gets from ``time.time`` and ``time.time_ns``; the clock that counts since boot goes
on, as it does when an administrator or an NTP daemon sets the time.
"""

from __future__ import annotations

import json
import time

import pytest
from pair import Node, Pair, wait_until

pytestmark = pytest.mark.root

LAUNCHER = """
import runpy, sys, time
clock, program = sys.argv[1:3]
right, right_ns = time.time, time.time_ns
def off_by():
    with open(clock) as file:
        return int(file.read())
time.time = lambda: right() + off_by()
time.time_ns = lambda: right_ns() + off_by() * 10**9
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__")
"""

DAY_S = 86_400


class Clock:
    """The wall clock of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.file = node.home / "clock"
        plain = node.command()
        at = next(at for at, word in enumerate(plain) if word.endswith("bin/failoverd"))
        launcher = ["/usr/bin/python3", "-I", "-c", LAUNCHER, str(self.file)]
        self.set(0)
        node.command = lambda: [*plain[:at], *launcher, *plain[at:]]  # type: ignore[method-assign]

    def set(self, offset_s: int) -> None:
        """Replaced, never half written: the daemon reads it at each look at the clock."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset_s}\n")
        new.rename(self.file)

    def off_by_s(self) -> float:
        """How far the daemon's idea of the time is from ours."""
        return float(json.loads(self.node.ctl("status", "--json").stdout)["wall_ms"]) / 1000 - time.time()


@pytest.fixture
def clocks(pair: Pair) -> list[Clock]:
    return [Clock(node) for node in pair.nodes]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_of_the_wall_clock_moves_nothing(pair: Pair, clocks: list[Clock], sign: int) -> None:
    first, second = pair.start()
    before, starts = first.view()["groups"][0]["right"], pair.starts()
    clocks[0].set(sign * 400 * DAY_S)
    wait_until("the daemon sees the other year", lambda: abs(clocks[0].off_by_s() - sign * 400 * DAY_S) < 60)

    # More than two deadtimes of the pair, by the clock that counts, in beats that the other one heard.
    def counter() -> int:
        return int(second.view()["now_ms"])

    began = counter()
    wait_until("two deadtimes have passed", lambda: counter() - began > 6_500)
    clocks[0].set(0)
    clocks[1].set(sign * 400 * DAY_S)
    wait_until("so does the other one", lambda: abs(clocks[1].off_by_s() - sign * 400 * DAY_S) < 60)
    began = counter()
    wait_until("and again", lambda: counter() - began > 6_500)

    view = first.view()
    assert (view["groups"][0]["right"], view["groups"][0]["state"], view["peer_state"]) == (before, "started", "up")
    assert pair.switch_log() == []
    assert pair.starts() == starts
    if not any("did not run" in node.log() for node in pair.nodes):  # a busy machine holds daemons up by itself
        assert not any("silent" in node.log() for node in pair.nodes)

    def moved() -> bool:
        """A node that a busy machine held up refuses until it has fresh facts: then it is asked again."""
        if second.group() != "started":
            first.ctl("standby")
        return second.group() == "started"

    wait_until("a planned move is what it was", moved)
    first.power_cut()  # the one that is a year off finds the silence by the right clock, and keeps what it has
    wait_until("the other one is fenced", lambda: "off 1" in pair.switch_log())
    assert second.group() == "started"
