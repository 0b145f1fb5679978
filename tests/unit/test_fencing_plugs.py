"""Several plugs of one device, plugins of cluster-glue, and ``fence --test``, which gives way to every shot."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.manager import actionspace, fencetest, law
from failover_kit.manager.actions import ExitCode
from failover_kit.manager.callers import Search
from failover_kit.manager.children import Freshness
from failover_kit.manager.fencetest import FELL_SILENT, GAVE_WAY
from failover_kit.manager.records import PlugState
from failover_kit.spec.deadline import boottime_ms
from fence_bench import ONE, TWO_LEVELS, Bench

pytestmark = pytest.mark.root

LIST = "fence_device sw fence_x ip=sw password=sesam plug.pete=1,2 plug.mclaws=3,4\n"
GLUE = (
    "fence_device bmc external/ipmi hostname=bmc passwd=sesam plug.pete=PETE plug.mclaws=MCLAWS\n"
    "fence_trust bmc\n"
)
PLUGIN = "fence_device old stonith:wti_nps hostname=ben passwd=sesam\nfence_trust old\n"


REPOSITORY = Path(__file__).parents[2]
COMMANDS = [path for path in ("/usr/sbin/stonith", str(REPOSITORY / "stonith/stonith")) if os.path.exists(path)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


# --- a list of plugs ---------------------------------------------------------------------------------


def test_each_plug_of_a_list_is_switched_and_read_by_itself(bench: Bench) -> None:
    evidence = bench.fence(LIST)
    assert bench.log() == ["sw off 3", "sw off 4", "sw status 3", "sw status 4"]
    assert [(r.device, r.plug, r.state) for r in evidence.readings] == [
        ("sw", "3", PlugState.OFF),
        ("sw", "4", PlugState.OFF),
    ]
    assert law.is_proof(evidence, 0)


def test_one_plug_of_a_list_that_stays_on_is_no_proof(bench: Bench) -> None:
    bench.wrong("sw-stuck-4")
    evidence = bench.fence(LIST)
    assert evidence.reason == "sw plug 4 reads ON after the off"
    assert not law.is_proof(evidence, 0)


def test_a_plug_of_a_list_that_is_not_there_is_no_proof(bench: Bench) -> None:
    bench.wrong("sw-none-4")
    evidence = bench.fence(LIST)
    assert "plug is not available" in evidence.reason
    assert not law.is_proof(evidence, 0)


def test_power_on_is_done_when_every_plug_of_a_list_reads_on(bench: Bench) -> None:
    bench.fence(LIST)
    assert asyncio.run(bench.fencer(LIST).power_on(4)).ok
    assert bench.log()[-4:] == ["sw on 3", "sw status 3", "sw on 4", "sw status 4"]
    bench.wrong("sw-none-4")
    done = asyncio.run(bench.fencer(LIST).power_on(5))
    assert not done.ok
    assert done.reason.startswith("sw plug 4: status failed")


# --- plugins of cluster-glue -------------------------------------------------------------------------


def test_a_plugin_is_driven_by_the_stonith_command_with_its_parameters_in_the_environment(bench: Bench) -> None:
    evidence = bench.fence(GLUE)
    assert bench.log() == ["-t external/ipmi -E -T off MCLAWS hostname=bmc passwd=set"]
    assert evidence.readings[0].trusted
    assert law.is_proof(evidence, 0)


def test_a_type_without_a_slash_is_named_with_stonith(bench: Bench) -> None:
    bench.fence(PLUGIN)
    assert bench.log() == ["-t wti_nps -E -T off mclaws hostname=ben passwd=set"]


def test_a_plugin_that_fails_is_told_without_its_password(bench: Bench) -> None:
    bench.wrong("stonith-fails")
    evidence = bench.fence(GLUE)
    assert evidence.reason == "bmc plug MCLAWS: off failed: ERROR: external/ipmi device not accessible (***)."
    assert not law.is_proof(evidence, 0)


def test_a_plugin_is_never_asked_for_a_state(bench: Bench) -> None:
    read = asyncio.run(bench.fencer(GLUE).read_plugs(5))
    assert (read.state, bench.log()) == (PlugState.UNKNOWN, [])
    assert not law.is_proof(bench.fence(GLUE, only_if_off=True), 0)
    assert bench.log() == []


def test_power_on_by_a_plugin_is_believed(bench: Bench) -> None:
    assert asyncio.run(bench.fencer(GLUE).power_on(4)).ok
    assert bench.log() == ["-t external/ipmi -E -T on MCLAWS hostname=bmc passwd=set"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda path: path.split("/")[1])
def test_real_stonith_commands_take_these_calls(bench: Bench, command: str) -> None:
    """cluster-glue's own, and ours: type ``null`` switches nothing and says yes."""
    bench.search = Search(ocf_own=(), stonith=(command,))
    devices = 'fence_device n stonith:null hostlist="pete mclaws"\nfence_trust n\n'
    assert law.is_proof(bench.fence(devices), 0)
    assert asyncio.run(bench.fencer(devices).power_on(4)).ok
    assert bench.test(devices, node="mclaws").code is ExitCode.DONE
    unknown = 'fence_device n stonith:nosuch hostlist="pete mclaws"\nfence_trust n\n'
    done = bench.test(unknown, node="mclaws")
    assert done.code is ExitCode.FAILED
    assert "device type" in done.text
    assert "correct the type in ha.cf" in done.text


