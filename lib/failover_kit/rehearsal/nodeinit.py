"""Power on a node: make its namespaces, become its pid 1, start failoverd, reap.

Run as a program by ``node.Node``: the first line of stdin is the node's description (JSON), later lines are
orders (``start``: run failoverd unless it runs; ``kill``: SIGKILL it). On stdout one JSON object a line:
``{"pid": N}`` (this node's pid 1 as the machine sees it), ``{"ready": true}``, ``{"failoverd": N}``,
``{"exited": N, "status": S}``, ``{"error": "..."}``. failoverd's own output goes to stderr.

The process that starts us dies with us and we with it, so no node outlives its rehearsal: killing pid 1 of
a PID namespace kills everything in it (pid_namespaces(7)), and its mounts and cards go with the rest.
"""

import ctypes
import errno
import json
import os
import select
import signal
import socket
import stat
import sys
from typing import Any

# include/uapi/linux/sched.h
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
# include/uapi/linux/mount.h
MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1

NODE_DIR = "/run/rehearsal"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "LANG": "C"}
FILESYSTEMS = "/sys/fs/xfs"
"""Where the kernel lists every XFS that lives, in whatever namespace; there with the module (see ``disk``)."""

COVERED = ("/run", "/tmp", "/dev/shm", "/mnt", "/etc", "/var/lib")  # noqa: S108 - mount points

_libc = ctypes.CDLL(None, use_errno=True)
_own_mounts: set[int] = set()
"""The mount namespace that was made for this node; empty: none yet, and nothing is mounted."""


def _call(what: str, result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount_namespace(pid: str = "self") -> int:
    """The inode that names it (namespaces(7)); 0 for a process that is not there, or that may not be looked at."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except (FileNotFoundError, PermissionError):
        return 0


def claim_mounts(outside: int) -> None:
    """From now on this process may mount. OSError in a namespace that is ``outside``'s or the machine's pid 1's.

    Called while ``/proc`` is still the machine's.
    """
    now = mount_namespace()
    if now in (0, outside, mount_namespace("1")):
        raise OSError(errno.EPERM, "this is the machine's mount namespace: no node is built in it")
    _own_mounts.add(now)


def require_own_mounts(what: str) -> None:
    """What is mounted here must not be seen by the machine. OSError names ``what`` would have been done."""
    if mount_namespace() not in _own_mounts:
        raise OSError(errno.EPERM, f"{what}: refused outside of a mount namespace made for a node")


def _mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    require_own_mounts(f"mount {kind or source} on {target}")
    arguments = [os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3])
    _call(f"mount {kind or source} on {target}", result)


def say(**fields: object) -> None:
    """One line to the rehearsal."""
    os.write(1, json.dumps(fields).encode() + b"\n")


def die_with_parent() -> None:
    _call("prctl", _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


class Sources:
    """What is mounted from the machine into the node, held open before it is covered."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    def hold(self, path: str) -> None:
        self._fds[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)

    def bind(self, path: str, target: str) -> None:
        """Mount what stood at ``path`` when it was held on ``target``, which is made if need be."""
        if stat.S_ISDIR(os.fstat(self._fds[path]).st_mode):
            os.makedirs(target, exist_ok=True)
        elif not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        _mount(f"/proc/self/fd/{self._fds[path]}", target, flags=MS_BIND)
        # A bind mount inherits noexec, which Debian sets on /run; there are programs among these.
        _mount("", target, flags=MS_BIND | MS_REMOUNT)

    def close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)


def _overlay(directory: str, scratch: str) -> None:
    """Let the node write below ``directory`` without the machine seeing it."""
    upper, work = f"{scratch}/upper", f"{scratch}/work"
    os.makedirs(upper)
    os.makedirs(work)
    _mount("overlay", directory, "overlay", 0, f"lowerdir={directory},upperdir={upper},workdir={work}")


