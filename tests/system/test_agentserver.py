"""The agent server with real processes: a forked action is what an executed one is, and none is begun twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from agentserver_world import GROUP, World, eventually, is_over, mount
from failover_kit.manager import agentserver, children
from failover_kit.manager.actionspace import AGENTS, CgroupCell, CgroupSpace
from failover_kit.manager.agentserver_call import Forked
from failover_kit.manager.callers import Caller, CallKind, GroupPlan
from failover_kit.manager.children import Calls, Ended, Freshness, TooOld, run_in
from failover_kit.manager.events import ProbeOutcome, StartFailed, Stopped
from failover_kit.manager.resources import GroupRunner
from failover_kit.spec.deadline import boottime_ms

T = TypeVar("T")

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not mount(), reason="no cgroup2 here: failoverd then executes every agent"),
]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is not a server that hangs."""
    monkeypatch.setattr(agentserver, "ANSWER_S", 60)
    monkeypatch.setattr(children, "REPORT_S", 60)


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path, f"{abs(hash(request.node.name)) % 10**6}")
    yield made
    made.close()


# --- what an agent sees of itself ---------------------------------------------------------------------------------

TELL = """
import ctypes, json, os, posix, resource, signal, stat, sys
began()
def read(path):
    with open(path) as file:
        return file.read()
fields = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "CapPrm", "CapEff", "CapBnd", "CapAmb",
          "NoNewPrivs", "Seccomp", "Cpus_allowed_list", "Threads")
status = [line for line in read("/proc/self/status").splitlines() if line.partition(":")[0] in fields]
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
native = []
while environ[len(native)] is not None:
    native.append(environ[len(native)].decode("latin-1"))
streams = [(os.fstat(n).st_mode, os.fstat(n).st_rdev, os.get_inheritable(n), posix.isatty(n)) for n in range(3)]
json.dump({
    "argv": sys.argv, "orig_argv": sys.orig_argv, "name": __name__, "file": __file__, "flags": str(sys.flags),
    "main is this": sys.modules["__main__"].__dict__ is globals(),
    "names": sorted(n for n in globals() if n[0] == "_"),
    "path": sys.path, "bytecode": sys.dont_write_bytecode, "executable": sys.executable,
    "environ": dict(os.environ), "native": sorted(native),
    "posix": sorted((n.decode("latin-1"), v.decode("latin-1")) for n, v in posix.environ.items()),
    "cwd": os.getcwd(), "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "status": status,
    "descriptors": sorted(os.listdir("/proc/self/fd")), "streams": streams, "stdin": os.readlink("/proc/self/fd/0"),
    "streams of python": [(s.encoding, s.errors, s.line_buffering, s.buffer.raw.name) for s in
                          (sys.stdin, sys.stdout, sys.stderr)],
    "comm": read("/proc/self/comm"), "limits": read("/proc/self/limits"), "oom": read("/proc/self/oom_score_adj"),
    "nice": os.nice(0), "cgroup": read("/proc/self/cgroup").rpartition(".")[0],
    "namespaces": [os.readlink(f"/proc/self/ns/{n}") for n in sorted(os.listdir("/proc/self/ns"))],
    "handlers": [str(signal.getsignal(n)) for n in sorted(signal.valid_signals())],
    "scheduler": os.sched_getscheduler(0), "excepthook": sys.excepthook is sys.__excepthook__,
}, sys.stdout)
"""
ENVIRONMENT = {
    "OCF_RESKEY_ip": "192.0.2.1",
    "OCF_RESKEY_empty": "",
    "OCF_RESKEY_options": "a=b=c, \u00fc \udcff 'x'\nsecond line",
    "HA_RSCTMP": "/tmp/nowhere",
}


def test_an_agent_finds_itself_as_if_it_were_executed(world: World) -> None:
    program = world.program("IPaddr", TELL)
    world.start(program)
    executed, forked = (run(program, "start", ENVIRONMENT) for run in (world.execute, world.call))
    for ended in (executed, forked):
        assert (ended.code, ended.stderr, ended.failure) == (0, "", "")
    ours, theirs = json.loads(forked.stdout), json.loads(executed.stdout)
    for what, expected in theirs.items():
        assert ours[what] == expected, what
    assert sorted(ours["descriptors"]) == ["0", "1", "2", "3"], "3 is the look itself"
    assert f"/{GROUP}/" in ours["cgroup"]
    assert set(ours["environ"]) == {*ENVIRONMENT, "PATH", "LC_ALL", "LANG"}


