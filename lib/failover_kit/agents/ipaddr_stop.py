"""Taking the address away: the sender first, then the address wherever it is, then what hangs on it."""

from failover_kit.agents.ipaddr import Wanted
from failover_kit.agents.ipaddr_announce import end_repeater
from failover_kit.kernel import addresses, netlink
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
    end_repeater(call)
    if not present:
        return codes.SUCCESS
    with netlink.Netlink() as link:
        found = addresses.find(link, wanted.address)
        for address in found:
            remove_alone(link, address)
            call.log("info", f"{wanted.text}/{address.prefix} is removed")
        if addresses.find(link, wanted.address):
            raise failed(f"{wanted.text} was removed and is configured again; something else manages it")
    if call.values.flag("kill_connections"):
        _end_connections(call, wanted)
    if found and call.values.flag("flush_routes"):
        _flush_routes(call, wanted)
    return codes.SUCCESS


def remove_alone(link: "netlink.Netlink", address: "Address") -> None:
    """Remove one address and no other.

    With net.ipv4.conf.*.promote_secondaries 0 (the kernel's default) the kernel removes, together
    with the first address of a subnet, all others of that subnet on the interface: these are put back.
    """
    four = len(address.local) == 4
    before = addresses.of_interface(link, address.ifindex) if four else []
    try:
        addresses.remove(link, address)
    except OSError as error:
        if error.errno not in (_NO_DEVICE, _NOT_THERE):
            raise  # else somebody was faster
    if not four:
        return
    kept = {(other.local, other.prefix) for other in addresses.of_interface(link, address.ifindex)}
    for other in before:
        key = (other.local, other.prefix)
        if key == (address.local, address.prefix) or key in kept:
            continue
        try:
            addresses.add(link, other)
        except FileExistsError:
            pass


def _end_connections(call: "Call", wanted: Wanted) -> None:
    """The address is gone already: failing here is said, and is no failed stop."""
    from failover_kit.kernel import tcpkill

    try:
        count = tcpkill.end_connections(wanted.address)
    except OSError as error:
        call.log("warning", f"kill_connections: TCP connections of {wanted.text} are left to time out: {error}")
        return
    if count:
        call.log("info", f"{count} TCP connections of {wanted.text} are ended")


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