# --- fence --test ------------------------------------------------------------------------------------


def test_a_test_reads_every_plug_of_every_level_of_both_nodes_and_switches_nothing(bench: Bench) -> None:
    (bench.folder / "a-names").write_text("1,left\n2,right\n")
    (bench.folder / "b-names").write_text("1,left\n2,right\n")
    done = bench.test(TWO_LEVELS, "pete", "mclaws")
    assert [line for line in bench.log() if "list" not in line] == [
        "a status 1",
        "b status 1",
        "a status 2",
        "b status 2",
    ]
    assert done.code is ExitCode.DONE
    first, *table = done.text.splitlines()
    assert first == "4 plugs were asked, nothing is wrong"
    assert [line.partition(",")[0] for line in table[:4]] == [
        "  pete  level 1  a plug 1: ON",
        "  pete  level 2  b plug 1: ON",
        "  mclaws  level 1  a plug 2: ON",
        "  mclaws  level 2  b plug 2: ON",
    ]
    assert table[4] == "the plugs of pete and mclaws are different outlets"
    assert "nothing was switched, and nothing is proved" in table[5]


def test_a_test_of_one_node_leaves_the_other_alone(bench: Bench) -> None:
    bench.test(ONE, node="mclaws")
    assert [line for line in bench.log() if "list" not in line] == ["sw status 2"]
    assert bench.test(ONE, node="jim").code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("trouble", "fact", "remedy"),
    [
        ("sw-fail-status", "login with *** refused", "correct the user name and password in ha.cf"),
        ("sw-none-2", "plug is not available", "compare plug.NODE in ha.cf with the names and numbers"),
        ("sw-usage-status", "exit 2 does not go with what it printed", "run the agent by hand"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_remedy(bench: Bench, trouble: str, fact: str, remedy: str) -> None:
    bench.wrong(trouble)
    done = bench.test(ONE, node="mclaws")
    assert done.code is ExitCode.FAILED
    assert done.text.startswith("1 plug was asked, 1 wrong\n  mclaws  level 1  sw plug 2: UNKNOWN")
    assert fact in done.text
    assert remedy in done.text
    assert "sesam" not in done.text


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (": 10.77.0.1 port 23: Connection refused; tried for 5 s", "it may have one session"),
        (": 10.77.0.1 port 23: the device refused the password", "correct the user name and password"),
        ("", "whether somebody is logged in there, and at the password"),
    ],
)
def test_connect_or_login_is_told_apart_by_the_reason_given(reason: str, remedy: str) -> None:
    assert remedy in fencetest._with_remedy(f"status failed: Unable to connect/login to fencing device{reason}")


def test_a_running_node_whose_plug_reads_off_is_wrong(bench: Bench) -> None:
    bench.outlet("sw.2", "off")
    assert bench.test(ONE, node="mclaws").code is ExitCode.DONE
    done = bench.test(ONE, "mclaws", node="mclaws")
    assert done.code is ExitCode.FAILED
    assert "mclaws runs and this plug reads OFF: it is not its plug" in done.text


