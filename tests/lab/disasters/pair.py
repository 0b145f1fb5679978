"""The two nodes of a disaster: made ready, started, asked, and every wait with a limit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab import plan
from lab.client import clocks
from lab.disasters import files, recorder
from lab.howto.pair import CTL, INIT, both, until
from lab.report import StepFailed

if TYPE_CHECKING:
    from lab.guest import Guest, Result
    from lab.lab import Lab

BOOT_S = 300
START_S = 180
COMMAND_S = 120
RECORDER = "/usr/local/sbin/recorder.py"
ACKS = "/var/lib/recorder"
LOG = "/var/log/failoverd.log"
FOLDER = "/etc/ha.d"
WRITER_LOOK = f"""\
for file in /proc/[0-9]*/comm; do
    [ "$(cat $file 2>/dev/null)" = {recorder.WRITER} ] || continue
    cd "${{file%/comm}}"
    pending=$(sed -n 's/^S[hi][dg]Pnd:\\t.............\\(.\\)../\\1/p' status | tr -d '\\n')
    case $pending in *[13579bdf]*) kill=yes ;; *) kill=no ;; esac
    echo "pid=${{PWD#/proc/}} state=$(sed -n 's/^State:\\t\\(.\\).*/\\1/p' status) waits_in=$(cat wchan) kill=$kill"
    exit 0
