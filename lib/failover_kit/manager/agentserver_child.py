"""The agent server: one process beside failoverd that has imported our resource agents and forks for each call.

Run by ``agentserver.py`` as ``/usr/bin/python3 -IS agentserver_child.py LIBRARY FD``, with the agents' own
interpreter and flags, in an environment that is theirs, too (``CLEAN_ENV``). FD is its end of a
SOCK_SEQPACKET pair; the other end's end is its own end. It has one thread and no signal handlers, keeps nothing
between calls, and runs no line of an agent itself: an agent runs in a process forked for that call, only.

One call, everything on the descriptors that came with the request (SCM_RIGHTS, unix(7)):

1. failoverd sends argv and environment, with five descriptors: ``cgroup.procs`` of the cell, the three streams,
   and one end of a pair for this call alone, the *line*;
2. the server forks. The child enters the cell, before anything else, makes itself what a freshly executed
   agent is, says READY on the line with a pidfd of itself, and waits there;
3. failoverd looks whether the decision is still fresh and says GO. Nothing of the agent runs before that word, and
   at the end of the line without it the child ends: so failoverd always knows whether an action may have begun;
4. when the child has ended, the server writes its exit code to the line. The end of the line without one: the
   server has ended, and nobody knows.

An error of the server's own ends it: failoverd then treats every call in progress like a killed agent.
docs/design/0052 has the reasons.
"""

import _socket
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    Fresh = tuple[list[str], bool]
    """sys.path and sys.dont_write_bytecode as the interpreter made them: what a child puts back."""

READY, GO, REFUSED = b"ready", b"go", b"refused"
REQUEST_LIMIT_BYTES = 1 << 16
"""Of one packet; more than any sensible haresources line. What is longer is executed."""

_DESCRIPTORS = 5
_INT_BYTES = 4
_COMM_BYTES = 15  # TASK_COMM_LEN less the final NUL (proc(5))
_NEVER_TOLD = 1
_LIMIT_FD = os.sysconf("SC_OPEN_MAX")


def pack(argv: "Sequence[str]", environment: "Mapping[str, str]") -> bytes:
    """A request: how many words, the words, each NAME=VALUE, separated by NUL. ValueError for one inside."""
    words = [os.fsencode(word) for word in argv]
    words += [os.fsencode(f"{name}={value}") for name, value in environment.items()]
    if any(b"\0" in word for word in words):
        raise ValueError("embedded null byte")
    return b"\0".join([b"%d" % len(argv), *words])


def unpack(request: bytes) -> "tuple[list[bytes], dict[bytes, bytes]]":
    """argv and environment of ``pack``."""
    count, *words = request.split(b"\0")
    argv, rest = words[: int(count)], words[int(count) :]
    return argv, {name: value for name, _, value in (word.partition(b"=") for word in rest)}


def import_agents(library: str) -> None:
    """Every module an action may import, so that no forked child has to; not the long texts of meta-data."""
    for room in ("spec", "kernel", "ocf", "agents"):
        for name in sorted(os.listdir(f"{library}/failover_kit/{room}")):
            module, dot, ending = name.partition(".")
            if dot and ending == "py" and module != "__init__" and not module.endswith(_NOT_FOR_ACTIONS):
                __import__(f"failover_kit.{room}.{module}")
    for late in ("ctypes", "errno", "fcntl", "mmap", "signal", "socket", "time"):
        __import__(late)


_NOT_FOR_ACTIONS = ("_text", "manpage", "metadata", "usage", "roff", "launcher", "ssh", "syslogline")


