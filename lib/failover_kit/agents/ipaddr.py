"""IPaddr: an IPv4 cluster address. Text for people is in ``ipaddr_text``, ARP in ``ipaddr_arp``.

What counts is the address itself: there must be one on this host, or none. Configured but not as
declared (another interface, another prefix, no carrier) is neither running nor stopped: monitor
answers 1, start refuses, and stop removes it wherever it is.
"""

from failover_kit.kernel import addresses, links, netlink
from failover_kit.kernel.addresses import Address
from failover_kit.ocf import codes
from failover_kit.ocf.agent import Agent
from failover_kit.ocf.codes import failed, not_here
from failover_kit.spec.parameter import Action, Parameter
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


class Wanted:
    """The declared address. ``prefix`` 0 and ``nic`` "" mean: not said, any will do."""

    __slots__ = ("address", "label", "nic", "prefix", "text")

    def __init__(self, call: "Call") -> None:
        self.text = call.values.text("ip")
        self.address = ipv4_bytes(self.text)
        self.prefix = call.values.number("cidr_netmask")
        # The spelling of alias interfaces, eth0:web, names interface and label.
        self.nic, _, label = call.values.text("nic").partition(":")
        self.label = call.values.text("iflabel") or label


def disagreement(wanted: Wanted, found: "list[Address]", seen: "dict[int, Link]", nic_index: int) -> str:
    """What is wrong with the address as configured, "" when nothing is.

    ``seen`` are the interfaces of ``found`` by index; ``nic_index`` is the interface asked for (0: any).
    """
    if len(found) > 1:
        places = ", ".join(f"{_name(seen, address)}/{address.prefix}" for address in found)
        return f"{wanted.text} is configured {len(found)} times ({places}); remove the wrong ones"
    address = found[0]
    name = _name(seen, address)
    if wanted.nic and address.ifindex != nic_index:
        return f"{wanted.text} is configured on {name}, not on {wanted.nic}"
    if wanted.prefix and address.prefix != wanted.prefix:
        return f"{wanted.text} is configured on {name} with prefix {address.prefix}, not {wanted.prefix}"
    link = seen.get(address.ifindex)
    if link is None or not link.up():
        return f"{wanted.text} is configured, but {name} is down; bring it up or move the address away"
    if not link.carrier():
        return f"{wanted.text} is configured, but {name} has no carrier; check cable and switch port"
    return ""


def _name(seen: "dict[int, Link]", address: Address) -> str:
    link = seen.get(address.ifindex)
    return link.name if link else f"interface {address.ifindex}"


def observe(wanted: Wanted, link: "Netlink") -> "tuple[list[Address], str]":
    """Where the address is now, and what is wrong with that."""
    found = addresses.find(link, wanted.address)
    if not found:
        return found, ""
    seen = {}
    for address in found:
        interface = links.by_index(link, address.ifindex)
        if interface is not None:
            seen[address.ifindex] = interface
    nic_index = 0
    if wanted.nic:
        nic = next((known for known in seen.values() if known.name == wanted.nic), None)
        nic = nic or links.by_name(link, wanted.nic)
        nic_index = nic.index if nic else -1
    return found, disagreement(wanted, found, seen, nic_index)


def monitor(call: "Call") -> int:
    """Running, cleanly stopped, or in doubt: never "stopped" while the address answers."""
    with netlink.Netlink() as link:
        found, problem = observe(Wanted(call), link)
    if not found:
        return codes.NOT_RUNNING
    if problem:
        raise failed(problem)
    return codes.SUCCESS


def start(call: "Call") -> int:
    """Configure the address and tell the network; nothing is left behind on failure before that."""
    wanted = Wanted(call)
    with netlink.Netlink() as link:
        found, problem = observe(wanted, link)
        if problem:
            raise failed(f"{problem}; not touched")
        if found:
            return codes.SUCCESS
        interface, prefix = choose(wanted, link)
        label = _label(wanted, interface)
        interface = ready_interface(link, interface, call.deadline)
        broadcast = broadcast_of(call.values.text("broadcast"), wanted.address, prefix)
        address = Address(interface.index, wanted.address, prefix, broadcast=broadcast, label=label)
        try:
            addresses.add(link, address)
        except FileExistsError:
            pass  # another start was faster: what counts is what is there now
        found, problem = observe(wanted, link)
        if problem or not found:
            raise failed(problem or f"{wanted.text} was added to {interface.name} and vanished at once")
    count = call.values.number("arp_count")
    if count and interface.speaks_arp():
        from failover_kit.agents.ipaddr_arp import announce_and_repeat

        announce_and_repeat(call, interface, wanted.address, count)
    call.log("info", f"{wanted.text}/{prefix} is up on {interface.name}")
    return codes.SUCCESS


