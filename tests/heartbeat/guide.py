"""The commands of a page of docs/howto, as the page has them: what the reader types is what the test runs.

In a page a block that is to be typed names its nodes::

    ```sh pete mclaws
    systemctl stop heartbeat
    cl_status rscstatus      # says: all
    findmnt /mnt/e0.0        # exit 1
    ```

Each line is a command; with more than one node it is typed on each before the next line is. Without a remark it
must exit 0. A remark says what to wait for: ``says: TEXT`` in what the command prints, with exit code 0 unless
``exit N`` stands before it. Every other code block of the page is not run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from failover_kit.rehearsal.stage import SceneFailed, Stage
from failover_kit.spec.process import CommandResult

PAGES = Path(__file__).resolve().parents[2] / "docs" / "howto"
SHELL = "/bin/sh"
COMMAND_MS = 300_000
"""Longer than what stands in for systemctl gives a unit."""

EXPECTED_MS = 180_000

_OPENS = re.compile(r"```sh((?: \w+)+)")
_REMARK = re.compile(r"(.*?\S)\s{2,}# (?:exit (\d+))?(?:(?:^|, | )?says: (.*))?")


class PageError(Exception):
    """A page cannot be read as commands; ``str()`` has the place."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command on one node. ``waits``: there is a remark, and it may take a while to become true."""

    section: str
    node: str
    command: str
    code: int = 0
    says: str = ""
    waits: bool = False


def read(name: str) -> list[Step]:
    """The steps of ``docs/howto/NAME`` in their order. Raises PageError."""
    return parse((PAGES / name).read_text(encoding="utf-8"), name)


def parse(text: str, name: str = "page") -> list[Step]:
    """The steps in a page's text. Raises PageError."""
    steps: list[Step] = []
    section, nodes = "", [""]
    inside = ours = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            found = None if inside else _OPENS.fullmatch(line)
            ours = found is not None
            nodes = found[1].split() if found else []
            inside = not inside
        elif not inside and line.startswith("## "):
            section = line[3:].strip()
        elif inside and ours and line.strip():
            steps += [_step(section, node, line.strip(), f"{name}:{number}") for node in nodes]
    if inside:
        raise PageError(f"{name}: a code block has no end")
    return steps


def _step(section: str, node: str, line: str, place: str) -> Step:
    found = _REMARK.fullmatch(line)
    if found is None:
        if re.search(r"\s#", line):
            raise PageError(f"{place}: a remark is two blanks, then '# exit N', '# says: TEXT' or both")
        return Step(section, node, line)
    if found[2] is None and found[3] is None:
        raise PageError(f"{place}: a remark that says neither exit nor says")
    return Step(section, node, found[1], int(found[2] or 0), found[3] or "", waits=True)


def play(stage: Stage, steps: list[Step], who: Mapping[str, str]) -> None:
    """Type every step, with the names exchanged as ``who`` says: the page's to the stage's. Raises SceneFailed."""
    if not steps:
        raise SceneFailed("the page has no such commands")
    for step in steps:
        _play(stage, exchanged(step, who))


def exchanged(step: Step, who: Mapping[str, str]) -> Step:
    """The step with other names for its nodes, in the command, too."""

    def named(text: str) -> str:
        return re.sub(r"\b\w+\b", lambda word: who.get(word[0], word[0]), text)

    return replace(step, node=who[step.node], command=named(step.command), says=named(step.says))


def _play(stage: Stage, step: Step) -> None:
    name = step.node
    seen: list[CommandResult] = []

    def typed() -> bool:
        seen[:] = [stage.node(name).run([SHELL, "-c", step.command], COMMAND_MS)]
        return seen[0].code == step.code and step.says in seen[0].stdout + seen[0].stderr

    told = f"{step.section}: on {name}: {step.command}"
    if not step.waits:
        stage.require(typed(), f"{told}: {seen[0].describe()}" if seen else told)
        return
    try:
        stage.wait(told, typed, EXPECTED_MS)
    except SceneFailed as error:
        output = (seen[0].stdout + seen[0].stderr).strip()
        raise SceneFailed(f"{error}; it exits {seen[0].code} and says: {output}") from None
