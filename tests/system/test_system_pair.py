"""Two real daemons with the real core: the stories an administrator would try first."""

from __future__ import annotations

import pytest
from pair import Pair, wait_until

pytestmark = pytest.mark.root


def test_first_start_standby_takeover_and_leaving(pair: Pair) -> None:
    first, second = pair.start()
    assert second.group() == "stopped"
    assert pair.starts() == [(first.name, "one"), (first.name, "two")]

    moved = first.moved("standby")
    assert moved.returncode == 0, moved.stderr
    assert f"{second.name} runs" in moved.stdout
    assert (first.group(), second.group()) == ("stopped", "started")

    back = first.moved("takeover")
    assert back.returncode == 0, back.stderr
    assert (first.group(), second.group()) == ("started", "stopped")

    # Leaving in good order hands the group over first.
    assert first.leave() == 0
    wait_until("the other node took over", lambda: second.group() == "started")
    wait_until("nothing of it runs", lambda: first.processes() == [])
    assert pair.switch_log() == []
    pair.prove_one_holder()


def test_a_daemon_that_was_killed_adopts_what_runs(patient: Pair) -> None:
    pair = patient
    first, second = pair.start()
    before, starts = first.resources(), pair.starts()
    assert len(before) == 2
    first.kill_daemon()
    first.start()
    wait_until("it was adopted", lambda: first.group() == "started")
    wait_until("the peer hears it again", lambda: second.peer() == "up")
    assert pair.starts() == starts
    assert first.resources() == before
    assert first.view()["groups"][0]["right"] > 0
    assert pair.switch_log() == []
    pair.prove_one_holder()


def test_power_cut_of_the_active_node_is_fenced_and_taken_over(pair: Pair) -> None:
    first, second = pair.start()
    assert first.moved("standby").returncode == 0
    second.power_cut()
    wait_until("the group was taken over", lambda: first.group() == "started")
    # off, a separate status that reads OFF, then takeover, then on and its status (rules 8 and 13).
    wait_until("power is given back", lambda: "on 2" in pair.switch_log())
    assert pair.switch_log()[:2] == ["off 2", "status 2"]
    assert pair.switch_log().count("off 2") == 1
    second.start()
    wait_until("the old node is back", lambda: first.peer() == "up")
    wait_until("it looked at itself", lambda: second.group() == "stopped")
    assert first.group() == "started"
    assert "open-sesame" not in pair.logs()
    pair.prove_one_holder()


def test_a_stuck_switch_means_no_takeover_until_it_works(pair: Pair) -> None:
    first, second = pair.start()
    assert first.moved("standby").returncode == 0
    stuck = pair.folder / "plug-2-stuck"
    stuck.touch()
    second.power_cut()
    wait_until("two shots failed", lambda: pair.switch_log().count("off 2") >= 2)
    assert first.group() == "stopped"
    status = first.ctl("status")
    assert status.returncode == 2
    assert "confirm-dead" in status.stdout
    stuck.unlink()
    wait_until("the takeover completes by itself", lambda: first.group() == "started")
    pair.prove_one_holder()


def test_one_link_after_the_other_is_no_takeover_and_both_is_one_shot(pair: Pair) -> None:
    first, second = pair.start()
    pair.cable.pulled = True
    wait_until("the serial line is missed", lambda: "link" in second.log() and "is silent" in second.log())
    pair.cable.pulled = False
    wait_until("it is back", lambda: "carries beats again" in second.log())
    assert first.group() == "started"
    pair.pull_network()
    wait_until("the network is missed", lambda: second.log().count("is silent") >= 2)
    assert first.group() == "started"
    assert pair.switch_log() == []

    pair.cable.pulled = True
    wait_until("the holder shot the other", lambda: "off 2" in pair.switch_log())
    assert second.daemon is not None
    second.daemon.wait(60)
    wait_until("it is proved", lambda: first.peer() == "fenced")
    assert first.group() == "started"
    assert len(pair.starts()) == 2
    assert "off 1" not in pair.switch_log()
    pair.prove_one_holder()


def test_a_daemon_killed_in_a_hanging_start_leaves_nothing_running(patient: Pair) -> None:
    """Rule 6: the next life finds and kills what the dead one had begun, before it says stopped."""
    pair = patient
    first, second = pair.nodes
    hang = first.file("hang-start-one")
    first.start()
    second.start()
    wait_until("the start hangs", lambda: any(words[3] == "hang-start" for words in pair.ledger()))
    wait_until("so does what it has begun", lambda: len(first.processes()) >= 2)
    hung = first.processes()
    first.kill_daemon()
    hang.unlink()
    first.start()
    wait_until("it is served somewhere", lambda: "started" in (first.group(), second.group()))
    assert not set(hung) & set(first.processes())
    pair.prove_one_holder()


def test_a_failed_stop_is_not_a_stop(pair: Pair) -> None:
    """Rule 17: the right is kept, and the other node takes it only after it fenced this one."""
    first, second = pair.start()
    first.file("fail-stop-one")
    moved = first.ctl("standby")
    wait_until("the other node has it", lambda: second.group() == "started")
    assert moved.returncode in (0, 1)
    assert pair.switch_log()[:2] == ["off 1", "status 1"]
    pair.prove_one_holder()


def test_a_resource_that_dies_is_noticed_and_started_again(pair: Pair) -> None:
    first, second = pair.start()
    (first.home / "volatile" / "two.pid").unlink()
    wait_until("it was started again", lambda: len(pair.starts()) > 2 and first.group() == "started")
    assert second.group() == "stopped"
    wait_until("nothing else is left of it", lambda: len(first.processes()) == 2)  # a monitor may run beside them
