"""Journals of other versions (docs/design/0039): explained as far as they are known, replayed if known whole."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from failover_kit.manager import dialect, journal
from failover_kit.manager.actions import Note
from failover_kit.manager.events import BeatReceived
from failover_kit.manager.journal import Entry, Gap, Head, Remark, Step, read, replay

TOP = Path(__file__).resolve().parents[2]
RECORDED = TOP / "tests" / "data" / "dialect" / "1.0" / "journal.jsonl"


def failoverctl(*words: str) -> subprocess.CompletedProcess[str]:
    program = str(TOP / "bin" / "failoverctl")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)


def by_1_9(directory: Path) -> Path:
    """The recorded life as a failoverd of 1.9 might have written it."""
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    head = lines[0]
    head |= {"minor": 9, "version": "0.9.0"}
    head["life"]["config"]["mice"] = ["a", "b"]
    for plain in lines[1:]:
        event = plain.get("e", {})
        if event.get("is") == "BeatReceived":
            event["beat"]["weather"] = "fine"
            event["beat"]["groups"][0]["colour"] = "green"
        for action in plain.get("a", []):
            if action["is"] == "Persist":
                action["record"]["mice"] = 3
    mice = {"t": 1999, "w": 5, "e": {"is": "MiceCame", "count": 3}, "a": [{"is": "Flee", "how": "fast"}]}
    lines.insert(2, mice)
    with_action = next(plain for plain in lines[3:] if plain.get("a"))
    with_action["a"].append({"is": "Flee", "how": "slow"})
    path = directory / journal.CURRENT
    path.write_text("".join(json.dumps(plain) + "\n" for plain in lines))
    return path


def items(path: Path) -> list[Any]:
    return list(read([str(path)]))


def test_a_recorded_journal_of_1_0_is_read_and_replayed_alike() -> None:
    head, *rest = items(RECORDED)
    assert isinstance(head, Head) and (head.minor, head.version, head.newer) == (0, "0.0.9", False)
    assert (head.life.config.release, head.life.config.minor) == ("", 0)
    assert len(rest) == 60 and not any(isinstance(item, Gap) for item in rest)
    steps = [item for item in replay(str(RECORDED)) if isinstance(item, Step)]
    assert len(steps) == 60 and all(step.agrees for step in steps)


def test_a_newer_journal_is_told_without_what_is_not_known(tmp_path: Path) -> None:
    old, new = items(RECORDED), items(by_1_9(tmp_path))
    assert new[0].newer and new[0].life == old[0].life
    gaps = [item for item in new if isinstance(item, Gap)]
    assert [gap.lost for gap in gaps] == [1] and "'MiceCame' is not known here" in gaps[0].why
    told = [item for item in new[1:] if isinstance(item, Entry)]
    assert told == old[1:], "what is known here is the same"
    assert any(isinstance(entry.event, BeatReceived) for entry in told)
    assert any(isinstance(action, Note) for entry in told for action in entry.actions)


def test_the_same_from_our_own_minor_is_damage(tmp_path: Path) -> None:
    path = by_1_9(tmp_path)
    path.write_text(path.read_text().replace('"minor": 9', f'"minor": {dialect.MINOR}', 1))
    assert any(isinstance(item, journal.Damage) for item in journal.read_all([str(path)]))


def test_a_newer_life_is_not_replayed_and_the_sentence_says_what_does(tmp_path: Path) -> None:
    remarks = list(replay(str(by_1_9(tmp_path))))
    assert not any(isinstance(item, Step) for item in remarks)
    first = remarks[0]
    assert isinstance(first, Remark) and first.broken
    assert "(1.9), so it is not replayed; failoverctl explain tells of it" in first.text
    assert "failoverctl replay of failoverd 0.9.0 replays it" in first.text
    done = failoverctl("replay", str(tmp_path))
    assert done.returncode == 1 and "so it is not replayed" in done.stdout
    assert "0 events replayed" in done.stdout


def test_explain_tells_of_a_newer_life(tmp_path: Path) -> None:
    by_1_9(tmp_path)
    done = failoverctl("explain", "--journal", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "web went from pete to mclaws" in done.stdout


def test_explain_says_who_gave_an_order(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    order = next(plain["e"] for plain in lines if plain.get("e", {}).get("is") == "Command")
    order["by"] = "uid 0, login uid 1000, pid 10479, hb_standby"
    lines[0]["minor"] = dialect.MINOR
    (tmp_path / journal.CURRENT).write_text("".join(json.dumps(plain) + "\n" for plain in lines))
    text = failoverctl("explain", "--journal", str(tmp_path)).stdout
    assert f"an operator on pete, by failoverctl standby ({order['by']})" in " ".join(text.split())
    assert f"operator: failoverctl standby ({order['by']})" in " ".join(text.split())
    order["terms"] = {"epoch": 3, "hold_off_ms": 0, "asker": "watch1"}
    (tmp_path / journal.CURRENT).write_text("".join(json.dumps(plain) + "\n" for plain in lines))
    text = failoverctl("explain", "--journal", str(tmp_path)).stdout
    assert "the watcher watch1, by failoverctl standby (uid 0" in " ".join(text.split())


def test_a_newer_life_behind_an_older_one_breaks_only_itself(tmp_path: Path) -> None:
    """An upgrade, seen with the older version: both lives are in one file."""
    path = by_1_9(tmp_path)
    path.write_text(RECORDED.read_text() + path.read_text() + RECORDED.read_text())
    found = list(replay(str(path)))
    assert sum(isinstance(item, Step) for item in found) == 120
    assert all(item.agrees for item in found if isinstance(item, Step))
    assert sum("so it is not replayed" in item.text for item in found if isinstance(item, Remark)) == 1
