"""Two real daemons whose wall clocks are set, far and in both directions: nothing is decided by the time of day.

libfaketime (Debian's faketime) stands between failoverd and clock_gettime(2) and moves CLOCK_REALTIME alone; the
clock that counts since boot goes on, as it does when an administrator or an NTP daemon sets the time.
"""

from __future__ import annotations

import glob
import json
import time
from collections.abc import Iterator

import pytest
from pair import Node, Pair, wait_until

pytestmark = pytest.mark.root

LIBRARY = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")

DAY_S = 86_400


class Clock:
    """The wall clock of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.file = node.home / "clock"
        plain = node.environment()
        self.set("+0")
        node.environment = lambda: {  # type: ignore[method-assign]
            **plain,
            "LD_PRELOAD": LIBRARY[0],
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Replaced, never half written: the library reads it once a second."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{offset}\n")
        new.rename(self.file)

    def off_by_s(self) -> float:
        """How far the daemon's idea of the time is from ours."""
        return float(json.loads(self.node.ctl("status", "--json").stdout)["wall_ms"]) / 1000 - time.time()


@pytest.fixture
def clocks(pair: Pair) -> Iterator[list[Clock]]:
    if not LIBRARY:
        pytest.skip("faketime is not installed")
    yield [Clock(node) for node in pair.nodes]


@pytest.mark.parametrize("offset", ["+400d", "-400d"])
def test_a_step_of_the_wall_clock_moves_nothing(pair: Pair, clocks: list[Clock], offset: str) -> None:
    first, second = pair.start()
    before, starts = first.view()["groups"][0]["right"], pair.starts()
    clocks[0].set(offset)
    sign = -1 if offset.startswith("-") else 1
    wait_until("the daemon sees the other year", lambda: abs(clocks[0].off_by_s() - sign * 400 * DAY_S) < 60)

    # More than two deadtimes of the pair, by the clock that counts, in beats that the other one heard.
    def counter() -> int:
        return int(second.view()["now_ms"])

    began = counter()
    wait_until("two deadtimes have passed", lambda: counter() - began > 4_500)
    clocks[0].set("+0")
    clocks[1].set(offset)
    wait_until("so does the other one", lambda: abs(clocks[1].off_by_s() - sign * 400 * DAY_S) < 60)
    began = counter()
    wait_until("and again", lambda: counter() - began > 4_500)

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
