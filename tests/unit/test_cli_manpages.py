"""The pages of commands: everything declared is in them, roff has no objections, and the examples are right."""

import argparse
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from failover_kit.cli import failoverctl, failoverd, manuals
from failover_kit.cli.manpage import usage_of, verbs_of
from failover_kit.emulator import arguments, faults, main
from failover_kit.fence.options import ACTIONS, OPTIONS, read_argv
from failover_kit.manager.actions import ExitCode

sys.path.append(str(Path(__file__).parents[2] / "tools"))

import emulator_page

PAGES = manuals.pages("2026-11-26") | emulator_page.pages("2026-11-26")
each = pytest.mark.parametrize("name", PAGES)


def parsers(parser):
    yield parser
    for verb in verbs_of(parser).values():
        yield from parsers(verb)


def shown(name):
    """The page as people read it, in one line.."""
    argv = ["groff", "-man", "-ww", "-K", "ascii", "-T", "ascii", "-rLL=100n", "-P-c"]
    done = subprocess.run(argv, input=PAGES[name], text=True, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return " ".join(re.sub(".\x08", "", done.stdout).split())


@each
def test_the_sections_are_those_of_man_pages(name):
    titles = [line.removeprefix(".SH ") for line in PAGES[name].splitlines() if line.startswith(".SH ")]
    own = {
        "failoverctl": ["COMMANDS"], "failoverd": [], "fence_wti_ips800": ["ACTIONS"], "wti-emulator": ["CONTROL"],
    }[name]  # fmt: skip
    environment = ["ENVIRONMENT"] if name == "failoverctl" else []
    assert titles == [
        "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", *own,
        "EXIT STATUS", *environment, "FILES", "EXAMPLES", "SEE ALSO",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff: groff-base")
@pytest.mark.parametrize(
    "parser", [failoverctl.build_parser(), failoverd.parser(), arguments.parser()], ids=lambda parser: parser.prog
)
def test_everything_argparse_knows_is_on_the_page_and_groff_warns_of_nothing(parser):
    text = shown(parser.prog)
    for command in parsers(parser):
        assert f"{command.prog} " in text
        if command is not parser:
            assert " ".join(command.description.split()) in text
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            for option in action.option_strings:
                assert option in text, command.prog
            said = (action.help % {**vars(action), "prog": command.prog}).replace("…", "...")
            assert " ".join(said.split()) in text, command.prog


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff: groff-base")
def test_every_option_and_action_of_the_fence_agent_is_on_its_page():
    text = shown("fence_wti_ips800")
    for option in OPTIONS:
        assert f"--{option.long}" in text
        assert " ".join(option.shortdesc.split()) in text
        assert not option.default or f"default {option.default}" in text
    assert [action for action, _ in manuals.FENCE_ACTIONS] == list(ACTIONS)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="no mandoc")
@each
def test_mandoc_lint(name):
    argv = ["mandoc", "-T", "lint", "-W", "warning"]
    done = subprocess.run(argv, input=PAGES[name], text=True, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_no_exit_code_is_forgotten():
    assert [code for code, _, _ in failoverctl.EXIT_STATUS] == list(ExitCode)
    assert {failoverd.EXIT_BUG, 0, 1, 2, 3, 4, 6, 7} == {code for code, _, _ in failoverd.EXIT_STATUS}


def test_no_exit_code_of_the_emulator_is_forgotten():
    assert [code for code, _ in arguments.EXIT_STATUS] == [main.DONE, main.FAILED, main.USAGE, main.BAD_STATE]
    for fault in faults.NAMES:
        assert fault in arguments.CONTROL


def test_a_usage_breaks_between_options_only():
    parser = argparse.ArgumentParser(prog="it")
    parser.add_argument("--dry-run", action="store_true")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--one")
    kind.add_argument("--all", action="store_true")
    parser.add_argument("group", nargs="*", metavar="GROUP")
    line = "[\\-\\-dry\\-run] (\\-\\-one\\ ONE | \\-\\-all) [GROUP ...]"
    assert usage_of(parser) == [".B it", line]


def calls(manual):
    """The arguments of each call in the examples, lines that go on joined."""
    for example in manual.examples:
        for line in "\n".join(example.lines).replace("\\\n", " ").splitlines():
            for piped, part in itertools.groupby(shlex.split(line), key="|".__eq__):
                words = [] if piped else list(part)
                if manual.name in words and words[0] in (manual.name, "ssh"):
                    yield words[words.index(manual.name) + 1 :]


def emulated(words):
    """``ctl`` has words of its own; a running emulator would answer them (tests of the emulator)."""
    if words[0] == "ctl":
        assert words[2] in ("fault", "clear") and words[3] in faults.NAMES
    else:
        arguments.parser().parse_args(words)


@pytest.mark.parametrize(
    ("manual", "parse", "number"),
    [
        (manuals.FAILOVERCTL, failoverctl.build_parser().parse_args, 12),
        (manuals.FAILOVERD, failoverd.parser().parse_args, 2),
        (manuals.FENCE, read_argv, 2),
        (emulator_page.EMULATOR, emulated, 3),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_the_pages_tell_people_to_type_is_understood(manual, parse, number):
    found = list(calls(manual))
    assert len(found) == number
    for words in found:
        parse(words)
