"""Where actions run, so that every process an action ever made can be found again (PROTOCOL rule 6).

Each call of an agent gets a *cell* of its own. With cgroup2 a cell is a control group::

    <root>/failover-kit/<node>/<group>/op-<op>.<serial>      one call of an agent
    <root>/failover-kit/<node>/<group>/services-<name>       what successful starts left running

The directory is made before the fork and the child puts itself in before it executes anything, so a
failoverd killed at any moment leaves nothing it cannot find by reading directories: the next life needs no
record. A child that was forked but has not entered its cell yet is no gap: the next life removes the empty
directory, and the write of that child then fails (ENODEV) before it executes.

Node names in the path keep two nodes on one kernel apart (the rehearsal). Such nodes live in PID
namespaces of their own; ``cgroup.procs`` shows processes of a foreign namespace as 0 (cgroups(7)).

Where no cgroup2 is writable, a marker in the child's environment takes its place, found by scanning
``/proc/*/environ``. It is weaker: a program may overwrite or drop its environment. Status says so.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, unquote

from failover_kit.spec.deadline import Deadline

BRANCH = "failover-kit"
SERVICES = "services-"
ACTION = "op-"
MARKER = "FAILOVER_KIT_ACTION"
FENCING = "@fencing"
"""The cells of fence agents. ``@`` is quoted in the names of groups, so no group can be called so."""
AGENTS = "@agents"
"""The cell of the agent server itself; what it forks is in the cell of its action."""
_OWN = (FENCING, AGENTS)

KILL_WAIT_MS = 10_000
"""How long killed processes may take to disappear; only uninterruptible sleep takes longer than moments."""

_POLL_FIRST_S = 0.001
_POLL_LONGEST_S = 0.05
_SCAN_ATTEMPTS = 3
_SCAN_PAUSE_S = 0.002
_MARKER_PREFIX = MARKER.encode() + b"="
_MOVE_ROUNDS = 200  # a service that forks faster than we move its processes is given up after so many


class ActionSpaceError(Exception):
    """A cell cannot be made, entered, or moved; the text names the path and the remedy."""


@dataclass(frozen=True, slots=True)
class Entry:
    """How a child gets into a cell: run ``before_exec`` in it, or give it ``environment``."""

    before_exec: Callable[[], object] | None = None
    procs: int = -1
    """``cgroup.procs`` of the cell, open, for a process that somebody else forks; -1: there is none."""
    environment: Mapping[str, str] = field(default_factory=dict)


class Cell(ABC):
    """The processes of one action, or of one service an action left."""

    name: str

    @abstractmethod
    def entry(self) -> Iterator[Entry]:
        """Yield once what a spawn needs; see ``entering``."""

    @abstractmethod
    def populated(self) -> bool:
        """Whether any process is inside, killed ones that are not gone yet included."""

    @abstractmethod
    def pids(self) -> tuple[int, ...]:
        """The processes inside, 0 for those of another PID namespace."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to every process inside."""

    @abstractmethod
    def remove(self) -> bool:
        """Forget an empty cell: nobody can enter it any more. False when it is not empty after all."""


@contextmanager
def entering(cell: Cell) -> Iterator[Entry]:
    """The cell's Entry, with whatever it needs held open."""
    yield from cell.entry()


async def emptied(cell: Cell, wait_ms: int = KILL_WAIT_MS) -> str:
    """Kill what is in the cell until nothing is, then remove it. "" or the sentence naming what stays."""
    deadline = Deadline(wait_ms)
    pause_s = _POLL_FIRST_S
    # A child on its way may enter between the look and the removal: only a removed cell is empty for good.
    while cell.populated() or not cell.remove():
        cell.kill()
        if deadline.expired():
            return f"{described(cell.pids())} did not end within {wait_ms / 1000:g} s of SIGKILL"
        await asyncio.sleep(min(pause_s, deadline.left_s()))
        pause_s = min(pause_s * 2, _POLL_LONGEST_S)
    return ""


