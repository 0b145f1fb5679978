"""Commands of agents without subprocess: the same promises as spec.process.run."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from failover_kit.spec.deadline import Deadline
from failover_kit.spec.process import CommandMissing

LIB = Path(__file__).resolve().parents[2] / "lib"
PATIENCE_MS = 60_000

# It forks, and the test process may have threads: each call gets an interpreter of its own.
PROGRAM = """
import os, sys
sys.path.insert(0, {lib!r})
from failover_kit.spec import lean
from failover_kit.spec.deadline import Deadline
before = set(os.listdir("/proc/self/fd"))
try:
    result = lean.run({argv!r}, Deadline({ms}), keep={keep!r})
    said = {{"code": result.code, "out": result.stdout, "err": result.stderr}}
except Exception as error:
    said = {{"raised": type(error).__name__, "text": str(error)}}
said["fds"] = sorted(set(os.listdir("/proc/self/fd")) - before)
said["modules"] = sorted({{"subprocess", "enum", "re", "threading"}} & set(sys.modules))
print(said)
"""


def run(argv: list[str], ms: int = PATIENCE_MS, keep: tuple[int, ...] = ()) -> dict[str, object]:
    program = PROGRAM.format(lib=str(LIB), argv=argv, ms=ms, keep=keep)
    child = subprocess.run(
        [sys.executable, "-IS", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        pass_fds=keep,
    )
    said: dict[str, object] = ast.literal_eval(child.stdout)
    assert said.pop("fds") == [], "no descriptor is left open"
    return said


def test_both_streams_and_the_code_come_back_and_no_heavy_module_is_imported() -> None:
    said = run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert said == {"code": 7, "out": "out\n", "err": "err\n", "modules": []}


def test_more_than_a_pipe_holds_is_read_from_both_streams() -> None:
    said = run(["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2"])
    assert (said["out"], said["err"]) == ("x" * 300_000, "y" * 300_000)


def test_it_runs_in_the_root_with_a_clean_environment_and_nothing_on_stdin() -> None:
    said = run(["sh", "-c", "pwd; env | grep -c -v -e ^PATH= -e ^LC_ALL=C -e ^LANG=C -e ^PWD= -e ^_=; cat"])
    assert said["out"] == "/\n0\n"


def test_it_leads_a_group_of_its_own_and_broken_pipes_end_it() -> None:
    said = run(["sh", "-c", "cut -d' ' -f5 /proc/$$/stat; echo $$; grep SigIgn /proc/self/status"])
    group, pid, ignored = str(said["out"]).splitlines()
    assert group == pid
    assert int(ignored.split()[1], 16) & (1 << 12 | 1 << 24) == 0, "SIGPIPE, SIGXFSZ: by the kernel's default"


def test_a_program_that_is_not_there_is_missing() -> None:
    said = run(["no-such-program-here"])
    assert said["raised"] == CommandMissing.__name__
    assert "cannot run no-such-program-here: No such file" in str(said["text"])


def test_a_program_that_may_not_be_executed_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_text("no program")
    path.chmod(0o644)
    assert run([str(path)])["raised"] == CommandMissing.__name__


def test_only_the_descriptors_to_keep_stay_open(tmp_path: Path) -> None:
    fds = [os.open(tmp_path, os.O_RDONLY) for _ in range(2)]
    try:
        said = run(["sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"], keep=(fds[1],))
        assert str(fds[1]) in str(said["out"]).split()
        alone = run(["sh", "-c", "ls /proc/self/fd | wc -l"])
        assert said["code"] == 0 and len(str(said["out"]).split()) == int(str(alone["out"])) + 1
    finally:
        for fd in fds:
            os.close(fd)


def test_at_the_deadline_it_is_killed_with_all_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    said = run(["sh", "-c", f"sleep 600 & echo $! $$ > {note}; wait"], ms=3_000)
    assert said["raised"] == "CommandTimeout"
    assert "did not end within 3 s and was killed" in str(said["text"])
    left = Deadline(PATIENCE_MS)
    pids = note.read_text().split() if note.exists() else []
    while any(_runs(pid) for pid in pids):
        assert not left.expired(), f"still there: {pids}"
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_signal_that_ended_it_is_a_negative_code() -> None:
    assert run(["sh", "-c", "kill -9 $$"])["code"] == -9


@pytest.mark.parametrize("ignored", [True, False])
def test_an_inherited_ignored_sigchld_does_not_lose_the_code(ignored: bool) -> None:
    program = PROGRAM.format(lib=str(LIB), argv=["sh", "-c", "exit 3"], ms=PATIENCE_MS, keep=())
    first = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n" if ignored else ""
    child = subprocess.run(
        [sys.executable, "-IS", "-c", first + program], capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(child.stdout)["code"] == 3
