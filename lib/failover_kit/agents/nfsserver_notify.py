"""Telling NFSv3 clients to reclaim their locks: when the address is here, not before.

The address comes after the server (it must not be there while exports are not), so the start of this
resource cannot tell anybody yet. It leaves a process that waits until an address of ``nfs_ip`` is on this host and
then tells the clients from it. That process has a session of its own and no descriptor of ours, is on
record before it does anything, ends by itself after a bounded time, and is ended by stop.

While it runs it holds no file of the shared disk open: a record is removed by its path when its client has
answered.
"""

import errno
import os
import time

from failover_kit.agents import nfsserver_state
from failover_kit.agents.nfsserver_clients import jobs_of, log, names_of, targets_of
from failover_kit.agents.nfsserver_nsm import Telling
from failover_kit.kernel import addresses, netlink, processes
from failover_kit.spec.deadline import Deadline, boottime_ms
from failover_kit.spec.values import address_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812  # a type, as the module of the same name is

    from failover_kit.agents.nfsserver_clients import Job
    from failover_kit.ocf.agent import Call

# A group that needs longer than this for its address has failed, and its stop ends us anyway.
ADDRESS_WAIT_MS = 300_000
_POLL_S = 0.2
_RETRY_MINUTES = 15  # as long as sm-notify(8) tries
# Some systems believe only what comes from a reserved port.
_RESERVED_PORTS = range(1023, 665, -1)
_END_GRACE = "/proc/fs/lockd/nlm_end_grace"
_SIGKILL = 9
_END_MS = 2000
_RECORD = "notifier"


def begin(call: "Call", number: int) -> None:
    """Leave the process that waits and tells the state ``number``; returns at once."""
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            processes.detach(keep=receiver)
            # Wait until our pid is on record: one that no stop could find must not exist.
            if os.read(receiver, 1) == b"g":
                os.close(receiver)
                _notify(call, number)
        except Exception as error:
            log("error", f"NFSv3 clients are not told to reclaim their locks: {error!r}; this is a bug")
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
        try:
            # Its group: it leads a session of its own, and its children are in it.
            os.killpg(pid, _SIGKILL)
        except ProcessLookupError:
            pass
        waiting.require(f"ending the process {pid}, which waits to notify clients")
        time.sleep(0.002)
    os.unlink(path)


def _notify(call: "Call", number: int) -> None:
    """Tell the clients from each address; one process for each, as a client may be silent for minutes."""
    jobs = jobs_of(call.values.text("nfs_ip").split())
    if not any(nfsserver_state.names(job.directory()) for job in jobs):
        end_grace()
        return
    retry_ms = 60_000 * (call.values.number("nfs_smnotify_retry_time") or _RETRY_MINUTES)
    families = {job.family for job in jobs}
    first, *others = jobs
    for job in others:
        if os.fork() == 0:
            _tell_when_here(job, families, number, retry_ms)
            return
    _tell_when_here(first, families, number, retry_ms)
    for _ in others:
        # The first one stays as long as the others: it is the one on record.
        os.wait()


def _tell_when_here(job: "Job", families: "set[int]", number: int, retry_ms: int) -> None:
    """Wait for the job's address and tell its clients from it. ``families``: those that some job has."""
    waiting = Deadline(ADDRESS_WAIT_MS)
    while job.ip and not is_here(job.ip):
        if waiting.expired():
            log("warning", f"{job.ip} did not come within {ADDRESS_WAIT_MS // 1000} s; no client is told from it")
            return
        time.sleep(_POLL_S)
    targets = targets_of(job, families)
    if targets:
        _tell(job, targets, number, Deadline(retry_ms))


def is_here(ip: str) -> bool:
    """Whether the address can be used: for IPv6 that is after duplicate address detection."""
    with netlink.Netlink() as link:
        found = addresses.find(link, address_bytes(ip))
    return any(not (address.tentative() or address.duplicate()) for address in found)


def end_grace() -> None:
    """No client had NFSv3 locks, so none will reclaim: lockd need not keep new ones waiting."""
    try:
        with open(_END_GRACE, "w", encoding="ascii") as file:
            file.write("Y\n")
    except OSError as error:
        log("warning", f"cannot end lockd's grace period: {error}")


def _tell(job: "Job", targets: "dict[str, str]", number: int, trying: Deadline) -> None:
    """Tell every client of ``targets`` (record to address) until it answers."""
    import select
    import socket

    ip = job.ip
    with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
        own = names_of(ip, file.read()) if ip else [socket.gethostname()]
    xid = int.from_bytes(os.urandom(4), "big")
    telling = Telling(targets, own, number, xid=xid, now_ms=boottime_ms())
    with socket.socket(job.family, socket.SOCK_DGRAM) as sock:
        if job.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _bind(sock, ip)
        while telling.pending() and not trying.expired():
            for data, address, port in telling.due(boottime_ms()):
                _send(sock, data, (address, port))
            pause_ms = max(0, min(telling.next_ms() - boottime_ms(), trying.left_ms()))
            if not select.select([sock], [], [], pause_ms / 1000)[0]:
                continue
            try:
                data, (address, *_) = sock.recvfrom(2048)
            except ConnectionRefusedError:
                continue
            record = telling.receive(data, address, boottime_ms())
            if record:
                os.unlink(f"{job.directory()}/{record}")
                log("info", f"{record} is told from {ip or own[0]} to reclaim its NFSv3 locks")
    if telling.pending():
        log("warning", f"{', '.join(telling.pending())} never answered; told again after the next start")


def _send(sock: "Socket", data: bytes, target: "tuple[str, int]") -> None:
    """One datagram; a network that does not want it now is tried again later."""
    try:
        sock.sendto(data, target)
    except OSError as error:
        log("warning", f"cannot send to {target[0]}: {error.strerror}")


def _bind(sock: "Socket", ip: str) -> None:
    for port in _RESERVED_PORTS:
        try:
            sock.bind((ip, port))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    sock.bind((ip, 0))
