"""The disasters' evidence and their recorder, without machines."""

from __future__ import annotations

import json
import os

import pytest

from lab import plan
from lab.disasters import evidence, files, recorder, scene
from lab.disasters.evidence import Cut, Timeline
from lab.disasters.hung_stop import LEAST_WAIT_MS
from lab.disasters.main import parser
from lab.disasters.pair import disk_mounted
from lab.frames import Frame
from lab.machine import PowerEvent
from lab.report import StepFailed

PETE, MCLAWS = (node.nic("eth3").mac for node in plan.NODES)


def write(t_ms: float, mac: str, lba: int = 0, sectors: int = 8) -> Frame:
    return Frame(t_ms, mac, "write", lba, sectors)


# --- the outside's account ----------------------------------------------------------------------------------


def events(*told: tuple[int, str, str, str]) -> list[PowerEvent]:
    return [PowerEvent(t_ms, guest, what, by, 1) for t_ms, guest, what, by in told]


def test_a_cut_is_the_outlet_and_the_next_start():
    found = events(
        (5, "pete", "started", "cord"), (50, "pete", "ended", "outlet"), (80, "pete", "started", "outlet")
    )
    assert evidence.cut_by_outlet(found, "pete", 10) == Cut("pete", 50, 80)
    assert evidence.cut_by_outlet(found[:2], "pete", 10) == Cut("pete", 50, None)


@pytest.mark.parametrize("by", ["cord", "own reset", "own shutdown"])
def test_a_node_that_ended_otherwise_was_not_cut(by):
    assert evidence.cut_by_outlet(events((50, "pete", "ended", by)), "pete", 10) is None


def test_a_cut_before_or_of_the_other_node_does_not_count():
    found = events((5, "pete", "ended", "outlet"), (50, "mclaws", "ended", "outlet"))
    assert evidence.cut_by_outlet(found, "pete", 10) is None


def test_a_handover_is_one_turn_and_two_writers_are_many():
    assert evidence.turns([write(1, PETE), write(2, PETE), write(3, MCLAWS)]) == 1
    assert evidence.turns([write(1, PETE), write(2, MCLAWS), write(3, PETE)]) == 2
    reads = [Frame(2, MCLAWS, "read", 0, 8), Frame(3, MCLAWS, "other", 0, 0)]
    assert evidence.turns([write(1, PETE), *reads, write(4, PETE)]) == 0


def test_sectors_of_both_counts_overlaps_of_writes_only():
    first = [write(1, PETE, 100, 8)]
    assert evidence.sectors_of_both(first, [write(2, MCLAWS, 104, 8)]) == 4
    assert evidence.sectors_of_both(first, [write(2, MCLAWS, 108, 8)]) == 0
    assert evidence.sectors_of_both(first, [Frame(2, MCLAWS, "read", 100, 8)]) == 0


def test_a_frame_at_the_very_moment_counts_as_late():
    found = [write(9.9, PETE), write(10, PETE), write(20, PETE)]
    assert [frame.t_ms for frame in evidence.between(found, 10, 20)] == [10]
    assert [frame.t_ms for frame in evidence.between(found, 10, None)] == [10, 20]


def test_queries_are_no_use_of_the_disk():
    found = [Frame(1, PETE, "other", 0, 0), Frame(2, PETE, "read", 0, 8), write(3, PETE)]
    assert [frame.t_ms for frame in evidence.uses(found)] == [2, 3]
    assert evidence.summary(found) == "1 write, 1 read, 1 query"
    assert evidence.summary([]) == "nothing"


# --- the timeline -------------------------------------------------------------------------------------------


def test_the_timeline_is_in_order_and_takes_nothing_twice():
    timeline = Timeline()
    switched = [
        {"t_ms": 500, "event": "switched", "outlet": 1, "to": "off"},
        {"t_ms": 400, "event": "login"},
    ]
    for _ in range(2):
        evidence.add_switch(timeline, switched, 1000)
        evidence.add_power(timeline, events((1490, "pete", "ended", "outlet")))
        evidence.add_said(
            timeline, "mclaws", [{"wall_ms": 9000, "level": "warning", "text": "fencing pete"}], -7600
        )
    assert timeline.lines(1400, 0) == [
        "       +0  mclaws    warning: fencing pete",
        "      +90  pete      power ended, by outlet (boot 1)",
        "     +100  benjamin  plug 1 (pete) is OFF",
    ]
    assert [moment["t_ms"] for moment in json.loads(timeline.document(1400))] == [0, 90, 100]


def test_spells_of_writing():
    timeline = Timeline()
    found = [write(0, PETE), write(10, PETE), write(20, MCLAWS), write(5000, PETE)]
    evidence.add_shelf(timeline, found, "pete")
    assert [(moment.t_ms, moment.text) for moment in timeline.moments] == [
        (0, "pete begins to write"),
        (10, "last write of pete for now, 2 since it began"),
        (5000, "one write of pete"),
    ]


# --- what the nodes are given and say -----------------------------------------------------------------------


@pytest.mark.parametrize("fencing", [True, False])
def test_the_configuration_loads(tmp_path, fencing):
    """The waiting time that the story claims is the one that failoverd computes."""
    from failover_kit.manager.configfiles import load

    texts = {"ha.cf": files.ha_cf(fencing=fencing), "haresources": files.HARESOURCES, "authkeys": files.AUTHKEYS}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        os.chmod(tmp_path / name, 0o600)
    config = load(str(tmp_path)).config
    assert config.fence_delay_ms == files.FENCE_DELAY_MS
    assert config.can_fence("pete") is config.can_fence("mclaws") is fencing
    waits = config.timing.deadtime_ms + 2 * config.fence_delay_ms
    assert waits - 2 * config.timing.keepalive_ms == LEAST_WAIT_MS
    assert config.groups[0].home == "pete"
    assert config.groups[0].resources[0].timeout_ms("stop", 0) == files.STOP_TIMEOUT_S * 1000


