"""failoverd's side of the agent server (``agentserver_child``): when it may be used, and what its silence means.

``AgentServer.begin`` answers with a call that has begun, or with None: then nothing of it has begun and nothing
ever will, and the caller executes the agent. There is no third answer, so no action is begun twice. What
may have begun and is not reported is *lost*: treated like an agent that was killed, its cell emptied.

Everything here that blocks (at most ``ANSWER_S``) runs in threads: of ``children``, and one that keeps the server.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO

from failover_kit import VERSION
from failover_kit.manager.actionspace import (
    AGENTS,
    ActionSpace,
    ActionSpaceError,
    Cell,
    CgroupCell,
    CgroupSpace,
    entering,
)
from failover_kit.manager.agentserver_call import Forked
from failover_kit.manager.agentserver_child import GO, READY, REQUEST_LIMIT_BYTES, pack
from failover_kit.manager.agentserver_process import ServerProcess
from failover_kit.manager.children import Freshness, expose_to_oom_killer
from failover_kit.spec.deadline import boottime_ms
from failover_kit.spec.process import CLEAN_ENV

ANSWER_S = 3.0
"""From the request to READY it takes about a millisecond, on a starved machine a second. After this the call is
executed, and the server is used no more; it ends with the last call that it has begun."""

HELLO_S = 20.0
"""For the server's own start. Nobody waits for it: agents are executed meanwhile."""

RESTART_PAUSE_MS, RESTART_PAUSE_MOST_MS = 60_000, 3_600_000
"""From one start to the next; doubled each time when the one before did not live ten times as long."""

_PYTHON = "/usr/bin/python3"
_LIBRARY = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
_CHILD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agentserver_child.py")
_ROOMS = ("spec", "kernel", "ocf", "agents")
_LAUNCHER_HEAD, _LAUNCHER_TAIL = f"#!{_PYTHON} -IS\n", "\nrun(AGENT)\n"
_NAMES = ("OCF_", "HA_")  # of variables; any other might be one that an interpreter reads when it starts
_WORD_BYTES = 500

Facts = tuple[tuple[int, ...], ...]


def own_programs(programs: Iterable[str], library: str = _LIBRARY) -> tuple[str, ...]:
    """Those of ``programs`` that are launchers of ours and lead to this very tree, in order, each once."""
    return tuple(dict.fromkeys(program for program in programs if _is_own(program, library)))


