"""The durable record as a line of JSON with a checksum, and which failoverd may go on from it (design/0039).

    {"sha256":"..","format":1,"minor":1,"by":"0.1.0","needs":0,"why":"","record":{..}}

``format`` and ``minor`` are the dialect of who wrote it. A reader of a lower minor drops the fields it does not
know, unless ``needs`` is above its own minor: then the record bars it, and ``why`` says by what.
"""

from __future__ import annotations

import hashlib
import json

from failover_kit import VERSION
from failover_kit.manager import dialect, law
from failover_kit.manager.codec import CodecError, from_plain, pruned, to_plain
from failover_kit.manager.records import NodeRecord

RECORD_LIMIT_BYTES = 1 << 20


class Barred(ValueError):
    """A record that only a newer failoverd may go on from; ``str()`` says by whom it was written and why."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


def format_record(record: NodeRecord) -> bytes:
    """The whole file."""
    needs, why = law.record_needs(record)
    head = {"format": dialect.MAJOR, "minor": dialect.MINOR, "by": VERSION, "needs": needs, "why": why}
    whole: dict[str, object] = {**head, "record": to_plain(record)}
    return json.dumps({"sha256": _checksum(whole), **whole}, separators=(",", ":")).encode() + b"\n"


def parse_record(data: bytes) -> tuple[NodeRecord, list[str]]:
    """The record, and the fields of a newer minor that were left out of it.

    ValueError with half a sentence when ``data`` is no record; Barred when it is one that is not for us.
    """
    if len(data) > RECORD_LIMIT_BYTES:
        raise ValueError("it is too long")
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is empty, cut short or no JSON") from None
    if not isinstance(whole, dict):
        raise ValueError("it is no record of failoverd")
    written, by = whole.get("format"), whole.get("by")
    by = by if isinstance(by, str) else ""
    if type(written) is int and written > dialect.MAJOR:  # how it is sealed is not known here either
        raise _bar(by, f"{written}", "is in a form that this failoverd does not know")
    if written != dialect.MAJOR:
        raise ValueError("it was written by another version")
    sealed = whole.pop("sha256", None)
    if sealed != _checksum(whole):
        raise ValueError("its checksum is wrong")
    minor, needs, plain = whole.get("minor"), whole.get("needs"), whole.get("record")
    if type(minor) is not int or type(needs) is not int:
        raise ValueError("it does not say which version wrote it")
    if needs > dialect.MINOR:
        raise _bar(by, dialect.name_of(minor), f"must not be used by an older one: {whole.get('why')}")
    unknown: list[str] = []
    if minor > dialect.MINOR:
        plain = pruned(NodeRecord, plain, unknown, "record")
    try:
        return from_plain(NodeRecord, plain), unknown
    except CodecError as error:
        if minor > dialect.MINOR:
            raise _bar(by, dialect.name_of(minor), f"cannot be read here ({error})") from None
        raise ValueError(str(error)) from None


def _bar(by: str, written: str, why: str) -> Barred:
    ours = f"this is {VERSION} ({dialect.name_of(dialect.MINOR)})"
    newer = f"failoverd {by}" if by else "that failoverd"
    remedy = (
        f"install {newer} here again; or, to go on without what it says, stop failoverd, move the file away and "
        "start failoverd: this node then waits without rights until the peer hands over"
    )
    text = f"was written by a newer failoverd ({by or 'of unknown name'}, {written}; {ours}) and {why}"
    return Barred(text, remedy)


def _checksum(whole: dict[str, object]) -> str:
    body = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()
