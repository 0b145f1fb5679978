"""Commands that pages show, held against the declarations from which the programs make their --help."""

from __future__ import annotations

import argparse
import ast
import functools
import pathlib
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence

from docpages import Page

from docs import TOP
from failover_kit.cli import failoverctl, failoverd
from failover_kit.cli.manpage import verbs_of
from failover_kit.emulator import arguments as emulator
from failover_kit.fence.options import ACTIONS, OPTIONS
from failover_kit.rehearsal import main as rehearsal
from failover_kit.stonith import arguments as stonith

# What a reader fills in: it is no verb and no option of ours.
PLACEHOLDER = re.compile(r"…|\.\.\.|^[A-Z][A-Z0-9_-]*$|^[<\[{]")
SHELL = ("cd", "echo", "exec", "export", "for", "if", "printf", "sudo", "umask", "while")
REHEARSAL_VERBS = ("enter", "cable", "press")


def shown(page: Page) -> Iterator[tuple[int, str]]:
    """(line, command line) of the code of a page: lines joined by a backslash at their end, and spans."""
    for block in page.blocks:
        at = 0
        while at < len(block.lines):
            first, text = at, block.lines[at]
            while text.endswith("\\") and at + 1 < len(block.lines):
                at += 1
                text = f"{text[:-1]} {block.lines[at].strip()}"
            if not text.startswith(" ") and _is_typed(text):
                yield block.line + first, text.strip()
            at += 1
    yield from page.spans


def _is_typed(text: str) -> bool:
    """Whether a line of a block is typed, not printed: it begins with a program or a word of the shell."""
    word = next((word for word in text.lstrip("(# ").split() if not re.match(r"[A-Z_]+=", word)), "")
    name = word.rpartition("/")[2]
    return name in PROGRAMS or word in SHELL or "/" in word or shutil.which(word) is not None


def calls(text: str) -> Iterator[list[str]]:
    """The simple commands of a line of shell. Nothing for what is no shell (an unpaired quote: prose, output)."""
    lexer = shlex.shlex(text.lstrip("("), posix=True, punctuation_chars=";|&<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    try:
        words = list(lexer)
    except ValueError:
        return
    call: list[str] = []
    for word in [*words, ";"]:
        if not word.strip(";|&") and word:
            while call and (
                re.match(r"[A-Z_]+=", call[0]) or call[0] in ("sudo", "exec", "env", "$", "#", "then", "do")
            ):
                call = call[1:]
            if call:
                yield call
            call = []
        elif word[0] in "<>":
            call.append("<>")
        else:
            call.append(word)


def without_redirections(call: Sequence[str]) -> list[str]:
    """The arguments before the first redirection."""
    return list(call[: call.index("<>")]) if "<>" in call else list(call)


# --- argparse ------------------------------------------------------------------------------------


def _values_of(action: argparse.Action) -> int:
    """How many words an option takes at least; for those with an optional value 0."""
    if action.nargs is None:
        return 1
    if isinstance(action.nargs, int):
        return action.nargs
    return 1 if action.nargs == "+" else 0


def argparse_problem(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """ "" or what of ``words`` the parser does not declare. What is left out is no fault: pages abbreviate."""
    left = list(words)
    positionals = [
        a for a in parser._actions if not a.option_strings and not isinstance(a, argparse._SubParsersAction)
    ]
    taken = 0
    while left:
        word = left.pop(0)
        if word == "--":
            return ""
        if re.match(r"--?[A-Za-z]", word):
            name, equals, _ = word.partition("=")
            action = parser._option_string_actions.get(name)
            if action is None:
                return f"{parser.prog} has no option {name}"
            if not equals:
                for _ in range(min(_values_of(action), len(left))):
                    if left[0].startswith("-") and left[0] != "-":
                        return f"{parser.prog} {name} takes a value"
                    value = left.pop(0)
                    if action.choices and value not in action.choices and not PLACEHOLDER.search(value):
                        return (
                            f"{parser.prog} {name} takes one of {', '.join(map(str, action.choices))}, not {value}"
                        )
            continue
        verbs = verbs_of(parser)
        if verbs:
            if PLACEHOLDER.search(word):
                return ""
            if word not in verbs:
                return f"{parser.prog} has no command {word}"
            return argparse_problem(verbs[word], left)
        if PLACEHOLDER.search(word):
            continue
        taken += 1
        if not positionals:
            return f"{parser.prog} takes no argument {word}"
        at = positionals[min(taken, len(positionals)) - 1]
        if at.choices and word not in at.choices and "|" not in word:
            return f"{parser.prog}: {word} is none of {', '.join(map(str, at.choices))}"
        many = any(p.nargs in ("*", "+", "...", "A...") for p in positionals)
        if taken > len(positionals) and not many:
            return f"{parser.prog} takes {len(positionals)} arguments, {word} is one more"
    return ""


# --- the others ----------------------------------------------------------------------------------


def fence_problem(words: Sequence[str]) -> str:
    """fence_wti_ips800: options of its table; ``-o`` one of its actions."""
    longs = {f"--{option.long}": option for option in OPTIONS}
    shorts = {f"-{option.short}": option for option in OPTIONS if option.short}
    left = list(words)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        option = longs.get(name) or shorts.get(word)
        if option is None:
            return f"fence_wti_ips800 has no option {name}"
        if option.value and not equals:
            value = left.pop(0) if left else ""
        if option.name == "action" and value and value not in ACTIONS and not PLACEHOLDER.search(value):
            return f"fence_wti_ips800 has no action {value}"
    return ""


def stonith_problem(words: Sequence[str]) -> str:
    """stonith: cluster-glue's letters and our long options."""
    options = {option.name: option for option in stonith.OPTIONS}
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--"):
            if word[2:].partition("=")[0] not in options:
                return f"stonith has no option {word}"
        elif word.startswith("-"):
            for at, letter in enumerate(word[1:], 1):
                if letter not in options:
                    return f"stonith has no option -{letter}"
                if options[letter].value:
                    if not word[at + 1 :] and left:
                        left.pop(0)
                    break
    return ""


def rehearsal_problem(words: Sequence[str]) -> str:
    """The rehearsal: its parser, or a verb for one that is kept."""
    if words and words[0] in REHEARSAL_VERBS:
        return ""
    return argparse_problem(rehearsal.parser(), words)


def emulator_problem(words: Sequence[str]) -> str:
    """The emulator: its parser; what follows ``ctl SOCKET`` is a line of its control language."""
    return "" if words[:1] == ["ctl"] else argparse_problem(emulator.parser(), words)


def make_problem(words: Sequence[str]) -> str:
    """make: targets and variables that the Makefile has."""
    text = (TOP / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.M))
    variables = set(re.findall(r"^([A-Z]+) *=", text, re.M))
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "-C":
            left = left[1:]
        elif "=" in word:
            if word.partition("=")[0] not in variables:
                return f"the Makefile has no variable {word}"
        elif re.match(r"[a-z][a-z-]*$", word) and word not in targets:
            return f"the Makefile has no target {word}"
    return ""


@functools.cache
def declared_in(path: pathlib.Path) -> frozenset[str]:
    """The option strings that a script, or the directory it is run as, gives to ``add_argument``."""
    sources = [path] if path.is_file() else [*path.rglob("*.py")]
    found = {"--help", "-h"}
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"--?[a-z]", node.value):
                found.add(node.value)
    return frozenset(found)


