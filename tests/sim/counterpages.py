"""The pages of docs/counterexamples: one a rule that was taken away, and an index. Same core, same pages.

Nothing in them depends on the machine: no times, no seeds. A page that differs from what is kept says that
the core, the small world or the wording changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sim.countercases import CASES
from sim.counterrules import Case
from sim.countertell import Step, parting, play, told
from sim.explore import Result, bounds, explore
from sim.smalllanes import SETTLE
from sim.smallparts import NODES

STATES_LIMIT = 200_000  # a search that needs more is no page


@dataclass(frozen=True, slots=True)
class Example:
    """A case, searched and played twice."""

    case: Case
    found: Result  # with the rule taken away
    beginning: tuple[str, str]
    weak: tuple[Step, ...]
    real: tuple[Step, ...]  # the same schedule through the core as it is
    parts: int  # the place where the two differ first

    @property
    def given(self) -> int:
        """Steps that lead to the beginning of the search."""
        return sum(not step.number for step in self.weak)

    @property
    def steps(self) -> int:
        return len(self.weak)

    def mark(self, step: Step) -> str:
        if step.number:
            return str(step.number)
        place = next(at for at, other in enumerate(self.real) if other is step)  # others may be equal
        return "abcdefghijklmnopqrstuvwxyz"[place]


def example(case: Case) -> Example:
    """Search it; and play what was found with the rule and without it. Raises LookupError when it shows nothing."""
    lane = case.plant.lane
    with case.plant.planted():
        found = explore(lane, state_limit=STATES_LIMIT)
        if not found.violation:
            raise LookupError(f"rule {case.rule} ({case.slug}): nothing is violated without it: {found.summary()}")
        beginning, weak = play(lane, found.schedule)
    _, real = play(lane, found.schedule)
    if weak[-1].violation != found.violation:
        raise LookupError(f"rule {case.rule} ({case.slug}): played again it ends in {weak[-1].violation!r}")
    broken = next((step.violation for step in real if step.violation), "")
    if broken:
        raise LookupError(f"rule {case.rule} ({case.slug}): the core as it is breaks, too: {broken}")
    return Example(case, found, (beginning[0], beginning[1]), tuple(weak), tuple(real), parting(weak, real))


# --- one page ------------------------------------------------------------------------------------------


def page(shown: Example) -> str:
    """One page in Markdown."""
    return "\n".join(_page(shown)).rstrip() + "\n"


def _page(shown: Example) -> Iterator[str]:
    case, lane = shown.case, shown.case.plant.lane
    yield f"# Without rule {case.rule}: {case.consequence}"
    yield ""
    yield f"**The rule.** {case.says}"
    yield ""
    yield f"**Taken away.** {case.without}"
    yield ""
    yield f"**What happens.** {case.story}"
    yield ""
    yield "## The schedule"
    yield ""
    yield from _beginning(shown)
    yield from told(list(shown.weak))
    yield f"> **Violation:** {shown.found.violation}."
    yield ""
    yield "## With the rule"
    yield ""
    yield case.saved
    yield ""
    yield from _with_the_rule(shown)
    yield "## How it was found"
    yield ""
    which, start = "the steps", "the beginning"
    if shown.given:
        which, start = "the numbered steps", "where the letters end"
    tried = ""
    if lane.without:
        tried = f"; not tried: {', '.join(f'“{text}…”' for text in lane.without)}"
    yield (
        f"Breadth-first search through the real core with this one rule taken away: {which} are a shortest "
        f"schedule from {start}; {shown.found.states} states were seen before it was found. "
        f"Bounds: {bounds(lane)}{tried}."
    )
    yield ""
    again = f"python3 tests/sim/explore.py --counterexamples --rule {case.slug}"
    yield f"Again: `{again}`. [All counter-examples](README.md)"


def _beginning(shown: Example) -> Iterator[str]:
    if shown.case.plant.lane.prelude[:1] == (SETTLE,):
        yield "At the beginning the pair is well, both nodes have heard each other, and nothing is under way:"
    else:
        yield "At the beginning both nodes have just booted for the first time; no beat has arrived yet:"
    yield ""
    for node, text in zip(NODES, shown.beginning, strict=True):
        yield f"   - *{node}: {text}*"
    yield ""
    if shown.given:
        yield "Lettered steps lead to where the search began; numbered ones were found by it."
        if shown.case.given:
            yield ""
            yield shown.case.given
        yield ""


def _with_the_rule(shown: Example) -> Iterator[str]:
    step = shown.real[shown.parts]
    mark = shown.mark(step)
    alike = "Up to there both cores do the same. " if shown.parts else ""
    if step.impossible:
        nothing = "This step cannot happen: the core asked for nothing of the kind."
        yield f"At step {mark} the two part. {alike}{nothing}"
    else:
        differs = "" if step.title == shown.weak[shown.parts].title else f" {step.title}"
        yield f"At step {mark} the two part. {alike}With the core as it is:{differs}"
        yield ""
        for text in step.did or ["nothing is done"]:
            yield f"   - {text}"
        for text in step.believes:
            yield f"   - *{text}*"
    yield ""
    later = shown.real[shown.parts + 1 :]
    missing = [shown.mark(other) for other in later if other.impossible]
    last = next((other for other in reversed(shown.real) if other.believes), None)
    some = f"Step{'s' * (len(missing) > 1)} {', '.join(missing)} cannot happen then. " if missing else ""
    if later:
        rest = "The rest of the schedule was played to its end through the core as it is: no promise is broken."
        yield f"{some}{rest}"
        if last is not None and last in later:
            yield ""
            yield "At the end: " + "; ".join(f"*{text}*" for text in last.believes) + "."
    else:
        yield "That was the last step: no promise is broken."
    yield ""


# --- the index -----------------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A rule, or a part of one, that the small world cannot express, and what stands for it."""

    rule: str
    part: str
    why: str
    tests: tuple[str, ...]  # files of the repository


