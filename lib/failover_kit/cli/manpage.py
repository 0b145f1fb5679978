"""A command's manual page in section 8 or 1: man(7), from its parser and from what only a manual says (``Manual``).

Written by tools/manpages.py when the project is installed; no command imports this.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass

from failover_kit.spec.roff import definitions, escaped, header, literal, paragraphs, prose, references, verbatim

# argparse would wrap a usage at the width of the terminal; troff does that here.
_ENDLESS = 1_000_000


@dataclass(frozen=True, slots=True)
class Example:
    """One thing that people do, and the lines that do it."""

    purpose: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manual:
    """What the parser of a command does not say. Paragraphs of ``description`` are parted by empty lines."""

    name: str
    purpose: str  # the line that whatis(1) shows
    description: str
    exit_status: tuple[tuple[int, str], ...]
    files: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]
    see_also: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    exit_note: str = ""
    section: int = 8  # of the manual: 1 is for commands of users, 8 for those of the administrator


def page(manual: Manual, synopsis: Iterable[str], options: Iterable[str], date: str = "") -> str:
    """The whole page, a newline at its end. ``synopsis`` and ``options`` are roff, the second with its ``.SH``;
    ``date`` (2026-11-26) is that of the source, if it is known.
    """
    environment = [".SH ENVIRONMENT", *definitions(manual.environment)] if manual.environment else []
    lines = [
        *header(manual.name, manual.section, date, "failover-kit"),
        ".SH NAME",
        f"{literal(manual.name)} \\- {escaped(manual.purpose)}",
        ".SH SYNOPSIS",
        *synopsis,
        ".SH DESCRIPTION",
        *paragraphs(manual.description),
        *options,
        ".SH EXIT STATUS",
        *definitions((str(code), meaning) for code, meaning in manual.exit_status),
        *([".PP", prose(manual.exit_note)] if manual.exit_note else []),
        *environment,
        ".SH FILES",
        *definitions(manual.files, "I"),
        ".SH EXAMPLES",
        *_examples(manual.examples),
        ".SH SEE ALSO",
        *references(manual.see_also),
    ]
    return "\n".join(lines) + "\n"


def _examples(examples: Iterable[Example]) -> list[str]:
    lines: list[str] = []
    for example in examples:
        lines += [*([".PP"] if lines else []), prose(example.purpose), *verbatim(example.lines)]
    return lines


# --- what a parser says ---------------------------------------------------------------------------------


def usage_of(parser: argparse.ArgumentParser) -> list[str]:
    """How it is called, without --help. A line breaks between options, never between one and its value."""
    formatter = argparse.HelpFormatter(parser.prog, width=_ENDLESS)
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    formatter.add_usage(None, actions, parser._mutually_exclusive_groups, prefix="")
    arguments = literal(formatter.format_help().strip().removeprefix(parser.prog).strip())
    kept = re.sub(r"(\\-\\-[^\s\])]+) (?=[\w{])", r"\1\\ ", arguments)
    return [f".B {literal(parser.prog)}", *([kept] if kept else [])]


def options_of(parser: argparse.ArgumentParser) -> list[str]:
    """Arguments and options below each other, in the groups that --help has."""
    lines: list[str] = []
    for group in parser._action_groups:
        shown = [action for action in group._group_actions if _is_listed(parser, action)]
        if shown and group not in (parser._positionals, parser._optionals):
            lines += [".PP", prose(f"{group.title}:")]
        for action in shown:
            lines += _entry(parser, action)
    return lines


def _is_listed(parser: argparse.ArgumentParser, action: argparse.Action) -> bool:
    """Verbs have a section of their own, and that they have --help is said once."""
    if isinstance(action, argparse._HelpAction):
        return " " not in parser.prog
    return not isinstance(action, argparse._SubParsersAction)


def _entry(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    formatter = parser._get_formatter()
    if not action.option_strings:
        title = f"\\fI{literal(formatter._metavar_formatter(action, action.dest)(1)[0])}\\fR"
    else:
        title = ", ".join(f"\\fB{literal(name)}\\fR" for name in action.option_strings)
        if action.nargs != 0:
            value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
            title += f" \\fI{literal(value)}\\fR"
    return [".TP", title, prose(formatter._expand_help(action))]


def commands_of(parser: argparse.ArgumentParser) -> list[str]:
    """One ``.SS`` for each verb, verbs of verbs as well: how it is called, what it does, its options, its end."""
    lines: list[str] = []
    for name, verb in verbs_of(parser).items():
        title = f"{parser.prog} {name}".partition(" ")[2]
        lines += [f".SS {literal(title)}", *usage_of(verb), ".PP", prose(verb.description or ""), *options_of(verb)]
        if verb.epilog:
            lines += [".PP", prose(verb.epilog)]
        lines += commands_of(verb)
    return lines


def verbs_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers below ``parser``, by the word that chooses them."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
