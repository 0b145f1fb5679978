"""failover-rehearsal(1) and wti-emulator(1): what their parsers do not say, and the pages made of both.

Imported by tools/manpages.py alone.
"""

from __future__ import annotations

from failover_kit.cli.manpage import Example, Manual, options_of, page, usage_of
from failover_kit.emulator import arguments
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
processes and takes its links away. Nine scenes are played, from a planned switchover to a switch that is stuck.
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

EMULATOR = Manual(
    name="wti-emulator",
    section=1,
    purpose="a WTI power switch in software",
    description="""
A power switch of WTI's that is no more than a process: telnet, a serial console on a pseudo terminal, and the
REST interface of current units. Its outlets run commands, so that it can be the power switch of virtual
machines.

A command is split like a shell line but run without a shell, with WTI_OUTLET, WTI_NAME and WTI_STATE in its
environment. The outlet reads OFF once the OFF command has exited 0, and ON when the ON command begins. If one
fails or is late, the outlet keeps its state.

wti-emulator ctl SOCKET talks to a running one (--control SOCKET): show, fault NAME, clear, switch OUTLET
on|off, power-cycle; wti-emulator --help lists the faults.
""",
    exit_status=(
        (0, "Done."),
        (1, "Failed: a port is taken, or a request was turned down."),
        (2, "Usage."),
        (3, "The state file cannot be read or used; nothing was started, and it was left as it is."),
    ),
    files=((f"{_DOCS}/emulator.md", "Variants, menus, faults, and what was never seen on hardware."),),
    examples=(
        Example(
            "A switch for two virtual machines:",
            (
                "wti-emulator --listen 192.0.2.5:23 --password-file /etc/switch.password \\",
                "    --outlet 1=pete --outlet 5=mclaws --control /run/switch.ctl \\",
                "    --on '/bin/sh -c \"virsh start $WTI_NAME; virsh domstate $WTI_NAME | grep -q running\"' \\",
                "    --off '/bin/sh -c \"virsh destroy $WTI_NAME; virsh domstate $WTI_NAME | grep -q shut\"'",
            ),
        ),
        Example("Plug 1 does not switch any more:", ("wti-emulator ctl /run/switch.ctl fault stuck 1",)),
    ),
    see_also=("fence_wti_ips800(8)", "failover-rehearsal(1)"),
)


def pages(date: str = "") -> dict[str, str]:
    """Each page by its name without section. ``date`` as in ``cli.manpage.page``."""
    parsers = {COMMAND: parser(), EMULATOR.name: arguments.parser()}
    parsers[COMMAND].prog = COMMAND
    return {
        manual.name: page(
            manual, usage_of(parsers[manual.name]), [".SH OPTIONS", *options_of(parsers[manual.name])], date
        )
        for manual in (REHEARSAL, EMULATOR)
    }
