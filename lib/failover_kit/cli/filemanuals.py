"""The manual of the three files and of Heartbeat's names: what no other declaration says, and the pages made of it.

Imported by tools/manpages.py alone. heartbeat has ha.cf(5), authkeys(5), cl_status(1) and others, cluster-glue has
stonith(8): ours begin with ``failover-kit-``, so that both can be installed. The table of directives is held to
``manager.hacf`` by tests/docs/test_manual.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from failover_kit.cli.manpage import Example
from failover_kit.manager.configfiles import CONFIG_DIR, EXAMPLES
from failover_kit.manager.hacf import WITHOUT_MEANING
from failover_kit.spec.roff import definitions, escaped, header, literal, paragraphs, prose, references, verbatim

_DOCS = "/usr/share/doc/failover-kit/docs"


@dataclass(frozen=True, slots=True)
class FileManual:
    """One page of section 5 or 8 that no parser makes. ``tables`` are sections of what is typed and "
    "what it means."""

    name: str
    section: int
    purpose: str  # the line that whatis(1) shows
    description: str
    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    files: tuple[tuple[str, str], ...]
    examples: tuple[Example, ...]
    see_also: tuple[str, ...]


DIRECTIVES: tuple[tuple[str, str], ...] = (
    ("node NAME NAME", "The two nodes, as uname -n prints them. Required."),
    ("keepalive TIME", "Between two beats. Default 1 s."),
    ("warntime TIME", "A beat that is later than this is late. Less than deadtime. Default half of deadtime."),
    ("deadtime TIME", "So long without a beat on any link, and the other node is silent. Default 30 s."),
    ("initdead TIME", "The same for a node that was never heard since failoverd started here. At least deadtime."),
    ("baud RATE", "Of the serial lines that follow. Default 19200."),
    ("serial DEVICE ...", "Null-modem cables, each a link of its own."),
    ("udpport PORT", "Of the links that follow. Default 694."),
    (
        "ucast INTERFACE ADDRESS",
        "A link to the address of the other node; both nodes' lines may stand in one file.",
    ),
    ("ucast6 INTERFACE ADDRESS", "The same over IPv6."),
    ("bcast INTERFACE ...", "A link to everybody on that segment."),
    ("udp INTERFACE ...", "The old name of bcast."),
    ("mcast INTERFACE GROUP [PORT TTL LOOP]", "A link to a multicast group."),
    ("mcast6 INTERFACE GROUP [PORT TTL LOOP]", "The same over IPv6."),
    ("ping ADDRESS ...", "Ping nodes: a vote in planned moves, never a permission to start."),
    ("ping6 ADDRESS ...", "The same over IPv6."),
    ("ping_group NAME ADDRESS ...", "Addresses that count as one ping node."),
    ("deadping TIME", "So long without an answer, and a ping node is not reached. Default deadtime."),
    ("ping_failover on|off", "Move a group where more ping nodes are reached. Default off."),
    ("auto_failback on|off", "Whether a group goes home by itself. legacy is refused. Default off."),
    ("auto_failback_delay TIME", "How long its home node must be well before that. Default 60 s."),
    ("nice_failback on", "The old name of auto_failback off."),
    (
        "fence_device NAME AGENT KEY=VALUE ...",
        "What cuts power. AGENT is a fence agent; plug.NODE=PLUG names the plugs of a node, several with a "
        "plus sign. A "
        "password belongs into a file: password_file=PATH.",
    ),
    ("stonith_host HOST wti_nps ADDRESS PASSWORD", "Heartbeat's line, read as a fence device."),
    ("stonith TYPE FILE", "Refused; write fence_device."),
    (
        "fence_level NODE N NAME ...",
        "Devices that cut NODE together, all of them OFF; level 2 is tried when 1 failed.",
    ),
    ("fence_trust NAME ...", "Devices that cannot be read back and are believed. Status keeps saying so."),
    ("fence_action reboot|off", "Whether power is given back after OFF was read. Default reboot."),
    (
        "fence_delay TIME",
        "How long a node without the service waits before it shoots; the second node by home twice that. "
        "More than deadtime "
        "and keepalive and the time of a shot.",
    ),
    ("fence_prove_timeout TIME", "How long a proof drill waits for the node to come back. Default 10 min."),
    ("boot_alone yes|no", "Whether a node that booted and hears nobody may shoot once. Default no."),
    ("op_timeout TIME", "For one call of an agent or script that has no time of its own. Default 60 s."),
    ("monitor_interval TIME", "How often a resource that runs is looked at. Default 10 s."),
    ("monitor_failures N", "The failure at which a group is given to the other node. Default 2."),
    (
        "agent_server yes|no",
        "Whether a process that has loaded our own resource agents stands by and forks for each call. "
        "No: each call is a program of its own, as of all other agents. Default yes.",
    ),
    ("watchdog DEVICE", "A kernel watchdog that resets a node which holds something and hangs."),
    ("autojoin none", "Accepted: it is always so. Anything else is refused."),
    ("crm off", "Accepted: it is always so. Anything else is refused."),
    ("pacemaker off", "Accepted: it is always so. Anything else is refused."),
)

