"""Every command that a page shows can be typed: program, verb, option, make target and file exist."""

from __future__ import annotations

import re

import docpages
import pytest

from docs import TOP, commands

PAGES = docpages.pages()
# What CHANGELOG.md and design notes tell of the past need not be so today.
PRESENT = [path for path in PAGES if path.name != "CHANGELOG.md"]


@pytest.mark.parametrize("path", PRESENT, ids=lambda p: str(p.relative_to(TOP)))
def test_commands_are_as_their_programs_declare_them(path: object) -> None:
    page = docpages.read(path)  # type: ignore[arg-type]
    problems = []
    for line, text in commands.shown(page):
        for call in commands.calls(text):
            problem = commands.problem_of(call)
            if problem:
                problems.append(f"{page.name}:{line}: {problem}: {text}")
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("failoverctl stand-by", "failoverctl has no command stand-by"),
        ("failoverctl fence --tset", "failoverctl fence has no option --tset"),
        ("failoverctl --socket /tmp/x status now", "takes no argument now"),
        ("PATH=/x bin/failoverd --chekc", "failoverd has no option --chekc"),
        ("cat x | fence_wti_ips800 -o lsit", "has no action lsit"),
        ("stonith -t wti_nps -Q", "stonith has no option -Q"),
        ("make rehersal", "has no target rehersal"),
        ("make sim SEED=1", "has no variable SEED=1"),
        ("/usr/bin/python3 tests/sim/run.py --sedes 3", "tests/sim/run.py has no option --sedes"),
        ("bin/failoverclt status", "bin/failoverclt is not there"),
        ("wti-emulator --variant ipx", "takes one of"),
    ],
)
def test_a_wrong_command_is_found(text: str, problem: str) -> None:
    assert any(problem in commands.problem_of(call) for call in commands.calls(text)), list(commands.calls(text))


@pytest.mark.parametrize("path", PRESENT, ids=lambda p: str(p.relative_to(TOP)))
def test_files_of_the_project_exist(path: object) -> None:
    """Paths in code that begin with a directory of the project, and where the project is installed."""
    page = docpages.read(path)  # type: ignore[arg-type]
    problems = []
    rooms = "docs|lib|tests|tools|bin|etc|ocf|stonith|bench|compat|debian|rpm"
    installed = {"/usr/share/doc/failover-kit/docs/": "docs/", "/usr/share/failover-kit/alerts/": "etc/alerts/",
                 "/usr/share/doc/failover-kit/examples/": "etc/"}  # fmt: skip
    for line, text in commands.shown(page):
        for name in re.findall(rf"(?<![\w./~-])((?:{rooms})/[\w./-]*+)(?![*…<{{])", text):
            if not (TOP / name).exists() and not re.search(r"[A-Z]{4}", name):
                problems.append(f"{page.name}:{line}: {name} is not there")
        for place, source in installed.items():
            for name in re.findall(rf"{place}([\w./-]*\w)", text):
                if not (TOP / source / name).exists():
                    problems.append(f"{page.name}:{line}: {place}{name} is not installed")
    assert not problems, "\n".join(problems)
