"""Telling the network where the address is now: a burst at once, others later, by a detached process.

Gratuitous ARP for IPv4, unsolicited neighbour advertisements for IPv6.

One burst is not enough: older Linux kernels ignore a change of an ARP entry they learnt less than a
second ago (``locktime`` in arp(7)), and a busy client has just such an entry for the old node;
packets get lost; a switch port may only just have come up. The later bursts come from a process of
its own session with no descriptor of ours, so that nobody who reads the agent's output waits for
it, and Pacemaker's kill of the agent's group does not hit it.
"""

import os
import time

from failover_kit.agents.ipaddr import link_local
from failover_kit.kernel import addresses, arp, netlink, processes
from failover_kit.spec.values import address_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.links import Link
    from failover_kit.ocf.agent import Call

# Milliseconds after the first burst: just over the locktime, and once more for a lost packet.
REPEAT_AT_MS = (1200, 3000)
_SIGKILL = 9
# A killed process may have to wait for a processor before it ends.
_END_WAIT_MS = 5000


def announce_and_repeat(call: "Call", interface: "Link", address: bytes, count: int) -> None:
    """One burst now, later ones detached. Failing to announce does not undo a good address.

    With ``arp_interval`` only the first announcement of the burst is waited for.
    """
    pause_ms = call.values.number("arp_interval")
    _announce(call, interface, address, 1 if pause_ms else count)
    end_repeater(call)  # of an earlier start, whose address somebody else took away
    record = call.state_path(_record_name(call))
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            processes.detach(keep=receiver)
            # Wait until our pid is on record: a sender that no stop could find must not exist.
            allowed = os.read(receiver, 1) == b"g"
            os.close(receiver)
            if allowed:
                _repeat(interface, address, record, _times(count, pause_ms), 1 if pause_ms else count)
        finally:
            os._exit(0)
    os.close(receiver)
    try:
        state = processes.status(pid)
        if state is not None:
            call.write_state(_record_name(call), f"{pid} {state.start_ticks}\n")
            os.write(sender, b"g")
    finally:
        os.close(sender)


def announced(call: "Call") -> bool:
    """Whether a start since the last stop got as far as telling the network."""
    return os.path.exists(call.state_path(_record_name(call)))


def refresh(call: "Call", interface: "Link | None", address: bytes, count: int) -> None:
    """``count`` announcements at a monitor (``arp_count_refresh``), for caches that were poisoned since."""
    if interface is not None and interface.speaks_arp():
        _announce(call, interface, address, count)


def _announce(call: "Call", interface: "Link", address: bytes, count: int) -> None:
    try:
        send(interface, address, count)
    except OSError as error:
        call.log("warning", f"{call.values.text('ip')} is not announced on {interface.name}: {error}")


def send(interface: "Link", address: bytes, count: int) -> None:
    """Gratuitous ARP for an IPv4 address, unsolicited advertisements for an IPv6 one."""
    if len(address) == 4:
        arp.announce(interface.name, interface.mac, address, count)
        return
    from failover_kit.kernel import neighbours

    neighbours.announce(interface.name, interface.mac, address, count)


def end_repeater(call: "Call") -> int:
    """End the sender of an earlier start, if it still runs and is still that process.

    0, or the pid of one that will not end; its record is kept then, for the next stop.
    """
    record = call.state_path(_record_name(call))
    pid, start_ticks = 0, 0
    try:
        with open(record, encoding="ascii") as file:
            pid, start_ticks = map(int, file.read().split())
    except FileNotFoundError:
        return 0
    except ValueError:
        call.log("warning", f"{record} is damaged; removed")
    patience = call.deadline.at_most(_END_WAIT_MS)
    while (sender := _sender(pid, start_ticks)) is not None:
        if patience.expired():
            return pid
        processes.end(sender, _SIGKILL)
        time.sleep(0.002)
    try:
        os.unlink(record)
    except FileNotFoundError:
        pass  # another stop was faster
    return 0


def _sender(pid: int, start_ticks: int) -> "processes.Status | None":
    """Start time and pid together are never given twice; a zombie sends nothing any more."""
    state = processes.status(pid)
    ours = state is not None and state.start_ticks == start_ticks and state.state not in "ZX"
    return state if ours else None


def _record_name(call: "Call") -> str:
    """Named for the address and where it is, which is what stop knows for certain; the resource may be renamed."""
    name = call.values.text("ip")
    if link_local(address_bytes(name)):
        name += "%" + call.values.text("nic")
    namespace = call.values.text("network_namespace")
    return (f"{name}@{namespace}" if namespace else name) + ".arp"


def _repeat(interface: "Link", address: bytes, record: str, times_ms: "list[int]", count: int) -> None:
    begun = time.monotonic()
    for at_ms in times_ms:
        time.sleep(max(0.0, begun + at_ms / 1000 - time.monotonic()))
        if not _on_record(record):
            return  # a later start has its own sender
        with netlink.Netlink() as link:
            here = any(found.ifindex == interface.index for found in addresses.find(link, address))
        if not here:
            # The address went away without our stop: announcing it now would harm its new owner.
            return
        try:
            send(interface, address, count)
        except OSError:
            pass  # the link is down for the moment; the next burst may get through


def _on_record(record: str) -> bool:
    try:
        with open(record, encoding="ascii") as file:
            return file.read().split()[:1] == [str(os.getpid())]
    except OSError:
        return False


def _times(count: int, pause_ms: int) -> "list[int]":
    """When the detached sender announces, in milliseconds after the first announcement.

    With a pause the rest of the first burst is its business, too, and later bursts follow that one.
    """
    if not pause_ms:
        return list(REPEAT_AT_MS)
    first = [number * pause_ms for number in range(1, count)]
    begins = [max(at_ms, count * pause_ms) for at_ms in REPEAT_AT_MS]
    later = {begin + number * pause_ms for begin in begins for number in range(count)}
    return first + sorted(later)