def described(pids: tuple[int, ...]) -> str:
    """Processes for people: ``process 17 (umount, state D)``: what an operator looks for first."""
    shown = [_describe(pid) for pid in pids[:5]]
    more = f" and {len(pids) - 5} more" if len(pids) > 5 else ""
    return ("process " + ", ".join(shown) + more) if shown else "a process that does not show"


def _describe(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return str(pid)
    # proc(5): pid (comm) state ...; comm may itself contain parentheses.
    command, _, rest = text.partition("(")[2].rpartition(")")
    return f"{pid} ({command}, state {rest.split()[0] if rest.split() else '?'})"


class ActionSpace(ABC):
    """All cells of this node."""

    weakness = ""
    """Why this space is weaker than it should be, for status; "" when it is not."""

    @abstractmethod
    def create(self, group: str, label: str) -> Cell:
        """A new, empty cell for one action. Raises ActionSpaceError."""

    @abstractmethod
    def leftovers(self, group: str) -> list[Cell]:
        """The cells of actions of ``group``, of this and every earlier life."""

    @abstractmethod
    def services(self, group: str, name: str = "") -> list[Cell]:
        """What successful starts of ``group`` (of its resource ``name``) left running."""

    @abstractmethod
    def keep(self, cell: Cell, group: str, name: str) -> None:
        """What is still in ``cell`` is a service now. Raises ActionSpaceError."""

    @abstractmethod
    def groups(self) -> list[str]:
        """Names of groups that have cells, configured or not."""

    async def clear(self, group: str) -> str:
        """Kill what earlier actions left, wait until it is gone. "" or what stays."""
        return await _all_emptied(self.leftovers(group))

    async def clear_services(self, group: str, name: str = "") -> str:
        """The same for the services of the group, or of its resource ``name``."""
        return await _all_emptied(self.services(group, name))


async def _all_emptied(cells: list[Cell]) -> str:
    stays = await asyncio.gather(*(emptied(cell) for cell in cells))
    return "; ".join(text for text in stays if text)


# --- control groups ---------------------------------------------------------------------------------


class CgroupCell(Cell):
    """A cgroup2 directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)

    def entry(self) -> Iterator[Entry]:
        """Enter by writing "0" (the writing process itself) to the opened ``cgroup.procs``.

        It must happen between fork and exec, hence ``preexec_fn``. That is sound here although failoverd has
        threads: the callable is a C function with its arguments bound, so no bytecode of ours runs and
        no lock of ours is taken; it makes one system call; CPython resets its own locks in the child
        (PyOS_AfterFork_Child), glibc those of malloc. If the write fails the child never executes.
        """
        try:
            fd = os.open(f"{self.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ActionSpaceError(f"cannot use {self.path}: {error.strerror}") from None
        try:
            yield Entry(before_exec=partial(os.write, fd, b"0"), procs=fd)
        finally:
            os.close(fd)

    def populated(self) -> bool:
        try:
            with open(f"{self.path}/cgroup.events", encoding="ascii") as file:
                return "populated 1" in file.read()
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return False
            raise

    def pids(self) -> tuple[int, ...]:
        try:
            with open(f"{self.path}/cgroup.procs", encoding="ascii") as file:
                return tuple(int(word) for word in file.read().split())
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return ()
            raise

    def kill(self) -> None:
        """``cgroup.kill`` (Linux 5.14) also reaches what forks meanwhile; before it, one signal each."""
        try:
            _write(f"{self.path}/cgroup.kill", "1")
            return
        except OSError as error:
            if error.errno in (errno.ENODEV,):
                return
        for pid in self.pids():
            _kill(pid)

    def remove(self) -> bool:
        """With the control groups an agent made below it (container runtimes do)."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EROFS:  # nobody can be put in through a read-only mount, either
                    return False
        return True


def _write(path: str, text: str) -> None:
    """Write to a kernel file that must exist: never creates one."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _kill(pid: int) -> None:
    if pid <= 0:  # 0: of another PID namespace; kill(0) would hit ourselves
        return
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class CgroupSpace(ActionSpace):
    """Cells under ``roots[0]``; the other roots are only searched for what earlier lives left."""

    def __init__(self, node: str, roots: tuple[str, ...], *, search_only: bool = False) -> None:
        """``search_only``: nothing can be made here, but an earlier life may have."""
        self._bases = tuple(os.path.join(root, BRANCH, quote(node, safe="")) for root in roots)
        self._serial = 0
        if not search_only:
            os.makedirs(self._bases[0], exist_ok=True)

    def create(self, group: str, label: str) -> CgroupCell:
        base = os.path.join(self._bases[0], _folder(group))
        try:
            os.makedirs(base, exist_ok=True)
            while True:
                self._serial += 1
                path = os.path.join(base, f"{ACTION}{quote(label, safe='')}.{self._serial}")
                try:
                    os.mkdir(path)
                except FileExistsError:
                    continue  # of an earlier life, whose numbers began at 1, too
                return CgroupCell(path)
        except OSError as error:
            raise ActionSpaceError(
                f"cannot make a control group in {base}: {error.strerror}; look at cgroup.max.descendants"
            ) from None

    def leftovers(self, group: str) -> list[Cell]:
        return self._cells(group, ACTION)

    def services(self, group: str, name: str = "") -> list[Cell]:
        cells = self._cells(group, SERVICES)
        return [cell for cell in cells if not name or cell.name == SERVICES + quote(name, safe="")]

    def _cells(self, group: str, prefix: str) -> list[Cell]:
        found: list[Cell] = []
        for base in self._bases:
            folder = os.path.join(base, _folder(group))
            names = [name for name in _folders(folder) if name.startswith(prefix)]
            found += [CgroupCell(os.path.join(folder, name)) for name in names]
        return found

    def keep(self, cell: Cell, group: str, name: str) -> None:
        """Move process by process until none is left; a process may fork between our read and its move."""
        if not isinstance(cell, CgroupCell):
            raise TypeError(cell)
        if not cell.populated():
            cell.remove()
            return
        target = os.path.join(self._bases[0], _folder(group), SERVICES + quote(name, safe=""))
        os.makedirs(target, exist_ok=True)
        for _ in range(_MOVE_ROUNDS):
            pids = cell.pids()
            if not pids and not cell.populated():
                cell.remove()
                return
            for pid in pids:
                _move(pid, cell.path, target)
        raise ActionSpaceError(f"{described(cell.pids())} forks faster than it can be moved to {target}")

    def groups(self) -> list[str]:
        names = {name for base in self._bases for name in _folders(base) if name not in _OWN}
        return sorted(unquote(name) for name in names)


def _move(pid: int, source: str, target: str) -> None:
    if pid == 0:
        raise ActionSpaceError(f"{source} has a process of another PID namespace; it cannot be kept")
    try:
        _write(f"{target}/cgroup.procs", str(pid))
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENOENT):  # ended meanwhile: nothing to move
            raise ActionSpaceError(f"cannot move process {pid} to {target}: {error.strerror}") from None


def _folder(group: str) -> str:
    return group if group in _OWN else quote(group, safe="")


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


# --- the marker in the environment ------------------------------------------------------------------


class MarkerCell(Cell):
    """Processes whose environment carries ``FAILOVER_KIT_ACTION=node:group:name``, all parts quoted."""

    def __init__(self, marker: str, proc: str = "/proc") -> None:
        self.marker = marker
        self.name = marker.rpartition(":")[2]
        self._proc = proc

    def entry(self) -> Iterator[Entry]:
        with _ways_in.through(self.marker):
            yield Entry(environment={MARKER: self.marker})

    def pids(self) -> tuple[int, ...]:
        return tuple(pid for pid, marker in _marked(self._proc) if marker == self.marker)

    def populated(self) -> bool:
        # In this order: an entry that ends in between has made its process visible before.
        return _ways_in.busy(self.marker) or bool(self.pids())

    def kill(self) -> None:
        _ways_in.close(self.marker)
        for pid in self.pids():
            _kill(pid)

    def remove(self) -> bool:
        return _ways_in.close(self.marker)


class _WaysIn:
    """Cells of this process that a child may still enter, or is entering, by their marks.

    A mark shows in /proc only after the exec, which may hang with its disk, and spawning threads may come
    late: without this a cell could be found empty, and its agent run after that. (A control group that was
    removed lets nobody in.) Used by spawning threads and the event loop.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[str] = set()
        self._entering: set[str] = set()

    def make(self, marker: str) -> None:
        with self._lock:
            self._open.add(marker)

    @contextmanager
    def through(self, marker: str) -> Iterator[None]:
        """For one child. ActionSpaceError when the way was closed meanwhile."""
        with self._lock:
            if marker not in self._open:
                raise ActionSpaceError("it was given up before it began")
            self._open.remove(marker)
            self._entering.add(marker)
        try:
            yield
        finally:
            with self._lock:
                self._entering.remove(marker)

    def busy(self, marker: str) -> bool:
        with self._lock:
            return marker in self._entering

    def close(self, marker: str) -> bool:
        """Let nobody in from now on; False while somebody is on the way."""
        with self._lock:
            self._open.discard(marker)
            return marker not in self._entering

    def known(self) -> list[str]:
        with self._lock:
            return [*self._open, *self._entering]


_ways_in = _WaysIn()


def _marked(proc: str) -> Iterator[tuple[int, str]]:
    """(pid, marker) of every process that carries one."""
    again = [name for name in os.listdir(proc) if name.isdigit()]
    for attempt in range(_SCAN_ATTEMPTS):
        names, again = again, []
        if attempt and names:
            time.sleep(_SCAN_PAUSE_S)
        for name in names:
            environment = _environment(proc, name)
            if environment is None:
                again.append(name)
                continue
            for word in environment:
                if word.startswith(_MARKER_PREFIX):
                    yield int(name), word[len(_MARKER_PREFIX) :].decode("utf-8", "replace")


def _environment(proc: str, name: str) -> list[bytes] | None:
    """None when it reads empty for now: in the middle of execve(2) a process shows no environment."""
    try:
        with open(f"{proc}/{name}/environ", "rb") as file:
            data = file.read()
        if data:
            return data.split(b"\0")
        with open(f"{proc}/{name}/stat", "rb") as file:
            state = file.read().rpartition(b")")[2].split()
    except OSError:
        return []
    # proc(5): state is the first field after the name, flags the seventh; zombies and threads of the
    # kernel (PF_KTHREAD, sched.h) have no environment and never get one.
    gone = state[0] in (b"Z", b"X") or int(state[6]) & 0x00200000
    return [] if gone else None


class MarkerSpace(ActionSpace):
    """Which cells became services stands in a file of ``run_dir``: like the processes, it ends with the boot."""

    weakness = (
        "no writable cgroup2: processes of actions are found by a mark in their environment, "
        "which a program can drop; mount cgroup2 or let systemd delegate a control group"
    )

    def __init__(
        self, node: str, run_dir: str, proc: str = "/proc", earlier: CgroupSpace | None = None
    ) -> None:
        """``earlier`` is where a life that could still make control groups made them."""
        self._node = quote(node, safe="")
        self._earlier = earlier
        self._file = os.path.join(run_dir, f"services-{self._node}")
        self._life = os.urandom(4).hex()
        self._proc = proc
        self._serial = 0

    def create(self, group: str, label: str) -> MarkerCell:
        self._serial += 1
        name = f"{ACTION}{quote(label, safe='')}.{self._life}.{self._serial}"
        cell = MarkerCell(f"{self._node}:{_folder(group)}:{name}", self._proc)
        _ways_in.make(cell.marker)
        return cell

    def leftovers(self, group: str) -> list[Cell]:
        kept = self._kept()
        older = [cell for cell in self._earlier.leftovers(group) if cell.populated()] if self._earlier else []
        return [*older, *(cell for cell in self._cells(group) if cell.marker not in kept)]

    def services(self, group: str, name: str = "") -> list[Cell]:
        kept = self._kept()
        cells = [cell for cell in self._cells(group) if cell.marker in kept]
        older = self._earlier.services(group, name) if self._earlier else []
        return [*older, *(cell for cell in cells if not name or kept[cell.marker] == name)]

    def _cells(self, group: str) -> list[MarkerCell]:
        start = f"{self._node}:{_folder(group)}:"
        known = [*_ways_in.known(), *(marker for _, marker in _marked(self._proc))]
        markers = {marker for marker in known if marker.startswith(start)}
        return [MarkerCell(marker, self._proc) for marker in sorted(markers)]

    def keep(self, cell: Cell, group: str, name: str) -> None:  # noqa: ARG002 - the marker names the group
        if not isinstance(cell, MarkerCell):
            raise TypeError(cell)
        if not cell.populated():
            return
        line = f"{cell.marker} {quote(name, safe='')}\n".encode()
        try:
            fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError as error:
            raise ActionSpaceError(f"cannot write {self._file}: {error.strerror}; make room for it") from None

    def _kept(self) -> dict[str, str]:
        try:
            with open(self._file, encoding="utf-8") as file:
                lines = [line.split() for line in file]
        except FileNotFoundError:
            return {}
        return {words[0]: unquote(words[1]) for words in lines if len(words) == 2}

    def groups(self) -> list[str]:
        start = f"{self._node}:"
        names = {m.split(":")[1] for _, m in _marked(self._proc) if m.startswith(start) and m.count(":") == 2}
        older = self._earlier.groups() if self._earlier else []
        return sorted({*older, *(unquote(name) for name in names if name not in _OWN)})


# --- which one --------------------------------------------------------------------------------------


def cgroup2_mount(mountinfo: str) -> str:
    """The first cgroup2 mount point in the text of ``/proc/self/mountinfo``, or ""."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if after.startswith("cgroup2 ") and len(fields) > 4:
            # proc(5): blank, tab, newline and backslash are written as octal escapes.
            return fields[4].encode().decode("unicode_escape")
    return ""


def own_cgroup(text: str) -> str:
    """The cgroup2 path of a process in the text of its ``/proc/PID/cgroup``, or "/"."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line[3:] or "/"
    return "/"


def cgroup_roots(mount: str, own: str, *, delegated: bool) -> tuple[str, ...]:
    """Where cells are made, then where else they may have been made by an earlier life.

    systemd owns the top of the tree and lends a unit its own branch (``Delegate=yes``). Started by hand,
    failoverd uses the top: the cgroup of a login session would be another one next time.
    """
    top = mount.rstrip("/") or "/"
    unit = os.path.join(top, own.lstrip("/")).rstrip("/")
    usable_unit = own != "/" and own.endswith(".service")
    if delegated and usable_unit:
        return (unit, top)
    service = os.path.join(top, "system.slice", "failoverd.service")
    return (top, service)


def find_space(node: str, run_dir: str) -> ActionSpace:
    """Control groups where they can be written, else the marker."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mount = cgroup2_mount(file.read())
    if not mount:
        return MarkerSpace(node, run_dir)
    with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as file:
        own = own_cgroup(file.read())
    roots = cgroup_roots(mount, own, delegated="INVOCATION_ID" in os.environ)
    try:
        space = CgroupSpace(node, roots)
        # Made and removed once: a read-only mount or a limit shows here and not at the first start.
        space.create(FENCING, "trial").remove()
    except (OSError, ActionSpaceError):
        return MarkerSpace(node, run_dir, earlier=CgroupSpace(node, roots, search_only=True))
    return space
