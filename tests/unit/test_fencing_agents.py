"""Fence agents are driven by their stdin protocol, and only what was read back is reported as OFF."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from failover_kit.manager import actionspace, law
from failover_kit.manager.callers import Search
from failover_kit.manager.children import Ended, Freshness
from failover_kit.manager.fencedevices import find_agents, outlets_of, plug_state
from failover_kit.manager.records import PlugState
from failover_kit.spec.deadline import boottime_ms
from fence_bench import ONE, TWO_LEVELS, TWO_SUPPLIES, Bench, config_of

pytestmark = pytest.mark.root

@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_off_then_a_separate_reading_is_proof(bench: Bench) -> None:
    began_ms = boottime_ms()
    evidence = bench.fence(ONE)
    assert bench.log() == ["sw off 2", "sw status 2"]
    (reading,) = evidence.readings
    assert (reading.device, reading.plug, reading.off_exit, reading.state) == ("sw", "2", 0, PlugState.OFF)
    assert began_ms <= reading.off_began_ms <= reading.off_ended_ms <= reading.read_began_ms
    assert evidence.in_time
    assert evidence.reason == ""
    assert law.is_proof(evidence, began_ms)


def test_no_reading_begins_before_the_last_off_ended(bench: Bench) -> None:
    evidence = bench.fence(TWO_SUPPLIES)
    assert bench.log() == ["a off 2", "b off 2", "a status 2", "b status 2"]
    assert len(evidence.readings) == 2
    last_off_ms = max(reading.off_ended_ms for reading in evidence.readings)
    assert all(reading.read_began_ms >= last_off_ms for reading in evidence.readings)
    assert law.is_proof(evidence, 0)


def test_success_without_switching_is_no_proof(bench: Bench) -> None:
    bench.wrong("sw-stuck")
    evidence = bench.fence(ONE)
    assert evidence.readings[0].state is PlugState.ON
    assert evidence.reason == "sw plug 2 reads ON after the off"
    assert not law.is_proof(evidence, 0)


def test_a_failed_off_is_told_without_the_password(bench: Bench) -> None:
    bench.wrong("sw-fail-off")
    evidence = bench.fence(ONE)
    assert evidence.readings[0].off_exit == 1
    assert evidence.reason == "sw plug 2: off failed: login with *** refused"
    assert not law.is_proof(evidence, 0)


def test_a_failed_status_is_unknown(bench: Bench) -> None:
    bench.wrong("sw-fail-status")
    evidence = bench.fence(ONE)
    assert evidence.readings[0].state is PlugState.UNKNOWN
    assert "status failed" in evidence.reason
    assert not law.is_proof(evidence, 0)


def test_the_exit_code_of_a_usage_error_is_not_off(bench: Bench) -> None:
    """argparse, python3 without its script, and a shell's syntax error exit 2 as well."""
    bench.wrong("sw-usage-status")
    bench.outlet("sw.2", "on")
    evidence = bench.fence(ONE)
    assert evidence.readings[0].state is PlugState.UNKNOWN
    assert "exit 2 does not go with what it printed" in evidence.reason
    assert not law.is_proof(evidence, 0)
    assert read(bench, ONE) is PlugState.UNKNOWN
    assert not law.is_proof(bench.fence(ONE, only_if_off=True), 0)


@pytest.mark.parametrize(
    ("code", "stdout", "state"),
    [
        (2, "Status: OFF\n", PlugState.OFF),  # fencing.py
        (2, "Performing: x\nSTATUS: off\r\n", PlugState.OFF),
        (2, "", PlugState.UNKNOWN),
        (2, "Status: ON\n", PlugState.UNKNOWN),
        (2, "Status: ON\nStatus: OFF\n", PlugState.UNKNOWN),
        (2, "Status: OFFLINE\n", PlugState.UNKNOWN),
        (2, "failed: Status: OFF expected\n", PlugState.UNKNOWN),
        (0, "Status: OFF\n", PlugState.UNKNOWN),
        (1, "Status: OFF\n", PlugState.UNKNOWN),
        (None, "Status: OFF\n", PlugState.UNKNOWN),
        (-9, "Status: ON\n", PlugState.UNKNOWN),
        (0, "Status: ON\n", PlugState.ON),
        (0, "", PlugState.ON),  # FenceAgentAPI asks for no text
    ],
)
def test_off_needs_exit_code_and_text(code: int | None, stdout: str, state: PlugState) -> None:
    assert plug_state(Ended(code=code, stdout=stdout, began_ms=1, ended_ms=2)) is state


