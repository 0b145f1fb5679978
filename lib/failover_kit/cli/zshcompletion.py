"""Completion for zsh, from the same declarations as bash's, with the words of --help beside each offer.

Written by tools/completions.py when the project is installed, as ``_NAME`` for a directory of zsh's ``fpath``.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable

from failover_kit.cli.completion import UNKNOWN, kind_of, value_of
from failover_kit.cli.manpage import verbs_of
from failover_kit.cli.manuals import FENCE_ACTIONS
from failover_kit.fence.options import OPTIONS

_SCRIPT = """\
#compdef {name}
# zsh completion for {name}, made from the declarations that also make its --help and its manual page.

# Sets known to what can stand there, or fails: VERB @verbs, VERB @options, VERB @POSITION, and the value of
# VERB --option. @file and @directory are found on the disk; @value is for people to know.
_{name}_knows() {{
    known=()
    case $1 in
{cases}
    (*) return 1 ;;
    esac
}}

_{name}_offer() {{
    case $known[1] in
    (@value) return 1 ;;
    (@file) _files ;;
    (@directory) _files -/ ;;
    (-*) _describe -O $1 known ;;
    (*) _describe -t ${{1}}s $1 known ;;
    esac
}}

_{name}() {{
    local verb='' wanted='' word
    local -a known
    integer i position=0
    for ((i = 2; i < CURRENT; i++)); do
        word=${{(Q)words[i]}}
        if [[ -n $wanted ]]; then
            wanted=''
        elif [[ $word == -?* ]]; then
            _{name}_knows "$verb $word" && wanted="$verb $word"
        elif ((position == 0)) && _{name}_knows "$verb @verbs" && [[ -n ${{(M)known:#${{(b)word}}:*}} ]]; then
            verb+=${{verb:+ }}$word
        else
            ((++position))
        fi
    done
    if [[ -n $wanted ]]; then
        _{name}_knows $wanted && _{name}_offer value
    elif [[ $PREFIX == --?*=* ]]; then
        _{name}_knows "$verb ${{PREFIX%%=*}}" && compset -P 1 '*=' && _{name}_offer value
    elif [[ $PREFIX != -* ]] && ((position == 0)) && _{name}_knows "$verb @verbs"; then
        _{name}_offer command
    elif [[ $PREFIX != -* ]] && _{name}_knows "$verb @$position"; then
        _{name}_offer value
    elif _{name}_knows "$verb @options"; then
        _{name}_offer option
    fi
}}

_{name} "$@"
"""


def of_parser(parser: argparse.ArgumentParser) -> str:
    """The script for the command of ``parser``, a newline at its end."""
    return _script(parser.prog, _of_parser(parser, ""))


def of_fence_agent(name: str) -> str:
    """The script for the fence agent called ``name``."""
    return _script(name, _of_fence_agent())


def _script(name: str, places: Iterable[tuple[str, Iterable[str]]]) -> str:
    cases = [
        f"    ({shlex.quote(place)}) known=({' '.join(shlex.quote(offer) for offer in offers)}) ;;"
        for place, offers in places
    ]
    return _SCRIPT.format(name=name, cases="\n".join(cases))


def _of_parser(parser: argparse.ArgumentParser, verb: str) -> Iterable[tuple[str, Iterable[str]]]:
    """The places that the script knows of, and what is offered there, each with its meaning."""
    formatter = parser._get_formatter()
    options = [action for action in parser._actions if action.option_strings]
    yield (
        f"{verb} @options",
        [_told(name, formatter._expand_help(option)) for option in options for name in option.option_strings],
    )
    for option in options:
        if option.nargs != 0:
            for name in option.option_strings:
                yield f"{verb} {name}", value_of(option).split()
    below = verbs_of(parser)
    if below:
        (group,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        briefs = {choice.dest: choice.help or "" for choice in group._choices_actions}
        yield f"{verb} @verbs", [_told(name, briefs.get(name, "")) for name in below]
    else:
        for number, action in enumerate(action for action in parser._actions if not action.option_strings):
            if value_of(action) != UNKNOWN:
                yield f"{verb} @{number}", value_of(action).split()
    for name, child in below.items():
        yield from _of_parser(child, f"{verb} {name}".strip())


def _of_fence_agent() -> Iterable[tuple[str, Iterable[str]]]:
    spellings = {option: [f"-{option.short}"] * bool(option.short) + [f"--{option.long}"] for option in OPTIONS}
    yield " @options", [_told(name, option.shortdesc) for option, names in spellings.items() for name in names]
    actions = [_told(name, meaning) for name, meaning in FENCE_ACTIONS]
    for option, names in spellings.items():
        if option.value:
            for name in names:
                yield f" {name}", actions if option.name == "action" else [kind_of(option.value.upper())]


def _told(name: str, meaning: str) -> str:
    """As _describe takes it: a colon in the name would begin the meaning."""
    return f"{name}:{' '.join(meaning.split())}"
