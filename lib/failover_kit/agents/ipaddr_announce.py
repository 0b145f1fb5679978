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

from failover_kit.kernel import addresses, arp, netlink, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.links import Link
    from failover_kit.ocf.agent import Call

# Milliseconds after the first burst: just over the locktime, and once more for a lost packet.
REPEAT_AT_MS = (1200, 3000)
_SIGKILL = 9
_END_WAIT_S = 1.0


def announce_and_repeat(call: "Call", interface: "Link", address: bytes, count: int) -> None:
    """One burst now, later ones detached. Failing to announce does not undo a good address.

    With ``arp_interval`` only the first announcement of the burst is waited for.
    """
    pause_ms = call.values.number("arp_interval")
    _announce(call, interface, address, 1 if pause_ms else count)
    receiver, sender = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            processes.detach(keep=receiver)
            # Wait until our pid is on record: a sender that no stop could find must not exist.
            if os.read(receiver, 1) == b"g":
                _repeat(interface, address, count, pause_ms)
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


def refresh(call: "Call", interface: "Link", address: bytes, count: int) -> None:
    """``count`` announcements at a monitor (``arp_count_refresh``), for caches that were poisoned since."""
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


def end_repeater(call: "Call") -> None:
    """End the sender of an earlier start, if it still runs and is still that process."""
    record = call.state_path(_record_name(call))
    try:
        with open(record, encoding="ascii") as file:
            pid, start_ticks = map(int, file.read().split())
    except FileNotFoundError:
        return
    except ValueError:
        call.log("warning", f"{record} is damaged; removed")
        os.unlink(record)
        return
    if _is_sender(pid, start_ticks):
        try:
            os.kill(pid, _SIGKILL)
        except ProcessLookupError:
            pass
        give_up_at = time.monotonic() + _END_WAIT_S
        while _is_sender(pid, start_ticks) and time.monotonic() < give_up_at:
            time.sleep(0.002)
    os.unlink(record)


def _is_sender(pid: int, start_ticks: int) -> bool:
    """Start time and pid together are never given twice; a zombie sends nothing any more."""
    state = processes.status(pid)
    return state is not None and state.start_ticks == start_ticks and state.state not in "ZX"


def _record_name(call: "Call") -> str:
    """Named for the address, which is what stop knows for certain; the resource may be renamed."""
    return call.values.text("ip") + ".arp"


def _repeat(interface: "Link", address: bytes, count: int, pause_ms: int) -> None:
    begun = time.monotonic()
    for at_ms in _times(count, pause_ms):
        time.sleep(max(0.0, begun + at_ms / 1000 - time.monotonic()))
        with netlink.Netlink() as link:
            here = any(found.ifindex == interface.index for found in addresses.find(link, address))
        if not here:
            # The address went away without our stop: announcing it now would harm its new owner.
            return
        send(interface, address, 1 if pause_ms else count)


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
