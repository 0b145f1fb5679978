"""Telling NFSv3 clients to reclaim their locks: when the address is here, not before.

The address comes after the server (it must not be there while exports are not), so the start of this
resource cannot tell anybody yet. It leaves a process that waits until an address of ``nfs_ip`` is on this host and
then runs sm-notify from it. That process has a session of its own and no descriptor of ours, is on
record before it does anything, waits a bounded time, and is ended by stop, as sm-notify is.
"""

import os
import time

from failover_kit.agents import nfsserver_helpers as helpers
from failover_kit.agents.nfsserver import STATE
from failover_kit.agents.nfsserver_state import PENDING
from failover_kit.kernel import addresses, netlink, processes
from failover_kit.spec.deadline import Deadline
from failover_kit.spec.values import ipv4_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.ocf.agent import Call

# A group that needs longer than this for its address has failed, and its stop ends us anyway.
ADDRESS_WAIT_MS = 300_000
_POLL_S = 0.2
_RUN_MS = 20_000
_SIGKILL = 9
_END_MS = 2000
_RECORD = "notifier"


def begin(call: "Call") -> None:
    """Leave the process that waits and tells; returns at once."""
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _detach(keep=receiver)
            # Wait until our pid is on record: one that no stop could find must not exist.
            if os.read(receiver, 1) == b"g":
                os.close(receiver)
                _notify(call)
        finally:
            os._exit(0)
    os.close(receiver)
    try:
        state = processes.status(pid)
        if state is not None:
            call.write_state(_RECORD, f"{pid} {state.start_ticks}\n")
            os.write(sender, b"g")
    finally:
        os.close(sender)


def end(call: "Call") -> None:
    """End the process an earlier start left, if it still is that process."""
    path = call.state_path(_RECORD)
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            pid, start_ticks = map(int, file.read().split())
    except FileNotFoundError:
        return
    except ValueError:
        os.unlink(path)
        return
    waiting = call.deadline.at_most(_END_MS)
    while True:
        state = processes.status(pid)
        if state is None or state.start_ticks != start_ticks or state.state in "ZX":
            break
        processes.end(state, _SIGKILL)
        waiting.require(f"ending the process {pid}, which waits to notify clients")
        time.sleep(0.002)
    os.unlink(path)


def _detach(keep: int) -> None:
    os.setsid()
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.closerange(3, keep)
    os.closerange(keep + 1, 1024)


def _notify(call: "Call") -> None:
    """Wait for each address and tell the clients from it. Logs, and never raises: nobody listens."""
    ips = call.values.text("nfs_ip").split()
    waiting = Deadline(ADDRESS_WAIT_MS)
    if not ips:
        _tell(call, "default", [])
        return
    pending = list(ips)
    while pending:
        for ip in [ip for ip in pending if is_here(ip)]:
            pending.remove(ip)
            _tell(call, ip, ["-v", ip])
        if waiting.expired():
            _log("warning", f"{', '.join(pending)} did not come within {ADDRESS_WAIT_MS // 1000} s: no client told")
            return
        time.sleep(_POLL_S if pending else 0)


def is_here(ip: str) -> bool:
    with netlink.Netlink() as link:
        return bool(addresses.find(link, ipv4_bytes(ip)))


def _tell(call: "Call", label: str, words: "list[str]") -> None:
    """Run sm-notify, which detaches itself and goes on trying."""
    from failover_kit.spec.process import CommandMissing, CommandTimeout, run

    retry = call.values.number("nfs_smnotify_retry_time")
    if retry:
        words = [*words, "-m", str(retry)]
    argv = [helpers.NOTIFY, "-f", "-P", f"{STATE}/{PENDING}/{label}", *words]
    try:
        result = run(argv, Deadline(_RUN_MS))
    except (CommandMissing, CommandTimeout) as error:
        _log("error", f"NFSv3 clients of {label} are not told to reclaim their locks: {error}")
        return
    if result.ok():
        _log("info", f"telling the NFSv3 clients of {label} to reclaim their locks")
    else:
        _log("error", f"NFSv3 clients of {label} are not told to reclaim their locks: {result.describe()}")


def _log(level: str, text: str) -> None:
    """To syslog: this process has no stderr that anybody reads."""
    import syslog

    syslog.openlog("nfsserver", syslog.LOG_PID, syslog.LOG_DAEMON)
    number = {"error": syslog.LOG_ERR, "warning": syslog.LOG_WARNING, "info": syslog.LOG_INFO}[level]
    syslog.syslog(number, text)
