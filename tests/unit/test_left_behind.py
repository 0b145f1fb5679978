"""What a failoverd that ended left running, read from outside: by --left, and for a Heartbeat's unit."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from failover_kit.manager import leftbehind
from failover_kit.manager.daemon import run
from failover_kit.manager.hostcheck import Options
from failover_kit.manager.recordform import format_record
from failover_kit.manager.records import GroupRecord, NodeRecord

RECORD = NodeRecord(boot_id="boot-1", groups=(GroupRecord(name="cluster", held=True), GroupRecord(name="idle")))


@pytest.fixture
def options(tmp_path: Path) -> Options:
    (tmp_path / "run").mkdir()
    (tmp_path / "boot_id").write_text("boot-1\n")
    return Options(
        state_dir=str(tmp_path / "var"), run_dir=str(tmp_path / "run"), boot_id_file=str(tmp_path / "boot_id")
    )


def stored(options: Options, data: bytes) -> Path:
    path = Path(options.state_dir) / "state" / "node.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def left(options: Options, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code and what is said of ``failoverd --left``."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    said: list[str] = []
    return run(replace(options, left_only=True), said.append, said.append), "\n".join(said)


def test_nothing_is_left_where_none_ever_ran(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = left(options, monkeypatch)
    assert (code, said) == (0, "failoverd does not run, and left nothing running here")
    assert not Path(options.state_dir).exists(), "looking changes nothing"


def test_what_was_held_in_this_boot_is_named_with_the_remedy(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(options, format_record(RECORD))
    code, said = left(options, monkeypatch)
    assert code == 7
    assert said.startswith("failoverd has ended and may have left running here: cluster; nothing else knows")


def test_an_earlier_boot_s_groups_run_nowhere(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(options, format_record(replace(RECORD, boot_id="boot-0")))
    assert left(options, monkeypatch)[0] == 0


@pytest.mark.parametrize("data", [b"", b"{}", format_record(RECORD)[:-20]])
def test_a_record_that_cannot_be_read_is_no_word_that_nothing_is_held(
    options: Options, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    path = stored(options, data)
    code, said = left(options, monkeypatch)
    assert code == 7 and "what may run here is not known" in said
    assert path.read_bytes() == data


def test_a_boot_that_cannot_be_told_is_no_word_either(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(options, format_record(RECORD))
    Path(options.boot_id_file).unlink()
    assert left(options, monkeypatch)[0] == 7


def test_one_that_runs_is_seen_by_its_socket_and_one_that_was_killed_is_not(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It need not answer: one that hangs holds its groups, too."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(options.run_dir) / leftbehind.SOCKET_NAME))
        listener.listen(1)
        assert left(options, monkeypatch)[0] == 3
    assert left(options, monkeypatch)[0] == 0, "the file of the socket is still there"


def test_a_mark_without_a_record_still_counts(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removed the state directory: systemd starts no Heartbeat for the mark, and this says why."""
    leftbehind.mark(options.run_dir, ["cluster"])
    code, said = left(options, monkeypatch)
    assert code == 7 and "left running here: cluster; " in said


def test_only_root_may_ask(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert run(replace(options, left_only=True), lambda _: None, lambda _: None) == 4


def test_the_mark_names_the_groups_and_goes_with_the_next_life(options: Options) -> None:
    leftbehind.mark(options.run_dir, [])
    mark = Path(options.run_dir) / leftbehind.MARK
    assert not mark.exists(), "everything was stopped"
    leftbehind.mark(options.run_dir, leftbehind.held(RECORD, "boot-1"))
    assert mark.read_text() == "cluster\n"
    leftbehind.unmark(options.run_dir)
    leftbehind.unmark(options.run_dir)
    assert not mark.exists()
    leftbehind.mark("/nonexistent", ["cluster"])  # the record says it, too


