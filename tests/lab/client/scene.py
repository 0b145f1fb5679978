"""One scene in the client's eyes: its beginning and end, how long each program waited, when locks were back."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from lab import report
from lab.client import audit, guests
from lab.client.diary import Entry, entries
from lab.client.guests import EvidenceError, Guest

if TYPE_CHECKING:
    from lab.client.evidence import Evidence


LOCKS_LATER_S = 300
"""How long after all programs go on again a lock may take to come back. A writer by version 3 is not stopped by the
loss of its lock, and that is what must not stay unseen."""


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """When the taker had what, ms of its own clock; None: never seen. ``ms`` is the reclaim's time."""

    who: str
    address_ms: int | None
    server_ms: int | None
    grace_over_ms: int | None
    held_ms: int | None

    @property
    def ms(self) -> int | None:
        """From the moment address and server were both up until the lock was seen held."""
        if self.address_ms is None or self.server_ms is None or self.held_ms is None:
            return None
        return max(self.held_ms - max(self.address_ms, self.server_ms), 0)

    def missing(self) -> str:
        """What was not seen, for a failure."""
        times = {"address": self.address_ms, "server": self.server_ms, "lock": self.held_ms}
        seen = ", ".join(f"{what} at {ms} ms" for what, ms in times.items() if ms is not None)
        never = ", ".join(what for what, ms in times.items() if ms is None)
        return f"never came, or never went before: {never}; seen: {seen or 'nothing'}"


def reclaimed(lines: list[Entry], locks: dict[str, str]) -> list[Reclaimed]:
    """From the diary of ``lock_watch``; ``locks`` maps file names below the mount to writers.

    A thing counts from its last appearance; one that went away again counts as never seen. A lock must have been
    seen absent before: one that was there all the time was not reclaimed, so it has no time.
    """
    since: dict[str, int | None] = {}
    absent: set[str] = set()
    for line in lines:
        if line["what"] == "seen":
            since[line["thing"]] = line["t"] if line["there"] else None
            if not line["there"]:
                absent.add(line["thing"])
    return [
        Reclaimed(
            who,
            since.get("address"),
            since.get("server"),
            since.get("grace over"),
            since.get(f"lock {path}") if f"lock {path}" in absent else None,
        )
        for path, who in locks.items()
    ]


