"""The bench of the resource agents runs, so that it does not rot. No speed is asserted anywhere here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandResult, run

TOP = Path(__file__).resolve().parents[2]
BENCH = ["/usr/bin/python3", str(TOP / "bench" / "agents")]
PEERS = Path("/usr/lib/ocf/resource.d/heartbeat/Filesystem")
PATIENCE_MS = 300_000


def needs_root(test: Callable[..., None]) -> Callable[..., None]:
    reason = "needs root for namespaces, mounts and a loop device"
    return pytest.mark.root(pytest.mark.skipif(os.geteuid() != 0, reason=reason)(test))


def bench(*arguments: str, prefix: tuple[str, ...] = ()) -> CommandResult:
    return run([*prefix, *BENCH, *arguments], Deadline(PATIENCE_MS))


def left_behind() -> set[str]:
    """What a bench that did not clean up would leave: folders in /tmp, loop devices of unlinked files."""
    folders = {str(path) for path in Path("/tmp").glob("fkb-*")}
    backing = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # somebody else's, detached meanwhile
            backing.append(path.read_text().strip())
    return folders | {name for name in backing if "/fkb-" in name}


@needs_root
def test_two_quick_runs_of_everything(tmp_path: Path) -> None:
    """Every agent does what it is measured for, in both houses; two runs are too few for a ratio."""
    before = left_behind()
    file = tmp_path / "result.json"
    result = bench("--quick", "--runs", "2", "--json", str(file))
    assert result.ok(), result.stderr
    assert "no ratio from fewer than 3 runs" in result.stdout
    settle = Deadline(PATIENCE_MS)
    while not left_behind() <= before:
        settle.require("the loop device goes with the last process that had it open")
        time.sleep(0.05)
    rows = {row["row"]: row for row in json.loads(file.read_text())["rows"]}
    assert len(rows) == 15
    monitor = rows["ipaddr-monitor"]["samples"]
    assert [sample["processes"] for sample in monitor["failover-kit"]] == [1, 1]
    if PEERS.exists():
        assert all(sample["processes"] > 10 for sample in monitor["ClusterLabs"])
        assert all(sample["exit"] == [0, 0] for sample in rows["exportfs-start-stop"]["samples"]["ClusterLabs"])


@needs_root
def test_three_runs_give_a_ratio_and_a_verdict() -> None:
    result = bench("--quick", "--runs", "3", "--only", "nfsserver-meta-data", "--markdown")
    assert result.ok(), result.stderr
    assert "| nfsserver meta-data | bare interpreter | cpu | " in result.stdout
    assert "≤ 1.50: met" in result.stdout or "≤ 1.50: NOT MET" in result.stdout


@needs_root
def test_an_agent_that_does_nothing_is_not_measured(tmp_path: Path) -> None:
    """A stand-in that always says success must not win: it says so before anything runs, too."""
    tree = tmp_path / "tree"
    tree.mkdir()
    place = "$(DESTDIR)/usr/lib/ocf/resource.d/failover-kit"
    recipe = "for n in IPaddr Filesystem; do printf '#!/bin/sh\\nexit 0\\n' > P/$$n; chmod +x P/$$n; done"
    (tree / "Makefile").write_text(f"install:\n\tmkdir -p {place}\n\t{recipe.replace('P/', place + '/')}\n")
    result = bench("--quick", "--only", "ipaddr-monitor", "--tree", str(tree))
    assert result.code == 1
    assert "failover-kit monitor exited [0]" in result.stderr
    result = bench("--quick", "--only", "filesystem-start-stop", "--tree", str(tree))
    assert result.code == 1
    assert "after start the resource is not there" in result.stderr


@needs_root
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(end: signal.Signals) -> None:
    before = left_behind()
    argv = [*BENCH, "--quick", "--runs", "1000", "--only", "filesystem-start-stop"]
    child = subprocess.Popen(argv, stderr=subprocess.PIPE, start_new_session=True)
    try:
        assert child.stderr is not None
        # The disk is mounted again and again from here on.
        assert b"Filesystem start and stop" in child.stderr.readline()
        child.send_signal(end)
        child.stderr.read()
        assert child.wait() != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    settle = Deadline(PATIENCE_MS)
    while any(not name.startswith("/tmp/") or "(deleted)" in name for name in left_behind() - before):
        settle.require("the loop device goes with the last process that had it open")
        time.sleep(0.05)
    if end is signal.SIGKILL:
        # Then nobody can remove the empty directory.
        for name in left_behind() - before:
            Path(name).rmdir()
    assert left_behind() <= before


def test_without_root_it_says_what_it_needs() -> None:
    with tempfile.TemporaryDirectory() as place:  # others may not get to a checkout under /root
        Path(place).chmod(0o755)
        for name in ("bench", "lib"):
            shutil.copytree(TOP / name, Path(place) / name, symlinks=True)
        prefix = ("setpriv", "--reuid=65534", "--clear-groups", "--") if os.geteuid() == 0 else ()
        result = run([*prefix, BENCH[0], f"{place}/bench/agents"], Deadline(PATIENCE_MS))
    assert result.code == 2
    assert "needs root" in result.stderr


def test_the_rows_can_be_listed_by_anybody() -> None:
    result = bench("--list")
    assert result.ok(), result.stderr
    assert "filesystem-stop-crowd" in result.stdout


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    result = bench("--only", "filesystem-monitr")
    assert result.code == 2
    assert "no row matches filesystem-monitr; --list shows them" in result.stderr
