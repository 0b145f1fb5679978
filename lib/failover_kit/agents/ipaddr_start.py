"""Bringing the address up: where it goes, what kernel and network are told; and changing it while it is up."""

import time

from failover_kit.agents import ipaddr_place
from failover_kit.agents.ipaddr import NOT_OURS, Wanted, link_local, locate
from failover_kit.agents.ipaddr_duplicates import await_usable, require_free, settled
from failover_kit.kernel import addresses, links, netlink, routes
from failover_kit.kernel.addresses import Address
from failover_kit.ocf import codes
from failover_kit.ocf.codes import AgentError, failed, not_here
from failover_kit.spec.values import LABEL_LIMIT, ipv4_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from failover_kit.kernel.links import Link
    from failover_kit.kernel.netlink import Netlink
    from failover_kit.ocf.agent import Call
    from failover_kit.spec.deadline import Deadline

# An interface we had to bring up ourselves may need this long for its link (autonegotiation takes
# two to three seconds on copper).
CARRIER_WAIT_MS = 5000
# One that is up and without link may just be blinking (the other node lost power, a switch restarts).
CARRIER_BLINK_MS = 1000
_CARRIER_POLL_S = 0.05
_LOOPBACK_INDEX = 1  # of lo, in every network namespace (LOOPBACK_IFINDEX, net/net_namespace.h)
_LOOPBACK_PREFIX = 8
_EACCES = 13


def start(call: "Call") -> int:
    """The address configured, usable and announced; on failure it is not left behind."""
    wanted = Wanted(call)
    refuse_clone(call)
    with netlink.Netlink() as link:
        # Still under detection: an earlier start was killed while it waited.
        found, problem, linkless = settled(call, wanted, link)
        refused = problem or (linkless if wanted.link_status == "fail" else "")
        if refused:
            raise failed(f"{refused}; not touched")
        if found:
            _complete(call, wanted, links.by_index(link, found[0].ifindex))
            return codes.SUCCESS
        interface, prefix = choose(wanted, link)
        label = _label(wanted, interface)
        interface = ready_interface(link, interface, call.deadline, wanted.link_status)
        if call.values.flag("run_arping"):
            require_free(wanted, interface)
        address = Address(
            interface.index,
            wanted.address,
            prefix,
            broadcast=_broadcast(call, wanted, prefix),
            label=label,
            flags=_flags(call),
            # The kernel refuses two scopes in one subnet, and lo's own address has this one.
            scope=addresses.SCOPE_HOST if _loopback(wanted) else addresses.SCOPE_GLOBAL,
            preferred_s=call.values.number("preferred_lft"),
        )
        if call.values.text("network_namespace") or link_local(wanted.address):
            ipaddr_place.remember(call, interface.index)
        added = _add(link, interface, wanted, address)
        await_usable(call, wanted, link, interface, address if added else None)
    _tell_network(call, wanted, interface)
    call.log("info", f"{wanted.text}/{prefix} is up on {interface.name}")
    return codes.SUCCESS


def refuse_clone(call: "Call") -> None:
    """A clone of an address is a cluster IP, which is for the firewall to share out."""
    clones = call.meta("clone_max")
    if clones.isdigit() and int(clones) > 1:
        fact = f"ip: as a clone {call.values.text('ip')} would be on {clones} nodes at once"
        raise AgentError(codes.ERR_CONFIGURED, f"{fact}; {NOT_OURS}")


def _complete(call: "Call", wanted: Wanted, interface: "Link | None") -> None:
    """Tell the network of an address that is up already, unless that has been done.

    A start that was killed between the address and the announcement is finished by the next one.
    """
    from failover_kit.agents.ipaddr_announce import announced

    if interface is not None and interface.carrier() and not announced(call):
        _tell_network(call, wanted, interface)


def _tell_network(call: "Call", wanted: Wanted, interface: "Link") -> None:
    count = call.values.number("arp_count")
    if interface.hardware == links.ARPHRD_INFINIBAND:
        call.log("warning", f"{wanted.text} is not announced: {interface.name} is InfiniBand; {NOT_OURS}")
    if count and interface.speaks_arp():
        from failover_kit.agents.ipaddr_announce import announce_and_repeat

        announce_and_repeat(call, interface, wanted.address, count)


def reload_agent(call: "Call") -> int:
    """The lifetime is the address's, all else that is reloadable is read anew by the next monitor and stop."""
    wanted = Wanted(call)
    preferred_s = call.values.number("preferred_lft")
    with netlink.Netlink() as link:
        found = locate(wanted, link)
        for address in found:
            if address.preferred_s != preferred_s:
                address.preferred_s = preferred_s
                addresses.update(link, address)
    return codes.SUCCESS if found else codes.NOT_RUNNING


