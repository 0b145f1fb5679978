"""The proof: what a client was promised, held against what the disk has. Pure.

A writer's promise is an acknowledgement in its diary: record, place and length. The proof goes through the file as
it was read on the serving node, or from the disk itself, and a sentence (``Finding``) is made of everything that
is not as promised. No finding is an excuse for another: all are told. Nothing promised at all is a finding, too: a
test in which nothing was acknowledged tested nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lab.client import records
from lab.client.diary import DiaryError, Entry, entries

TOLD_AT_MOST = 12
"""Findings of one kind printed in full; a lost file would otherwise be a sentence for each record."""
ANSWERS = {"writer": "ack", "reader": "read", "walker": "file"}
"""The line with which each kind of program says that the server did something for it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as promised. ``kind``: lost, torn, elsewhere, duplicate, order, foreign, error, differs,
    nothing, diary, lock, unfinished."""

    who: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.who}: {self.kind}: {self.what}"


@dataclass(frozen=True, slots=True)
class Window:
    """A scene in the client's clock (ms of CLOCK_BOOTTIME)."""

    name: str
    begin_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Waited:
    """The longest time between two answers that touches a scene; ``answers`` is how many came within it.

    ``longest_ms`` is the longest single request: what of ``ms`` is the server's part. The rest is the program's
    pace and its own disk.
    """

    who: str
    kind: str
    scene: str
    ms: int
    begin_ms: int
    longest_ms: int
    answers: int


@dataclass
class Proof:
    """What became of one program's promises."""

    who: str
    kind: str
    answers: int = 0
    bytes: int = 0
    errors: int = 0
    findings: list[Finding] = field(default_factory=list)
    answered_ms: list[int] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)

    def find(self, kind: str, what: str) -> None:
        self.findings.append(Finding(self.who, kind, what))

    @property
    def sentence(self) -> str:
        """What is proved, when nothing was found."""
        return {
            "writer": f"{self.who}: all {self.answers} acknowledged records ({self.bytes} bytes) are on the disk, "
            "whole, once and in order; no error",
            "reader": f"{self.who}: {self.answers} records read from the server, every byte as written; no error",
            "walker": f"{self.who}: {self.answers} files found and counted, the same in each round; no error",
        }[self.kind]


@dataclass
class Audit:
    """All proofs of a run."""

    proofs: list[Proof] = field(default_factory=list)

    @property
    def findings(self) -> list[Finding]:
        """Everything that is not as promised; that there was nothing to prove is one, too."""
        if not any(proof.kind == "writer" for proof in self.proofs):
            return [Finding("audit", "nothing", "no writer's record was looked at"), *self._all()]
        return self._all()

    def _all(self) -> list[Finding]:
        return [finding for proof in self.proofs for finding in proof.findings]

    @property
    def passed(self) -> bool:
        return not self.findings

    def sentences(self) -> list[str]:
        """For the table: what is proved, or what was found, the first of each kind."""
        told = [proof.sentence for proof in self.proofs if not proof.findings]
        seen: dict[tuple[str, str], int] = {}
        for finding in self.findings:
            key = (finding.who, finding.kind)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] <= TOLD_AT_MOST:
                told.append(str(finding))
        told += [
            f"{who}: {kind}: and {n - TOLD_AT_MOST} more" for (who, kind), n in seen.items() if n > TOLD_AT_MOST
        ]
        return told


def read_diary(who: str, kind: str, text: str) -> tuple[Proof, list[Entry]]:
    """Everything that can be said of a program from its diary alone."""
    proof = Proof(who, kind)
    lines: list[Entry] = []
    try:
        lines.extend(entries(text, f"diary of {who}"))
    except DiaryError as error:
        proof.find("diary", str(error))
    if not lines or lines[0]["what"] != "start" or lines[0].get("role") != kind:
        proof.find("diary", f"it does not begin with the start of a {kind}")
    if not lines or lines[-1]["what"] != "end":
        last = f"{lines[-1]['what']} at {lines[-1]['t']} ms" if lines else "nothing"
        proof.find("unfinished", f"it does not end with the program's end; its last line: {last}")
    for line in lines:
        if line["what"] == "error":
            proof.errors += 1
            place = "".join(f" of {key} {line[key]}" for key in ("seq", "path", "kind") if key in line)
            proof.find("error", f"{line['during']}{place}: {line['name']} ({line['message']}) at {line['t']} ms")
        elif line["what"] == "differs":
            proof.find("differs", f"{line.get('kind', '')} {line.get('seq', '')} {line['why']}".strip())
    proof.answered_ms = [line["end"] for line in lines if line["what"] == ANSWERS[kind]]
    proof.answers = len(proof.answered_ms)
    if not proof.answers:
        proof.find("nothing", "not a single answer of the server is recorded; nothing was tested")
    return proof, lines


