"""The table of steps as text for a terminal. Pure."""

from __future__ import annotations

import textwrap

from lab.report import Result, Step, Table, counts, ordered

WIDTH = 110
_TITLE = 56


def table(table: Table) -> str:
    """The whole table, then what failed, then the verdict."""
    lines = [
        "",
        f"{table.heading}, begun {table.began}",
        "",
        f"  {'#':>3}  {'step':<{_TITLE}}  {'result':<16}  {'time':>8}  longest pause",
    ]
    part = ""
    for step in ordered(table):
        if step.part and step.part != part and not table.rows:
            lines.append(f"  {step.part}")
        part = step.part
        lines += _row(step, in_rows=bool(table.rows))
    for step in table.steps:
        if step.result is Result.FAILED:
            lines += ["", *failure(step, table.kept)]
    if table.trouble:
        lines += ["", f"Trouble {table.trouble}", f"  consoles and journals: {table.kept}"]
    verdict = "PASSED" if table.passed else "FAILED"
    lines += ["", f"{verdict} in {table.lasted_ms / 1000:.1f} s: {counts(table)}"]
    for name, facts in table.machines.items():
        lines += _wrapped(f"{name}: " + ", ".join(f"{key} {value}" for key, value in facts.items()), "", "    ")
    return "\n".join(lines) + "\n"


def _row(step: Step, *, in_rows: bool) -> list[str]:
    title = f"{step.title} [{step.part}]" if step.part and in_rows else step.title
    wrapped = textwrap.wrap(title, _TITLE, break_on_hyphens=False) or [""]
    time = f"{step.ms / 1000:.1f} s" if step.started else "-"
    pause = step.longest_pause
    waited = f"{pause.ms} ms ({pause.who})" if pause else ""
    first = f"  {step.number:>3}  {wrapped[0]:<{_TITLE}}  {step.result.value:<16}  {time:>8}  {waited}".rstrip()
    rest = [f"       {line}" for line in wrapped[1:]]
    reclaims = [f"lock of {r.who} {'not back' if r.ms is None else f'back after {r.ms} ms'}" for r in step.reclaims]
    notes = ["; ".join(reclaims)] if reclaims else []
    if step.result in (Result.BY_HAND, Result.NOT_REACHED) and step.why:
        notes.append(step.why)
    for note in notes:
        rest += _wrapped(note, "         ", "         ")
    return [first, *rest]


def _wrapped(text: str, first: str, others: str) -> list[str]:
    """Lines of ``text``; names of packages and commands are not broken at their hyphens."""
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=others, break_on_hyphens=False)


def failure(step: Step, kept: str) -> list[str]:
    """What somebody needs who was not there."""
    lines = [f"Step {step.number} failed: {step.title}" + (f" [{step.part}]" if step.part else "")]
    told = [*(f"did: {deed}" for deed in step.deeds), *(f"saw: {fact}" for fact in step.facts)]
    told += [f"expected: {step.expected}", f"seen: {step.seen}", f"consoles and journals: {kept}"]
    for text in told:
        lines += _wrapped(text, "  ", "    ")
    return lines + [f"  {line}" for line in step.trace.splitlines()]
