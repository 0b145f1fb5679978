"""Processes as /proc shows them (proc(5)): identity, ancestry, namespaces, who uses a filesystem.

Nothing here follows a link into a filesystem unless the link's own text says that it is one of
those being looked for: a scan must not hang on somebody else's dead NFS server.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# PF_KTHREAD in include/linux/sched.h; field 9 of /proc/PID/stat.
_PF_KTHREAD = 0x00200000
# EIO, ENOTCONN, ESTALE: what broken filesystems answer to stat(2).
_BROKEN_FILESYSTEM = (5, 107, 116)


class Status:
    """Some fields of /proc/PID/stat. ``start_ticks`` with the pid identifies a process for good."""

    __slots__ = ("flags", "name", "parent", "pid", "start_ticks", "state")

    def __init__(self, pid: int, name: str, *, state: str, parent: int, flags: int, start_ticks: int) -> None:
        self.pid = pid
        self.name = name
        self.state = state
        self.parent = parent
        self.flags = flags
        self.start_ticks = start_ticks

    def kernel_thread(self) -> bool:
        return bool(self.flags & _PF_KTHREAD)


def status(pid: int) -> "Status | None":
    """/proc/PID/stat of a process; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name stands in parentheses and may contain anything, parentheses too.
    name = data[data.index(b"(") + 1 : data.rindex(b")")].decode("utf-8", "replace")
    fields = data[data.rindex(b")") + 2 :].split()
    return Status(
        pid,
        name,
        state=fields[0].decode(),
        parent=int(fields[1]),
        flags=int(fields[6]),
        start_ticks=int(fields[19]),
    )


def pids() -> "Iterator[int]":
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def require_own_numbers() -> None:
    """OSError ESRCH unless /proc numbers processes as the system calls of this process do.

    In a pid namespace whose /proc is still that of the host, pid 1406 of /proc is one process and 1406 for
    pidfd_open(2) another: a signal would hit a stranger. NSpid: our pid in the namespace of /proc, then in
    each one below it (proc(5)); where we are not in it, /proc/self leads nowhere.
    """
    try:
        with open("/proc/self/status", "rb") as file:
            numbers = next((line.split()[1:] for line in file if line.startswith(b"NSpid:")), [b""])
    except FileNotFoundError:
        numbers = []
    if len(numbers) != 1:
        fact = "/proc is that of another pid namespace, so nobody can be signalled by what it says"
        raise OSError(3, f"{fact}; mount the right one (unshare --mount-proc)")


def untouchable() -> "set[int]":
    """Pids never to be signalled: init, this process, and everything it descends from."""
    found = {1, os.getpid()}
    pid = os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        above = status(pid)
        pid = above.parent if above else 0
    return found


class Places:
    """Filesystems somebody wants free: where they are mounted here, and their device numbers.

    ``whole`` is the device every use of which counts, wherever it was reached; the others count only
    where they are used through ``points``. What lies under ``unasked`` is never asked: a server may be
    behind it (kernel.users tells its users).
    """

    __slots__ = ("_sockets", "_unasked", "_whole", "devices", "mapped", "points", "prefixes")

    def __init__(
        self, points: "Iterable[str]", devices: "Iterable[int]", whole: int, unasked: "Iterable[str]" = ()
    ) -> None:
        self.points = frozenset(points)
        self.prefixes = tuple(point + "/" for point in self.points)
        self._unasked = tuple(point + "/" for point in unasked)
        self.devices = frozenset(devices)
        self._whole = whole
        self._sockets: frozenset[str] | None = None
        # How /proc/PID/maps writes the device of a mapped file; 0 would be that of all other memory.
        self.mapped = b" %02x:%02x " % (os.major(whole), os.minor(whole)) if whole else b""

    def used_by(self, pid: int) -> bool:
        """Whether the process has its working directory, root, program, an open or mapped file, or a socket there.

        A link whose text lies under a mount point must also lead to one of the devices, or to an
        I/O error, which is what a filesystem that was shut down answers; the text alone may name
        something in another mount namespace, and so may the error when ours is not mounted there.
        """
        for link in links_of(pid):
            try:
                target = os.readlink(link)
                if target not in self.points and not target.startswith(self.prefixes):
                    if target.startswith("socket:") and target in self._bound():
                        return True
                    continue
                if (target + "/").startswith(self._unasked):
                    continue
                if os.stat(link).st_dev in self.devices:
                    return True
            except OSError as error:
                if error.errno in _BROKEN_FILESYSTEM and (not self._whole or mounted_for(pid, self._whole)):
                    return True
        if not self.mapped:
            return False
        try:
            with open(f"/proc/{pid}/maps", "rb") as file:
                return self.mapped in file.read()
        except OSError:
            return False

    def _bound(self) -> "frozenset[str]":
        """Links to sockets bound to files of the device that counts as a whole; asked for once."""
        if self._sockets is None:
            from failover_kit.kernel.unixsockets import bound_on

            inodes = bound_on(self._whole) if self._whole else ()
            self._sockets = frozenset(f"socket:[{inode}]" for inode in inodes)
        return self._sockets


