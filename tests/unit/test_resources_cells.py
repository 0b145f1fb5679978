"""Cells: every process an action ever made can be found, killed and waited for (PROTOCOL rule 6)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from failover_kit.manager import actionspace, children
from failover_kit.manager.actionspace import (
    ActionSpace,
    ActionSpaceError,
    CgroupSpace,
    MarkerSpace,
    cgroup2_mount,
    cgroup_roots,
    emptied,
    entering,
    find_space,
    own_cgroup,
)
from failover_kit.manager.children import Freshness, TooOld, run_in
from failover_kit.spec.deadline import boottime_ms

GROUP = "web/one"  # a name that is no file name
DAEMON = ("/bin/sh", "-c", "setsid sleep 300 </dev/null >/dev/null 2>&1 & exit 0")


def cgroup_mount() -> str:
    return cgroup2_mount(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))


def make_space(kind: str, node: str, folder: Path) -> ActionSpace:
    if kind == "cgroup":
        return CgroupSpace(node, (cgroup_mount(),))
    return MarkerSpace(node, str(folder))


def remove_tree(node: str) -> None:
    top = Path(cgroup_mount()) / actionspace.BRANCH / node
    for folder, _, _ in sorted(os.walk(top), reverse=True):
        Path(folder).rmdir()
    # The directory above is every node's, another worker's too: tests/conftest.py removes it in the end.


@pytest.fixture(params=["cgroup", "marker"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node() -> str:
    return f"celltest-{os.getpid()}"


@pytest.fixture
def space(kind: str, node: str, tmp_path: Path) -> Iterator[ActionSpace]:
    made = make_space(kind, node, tmp_path)
    yield made
    for group in [*made.groups(), GROUP]:
        asyncio.run(made.clear(group))
        asyncio.run(made.clear_services(group))
    if kind == "cgroup":
        remove_tree(node)


pytestmark = pytest.mark.root


def left_running(space: ActionSpace, name: str = "") -> list[int]:
    return [pid for cell in space.services(GROUP, name) for pid in cell.pids()]


def test_what_an_agent_prints_and_its_exit_code_come_back(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.monitor")
    ended = asyncio.run(run_in(cell, ("/bin/sh", "-c", "echo out; echo err >&2; exit 7"), timeout_ms=20_000))
    assert (ended.code, ended.stdout, ended.stderr, ended.failure) == (7, "out\n", "err\n", "")
    assert ended.last_line() == "err"


def test_a_child_reads_its_input_to_the_end(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.status")
    ended = asyncio.run(run_in(cell, ("/bin/cat",), timeout_ms=20_000, stdin=b"action=off\nplug=2\n"))
    assert ended.stdout == "action=off\nplug=2\n"


def test_a_daemon_left_by_an_agent_keeps_nobody_waiting_and_is_found(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    ended = asyncio.run(run_in(cell, DAEMON, timeout_ms=20_000))
    assert ended.code == 0
    assert cell.populated()
    assert [left.name for left in space.leftovers(GROUP)] == [cell.name]
    assert asyncio.run(space.clear(GROUP)) == ""
    assert space.leftovers(GROUP) == []


def test_a_daemon_that_holds_our_pipe_keeps_nobody_waiting(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    ended = asyncio.run(run_in(cell, ("/bin/sh", "-c", "echo up; setsid sleep 300 & exit 0"), timeout_ms=20_000))
    assert (ended.code, ended.stdout) == (0, "up\n")


def test_a_hanging_agent_is_killed_with_all_it_started(space: ActionSpace) -> None:
    for limit_ms in (300, 3_000, 30_000):  # a busy machine may need the first ones to begin it
        cell = space.create(GROUP, "1.stop")
        ended = asyncio.run(run_in(cell, ("/bin/sh", "-c", "setsid sleep 300 & sleep 300"), timeout_ms=limit_ms))
        assert ended.code is None
        assert not cell.populated()
        killed = f"did not end within {limit_ms / 1000:g} s and was killed"
        if ended.failure == killed:
            break
    assert ended.failure == killed


def test_an_agent_that_ignores_signals_is_killed_too(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.stop")
    stubborn = ("/bin/sh", "-c", "trap '' TERM INT HUP; sleep 300; sleep 300")
    ended = asyncio.run(run_in(cell, stubborn, timeout_ms=300))
    assert ended.code is None
    assert not cell.populated()


def test_what_a_successful_start_left_becomes_a_service_and_survives_clearing(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    asyncio.run(run_in(cell, DAEMON, timeout_ms=20_000))
    space.keep(cell, GROUP, "web-1-httpd")
    assert asyncio.run(space.clear(GROUP)) == ""
    assert len(left_running(space)) == 1
    assert len(left_running(space, "web-1-httpd")) == 1
    assert left_running(space, "web-2-other") == []
    assert asyncio.run(space.clear_services(GROUP, "web-2-other")) == ""
    assert len(left_running(space)) == 1
    assert asyncio.run(space.clear_services(GROUP)) == ""
    assert left_running(space) == []


def test_the_next_life_finds_leftovers_and_services_without_records(
    space: ActionSpace, kind: str, node: str, tmp_path: Path
) -> None:
    hung, kept = space.create(GROUP, "1.stop"), space.create(GROUP, "1.start")
    asyncio.run(run_in(hung, DAEMON, timeout_ms=20_000))
    asyncio.run(run_in(kept, DAEMON, timeout_ms=20_000))
    space.keep(kept, GROUP, "web-1-httpd")

    reborn = make_space(kind, node, tmp_path)
    assert reborn.groups() == [GROUP]
    assert [cell.name for cell in reborn.leftovers(GROUP)] == [hung.name]
    assert asyncio.run(reborn.clear(GROUP)) == ""
    assert not hung.populated()
    assert len(left_running(reborn, "web-1-httpd")) == 1


def test_cells_of_another_node_on_the_same_kernel_are_not_ours(
    space: ActionSpace, kind: str, node: str, tmp_path: Path
) -> None:
    cell = space.create(GROUP, "1.start")
    asyncio.run(run_in(cell, DAEMON, timeout_ms=20_000))
    other = make_space(kind, f"{node}-b", tmp_path)
    try:
        assert other.groups() == []
        assert other.leftovers(GROUP) == []
        assert asyncio.run(other.clear(GROUP)) == ""
        assert cell.populated()
    finally:
        if kind == "cgroup":
            remove_tree(f"{node}-b")


def test_an_old_decision_forks_nothing(space: ActionSpace, tmp_path: Path) -> None:
    cell = space.create(GROUP, "1.start")
    old = Freshness(boottime_ms() - 5_000, 1_000)
    with pytest.raises(TooOld, match="must be made again"):
        asyncio.run(run_in(cell, ("/usr/bin/touch", str(tmp_path / "ran")), timeout_ms=20_000, freshness=old))
    assert not (tmp_path / "ran").exists()


def test_a_decision_that_grew_old_leaves_no_cell(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    with pytest.raises(TooOld):
        asyncio.run(run_in(cell, ("/bin/true",), timeout_ms=20_000, freshness=Freshness(0, 1)))
    assert space.leftovers(GROUP) == []


def test_exit_codes_are_seen_although_failoverd_was_started_with_sigchld_ignored(space: ActionSpace) -> None:
    """An ignored signal survives exec. Popen would report 0 for every agent: off done, stopped, started."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        cell = space.create(GROUP, "1.stop")
        assert asyncio.run(run_in(cell, ("/bin/sh", "-c", "exit 5"), timeout_ms=20_000)).code == 5
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(("ours", "childs"), [("-1000", "0"), ("0", "200"), ("500", "200")])
def test_agents_do_not_inherit_failoverds_protection_from_the_oom_killer(
    tmp_path: Path, ours: str, childs: str
) -> None:
    """Lowering the score needs CAP_SYS_RESOURCE, which test machines may lack: hence a /proc of our own."""
    for name, score in (("self", ours), ("77", "200")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "oom_score_adj").write_text(score, encoding="ascii")
    children.expose_to_oom_killer(77, str(tmp_path))
    children.expose_to_oom_killer(78, str(tmp_path))  # ended already
    assert (tmp_path / "77" / "oom_score_adj").read_text(encoding="ascii") == childs


