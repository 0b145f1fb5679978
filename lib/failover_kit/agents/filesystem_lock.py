"""One action at a time on one resource, the leftovers of a killed one included.

Pacemaker kills an agent that is late, and what the agent had started may go on: a mount(8) that waits
for the disk would mount it after the next stop has said "stopped". So start and stop hold a lock
(flock(2)) that their children inherit; the kernel lets go of it when the last of them has ended.
"""

import fcntl
import os
import time

from failover_kit.agents.filesystem_seen import record_name
from failover_kit.kernel import processes
from failover_kit.kernel.attempts import loop_deadline
from failover_kit.ocf.codes import failed
from failover_kit.spec.values import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

_POLL_S = 0.02


def _path(call: "Call") -> str:
    return call.state_path(record_name(call)).removesuffix(".device") + ".lock"


def take(call: "Call", make: bool) -> int:
    """The descriptor that holds the lock, -1 if there is nothing to lock.

    AgentError at the deadline, naming who has it. Only start makes the file: where there is none, nothing
    was started since the last stop.
    """
    path = _path(call)
    trying = loop_deadline(call.deadline)
    while True:
        try:
            if make:
                os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
        except FileNotFoundError:
            return -1
        if _locked(fd, path):
            return fd
        os.close(fd)
        if trying.expired():
            raise failed(_held(call, path))
        time.sleep(_POLL_S)


def _locked(fd: int, path: str) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A stop takes the file away: a lock on what was taken away is none.
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def _held(call: "Call", path: str) -> str:
    who = [
        f"{state.name} (pid {state.pid}{', in state D' if state.state == 'D' else ''})"
        for state in processes.having_open(path)
    ]
    found = ", ".join(who) or "a process /proc does not show"
    return f"an earlier start or stop of {shown(call.values.text('directory'))} still runs: {found}"


def remove(call: "Call", fd: int) -> None:
    """At the end of a successful stop, by the one who holds it."""
    if fd >= 0:
        try:
            os.unlink(_path(call))
        except FileNotFoundError:
            pass
        os.close(fd)
