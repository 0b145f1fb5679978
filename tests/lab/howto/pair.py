"""The pair as the story commands it: both nodes, their managers, the client, and every wait with a limit."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from failover_kit.rehearsal.status import Status, parse
from lab import plan
from lab.errors import LabError
from lab.howto import readings
from lab.howto.readings import ReadingError
from lab.report import StepFailed

if TYPE_CHECKING:
    from lab.client.evidence import Evidence
    from lab.guest import Guest, Result
    from lab.lab import Lab

CTL = "/usr/sbin/failoverctl"
INIT = "/etc/init.d/failoverd"
FENCE_AGENT = "/usr/sbin/fence_wti_ips800"
STONITH = "/usr/lib/failover-kit/compat/stonith"
PASSWORD_FILE = "/etc/ha.d/benjamin.password"
JOURNAL = "/var/lib/failover-kit/journal"
LOG = "/var/log/failoverd.log"

# Limits in seconds, generous: the processors are emulated, and two cores may be shared by many.
COMMAND_S = 600
BOOT_S = 900
ORDER_S = 900
SERVE_S = 1200
STATUS_PAUSE_S = 3.0
TAKEOVER_S = 1200
"""Of a power cut: 10 s of deadtime, 16 or 32 s of fence_delay, the switch, the start; and all of it slow."""

T = TypeVar("T")
Look = Callable[[], str]
"""Says what is still wrong in a sentence; "" when all is as it should be."""


def until(what: str, look: Look, limit_s: float, pause_s: float = 0.5) -> int:
    """Look until nothing is wrong; the milliseconds it took. StepFailed with the last sentence at the limit."""
    begun = looked = time.monotonic()
    while wrong := look():
        if time.monotonic() - begun > limit_s:
            raise StepFailed(what, f"{wrong}, after {limit_s:g} s")
        # To look is work for the guest, too: where that is slow, half of the time is left to what is waited for.
        time.sleep(max(pause_s, time.monotonic() - looked))
        looked = time.monotonic()
    return round((time.monotonic() - begun) * 1000)


def brief(text: str, most: int = 200) -> str:
    """The end of a text as one line, for the table."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"…{line[-most:]}"


