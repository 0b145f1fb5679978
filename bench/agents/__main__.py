"""Measure our resource agents beside ClusterLabs' and beside the bare interpreter, in one run.

    /usr/bin/python3 bench/agents [--runs N] [--only PATTERN]... [--no-slow] [--markdown] [--json FILE] [--quick]

Needs root. Everything happens in network, mount and pid namespaces of its own; the disk is a loop device of
an unlinked file, and goes with the last process that has it open. So nothing is left behind, however the
bench ends. Ours are measured as installed, byte-compiled. What is compared and which ratios we want to reach
stands in ``contest.py``. Exit codes: 0 measured, whoever was faster; 1 an agent did not do what it was
measured for, so that its time means nothing; 2 the bench cannot run here; 130 interrupted.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "lib"), str(TOP / "bench")]

import report  # noqa: E402 - the path is known only now
from contest import FULL, QUICK, Row, contenders, rows  # noqa: E402
from meter import MeterFailure  # noqa: E402
from turns import Turns, WrongOutcome  # noqa: E402
from worlds import DISK, CommandFailed, need  # noqa: E402

from failover_kit.spec.process import CLEAN_ENV  # noqa: E402

# Tells whoever is inside the namespaces where its directory is.
PLACE = "AGENTS_BENCH_PLACE"
DEFAULT_RUNS, QUICK_RUNS = 11, 2
UNUSABLE, INTERRUPTED = 2, 130
# The least that mkfs.xfs takes.
DISK_BYTES = 320 << 20
NEEDED = ("unshare", "setpriv", "losetup", "mkfs.xfs", "mount", "umount", "ip", "make", "exportfs")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench/agents", description="Resource agents beside ClusterLabs'.")
    parser.add_argument(
        "--runs", type=int, metavar="N", help=f"samples of each ({DEFAULT_RUNS}, quick {QUICK_RUNS})"
    )
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="rows with such names ('*-monitor'); may be given again"
    )
    parser.add_argument("--list", action="store_true", help="the names of the rows, and nothing else")
    parser.add_argument(
        "--no-slow", action="store_true", help="without ClusterLabs' stop of a crowded filesystem (two minutes)"
    )
    parser.add_argument("--quick", action="store_true", help="small worlds: shows that it works, measures nothing")
    parser.add_argument("--tree", type=Path, default=TOP, metavar="DIR", help="checkout to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every single sample, for machines")
    parser.add_argument("--markdown", action="store_true", help="the section of docs/measurements.md")
    options = parser.parse_args(argv)
    if options.runs is None:
        options.runs = QUICK_RUNS if options.quick else DEFAULT_RUNS
    if options.runs < 1:
        parser.error("--runs: at least 1")
    options.tree = options.tree.resolve()
    return options


def refuse(reason: str) -> int:
    """Say why nothing can be measured here."""
    sys.stderr.write(f"bench/agents: {reason}\n")
    return UNUSABLE


@contextmanager
def loop_disk(folder: str) -> Iterator[str]:
    """A loop device with an XFS. Its file has no name and the device is let go already: it lives as long as
    somebody has it open. That is us, outside of the pid namespace, where no agent finds a user in us.
    CalledProcessError when there are no loop devices.
    """
    image = f"{folder}/image"
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.xfs", "-q", image], env=CLEAN_ENV, check=True)
    find = ["losetup", "--find", "--show", image]
    device = subprocess.run(find, env=CLEAN_ENV, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        subprocess.run(["losetup", "--detach", device], env=CLEAN_ENV, check=True)
        os.unlink(image)
        yield device
    finally:
        os.close(fd)


def outside(argv: Sequence[str]) -> int:
    """Make what has to be made outside, and run this program again in its namespaces."""
    if os.geteuid() != 0:
        return refuse("needs root, for namespaces, mounts and a loop device")
    missing = [program for program in NEEDED if shutil.which(program, path=CLEAN_ENV["PATH"]) is None]
    if missing:
        return refuse(f"needs {', '.join(missing)}; tools/setup.sh test installs it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="fkb-", dir="/tmp") as folder:
        try:
            with loop_disk(folder) as disk:
                # Whatever ends us ends unshare, and the namespace with it.
                command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]
                command += ["--kill-child=KILL", "--mount-proc", "/usr/bin/python3", str(Path(__file__).parent)]
                environment = {**CLEAN_ENV, PLACE: folder, DISK: disk}
                return subprocess.run([*command, *argv], env=environment, check=False).returncode
        except subprocess.CalledProcessError as error:
            return refuse(f"no disk to measure with: '{' '.join(error.cmd)}' exited {error.returncode}")
        except KeyboardInterrupt:
            return INTERRUPTED


def inside(options: argparse.Namespace, wanted: Sequence[Row], folder: str) -> int:
    """Measure every row that is wanted, print, return the exit code."""
    results = []
    try:
        for point in (folder, "/run", "/var/lib/nfs"):
            need("mount", "-t", "tmpfs", "none", point)
        # The old one shows the interfaces of the network namespace it was mounted in.
        need("mount", "-t", "sysfs", "none", "/sys")
        need("ip", "link", "set", "lo", "up")
        installed = f"{folder}/installed"
        need("make", "-s", "-C", str(options.tree), "install", f"DESTDIR={installed}")
        present = contenders(Path(installed))
        for row in wanted:
            sys.stderr.write(f"{row.title} …\n")
            results.append(Turns(row, present, folder).measure(options.runs, slow=not options.no_slow))
    except (CommandFailed, OSError) as error:
        return refuse(str(error))
    except (WrongOutcome, MeterFailure) as error:
        sys.stderr.write(f"bench/agents: {row.title}: {error}\n")
        return 1
    facts = report.host_facts(present)
    if options.json:
        options.json.write_text(report.as_json(results, facts))
    sys.stdout.write((report.as_markdown if options.markdown else report.as_text)(results, facts))
    return 0


def is_wanted(key: str, patterns: Sequence[str] | None) -> bool:
    """Whether one of ``patterns`` matches; without patterns, everything is wanted."""
    return not patterns or any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


def main(argv: Sequence[str]) -> int:
    """Returns the exit code."""
    options = parse(argv)
    found = [row for row in rows(QUICK if options.quick else FULL) if is_wanted(row.key, options.only)]
    if not found:
        return refuse(f"no row matches {', '.join(options.only)}; --list shows them")
    if options.list:
        sys.stdout.write("".join(f"{row.key:24} {row.title}\n" for row in found))
        return 0
    folder = os.environ.get(PLACE)
    return outside(argv) if folder is None else inside(options, found, folder)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