def test_each_child_is_exposed(space: ActionSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    exposed: list[int] = []
    monkeypatch.setattr(children, "expose_to_oom_killer", exposed.append)
    ended = asyncio.run(run_in(space.create(GROUP, "1.start"), ("/bin/sh", "-c", "echo $$"), timeout_ms=20_000))
    assert exposed == [int(ended.stdout)]


def test_a_child_that_cannot_be_watched_is_killed(space: ActionSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMFILE after the fork: no answer may be given while its agent runs unseen."""

    def none_left(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    cell = space.create(GROUP, "1.off")
    ended = asyncio.run(run_in(cell, ("/bin/sleep", "300"), timeout_ms=20_000))
    assert (ended.code, ended.failure) == (None, "cannot be watched: Too many open files; it was killed")
    assert not cell.populated()


def test_an_emptied_cell_lets_nobody_in(space: ActionSpace) -> None:
    """A spawning thread that comes late: what was found empty stays empty."""
    cell = space.create(GROUP, "1.start")
    assert asyncio.run(emptied(cell)) == ""
    with pytest.raises(ActionSpaceError), entering(cell):
        pass


def test_a_cleared_group_lets_nobody_in(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    assert asyncio.run(space.clear(GROUP)) == ""
    with pytest.raises(ActionSpaceError), entering(cell):
        pass


def test_a_marked_child_between_fork_and_exec_is_not_overlooked(node: str, tmp_path: Path) -> None:
    """Its exec hangs with a disk: no mark in /proc yet, and the group is not empty."""
    space = MarkerSpace(node, str(tmp_path))
    cell = space.create(GROUP, "1.start")
    with entering(cell):
        assert cell.populated()
        assert [left.name for left in space.leftovers(GROUP)] == [cell.name]
        assert "did not end" in asyncio.run(emptied(cell, wait_ms=20))
    assert asyncio.run(emptied(cell)) == ""


def test_control_groups_an_agent_made_go_with_its_cell(node: str) -> None:
    space = CgroupSpace(node, (cgroup_mount(),))
    cell = space.create(GROUP, "1.start")
    try:
        Path(cell.path, "container", "inner").mkdir(parents=True)
        assert asyncio.run(emptied(cell)) == ""
        assert not Path(cell.path).exists()
    finally:
        remove_tree(node)


def test_what_a_life_with_control_groups_left_is_found_by_one_without(
    node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cgroup.max.descendants was reached, or the mount became read-only, between two lives of failoverd."""
    before = CgroupSpace(node, (cgroup_mount(),))
    cell = before.create(GROUP, "1.start")

    def full(*_: object) -> None:
        raise ActionSpaceError("cannot make a control group")

    try:
        asyncio.run(run_in(cell, DAEMON, timeout_ms=20_000))
        with monkeypatch.context() as patch:
            patch.setattr(CgroupSpace, "create", full)
            space = find_space(node, str(tmp_path))
        assert isinstance(space, MarkerSpace)
        assert [left.name for left in space.leftovers(GROUP)] == [cell.name]
        assert asyncio.run(space.clear(GROUP)) == ""
        assert not cell.populated()
    finally:
        asyncio.run(before.clear(GROUP))
        remove_tree(node)


def test_a_missing_program_is_a_failed_call(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.start")
    ended = asyncio.run(run_in(cell, ("/nonexistent/agent",), timeout_ms=20_000))
    assert ended.code is None
    assert ended.failure == "cannot be executed: No such file or directory"


def test_a_cancelled_call_leaves_no_process(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.monitor")

    async def cancelled() -> None:
        task = asyncio.create_task(run_in(cell, ("/bin/sleep", "300"), timeout_ms=60_000))
        while not cell.populated():
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await emptied(cell) == ""

    asyncio.run(cancelled())
    assert not cell.populated()


def test_a_flood_of_output_is_cut_and_does_not_block_the_agent(space: ActionSpace) -> None:
    cell = space.create(GROUP, "1.monitor")
    ended = asyncio.run(run_in(cell, ("/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 3"), timeout_ms=30_000))
    assert ended.code == 3
    assert len(ended.stdout) == 1 << 16


def test_a_child_that_enters_late_never_executes(node: str, tmp_path: Path) -> None:
    """Forked by a life that ended; the next one removed the empty cell before the child got into it."""
    space = CgroupSpace(node, (cgroup_mount(),))
    cell = space.create(GROUP, "1.start")
    try:
        with entering(cell) as entry:
            cell.remove()
            with pytest.raises(subprocess.SubprocessError):
                subprocess.run(["/usr/bin/touch", tmp_path / "ran"], preexec_fn=entry.before_exec, check=False)
        assert not (tmp_path / "ran").exists()
        with pytest.raises(ActionSpaceError), entering(cell):
            pass
    finally:
        remove_tree(node)


def test_a_process_of_another_pid_namespace_is_killed_but_cannot_be_kept(node: str) -> None:
    """cgroups(7): cgroup.procs shows it as 0, seen from a PID namespace that does not contain it."""
    space = CgroupSpace(node, (cgroup_mount(),))
    cell = space.create(GROUP, "1.start")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from failover_kit.manager.actionspace import ActionSpaceError, CgroupCell, CgroupSpace\n"
        "import asyncio\n"
        "space = CgroupSpace(sys.argv[3], (sys.argv[4],))\n"
        "cell = space.leftovers(sys.argv[5])[0]\n"
        "assert cell.pids() == (0,), cell.pids()\n"
        "try:\n    space.keep(cell, sys.argv[5], 'x')\nexcept ActionSpaceError as error:\n    print(error)\n"
        "print('left:', asyncio.run(space.clear(sys.argv[5])))\n"
    )
    lib = str(Path(actionspace.__file__).parents[2])
    try:
        asyncio.run(run_in(cell, DAEMON, timeout_ms=20_000))
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", "--", "/usr/bin/python3", "-c", code, lib, "-", node,
             cgroup_mount(), GROUP],
            capture_output=True, text=True, check=False, timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert "has a process of another PID namespace; it cannot be kept" in done.stdout
        assert done.stdout.endswith("left: \n")
        assert not cell.populated()
    finally:
        asyncio.run(space.clear(GROUP))
        asyncio.run(space.clear_services(GROUP))
        remove_tree(node)


def test_the_mount_is_found_on_debian_and_on_hybrid_machines() -> None:
    debian = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    hybrid = (
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "38 31 0:31 / /sys/fs/cgroup/uni\\040fied rw shared:9 - cgroup2 cgroup2 rw\n"
    )
    assert cgroup2_mount(debian) == "/sys/fs/cgroup"
    assert cgroup2_mount(hybrid) == "/sys/fs/cgroup/uni fied"
    assert cgroup2_mount("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n") == ""


def test_a_unit_uses_what_systemd_delegated_and_a_shell_the_top() -> None:
    unit = "/system.slice/failoverd.service"
    assert own_cgroup(f"1:name=systemd:/x\n0::{unit}\n") == unit
    assert own_cgroup("1:name=systemd:/x\n") == "/"
    top = "/sys/fs/cgroup"
    assert cgroup_roots(top, unit, delegated=True) == (f"{top}{unit}", top)
    # Whoever starts it by hand after the unit ran must still find what the unit left, and the reverse.
    assert cgroup_roots(top, "/user.slice/session-1.scope", delegated=False) == (top, f"{top}{unit}")