def test_only_the_shared_disk_at_its_place_counts_as_mounted():
    assert disk_mounted("/dev/vda / ext4 rw 0 0\n/dev/etherd/e0.0 /mnt/e0.0 xfs rw 0 0\n")
    assert not disk_mounted("/dev/etherd/e0.0 /mnt/e0.0-old xfs rw 0 0\n/dev/vdb /mnt/e0.0 xfs rw 0 0\n")


def test_never_means_never():
    answers = iter(["", "", "it happened"])
    with pytest.raises(StepFailed, match="it happened"):
        scene.never(lambda: next(answers), 60, pause_s=0)


@pytest.mark.parametrize("argv", [["hung-stop", "--block", "tape"], ["fire"], ["hung-stop", "--thaw", "later"]])
def test_wrong_words_are_refused(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(argv)
    assert ended.value.code == 2


# --- the recorder -------------------------------------------------------------------------------------------


def acks(*numbers: int, node: str = "pete") -> str:
    return "".join(f'{{"ack": {number}, "life": 1, "node": "{node}", "at": {number}}}\n' for number in numbers)


def put(mount, node: str, number: int, data: bytes | None = None, line: bool = True) -> None:
    (mount / node).mkdir(exist_ok=True)
    content = recorder.body(node, 1, number) if data is None else data
    (mount / node / recorder.file_name(1, number)).write_bytes(content)
    if line:
        with (mount / recorder.JOURNAL).open("a") as file:
            file.write(recorder.journal_line(node, 1, number))


def test_audit_tells_whole_missing_and_damaged_apart(tmp_path):
    put(tmp_path, "pete", 1)
    put(tmp_path, "pete", 2, recorder.body("mclaws", 1, 2))
    put(tmp_path, "mclaws", 1, line=False)
    found = recorder.audit(str(tmp_path), recorder.acknowledged(acks(1, 2, 3) + acks(1, node="mclaws")))
    assert found == {
        "mclaws": {"acknowledged": 1, "whole": 1, "journal line lost": 1},
        "pete": {
            "acknowledged": 3, "whole": 1, "damaged": 1, "missing": 1,
            "journal line there": 2, "journal line lost": 1,
        },
    }  # fmt: skip


def test_a_torn_journal_line_is_a_lost_one(tmp_path):
    put(tmp_path, "pete", 1)
    put(tmp_path, "pete", 12)
    text = (tmp_path / recorder.JOURNAL).read_text()
    (tmp_path / recorder.JOURNAL).write_text(text.removesuffix("\n").removesuffix("2"))
    found = recorder.audit(str(tmp_path), recorder.acknowledged(acks(1, 12)))
    assert found["pete"]["journal line lost"] == 1


def test_a_torn_acknowledgement_promised_nothing():
    text = acks(1, 2)[:-10] + "\n" + '{"error": "Input/output error", "life": 1, "node": "pete", "at": 9}\n'
    assert [ack.number for ack in recorder.acknowledged(text)] == [1]
    assert recorder.errors(text) == ["pete: Input/output error"]


def test_bodies_differ_by_node_life_and_number_and_have_their_size():
    bodies = {recorder.body(*name) for name in [("pete", 1, 1), ("mclaws", 1, 1), ("pete", 2, 1), ("pete", 1, 2)]}
    assert len(bodies) == 4
    assert all(1024 <= len(recorder.body("pete", 1, number)) < 12288 for number in range(200))


def test_the_writer_acknowledges_only_what_is_on_the_disk(tmp_path, monkeypatch):
    """It is stopped at its third record by a full disk; two are acknowledged, the error is noted."""
    mount, promised = tmp_path / "mnt", tmp_path / "acks"
    mount.mkdir()
    real, calls = recorder.write_synced, []

    def write_synced(path, data, directory, flags):
        calls.append(path)
        if len(calls) > 4:
            raise OSError(28, "No space left on device")
        real(path, data, directory, flags)

    monkeypatch.setattr(recorder, "write_synced", write_synced)
    monkeypatch.setattr(recorder.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(recorder, "stands_on_a_mount", lambda directory, mount: True)
    fd = os.open(promised, os.O_WRONLY | os.O_CREAT)
    recorder.write_records(str(mount), "pete", fd, 1)
    os.close(fd)
    text = promised.read_text()
    assert [ack.number for ack in recorder.acknowledged(text)] == [1, 2]
    assert "No space left" in recorder.errors(text)[0]
    assert recorder.audit(str(mount), recorder.acknowledged(text))["pete"]["whole"] == 2


def test_the_writer_does_not_write_into_an_unmounted_directory(tmp_path):
    mount = tmp_path / "mnt"
    mount.mkdir()
    recorder.write_records(str(mount), "pete", -1, 1)
    assert list(mount.iterdir()) == []


def test_the_command_that_the_lab_gives_in_a_guest(tmp_path, monkeypatch, capsys):
    """``audit`` with its files behind an option; and where nothing is mounted it tells nothing."""
    put(tmp_path, "pete", 1)
    names = [str(tmp_path / f"acks-{node}") for node in ("pete", "mclaws")]
    for name, text in zip(names, (acks(1), acks(1, node="mclaws")), strict=True):
        with open(name, "w", encoding="ascii") as file:
            file.write(text)
    argv = ["audit", "--mount", str(tmp_path), *names]
    assert recorder.main(argv) == 3
    assert "nothing is mounted" in capsys.readouterr().err
    monkeypatch.setattr(recorder, "mounted", lambda mount: True)
    assert recorder.main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pete"]["whole"] == found["mclaws"]["missing"] == 1
