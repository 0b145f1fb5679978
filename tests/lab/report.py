"""The table of steps: what was done, whether it went well, how long it took, and what shows it.

    with Table("The HOWTO", rundir, rows=HOWTO, by_hand=BY_HAND) as table:
        table.machine("pete", kernel="6.1.0-56-cloud-amd64")
        table.plan("22", "standby while the client reads and writes")  # optional: it is missed, then
        with table.step("22", "standby while the client reads and writes") as step:
            step.did("failoverctl standby on pete")
            step.fact("clusterb answers with 02:00:00:00:00:02")
            step.check("every lock is held on mclaws", held, expected="v3 and v4 held", seen=str(states))
            step.pause("v3", 4_210)
    raise SystemExit(table.code)

An exception in a step marks it failed and ends the table: what was planned after it stands as *not reached*. The
table is printed as it grows (``say``), and ``report.txt``, ``report.json`` and ``report.html`` are written into
``rundir`` when it ends, however it ends.
"""

from __future__ import annotations

import datetime
import enum
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType

SCHEMA = 1


class Result(enum.Enum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    BY_HAND = "not by a machine"
    NOT_REACHED = "not reached"


class StepFailed(Exception):
    """A step did not show what it should. ``expected`` and ``seen`` are sentences for the table."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; seen: {seen}")
        self.expected = expected
        self.seen = seen


@dataclass(frozen=True, slots=True)
class Check:
    """Something that could have been otherwise, and was looked at."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """The longest time ``who`` waited in the scene. ``kind``: ``writer``, ``reader`` or ``walker``."""

    who: str
    ms: int
    kind: str = "writer"


@dataclass(frozen=True, slots=True)
class Reclaim:
    """How long after address and server were up the lock of ``who`` was seen held again; None: never."""

    who: str
    ms: int | None


@dataclass(frozen=True, slots=True)
class Lane:
    """One client program in the picture of a scene: the moments (ms) at which something was acknowledged to it."""

    who: str
    acknowledged_ms: tuple[int, ...]
    kind: str = "writer"


@dataclass(frozen=True, slots=True)
class Picture:
    """A scene in the client's clock; ``marks`` are what was done and seen, with their moment."""

    begin_ms: int
    end_ms: int
    lanes: tuple[Lane, ...]
    marks: tuple[tuple[int, str], ...] = ()


@dataclass
class Step:
    """One line of the table. Times in ms of the table's clock."""

    number: str
    title: str
    part: str = ""
    result: Result = Result.NOT_REACHED
    why: str = ""
    begin_ms: int = 0
    end_ms: int = 0
    deeds: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    pauses: list[Pause] = field(default_factory=list)
    reclaims: list[Reclaim] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    expected: str = ""
    seen: str = ""
    trace: str = ""
    started: bool = False
    say: Callable[[str], None] = field(default=lambda _text: None, repr=False)

    @property
    def ms(self) -> int:
        return self.end_ms - self.begin_ms

    @property
    def longest_pause(self) -> Pause | None:
        """Of the writers if there were any: what they wait, the service waits."""
        return max(self.pauses, key=lambda pause: (pause.kind == "writer", pause.ms), default=None)

    def did(self, what: str) -> None:
        """What was done, in words or as the command."""
        self.deeds.append(what)
        self.say(f"  {what}")

    def fact(self, what: str) -> None:
        """Something that was seen, with its numbers."""
        self.facts.append(what)
        self.say(f"  - {what}")

    def check(self, name: str, passed: bool, *, expected: str = "", seen: str = "") -> None:
        """Note a check. StepFailed if it did not pass."""
        self.checks.append(Check(name, passed, seen))
        if not passed:
            raise StepFailed(expected or name, seen or "the contrary")
        self.say(f"  checked: {name}" + (f" ({seen})" if seen else ""))

    def pause(self, who: str, ms: int, kind: str = "writer") -> None:
        self.pauses.append(Pause(who, ms, kind))
        self.say(f"  - {kind} {who} waited {ms} ms at the longest")

    def reclaim(self, who: str, ms: int | None) -> None:
        self.reclaims.append(Reclaim(who, ms))
        said = "not seen held again" if ms is None else f"held again {ms} ms after address and server were up"
        self.say(f"  - lock of {who}: {said}")

    def picture(self, picture: Picture) -> None:
        """For the HTML page only."""
        self.pictures.append(picture)


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Table:
    """All steps of one run; see the module. ``kept`` says where consoles and journals are."""

    def __init__(
        self,
        heading: str,
        rundir: str,
        *,
        rows: Mapping[str, str] | None = None,
        by_hand: Mapping[str, str] | None = None,
        say: Callable[[str], None] = print,
        now_ms: Callable[[], int] = monotonic_ms,
        kept: str = "",
    ) -> None:
        self.heading = heading
        self.rundir = rundir
        self.rows = dict(rows or {})
        self.hands = dict(by_hand or {})
        self.kept = kept or rundir
        self.machines: dict[str, dict[str, str]] = {}
        self.steps: list[Step] = []
        self.trouble = ""
        self.began = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.finished = False
        self._say = say
        self._now_ms = now_ms
        self._part = ""
        self._begin_ms = now_ms()
        self.lasted_ms = 0

    # -- what the story says ----------------------------------------------------------------------------------

    def machine(self, name: str, **facts: str) -> None:
        """Kernel, package versions and the like of a machine."""
        self.machines.setdefault(name, {}).update(facts)

    def part(self, name: str) -> None:
        """Steps from here on belong to this part (one table may play the rows twice)."""
        self._part = name

    def plan(self, number: str, title: str, *, part: str | None = None) -> None:
        """Promise a step: it stands as *not reached* until ``step`` with the same number, title and part runs."""
        self.steps.append(self._checked(Step(number, title, self._part if part is None else part)))

    def by_hand(self, number: str, why: str) -> None:
        """This row is not for a machine (or not for this run), and why: one sentence."""
        self.hands[number] = why

    @contextmanager
    def step(self, number: str, title: str, *, part: str | None = None) -> Iterator[Step]:
        """Run a step. Any exception marks it failed and goes on upwards."""
        step = self._planned(number, title, self._part if part is None else part)
        step.say, step.started = self._say, True
        step.begin_ms = self._now_ms()
        self._say(f"Step {number}: {title}" + (f" [{step.part}]" if step.part else ""))
        try:
            yield step
        except BaseException as error:
            self._failed(step, error)
            raise
        else:
            step.result = Result.DONE
        finally:
            step.end_ms = self._now_ms()
            self._tell_end(step)

    # -- verdict ------------------------------------------------------------------------------------------------

    def missing(self) -> list[str]:
        """Rows that no step took up and nobody excused."""
        return [n for n in self.rows if n not in self.hands and not any(step.number == n for step in self.steps)]

    @property
    def passed(self) -> bool:
        """At least one step, none that was not done, no row left out, nothing went wrong between the steps."""
        done = all(step.result is Result.DONE for step in self.steps)
        return bool(self.steps) and done and not self.missing() and not self.trouble

    @property
    def code(self) -> int:
        """For ``exit``: 0 when all is well, else 1."""
        return 0 if self.passed else 1

    def finish(self) -> int:
        """Write ``report.txt``, ``.json`` and ``.html``; print the table. Once; the exit code."""
        from lab import report_html, report_json, report_text

        if not self.finished:
            self.finished = True
            self.lasted_ms = self._now_ms() - self._begin_ms
            text = report_text.table(self)
            os.makedirs(self.rundir, exist_ok=True)
            for name, content in (
                ("report.txt", text),
                ("report.json", report_json.document(self)),
                ("report.html", report_html.page(self)),
            ):
                with open(os.path.join(self.rundir, name), "w", encoding="utf-8") as file:
                    file.write(content)
            self._say(text)
        return self.code

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Ends the table. An exception that a step has recorded ends here, too; an interruption does not."""
        recorded = any(step.result is Result.FAILED for step in self.steps)
        if error is not None and not recorded:
            self.trouble = f"between the steps: {_named(error)}"
        self.finish()
        return recorded and isinstance(error, Exception)

    # -- inside -------------------------------------------------------------------------------------------------

    def _checked(self, step: Step) -> Step:
        if self.rows and step.number not in self.rows:
            raise ValueError(f"step {step.number!r} is no row of the table; the rows are {', '.join(self.rows)}")
        return step

    def _planned(self, number: str, title: str, part: str) -> Step:
        for step in self.steps:
            if (step.number, step.title, step.part) == (number, title, part) and not step.started:
                return step
        step = self._checked(Step(number, title, part))
        self.steps.append(step)
        return step

    def _failed(self, step: Step, error: BaseException) -> None:
        step.result = Result.FAILED
        if isinstance(error, StepFailed):
            step.expected, step.seen = error.expected, error.seen
        else:
            step.expected, step.seen = "the step to go through", _named(error)
            step.trace = "".join(traceback.format_exception(error))
        step.why = f"expected {step.expected}; seen: {step.seen}"

    def _tell_end(self, step: Step) -> None:
        if step.result is Result.DONE:
            self._say(f"  DONE in {step.ms / 1000:.1f} s")
        else:
            self._say(f"  FAILED after {step.ms / 1000:.1f} s: expected {step.expected}")
            self._say(f"    seen: {step.seen}")
            self._say(f"    consoles and journals: {self.kept}")


def _named(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ordered(table: Table) -> list[Step]:
    """The table's lines from the first row to the last: steps in the order of play within a row, the rows without a
    step as lines of their own, with the reason why. Without rows: the steps as they were played."""
    if not table.rows:
        return list(table.steps)
    lines: list[Step] = []
    for number, title in table.rows.items():
        own = [step for step in table.steps if step.number == number]
        if own:
            lines += own
        elif number in table.hands:
            lines.append(Step(number, title, result=Result.BY_HAND, why=table.hands[number]))
        else:
            lines.append(Step(number, title, why="no step of this run took it up"))
    return lines


def counts(table: Table) -> str:
    """How many lines came to which result, in words."""
    lines = ordered(table)
    numbers = {result: sum(line.result is result for line in lines) for result in Result}
    return ", ".join(f"{count} {result.value}" for result, count in numbers.items() if count)
