"""failoverctl(8), failoverd(8), fence_wti_ips800(8): what no declaration says, and the pages made of both.

Imported by tools/manpages.py alone.
"""

from __future__ import annotations

from failover_kit.cli import explaincmd, failoverctl, failoverd
from failover_kit.cli.manpage import Example, Manual, commands_of, options_of, page, usage_of
from failover_kit.fence.metadata import LONGDESC, SHORTDESC
from failover_kit.fence.operation import EXIT_FAILED, EXIT_OFF, EXIT_OK
from failover_kit.fence.options import OPTIONS, Option
from failover_kit.manager import client, hostcheck
from failover_kit.manager.configfiles import CONFIG_DIR, EXAMPLES
from failover_kit.spec.roff import definitions, literal, prose

_DOCS = "/usr/share/doc/failover-kit/docs"
_CONFIGURATION = (
    (f"{CONFIG_DIR}/ha.cf", "The nodes, the links between them, the times, and what cuts their power."),
    (f"{CONFIG_DIR}/haresources", "The groups, each with its home and its resources in the order of their start."),
    (f"{CONFIG_DIR}/authkeys", "The key that both nodes sign their messages with; for root alone."),
)
_JOURNAL = (explaincmd.JOURNAL, "Every event and decision: what failoverctl explain and replay read.")


def _sentences(brief: str, meaning: str) -> str:
    return f"{brief[0].upper()}{brief[1:]}. {meaning}"


FAILOVERCTL = Manual(
    name="failoverctl",
    purpose="ask failoverd of this node, and give it orders",
    description="""
failoverctl talks to failoverd(8) of the node it runs on, which talks to the other node. What it prints is the state
first, then why, then what to do. An order returns when its outcome is known, and not before.

Some commands need no running failoverd: check, init, explain, budget, replay, export-cib and import-cib read files,
switch talks to the power switch itself, and watch runs on a third machine. Every command has --help.
""",
    exit_status=tuple(
        (code.value, _sentences(brief, meaning)) for code, brief, meaning in failoverctl.EXIT_STATUS
    ),
    exit_note="A command that means something else by a code says so above. status has its own: 0 healthy, "
    "1 degraded, 2 no service; and 4, 5 or 7 when nobody answers. 130: interrupted; a given order goes on.",
    environment=(("NO_COLOR", "With any text: no colour. Off a terminal there is none anyway."),),
    files=(
        (client.DEFAULT_SOCKET, "Where failoverd listens."),
        *_CONFIGURATION,
        _JOURNAL,
        (EXAMPLES, "Examples of the three files; failoverctl init writes those of a pair."),
        (f"{_DOCS}/howto/a-real-pair.md", "From two bare machines to a tested pair."),
        (f"{_DOCS}/scripting.md", "What --json prints, key by key."),
    ),
    examples=(
        Example("How things stand, and what to do:", ("failoverctl status",)),
        Example(
            "Empty this node to work on it, and take over again afterwards:",
            ("failoverctl standby", "failoverctl takeover"),
        ),
        Example(
            "Work on both nodes while the service runs, with nothing moved or fenced meanwhile:",
            ("failoverctl maintenance on", "failoverctl maintenance off"),
        ),
        Example(
            "What is wrong with the pair (on pete, of pete and mclaws):",
            ("failoverctl check --ssh",),
        ),
        Example(
            "Read the plugs of both nodes; cut the power of the passive one to prove that it can be done:",
            ("failoverctl fence --test", "failoverctl fence --prove mclaws"),
        ),
        Example(
            "Why the last takeover happened, and how long the next one may take with another deadtime:",
            ("failoverctl explain --last 1", "failoverctl budget --what-if deadtime=5"),
        ),
        Example(
            "The pair as a Pacemaker cluster, looked at by Pacemaker:",
            ("failoverctl export-cib | crm_verify --xml-pipe",),
        ),
        Example(
            "Name the plugs of the power switch:",
            ("failoverctl switch setup --ip 192.0.2.219 --name 1=pete --name 5=mclaws",),
        ),
    ),
    see_also=(
        "failoverd(8)",
        "fence_wti_ips800(8)",
        "ocf_failover-kit_Filesystem(7)",
        "ocf_failover-kit_IPaddr(7)",
    ),
)

FAILOVERD = Manual(
    name="failoverd",
    purpose="run the groups of haresources on one of two nodes",
    description="""
failoverd runs on both nodes of a pair, hears the other one over every link of ha.cf, and runs each group of
haresources on one node at a time. A node that falls silent is only silent: its groups start here when its power was
cut and every one of its plugs reads OFF, or when an administrator has said with failoverctl confirm-dead that it is
off.

It stays in the foreground; failoverd.service starts it. SIGTERM and SIGINT make it hand its groups over, or stop
them when there is nobody to take them, and end. The configuration is read at the start only: SIGHUP says so. A
failoverd that is killed leaves what runs alone, and the next one adopts it.
""",
    exit_status=tuple((code, _sentences(brief, meaning)) for code, brief, meaning in failoverd.EXIT_STATUS),
    files=(
        *_CONFIGURATION,
        (f"{CONFIG_DIR}/alerts.d", "Executables that are run for alerts."),
        (f"{hostcheck.STATE_DIR}/state", "What must survive a reboot: who may run what."),
        _JOURNAL,
        (client.DEFAULT_SOCKET, "Where failoverctl asks."),
        (EXAMPLES, "Examples of the three files, and a script for init without systemd."),
    ),
    examples=(
        Example("Check the configuration and this node, and start nothing:", ("failoverd --check",)),
        Example("May the package go, or another manager start?", ("failoverd --left",)),
        Example("Start it, now and at each boot:", ("systemctl enable --now failoverd",)),
    ),
    see_also=("failoverctl(8)", "fence_wti_ips800(8)", "systemctl(1)"),
)