def test_the_next_call_knows_nothing_of_the_one_before(world: World) -> None:
    program = world.program(
        "IPaddr",
        "began()\nimport os, sys\nsys.path.insert(0, '/nowhere')\nfrom failover_kit.spec import values\n"
        "print(getattr(values, 'trace', 'none'), os.environ.get('trace', 'none'), os.getcwd(), os.umask(0o777))\n"
        "values.trace = os.environ['trace'] = 'left'\nos.chdir('/proc')\nos.nice(1)\nprint(os.nice(0))\n",
    )
    world.start(program)
    first, second = world.call(program), world.call(program)
    assert first.stdout == second.stdout
    assert first.stdout.startswith("none none / ")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "os._exit(7)",
        "os._exit(190)",
        "os._exit(255)",
        "import sys; sys.exit()",
        "import sys; sys.exit(5)",
        "import sys; sys.exit('words')",
        "import sys; sys.stdout.write('not flushed by hand'); sys.exit(3)",
        "os.kill(os.getpid(), 9)",
        "os.kill(os.getpid(), 15)",
        "os.abort()",
        "raise KeyboardInterrupt",
        "import signal; os.kill(os.getpid(), signal.SIGPIPE)",
        "os.write(1, b'\\xff\\xfe'); os.write(2, b'words\\n' * 3); os._exit(1)",
        "os.write(1, b'x' * 65000); os._exit(0)",
        "import sys; print(sys.stdin.read() == ''); print('z' * 100_000)",
    ],
)
def test_every_end_is_reported_as_of_an_executed_agent(world: World, body: str) -> None:
    program = world.program("IPaddr", f"began()\n{body}\n")
    world.start(program)
    executed, forked = world.execute(program), world.call(program)
    assert (forked.code, forked.stdout, forked.failure) == (executed.code, executed.stdout, executed.failure)
    assert forked.stderr.splitlines()[-1:] == executed.stderr.splitlines()[-1:]
    assert len(world.began()) == 2


def test_an_error_of_the_agent_is_told_with_its_own_last_line(world: World) -> None:
    program = world.program("IPaddr", "raise ValueError('of the agent')")
    world.start(program)
    executed, forked = world.execute(program), world.call(program)
    assert forked.code == executed.code == 1
    assert forked.last_line() == executed.last_line() == "ValueError: of the agent"


def test_what_it_leaves_is_in_its_cell_and_keeps_nobody_waiting(world: World) -> None:
    program = world.program("IPaddr", "if os.fork() == 0:\n    import time\n    time.sleep(900)\nprint('up')\n")
    server = world.start(program)
    cell = world.cell()
    ended = asyncio.run(run_in(cell, (program, "start"), timeout_ms=60_000, begin=server.begin))
    assert (ended.code, ended.stdout) == (0, "up\n")
    assert len(cell.pids()) == 1
    world.space.keep(cell, GROUP, "web-1")
    (kept,) = world.space.services(GROUP)
    assert len(kept.pids()) == 1


def test_a_hanging_action_is_killed_with_all_it_started(world: World) -> None:
    program = world.program("IPaddr", "began()\nos.fork()\nimport time\ntime.sleep(900)\n")
    world.start(program)
    server = world.server
    assert server is not None
    for limit_ms in (500, 5_000, 50_000):  # a busy machine may need the first ones to begin it
        ended = asyncio.run(world.run(program, begin=server.begin, timeout_ms=limit_ms))
        if world.began():
            break
    assert ended.failure == f"did not end within {limit_ms / 1000:g} s and was killed"
    assert world.left() == []
    assert server.ready(), world.said


def test_the_server_and_so_all_it_forks_is_exposed_to_the_oom_killer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = world.program("IPaddr", "began()\n")
    exposed: list[int] = []
    monkeypatch.setattr(agentserver, "expose_to_oom_killer", exposed.append)
    world.start(program)
    assert exposed == [world.pid()]


# --- what must not begin ------------------------------------------------------------------------------------------