HA_CF = FileManual(
    name="failover-kit-ha.cf",
    section=5,
    purpose="the nodes, links, times and fence devices of a failover-kit pair",
    description=f"""
{CONFIG_DIR}/ha.cf is Heartbeat's file, the same on both nodes. A line is a directive and its values; # begins
a comment; commas separate values as blanks do. A bare number of a time is seconds; s, ms and us may follow
it. failoverd reads it when it starts, and at no other time.

Every error of the three files is reported at once, with file, line, column and remedy: failoverd --check.
What Heartbeat knew and has no meaning here is accepted with a note; what it did not know is an error.
""",
    tables=(
        ("DIRECTIVES", DIRECTIVES),
        (
            "DIRECTIVES WITHOUT MEANING",
            tuple((name, f"{why[0].upper()}{why[1:]}.") for name, why in sorted(WITHOUT_MEANING.items())),
        ),
    ),
    files=(
        (f"{CONFIG_DIR}/ha.cf", "The file."),
        (f"{EXAMPLES}/ha.cf", "An example with comments."),
        (f"{_DOCS}/media.md", "Links in depth."),
        (f"{_DOCS}/howto/a-real-pair.md", "The three files of a real pair, line by line."),
    ),
    examples=(
        Example(
            "A pair with two links and a power switch:",
            (
                "node pete mclaws",
                "deadtime 10",
                "serial /dev/ttyS0",
                "ucast eth1 192.168.1.1",
                "ucast eth1 192.168.1.2",
                "fence_device benjamin fence_wti_ips800 ip=192.0.2.219 password_file=/etc/ha.d/pw plug.pete=1 "
                "plug.mclaws=5",
            ),
        ),
        Example("Does it load?", ("failoverd --check",)),
    ),
    see_also=("failover-kit-haresources(5)", "failover-kit-authkeys(5)", "failoverd(8)", "failoverctl(8)"),
)

HARESOURCES = FileManual(
    name="failover-kit-haresources",
    section=5,
    purpose="the groups of a failover-kit pair and what is in them",
    description=f"""
{CONFIG_DIR}/haresources is Heartbeat's file, the same on both nodes. A line is a group: its home node, then
its resources, started from left to right and stopped from right to left. A backslash at the very end of a
line joins the next; a blank behind it is an error. # begins a comment.

No address, device or mount point may be in two groups. Put the address last: clients come back when it is
there.
""",
    tables=(
        (
            "RESOURCES",
            (
                ("192.0.2.5/24/eth0", "An address, by the agent IPaddr."),
                (
                    "NAME::ARGUMENT::ARGUMENT",
                    "An agent of ours (IPaddr, IPaddr2, Filesystem, nfsserver, exportfs, killnfsd); else a script "
                    ""
                    "in /etc/ha.d/resource.d, then in /etc/init.d; else ClusterLabs' agent of that name; else a "
                    "systemd unit.",
                ),
                ("ocf:PROVIDER:TYPE::NAME=VALUE", "An OCF agent, /usr/lib/ocf/resource.d/PROVIDER/TYPE."),
                ("systemd:UNIT", "A unit. It must not be enabled at boot."),
                ("lsb:SCRIPT", "/etc/init.d/SCRIPT, read by its exit codes."),
            ),
        ),
        (
            "TIMES AND DEPTH",
            (
                (
                    "op_start_timeout=TIME",
                    "One start is killed after this, and has failed. Default op_timeout of ha.cf.",
                ),
                ("op_stop_timeout=TIME", "The same for a stop."),
                ("op_monitor_timeout=TIME", "The same for a monitor."),
                ("op_monitor_interval=TIME", "How often it is looked at while it runs; 0 is never."),
                ("op_monitor_depth=N", "How hard the agent looks (OCF_CHECK_LEVEL). Default 0."),
            ),
        ),
    ),
    files=(
        (f"{CONFIG_DIR}/haresources", "The file."),
        (f"{EXAMPLES}/haresources", "An example with comments."),
        (f"{_DOCS}/haresources.md", "All of it, with the names that Heartbeat brought."),
    ),
    examples=(
        Example(
            "An NFS service, at home on pete:",
            (
                "pete Filesystem::/dev/etherd/e0.0::/mnt/e0.0::xfs \\",
                "     nfsserver::/mnt/e0.0/.nfs::192.0.2.220 \\",
                "     exportfs::/mnt/e0.0::192.0.2.0/24::rw,sync,no_subtree_check::1 \\",
                "     IPaddr::192.0.2.220/24/eth0",
            ),
        ),
    ),
    see_also=(
        "failover-kit-ha.cf(5)",
        "ocf_failover-kit_Filesystem(7)",
        "ocf_failover-kit_IPaddr(7)",
        "ocf_failover-kit_exportfs(7)",
        "ocf_failover-kit_nfsserver(7)",
        "failoverd(8)",
    ),
)