# In the order of fence.options.ACTIONS.
FENCE_ACTIONS = (
    ("on", "Done when every plug named was read ON, in a screen asked for after the command."),
    ("off", "Done when every plug named was read OFF in such a screen."),
    ("reboot", "Default. All off, read back, then all on. Done, with an error line, when only the second failed."),
    ("status", "Print Status: ON (a plug has power) or Status: OFF (none has)."),
    ("list", "Print number and name of each plug, and the plug groups."),
    ("list-status", "The same with the state of each."),
    ("monitor", "Done when the plug table was read and holds the plugs that were given."),
    ("metadata", "Print the description of the agent, as XML."),
    ("manpage", "The same as metadata."),
    ("validate-all", "Check options, files and programs. The device is not asked."),
)

FENCE = Manual(
    name="fence_wti_ips800",
    purpose=SHORTDESC[0].lower() + SHORTDESC[1:],
    description=LONGDESC
    + """

Options come on the command line or, when there is none at all, as lines name=value on standard input, as Pacemaker
and failoverd give them. A flag is given there as 1 or 0.

Options, defaults, messages and exit codes are those of fence_wti(8); what differs is listed with the reason in
"""
    + f"{_DOCS}/fence-agent-differences.md.",
    exit_status=(
        (EXIT_OK, "Done. For status: at least one plug has power."),
        (EXIT_FAILED, "Failed, or not known to be done."),
        (EXIT_OFF, "For status: no plug has power."),
    ),
    files=(
        (f"{CONFIG_DIR}/NAME.password", "Where failoverctl init expects the password of the switch NAME."),
        (f"{_DOCS}/fence-agent.md", "The ways to the device, times, and where a password stands best."),
    ),
    examples=(
        Example(
            "What a plug reads, and the power of a machine with two supplies cut:",
            (
                "fence_wti_ips800 --ip=192.0.2.219 --plug=mclaws --action=status \\",
                "    --password-file=/etc/ha.d/benjamin.password",
                "fence_wti_ips800 --ip=192.0.2.219 --plug=5,6 --action=off \\",
                "    --password-file=/etc/ha.d/benjamin.password",
            ),
        ),
        Example(
            "As a fence device of Pacemaker:",
            (
                "pcs stonith create benjamin fence_wti_ips800 ip=192.0.2.219 \\",
                "    password_file=/etc/ha.d/benjamin.password \\",
                '    pcmk_host_map="pete:1;mclaws:5"',
            ),
        ),
    ),
    see_also=("failoverd(8)", "fence_wti(8)", "pacemaker-fenced(7)", "stonith_admin(8)"),
)


def pages(date: str = "") -> dict[str, str]:
    """Each page by its name without section. ``date`` as in ``manpage.page``."""
    ctl, daemon_parser = failoverctl.build_parser(), failoverd.parser()
    ctl_options = [".SH OPTIONS", *options_of(ctl), ".SH COMMANDS", *commands_of(ctl)]
    return {
        FAILOVERCTL.name: page(FAILOVERCTL, usage_of(ctl), ctl_options, date),
        FAILOVERD.name: page(
            FAILOVERD, usage_of(daemon_parser), [".SH OPTIONS", *options_of(daemon_parser)], date
        ),
        FENCE.name: page(FENCE, _fence_usage(), _fence_options(), date),
    }


def _fence_usage() -> list[str]:
    name = literal(FENCE.name)
    return [f".B {name}", "[\\fIoptions\\fR]", ".PP", f".B {name}", "< \\fIfile\\fR"]


def _fence_options() -> list[str]:
    lines = [".SH OPTIONS"]
    for option in sorted(OPTIONS, key=lambda option: option.order):
        lines += [".TP", _spelling(option), prose(f"{option.shortdesc.rstrip('.')}.")]
        facts = []
        if option.on_stdin:
            facts.append(f"on standard input {', '.join((option.name, *option.old))}")
        if option.default:
            facts.append(f"default {option.default}")
        if facts:
            lines += [".br", prose(f"({'; '.join(facts)})")]
    return [*lines, ".SH ACTIONS", *definitions(FENCE_ACTIONS)]


def _spelling(option: Option) -> str:
    short = f"\\fB\\-{option.short}\\fR, " if option.short else ""
    value = f"=\\fI{literal(option.value)}\\fR" if option.value else ""
    return f"{short}\\fB\\-\\-{literal(option.long)}\\fR{value}"