def test_a_decision_that_is_too_old_when_all_is_ready_begins_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules 1 and 21: asked after the fork, right before the agent's first line."""
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    asked = []

    def require(self: Freshness) -> None:
        asked.append(world.left())
        if len(asked) == 2:
            raise TooOld("a test says so")

    monkeypatch.setattr(Freshness, "require", require)
    with pytest.raises(TooOld):
        asyncio.run(world.run(program, begin=server.begin, freshness=Freshness(boottime_ms(), 1)))
    assert [len(pids) for pids in asked] == [0, 1], "before the fork, and after it, when the process is in its cell"
    eventually(lambda: not world.left(), "the forked process ends")
    assert world.began() == []
    assert server.ready()


def test_a_failoverd_that_is_gone_before_the_word_go_begins_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is left to kill the forked process then: the end of its line must be enough."""
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    asked: list[int] = []

    def require(self: Freshness) -> None:
        asked.extend(world.left())
        if asked:
            raise TooOld("a test says so")

    monkeypatch.setattr(Freshness, "require", require)
    with monkeypatch.context() as patch:
        patch.setattr(CgroupCell, "kill", lambda _: None)
        with pytest.raises(TooOld):
            server.begin(world.cell(), (program, "start"), {}, Freshness(boottime_ms(), 1))
        assert len(asked) == 1
        eventually(lambda: is_over(asked[0]), "the forked process ends by itself")
    assert world.began() == []


def test_nothing_runs_in_a_cell_that_is_gone(world: World) -> None:
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    cell = world.cell()
    running = server._server
    assert running is not None
    asked = running.ask

    def late(request: bytes, descriptors: list[int]) -> bool:
        assert cell.remove()
        return asked(request, descriptors)

    running.ask = late  # type: ignore[method-assign, assignment]
    assert server.begin(cell, (program, "start"), {}, None) is None
    assert world.began() == []


def test_without_the_word_go_the_agent_does_not_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    monkeypatch.setattr(agentserver, "GO", b"no")
    cell = world.cell()
    forked = server.begin(cell, (program, "start"), {}, None)
    assert forked is not None
    eventually(lambda: forked.poll() is not None, "it ends")
    assert forked.poll() == 1
    forked.close()
    assert world.began() == []


def test_what_is_no_agent_of_ours_is_executed(world: World) -> None:
    ours, other = world.program("IPaddr", "began()\n"), world.program("mine", "began()\n")
    server = world.start(ours)
    cell = world.cell()
    assert server.begin(cell, (other, "start"), {}, None) is None
    assert server.begin(cell, (ours, "start"), {"PYTHONPATH": "/tmp"}, None) is None
    assert server.begin(cell, (ours, "start"), {"OCF_RESKEY_options": "x" * 70_000}, None) is None
    assert world.began() == []
    assert world.execute(other).code == 0
    assert world.call(ours).code == 0, "the server was not even asked before"
    assert len(world.began()) == 2


# --- the server breaks --------------------------------------------------------------------------------------------

WAITS = "began()\nimport time\ntime.sleep(900)\n"


async def _broken(world: World, program: str, number: int) -> tuple[object, list[int]]:
    """A call whose server gets a signal once the agent runs; and the agents that ran."""
    assert world.server is not None
    cell = world.cell()
    argv = (program, "start")
    call = asyncio.create_task(run_in(cell, argv, timeout_ms=60_000, begin=world.server.begin))
    while not world.began():
        await asyncio.sleep(0.01)
    world.signal(number)
    ended = await asyncio.wait_for(call, 60)
    assert not cell.populated(), "emptied when it is said, as after a deadline"
    return ended, world.began()


def test_a_killed_server_loses_the_call_and_the_cell_is_emptied(world: World) -> None:
    program = world.program("IPaddr", WAITS)
    world.start(program)
    ended, began = asyncio.run(_broken(world, program, signal.SIGKILL))
    assert ended.code is None  # type: ignore[attr-defined]
    assert "the agent server ended before it said how" in ended.failure  # type: ignore[attr-defined]
    assert len(began) == 1
    assert world.left() == []
    assert is_over(began[0])
    eventually(lambda: world.said, "it is said")
    assert "killed by signal 9" in world.said[0]


def test_after_that_agents_are_executed_and_in_time_there_is_a_new_server(world: World) -> None:
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    world.signal(signal.SIGKILL)
    eventually(lambda: world.said, "it is said")
    assert asyncio.run(world.run(program, begin=server.begin)).code == 0
    assert not server.ready()
    assert server._keeper is None, "not at once"
    assert server._pause_ms >= 60_000
    assert len(world.began()) == 1
    server._pause_ms = 0
    assert asyncio.run(world.run(program, begin=server.begin)).code == 0
    eventually(server.ready, "there is a new one")
    assert world.call(program).code == 0
    assert len(world.began()) == 3


def test_a_server_that_stands_still_is_ended_and_the_agent_executed_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agentserver, "ANSWER_S", 0.5)
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    pid = world.pid()
    world.signal(signal.SIGSTOP)
    ended = asyncio.run(world.run(program, begin=server.begin))
    assert (ended.code, ended.failure) == (0, "")
    eventually(lambda: is_over(pid), "the server is ended")
    eventually(lambda: world.said, "it is said")
    assert len(world.began()) == 1
    assert world.left() == []


def test_a_server_that_stands_still_later_does_not_hide_that_the_action_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "REPORT_S", 0.5)
    done = world.folder / "done"
    program = world.program(
        "IPaddr", f"began()\nimport time\nwhile not os.path.exists({str(done)!r}):\n    time.sleep(0.01)\n"
    )
    server = world.start(program)

    async def story() -> object:
        call = asyncio.create_task(world.run(program, "start", begin=server.begin))
        while not world.began():
            await asyncio.sleep(0.01)
        world.signal(signal.SIGSTOP)
        done.touch()
        return await asyncio.wait_for(call, 50)

    ended = asyncio.run(story())
    assert ended.code is None  # type: ignore[attr-defined]
    assert "did not say how within 10 s" in ended.failure  # type: ignore[attr-defined]
    assert ended.lost  # type: ignore[attr-defined]
    assert len(world.began()) == 1


UNTIL = "began()\nimport sys, time\nwhile not os.path.exists({path!r}):\n    time.sleep(0.01)\nsys.exit(7)\n"


async def _slow(world: World, retire: Callable[[], Awaitable[object]]) -> tuple[Ended, int]:
    """One call is in progress while ``retire`` has the server asked no more; and the server's number."""
    assert world.server is not None
    pid, done = world.pid(), world.folder / "done"
    first = asyncio.create_task(world.run(str(world.folder / "waits"), begin=world.server.begin))
    while len(world.began()) < 1:
        await asyncio.sleep(0.01)
    await retire()
    assert not world.server.ready()
    assert not is_over(pid), "it has a call to report"
    done.touch()
    return await asyncio.wait_for(first, 60), pid


