"""What the manager can raise as a warning or an alarm, read out of its source, and the runbooks that answer it."""

from __future__ import annotations

import ast
import functools
import pathlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from docs import TOP

MANAGER = TOP / "lib" / "failover_kit" / "manager"
RUNBOOKS = TOP / "docs" / "runbooks"
LOUD = ("WARNING", "ALARM")
# Sentences that are not a decision of the core have no code: the section that answers them, by the module that says
# them. A new module that raises one must be added here, with a section.
UNCODED = {
    "alertrunner.py": ("alerts", "bug"),
    "daemon.py": (
        "damaged-state",
        "newer-state",
        "unusable-state",
        "no-fence-device",
        "action-space",
        "strangers",
        "sighup",
        "link-device",
        "agent-server",
    ),
    "metricsfile.py": ("metrics",),
    "shell.py": ("bug", "self-reset"),
    "watchdog.py": ("watchdog",),
}
HOLE = "\0"


@dataclass(frozen=True, slots=True)
class Raised:
    """One call that raises something. ``codes`` is empty for a sentence without a code; ``text`` has a hole for
    each value that is put in, and is nothing but holes where the sentence is made elsewhere."""

    place: str
    codes: tuple[str, ...]
    text: str


@functools.cache
def _tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text())


def template(node: ast.expr, names: dict[str, list[ast.expr]] | None = None) -> str:
    """The words of a string expression, a hole where a value stands; only holes where it is made elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part, names) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left, names) + template(node.right, names)
    if isinstance(node, ast.FormattedValue):
        return HOLE
    if isinstance(node, ast.Name) and names and len(names.get(node.id, [])) == 1:
        return template(names[node.id][0])
    return HOLE


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return found


def _code(words: str) -> str:
    """``stop-failed-GROUP`` is the code ``stop-failed``: what names the group, the link or the ping node goes."""
    return words.partition(HOLE)[0].rstrip("-")


@functools.cache
def raised() -> tuple[Raised, ...]:
    """Every call of the manager that raises a warning or an alarm."""
    found = []
    for path in sorted(MANAGER.glob("*.py")):
        for function in ast.walk(_tree(path)):
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found += list(_raised_in(function, path.name))
    return tuple(dict.fromkeys(found))


def _raised_in(function: ast.FunctionDef | ast.AsyncFunctionDef, module: str) -> Iterator[Raised]:
    names = _assigned(function)
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or len(call.args) < 2:
            continue
        level, name = ast.unparse(call.args[0]), getattr(call.func, "attr", getattr(call.func, "id", ""))
        loud = any(f"Level.{word}" in level for word in LOUD)
        loud = loud or (level == "level" and any(f"Level.{w}" in ast.unparse(function) for w in LOUD))
        place = f"{module}:{call.lineno}"
        if name in ("_note", "_note_once", "Note") and loud and len(call.args) == 3:
            yield Raised(place, (_code(template(call.args[1], names)),), template(call.args[2], names))
        elif name in ("_say", "say") and loud:
            yield Raised(place, (), template(call.args[1], names))


def codes() -> set[str]:
    """Every code that is raised, without what is appended to it."""
    return {code for call in raised() for code in call.codes}


@functools.cache
def every_sentence() -> tuple[str, ...]:
    """All templates of the manager with enough words of their own to be recognised."""
    found = []
    for path in sorted([*MANAGER.glob("*.py")]):
        for node in ast.walk(_tree(path)):
            if isinstance(node, (ast.JoinedStr, ast.Constant, ast.BinOp)):
                words = template(node)
                if len(words.replace(HOLE, "").strip()) >= 14:
                    found.append(words)
    found += [call.text for call in raised() if call.text.replace(HOLE, "").strip(" :")]
    return tuple(dict.fromkeys(found))


def says(line: str) -> bool:
    """Whether the manager has a sentence that ``line`` is made from."""
    likely = (words for words in every_sentence() if all(piece in line for piece in words.split(HOLE)))
    return any(pattern(words).search(line) for words in likely)


@functools.cache
def pattern(words: str) -> re.Pattern[str]:
    """A template as a pattern of one line: a hole takes at least one character, at its end anything."""
    return re.compile(".*?".join(map(re.escape, words.split(HOLE))), re.DOTALL)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a runbook."""

    page: str
    code: str
    symptoms: tuple[str, ...]
    parts: tuple[str, ...]  # the bold words that begin its paragraphs
    text: str


def sections() -> list[Section]:
    """All sections of docs/runbooks, README aside."""
    found = []
    for path in sorted(RUNBOOKS.glob("*.md")):
        if path.name == "README.md":
            continue
        for chunk in re.split(r"^## ", path.read_text(), flags=re.M)[1:]:
            heading, _, text = chunk.partition("\n")
            fence = re.search(r"^```text\n(.*?)^```", text, re.M | re.S)
            lines = tuple(fence[1].strip().split("\n")) if fence else ()
            parts = tuple(re.findall(r"^\*\*(\w+)\.\*\*", text, re.M))
            found.append(Section(path.name, heading.strip().strip("`"), lines, parts, text))
    return found
