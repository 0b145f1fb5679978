"""The daemons around the server: found by name, ended with a deadline, started by themselves.

They daemonize when they are ready, so after the program has returned there is exactly one process of its
name that is not a child of another one of that name (mountd may fork workers).
"""

import signal
import time

from failover_kit.agents import nfsserver
from failover_kit.kernel import processes
from failover_kit.ocf.codes import failed, not_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.agents.nfsserver import Record
    from failover_kit.kernel.processes import Status
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

STATD, MOUNTD, CLD, IDMAPD, NOTIFY = "rpc.statd", "rpc.mountd", "nfsdcld", "rpc.idmapd", "sm-notify"
# Ends by TERM within milliseconds, unless it waits for a disk; then KILL does not help either.
_TERM_GRACE_MS = 3000
_POLL_S = 0.02
_APPEAR_MS = 3000
# A daemon that is ready within seconds or never; the rest of the time belongs to the others.
_READY_MS = 20_000


def leaders(name: str) -> "list[Status]":
    """The processes of that name, without the workers they forked."""
    found = processes.named(name)
    pids = {state.pid for state in found}
    return [state for state in found if state.parent not in pids]


def end(names: "list[str]", deadline: "Deadline") -> "list[str]":
    """End every process with one of the names; the names of those that were there.

    AgentError naming who stays when the deadline has come.
    """
    asked = deadline.at_most(min(_TERM_GRACE_MS, deadline.left_ms() // 3))
    told: set[int] = set()
    ended: list[str] = []
    while True:
        alive = [state for name in names for state in processes.named(name)]
        if not alive:
            return list(dict.fromkeys(ended))
        ended += [state.name for state in alive]
        for state in alive:
            if asked.expired():
                processes.end(state, signal.SIGKILL)
            elif state.pid not in told:
                told.add(state.pid)
                processes.end(state, signal.SIGTERM)
        if deadline.expired():
            who = ", ".join(f"{state.name} (pid {state.pid}, in state {state.state})" for state in alive)
            raise failed(f"{who} did not end within {deadline.total_ms / 1000:g} s, of KILL neither")
        time.sleep(_POLL_S)


def start(call: "Call", record: "Record", name: str, argv: "list[str]") -> None:
    """Run the daemon ``argv`` until it says it is ready, and put it on record; AgentError if it does not."""
    from failover_kit.spec.process import CommandMissing, CommandTimeout, run

    waiting = call.deadline.at_most(_READY_MS)
    try:
        result = run(argv, waiting)
    except CommandMissing as error:
        raise not_here(str(error)) from None
    except CommandTimeout as error:
        raise failed(f"{error}; it waited for {name} to be ready") from None
    if not result.ok():
        raise failed(f"{name} did not start: {result.describe()}")
    appearing = call.deadline.at_most(_APPEAR_MS)
    while not (found := leaders(name)):
        if appearing.expired():
            raise failed(f"{name} ended at once; see syslog for its reason")
        time.sleep(_POLL_S)
    record.helpers.append(nfsserver.Helper(name, found[0].pid, found[0].start_ticks))
    nfsserver.write_record(call, record)
