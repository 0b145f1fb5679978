"""Runs in a guest: kills actions of nfsserver at random moments, and looks whether what follows is right.

    python3 nfs_interrupted.py AGENT DISK MOUNT_POINT ROUNDS SEED

The action's whole process group is killed, as Pacemaker does at a timeout. Then monitor must not say "running" of
half a server nor "stopped" of anything that is left, and whatever action comes next must succeed. Prints one line
with the number of each outcome, or what was wrong (exit 1).
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
HELPERS = ["nfsdcld", "rpc.mountd", "rpc.statd"]
LIMIT_S = 300
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "OCF_RESKEY_nfs_shared_infodir": f"{POINT}/.nfs",
    "OCF_RESKEY_nfs_ip": "192.0.2.99",
    "OCF_RESKEY_threads": "2",
    "OCF_RESKEY_CRM_meta_timeout": "120000",
    "OCF_RESKEY_CRM_meta_interval": "10000",
}


class Wrong(Exception):
    pass


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


def there() -> tuple[int, bool, list[str]]:
    """Threads, whether something lies over /var/lib/nfs, helpers: straight from /proc."""
    try:
        with open("/proc/fs/nfsd/threads", encoding="ascii") as file:
            threads = int(file.read())
    except FileNotFoundError:
        threads = 0
    with open("/proc/mounts", encoding="utf-8") as file:
        bound = " /var/lib/nfs " in file.read()
    names = []
    for pid in os.listdir("/proc"):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                names.append(file.read().strip())
        except OSError:
            continue
    return threads, bound, sorted(name for name in names if name in HELPERS)


def judge_monitor() -> int | None:
    code, out = agent("monitor")
    threads, bound, helpers = there()
    if code == 7 and (threads or bound):
        raise Wrong(f"monitor says stopped: {threads} threads, bound {bound}")
    if code == 0 and (not threads or not bound or helpers != HELPERS):
        raise Wrong(f"monitor says running: {threads} threads, bound {bound}, {helpers}")
    if code not in (0, 7) and (code != 1 or "ocf-exit-reason" not in out or "bug" in out):
        raise Wrong(f"monitor exits {code}: {out}")
    return code


def clean() -> None:
    """Nothing is left, and the disk is free."""
    if there() != (0, False, []):
        raise Wrong(f"left after stop: {there()}")
    left = [name for name in os.listdir("/run/resource-agents") if "nfsserver" in name]
    if left:
        raise Wrong(f"left in HA_RSCTMP: {left}")
    subprocess.run(["umount", POINT], check=True)
    os.close(os.open(DISK, os.O_RDONLY | os.O_EXCL))
    subprocess.run(["mount", DISK, POINT], check=True)


def main() -> None:
    rng = random.Random(SEED)
    took = {}
    for verb in ("start", "stop"):
        began = time.monotonic()
        must(verb, 0)
        took[verb] = time.monotonic() - began
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        verb = rng.choice(["start", "stop"])
        if verb == "stop":
            must("start", 0)
        moment_s = rng.random() * took[verb]
        following = rng.choice(["start", "stop"])
        try:
            code, out = agent(verb, moment_s)
            if code not in (None, 0):
                raise Wrong(f"{verb} exits {code}: {out}")
            outcomes[f"{verb} {'killed' if code is None else 'done'}, monitor {judge_monitor()}"] += 1
            if following == "start":
                must("start", 0)
                must("monitor", 0)
            must("stop", 0)
            must("monitor", 7)
            clean()
        except Wrong as wrong:
            print(f"round {number}: {verb} killed after {moment_s:.3f} s, then {following}: {wrong}")
            sys.exit(1)
    print(", ".join(f"{what}: {count}" for what, count in sorted(outcomes.items())))


main()
