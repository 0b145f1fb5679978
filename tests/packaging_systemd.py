"""A clean root that boots: Debian's systemd as pid 1 of namespaces of its own, without a kernel of its own.

For what a unit and a package do, in seconds and not in the minutes of a virtual machine. It has no disk, no second
node and no power: those are tests/labrun's. The machine's own kernel settings and its sysrq are out of its reach.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Sequence

from failover_kit.spec.process import CLEAN_ENV
from packaging_roots import Root

PATIENCE_S = 300.0
POLL_S = 0.3

# /proc/sys and /sys are the one kernel's; so is sysrq, by which failoverd --self-reset would reset the machine.
BOOT = """\
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4" && cd "$4" &&
mount -t tmpfs -o mode=755 dev dev &&
for name in null zero full random urandom tty; do : >dev/$name && mount --bind /dev/$name dev/$name || exit; done &&
mkdir dev/pts dev/shm && mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts && mount -t tmpfs shm dev/shm &&
ln -s pts/ptmx dev/ptmx && ln -s /proc/self/fd dev/fd &&
mount -t proc proc proc && mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys &&
{ [ ! -e proc/sysrq-trigger ] || mount --bind dev/null proc/sysrq-trigger; } &&
mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup && mount -t tmpfs -o mode=755 run run &&
ip link set lo up && hostname "$5" && pivot_root . . && umount -l . && cd / &&
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=multi-user.target
"""
ENTER = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")


class Machine:
    """One boot of ``root``. A context manager; nothing of it is left afterwards but what it wrote into the root."""

    def __init__(self, root: Root, name: str) -> None:
        self.root, self.name = root, name
        self._cgroup = _cgroup2() / f"failover-kit-systemd-{os.getpid()}"
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Machine:
        self._cgroup.mkdir()
        apart = "unshare --cgroup --mount --propagation private --pid --fork --kill-child --net --uts --ipc"
        join = f'echo $$ >"$0/cgroup.procs" && exec {apart} sh -c "$@"'
        places = [self.root.base, *(self.root.layer / name for name in ("upper", "work", "root"))]
        argv = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", join, str(self._cgroup), BOOT, "sh"]
        with self.root.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*argv, *map(str, places), self.name],
                env=CLEAN_ENV,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.until("systemd has booted", self._booted)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Power cut: nothing of it is left when this returns. Twice does no harm."""
        if self._child is None:
            return
        self._child.kill()  # and by --kill-child pid 1, and by that all of it
        self._child.wait()
        self._child, self._pid = None, 0
        end = time.monotonic() + PATIENCE_S
        while self._cgroup.exists():
            for where, _folders, _files in os.walk(self._cgroup, topdown=False):
                with contextlib.suppress(OSError):  # until its last process is reaped
                    os.rmdir(where)
            assert time.monotonic() < end, f"{self._cgroup} is not empty after {PATIENCE_S:g} s"
            time.sleep(POLL_S)

    def _booted(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, f"it has ended by itself; see {self.root.log}"
        if not self._pid:
            self._pid = self._first_child()
            return False
        state = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        return state in ("running", "degraded")

    def _first_child(self) -> int:
        """systemd's process id as we see it; 0 until there is one and it is systemd."""
        assert self._child is not None
        argv = ["pgrep", "-P", str(self._child.pid)]
        found = subprocess.run(
            argv, capture_output=True, text=True, timeout=60, check=False, env=CLEAN_ENV
        ).stdout.split()
        if len(found) != 1:
            return 0
        with contextlib.suppress(OSError):
            return int(found[0]) if os.readlink(f"/proc/{found[0]}/exe").endswith("/systemd") else 0
        return 0

    # --- what runs in it -----------------------------------------------------------------------------------

    def run(
        self, argv: Sequence[str], *, timeout_s: float = PATIENCE_S, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """A command in it, as root. AssertionError when it fails, with its last lines."""
        command = ["nsenter", "--target", str(self._pid), *ENTER, "--", *argv]
        done = subprocess.run(
            command,
            env={**CLEAN_ENV, "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        if check:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
            assert done.returncode == 0, f"{' '.join(argv)} exited {done.returncode}:\n{tail}"
        return done

    def unit(self, name: str, unit: str = "failoverd") -> str:
        """One property of a unit."""
        return self.run(["systemctl", "show", "--value", f"--property={name}", unit]).stdout.strip()

    def until(self, what: str, holds: Callable[[], object]) -> None:
        """Poll; AssertionError with what failoverd has written when it never holds."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            if time.monotonic() > end:
                shown = ["journalctl", "-n", "40", "--no-pager"]
                log = self.run(shown, check=False).stdout if self._pid else ""
                raise AssertionError(f"never within {PATIENCE_S:g} s: {what}\n{log}")
            time.sleep(POLL_S)

    def power_off(self) -> None:
        """``systemctl poweroff``, and wait until pid 1 has ended by itself."""
        assert self._child is not None
        self.run(["systemctl", "poweroff"], check=False)
        self._child.wait(PATIENCE_S)
        self.end()


def missing() -> str:
    """Why no systemd can be booted on this machine, or ""."""
    if os.geteuid() != 0:
        return "not root"
    try:
        _cgroup2()
    except AssertionError as error:
        return str(error)
    return ""


def _cgroup2() -> pathlib.Path:
    for line in pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return pathlib.Path(point)
    raise AssertionError("no cgroup2 is mounted here")
