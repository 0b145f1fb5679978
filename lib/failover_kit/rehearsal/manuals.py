"""failover-rehearsal(1): what its parser does not say, and the page made of both.

Imported by tools/manpages.py alone.
"""

from __future__ import annotations

from failover_kit.cli.manpage import Example, Manual, options_of, page, usage_of
from failover_kit.rehearsal.main import parser

_DOCS = "/usr/share/doc/failover-kit/docs"
COMMAND = "failover-rehearsal"
"""The name it is installed under; in a checkout it is bin/rehearsal."""

REHEARSAL = Manual(
    name=COMMAND,
    section=1,
    purpose="play a pair, its disk and its power switch on one machine",
    description="""
Two nodes in namespaces of their own run the installed failoverd, resource agents and fence agent; a loop device
holds the XFS that both can see, and an emulated power switch cuts the power of a node, which kills its
processes and takes its links away. Fourteen scenes are played, from a planned switchover to a switch that is stuck.
After each it is proved that never two nodes held the disk, and that every record a client was promised is on
it.

It runs as root, and nothing of it stays on the machine.

With a kept rehearsal (--keep), from another terminal: enter pete|mclaws [COMMAND...] runs a command on a node,
cable serial|network on|off pulls and plugs a cable, press pete|mclaws on|off presses the button of an outlet.
""",
    exit_status=(
        (0, "Every scene passed."),
        (1, "A scene failed, or the stage could not be built."),
        (2, "Usage, or something is missing on this machine; nothing was changed."),
        (130, "Interrupted."),
    ),
    files=((f"{_DOCS}/rehearsal.md", "What the scenes show, and what one kernel cannot show."),),
    examples=(
        Example("All scenes, with a picture of them in rehearsal.html:", (COMMAND,)),
        Example("The power cut alone, and no picture:", (f"{COMMAND} --scene 3 --html ''",)),
    ),
    see_also=("failoverd(8)", "failoverctl(8)", "wti-emulator(1)"),
)


def pages(date: str = "") -> dict[str, str]:
    """The page by its name without section. ``date`` as in ``cli.manpage.page``."""
    declared = parser()
    declared.prog = COMMAND
    options = [".SH OPTIONS", *options_of(declared)]
    return {COMMAND: page(REHEARSAL, usage_of(declared), options, date)}