AUTHKEYS = FileManual(
    name="failover-kit-authkeys",
    section=5,
    purpose="the key that the nodes of a failover-kit pair sign their beats with",
    description=f"""
{CONFIG_DIR}/authkeys is Heartbeat's file, the same on both nodes, and for root alone (mode 600): it is
refused when others can read it. auth N chooses the key that signs; every key in the file is accepted.

All methods but crc give the key of HMAC-SHA256. crc is no key: it is refused as soon as one link is a
network. To change a key while the pair runs, add the new line on both nodes, then let auth name it on both,
then take the old line out; restart failoverd in maintenance after each step.
""",
    tables=(
        (
            "LINES",
            (
                ("auth N", "The number of the key that signs."),
                ("N sha256 KEY", "A key. N is 0 to 15. 16 or more random characters cannot be guessed."),
                ("N sha1 KEY", "The same, as Heartbeat's files have it."),
                ("N md5 KEY", "The same."),
                ("N crc", "No key. Where every link is a serial cable."),
            ),
        ),
    ),
    files=((f"{CONFIG_DIR}/authkeys", "The file."), (f"{EXAMPLES}/authkeys.example", "An example.")),
    examples=(Example("Make one with a random key, together with the other two files:", ("failoverctl init",)),),
    see_also=("failover-kit-ha.cf(5)", "failoverctl(8)", "failoverd(8)"),
)

COMPAT = FileManual(
    name="failover-kit-compat",
    section=8,
    purpose="the commands of Heartbeat and cluster-glue, for a failover-kit pair",
    description="""
These commands have the words, output and exit codes of Heartbeat's and cluster-glue's, for scripts and for
fingers. They are in /usr/lib/failover-kit/compat; the package failover-kit-compat puts them in place of the
others, which it diverts.

hb_standby and hb_takeover return when the move is over, with its real outcome: 0 done or nothing to do, 1
wrong arguments or failed, 3 refused, 4 no permission, 5 failoverd does not run, 7 no answer in time.
""",
    tables=(
        (
            "COMMANDS",
            (
                ("hb_standby [all|foreign|local|failback]", "Give groups to the other node."),
                (
                    "hb_takeover [all|foreign|local|failback]",
                    "Take groups from it; ends the parking of a group, too.",
                ),
                (
                    "cl_status COMMAND",
                    "hbstatus, listnodes, nodestatus, nodetype, listhblinks, hblinkstatus, rscstatus, "
                    "hbparameter, clientstatus. A node that is not heard is silent; dead is what was fenced or "
                    "confirmed.",
                ),
                ("heartbeat -s|-k|-r|-V", "Is failoverd running, end it, read again (refused), version."),
                (
                    "stonith",
                    "Fence agents and external plugins by cluster-glue's command line, with the options below.",
                ),
                ("fence_wti", "Another name of fence_wti_ips800(8)."),
            ),
        ),
    ),
    files=(
        ("/usr/lib/failover-kit/compat", "The commands; resource.d in it has the launchers for haresources."),
        (f"{_DOCS}/howto/from-heartbeat-commands.md", "What differs, line by line."),
        (f"{_DOCS}/stonith.md", "Device types and parameters of stonith."),
    ),
    examples=(
        Example("Does the switch answer?", ('stonith -t wti_nps -p "192.0.2.219 THE-PASSWORD" -S',)),
        Example("Give everything to the other node:", ("hb_standby",)),
    ),
    see_also=("failoverctl(8)", "failoverd(8)", "fence_wti_ips800(8)"),
)


def page(manual: FileManual, date: str = "") -> str:
    """The whole page. ``date`` as in ``manpage.page``."""
    lines = [
        *header(manual.name, manual.section, date, "failover-kit"),
        ".SH NAME",
        f"{literal(manual.name)} \\- {escaped(manual.purpose)}",
        ".SH DESCRIPTION",
        *paragraphs(manual.description),
    ]
    for title, rows in manual.tables:
        lines += [f".SH {title}", *definitions(rows)]
    lines += [".SH FILES", *definitions(manual.files, "I"), ".SH EXAMPLES", *_examples(manual.examples)]
    return "\n".join([*lines, ".SH SEE ALSO", *references(manual.see_also)]) + "\n"


def _examples(examples: Iterable[Example]) -> list[str]:
    lines: list[str] = []
    for example in examples:
        lines += [*([".PP"] if lines else []), prose(example.purpose), *verbatim(example.lines)]
    return lines


def pages(date: str, stonith: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each page by name and section, such as ``failover-kit-ha.cf.5``.

    ``stonith`` are the options of that command, which belong to a room that this one does not see.
    """
    options = tuple((spelling, f"{text[0].upper()}{text[1:]}.") for spelling, text in stonith)
    compat = replace(COMPAT, tables=(*COMPAT.tables, ("OPTIONS OF STONITH", options)))
    manuals = (HA_CF, HARESOURCES, AUTHKEYS, compat)
    return {f"{manual.name}.{manual.section}": page(manual, date) for manual in manuals}