def test_one_supply_of_two_is_no_proof(bench: Bench) -> None:
    bench.wrong("b-stuck")
    evidence = bench.fence(TWO_SUPPLIES)
    assert [reading.state for reading in evidence.readings] == [PlugState.OFF, PlugState.ON]
    assert not law.is_proof(evidence, 0)


@pytest.mark.parametrize("action", ["off", "status"])
def test_a_hanging_agent_is_killed_at_the_deadline_and_proves_nothing(bench: Bench, action: str) -> None:
    bench.wrong(f"sw-hang-{action}")
    for timeout_ms in (500, 5_000, 50_000):  # a busy machine may need the first ones to come to what hangs
        evidence = bench.fence(ONE, timeout_ms=timeout_ms)
        assert not law.is_proof(evidence, 0)
        if "and was killed" in evidence.reason:
            break
    assert "and was killed" in evidence.reason
    assert bench.space.leftovers(actionspace.FENCING) == []


def test_the_second_level_is_tried_when_the_first_fails(bench: Bench) -> None:
    bench.wrong("a-fail-off")
    evidence = bench.fence(TWO_LEVELS)
    assert bench.log() == ["a off 2", "b off 2", "b status 2"]
    assert [reading.device for reading in evidence.readings] == ["b"]
    assert law.is_proof(evidence, 0)


def test_the_evidence_says_when_a_reading_ended_and_why_the_first_level_proved_nothing(bench: Bench) -> None:
    bench.wrong("a-fail-off")
    evidence = bench.fence(TWO_LEVELS)
    assert evidence.earlier == ("a plug 2: off failed: login with *** refused",) and evidence.reason == ""
    assert all(reading.read_began_ms <= reading.read_ended_ms for reading in evidence.readings)
    assert bench.fence(ONE).earlier == ()


def test_the_second_level_is_left_alone_when_the_first_works(bench: Bench) -> None:
    bench.fence(TWO_LEVELS)
    assert bench.log() == ["a off 2", "a status 2"]


def test_only_if_off_switches_nothing_that_reads_on(bench: Bench) -> None:
    evidence = bench.fence(ONE, only_if_off=True)
    assert bench.log() == ["sw status 2"]
    assert not law.is_proof(evidence, 0)
    assert evidence.reason == "nothing was switched: not all plugs read OFF"


def test_only_if_off_orders_off_again_and_reads_again(bench: Bench) -> None:
    bench.outlet("sw.2", "off")
    assert law.is_proof(bench.fence(ONE, only_if_off=True), 0)
    assert bench.log() == ["sw status 2", "sw off 2", "sw status 2"]


def test_an_old_decision_switches_nothing(bench: Bench) -> None:
    old = Freshness(boottime_ms() - 9_000, 1_000)
    evidence = asyncio.run(bench.fencer(ONE).fence(3, old)).evidence
    assert bench.log() == []
    assert evidence.readings == ()
    assert not evidence.in_time
    assert "must be made again" in evidence.reason


def test_an_old_decision_does_not_reach_the_second_level_either(bench: Bench) -> None:
    old = Freshness(boottime_ms() - 9_000, 1_000)
    evidence = asyncio.run(bench.fencer(TWO_LEVELS).fence(3, old)).evidence
    assert bench.log() == []
    assert "must be made again" in evidence.reason


def test_only_if_off_ends_at_a_level_that_has_power(bench: Bench) -> None:
    bench.outlet("b.2", "off")
    assert not law.is_proof(bench.fence(TWO_LEVELS, only_if_off=True), 0)
    assert bench.log() == ["a status 2"]


def test_only_if_off_goes_on_from_a_level_that_does_not_answer(bench: Bench) -> None:
    bench.wrong("a-fail-status")
    bench.outlet("b.2", "off")
    assert law.is_proof(bench.fence(TWO_LEVELS, only_if_off=True), 0)
    assert bench.log() == ["a status 2", "b status 2", "b off 2", "b status 2"]


