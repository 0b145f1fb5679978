"""The state directory: durable, whole or not at all, one failoverd at a time."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from failover_kit.manager.records import DrillRecord, GroupRecord, NodeRecord
from failover_kit.manager.store import PersistError, Store, StoreError, StoreLocked

RECORD = NodeRecord(boot_id="boot-1", contact=True, groups=(GroupRecord(name="web", right=4, top=4, held=True),))
LIB = str(Path(__file__).parents[2] / "lib")


def persist(store: Store, record: NodeRecord) -> None:
    asyncio.run(store.persist(record))


def test_a_record_is_read_back(tmp_path: Path) -> None:
    directory = str(tmp_path / "lib" / "state")
    store = Store(directory)
    assert store.load() == (None, "")
    persist(store, RECORD)
    assert store.load() == (RECORD, "")
    assert [name for name in os.listdir(directory) if name != "lock"] == ["node.json"]
    assert os.stat(directory).st_mode & 0o077 == 0
    assert os.stat(os.path.join(directory, "node.json")).st_mode & 0o077 == 0
    store.close()


def test_the_order_is_write_fsync_rename_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    calls: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(fd: int) -> None:
        calls.append("fsync " + os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    def note_rename(old: str, new: str) -> None:
        calls.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    persist(store, RECORD)
    assert calls == ["fsync node.json.tmp", "rename", f"fsync {tmp_path.name}"]
    store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_failed_write_is_an_error_and_keeps_the_old_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = Store(str(tmp_path))
    persist(store, RECORD)

    def fail(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(PersistError, match=os.strerror(number)) as caught:
            persist(store, NodeRecord(boot_id="boot-2"))
    assert str(tmp_path) in str(caught.value) and ";" in str(caught.value)
    assert store.load() == (RECORD, "")
    persist(store, NodeRecord(boot_id="boot-2"))
    assert store.load() == (NodeRecord(boot_id="boot-2"), "")
    store.close()


FULL_DISK = """
import asyncio, os, subprocess, sys
from failover_kit.manager.records import NodeRecord
from failover_kit.manager.store import PersistError, Store
directory = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", directory], check=True)
store = Store(directory)
asyncio.run(store.persist(NodeRecord(boot_id="before")))
with open(directory + "/ballast", "wb", buffering=0) as ballast:
    try:
        while True:
            ballast.write(b"x" * 4096)
    except OSError:
        pass
try:
    asyncio.run(store.persist(NodeRecord(boot_id="after")))
except PersistError as error:
    print(error)
print(store.load()[0].boot_id)
os.unlink(directory + "/ballast")
asyncio.run(store.persist(NodeRecord(boot_id="after")))
print(store.load()[0].boot_id)
"""


@pytest.mark.root
def test_a_full_disk_says_so_and_recovers(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", FULL_DISK, str(tmp_path)],
        env={"PYTHONPATH": LIB, "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    error, kept, after = done.stdout.splitlines()
    assert "No space left on device; free space there" in error
    assert (kept, after) == ("before", "after")


def test_a_hanging_disk_is_given_up_and_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(str(tmp_path), timeout_ms=1)
    hang = threading.Event()
    fsync = os.fsync

    def hanging(fd: int) -> None:
        hang.wait(30)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", hanging)

    async def story() -> None:
        with pytest.raises(PersistError, match="did not take the state"):
            await store.persist(RECORD)
        store._timeout_ms = 30_000
        waiting = asyncio.create_task(store.persist(NodeRecord(boot_id="newer")))
        await asyncio.sleep(0)
        hang.set()
        await waiting

    asyncio.run(story())
    assert store.load() == (NodeRecord(boot_id="newer"), "")
    store.close()


def damage_cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def damage_one_digit(data: bytes) -> bytes:
    return data.replace(b'"right":4', b'"right":6')


def damage_empty(data: bytes) -> bytes:
    return b""


def damage_binary(data: bytes) -> bytes:
    return b"\x00" * len(data)


def damage_version(data: bytes) -> bytes:
    return data.replace(b'"minor":1', b'"minor":2')


@pytest.mark.parametrize(
    "damage", [damage_cut_short, damage_one_digit, damage_empty, damage_binary, damage_version]
)
def test_a_damaged_record_is_no_record_and_loud(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    store = Store(str(tmp_path))
    persist(store, RECORD)
    path = tmp_path / "node.json"
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    record, problem = store.load()
    assert record is None
    assert "damaged" in problem and "without rights" in problem
    assert (tmp_path / "node.json.damaged").read_bytes() == damaged
    assert store.load() == (None, "")
    store.close()


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_a_record_that_cannot_be_read_is_not_lost_and_never_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = Store(str(tmp_path))
    persist(store, RECORD)

    def refused(path: str, mode: str) -> None:
        raise OSError(number, os.strerror(number), path)

    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", refused)
        record, problem = store.load()
    assert record is None
    assert "could not be read" in problem and "starts nothing" in problem and "start failoverd again" in problem
    with pytest.raises(PersistError, match="could not be read"):
        persist(store, NodeRecord(boot_id="boot-1"))
    assert store.load() == (RECORD, "")
    store.close()


def test_a_second_failoverd_is_refused_with_the_pid(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    persist(store, RECORD)
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()}"):
        Store(str(tmp_path))
    assert store.load() == (RECORD, "")
    store.close()
    store._worker._thread.join(60)
    Store(str(tmp_path)).close()


def test_a_deleted_lock_file_lets_no_second_failoverd_in(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "lock").unlink()
    with pytest.raises(StoreLocked):
        Store(str(tmp_path))
    store.close()
    store._worker._thread.join(60)
    Store(str(tmp_path)).close()


def test_a_full_disk_does_not_keep_failoverd_from_taking_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must come up and adopt what runs; that nothing can be persisted is said later."""

    def full(_fd: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    Store(str(tmp_path)).close()


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    (tmp_path / "node.json.tmp").write_text("half a rec")
    store = Store(str(tmp_path))
    assert not (tmp_path / "node.json.tmp").exists()
    assert store.load() == (None, "")
    store.close()


def test_a_directory_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"state directory .*file/state cannot be used"):
        Store(str(tmp_path / "file" / "state"))


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    persist(store, RECORD)
    assert store.load() == (RECORD, "")
    store.close()


def sealed(whole: dict[str, Any]) -> dict[str, Any]:
    """With its right checksum, made without the module under test."""
    del whole["sha256"]
    body = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return {**whole, "sha256": hashlib.sha256(body.encode()).hexdigest()}


def test_a_record_of_the_version_without_drills_is_read(tmp_path: Path) -> None:
    """As failover-kit wrote it before a proof drill left anything: the field is missing, and nothing was proved."""
    store = Store(str(tmp_path))
    asyncio.run(store.persist(NodeRecord(boot_id="b", contact=True, drilled=None)))
    path = tmp_path / "node.json"
    whole = json.loads(path.read_text())
    del whole["record"]["drilled"]
    path.write_text(json.dumps(sealed(whole)))
    assert store.load() == (NodeRecord(boot_id="b", contact=True), "")
    proved = DrillRecord(ok=True, wall_ms=5, config="c", fencing="f")
    asyncio.run(store.persist(NodeRecord(boot_id="b", drilled=proved)))
    assert store.load() == (NodeRecord(boot_id="b", drilled=proved), "")
    store.close()
