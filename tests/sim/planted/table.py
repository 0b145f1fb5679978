"""The table in docs/simulation.md: each rule and property, the bug that breaks it, and who catches it when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from multiprocessing import get_context
from pathlib import Path

from sim.planted import PLANTED, Planted, hunt

PAGE = Path(__file__).resolve().parents[3] / "docs" / "simulation.md"
BEGIN = "<!-- the table: made by tests/sim/run.py --table -->\n"
END = "<!-- end of the table -->\n"

RULES = ("current beat", "1", "2a", "2b", "2c", "2d", *(str(number) for number in range(3, 27)))
PROPERTIES = (*(f"S{number}" for number in range(1, 12)), *(f"L{number}" for number in range(1, 8)))
MORE = ("epoch", "hold-off", "vote", "rest")
NAMES = {
    "epoch": "a watcher's epoch (0037)",
    "hold-off": "its hold-off (0037)",
    "vote": "ping nodes in moves (0038)",
    "rest": "their rest (0038)",
}

# What of a rule is not in the core: the part, and the test of the real code that carries it.
ELSEWHERE = {
    "6": ("cgroups, O_EXCL", ("tests/unit/test_resources_cells.py", "tests/agents/test_filesystem_killed.py")),
    "7": ("fsync and rename", ("tests/unit/test_store_node.py",)),
    "9": ("the story of it", ("tests/scenarios/heard-after-off.txt",)),
    "16": ("of two active the lower resets itself", ("tests/scenarios/two-rights.txt",)),
    "21": ("a core that does not turn sends no beats", ("tests/unit/test_shell_turns.py",)),
    "22": ("the whole rule", ("tests/unit/test_links_serial.py",)),
    "24": ("arming and its file descriptor", ("tests/unit/test_watchdog.py", "tests/unit/test_daemon_watchdog.py")),
    "S5": ("the order within a group", ("tests/unit/test_resources_groups.py",)),
    "S7": ("forged and damaged frames", ("tests/unit/test_wire_frames.py",)),
    "S8": ("clocks of real nodes", ("tests/system/test_system_clock.py",)),
}


def planted_for(rule: str) -> list[Planted]:
    """The bugs that break ``rule``."""
    return [planted for planted in PLANTED if rule in planted.rule.split(", ")]


def checker(planted: Planted) -> str:
    """Who catches it, and by which words."""
    exam = dict(planted.changes).get("exam")
    who = "what runs" if planted.alone and not exam else f"exam {exam}" if exam else "audits"
    return f"{who}: “{planted.by}”"


def lines(seeds: Mapping[str, int]) -> list[str]:
    """The table in Markdown; ``seeds``: where each bug is caught, by its name."""
    text = [
        "| rule | planted bug | what it does | caught by | at seed | within |",
        "| --- | --- | --- | --- | --: | --: |",
    ]
    for rule in RULES + PROPERTIES + MORE:
        for planted in planted_for(rule):
            cells = (NAMES.get(rule, rule), f"`{planted.name}`", planted.sentence(), checker(planted))
            text.append(f"| {' | '.join(cells)} | {seeds.get(planted.name, '?')} | {planted.seeds} |")
        if rule in ELSEWHERE:
            part, tests = ELSEWHERE[rule]
            text.append(f"| {rule} | in the shell | {part} | {', '.join(f'`{test}`' for test in tests)} | | |")
    return text


def block(page: str) -> str:
    """What stands between the marks."""
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)]


def with_table(page: str, seeds: Mapping[str, int]) -> str:
    """The page with this table between the marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n".join(lines(seeds)) + "\n" + END + rest.split(END)[1]


def seeds_of(page: str) -> dict[str, int]:
    """The seeds that the page tells."""
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \|.*\| (-?\d+) \| \d+ \|$", block(page), re.MULTILINE)
    return {name: int(seed) for name, seed in rows}


def _hunted(number: int) -> tuple[str, int, str]:
    caught = hunt(PLANTED[number])
    return PLANTED[number].name, caught.seed, caught.sentence


def hunted(processes: int = 2) -> dict[str, int]:
    """Where each bug is caught now; says so as it goes."""
    seeds = {}
    with get_context("fork").Pool(processes) as pool:
        for name, seed, sentence in pool.imap(_hunted, range(len(PLANTED)), chunksize=1):
            print(f"{name}: seed {seed}: {sentence}", flush=True)
            seeds[name] = seed
    return seeds


def write() -> int:
    """Hunt every bug and write the table; 1 when one of them was not caught."""
    seeds = hunted()
    PAGE.write_text(with_table(PAGE.read_text(), seeds))
    missed = [name for name, seed in seeds.items() if seed < 0]
    print(f"{PAGE.name}: {len(seeds)} planted bugs; missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0