class Scene:
    """A context manager made by ``Evidence.scene``. At its end it waits until every program goes on."""

    def __init__(self, evidence: Evidence, name: str, number: int, taker: Guest | None, limit_s: int) -> None:
        self.evidence = evidence
        self.name = name
        self.window = audit.Window(name, 0, 0)
        self.reclaims: list[Reclaimed] = []
        self.proofs: list[audit.Proof] = []
        self.marks: list[tuple[int, str]] = []
        self._taker = taker
        self._limit_s = limit_s
        self._number = number
        self._begin_ms = 0
        self._sizes: dict[str, int] = {}

    @property
    def _watch(self) -> str:
        return posixpath.join(self.evidence.diaries, f"{self.evidence.tag}-watch-{self._number}.jsonl")

    @property
    def _locks(self) -> dict[str, str]:
        return {program.data: name for name, program in self.evidence.programs.items() if program.locked}

    def __enter__(self) -> Scene:
        if not self.evidence.programs:
            raise EvidenceError(f"scene {self.name!r}: no program runs on the client; it would test nothing")
        if self._taker is not None:
            self._start_watch(self._taker)
        client = self.evidence.client
        self._clock = guests.clock_map(client, self.evidence.now_ms)
        diaries = [program.diary for program in self.evidence.programs.values()]
        sizes = client.run(["stat", "-c", "%s", *diaries]).stdout.split()
        self._sizes = dict(zip(self.evidence.programs, map(int, sizes), strict=True))
        self._begin_ms = guests.uptime_ms(client)
        return self

    def mark(self, what: str) -> int:
        """Note what is done now, in the client's clock (returned); no command is sent for it."""
        at_ms = self._clock.guest_ms(self.evidence.now_ms())
        self.marks.append((at_ms, what))
        return at_ms

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        evidence = self.evidence
        evidence.wait_going_on(self._limit_s)
        self.window = audit.Window(self.name, self._begin_ms, guests.uptime_ms(evidence.client))
        evidence.windows.append(self.window)
        now = guests.clock_map(evidence.client, evidence.now_ms)
        if not now.agrees(self._clock, self.window.end_ms - self.window.begin_ms):
            raise EvidenceError(
                f"scene {self.name!r}: the clocks of {evidence.client.name} and the host went apart by "
                f"{abs(now.offset_ms - self._clock.offset_ms)} ms; its times prove nothing"
            )
        self._read_diaries()
        if self._taker is not None:
            self._read_watch(self._taker)

    def _start_watch(self, taker: Guest) -> None:
        evidence = self.evidence
        files = [word for path in self._locks for word in ("--file", path)]
        command = guests.program(
            "lock_watch", "--address", evidence.server, "--mount", evidence.export, *files, "--record", self._watch,
            "--timeout-s", str(self._limit_s * 2 + LOCKS_LATER_S), "--until-held", home=evidence.home,
        )  # fmt: skip
        taker.spawn(command, log=posixpath.join(evidence.diaries, f"{evidence.tag}-watch-{self._number}.out"))
        guests.await_line(taker, self._watch, ["seen"], timeout_s=600)

    def _read_watch(self, taker: Guest) -> None:
        """The watch ends by itself when all is held; when it does not, what it saw until now counts."""
        try:
            guests.await_line(taker, self._watch, ["end"], timeout_s=LOCKS_LATER_S)
        except EvidenceError as error:
            self.evidence.say(f"  warning: {error}")
        text = taker.get(self._watch).decode("ascii", "replace")
        self.reclaims = reclaimed(list(entries(text, f"watch on {taker.name}")), self._locks)

    def _read_diaries(self) -> None:
        client = self.evidence.client
        for name, program in self.evidence.programs.items():
            at = self._sizes[name]
            tail = client.sh(f"tail -c +{at + 1} {shlex.quote(program.diary)}\n", timeout_s=600).stdout
            if at:  # the first line may have been under way when its size was taken
                tail = tail if tail.startswith('{"what"') else tail.partition("\n")[2]
            lines = list(entries(tail, f"diary of {name}"))
            proof = audit.Proof(name, program.kind)
            audit.note_trouble(proof, lines)
            proof.answered_ms = [line["end"] for line in lines if line["what"] == audit.ANSWERS[program.kind]]
            audit.waits(proof, lines, [self.window])
            self.proofs.append(proof)

    def tell(self, step: report.Step) -> None:
        """Put it all into the table. StepFailed: a program was not tested, met an error, or a lock is not back."""
        lasted_ms = self.window.end_ms - self.window.begin_ms
        for proof in self.proofs:
            (waited,) = proof.waited
            step.pause(proof.who, waited.ms, proof.kind)
            step.fact(
                f"{proof.kind} {proof.who}: {waited.answers} answers in {lasted_ms} ms, "
                f"longest single request {waited.longest_ms} ms"
            )
        for one in self.reclaims:
            step.reclaim(one.who, one.ms)
        step.picture(
            report.Picture(
                self.window.begin_ms,
                self.window.end_ms,
                tuple(report.Lane(proof.who, tuple(proof.answered_ms), proof.kind) for proof in self.proofs),
                tuple(self.marks),
            )
        )
        for proof in self.proofs:
            trouble = [str(finding) for finding in proof.findings[: audit.TOLD_AT_MOST]]
            trouble += [f"{proof.errors} errors in all"] if proof.errors else []
            step.check(
                f"{proof.kind} {proof.who} was served in the scene and met no error",
                not trouble,
                expected=f"answers to {proof.who} within the scene, and no error",
                seen="; ".join(trouble) or f"{proof.waited[0].answers} answers",
            )
        for one in self.reclaims:
            step.check(
                f"the lock of {one.who} is held again",
                one.ms is not None,
                expected=f"the lock of {one.who} reclaimed on the new node",
                seen=f"after {one.ms} ms" if one.ms is not None else one.missing(),
            )


def tell(found: audit.Audit, step: report.Step) -> None:
    """Put a whole audit into the table. StepFailed when anything is not as promised."""
    for proof in found.proofs:
        if not proof.findings:
            step.check(proof.sentence, True)
    step.check(
        "every promise to the client was kept",
        found.passed,
        expected="every acknowledged record on the disk, whole, once and in order, and no error at the client",
        seen="; ".join(found.sentences()) if not found.passed else f"{len(found.proofs)} programs looked at",
    )