def prove_writer(who: str, diary: str, data: bytes, *, lock: bool = True) -> Proof:
    """The writer's promises against ``data``, its file as it is on the disk."""
    proof, lines = read_diary(who, "writer", diary)
    if lock and not any(line["what"] == "locked" for line in lines):
        proof.find("lock", "the lock was never granted to it")
    run = next((str(line.get("run", "")) for line in lines if line["what"] == "start"), "")
    promises = [line for line in lines if line["what"] == "ack"]
    proof.bytes = sum(promise["len"] for promise in promises)
    for before, after in pairwise(promises):
        if after["seq"] <= before["seq"] or after["at"] < before["at"] + before["len"]:
            proof.find("diary", f"acknowledgements out of order: {before['seq']} and then {after['seq']}")
    for promise in promises:
        _kept(proof, run, promise, data)
    end = max((promise["at"] + promise["len"] for promise in promises), default=0)
    _clean(proof, run, data, end)
    return proof


def _kept(proof: Proof, run: str, promise: Entry, data: bytes) -> None:
    """Whether one acknowledged record is in its place, byte for byte."""
    sequence, at, length = promise["seq"], promise["at"], promise["len"]
    body = records.encode(proof.who, run, sequence)
    if data[at : at + length] == body and length == len(body):
        return
    found = records.decode(data, at)
    place = f"record {sequence}, acknowledged at byte {at}"
    if found.fault and not found.sequence:
        elsewhere = data.find(body)
        if elsewhere >= 0:
            proof.find("elsewhere", f"{place}, stands at byte {elsewhere}")
        else:
            proof.find("lost", f"{place}, is not there: {found.fault}")
    elif found.fault:
        proof.find("torn", f"{place}: {found.fault}")
    elif (found.name, found.run, found.sequence) != (proof.who, run, sequence):
        proof.find("elsewhere", f"{place}: there stands record {found.sequence} of {found.name}, run {found.run}")
    else:
        proof.find("torn", f"{place}: whole by its checksum, but with other bytes than were written")


def _clean(proof: Proof, run: str, data: bytes, end: int) -> None:
    """Whether nothing else stands in the acknowledged part: each record once, in order, no bytes between."""
    last = 0
    seen: set[int] = set()
    for found in records.scan(data, end):
        if found.fault:
            proof.find("torn" if found.sequence else "foreign", f"at byte {found.at}: {found.fault}")
            continue
        if (found.name, found.run) != (proof.who, run):
            proof.find("foreign", f"at byte {found.at}: a record of {found.name}, run {found.run}")
            continue
        if found.sequence in seen:
            proof.find("duplicate", f"record {found.sequence} stands again at byte {found.at}")
        elif found.sequence < last:
            proof.find("order", f"record {found.sequence} stands after record {last}, at byte {found.at}")
        seen.add(found.sequence)
        last = max(last, found.sequence)


def waits(proof: Proof, lines: Iterable[Entry], windows: Sequence[Window]) -> None:
    """The longest pause of each scene. A scene without any answer in it is a finding.

    A pause is the whole time from one answer to the next, also when it reaches out of the scene at either end;
    before the first and after the last answer the scene's own ends count.
    """
    answers = [line for line in lines if line["what"] == ANSWERS[proof.kind]]
    ends = sorted(line["end"] for line in answers)
    for window in windows:
        inside = [t for t in ends if window.begin_ms <= t <= window.end_ms]
        before = [t for t in ends if t < window.begin_ms]
        after = [t for t in ends if t > window.end_ms]
        marks = [before[-1] if before else window.begin_ms, *inside, after[0] if after else window.end_ms]
        length, begin = max((two - one, one) for one, two in pairwise(marks))
        longest = max(
            (
                line["end"] - line["begin"]
                for line in answers
                if line["end"] >= window.begin_ms and line["begin"] <= window.end_ms
            ),
            default=0,
        )
        proof.waited.append(Waited(proof.who, proof.kind, window.name, length, begin, longest, len(inside)))
        if not inside:
            proof.find("nothing", f"no answer of the server in the scene {window.name!r}; it tested nothing")


def prove_other(who: str, kind: str, diary: str) -> Proof:
    """A reader's or a walker's promises: they compared for themselves, so the diary says it all."""
    proof, lines = read_diary(who, kind, diary)
    if kind == "walker" and proof.answers and sum(line["what"] == "round" for line in lines) < 2:
        proof.find("nothing", "fewer than two whole rounds; nothing was compared")
    return proof
