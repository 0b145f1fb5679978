"""What a scenario has at hand: agents of one side, disks, filesystems that hang, processes, a network.

Only inside a cell (cell.py): nothing is cleaned up here, everything ends with the cell's namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from agents.agent_worlds import PATH, AgentRunner, Disk, Network, eventually, sh

PEERS = Path("/usr/lib/ocf/resource.d/heartbeat")
PEER_NAMES = {"IPaddr": "IPaddr2"}
# What an agent is told to have for an action, and when it is ended with its process group, as Pacemaker
# does. That is later: a slow machine is not what is judged.
TIMEOUT_S = 10
PATIENCE_S = 40
# linux/loop.h. LO_FLAGS_AUTOCLEAR, in struct loop_info64: detach at the last close.
_LOOP_SET_STATUS64, _LOOP_GET_STATUS64 = 0x4C04, 0x4C05
_INFO_SIZE, _INFO_FLAGS, _AUTOCLEAR = 232, 52, 4
_LIBC = ctypes.CDLL(None, use_errno=True)


class NotHere(Exception):
    """This machine lacks what the scenario needs; the text says what."""


class Answer(NamedTuple):
    """One action of an agent. ``code`` None: it had to be ended; ``started``: processes it started."""

    verb: str
    code: int | None
    text: str
    took_s: float
    started: int

    def __str__(self) -> str:
        return f"{self.verb} {f'no answer in {self.took_s:.0f} s' if self.code is None else self.code}"

    def reason(self) -> str:
        """The last exit reason given; "" for none."""
        lines = [line for line in self.text.splitlines() if line.startswith("ocf-exit-reason:")]
        return lines[-1].removeprefix("ocf-exit-reason:") if lines else ""


class Subject(AgentRunner):
    """The agent under test, of either side, called as a cluster manager would."""

    instance = "test"

    def environment(self, *args):
        ours = {"OCF_ROOT": "/usr/lib/ocf", "HA_LOGFACILITY": "none", "OCF_RESOURCE_INSTANCE": self.instance}
        return {**super().environment(*args), **ours}

    def act(
        self, verb, *, timeout_s=TIMEOUT_S, patience_s=PATIENCE_S, interval_s=10, level=0, prefix=(), **parameters
    ):
        """Run one action. Its output goes to files: a child that hangs for good must not keep us waiting."""
        environment = self.environment(timeout_s, interval_s, level, parameters)
        log = self.state_dir / "answers"
        began, counter = time.monotonic(), ForkCounter()
        with log.open("w") as file:
            child = subprocess.Popen(
                [*prefix, *self.prefix, self.path, verb],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
            )
        while child.poll() is None and time.monotonic() < began + patience_s:
            counter.look()
            time.sleep(0.005)
        took_s = time.monotonic() - began
        code = child.poll()
        if code is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return Answer(verb, code, log.read_text(errors="replace"), took_s, counter.look())


class ForkCounter:
    """How many processes and threads were started in our pid namespace: the kernel numbers them in order."""

    def __init__(self):
        self._limit = int(Path("/proc/sys/kernel/pid_max").read_text())
        self._last = self._now()
        self._count = 0

    @staticmethod
    def _now():
        return int(Path("/proc/sys/kernel/ns_last_pid").read_text())

    def look(self):
        now = self._now()
        self._count += (now - self._last) % self._limit
        self._last = now
        return self._count


def mount_hung(point, device=None):
    """Mount a FUSE filesystem whose server never answers: the model of a dead NFS server or disk.

    With ``device`` it is of type fuseblk, and looks like any filesystem of a disk. The server is our process, which
    never reads: when the cell ends, the kernel fails all that waits.
    """
    if not os.path.exists("/dev/fuse"):
        raise NotHere("no /dev/fuse")
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    source, fstype = (b"hung", b"fuse") if device is None else (os.fsencode(device), b"fuseblk")
    if _LIBC.mount(source, os.fsencode(point), fstype, 0, data) != 0:
        raise NotHere(f"mount of {fstype.decode()}: {os.strerror(ctypes.get_errno())}")


class World:
    """One side's world. ``many`` is how many users or mounts are many."""

    def __init__(self, base: Path, side: str, many: int):
        self.base = base
        self.side = side
        self.many = many
        self._disks = 0

    def agent(self, name, prefix=(), **parameters):
        """An agent of our side, or its counterpart of the peer."""
        state = self.base / "state"
        state.mkdir(exist_ok=True)
        subject = Subject(name, state, prefix, **parameters)
        if self.side == "peer":
            subject.path = PEERS / PEER_NAMES.get(name, name)
            if not subject.path.exists():
                raise NotHere(f"no {subject.path} (package resource-agents)")
        return subject

    def disk(self, fstype="ext4", size_mib=None):
        """A loop disk with a filesystem. The kernel detaches it when we and all its mounts have gone."""
        image = self.base / f"disk{self._disks}.img"
        self._disks += 1
        with image.open("wb") as file:
            file.truncate((size_mib or (320 if fstype == "xfs" else 16)) << 20)
        device = sh("losetup", "--find", "--show", image).stdout.strip()
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        info = bytearray(_INFO_SIZE)
        fcntl.ioctl(fd, _LOOP_GET_STATUS64, info)
        info[_INFO_FLAGS] |= _AUTOCLEAR
        fcntl.ioctl(fd, _LOOP_SET_STATUS64, info)
        sh(f"mkfs.{fstype}", *(["-q", "-F"] if fstype.startswith("ext") else ["-q"]), device)
        return Disk(self.base, image, device)

    def filesystem(self, disk, point, fstype="ext4", **parameters):
        """The Filesystem agent for ``disk`` at ``point``."""
        return self.agent("Filesystem", device=disk.device, directory=point, fstype=fstype, **parameters)

    def place(self, name):
        """A directory of this world."""
        path = self.base / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def background(self, *argv, **kwargs):
        """A process of its own session, which has started its program when this returns."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        kwargs.setdefault("stdout", subprocess.DEVNULL)
        kwargs.setdefault("stderr", subprocess.DEVNULL)
        return subprocess.Popen([str(word) for word in argv], start_new_session=True, **kwargs)

    def sleeper(self, place):
        """A process that does nothing but have its working directory in ``place``."""
        return self.background("sleep", "600", cwd=place)

    def crowd(self, count, place):
        """``count`` sleepers in ``place``, when this returns."""
        ready = self.base / f"ready-{place.name}"
        script = f"for i in $(seq {count}); do sleep 600 & done; cd /; touch {ready}; wait"
        self.background("bash", "-c", script, cwd=place)
        eventually(lambda: ready.exists() and len(dwellers(place)) >= count, "the crowd is there", limit_s=120)

    def network(self):
        """Nodes a and b and client c on one switch."""
        world = Network("need")
        world.build()
        return world

    def needs(self, *programs):
        """NotHere unless these programs are installed."""
        missing = [name for name in programs if shutil.which(name, path=PATH) is None]
        if missing:
            raise NotHere(f"no {', '.join(missing)}")


def dwellers(place):
    """Pids of those whose working directory is ``place`` or below, by the text of the link: it never hangs."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            link = os.readlink(f"/proc/{name}/cwd")
            if link == str(place) or link.startswith(f"{place}/"):
                found.append(int(name))
    return found


def alive(child):
    """Whether a process we started runs."""
    return child.poll() is None


def mounted(point):
    """Whether something is mounted at ``point``, by the kernel's table; never by a look at the path."""
    text = "".join(f"\\{ord(sign):03o}" if sign in " \t\n\\" else sign for sign in str(point))
    return any(line.split()[4] == text for line in Path("/proc/self/mountinfo").read_text().splitlines())


def hangs(child, where):
    """Wait until the process waits in a kernel function whose name has ``where`` in it."""
    eventually(lambda: where in Path(f"/proc/{child.pid}/wchan").read_text(), f"a process hangs in {where}")