def test_a_name_and_a_number_of_one_outlet_are_found(bench: Bench) -> None:
    devices = "fence_device sw fence_x ip=sw password=sesam plug.pete=2 plug.mclaws=right\n"
    (bench.folder / "sw-names").write_text("1,left\n2,right\n")
    done = bench.test(devices)
    assert done.code is ExitCode.FAILED
    assert "WRONG: outlet 2 of sw feeds pete and mclaws" in done.text


def test_plugs_that_cannot_be_compared_are_said_to_be_so(bench: Bench) -> None:
    done = bench.test(ONE)
    assert done.code is ExitCode.DONE
    assert "could not be compared on sw: it gave no list" in done.text


def test_a_plugin_answers_or_not_and_is_never_called_read(bench: Bench) -> None:
    done = bench.test(GLUE, node="mclaws")
    assert bench.log()[0] == "-t external/ipmi -E -S hostname=bmc passwd=set"
    assert done.code is ExitCode.DONE
    assert "its state cannot be read, its exit code is believed (fence_trust)" in done.text
    bench.wrong("stonith-fails")
    assert bench.test(GLUE, node="mclaws").code is ExitCode.FAILED


def test_a_shot_kills_the_agent_of_a_test_and_the_test_ends(bench: Bench) -> None:
    """Rules 8, 12, 13: the shot begins at once, and what the test saw is nobody's proof."""
    bench.wrong("sw-hang-status")

    async def story() -> tuple[list[str], bool, str]:
        test = asyncio.create_task(bench.tester(ONE).test(""))
        while not bench.log():
            await asyncio.sleep(0.01)
        (bench.folder / "sw-hang-status").unlink()
        evidence = (await bench.fencer(ONE).fence(3, Freshness(boottime_ms(), 60_000))).evidence
        done = await test
        return bench.log(), law.is_proof(evidence, 0), done.text

    log, proved, text = asyncio.run(asyncio.wait_for(story(), 60))
    assert log == ["sw status 1", "sw off 2", "sw status 2"]  # nothing of the test after the shot began
    assert proved
    assert text.count(GAVE_WAY) == 2
    assert bench.space.leftovers(actionspace.FENCING) == []


def test_a_test_leaves_the_switch_when_the_other_node_falls_silent(bench: Bench) -> None:
    """Rule 10: that node may be about to shoot, and the switch may have one session."""
    bench.wrong("sw-hang-status")
    heard = ["pete", "mclaws"]

    async def story() -> tuple[ExitCode, str]:
        tester = bench.tester(ONE)
        tester._runs = heard.__contains__
        test = asyncio.create_task(tester.test(""))
        while not bench.log():
            await asyncio.sleep(0.01)
        heard.remove("pete")
        done = await test
        return done.code, done.text

    code, text = asyncio.run(asyncio.wait_for(story(), 60))
    assert (code, text.count(FELL_SILENT)) == (ExitCode.FAILED, 2)
    assert bench.log() == ["sw status 1"]
    assert bench.space.leftovers(actionspace.FENCING) == []
    bench.log()
    (bench.folder / "sw-hang-status").unlink()
    assert bench.test(ONE, "mclaws").code is ExitCode.DONE  # silent from the beginning: the operator wants to know


def test_a_test_does_not_begin_while_failoverd_uses_the_switch(bench: Bench) -> None:
    bench.wrong("sw-hang-off")

    async def story() -> ExitCode:
        shot = asyncio.create_task(bench.fencer(ONE, 60_000).fence(3, Freshness(boottime_ms(), 60_000)))
        while not bench.log():
            await asyncio.sleep(0.01)
        code = (await bench.tester(ONE).test("")).code
        shot.cancel()
        await asyncio.wait((shot,))
        return code

    assert asyncio.run(asyncio.wait_for(story(), 60)) is ExitCode.REFUSED
    assert bench.log() == ["sw off 2"]


def test_two_tests_at_once_are_refused(bench: Bench) -> None:
    async def story() -> list[ExitCode]:
        tester = bench.tester(ONE)
        first, second = await asyncio.gather(tester.test(""), tester.test(""))
        return [first.code, second.code]

    assert asyncio.run(story()) == [ExitCode.DONE, ExitCode.REFUSED]
