"""Taking the address away wherever it is: its announcer first, then what hangs on it, then the address itself."""

from failover_kit.agents import ipaddr_place
from failover_kit.agents.ipaddr import Wanted, locate
from failover_kit.agents.ipaddr_announce import end_repeater
from failover_kit.kernel import addresses, links, netlink, netns
from failover_kit.ocf import codes
from failover_kit.ocf.codes import failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.addresses import Address
    from failover_kit.ocf.agent import Call

_NO_DEVICE, _NOT_THERE = 19, 99  # ENODEV, EADDRNOTAVAIL


def stop(call: "Call", *, present: bool) -> int:
    """``present``: the network namespace of the address exists; without it there is no address either."""
    wanted = Wanted(call)
    sender = end_repeater(call)
    # Once while the address can still send the resets, once more for what came in between.
    kills = present and call.values.flag("kill_connections") and _end_connections(call, wanted)
    found = _remove(call, wanted) if present else []
    if sender:
        raise failed(f"{wanted.text} is removed, but its announcer, process {sender}, cannot be killed; look at it")
    if kills:
        _end_connections(call, wanted)
    if found and call.values.flag("flush_routes"):
        _flush_routes(call, wanted)
    ipaddr_place.forget(call)
    return codes.SUCCESS


def leave_nameless(call: "Call") -> None:
    """Take the address out of the namespace it was started in, if that lives on without its name."""
    keeper = ipaddr_place.survivor(call)
    if keeper is not None:
        netns.enter_at(f"/proc/{keeper.pid}/ns/net")
        _remove(call, Wanted(call))


def _remove(call: "Call", wanted: Wanted) -> "list[Address]":
    """Take the address off every interface that had it; these places."""
    with netlink.Netlink() as link:
        found = locate(wanted, link)
        for address in found:
            remove_alone(link, address)
            call.log("info", f"{wanted.text}/{address.prefix} is removed")
        if locate(wanted, link):
            raise failed(f"{wanted.text} was removed and is configured again; something else manages it")
    return found


def remove_alone(link: "netlink.Netlink", address: "Address") -> None:
    """Remove one address and no other.

    With net.ipv4.conf.*.promote_secondaries 0 (the kernel's default) the kernel removes, together
    with the first address of a subnet, all others of that subnet on the interface. So it is set to 1
    for the moment: if we are killed there, the others stay. What is gone all the same is put back.
    """
    before = addresses.of_interface(link, address.ifindex) if len(address.local) == 4 else []
    others = [other for other in before if (other.local, other.prefix) != (address.local, address.prefix)]
    leans = any(other.secondary() and other.same_network(address) for other in others)
    knob = _promotion(link, address.ifindex) if leans else ""
    changed = bool(knob) and _exchange(knob, "0", "1")
    try:
        addresses.remove(link, address)
    except OSError as error:
        if error.errno not in (_NO_DEVICE, _NOT_THERE):
            raise  # else somebody was faster
    finally:
        if changed:
            _exchange(knob, "1", "0")
    if leans:
        _put_back(link, others)


def _promotion(link: "netlink.Netlink", ifindex: int) -> str:
    interface = links.by_index(link, ifindex)
    return f"/proc/sys/net/ipv4/conf/{interface.name}/promote_secondaries" if interface else ""


def _exchange(path: str, old: str, new: str) -> bool:
    """Whether the setting was ``old`` and is ``new`` now; a /proc/sys that is read-only is no reason to fail."""
    try:
        with open(path, encoding="ascii") as file:
            if file.read().strip() != old:
                return False
        with open(path, "w", encoding="ascii") as file:  # opened anew: sysctls are written at their beginning
            file.write(new)
    except OSError:
        return False
    return True


def _put_back(link: "netlink.Netlink", others: "list[Address]") -> None:
    here = addresses.of_interface(link, others[0].ifindex)
    kept = {(other.local, other.prefix) for other in here}
    for other in others:
        if (other.local, other.prefix) not in kept:
            try:
                addresses.restore(link, other)
            except FileExistsError:
                pass


def _end_connections(call: "Call", wanted: Wanted) -> bool:
    """False when this kernel cannot: that is said, and is no failed stop."""
    from failover_kit.kernel import tcpkill

    try:
        count = tcpkill.end_connections(wanted.address)
    except OSError as error:
        call.log("warning", f"kill_connections: TCP connections of {wanted.text} are left to time out: {error}")
        return False
    if count:
        call.log("info", f"{count} TCP connections of {wanted.text} are ended")
    return True


def _flush_routes(call: "Call", wanted: Wanted) -> None:
    """``ip route flush cache``: connections of this very host to the address must not go on over lo.

    Writing makes the kernel forget what it decided about routes (Documentation/networking/ip-sysctl.rst).
    """
    family = "ipv4" if len(wanted.address) == 4 else "ipv6"
    path = f"/proc/sys/net/{family}/route/flush"
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("-1")
    except OSError as error:
        call.log("warning", f"flush_routes: {path}: {error}")