def test_a_server_that_is_slow_goes_on_to_report_what_it_has_begun(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, it would take every other call in progress with it: monitors that fail, stops that fail."""
    waits = world.program("waits", UNTIL.format(path=str(world.folder / "done")))
    quick = world.program("quick", "began()\n")
    server = world.start(waits, quick)

    async def too_slow() -> object:
        monkeypatch.setattr(agentserver, "ANSWER_S", 1e-9)
        ended = await world.run(quick, begin=server.begin)
        assert (ended.code, ended.failure) == (0, ""), "executed"
        return ended

    ended, pid = asyncio.run(_slow(world, too_slow))
    assert (ended.code, ended.failure) == (7, "")
    assert len(world.began()) == 2
    eventually(lambda: is_over(pid), "the server ends with its last call")
    eventually(lambda: world.said, "it is said")
    assert "did not answer within" in world.said[0]


def test_files_that_change_under_a_call_do_not_lose_it(world: World) -> None:
    """An upgrade while resources run: docs/howto/upgrade.md."""
    waits = world.program("waits", UNTIL.format(path=str(world.folder / "done")))
    quick = world.program("quick", "began()\n")
    server = world.start(waits, quick)

    async def changed() -> object:
        world.program("quick", "began()\n\n")
        return await world.run(quick, begin=server.begin)

    ended, pid = asyncio.run(_slow(world, changed))
    assert (ended.code, ended.failure) == (7, "")
    eventually(lambda: is_over(pid), "the server ends with its last call")


# --- what is lost with it is no fault of the resource ---------------------------------------------------------

ONCE = "began()\nimport sys, time\nif {lives}:\n    time.sleep(900)\nsys.exit({code})\n"


def group_of(world: World, body: str) -> GroupRunner:
    """One resource whose agent does ``body`` for every action."""
    program = world.program("IPaddr", body)
    caller = Caller(
        name="IPaddr",
        instance="web-1-IPaddr",
        kind=CallKind.OCF,
        program=program,
        monitor_interval_ms=0,
        default_timeout_ms=60_000,
    )
    server = world.start(program)
    plan = GroupPlan(GROUP, (caller,))
    return GroupRunner(plan, world.space, lambda _: None, Calls(), begin=server.begin)


async def _server_dies_in(world: World, action: Coroutine[object, object, T]) -> T:
    """The first call of ``action`` loses its server."""
    task = asyncio.create_task(action)
    while not world.began():
        await asyncio.sleep(0.01)
    world.signal(signal.SIGKILL)
    return await asyncio.wait_for(task, 60)


def first_is_lost(world: World, code: int) -> str:
    """It hangs when it is the first one that runs, else it ends with ``code``."""
    return ONCE.format(lives=f"len(open({str(world.ledger)!r}).readlines()) == 1", code=code)


def test_a_monitor_that_is_lost_is_asked_again(world: World) -> None:
    runner = group_of(world, first_is_lost(world, 7))
    answer = asyncio.run(_server_dies_in(world, runner.probe(1)))
    assert answer.outcome is ProbeOutcome.STOPPED
    assert len(world.began()) == 2


def test_a_stop_that_is_lost_is_made_again(world: World) -> None:
    lost = f"len(open({str(world.ledger)!r}).readlines()) == 1"
    code = "0 if sys.argv[1] == 'stop' else 7"
    stops = f"began()\nimport sys, time\nif {lost}:\n    time.sleep(900)\nsys.exit({code})\n"
    runner = group_of(world, stops)
    answer = asyncio.run(_server_dies_in(world, runner.stop(1)))
    assert isinstance(answer, Stopped), answer
    assert len(world.began()) == 3, "twice the stop, once the monitor"


def test_a_start_that_is_lost_is_no_failed_start(world: World) -> None:
    """The core stops the group and orders the start anew: nothing counts against the resource."""
    lost = f"len(open({str(world.ledger)!r}).readlines()) == 2"  # the monitor before it is the first
    body = f"began()\nimport sys, time\nif {lost}:\n    time.sleep(900)\nsys.exit(7)\n"
    runner = group_of(world, body)

    async def story() -> object:
        task = asyncio.create_task(
            runner.start(1, lambda: ("", Freshness(decided_ms=boottime_ms(), bound_ms=60_000)))
        )
        while len(world.began()) < 2:
            await asyncio.sleep(0.01)
        world.signal(signal.SIGKILL)
        return await asyncio.wait_for(task, 60)

    answer = asyncio.run(story())
    assert isinstance(answer, StartFailed)
    assert (answer.resource, "was lost" in answer.reason) == ("", True)
    assert world.left() == []
    assert len(world.began()) == 2


CALLS = 30


def test_a_storm_of_signals_never_begins_an_action_twice(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kills and stops of the server at any moment: each call ran once, or it was killed and its cell is empty."""
    monkeypatch.setattr(agentserver, "RESTART_PAUSE_MS", 0)
    monkeypatch.setattr(agentserver, "RESTART_PAUSE_MOST_MS", 0)
    monkeypatch.setattr(agentserver, "ANSWER_S", 0.2)
    monkeypatch.setattr(children, "REPORT_S", 0.2)
    program = world.program("IPaddr", "began()\n")
    server = world.start(program)
    server._pause_ms = 0
    chance = random.Random(20)
    ways = {"forked": 0, "executed": 0, "lost": 0}
    over = threading.Event()

    def strike() -> None:
        while not over.is_set():
            for cell in world.space.leftovers(AGENTS):
                for pid in cell.pids():
                    try:
                        os.kill(pid, chance.choice((signal.SIGKILL, signal.SIGSTOP)))
                    except ProcessLookupError:
                        pass
            time.sleep(chance.random() * 0.1)

    def begin(*given: object) -> Forked | None:
        forked = server.begin(*given)  # type: ignore[arg-type]
        ways["executed" if forked is None else "forked"] += 1
        return forked

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        for _ in range(CALLS):
            before = len(world.began())
            ended = asyncio.run(world.run(program, "start", begin=begin))
            ran = len(world.began()) - before
            assert ran <= 1, "begun twice"
            if ended.code is None:
                ways["lost"] += 1
                assert "agent server" in ended.failure
            else:
                assert (ended.code, ran) == (0, 1)
            assert world.left() == []
            # Let a new one come up now and then, so that both ways are tried.
            end = time.monotonic() + 0.3
            while not server.ready() and time.monotonic() < end:
                server.start()
                time.sleep(0.01)
    finally:
        over.set()
        thread.join()
    assert sum((ways["forked"], ways["executed"])) == CALLS, ways
    assert len(world.began()) <= CALLS, "none came late"
    sys.stderr.write(f"{ways}\n")


# --- failoverd breaks ---------------------------------------------------------------------------------------------

LIFE = """
import asyncio, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from agentserver_world import World
from pathlib import Path
async def main():
    world = World(Path(sys.argv[3]), "life")
    server = world.start(sys.argv[4])
    print(world.space_name(), world.pid(), flush=True)
    await world.run(sys.argv[4], "start", begin=server.begin)
asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_when_failoverd_is_killed_the_server_ends_and_the_action_stays_in_its_cell(
    world: World, stopped: bool
) -> None:
    program = world.program("IPaddr", WAITS)
    tests = Path(__file__).resolve().parents[1]
    argv = ["/usr/bin/python3", "-c", LIFE, str(tests.parent / "lib"), str(tests), str(world.folder), program]
    # The world imports pytest, from where this interpreter has it.
    paths = os.pathsep.join(path for path in sys.path if path.endswith("-packages"))
    life = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": paths, "LC_ALL": "C"}
    )
    space = None
    try:
        assert life.stdout is not None
        name, pid = life.stdout.readline().split()
        space = CgroupSpace(name, (mount(),))
        eventually(world.began, "the action runs")
        (action,) = world.began()
        if stopped:
            os.kill(int(pid), signal.SIGSTOP)
        life.kill()
        life.wait()
        if not stopped:
            eventually(lambda: is_over(int(pid)), "the server ends with failoverd")
        assert not is_over(action), "as an executed one: the next life finds it"
        assert [action] == [found for cell in space.leftovers(GROUP) for found in cell.pids()]
        assert AGENTS not in space.groups()
        assert asyncio.run(space.clear(AGENTS)) == ""
        assert is_over(int(pid))
        assert asyncio.run(space.clear(GROUP)) == ""
        assert is_over(action)
    finally:
        life.kill()
        life.wait()
        if life.stdout is not None:
            life.stdout.close()
        if space is not None:
            for group in (AGENTS, GROUP):
                asyncio.run(space.clear(group))
            top = Path(space._bases[0])
            for folder, _, _ in sorted(os.walk(top), reverse=True):
                Path(folder).rmdir()


# --- another version ----------------------------------------------------------------------------------------------


def test_a_launcher_that_was_written_to_ends_the_use_of_the_server(world: World) -> None:
    program = world.program("IPaddr", "began()\nprint('old')\n")
    server = world.start(program)
    assert world.call(program).stdout == "old\n"
    pid = world.pid()
    Path(program).write_text(Path(program).read_text().replace("old", "new"))
    ended = asyncio.run(world.run(program, begin=server.begin))
    assert ended.stdout == "new\n"
    eventually(lambda: is_over(pid), "the server is ended")
    assert [text for text in world.said if "changed on disk" in text] == world.said
    server.start()
    assert server._keeper is None or not server.ready()
    assert len(world.began()) == 2


def test_a_server_of_another_version_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    program = world.program("IPaddr", "began()\n")
    monkeypatch.setattr(agentserver, "VERSION", "0.0.0-other")
    server = world.server = agentserver.AgentServer(world.space, [program], world.said.append)
    server.start()
    eventually(lambda: world.said, "it is said")
    assert "it is not ready: ready " in world.said[0]
    assert asyncio.run(world.run(program, begin=server.begin)).code == 0
    assert len(world.began()) == 1
