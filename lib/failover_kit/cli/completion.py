"""Completion for bash, from the declarations: a script in which all stands that --help knows.

Written by tools/completions.py when the project is installed: a press of the tabulator key starts no Python and
asks no daemon. It needs bash 4 and no library.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable

from failover_kit.cli.manpage import verbs_of
from failover_kit.fence.options import ACTIONS, OPTIONS

# What a value is, by the last part of its name in the usage; all others are for people to know.
_FILES = frozenset(("FILE", "PATH", "DEVICE", "FILENAME", "DEBUGFILE"))
_DIRECTORIES = frozenset(("DIR", "DIRECTORY"))
UNKNOWN = "@value"

_SCRIPT = """\
# bash completion for {name}, made from the declarations that also make its --help and its manual page.

# Sets known to what can stand there, or fails: VERB @verbs, VERB @options, VERB @POSITION, and the value of
# VERB --option. @file and @directory are found on the disk; @value is for people to know.
{function}_knows() {{
    known=''
    case $1 in
{cases}
    *) return 1 ;;
    esac
}}

{function}_offer() {{
    case $1 in
    @value) ;;
    @file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    @directory) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur") ;;
    esac
}}

{function}() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} verb='' wanted='' inside='' known word i position=0
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        if [[ $word == +([=:]) ]]; then  # readline parts words here: what comes next is the rest of the last one
            [[ $wanted ]] || ((++i < COMP_CWORD)) || inside=yes
        elif [[ $wanted ]]; then
            wanted=''
        elif [[ $word == -?* ]]; then
            {function}_knows "$verb $word" && wanted=$known
        elif ((position == 0)) && {function}_knows "$verb @verbs" && [[ " $known " == *" $word "* ]]; then
            verb+=${{verb:+ }}$word
        else
            ((++position))
        fi
    done
    if [[ $cur == +([=:]) ]]; then
        cur=''
        [[ $wanted ]] || inside=yes
    fi
    if [[ $inside ]]; then
        return
    elif [[ $wanted ]]; then
        {function}_offer "$wanted"
    elif [[ $cur != -* ]] && ((position == 0)) && {function}_knows "$verb @verbs"; then
        {function}_offer "$known"
    elif [[ $cur != -* ]] && {function}_knows "$verb @$position"; then
        {function}_offer "$known"
    elif {function}_knows "$verb @options"; then
        {function}_offer "$known"
    fi
}}

complete -F {function} {name}
"""


def of_parser(parser: argparse.ArgumentParser) -> str:
    """The script for the command of ``parser``, a newline at its end."""
    return _script(parser.prog, _of_parser(parser, ""))


def of_fence_agent(name: str) -> str:
    """The script for the fence agent called ``name``."""
    return _script(name, _of_fence_agent())


def _script(name: str, places: Iterable[tuple[str, str]]) -> str:
    cases = [f"    {shlex.quote(place)}) known={shlex.quote(words)} ;;" for place, words in places]
    return _SCRIPT.format(name=name, function=f"_{name}", cases="\n".join(cases))


def _of_parser(parser: argparse.ArgumentParser, verb: str) -> Iterable[tuple[str, str]]:
    """The places that the script knows of, and what is offered there."""
    options = [action for action in parser._actions if action.option_strings]
    yield f"{verb} @options", " ".join(name for action in options for name in action.option_strings)
    for action in options:
        if action.nargs != 0:
            for name in action.option_strings:
                yield f"{verb} {name}", value_of(action)
    below = verbs_of(parser)
    if below:
        yield f"{verb} @verbs", " ".join(below)
    else:
        for number, action in enumerate(action for action in parser._actions if not action.option_strings):
            if value_of(action) != UNKNOWN:
                yield f"{verb} @{number}", value_of(action)
    for name, child in below.items():
        yield from _of_parser(child, f"{verb} {name}".strip())


def value_of(action: argparse.Action) -> str:
    """The words that can stand there, or what kind of thing it is: @file, @directory, @value."""
    if action.choices is not None:
        return " ".join(str(choice) for choice in action.choices)
    return kind_of(action.metavar if isinstance(action.metavar, str) else action.dest.upper())


def kind_of(name: str) -> str:
    """The same of a value with a name like ``FILE``."""
    last = name.rpartition("_")[2]
    return "@file" if last in _FILES else "@directory" if last in _DIRECTORIES else UNKNOWN


def _of_fence_agent() -> Iterable[tuple[str, str]]:
    spellings = {option: [f"-{option.short}"] * bool(option.short) + [f"--{option.long}"] for option in OPTIONS}
    yield " @options", " ".join(name for names in spellings.values() for name in names)
    for option, names in spellings.items():
        if option.value:
            for name in names:
                yield f" {name}", " ".join(ACTIONS) if option.name == "action" else kind_of(option.value.upper())
