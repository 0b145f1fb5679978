"""What the comparison with Heartbeat makes of a ledger: its judgement must not depend on the managers."""

from __future__ import annotations

from failover_kit.rehearsal.ledger import Attempt, Power, held
from versus.evidence import Together, shortened, together, told


def call(t_ms: int, node: str, verb: str, what: str, code: int = 0) -> Attempt:
    return Attempt(t_ms, node, 1, "svc", verb, what, code)


def test_a_stop_under_way_still_holds() -> None:
    calls = [
        call(0, "pete", "start", "begin"), call(5, "pete", "start", "end"), call(100, "pete", "stop", "begin"),
        call(200, "mclaws", "start", "begin"), call(350, "pete", "stop", "end"),
    ]  # fmt: skip
    assert together(held(calls, []), 1000) == Together(200, 150, True)


def test_a_start_under_way_and_a_failed_stop_hold_until_the_watch_ends() -> None:
    calls = [call(0, "mclaws", "start", "begin"), call(50, "pete", "start", "begin")]
    assert together(held(calls, []), 80) == Together(50, 30, False)
    calls = [
        call(0, "pete", "start", "begin"), call(10, "pete", "stop", "begin"),
        call(20, "pete", "stop", "end", 1), call(30, "mclaws", "start", "begin"),
    ]  # fmt: skip
    assert together(held(calls, []), 90) == Together(30, 60, False)


def test_a_power_cut_ends_the_hold() -> None:
    calls = [call(0, "pete", "start", "begin"), call(100, "mclaws", "start", "begin")]
    assert together(held(calls, [Power(99, "pete", 1, False)]), 500) is None
    assert together(held(calls, [Power(101, "pete", 1, False)]), 500) == Together(100, 1, True)


def test_the_same_node_twice_is_no_double_activation() -> None:
    calls = [call(0, "pete", "start", "begin"), Attempt(50, "pete", 2, "svc", "start", "begin", 0)]
    assert together(held(calls, []), 100) is None


def test_the_story_is_in_order_and_begins_with_the_fault() -> None:
    calls = [
        call(0, "pete", "start", "begin"), call(2500, "mclaws", "start", "begin"),
        call(1500, "pete", "stop", "end", 1), call(3000, "mclaws", "start", "end"),
        call(4000, "mclaws", "stop", "end"),
    ]  # fmt: skip
    power = [Power(2000, "pete", 1, False), Power(9000, "pete", 2, True)]
    assert told(calls, power, 1000) == [
        "stop fails on pete after 0.5 s", "pete is off after 1.0 s", "mclaws begins to start after 1.5 s",
        "mclaws has stopped after 3.0 s", "pete boots after 8.0 s",
    ]  # fmt: skip


def test_a_long_story_keeps_its_end() -> None:
    assert shortened(["a", "b"], 3) == "a, b"
    assert shortened(list("abcdef"), 3) == "a, b, … (3 more), f"