done
"""
"""SIGKILL is signal 9: bit 8, the lowest of the third digit from the right of SigPnd and ShdPnd, proc(5)."""


class Nodes:
    """Both nodes of a lab. ``say`` takes progress lines."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self.lab, self.say = lab, say
        self.pete, self.mclaws = lab.pete, lab.mclaws
        self.both = (lab.pete, lab.mclaws)
        self.offsets: dict[tuple[str, int], int] = {}

    # --- made ready ------------------------------------------------------------------------------------------

    def prepare(self, *, fencing: bool) -> None:
        """The switch, the files, the disk, the recorder; nothing is started yet."""
        self.lab.panel.join("pete", "mclaws")
        for node in self.both:
            node.sh(f"umask 077; mkdir -p {FOLDER}\nmkdir -p {plan.MOUNT_POINT}\n")
            node.put(files.PASSWORD_FILE, f"{files.PASSWORD}\n", 0o600)
            node.put(f"{FOLDER}/ha.cf", files.ha_cf(fencing=fencing), 0o600)
            node.put(f"{FOLDER}/haresources", files.HARESOURCES)
            node.put(f"{FOLDER}/authkeys", files.AUTHKEYS, 0o600)
            node.put("/etc/default/failoverd", files.defaults(node.name))
            with open(recorder.__file__, "rb") as file:
                node.put(RECORDER, file.read(), 0o755)
        if fencing:
            self._set_up_switch()
        both(self.both, self.await_disk)
        self.pete.run(["mkfs.xfs", "-q", "-f", plan.SHELF_DEVICE], timeout_s=COMMAND_S)

    def await_disk(self, node: Guest) -> Result:
        """Until the node sees the shelf."""
        look = (
            f"aoe-discover\ni=0\nuntil [ -b {plan.SHELF_DEVICE} ]; do sleep 0.5; i=$((i+1)); [ $i -lt 60 ]; done\n"
        )
        return node.sh(look, timeout_s=COMMAND_S)

    def start_over(self) -> None:
        """Both off and on again, as if nothing of a cluster had ever run there."""
        for node in self.both:
            assert node.plan.plug is not None
            self.lab.switch.press(node.plan.plug, "off")
        self.heal_heartbeat()
        self.lab.boot(timeout_s=BOOT_S)
        for node in self.both:
            node.run(["rm", "-rf", "/var/lib/failover-kit", ACKS, LOG])

    def _set_up_switch(self) -> None:
        words = ["switch", "setup", "--ip", plan.SWITCH_ADDRESS, "--new-password-file", files.PASSWORD_FILE]
        for node in self.both:
            words += ["--name", f"{node.plan.plug}={node.name}"]
        self.pete.run([CTL, *words], timeout_s=COMMAND_S)

    def start(self, *, at_boot: bool) -> None:
        """Managers at about the same time (``at_boot``: at each boot from now on), and the recorders."""
        if at_boot:
            both(self.both, lambda node: node.run(["update-rc.d", "failoverd", "defaults"], timeout_s=COMMAND_S))
        both(self.both, lambda node: node.run([INIT, "start"], timeout_s=START_S))
        for node in self.both:
            self.start_recorder(node)
        self.wait(
            "the group runs on pete", self.pete, lambda status: status["groups"][0]["state"] == "started", START_S
        )

    def start_recorder(self, node: Guest) -> None:
        words = ["--mount", plan.MOUNT_POINT, "--node", node.name, "--acks", ACKS]
        node.spawn(["/usr/bin/python3", RECORDER, "run", *words], log="/var/log/recorder.log")

    # --- asked -----------------------------------------------------------------------------------------------

    def status(self, node: Guest) -> dict[str, Any]:
        """``failoverctl status --json``: its ``view``, with ``operations`` and ``problems`` from around it."""
        result = node.run([CTL, "status", "--json"], timeout_s=COMMAND_S, check=False)
        try:
            whole = json.loads(result.stdout)
            return {**whole["view"], **{name: whole[name] for name in ("operations", "problems", "recent")}}
        except (ValueError, KeyError, TypeError):
            raise StepFailed(f"status of {node.name}", f"exit {result.code}: {result.last_line()}") from None

    def wait(
        self, what: str, node: Guest, wanted: Callable[[dict[str, Any]], bool], limit_s: float
    ) -> dict[str, Any]:
        """Until the status of ``node`` is as wanted; that status."""
        last: dict[str, Any] = {}

        def look() -> str:
            nonlocal last
            try:
                last = self.status(node)
            except StepFailed as error:
                return error.seen
            return "" if wanted(last) else f"{last['health']}: {last['reason']}; {last['groups'][0]['doing']}"

        until(what, look, limit_s)
        return last

    def wait_healthy(self, limit_s: float = START_S) -> None:
        for node in self.both:
            self.wait(
                f"{node.name} says that all is well", node, lambda status: status["health"] == "healthy", limit_s
            )

    def acks(self, node: Guest) -> list[recorder.Ack]:
        return recorder.acknowledged(self.acks_text(node))

    def acks_text(self, node: Guest) -> str:
        return node.sh(f"cat {ACKS}/{node.name} 2>/dev/null || true\n", timeout_s=COMMAND_S).stdout

    def wait_acks(self, node: Guest, count: int, limit_s: float) -> int:
        """Until ``count`` more records were acknowledged there than now; how many there are then."""
        before = len(self.acks(node))

        def look() -> str:
            now = len(self.acks(node))
            return "" if now >= before + count else f"{now - before} records more"

        until(f"{count} more records acknowledged on {node.name}", look, limit_s)
        return len(self.acks(node))

    def mounted(self, node: Guest) -> bool:
        """The kernel's own word; it comes without touching the filesystem."""
        return disk_mounted(node.get("/proc/mounts").decode())

    def writer(self, node: Guest) -> dict[str, str]:
        """The recorder's writer in /proc: ``pid``, ``state`` (a letter), ``waits_in``, ``kill`` (yes: SIGKILL is
        pending). Empty when there is none."""
        words = node.sh(WRITER_LOOK, timeout_s=COMMAND_S).stdout.split()
        return dict(word.partition("=")[::2] for word in words)

    def wall_offset_ms(self, node: Guest) -> int:
        """What to add to the node's wall clock for the lab's; measured once in each boot."""
        key = (node.name, node.boot)
        if key not in self.offsets:
            found = clocks.measure(lambda: node.run(["date", "+%s.%N"]).stdout[:13], self.lab.now_ms)
            self.offsets[key] = -found.offset_ms
        return self.offsets[key]

    # --- cables ----------------------------------------------------------------------------------------------

    def cut_heartbeat(self) -> None:
        """Both links: the cards' carriers and the null-modem cable."""
        for node in self.both:
            self.lab.link(node.name, "eth1").down()
        self.lab.panel.cut()

    def heal_heartbeat(self) -> None:
        self.lab.panel.join("pete", "mclaws")
        for node in self.both:
            self.lab.link(node.name, "eth1").up()


def disk_mounted(mounts: str) -> bool:
    """Whether /proc/mounts has the shared disk at its mount point."""
    return any(line.split()[:2] == [plan.SHELF_DEVICE, plan.MOUNT_POINT] for line in mounts.splitlines())
