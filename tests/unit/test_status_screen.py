"""What an administrator reads: state, reason, what to do; and what scripts get."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

import status_examples
from failover_kit.cli.screen import Style, render
from failover_kit.manager import hacf
from failover_kit.manager.actions import Level
from failover_kit.manager.advice import trusted_devices
from failover_kit.manager.codec import from_plain, to_plain
from failover_kit.manager.records import LinkView, ProofState, ProofView
from failover_kit.manager.states import GroupState
from failover_kit.manager.status import (
    EXIT_CODES,
    RECENT_LIMIT,
    Health,
    LinkHealth,
    Operation,
    Recent,
    Status,
    assess,
    proof_age_ms,
)
from status_examples import HEALTHY, NOW_MS, PINGS, SILENT, WEB, status_of

PLAIN = Style()
PAINTED = Style(colour=True, width=0)


def test_a_healthy_pair_reads_like_this() -> None:
    assert render(status_of(), PLAIN) == (
        "  cluster  pete + mclaws  HEALTHY\n"
        "   reason  both nodes are up\n"
        "\n"
        "node    state  heard      since\n"
        "pete    up     this node  -\n"
        "mclaws  up     0.4 s ago  2 h 0 min\n"
        "\n"
        "group  home  on pete  on mclaws  since\n"
        "web    pete  started  stopped    61 s   runs here under epoch 4\n"
        "\n"
        "link   state  heard\n"
        "ttyS0  up     0.4 s ago\n"
        "eth1   up     0.4 s ago\n"
        "\n"
        " versions  failoverd 1 on both nodes\n"
    )


def test_two_versions_are_shown_with_the_node_to_upgrade() -> None:
    differ = "pete runs failoverd 2 (1.1), mclaws runs a failoverd that speaks 1.0: upgrade mclaws"
    status = status_of(dataclasses.replace(HEALTHY, peer_release="", peer_speaks="1.0", versions_differ=differ))
    assert f" versions  DIFFER: {differ}\n" in render(status, PLAIN)
    assert assess(status)[0] is Health.HEALTHY
    unheard = dataclasses.replace(HEALTHY, peer_speaks="")
    assert "versions" not in render(status_of(unheard), PLAIN)


def test_trouble_reads_state_then_why_then_what_to_do() -> None:
    text = render(status_of(SILENT), PLAIN)
    assert text.startswith(
        "  cluster  pete + mclaws  NO-SERVICE\n"
        "   reason  group web runs on no node: not started: mclaws is not fenced: plug 2 of benjamin reads ON\n"
        "       do  repair the power switch of mclaws, or its way there; the shot is repeated by itself\n"
        "           if mclaws is off for certain, run: failoverctl confirm-dead mclaws\n"
    )
    assert re.search(r"^mclaws +SILENT +17 s ago +-$", text, re.M)
    assert re.search(r"^web +pete +stopped +not known +61 s", text, re.M)
    assert re.search(r"^eth1 +NEVER HEARD +never$", text, re.M)
    assert "fencing  3 failed in a row, the last: plug 2 of benjamin reads ON\n" in text
    assert "due  fencing of mclaws in 4.0 s\n" in text


def test_a_link_that_works_in_one_direction_says_which() -> None:
    deaf = LinkView(name="eth1", up=False, heard_ago_ms=9_000, one_way="mclaws hears us there, we do not hear it")
    mute = LinkView(name="ttyS0", up=True, heard_ago_ms=400, one_way="we hear mclaws there, it does not hear us")
    text = render(status_of(dataclasses.replace(HEALTHY, links=(mute, deaf))), PLAIN)
    assert "ttyS0  ONE WAY  0.4 s ago  we hear mclaws there, it does not hear us\n" in text
    assert "eth1   ONE WAY  9.0 s ago  mclaws hears us there, we do not hear it\n" in text


def test_ping_nodes_have_a_table_where_there_are_some() -> None:
    assert (
        "ping node    state      since\n"
        "192.0.2.1    answers    61 s\n"
        "printers     SILENT     5.0 s\n"
        "2001:db8::1  not known  1.0 s\n"
        "mclaws reaches 2 of 3\n"
    ) in render(status_of(PINGS), PLAIN)
    unknown = dataclasses.replace(PINGS, peer_reaches=None)
    assert "mclaws reaches a number not known\n" in render(status_of(unknown), PLAIN)
    assert "ping node" not in render(status_of(), PLAIN)


def test_a_running_call_shows_the_end_of_its_time() -> None:
    what = "stop of Filesystem:/dev/etherd/e0.0"
    running = Operation(what=what, began_ms=NOW_MS - 12_000, deadline_ms=NOW_MS + 48_000)
    text = render(status_of(operations=(running,)), PLAIN)
    assert "running  stop of Filesystem:/dev/etherd/e0.0: 12 s, gives up in 48 s\n" in text
    late = dataclasses.replace(running, deadline_ms=NOW_MS - 1)
    assert "12 s, its time is over\n" in render(status_of(operations=(late,)), PLAIN)


@pytest.mark.parametrize("view", [HEALTHY, SILENT])
def test_colour_says_nothing_that_words_do_not(view) -> None:  # type: ignore[no-untyped-def]
    painted = render(status_of(view), PAINTED)
    assert "\033[" in painted
    assert re.sub(r"\033\[[0-9;]*m", "", painted) == render(status_of(view), PLAIN)


def test_long_sentences_wrap_under_themselves() -> None:
    for line in render(status_of(SILENT), Style(width=72)).splitlines():
        assert len(line) <= 72


def test_messages_cannot_steer_the_terminal() -> None:
    recent = Recent()
    recent.add(1_795_000_000_000, Level.ALARM, "agent said \033[2J\nroot# ")
    evil = dataclasses.replace(WEB, doing="\x9b2J")
    view = dataclasses.replace(HEALTHY, reason="x\033]0;title\a", groups=(evil,))
    text = render(status_of(view, recent=recent.last()), PLAIN)
    assert "\033" not in text and "\a" not in text and "\x9b" not in text
    assert "ALARM: agent said ?[2J?root# \n" in text


def test_the_states_of_a_peer_have_their_words() -> None:
    def peer_line(**fields: object) -> str:
        text = render(status_of(dataclasses.replace(HEALTHY, **fields)), PLAIN)
        return next(line for line in text.splitlines() if line.startswith("mclaws"))

    assert peer_line(peer_hears_us=False).endswith("does not hear this node")
    assert peer_line(peer_ready=False).endswith("is not ready to take groups")
    assert peer_line(peer_leaving=True).endswith("is leaving")
    assert peer_line(peer_state="silent", peer_leaving=True).endswith("left in good order")
    assert "FENCED" in peer_line(peer_state="fenced")


def test_a_link_error_degrades_what_the_core_calls_healthy() -> None:
    broken = status_of(links=(LinkHealth(name="ttyS0", error="/dev/ttyS0 is used by another program", refused=2),))
    assert assess(broken)[:2] == (Health.DEGRADED, "link ttyS0: /dev/ttyS0 is used by another program")
    assert "2 frames refused" in render(broken, PLAIN)
    problem = status_of(problems=("the journal cannot be written",))
    assert assess(problem)[0] is Health.DEGRADED
    assert "problem  the journal cannot be written\n" in render(problem, PLAIN)
    assert assess(status_of(SILENT, problems=("x",)))[0] is Health.NO_SERVICE


def test_exit_codes_are_those_of_the_manual() -> None:
    assert [EXIT_CODES[health] for health in (Health.HEALTHY, Health.DEGRADED, Health.NO_SERVICE)] == [0, 1, 2]


def test_every_group_state_can_be_shown() -> None:
    for state in GroupState:
        view = dataclasses.replace(HEALTHY, groups=(dataclasses.replace(WEB, state=state, peer_state=state),))
        assert state.value in render(status_of(view), PLAIN).lower()
    assert "no groups" in render(status_of(dataclasses.replace(HEALTHY, groups=())), PLAIN)


def test_json_is_the_whole_object() -> None:
    status = status_of(SILENT, operations=(Operation(what="x", began_ms=1, deadline_ms=2),))
    assert from_plain(Status, json.loads(json.dumps(to_plain(status)))) == status


def test_only_the_last_sentences_are_kept() -> None:
    recent = Recent()
    for number in range(RECENT_LIMIT + 7):
        recent.add(number, Level.INFO, str(number))
    assert [said.wall_ms for said in recent.last()] == list(range(7, RECENT_LIMIT + 7))


def test_examples_are_whole() -> None:
    assert {link.name for link in status_examples.status_of().links} == {"ttyS0", "eth1"}


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("state", "age_ms", "line"),
    [
        (ProofState.PROVED, 3 * DAY_MS, "    proof  proved, 3 d 0 h ago: TEXT\n"),
        (ProofState.CHANGED, 90_000, "    proof  proved, 90 s ago: TEXT\n"),
        (ProofState.OUTDATED, DAY_MS, "    proof  OUT OF DATE, 24 h 0 min ago: TEXT\n"),
        (ProofState.FAILED, DAY_MS, "    proof  FAILED, 24 h 0 min ago: TEXT\n"),
        (ProofState.NEVER, None, "    proof  NOT PROVED: TEXT\n"),
        (ProofState.RUNNING, None, "    proof  RUNNING: TEXT\n"),
    ],
)
def test_the_last_proof_drill_and_its_age_are_shown(state: ProofState, age_ms: int | None, line: str) -> None:
    view = dataclasses.replace(HEALTHY, proof=ProofView(state=state, wall_ms=1, text="TEXT"))
    status = status_of(view, proof_age_ms=age_ms)
    assert line in render(status, PLAIN)
    assert json.loads(json.dumps(to_plain(status)))["proof_age_ms"] == age_ms


def test_the_age_of_a_proof_is_of_the_wall_clock_and_never_below_nothing() -> None:
    assert proof_age_ms(ProofView(state=ProofState.PROVED, wall_ms=1_000), 61_000) == 60_000
    assert proof_age_ms(ProofView(state=ProofState.PROVED, wall_ms=1_000), 500) == 0
    assert proof_age_ms(ProofView(state=ProofState.NEVER), 61_000) is None


def test_a_device_that_is_believed_unread_is_named_as_long_as_it_is() -> None:
    config = hacf.parse(
        "node pete mclaws\nucast eth1 10.0.0.1\nfence_device bmc external/ipmi hostname=x\nfence_trust bmc\n"
    ).value
    assert config is not None
    text = render(status_of(remarks=trusted_devices(config, "mclaws")), PLAIN)
    assert "     note  mclaws counts as off when bmc (external/ipmi) says that it was switched" in text