def uninterruptible() -> "list[Status]":
    """Processes in state D: they wait in the kernel, and a signal reaches them only when that is over."""
    found = [status(pid) for pid in pids()]
    return [state for state in found if state is not None and state.state == "D" and not state.kernel_thread()]


def links_of(pid: int) -> "Iterable[str]":
    """The links of /proc/PID that lead to what the process holds: working directory, root, program, open files."""
    base = f"/proc/{pid}"
    yield from (f"{base}/cwd", f"{base}/root", f"{base}/exe")
    try:
        names = os.listdir(f"{base}/fd")
    except OSError:
        return
    yield from (f"{base}/fd/{name}" for name in names)


def mounted_for(pid: int, device: int) -> bool:
    """Whether ``device`` is mounted in the mount namespace of the process; False when that cannot be told."""
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            return b" %d:%d " % (os.major(device), os.minor(device)) in file.read()
    except OSError:
        return False


def mounted_in_other_namespaces(device: int) -> "list[Status]":
    """One process for each other mount namespace (that /proc shows) in which ``device`` is mounted."""
    seen = {namespace_of("self")}
    found = []
    for pid in pids():
        namespace = namespace_of(str(pid))
        if namespace in seen or not namespace:
            continue
        seen.add(namespace)
        holder = status(pid) if mounted_for(pid, device) else None
        if holder is not None:
            found.append(holder)
    return found


def namespace_of(pid: str, kind: str = "mnt") -> str:
    """Which namespace a process is in, as a text to compare; "" when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def having_open(path: str) -> "list[Status]":
    """The processes but this one that have the file ``path`` open."""
    found = []
    for pid in pids():
        for link in links_of(pid):
            try:
                if os.readlink(link) != path or pid == os.getpid():
                    continue
            except OSError:
                continue
            holder = status(pid)
            if holder is not None:
                found.append(holder)
            break
    return found


def named(name: str) -> "list[Status]":
    """The live processes of this network namespace whose name (at most 15 characters) is ``name``.

    Never kernel threads or zombies. Other network namespaces are other machines, to daemons that serve one.
    """
    require_own_numbers()
    here = namespace_of("self", "net")
    found = []
    for pid in pids():
        state = status(pid)
        if state is None or state.name != name or state.kernel_thread() or state.state in "ZX":
            continue
        if namespace_of(str(pid), "net") == here:
            found.append(state)
    return found


def end(state: Status, number: int) -> bool:
    """Send signal ``number`` to exactly that process; False when it is gone."""
    import signal

    try:
        pidfd = os.pidfd_open(state.pid)
    except ProcessLookupError:
        return False
    try:
        now = status(state.pid)
        if now is None or now.start_ticks != state.start_ticks:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def detach(keep: int) -> None:
    """Make this freshly forked process nobody's: a session of its own, and no descriptor but ``keep``.

    So nobody who reads the agent's output waits for it, and a kill of the agent's process group misses it.
    """
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, keep)
    os.closerange(keep + 1, 1024)
