"""A cell: mount, pid and network namespaces for one scenario with one side's agent, and a hard limit.

Agents under test kill processes, and some kill the wrong ones or hang for good. Here they reach nothing but
the cell; when its first process ends, whatever the reason, the kernel ends all others, and with them go the
mounts, the loop disks (which are told to) and a filesystem's hung server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agents.agent_worlds import PATH, sh
from needs.catalogue import Outcome, scenarios
from needs.world import NotHere, World

if TYPE_CHECKING:
    from needs.catalogue import Need

TESTS = Path(__file__).resolve().parents[1]
# For a scenario, and on top of that for each user or mount of many.
LIMIT_S = 150
EACH_S = 0.1
_NOT_HERE = 77  # exit code, as automake's tests use it


class Broken(Exception):
    """The scenario itself failed: nothing is known about the agent. The text is its output."""


def run(one: Need, side: str, many: int) -> Outcome:
    """Run a scenario in a cell of its own. Raises NotHere, Broken."""
    base = tempfile.mkdtemp(prefix="fk-needs-")
    walls = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--pid", "--ipc", "--fork"]
    walls += ["--kill-child", "--mount-proc", "--propagation", "private"]
    environment = {"PATH": PATH, "LC_ALL": "C.UTF-8", "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'lib'}"}
    argv = [*walls, sys.executable, "-B", "-m", "needs.cell", one.name, side, str(many), base]
    limit_s = LIMIT_S + EACH_S * many
    pipe = subprocess.PIPE
    child = subprocess.Popen(argv, env=environment, stdout=pipe, stderr=pipe, text=True, errors="replace")
    try:
        out, log = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"{one.name} with {side} did not end in {limit_s:.0f} s: {error.stderr!r}") from None
    finally:
        close(child)
        os.rmdir(base)
    if child.returncode == _NOT_HERE:
        raise NotHere(log.strip().splitlines()[-1])
    if child.returncode != 0:
        raise Broken(f"{one.name} with {side} exited {child.returncode}:\n{log}")
    told = json.loads(out.splitlines()[-1])
    return Outcome(told["holds"], told["seen"].replace(f"{base}/", "/"))


def close(child: subprocess.Popen[str]) -> None:
    """End a cell that has not ended, and return when it is gone.

    Its first process is killed, not unshare(1), which waits for that and so ends last. It matters: removing the
    directory that the cell has mounts on while the cell is being taken down leaves its disks mounted for good,
    without any namespace (seen with Linux 6.18).
    """
    if child.poll() is None:
        for pid in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    child.communicate()


def inside(name: str, side: str, many: int, base: Path) -> int:
    """The first process of the cell."""
    sh("mount", "-t", "tmpfs", "none", base)
    # Names of network namespaces, and what mount(8) notes, are the cell's own.
    os.makedirs("/run/netns", exist_ok=True)
    for place in ("/run/netns", "/run/mount", "/var/lib/nfs"):
        if os.path.isdir(place):
            sh("mount", "-t", "tmpfs", "none", place)
    # And we keep nobody else's disk busy.
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    for point in [line.split()[4] for line in lines if " /dev/loop" in line]:
        sh("umount", "-l", point, check=False)
    scenario = next(one.scenario for one in scenarios() if one.name == name)
    try:
        outcome = scenario(World(base, side, many))
    except NotHere as error:
        sys.stderr.write(f"{error}\n")
        return _NOT_HERE
    sys.stdout.write(json.dumps(outcome._asdict()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(inside(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
