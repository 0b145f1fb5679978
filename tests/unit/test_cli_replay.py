"""failoverctl replay over a journal made by the real core."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from failover_kit.cli import asjson
from failover_kit.cli import replay as replay_module
from failover_kit.manager import events as ev
from failover_kit.manager.actions import Persist, Probe
from failover_kit.manager.core import Core
from failover_kit.manager.journal import CURRENT, Journal, Life
from failover_kit.manager.records import CoreConfig, CoreGroup

PROGRAM = str(Path(__file__).parents[2] / "bin" / "failoverctl")

CONFIG = CoreConfig(
    node="pete", peer="mclaws", groups=(CoreGroup(name="web", home="pete"),), links=("eth1",), keepalive_ms=1000,
    warntime_ms=2000, deadtime_ms=5000, initdead_ms=9000, auto_failback=False, can_fence=False, fence_delay_ms=5000,
    fence_power_on=True,
)  # fmt: skip
LIFE = Life(config=CONFIG, boot_id="boot", nonce="life-1", stored=None, start_ms=1_000)


def record(directory: Path, config: CoreConfig = CONFIG) -> None:
    """One node alone: it probes its group, persists, waits past initdead. ``config`` goes into the journal."""

    async def story() -> None:
        core = Core(CONFIG, boot_id="boot", nonce="life-1", stored=None, now_ms=1_000)
        journal = Journal(str(directory), dataclasses.replace(LIFE, config=config))
        now = 1_000
        pending: list[ev.Event] = []
        for _ in range(40):
            event = pending.pop(0) if pending else ev.Tick()
            now = now + 1 if not isinstance(event, ev.Tick) else max(now, core.deadline_ms())
            actions = core.handle(now, event)
            journal.record(now, event, actions)
            for action in actions:
                if isinstance(action, Persist):
                    pending.append(ev.Persisted(action.token))
                elif isinstance(action, Probe):
                    pending.append(ev.Probed(action.group, action.op, ev.ProbeOutcome.STOPPED))
        await journal.close()
        journal._worker._thread.join(60)

    asyncio.run(story())


def replay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "replay", *words], capture_output=True, text=True, timeout=60, check=False)


def test_a_recorded_life_comes_out_alike(tmp_path: Path) -> None:
    record(tmp_path)
    done = replay(str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("== life life-1 of failoverd")
    assert "mclaws was not heard" in done.stdout
    assert done.stdout.endswith("== 40 events replayed: all decisions came out alike\n")
    assert len(replay(str(tmp_path / CURRENT), "--verbose").stdout) > len(done.stdout)


def test_other_decisions_are_shown_with_both_sides(tmp_path: Path) -> None:
    record(tmp_path, dataclasses.replace(CONFIG, initdead_ms=20_000))
    done = replay(str(tmp_path))
    assert done.returncode == 1
    assert "DIFFERENT: failoverd decided" in done.stdout and "and this version decides" in done.stdout


def test_what_is_no_journal_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\nworld\n")
    for path, words in ((tmp_path / "x", "x:1: cut short, or no journal"), (tmp_path / "y", "No such file")):
        done = replay(str(path))
        assert done.returncode == 1
        assert words in done.stderr and "Traceback" not in done.stderr


def test_every_error_names_the_place_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello\nworld\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "nothing").mkdir()
    for name, remedy in (
        ("x", "failoverctl explain --journal"),
        ("empty", "name a journal that is not empty"),
        ("nothing", "name a journal file, or the directory they are in"),
        ("y", "name a journal file, or the directory they are in"),
        ("x/y", "name a journal file, or the directory they are in"),
    ):
        done = replay(str(tmp_path / name))
        assert done.returncode == 1, name
        assert done.stderr.startswith(f"failoverctl: {tmp_path / name}"), done.stderr
        assert remedy in done.stderr and done.stderr.count("\n") == 1, done.stderr
        assert "came out" not in done.stdout


def test_a_journal_of_root_alone_is_exit_4(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    """root reads everything, so the refusal is put in place of the kernel's."""
    (tmp_path / CURRENT).touch()

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    code = replay_module.replay_file(str(tmp_path), everything=False)
    monkeypatch.undo()
    assert code == 4
    assert "run failoverctl as root" in capsys.readouterr().err


def test_a_document_for_scripts(tmp_path: Path) -> None:
    record(tmp_path)
    done = replay("--json", str(tmp_path))
    told = json.loads(done.stdout)
    assert list(told) == [name for name, _ in asjson.REPLAY.keys]
    assert (done.returncode, told["code"], told["outcome"]) == (0, 0, "done")
    assert (told["journal"], told["events"], told["different"], told["complete"]) == (str(tmp_path), 40, 0, True)
    assert told["text"] == "40 events replayed: all decisions came out alike"
    assert told["remarks"][0].startswith("life life-1 of failoverd")
    _, keys = asjson.REPLAY.also[0]
    assert all(list(step) == [name for name, _ in keys] for step in told["steps"])
    assert all(step["agrees"] and step["decided"] == step["decides"] != [] for step in told["steps"])
    assert len(json.loads(replay("--json", "--verbose", str(tmp_path)).stdout)["steps"]) == 40


def test_a_document_tells_differences_and_errors_too(tmp_path: Path) -> None:
    record(tmp_path, dataclasses.replace(CONFIG, initdead_ms=20_000))
    done = replay("--json", str(tmp_path))
    told = json.loads(done.stdout)
    assert (done.returncode, told["code"], told["outcome"]) == (1, 1, "failed")
    assert told["different"] == sum(not step["agrees"] for step in told["steps"]) > 0
    with (tmp_path / CURRENT).open("a") as file:
        file.write("x\ny\n")
    for path in (tmp_path, tmp_path / "y"):
        done = replay("--json", str(path))
        told = json.loads(done.stdout)
        assert (told["code"], told["complete"]) == (1, False)
        assert f"failoverctl: {told['text']}\n" == done.stderr
        assert list(told) == [name for name, _ in asjson.REPLAY.keys]