def script_problem(words: Sequence[str]) -> str:
    """``/usr/bin/python3 tests/sim/run.py --seeds 3``: the script is there and its source has the options."""
    words = [word for word in words if word not in ("-I", "-IB", "-B")]
    if not words or not re.match(r"(tests|tools|bench|bin)/", words[0]) or "*" in words[0]:
        return ""
    path = TOP / words[0].partition("::")[0]
    if not path.exists():
        return f"{words[0]} is not there"
    for word in words[1:]:
        name = word.partition("=")[0]
        if name.startswith("--") and name not in declared_in(path):
            return f"{words[0]} has no option {name}"
    return ""


_PARSER_OF_CTL = failoverctl.build_parser()

PROGRAMS: dict[str, Callable[[Sequence[str]], str]] = {
    "failoverctl": lambda words: argparse_problem(_PARSER_OF_CTL, words),
    "failoverd": lambda words: argparse_problem(failoverd.parser(), words),
    "fence_wti_ips800": fence_problem,
    "stonith": stonith_problem,
    "wti-emulator": emulator_problem,
    "rehearsal": rehearsal_problem,
    "failover-rehearsal": rehearsal_problem,
    "make": make_problem,
    "python3": script_problem,
}
PLACES = ("bin", "stonith", "ocf", "compat", "compat/resource.d", "tools", "tests", "bench")
"""Where a program of ours may stand in a checkout."""


def problem_of(call: Sequence[str]) -> str:
    """ "" or what is wrong with one call. Programs of others are theirs."""
    words = without_redirections(call)
    if not words:
        return ""
    name = words[0].rpartition("/")[2]
    if re.match(r"(bin|stonith|ocf|compat|tools|tests|bench)/", words[0]):
        there = (TOP / words[0].partition("::")[0]).exists() or "*" in words[0]
        if not there and not PLACEHOLDER.search(words[0]):
            return f"{words[0]} is not there"
        if name not in PROGRAMS:
            return script_problem(words)
    check = PROGRAMS.get(name)
    return check(words[1:]) if check is not None else ""