def test_the_age_of_a_decision_does_not_matter_to_what_was_just_read_off(bench: Bench) -> None:
    bench.outlet("sw.2", "off")
    old = Freshness(boottime_ms() - 9_000, 1_000)
    evidence = asyncio.run(bench.fencer(ONE).fence(3, old, only_if_off=True)).evidence
    assert law.is_proof(evidence, 0)


def test_a_trusted_device_is_not_asked_for_a_status(bench: Bench) -> None:
    evidence = bench.fence(ONE + "fence_trust sw\n")
    assert bench.log() == ["sw off 2"]
    assert evidence.readings[0].trusted
    assert law.is_proof(evidence, 0)


def test_power_on_is_read_back(bench: Bench) -> None:
    bench.outlet("sw.2", "off")
    done = asyncio.run(bench.fencer(ONE).power_on(4))
    assert (done.op, done.ok, done.reason) == (4, True, "")
    assert bench.log() == ["sw on 2", "sw status 2"]


def test_power_comes_back_from_the_outer_level_inwards(bench: Bench) -> None:
    asyncio.run(bench.fencer(TWO_LEVELS).power_on(4))
    assert bench.log() == ["b on 2", "b status 2", "a on 2", "a status 2"]


def test_a_cancelled_power_on_answers_when_its_agent_is_gone(bench: Bench) -> None:
    bench.wrong("sw-hang-on")

    async def story() -> tuple[bool, str]:
        fencer = bench.fencer(ONE)
        task = asyncio.create_task(fencer.power_on(4))
        while not bench.log():
            await asyncio.sleep(0.01)
        fencer.cancel_power_on()
        done = await task
        return done.ok, done.reason

    assert asyncio.run(asyncio.wait_for(story(), 60)) == (False, "it was called off")
    assert bench.space.leftovers(actionspace.FENCING) == []


def test_a_power_on_called_off_before_it_began_switches_nothing(bench: Bench) -> None:
    async def story() -> tuple[bool, str]:
        fencer = bench.fencer(ONE)
        task = asyncio.create_task(fencer.power_on(4))
        fencer.cancel_power_on()
        done = await task
        assert bench.log() == []
        assert (await fencer.power_on(5)).ok
        return done.ok, done.reason

    assert asyncio.run(asyncio.wait_for(story(), 60)) == (False, "it was called off")


def read(bench: Bench, devices: str) -> PlugState:
    return asyncio.run(bench.fencer(devices).read_plugs(5)).state


def test_plugs_are_read_together(bench: Bench) -> None:
    assert read(bench, TWO_SUPPLIES) is PlugState.ON
    bench.outlet("a.2", "off")
    assert read(bench, TWO_SUPPLIES) is PlugState.UNKNOWN
    bench.outlet("b.2", "off")
    assert read(bench, TWO_SUPPLIES) is PlugState.OFF


def test_calls_in_flight_are_shown(bench: Bench) -> None:
    bench.wrong("sw-hang-off")

    async def story() -> list[str]:
        task = asyncio.create_task(bench.fencer(ONE, 60_000).fence(3, Freshness(boottime_ms(), 60_000)))
        while not bench.log():
            await asyncio.sleep(0.01)
        shown = [what for what, _, _ in bench.calls.running()]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return shown

    assert asyncio.run(story()) == ["off of mclaws by sw plug 2"]
    assert bench.calls.running() == ()


def test_the_agent_reads_its_action_and_parameters() -> None:
    ((outlet,),) = outlets_of(config_of(ONE), "mclaws", {"fence_x": "/usr/sbin/fence_x"})
    assert outlet.request("off").argv == ("/usr/sbin/fence_x",)
    assert outlet.request("off").stdin == b"action=off\nip=sw\npassword=sesam\nplug=2\n"


def test_a_missing_agent_is_named_with_place_and_remedy(tmp_path: Path) -> None:
    search: Callable[[str], Search] = lambda place: Search(ocf_own=(), fence=(place,))  # noqa: E731
    _, problems = find_agents(config_of(TWO_LEVELS), "mclaws", search(str(tmp_path)))
    assert len(problems) == 2
    assert problems[0].startswith("ha.cf:4:1: no fence agent 'fence_x' for device a: looked at ")
    assert "sesam" not in " ".join(problems)
