"""The durable record across versions (docs/design/0039): additions are let go, and what bars is left alone."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from failover_kit import VERSION
from failover_kit.manager import dialect, law, store
from failover_kit.manager.recordform import Barred, format_record, parse_record
from failover_kit.manager.records import DrillRecord, GroupRecord, NodeRecord
from failover_kit.manager.store import PersistError, Store

DATA = Path(__file__).resolve().parents[1] / "data" / "dialect"
WEB = GroupRecord(name="web", right=4, top=4, held=True)
RECORD = NodeRecord(boot_id="boot-1", contact=True, peer_boot_id="boot-9", groups=(WEB,))


def sealed(whole: dict[str, Any]) -> bytes:
    """With its right checksum, made without the module under test."""
    whole.pop("sha256", None)
    body = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return json.dumps({**whole, "sha256": hashlib.sha256(body.encode()).hexdigest()}).encode()


def newer(minor: int = 9, needs: int = 0, why: str = "", **record: Any) -> bytes:
    """As a failoverd of 1.``minor`` would write RECORD, with what it knows more."""
    whole = json.loads(format_record(RECORD))
    whole |= {"minor": minor, "needs": needs, "why": why, "by": "0.9.0"}
    whole["record"] |= {"mice": 3, **record}
    whole["record"]["groups"][0]["colour"] = "green"
    return sealed(whole)


def persist(opened: Store, record: NodeRecord) -> None:
    asyncio.run(opened.persist(record))


def test_a_newer_record_is_read_without_what_is_not_known(tmp_path: Path) -> None:
    opened = Store(str(tmp_path))
    (tmp_path / "node.json").write_bytes(newer())
    assert opened.load() == (RECORD, "")
    assert opened.remark.endswith("this one goes on without colour, mice")
    persist(opened, dataclasses.replace(RECORD, boot_id="boot-2"))
    text = (tmp_path / "node.json").read_text()
    assert "mice" not in text and "colour" not in text, "an addition that was ignored must not come back to life"
    assert json.loads(text)["minor"] == dialect.MINOR
    opened.close()


def test_an_unknown_field_of_our_own_minor_is_damage(tmp_path: Path) -> None:
    opened = Store(str(tmp_path))
    (tmp_path / "node.json").write_bytes(newer(minor=dialect.MINOR))
    record, problem = opened.load()
    assert record is None and "damaged" in problem
    opened.close()


BARRING = {
    "says so": newer(needs=dialect.MINOR + 1, why="the mice vote"),
    "a major of its own": json.dumps({"format": 2, "by": "9.0", "anything": {"is": "so"}}).encode(),
    "a field of another type": newer(shots="many"),
}


@pytest.mark.parametrize("name", BARRING)
def test_a_record_that_bars_is_neither_used_nor_written_over(tmp_path: Path, name: str) -> None:
    path = tmp_path / "node.json"
    path.write_bytes(BARRING[name])
    opened = Store(str(tmp_path))
    record, problem = opened.load()
    assert record is None
    assert str(path) in problem and "written by a newer failoverd" in problem and VERSION in problem
    assert "no rights" in problem and "install failoverd " in problem and "move the file away" in problem
    for _ in range(2):
        with pytest.raises(PersistError, match="newer failoverd"):
            persist(opened, NodeRecord(boot_id="boot-3"))
    assert path.read_bytes() == BARRING[name], "what the newer failoverd has to find again"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock", "node.json"]
    assert store.peek(str(tmp_path)) is None
    opened.close()


def test_the_reason_of_the_writer_is_told() -> None:
    with pytest.raises(Barred, match=r"0\.9\.0, 1\.9; this is .* must not be used by an older one: the mice vote"):
        parse_record(BARRING["says so"])


def test_a_newer_record_that_is_damaged_is_damage() -> None:
    for data in (newer()[:-9], newer().replace(b'"mice": 3', b'"mice": 4')):
        with pytest.raises(ValueError) as caught:
            parse_record(data)
        assert not isinstance(caught.value, Barred)


@pytest.mark.parametrize(
    ("record", "needs"),
    [
        (RECORD, 0),
        (dataclasses.replace(RECORD, maintenance=4, agreed=True), 0),  # over, and everything was looked at
        (dataclasses.replace(RECORD, maintenance=3), 1),
        (dataclasses.replace(RECORD, maintenance=3, agreed=True), 1),
        (dataclasses.replace(RECORD, maintenance=4, groups=(dataclasses.replace(WEB, unlooked=True),)), 1),
    ],
)
def test_what_bars_an_older_one_is_what_keeps_this_one_from_acting(record: NodeRecord, needs: int) -> None:
    assert law.record_needs(record)[0] == needs
    assert json.loads(format_record(record))["needs"] == needs
    assert parse_record(format_record(record)) == (record, [])


def test_an_older_failoverd_is_barred_in_maintenance(monkeypatch: pytest.MonkeyPatch) -> None:
    data = format_record(dataclasses.replace(RECORD, maintenance=3, agreed=True))
    monkeypatch.setattr(dialect, "MINOR", 0)
    with pytest.raises(Barred, match="the pair is in maintenance"):
        parse_record(data)


def test_the_recorded_record_of_1_0_is_read() -> None:
    """What is younger is at its default; so every field added since has one."""
    expected = NodeRecord(
        boot_id="77aa0000-3b05-4d0c-9d0a-9e2b4f7f9a51",
        contact=True,
        peer_boot_id="2cb5b36b-3b05-4d0c-9d0a-9e2b4f7f9a51",
        shots=1,
        on_owed=True,
        drilled=DrillRecord(ok=False, wall_ms=5, config="c", fencing="f", reason="it lived on", disproved=True),
        groups=(GroupRecord(name="web", right=5, top=5, known=6, held=True, failed_here=True, parked="by hand"),),
    )
    assert parse_record((DATA / "1.0" / "node.json").read_bytes()) == (expected, [])


def test_every_field_of_the_record_was_thought_about() -> None:
    """A field that is new must have a default that is safe, and a line in docs/design/0039: bars it, or not?"""
    since_1_0 = {
        "boot_id", "contact", "peer_boot_id", "shots", "shot_pending", "on_owed", "fenced_boot_id", "leaving",
        "drilled", "groups",
    }  # fmt: skip
    added = {field.name for field in dataclasses.fields(NodeRecord)} - since_1_0
    of_group_1_0 = {
        "name", "right", "top", "known", "grant", "grant_nonce", "held", "taken_from", "moving", "failed_here",
        "failures", "failed_ms", "parked",
    }  # fmt: skip
    added |= {field.name for field in dataclasses.fields(GroupRecord)} - of_group_1_0
    page = (Path(__file__).resolve().parents[2] / "docs/design/0039-versions-side-by-side.md").read_text()
    for name in sorted(added | (since_1_0 - {"groups", "boot_id"}) | (of_group_1_0 - {"name"})):
        assert f"`{name}`" in page, f"docs/design/0039 does not say what a loss of {name} does"