class Server:
    """The loop."""

    def __init__(self, control: "_socket.socket", fresh: "Fresh") -> None:
        self._control = control
        self._fresh = fresh
        self._running: dict[int, tuple[int, int]] = {}  # pidfd: (pid, line)

    def serve(self) -> None:
        """Until failoverd's end of the pair is closed. Calls in progress then go on, in their cells."""
        poll = select.poll()
        control = self._control.fileno()
        poll.register(control, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd != control:
                    poll.unregister(fd)
                    self._report(fd)
                    continue
                request, descriptors = self._receive()
                if not request:
                    return
                pidfd = self._forked(request, descriptors)
                if pidfd >= 0:
                    poll.register(pidfd, select.POLLIN)

    def _receive(self) -> "tuple[bytes, list[int]]":
        """One request; b"" at the end. OSError for anything that is none."""
        request, items, flags, _ = self._control.recvmsg(
            REQUEST_LIMIT_BYTES, _socket.CMSG_SPACE(_DESCRIPTORS * _INT_BYTES), _socket.MSG_CMSG_CLOEXEC
        )
        data = b"".join(item[2] for item in items)
        parts = [data[at : at + _INT_BYTES] for at in range(0, len(data), _INT_BYTES)]
        if request and (len(parts) != _DESCRIPTORS or flags & (_socket.MSG_TRUNC | _socket.MSG_CTRUNC)):
            raise OSError(f"a request of {len(request)} bytes with {len(parts)} descriptors")
        return request, [int.from_bytes(part, sys.byteorder) for part in parts]

    def _forked(self, request: bytes, descriptors: "list[int]") -> int:
        """The pidfd of the child that does it; -1 when there is none. Does not return in the child."""
        *others, line = descriptors
        try:
            pid = os.fork()
        except OSError:
            os.write(line, REFUSED)
            others.append(line)
            pid = -1
        if pid == 0:
            self._control.detach()  # closed by number below; its object must not close that number once more
            become(*unpack(request), descriptors, self._fresh)
        for fd in others:
            os.close(fd)
        if pid < 0:
            return -1
        pidfd = os.pidfd_open(pid)
        self._running[pidfd] = (pid, line)
        return pidfd

    def _report(self, pidfd: int) -> None:
        """Collect a child and say how it ended: negative is the number of the signal, as in subprocess."""
        pid, line = self._running.pop(pidfd)
        os.close(pidfd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        try:
            os.write(line, b"%d" % code)
        except OSError:
            pass  # nobody wants to know: given up
        os.close(line)


def become(
    argv: "list[bytes]", environment: "dict[bytes, bytes]", descriptors: "list[int]", fresh: "Fresh"
) -> "NoReturn":
    """In the forked child: be what an executed agent is, wait for GO, run it.

    Every error, before GO or after, leaves by the interpreter's own door, as it would in an executed agent.
    """
    cell, *streams, line = descriptors
    os.write(cell, b"0")  # PROTOCOL rule 6: found again from here on. Fails when the cell is gone, and so do we
    os.setsid()
    os.chdir("/")
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    os.closerange(3, line)
    os.closerange(line + 1, _LIMIT_FD)
    os.environ.clear()  # also posix.environ, which agents read (ocf/runner.py), and the C library's
    os.environ.update((os.fsdecode(name), os.fsdecode(value)) for name, value in environment.items())
    with open("/proc/self/comm", "wb") as file:  # what execve does
        file.write(argv[0].rpartition(b"/")[2][:_COMM_BYTES])
    wait_for_go(line)
    run_launcher([os.fsdecode(word) for word in argv], fresh)


def wait_for_go(line: int) -> None:
    """Say that all is ready, and go on only when told so."""
    pidfd = os.pidfd_open(os.getpid())
    talk = _socket.socket(fileno=line)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pidfd.to_bytes(_INT_BYTES, sys.byteorder))
    talk.sendmsg([READY], [rights])
    os.close(pidfd)
    told = talk.recv(len(GO) + 1)
    talk.close()
    if told != GO:
        os._exit(_NEVER_TOLD)


def run_launcher(argv: "list[str]", fresh: "Fresh") -> "NoReturn":
    """What ``python3 -IS PROGRAM VERB`` does with the file PROGRAM, as it is now."""
    sys.argv = argv
    sys.orig_argv = [sys.executable, "-IS", *argv]
    sys.path[:], sys.dont_write_bytecode = fresh
    main = type(sys)("__main__")
    loader = type(sys.modules["__main__"].__dict__["__loader__"])("__main__", argv[0])
    main.__dict__.update(
        __file__=argv[0], __builtins__=__builtins__, __annotations__={}, __cached__=None, __loader__=loader
    )
    sys.modules["__main__"] = main
    with open(argv[0], "rb") as file:
        code = compile(file.read(), argv[0], "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102 - it is a program, and this is how Python runs one
    sys.exit(0)


def _main() -> None:
    library, fd = sys.argv[1:]
    control = _socket.socket(fileno=int(fd))
    os.set_inheritable(control.fileno(), False)
    fresh = (list(sys.path), sys.dont_write_bytecode)
    sys.path.insert(0, library)
    sys.dont_write_bytecode = True
    try:
        import_agents(library)
        from failover_kit import VERSION
    except Exception as error:  # the one thing that must be told
        control.send(f"{type(error).__name__}: {error}".encode("utf-8", "replace")[:500])
        raise
    import gc

    gc.freeze()  # children of a collection would otherwise touch, and so copy, every page we share
    control.send(READY + b" " + VERSION.encode())
    Server(control, fresh).serve()
    os._exit(0)


if __name__ == "__main__":
    _main()
