"""Two guests under Debian's Heartbeat with our scripts and our plugin, and the pages of docs/howto typed on them.

Heartbeat reads the three files first, failoverd the same ones afterwards; so ``ha.cf`` has what both know.
"""

from __future__ import annotations

from failover_kit.rehearsal.plan import MCLAWS, PETE
from heartbeat import guide
from lab import plan
from lab.errors import GuestError, LabError
from lab.guest import Guest, Result
from lab.page_pair import DEADTIME_S, INITDEAD_S, PagePair, howto_files
from lab.systemd_pair import PATIENCE_S, wait_for

SHELL = "/bin/sh"
LOG = "/var/log/ha-log"
MANAGERS = ("heartbeat", "failoverd")

# Without realtime: what asks is in the same guest, and its processor is an emulated one.
HA_CF = f"""\
logfile {LOG}
keepalive 1
warntime 5
deadtime {{deadtime}}
initdead {{initdead}}
auto_failback off
baud 19200
serial /dev/ttyS0
udpport 694
ucast eth1 192.168.1.1
ucast eth1 192.168.1.2
node pete
node mclaws
realtime off
crm no
stonith_host * external/failover-kit-wti-file {plan.SWITCH_ADDRESS} /etc/ha.d/benjamin.password
"""


class HeartbeatPair(PagePair):
    """The HOWTO's pair, its files those of the page but for ha.cf."""

    method = "sha1"

    def files(self, pace: int) -> dict[str, str]:
        """What Heartbeat knows of ha.cf, and the page's haresources."""
        times = {"deadtime": DEADTIME_S * pace, "initdead": 2 * INITDEAD_S * pace}
        return {"ha.cf": HA_CF.format(**times), "haresources": howto_files(pace)["haresources"]}

    def prepare(self) -> None:
        """As every pair; and the plugs get the nodes' names, by which Heartbeat's plugin finds them."""
        super().prepare()
        at = [f"--ip={plan.SWITCH_ADDRESS}", "--password-file=/etc/ha.d/benjamin.password"]
        names = [word for one in plan.NODES for word in ("--name", f"{one.plug}={one.name}")]
        self.lab.pete.run(["failoverctl", "switch", "setup", *at, *names], timeout_s=PATIENCE_S)

    # --- doing -------------------------------------------------------------------------------------------

    def play(self, page: str, *sections: str, active: Guest | None = None) -> None:
        """Type the commands of those sections; ``active`` is the page's pete. Raises LabError at the first that is
        not answered as the page says."""
        first = active or self.lab.pete
        second = next(node for node in self.nodes if node is not first)
        who, places = {PETE.name: first.name, MCLAWS.name: second.name}, {node.name: node for node in self.nodes}
        steps = guide.read(page)
        for section in sections:
            chosen = [step for step in steps if step.section == section]
            if not chosen:
                raise LabError(f"{page} has no commands in a section {section}")
            for step in chosen:
                typed = guide.exchanged(step, who)
                self._type(places[typed.node], typed)

    def _type(self, node: Guest, step: guide.Step) -> None:
        """A remark may take a while to become true; what has none must do at once."""
        seen: list[Result] = []

        def as_said() -> bool:
            seen[:] = [node.run([SHELL, "-c", step.command], timeout_s=PATIENCE_S, check=False)]
            return seen[0].code == step.code and step.says in seen[0].stdout + seen[0].stderr

        try:
            if not as_said():
                if not step.waits:
                    raise LabError("it must do so at once")
                wait_for(as_said, "it answers as the page says", self)
        except LabError as error:
            said = f"it exits {seen[0].code} and says: {seen[0].stdout}{seen[0].stderr}" if seen else ""
            raise LabError(f"{step.section}: on {node.name}: {step.command}: {error}; {said}") from None

    # --- asking ------------------------------------------------------------------------------------------

    def serves(self, node: Guest) -> bool:
        """Whether the disk and the cluster address are there; the address is the last of the group."""
        address = ["ip", "-o", "-4", "address", "show", "to", plan.CLUSTER_ADDRESS]
        try:
            disk = node.run(["mountpoint", "-q", plan.MOUNT_POINT], check=False)
            return disk.code == 0 and bool(node.run(address, check=False).stdout.strip())
        except GuestError:
            return False

    def managers(self, node: Guest) -> set[str]:
        """Which of the two run there."""
        return {name for name in MANAGERS if node.run(["pgrep", "-x", name], check=False).code == 0}

    def picture(self) -> str:
        """For the message of a wait that was in vain."""
        parts = []
        for node in self.nodes:
            try:
                units = "-u failoverd -u heartbeat"
                log = node.sh(f"tail -n 30 {LOG} 2>&1\njournalctl {units} -n 30 --no-pager 2>&1\n")
                parts.append(f"{node.name}:\n{log.stdout}")
            except GuestError as error:
                parts.append(str(error))
        return "\n".join(parts)
