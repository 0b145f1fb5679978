"""Runs in a guest: kills actions of an agent at random moments, and looks whether what follows is right.

    python3 nfs_interrupted.py AGENT DISK MOUNT_POINT ROUNDS SEED

AGENT is the path of nfsserver, killnfsd or exportfs; DISK is mounted at MOUNT_POINT. The action's whole process
group is killed, as Pacemaker does at a timeout. Then monitor must not say "running" of half a resource nor
"stopped" of anything that is left, and whatever action comes next must succeed. Prints one line with the number of
each outcome, or what was wrong (exit 1).
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

AGENT, DISK, POINT = sys.argv[1:4]
ROUNDS, SEED = map(int, sys.argv[4:6])
NAME = os.path.basename(AGENT)
LIMIT_S = 300
HELPERS = ["nfsdcld", "rpc.mountd", "rpc.statd"]
PARAMETERS = {
    "nfsserver": {"nfs_shared_infodir": f"{POINT}/.nfs", "nfs_ip": "192.0.2.99", "threads": "2"},
    "killnfsd": {},
    "exportfs": {
        "directory": POINT, "clientspec": "192.0.2.0/24 192.0.2.200", "options": "rw,sync", "fsid": "1",
    },
}  # fmt: skip
SURROUNDINGS = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "OCF_RESKEY_CRM_meta_timeout": "120000",
    "OCF_RESKEY_CRM_meta_interval": "10000",
}


class Wrong(Exception):
    pass


def threads() -> int:
    try:
        with open("/proc/fs/nfsd/threads", encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


class Nfsserver:
    """Threads, helpers and the state directory: all of them, or none."""

    def prepare(self) -> None:
        """Nothing: the resource is the server."""

    def there(self) -> tuple[int, bool, list[str]]:
        names = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                names.append(read(f"/proc/{pid}/comm").strip())
            except OSError:
                continue
        bound = " /var/lib/nfs " in read("/proc/mounts")
        return threads(), bound, sorted(name for name in names if name in HELPERS)

    def judge(self, verb: str, code: int | None) -> str:
        count, bound, helpers = self.there()
        if code == 7 and (count or bound):
            return f"monitor says stopped: {count} threads, bound {bound}"
        if code == 0 and (not count or not bound or helpers != HELPERS):
            return f"monitor says running: {count} threads, bound {bound}, {helpers}"
        return ""

    def left(self) -> str:
        return "" if self.there() == (0, False, []) else f"{self.there()}"


class Killnfsd:
    """A server of somebody else before every action; the marker must not come or go before that has ended."""

    def prepare(self) -> None:
        subprocess.run(["rpc.nfsd", "2"], check=True, timeout=LIMIT_S)
        if threads() != 2:
            raise Wrong("there is no server to end")

    def judge(self, verb: str, code: int | None) -> str:
        done = code == (0 if verb == "start" else 7)
        if code not in (0, 7) or (done and threads()):
            return f"after {verb} monitor says {code}, and {threads()} threads run"
        return ""

    def left(self) -> str:
        return f"{threads()} threads" if threads() else ""


class Exportfs:
    """One directory for two clients, with a server that runs all the time."""

    def prepare(self) -> None:
        if not threads():
            raise Wrong("the server does not run")

    def exported(self) -> int:
        return sum(line.startswith(f"{POINT}\t192.0.2.") for line in read("/var/lib/nfs/etab").splitlines())

    def judge(self, verb: str, code: int | None) -> str:
        if (code == 0 and self.exported() != 2) or (code == 7 and self.exported()):
            return f"monitor says {code}, and {self.exported()} of 2 are exported"
        return ""

    def left(self) -> str:
        return f"{self.exported()} exports" if self.exported() else ""


RESOURCE = {"nfsserver": Nfsserver, "killnfsd": Killnfsd, "exportfs": Exportfs}[NAME]()
ENVIRONMENT = SURROUNDINGS | {f"OCF_RESKEY_{name}": text for name, text in PARAMETERS[NAME].items()}


def agent(verb: str, kill_after_s: float | None = None) -> tuple[int | None, str]:
    """Exit code and output; None for an action that was killed."""
    child = subprocess.Popen(
        [AGENT, verb],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    if kill_after_s is not None:
        try:
            child.wait(kill_after_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return None, ""
    out, _ = child.communicate(timeout=LIMIT_S)
    return child.returncode, out


def must(verb: str, code: int) -> None:
    got, out = agent(verb)
    if got != code:
        raise Wrong(f"{verb} exits {got}, not {code}: {out}")


def judge_monitor(verb: str) -> int | None:
    code, out = agent("monitor")
    wrong = RESOURCE.judge(verb, code)
    if wrong:
        raise Wrong(wrong)
    if code not in (0, 7) and (code != 1 or "ocf-exit-reason" not in out or "bug" in out):
        raise Wrong(f"monitor exits {code}: {out}")
    return code


def clean() -> None:
    """Nothing is left, and the disk is free."""
    if RESOURCE.left():
        raise Wrong(f"left after stop: {RESOURCE.left()}")
    # A writer that was killed leaves its draft, "NAME.PID", which nobody reads.
    kept = [name for name in os.listdir("/run/resource-agents") if NAME in name]
    left = [name for name in kept if not name.rpartition(".")[2].isdigit()]
    if left:
        raise Wrong(f"left in HA_RSCTMP: {left}")
    subprocess.run(["umount", POINT], check=True)
    os.close(os.open(DISK, os.O_RDONLY | os.O_EXCL))
    subprocess.run(["mount", DISK, POINT], check=True)


def one_round(rng: random.Random, took: dict[str, float]) -> str:
    """One action that is killed and what follows; what came of it, or Wrong."""
    verb, following = rng.choice(["start", "stop"]), rng.choice(["start", "stop"])
    if verb == "stop":
        must("start", 0)
    RESOURCE.prepare()
    moment_s = rng.random() * took[verb]
    try:
        code, out = agent(verb, moment_s)
        if code not in (None, 0):
            raise Wrong(f"{verb} exits {code}: {out}")
        outcome = f"{verb} {'killed' if code is None else 'done'}, monitor {judge_monitor(verb)}"
        if following == "start":
            must("start", 0)
            must("monitor", 0)
        must("stop", 0)
        must("monitor", 7)
        clean()
    except Wrong as wrong:
        raise Wrong(f"{verb} killed after {moment_s:.3f} s, then {following}: {wrong}") from None
    return outcome


def main() -> None:
    rng = random.Random(SEED)
    took = {}
    for verb in ("start", "stop"):
        RESOURCE.prepare()
        began = time.monotonic()
        must(verb, 0)
        took[verb] = time.monotonic() - began
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        try:
            outcomes[one_round(rng, took)] += 1
        except Wrong as wrong:
            print(f"round {number}: {wrong}")
            sys.exit(1)
    print(", ".join(f"{what}: {count}" for what, count in sorted(outcomes.items())))


main()
