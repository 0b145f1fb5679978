#!/usr/bin/python3 -I
"""Write docs/state-machine.md from the transition tables of the core; --check compares only."""

from __future__ import annotations

import pathlib
import sys
from enum import Enum

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "lib"))

from failover_kit.manager.states import GROUP_TABLE, PEER_TABLE  # noqa: E402

PAGE = TOP / "docs" / "state-machine.md"

HEAD = """# States and transitions

Made from the tables in `lib/failover_kit/manager/states.py` by `tools/state_machine.py`; a test compares.
A pair that is not listed is a bug: the core stops deciding, leaves resources alone and says so.
"""


def table(title: str, rows: dict[tuple[Enum, Enum], Enum]) -> str:
    """One Markdown table and one diagram for one transition table."""
    lines = [f"\n## {title}\n", "| in state | on | becomes |", "| --- | --- | --- |"]
    lines += [f"| {state.value} | {trigger.value} | {after.value} |" for (state, trigger), after in rows.items()]
    lines += ["", "```mermaid", "stateDiagram-v2"]
    lines += [
        f"    {state.value.replace('-', '_')} --> {after.value.replace('-', '_')}: {trigger.value}"
        for (state, trigger), after in rows.items()
    ]
    return "\n".join([*lines, "```", ""])


def page() -> str:
    """The whole page."""
    groups = {(state, trigger): after for (state, trigger), after in GROUP_TABLE.items()}
    peers = {(state, trigger): after for (state, trigger), after in PEER_TABLE.items()}
    return HEAD + table("A group on this node", groups) + table("The other node", peers)


def main(argv: list[str]) -> int:
    if argv == ["--check"]:
        return 0 if PAGE.is_file() and PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