def choose(wanted: Wanted, link: "Netlink") -> "tuple[Link, int]":
    """Interface and prefix: as declared, the rest from the routing table."""
    from failover_kit.kernel import routes

    if wanted.nic:
        interface = links.by_name(link, wanted.nic)
        if interface is None:
            raise not_here(f"nic: there is no interface {wanted.nic} on this node; ip link shows what there is")
        if wanted.prefix:
            return interface, wanted.prefix
    known = routes.read(link)
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


def _label(wanted: Wanted, interface: "Link") -> str:
    label = f"{interface.name}:{wanted.label}" if wanted.label else ""
    if len(label) > LABEL_LIMIT:
        raise failed(f"iflabel: '{label}' is longer than the {LABEL_LIMIT} characters the kernel keeps; shorten it")
    return label


def broadcast_of(declared: str, address: bytes, prefix: int) -> bytes:
    """The broadcast address: as declared; ``-`` host bits zero; else host bits one, none for /31 and /32."""
    if declared not in ("", "+", "-"):
        return ipv4_bytes(declared)
    if prefix > 30:
        return b""
    host_bits = (1 << (32 - prefix)) - 1
    number = int.from_bytes(address, "big")
    return (number & ~host_bits if declared == "-" else number | host_bits).to_bytes(4, "big")


def ready_interface(link: "Netlink", interface: "Link", deadline: "Deadline") -> "Link":
    """The interface, brought up if need be, with carrier; else an error and no address on it."""
    if interface.carrier():
        return interface
    import time

    if not interface.up():
        links.set_up(link, interface.index)
    patience = deadline.at_most(CARRIER_BLINK_MS if interface.up() else CARRIER_WAIT_MS)
    while not patience.expired():
        seen = links.by_index(link, interface.index)
        if seen is not None and seen.carrier():
            return seen
        time.sleep(_CARRIER_POLL_S)
    raise failed(f"{interface.name} is up and has no carrier; check cable and switch port")


def stop(call: "Call") -> int:
    """Take the address off this host wherever it is, and end a running ARP sender of ours."""
    from failover_kit.agents.ipaddr_arp import end_repeater

    wanted = Wanted(call)
    end_repeater(call)
    with netlink.Netlink() as link:
        for address in addresses.find(link, wanted.address):
            remove_alone(link, address)
            call.log("info", f"{wanted.text}/{address.prefix} is removed")
        if addresses.find(link, wanted.address):
            raise failed(f"{wanted.text} was removed and is configured again; something else manages it")
    return codes.SUCCESS


def remove_alone(link: "Netlink", address: Address) -> None:
    """Remove one address and no other.

    With net.ipv4.conf.*.promote_secondaries 0 (the kernel's default) the kernel removes, together
    with the first address of a subnet, all others of that subnet on the interface: these are put back.
    """
    before = addresses.of_interface(link, address.ifindex)
    try:
        addresses.remove(link, address)
    except OSError as error:
        if error.errno not in (19, 99):  # ENODEV, EADDRNOTAVAIL: somebody was faster
            raise
    kept = {(other.local, other.prefix) for other in addresses.of_interface(link, address.ifindex)}
    for other in before:
        key = (other.local, other.prefix)
        if key == (address.local, address.prefix) or key in kept:
            continue
        try:
            addresses.add(link, other)
        except FileExistsError:
            pass


def validate(call: "Call") -> int:
    """The host checks of validate-all (level 10): an interface to put the address on."""
    with netlink.Netlink() as link:
        choose(Wanted(call), link)
    return codes.SUCCESS


AGENT = Agent(
    "IPaddr",
    version="0.1",
    shortdesc="Manages an IPv4 cluster address",
    text_module="failover_kit.agents.ipaddr_text",
    parameters=(
        Parameter("ip", kind="ipv4", required=True, unique_group="address", shortdesc="IPv4 address"),
        Parameter("nic", kind="interface", shortdesc="Network interface"),
        Parameter("cidr_netmask", kind="prefix", aliases=("netmask",), shortdesc="Prefix length or netmask"),
        Parameter("broadcast", kind="broadcast", shortdesc="Broadcast address"),
        Parameter("iflabel", kind="label", shortdesc="Interface label"),
        Parameter(
            "arp_count",
            kind="integer",
            default="3",
            minimum=0,
            maximum=20,
            shortdesc="Gratuitous ARP packets per burst",
        ),
    ),
    actions=(
        Action("start", 20),
        Action("stop", 20),
        Action("monitor", 20, interval_s=10, depth=0),
        Action("validate-all", 20),
        Action("meta-data", 5),
    ),
    handlers={"start": start, "stop": stop, "monitor": monitor, "validate-all": validate},
    positional=("ip", "cidr_netmask", "nic", "broadcast"),
    positional_separator="/",
)