class Pair:
    """``lab`` has three guests; ``say`` takes progress lines."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self.lab = lab
        self.say = say
        self.pete, self.mclaws, self.kokone = lab.pete, lab.mclaws, lab.kokone
        self.nodes: tuple[Guest, Guest] = (lab.pete, lab.mclaws)
        self._evidence: Evidence | None = None

    @property
    def evidence(self) -> Evidence:
        """What the client's programs record, from step 21 on."""
        if self._evidence is None:
            raise StepFailed("the client's programs run", "they were not started yet")
        return self._evidence

    @evidence.setter
    def evidence(self, found: Evidence) -> None:
        self._evidence = found

    def other(self, node: Guest) -> Guest:
        """The node that is not this one."""
        return self.mclaws if node is self.pete else self.pete

    # --- commands --------------------------------------------------------------------------------------------

    def ctl(self, node: Guest, *words: str, limit_s: float = ORDER_S, check: bool = True) -> Result:
        """failoverctl on a node."""
        return node.run([CTL, *words], timeout_s=limit_s, check=check)

    def on_both(self, argv: Sequence[str], limit_s: float = COMMAND_S, *, check: bool = True) -> list[Result]:
        """The same command on both nodes at the same time. The first error is raised when both have ended."""
        return both(self.nodes, lambda node: node.run(list(argv), timeout_s=limit_s, check=check))

    def script_on_both(self, script: str, limit_s: float = COMMAND_S) -> list[Result]:
        """The same script on both nodes at the same time."""
        return both(self.nodes, lambda node: node.sh(script, timeout_s=limit_s))

    def put_on_both(self, path: str, text: str, mode: int = 0o644) -> None:
        for node in self.nodes:
            node.put(path, text, mode)

    # --- status ----------------------------------------------------------------------------------------------

    def status(self, node: Guest) -> Status | str:
        """What a node says of the pair, or the sentence why it says nothing."""
        try:
            result = self.ctl(node, "status", "--json", limit_s=COMMAND_S, check=False)
        except LabError as error:
            return str(error).splitlines()[0]
        if result.code not in (0, 1, 2):
            return f"failoverctl status on {node.name}: exit code {result.code}: {result.last_line()}"
        try:
            return parse(json.loads(result.stdout)["view"], result.code)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return f"{node.name}: status is not as expected ({error!r}): {result.stdout[:200]}"

    def not_served_by(self, active: Guest) -> str:
        """What keeps the pair from being healthy with ``active`` serving and the other node passive; "" nothing."""
        for node, state in ((active, "started"), (self.other(active), "stopped")):
            status = self.status(node)
            if isinstance(status, str):
                return status
            (group,) = status.groups
            if group.state != state:
                return f"{node.name} says the group is {group.state} there ({group.doing or status.reason})"
            if status.exit_code != 0:
                return (
                    f"{node.name} says {status.health}: {status.reason or 'see status'} (exit {status.exit_code})"
                )
        return ""

    def wait_served_by(self, active: Guest, limit_s: float = SERVE_S) -> int:
        """Until both say: healthy, ``active`` serves, the other is passive."""
        what = f"a healthy pair with {active.name} active"
        return until(what, lambda: self.not_served_by(active), limit_s, STATUS_PAUSE_S)

    def log_lines(self, node: Guest) -> int:
        """How long the manager's log is there."""
        return int(node.sh(f"cat {LOG} 2>/dev/null | wc -l\n").stdout)

    def wait_started(self, node: Guest, after_line: int, limit_s: float) -> int:
        """Until the log says that the group is started there. To ask failoverctl would be dear: it is an
        interpreter's start on an emulated processor that has something better to do just now."""
        script = f"tail -n +{after_line + 1} {LOG} | grep ' started on {node.name}' || true\n"

        def look() -> str:
            return "" if node.sh(script, timeout_s=COMMAND_S).stdout else f"the log of {node.name} does not say it"

        return until(f"the group is started on {node.name}", look, limit_s, 1.0)

    # --- managers --------------------------------------------------------------------------------------------

    def start_managers(self) -> tuple[int, int]:
        """Both at about the same time, by the init script; how many ms each took."""
        first, second = self.on_both([INIT, "start"])
        return first.ms, second.ms

    def stop_managers(self, active: Guest) -> None:
        """The passive node first: then the active one has nobody to hand over to, and stops the service itself."""
        for node in (self.other(active), active):
            node.run([INIT, "stop"], timeout_s=ORDER_S)

    # --- the client's eye ------------------------------------------------------------------------------------

    def active_mac(self) -> str:
        """Whose hardware address answers the client's ``arping clusterb``."""
        argv = ["arping", "-c", "3", "-w", "20", "-I", "eth2", plan.CLUSTER]
        return readings.answering_mac(self.kokone.run(argv, check=False).stdout)

    def wait_mac_of(self, node: Guest, limit_s: float = 30) -> str:
        """Until the client is answered by that node's front card and by nobody else."""
        wanted = node.plan.nic("eth2").mac

        def look() -> str:
            try:
                mac = self.active_mac()
            except ReadingError as error:
                return str(error)
            return "" if mac == wanted else f"{mac} answers for {plan.CLUSTER}"

        until(f"{plan.CLUSTER} answers with {wanted} of {node.name}", look, limit_s)
        return wanted

    # --- storage ---------------------------------------------------------------------------------------------

    def mounted(self, node: Guest) -> bool:
        """Whether the disk, and nothing else, is mounted at the mount point there."""
        argv = ["findmnt", "-n", "-o", "SOURCE", "--mountpoint", plan.MOUNT_POINT]
        found = node.run(argv, check=False).stdout.split()
        if found and found != [plan.SHELF_DEVICE]:
            raise StepFailed(f"{plan.SHELF_DEVICE} on {plan.MOUNT_POINT}", f"{found} on {node.name}")
        return bool(found)

    def check_mounts(self, active: Guest) -> None:
        """The kernels' own word: mounted on the active node, on the passive one not."""
        for node, wanted in ((active, True), (self.other(active), False)):
            if self.mounted(node) is not wanted:
                state = "not mounted" if wanted else "mounted"
                raise StepFailed(
                    f"the disk is mounted on {active.name} and nowhere else", f"{state} on {node.name}"
                )


def both(nodes: Sequence[Guest], work: Callable[[Guest], T]) -> list[T]:
    """Run ``work`` for each node in a thread of its own; results in the order of ``nodes``."""
    results: dict[str, T] = {}
    errors: list[Exception] = []

    def one(node: Guest) -> None:
        try:
            results[node.name] = work(node)
        except Exception as error:  # raised again below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=one, args=(node,), name=f"on-{node.name}") for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[node.name] for node in nodes]
