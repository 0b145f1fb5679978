"""Every kind of finding, declared once: ``check --explain``, docs/check.md and the tests are made of this.

The ids are stable: scripts may wait for them. Add, do not rename.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """``severity`` is the usual one (error, warning, advice); ``title`` is what is found, ``why`` what it does."""

    id: str
    severity: str
    title: str
    why: str


TOPICS: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    (
        "The three files",
        (
            Rule("config-error", "error", "a file cannot be used",
                 "failoverd does not start with it, and nothing else can be checked by it."),
            Rule("config-note", "advice", "something is accepted and does nothing, or not what it did",
                 "A line that has no meaning here may be one that somebody relies on."),
            Rule("config-writable", "error", "somebody else than root can change what root will run",
                 "The files say what is executed, mounted and cut: who may write them is root on both nodes."),
            Rule("secret-copy", "warning", "a copy of authkeys is readable by others",
                 "Editors and people leave copies. The key in them signs heartbeats, and who has it can make a "
                 "node give its service away."),
            Rule("key-short", "warning", "the key of authkeys is short, or the one of a document",
                 "Beats are signed with it. A key that can be guessed lets anybody on the link speak for a "
                 "node."),
            Rule("key-crc", "advice", "authkeys has crc, which is no key",
                 "It protects against noise on a serial line and against nobody else."),
            Rule("address-first", "warning", "the address comes up before the service behind it",
                 "While the address is there and the service is not, clients are refused instead of kept "
                 "waiting: an NFS client is told that its files do not exist (ESTALE), and its programs "
                 "fail. What starts last stops first, so on the way down the address goes first, too. A group "
                 "is named after its first resource: reorder it on both nodes while failoverd is stopped."),
            Rule("resource-unusable", "error", "a resource cannot be run on this node",
                 "Its program is not here, or its arguments are none for it. failoverd does not start with it."),
        ),
    ),
    (
        "Links and times",
        (
            Rule("one-medium", "warning", "one heartbeat medium only",
                 "When it fails, a healthy node looks like one that has failed, and is shot. Two media that "
                 "share nothing (a null-modem cable and a crossed network cable) make that a fault nobody "
                 "notices but you."),
            Rule("ucast-no-address", "warning", "ucast without the peer's address",
                 "ha.cf(5) wants ucast INTERFACE ADDRESS; Heartbeat 3 does not start without. failoverd "
                 "derives it, as long as the interface has its address and the name of the peer is beyond "
                 "doubt."),
            Rule("link-interface", "warning", "the interface of a link is missing, or has no address",
                 "No beat leaves by it: the pair has one link less than it believes."),
            Rule("link-address", "error", "the address of a link is not one of the other node",
                 "Beats go to an address that nobody has, or that somebody else has."),
            Rule("link-silent", "error", "nothing is heard on a link",
                 "The pair lives on what is left, and the next fault gets a healthy node shot."),
            Rule("link-one-way", "error", "a link carries beats in one direction only",
                 "A broken wire, a firewall on one node, or a wrong address: the deaf side has one link less, "
                 "and the other one does not see it."),
            Rule("ping-own", "error", "a ping node is this node, or an address of the cluster",
                 "It answers wherever the cluster's address is: the node that has the service reaches it and the "
                 "other one does not, so every planned move is refused."),
            Rule("ping-peer", "warning", "a ping node is the other node",
                 "It is silent when that node is: what shall tell a node that has failed from a network that has "
                 "failed tells the same as the heartbeat."),
            Rule("ping-one", "advice", "one ping node only",
                 "While it is rebooted or replaced the pair is degraded, and a node whose peer fails at that "
                 "moment waits longer before it takes over."),
            Rule("ping-silent", "warning", "a ping node does not answer this node",
                 "Planned moves to the node that reaches fewer are refused, and a node that reaches none waits "
                 "longer before it takes over."),
            Rule("serial-device", "error", "the serial device of a link is missing or is none",
                 "failoverd does not start here."),
            Rule("serial-shared", "error", "a login or the kernel's console is on the serial line",
                 "Both write into each other's words: beats are damaged, and a getty answers beats as if they "
                 "were a login."),
            Rule("serial-too-slow", "error", "a beat does not fit on the serial line",
                 "Beats would queue, and the peer would judge by old news (PROTOCOL rule 22)."),
            Rule("deadtime-few-beats", "warning", "few lost beats are enough to call a node silent",
                 "A silent node is shot. Three beats in a row are lost by a burst of noise on a serial line or "
                 "by a busy moment; deadtime is best five times keepalive or more."),
            Rule("deadtime-short", "warning", "deadtime is shorter than pauses that happen",
                 "A machine under load, a snapshot of a virtual one, or a disk that retries pauses everything "
                 "for seconds. What pauses longer than deadtime is shot for it."),
            Rule("warntime-late", "advice", "warntime leaves no time between warning and silence",
                 "The warning of a late beat is what tells you that deadtime is too short, before it costs a "
                 "shot."),
            Rule("initdead-short", "advice", "initdead is shorter than a network needs after a boot",
                 "After a power failure both nodes boot, and switches with spanning tree keep a port closed "
                 "for 30 s. A node that declares the other one silent before that moves or holds services "
                 "without need."),
            Rule("takeover-slow", "advice", "a takeover begins late",
                 "Clients wait for deadtime and for the turn of PROTOCOL rule 10, then for the switch and the "
                 "start. Many programs give a server up after a minute."),
        ),
    ),
    (
        "Fencing",
        (
            Rule("no-fence", "error", "nothing can cut a node",
                 "When it falls silent nobody may start its groups: the service stays down until you have "
                 "looked and confirmed that it is dead."),
            Rule("fence-agent-missing", "error", "the program that drives a fence device is not on this node",
                 "A silent peer is not fenced from here, and so its groups are not taken over."),
            Rule("fence-by-name", "advice", "plugs are found by the names that are set in the switch",
                 "stonith_host NODE TYPE ... reads two ways: NODE as the machine to cut, or as the one that "
                 "may use the device (Heartbeat 3). The device is asked for a plug named like the victim, so "
                 "both readings hold. But whoever renames a plug changes what is cut, and no file shows it."),
            Rule("plug-shared", "error", "one plug feeds both nodes",
                 "Who cuts the other one cuts itself (PROTOCOL rule 25)."),
            Rule("one-fence-way", "advice", "there is one way only to cut a node",
                 "While the switch is without power, or its network is away, nothing can be taken over. A "
                 "second level of another kind, such as the node's management board, is tried when the first "
                 "does not prove OFF."),
            Rule("circuits", "advice", "whether the two nodes hang on different circuits of the switch",
                 "An IPS-800 has two power inlets: plugs 1 to 4 on A, 5 to 8 on B. With the nodes on different "
                 "ones, one blown fuse takes one node; on the same one it takes both, and the switch is the "
                 "single point of failure the pair was built against."),
            Rule("bmc-alone", "warning", "a node is cut by its own management board only",
                 "The board lives from the node's power. A node that lost its power cannot be proved off by "
                 "it, and nothing is taken over: in just the case a pair is made for."),
            Rule("soft-off", "warning", "the power button is a request here, not a cut",
                 "A management board presses the button. logind or acpid then begin an orderly shutdown, which "
                 "takes minutes, unmounts, and may never end: fencing is late or fails."),
            Rule("fence-address-dns", "warning", "the address of a fence device depends on a name server",
                 "When the network is in trouble, that name is what does not resolve."),
            Rule("example-password", "warning", "the password of a fence device is the one of a document",
                 "Everybody who can reach the switch can cut both nodes."),
            Rule("password-readable", "warning", "a password stands in a file that everybody on the node reads",
                 "Every user of the node can cut both nodes."),
            Rule("password-file", "error", "the password file of a fence device is missing, or open to others",
                 "Without it no fencing works; open, every user of the node can cut both nodes."),
            Rule("fence-unproved", "warning", "that this node can cut the other one was never proved",
                 "A plug that reads OFF may feed another machine, or one of two supplies. Only a drill shows "
                 "it (PROTOCOL rule 25)."),
            Rule("fence-proof-old", "warning", "the proof that this node can cut the other one is old",
                 "Cables are moved, supplies are added, switches are reset. Prove it twice a year."),
            Rule("fence-proof-failed", "error", "the last proof drill failed",
                 "What the plugs read is not what the machine does, or the drill did not come to its end. No "
                 "takeover may rest on it."),
            Rule("switch-read", "error", "the plugs of the power switch cannot all be read",
                 "The switch has one session: one that somebody left open keeps both nodes from fencing. Wrong "
                 "names and passwords show here, too."),
        ),
    ),
    (
        "What starts without the cluster",
        (
            Rule("boot-enabled", "error", "a service of the cluster starts at boot by itself",
                 "A node that boots then serves from an empty directory, or writes beside the active node. "
                 "Package updates bring removed boot links back; disabled ones they leave alone."),
            Rule("other-manager", "error", "another cluster manager runs, or starts at boot",
                 "Two managers start the same resources on two nodes."),
            Rule("not-enabled", "warning", "failoverd does not start at boot",
                 "A node that was fenced boots and does not join again: the pair has no second node, and "
                 "nobody is told."),
            Rule("fstab-entry", "error", "a filesystem of the cluster is in fstab",
                 "It is mounted at boot, on both nodes: XFS and ext4 are destroyed by that. With noauto it is "
                 "one careless mount away."),
            Rule("aoe-fs-conf", "error", "a filesystem of the cluster is in /etc/aoe/fs.conf",
                 "The AoE init script mounts it at boot, on both nodes, which destroys the filesystem."),
            Rule("aoe-md-conf", "error", "an array of the cluster is in /etc/aoe/md.conf",
                 "The AoE init script assembles it at boot, on both nodes, and each resyncs it by what it "
                 "believes."),
            Rule("mdadm-array", "error", "an array of the cluster is assembled at boot",
                 "Assembled on both nodes, each writes its superblocks and resyncs it by what it believes."),
            Rule("mount-unit", "error", "a mount unit of systemd has a filesystem of the cluster",
                 "systemd mounts it at boot or at the first access, whoever is active."),
            Rule("lvm-activation", "warning", "a volume group of the cluster is activated at boot",
                 "Its volumes are there on both nodes, and something may mount, fsck or resync them."),
        ),
    ),
    (
        "Disk and mount points",
        (
            Rule("device-missing", "error", "a device of the cluster is not on this node",
                 "A takeover to this node fails, after it has waited for the device."),
            Rule("device-unreadable", "error", "a device of the cluster does not answer here",
                 "A takeover to this node fails. A device that hangs also keeps stops from ending."),
            Rule("device-unknown", "warning", "no XFS or ext4 was found on a device of the cluster",
                 "Whether both nodes see the same disk can be told by its UUID only."),
            Rule("device-unstable", "warning", "a device is named in the order the kernel found it",
                 "sda is another disk after the next boot, or on the other node."),
            Rule("disk-differs", "error", "the nodes see different disks under one name",
                 "The service moves and its data does not."),
            Rule("mounted-by-hand", "error", "a filesystem of the cluster is mounted here, and not by it",
                 "A takeover by the other node makes it mounted twice, which destroys it."),
            Rule("mount-point-missing", "advice", "a mount point does not exist",
                 "The Filesystem agents make it; on a read-only root they cannot, and other scripts fail on "
                 "it."),
            Rule("mount-point-used", "warning", "there are files in the directory below a mount",
                 "Somebody wrote there while the disk was elsewhere. They vanish when it is mounted, and are "
                 "served in its place when it is not."),
        ),
    ),
    (
        "NFS exports",
        (
            Rule("export-async", "error", "an export of the cluster is async",
                 "The server says that data is on the disk when it is not. A failover then loses what clients "
                 "were told is safe, and nobody is told (exports(5))."),
            Rule("export-no-fsid", "warning", "an export of the cluster has no fixed fsid",
                 "fsid is part of every file handle. Without one it comes from the filesystem's UUID, or on "
                 "older systems from the device's number, and clients get ESTALE when that differs on the "
                 "other node."),
            Rule("fsid-twice", "error", "two exports have one fsid",
                 "Clients are given the files of one for the other."),
            Rule("export-twice", "warning", "a directory is exported by the cluster and by /etc/exports",
                 "exportfs -r, which each restart of the NFS server runs, makes it what /etc/exports says, on "
                 "whichever node; and a stop of the resource takes away what the file exported."),
            Rule("export-bare", "advice", "/etc/exports exports a mount point also when nothing is mounted there",
                 "The empty directory of the root filesystem is served then. The option mountpoint exports it "
                 "only while it is a mount (exports(5))."),
            Rule("exports-differ", "error", "the nodes export a directory differently",
                 "After a move clients are refused, or have other rights than before."),
            Rule("fsid-differs", "error", "the nodes export a directory under different fsids",
                 "Every client gets ESTALE at each move."),
        ),
    ),
    (
        "The node",
        (
            Rule("node-name", "error", "this machine is none of the nodes of ha.cf",
                 "Nodes are called what uname -n prints. failoverd does not start under another name."),
            Rule("name-unresolved", "warning", "the name of a node does not resolve here",
                 "Tools of the operator and scripts use it, and ucast without an address is derived from it."),
            Rule("name-loopback", "warning", "the other node's name is an address of this machine here",
                 "What is meant for the other node stays on this one."),
            Rule("clock-unsynchronised", "warning", "the clock of this node is not synchronised",
                 "failoverd decides by a clock that nobody sets. But files get times of the future after a "
                 "move, make and backups go wrong, and logs of two nodes cannot be read side by side."),
            Rule("clock-differs", "warning", "the clocks of the nodes differ",
                 "Files get times of the future after a move, and logs of two nodes cannot be read side by "
                 "side."),
            Rule("watchdog-none", "advice", "no watchdog is configured",
                 "A node that hangs and cannot be reached by its power switch goes on holding the disk."),
            Rule("watchdog-device", "warning", "the watchdog device of ha.cf is not there",
                 "What shall reset a hanging node does not exist."),
            Rule("state-space", "warning", "the state directory is nearly full, or cannot be written",
                 "Without a durable record nothing is started, granted or shot (PROTOCOL rule 7)."),
            Rule("state-volatile", "error", "the state directory is in memory",
                 "It must survive a reboot: who may run what, and what was shot, is in it (PROTOCOL rule 23)."),
            Rule("no-daemon", "advice", "failoverd does not run here, or was not asked",
                 "What only it knows was not looked at: links, the last proof drill, what runs where."),
        ),
    ),
    (
        "Both nodes",
        (
            Rule("not-compared", "advice", "the other node was not looked at",
                 "What differs between the nodes shows at a takeover at the latest."),
            Rule("files-differ", "error", "the configuration differs between the nodes",
                 "The nodes then disagree about what is to run, how and where. Planned moves are refused "
                 "(PROTOCOL rule 20)."),
            Rule("authkeys-differ", "error", "authkeys differs between the nodes",
                 "The nodes do not believe each other's beats: each is silent to the other, and shoots."),
            Rule("version-differs", "warning", "the nodes run different versions of failover-kit",
                 "Good for the time of an upgrade, not for years."),
        ),
    ),
)  # fmt: skip

RULES: dict[str, Rule] = {rule.id: rule for _, rules in TOPICS for rule in rules}


def as_markdown() -> str:
    """The catalogue as docs/check.md has it."""
    lines: list[str] = []
    for topic, rules in TOPICS:
        lines += ["", f"### {topic}", "", "| id | | found | why |", "| --- | --- | --- | --- |"]
        lines += [f"| `{rule.id}` | {rule.severity} | {rule.title} | {rule.why} |" for rule in rules]
    return "\n".join(lines[1:]) + "\n"
