"""docs/architecture.md names rooms, arrows, functions, events, actions and threads as the code has them."""

from __future__ import annotations

import ast
import re

from docs import TOP
from failover_kit.manager import actions, events
from unit.test_layers import ALLOWED

PAGE = (TOP / "docs" / "architecture.md").read_text()
MANAGER = TOP / "lib" / "failover_kit" / "manager"


def _part(heading: str) -> str:
    return PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def _functions(module: str) -> set[str]:
    tree = ast.parse((MANAGER / f"{module}.py").read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_rooms_and_arrows_are_those_that_are_held() -> None:
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", _part("Rooms and arrows"), re.M)
    assert {room: set(re.findall(r"`(\w+)`", arrows)) for room, arrows in rows} == ALLOWED


def test_every_rule_has_a_place_and_every_place_is_there() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]*\| ([^|]*) \|$", _part("Where each rule lives"), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 27))
    for number, places in rows:
        for module, function in re.findall(r"`(\w+)(?:\.(\w+))?`", places):
            assert (MANAGER / f"{module}.py").exists(), f"rule {number}: {module}"
            assert not function or function in _functions(module), f"rule {number}: {module}.{function}"


def test_the_steps_of_a_takeover_name_functions_that_are_there() -> None:
    named = re.findall(r"`(\w+)\.(\w+)`", _part("A takeover, from the last beat to the first answer"))
    assert len(named) >= 8
    for module, function in named:
        assert function in _functions(module), f"{module}.{function}"


def test_events_and_actions_are_all_there() -> None:
    table = _part("Inside failoverd").partition("| events")[2]
    rows = re.findall(r"^\| (`[A-Z].*) \| (`[A-Z].*) \|$", table, re.M)
    for side, module in ((0, events), (1, actions)):
        named = {name for row in rows for name in re.findall(r"`(\w+)`", row[side])}
        union = getattr(module, "Event" if side == 0 else "Action")
        assert named == {member.__name__ for member in union.__args__}


def test_threads_are_those_that_are_made() -> None:
    made = set()
    for path in MANAGER.glob("*.py"):
        text = path.read_text()
        made |= set(re.findall(r'(?:\bWorker\(f?|threading\.Thread\(.*name=f?)"([a-z]+)', text))
    table = _part("Inside failoverd").partition("| thread")[2].partition("\n\n")[0]
    named = {
        word.split()[0]
        for row in re.findall(r"^\| (`[^|]*) \|", table, re.M)
        for word in re.findall(r"`([^`]+)`", row)
    }
    assert named == made
