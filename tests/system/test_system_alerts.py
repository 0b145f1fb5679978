"""Two real daemons with alert scripts, one of which hangs, a metrics file, and Heartbeat's commands."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from pair import Node, Pair, wait_until

from failover_kit.cli import clstatus, hbmove, heartbeat
from failover_kit.manager import store

pytestmark = pytest.mark.root

LOG = """#!/bin/sh
line="$CRM_alert_node_sequence $CRM_alert_kind $CRM_alert_failover_kit_code $CRM_alert_desc"
echo "$line" >> "$CRM_alert_recipient"
env | grep -q open-sesame && echo secret >> "$CRM_alert_recipient"
exit 0
"""
HANG = "#!/bin/sh\nexec sleep 600\n"


def prepare(node: Node) -> tuple[Path, Path]:
    """The log of alerts and the metrics file of a node that is not started yet."""
    folder = node.home / "ha.d" / "alerts.d"
    folder.mkdir(mode=0o755)
    log, metrics = node.home / "alerts", node.home / "failover_kit.prom"
    for name, text in (("hang", HANG), ("log", LOG)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "log.conf").write_text(f"recipient={log}\n")
    (folder / "hang.conf").write_text("timeout=2\n")
    node.command = functools.partial(node.command, "--metrics-file", str(metrics))  # type: ignore[method-assign]
    return log, metrics


def alerts(log: Path) -> list[list[str]]:
    return [line.split(None, 3) for line in log.read_text().splitlines()] if log.exists() else []


def codes(log: Path) -> list[str]:
    return [words[2] for words in alerts(log)]


def test_a_takeover_is_told_in_order_and_a_hanging_script_delays_nothing(pair: Pair) -> None:
    _, (log, metrics) = (prepare(node) for node in pair.nodes)
    first, second = pair.start()
    wait_until("the peer is reported", lambda: "peer-up" in codes(log))
    first.power_cut()
    wait_until("the group was taken over", lambda: second.group() == "started")
    wait_until("its start is reported", lambda: "started" in codes(log))

    told = [code for code in codes(log) if code in ("peer-silent", "fenced", "takeover", "started")]
    assert told == ["peer-silent", "fenced", "takeover", "started"]
    numbers = [int(words[0]) for words in alerts(log)]
    assert numbers == sorted(set(numbers))
    by_code = {words[2]: words for words in alerts(log)}
    assert by_code["peer-silent"][1:] == ["node", "peer-silent", "lost"]
    assert by_code["fenced"][3].endswith(": OK")
    assert "secret" not in log.read_text()

    # The script that hangs was killed again and again, and said once.
    wait_until("the hanging script is named", lambda: "hang did not end" in second.log())
    assert second.log().count("hang did not end") == 1

    wait_until(
        "the takeover is counted",
        lambda: re.search(r"^failover_kit_takeovers_total\{.*\} 1$", metrics.read_text(), re.MULTILINE),
    )
    text = metrics.read_text()
    assert re.search(r'^failover_kit_group_state\{group=".*",state="started"\} 1$', text, re.MULTILINE)
    assert 'failover_kit_fence_shots_total{result="fenced"} 1\n' in text

    # Beats went on all the time: the peer comes back and nobody is shot.
    first.start()
    wait_until("the old node is back", lambda: second.peer() == "up")
    assert pair.switch_log().count("off 1") == 1
    pair.prove_one_holder()
    assert second.leave() == 0
    assert not metrics.exists()
    record = store.peek(str(second.home / "var" / "state"))
    assert record is not None
    assert not any(group.held for group in record.groups)


def test_heartbeats_commands_move_groups_and_tell(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = pair.start()
    sockets = [str(node.home / "run" / "control.sock") for node in (first, second)]

    def held() -> list[str]:
        capsys.readouterr()
        assert [clstatus.main(["rscstatus"], socket) for socket in sockets] == [0, 0]
        return capsys.readouterr().out.split()

    assert held() == ["local", "none"]
    assert hbmove.main(["hb_standby", "local"], sockets[0]) == 0
    assert held() == ["none", "foreign"]
    assert hbmove.main(["hb_takeover"], sockets[0]) == 0
    assert held() == ["local", "none"]

    # A move that fails is a failure: Heartbeat's scripts had returned 0 before it began.
    second.file("fail-start-two")
    assert hbmove.main(["hb_standby"], sockets[0]) != 0
    assert clstatus.main(["nodestatus", second.name], sockets[0]) == 0
    assert heartbeat.main(["-s"], sockets[0]) == 0
    assert f"[{first.name}]..." in capsys.readouterr().out
    pair.prove_one_holder()