def build(node: dict[str, Any]) -> None:
    """The node's view of the filesystem; see the fields in ``node.Node``."""
    kit = node["kit"]
    _mount("", "/", flags=MS_REC | MS_PRIVATE)
    sources = Sources()
    for name in ("kit", "disk", "config", "ledger", "boot_id", "witness", "serial"):
        sources.hold(node[name])
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    sources.bind(node["boot_id"], "/proc/sys/kernel/random/boot_id")
    # Not only covered: the machine's control groups would still be listed in mountinfo.
    require_own_mounts("umount /sys")
    _call("umount /sys", _libc.umount2(b"/sys", MNT_DETACH))
    _mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV)
    if os.path.isdir(FILESYSTEMS):
        # The kernel is the other node's, too: what that one has mounted is none of this one's business.
        _mount("tmpfs", FILESYSTEMS, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    if node["cgroup"]:
        _mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV)
    for path, mode in (("/run", "755"), ("/tmp", "1777"), ("/dev/shm", "1777"), ("/mnt", "755")):  # noqa: S108
        _mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")
    _overlay("/etc", "/run/.node/etc")
    _overlay("/var/lib", "/run/.node/lib")
    sources.bind(node["config"], "/etc/ha.d")
    sources.bind(node["disk"], "/var/lib/failover-kit")
    for mount_point in node["mount_points"]:
        os.makedirs(mount_point)
    os.makedirs("/run/lock")
    sources.bind(kit, f"{NODE_DIR}/kit")
    sources.bind(node["ledger"], f"{NODE_DIR}/ledger")
    sources.bind(node["serial"], f"{NODE_DIR}/ttyS0")
    if any(kit == path or kit.startswith(path + "/") for path in COVERED):
        sources.bind(kit, kit)
    for agent in node["witnessed"]:
        sources.bind(node["witness"], f"{kit}/{agent}")
    with open(f"{NODE_DIR}/boot", "w", encoding="ascii") as file:
        file.write(str(node["boot"]))
    sources.close()


class Init:
    """Pid 1 of the node."""

    def __init__(self, node: dict[str, Any]) -> None:
        self._command: list[str] = node["command"]
        self._child = 0
        self._rest = b""

    def run(self) -> None:
        """Reap and obey until stdin ends: then the rehearsal is gone, and the node with it."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer)
        self._start()
        while True:
            ready = select.select([0, reader], [], [])[0]
            if reader in ready:
                os.read(reader, 512)
                self._reap()
            if 0 in ready:
                data = os.read(0, 4096)
                if not data:
                    return
                self._obey(data)

    def _obey(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"start":
                self._start()
            elif line == b"kill" and self._child:
                os.kill(self._child, signal.SIGKILL)

    def _start(self) -> None:
        if self._child or not self._command:
            return
        # stdout: what failoverd says belongs with its log, not among our own lines.
        actions = [(os.POSIX_SPAWN_DUP2, 2, 1), (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
        self._child = os.posix_spawn(
            self._command[0],
            self._command,
            ENVIRONMENT,
            file_actions=actions,
            setsid=True,
            setsigdef=[signal.SIGCHLD],
        )
        say(failoverd=self._child)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._child = 0
                say(exited=pid, status=os.waitstatus_to_exitcode(status))


def first_line() -> bytes:
    """The description, byte by byte: what follows it belongs to pid 1."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            raise EOFError("no description of a node on stdin")
        line += part
    return line


def main() -> int:
    die_with_parent()
    node = json.loads(first_line())
    if node["cgroup"]:
        with open(f"{node['cgroup']}/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
    fd = os.open(node["netns"], os.O_RDONLY | os.O_CLOEXEC)
    _call("setns", _libc.setns(fd, CLONE_NEWNET))
    os.close(fd)
    cgroup = CLONE_NEWCGROUP if node["cgroup"] else 0
    outside = mount_namespace()
    _call("unshare", _libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | cgroup))
    claim_mounts(outside)
    pid = os.fork()
    if pid:
        say(pid=pid)
        os.close(0)
        os.close(2)
        os.waitpid(pid, 0)  # returns when every process of the node is gone
        return 0
    die_with_parent()
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    socket.sethostname(node["name"])
    build(node)
    say(ready=True)
    Init(node).run()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, EOFError) as error:
        say(error=str(error))
        sys.exit(1)
