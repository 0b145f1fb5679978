"""Two guests with Pacemaker, made a cluster as docs/howto/to-pacemaker.md says, of the files of the HOWTO.

What export-cib printed is loaded as it is.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from lab.errors import GuestError
from lab.guest import Guest, Result
from lab.lab import Lab
from lab.page_pair import PagePair
from lab.systemd_pair import PATIENCE_S

CIB = "/var/lib/pacemaker/cib/cib.xml"
CLUSTER_S = 2400.0
"""A first start, or a takeover: token, the shot, an election, the starts, on machines that may be slow."""


class PacemakerPair(PagePair):
    """The nodes with the files of the page, and then a cluster made of them."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.group = ""
        self.remarks = ""

    # --- setting up --------------------------------------------------------------------------------------

    def make_cluster(self) -> None:
        """Steps 2 to 5 of the page, but for failoverd, which never ran here. GuestError when a command fails."""
        pete = self.lab.pete
        export = ["failoverctl", "export-cib", "--output"]
        told = pete.run([*export, "/root/cib.xml"], timeout_s=PATIENCE_S)
        self.remarks = told.stdout + told.stderr
        pete.run([*export, "/root/corosync.conf", "--format", "corosync"], timeout_s=PATIENCE_S)
        pete.run(["crm_verify", "--xml-file", "/root/cib.xml"], timeout_s=PATIENCE_S)
        nodes = [word for node in self.nodes for word in ("--node-up", node.name)]
        simulate = ["crm_simulate", "--xml-file", "/root/cib.xml", "--simulate", "--quorum", "1", *nodes]
        pete.run(simulate, timeout_s=PATIENCE_S)
        pete.run(["corosync-keygen", "-k", "/root/authkey"], timeout_s=PATIENCE_S)
        cib = pete.get("/root/cib.xml")
        self.group = self._group_of(cib)
        for node in self.nodes:
            node.put("/root/cib.xml", cib)
            node.put("/etc/corosync/corosync.conf", pete.get("/root/corosync.conf"))
            node.put("/etc/corosync/authkey", pete.get("/root/authkey"), 0o400)
            node.sh(f"install -o hacluster -g haclient -m 0600 /root/cib.xml {CIB}\n")
        for node in self.nodes:
            node.run(["systemctl", "enable", "--now", "corosync", "pacemaker"], timeout_s=PATIENCE_S)

    @staticmethod
    def _group_of(cib: bytes) -> str:
        (group,) = ET.fromstring(cib).findall(".//group")
        return group.attrib["id"]

    # --- asking ------------------------------------------------------------------------------------------

    def mon(self, node: Guest) -> ET.Element | None:
        """``crm_mon`` of that node; None while Pacemaker does not answer there."""
        try:
            told = node.run(["crm_mon", "-1", "--output-as=xml"], timeout_s=120, check=False)
        except GuestError:
            return None
        return ET.fromstring(told.stdout) if told.code == 0 else None

    def holders(self, seen: ET.Element) -> set[str]:
        """Where the members of the group run, as that picture has it; {""}: one of them does not run."""
        members = seen.findall(f".//group[@id='{self.group}']/resource")
        places: set[str] = set()
        for member in members:
            started = member.get("role") == "Started" and member.get("failed") == "false"
            nodes = [node.get("name", "") for node in member.findall("node")]
            places |= set(nodes) if started and nodes else {""}
        return places

    def serves(self, node: Guest) -> bool:
        """Whether all of the group runs there, as the node says itself."""
        seen = self.mon(node)
        return seen is not None and self.holders(seen) == {node.name}

    def well(self) -> bool:
        """Whether both nodes say that both are online, and everything runs, fence devices too."""
        for node in self.nodes:
            seen = self.mon(node)
            if seen is None:
                return False
            members = seen.findall("./nodes/node")
            resources = seen.findall(".//resource")
            if len(members) != len(self.nodes) or len(resources) < len(self.nodes) + 1:
                return False
            if any(one.get("online") != "true" or one.get("pending") == "true" for one in members):
                return False
            if any(one.get("unclean") == "true" for one in members):
                return False
            if any(one.get("role") != "Started" or one.get("failed") == "true" for one in resources):
                return False
        return True

    def fenced(self, node: Guest, victim: str) -> list[dict[str, str]]:
        """Fence events of ``victim`` as that node has them in its history."""
        told = node.run(["stonith_admin", "--history", victim, "--output-as=xml"], timeout_s=PATIENCE_S)
        return [dict(event.attrib) for event in ET.fromstring(told.stdout).iter("fence_event")]

    def ask(self, node: Guest, *argv: str) -> Result:
        """A command of Pacemaker's that must succeed."""
        return node.run(argv, timeout_s=PATIENCE_S)

    def picture(self) -> str:
        """For the message of a wait that was in vain."""
        parts = []
        for node in self.nodes:
            try:
                mon = node.run(["crm_mon", "-1rfn"], timeout_s=60, check=False)
                units = ["-u", "pacemaker", "-u", "corosync"]
                log = node.run(["journalctl", *units, "-n", "40", "--no-pager"], timeout_s=60, check=False)
                parts.append(f"{node.name}:\n{mon.stdout}{mon.stderr}{log.stdout}")
            except GuestError as error:
                parts.append(str(error))
        return "\n".join(parts)
