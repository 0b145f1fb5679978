"""The rows of the HOWTO, 1 to 26, and why some of them are not for a machine. Pure data.

A table made with these rows is complete only when every number has a step that was run, or stands here (or was
put by ``Table.by_hand``) with the reason why it was not.
"""

from __future__ import annotations

HOWTO: dict[str, str] = {
    "1": "an unconfigured manager says which file is missing and stops",
    "2": "the failover scripts: resource agents installed on both nodes",
    "3": "the power switch gets its address over its serial port",
    "4": "the switch's password and the plugs' names, set over the network",
    "5": "the switch's status screen",
    "6": "circuits: the nodes' plugs on different ones",
    "7": "one session at a time at the switch: log out before the cluster needs it",
    "8": "the AoE disk is up and seen by both nodes; XFS is made on it",
    "9": "boot links of the NFS scripts removed on both nodes",
    "10": "authkeys: the same on both nodes, readable by root only",
    "11": "ha.cf: timing, serial cable, stonith_host, nodes",
    "12": "the variant without serial cable: ucast on eth1",
    "13": "haresources, continued lines and all",
    "14": "order of the resources: where the address stands",
    "15": "the log: one sentence per decision",
    "16": "exports and mount point on both nodes",
    "17": "stonith from each node: login, device OK, host rebooted, power restored",
    "18": "the serial cable tested in both directions",
    "19": "both managers started at about the same time",
    "20": "arping from a third machine shows the active node",
    "21": "the client mounts the cluster address and copies files",
    "22": "standby and takeover while the client reads and writes",
    "23": "power pulled from the active node",
    "24": "the service broken while the heartbeat goes on: a client observes",
    "25": "MD and LVM layers",
    "26": "archival backup",
}

BY_HAND: dict[str, str] = {
    "6": "which circuit feeds which plug is decided by hands at the switch; the manual asks for it",
    "24": "the observer on a third machine is not built yet; the story does not touch it",
    "25": "the pair of the document has neither MD nor LVM below its filesystem",
    "26": "another matter, as the document says: a second node is no backup, and nothing is built for it",
}
"""Used for a row that no step of the story took up."""