NOT_HERE = (
    Elsewhere(
        "10",
        "turns of a node that reaches no ping node",
        "the small world has no ping nodes",
        ("tests/unit/test_core_rules_pings.py", "tests/scenarios/ping-isolated-holder.txt"),
    ),
    Elsewhere(
        "12",
        "nothing is granted before the plugs were read again",
        "a late off cuts a node that was just given the service: an outage, and no breach of an audit here",
        ("tests/sim/planted/rules.py", "tests/unit/test_core_rules_fencing.py"),
    ),
    Elsewhere(
        "16",
        "the higher epoch fences the lower",
        "a reset always works here, so the lower is gone first",
        ("tests/sim/planted/rules.py", "tests/scenarios/two-rights.txt"),
    ),
    Elsewhere(
        "22",
        "the whole rule: serial lines",
        "it is in the shell and the parser; the core knows no queue and no baud rate",
        ("tests/unit/test_links_serial.py",),
    ),
    Elsewhere(
        "24",
        "the whole rule: the watchdog",
        "it is in the shell; the core only says whether anything is held",
        ("tests/unit/test_watchdog.py", "tests/unit/test_daemon_watchdog.py", "tests/sim/planted/rules.py"),
    ),
    Elsewhere(
        "26",
        "that what is not forbidden does happen, and in time",
        "a search for what never happens is another search; the simulator examines it after each run",
        ("tests/sim/liveness.py", "tests/scenarios/boots-alone.txt"),
    ),
)


def index(shown: list[Example]) -> str:
    """The index page."""
    lines = [
        "# Why each rule: the shortest way to lose data without it",
        "",
        "Each rule of [the protocol](../protocol.md) was taken away from the real core of `failoverd`, one at a "
        "time, and every schedule of a small world (two nodes, a link, a switch, two disks) was tried, breadth "
        "first, until something broke. What came out is the shortest explanation of that rule there is. With "
        "the rule back in place the same schedule was played again; each page tells where the two part.",
        "",
        "Read a page as a play: steps say what happens, the lines below them what the nodes do, and *in "
        "italics* what a node believes afterwards. ✗ marks a relaxation that the protocol names as tried and "
        "broken.",
        "",
        "| rule | without it | steps | states seen | consequence |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for one in shown:
        case = one.case
        given = f" (+ {one.given} given)" if one.given else ""
        lines.append(
            f"| [{case.rule}](rule-{case.slug}.md) | {case.without} | {one.steps - one.given}{given} | "
            f"{one.found.states} | {case.consequence} |"
        )
    lines += [
        "",
        "*Steps* is the length of the schedule from where the search began; *given* steps lead there and were "
        "chosen by hand, to keep the search small, so a shorter schedule from a healthy pair may exist. "
        "*States seen* counts what was looked at before the violation. What the small world contains: "
        "[design/0018](../design/0018-exploration.md); how the pages are made: "
        "[design/0045](../design/0045-counter-examples.md).",
        "",
        "## What has no page",
        "",
        "Every rule from 1 to 26 stands above or here. What the small world cannot express is shown by a test:",
        "",
        "| rule | part | why not here | shown by |",
        "| --- | --- | --- | --- |",
    ]
    for other in NOT_HERE:
        tests = ", ".join(f"[{path.rpartition('/')[2]}](../../{path})" for path in other.tests)
        lines.append(f"| {other.rule} | {other.part} | {other.why} | {tests} |")
    lines += [
        "",
        "Made by `python3 tests/sim/explore.py --counterexamples --write docs/counterexamples`; a test compares.",
    ]
    return "\n".join(lines) + "\n"


# --- the command ---------------------------------------------------------------------------------------


def chosen(slug: str) -> tuple[Case, ...]:
    """The cases of a slug, or of a rule's number; all for "". LookupError when there is none."""
    cases = tuple(case for case in CASES if not slug or slug in (case.slug, case.rule, case.slug.partition("-")[0]))
    if not cases:
        raise LookupError(f"no counter-example {slug!r}; there are: {', '.join(case.slug for case in CASES)}")
    return cases


def run(slug: str, directory: str) -> int:
    """Print the pages, or write them into a directory; the index goes with all of them."""
    shown = []
    for case in chosen(slug):
        one = example(case)
        shown.append(one)
        if not directory:
            print(page(one), flush=True)
            continue
        target = Path(directory) / f"rule-{case.slug}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page(one), encoding="utf-8")
        print(f"{target}: {one.steps} steps, {one.found.states} states, {one.found.violation}", flush=True)
    if not slug and directory:
        (Path(directory) / "README.md").write_text(index(shown), encoding="utf-8")
    return 0
