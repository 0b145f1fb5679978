"""The programs that run in guests, on a local filesystem: real files, real locks, real processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.client import audit, locks, probe_lock, reader, records, walker, writer
from lab.client.diary import Diary, Entry, entries
from lab.client.lock_watch import Watch, address_here
from lab.client.locks import State

TESTS = str(Path(__file__).resolve().parents[1])


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The programs take SIGTERM for themselves."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def diary_of(path: Path) -> list[Entry]:
    return list(entries(path.read_text(encoding="ascii"), path.name))


def write(tmp_path: Path, count: int = 10, *more: str) -> int:
    where = ["--dir", str(tmp_path), "--name", "v3", "--record", str(tmp_path / "v3.log")]
    return writer.main([*where, "--records", str(count), "--pace-ms", "0", "--any-filesystem", *more])


def read(tmp_path: Path, count: int = 20) -> int:
    where = ["--dir", str(tmp_path), "--of", "v3", "--writer-record", str(tmp_path / "v3.log")]
    where += ["--record", str(tmp_path / "r3.log")]
    return reader.main([*where, "--reads", str(count), "--pace-ms", "0", "--any-filesystem"])


def walk(tmp_path: Path, tree: Path, rounds: int) -> int:
    where = ["--dir", str(tree), "--name", "find", "--record", str(tmp_path / "find.log")]
    return walker.main([*where, "--rounds", str(rounds), "--pace-ms", "0", "--any-filesystem"])


# -- the writer -----------------------------------------------------------------------------------------------


def test_what_a_writer_writes_the_audit_proves(tmp_path: Path) -> None:
    assert write(tmp_path, 25, "--lock") == 0
    proof = audit.prove_writer("v3", (tmp_path / "v3.log").read_text(), (tmp_path / "v3.data").read_bytes())
    assert proof.findings == []
    assert proof.answers == 25


def test_a_line_for_the_attempt_stands_before_the_acknowledgement(tmp_path: Path) -> None:
    write(tmp_path, 2)
    whats = [line["what"] for line in diary_of(tmp_path / "v3.log")]
    assert whats == ["start", "opened", "try", "ack", "try", "ack", "ending", "end"]


def test_a_writer_refuses_a_file_and_a_diary_of_another_run(tmp_path: Path) -> None:
    assert write(tmp_path, 1) == 0
    with pytest.raises(FileExistsError):
        write(tmp_path, 1)
    (tmp_path / "v3.log").unlink()
    assert write(tmp_path, 1) == 4
    (error,) = [line for line in diary_of(tmp_path / "v3.log") if line["what"] == "error"]
    assert (error["during"], error["name"]) == ("open", "EEXIST")


def test_a_writer_refuses_what_is_no_nfs_mount(tmp_path: Path) -> None:
    where = ["--dir", str(tmp_path), "--name", "v3", "--record", str(tmp_path / "v3.log")]
    assert writer.main([*where, "--records", "1"]) == 3
    assert not (tmp_path / "v3.data").exists()
    (error,) = [line for line in diary_of(tmp_path / "v3.log") if line["what"] == "error"]
    assert "is not an NFS mount" in error["why"]


def test_an_error_is_recorded_with_its_number_and_the_record_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.fsync, 0

    def fsync(fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    assert write(tmp_path, 5) == 0
    lines = diary_of(tmp_path / "v3.log")
    assert [line["seq"] for line in lines if line["what"] == "ack"] == [1, 2, 4, 5]
    (error,) = [line for line in lines if line["what"] == "error"]
    assert (error["during"], error["errno"], error["name"], error["seq"]) == ("fsync", 5, "EIO", 3)
    proof = audit.prove_writer(
        "v3", (tmp_path / "v3.log").read_text(), (tmp_path / "v3.data").read_bytes(), lock=False
    )
    assert [finding.kind for finding in proof.findings] == ["error"]


def test_a_short_write_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diary = Diary(str(tmp_path / "d"))
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    real = os.write
    monkeypatch.setattr(os, "write", lambda to, data: real(to, data[:-1] if to == fd else data))
    assert not writer.write_record(fd, 1, records.encode("v3", "r", 1), diary)
    os.close(fd)
    assert "error" in [line["what"] for line in diary_of(tmp_path / "d")]


def test_a_writer_that_meets_only_errors_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "fsync", fsync)
    assert write(tmp_path, 0) == 5
    lines = diary_of(tmp_path / "v3.log")
    assert sum(line["what"] == "error" for line in lines) == writer.ERRORS_AT_MOST
    assert lines[-1]["gave_up"] is True


def test_a_file_that_somebody_else_has_locked_is_an_error_of_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lockf(fd: int, command: int) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(fcntl, "lockf", lockf)
    assert write(tmp_path, 1, "--lock") == 4
    assert [line["during"] for line in diary_of(tmp_path / "v3.log") if line["what"] == "error"] == ["lock"]


# -- the reader -----------------------------------------------------------------------------------------------


def test_a_reader_reads_both_ways_and_finds_nothing_wrong(tmp_path: Path) -> None:
    write(tmp_path)
    assert read(tmp_path) == 0
    lines = diary_of(tmp_path / "r3.log")
    assert {line["kind"] for line in lines if line["what"] == "read"} == {"held", "fresh"}
    assert audit.prove_other("r3", "reader", (tmp_path / "r3.log").read_text()).findings == []


def test_a_reader_sees_a_changed_byte(tmp_path: Path) -> None:
    write(tmp_path, 1)
    data = bytearray((tmp_path / "v3.data").read_bytes())
    data[700] ^= 1
    (tmp_path / "v3.data").write_bytes(data)
    assert read(tmp_path, 1) == 0
    (found,) = [line for line in diary_of(tmp_path / "r3.log") if line["what"] == "differs"]
    assert "the first 700 of them" in found["why"]
    assert audit.prove_other("r3", "reader", (tmp_path / "r3.log").read_text()).findings != []


def test_a_reader_sees_a_file_cut_short(tmp_path: Path) -> None:
    write(tmp_path, 1)
    os.truncate(tmp_path / "v3.data", 1_000)
    read(tmp_path, 1)
    (found,) = [line for line in diary_of(tmp_path / "r3.log") if line["what"] == "differs"]
    assert found["why"].startswith("1000 of ")


def test_a_reader_records_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 1)

    def preadv(fd: int, buffers: object, at: int) -> int:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "preadv", preadv)
    assert read(tmp_path, 2) == 0
    assert [line["name"] for line in diary_of(tmp_path / "r3.log") if line["what"] == "error"] == ["ESTALE"] * 2


@pytest.mark.parametrize(("at", "length"), [(0, 10), (4_095, 2), (5_000, 9_000), (4_096, 4_096), (19_990, 100)])
def test_direct_reads_give_exactly_the_bytes_asked_for(tmp_path: Path, at: int, length: int) -> None:
    content = os.urandom(20_000)
    (tmp_path / "f").write_bytes(content)
    fd = os.open(tmp_path / "f", os.O_RDONLY | os.O_DIRECT)
    try:
        assert reader.read_direct(fd, at, length) == content[at : at + length]
    finally:
        os.close(fd)


# -- the walker -----------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "below").mkdir(parents=True)
    (top / "a").write_text("one\ntwo\n")
    (top / "below" / "b").write_text("three\n")
    return top


def test_a_walker_counts_the_same_in_each_round(tmp_path: Path, tree: Path) -> None:
    assert walk(tmp_path, tree, 3) == 0
    rounds = [line for line in diary_of(tmp_path / "find.log") if line["what"] == "round"]
    assert [(line["files"], line["lines"], line["bytes"]) for line in rounds] == [(2, 3, 14)] * 3
    assert audit.prove_other("find", "walker", (tmp_path / "find.log").read_text()).findings == []


def test_a_walker_tells_what_changed(tmp_path: Path, tree: Path) -> None:
    names = {"a": "1", "below/b": "2"}
    assert walker.differences(names, names) == []
    assert walker.differences(names, {"a": "9", "c": "3"}) == ["a: other content", "below/b: gone", "c: new"]


def test_a_walker_records_what_it_cannot_list_or_read(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str, count: walker.Count) -> str:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(walker, "count_file", refused)
    assert walk(tmp_path, tree, 1) == 0
    assert walker.walk(str(tree / "missing"), Diary(str(tmp_path / "d")), writer.Stop(), 0).errors == 1
    lines = diary_of(tmp_path / "find.log")
    assert [line["during"] for line in lines if line["what"] == "error"] == ["read", "read"]
    assert [line["during"] for line in diary_of(tmp_path / "d")] == ["list"]


# -- locks ----------------------------------------------------------------------------------------------------

HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    (tmp_path / "f").write_text("x")
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "f")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.communicate()


def test_a_lock_is_seen_while_it_is_held_and_no_longer(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    path = str(tmp_path / "f")
    name = locks.thread_name(holder.pid)
    held = locks.state_of(path, servers=(name,))
    assert (held.state, held.pid) == (State.HELD, holder.pid)
    assert locks.state_of(path, servers=(name,)).state is State.HELD  # the first look took nothing away
    assert locks.state_of(path).state is State.UNKNOWN  # a process of this machine is no client
    holder.kill()
    holder.wait()
    assert locks.state_of(path, servers=(name,)).state is State.FREE


def test_a_file_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert locks.state_of(str(tmp_path / "nothing")).state is State.UNKNOWN


def test_the_probe_says_unknown_where_nothing_is_mounted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe_lock.main(["--mount", str(tmp_path), str(tmp_path / "f")]) == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["state"], "nothing is mounted" in one["why"]) == ("unknown", True)


def test_the_probe_prints_each_file(
    tmp_path: Path, holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "g").write_text("x")
    command = ["--mount", "/", "--server", locks.thread_name(holder.pid), str(tmp_path / "f")]
    assert probe_lock.main(command) == 0
    assert probe_lock.main([*command, str(tmp_path / "g")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [[one["state"] for one in json.loads(line)] for line in out] == [["held"], ["held", "not held"]]


def test_the_watch_writes_a_line_for_each_change_only(
    tmp_path: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.client.lock_watch.listening", lambda port: True)
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    watch = Watch("127.0.0.1", str(tmp_path), ["f", "missing"], Diary(str(tmp_path / "d")))
    assert not watch.look()
    assert not watch.look()
    (tmp_path / "missing").write_text("x")
    holder.kill()
    holder.wait()
    assert not watch.look()
    lines = [(line["thing"], line["there"]) for line in diary_of(tmp_path / "d")]
    assert lines == [
        ("address", True),
        ("mount", True),
        ("server", True),
        ("grace over", False),
        ("lock f", True),
        ("lock missing", False),
        ("lock f", False),
    ]


def test_the_watch_is_done_only_when_a_lock_has_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that has not gone yet, because the server has not, is none that has come back."""
    monkeypatch.setattr("lab.client.lock_watch.listening", lambda port: True)
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    (tmp_path / "f").write_text("x")
    inode = os.stat(tmp_path / "f")
    held = [locks.Holder(1, (os.major(inode.st_dev), os.minor(inode.st_dev)), inode.st_ino)]
    looks = iter([held, held, [], held])
    monkeypatch.setattr("lab.client.lock_watch.table", lambda: next(looks))
    watch = Watch("127.0.0.1", str(tmp_path), ["f"], Diary(str(tmp_path / "d")))
    assert [watch.look() for _ in range(4)] == [False, False, False, True]


def test_an_address_of_this_machine_is_told_from_another() -> None:
    assert address_here("127.0.0.1")
    assert not address_here("192.0.2.220")


# -- as they are started in a guest ---------------------------------------------------------------------------


def test_a_writer_ends_when_it_is_told_to_and_says_so(tmp_path: Path) -> None:
    log = tmp_path / "v3.log"
    command = [
        sys.executable,
        "-m",
        "lab.client.writer",
        "--dir",
        str(tmp_path),
        "--name",
        "v3",
        "--record",
        str(log),
    ]
    child = subprocess.Popen([*command, "--pace-ms", "1", "--any-filesystem", "--lock"], env={"PYTHONPATH": TESTS})
    try:
        while not log.exists() or '"ack"' not in log.read_text():
            assert child.poll() is None
        child.terminate()
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
    assert diary_of(log)[-2]["asked"] is True
    proof = audit.prove_writer("v3", log.read_text(), (tmp_path / "v3.data").read_bytes())
    assert proof.findings == []