def _is_own(program: str, library: str) -> bool:
    try:
        with open(program, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return False
    if not (text.startswith(_LAUNCHER_HEAD) and text.endswith(_LAUNCHER_TAIL)):
        return False
    # As the launchers themselves look for it.
    here = os.path.dirname(os.path.realpath(program) if os.path.islink(program) else program)
    lib = f"{here}/../lib"
    if not os.path.exists(f"{lib}/failover_kit"):
        lib = f"{here}/../../../../share/failover-kit"
    return os.path.realpath(lib) == os.path.realpath(library)


class AgentServer:
    """One server for all calls of a failoverd, started again when it ends. Used from several threads."""

    def __init__(self, space: ActionSpace, programs: Iterable[str], say: Callable[[str], None]) -> None:
        """``programs``: of ``own_programs``. ``say`` is called from any thread, with a sentence for the log."""
        self._space = space
        self._programs = frozenset(programs)
        self._say = say
        self._lock = threading.Lock()
        self._server: ServerProcess | None = None  # that has said hello
        self._keeper: threading.Thread | None = None
        self._started_ms = 0
        self._pause_ms = 0
        self._over = not self._programs or not isinstance(space, CgroupSpace)
        self._files = files_of(self._programs)
        self._facts = facts(self._files)

    def start(self) -> None:
        """Begin to start it, unless there is one, or was one a moment ago. Returns at once."""
        now_ms = boottime_ms()
        with self._lock:
            lived_ms = now_ms - self._started_ms
            if self._over or self._keeper is not None or lived_ms < self._pause_ms:
                return
            longer_ms = RESTART_PAUSE_MS if lived_ms > 10 * self._pause_ms else 2 * self._pause_ms
            self._started_ms, self._pause_ms = now_ms, min(longer_ms, RESTART_PAUSE_MOST_MS)
            keeper = threading.Thread(target=self._keep, daemon=True, name="agent server")
            try:
                keeper.start()
            except RuntimeError:
                return  # no thread is to be had: next time, perhaps
            self._keeper = keeper

    def ready(self) -> bool:
        """Whether the next call of ours will be forked, as far as can be known."""
        return self._server is not None

    async def close(self) -> str:
        """No call is begun any more; those in progress are the caller's to end. "" or what of the server stays."""
        self._give_up(at_once=True)
        return await self._space.clear(AGENTS)

    def begin(
        self, cell: Cell, argv: Sequence[str], environment: Mapping[str, str], freshness: Freshness | None
    ) -> Forked | None:
        """Begin ``argv`` in ``cell``, or None: see above. Raises TooOld, and ActionSpaceError as ``entering`` does.

        May block for ANSWER_S.
        """
        if argv[0] not in self._programs or not isinstance(cell, CgroupCell):
            return None
        if not all(name.startswith(_NAMES) for name in environment):
            return None
        server = self._server
        if server is None:
            self.start()
            return None
        if facts(self._files) != self._facts:
            self._outdated()
            return None
        try:
            request = pack(argv, {**CLEAN_ENV, **environment})
        except ValueError:
            return None
        if len(request) > REQUEST_LIMIT_BYTES:
            return None
        if freshness is not None:
            freshness.require()  # and once more before GO
        forked: Forked | None = None
        try:
            forked = _asked(server, cell, request, freshness)
        finally:
            if forked is None:
                cell.kill()  # whoever is there was never told to go; the executed agent comes after this
            self._forget_retired(server)
        return forked

    # --- its life -------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Start it and wait for its end, in a thread of its own."""
        try:
            with ExitStack() as stack:
                server = self._spawned(stack)
                ended = _greeted(server.control)
                with self._lock:
                    if not ended and not self._over:
                        self._server = server
                if ended or self._over:
                    server.end()
                code = server.wait()
                how = f"killed by signal {-code}" if code < 0 else f"exit {code}"
                ended = ended or "; ".join(filter(None, (server.retired, f"it ended ({how})")))
        except (OSError, subprocess.SubprocessError, ActionSpaceError) as error:
            ended = f"it cannot be started: {error}"
        with self._lock:
            self._server, self._keeper, wanted = None, None, not self._over
        if wanted:
            self._say(f"agent server: {ended}; agents start as processes of their own until there is a new one")

    def _spawned(self, stack: ExitStack) -> ServerProcess:
        """An ordinary child in a cell of its own."""
        cell = self._space.create(AGENTS, "server")
        stack.callback(cell.remove)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stack.callback(control.close)  # a second time, as a rule
        with theirs, entering(cell) as entry:
            popen = subprocess.Popen(
                [_PYTHON, "-IS", _CHILD, _LIBRARY, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**CLEAN_ENV, **entry.environment},
                cwd="/",
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                preexec_fn=entry.before_exec,  # noqa: PLW1509 - why this is sound: CgroupCell.entry
            )
        expose_to_oom_killer(popen.pid)
        return ServerProcess(popen, control)

    def _forget_retired(self, server: ServerProcess) -> None:
        with self._lock:
            if server.retired and self._server is server:
                self._server = None

    def _give_up(self, *, at_once: bool) -> bool:
        """Use it no more in this life. False when that was so already."""
        with self._lock:
            first, self._over = not self._over, True
            server, self._server = self._server, None
        if server is not None and at_once:
            server.end()
        elif server is not None:
            server.retire("it is used no more")
        return first

    def _outdated(self) -> None:
        """What the server imported is not what is on the disk now; nor is failoverd itself."""
        if self._give_up(at_once=False):
            self._say(
                "agent server: files of failover-kit or Python changed on disk, so it is used no more; "
                "agents start as processes of their own until failoverd is restarted"
            )


def files_of(programs: Iterable[str]) -> tuple[str, ...]:
    """What an agent consists of: every module it may import, launchers, interpreter and its library's directory."""
    rooms = [os.path.join(_LIBRARY, "failover_kit", room) for room in _ROOMS]
    modules = [os.path.join(room, name) for room in rooms for name in os.listdir(room) if name.endswith(".py")]
    package = os.path.join(_LIBRARY, "failover_kit", "__init__.py")
    return (_PYTHON, os.path.dirname(os.__file__), package, _CHILD, *sorted(modules), *sorted(programs))


def facts(files: Sequence[str]) -> Facts:
    """What changes when one of ``files`` is replaced or written to; a missing one is a fact, too."""
    return tuple(_facts_of(path) for path in files)


def _facts_of(path: str) -> tuple[int, ...]:
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _greeted(control: socket.socket) -> str:
    """"" when a server of our version is ready, else what is wrong."""
    control.settimeout(HELLO_S)
    try:
        word = control.recv(_WORD_BYTES)
    except TimeoutError:
        return f"it was not ready within {HELLO_S:g} s"
    except OSError as error:
        return f"it is not ready: {error.strerror}"
    control.settimeout(None)
    if word == READY + b" " + VERSION.encode():
        return ""
    return f"it is not ready: {word.decode('utf-8', 'replace') or 'it ended'}"


def _asked(server: ServerProcess, cell: CgroupCell, request: bytes, freshness: Freshness | None) -> Forked | None:
    """The call, begun. None: GO was not given, and never will be, because the line is closed."""
    with ExitStack() as ours, ExitStack() as lent:
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.enter_context(line)
        lent.enter_context(theirs)
        entry = lent.enter_context(entering(cell))
        null = lent.enter_context(FileIO("/dev/null", "r+"))
        (out, their_out), (err, their_err) = _pipe(ours, lent), _pipe(ours, lent)
        streams = [null.fileno(), their_out.fileno(), their_err.fileno()]
        if not server.ask(request, [entry.procs, *streams, theirs.fileno()]):
            server.retire("it took no request")  # it has ended, or does not read any more
            return None
        ours.callback(server.over)
        lent.close()  # so that the line ends when the server and its child have ended
        line.settimeout(ANSWER_S)
        try:
            word, received, _, _ = socket.recv_fds(line, _WORD_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError:
            server.retire(f"it did not answer within {ANSWER_S:g} s")
            return None
        except OSError:
            return None
        for fd in received:
            ours.callback(os.close, fd)
        if word != READY or len(received) != 1:
            return None
        if freshness is not None:
            freshness.require()  # PROTOCOL rules 1 and 21: nothing of the agent has run yet
        line.setblocking(False)
        ours.pop_all()
    forked = Forked(line, received[0], (out, err), server.over)
    # From here on it may have begun, whatever happens.
    try:
        line.send(GO)
    except OSError:
        pass  # the server and the child have ended: the line says so when it is asked
    return forked


def _pipe(ours: ExitStack, lent: ExitStack) -> tuple[FileIO, FileIO]:
    """Its reading and its writing end."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    return ours.enter_context(FileIO(reader, "r")), lent.enter_context(FileIO(writer, "w"))
