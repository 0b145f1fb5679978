"""wti-emulator(1), from the emulator's declarations and what no declaration says.

It stands here and not in the library: the emulator's room knows nothing of the manual pages, nor they of it.
"""

from __future__ import annotations

import textwrap

from failover_kit.cli.manpage import Example, Manual, options_of, page, usage_of
from failover_kit.emulator import arguments
from failover_kit.spec.roff import paragraphs, verbatim


def _lines(text: str) -> tuple[str, ...]:
    return tuple(textwrap.dedent(text).splitlines())


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


EMULATOR = Manual(
    name="wti-emulator",
    section=1,
    purpose="a WTI power switch in software, whose outlets run commands",
    description=f"""
{arguments.DESCRIPTION}

{arguments.COMMANDS}

When it is ready it prints a line for each interface that says where it listens. SIGTERM and SIGINT end it.
""",
    exit_status=tuple((code, _sentence(meaning)) for code, meaning in arguments.EXIT_STATUS),
    files=(
        ("/usr/share/doc/failover-kit/docs/emulator.md", "The variants, and what of them is known."),
    ),
    examples=(
        Example("Two virtual machines:", _lines(arguments.EXAMPLE)),
        Example("Let the relay of plug 5 stick, and mend it:", (
            "wti-emulator ctl /run/switch.ctl fault stuck 5",
            "wti-emulator ctl /run/switch.ctl clear stuck 5",
        )),
    ),
    see_also=("fence_wti_ips800(8)", "failoverctl(8)"),
)  # fmt: skip


def pages(date: str = "") -> dict[str, str]:
    """The page by its name. ``date`` as in ``manpage.page``."""
    parser = arguments.parser()
    options = [".SH OPTIONS", *options_of(parser)]
    about = paragraphs("With --control SOCKET a running emulator takes these.")
    control = [".SH CONTROL", *about, *verbatim(_lines(arguments.CONTROL))]
    synopsis = [*usage_of(parser), ".PP", ".B wti\\-emulator ctl", "\\fISOCKET\\fR \\fIREQUEST\\fR"]
    return {EMULATOR.name: page(EMULATOR, synopsis, [*options, *control], date)}