def choose(wanted: Wanted, link: "Netlink") -> "tuple[Link, int]":
    """Interface and prefix: as declared, the rest from the routing table."""
    if wanted.nic:
        interface = links.by_name(link, wanted.nic)
        if interface is None:
            raise not_here(f"nic: there is no interface {wanted.nic} on this node; ip link shows what there is")
        if wanted.prefix:
            return interface, wanted.prefix
    if _loopback(wanted) and wanted.nic in ("", "lo"):
        # 127/8 stands in no table that leads anywhere: it is lo's.
        loopback = links.by_index(link, _LOOPBACK_INDEX)
        if loopback is not None:
            return loopback, wanted.prefix or _LOOPBACK_PREFIX
    known = routes.read(link, netlink.family_of(wanted.address))
    if wanted.nic and interface is not None:
        known = [route for route in known if route.ifindex == interface.index]
    route = routes.best(known, wanted.address)
    if route is None:
        where = f" on {wanted.nic}" if wanted.nic else ""
        missing = "cidr_netmask" if wanted.nic else "nic and cidr_netmask"
        fact = f"no route{where} leads directly to {wanted.text}"
        raise failed(f"{fact}; configure the network first, or set {missing}")
    chosen = links.by_index(link, route.ifindex)
    if chosen is None:
        raise failed(f"interface {route.ifindex} of the route to {wanted.text} has just vanished")
    return chosen, wanted.prefix or route.prefix


def _loopback(wanted: Wanted) -> bool:
    return len(wanted.address) == 4 and wanted.address[0] == 127


def _label(wanted: Wanted, interface: "Link") -> str:
    label = f"{interface.name}:{wanted.label}" if wanted.label else ""
    if len(label.encode()) > LABEL_LIMIT:
        raise failed(f"iflabel: '{label}' is longer than the {LABEL_LIMIT} characters the kernel keeps; shorten it")
    return label


def _broadcast(call: "Call", wanted: Wanted, prefix: int) -> bytes:
    six = len(wanted.address) == 16
    return b"" if six else broadcast_of(call.values.text("broadcast"), wanted.address, prefix)


def broadcast_of(declared: str, address: bytes, prefix: int) -> bytes:
    """The broadcast address: as declared; ``-`` host bits zero; else host bits one, none for /31 and /32."""
    if declared not in ("", "+", "-"):
        return ipv4_bytes(declared)
    if prefix > 30:
        return b""
    host_bits = (1 << (32 - prefix)) - 1
    number = int.from_bytes(address, "big")
    return (number & ~host_bits if declared == "-" else number | host_bits).to_bytes(4, "big")


def _flags(call: "Call") -> int:
    flags = addresses.IFA_F_NODAD if call.values.flag("nodad") else 0
    return flags | (addresses.IFA_F_NOPREFIXROUTE if call.values.flag("noprefixroute") else 0)


def ready_interface(link: "Netlink", interface: "Link", deadline: "Deadline", link_status: str) -> "Link":
    """The interface, brought up if need be, with carrier; else an error and no address on it.

    With a ``link_status`` other than fail a missing carrier is waited for as long, and then accepted.
    """
    if interface.carrier():
        return interface
    if not interface.up():
        _bring_up(link, interface)
    patience = deadline.at_most(CARRIER_BLINK_MS if interface.up() else CARRIER_WAIT_MS)
    seen: Link | None = interface
    while not patience.expired():
        seen = links.by_index(link, interface.index)
        if seen is not None and seen.carrier():
            return seen
        time.sleep(_CARRIER_POLL_S)
    if link_status != "fail" and seen is not None:
        return seen
    raise failed(f"{interface.name} is up and has no carrier; check cable and switch port")


def _bring_up(link: "Netlink", interface: "Link") -> None:
    try:
        links.set_up(link, interface.index)
    except PermissionError:
        raise  # not root: the runner has an exit code for that
    except OSError as error:
        raise failed(
            f"{interface.name} is down and cannot be brought up: {error.strerror}; bring up what is below it first"
        ) from error


def _add(link: "Netlink", interface: "Link", wanted: Wanted, address: Address) -> bool:
    """Whether it was us: False when another start was faster. What counts is what is there afterwards."""
    try:
        addresses.add(link, address)
    except FileExistsError:
        return False
    except OSError as error:
        fact = f"{wanted.text}/{address.prefix} cannot be added to {interface.name}: {error.strerror}"
        if error.errno == _EACCES:  # inet6_addr_add() and ipv6_find_idev(); without rights it would be EPERM
            raise not_here(f"{fact}; check net.ipv6.conf.{interface.name}.disable_ipv6") from error
        if isinstance(error, PermissionError):
            raise AgentError(codes.ERR_PERM, f"{fact}; run this as root") from error
        raise failed(f"{fact}; compare ip address show dev {interface.name}") from error
    return True
